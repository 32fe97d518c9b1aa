//! The TXT record that announces a policy (RFC 8461 section 3.1).

/// "records that do not begin with "v=STSv1;" are discarded".
const VERSION: &str = "v=STSv1;";
/// Longest `id`, and longest name of a further field.
const NAME_MAX: usize = 32;

/// Why a domain that tries to announce a policy does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Not exactly one record is left.
    #[error("there are {0} records that begin with \"v=STSv1;\"; there must be one")]
    Several(usize),
    /// A part between semicolons is no `name=value`.
    #[error("a field is no name=value")]
    Field,
    /// The `id` is not 1 to 32 letters and digits.
    #[error("the id is not 1 to 32 letters and digits")]
    Id,
    /// There is no `id`.
    #[error("there is no id")]
    NoId,
}

/// The `id` that the TXT records of `_mta-sts.DOMAIN` announce; nothing if none of them is about MTA-STS.
///
/// # Errors
/// [`BadRecord`]: "senders MUST assume the recipient domain does not have an available MTA-STS Policy".
pub fn discover<'a>(records: impl IntoIterator<Item = &'a str>) -> Result<Option<&'a str>, BadRecord> {
    let mut left = records.into_iter().filter(|record| record.starts_with(VERSION));
    let Some(record) = left.next() else { return Ok(None) };
    match left.count() {
        0 => parse(record).map(Some),
        more => Err(BadRecord::Several(more + 1)),
    }
}

/// The `id` of one record.
///
/// Fields that nobody knows are ignored, and of two fields of one name the first counts.
///
/// # Errors
/// [`BadRecord`] if the record does not follow the ABNF of RFC 8461 section 3.1.
pub fn parse(record: &str) -> Result<&str, BadRecord> {
    let fields = record.strip_prefix(VERSION).ok_or(BadRecord::Field)?;
    let mut id = None;
    let mut fields = fields.split(';').peekable();
    while let Some(field) = fields.next() {
        let field = field.trim_matches(is_wsp);
        if field.is_empty() && fields.peek().is_none() {
            break;
        }
        let (name, value) = field.split_once('=').ok_or(BadRecord::Field)?;
        if name == "id" && id.is_none() {
            let good =
                (1..=NAME_MAX).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric());
            if !good {
                return Err(BadRecord::Id);
            }
            id = Some(value);
        } else if !is_extension(name, value) {
            return Err(BadRecord::Field);
        }
    }
    id.ok_or(BadRecord::NoId)
}

fn is_wsp(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// `sts-ext-name "=" sts-ext-value`.
fn is_extension(name: &str, value: &str) -> bool {
    let name_good = name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    name_good && !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'=' && b != b';')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 8461 section 3.1: _mta-sts.example.com. IN TXT "v=STSv1; id=20160831085700Z;"
        assert_eq!(discover(["v=STSv1; id=20160831085700Z;"]), Ok(Some("20160831085700Z")));
    }

    #[test]
    fn exactly_one_record_counts() {
        assert_eq!(discover(["other text", "v=STSv1; id=1;", "v=spf1 -all"]), Ok(Some("1")));
        assert_eq!(discover(["v=STSv1; id=1;", "v=STSv1; id=1;"]), Err(BadRecord::Several(2)));
        assert_eq!(discover(["v=STSv1; id=1;", "v=STSv1;"]), Err(BadRecord::Several(2)));
        assert_eq!(discover(["v=STSv1"]), Ok(None), "without the semicolon it is discarded");
        assert_eq!(discover(["v=STSv11; id=1;"]), Ok(None));
        assert_eq!(discover(["V=STSv1; id=1;", "v=stsv1; id=1", " v=STSv1; id=1"]), Ok(None));
        assert_eq!(discover([]), Ok(None));
    }

    #[test]
    fn the_id_is_required_and_has_a_form() {
        assert_eq!(parse("v=STSv1;"), Err(BadRecord::NoId));
        assert_eq!(parse("v=STSv1; id=;"), Err(BadRecord::Id));
        assert_eq!(parse("v=STSv1; id=a-b;"), Err(BadRecord::Id));
        assert_eq!(parse(&format!("v=STSv1; id={};", "a".repeat(33))), Err(BadRecord::Id));
        assert_eq!(parse("v=STSv1; id=bücher;"), Err(BadRecord::Id));
        assert_eq!(parse("v=STSv1; ID=1;"), Err(BadRecord::NoId), "names are as written");
        assert_eq!(
            parse("v=STSv1;id=abcdefghijklmnopqrstuvwxyz012345"),
            Ok("abcdefghijklmnopqrstuvwxyz012345")
        );
    }

    #[test]
    fn other_fields_are_ignored_but_must_be_fields() {
        assert_eq!(parse("v=STSv1; a.b_c-1=x; id=7 ;\tz=y"), Ok("7"));
        assert_eq!(parse("v=STSv1; id=1; id=2;"), Ok("1"), "the first counts");
        assert_eq!(parse("v=STSv1; id=1; id=a-b;"), Ok("1"), "and the others are ignored");
        assert_eq!(parse("v=STSv1; id=1; nonsense;"), Err(BadRecord::Field));
        assert_eq!(parse("v=STSv1; id=1; ;"), Err(BadRecord::Field));
        assert_eq!(parse("v=STSv1; id=1; a=b=c;"), Err(BadRecord::Field));
        assert_eq!(parse("v=STSv1; id=1; -a=b;"), Err(BadRecord::Field));
    }

    proptest! {
        #[test]
        fn never_panics(records in proptest::collection::vec("(v=STSv1;)?\\PC*", 0..4)) {
            let _ = discover(records.iter().map(String::as_str));
        }
    }
}

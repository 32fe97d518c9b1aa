//! A file of addresses, one in a line: `address [name …] [id=…] [disabled] [compromised]`.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::source::{Account, Gathering, SourceError, Standing};

/// Longest line, bytes.
const LINE: usize = 1000;
/// Largest file, bytes.
const FILE: u64 = 64 << 20;

/// Reads it.
///
/// # Errors
/// It cannot be read. Mistakes in lines are noted.
pub fn read(path: &Path, gathering: &mut Gathering) -> Result<(), SourceError> {
    let bytes = whole(path)?;
    parse(&bytes, gathering);
    Ok(())
}

/// Takes the lines of a file. A mistake in one is a mistake of the file: were it left out, its account would lose
/// its certificate.
pub fn parse(bytes: &[u8], gathering: &mut Gathering) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let place = format!("line {}", index + 1);
        match clean(line).and_then(account) {
            Ok(Some(account)) => gathering.take(&place, account),
            Ok(None) => {}
            Err(why) => gathering.mistake(&place, why),
        }
    }
}

/// A regular file as a whole, if only those can write it who may.
pub(super) fn whole(path: &Path) -> Result<Vec<u8>, SourceError> {
    let what = path.display().to_string();
    let unreadable = |source| SourceError::Unreadable { what: what.clone(), source };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if metadata.permissions().mode() & 0o002 != 0 {
        return Err(SourceError::Malformed(format!(
            "{what} can be written by everybody, who could then have any certificate: chmod o-w"
        )));
    }
    let mut bytes = Vec::new();
    file.take(FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE {
        return Err(SourceError::Malformed(format!("{what} is larger than {} MiB", FILE >> 20)));
    }
    Ok(bytes)
}

/// A line as text, without its comment: `#` at the beginning or after a blank.
pub(super) fn clean(line: &[u8]) -> Result<&str, &'static str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > LINE {
        return Err("the line is longer than 1000 bytes");
    }
    let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    if line.contains('\0') {
        return Err("the line holds NUL");
    }
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err("the line holds control characters");
    }
    let comment = line.char_indices().scan(true, |blank, (at, c)| {
        let found = *blank && c == '#';
        *blank = c.is_whitespace();
        Some(found.then_some(at))
    });
    let end = comment.flatten().next().unwrap_or(line.len());
    Ok(line.get(..end).unwrap_or(line).trim())
}

fn account(line: &str) -> Result<Option<Account>, &'static str> {
    let (line, excluded) = match line.strip_prefix('!') {
        Some(rest) => (rest.trim_start(), true),
        None => (line, false),
    };
    let mut words = line.split_whitespace();
    let Some(address) = words.next() else {
        return if excluded { Err("there is no address behind `!`") } else { Ok(None) };
    };
    let mut account = Account { address: address.to_owned(), ..Account::default() };
    if excluded {
        account.standing = Standing::Disabled;
    }
    let mut name = Vec::new();
    for word in words {
        match word {
            "disabled" => account.standing = Standing::Disabled,
            "compromised" => account.compromised = true,
            _ => match word.strip_prefix("id=") {
                Some("") => return Err("`id=` needs a value"),
                Some(_) if account.id.is_some() => return Err("there are two `id=`"),
                Some(id) => account.id = Some(id.to_owned()),
                None => name.push(word),
            },
        }
    }
    account.name = (!name.is_empty()).then(|| name.join(" "));
    Ok(Some(account))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::source::Reading;
    use super::*;

    fn read_text(text: &[u8]) -> Result<Reading, SourceError> {
        let mut gathering = Gathering::new(&["beta.example".to_owned()], None);
        parse(text, &mut gathering);
        gathering.finish("accounts")
    }

    #[test]
    fn a_line_says_address_name_id_and_marks() {
        let text = "\u{feff}# staff\r\n\nBob@Beta.example  Bob B. Baker id=7  # since May\n! eve@beta.example Eve\n\
                    carol@beta.example\tdisabled\na#b@beta.example compromised\n";
        let accounts = read_text(text.as_bytes()).unwrap().accounts;
        let bob = &accounts["bob@beta.example"];
        assert_eq!((bob.address.as_str(), bob.name.as_deref()), ("Bob@beta.example", Some("Bob B. Baker")));
        assert_eq!((bob.id.as_deref(), bob.standing), (Some("7"), Standing::Active));
        assert_eq!(accounts["eve@beta.example"].standing, Standing::Disabled);
        assert_eq!(accounts["carol@beta.example"].standing, Standing::Disabled);
        assert!(accounts["a#b@beta.example"].compromised);
        assert_eq!(accounts.len(), 4);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let long = "x".repeat(1001);
        let text = format!(
            "bob@beta.example\nx@alpha.example\nno address\nn\0l@beta.example\n{long}\n\u{1b}@beta.example\n!\n\
             bob@beta.example disabled\nd@beta.example id=\nd@beta.example id=1 id=2\n"
        );
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(b"\xff@beta.example");
        let error = read_text(&bytes).unwrap_err().to_string();
        for said in [
            "line 2: x@alpha.example is outside",
            "line 3: \"no\" is no mailbox",
            "line 4: the line holds NUL",
            "line 5: the line is longer",
            "line 6: the line holds control",
            "line 7: there is no address",
            "line 8: bob@beta.example stands also in line 1",
            "line 9: `id=`",
            "line 10: there are two",
            "line 11: the line is not UTF-8",
        ] {
            assert!(error.contains(said), "{said}\n{error}");
        }
        assert_eq!(error.lines().count(), 11, "{error}");
    }

    #[test]
    fn said_twice_is_said_once() {
        let reading = read_text(b"bob@beta.example Bob\nBOB@beta.example\n").unwrap();
        assert_eq!(reading.accounts.len(), 1);
    }

    proptest! {
        #[test]
        fn the_order_of_lines_means_nothing(
            mut lines in proptest::collection::vec("!?[a-c]@beta\\.example( Name)?( id=[12])?( compromised)?", 0..8),
            seed in any::<u64>(),
        ) {
            let one = read_text(lines.join("\n").as_bytes()).map(|r| r.accounts.into_keys().collect::<Vec<_>>());
            let turn = usize::try_from(seed).unwrap_or(0) % lines.len().max(1);
            lines.rotate_left(turn);
            lines.reverse();
            let other = read_text(lines.join("\n").as_bytes()).map(|r| r.accounts.into_keys().collect::<Vec<_>>());
            prop_assert_eq!(one.ok(), other.ok());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_text(&bytes);
        }
    }
}

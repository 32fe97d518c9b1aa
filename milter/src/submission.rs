//! Mail that one of ours encrypted to his own gateway (RFC 3183 section 4, case b): what of its header section was
//! hidden, and must stay so outside when the gateway seals the mail anew.

use mail::{Edit, Field, Message, parse_list};
use policy::HeaderProtection;
use sealing::{Layer, LayerKind, LayerState};

/// How much of the header section was hidden outside, told by what opening put back there.
pub fn hidden(arrived: &Message, opened: &Message) -> HeaderProtection {
    let mut hidden = HeaderProtection::Off;
    for field in opened.header().fields().filter(|field| is_put_back(arrived, field)) {
        let outside = || arrived.header().find(&name_of(field.name())).map(|(_, outside)| outside);
        let level = match name_of(field.name()).as_str() {
            "subject" | "comments" | "keywords" => HeaderProtection::Baseline,
            "from" | "sender" | "reply-to" | "to" | "cc"
                if outside().is_some_and(|outside| addresses(&outside) == addresses(&field)) =>
            {
                HeaderProtection::Shy
            }
            _ => HeaderProtection::Strict,
        };
        hidden = hidden.max(level);
    }
    hidden
}

/// Whether somebody else than the author signed the whole of what was decrypted. `signed`: a signature stands around it
/// still; it can also be one with the encryption.
pub fn is_foreign(layers: &[Layer], signed: bool) -> bool {
    let Some(decrypted) = layers.iter().position(|layer| layer.state == LayerState::Opened) else {
        return false;
    };
    let inside = || layers.iter().skip(decrypted).filter(|layer| layer.kind == LayerKind::Signed);
    let part = |layer: Option<&Layer>| layer.and_then(|layer| layer.part.clone());
    let signature = part(inside().next());
    if !signed && signature != part(layers.get(decrypted)) {
        // What is signed is a part of it, such as a message that is forwarded.
        return false;
    }
    let states: Vec<_> = inside().filter(|layer| layer.part == signature).map(|layer| layer.state).collect();
    states.contains(&LayerState::WrongSigner) && !states.contains(&LayerState::Valid)
}

/// The edits that let stand outside what stood there when the message arrived, for a form whose whole header section
/// is inside.
pub fn conceal(arrived: &Message, sealed: &Message) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (index, field) in sealed.header().fields().enumerate() {
        if !is_put_back(arrived, &field) {
            continue;
        }
        let name = name_of(field.name());
        let mut outside = arrived.header().find_all(&name);
        edits.push(match (outside.next(), outside.next()) {
            (Some((_, only)), None) => Edit::ReplaceField { index, value: only.raw_value().to_vec() },
            _ => Edit::RemoveField { index },
        });
    }
    edits
}

/// Whether a field was not there, or not like this, when the message arrived.
fn is_put_back(arrived: &Message, field: &Field<'_>) -> bool {
    let name = name_of(field.name());
    let describes = name.is_empty() || name == "mime-version" || name.starts_with("content-");
    let same = |outside: Field<'_>| words(&outside) == words(field);
    !describes
        && !name.starts_with("x-gatepost-")
        && !arrived.header().find_all(&name).any(|(_, outside)| same(outside))
}

fn addresses(field: &Field<'_>) -> Vec<String> {
    parse_list(&field.unfolded()).mailboxes.iter().map(|mailbox| mailbox.address.to_string()).collect()
}

/// The value, however it is folded.
fn words(field: &Field<'_>) -> Vec<Vec<u8>> {
    let value = field.unfolded();
    value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

fn name_of(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Spill, apply};

    fn message(header: &str) -> Message {
        Message::parse(format!("{}\r\n\r\nx\r\n", header.replace('\n', "\r\n")).as_bytes())
    }

    #[test]
    fn what_was_hidden_tells_how_much_must_be_hidden_again() {
        let outside = "From: a@alpha.example\nTo: b@beta.example\nSubject: [...]\nReceived: by x\n";
        let inside = "From: a@alpha.example\nTo: b@beta.example\nSubject: [...]\nReceived: by\n\tx\n";
        for (change, to, hidden_then) in [
            ("", "", HeaderProtection::Off),
            ("[...]", "offer", HeaderProtection::Baseline),
            ("From: ", "Keywords: offer\nFrom: ", HeaderProtection::Baseline),
            ("a@alpha.example", "Alice <a@alpha.example>", HeaderProtection::Shy),
            ("To: b@", "To: c@", HeaderProtection::Strict),
            ("From: ", "X-Project: marmoset\nFrom: ", HeaderProtection::Strict),
            ("From: ", "Content-Type: text/html\nFrom: ", HeaderProtection::Off),
        ] {
            let opened = message(inside.replacen(change, to, 1).trim_end());
            assert_eq!(hidden(&message(outside.trim_end()), &opened), hidden_then, "{change} {to}");
        }
    }

    #[test]
    fn outside_stands_what_stood_there() {
        let arrived = message("From: a@alpha.example\nSubject: [...]\nTo: b@beta.example");
        let opened = "From: Alice <a@alpha.example>\nSubject: the marmoset\nTo: b@beta.example\nX-Project: fur\n\
                      Content-Type: multipart/mixed; boundary=b\nX-Gatepost-Result: additional";
        let sealed = message(opened);
        let shown = apply(&sealed, &conceal(&arrived, &sealed), &Spill::default()).unwrap();
        let text = String::from_utf8(shown.to_vec().unwrap()).unwrap();
        assert_eq!(
            text,
            "From: a@alpha.example\r\nSubject: [...]\r\nTo: b@beta.example\r\n\
             Content-Type: multipart/mixed; boundary=b\r\nX-Gatepost-Result: additional\r\n\r\nx\r\n"
        );
    }
}

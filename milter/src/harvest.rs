//! Certificates that come with mail, for the next mail to their holders: what is taken from which message. What becomes
//! of it is decided by the rules of discovery, after the message was answered; no message waits for it.

use keydir::{Authority, Autocrypt, Certificate, Scheme, Subject};
use mail::{Entity, HeaderSection, Limits, Message, Spill};
use policy::Verdict;
use sealing::{Binding, Layer, LayerKind, LayerState};

use crate::config::Config;
use crate::transaction::{Transaction, domain_of};
use crate::workshop::Unsealed;

/// So many certificates of one message are looked at.
const MOST: usize = 16;
/// Most octets of an attached certificate, in its transfer encoding.
const ATTACHED_LIMIT: u64 = 128 << 10;

/// How a certificate came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// With a valid signature of S/MIME.
    Signature,
    /// Attached to what its author signed validly.
    Attached,
    /// In an `Autocrypt` field, which nobody signed.
    Autocrypt,
    /// In an `Autocrypt-Gossip` field inside of what a known author signed and encrypted.
    Gossip,
}

impl Carrier {
    /// In words, for the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signature => "a valid signature",
            Self::Attached => "an attachment under a valid signature",
            Self::Autocrypt => "an Autocrypt field",
            Self::Gossip => "Autocrypt-Gossip",
        }
    }
}

/// A certificate that came with a message.
#[derive(Clone, Debug)]
pub struct Gleaning {
    /// Which mailbox it must name.
    pub address: String,
    /// Whom mail is encrypted to with it.
    pub subject: Subject,
    /// OpenPGP or S/MIME.
    pub scheme: Scheme,
    /// OpenPGP, armored or binary, or X.509 in DER.
    pub bytes: Vec<u8>,
    /// The authorities above it, without the anchor.
    pub above: Vec<Certificate>,
    /// How it came.
    pub carrier: Carrier,
}

/// What can be taken from a message that was accepted from outside; nothing from bulk mail and bounces.
pub fn glean(
    config: &Config,
    transaction: &Transaction,
    verdict: &Verdict,
    here: Option<&Unsealed>,
) -> Vec<Gleaning> {
    let Some(section) = config.discovery.as_ref().filter(|section| section.harvest) else {
        return Vec::new();
    };
    let message = &transaction.message;
    let outside = !transaction.originating && !transaction.is_second_pass();
    let bounce = transaction.envelope.reverse_path.is_empty();
    if *verdict != Verdict::Accept || !outside || bounce || is_bulk(message) {
        return Vec::new();
    }
    // Only an author without doubt has a certificate.
    let Some(author) = message.author().map(|author| author.address.to_string()) else { return Vec::new() };
    let is_own = |address: &str| config.gateway.is_own(&domain_of(address));
    if is_own(&author) {
        return Vec::new();
    }
    let mut gleaned = Vec::new();
    if let Some(unsealed) = here {
        let opened = &unsealed.opened;
        gleaned.extend(brought(&opened.layers, &author));
        let content = opened.message.as_ref().unwrap_or(message);
        if let Some(signed) = signed_by_author(message, content, &opened.layers) {
            gleaned.extend(attached(&signed, &author, &config.gateway.spill()));
            let gossip = gossip(&opened.gossip, content, &author);
            gleaned.extend(gossip.into_iter().filter(|heard| section.autocrypt && !is_own(&heard.address)));
        }
    }
    gleaned.extend(autocrypt(message.header(), &author).filter(|_| section.autocrypt));
    gleaned.truncate(MOST);
    gleaned
}

/// Mail that no person wrote to another: lists, newsletters, automatic answers (RFC 2919, RFC 3834), reports.
fn is_bulk(message: &Message) -> bool {
    let header = message.header();
    let says = |name: &str, words: &[&str]| {
        header.find_all(name).any(|(_, field)| {
            let text = field.text();
            words.iter().any(|word| text.trim().eq_ignore_ascii_case(word))
        })
    };
    let automatic =
        header.find_all("Auto-Submitted").any(|(_, field)| !field.text().trim().eq_ignore_ascii_case("no"));
    header.find("List-Id").is_some()
        || automatic
        || says("Precedence", &["bulk", "junk", "list"])
        || message.entity().content_type().is("multipart", "report")
}

/// S/MIME: what came with valid signatures, already held against the anchors.
fn brought(layers: &[Layer], author: &str) -> Vec<Gleaning> {
    let domain = domain_of(author);
    let mut gleaned = Vec::new();
    for layer in layers.iter().filter(|layer| layer.state == LayerState::Valid) {
        let (address, subject) = match layer.binding {
            Some(Binding::User) => (author.to_owned(), Subject::address(author)),
            Some(Binding::Domain) => (Authority::Confidentiality.mailbox(&domain), Subject::domain(&domain)),
            None => continue,
        };
        // The first is the one to use; a second one would only be a change.
        let (Some(subject), Some(first)) = (subject, layer.brought.first()) else { continue };
        gleaned.push(Gleaning {
            address,
            subject,
            scheme: Scheme::Smime,
            bytes: first.certificate.der().to_vec(),
            above: first.above.clone(),
            carrier: Carrier::Signature,
        });
    }
    gleaned
}

/// What the author himself signed: the message as a whole, by multipart/signed or together with the encryption of it.
/// `None` if there is anything around it, or any signature says otherwise.
fn signed_by_author<'m>(received: &Message, content: &'m Message, layers: &[Layer]) -> Option<Entity<'m>> {
    let by_author = |layer: &&Layer| layer.state == LayerState::Valid && layer.binding == Some(Binding::User);
    let signatures: Vec<&Layer> = layers.iter().filter(|layer| layer.kind == LayerKind::Signed).collect();
    if !signatures.iter().all(by_author) {
        return None;
    }
    let root = content.entity();
    if root.content_type().is("multipart", "signed") {
        // The signature is the second part of it.
        let last = |layer: &&Layer| layer.part.as_deref()?.rsplit('/').next().map(|last| last == "2");
        signatures.iter().find(|layer| last(layer) == Some(true))?;
        return root.children(&Limits::default()).ok()?.into_iter().next();
    }
    let kind = received.entity().content_type();
    let encrypted = kind.is("multipart", "encrypted")
        || kind.is("application", "pkcs7-mime")
        || kind.is("application", "x-pkcs7-mime");
    let together = |layer: &&Layer| {
        let around = layers.iter().find(|around| around.state == LayerState::Opened);
        around.is_some_and(|around| around.part.is_some() && around.part == layer.part)
    };
    (encrypted && signatures.iter().any(together)).then_some(root)
}

/// OpenPGP certificates attached to what is signed.
fn attached(signed: &Entity<'_>, author: &str, spill: &Spill) -> Vec<Gleaning> {
    let parts = signed.walk(&Limits::default()).unwrap_or_default();
    let keys = |part: &&Entity<'_>| {
        part.content_type().is("application", "pgp-keys") && part.content().len() <= ATTACHED_LIMIT
    };
    let read = |part: &Entity<'_>| part.decoded(spill).ok()?.to_vec().ok();
    let texts = parts.iter().filter(keys).take(MOST).filter_map(read);
    texts.filter_map(|bytes| openpgp(author, bytes, Carrier::Attached)).collect()
}

/// The `Autocrypt` field of the author. Two of them are none.
fn autocrypt(header: &HeaderSection, author: &str) -> Option<Gleaning> {
    let fields = header.find_all("Autocrypt").take(MOST);
    let read = |text: String| Autocrypt::parse(&text).filter(|field| field.is_of(author));
    let mut fields = fields.filter_map(|(_, field)| read(String::from_utf8(field.unfolded()).ok()?));
    match (fields.next(), fields.next()) {
        (Some(field), None) => openpgp(author, field.keydata, Carrier::Autocrypt),
        _ => None,
    }
}

/// What is gossiped about the other recipients of the same message. Two certificates for one of them are none.
fn gossip(values: &[Vec<u8>], message: &Message, author: &str) -> Vec<Gleaning> {
    let heard = values.iter().filter_map(|value| Autocrypt::parse(std::str::from_utf8(value).ok()?));
    let heard: Vec<Autocrypt> = heard.collect();
    let mut gleaned = Vec::new();
    let mut named: Vec<String> = Vec::new();
    for mailbox in message.to_and_cc() {
        let address = mailbox.address.to_string();
        if named.iter().any(|known| known.eq_ignore_ascii_case(&address)) || address == author {
            continue;
        }
        let mut about = heard.iter().filter(|heard| heard.is_of(&address));
        if let (Some(one), None) = (about.next(), about.next()) {
            gleaned.extend(openpgp(&address, one.keydata.clone(), Carrier::Gossip));
        }
        named.push(address);
    }
    gleaned
}

fn openpgp(address: &str, bytes: Vec<u8>, carrier: Carrier) -> Option<Gleaning> {
    let subject = Subject::address(address)?;
    let address = address.to_owned();
    Some(Gleaning { address, subject, scheme: Scheme::Openpgp, bytes, above: Vec::new(), carrier })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &str) -> Message {
        Message::parse(format!("From: a@b.example\r\n{fields}\r\nx\r\n").as_bytes())
    }

    #[test]
    fn what_no_person_sent_teaches_nothing() {
        for fields in [
            "List-Id: <l.b.example>\r\n",
            "Auto-Submitted: auto-replied\r\n",
            "Precedence: Bulk\r\n",
            "Content-Type: multipart/report; boundary=x\r\n",
        ] {
            assert!(is_bulk(&message(fields)), "{fields}");
        }
        assert!(!is_bulk(&message("Auto-Submitted: no\r\nPrecedence: first-class\r\n")));
    }

    #[test]
    fn only_one_field_of_the_author_counts() {
        let good = "Autocrypt: addr=A@b.example;\r\n keydata=AA\r\n AA\r\n";
        let other = "Autocrypt: addr=c@b.example; keydata=AAAA\r\n";
        let wrong = "Autocrypt: addr=a@b.example; critical=1; keydata=AAAA\r\n";
        let count =
            |fields: &str| autocrypt(message(fields).header(), "a@b.example").map(|one| one.bytes.len());
        assert_eq!(count(good), Some(3));
        assert_eq!(count(&[good, other, wrong].concat()), Some(3));
        assert_eq!(count(&[good, good].concat()), None);
        assert_eq!(count(other), None);
    }

    #[test]
    fn gossip_is_about_recipients_and_unambiguous() {
        let field = |address: &str, data: &str| format!("addr={address}; keydata={data}").into_bytes();
        let values = [
            field("bob@c.example", "AAAA"),
            field("eve@c.example", "AAAA"),
            field("eve@c.example", "BBBB"),
            field("stranger@c.example", "AAAA"),
            field("a@b.example", "AAAA"),
        ];
        let message = message("To: bob@c.example, eve@c.example, a@b.example\r\nCc: bob@c.example\r\n");
        let heard = gossip(&values, &message, "a@b.example");
        let about: Vec<&str> = heard.iter().map(|one| one.address.as_str()).collect();
        assert_eq!(about, ["bob@c.example"]);
    }
}

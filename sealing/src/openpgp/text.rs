//! Inline PGP: texts that were decrypted, and texts that are signed.

use std::io;
use std::io::Read;
use std::io::Write;

use mail::Body;
use mail::BodyWriter;
use mail::Entity;
use mail::Spill;
use sequoia_openpgp as pgp;

use pgp::parse::Parse;
use pgp::parse::stream::VerifierBuilder;
use pgp::policy::StandardPolicy;

use crate::open::entity::Inner;
use crate::openpgp::decrypt::HELD_BACK;
use crate::openpgp::decrypt::machine_fault;
use crate::openpgp::inline::Inline;
use crate::openpgp::time::system_time;
use crate::openpgp::verify::Examination;
use crate::openpgp::verify::Question;
use crate::openpgp::verify::Verifying;
use crate::result::Layer;
use crate::result::LayerKind;
use crate::result::LayerState;
use crate::result::OpenError;
use crate::splice;
use crate::transfer::Base64Writer;
use crate::transfer::CrlfWriter;
use crate::transfer::QuotedPrintableWriter;
use crate::transfer::Survey;

/// The text part that takes the place of one with an armored message: the decrypted text, then what
/// stood after the armor.
pub(crate) fn entity(part: &Entity<'_>, plain: &Body, rest: &Body, spill: &Spill) -> io::Result<Inner> {
    let mut text = BodyWriter::new(spill);
    let mut lines = CrlfWriter::new(&mut text);
    plain.write_to(&mut lines)?;
    rest.write_to(&mut lines)?;
    let text = text.finish()?;
    let mut checked = Checked::default();
    text.write_to(&mut checked)?;
    let (survey, utf8) = checked.finish();

    let mut out = BodyWriter::new(spill);
    let encoding = if survey.is_safe() {
        text.write_to(&mut out)?;
        "7bit"
    } else if survey.prefers_base64() {
        let mut writer = Base64Writer::new(&mut out);
        text.write_to(&mut writer)?;
        writer.finish()?;
        "base64"
    } else {
        let mut writer = QuotedPrintableWriter::new(&mut out);
        text.write_to(&mut writer)?;
        writer.finish()?;
        "quoted-printable"
    };
    let charset = if utf8 { "utf-8".to_owned() } else { charset(part) };
    let mut fields = vec![
        ("Content-Type".to_owned(), format!(" text/plain; charset={charset}").into_bytes()),
        ("Content-Transfer-Encoding".to_owned(), format!(" {encoding}").into_bytes()),
    ];
    let told = ["content-type", "content-transfer-encoding"];
    let others = splice::content_fields(part.header()).into_iter();
    fields.extend(others.filter(|(name, _)| !told.contains(&name.to_ascii_lowercase().as_str())));
    Ok(Inner::new(fields, out.finish()?))
}

/// Verifies a cleartext-signed text. Text outside the armor is not covered by the signature, so with
/// such text the part as a whole is not validly signed.
pub(crate) fn verify(inline: &Inline, question: &Question<'_>) -> Result<Layer, OpenError> {
    let none = || Layer::new(LayerKind::Signed, LayerState::Invalid);
    if !only_hash_headers(&inline.block())? {
        return Ok(none().because("text that is not signed stands before the signed text"));
    }
    let policy = StandardPolicy::at(system_time(question.now));
    let mut examination = Examination::new(question);
    let block = inline.block();
    let outcome = VerifierBuilder::from_reader(block.reader(0..block.len())).and_then(|builder| {
        let helper = Verifying(&mut examination);
        let builder = builder.buffer_size(HELD_BACK);
        let mut verifier = builder.with_policy(&policy, Some(question.tolerant_time()), helper)?;
        io::copy(&mut verifier.by_ref().take(question.limits.opened_bytes), &mut io::sink())?;
        Ok(verifier.message_processed())
    });
    if let Some(why) = examination.lookup_failed {
        return Err(OpenError::Keys(why));
    }
    if let Some(error) = outcome.as_ref().err().and_then(machine_fault) {
        return Err(OpenError::Io(error));
    }
    Ok(match (outcome, examination.layers.pop()) {
        (Ok(true), Some(layer)) if layer.state == LayerState::Valid && inline.more => {
            let mut layer = layer.because("text that is not signed follows the signed text");
            (layer.state, layer.binding, layer.signer_subject) = (LayerState::Invalid, None, None);
            layer
        }
        (Ok(true), Some(layer)) => layer,
        (Ok(_), _) => none().because("the signed text holds no signature"),
        (Err(error), _) => none().because(format!("the signed text cannot be read: {error}")),
    })
}

/// Whether nothing but `Hash` stands between the first line and the blank line before the signed text: no
/// signature covers those lines, and people would read them as if one did (RFC 9580 section 7.1).
fn only_hash_headers(block: &Body) -> io::Result<bool> {
    const HEADERS: u64 = 4096;
    let head = block.read_range(0..block.len().min(HEADERS))?;
    let before = |line: &&[u8]| !line.starts_with(b"-----BEGIN");
    let mut lines = head.split(|byte| *byte == b'\n').skip_while(before).skip(1).map(<[u8]>::trim_ascii_end);
    Ok(loop {
        match lines.next() {
            Some(b"") => break true,
            Some(line) => {
                let Some(names) = line.strip_prefix(b"Hash: ") else { break false };
                let name = |byte: &u8| byte.is_ascii_alphanumeric() || b",-/ ".contains(byte);
                if names.len() > 60 || !names.iter().all(name) {
                    break false;
                }
            }
            None => break false,
        }
    })
}

/// The charset that the armored part announced; what it holds is not UTF-8.
fn charset(part: &Entity<'_>) -> String {
    let content_type = part.content_type();
    let told = content_type.param("charset").filter(|charset| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
        !charset.is_empty()
            && charset.bytes().all(plain)
            && !charset.to_ascii_lowercase().starts_with("ut")
            && !charset.eq_ignore_ascii_case("us-ascii")
    });
    told.unwrap_or("iso-8859-1").to_owned()
}

/// Surveys a text and sees whether it is UTF-8, while it passes by.
#[derive(Default)]
struct Checked {
    survey: Survey,
    /// The start of a character whose end was not seen yet.
    open: Vec<u8>,
    broken: bool,
}

impl Checked {
    fn finish(self) -> (Survey, bool) {
        (self.survey.finish(), !self.broken && self.open.is_empty())
    }
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.survey.write_all(bytes)?;
        if !self.broken {
            self.open.extend_from_slice(bytes);
            let valid = match str::from_utf8(&self.open) {
                Ok(text) => text.len(),
                Err(error) => {
                    self.broken = error.error_len().is_some();
                    error.valid_up_to()
                }
            };
            self.open.drain(..valid);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

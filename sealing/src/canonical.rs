//! The MIME entity that is protected: the message's Content-* fields and its body, and what else of its header
//! is protected with them.
//!
//! To be encrypted it is taken as it is. To be signed it is first put into a form that no relay
//! changes (RFC 3156 section 3 and 5, RFC 1847 section 2.1): CRLF line ends, 7 bits, short lines, no
//! blanks at their ends. Only transfer encodings are changed for that, never content; parts that are
//! protected or attached messages are never touched.

use std::io;
use std::io::Write;
use std::ops::Range;

use mail::Body;
use mail::Entity;
use mail::Field;
use mail::Message;
use mail::Spill;
use mail::TransferEncoding;

use crate::rope::Rope;
use crate::transfer::Base64Writer;
use crate::transfer::CrlfWriter;
use crate::transfer::QuotedPrintableWriter;
use crate::transfer::Survey;

/// Whether a field describes the body, and so moves with it.
pub(crate) fn describes_content(field: &Field<'_>) -> bool {
    field.name().get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"Content-"))
}

/// What of a message is protected.
pub(crate) struct Payload {
    message: Message,
    extent: Extent,
}

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// The Content-* fields and the body.
    Entity,
    /// Every field of the header and the body, which then are one MIME entity.
    Header,
    /// Every byte, as it stands.
    Whole,
}

impl Payload {
    /// The body and what describes it.
    pub(crate) fn entity(message: &Message) -> Payload {
        Payload { message: message.clone(), extent: Extent::Entity }
    }

    /// An entity with other fields in its header; all of them are protected.
    pub(crate) fn with_header(entity: Message) -> Payload {
        Payload { message: entity, extent: Extent::Header }
    }

    /// The message, every byte of it.
    pub(crate) fn whole(message: &Message) -> Payload {
        Payload { message: message.clone(), extent: Extent::Whole }
    }

    /// It, byte for byte; the body is shared. What [`Payload::write_exact`] writes.
    pub(crate) fn exact(&self, spill: &Spill) -> io::Result<Rope> {
        if self.extent == Extent::Whole {
            return Rope::collect(spill, |out| self.message.write_to(out));
        }
        let mut head = Vec::new();
        write_header(&self.message.entity(), self.extent, None, &mut head)?;
        Ok(Rope::new([head.into(), self.message.body().clone()]))
    }

    /// Writes it byte for byte; an entity without Content-Type gets the default one.
    pub(crate) fn write_exact(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.extent == Extent::Whole {
            return self.message.write_to(out);
        }
        write_header(&self.message.entity(), self.extent, None, out)?;
        self.message.body().write_to(out)
    }

    /// Writes it in the form that is signed.
    pub(crate) fn write_canonical(&self, spill: &Spill, out: &mut dyn Write) -> io::Result<()> {
        let canon = Canon { limits: mail::Limits::default(), extent: self.extent, spill };
        canon.part(&self.message.entity(), out)
    }
}

struct Canon<'s> {
    limits: mail::Limits,
    extent: Extent,
    spill: &'s Spill,
}

/// What happens to a part.
enum Treatment<'m> {
    /// Header and content stay.
    Exact,
    /// Line ends become CRLF.
    LineEnds,
    /// Its parts are treated, one by one.
    Children(Vec<Entity<'m>>),
    /// The content gets another transfer encoding.
    Encode(Body, Encoding),
}

#[derive(Clone, Copy)]
enum Encoding {
    Base64,
    QuotedPrintable,
}

impl Canon<'_> {
    fn part(&self, part: &Entity<'_>, out: &mut dyn Write) -> io::Result<()> {
        match self.treatment(part)? {
            // Also where its header lacks the blank line.
            Treatment::Exact if part.depth() > 0 => part.raw().write_to(out),
            Treatment::LineEnds if part.depth() > 0 => copy(part, part.raw_range(), out),
            Treatment::Exact => {
                write_header(part, self.extent, None, out)?;
                part.content().write_to(out)
            }
            Treatment::LineEnds => {
                write_header(part, self.extent, None, &mut CrlfWriter::new(&mut *out))?;
                copy(part, part.content_range(), out)
            }
            Treatment::Children(children) => self.multipart(part, &children, out),
            Treatment::Encode(content, Encoding::Base64) => {
                write_header(part, self.extent, Some("base64"), &mut CrlfWriter::new(&mut *out))?;
                let mut writer = Base64Writer::new(out);
                content.write_to(&mut writer)?;
                writer.finish().map(drop)
            }
            Treatment::Encode(content, Encoding::QuotedPrintable) => {
                write_header(part, self.extent, Some("quoted-printable"), &mut CrlfWriter::new(&mut *out))?;
                let mut writer = QuotedPrintableWriter::new(out);
                content.write_to(&mut writer)?;
                writer.finish().map(drop)
            }
        }
    }

    fn treatment<'m>(&self, part: &Entity<'m>) -> io::Result<Treatment<'m>> {
        let content_type = part.content_type();
        match (content_type.kind.as_str(), content_type.subtype.as_str()) {
            ("multipart", "signed" | "encrypted") => return Ok(Treatment::Exact),
            ("multipart", _) => {
                // MIME that cannot be walked is left alone: better 8bit than broken.
                let children = part.children(&self.limits).unwrap_or_default();
                let walked = !children.is_empty() && part.transfer_encoding().is_identity();
                return Ok(if walked { Treatment::Children(children) } else { Treatment::LineEnds });
            }
            // An attached message may not be encoded (RFC 2046 section 5.2.1), and may be DKIM-signed.
            ("message", _) => return Ok(Treatment::Exact),
            _ => (),
        }
        let encoding = part.transfer_encoding();
        let wire = survey(&part.content())?;
        if wire.is_safe() || matches!(encoding, TransferEncoding::Other(_)) {
            let binary = encoding == TransferEncoding::Binary && content_type.kind != "text";
            return Ok(if binary { Treatment::Exact } else { Treatment::LineEnds });
        }
        let content = part.decoded(self.spill)?;
        let short = content_type.kind == "text" && encoding != TransferEncoding::Base64;
        let quoted = short && !survey(&content)?.prefers_base64();
        let encoding = if quoted { Encoding::QuotedPrintable } else { Encoding::Base64 };
        Ok(Treatment::Encode(content, encoding))
    }

    fn multipart(&self, part: &Entity<'_>, children: &[Entity<'_>], out: &mut dyn Write) -> io::Result<()> {
        let eight_bit = !matches!(part.transfer_encoding(), TransferEncoding::SevenBit);
        let encoding = (eight_bit && !self.keeps_eight_bit(part)?).then_some("7bit");
        write_header(part, self.extent, encoding, &mut CrlfWriter::new(&mut *out))?;
        let mut at = part.content_range().start;
        for child in children {
            copy(part, at..child.raw_range().start, out)?;
            self.part(child, out)?;
            at = child.raw_range().end;
        }
        copy(part, at..part.content_range().end, out)
    }

    /// Whether a part below stays as it is although it holds 8bit bytes.
    fn keeps_eight_bit(&self, part: &Entity<'_>) -> io::Result<bool> {
        match self.treatment(part)? {
            Treatment::Exact | Treatment::LineEnds => Ok(survey(&part.content())?.eight_bit > 0),
            Treatment::Children(children) => {
                for child in children {
                    if self.keeps_eight_bit(&child)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Treatment::Encode(..) => Ok(false),
        }
    }
}

/// Writes the header of a part, with another transfer encoding if one is given, and the blank line. Of
/// the message's own header only what `extent` says belongs to the entity.
fn write_header(
    part: &Entity<'_>,
    extent: Extent,
    encoding: Option<&str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let root = part.depth() == 0;
    let mut encoding = encoding;
    let mut typed = !root;
    for field in
        part.header().fields().filter(|field| !root || extent != Extent::Entity || describes_content(field))
    {
        typed |= field.is("Content-Type");
        if field.is("Content-Transfer-Encoding") && encoding.is_some() {
            if let Some(encoding) = encoding.take() {
                write!(out, "Content-Transfer-Encoding: {encoding}\r\n")?;
            }
            continue;
        }
        out.write_all(field.raw())?;
        if !field.raw().ends_with(b"\n") {
            out.write_all(b"\r\n")?;
        }
    }
    if !typed {
        out.write_all(b"Content-Type: text/plain\r\n")?;
    }
    if let Some(encoding) = encoding {
        write!(out, "Content-Transfer-Encoding: {encoding}\r\n")?;
    }
    out.write_all(b"\r\n")
}

fn copy(part: &Entity<'_>, range: Range<u64>, out: &mut dyn Write) -> io::Result<()> {
    part.body().slice(range).write_to(&mut CrlfWriter::new(out))
}

fn survey(content: &Body) -> io::Result<Survey> {
    let mut survey = Survey::default();
    content.write_to(&mut survey)?;
    Ok(survey.finish())
}

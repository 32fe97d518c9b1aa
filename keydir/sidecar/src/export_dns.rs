//! `gatepost-keydir export-dns`: OPENPGPKEY and SMIMEA records as the text of a zone.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use keydir::{Publication, ZoneRecordType, zone_records};
use program::Exit;

use crate::export::{self, Source};

/// The longest time that a record can say, seconds (RFC 2181, 8).
pub(crate) const MAX_TTL: i64 = 0x7fff_ffff;

/// Which records are meant.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Types {
    /// Leave OpenPGP certificates (OPENPGPKEY records) out.
    #[arg(long)]
    pub no_openpgpkey: bool,
    /// Leave S/MIME certificates (SMIMEA records) out.
    #[arg(long)]
    pub no_smimea: bool,
}

impl Types {
    /// Whether records of this type are meant.
    pub fn include(self, record_type: ZoneRecordType) -> bool {
        match record_type {
            ZoneRecordType::Openpgpkey => !self.no_openpgpkey,
            ZoneRecordType::Smimea => !self.no_smimea,
        }
    }
}

/// Options of `export-dns`.
#[derive(Args, Clone, Debug)]
pub struct ExportDns {
    /// What is exported.
    #[command(flatten)]
    pub source: Source,
    /// Which records.
    #[command(flatten)]
    pub types: Types,
    /// How long resolvers may keep a record, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(..=MAX_TTL))]
    pub ttl: u32,
    /// Write the types as TYPE61 and TYPE53 (RFC 3597), for name servers that know neither.
    #[arg(long)]
    pub generic: bool,
    /// Where to; replaced as a whole when everything is written. Standard output by default.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Writes the records of our domains, to be included in their zones.
///
/// # Errors
/// The publication cannot be read, or the output not written.
pub fn run(config: &Path, options: &ExportDns) -> Result<(), Exit> {
    let publication = options.source.open(config)?;
    let written = match &options.output {
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            write(&publication, options, &mut out)
        }
        Some(path) => replace(&publication, options, path),
    };
    for warning in written?.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records.
    pub records: usize,
    /// What the administrator should know; the first hundred.
    pub warnings: Vec<String>,
}

/// Writes the records as the text of a zone, with full names.
///
/// # Errors
/// The publication cannot be read, or the output not written.
pub fn write(publication: &Publication, options: &ExportDns, out: &mut dyn Write) -> Result<Written, Exit> {
    const MOST: usize = 100;
    let domains = options.source.domains(publication)?;
    let mut written = Written::default();
    let unwritable = |error| Exit::output("cannot write the records", error);
    writeln!(out, "; Certificates of {}, by gatepost-keydir export-dns.", domains.join(", "))
        .map_err(unwritable)?;
    export::each_mailbox(publication, |mailbox| {
        if !domains.iter().any(|domain| domain == export::domain_of(&mailbox)) {
            return Ok(());
        }
        let made = zone_records(&mailbox);
        for records in made.records.iter().filter(|records| options.types.include(records.record_type)) {
            written.records += records.data.len();
            out.write_all(records.text(options.ttl, options.generic).as_bytes()).map_err(unwritable)?;
        }
        let room = MOST.saturating_sub(written.warnings.len());
        written.warnings.extend(made.warnings.into_iter().take(room));
        Ok(())
    })?;
    out.flush().map_err(unwritable)?;
    Ok(written)
}

/// Writes a file beside the one that is there and then puts it in its place.
fn replace(publication: &Publication, options: &ExportDns, path: &Path) -> Result<Written, Exit> {
    let unwritable = |error| Exit::output(format!("cannot write {}", path.display()), error);
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let beside = path.with_file_name(name);
    let file = File::create(&beside).map_err(unwritable)?;
    let mut out = BufWriter::new(&file);
    let written = write(publication, options, &mut out)?;
    drop(out);
    file.sync_all().map_err(unwritable)?;
    std::fs::rename(&beside, path).map_err(unwritable)?;
    Ok(written)
}

//! Talking to the primary name server, over TCP.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use domain::base::message_builder::AuthorityBuilder;
use domain::base::name::Name;
use program::Exit;

use super::key::TsigKey;
use super::message;
use super::tsig::Exchange;

/// For connecting, and for each message.
const PATIENCE: Duration = Duration::from_secs(30);
/// An update is sent when it has grown so large, octets; a message holds 65,535.
const FULL: usize = 40_000;
/// Type SOA.
const SOA: u16 = 6;
/// Most octets of all messages of a transfer.
const MAX_TRANSFER: usize = 16 << 30;

/// The primary name server of a zone.
pub(super) struct Server {
    address: SocketAddr,
    zone: Name<Vec<u8>>,
    key: TsigKey,
    now: fn() -> u64,
}

impl Server {
    /// # Errors
    /// Exit 64 if the zone is no domain name.
    pub(super) fn new(address: SocketAddr, zone: &str, key: TsigKey, now: fn() -> u64) -> Result<Self, Exit> {
        let zone = zone.parse().map_err(|error| Exit::usage(format!("{zone} is no zone: {error}")))?;
        Ok(Self { address, zone, key, now })
    }

    /// Reads the whole zone and calls `each` with name, type and content of each record.
    ///
    /// # Errors
    /// Exit 69 if the server cannot be reached or refuses.
    pub(super) fn transfer(&self, each: &mut dyn FnMut(&str, u16, &[u8])) -> Result<(), Exit> {
        let (mut stream, mut exchange) = self.send(message::transfer_request(&self.zone))?;
        let (mut ends, mut total) = (0, 0);
        // The zone's SOA record comes first and again at the end.
        while ends < 2 {
            let answer = self.receive(&mut stream, &mut exchange)?;
            total += answer.len();
            let mut records = 0;
            let read = message::answers(&answer, &mut |owner, number, data| {
                records += 1;
                ends += u8::from(number == SOA && ends < 2);
                each(owner, number, data);
            });
            read.map_err(|why| self.refused(&why))?;
            if records == 0 || total > MAX_TRANSFER {
                return Err(self.refused("the transfer of the zone does not end"));
            }
        }
        match exchange.complete() {
            true => Ok(()),
            false => Err(self.refused("the last message of the transfer is not signed")),
        }
    }

    /// Collects changes and sends them in messages as large as may be.
    pub(super) fn updates(&self, ttl: u32, dry_run: bool) -> Outbox<'_> {
        Outbox { server: self, ttl, dry_run, message: None }
    }

    fn send(&self, request: Result<Vec<u8>, String>) -> Result<(TcpStream, Exchange<'_>), Exit> {
        let mut request = request.map_err(|why| self.refused(&why))?;
        let exchange =
            Exchange::sign(&self.key, &mut request, (self.now)()).map_err(|why| self.refused(&why))?;
        let length = u16::try_from(request.len()).map_err(|_| self.refused("a message is too long"))?;
        let connect = || -> io::Result<TcpStream> {
            let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.write_all(&[&length.to_be_bytes()[..], &request].concat())?;
            Ok(stream)
        };
        let stream = connect().map_err(|error| self.unreachable(error))?;
        Ok((stream, exchange))
    }

    /// One message of the answer, its signature and code checked.
    fn receive(&self, stream: &mut TcpStream, exchange: &mut Exchange<'_>) -> Result<Vec<u8>, Exit> {
        let mut length = [0; 2];
        stream.read_exact(&mut length).map_err(|error| self.unreachable(error))?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).map_err(|error| self.unreachable(error))?;
        let code = message::outcome(&answer, exchange.id()).map_err(|why| self.refused(&why))?;
        let verified = exchange.verify(&answer, (self.now)());
        if code != "NOERROR" {
            let why = verified.err().map(|why| format!(" ({why})")).unwrap_or_default();
            return Err(self.refused(&format!("it says {code}{why}")));
        }
        verified.map_err(|why| self.refused(&why))?;
        Ok(answer)
    }

    fn refused(&self, why: &str) -> Exit {
        Exit { code: 69, message: format!("name server {}, zone {}: {why}", self.address, self.zone) }
    }

    fn unreachable(&self, error: io::Error) -> Exit {
        Exit::unavailable(format!("name server {}, zone {}", self.address, self.zone), error)
    }
}

/// Changes on their way.
pub(super) struct Outbox<'a> {
    server: &'a Server,
    ttl: u32,
    dry_run: bool,
    message: Option<AuthorityBuilder<Vec<u8>>>,
}

impl Outbox<'_> {
    /// All records of this name and type are replaced by these.
    ///
    /// # Errors
    /// Exit 69 if the server cannot be reached or refuses.
    pub(super) fn replace(&mut self, owner: &str, number: u16, data: &[Vec<u8>]) -> Result<(), Exit> {
        if self.dry_run {
            return Ok(());
        }
        let server = self.server;
        let refused = |why: String| server.refused(&why);
        let owner: Name<Vec<u8>> = owner.parse().map_err(|_| refused(format!("{owner} is no name")))?;
        let size: usize = data.iter().map(|data| data.len() + 300).sum();
        let held = self.message.as_ref().map_or(0, |message| message.as_slice().len());
        if held > 0 && held + size > FULL {
            self.flush()?;
        }
        if self.message.is_none() {
            self.message = Some(message::update(&server.zone).map_err(refused)?);
        }
        let Some(update) = &mut self.message else { return Ok(()) };
        message::replace(update, &owner, number, data, self.ttl).map_err(refused)
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// As [`Outbox::replace`].
    pub(super) fn finish(mut self) -> Result<(), Exit> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Exit> {
        let Some(update) = self.message.take() else { return Ok(()) };
        let (mut stream, mut exchange) = self.server.send(Ok(update.finish()))?;
        self.server.receive(&mut stream, &mut exchange)?;
        Ok(())
    }
}

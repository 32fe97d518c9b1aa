//! For tests: a resolver in this process that answers as told, well or badly, over UDP and TCP.
//!
//! Names ending in `.plain` (and `plain` itself) are insecure, all others secure: their answers carry the AD bit
//! and signatures (of zeros; a stub does not check them).

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use domain::base::Message;
use domain::base::MessageBuilder;
use domain::base::Name;
use domain::base::Rtype;
pub use domain::base::Rtype as Type;
use domain::base::Ttl;
use domain::base::UnknownRecordData;
use domain::base::iana::Class;
use domain::base::iana::Rcode;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::UdpSocket;

use super::Dns;
use super::DnsConfig;
use super::name;

/// How one look-up goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SERVFAIL, but an answer with the CD bit.
    Bogus,
    /// SERVFAIL in any case.
    ServFail,
    Refused,
    /// No answer at all.
    Silent,
    /// Octets that are no message.
    Garbage,
    /// The right answer under a wrong id.
    WrongId,
    /// An answer to another question.
    WrongQuestion,
    /// TC by UDP, the answer by TCP.
    Truncated,
    /// TC by UDP, and TCP closes.
    TruncatedTcpDead,
    /// AD although nothing is signed.
    LyingAd,
    /// No RA bit.
    NoRecursion,
    /// The record data end too early.
    ShortData,
    /// An answer after 150 ms.
    Slow,
}

type Key = (String, Rtype);

#[derive(Default)]
pub struct World {
    records: HashMap<Key, Vec<(u32, Vec<u8>)>>,
    faults: HashMap<Key, Fault>,
    pub asked: HashMap<Key, usize>,
    pub not_validating: bool,
    pub dead: bool,
}

/// Shared so that a test can change the world while the resolver runs.
#[derive(Clone, Default)]
pub struct Script {
    world: Arc<Mutex<World>>,
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        change(&mut self.world.lock().unwrap())
    }

    fn put(self, owner: &str, rtype: Rtype, data: Vec<u8>) -> Self {
        self.with(|world| world.records.entry((owner.to_owned(), rtype)).or_default().push((300, data)));
        self
    }

    pub fn clear(&self, owner: &str, rtype: Rtype) {
        self.with(|world| world.records.remove(&(owner.to_owned(), rtype)));
    }

    pub fn mx(self, owner: &str, preference: u16, host: &str) -> Self {
        let mut data = preference.to_be_bytes().to_vec();
        data.extend(wire(host));
        self.put(owner, Rtype::MX, data)
    }

    pub fn addr(self, owner: &str, address: &str) -> Self {
        match address.parse().unwrap() {
            IpAddr::V4(four) => self.put(owner, Rtype::A, four.octets().to_vec()),
            IpAddr::V6(six) => self.put(owner, Rtype::AAAA, six.octets().to_vec()),
        }
    }

    pub fn cname(self, owner: &str, target: &str) -> Self {
        self.put(owner, Rtype::CNAME, wire(target))
    }

    pub fn dname(self, owner: &str, target: &str) -> Self {
        self.put(owner, Rtype::DNAME, wire(target))
    }

    pub fn txt(self, owner: &str, strings: &[&str]) -> Self {
        let mut data = Vec::new();
        for string in strings {
            data.push(u8::try_from(string.len()).unwrap());
            data.extend(string.as_bytes());
        }
        self.put(owner, Rtype::TXT, data)
    }

    pub fn tlsa(self, host: &str, parameters: [u8; 3], length: usize) -> Self {
        let mut data = parameters.to_vec();
        data.extend(vec![7; length]);
        self.put(&format!("_25._tcp.{host}"), Rtype::TLSA, data)
    }

    pub fn raw(self, owner: &str, rtype: Rtype, data: &[u8]) -> Self {
        self.put(owner, rtype, data.to_vec())
    }

    pub fn ttl(self, owner: &str, rtype: Rtype, ttl: u32) -> Self {
        self.with(|world| {
            let records = world.records.get_mut(&(owner.to_owned(), rtype)).unwrap();
            records.iter_mut().for_each(|record| record.0 = ttl);
        });
        self
    }

    pub fn fault(self, owner: &str, rtype: Rtype, fault: Fault) -> Self {
        self.with(|world| world.faults.insert((owner.to_owned(), rtype), fault));
        self
    }

    pub fn asked(&self, owner: &str, rtype: Rtype) -> usize {
        self.with(|world| world.asked.get(&(owner.to_owned(), rtype)).copied().unwrap_or(0))
    }

    /// Starts the resolver and gives a stub for it with a short time-out.
    pub async fn start(&self) -> Dns {
        Dns::new(self.start_config().await)
    }

    pub async fn start_config(&self) -> DnsConfig {
        let (udp, tcp) = sockets().await;
        let resolver = udp.local_addr().unwrap();
        tokio::spawn(serve_udp(udp, self.clone()));
        tokio::spawn(serve_tcp(tcp, self.clone()));
        DnsConfig { resolver, timeout: Duration::from_millis(800), ..DnsConfig::default() }
    }

    /// The bytes to send back, and how long to wait before.
    fn answer(&self, request: &[u8], stream: bool) -> Option<(Vec<u8>, Duration)> {
        let request = Message::from_octets(request.to_vec()).ok()?;
        let question = request.sole_question().ok()?;
        let key = (name::text(question.qname()), question.qtype());
        let mut world = self.world.lock().unwrap();
        *world.asked.entry(key.clone()).or_default() += 1;
        if world.dead {
            return None;
        }
        let fault = world.faults.get(&key).copied();
        let wait = if fault == Some(Fault::Slow) { Duration::from_millis(150) } else { Duration::ZERO };
        let bytes = match fault {
            Some(Fault::Silent) => return None,
            Some(Fault::Garbage) => b"\x00no message at all".to_vec(),
            Some(Fault::ServFail) => world.compose(&request, &key, Some(Rcode::SERVFAIL), false),
            Some(Fault::Bogus) if !request.header().cd() => {
                world.compose(&request, &key, Some(Rcode::SERVFAIL), false)
            }
            Some(Fault::Refused) => world.compose(&request, &key, Some(Rcode::REFUSED), false),
            Some(Fault::Truncated | Fault::TruncatedTcpDead) if !stream => {
                world.compose(&request, &key, None, true)
            }
            Some(Fault::TruncatedTcpDead) => return None,
            _ => world.compose(&request, &key, None, false),
        };
        Some((bytes, wait))
    }
}

impl World {
    fn compose(&self, request: &Message<Vec<u8>>, key: &Key, rcode: Option<Rcode>, cut: bool) -> Vec<u8> {
        let fault = self.faults.get(key).copied();
        let mut found = Found { answers: Vec::new(), secure: !self.not_validating, nxdomain: false };
        if rcode.is_none() && !cut {
            self.walk(key, &mut found);
        }
        let mut builder = MessageBuilder::new_vec();
        let rcode = rcode.unwrap_or(if found.nxdomain { Rcode::NXDOMAIN } else { Rcode::NOERROR });
        let header = builder.header_mut();
        *header = request.header();
        header.set_qr(true);
        header.set_ra(fault != Some(Fault::NoRecursion));
        header.set_rcode(rcode);
        header.set_tc(cut);
        header.set_ad(
            rcode != Rcode::SERVFAIL
                && !request.header().cd()
                && (found.secure || fault == Some(Fault::LyingAd)),
        );
        if fault == Some(Fault::WrongId) {
            header.set_id(header.id().wrapping_add(1));
        }
        let mut question = builder.question();
        let asked = if fault == Some(Fault::WrongQuestion) { "other.example" } else { &key.0 };
        question.push((parsed(asked), key.1)).unwrap();
        let mut answer = question.answer();
        let signed = found.secure && fault != Some(Fault::LyingAd);
        let mut last = None;
        for (owner, rtype, ttl, data) in &found.answers {
            let data = if fault == Some(Fault::ShortData) { &data[..1] } else { &data[..] };
            push(&mut answer, owner, *rtype, *ttl, data);
            if signed && last.replace((owner, rtype)) != Some((owner, rtype)) {
                push(&mut answer, owner, Rtype::RRSIG, *ttl, &signature(*rtype));
            }
        }
        let mut authority = answer.authority();
        if !found.answers.iter().any(|answer| answer.1 == key.1) && rcode != Rcode::SERVFAIL {
            push(&mut authority, "example", Rtype::SOA, 900, &soa());
            if signed {
                push(&mut authority, "example", Rtype::RRSIG, 900, &signature(Rtype::SOA));
            }
        }
        authority.finish()
    }

    fn walk(&self, key: &Key, found: &mut Found) {
        let (mut owner, rtype) = key.clone();
        for _ in 0..20 {
            found.secure &= !insecure(&owner);
            if let Some(records) = self.get(&owner, rtype) {
                found
                    .answers
                    .extend(records.iter().map(|(ttl, data)| (owner.clone(), rtype, *ttl, data.clone())));
                return;
            }
            if let Some(records) = self.get(&owner, Rtype::CNAME) {
                let from = owner.clone();
                found.answers.extend(
                    records.iter().map(|(ttl, data)| (from.clone(), Rtype::CNAME, *ttl, data.clone())),
                );
                owner = name::text(&Name::from_octets(records[0].1.clone()).unwrap());
                continue;
            }
            let dname = self.records.iter().find(|((suffix, rtype), _)| {
                *rtype == Rtype::DNAME
                    && owner.strip_suffix(suffix.as_str()).is_some_and(|prefix| prefix.ends_with('.'))
            });
            let Some(((suffix, _), records)) = dname else { break };
            found.answers.push((suffix.clone(), Rtype::DNAME, records[0].0, records[0].1.clone()));
            let target = name::text(&Name::from_octets(records[0].1.clone()).unwrap());
            owner = format!("{}{target}", owner.strip_suffix(suffix.as_str()).unwrap());
        }
        let exists =
            self.records.keys().any(|(name, _)| *name == owner || name.ends_with(&format!(".{owner}")));
        found.nxdomain = !exists;
    }

    fn get(&self, owner: &str, rtype: Rtype) -> Option<Vec<(u32, Vec<u8>)>> {
        if owner == "." && (rtype == Rtype::NS || rtype == Rtype::DNSKEY) {
            return Some(vec![(
                300,
                if rtype == Rtype::NS { wire("ns.example") } else { vec![1, 1, 3, 13, 0] },
            )]);
        }
        self.records.get(&(owner.to_owned(), rtype)).cloned()
    }
}

struct Found {
    answers: Vec<(String, Rtype, u32, Vec<u8>)>,
    secure: bool,
    nxdomain: bool,
}

fn insecure(owner: &str) -> bool {
    owner == "plain" || owner.ends_with(".plain")
}

fn push<T>(section: &mut T, owner: &str, rtype: Rtype, ttl: u32, data: &[u8])
where
    T: domain::base::message_builder::RecordSectionBuilder<Vec<u8>>,
{
    let data = UnknownRecordData::from_octets(rtype, data.to_vec()).unwrap();
    section.push((parsed(owner), Class::IN, Ttl::from_secs(ttl), data)).unwrap();
}

fn parsed(text: &str) -> Name<Vec<u8>> {
    text.parse().unwrap()
}

fn wire(text: &str) -> Vec<u8> {
    parsed(text).as_octets().clone()
}

fn signature(covered: Rtype) -> Vec<u8> {
    let mut data = covered.to_int().to_be_bytes().to_vec();
    data.extend([13, 2]);
    data.extend([0; 14]);
    data.push(0);
    data.extend([0; 64]);
    data
}

fn soa() -> Vec<u8> {
    let mut data = wire("ns.example");
    data.extend(wire("root.example"));
    for number in [1u32, 3600, 600, 86_400, 120] {
        data.extend(number.to_be_bytes());
    }
    data
}

/// One port that is free for both.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn serve_udp(socket: UdpSocket, script: Script) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; 4096];
    loop {
        let (length, peer): (usize, SocketAddr) = socket.recv_from(&mut buffer).await.unwrap();
        let Some((bytes, wait)) = script.answer(&buffer[..length], false) else { continue };
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = socket.send_to(&bytes, peer).await;
        });
    }
}

async fn serve_tcp(listener: TcpListener, script: Script) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let script = script.clone();
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut request = vec![0; usize::from(length)];
                stream.read_exact(&mut request).await.unwrap();
                let Some((bytes, _)) = script.answer(&request, true) else { return };
                stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
            }
        });
    }
}

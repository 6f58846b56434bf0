//! A name server for tests: one function says what it answers, down to nonsense octets. UDP and TCP on one loopback port.

use relay::config::Dns;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
const SOA: u16 = 6;
const NS: u16 = 2;
pub(crate) const PTR: u16 = 12;
pub(crate) const MX: u16 = 15;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
pub(crate) const TLSA: u16 = 52;

/// One question as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    /// Without trailing dot.
    pub name: String,
    pub kind: u16,
    pub tcp: bool,
    /// With the AD bit, which asks for it in the answer.
    pub ad: bool,
}

/// What the server answers.
pub(crate) enum Say {
    /// These, each owned by the name that was asked for.
    Records(Vec<Value>),
    /// These, owned by the names beside them.
    Chain(Vec<(&'static str, Value)>),
    /// The same with the AD bit: the server has checked the signatures.
    Proven(Vec<(&'static str, Value)>),
    /// NODATA with the zone's SOA.
    NoRecords,
    /// NODATA without any proof.
    Nothing,
    /// NXDOMAIN.
    NoSuchName,
    /// A referral to other servers.
    Referral,
    /// An error code.
    Code(u8),
    /// An empty answer with the TC bit.
    Truncated,
    /// This record, where other servers and hints stand, and no answer.
    Beside(Value),
    /// These, good for so many seconds.
    Brief(u8, Vec<Value>),
    /// This record, after a while.
    Late(Duration, Value),
    /// No answer at all.
    Silence,
    /// These octets after the id of the question.
    Octets(Vec<u8>),
    /// A good answer to another question.
    OtherQuestion(Value),
    /// A good answer under another id.
    OtherId(Value),
}

#[derive(Clone)]
pub(crate) enum Value {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Mx(u16, String),
    Cname(&'static str),
    Ptr(&'static str),
    Txt(Vec<&'static str>),
    Tlsa([u8; 3], Vec<u8>),
}

pub(crate) fn a(text: &str) -> Value {
    Value::A(text.parse().unwrap())
}

pub(crate) fn aaaa(text: &str) -> Value {
    Value::Aaaa(text.parse().unwrap())
}

pub(crate) fn mx(preference: u16, exchange: &str) -> Value {
    Value::Mx(preference, exchange.to_owned())
}

pub(crate) fn ptr(name: &'static str) -> Value {
    Value::Ptr(name)
}

type Zone = dyn Fn(&Question) -> Say + Send + Sync;

/// A running server; its tasks end with the runtime.
pub(crate) struct FakeDns {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Question>>>,
}

impl FakeDns {
    pub(crate) async fn start(zone: impl Fn(&Question) -> Say + Send + Sync + 'static) -> FakeDns {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let server = FakeDns { address: udp.local_addr().unwrap(), asked: Arc::new(Mutex::new(Vec::new())) };
        let zone: Arc<Zone> = Arc::new(zone);
        tokio::spawn(serve_udp(udp, zone.clone(), server.asked.clone()));
        tokio::spawn(serve_tcp(tcp, zone, server.asked.clone()));
        server
    }

    pub(crate) fn settings(&self) -> Dns {
        Dns { servers: vec![self.address], ..relay::config::Dns::default() }
    }

    /// All questions so far.
    pub(crate) fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Zone>, asked: Arc<Mutex<Vec<Question>>>) {
    let mut buffer = [0; 4096];
    while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
        let (answer, wait) = answer(&buffer[..n], false, &*zone, &asked);
        tokio::time::sleep(wait).await;
        if let Some(answer) = answer {
            socket.send_to(&answer, from).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Zone>, asked: Arc<Mutex<Vec<Question>>>) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let (zone, asked) = (zone.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok(len) = socket.read_u16().await {
                let mut query = vec![0; len.into()];
                socket.read_exact(&mut query).await.unwrap();
                if let (Some(answer), _) = answer(&query, true, &*zone, &asked) {
                    let len = u16::try_from(answer.len()).unwrap();
                    let framed = [&len.to_be_bytes()[..], &answer].concat();
                    let _ = socket.write_all(&framed).await;
                }
            }
        });
    }
}

fn answer(query: &[u8], tcp: bool, zone: &Zone, asked: &Mutex<Vec<Question>>) -> (Option<Vec<u8>>, Duration) {
    let (question, raw) = parse(query, tcp);
    asked.lock().unwrap().push(question.clone());
    let id = [query[0], query[1]];
    let owner = question.name.as_str();
    let soa = (owner, SOA, [&[0, 0][..], &[0; 8], &[0, 0, 14, 16].repeat(2), &[0, 0, 1, 44]].concat());
    let say = zone(&question);
    let wait = if let Say::Late(wait, _) = say { wait } else { Duration::ZERO };
    let octets = match say {
        Say::Records(records) => {
            let answers: Vec<_> = records.iter().map(|data| (owner, data)).collect();
            message(id, 0, raw, &print(&answers), &[])
        }
        Say::Chain(records) => {
            let answers: Vec<_> = records.iter().map(|(owner, data)| (*owner, data)).collect();
            message(id, 0, raw, &print(&answers), &[])
        }
        Say::Proven(records) => {
            let answers: Vec<_> = records.iter().map(|(owner, data)| (*owner, data)).collect();
            let mut octets = message(id, 0, raw, &print(&answers), &[]);
            octets[3] |= 0x20;
            octets
        }
        Say::NoRecords => message(id, 0, raw, &[], &[soa]),
        Say::NoSuchName => message(id, 3, raw, &[], &[soa]),
        Say::Nothing => message(id, 0, raw, &[], &[]),
        Say::Referral => message(id, 0, raw, &[], &[("test", NS, name_octets("ns.elsewhere.test"))]),
        Say::Code(code) => message(id, code, raw, &[], &[]),
        Say::Truncated => {
            let mut octets = message(id, 0, raw, &[], &[]);
            octets[2] |= 0x02;
            octets
        }
        Say::Beside(data) => message(id, 0, raw, &[], &print(&[(owner, &data)])),
        Say::Brief(seconds, records) => {
            let answers: Vec<_> = records.iter().map(|data| (owner, data)).collect();
            let mut octets = message(id, 0, raw, &[], &[]);
            octets[7] = u8::try_from(answers.len()).unwrap();
            print(&answers).iter().for_each(|record| octets.extend(record_octets(record, seconds.into())));
            octets
        }
        Say::Late(_, data) => message(id, 0, raw, &print(&[(owner, &data)]), &[]),
        Say::Silence => return (None, wait),
        Say::Octets(octets) => [&id[..], &octets].concat(),
        Say::OtherQuestion(data) => {
            let other = [&name_octets("other.test")[..], &raw[raw.len() - 4..]].concat();
            message(id, 0, &other, &print(&[("other.test", &data)]), &[])
        }
        Say::OtherId(data) => message([id[0] ^ 0x55, id[1]], 0, raw, &print(&[(owner, &data)]), &[]),
    };
    (Some(octets), wait)
}

/// The question, and its octets as they stand in the query.
fn parse(query: &[u8], tcp: bool) -> (Question, &[u8]) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let len = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + len]).into_owned());
        at += 1 + len;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    (Question { name: labels.join("."), kind, tcp, ad: query[3] & 0x20 != 0 }, &query[12..at + 5])
}

fn print<'a>(records: &[(&'a str, &Value)]) -> Vec<(&'a str, u16, Vec<u8>)> {
    let data = |data: &Value| match data {
        Value::A(ip) => (A, ip.octets().to_vec()),
        Value::Aaaa(ip) => (AAAA, ip.octets().to_vec()),
        Value::Mx(preference, exchange) => (MX, [&preference.to_be_bytes()[..], &name_octets(exchange)].concat()),
        Value::Cname(target) => (CNAME, name_octets(target)),
        Value::Ptr(name) => (PTR, name_octets(name)),
        Value::Txt(parts) => {
            (TXT, parts.iter().flat_map(|part| [&[part.len() as u8], part.as_bytes()].concat()).collect())
        }
        Value::Tlsa(numbers, data) => (TLSA, [&numbers[..], data].concat()),
    };
    records.iter().map(|(owner, record)| (*owner, data(record).0, data(record).1)).collect()
}

/// Labels separated by dots.
fn name_octets(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn message(
    id: [u8; 2],
    code: u8,
    question: &[u8],
    answers: &[(&str, u16, Vec<u8>)],
    authority: &[(&str, u16, Vec<u8>)],
) -> Vec<u8> {
    let mut out = vec![id[0], id[1], 0x81, 0x80 | code, 0, 1];
    for count in [answers.len(), authority.len(), 0] {
        out.extend(u16::try_from(count).unwrap().to_be_bytes());
    }
    out.extend(question);
    for record in answers.iter().chain(authority) {
        out.extend(record_octets(record, 300));
    }
    out
}

fn record_octets((owner, kind, data): &(&str, u16, Vec<u8>), ttl: u32) -> Vec<u8> {
    let mut out = name_octets(owner);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}

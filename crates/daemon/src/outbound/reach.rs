//! The addresses of one host → an open connection, or why not.
//!
//! The addresses are called one after the other, but nobody waits long for one that does not answer: after [`HEAD_START`] the next
//! one is called as well, and the first that answers is taken ("happy eyeballs", RFC 8305 §5). So a network where
//! IPv6 leads nowhere costs a quarter of a second. Connections come from our own addresses (`bind`) where these are set.

use super::candidates::{Address, Candidate};
use super::wire::{Stream, Wire};
use super::words;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use relay::envelope::Failure;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

/// How long the only host may take to answer the call.
pub(super) const CONNECT_ALONE: Duration = Duration::from_secs(30);
/// How long, when there are others to try.
pub(super) const CONNECT_AMONG_OTHERS: Duration = Duration::from_secs(10);
/// How long one address may take before the next one is called as well (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses of one host that are called at the same time.
const CALLS_MAX: usize = 4;

/// Connects to one of the host's addresses. Takes off those that did not answer and the one that did; what is left may be
/// tried later. `wait` bounds each call.
pub(super) async fn connect(candidate: &mut Candidate, wait: Duration) -> Result<(Wire, Address), Vec<Failure>> {
    let terms = candidate.terms.clone();
    let bind = &terms.bind[..];
    let mut failures = Vec::new();
    let (reachable, others): (Vec<_>, Vec<_>) =
        std::mem::take(&mut candidate.addresses).into_iter().partition(|address| has_source(address, bind));
    failures.extend(others.iter().map(|address| words::no_source(&candidate.label(address))));
    let mut waiting = reachable.into_iter();
    let mut called: Vec<Address> = Vec::new();
    let mut calls = FuturesUnordered::new();
    loop {
        let next = if calls.len() < CALLS_MAX { waiting.next() } else { None };
        if let Some(address) = next {
            called.push(address.clone());
            calls.push(call(address, bind, wait));
        } else if calls.is_empty() {
            return Err(failures);
        }
        let may_call_more = waiting.len() > 0 && calls.len() < CALLS_MAX;
        let answered = tokio::select! {
            answered = calls.next() => answered,
            () = tokio::time::sleep(HEAD_START), if may_call_more => None,
        };
        let Some((address, answer)) = answered else { continue };
        called.retain(|other| *other != address);
        match answer {
            Ok(wire) => {
                candidate.addresses = called.into_iter().chain(waiting).collect();
                return Ok((wire, address));
            }
            Err(Unanswered::Broken(error)) => {
                failures.push(words::not_connected(&error, &candidate.label(&address)));
            }
            Err(Unanswered::Silent) => failures.push(words::not_answered(wait, &candidate.label(&address))),
            Err(Unanswered::Unbound(own, error)) => {
                failures.push(words::not_bound(own, &error, &candidate.label(&address)));
            }
        }
    }
}

/// Connects to this address once more.
pub(super) async fn again(candidate: &Candidate, address: &Address, wait: Duration) -> Result<Wire, Failure> {
    let mut alone = Candidate { addresses: [address.clone()].into(), ..candidate.clone() };
    let nobody = || words::not_answered(wait, &candidate.label(address));
    connect(&mut alone, wait).await.map(|(wire, _)| wire).map_err(|mut all| all.pop().unwrap_or_else(nobody))
}

enum Unanswered {
    Broken(io::Error),
    Silent,
    /// Our own address cannot be used.
    Unbound(IpAddr, io::Error),
}

/// Where our own addresses are set, the others' families are not connected to.
fn has_source(address: &Address, bind: &[IpAddr]) -> bool {
    bind.is_empty() || address.ip().is_none_or(|ip| source(ip, bind).is_some())
}

fn source(ip: IpAddr, bind: &[IpAddr]) -> Option<IpAddr> {
    bind.iter().copied().find(|own| own.is_ipv4() == ip.is_ipv4())
}

async fn call(address: Address, bind: &[IpAddr], wait: Duration) -> (Address, Result<Wire, Unanswered>) {
    let answer = match &address {
        Address::Ip(to) => tokio::time::timeout(wait, tcp(*to, source(to.ip(), bind))).await,
        Address::Unix(path) => {
            let called = async { UnixStream::connect(path).await.map(Stream::Unix).map_err(Unanswered::Broken) };
            tokio::time::timeout(wait, called).await
        }
    };
    (address, answer.unwrap_or(Err(Unanswered::Silent)).map(Wire::new))
}

async fn tcp(to: SocketAddr, from: Option<IpAddr>) -> Result<Stream, Unanswered> {
    let called = match from {
        None => TcpStream::connect(to).await,
        Some(own) => {
            let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
            let socket = socket.map_err(Unanswered::Broken)?;
            socket.bind((own, 0).into()).map_err(|error| Unanswered::Unbound(own, error))?;
            socket.connect(to).await
        }
    };
    let stream = called.map_err(Unanswered::Broken)?;
    // Commands and replies are small and waited for.
    stream.set_nodelay(true).map_err(Unanswered::Broken)?;
    Ok(Stream::Tcp(stream))
}

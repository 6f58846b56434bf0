//! Plays the scripts of `tests/gate`.
//!
//! `connect ADDRESS [at N] [with N open] [named NAME|unconfirmed|none|unanswered|unasked]` names the client (it has no name in DNS where that matters) and the listener (the first is 0), `tls [1.2]`
//! encrypts, `means [hashes] [tickets] [tokens]` says what the methods have to work with (all, if not said), `certificate NAME` shows one of that name whose fingerprint is that of the name's octets, `logon [SENDERS]` makes it one who has
//! proved who it is. `why` adds to each verdict what decided. `AUTH METHOD`, and a `MAIL` or `RCPT` line, which is read by the real grammar, are
//! judged by the gate. `␀` in a line stands for NUL. Of the grammar's refusals only the codes are kept: its words are tested
//! where they are made.

use crate::script::play;
use relay::account::{Identity, SenderPattern};
use relay::config::{Listener, ListenerTls, VirtualServer};
use relay::gate::{self, CertificateIdentity, Client, Means, PeerName, TlsIdentity, Verdict};
use smtp::address::Domain;
use smtp::command::Command;
use smtp::reply::Reply;
use smtp::sasl::Mechanism;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

struct Peer {
    address: IpAddr,
    listener: usize,
    name: PeerName,
    tls: bool,
    old_tls: bool,
    means: Means,
    certificate: Option<([u8; 32], Vec<Box<str>>)>,
    identity: Option<Identity>,
    why: bool,
}

impl Default for Peer {
    fn default() -> Peer {
        Peer {
            address: Ipv4Addr::UNSPECIFIED.into(),
            listener: 0,
            name: PeerName::NotAsked,
            tls: false,
            old_tls: false,
            means: Means { nt_hashes: true, tickets: true, tokens: true },
            certificate: None,
            identity: None,
            why: false,
        }
    }
}

impl Peer {
    fn client(&self, server: &VirtualServer) -> Client<'_> {
        let certificate = self.certificate.as_ref();
        let certificate = certificate.map(|(sha256, names)| CertificateIdentity { sha256, names, subject: "CN=x" });
        let anywhere = Listener {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 25),
            tls: ListenerTls::Plain,
            authentication_required: false,
        };
        Client {
            address: self.address,
            listener: server.general.listen.get(self.listener).copied().unwrap_or(anywhere),
            name: &self.name,
            tls: self.tls.then_some(TlsIdentity { certificate, exporter: !self.old_tls }),
            identity: self.identity.as_ref(),
            helo: None,
        }
    }
}

#[test]
fn scripts() {
    play("gate", answer);
}

fn answer(server: &VirtualServer, peer: &mut Peer, line: &str) -> Option<String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "connect" => return Some(connect(server, peer, rest)),
        "why" => peer.why = true,
        "tls" => (peer.tls, peer.old_tls) = (true, rest == "1.2"),
        "means" => {
            let has = |word: &str| rest.split(' ').any(|has| has == word);
            peer.means = Means { nt_hashes: has("hashes"), tickets: has("tickets"), tokens: has("tokens") };
        }
        "certificate" => {
            let mut sha256 = [0; 32];
            sha256[..rest.len()].copy_from_slice(rest.as_bytes());
            peer.tls = true;
            peer.certificate = Some((sha256, vec![rest.into()]));
        }
        "logon" => {
            let may_send_as = rest.split_whitespace().map(|text| SenderPattern::parse(text).unwrap()).collect();
            peer.identity = Some(Identity { account: "anna".into(), mechanism: Mechanism::Plain, may_send_as });
        }
        "AUTH" => {
            let mechanism = Mechanism::parse(rest).unwrap();
            return Some(told(&gate::auth(server, peer.means, &peer.client(server), mechanism), peer.why));
        }
        "EHLO" => {
            let offered = gate::offered(server, peer.means, &peer.client(server));
            let list = |list: &[Mechanism]| list.iter().map(|method| format!(" {method}")).collect::<String>();
            return Some(format!("now:{}; under TLS:{}", list(&offered.now), list(&offered.under_tls)));
        }
        _ => return Some(address(server, peer, line)),
    }
    None
}

fn connect(server: &VirtualServer, peer: &mut Peer, rest: &str) -> String {
    let mut words = rest.split_whitespace();
    let name = if gate::needs_name(server) { PeerName::None } else { PeerName::NotAsked };
    *peer = Peer { address: words.next().unwrap().parse().unwrap(), name, why: peer.why, ..Peer::default() };
    let mut open = 0;
    while let Some(word) = words.next() {
        match word {
            "at" => peer.listener = words.next().unwrap().parse().unwrap(),
            "with" => open = words.next().unwrap().parse().unwrap(),
            "open" => {}
            "named" => {
                peer.name = match words.next().unwrap() {
                    "unconfirmed" => PeerName::Unconfirmed,
                    "none" => PeerName::None,
                    "unanswered" => PeerName::Unanswered,
                    "unasked" => PeerName::NotAsked,
                    name => PeerName::Confirmed(Domain::parse(name).unwrap()),
                }
            }
            other => panic!("{other}"),
        }
    }
    let room = gate::room(server, open);
    if !room.is_yes() {
        return told(&room, peer.why);
    }
    told(&gate::connect(server, &peer.client(server)), peer.why)
}

fn address(server: &VirtualServer, peer: &Peer, line: &str) -> String {
    let octets = line.replace('␀', "\0");
    let client = peer.client(server);
    match Command::parse(octets.as_bytes(), &server.default_domain.name) {
        Ok(Command::Mail(mail)) => told(&gate::sender(server, &client, &mail.sender), peer.why),
        Ok(Command::Rcpt(rcpt)) => told(&gate::recipient(server, &client, &rcpt.recipient), peer.why),
        Ok(other) => panic!("{line:?} is {other:?}"),
        Err(error) => {
            let Reply { code, status, .. } = error.reply();
            format!("{code} {} by the grammar", status.map(|status| status.to_string()).unwrap_or_default())
        }
    }
}

fn told(verdict: &Verdict<'_>, why: bool) -> String {
    let outcome = verdict.outcome.as_ref().map_or_else(Reply::one_line, |()| "ok".to_owned());
    if !why {
        return outcome;
    }
    let because = &verdict.because;
    let place = because.place().map_or("default".to_owned(), |place| format!("line {}", place.line));
    format!("{outcome} — {} = {} ({place}): {}", because.setting, because.value, because.words)
}

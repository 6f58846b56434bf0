//! Plays the scripts of `tests/gate`.
//!
//! `connect ADDRESS [with N open]` names the peer, `logon` makes it one who has proved who it is, a `MAIL` or `RCPT` line is read by the real
//! grammar and judged by the gate. `␀` in a line stands for NUL. Of the grammar's refusals only the codes are kept: its
//! words are tested where they are made.

use crate::script::play;
use relay::config::VirtualServer;
use relay::gate;
use smtp::command::Command;
use smtp::reply::Reply;
use std::net::{IpAddr, Ipv4Addr};

struct Peer {
    address: IpAddr,
    authenticated: bool,
}

impl Default for Peer {
    fn default() -> Peer {
        Peer { address: Ipv4Addr::UNSPECIFIED.into(), authenticated: false }
    }
}

#[test]
fn scripts() {
    play("gate", answer);
}

fn answer(server: &VirtualServer, peer: &mut Peer, line: &str) -> Option<String> {
    if let Some(rest) = line.strip_prefix("connect ") {
        let (address, open) = rest.split_once(" with ").unwrap_or((rest, "0 open"));
        let open = open.strip_suffix(" open").unwrap().parse().unwrap();
        *peer = Peer { address: address.parse().unwrap(), authenticated: false };
        return Some(verdict(gate::connect(server, open)));
    }
    if line == "logon" {
        peer.authenticated = true;
        return None;
    }
    let octets = line.replace('␀', "\0");
    Some(match Command::parse(octets.as_bytes(), &server.default_domain.name) {
        Ok(Command::Mail(mail)) => verdict(gate::sender(server, peer.address, peer.authenticated, &mail.sender)),
        Ok(Command::Rcpt(rcpt)) => verdict(gate::recipient(server, peer.address, peer.authenticated, &rcpt.recipient)),
        Ok(other) => panic!("{line:?} is {other:?}"),
        Err(error) => {
            let Reply { code, status, .. } = error.reply();
            format!("{code} {} by the grammar", status.map(|status| status.to_string()).unwrap_or_default())
        }
    })
}

fn verdict(verdict: Result<(), Reply>) -> String {
    verdict.map_or_else(|reply| reply.one_line(), |()| "ok".to_owned())
}

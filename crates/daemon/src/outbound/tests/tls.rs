//! TLS towards next hops: each policy against each kind of server. Where a policy forbids clear text, none is ever spoken.

use super::identities::{BAD, terms};
use super::*;
use crate::dns::fake::{A, Say, a};
use relay::config::terms::{Terms, TlsPolicy};
use relay::record::Level;
use std::io::Write;
use std::sync::Mutex;

const ALL: [TlsPolicy; 4] = [TlsPolicy::None, TlsPolicy::Opportunistic, TlsPolicy::Required, TlsPolicy::Verified];

/// A greeting and EHLO that offers STARTTLS, and the client's STARTTLS.
fn offer() -> String {
    greet(&["STARTTLS"]) + "C: STARTTLS\n"
}

/// The same, and a handshake with this certificate, and EHLO under TLS.
pub(super) fn secured(identity: &str) -> String {
    offer() + "S: 220 go\nT: " + identity + "\n" + HELLO
}

pub(super) const HELLO: &str = "C: EHLO relay.test\nS: 250-peer.test\nS: 250 ENHANCEDSTATUSCODES\n";

pub(super) fn on(terms: Terms, hosts: &[SocketAddr]) -> Arc<NextHop> {
    let hosts = Hosts::Listed(hosts.iter().copied().map(host_port).collect());
    Arc::new(NextHop { terms: Arc::new(terms), ..NextHop::plain(hosts, Protocol::Esmtp) })
}

/// A log that can be read.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One message on these terms to one server, which follows a script for each connection: what the queue hears, what the server
/// has seen, and the log.
async fn send(terms: Terms, scripts: &[&str]) -> (String, Vec<String>, String) {
    let (peer, address) = Peer::at("127.0.0.1:0".parse().unwrap(), scripts);
    let lines = Lines::default();
    let (log, flush) = Log::start(Level::Debug, Clock::start(), Box::new(lines.clone())).unwrap();
    let mut site = Site::start();
    let server = (*site.outbound.shared.server).clone();
    site = Site::logging(&server, &no_dns(), log);
    site.connect(1, message("to@there.test", CONTENT, &on(terms, &[address])));
    site.quit(1);
    let story = site.story().await;
    flush.flush();
    let log = lines.text();
    peer.ended().await;
    let seen = peer.seen();
    (story, seen.lines.clone(), log)
}

fn mail_in_clear(lines: &[String]) -> bool {
    let clear = lines.iter().take_while(|line| *line != "(TLS)");
    clear.into_iter().any(|line| line.starts_with("MAIL") || line.starts_with("AUTH"))
}

#[tokio::test]
async fn where_tls_works_it_is_used_and_told() {
    for tls in ALL {
        let script = if tls == TlsPolicy::None { greet(&["STARTTLS"]) } else { secured("good") } + TAKE + BYE;
        let (story, lines, log) = send(terms(tls), &[&script]).await;
        let channel = match tls {
            TlsPolicy::None => "",
            TlsPolicy::Verified => " [TLSv1.3 name]",
            _ => " [TLSv1.3 unchecked]",
        };
        assert_eq!(story, format!("attempted: 0=ok(250 2.0.0 taken){channel}\nclosed"), "{tls:?}");
        assert_eq!(mail_in_clear(&lines), tls == TlsPolicy::None, "{lines:?}");
        assert!(!log.contains("in_clear"), "{log}");
    }
}

#[tokio::test]
async fn tls_from_the_first_octet() {
    let script = "T: good\n".to_owned() + &greet(&["STARTTLS"]) + TAKE + BYE;
    let (story, ..) = send(terms(TlsPolicy::Implicit), &[&script]).await;
    assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken) [TLSv1.3 name]\nclosed");
    let (story, lines, _) = send(terms(TlsPolicy::Implicit), &["T: unknown"]).await;
    assert_eq!((&*story, &lines[..]), ("closed: 0=Tls 4.7.5", &["(no TLS)".to_owned()][..]));
    // A server that speaks in the clear where TLS should begin.
    let (story, lines, _) = send(terms(TlsPolicy::Implicit), &["S: 220 peer.test ready"]).await;
    assert_eq!((&*story, lines.len()), ("closed: 0=Tls 4.7.5", 0));
}

/// Servers with which there is no TLS, each for its own reason; what becomes of the message under each policy.
#[tokio::test]
async fn without_tls_nothing_is_said_that_needs_it() {
    let not_offered = greet(&[]);
    let refused = offer() + "S: 454 4.7.0 not now\n";
    let refused_for_good = offer() + "S: 554 5.7.0 never\n";
    let no_handshake = offer() + "S: 220 go\nN: 100\nS: 500 what?\nX:";
    let cut = offer() + "S: 220 go\nX:";
    let (take, clear) = (TAKE.to_owned() + BYE, greet(&["STARTTLS"]) + TAKE + BYE);
    for (fault, again, status) in [
        (&not_offered, None, "4.7.4"),
        (&refused, None, "4.7.4"),
        (&refused_for_good, None, "4.7.4"),
        (&no_handshake, Some(&clear), "4.7.5"),
        (&cut, Some(&clear), "4.7.5"),
    ] {
        for tls in [TlsPolicy::Required, TlsPolicy::Verified] {
            let (story, lines, _) = send(terms(tls), &[fault]).await;
            assert_eq!(story, format!("closed: 0=Tls {status}"), "{tls:?} {fault}");
            assert!(!mail_in_clear(&lines), "{lines:?}");
        }
        let first = if again.is_none() { fault.clone() + &take } else { fault.clone() };
        let scripts: Vec<&str> = std::iter::once(&first).chain(again).map(String::as_str).collect();
        let (story, _, log) = send(terms(TlsPolicy::Opportunistic), &scripts).await;
        assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken)\nclosed", "{fault}");
        assert_eq!(log.contains("in_clear host="), fault != &not_offered, "{fault}: {log}");
    }
}

/// In clear text once, and not again and again.
#[tokio::test]
async fn the_fall_back_has_an_end() {
    let no_handshake = offer() + "S: 220 go\nX:";
    let (story, lines, _) = send(terms(TlsPolicy::Opportunistic), &[&no_handshake, "S: 421 busy\nX:"]).await;
    assert_eq!(story, "closed: 0=Refused 4.3.2");
    assert_eq!(lines.len(), 2, "{lines:?}");
}

/// CVE-2011-0411 from this side: whatever the policy, what somebody slipped in is not taken for the server's word.
#[tokio::test]
async fn what_is_slipped_in_before_the_handshake_ends_the_session() {
    for tls in [TlsPolicy::Opportunistic, TlsPolicy::Required, TlsPolicy::Verified] {
        let script = offer() + "S: 220 go\\r\\n250 queued\nE:";
        let (story, lines, _) = send(terms(tls), &[&script]).await;
        assert_eq!(story, "closed: 0=Tls 4.7.5", "{tls:?}");
        assert!(!mail_in_clear(&lines), "{lines:?}");
    }
}

#[tokio::test]
async fn bad_certificates_under_each_policy() {
    for (identity, words) in BAD {
        for tls in [TlsPolicy::Opportunistic, TlsPolicy::Required] {
            let (story, ..) = send(terms(tls), &[&(secured(identity) + TAKE + BYE)]).await;
            assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken) [TLSv1.3 unchecked]\nclosed", "{identity} {tls:?}");
        }
        for tls in [TlsPolicy::Verified, TlsPolicy::Implicit] {
            let script = if tls == TlsPolicy::Implicit { format!("T: {identity}") } else { secured(identity) };
            let (peer, address) = Peer::at("127.0.0.1:0".parse().unwrap(), &[&script]);
            let mut site = Site::start();
            site.connect(1, message("to@there.test", CONTENT, &on(terms(tls), &[address])));
            let event = site.raw_event().await;
            assert_eq!(show(&event), "closed: 0=Tls 4.7.5", "{identity} {tls:?}");
            let Event::Closed { unsent: Some((_, failures)), .. } = event else { panic!() };
            assert!(failures[0].1.text.contains(words), "{identity}: {}", failures[0].1.text);
            assert!(peer.lines().iter().all(|line| !line.starts_with("MAIL")));
        }
    }
}

/// A server that takes the call and then nothing: the handshake has an end.
#[tokio::test(start_paused = true)]
async fn a_handshake_has_an_end() {
    let script = offer() + "S: 220 go\nH:";
    let peer = Peer::start(&[&script]);
    let mut site = Site::start();
    let terms = terms(TlsPolicy::Required);
    let hop = NextHop { terms: Arc::new(terms), ..(*peer.hop()).clone() };
    let began = tokio::time::Instant::now();
    site.connect(1, message("to@there.test", CONTENT, &Arc::new(hop)));
    assert_eq!(site.story().await, "closed: 0=Tls 4.7.5");
    assert!(began.elapsed() < Duration::from_secs(62), "{:?}", began.elapsed());
}

/// Nobody asks for TLS over a socket of this machine, unless the operator does.
#[tokio::test]
async fn a_socket_of_this_machine_needs_no_tls() {
    for (tls, script) in [
        (TlsPolicy::Opportunistic, greet(&["STARTTLS"])),
        (TlsPolicy::Required, secured("good")),
        (TlsPolicy::Verified, secured("good")),
    ] {
        let peer = Peer::start(&[&(script + TAKE + BYE)]);
        let mut site = Site::start();
        let hop = NextHop { terms: Arc::new(terms(tls)), ..(*peer.hop()).clone() };
        site.connect(1, message("to@there.test", CONTENT, &Arc::new(hop)));
        site.quit(1);
        assert!(site.story().await.contains("ok(250 2.0.0 taken)"));
        drop(peer.seen());
    }
}

/// Message after message over one channel, small and large, by DATA and by BDAT: not an octet is lost or changed.
#[tokio::test]
async fn messages_come_through_whole() {
    for chunking in [false, true] {
        let extensions = if chunking { "S: 250-CHUNKING\nS: 250-PIPELINING\n" } else { "S: 250-PIPELINING\n" };
        let take = if chunking { "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nB:\nS: 250 2.0.0 taken\n" } else { TAKE };
        let hello = HELLO.replace("S: 250 ENH", &(extensions.to_owned() + "S: 250 ENH"));
        let script = offer() + "S: 220 go\nT: good\n" + &hello + &take.repeat(3) + BYE;
        let (peer, address) = Peer::at("127.0.0.1:0".parse().unwrap(), &[&script]);
        let mut site = Site::start();
        let hop = on(terms(TlsPolicy::Verified), &[address]);
        let large = format!("Subject: large\r\n\r\n{}", ".a line that begins with a dot\r\n".repeat(40_000));
        let contents = [CONTENT, &large, CONTENT];
        for (number, content) in contents.iter().enumerate() {
            let parcel = message("to@there.test", content, &hop);
            if number == 0 {
                site.connect(1, parcel);
            } else {
                site.deliver(1, parcel);
            }
            assert_eq!(site.event().await, "attempted: 0=ok(250 2.0.0 taken) [TLSv1.3 name]");
        }
        site.quit(1);
        assert_eq!(site.event().await, "closed");
        let seen = peer.seen();
        for (content, got) in contents.iter().zip(&seen.contents) {
            let dotted = content.replace("\r\n.", "\r\n..") + ".\r\n";
            let sent = if chunking { *content } else { &dotted };
            assert!(got == sent.as_bytes(), "{} octets instead of {}", got.len(), sent.len());
        }
    }
}

/// A reload begins with fresh files and no sessions.
#[tokio::test]
async fn a_file_that_cannot_be_read_holds_the_mail_whatever_the_policy() {
    let broken = Terms { authorities: Some("/nowhere/ca.pem".into()), ..terms(TlsPolicy::Verified) };
    let (story, lines, _) = send(broken, &[&(offer() + "S: 220 go\nX:")]).await;
    assert_eq!(story, "closed: 0=Tls 4.3.5");
    assert!(!mail_in_clear(&lines));
    let pem = relay::config::CertificateSource::Pem { file: "/nowhere/c.pem".into(), key: "/nowhere/k.pem".into() };
    let broken = Terms { certificate: Some(pem), ..terms(TlsPolicy::Opportunistic) };
    let (story, lines, log) = send(broken, &[&(offer() + "S: 220 go\nX:")]).await;
    assert_eq!(story, "closed: 0=Tls 4.3.5");
    assert!(!mail_in_clear(&lines) && !log.contains("in_clear"), "{log}");
}

/// REQUIRETLS: to a host that has proved who it is and that passes the demand on, and to no other; the next one may be one.
#[tokio::test]
async fn what_demands_tls_goes_to_no_host_that_does_not_know_the_demand() {
    let promises = "C: EHLO relay.test\nS: 250-peer.test\nS: 250-REQUIRETLS\nS: 250 ENHANCEDSTATUSCODES\n";
    let with = |hello: &str, rest: &str| offer() + "S: 220 go\nT: good\n" + hello + rest;
    let take = TAKE.replace("C: MAIL FROM:", "C: MAIL FROM:<from@here.test> REQUIRETLS");
    let good = with(promises, &(take.clone() + BYE));
    let ignorant = with(HELLO, "");
    let dns = FakeDns::start(|q| match (q.name.as_str(), q.kind) {
        ("peer.test", A) => Say::Records(vec![a("127.0.0.1")]),
        ("relay.test", A) => Say::Records(vec![a("127.0.0.2")]),
        _ => Say::NoRecords,
    })
    .await;
    for tls in [TlsPolicy::Opportunistic, TlsPolicy::Required, TlsPolicy::Verified] {
        for (scripts, expected) in [
            ([Some(&good), None], "attempted: 0=ok(250 2.0.0 taken) [TLSv1.3 name]\nclosed"),
            ([Some(&ignorant), Some(&good)], "attempted: 0=ok(250 2.0.0 taken) [TLSv1.3 name]\nclosed"),
            ([Some(&ignorant), None], "closed: 0=Unsupported 5.7.30"),
        ] {
            let (mut peers, mut hosts) = (Vec::new(), Vec::new());
            for (host, script) in scripts.iter().flatten().enumerate() {
                let ip = [127, 0, 0, u8::try_from(host).unwrap() + 1];
                let (peer, address) = Peer::at(SocketAddr::from((ip, 0)), &[script]);
                peers.push(peer);
                let name = smtp::address::Domain::parse(["peer.test", "relay.test"][host]).unwrap();
                hosts.push(HostPort { host: Host::Name(name), port: address.port() });
            }
            let mut site = Site::with_dns(&dns);
            let hop = NextHop { terms: Arc::new(terms(tls)), ..NextHop::plain(Hosts::Listed(hosts), Protocol::Esmtp) };
            let parcel = super::with(message("to@there.test", CONTENT, &Arc::new(hop)), |e| e.require_tls = true);
            site.connect(1, parcel);
            site.quit(1);
            assert_eq!(site.story().await, expected, "{tls:?}");
            for peer in &peers {
                assert!(!mail_in_clear(&peer.lines()));
            }
        }
    }
}

//! The door's times and places, by a clock that jumps: nobody who says nothing, or takes too long, holds anything for long.

use super::door::Way;
use super::*;
use crate::auth::Passwords;
use crate::control::Orders;
use crate::control::http::{HEAD_WITHIN, converse};
use crate::service::ConfigFile;
use relay::admin::{Command, Operator, Role, Scope};
use smtp::time::Timestamp;
use std::net::{IpAddr, Ipv4Addr};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

/// A console, and the orders to a service's loop that does nothing.
struct House {
    console: Console,
    control: Control,
    _orders: Orders,
    _folder: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(Timestamp(1_800_000_000_000));
        let operators = Operators::open(folder.path(), Passwords::new(1), Log::nowhere(), clock.clone());
        let file = ConfigFile::new(&folder.path().join("mailroot.toml"));
        let (control, orders) = Control::new(&file, folder.path(), &clock, operators);
        let console = Console::new(&control, folder.path(), &Log::nowhere(), &clock);
        console.web.shared.rules.write().unwrap().enabled = true;
        House { console, control, _orders: orders, _folder: folder }
    }

    /// Somebody has come in.
    fn visit(&self) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        let way = Way { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 8025, secure: false };
        tokio::spawn(converse(theirs, app(&self.console.web), way));
        ours
    }

    async fn token(&self) -> String {
        let root = Operator { name: "unix:root".into(), role: Role::Administrator, scope: Scope::All };
        let new = Command::TokenNew { name: "backup".into(), role: Role::Auditor, scope: Scope::All, days: 1 };
        self.control.execute(&root, "socket", new, false).await.unwrap().secret.unwrap()
    }
}

/// All that is said until the end, and how long that took.
async fn heard(stream: &mut DuplexStream, since: Instant) -> (String, Duration) {
    let mut octets = Vec::new();
    // Whoever is cut off in the middle hears nothing.
    let _ = stream.read_to_end(&mut octets).await;
    (String::from_utf8(octets).unwrap(), since.elapsed())
}

fn is_about(took: Duration, bound: Duration) -> bool {
    (bound..bound + Duration::from_secs(2)).contains(&took)
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_whole_is_not_waited_for() {
    let house = House::new();
    for said in ["", "GET /log-on HTTP/1.1\r\nHost: 127.0.0.1\r\nX-", "GET /log-on HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
    {
        let (mut stream, since) = (house.visit(), Instant::now());
        stream.write_all(said.as_bytes()).await.unwrap();
        let (told, took) = heard(&mut stream, since).await;
        assert!(is_about(took, HEAD_WITHIN), "{said:?}: {took:?}");
        // After an answer a connection may be quiet for as long.
        assert_eq!(told.starts_with("HTTP/1.1 200"), said.ends_with("\r\n\r\n"), "{said:?}: {told}");
    }
    // One letter at a time is no way to stay longer.
    let (mut stream, since) = (house.visit(), Instant::now());
    let letters = "GET /log-on HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ".chars().chain(std::iter::repeat('x'));
    for letter in letters {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if stream.write_all(letter.to_string().as_bytes()).await.is_err() {
            break;
        }
        assert!(since.elapsed() < HEAD_WITHIN * 3, "it goes on and on");
    }
    assert!(is_about(since.elapsed(), HEAD_WITHIN), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_answered_all_the_same() {
    let house = House::new();
    // A body that does not come.
    let (mut stream, since) = (house.visit(), Instant::now());
    let head = "POST /log-on HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 40\r\n\r\nname=";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (told, took) = heard(&mut stream, since).await;
    assert!(is_about(took, ANSWER_WITHIN), "{took:?}");
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("took too long"), "{told}");
    // A service's loop that does not answer.
    let token = house.token().await;
    let (mut stream, since) = (house.visit(), Instant::now());
    let ask = format!(
        "GET /api/v1/servers HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let (told, took) = heard(&mut stream, since).await;
    assert!(is_about(took, ANSWER_WITHIN), "{took:?}");
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("application/problem+json"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn heads_and_bodies_are_bounded() {
    let house = House::new();
    // (What came with the octet at the bound is read as well.)
    let long = "x".repeat(3 * crate::control::http::HEAD_OCTETS_MAX);
    let many = (0..=crate::control::http::HEADERS_MAX).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let large = "x".repeat(3 * BODY_MAX);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (what, head, status) in [
        ("a long head", format!("GET /log-on HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {long}\r\n\r\n"), 431),
        ("many fields", format!("GET /log-on HTTP/1.1\r\nHost: 127.0.0.1\r\n{many}\r\n"), 431),
        ("a long address", format!("GET /{long} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), 431),
        (
            "a large form",
            format!("POST /log-on HTTP/1.1\r\nHost: 127.0.0.1\r\n{form}Content-Length: 99999999\r\n\r\n{large}"),
            400,
        ),
    ] {
        let mut stream = house.visit();
        let _ = stream.write_all(head.as_bytes()).await;
        let (told, _) = heard(&mut stream, Instant::now()).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {told}");
    }
}

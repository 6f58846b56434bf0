//! The door's places and the log-on's lock, from outside: who takes all he can get keeps nobody else out, and nothing of it touches mail.

use super::{audit, opened};
use crate::harness::client::Client;
use crate::harness::console::{Ask, PASSWORD, log_on};
use crate::harness::{SOON, Site, until};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};

/// As `daemon::web::CONNECTIONS_MAX`.
const CONNECTIONS_MAX: usize = 512;

/// Has the other side closed it?
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Has the answer come, and does it begin like this?
fn begins(stream: &TcpStream, with: &[u8]) -> bool {
    let mut begin = vec![0; with.len()];
    stream.set_nonblocking(true).unwrap();
    stream.peek(&mut begin).is_ok_and(|read| read == with.len()) && begin == with
}

#[test]
fn one_connection_too_many_is_closed_and_mail_goes_on() {
    let site = Site::new();
    let (relay, root) = opened(&site);
    // All from this machine, where a proxy may sit: there is no less room for one of them than for all.
    let held: Vec<TcpStream> = (0..CONNECTIONS_MAX + 8).map(|_| TcpStream::connect(root.at).unwrap()).collect();
    until(SOON, "those too many are closed", || (held.iter().filter(|one| is_closed(one)).count() >= 8).then_some(()));
    // (Who was there before may have gone only now; so one or the other place more is taken, and none is given twice.)
    let closed = held.iter().filter(|one| is_closed(one)).count();
    assert!((8..16).contains(&closed), "{closed}");
    assert_eq!(Client::greet(relay.at).say("NOOP").code, 250);
    drop(held);
    let page = until(SOON, "there is room again", || {
        let mut octets = String::new();
        let ask = root.get("/");
        // Until the others have gone it is closed at once.
        ask.begin().read_to_string(&mut octets).ok().filter(|_| octets.starts_with("HTTP/1.1 200"))
    });
    assert!(page > 0);
}

#[test]
fn guesses_lock_the_name_and_their_own_address_but_not_whom_is_known() {
    let site = Site::new();
    let (_relay, root) = opened(&site);
    let (guesser, stranger, other) =
        (Ipv4Addr::new(127, 250, 0, 1), Ipv4Addr::new(127, 250, 0, 2), Ipv4Addr::new(127, 250, 0, 3));
    let log_on_as = |name: &str, password: &str, from: Ipv4Addr| {
        Ask::new(root.at, "POST", "/log-on").form(&[("name", name), ("password", password)]).from(from)
    };
    // Answers to guesses are slower each time; only what is not looked at any more is answered at once.
    let guess = |name: &str, from| {
        let guesses: Vec<_> = (0..14).map(|_| log_on_as(name, "a wrong guess", from).begin()).collect();
        until(SOON, "a guess too many", || guesses.iter().any(|guess| begins(guess, b"HTTP/1.1 429")).then_some(()));
        guesses
    };
    let _guesses = guess("administrator", guesser);
    // Where he has never been, his name is shut; so it is for whoever guessed.
    let shut = |name: &str, password: &str, from| {
        let answer = log_on_as(name, password, from).send();
        (answer.status == 429 && answer.body.contains("try again in some minutes")).then_some(())
    };
    assert!(shut("administrator", PASSWORD, stranger).is_some());
    assert!(shut("Administrator", PASSWORD, stranger).is_some(), "however it is written");
    assert!(shut("somebody else", PASSWORD, guesser).is_some(), "the guesser's address");
    // Where he has logged on before, no stranger's guess keeps him out; and those who are in stay in.
    log_on(root.at, "administrator");
    assert_eq!(root.get("/").send().status, 200);
    // A name that nobody has is treated alike.
    let nobody = log_on_as("nobody", PASSWORD, other).send();
    assert_eq!(nobody.status, 403);
    let _more = guess("nobody", Ipv4Addr::new(127, 250, 0, 4));
    assert!(shut("nobody", PASSWORD, stranger).is_some());
    let told = audit(&root).iter().any(|record| record["outcome"] == "refused" && record["from"] == "127.250.0.1");
    assert!(told, "{:?}", audit(&root));
    // The link of an administrator lets him in from where he is.
    let invited = root.command(&serde_json::json!({"command": "operator_invite", "name": "administrator"})).json();
    let link = invited["secret"].as_str().unwrap();
    let form = [("password", PASSWORD), ("again", PASSWORD)];
    let accepted = Ask::new(root.at, "POST", &link[link.find("/invite/").unwrap()..]).form(&form).from(stranger).send();
    assert_eq!(accepted.status, 303, "{accepted:?}");
    assert_eq!(log_on_as("administrator", PASSWORD, stranger).send().status, 303);
}

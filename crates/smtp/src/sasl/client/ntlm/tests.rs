//! The published example of NTLMv2 ([MS-NLMP] §4.2.4), our own server as the other side, and challenges of every kind.

use super::*;
use crate::sasl::ntlm::{Acceptor, NtlmFault};
use crate::sasl::scram::Bindings;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}

const END_POINT: &[u8] = b"the hash of a certificate";
const NOW: u64 = 0x01da_0000_0000_0000;

fn fresh() -> Fresh {
    let mut chance = [0xaa; 24];
    chance[8..].fill(0x55);
    Fresh { chance, filetime: NOW }
}

fn client(name: &str, domain: Option<&str>, password: &str, end_point: Option<&[u8]>) -> Client {
    let password = Secret::new(password.as_bytes().to_vec());
    let bindings = Bindings { exporter: None, server_end_point: end_point };
    let channel = Channel { host: "mx.corp.example", bindings, plus_offered: false };
    Client::new(Account { name, domain, password: &password }, channel, &fresh()).unwrap()
}

#[test]
fn the_published_example() {
    let ours = Ours { key: owner_key(&nt_hash("Password"), "User", "Domain"), nonce: [0xaa; 8] };
    assert_eq!(ours.key.to_vec(), hex("0c868a403bfd7a93a3001ef22ef02e3f"));
    let nonce = hex("0123456789abcdef").try_into().unwrap();
    let info = hex("02000c00 44006f006d00610069006e00 01000c00 530065007200760065007200 00000000");
    let (response, base) = ours.respond(nonce, 0, &info);
    assert_eq!(response[..16], hex("68cd0ab851e51c96aabc927bebef6a1c"));
    assert_eq!(
        response[16..],
        hex("01010000 00000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000 02000c00 44006f006d00610069006e00
             01000c00 530065007200760065007200 00000000 00000000")
    );
    assert_eq!(base.to_vec(), hex("8de40ccadbc14a82f15cb0ad0de95ca3"));
    assert_eq!(ours.respond_as_lm(nonce), hex("86c35097ac9cec102554764a57cccc19 aaaaaaaaaaaaaaaa"));
    let (key, sent) = client("User", Some("Domain"), "Password", None).session_key(ASKED, &base);
    assert_eq!((key.to_vec(), sent), (vec![0x55; 16], hex("c5dad2544fc9799094ce1ce90bc9d03e")));
}

/// The challenge of the example (§4.2.4.3): no time in it, so no code over the messages.
#[test]
fn a_server_that_does_not_say_the_time() {
    let challenge =
        hex("4e544c4d53535000 02000000 0c000c0038000000 33828ae2 0123456789abcdef 0000000000000000 2400240044000000
         0600701700 00000f 53006500720076006500720002000c0044006f006d00610069006e0001000c005300650072007600650072000000
         0000");
    let mut example = client("User", Some("Domain"), "Password", Some(END_POINT));
    example.fresh.filetime = 0;
    let message = example.respond(&challenge).unwrap();
    let fields = Fields::read(&message, 3).unwrap();
    assert_eq!(fields.payload(12).unwrap(), hex("86c35097ac9cec102554764a57cccc19 aaaaaaaaaaaaaaaa"));
    assert_eq!(fields.payload(20).unwrap()[..16], hex("68cd0ab851e51c96aabc927bebef6a1c"));
    assert_eq!(fields.payload(28).unwrap(), utf16("Domain"));
    assert_eq!(fields.payload(36).unwrap(), utf16("User"));
    assert_eq!(fields.payload(52).unwrap(), hex("c5dad2544fc9799094ce1ce90bc9d03e"));
    assert_eq!(message[CODE], [0; 16]);
}

fn outcome(mut client: Client, password: &str, end_point: Option<&[u8]>) -> Result<(), NtlmFault> {
    let (acceptor, challenge) = Acceptor::challenge(&client.negotiate(), "mx.corp.example", *b"8 octets", NOW).unwrap();
    let claim = acceptor.read(&client.respond(&challenge).unwrap()).unwrap();
    assert_eq!((&*claim.user, &*claim.domain), (&*client.user, &*client.domain));
    assert_eq!(client.respond(&challenge), Err(ClientFault::Unasked));
    claim.judge(&nt_hash(password), end_point)
}

#[test]
fn our_own_server_is_content() {
    for (name, domain) in
        [("alice", None), ("CORP\\alice", None), ("alice", Some("CORP")), ("alice@corp.example", None)]
    {
        for end_point in [None, Some(END_POINT)] {
            let client = || client(name, domain, "s3crét", end_point);
            assert_eq!(outcome(client(), "s3crét", end_point), Ok(()));
            assert_eq!(outcome(client(), "s3cret", end_point), Err(NtlmFault::Wrong));
        }
    }
    let bound = || client("alice", None, "s3cret", Some(END_POINT));
    assert_eq!(outcome(bound(), "s3cret", Some(b"another")), Err(NtlmFault::Channel));
    assert_eq!(outcome(bound(), "s3cret", None), Err(NtlmFault::Channel));
    assert_eq!(outcome(client("alice", None, "s3cret", None), "s3cret", Some(END_POINT)), Ok(()));
}

#[test]
fn the_code_covers_all_three_messages() {
    let mut alice = client("alice", None, "s3cret", None);
    let (acceptor, challenge) = Acceptor::challenge(&alice.negotiate(), "mx.corp.example", *b"8 octets", NOW).unwrap();
    let mut message = alice.respond(&challenge).unwrap();
    // A flag that nothing else covers.
    message[60] ^= 0x10;
    assert_eq!(acceptor.read(&message).unwrap().judge(&nt_hash("s3cret"), None), Err(NtlmFault::Wrong));
}

#[test]
fn names_and_passwords_that_cannot_be_said() {
    let empty = Secret::new(Vec::new());
    let good = Secret::new(b"x".to_vec());
    let octets = Secret::new(vec![0xff]);
    for (name, domain, password) in [
        ("alice", None, &empty),
        ("alice", None, &octets),
        ("", None, &good),
        ("CORP\\", None, &good),
        ("a\nb", None, &good),
        ("alice", Some("a\0b"), &good),
    ] {
        assert!(Client::new(Account { name, domain, password }, Channel::default(), &fresh()).is_err(), "{name:?}");
    }
}

/// Chance from a seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 8).unwrap()
    }
}

#[test]
fn a_strangers_challenge_never_panics_and_gives_nothing_away() {
    let alice = client("alice", None, "s3cret", None);
    let (_, good) = Acceptor::challenge(&alice.negotiate(), "mx.corp.example", *b"8 octets", NOW).unwrap();
    let attempt = |challenge: &[u8]| {
        if let Ok(answer) = client("alice", None, "s3cret", None).respond(challenge) {
            assert!(answer.starts_with(SIGNATURE) && answer.len() < 2 * MESSAGE_MAX);
            assert!(!answer.windows(12).any(|window| window == utf16("s3cret")));
        }
    };
    for at in 0..good.len() {
        attempt(&good[..at]);
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut challenge = good.clone();
            challenge[at] = value;
            attempt(&challenge);
        }
    }
    let mut dice = Dice(0x5eed);
    for _ in 0..4_000 {
        let mut challenge = good.clone();
        for _ in 0..=dice.throw() % 6 {
            let at = dice.throw() % challenge.len();
            challenge[at] = dice.throw().to_le_bytes()[0];
        }
        attempt(&challenge);
    }
    assert!(client("alice", None, "s3cret", None).respond(&[&good[..], &[0; MESSAGE_MAX]].concat()).is_err());
}

//! Each method against its published example, against our own server, and against servers of ill will.

use super::*;
use crate::sasl::scram::{ClientFirst, Form, Keys};
use crate::sasl::{base64, bearer, clear as served};

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

const FRESH: Fresh = Fresh { chance: *b"twenty-four octets of it", filetime: 0 };

fn by_password(mechanism: Mechanism, name: &str, password: &str) -> ClientExchange {
    let account = Account { name, domain: None, password: &secret(password) };
    ClientExchange::by_password(mechanism, account, Channel::default(), &FRESH).unwrap()
}

#[test]
fn plain_and_login() {
    let mut plain = by_password(Mechanism::Plain, "tim", "tanstaaftanstaaf");
    let message = plain.start().unwrap();
    assert_eq!(message, b"\0tim\0tanstaaftanstaaf");
    assert_eq!(&*served::plain(message).unwrap().account, "tim");
    assert_eq!((plain.start(), plain.respond(b""), plain.finish()), (None, Err(ClientFault::Unasked), Ok(())));

    let mut login = by_password(Mechanism::Login, "tim", "tanstaaftanstaaf");
    assert_eq!(login.start(), None);
    // Whatever the server's words are.
    assert_eq!(login.respond(b"Password:"), Ok(b"tim".to_vec()));
    assert_eq!(login.respond(b"User Name\0"), Ok(b"tanstaaftanstaaf".to_vec()));
    for _ in 0..300 {
        assert_eq!(login.respond(b"again?"), Err(ClientFault::Unasked));
    }
}

#[test]
fn the_example_of_rfc_2195() {
    let mut exchange = by_password(Mechanism::CramMd5, "tim", "tanstaaftanstaaf");
    assert_eq!(exchange.start(), None);
    let answer = exchange.respond(b"<1896.697170952@postoffice.reston.mci.net>").unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "tim b913a602c7eda7a495b4e6e7334d3890");
    assert_eq!(exchange.respond(b"<1896.697170952@postoffice.reston.mci.net>"), Err(ClientFault::Unasked));
}

#[test]
fn what_cannot_be_said_is_not() {
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::ScramSha256] {
        for (name, password) in [("", "x"), ("a\0b", "x"), ("a\r\nb", "x"), ("a", ""), ("a", "x\0y")] {
            let account = Account { name, domain: None, password: &secret(password) };
            let made = ClientExchange::by_password(mechanism, account, Channel::default(), &FRESH);
            assert_eq!(made.err(), Some(ClientFault::Unspeakable), "{mechanism} {name:?} {password:?}");
        }
    }
    let account = Account { name: "a", domain: None, password: &secret("x") };
    for mechanism in [Mechanism::Gssapi, Mechanism::External, Mechanism::Xoauth2, Mechanism::ScramSha256Plus] {
        assert!(ClientExchange::by_password(mechanism, account, Channel::default(), &FRESH).is_err(), "{mechanism}");
    }
    for (user, token) in [("", "x"), ("a\x01b", "x"), ("a", ""), ("a", "x\x01auth="), ("a", "x y"), ("a", "x\r\ny")] {
        assert!(ClientExchange::xoauth2(user, &secret(token)).is_err(), "{user:?} {token:?}");
        assert!(ClientExchange::oauthbearer(user, &secret(token), "mx.test", 587).is_err(), "{user:?} {token:?}");
    }
}

#[test]
fn tokens_and_what_servers_say_of_them() {
    let mut xoauth2 = ClientExchange::xoauth2("anna@example.com", &secret("ya29.x=")).unwrap();
    let message = xoauth2.start().unwrap();
    assert_eq!(message, b"user=anna@example.com\x01auth=Bearer ya29.x=\x01\x01");
    assert_eq!(bearer::xoauth2(message).unwrap().user.as_deref(), Some("anna@example.com"));
    assert_eq!(xoauth2.respond(b"{\"status\":\"401\"}\r\n\x1b"), Ok(Vec::new()));
    assert_eq!(xoauth2.complaint(), Some("{\"status\":\"401\"}???"));
    assert_eq!(xoauth2.respond(b""), Err(ClientFault::Unasked));

    let mut bearer = ClientExchange::oauthbearer("a=b,c@example.com", &secret("x"), "mx.test", 587).unwrap();
    let message = bearer.start().unwrap();
    assert_eq!(message, b"n,a=a=3Db=2Cc@example.com,\x01host=mx.test\x01port=587\x01auth=Bearer x\x01\x01");
    assert_eq!(bearer::oauthbearer(message).unwrap().user.as_deref(), Some("a=b,c@example.com"));
    assert_eq!(bearer.complaint(), None);
    assert_eq!(bearer.respond(br#"{"status":"invalid_token"}"#), Ok(b"\x01".to_vec()));

    let mut external = ClientExchange::external("");
    assert_eq!((external.start(), external.respond(b"")), (Some(Vec::new()), Err(ClientFault::Unasked)));
}

const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const LAST: &str =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const PROOF: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// The client of RFC 7677, whose nonce is not in 24 octets.
fn user() -> ClientExchange {
    let mut chance = [0; 24];
    let nonce = base64::decode(b"rOprNGfwEbeRWgbNEkqO").unwrap();
    chance[..nonce.len()].copy_from_slice(&nonce);
    let password = &secret("pencil");
    let account = Account { name: "user", domain: None, password };
    let fresh = Fresh { chance, filetime: 0 };
    let mut exchange =
        ClientExchange::by_password(Mechanism::ScramSha256, account, Channel::default(), &fresh).unwrap();
    if let Method::Scram(client) = &mut exchange.method {
        client.shorten_nonce(nonce.len() / 3 * 4);
    }
    exchange
}

#[test]
fn the_example_of_rfc_7677() {
    let mut exchange = user();
    assert_eq!(exchange.start(), Some(FIRST.as_bytes().to_vec()));
    assert_eq!(
        exchange.respond(CHALLENGE.as_bytes()).map(|last| String::from_utf8(last).unwrap()),
        Ok(LAST.to_owned())
    );
    // 235 without a proof is worth nothing.
    assert_eq!(exchange.finish(), Err(ClientFault::Unproved));
    assert_eq!(exchange.respond(PROOF.as_bytes()), Ok(Vec::new()));
    assert_eq!(exchange.finish(), Ok(()));
    assert_eq!(exchange.respond(PROOF.as_bytes()), Err(ClientFault::Unasked));
    assert_eq!(exchange.finish(), Err(ClientFault::Unproved));
}

#[test]
fn a_server_that_does_not_know_the_account_is_found_out() {
    assert_eq!(user().finish(), Err(ClientFault::Unproved));
    for at in 2..PROOF.len() {
        let mut exchange = user();
        exchange.respond(CHALLENGE.as_bytes()).unwrap();
        let mut proof = PROOF.as_bytes().to_vec();
        proof[at] ^= 4;
        assert!(exchange.respond(&proof).is_err(), "{at}");
        assert_eq!(exchange.finish(), Err(ClientFault::Unproved), "{at}");
    }
    for (said, fault) in [
        ("", ClientFault::Malformed),
        ("v=", ClientFault::Unproved),
        ("v=AAAA", ClientFault::Unproved),
        ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4", ClientFault::Malformed),
        ("e=other-error\x1b", ClientFault::Ended("other-error?".into())),
    ] {
        let mut exchange = user();
        exchange.respond(CHALLENGE.as_bytes()).unwrap();
        assert_eq!(exchange.respond(said.as_bytes()), Err(fault), "{said}");
        assert_eq!(exchange.finish(), Err(ClientFault::Unproved));
    }
}

#[test]
fn a_strangers_offer_is_looked_at_closely() {
    let nonce = "r=rOprNGfwEbeRWgbNEkqOx";
    for (offer, fault) in [
        ("".to_owned(), ClientFault::Malformed),
        ("\u{fffd}".to_owned(), ClientFault::Malformed),
        ("e=unknown-user".to_owned(), ClientFault::Ended("unknown-user".into())),
        // Not our nonce, or nothing of its own.
        ("r=rOprNGfwEbeRWgbNEkqP%hv,s=QQ==,i=4096".to_owned(), ClientFault::Malformed),
        ("r=rOprNGfwEbeRWgbNEkqO,s=QQ==,i=4096".to_owned(), ClientFault::Malformed),
        (format!("{nonce},s=,i=4096"), ClientFault::Malformed),
        (format!("{nonce},s=QQ=,i=4096"), ClientFault::Malformed),
        (format!("{nonce},s=QQ==,i="), ClientFault::Malformed),
        (format!("{nonce},s=QQ==,i=+4096"), ClientFault::Malformed),
        (format!("{nonce},s=QQ==,i=99999999999999999999999"), ClientFault::Malformed),
        (format!("{nonce},s=QQ==,i=4095"), ClientFault::Rounds(4_095)),
        (format!("{nonce},s=QQ==,i=0"), ClientFault::Rounds(0)),
        (format!("{nonce},s=QQ==,i=1000001"), ClientFault::Rounds(1_000_001)),
        (format!("{nonce},s=QQ==,i=4294967296"), ClientFault::Rounds(4_294_967_296)),
        (format!("{nonce},i=4096,s=QQ=="), ClientFault::Malformed),
        // An extension that must be understood.
        (format!("m=x,{nonce},s=QQ==,i=4096"), ClientFault::Malformed),
        (format!("{nonce},s=QQ==,i=4096,m=x"), ClientFault::Malformed),
    ] {
        let mut exchange = user();
        assert_eq!(exchange.respond(offer.as_bytes()), Err(fault), "{offer}");
        assert_eq!(exchange.respond(CHALLENGE.as_bytes()), Err(ClientFault::Unasked));
    }
    assert!(user().respond(format!("{nonce},s=QQ==,i=4096,x=y").as_bytes()).is_ok());
}

/// Our own server judges it, by keys of "pencil".
fn served(mechanism: Mechanism, channel: Channel<'_>, form: Form, bindings: Bindings<'_>) -> Result<(), String> {
    let password = &secret("pencil");
    let account = Account { name: "a=b,c", domain: None, password };
    let mut exchange = ClientExchange::by_password(mechanism, account, channel, &FRESH).map_err(|e| e.to_string())?;
    let first = exchange.start().unwrap();
    let first = ClientFirst::read(&first, form, bindings).map_err(|fault| format!("{fault:?}"))?;
    assert_eq!(&*first.account, "a=b,c");
    let (server, challenge) = first.challenge(Keys::derive(password, b"salt", 4_096), &[7; 18]);
    let last = exchange.respond(&challenge).map_err(|fault| fault.to_string())?;
    let proof = server.last(&last).map_err(|fault| format!("{fault:?}"))?;
    assert_eq!(exchange.respond(&proof), Ok(Vec::new()));
    exchange.finish().map_err(|fault| fault.to_string())
}

#[test]
fn our_own_server_is_content() {
    let exporter = Bindings { exporter: Some(b"exporter"), server_end_point: Some(b"end point") };
    let end_point = Bindings { exporter: None, server_end_point: Some(b"end point") };
    let other = Bindings { exporter: Some(b"another"), server_end_point: Some(b"another") };
    let channel = |bindings, plus_offered| Channel { host: "mx.test", bindings, plus_offered };
    let (plain, plus) = (Mechanism::ScramSha256, Mechanism::ScramSha256Plus);
    let none = Bindings::default();
    assert_eq!(served(plain, channel(none, false), Form::Plain, none), Ok(()));
    assert_eq!(served(plain, channel(exporter, false), Form::Plain, none), Ok(()));
    assert_eq!(served(plain, channel(none, true), Form::PlainWithPlusOffered, exporter), Ok(()));
    assert_eq!(served(plus, channel(exporter, true), Form::Plus, exporter), Ok(()));
    assert_eq!(served(plus, channel(end_point, true), Form::Plus, end_point), Ok(()));
    // Somebody sits in between: with another channel, or having taken PLUS out of the list.
    assert_eq!(served(plus, channel(exporter, true), Form::Plus, other), Err("Channel".to_owned()));
    assert_eq!(served(plus, channel(end_point, true), Form::Plus, other), Err("Channel".to_owned()));
    assert_eq!(
        served(plain, channel(exporter, false), Form::PlainWithPlusOffered, exporter),
        Err("Channel".to_owned())
    );
}

#[test]
fn nothing_secret_is_printed() {
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::ScramSha256, Mechanism::Ntlm] {
        let exchange = by_password(mechanism, "tim", "hunter2");
        assert_eq!(format!("{exchange:?}"), format!("ClientExchange({mechanism})"));
    }
    assert_eq!(format!("{:?}", ClientExchange::xoauth2("tim", &secret("hunter2")).unwrap()), "ClientExchange(XOAUTH2)");
}

#[test]
fn whatever_a_server_asks_nothing_panics_and_no_password_comes_hidden_out() {
    let mut seed = 0x5eed_u64;
    let mut below = |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % bound
    };
    let pieces: [&[u8]; 12] = [
        b"r=dHdlbnR5LWZvdXIgb2N0ZXRzIG9mIGl0",
        b"xyz",
        b",s=QQ==",
        b",i=4096",
        b",i=9999999999",
        b",",
        b"v=AAAA",
        b"e=no",
        b"NTLMSSP\0\x02\0\0\0",
        b"\0\0\0\0\0\0\0\0",
        b"\xff\xfe",
        b"",
    ];
    for round in 0..3_000 {
        let mechanism = [Mechanism::CramMd5, Mechanism::ScramSha256, Mechanism::Ntlm][round % 3];
        let mut exchange = by_password(mechanism, "tim", "hunter2");
        exchange.start();
        for _ in 0..3 {
            let challenge: Vec<u8> = (0..below(6)).flat_map(|_| pieces[below(pieces.len())].to_vec()).collect();
            if let Ok(answer) = exchange.respond(&challenge) {
                assert!(!answer.windows(7).any(|window| window == b"hunter2"));
            }
            assert!(mechanism != Mechanism::ScramSha256 || exchange.finish().is_err());
        }
    }
}

//! The example of RFC 7677, and what becomes of it when any part of it is another.

use super::*;

const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const LAST: &str =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn keys(password: &str) -> Keys {
    Keys::derive(&secret(password), &base64::decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4_096)
}

/// The server of the example, whose nonce is not in base64.
fn server(first: &str, keys: Keys) -> Server {
    let first = ClientFirst::read(first.as_bytes(), Form::Plain, Bindings::default()).unwrap();
    let (mut server, _) = first.challenge(keys, &[0; 18]);
    server.nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into();
    server.first = format!("r={},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", server.nonce).into_bytes().into();
    server
}

#[test]
fn the_example_of_rfc_7677() {
    let v = server(FIRST, keys("pencil")).last(LAST.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(v).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn the_challenge_continues_the_clients_nonce() {
    let first = ClientFirst::read(FIRST.as_bytes(), Form::Plain, Bindings::default()).unwrap();
    assert_eq!((&*first.account, first.act_as.as_deref()), ("user", None));
    let (_, challenge) = first.challenge(keys("pencil"), b"eighteen octets!!!");
    assert_eq!(
        String::from_utf8(challenge).unwrap(),
        "r=rOprNGfwEbeRWgbNEkqOZWlnaHRlZW4gb2N0ZXRzISEh,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
}

#[test]
fn a_wrong_password_and_a_changed_message_do_not_hold() {
    assert_eq!(server(FIRST, keys("pencim")).last(LAST.as_bytes()), Err(ScramFault::Wrong));
    assert_eq!(
        server("n,,n=usex,r=rOprNGfwEbeRWgbNEkqO", keys("pencil")).last(LAST.as_bytes()),
        Err(ScramFault::Wrong)
    );
    let pretended = Keys::pretend(&secret("ours"), "user");
    assert_eq!(server(FIRST, pretended).last(LAST.as_bytes()), Err(ScramFault::Wrong));
    for at in 0..LAST.len() {
        for flip in [1u8, 2, 0x20, 0x80] {
            let mut message = LAST.as_bytes().to_vec();
            message[at] ^= flip;
            assert!(server(FIRST, keys("pencil")).last(&message).is_err(), "{at} {flip}");
        }
        assert!(server(FIRST, keys("pencil")).last(&LAST.as_bytes()[..at]).is_err(), "{at}");
    }
}

#[test]
fn every_field_of_the_first_message_is_checked() {
    let read =
        |text: &str, form| ClientFirst::read(text.as_bytes(), form, Bindings::default()).map(|first| first.account);
    let long = format!("n,,n=user,r={}", "x".repeat(257));
    for text in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=user",
        "n,,n=,r=x",
        "n,,n=user,r=",
        "n,,r=x,n=user",
        "n,,m=x,n=user,r=x",
        "x,,n=user,r=x",
        "n,b=z,n=user,r=x",
        "n,a=,n=user,r=x",
        "n,,n=us=er,r=x",
        "n,,n=us=2cer,r=x",
        "n,,n=user=,r=x",
        "n,,n=user,r=a b",
        "n,,n=user,r=x,y",
        "n,,n=user,r=x,m=1",
        "n,,n=us\ner,r=x",
        "p=tls-exporter,,n=user,r=x",
        &long,
    ] {
        assert_eq!(read(text, Form::Plain), Err(ScramFault::Malformed), "{text:?}");
    }
    assert!(ClientFirst::read(b"n,,n=\xff,r=x", Form::Plain, Bindings::default()).is_err());
    assert_eq!(read("n,,n=a=2Cb=3Dc,r=x,t=later", Form::Plain).as_deref(), Ok("a,b=c"));
    let boss = ClientFirst::read(b"n,a=bo=3Dss,n=user,r=x", Form::Plain, Bindings::default()).unwrap();
    assert_eq!(boss.act_as.as_deref(), Some("bo=ss"));
}

#[test]
fn a_client_that_was_told_that_we_cannot_bind_is_warned() {
    let read = |form| ClientFirst::read(b"y,,n=user,r=x", form, Bindings::default()).map(|first| first.account);
    assert_eq!(read(Form::Plain).as_deref(), Ok("user"));
    assert_eq!(read(Form::PlainWithPlusOffered), Err(ScramFault::Channel));
    assert_eq!(read(Form::Plus), Err(ScramFault::Malformed));
}

/// What a client says last, knowing the password and seeing this channel.
fn client_last(password: &str, bound: &[u8], bare: &str, challenge: &[u8]) -> Vec<u8> {
    let challenge = std::str::from_utf8(challenge).unwrap();
    let nonce = challenge.split(',').next().unwrap();
    let salt = base64::decode(&challenge.split(',').nth(1).unwrap().as_bytes()[2..]).unwrap();
    let salted = salted(&secret(password), &salt, 4_096);
    let client_key = Keyed::<Sha256>::new(&*salted).code(&[b"Client Key"]);
    let without = format!("c={},{nonce}", base64::encode(bound));
    let signed = format!("{bare},{challenge},{without}");
    let signature = Keyed::<Sha256>::new(&Sha256::digest(client_key)).code(&[signed.as_bytes()]);
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
    format!("{without},p={}", base64::encode(&proof)).into_bytes()
}

#[test]
fn the_channel_is_bound_in() {
    let bindings = Bindings { exporter: Some(b"exporter"), server_end_point: Some(b"end point") };
    for (flag, seen, holds) in [
        ("p=tls-exporter", &b"exporter"[..], Ok(())),
        ("p=tls-server-end-point", b"end point", Ok(())),
        ("p=tls-exporter", b"end point", Err(ScramFault::Channel)),
        ("p=tls-server-end-point", b"another", Err(ScramFault::Channel)),
        ("p=tls-exporter", b"", Err(ScramFault::Channel)),
    ] {
        let message = format!("{flag},,n=user,r=abc");
        let first = ClientFirst::read(message.as_bytes(), Form::Plus, bindings).unwrap();
        let (server, challenge) = first.challenge(keys("pencil"), &[7; 18]);
        let mut bound = format!("{flag},,").into_bytes();
        bound.extend_from_slice(seen);
        let last = client_last("pencil", &bound, "n=user,r=abc", &challenge);
        assert_eq!(server.last(&last).map(drop), holds, "{flag} {seen:?}");
    }
    for flag in ["n", "y", "p=tls-unique", "p=", "p=tls-exporter2"] {
        let message = format!("{flag},,n=user,r=abc");
        assert!(ClientFirst::read(message.as_bytes(), Form::Plus, bindings).is_err(), "{flag}");
    }
    let none = Bindings { exporter: Some(b"exporter"), server_end_point: None };
    assert!(ClientFirst::read(b"p=tls-server-end-point,,n=user,r=abc", Form::Plus, none).is_err());
}

#[test]
fn the_header_is_bound_in_too() {
    let first = ClientFirst::read(b"n,,n=user,r=abc", Form::Plain, Bindings::default()).unwrap();
    let (server, challenge) = first.challenge(keys("pencil"), &[7; 18]);
    // The client had said `y`, and somebody made an `n` of it.
    let last = client_last("pencil", b"y,,", "n=user,r=abc", &challenge);
    assert_eq!(server.last(&last), Err(ScramFault::Channel));
}

#[test]
fn the_last_message_must_repeat_the_nonce_whatever_its_proof() {
    let first = ClientFirst::read(b"n,,n=user,r=abc", Form::Plain, Bindings::default()).unwrap();
    let (server, challenge) = first.challenge(keys("pencil"), &[7; 18]);
    let last = client_last("pencil", b"n,,", "n=user,r=abc", &challenge);
    // A client that proves over another nonce than the one it was given.
    let said = challenge.split(|octet| *octet == b',').next().unwrap();
    let (without, _) = std::str::from_utf8(&last).unwrap().rsplit_once(",p=").unwrap();
    let without = without.replace(std::str::from_utf8(said).unwrap(), "r=abcanother");
    let client_key = Keyed::<Sha256>::new(&*salted(&secret("pencil"), &server.keys.salt, 4_096)).code(&[b"Client Key"]);
    let signed: [&[u8]; 5] = [&server.bare, b",", &challenge, b",", without.as_bytes()];
    let signature = Keyed::<Sha256>::new(&server.keys.stored_key).code(&signed);
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
    let last = format!("{without},p={}", base64::encode(&proof));
    assert_eq!(server.last(last.as_bytes()), Err(ScramFault::Malformed));
}

#[test]
fn a_name_without_an_account_has_keys_like_any_other() {
    let (ours, name) = (secret("ours"), "nobody@example.com");
    let once = Keys::pretend(&ours, name);
    let again = Keys::pretend(&ours, name);
    assert_eq!((&once.salt, once.stored_key, once.iterations), (&again.salt, again.stored_key, ITERATIONS));
    assert_eq!(once.salt.len(), 16);
    assert_ne!(once.salt, Keys::pretend(&ours, "other").salt);
    assert_ne!(once.salt, Keys::pretend(&secret("theirs"), name).salt);
    assert_eq!(format!("{once:?}"), "Keys(…)");
}

//! Log-ons to next hops: each method with a scripted server, refusals, secrets that are not to be had, clear text.

use super::identities::terms;
use super::tls::{HELLO, Lines, on, secured};
use super::*;
use crate::https::fixture::{Says, Website};
use relay::config::terms::{
    BearerMechanism, ClientAuth, Grant, OAuthClient, Owner, PasswordMethod, SecretSource, Terms, TlsPolicy,
};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `\0alice\0s3cret`
const PLAIN: &str = "AGFsaWNlAHMzY3JldA==";
const OK: &str = "attempted: 0=ok(250 2.0.0 taken)";

/// Terms with alice's password, which is in a file of this folder.
fn with_password(folder: &Path, tls: TlsPolicy, method: PasswordMethod, in_clear: bool) -> Terms {
    let file = folder.join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let password = SecretSource::File(file);
    let auth = ClientAuth::Password { method, user: "alice".into(), domain: None, password, in_clear };
    Terms { auth: Some(auth), ..terms(tls) }
}

/// A handshake, and these methods offered under TLS.
fn under_tls(methods: &str) -> String {
    let hello = HELLO.replace("S: 250 ENH", &format!("S: 250-AUTH {methods}\nS: 250 ENH"));
    secured("good").replace(&("T: good\n".to_owned() + HELLO), &("T: good\n".to_owned() + &hello))
}

/// One message on these terms: what the queue hears, and the failure in words.
async fn told(terms: Terms, scripts: &[&[&str]]) -> (String, String, Vec<Vec<String>>) {
    let (mut peers, mut addresses) = (Vec::new(), Vec::new());
    for (host, scripts) in scripts.iter().enumerate() {
        let address = SocketAddr::from(([127, 0, 0, u8::try_from(host).unwrap() + 1], 0));
        let (peer, address) = Peer::at(address, scripts);
        peers.push(peer);
        addresses.push(address);
    }
    let mut site = Site::start();
    site.connect(1, message("to@there.test", CONTENT, &on(terms, &addresses)));
    site.quit(1);
    let event = site.raw_event().await;
    let text = match &event {
        Event::Closed { unsent: Some((_, failures)), .. } => failures[0].1.text.to_string(),
        Event::Attempted { outcome, .. } => match &outcome.results[0].1 {
            Err(failure) => failure.text.to_string(),
            Ok(taken) => taken.said.to_string(),
        },
        _ => String::new(),
    };
    (show(&event), text, peers.iter().map(Peer::lines).collect())
}

fn says_auth(lines: &[Vec<String>]) -> bool {
    lines.iter().flatten().any(|line| line.starts_with("AUTH"))
}

#[tokio::test]
async fn each_method_as_it_is_spoken() {
    let folder = tempfile::tempdir().unwrap();
    for (offered, method, exchange, name) in [
        ("LOGIN PLAIN", PasswordMethod::Any, format!("C: AUTH PLAIN {PLAIN}\n"), "PLAIN"),
        (
            "LOGIN",
            PasswordMethod::Basic,
            "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YWxpY2U=\nS: 334 UGFzc3dvcmQ6\nC: czNjcmV0\n".to_owned(),
            "LOGIN",
        ),
        (
            "PLAIN CRAM-MD5",
            PasswordMethod::Any,
            "C: AUTH CRAM-MD5\nS: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2U+\nC: YWxpY2Ug\n".to_owned(),
            "CRAM-MD5",
        ),
    ] {
        let script = under_tls(offered) + &exchange + "S: 235 2.7.0 welcome\n" + TAKE + BYE;
        let terms = with_password(folder.path(), TlsPolicy::Verified, method, false);
        let (story, _, _) = told(terms, &[&[&script]]).await;
        assert_eq!(story, format!("{OK} [TLSv1.3 name auth {name}]"));
    }
    let script = under_tls("EXTERNAL") + "C: AUTH EXTERNAL =\nS: 235 2.7.0 welcome\n" + TAKE + BYE;
    let terms = Terms { auth: Some(ClientAuth::External), ..terms(TlsPolicy::Verified) };
    assert_eq!(told(terms, &[&[&script]]).await.0, format!("{OK} [TLSv1.3 name auth EXTERNAL]"));
}

/// A refusal for good is shown to nobody else: accounts are locked for that. One for now, and trouble before it, may not be
/// so elsewhere.
#[tokio::test]
async fn a_refused_password_holds_the_mail_and_is_not_shown_around() {
    let folder = tempfile::tempdir().unwrap();
    let terms = || with_password(folder.path(), TlsPolicy::Verified, PasswordMethod::Any, false);
    let asked = under_tls("PLAIN") + "C: AUTH PLAIN " + PLAIN + "\n";
    let welcome = asked.clone() + "S: 235 2.7.0 welcome\n" + TAKE + BYE;

    let refused = asked.clone() + "S: 535 5.7.8 wrong\nC: QUIT\n";
    let (story, text, lines) = told(terms(), &[&[&refused], &[]]).await;
    assert_eq!(story, "closed: 0=Auth 4.7.8");
    assert!(lines[1].is_empty() && !text.contains("s3cret") && !text.contains(PLAIN), "{text}");

    let busy = asked.clone() + "S: 454 4.7.0 later\nC: QUIT\n";
    let (story, ..) = told(terms(), &[&[&busy], &[&welcome]]).await;
    assert_eq!(story, format!("{OK} [TLSv1.3 name auth PLAIN]"));
    let (story, ..) = told(terms(), &[&[&busy]]).await;
    assert_eq!(story, "closed: 0=Auth 4.7.0");

    let cut = asked + "X:";
    let (story, ..) = told(terms(), &[&[&cut], &[&welcome]]).await;
    assert_eq!(story, format!("{OK} [TLSv1.3 name auth PLAIN]"));
}

#[tokio::test]
async fn what_the_server_does_not_offer_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    for (offered, method, words) in [
        ("NTLM GSSAPI", PasswordMethod::Basic, "the server offers GSSAPI NTLM to log on, and PLAIN or LOGIN is wanted"),
        ("XWHATEVER", PasswordMethod::Any, "the server offers no way to log on that is known here"),
    ] {
        let terms = with_password(folder.path(), TlsPolicy::Verified, method, false);
        let (story, text, lines) = told(terms, &[&[&(under_tls(offered) + "C: QUIT\n")]]).await;
        assert_eq!(story, "closed: 0=Auth 4.7.4");
        assert!(text.contains(words), "{text}");
        assert!(!says_auth(&lines));
    }
}

/// A password goes in the clear where the operator has said so, and nowhere else.
#[tokio::test]
async fn no_password_in_clear_text() {
    let folder = tempfile::tempdir().unwrap();
    let hello = greet(&["AUTH PLAIN LOGIN"]);
    for tls in [TlsPolicy::None, TlsPolicy::Opportunistic] {
        let terms = with_password(folder.path(), tls, PasswordMethod::Any, false);
        let (story, text, lines) = told(terms, &[&[&(hello.clone() + "C: QUIT\n")]]).await;
        assert_eq!(story, "closed: 0=Auth 4.7.4");
        assert!(text.contains("without TLS PLAIN or LOGIN would show the secret"), "{text}");
        assert!(!says_auth(&lines));
    }
    let terms = with_password(folder.path(), TlsPolicy::None, PasswordMethod::Any, true);
    let script = hello + "C: AUTH PLAIN " + PLAIN + "\nS: 235 ok\n" + TAKE + BYE;
    assert_eq!(told(terms, &[&[&script]]).await.0, format!("{OK} [auth PLAIN]"));
    // What would have been offered under TLS, the handshake having failed.
    let terms = with_password(folder.path(), TlsPolicy::Opportunistic, PasswordMethod::Any, false);
    let (first, second) = (greet(&["STARTTLS"]) + "C: STARTTLS\nS: 220 go\nX:", greet(&["AUTH PLAIN"]) + "C: QUIT\n");
    let (story, _, lines) = told(terms, &[&[&first, &second]]).await;
    assert_eq!(story, "closed: 0=Auth 4.7.4");
    assert!(!says_auth(&lines));
}

#[tokio::test]
async fn a_password_that_is_not_to_be_had_is_our_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let script = under_tls("PLAIN") + "C: QUIT\n";
    let terms = with_password(folder.path(), TlsPolicy::Verified, PasswordMethod::Any, false);
    let file = folder.path().join("password");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (story, text, lines) = told(terms.clone(), &[&[&script]]).await;
    assert_eq!(story, "closed: 0=Auth 4.7.8");
    assert!(text.contains("chmod 600") && !text.contains("s3cret"), "{text}");
    assert!(!says_auth(&lines));
    std::fs::remove_file(&file).unwrap();
    let (story, text, _) = told(terms, &[&[&script]]).await;
    assert!(story == "closed: 0=Auth 4.7.8" && text.contains("cannot be read"), "{story} {text}");
}

/// Mailbox delegation that is not there is about the sender; a server that wants a log-on first is about all mail.
#[tokio::test]
async fn a_refused_sender_is_not_a_refused_log_on() {
    let folder = tempfile::tempdir().unwrap();
    let logged_on = under_tls("PLAIN") + "C: AUTH PLAIN " + PLAIN + "\nS: 235 ok\n";
    let terms = || with_password(folder.path(), TlsPolicy::Verified, PasswordMethod::Any, false);
    let reset = "C: RSET\nS: 250 ok\n".to_owned() + BYE;
    let script = logged_on.clone()
        + "C: MAIL\nS: 550 5.7.60 SMTP; Client does not have permissions to send as this sender\n"
        + &reset;
    let (story, ..) = told(terms(), &[&[&script]]).await;
    assert_eq!(story, "attempted: 0=Refused 5.7.60 [TLSv1.3 name auth PLAIN]");
    let at_data = logged_on
        + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nS: 554 5.2.252 SendAsDenied\n"
        + BYE;
    let (story, ..) = told(terms(), &[&[&at_data]]).await;
    assert_eq!(story, "attempted: 0=Refused 5.2.252 [TLSv1.3 name auth PLAIN]");

    for (reply, expected) in [
        ("530 5.7.57 Client not authenticated to send mail", "attempted: 0=Auth 4.7.57"),
        ("530 5.7.0 Must issue a STARTTLS command first", "attempted: 0=Tls 4.7.0"),
    ] {
        let script = greet(&[]) + "C: MAIL\nS: " + reply + "\n" + &reset;
        let (story, ..) = told(super::identities::terms(TlsPolicy::None), &[&[&script]]).await;
        assert_eq!(story, expected);
    }
}

/// A token that ends before its time: the server refuses it, the next one is obtained at once and shown once.
#[tokio::test]
async fn a_stale_token_is_replaced_once() {
    let folder = tempfile::tempdir().unwrap();
    let given = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = given.clone();
    let provider = Website::start(move |_| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        Some(Says::json(
            200,
            &json!({"token_type": "Bearer", "access_token": format!("token{number}"), "expires_in": 3600}),
        ))
    });
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "x").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let client = OAuthClient {
        user: "alice@x.test".into(),
        mechanism: BearerMechanism::Any,
        token_endpoint: format!("{}/token", provider.address).into(),
        device_endpoint: None,
        client_id: "relay".into(),
        scope: "mail".into(),
        grant: Grant::ClientSecret(SecretSource::File(secret)),
        authorities: Some(provider.authority(folder.path())),
    };
    let auth = Some(ClientAuth::OAuth(Arc::new(client)));
    let terms = Terms { auth, owner: Owner::SmartHost("office".into()), ..terms(TlsPolicy::Verified) };
    // `user=alice@x.test^Aauth=Bearer token0^A^A`, and the same with token1.
    let shown = |number: usize| {
        let response = format!("user=alice@x.test\x01auth=Bearer token{number}\x01\x01");
        format!("C: AUTH XOAUTH2 {}\n", smtp::sasl::base64::encode(response.as_bytes()))
    };
    let complaint = smtp::sasl::base64::encode(br#"{"status":"401"}"#);
    let refused = |number| {
        under_tls("XOAUTH2 PLAIN")
            + &shown(number)
            + "S: 334 "
            + &complaint
            + "\nC:\nS: 535 5.7.3 Authentication unsuccessful\nC: QUIT\n"
    };
    let welcome = |number| under_tls("XOAUTH2 PLAIN") + &shown(number) + "S: 235 2.7.0 ok\n" + TAKE + BYE;
    let scripts = [welcome(0), refused(0), welcome(1), refused(1), refused(2), refused(2)];
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    let (peer, address) = Peer::at("127.0.0.1:0".parse().unwrap(), &scripts);
    let mut site = Site::start();
    let hop = on(terms, &[address]);
    let send = async |site: &mut Site, number| {
        site.connect(number, message("to@there.test", CONTENT, &hop));
        site.quit(number);
        site.raw_event().await
    };
    let taken = format!("{OK} [TLSv1.3 name auth XOAUTH2]");
    assert_eq!(show(&send(&mut site, 1).await), taken);
    assert_eq!(site.event().await, "closed");
    // It has served for a while; then the server does not want it any more.
    site.outbound.shared.clock.jump(Duration::from_secs(60));
    assert_eq!(show(&send(&mut site, 2).await), taken);
    assert_eq!(site.event().await, "closed");
    site.outbound.shared.clock.jump(Duration::from_secs(60));
    let event = send(&mut site, 3).await;
    assert_eq!(show(&event), "closed: 0=Auth 4.7.3", "twice, and not again and again");
    let Event::Closed { unsent: Some((_, failures)), .. } = event else { panic!() };
    assert!(failures[0].1.text.contains("401") && !failures[0].1.text.contains("token2"), "{}", failures[0].1.text);
    // A new one that is refused is no stale one.
    assert_eq!(show(&send(&mut site, 4).await), "closed: 0=Auth 4.7.3");
    assert_eq!((given.load(Ordering::SeqCst), peer.seen().connections), (3, 6));
}

/// Nothing of a secret is in the log or in what is told of a failure, whatever comes of it: some servers repeat what they do not
/// understand.
#[tokio::test]
async fn the_log_knows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let asked = under_tls("PLAIN") + "C: AUTH PLAIN " + PLAIN + "\nS: ";
    let by_login =
        under_tls("LOGIN") + "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YWxpY2U=\nS: 334 UGFzc3dvcmQ6\nC: czNjcmV0\nS: ";
    for (script, expected) in [
        (asked.clone() + "535 5.7.8 " + PLAIN + " is wrong\nC: QUIT\n", "535 5.7.8 \u{2026} is wrong"),
        // Cut short, and quoted.
        (asked.clone() + "535 5.7.8 \"" + &PLAIN[..PLAIN.len() - 5] + "\" is wrong\nC: QUIT\n", "\u{2026}\" is wrong"),
        (asked.clone() + "421 4.3.2 bye AUTH PLAIN " + PLAIN + "\nC: QUIT\n", "bye AUTH PLAIN \u{2026}"),
        (by_login.clone() + "500 5.5.1 Command unrecognized: \"czNjcmV0\"\nC: QUIT\n", "unrecognized: \"\u{2026}\""),
        (by_login + "535 5.7.8 Not s3cret, alice\nC: QUIT\n", "Not \u{2026}, alice"),
    ] {
        let (_peer, address) = Peer::at("127.0.0.1:0".parse().unwrap(), &[&script]);
        let lines = Lines::default();
        let (log, flush) = Log::start(relay::record::Level::Debug, Clock::start(), Box::new(lines.clone())).unwrap();
        let mut site = Site::start();
        let server = (*site.outbound.shared.server).clone();
        site = Site::logging(&server, &no_dns(), log);
        let terms = with_password(folder.path(), TlsPolicy::Verified, PasswordMethod::Basic, false);
        site.connect(1, message("to@there.test", CONTENT, &on(terms, &[address])));
        let Event::Closed { unsent: Some((_, failures)), .. } = site.raw_event().await else { panic!("{script}") };
        let told = format!("{:?}", failures[0].1);
        flush.flush();
        let log = lines.text();
        for secret in ["s3cret", "czNjcmV0", &PLAIN[..12]] {
            assert!(!told.contains(secret) && !log.contains(secret), "{secret}: {told} {log}");
        }
        let reply = failures[0].1.reply.as_ref().unwrap().one_line();
        assert!(reply.contains(expected), "{reply}");
    }
}

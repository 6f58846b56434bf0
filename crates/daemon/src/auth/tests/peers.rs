//! SCRAM, OAuth and the clear methods as a client that others wrote speaks them (rsasl), and EXTERNAL.

use super::*;
use crate::tls::{ClientCertificate, TlsFacts, TlsVersion};
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechanisms::scram::SCRAM_SHA256_PLUS;
use rsasl::mechname::Mechname;
use rsasl::prelude::{MessageSent, Registry, SASLClient, SessionError, State};
use rsasl::property::{AuthId, AuthzId, ChannelBindings, OAuthBearerToken, OverrideCBType, Password};
use smtp::sasl::scram::Keys;

pub(super) fn tls(client_certificate: Option<ClientCertificate>) -> ChannelFacts {
    ChannelFacts {
        tls: Some(Arc::new(TlsFacts {
            version: TlsVersion::Tls13,
            cipher: "TLS_AES_128_GCM_SHA256",
            sni: None,
            exporter: Some([7; 32]),
            server_end_point: Arc::from(&b"end point"[..]),
            client_certificate,
        })),
    }
}

/// What the client knows.
#[derive(Clone, Default)]
pub(super) struct Knows {
    pub(super) account: &'static str,
    pub(super) act_as: Option<&'static str>,
    pub(super) password: &'static str,
    pub(super) token: String,
    pub(super) binding: Option<(&'static str, &'static [u8])>,
}

impl SessionCallback for Knows {
    fn callback(&self, _: &SessionData, _: &Context<'_>, request: &mut Request<'_>) -> Result<(), SessionError> {
        request.satisfy::<AuthId>(self.account)?.satisfy::<Password>(self.password.as_bytes())?;
        request.satisfy::<OAuthBearerToken>(&self.token)?;
        if let Some(act_as) = self.act_as {
            request.satisfy::<AuthzId>(act_as)?;
        }
        if let Some((name, octets)) = self.binding {
            request.satisfy::<OverrideCBType>(name)?.satisfy::<ChannelBindings>(octets)?;
        }
        Ok(())
    }

    fn enable_channel_binding(&self) -> bool {
        self.binding.is_some()
    }
}

/// Lets the client talk to an exchange. `Err` is what the client does not believe.
pub(super) async fn talk(mut exchange: Exchange, mechanism: Mechanism, knows: &Knows) -> Result<Verdict, String> {
    // Its PLUS form is left out of its own list.
    let plus = std::slice::from_ref(&SCRAM_SHA256_PLUS);
    let config = match mechanism {
        Mechanism::ScramSha256Plus => SASLConfig::builder().with_registry(Registry::with_mechanisms(plus)),
        _ => SASLConfig::builder().with_defaults(),
    };
    let config = config.with_callback(knows.clone()).unwrap();
    let name = Mechname::parse(mechanism.name().as_bytes()).unwrap();
    let mut client = SASLClient::new(config).start_suggested(&[name]).unwrap();
    let mut challenge: Option<Vec<u8>> = None;
    if !client.are_we_first() {
        match exchange.step(None).await {
            Verdict::Challenge(octets) => challenge = Some(octets),
            other => return Ok(other),
        }
    }
    loop {
        let mut answer = Vec::new();
        let state = client.step(challenge.as_deref(), &mut answer).map_err(|error| error.to_string())?;
        let sent = !matches!(state, State::Finished(MessageSent::No));
        match exchange.step(Some(if sent { answer } else { Vec::new() })).await {
            Verdict::Challenge(octets) => challenge = Some(octets),
            other => return Ok(other),
        }
    }
}

fn scram_accounts() -> Accounts {
    let mut accounts = accounts();
    for name in ["alice", "bob"] {
        let mut account = accounts.find(name).unwrap().clone();
        account.scram = Some(Keys::derive(&secret("s3cret"), b"sixteen octets..", 4_096));
        accounts.put(account);
    }
    accounts
}

fn scram_world() -> World {
    World::with(&scram_accounts(), |plan| plan.methods = vec![Mechanism::ScramSha256, Mechanism::ScramSha256Plus])
}

const ALICE: Knows = Knows { account: "alice", act_as: None, password: "s3cret", token: String::new(), binding: None };

#[tokio::test]
async fn the_clear_methods() {
    let world = World::new();
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        let alice = talk(world.begin(mechanism), mechanism, &ALICE).await.unwrap();
        assert_eq!(&*accepted(alice).account, "alice");
    }
}

#[tokio::test(start_paused = true)]
async fn scram_without_a_channel() {
    let world = scram_world();
    let mechanism = Mechanism::ScramSha256;
    let as_whom = |act_as| Knows { act_as, ..ALICE };
    for act_as in [None, Some("alice"), Some("ALICE")] {
        let alice = accepted(talk(world.begin(mechanism), mechanism, &as_whom(act_as)).await.unwrap());
        assert_eq!((&*alice.account, alice.mechanism), ("alice", mechanism));
    }
    for (knows, why) in [
        (Knows { password: "s3cre", ..ALICE }, "wrong_password"),
        (Knows { account: "nobody", ..ALICE }, "no_such_account"),
        (Knows { account: "bob", ..ALICE }, "disabled"),
        (Knows { account: "carol", ..ALICE }, "no_key_for_method"),
        (as_whom(Some("dave")), "acts_as_another"),
    ] {
        let world = scram_world();
        assert_eq!(refused(talk(world.begin(mechanism), mechanism, &knows).await.unwrap()), WRONG);
        let log = world.log();
        assert!(log.contains(&format!(" method=SCRAM-SHA-256 peer=192.0.2.1 why={why}\n")), "{log}");
    }
    assert_eq!(world.passwords.runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn scram_locks_out_as_passwords_do() {
    let world = scram_world();
    let mechanism = Mechanism::ScramSha256;
    for _ in 0..5 {
        let wrong = Knows { password: "x", ..ALICE };
        assert_eq!(refused(talk(world.begin(mechanism), mechanism, &wrong).await.unwrap()), WRONG);
    }
    let right = talk(world.begin(mechanism), mechanism, &ALICE).await.unwrap();
    assert!(refused(right).starts_with("454 4.7.0 Too many failed"));
}

#[tokio::test(start_paused = true)]
async fn scram_with_the_channel_bound_in() {
    let mechanism = Mechanism::ScramSha256Plus;
    for (binding, right) in [
        (("tls-exporter", &[7; 32][..]), true),
        (("tls-server-end-point", b"end point"), true),
        (("tls-exporter", &[8; 32]), false),
        (("tls-server-end-point", b"another end"), false),
    ] {
        let world = scram_world();
        let exchange = world.begin_over(mechanism, &tls(None));
        let verdict = talk(exchange, mechanism, &Knows { binding: Some(binding), ..ALICE }).await.unwrap();
        if right {
            assert_eq!(accepted(verdict).mechanism, mechanism);
        } else {
            assert_eq!(refused(verdict), WRONG);
            assert!(world.log().contains("why=bound_to_another_channel"));
        }
    }
    // The client would have bound the channel, and was shown a list without the PLUS form.
    let world = scram_world();
    let exchange = world.begin_over(Mechanism::ScramSha256, &tls(None));
    let binds = Knows { binding: Some(("tls-exporter", &[7; 32])), ..ALICE };
    assert_eq!(refused(talk(exchange, Mechanism::ScramSha256, &binds).await.unwrap()), WRONG);
}

#[tokio::test]
async fn a_name_without_an_account_is_shown_the_same_salt_each_time() {
    let world = scram_world();
    let salt = async |name: &str| {
        let first = format!("n,,n={name},r=abc").into_bytes();
        let challenge = challenge(world.begin(Mechanism::ScramSha256).step(Some(first)).await);
        String::from_utf8(challenge).unwrap().split_once(",s=").unwrap().1.to_owned()
    };
    assert_eq!(salt("nobody").await, salt("NOBODY").await);
    assert_ne!(salt("nobody").await, salt("somebody").await);
    assert_eq!(salt("carol").await, salt("carol").await);
}

fn certificate(names: &[&str]) -> ChannelFacts {
    let names = names.iter().map(|name| (*name).into()).collect();
    tls(Some(ClientCertificate { sha256: [1; 32], names, subject: "CN=x".into() }))
}

#[tokio::test(start_paused = true)]
async fn external_is_the_account_that_the_certificate_names() {
    for (names, act_as, outcome) in [
        (&["alice"][..], "", Ok("alice")),
        (&["printer.example.com", "ALICE"], "", Ok("alice")),
        (&["alice", "dave"], "dave", Ok("dave")),
        (&["alice", "dave"], "Dave", Ok("dave")),
        (&["alice"], "dave", Err("acts_as_another")),
        (&["nobody"], "", Err("no_such_account")),
        (&[], "", Err("no_such_account")),
        (&["bob"], "", Err("disabled")),
        (&["nobody"], "nobody", Err("no_such_account")),
    ] {
        let world = World::with(&accounts(), |plan| plan.methods = vec![Mechanism::External]);
        let channel = certificate(names);
        let mut exchange = world.begin_over(Mechanism::External, &channel);
        assert_eq!(challenge(exchange.step(None).await), b"");
        let verdict = exchange.step(Some(act_as.as_bytes().to_vec())).await;
        match outcome {
            Ok(account) => assert_eq!(&*accepted(verdict).account, account),
            Err(why) => {
                assert_eq!(refused(verdict), WRONG);
                let log = world.log();
                assert!(log.contains(&format!("why={why}")), "{log}");
            }
        }
    }
}

#[tokio::test]
async fn external_takes_text_alone() {
    let world = World::with(&accounts(), |plan| plan.methods = vec![Mechanism::External]);
    let mut exchange = world.begin_over(Mechanism::External, &certificate(&["alice"]));
    assert!(refused(exchange.step(Some(b"a\0b".to_vec())).await).starts_with("501 5.5.2"));
}

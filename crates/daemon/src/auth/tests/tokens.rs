//! XOAUTH2 and OAUTHBEARER with tokens of an identity provider on loopback: real https, real keys, real signatures.

use super::peers::{Knows, talk};
use super::*;
use crate::tls::fixture::{Authority, Signed};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use relay::config::OAuth;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

const NOW: i64 = 1_795_330_800;

/// An identity provider.
struct Provider {
    authority: Authority,
    address: String,
    documents: Arc<Mutex<Documents>>,
    asked: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Documents {
    discovery: String,
    keys: String,
    status: u16,
}

/// A key of the issuer's.
struct Key {
    id: &'static str,
    encoding: EncodingKey,
}

impl Key {
    fn new(id: &'static str) -> Key {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Key { id, encoding: EncodingKey::from_ec_der(&pair.serialize_der()) }
    }

    fn public(&self) -> Value {
        let mut key = serde_json::to_value(Jwk::from_encoding_key(&self.encoding, Algorithm::ES256).unwrap()).unwrap();
        key["kid"] = json!(self.id);
        key
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.encoding).unwrap()
    }
}

impl Provider {
    fn start() -> Provider {
        let authority = Authority::new("Provider");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://localhost:{}/tenant", listener.local_addr().unwrap().port());
        let documents = Arc::new(Mutex::new(Documents { status: 200, ..Documents::default() }));
        let asked = Arc::new(AtomicUsize::new(0));
        let config = config(&authority);
        let shared = (Arc::clone(&documents), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                shared.1.fetch_add(1, Ordering::Relaxed);
                answer(StreamOwned::new(connection, stream), &shared.0);
            }
        });
        let provider = Provider { authority, address, documents, asked };
        provider.change(|documents, address| {
            let keys = format!("{address}/keys");
            documents.discovery = json!({"issuer": address, "jwks_uri": keys}).to_string();
        });
        provider
    }

    fn change(&self, change: impl FnOnce(&mut Documents, &str)) {
        change(&mut self.documents.lock().unwrap(), &self.address);
    }

    fn publish(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
        self.change(|documents, _| documents.keys = json!({ "keys": keys }).to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn claims(&self) -> Value {
        json!({"iss": self.address, "aud": "relay", "exp": NOW + 600, "iat": NOW, "email": "alice"})
    }

    fn world(&self) -> World {
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("ca.pem");
        fs::write(&authority, self.authority.certificate.pem()).unwrap();
        let oauth = OAuth {
            issuer: self.address.clone().into(),
            audience: "relay".into(),
            user_claim: "email".into(),
            authority: Some(authority),
        };
        World::with(&accounts(), |plan| {
            plan.methods = vec![Mechanism::Xoauth2, Mechanism::OauthBearer];
            plan.oauth = Some(oauth);
        })
    }
}

fn config(authority: &Authority) -> Arc<ServerConfig> {
    let Signed { certificate, key } = authority.issue(&["localhost"]);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

/// One request, one answer. Whoever breaks off (a client that does not trust us) is let go.
fn answer(mut stream: StreamOwned<ServerConnection, std::net::TcpStream>, documents: &Mutex<Documents>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        match stream.read(&mut octet) {
            Ok(1) => request.push(octet[0]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let documents = documents.lock().unwrap();
    let body = if request.starts_with("GET /tenant/.well-known/openid-configuration ") {
        &documents.discovery
    } else {
        &documents.keys
    };
    let head =
        format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", documents.status, body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

async fn show(world: &World, token: &str) -> Verdict {
    show_as(world, Mechanism::Xoauth2, "alice", token).await
}

async fn show_as(world: &World, mechanism: Mechanism, account: &'static str, token: &str) -> Verdict {
    // rsasl gives up at an error challenge of XOAUTH2's; the refusal after it is looked at by hand.
    let knows = Knows { account, act_as: Some(account), token: token.to_owned(), ..Knows::default() };
    talk(world.begin(mechanism), mechanism, &knows).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Why a token is refused.
async fn why(world: &World, token: &str) -> &'static str {
    match world.authenticator.issuer.as_ref().unwrap().user(&secret(token)).await {
        Err(TokenFault::Wrong(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_client_is_told_in_a_challenge_and_refused_after_it() {
    let (provider, key) = (Provider::start(), Key::new("one"));
    provider.publish(&[&key]);
    let mut late = provider.claims();
    late["exp"] = json!(NOW - 61);
    let mut other = provider.claims();
    other["email"] = json!("dave");
    let mut disabled = provider.claims();
    disabled["email"] = json!("bob");
    for (account, claims, words) in [
        ("alice", late, "account=alice method=XOAUTH2 peer=192.0.2.1 why=token detail=\"it has expired\""),
        ("alice", other, "account=alice method=XOAUTH2 peer=192.0.2.1 why=acts_as_another"),
        ("bob", disabled, "account=bob method=XOAUTH2 peer=192.0.2.1 why=disabled"),
    ] {
        let (world, token) = (provider.world(), key.sign(&claims));
        let message = format!("user={account}\x01auth=Bearer {token}\x01\x01").into_bytes();
        let mut exchange = world.begin(Mechanism::Xoauth2);
        let told = String::from_utf8(challenge(exchange.step(Some(message)).await)).unwrap();
        assert!(told.contains("invalid_token"), "{told}");
        assert_eq!(refused(exchange.step(Some(Vec::new())).await), WRONG);
        let log = world.log();
        assert!(log.contains(words) && !log.contains(&token), "{log}");
    }
}

#[tokio::test]
async fn a_token_that_holds_opens() {
    let (provider, key) = (Provider::start(), Key::new("one"));
    provider.publish(&[&key]);
    let world = provider.world();
    let token = key.sign(&provider.claims());
    for mechanism in [Mechanism::Xoauth2, Mechanism::OauthBearer] {
        let alice = accepted(show_as(&world, mechanism, "alice", &token).await);
        assert_eq!((&*alice.account, alice.mechanism), ("alice", mechanism));
    }
    assert_eq!(provider.asked(), 2, "the keys are kept");
    // An account of that name says as whom he may send; without one, the provider's word is enough.
    let mut claims = provider.claims();
    claims["email"] = json!("DAVE");
    claims["aud"] = json!(["other", "relay"]);
    assert_eq!(accepted(show_as(&world, Mechanism::Xoauth2, "dave", &key.sign(&claims)).await).may_send_as.len(), 1);
    claims["email"] = json!("guest@example.com");
    let guest = accepted(show_as(&world, Mechanism::OauthBearer, "guest@example.com", &key.sign(&claims)).await);
    assert_eq!(&*guest.account, "guest@example.com");
}

#[tokio::test]
async fn every_claim_is_looked_at() {
    let (provider, key) = (Provider::start(), Key::new("one"));
    provider.publish(&[&key]);
    let world = provider.world();
    for (name, value, words) in [
        ("iss", json!("https://elsewhere.example"), "it is another issuer's"),
        ("iss", Value::Null, "it has no issuer"),
        ("aud", json!("other"), "it is made for another service"),
        ("aud", json!(["other"]), "it is made for another service"),
        ("aud", Value::Null, "it is made for another service"),
        ("exp", json!(NOW - 61), "it has expired"),
        ("exp", json!("never"), "it has no end"),
        ("exp", Value::Null, "it has no end"),
        ("nbf", json!(NOW + 120), "it does not hold yet"),
        ("nbf", json!("x"), "it does not hold yet"),
        ("iat", json!(NOW + 120), "it was made in the future"),
        ("email", Value::Null, "it does not name its user"),
        ("email", json!(7), "it does not name its user"),
        ("email", json!(" "), "it does not name its user"),
        ("email_verified", json!(false), "its mail address is not verified"),
        ("email_verified", json!("false"), "its mail address is not verified"),
        ("email_verified", json!(0), "its mail address is not verified"),
        ("email_verified", Value::Null, "its mail address is not verified"),
    ] {
        let mut claims = provider.claims();
        claims[name] = value.clone();
        assert_eq!(why(&world, &key.sign(&claims)).await, words, "{name}={value}");
    }
    // Some providers write text where a truth value belongs.
    for value in [json!(true), json!("true")] {
        let mut claims = provider.claims();
        claims["email_verified"] = value.clone();
        assert_eq!(&*accepted(show(&world, &key.sign(&claims)).await).account, "alice", "{value}");
    }
}

/// The provider vouches for those who have no account: no file of them is needed. One that is there says who may not.
#[tokio::test]
async fn tokens_need_no_accounts_file() {
    let (provider, key) = (Provider::start(), Key::new("one"));
    provider.publish(&[&key]);
    let world = provider.world();
    let mut plan = world.authenticator.plan.clone();
    let authority = world.folder.path().join("ca.pem");
    fs::write(&authority, provider.authority.certificate.pem()).unwrap();
    plan.oauth.as_mut().unwrap().authority = Some(authority);
    fs::remove_file(&plan.accounts).unwrap();
    let open = |plan: &Plan| {
        let clock = Clock::starting_at(Timestamp(NOW * 1_000));
        Authenticator::open(plan.clone(), Passwords::new(1), Log::nowhere(), clock, None)
    };
    let token = key.sign(&provider.claims());
    let world = World { authenticator: open(&plan).unwrap(), ..world };
    assert_eq!(&*accepted(show(&world, &token).await).account, "alice");
    let mut disabled = Accounts::new(None);
    disabled.put(Account { disabled: true, ..Account::new("alice") });
    write_accounts(&plan.accounts, &disabled.print()).unwrap();
    world.authenticator.accounts.as_ref().unwrap().look_again();
    let message = format!("user=alice\x01auth=Bearer {token}\x01\x01").into_bytes();
    let told = challenge(world.begin(Mechanism::Xoauth2).step(Some(message)).await);
    assert!(String::from_utf8(told).unwrap().contains("invalid_token"), "a file that is made later is heeded");

    fs::write(&plan.accounts, "name = 1").unwrap();
    assert!(matches!(open(&plan).err(), Some(AuthFault::Broken { .. })));
    fs::remove_file(&plan.accounts).unwrap();
    plan.methods.push(Mechanism::Plain);
    assert!(matches!(open(&plan).err(), Some(AuthFault::Missing { .. })));
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let (provider, key) = (Provider::start(), Key::new("one"));
    provider.publish(&[&key]);
    let world = provider.world();
    for (name, value) in [("exp", NOW - 50), ("nbf", NOW + 50), ("iat", NOW + 50)] {
        let mut claims = provider.claims();
        claims[name] = json!(value);
        assert_eq!(&*accepted(show(&world, &key.sign(&claims)).await).account, "alice", "{name}");
    }
}

#[tokio::test]
async fn what_is_not_signed_by_the_issuer_is_refused() {
    let (provider, key, theirs) = (Provider::start(), Key::new("one"), Key::new("one"));
    provider.publish(&[&key]);
    let (world, claims) = (provider.world(), provider.claims());
    assert_eq!(why(&world, &theirs.sign(&claims)).await, "its signature does not hold");
    let other = Key::new("two").sign(&claims);
    assert_eq!(why(&world, &other).await, "it is signed with a key that the issuer does not have");
    // The public key as a shared secret, and no signature at all.
    let public = EncodingKey::from_secret(key.public().to_string().as_bytes());
    let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
    let shared = jsonwebtoken::encode(&header, &claims, &public).unwrap();
    assert_eq!(why(&world, &shared).await, "its algorithm is not allowed");
    let token = key.sign(&claims);
    let body = token.split('.').nth(1).unwrap();
    // The header says {"alg":"none","typ":"JWT"}.
    assert_eq!(why(&world, &format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.")).await, "it is no JWT");
    for broken in ["x", "a.b.c", &token[..token.len() - 2], &token.replace('.', "")] {
        why(&world, broken).await;
    }
}

#[tokio::test]
async fn a_new_key_is_found_and_the_provider_is_not_flooded() {
    let (provider, old, new) = (Provider::start(), Key::new("old"), Key::new("new"));
    provider.publish(&[&old]);
    let world = provider.world();
    accepted(show(&world, &old.sign(&provider.claims())).await);
    assert_eq!(provider.asked(), 2);
    provider.publish(&[&new]);
    // Asked again for a key that we do not know, but not within half a minute.
    let issuer = world.authenticator.issuer.as_ref().unwrap();
    let token = secret(&new.sign(&provider.claims()));
    assert!(matches!(issuer.user(&token).await, Err(TokenFault::Wrong(_))));
    assert_eq!(provider.asked(), 2);
    issuer.pretend_asked_earlier(31).await;
    assert_eq!(issuer.user(&token).await.as_deref(), Ok("alice"));
    assert_eq!(provider.asked(), 4);
    let gone = secret(&old.sign(&provider.claims()));
    assert!(matches!(issuer.user(&gone).await, Err(TokenFault::Wrong(_))));
}

#[tokio::test]
async fn a_provider_that_is_down_is_454_until_it_is_back() {
    let (provider, key) = (Provider::start(), Key::new("one"));
    provider.publish(&[&key]);
    let token = key.sign(&provider.claims());
    let world = provider.world();
    let issuer = world.authenticator.issuer.as_ref().unwrap();
    type Break = fn(&mut Documents, &str);
    let breaks: [(Break, &str); 6] = [
        (|documents, _| documents.status = 503, "it answers 503"),
        (|documents, _| documents.discovery = "<html>".to_owned(), "the answer is no JSON"),
        (|documents, _| documents.discovery = json!({"issuer": "https://x"}).to_string(), "is another issuer's"),
        (
            |documents, address| documents.discovery = json!({"issuer": address, "jwks_uri": "http://x"}).to_string(),
            "names no https address of its keys",
        ),
        (|documents, _| documents.keys = json!({"keys": []}).to_string(), "has no keys that we can use"),
        (|documents, _| documents.keys = "x".repeat(1_100_000), "the answer is cut or too long"),
    ];
    for (breaks, words) in breaks {
        provider.change(breaks);
        issuer.pretend_asked_earlier(31).await;
        assert!(refused(show(&world, &token).await).starts_with("454 4.7.0"), "{words}");
        let log = world.log();
        assert!(log.contains(words) && !log.contains(&token), "{words}: {log}");
        provider.change(|documents, address| {
            documents.status = 200;
            documents.discovery = json!({"issuer": address, "jwks_uri": format!("{address}/keys")}).to_string();
        });
        provider.publish(&[&key]);
    }
    issuer.pretend_asked_earlier(31).await;
    accepted(show(&world, &token).await);
    // Down again: the keys are good for a day.
    provider.change(|documents, _| documents.status = 503);
    for (hours, holds) in [(2, true), (23, true), (25, false)] {
        issuer.pretend_asked_earlier(hours * 3_600).await;
        assert_eq!(matches!(show(&world, &token).await, Verdict::Accepted(_)), holds, "{hours}");
    }
}

#[tokio::test]
async fn a_provider_with_a_strangers_certificate_is_not_believed() {
    let (provider, key) = (Provider::start(), Key::new("one"));
    provider.publish(&[&key]);
    let mut other = Provider::start();
    other.address.clone_from(&provider.address);
    // The world of `other` trusts its authority, and asks at the address of `provider`.
    let world = other.world();
    assert!(refused(show(&world, &key.sign(&provider.claims())).await).starts_with("454 4.7.0"));
    assert!(world.log().contains("invalid peer certificate"), "{}", world.log());
}

#[test]
fn an_authority_that_cannot_be_read_is_named() {
    for (text, words) in
        [("", "it has no certificate"), ("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", "")]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(folder.path());
        write_accounts(&plan.accounts, &accounts().print()).unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, text).unwrap();
        plan.methods = vec![Mechanism::Xoauth2];
        plan.oauth = Some(OAuth {
            issuer: "https://id.example".into(),
            audience: "relay".into(),
            user_claim: "email".into(),
            authority: Some(path),
        });
        let (log, clock) = (Log::nowhere(), Clock::starting_at(Timestamp(0)));
        let fault = Authenticator::open(plan, Passwords::new(1), log, clock, None).err().unwrap().to_string();
        assert!(fault.contains("ca.pem cannot be used: ") && fault.contains(words), "{fault}");
    }
}

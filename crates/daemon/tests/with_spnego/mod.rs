//! NTLM as others wrote it (pyspnego): their client against our server, raw and wrapped in SPNEGO, and our client against their
//! server, with and without a channel.
//!
//! Theirs runs in a Python of its own (`MAILROOT_TEST_PYTHON`, or `python3`) and hands its tokens over in base64; they go
//! straight into an exchange, as the session would hand them.

use daemon::auth::{self, Authenticator, ChannelFacts, Passwords, Plan, Verdict};
use daemon::clock::Clock;
use daemon::log::Log;
use daemon::tls::{TlsFacts, TlsVersion};
use relay::account::lockout::LockoutRule;
use relay::account::{Account, Accounts, NtHash};
use smtp::sasl::client::{self, ClientExchange, Fresh};
use smtp::sasl::scram::Bindings;
use smtp::sasl::{Mechanism, Secret, base64, ntlm};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const END_POINT: &[u8; 32] = b"the hash of a certificate, 32 oc";

const CLIENT: &str = r#"
import base64, sys, spnego
from spnego.channel_bindings import GssChannelBindings
protocol, user, password, end_point = sys.argv[1:5]
bindings = None
if end_point:
    bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + base64.b64decode(end_point))
client = spnego.client(user, password, hostname="relay.example.com", service="smtp", protocol=protocol, channel_bindings=bindings)
token = client.step()
while token:
    print(base64.b64encode(token).decode(), flush=True)
    line = sys.stdin.readline().strip()
    if not line:
        break
    token = client.step(base64.b64decode(line))
"#;

const SERVER: &str = r#"
import base64, sys, spnego
from spnego.channel_bindings import GssChannelBindings
end_point = sys.argv[1]
bindings = None
if end_point:
    bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + base64.b64decode(end_point))
server = spnego.server(hostname="mx.example.com", service="smtp", protocol="ntlm", channel_bindings=bindings)
try:
    while not server.complete:
        token = server.step(base64.b64decode(sys.stdin.readline()))
        if token:
            print(base64.b64encode(token).decode(), flush=True)
    print("welcome", server.client_principal, flush=True)
except spnego.exceptions.SpnegoError as error:
    print("refused", type(error).__name__, flush=True)
"#;

/// The other side, ended with the test.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn authenticator(folder: &std::path::Path) -> Arc<Authenticator> {
    let mut accounts = Accounts::new(None);
    for name in ["alice", "bob@corp.example"] {
        let mut account = Account::new(name);
        account.nt_hash = Some(NtHash(ntlm::nt_hash("s3cret pä$$")));
        accounts.put(account);
    }
    let path = folder.join("accounts.toml");
    auth::write_accounts(&path, &accounts.print()).unwrap();
    let plan = Plan {
        methods: vec![Mechanism::Ntlm],
        default_domain: None,
        accounts: path,
        keytab: None,
        host: "relay.example.com".into(),
        oauth: None,
        lockout: LockoutRule { after: 5, lasts: Duration::from_secs(900) },
    };
    Authenticator::open(plan, Passwords::new(1), Log::nowhere(), Clock::start(), None).unwrap()
}

fn channel(end_point: Option<&[u8]>) -> ChannelFacts {
    let tls = end_point.map(|end_point| {
        Arc::new(TlsFacts {
            version: TlsVersion::Tls13,
            cipher: "TLS_AES_128_GCM_SHA256",
            sni: None,
            exporter: None,
            server_end_point: Arc::from(end_point),
            client_certificate: None,
        })
    });
    ChannelFacts { tls }
}

/// What the client is told in the end: its account, or the reply.
async fn log_on(arguments: [&str; 3], seen: Option<&[u8]>, ours: Option<&[u8]>) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let python = std::env::var("MAILROOT_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let child = Command::new(python)
        .args(["-c", CLIENT])
        .args(arguments)
        .arg(seen.map(base64::encode).unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut client = Client(child);
    let mut says = BufReader::new(client.0.stdout.take().unwrap()).lines();
    let mut hears = client.0.stdin.take().unwrap();
    let mut exchange = authenticator(folder.path()).begin(Mechanism::Ntlm, &[Mechanism::Ntlm], PEER, &channel(ours));
    loop {
        let token = says.next().expect("the client says no more").unwrap();
        match exchange.step(base64::decode(token.as_bytes())).await {
            Verdict::Challenge(octets) => writeln!(hears, "{}", base64::encode(&octets)).unwrap(),
            Verdict::Accepted(identity) => return Ok(identity.account.into()),
            Verdict::Refused(reply) => return Err(reply.one_line()),
        }
    }
}

/// What their server says in the end to our client.
fn log_on_there(name: &str, password: &str, seen: Option<&[u8]>, theirs: Option<&[u8]>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, "CORP:alice:s3cret pä$$\n").unwrap();
    let python = std::env::var("MAILROOT_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let child = Command::new(python)
        .args(["-c", SERVER])
        .arg(theirs.map(base64::encode).unwrap_or_default())
        .env("NTLM_USER_FILE", &users)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut server = Client(child);
    let mut says = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let mut hears = server.0.stdin.take().unwrap();
    let password = Secret::new(password.as_bytes().to_vec());
    let account = client::Account { name, domain: None, password: &password };
    let bindings = Bindings { exporter: None, server_end_point: seen };
    let channel = client::Channel { host: "mx.example.com", bindings, plus_offered: false };
    let fresh = Fresh { chance: *b"twenty-four octets of it", filetime: 0 };
    let mut exchange = ClientExchange::by_password(Mechanism::Ntlm, account, channel, &fresh).unwrap();
    let mut token = exchange.start().unwrap();
    loop {
        writeln!(hears, "{}", base64::encode(&token)).unwrap();
        let line = says.next().expect("the server says no more").unwrap();
        match base64::decode(line.as_bytes()) {
            Some(challenge) => token = exchange.respond(&challenge).unwrap(),
            None => return line,
        }
    }
}

#[test]
fn our_client_is_believed_with_the_right_password_alone() {
    for end_point in [None, Some(&END_POINT[..])] {
        let said = log_on_there("CORP\\alice", "s3cret pä$$", end_point, end_point);
        assert_eq!(said, "welcome CORP\\alice");
        assert!(log_on_there("CORP\\alice", "s3cret", end_point, end_point).starts_with("refused"));
    }
    // Somebody sits in between.
    let said = log_on_there("CORP\\alice", "s3cret pä$$", Some(b"another"), Some(END_POINT));
    assert_eq!(said, "refused BadBindingsError");
}

#[tokio::test]
async fn the_right_password_raw_and_wrapped() {
    for protocol in ["ntlm", "negotiate"] {
        for (user, account) in [
            ("alice", "alice"),
            ("CORP\\Alice", "alice"),
            ("bob@corp.example", "bob@corp.example"),
            ("CORP.EXAMPLE\\BOB", "bob@corp.example"),
        ] {
            assert_eq!(
                log_on([protocol, user, "s3cret pä$$"], None, None).await.as_deref(),
                Ok(account),
                "{protocol} {user}"
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name() {
    for (protocol, user, password) in [
        ("ntlm", "alice", "s3cret"),
        ("negotiate", "alice", "s3cret"),
        ("ntlm", "carol", "s3cret pä$$"),
        ("ntlm", "OTHER\\bob", "s3cret pä$$"),
    ] {
        let refused = log_on([protocol, user, password], None, None).await.unwrap_err();
        assert!(refused.starts_with("535 5.7.8"), "{user}: {refused}");
    }
}

#[tokio::test]
async fn the_channel_is_looked_at() {
    let alice = ["ntlm", "alice", "s3cret pä$$"];
    assert!(log_on(alice, Some(END_POINT), Some(END_POINT)).await.is_ok());
    assert!(log_on(alice, None, Some(END_POINT)).await.is_ok(), "a client that knows of no channels");
    for (seen, ours) in [(&b"another"[..], Some(&END_POINT[..])), (END_POINT, None)] {
        assert!(log_on(alice, Some(seen), ours).await.unwrap_err().starts_with("535 5.7.8"));
    }
}

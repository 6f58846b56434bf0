//! NTLM as a client that others wrote speaks it (pyspnego): raw and wrapped in SPNEGO, with and without a channel.
//!
//! The client runs in a Python of its own (`MAILROOT_TEST_PYTHON`, or `python3`) and hands its tokens over in base64; they go
//! straight into an exchange, as the session would hand them.

use daemon::auth::{self, Authenticator, ChannelFacts, Passwords, Plan, Verdict};
use daemon::clock::Clock;
use daemon::log::Log;
use daemon::tls::{TlsFacts, TlsVersion};
use relay::account::lockout::LockoutRule;
use relay::account::{Account, Accounts, NtHash};
use smtp::sasl::{Mechanism, base64, ntlm};
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

/// The client, ended with the test.
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
        clear_text_from: Vec::new(),
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
    let mut exchange = authenticator(folder.path()).begin(Mechanism::Ntlm, PEER, &channel(ours));
    loop {
        let token = says.next().expect("the client says no more").unwrap();
        match exchange.step(base64::decode(token.as_bytes())).await {
            Verdict::Challenge(octets) => writeln!(hears, "{}", base64::encode(&octets)).unwrap(),
            Verdict::Accepted(identity) => return Ok(identity.account.into()),
            Verdict::Refused(reply) => return Err(reply.one_line()),
        }
    }
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

//! Plays the scripts of `tests/explain`: `explain ADDRESS [at N] [name NAME] [tls] [certificate NAME] [auth NAME [by METHOD]] FROM TO`.
//! The only account is `anna`, with a password
//! and no keys, who may send as `anna@local.test`; `carl` is disabled.

use crate::script::play;
use relay::account::{Account, Accounts, PasswordHash, SenderPattern};
use relay::config::VirtualServer;
use relay::explain::{Inquiry, Logon, explain};
use relay::gate::{self, CertificateIdentity, Client, Means, PeerName, TlsIdentity};
use smtp::address::Domain;
use smtp::sasl::Mechanism;

/// Of some password; made by argon2-cffi.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$MtFIpzlDpajLX7P/9Ty9CA$wUlq3KMXIIm1AntrwE4NmIjb4Cmupwc7VZAs6fcF6aU";

#[test]
fn scripts() {
    play("explain", |server, _: &mut (), line| Some(answer(server, line)));
}

fn answer(server: &VirtualServer, line: &str) -> String {
    let mut words = line.strip_prefix("explain ").unwrap().split(' ').peekable();
    let address = words.next().unwrap().parse().unwrap();
    // Where that matters it has been asked for, and there is none.
    let nameless = if gate::needs_name(server) { PeerName::None } else { PeerName::NotAsked };
    let (mut listener, mut name, mut tls, mut names, mut auth, mut by) = (0, nameless, false, None, None, None);
    while let Some(word) = words.peek().copied() {
        let mut value = || words.nth(1).unwrap();
        match word {
            "at" => listener = value().parse().unwrap(),
            "name" => name = PeerName::Confirmed(Domain::parse(value()).unwrap()),
            "certificate" => names = Some(vec![Box::from(value())]),
            "auth" => auth = Some(value()),
            "by" => by = Mechanism::parse(value()),
            "tls" => {
                tls = true;
                words.next();
            }
            _ => break,
        }
    }
    let anna = Account {
        password: PasswordHash::parse(HASH),
        may_send_as: vec![SenderPattern::parse("anna@local.test").unwrap()],
        ..Account::new("anna")
    };
    let carl = Account { disabled: true, ..Account::new("carl") };
    let mut accounts = Accounts::new(None);
    [anna, carl].into_iter().for_each(|account| accounts.put(account));
    let certificate =
        names.as_ref().map(|names| CertificateIdentity { sha256: &[7; 32], names, subject: "CN=somebody" });
    let tls = (tls || certificate.is_some()).then_some(TlsIdentity { certificate, exporter: true });
    let stranger = Client::stranger(address, server.general.listen[listener]);
    let inquiry = Inquiry {
        client: Client { name: &name, tls, ..stranger },
        means: Means { tickets: true, tokens: true, nt_hashes: false },
        logon: auth.map(|name| Logon { name, accounts: &accounts, mechanism: by }),
        sender: words.next().unwrap(),
        recipient: words.next().unwrap(),
    };
    let decisions = explain(server, &inquiry);
    let told: Vec<String> = decisions.iter().map(ToString::to_string).collect();
    told.concat().trim_end().replace('\n', "\n  ")
}

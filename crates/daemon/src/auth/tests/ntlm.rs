//! NTLM exchanges from the outside; the proofs themselves are tested where they are judged (`smtp::sasl::ntlm`).

use super::*;
use smtp::sasl::ntlm::nt_hash;

fn ntlm_world() -> World {
    let mut accounts = accounts();
    let mut alice = accounts.find("alice").unwrap().clone();
    alice.nt_hash = Some(relay::account::NtHash(nt_hash("s3cret")));
    accounts.put(alice);
    World::with(&accounts, |plan| plan.methods = vec![Mechanism::Ntlm])
}

/// A first message: Unicode, NTLM, extended security.
fn negotiate() -> Vec<u8> {
    let mut message = b"NTLMSSP\0\x01\0\0\0\x01\x02\x08\0".to_vec();
    message.extend([0; 16]);
    message
}

#[tokio::test]
async fn the_challenge_names_us_and_is_fresh() {
    let world = ntlm_world();
    let mut nonces = Vec::new();
    for initial in [true, false] {
        let mut exchange = world.begin(Mechanism::Ntlm);
        let answer = if initial {
            exchange.step(Some(negotiate())).await
        } else {
            assert!(challenge(exchange.step(None).await).is_empty());
            exchange.step(Some(negotiate())).await
        };
        let message = challenge(answer);
        assert!(message.starts_with(b"NTLMSSP\0\x02\0\0\0"));
        let host: Vec<u8> = "relay.example.com".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(message.windows(host.len()).any(|window| window == host));
        nonces.push(message[24..32].to_vec());
        assert!(refused(exchange.step(Some(b"NTLMSSP\0\x03\0\0\0".to_vec())).await).starts_with("501 5.5.2"));
    }
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn it_is_offered_where_an_account_has_what_it_needs() {
    assert!(ntlm_world().authenticator.means().nt_hashes);
    let without = World::with(&accounts(), |plan| plan.methods = vec![Mechanism::Ntlm]);
    assert!(!without.authenticator.means().nt_hashes);
}

/// A second message with a proof that proves nothing.
fn guess(user: &str, domain: &str) -> Vec<u8> {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut response = vec![7; 16];
    response.extend([1, 1]);
    response.extend([0; 30]);
    let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let mut payload = Vec::new();
    for field in [Vec::new(), response, utf16(domain), utf16(user), Vec::new(), Vec::new()] {
        let length = u16::try_from(field.len()).unwrap().to_le_bytes();
        message.extend([length, length].concat());
        message.extend(u32::try_from(64 + payload.len()).unwrap().to_le_bytes());
        payload.extend(field);
    }
    message.extend(0x0008_0201_u32.to_le_bytes());
    message.extend(payload);
    message
}

/// An account answers to its bare name under any domain, so all spellings must come to one count for names that nobody has, too.
#[tokio::test(start_paused = true)]
async fn a_lock_does_not_tell_which_names_there_are() {
    let away = [IpAddr::from([198, 51, 100, 1]), IpAddr::from([198, 51, 100, 2])];
    let mut accounts = Accounts::new(None);
    for name in ["alice", "erin@corp"] {
        let nt_hash = Some(relay::account::NtHash(nt_hash("s3cret")));
        accounts.put(Account { nt_hash, ..account(name, "s3cret") });
    }
    for name in ["alice", "erin", "nobody"] {
        let world = World::with(&accounts, |plan| plan.methods = vec![Mechanism::Ntlm]);
        let attempt = async |from: IpAddr, domain: &str| {
            let mut exchange =
                world.authenticator.begin(Mechanism::Ntlm, &[Mechanism::Ntlm], from, &ChannelFacts::default());
            challenge(exchange.step(Some(negotiate())).await);
            refused(exchange.step(Some(guess(name, domain))).await)
        };
        for _ in 0..5 {
            assert!(attempt(away[0], "CORP").await.starts_with("535 "), "{name}");
        }
        assert!(attempt(away[1], "CORP").await.starts_with("454 "), "{name}: locked, from elsewhere too");
        assert!(attempt(away[1], "OTHER").await.starts_with("454 "), "{name}: and under another domain");
    }
}

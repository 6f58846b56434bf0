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
    let channel = ChannelFacts::default();
    assert_eq!(ntlm_world().authenticator.usable(PEER, &channel), [Mechanism::Ntlm]);
    let without = World::with(&accounts(), |plan| plan.methods = vec![Mechanism::Ntlm]);
    assert!(without.authenticator.usable(PEER, &channel).is_empty());
}

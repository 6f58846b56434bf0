//! Any octets as NTLM's messages, raw and in SPNEGO: never a panic, and never a proof that holds.
//!
//! The first octet says how the input is cut into the client's two messages; a first message that is none is replaced by a
//! sound one, so that the second one is always reached. Nobody's password is behind the hash, so nothing may hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::sasl::Secret;
use smtp::sasl::ntlm::Acceptor;

const NEGOTIATE: &[u8] = b"NTLMSSP\0\x01\0\0\0\x01\x02\x08\xe0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const NONCE: [u8; 8] = *b"8 octets";

fuzz_target!(|input: &[u8]| {
    let Some((cut, octets)) = input.split_first() else { return };
    let (first, second) = octets.split_at(usize::from(*cut).min(octets.len()));
    let acceptor = match Acceptor::challenge(first, "relay.example.com", NONCE, 0) {
        Ok((acceptor, _)) => acceptor,
        Err(_) => match Acceptor::challenge(NEGOTIATE, "relay.example.com", NONCE, 0) {
            Ok((acceptor, _)) => acceptor,
            Err(_) => unreachable!("the sound message is refused"),
        },
    };
    let Ok(claim) = acceptor.read(second) else { return };
    let hash = Secret::new(vec![0x5a; 16]);
    for end_point in [None, Some(&b"end point"[..])] {
        assert!(claim.judge(&hash, end_point).is_err(), "a proof holds");
    }
});

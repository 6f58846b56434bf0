//! The published example of NTLMv2 ([MS-NLMP] §4.2.4), a client of our own for what the example lacks, and every message
//! with every octet changed.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}

#[test]
fn the_hash_and_the_cipher_of_the_published_example() {
    assert_eq!(nt_hash("Password").reveal(), hex("a4f49c406510bdcab6824ee7c30fd852"));
    // §4.2.4.2.3: the session key 55… under the base key of the example.
    let base: [u8; 16] = hex("8de40ccadbc14a82f15cb0ad0de95ca3").try_into().unwrap();
    let mut key = [0x55; 16];
    rc4(&base, &mut key);
    assert_eq!(key.to_vec(), hex("c5dad2544fc9799094ce1ce90bc9d03e"));
}

/// A client that does what it is told.
#[derive(Clone)]
struct Client {
    user: &'static str,
    domain: &'static str,
    hash: Secret,
    says_code: bool,
    makes_code: bool,
    exchanges_key: bool,
    channel: Option<[u8; 16]>,
    wrapped: bool,
    ascii: bool,
}

const END_POINT: &[u8] = b"the hash of a certificate";

fn alice() -> Client {
    Client {
        user: "Alice",
        domain: "CORP",
        hash: nt_hash("s3cret"),
        says_code: true,
        makes_code: true,
        exchanges_key: true,
        channel: None,
        wrapped: false,
        ascii: false,
    }
}

impl Client {
    fn negotiate(&self) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend(1u32.to_le_bytes());
        let exchange = if self.exchanges_key { flag::KEY_EXCHANGE } else { 0 };
        let letters = if self.ascii { flag::OEM } else { flag::UNICODE };
        out.extend((letters | flag::NTLM | flag::EXTENDED_SECURITY | exchange).to_le_bytes());
        out.extend([0; 16]);
        out
    }

    fn first(&self) -> Vec<u8> {
        if !self.wrapped {
            return self.negotiate();
        }
        // NegTokenInit with NTLM alone, by hand.
        let token = self.negotiate();
        let mut init =
            vec![0xa0, 0x0e, 0x30, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
        init.extend([0xa2, u8::try_from(token.len() + 2).unwrap(), 0x04, u8::try_from(token.len()).unwrap()]);
        init.extend(token);
        let length = u8::try_from(init.len()).unwrap();
        let mut out =
            vec![0x60, length + 12, 0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02, 0xa0, length + 2, 0x30, length];
        out.extend(init);
        out
    }

    /// The challenge's server nonce and its pairs, without the end.
    fn looks_at(challenge: &[u8]) -> ([u8; 8], Vec<u8>) {
        let length = usize::from(u16::from_le_bytes(challenge[40..42].try_into().unwrap()));
        let at = u32::from_le_bytes(challenge[44..48].try_into().unwrap()) as usize;
        (challenge[24..32].try_into().unwrap(), challenge[at..at + length - 4].to_vec())
    }

    fn second(&self, challenge: &[u8]) -> Vec<u8> {
        let challenge = if self.wrapped {
            let at = challenge.windows(8).position(|window| window == SIGNATURE).unwrap();
            &challenge[at..]
        } else {
            challenge
        };
        let (nonce, mut pairs) = Client::looks_at(challenge);
        if self.says_code {
            put_pair(&mut pairs, pair::FLAGS, &HAS_CODE.to_le_bytes());
        }
        if let Some(channel) = self.channel {
            put_pair(&mut pairs, pair::CHANNEL, &channel);
        }
        put_pair(&mut pairs, pair::END, &[]);
        let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
        blob.extend([0; 8]);
        blob.extend([0xaa; 8]);
        blob.extend([0; 4]);
        blob.extend(&pairs);
        blob.extend([0; 4]);
        let owner = utf16(&format!("{}{}", self.user.to_uppercase(), self.domain));
        let keyed = Keyed::<Md5>::new(&Keyed::<Md5>::new(self.hash.reveal()).code(&[&owner]));
        let proof = keyed.code(&[&nonce, &blob]);
        let base: [u8; 16] = keyed.code(&[&proof]).into();
        let exported = if self.exchanges_key { [0x55; 16] } else { base };
        let mut sent_key = exported;
        rc4(&base, &mut sent_key);
        let mut response = proof.to_vec();
        response.extend(blob);
        self.authenticate(challenge, &response, &exported, &sent_key)
    }

    fn authenticate(&self, challenge: &[u8], response: &[u8], exported: &[u8; 16], sent_key: &[u8; 16]) -> Vec<u8> {
        let letters = if self.ascii { Letters::Ascii } else { Letters::Utf16 };
        let (user, domain) = (letters.write(self.user), letters.write(self.domain));
        let key: &[u8] = if self.exchanges_key { sent_key } else { &[] };
        let mut out = SIGNATURE.to_vec();
        out.extend(3u32.to_le_bytes());
        let mut payload = Vec::new();
        for part in [&[0; 24][..], response, &domain, &user, &[], key] {
            wire::put_field(&mut out, part.len(), 88 + payload.len());
            payload.extend_from_slice(part);
        }
        let exchange = if self.exchanges_key { flag::KEY_EXCHANGE } else { 0 };
        out.extend((flag::UNICODE | exchange).to_le_bytes());
        out.extend([0; 8 + 16]);
        out.extend(payload);
        if self.makes_code {
            let code = Keyed::<Md5>::new(exported).code(&[&self.negotiate(), challenge, &out]);
            out[CODE].copy_from_slice(&code);
        }
        if !self.wrapped {
            return out;
        }
        let long = |tag: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82, length[0], length[1]], content].concat()
        };
        long(0xa1, &long(0x30, &long(0xa2, &long(0x04, &out))))
    }
}

const NONCE: [u8; 8] = *b"8 octets";

fn begin(client: &Client) -> (Acceptor, Vec<u8>) {
    Acceptor::challenge(&client.first(), "mx.corp.example", NONCE, 0x01da_0000_0000_0000).unwrap()
}

fn outcome(client: &Client, hash: &Secret, end_point: Option<&[u8]>) -> Result<(), NtlmFault> {
    let (acceptor, challenge) = begin(client);
    let claim = acceptor.read(&client.second(&challenge)).unwrap();
    assert_eq!((&*claim.user, &*claim.domain), (client.user, client.domain));
    claim.judge(hash, end_point)
}

#[test]
fn the_response_of_the_published_example_holds() {
    // §4.2.4: user "User", domain "Domain", password "Password", server challenge 0123456789abcdef.
    let blob = hex("01010000 00000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000 02000c00 44006f006d00610069006e00
         01000c00 530065007200760065007200 00000000 00000000");
    let proof = hex("68cd0ab851e51c96aabc927bebef6a1c");
    let client = Client { user: "User", domain: "Domain", says_code: false, makes_code: false, ..alice() };
    let mut response = proof;
    response.extend(&blob);
    let (mut acceptor, challenge) = begin(&client);
    acceptor.nonce = hex("0123456789abcdef").try_into().unwrap();
    let message = client.authenticate(&challenge, &response, &[0; 16], &[0; 16]);
    let claim = acceptor.read(&message).unwrap();
    assert_eq!(claim.judge(&nt_hash("Password"), None), Ok(()));
    assert_eq!(claim.judge(&nt_hash("Passwore"), None), Err(NtlmFault::Wrong));
}

#[test]
fn the_right_password_in_every_form() {
    let right = nt_hash("s3cret");
    for says_code in [true, false] {
        for exchanges_key in [true, false] {
            for wrapped in [true, false] {
                let client = Client { says_code, makes_code: says_code, exchanges_key, wrapped, ..alice() };
                assert_eq!(outcome(&client, &right, None), Ok(()));
                assert_eq!(outcome(&client, &right, Some(END_POINT)), Ok(()));
                assert_eq!(outcome(&client, &nt_hash("s3cre"), None), Err(NtlmFault::Wrong));
            }
        }
    }
    // As curl does: names in ASCII, no code, no key.
    let ascii = Client { ascii: true, says_code: false, makes_code: false, exchanges_key: false, ..alice() };
    assert_eq!(outcome(&ascii, &right, None), Ok(()));
    assert_eq!(outcome(&ascii, &nt_hash("x"), None), Err(NtlmFault::Wrong));
    let (acceptor, challenge) = begin(&ascii);
    assert_eq!(challenge[20] & 3, 2);
    assert!(challenge[56..].starts_with(b"MX"));
    assert!(acceptor.read(&Client { ascii: false, user: "Ålice", ..ascii }.second(&challenge)).is_err(), "not ASCII");
    let principal = Client { user: "alice@corp.example", domain: "", ..alice() };
    assert_eq!(outcome(&principal, &right, None), Ok(()));
    let accent = Client { user: "straße", domain: "", ..alice() };
    // Windows does not make two letters of one; this client does.
    assert_eq!(outcome(&accent, &right, None), Err(NtlmFault::Wrong));
    assert_eq!(upper('ß'), 'ß');
    assert_eq!(upper('é'), 'É');
}

#[test]
fn a_code_that_was_promised_must_be_right() {
    let right = nt_hash("s3cret");
    assert_eq!(outcome(&Client { makes_code: false, ..alice() }, &right, None), Err(NtlmFault::Wrong));
    // To take the promise out of the response breaks the response.
    let (acceptor, challenge) = begin(&alice());
    let mut message = alice().second(&challenge);
    let at = message.windows(8).position(|window| window == [6, 0, 4, 0, 2, 0, 0, 0]).unwrap();
    message[at + 4] = 0;
    assert_eq!(acceptor.read(&message).unwrap().judge(&right, None), Err(NtlmFault::Wrong));
}

#[test]
fn the_channel_must_be_ours() {
    let right = nt_hash("s3cret");
    let bound = |end_point: &[u8]| Client { channel: Some(channel_name(end_point)), ..alice() };
    assert_eq!(outcome(&bound(END_POINT), &right, Some(END_POINT)), Ok(()));
    assert_eq!(outcome(&bound(b"another"), &right, Some(END_POINT)), Err(NtlmFault::Channel));
    assert_eq!(outcome(&bound(END_POINT), &right, None), Err(NtlmFault::Channel));
    // Zeroes say that the client knows of no channel.
    assert_eq!(outcome(&Client { channel: Some([0; 16]), ..alice() }, &right, Some(END_POINT)), Ok(()));
}

#[test]
fn an_answer_to_another_challenge_does_not_hold() {
    let (_, challenge) = begin(&alice());
    let message = alice().second(&challenge);
    let (acceptor, _) = Acceptor::challenge(&alice().first(), "mx.corp.example", *b"8 others", 0).unwrap();
    assert_eq!(acceptor.read(&message).unwrap().judge(&nt_hash("s3cret"), None), Err(NtlmFault::Wrong));
}

#[test]
fn version_1_is_refused() {
    for length in [0, 1, 16, 24, 44, 47] {
        let (acceptor, challenge) = begin(&alice());
        let message = alice().authenticate(&challenge, &vec![1; length], &[0; 16], &[0; 16]);
        assert!(acceptor.read(&message).is_err(), "{length}");
    }
}

#[test]
fn what_is_no_first_message_is_refused() {
    let challenge = |message: &[u8]| Acceptor::challenge(message, "mx", NONCE, 0).map(drop);
    for wrapped in [false, true] {
        let good = Client { wrapped, ..alice() }.first();
        assert!(challenge(&good).is_ok());
        let needed = if wrapped { good.len() } else { 16 };
        for length in 0..needed {
            assert!(challenge(&good[..length]).is_err(), "{length}");
        }
    }
    let mut without_letters = alice().first();
    without_letters[12] &= !3;
    assert!(challenge(&without_letters).is_err());
    assert!(challenge(&[&alice().first()[..], &[0; MESSAGE_MAX]].concat()).is_err());
}

/// Chance from a seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Tries a changed last message: it must not panic; it may hold only if it says what the unchanged one said.
fn attempt(client: &Client, message: &[u8], what: &str) {
    let (acceptor, _) = begin(client);
    let Ok(claim) = acceptor.read(message) else { return };
    if claim.judge(&nt_hash("s3cret"), None).is_ok() {
        let same = claim.user.to_uppercase() == client.user.to_uppercase() && *claim.domain == *client.domain;
        assert!(same, "{what}: {} {}", claim.user, claim.domain);
        assert!(!client.says_code || client.wrapped, "{what}: a message with a code was changed and holds");
    }
}

#[test]
fn every_octet_and_every_field_changed_never_panics_and_never_opens() {
    for (says_code, wrapped) in [(true, false), (false, false), (true, true)] {
        let client = Client { says_code, makes_code: says_code, wrapped, ..alice() };
        let (_, challenge) = begin(&client);
        let good = client.second(&challenge);
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, good[at] ^ 1, good[at].wrapping_add(1)] {
                let mut message = good.clone();
                message[at] = value;
                if message != good {
                    attempt(&client, &message, &format!("{at}={value}"));
                }
            }
            attempt(&client, &good[..at], &format!("cut at {at}"));
        }
        for field in [12, 20, 28, 36, 44, 52] {
            for length in [0u16, 1, 15, 16, 0x7fff, 0xffff] {
                for offset in [0u32, 63, 64, 87, 88, 1_000, 0x7fff_ffff, 0xffff_fff0, u32::MAX] {
                    let mut message = good.clone();
                    message[field..field + 2].copy_from_slice(&length.to_le_bytes());
                    message[field + 4..field + 8].copy_from_slice(&offset.to_le_bytes());
                    if message != good {
                        attempt(&client, &message, &format!("{field}: {length} at {offset}"));
                    }
                }
            }
        }
        let mut dice = Dice(0x5eed);
        for round in 0..20_000 {
            let mut message = good.clone();
            for _ in 0..=dice.throw() % 4 {
                let at = usize::try_from(dice.throw()).unwrap() % message.len();
                message[at] = dice.throw().to_le_bytes()[0];
            }
            if message != good {
                attempt(&client, &message, &format!("round {round}"));
            }
        }
    }
}

#[test]
fn any_octets_at_all_never_panic() {
    let mut dice = Dice(0xd1ce);
    for _ in 0..20_000 {
        let length = usize::try_from(dice.throw() % 200).unwrap();
        let mut message: Vec<u8> = (0..length).map(|_| dice.throw().to_le_bytes()[0]).collect();
        let start: &[u8] =
            [&b"NTLMSSP\0\x01\0\0\0"[..], b"NTLMSSP\0\x03\0\0\0", b"\x60\x30\x06\x06", b"\xa1\x81"][length % 4];
        message.splice(..start.len().min(length), start.iter().copied());
        let _ = Acceptor::challenge(&message, "mx", NONCE, 0).map(drop);
        for wrapped in [false, true] {
            let _ = begin(&Client { wrapped, ..alice() }).0.read(&message).map(drop);
        }
    }
}

//! SPNEGO around NTLM: just enough to take the token out, and to wrap the challenge as the question was wrapped.
//!
//! The client's first choice must be NTLM; no other method is negotiated here. RFC 4178 §4.2.

/// NTLMSSP, 1.3.6.1.4.1.311.2.2.10
const NTLM: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
/// SPNEGO, 1.3.6.1.5.5.2
const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];

const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// How tokens come.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Wrapping {
    Raw,
    Spnego,
}

/// The token in a client's first message.
pub(super) fn unwrap_first(message: &[u8]) -> Option<(Wrapping, &[u8])> {
    if message.first() != Some(&0x60) {
        return Some((Wrapping::Raw, message));
    }
    let inner = whole(0x60, message)?;
    let (oid, inner) = element(OBJECT, inner)?;
    let init = whole(SEQUENCE, whole(0xa0, inner)?)?;
    let (kinds, rest) = element(0xa0, init)?;
    let (first, _) = element(OBJECT, whole(SEQUENCE, kinds)?)?;
    if oid != SPNEGO || first != NTLM {
        return None;
    }
    // Flags may stand between.
    let rest = element(0xa1, rest).map_or(rest, |(_, rest)| rest);
    let (token, _) = element(0xa2, rest)?;
    Some((Wrapping::Spnego, whole(OCTETS, token)?))
}

impl Wrapping {
    /// Wraps a token of ours.
    pub(super) fn wrap(self, token: &[u8]) -> Vec<u8> {
        if self == Wrapping::Raw {
            return token.to_vec();
        }
        // accept-incomplete
        let mut inner = put(0xa0, &[0x0a, 0x01, 0x01]);
        inner.extend(put(0xa1, &put(OBJECT, NTLM)));
        inner.extend(put(0xa2, &put(OCTETS, token)));
        put(0xa1, &put(SEQUENCE, &inner))
    }

    /// The token in a client's next message, which is wrapped as the first was.
    pub(super) fn unwrap_next(self, message: &[u8]) -> Option<&[u8]> {
        if self == Wrapping::Raw {
            return Some(message);
        }
        let mut rest = whole(SEQUENCE, whole(0xa1, message)?)?;
        // The state and the method may stand before the token.
        for tag in [0xa0, 0xa1] {
            rest = element(tag, rest).map_or(rest, |(_, rest)| rest);
        }
        let (token, _) = element(0xa2, rest)?;
        whole(OCTETS, token)
    }
}

/// The content of the element with this tag that `octets` begins with, and what follows it (DER, lengths up to 64 KB).
fn element(tag: u8, octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = octets.split_first_chunk::<2>()?;
    let (length, rest) = match head[1] {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        _ => return None,
    };
    (head[0] == tag).then(|| rest.split_at_checked(length)).flatten()
}

/// The content, if the element is all there is.
fn whole(tag: u8, octets: &[u8]) -> Option<&[u8]> {
    element(tag, octets).filter(|(_, rest)| rest.is_empty()).map(|(content, _)| content)
}

fn put(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = match content.len() {
        0..=0x7f => vec![tag, length[1]],
        0x80..=0xff => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    out.extend_from_slice(content);
    out
}

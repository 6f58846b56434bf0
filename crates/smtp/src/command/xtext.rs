//! xtext: how ENVID and ORCPT carry any octet in visible ASCII.
//!
//! `+` and two upper-case hexadecimal digits stand for an octet; `+`, `=`, spaces and everything that is not visible
//! ASCII must be written so. Values are passed on as they came, so reading is strict: what we let in, the next hop
//! must be able to read.
//!
//! RFC 3461 §4.

/// Writes octets as xtext.
#[must_use]
pub fn xtext_encode(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        if is_xchar(octet) {
            text.push(char::from(octet));
        } else {
            text.push('+');
            text.push(char::from(DIGITS[usize::from(octet >> 4)]));
            text.push(char::from(DIGITS[usize::from(octet & 15)]));
        }
    }
    text
}

/// Reads xtext; `None` if it is not that. The octets may be anything: who shows them cleans them first.
#[must_use]
pub fn xtext_decode(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            octet if is_xchar(octet) => octet,
            _ => return None,
        });
    }
    Some(octets)
}

/// Stands for itself.
fn is_xchar(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b'+' && octet != b'='
}

fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(xtext_decode(&xtext_encode(&all)), Some(all));
        assert_eq!(xtext_encode(b"a+b=c d"), "a+2Bb+3Dc+20d");
    }

    #[test]
    fn what_is_no_xtext_is_refused() {
        for bad in ["+", "+4", "+4g", "+4a", "+ab", "a=b", "a b", "é", "\u{1}"] {
            assert_eq!(xtext_decode(bad), None, "{bad:?}");
        }
        assert_eq!(xtext_decode("").unwrap(), b"");
        assert_eq!(xtext_decode("+0D+0A").unwrap(), b"\r\n");
    }
}

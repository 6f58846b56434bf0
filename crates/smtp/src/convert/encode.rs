//! Quoted-printable and base64, lines of at most 76 characters.
//!
//! RFC 2045 §6.7 and §6.8.

/// Characters of an encoded line.
const LINE_MAX: usize = 76;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Encodes text: a CRLF stays a line end, every other CR or LF is an octet like any other.
pub(crate) fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 4 + 16);
    let mut column = 0;
    let mut at = 0;
    while let Some(&b) = octets.get(at) {
        if b == b'\r' && octets.get(at + 1) == Some(&b'\n') {
            out.extend_from_slice(b"\r\n");
            column = 0;
            at += 2;
            continue;
        }
        let ends_line = matches!(octets.get(at + 1..), None | Some([] | [b'\r', b'\n', ..]));
        // A blank before a line end would be lost on the way.
        let plain = matches!(b, b'!'..=b'<' | b'>'..=b'~') || (matches!(b, b' ' | b'\t') && !ends_line);
        let width = if plain { 1 } else { 3 };
        // The last place of a line is for the soft break, unless the line ends here anyway.
        if column + width > if ends_line { LINE_MAX } else { LINE_MAX - 1 } {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if plain {
            out.push(b);
        } else {
            out.extend_from_slice(&[b'=', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
        column += width;
        at += 1;
    }
    out
}

/// Encodes anything; every line, the last too, ends with CRLF.
pub(crate) fn base64(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() / 57 * 78 + 80);
    for line in octets.chunks(LINE_MAX / 4 * 3) {
        out.extend_from_slice(crate::sasl::base64::encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded_qp(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < text.len() {
            if text[at] != b'=' {
                out.push(text[at]);
                at += 1;
                continue;
            }
            if &text[at + 1..at + 3] != b"\r\n" {
                let hex = std::str::from_utf8(&text[at + 1..at + 3]).unwrap();
                out.push(u8::from_str_radix(hex, 16).unwrap());
            }
            at += 3;
        }
        out
    }

    fn lines_are_good(text: &[u8]) -> bool {
        text.is_ascii()
            && text.split(|&b| b == b'\n').all(|line| {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                line.len() <= LINE_MAX && !line.contains(&b'\r') && !line.ends_with(b" ") && !line.ends_with(b"\t")
            })
    }

    #[test]
    fn quoted_printable_gives_back_every_octet() {
        let mut all: Vec<u8> = (0..=255).collect();
        all.extend(b"=\r\ntrailing \r\ntab\t\r\n \r\n");
        all.extend([b'a'; 75]);
        all.extend(b"\r\n");
        all.extend([b'a'; 76]);
        all.extend(b"\r\n");
        all.extend([b'a'; 77]);
        all.extend("ü".repeat(100).as_bytes());
        all.extend(b"end ");
        let text = quoted_printable(&all);
        assert!(lines_are_good(&text), "{}", String::from_utf8_lossy(&text));
        assert_eq!(decoded_qp(&text), all);
        assert_eq!(quoted_printable(b"caf\xc3\xa9 = 1\r\n"), b"caf=C3=A9 =3D 1\r\n");
        for length in 70..80 {
            for end in [&b"\r\n"[..], b"", b"x\r\n", b" \r\n", b"\xff"] {
                let octets = [vec![b'a'; length].as_slice(), end].concat();
                assert!(lines_are_good(&quoted_printable(&octets)));
                assert_eq!(decoded_qp(&quoted_printable(&octets)), octets);
            }
        }
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (octets, text) in [
            (&b""[..], &b""[..]),
            (b"f", b"Zg==\r\n"),
            (b"fo", b"Zm8=\r\n"),
            (b"foo", b"Zm9v\r\n"),
            (b"foobar", b"Zm9vYmFy\r\n"),
            (b"\xff\xfe\xfd", b"//79\r\n"),
        ] {
            assert_eq!(base64(octets), text);
        }
        let long = base64(&[0xa5; 1_000]);
        assert!(long.split(|&b| b == b'\n').all(|line| line.len() <= LINE_MAX + 1));
        assert_eq!(long.iter().filter(|b| !matches!(b, b'\r' | b'\n')).count(), 1_336);
    }
}

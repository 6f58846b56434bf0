//! The dot machine against an oracle, over every body of a small alphabet, and on shapes known from attacks.

use super::*;
use bytes::Bytes;

/// What a decoder makes of a whole input that comes in pieces.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    /// The content, unless it is refused.
    content: Option<Vec<u8>>,
    /// What is left after the end, if the end was found.
    rest: Option<Vec<u8>>,
}

fn decode(mut decoder: Decoder, input: &[u8], pieces: usize) -> Outcome {
    let mut content = Vec::new();
    let mut given = 0;
    let mut rest = None;
    while given < input.len() && rest.is_none() {
        let end = input.len().min(given + pieces);
        let mut buffer = BytesMut::from(&input[given..end]);
        given = end;
        let decoded = decoder.decode(&mut buffer);
        content.extend_from_slice(&decoded.content);
        rest = decoded.ended.then(|| [&buffer, &input[given..]].concat());
        assert!(decoded.ended || buffer.is_empty());
        assert!(decoded.content.is_empty() || decoder.fault().is_none());
    }
    Outcome { content: decoder.fault().is_none().then_some(content), rest }
}

/// The oracle: find the first end; replace line ends; look for what is left of CR, LF, NUL; take leading dots off.
fn oracle(input: &[u8], newlines: BareNewlines) -> Outcome {
    let framed = [b"\r\n", input].concat();
    let end = memchr::memmem::find(&framed, b"\r\n.\r\n");
    let body = String::from_utf8(framed[2..end.map_or(framed.len(), |end| end + 2)].to_vec()).unwrap();
    let mut body = body.replace("\r\n", "N");
    if newlines == BareNewlines::Normalize {
        body = body.replace('\n', "N");
    }
    let refused = body.contains(['\r', '\n', '\0']);
    let unstuff = |line: &str| if line == "." { ".".into() } else { line.strip_prefix('.').unwrap_or(line).to_owned() };
    let content = body.split('N').map(unstuff).collect::<Vec<_>>().join("\r\n");
    let rest = end.map(|end| framed[end + 5..].to_vec());
    Outcome { content: (!refused).then(|| content.into_bytes()), rest }
}

/// All strings over the alphabet of the given length.
fn for_each_string(alphabet: &[u8], length: usize, mut check: impl FnMut(&[u8])) {
    let mut digits = vec![0; length];
    loop {
        check(&digits.iter().map(|&d: &usize| alphabet[d]).collect::<Vec<_>>());
        let Some(place) = digits.iter().rposition(|&d| d + 1 < alphabet.len()) else { return };
        digits[place] += 1;
        digits[place + 1..].fill(0);
    }
}

fn check_all(newlines: BareNewlines, longest: usize) {
    for length in 0..=longest {
        for_each_string(b".\r\nx", length, |body| {
            let input = [body, b"\r\n.\r\n"].concat();
            let expected = oracle(&input, newlines);
            for pieces in [1, 2, 7] {
                let got = decode(Decoder::dotted(newlines), &input, pieces);
                assert_eq!(got, expected, "{:?} in pieces of {pieces}, {newlines:?}", Bytes::copy_from_slice(&input));
            }
        });
    }
}

#[test]
fn every_body_of_nine_octets_ends_where_it_must() {
    check_all(BareNewlines::Reject, 9);
}

#[test]
fn every_body_of_eight_octets_is_normalised_alike() {
    check_all(BareNewlines::Normalize, 8);
}

/// Long lines, and shapes that begin anywhere in a block and end anywhere in the next.
#[test]
fn block_borders_change_nothing() {
    let shapes: [&[u8]; 12] = [
        b"\r\n.x", b"\r\n..", b"\r\n.\r", b"\r\n.\n", b"\n.\r\n", b"\r", b"\n", b"\0", b"\r\r\n", b"\n\r\n", b"\n..x",
        b".",
    ];
    for newlines in [BareNewlines::Reject, BareNewlines::Normalize] {
        for shape in shapes {
            for before in (BLOCK - 6..=BLOCK + 3).chain(2 * BLOCK - 3..=2 * BLOCK + 3) {
                let line = vec![b'a'; before];
                let input = [b"\r\n", line.as_slice(), shape, &line, b"\r\n.\r\nNOOP\r\n"].concat();
                let expected = oracle(&input, newlines);
                for pieces in [before, 255, 4096] {
                    assert_eq!(decode(Decoder::dotted(newlines), &input, pieces), expected, "{shape:?} after {before}");
                }
            }
        }
    }
}

/// threats S1, S2: none of these ends a message, whatever the policy, and what follows is not run.
#[test]
fn only_crlf_dot_crlf_ends() {
    let shapes: [&[u8]; 24] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r.\n",
        b"\n.\r",
        b"\n\r.\n\r",
        b"\r\r\n.\r\r\n",
        b"\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n. \r\n",
        b"\r\n.\t\r\n",
        b"\r\0\n.\r\n",
        b"\x0b.\x0b",
        b"\x0c.\x0c",
        b"\xc2\x85.\xc2\x85",
        b"\xe2\x80\xa8.\xe2\x80\xa8",
        b"\n..\r\n",
        b"\r\n..\r\n",
        b" .\r\n",
        b"\r\n.\n\r\n",
    ];
    for shape in shapes {
        for newlines in [BareNewlines::Reject, BareNewlines::Normalize] {
            let input = [b"Subject: x", shape, b"MAIL FROM:<evil@x.test>\r\n.\r\nQUIT\r\n"].concat();
            for pieces in [1, 2, 3, 7, 4096] {
                let got = decode(Decoder::dotted(newlines), &input, pieces);
                assert_eq!(got.rest.as_deref(), Some(b"QUIT\r\n".as_slice()), "{shape:?}");
                if let Some(content) = got.content {
                    let left = String::from_utf8_lossy(&content).replace("\r\n", "");
                    assert!(!left.contains(['\r', '\n', '\0']), "{shape:?}");
                }
            }
        }
    }
}

/// threats S3: the last five octets are CRLF . CRLF, so it does end; the CR before them is a fault.
#[test]
fn a_doubled_cr_before_the_end_does_end() {
    let got = decode(Decoder::dotted(BareNewlines::Reject), b"x\r\r\n.\r\nNOOP\r\n", 1);
    assert_eq!(got, Outcome { content: None, rest: Some(b"NOOP\r\n".to_vec()) });
}

/// threats S6: dots at every place of a long line, cut at every octet of a small window.
/// Bodies of many short lines, dots before most of them, with and without something forbidden in their midst, in pieces of
/// every size: what is quick must say the same as the oracle.
#[test]
fn lines_of_dots_are_taken_off_alike() {
    let lines: [&[u8]; 9] =
        [b"..\r\n", b"..x\r\n", b"\r\n", b"x\r\n", b"...\r\n", b"..\n", b"..\rx\r\n", b"..\0\r\n", b".x.\r\n"];
    for newlines in [BareNewlines::Reject, BareNewlines::Normalize] {
        for (many, line) in lines.iter().enumerate() {
            for odd in lines {
                let before = line.repeat(60 + many);
                let input = [&before, odd, &before, b".\r\nnoop\r\n..\r\n".as_slice()].concat();
                let expected = oracle(&input, newlines);
                for pieces in (1..=9).chain([255, 256, 257, 258, 4_096]) {
                    let got = decode(Decoder::dotted(newlines), &input, pieces);
                    assert!(got == expected, "{line:?} and {odd:?} in pieces of {pieces}, {newlines:?}");
                }
            }
        }
    }
}

#[test]
fn dots_within_long_lines_are_kept() {
    for length in [511, 512, 1023, 4095, 4096, 65_535] {
        let mut line = vec![b'a'; length];
        line[length - 1] = b'.';
        let input = [&line, b"\r\n".as_slice(), &line, b"\r\n.\r\n"].concat();
        for pieces in [length - 1, length, length + 1, 8_192] {
            let got = decode(Decoder::dotted(BareNewlines::Reject), &input, pieces);
            assert_eq!(got.content.unwrap(), input[..input.len() - 3]);
        }
    }
}

#[test]
fn faults_are_named() {
    for (body, fault) in [
        ("a\rb", BodyFault::BareCr),
        ("a\nb", BodyFault::BareLf),
        ("a\0b", BodyFault::Nul),
        ("\n\r\0", BodyFault::BareLf),
    ] {
        let mut decoder = Decoder::dotted(BareNewlines::Reject);
        decoder.decode(&mut BytesMut::from(body));
        assert_eq!(decoder.fault(), Some(fault), "{body:?}");
    }
}

#[test]
fn clean_content_is_not_copied() {
    let text = b"0123456789 of clean text\r\n".repeat(1000);
    let mut input = BytesMut::from(text.as_slice());
    let start = input.as_ptr();
    let decoded = Decoder::dotted(BareNewlines::Reject).decode(&mut input);
    assert_eq!((decoded.content.as_ptr(), decoded.content.len()), (start, text.len()));
    let mut input = BytesMut::from([b"..stuffed\r\n", text.as_slice(), b".\r\nQUIT\r\n"].concat().as_slice());
    let start = input.as_ptr();
    let decoded = Decoder::dotted(BareNewlines::Reject).decode(&mut input);
    assert_eq!((decoded.content.as_ptr(), decoded.content.len()), (start, text.len() + 10));
    assert_eq!(input.as_ref(), b"QUIT\r\n");
}

#[test]
fn chunks_of_lines_keep_their_dots_and_go_over_borders() {
    let body = b".\r\n..x\r\n.\r\nMAIL FROM:<a@b.test>\r\n.";
    for pieces in 1..body.len() {
        let mut decoder = Decoder::chunked(BareNewlines::Reject, BodyKind::SevenBit);
        let mut content = Vec::new();
        for piece in body.chunks(pieces) {
            let decoded = decoder.decode(&mut BytesMut::from(piece));
            assert!(!decoded.ended);
            content.extend_from_slice(&decoded.content);
        }
        decoder.finish();
        assert_eq!((decoder.fault(), content.as_slice()), (None, body.as_slice()));
    }
}

#[test]
fn chunks_of_lines_have_the_faults_of_lines() {
    for (body, fault) in [
        (b"a\rb".as_slice(), Some(BodyFault::BareCr)),
        (b"a\n", Some(BodyFault::BareLf)),
        (b"a\0", Some(BodyFault::Nul)),
        (b"a\r", Some(BodyFault::BareCr)),
        (b"a\r\n", None),
        (b"", None),
    ] {
        let mut decoder = Decoder::chunked(BareNewlines::Reject, BodyKind::EightBitMime);
        decoder.decode(&mut BytesMut::from(body));
        decoder.finish();
        assert_eq!(decoder.fault(), fault, "{body:?}");
    }
    let mut decoder = Decoder::chunked(BareNewlines::Normalize, BodyKind::SevenBit);
    assert_eq!(decoder.decode(&mut BytesMut::from(b"a\n.\nb".as_slice())).content, b"a\r\n.\r\nb".as_slice());
}

#[test]
fn binary_chunks_hold_anything() {
    let body = b"\0\r\n.\r\n\n\r\r";
    let mut decoder = Decoder::chunked(BareNewlines::Reject, BodyKind::BinaryMime);
    let decoded = decoder.decode(&mut BytesMut::from(body.as_slice()));
    decoder.finish();
    assert_eq!((decoded.content.as_ref(), decoder.fault()), (body.as_slice(), None));
}

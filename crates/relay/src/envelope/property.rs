//! Printing and parsing an envelope loses nothing, whatever is in it; whatever was cut or bent is refused.

use super::*;
use smtp::address::Host;
use std::borrow::Cow;

/// A small generator (SplitMix64): the same seed, the same envelopes.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }
    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
    fn option<T>(&mut self, make: impl FnOnce(&mut Chance) -> T) -> Option<T> {
        if self.coin() { Some(make(self)) } else { None }
    }
    /// Text made to break a line-based form.
    fn text(&mut self) -> Box<str> {
        const PIECES: [&str; 24] = [
            "",
            " ",
            "a",
            "end",
            "\n",
            "\r\n",
            "\nend\n",
            "\nrecipient: evil@x.test\n fate: held",
            "\0",
            "\u{1b}[31m",
            "\\",
            "\\u{a}",
            "\\n",
            ":",
            ": ",
            "ü",
            "\u{2028}",
            "\u{85}",
            "\t",
            "<>",
            "0-9",
            "mailroot envelope 1\n",
            "\u{feff}",
            "🦀",
        ];
        (0..self.below(6)).map(|_| *self.pick(&PIECES)).collect::<String>().into()
    }
    fn time(&mut self) -> Timestamp {
        *self.pick(&[
            Timestamp(0),
            Timestamp(1),
            Timestamp(1_795_330_800_123),
            Timestamp(253_402_207_199_999),
            Timestamp(253_402_207_200_000),
            Timestamp(-1),
            Timestamp::NEVER,
            Timestamp(i64::MIN),
        ])
    }
    fn mailbox(&mut self) -> Mailbox {
        let long = format!("{}@{}", "l".repeat(64), ["d".repeat(60).as_str(); 4].join("."));
        let (local, host) = long.split_once('@').unwrap();
        let texts = [
            "a@b.test",
            "\"a b@c\\\"\"@b.test",
            "küche@bücher.test",
            "x@[IPv6:::ffff:192.0.2.1]",
            "x@[192.0.2.1]",
            "end@recipient.test",
        ];
        match self.below(7) {
            0 => Mailbox::new(local, Host::parse(host).unwrap()).unwrap(),
            n => Mailbox::parse(texts[usize::try_from(n - 1).unwrap()]).unwrap(),
        }
    }
    fn status(&mut self) -> EnhancedStatus {
        *self.pick(&[
            EnhancedStatus(5, 1, 1),
            EnhancedStatus(4, 4, 7),
            EnhancedStatus(0, 65535, 0),
            EnhancedStatus(255, 0, 999),
        ])
    }
    fn failure(&mut self) -> Failure {
        use FailureKind as K;
        let kinds = [K::Refused, K::Unreachable, K::Dns, K::Tls, K::Auth, K::Unsupported, K::Quota, K::Local, K::Loop];
        let kind = match self.below(11) {
            0 => K::Expired,
            1 => K::Operator,
            _ => *self.pick(&kinds),
        };
        Failure {
            kind,
            status: self.status(),
            host: self.option(Chance::text),
            reply: self.option(|c| Reply {
                code: u16::try_from(c.below(65_536)).unwrap(),
                status: c.option(Chance::status),
                lines: (0..c.below(4)).map(|_| Cow::Owned(c.text().into())).collect(),
            }),
            text: self.text(),
        }
    }
    fn fate(&mut self) -> Fate {
        match self.below(7) {
            6 => Fate::Deleted { at: self.time() },
            0 => Fate::Pending { tries: u16::try_from(self.below(65_536)).unwrap(), due: self.time() },
            1 => Fate::Held,
            2 => Fate::Delivered { at: self.time(), by: self.text() },
            3 => Fate::Failed(Box::new(self.failure())),
            4 => Fate::Reported { at: self.time() },
            _ => Fate::Badmail { at: self.time() },
        }
    }
    fn recipient(&mut self) -> Recipient {
        Recipient {
            address: self.mailbox(),
            orcpt: self.option(Chance::text),
            notify: match self.below(3) {
                0 => Notify::Default,
                1 => Notify::Never,
                _ => Notify::On { success: self.coin(), failure: self.coin(), delay: self.coin() },
            },
            fate: self.fate(),
            delay_noticed: self.coin(),
        }
    }
    fn channel(&mut self) -> Channel {
        let texts = ["TLSv1.3 TLS_AES_256_GCM_SHA384 name", "TLSv1.2 X dane auth PLAIN", "clear auth NTLM"];
        Channel::parse(self.pick::<&str>(&texts)).unwrap()
    }
    fn numbers(&mut self) -> Vec<u32> {
        let mut all = Vec::new();
        for _ in 0..self.below(4) {
            let first = *self.pick(&[0, 1, 5, 6, u32::MAX - 2, u32::MAX]);
            let count = u32::try_from(1 + self.below(4)).unwrap();
            all.extend((0..count).filter_map(|i| first.checked_add(i)));
        }
        all
    }
    fn envelope(&mut self) -> Envelope {
        Envelope {
            sender: if self.coin() { ReversePath::Null } else { ReversePath::Mailbox(self.mailbox()) },
            arrived: self.time(),
            origin: match self.below(3) {
                0 => Origin::Smtp {
                    peer: self.pick(&["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"]).parse().unwrap(),
                    helo: self.text(),
                    account: if self.coin() { None } else { Some(self.text()) },
                },
                1 => Origin::Pickup { file: self.text() },
                _ => Origin::Report { about: QueueId(self.next()) },
            },
            size: self.next(),
            body: *self.pick(&[BodyKind::SevenBit, BodyKind::EightBitMime, BodyKind::BinaryMime]),
            utf8: self.coin(),
            ret: *self.pick(&[None, Some(Ret::Full), Some(Ret::Headers)]),
            envid: self.option(Chance::text),
            require_tls: self.coin(),
            waives_tls: self.coin(),
            recipients: (0..=self.below(4)).map(|_| self.recipient()).collect(),
            attempts: (0..self.below(4))
                .map(|_| Attempt {
                    at: self.time(),
                    host: self.text(),
                    recipients: self.numbers(),
                    said: self.text(),
                    channel: self.option(Chance::channel).map(Arc::new),
                })
                .collect(),
            released: self.option(Chance::time),
            subject: self.option(Chance::text),
        }
    }
}

#[test]
fn what_is_printed_reads_back() {
    let mut chance = Chance(7);
    for _ in 0..20_000 {
        let envelope = chance.envelope();
        let text = envelope.print();
        assert_eq!(Envelope::parse(&text), Ok(envelope.clone()), "{text}");
        assert_eq!(Envelope::parse(&text.replace('\n', "\r\n")), Ok(envelope), "{text}");
    }
}

#[test]
fn whatever_was_cut_is_refused() {
    let mut chance = Chance(8);
    for _ in 0..300 {
        let text = chance.envelope().print();
        for end in (0..text.len() - 1).filter(|i| text.is_char_boundary(*i)) {
            assert!(Envelope::parse(&text[..end]).is_err(), "cut at {end}: {text}");
        }
    }
}

#[test]
fn bent_texts_never_panic_and_never_become_something_else_silently() {
    let mut chance = Chance(9);
    for _ in 0..3_000 {
        let mut octets = chance.envelope().print().into_bytes();
        for _ in 0..=chance.below(3) {
            let at = usize::try_from(chance.below(octets.len() as u64)).unwrap();
            octets[at] ^= 1 << chance.below(8);
        }
        let text = String::from_utf8_lossy(&octets);
        if let Ok(envelope) = Envelope::parse(&text) {
            assert_eq!(Envelope::parse(&envelope.print()), Ok(envelope));
        }
    }
}

#[test]
fn the_form_is_the_documented_one() {
    let text = "mailroot envelope 1
arrived: 2026-11-22T07:00:00.123Z
origin: smtp 192.0.2.7 printer.example.com
sender: alice@example.com
size: 10240
recipient: bob@example.net
 notify: failure delay
 fate: pending tries 2 due 2026-11-22T07:15:00.000Z
attempt: 2026-11-22T07:00:01.500Z mx.example.net [192.0.2.9]:25
 recipients: 0
 said: 451 4.3.2 try again later
end
";
    let envelope = Envelope::parse(text).unwrap();
    assert_eq!(envelope.recipients[0].fate, Fate::Pending { tries: 2, due: Timestamp(1_795_331_700_000) });
    assert_eq!(envelope.print(), text);
}

/// The account is a line of its own, which older envelopes lack; only a client has one.
#[test]
fn who_had_authenticated_is_kept() {
    let text = "mailroot envelope 1\narrived: 0ms\norigin: smtp 192.0.2.7 x\naccount: bob\nsender: <>\nsize: 1\n\
                recipient: a@b.test\n fate: held\nend\n";
    let envelope = Envelope::parse(text).unwrap();
    let with = |account| Origin::Smtp { peer: "192.0.2.7".parse().unwrap(), helo: "x".into(), account };
    assert_eq!(envelope.origin, with(Some("bob".into())));
    assert!(envelope.print().contains("x\naccount: bob\nsender"), "{}", envelope.print());
    let older = text.replace("account: bob\n", "");
    assert_eq!(Envelope::parse(&older).unwrap().origin, with(None));
    assert!(Envelope::parse(&text.replace("smtp 192.0.2.7 x", "pickup x")).is_err());
}

#[test]
fn several_recipients_are_numbered_for_the_reader() {
    let text = "mailroot envelope 1\narrived: 0ms\norigin: pickup x\nsender: <>\nsize: 1\n\
                recipient: a@b.test\n fate: held\nrecipient: c@d.test\n fate: held\nend\n";
    let printed = Envelope::parse(text).unwrap().print();
    assert!(
        printed.contains("recipient: a@b.test\n number: 0\n fate: held\nrecipient: c@d.test\n number: 1\n"),
        "{printed}"
    );
    let mended = printed.replace("recipient: a@b.test\n number: 0\n fate: held\n", "");
    assert_eq!(Envelope::parse(&mended).unwrap().recipients.len(), 1, "a number that is off is no fault");
}

#[test]
fn what_is_not_understood_is_refused() {
    let good = "mailroot envelope 1\narrived: 0ms\norigin: pickup x\nsender: <>\nsize: 1\nrecipient: a@b.test\n fate: held\nend\n";
    assert!(Envelope::parse(good).is_ok());
    for (from, to) in [
        ("envelope 1", "envelope 2"),
        ("size: 1\n", ""),
        ("size: 1\n", "size: 1\nsize: 1\n"),
        ("size: 1\n", "size: -1\n"),
        ("size: 1\n", "colour: red\n"),
        ("size: 1\n", "size\n"),
        (" fate: held\n", ""),
        (" fate: held\n", " fate: held\n fate: held\n"),
        (" fate: held\n", " fate: failed local 5.0.0\n"),
        (" fate: held\n", " fate: held\n failed-text: x\n"),
        (" fate: held\n", " fate: held\n failed-said: x\n"),
        ("recipient: a@b.test\n fate: held\n", ""),
        ("a@b.test", "a b@b.test"),
        ("pickup x", "pickup \\x"),
        ("end\n", "attempt: 0ms h\n recipients: 0-4294967295\n said: x\nend\n"),
        ("end\n", "attempt: 0ms h\n recipients: 2-1\n said: x\nend\n"),
        ("end\n", "end\nmore\n"),
        ("end\n", "friend\n"),
    ] {
        let bad = good.replace(from, to);
        assert!(Envelope::parse(&bad).is_err(), "{bad}");
    }
}

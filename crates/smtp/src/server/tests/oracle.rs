//! Commands in any order, their octets split anywhere; a second, much simpler mind says which replies must come.

use super::*;
use crate::sasl::Mechanism;

const SEEDS: u64 = 1_500;
const LINES: usize = 40;
/// Follows STARTTLS in the clear, and must never be heard of.
const POISON: &[u8] = b"EHLO evil.test\r\nMAIL FROM:<evil@b.test>\r\n";

const VOCABULARY: [&str; 21] = [
    "EHLO c.test",
    "MAIL FROM:<a@b.test>",
    "MAIL FROM:<a@b.test> AUTH=<>",
    "RCPT TO:<c@d.test>",
    "RSET",
    "NOOP",
    "VRFY c",
    "STARTTLS",
    "STARTTLS now",
    "AUTH",
    "AUTH PLAIN AHUAZ29vZA==",
    "auth plain AHUAYmFk",
    "AUTH PLAIN =",
    "AUTH PLAIN AHUAYmFk=",
    "AUTH LOGIN",
    "AUTH LOGIN dXNlcg==",
    "AUTH CRAM-MD5",
    "AUTH PLAIN AHUA YmFk",
    "*",
    "Z29vZA==",
    "YmFk",
];

/// What the second mind knows of a session.
#[derive(Default)]
struct Oracle {
    starttls: bool,
    tls_required: bool,
    auth_required: bool,
    clear_text: bool,
    secured: bool,
    greeted: bool,
    authenticated: bool,
    sender: bool,
    /// Challenges that an open exchange by PLAIN or LOGIN still needs.
    open: Option<u8>,
    failures: u8,
    over: bool,
}

impl Oracle {
    /// The code of the reply to a line.
    fn code(&mut self, line: &str) -> u16 {
        if let Some(left) = self.open.take() {
            return self.response(line, left);
        }
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let may_come_first = ["EHLO", "NOOP", "STARTTLS", "AUTH"].contains(&verb.to_uppercase().as_str());
        match verb {
            "*" | "Z29vZA==" | "YmFk" => 500,
            _ if self.tls_required && !self.secured && !may_come_first => 530,
            "EHLO" => {
                (self.greeted, self.sender) = (true, false);
                250
            }
            "NOOP" => 250,
            "VRFY" => 252,
            "RSET" => {
                self.sender = false;
                250
            }
            "STARTTLS" if !self.starttls => 502,
            "STARTTLS" if !rest.is_empty() => 501,
            "STARTTLS" if self.secured || !self.greeted || self.sender => 503,
            "STARTTLS" => {
                (self.secured, self.greeted, self.authenticated) = (true, false, false);
                220
            }
            "MAIL" if !self.greeted => 503,
            "MAIL" if self.auth_required && !self.authenticated => 530,
            "MAIL" if self.sender => 503,
            "MAIL" => {
                self.sender = true;
                250
            }
            "RCPT" if self.sender => 250,
            "RCPT" => 503,
            _ => self.auth(rest),
        }
    }

    fn auth(&mut self, rest: &str) -> u16 {
        let words: Vec<_> = rest.split(' ').filter(|word| !word.is_empty()).collect();
        let usable = self.secured || self.clear_text;
        match words.as_slice() {
            [] | [_, _, _, ..] => 501,
            _ if !self.greeted || self.authenticated || self.sender => 503,
            [mechanism, ..] if *mechanism == "CRAM-MD5" => {
                if self.tls_required && !self.secured {
                    530
                } else {
                    504
                }
            }
            _ if !usable => 538,
            ["PLAIN" | "plain", "="] => self.judge("="),
            ["PLAIN" | "plain", response] => self.response(response, 1),
            ["LOGIN"] => {
                self.open = Some(2);
                334
            }
            ["LOGIN", _] => {
                self.open = Some(1);
                334
            }
            _ => unreachable!("{rest}"),
        }
    }

    fn response(&mut self, response: &str, left: u8) -> u16 {
        if response == "*" || !response.len().is_multiple_of(4) || response.contains([' ', ':', '<', '*']) {
            return 501;
        }
        if left > 1 {
            self.open = Some(left - 1);
            return 334;
        }
        self.judge(response)
    }

    fn judge(&mut self, response: &str) -> u16 {
        if ["AHUAZ29vZA==", "Z29vZA=="].contains(&response) {
            self.authenticated = true;
            return 235;
        }
        self.failures += 1;
        self.over = self.failures > AUTH_FAILURES_MAX;
        if self.over { 421 } else { 535 }
    }
}

/// The real session, and a driver that knows one password.
struct Driver {
    session: Session,
    now: Timestamp,
    codes: Vec<u16>,
    /// Responses that the open exchange still needs.
    needs: u8,
    tls_begins: bool,
}

impl Driver {
    fn send(&mut self, octets: &[u8]) {
        if self.session.wants_input() {
            self.session.receive(octets);
        }
        loop {
            match self.session.next(self.now) {
                Some(Step::Send(replies)) => self.note(&replies),
                Some(Step::Ask(question)) => {
                    let answer = self.answer(question);
                    self.session.answer(answer);
                }
                Some(Step::StartTls) => self.tls_begins = true,
                Some(_) => {}
                None if self.session.held.is_some() => self.now = self.session.deadline(),
                None => return,
            }
        }
    }

    fn secure(&mut self) {
        let mechanisms = vec![Mechanism::Plain, Mechanism::Login];
        let offer = Offer { secured: true, mechanisms, under_tls: Vec::new(), ..Offer::clone(&self.session.offer) };
        self.session.secured(Arc::new(offer), self.now);
        self.tls_begins = false;
    }

    fn note(&mut self, replies: &[u8]) {
        let text = std::str::from_utf8(replies).unwrap();
        let last = |line: &&str| line.as_bytes()[3] == b' ';
        self.codes.extend(text.lines().filter(last).map(|line| line[..3].parse::<u16>().unwrap()));
    }

    fn answer(&mut self, question: Question) -> Answer {
        let response = match question {
            Question::Auth { mechanism: Mechanism::Login, initial } => {
                self.needs = 2;
                initial
            }
            Question::Auth { initial, .. } => {
                self.needs = 1;
                initial
            }
            Question::AuthResponse(response) => Some(response),
            _ => return Answer::Accept,
        };
        let Some(response) = response else { return Answer::Challenge(b"Username:".to_vec()) };
        self.needs -= 1;
        match (self.needs, response.as_slice()) {
            (1.., _) => Answer::Challenge(b"Password:".to_vec()),
            (_, b"good" | b"\0u\0good") => Answer::Accept,
            _ => Answer::Refuse(Reply::new(535, 7, 8, "No")),
        }
    }
}

fn run(seed: u64) -> (usize, usize) {
    let mut chance = robustness::Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut flip = |of: u64| chance.below(of) == 0;
    let mut oracle = Oracle {
        starttls: !flip(4),
        tls_required: flip(4),
        auth_required: flip(3),
        clear_text: flip(2),
        ..Oracle::default()
    };
    let both = vec![Mechanism::Plain, Mechanism::Login];
    let (mechanisms, under_tls) = if oracle.clear_text { (both, Vec::new()) } else { (Vec::new(), both) };
    let offer = Offer {
        starttls: oracle.starttls,
        tls_required: oracle.tls_required,
        secured: false,
        mechanisms,
        under_tls,
        auth_required: oracle.auth_required,
    };
    let name = |text| Domain::parse(text).unwrap();
    let settings = Settings { errors_max: 1_000, ..Settings::new(name("mx.test"), name("contoso.test")) };
    let peer = IpAddr::from([192, 0, 2, 1]);
    let session = Session::new(Arc::new(settings), Arc::new(offer), peer, START);
    let mut driver = Driver { session, now: START, codes: Vec::new(), needs: 0, tls_begins: false };
    driver.send(b"");
    let (mut said, mut expected, mut unsent) = (Vec::new(), vec![220], Vec::new());
    for _ in 0..LINES {
        let line = if chance.below(4) == 0 { "EHLO c.test" } else { chance.of(&VOCABULARY) };
        said.push(line);
        let code = oracle.code(line);
        expected.push(code);
        unsent.extend_from_slice(line.as_bytes());
        unsent.extend_from_slice(b"\r\n");
        if code == 220 {
            unsent.extend_from_slice(POISON);
        }
        if code == 220 || oracle.over || chance.below(3) == 0 {
            let pieces = 1 + usize::try_from(chance.below(30)).unwrap();
            unsent.chunks(pieces).for_each(|piece| driver.send(piece));
            if driver.tls_begins {
                driver.secure();
            }
            unsent.clear();
        }
        if oracle.over {
            break;
        }
    }
    driver.send(&unsent);
    assert_eq!(driver.codes, expected, "seed {seed}: {said:#?}");
    (usize::from(oracle.secured), usize::from(oracle.authenticated))
}

#[test]
fn a_second_mind_comes_to_the_same_replies() {
    let (mut secured, mut authenticated) = (0, 0);
    for seed in 0..SEEDS {
        let (under_tls, logged_on) = run(seed);
        secured += under_tls;
        authenticated += logged_on;
    }
    assert!(secured > 300 && authenticated > 200, "{secured} under TLS, {authenticated} logged on");
}

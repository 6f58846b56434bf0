//! EHLO keywords: what this relay offers, and what another server's reply to EHLO is understood to offer.
//!
//! One value serves both sides, so that a keyword cannot be spelt in two ways. Keywords that we have no use for are
//! passed over when they are read. Whether an extension is *used* is decided by the session machines.
//!
//! RFC 5321 §4.1.1.1 (EHLO), RFC 1869 §4; RFC 1870, 2034, 2920, 3030, 3207, 3461, 4954, 6152, 6531, 8689. IIS: section 4.1 of its
//! protocol (the order of the lines).

use crate::reply::Reply;
use crate::sasl::{Mechanism, Mechanisms};

/// The service extensions that one server offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extensions {
    /// PIPELINING: commands may follow one another without waiting (RFC 2920).
    pub pipelining: bool,
    /// SIZE: `None` not offered; `Some(None)` offered without a fixed limit; `Some(Some(octets))` the limit
    /// (RFC 1870).
    pub size: Option<Option<u64>>,
    /// 8BITMIME: lines of octets may be sent (RFC 6152).
    pub eight_bit: bool,
    /// BINARYMIME: content need not consist of lines (RFC 3030).
    pub binary: bool,
    /// CHUNKING: BDAT in place of DATA (RFC 3030).
    pub chunking: bool,
    /// DSN: RET, ENVID, NOTIFY and ORCPT (RFC 3461).
    pub dsn: bool,
    /// ENHANCEDSTATUSCODES: replies carry a status such as `5.7.1` (RFC 2034).
    pub enhanced: bool,
    /// SMTPUTF8: addresses and header fields beyond ASCII (RFC 6531).
    pub utf8: bool,
    /// STARTTLS: the rest may go under TLS (RFC 3207).
    pub starttls: bool,
    /// AUTH, with whatever methods, and MAIL AUTH= (RFC 4954).
    pub auth: bool,
    /// The methods of AUTH that another server lists, those that we know. Of our own server the session's offer has them.
    pub mechanisms: Mechanisms,
    /// REQUIRETLS: a message may ask to go under verified TLS or not at all (RFC 8689).
    pub require_tls: bool,
    /// VRFY is listed.
    pub verify: bool,
    /// HELP is listed.
    pub help: bool,
}

impl Extensions {
    /// What this relay offers to everybody, with its limit for a message in octets. STARTTLS, AUTH and REQUIRETLS come on
    /// top where they are to be had.
    #[must_use]
    pub const fn ours(size_max: Option<u64>) -> Extensions {
        Extensions {
            pipelining: true,
            size: Some(size_max),
            eight_bit: true,
            binary: true,
            chunking: true,
            dsn: true,
            enhanced: true,
            utf8: true,
            starttls: false,
            auth: false,
            mechanisms: Mechanisms::NONE,
            require_tls: false,
            verify: true,
            help: true,
        }
    }

    /// All that there is, for whoever reads commands and does not know what was offered.
    #[must_use]
    pub const fn everything() -> Extensions {
        Extensions { starttls: true, auth: true, require_tls: true, ..Extensions::ours(None) }
    }

    /// Reads a server's positive reply to EHLO; its first line is the greeting.
    ///
    /// A limit of zero means that there is no fixed limit (RFC 1870 §3), and so does one that is no number: the
    /// server will then say so when it is given too much.
    #[must_use]
    pub fn parse(reply: &Reply) -> Extensions {
        let mut found = Extensions::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => found.pipelining = true,
                "SIZE" => found.size = Some(words.next().and_then(limit)),
                "8BITMIME" => found.eight_bit = true,
                "BINARYMIME" => found.binary = true,
                "CHUNKING" => found.chunking = true,
                "DSN" => found.dsn = true,
                "ENHANCEDSTATUSCODES" => found.enhanced = true,
                "SMTPUTF8" => found.utf8 = true,
                "STARTTLS" => found.starttls = true,
                "AUTH" => {
                    found.auth = true;
                    words.filter_map(Mechanism::parse).for_each(|mechanism| found.mechanisms.insert(mechanism));
                }
                "REQUIRETLS" => found.require_tls = true,
                "VRFY" => found.verify = true,
                "HELP" => found.help = true,
                _ => {}
            }
        }
        found
    }

    /// The lines of a reply to EHLO after its greeting; that of AUTH, which lists methods, is added by who knows them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let size = match self.size {
            Some(Some(octets)) => format!("SIZE {octets}"),
            _ => "SIZE".to_owned(),
        };
        [
            (self.size.is_some(), size.as_str()),
            (self.pipelining, "PIPELINING"),
            (self.dsn, "DSN"),
            (self.enhanced, "ENHANCEDSTATUSCODES"),
            (self.eight_bit, "8BITMIME"),
            (self.binary, "BINARYMIME"),
            (self.chunking, "CHUNKING"),
            (self.utf8, "SMTPUTF8"),
            (self.starttls, "STARTTLS"),
            (self.require_tls, "REQUIRETLS"),
            (self.verify, "VRFY"),
            (self.help, "HELP"),
        ]
        .into_iter()
        .filter(|(offered, _)| *offered)
        .map(|(_, line)| line.to_owned())
        .collect()
    }
}

fn limit(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|octets| *octets > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Extensions {
        let mut reply = Reply::plain(250, "mx.test greets you");
        reply.lines.extend(lines.iter().map(|line| (*line).to_owned().into()));
        Extensions::parse(&reply)
    }

    #[test]
    fn what_we_offer_is_read_back() {
        for size in [None, Some(1), Some(u64::MAX)] {
            let ours = Extensions::ours(size);
            let lines = ours.lines();
            assert_eq!(parse(&lines.iter().map(String::as_str).collect::<Vec<_>>()), ours);
        }
        assert_eq!(parse(&[]), Extensions::default());
    }

    #[test]
    fn odd_spellings_are_understood() {
        let found =
            parse(&["size  100", "8BitMime", "AUTH=LOGIN", "XFOO", "", "Chunking", "dsn ", "auth plain x-odd NTLM"]);
        assert_eq!((found.auth, found.mechanisms.to_string().as_str()), (true, "NTLM PLAIN LOGIN"));
        assert_eq!(found.size, Some(Some(100)));
        assert!(found.eight_bit && found.chunking && found.dsn);
        assert!(!found.pipelining && !found.binary && !found.utf8);
    }

    #[test]
    fn no_fixed_limit_has_many_forms() {
        for line in ["SIZE", "SIZE 0", "SIZE lots", "SIZE 99999999999999999999999"] {
            assert_eq!(parse(&[line]).size, Some(None), "{line}");
        }
    }

    #[test]
    fn the_greeting_offers_nothing() {
        assert_eq!(Extensions::parse(&Reply::plain(250, "PIPELINING")), Extensions::default());
    }
}

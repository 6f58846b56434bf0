//! How the channel to a next hop was protected, as far as there is something to tell: TLS, and how we had logged on.
//!
//! It travels with an outcome into the log and into the history of the envelope, where it stands as text: `TLSv1.3
//! TLS_AES_256_GCM_SHA384 name auth SCRAM-SHA-256`. [`Channel::parse`] reads back what `Display` writes. Knows no policy:
//! what must be is in [`crate::config::Terms`], this is what was.

use std::fmt;

/// How the channel was protected; both are `None` for one in clear text to a server that knows nobody.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Channel {
    /// TLS, if it was there.
    pub tls: Option<Secured>,
    /// The method by which we had logged on: `PLAIN`, `XOAUTH2` …
    pub auth: Option<Box<str>>,
}

/// TLS as it was agreed upon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Secured {
    /// `TLSv1.3`.
    pub version: Box<str>,
    /// The cipher suite's registered name.
    pub cipher: Box<str>,
    /// What we know about who the other side is.
    pub checked: Checked,
}

/// By what the other side's certificate was checked.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Checked {
    /// By nothing: it may be anybody.
    No,
    /// It leads to an authority, and bears the name of the host.
    Name,
    /// By the domain's TLSA records (RFC 7672).
    Dane,
    /// As for a name, and the host is one of those that the domain's policy names (RFC 8461).
    MtaSts,
}

impl Checked {
    /// As it stands in logs and envelopes.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Checked::No => "unchecked",
            Checked::Name => "name",
            Checked::Dane => "dane",
            Checked::MtaSts => "mta-sts",
        }
    }

    fn from_word(word: &str) -> Option<Checked> {
        [Checked::No, Checked::Name, Checked::Dane, Checked::MtaSts].into_iter().find(|checked| checked.word() == word)
    }
}

impl Channel {
    /// Is there anything to tell?
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.tls.is_none() && self.auth.is_none()
    }

    /// Reads what `Display` writes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Channel> {
        let (tls, auth) = match text.split_once(" auth ") {
            Some((tls, auth)) => (tls, Some(auth)),
            None => (text, None),
        };
        let mut words = tls.split(' ');
        let tls = match words.next()? {
            "clear" => None,
            version => {
                let (version, cipher) = (version.into(), words.next()?.into());
                Some(Secured { version, cipher, checked: Checked::from_word(words.next()?)? })
            }
        };
        let is_whole = words.next().is_none() && auth.is_none_or(|auth| !auth.is_empty() && !auth.contains(' '));
        is_whole.then(|| Channel { tls, auth: auth.map(Into::into) })
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tls {
            None => f.write_str("clear")?,
            Some(Secured { version, cipher, checked }) => write!(f, "{version} {cipher} {}", checked.word())?,
        }
        match &self.auth {
            None => Ok(()),
            Some(auth) => write!(f, " auth {auth}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for (text, is_plain) in [
            ("TLSv1.3 TLS_AES_256_GCM_SHA384 name auth SCRAM-SHA-256", false),
            ("TLSv1.2 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 unchecked", false),
            ("TLSv1.3 TLS_AES_256_GCM_SHA384 mta-sts", false),
            ("TLSv1.3 TLS_AES_256_GCM_SHA384 dane", false),
            ("clear auth CRAM-MD5", false),
            ("clear", true),
        ] {
            let channel = Channel::parse(text).unwrap();
            assert_eq!(channel.to_string(), text);
            assert_eq!(channel.is_plain(), is_plain, "{text}");
        }
        for text in
            ["", "TLSv1.3", "TLSv1.3 X", "TLSv1.3 X whatever", "TLSv1.3 X name more", "clear auth ", "clear auth a b"]
        {
            assert_eq!(Channel::parse(text), None, "{text}");
        }
    }
}

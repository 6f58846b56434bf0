//! Which verbs and extensions a virtual server has at all, and how long a line may be: what a firewall that understands
//! SMTP did in front of the old service.
//!
//! What is switched off is neither offered nor accepted: its keyword is not in the reply to EHLO, its verbs are answered with
//! 502 5.5.1, its parameters with 555 5.5.4. A verb that is switched off takes the extension with it that cannot do without.
//! Lines of an AUTH exchange are no commands and are not looked at here; nor is content.
//!
//! RFC 5321 §4.1.1.1, §4.2.4.

use super::commands::{is_offered, verb_of};
use super::replies;
use crate::extension::Extensions;
use crate::reply::Reply;
use std::collections::{BTreeMap, BTreeSet};

/// What is let through. The default lets everything through that the session understands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inspection {
    /// Only these verbs, in upper case, each with the greatest length of its line in octets, CRLF included.
    pub verbs: Option<BTreeMap<Box<str>, u32>>,
    /// Only these extensions, by their EHLO keyword in upper case.
    pub extensions: Option<BTreeSet<Box<str>>>,
}

impl Inspection {
    /// How long may a line with this verb be? `None`: there is no such verb here.
    pub(super) fn line_max(&self, verb: &str) -> Option<u32> {
        match &self.verbs {
            None => Some(u32::MAX),
            Some(verbs) => verbs.get(verb).copied(),
        }
    }

    /// Why there is no such line here: its verb is switched off, belongs to an extension that is not `offered`, or is too long.
    #[must_use]
    pub fn objection(&self, line: &[u8], offered: &Extensions) -> Option<Reply> {
        let verb = verb_of(line);
        let Some(line_max) = self.line_max(&verb).filter(|_| is_offered(&verb, offered)) else {
            return Some(replies::not_offered());
        };
        (line.len() + 2 > line_max as usize).then(replies::line_too_long)
    }

    /// What is left of what could be offered.
    #[must_use]
    pub fn limit(&self, mut offered: Extensions) -> Extensions {
        if self.verbs.is_none() && self.extensions.is_none() {
            return offered;
        }
        let has = |keyword: &str| self.extensions.as_ref().is_none_or(|list| list.contains(keyword));
        let verb = |verb: &str| self.line_max(verb).is_some();
        offered.pipelining &= has("PIPELINING");
        offered.size = offered.size.filter(|_| has("SIZE"));
        offered.eight_bit &= has("8BITMIME");
        offered.chunking &= has("CHUNKING") && verb("BDAT");
        offered.binary &= has("BINARYMIME") && offered.chunking;
        offered.dsn &= has("DSN");
        offered.enhanced &= has("ENHANCEDSTATUSCODES");
        offered.utf8 &= has("SMTPUTF8");
        offered.starttls &= has("STARTTLS") && verb("STARTTLS");
        offered.auth &= has("AUTH") && verb("AUTH");
        offered.require_tls &= has("REQUIRETLS");
        // These two are verbs that EHLO lists, and no extensions.
        offered.verify &= verb("VRFY");
        offered.help &= verb("HELP");
        offered
    }
}

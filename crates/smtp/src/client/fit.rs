//! Does a message fit what a peer offers? Decided before MAIL, so that no peer is asked what it cannot do.
//!
//! What can be mended by conversion is said so; the rest is refused with the status that the report then shows.
//!
//! RFC 1870 §6; RFC 6152 §3; RFC 3030 §3; RFC 6531 §3.5 and RFC 6533 §5 (X.6.7); RFC 8689 §5 (X.7.30).

use super::Transaction;
use crate::command::BodyKind;
use crate::extension::Extensions;
use crate::reply::EnhancedStatus;

/// Whether a message can be given to a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fit {
    /// As it is.
    AsIs,
    /// Its content must become 7-bit lines first ([`crate::convert`]); then ask again, with the new size.
    NeedsSevenBit,
    /// Not at all.
    Refused {
        /// For the report.
        status: EnhancedStatus,
        /// One sentence for people.
        text: Box<str>,
    },
}

/// Compares what a message needs with what a peer offers.
#[must_use]
pub fn fit(offered: &Extensions, transaction: &Transaction) -> Fit {
    if needs_utf8(transaction) && !offered.utf8 {
        return Fit::Refused {
            status: EnhancedStatus(5, 6, 7),
            text: "The next mail server does not take addresses or headers beyond ASCII (it lacks SMTPUTF8).".into(),
        };
    }
    // A report goes without where it must (RFC 8689 §5).
    if transaction.require_tls && !offered.require_tls && !transaction.sender.is_null() {
        return Fit::Refused {
            status: EnhancedStatus(5, 7, 30),
            text: "The sender wants the message to go under TLS all the way, and the next mail server does not promise that (it lacks \
                   REQUIRETLS)."
                .into(),
        };
    }
    let convert = match transaction.body {
        BodyKind::SevenBit => false,
        BodyKind::EightBitMime => !offered.eight_bit,
        // Binary content has no lines, so that DATA cannot carry it.
        BodyKind::BinaryMime => !(offered.binary && offered.chunking),
    };
    match offered.size {
        Some(Some(limit)) if transaction.size > limit => Fit::Refused {
            status: EnhancedStatus(5, 3, 4),
            text: format!(
                "The message has {} octets, but the next mail server takes at most {limit}.",
                transaction.size
            )
            .into(),
        },
        _ if convert => Fit::NeedsSevenBit,
        _ => Fit::AsIs,
    }
}

/// An address beyond ASCII is never sent without SMTPUTF8, whatever the transaction says of itself.
pub(super) fn needs_utf8(transaction: &Transaction) -> bool {
    transaction.utf8
        || transaction.sender.mailbox().is_some_and(|sender| !sender.is_ascii())
        || transaction.recipients.iter().any(|to| !to.address.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Mailbox, ReversePath};
    use crate::client::Addressee;
    use crate::command::Notify;

    fn message(to: &str, size: u64, body: BodyKind, utf8: bool) -> Transaction {
        let to = Addressee { address: Mailbox::parse(to).unwrap(), notify: Notify::Default, orcpt: None };
        Transaction {
            sender: ReversePath::Null,
            recipients: vec![to],
            size,
            body,
            utf8,
            ret: None,
            envid: None,
            require_tls: false,
        }
    }

    #[test]
    fn each_need_is_compared_with_what_is_offered() {
        use BodyKind::{BinaryMime, EightBitMime, SevenBit};
        let none = Extensions::default();
        let all = Extensions::ours(Some(1_000));
        let eight = Extensions { eight_bit: true, ..none };
        let binary_only = Extensions { binary: true, ..none };
        let refused = |status| move |fit: &Fit| matches!(fit, Fit::Refused { status: s, .. } if *s == status);
        let as_is = |fit: &Fit| *fit == Fit::AsIs;
        let seven = |fit: &Fit| *fit == Fit::NeedsSevenBit;
        let too_big = refused(EnhancedStatus(5, 3, 4));
        let no_utf8 = refused(EnhancedStatus(5, 6, 7));
        let no_require_tls = refused(EnhancedStatus(5, 7, 30));
        let report = || Transaction { require_tls: true, ..message("a@b.test", 1, SevenBit, false) };
        let from = ReversePath::Mailbox(Mailbox::parse("c@d.test").unwrap());
        let require_tls = || Transaction { sender: from.clone(), ..report() };
        let promises = Extensions { require_tls: true, ..none };
        type Check<'a> = (&'a Extensions, Transaction, &'a dyn Fn(&Fit) -> bool);
        let checks: [Check<'_>; 16] = [
            (&none, message("a@b.test", 10_000, SevenBit, false), &as_is),
            (&none, message("a@b.test", 1, EightBitMime, false), &seven),
            (&none, message("a@b.test", 1, BinaryMime, false), &seven),
            (&none, message("a@b.test", 1, SevenBit, true), &no_utf8),
            (&none, message("ä@b.test", 1, SevenBit, false), &no_utf8),
            (&none, message("a@ä.test", 1, EightBitMime, false), &no_utf8),
            (&eight, message("a@b.test", 1, EightBitMime, false), &as_is),
            (&eight, message("a@b.test", 1, BinaryMime, false), &seven),
            (&binary_only, message("a@b.test", 1, BinaryMime, false), &seven),
            (&all, message("ä@b.test", 1_000, BinaryMime, true), &as_is),
            (&all, message("a@b.test", 1_001, SevenBit, false), &too_big),
            (&Extensions::ours(None), message("a@b.test", u64::MAX, SevenBit, false), &as_is),
            (&all, require_tls(), &no_require_tls),
            (&promises, require_tls(), &as_is),
            (&all, report(), &as_is),
            (&Extensions { size: Some(None), ..none }, message("a@b.test", u64::MAX, SevenBit, false), &as_is),
        ];
        for (i, (offered, transaction, check)) in checks.iter().enumerate() {
            assert!(check(&fit(offered, transaction)), "{i}: {:?}", fit(offered, transaction));
        }
    }
}

//! The commands of a transaction, with those parameters that the peer offers and the message needs.
//!
//! Addresses were checked when they were parsed and cannot hold a line end. Parameters that are kept as they came
//! (ENVID, ORCPT) are looked at once more here, since a queue file may have been edited by hand: one that could end
//! the command is left out.
//!
//! RFC 5321 §4.1.1; RFC 1870 §3; RFC 3461 §4; RFC 6152 §3; RFC 6531 §3.4; RFC 3030 §2; RFC 8689 §2.

use super::{Addressee, Protocol, Transaction, fit};
use crate::command::{BodyKind, Notify, Ret};
use crate::extension::Extensions;
use std::fmt::Write;

/// Octets of ENVID that are passed on (RFC 3461 §4.4).
const ENVID_MAX: usize = 100;
/// Octets of ORCPT that are passed on (RFC 3461 §4.2).
const ORCPT_MAX: usize = 500;

/// EHLO, HELO or LHLO with our name.
pub(super) fn hello(protocol: Protocol, name: &str) -> String {
    let verb = match protocol {
        Protocol::Esmtp => "EHLO",
        Protocol::Helo => "HELO",
        Protocol::Lmtp => "LHLO",
    };
    let name: String = name.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(255).collect();
    format!("{verb} {}\r\n", if name.is_empty() { "localhost" } else { &name })
}

pub(super) fn mail(out: &mut String, offered: &Extensions, transaction: &Transaction) {
    let _ = write!(out, "MAIL FROM:<{}>", transaction.sender);
    if offered.size.is_some() {
        let _ = write!(out, " SIZE={}", transaction.size);
    }
    match transaction.body {
        BodyKind::EightBitMime if offered.eight_bit => out.push_str(" BODY=8BITMIME"),
        BodyKind::BinaryMime if offered.binary => out.push_str(" BODY=BINARYMIME"),
        _ => {}
    }
    let utf8 = offered.utf8 && fit::needs_utf8(transaction);
    if utf8 {
        out.push_str(" SMTPUTF8");
    }
    if transaction.require_tls && offered.require_tls {
        out.push_str(" REQUIRETLS");
    }
    if offered.dsn {
        match transaction.ret {
            Some(Ret::Full) => out.push_str(" RET=FULL"),
            Some(Ret::Headers) => out.push_str(" RET=HDRS"),
            None => {}
        }
        if let Some(envid) = transaction.envid.as_deref().filter(|envid| is_parameter(envid, ENVID_MAX, false)) {
            let _ = write!(out, " ENVID={envid}");
        }
    }
    out.push_str("\r\n");
}

/// `utf8`: the transaction uses SMTPUTF8, so that ORCPT may hold UTF-8 as it is (RFC 6533 §3).
pub(super) fn rcpt(out: &mut String, offered: &Extensions, utf8: bool, to: &Addressee) {
    let _ = write!(out, "RCPT TO:<{}>", to.address);
    if offered.dsn {
        match to.notify {
            Notify::Default => {}
            Notify::Never | Notify::On { success: false, failure: false, delay: false } => {
                out.push_str(" NOTIFY=NEVER");
            }
            Notify::On { success, failure, delay } => {
                let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
                let mut before = " NOTIFY=";
                for (_, word) in words.iter().filter(|(wanted, _)| *wanted) {
                    out.push_str(before);
                    out.push_str(word);
                    before = ",";
                }
            }
        }
        if let Some(orcpt) = to.orcpt.as_deref().filter(|orcpt| is_parameter(orcpt, ORCPT_MAX, utf8)) {
            let _ = write!(out, " ORCPT={orcpt}");
        }
    }
    out.push_str("\r\n");
}

/// Visible characters only, so that it can neither end the command nor begin another parameter.
fn is_parameter(text: &str, max: usize, utf8: bool) -> bool {
    let visible = |c: char| ('!'..='~').contains(&c) && c != '=';
    let beyond = |c: char| utf8 && !c.is_ascii() && !c.is_control() && !c.is_whitespace();
    !text.is_empty() && text.len() <= max && text.chars().all(|c| visible(c) || beyond(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Mailbox, ReversePath};

    fn both(offered: &Extensions, transaction: &Transaction) -> String {
        let mut out = String::new();
        mail(&mut out, offered, transaction);
        for to in &transaction.recipients {
            rcpt(&mut out, offered, offered.utf8 && transaction.utf8, to);
        }
        out
    }

    fn full() -> Transaction {
        let on = Notify::On { success: true, failure: false, delay: true };
        let to = |notify, orcpt: &str| Addressee {
            address: Mailbox::parse("c@d.test").unwrap(),
            notify,
            orcpt: Some(orcpt.into()),
        };
        Transaction {
            sender: ReversePath::Mailbox(Mailbox::parse("a@b.test").unwrap()),
            recipients: vec![to(on, "rfc822;c+2Bx@d.test"), to(Notify::Never, "utf-8;ü@d.test")],
            size: 77,
            body: BodyKind::EightBitMime,
            utf8: true,
            ret: Some(Ret::Headers),
            envid: Some("QQ+2B1".into()),
            require_tls: false,
        }
    }

    #[test]
    fn only_what_is_offered_is_said() {
        assert_eq!(
            both(&Extensions::ours(None), &full()),
            "MAIL FROM:<a@b.test> SIZE=77 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B1\r\n\
             RCPT TO:<c@d.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2Bx@d.test\r\n\
             RCPT TO:<c@d.test> NOTIFY=NEVER ORCPT=utf-8;ü@d.test\r\n"
        );
        assert_eq!(
            both(&Extensions::default(), &full()),
            "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<c@d.test>\r\n"
        );
        let only_dsn = Extensions { dsn: true, ..Extensions::default() };
        assert_eq!(
            both(&only_dsn, &full()),
            "MAIL FROM:<a@b.test> RET=HDRS ENVID=QQ+2B1\r\n\
             RCPT TO:<c@d.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2Bx@d.test\r\nRCPT TO:<c@d.test> NOTIFY=NEVER\r\n"
        );
    }

    #[test]
    fn the_demand_for_tls_is_passed_on() {
        let mut transaction = full();
        transaction.require_tls = true;
        let offered = Extensions { require_tls: true, ..Extensions::default() };
        assert!(both(&offered, &transaction).starts_with("MAIL FROM:<a@b.test> REQUIRETLS\r\n"));
        assert!(both(&offered, &full()).starts_with("MAIL FROM:<a@b.test>\r\n"));
    }

    #[test]
    fn only_what_is_needed_is_said() {
        let mut plain = full();
        plain.body = BodyKind::SevenBit;
        plain.utf8 = false;
        plain.ret = None;
        plain.envid = None;
        plain.recipients.truncate(1);
        plain.recipients[0].notify = Notify::Default;
        plain.recipients[0].orcpt = None;
        plain.sender = ReversePath::Null;
        assert_eq!(both(&Extensions::ours(None), &plain), "MAIL FROM:<> SIZE=77\r\nRCPT TO:<c@d.test>\r\n");
    }

    #[test]
    fn no_parameter_can_end_the_command() {
        for bad in ["a\r\nRSET", "a b", "a=b", "", "\u{85}", "\u{2028}", &"x".repeat(501)] {
            let mut transaction = full();
            transaction.envid = Some(bad.into());
            transaction.recipients[0].orcpt = Some(bad.into());
            transaction.recipients[1].orcpt = None;
            assert_eq!(
                both(&Extensions::ours(None), &transaction),
                "MAIL FROM:<a@b.test> SIZE=77 BODY=8BITMIME SMTPUTF8 RET=HDRS\r\n\
                 RCPT TO:<c@d.test> NOTIFY=SUCCESS,DELAY\r\nRCPT TO:<c@d.test> NOTIFY=NEVER\r\n"
            );
        }
        assert_eq!(hello(Protocol::Esmtp, "a\r\nb c"), "EHLO abc\r\n");
        assert_eq!(hello(Protocol::Lmtp, ""), "LHLO localhost\r\n");
        assert_eq!(hello(Protocol::Helo, "[192.0.2.1]"), "HELO [192.0.2.1]\r\n");
    }
}

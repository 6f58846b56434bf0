//! Every reply that the session itself gives: the code says what happened, the text what to do.
//!
//! Codes are those of the service that we succeed where it had fitting ones; the words are ours. Errors in the form
//! of a command have theirs in [`crate::command`], refusals by policy come with the driver's answer. Those that are public are
//! given by others too, who foresee what the session will say.
//!
//! RFC 5321 §4.2, RFC 2034, RFC 3463; IIS: section 4.3 of its protocol.

use super::offer::Offer;
use super::settings::Settings;
use crate::address::Path;
use crate::body::BodyFault;
use crate::extension::Extensions;
use crate::reply::Reply;
use crate::sasl::Mechanism;
use std::net::IpAddr;

pub(super) fn greeting(settings: &Settings) -> Reply {
    Reply::plain(220, format!("{} ESMTP Mailroot ready", settings.fqdn))
}

/// `offered`: what is left after inspection.
pub(super) fn hello(settings: &Settings, peer: IpAddr, offered: &Extensions, offer: &Offer) -> Reply {
    let mut reply = Reply::plain(250, format!("{} Hello [{peer}]", settings.fqdn));
    let shown = Extensions { starttls: offered.starttls && !offer.secured, ..*offered };
    reply.lines.extend(shown.lines().into_iter().map(Into::into));
    if offered.auth && !offer.mechanisms.is_empty() {
        let names: Vec<_> = offer.mechanisms.iter().map(|mechanism| mechanism.name()).collect();
        reply.lines.push(format!("AUTH {}", names.join(" ")).into());
        // So old mail programs looked for it, before there was a standard.
        if offer.mechanisms.contains(&Mechanism::Login) {
            reply.lines.push("AUTH=LOGIN".into());
        }
    }
    reply
}

pub(super) fn hello_plain(settings: &Settings, peer: IpAddr) -> Reply {
    Reply::plain(250, format!("{} Hello [{peer}]", settings.fqdn))
}

pub(super) fn sender_accepted(address: &str) -> Reply {
    Reply::new(250, 1, 0, format!("Sender <{address}> accepted"))
}

pub(super) fn recipient_accepted(address: &str) -> Reply {
    Reply::new(250, 1, 5, format!("Recipient <{address}> accepted"))
}

pub(super) fn start_content() -> Reply {
    Reply::plain(354, "Start mail input; end with <CRLF>.<CRLF>")
}

pub(super) fn chunk_taken(octets: u64) -> Reply {
    Reply::new(250, 0, 0, format!("{octets} octets taken"))
}

pub(super) fn queued(id: &str) -> Reply {
    Reply::new(250, 6, 0, format!("{id} queued for delivery"))
}

pub(super) fn reset() -> Reply {
    Reply::new(250, 0, 0, "Reset")
}

pub(super) fn noop() -> Reply {
    Reply::new(250, 0, 0, "OK")
}

pub(super) fn goodbye(settings: &Settings) -> Reply {
    Reply::new(221, 0, 0, format!("{} closing the connection", settings.fqdn))
}

/// Lists the verbs for which `known` says yes.
pub(super) fn help(known: impl Fn(&str) -> bool) -> Reply {
    const VERBS: [&str; 13] =
        ["EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "HELP"];
    let mut reply = Reply::plain(214, "Commands understood here:");
    let verbs: Vec<_> = VERBS.into_iter().filter(|verb| known(verb)).collect();
    reply.lines.push(verbs.join(" ").into());
    reply
}

pub(super) fn start_tls() -> Reply {
    Reply::new(220, 0, 0, "Ready to start TLS")
}

pub(super) fn tls_twice() -> Reply {
    Reply::new(503, 5, 1, "TLS is on already")
}

pub(super) fn tls_in_transaction() -> Reply {
    Reply::new(503, 5, 1, "STARTTLS comes before MAIL; RSET takes a sender back")
}

/// Nothing is taken without TLS.
#[must_use]
pub fn tls_first() -> Reply {
    Reply::new(530, 7, 0, "Say STARTTLS first")
}

pub(super) fn authenticated() -> Reply {
    Reply::new(235, 7, 0, "Authentication successful")
}

/// Nothing is taken from a stranger.
#[must_use]
pub fn auth_first() -> Reply {
    Reply::new(530, 7, 0, "Authentication required: say AUTH first")
}

pub(super) fn auth_twice() -> Reply {
    Reply::new(503, 5, 1, "You have authenticated already")
}

pub(super) fn auth_in_transaction() -> Reply {
    Reply::new(503, 5, 1, "AUTH comes before MAIL; RSET takes a sender back")
}

/// The method would show a secret. Is TLS to be had on this connection, by STARTTLS?
#[must_use]
pub fn auth_needs_tls(starttls: bool) -> Reply {
    let how = if starttls { "say STARTTLS first" } else { "connect to a port with TLS" };
    Reply::new(538, 7, 11, format!("Encryption is required for this method: {how}"))
}

/// There is AUTH, but not by this method.
#[must_use]
pub fn mechanism_unknown() -> Reply {
    Reply::new(504, 5, 4, "This method of AUTH is not offered; EHLO lists those that are")
}

pub(super) fn auth_cancelled() -> Reply {
    Reply::new(501, 7, 0, "Authentication cancelled")
}

pub(super) fn base64_broken() -> Reply {
    Reply::new(501, 5, 2, "This is not base64; authentication cancelled")
}

pub(super) fn auth_too_long() -> Reply {
    Reply::new(500, 5, 6, "Authentication exchange is too long")
}

pub(super) fn too_many_failures(settings: &Settings) -> Reply {
    Reply::new(421, 7, 0, format!("{} Authentication failed too often; closing the connection", settings.fqdn))
}

pub(super) fn talked_before_greeting() -> Reply {
    Reply::new(554, 5, 1, "Wait for our greeting before you speak; closing the connection")
}

pub(super) fn no_pipelining() -> Reply {
    Reply::new(554, 5, 0, "Wait for each reply: PIPELINING is not offered; closing the connection")
}

/// Whether an address exists is not told; the address as we would complete it is.
pub(super) fn not_verified(asked: &str, settings: &Settings) -> Reply {
    let asked = asked.split(' ').next().unwrap_or_default();
    let inner = asked.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(asked);
    match Path::parse(inner).map(|path| path.complete(&settings.default_domain)) {
        Ok(mailbox) if mailbox.is_ascii() => {
            Reply::new(252, 1, 5, format!("Not verified, but mail for <{mailbox}> will be tried"))
        }
        _ => Reply::new(252, 1, 5, "Not verified, but mail will be tried"),
    }
}

pub(super) fn hello_first() -> Reply {
    Reply::new(503, 5, 1, "Say EHLO or HELO first")
}

pub(super) fn mail_first() -> Reply {
    Reply::new(503, 5, 1, "Need MAIL first")
}

pub(super) fn recipient_first() -> Reply {
    Reply::new(503, 5, 1, "Need RCPT first")
}

pub(super) fn sender_given() -> Reply {
    Reply::new(503, 5, 1, "A sender is given already; RSET takes it back")
}

pub(super) fn chunks_begun() -> Reply {
    Reply::new(503, 5, 1, "Content has begun: go on with BDAT, or RSET")
}

pub(super) fn binary_needs_chunks() -> Reply {
    Reply::new(503, 5, 1, "BODY=BINARYMIME needs BDAT, not DATA")
}

pub(super) fn no_valid_recipient() -> Reply {
    Reply::new(554, 5, 1, "No valid recipient")
}

pub(super) fn needs_utf8() -> Reply {
    crate::command::CommandError::NeedsUtf8.reply()
}

pub(super) fn too_many_recipients() -> Reply {
    Reply::new(452, 5, 3, "Too many recipients; send to the others in another transaction")
}

pub(super) fn too_big(settings: &Settings) -> Reply {
    match settings.message_max() {
        Some(max) => Reply::new(552, 3, 4, format!("Message too big; at most {max} octets are taken")),
        None => Reply::new(552, 3, 4, "Message too big"),
    }
}

pub(super) fn content_fault(fault: BodyFault) -> Reply {
    match fault {
        BodyFault::BareLf => Reply::new(550, 5, 2, "Message refused: it holds a bare LF; end each line with CRLF"),
        BodyFault::BareCr => Reply::new(554, 6, 0, "Message refused: it holds a bare CR; end each line with CRLF"),
        BodyFault::Nul => Reply::new(554, 6, 0, "Message refused: it holds a NUL; encode it, or use BODY=BINARYMIME"),
    }
}

pub(super) fn line_too_long() -> Reply {
    Reply::new(500, 5, 2, "Line too long")
}

pub(super) fn bare_newline() -> Reply {
    Reply::new(500, 5, 2, "Bare LF: end each line with CRLF")
}

pub(super) fn unrecognized() -> Reply {
    Reply::new(500, 3, 3, "Unrecognized command; HELP lists those understood")
}

/// There is no such command here, though others have it.
#[must_use]
pub fn not_offered() -> Reply {
    Reply::new(502, 5, 1, "Command not offered here")
}

pub(super) fn not_smtp() -> Reply {
    Reply::new(554, 5, 1, "This is an SMTP server; closing the connection")
}

pub(super) fn talked_too_soon() -> Reply {
    Reply::new(554, 5, 0, "Nothing may follow DATA before its reply 354; closing the connection")
}

pub(super) fn too_many_errors(settings: &Settings) -> Reply {
    Reply::new(421, 7, 0, format!("{} Too many errors; closing the connection", settings.fqdn))
}

pub(super) fn too_many_commands(settings: &Settings) -> Reply {
    Reply::new(421, 7, 0, format!("{} Too many commands without a message; closing the connection", settings.fqdn))
}

pub(super) fn too_many_refusals(settings: &Settings) -> Reply {
    Reply::new(421, 7, 0, format!("{} Too much was refused; closing the connection", settings.fqdn))
}

pub(super) fn session_spent(settings: &Settings) -> Reply {
    let text = format!("{} Enough for one connection; open another one for further messages", settings.fqdn);
    Reply::new(421, 7, 0, text)
}

pub(super) fn timed_out(settings: &Settings) -> Reply {
    Reply::new(421, 4, 2, format!("{} Waited too long; closing the connection", settings.fqdn))
}

pub(super) fn shutting_down(settings: &Settings) -> Reply {
    Reply::new(421, 3, 2, format!("{} Shutting down; try again later", settings.fqdn))
}

/// An operator ended the session.
pub(super) fn ended(settings: &Settings) -> Reply {
    Reply::new(421, 3, 2, format!("{} Session ended by the operator; try again later", settings.fqdn))
}

/// The driver gave an answer that does not fit its question: our fault, not the peer's.
pub(super) fn local_error() -> Reply {
    Reply::new(451, 3, 0, "Local error; try again later")
}

//! One line from a client becomes one [`Command`] value, and back.
//!
//! A value is complete and checked: a bare local part has got its domain, a source route is gone, parameters are
//! read. What is wrong with a line is a [`CommandError`], which knows its reply. Whether a command is in order at this
//! point of a session, and whether a peer may give it, is decided elsewhere ([`crate::server`], and the gate).
//!
//! Two liberties that the old service took are kept, as its clients took them too: spaces after the colon, and an
//! address without brackets.
//!
//! RFC 5321 §4.1; RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 3030 (BDAT, BINARYMIME), RFC 3207 (STARTTLS), RFC 3461 (DSN), RFC 4954
//! (AUTH), RFC 6531 (SMTPUTF8), RFC 8689 (REQUIRETLS).

mod auth;
mod parameter;
mod xtext;

pub use auth::Auth;
pub use parameter::{ENVID_MAX, ORCPT_MAX, SUBMITTER_MAX};
pub use xtext::{xtext_decode, xtext_encode};

use crate::address::{AddressError, Domain, Mailbox, Path, ReversePath};
use crate::extension::Extensions;
use crate::reply::Reply;
use parameter::{MailParameters, RcptParameters, is_number};
use std::fmt;

/// Octets of what a peer may call itself after HELO or EHLO.
pub const HELLO_MAX: usize = 255;
/// Octets of an unknown verb that are kept.
const VERB_KEPT: usize = 20;

/// One command, read and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// HELO or EHLO.
    Hello {
        /// What the peer calls itself: visible ASCII, at most [`HELLO_MAX`] octets, otherwise unchecked, as devices
        /// say all kinds of things.
        host: Box<str>,
        /// EHLO, not HELO.
        esmtp: bool,
    },
    /// MAIL FROM.
    Mail(MailFrom),
    /// RCPT TO.
    Rcpt(RcptTo),
    /// DATA.
    Data,
    /// BDAT: a chunk of content follows the line at once.
    Bdat {
        /// Its octets.
        octets: u64,
        /// The message ends with it.
        last: bool,
    },
    /// RSET.
    Rset,
    /// NOOP, whatever came after it.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY and what it asks for.
    Vrfy(Box<str>),
    /// HELP, whatever came after it.
    Help,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth(Auth),
    /// Any other verb, in upper case and cut.
    Unknown(Box<str>),
}

/// Why a line is no command.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CommandError {
    /// NUL, a bare CR or another control character.
    Control,
    /// Octets beyond ASCII where none may stand, or which are not UTF-8.
    EightBit,
    /// HELO or EHLO without a name, or with one that is too long.
    Hello,
    /// Something follows a command that stands alone.
    Argument,
    /// MAIL is not followed by `FROM:` and a path.
    MailSyntax,
    /// RCPT is not followed by `TO:` and a path.
    RcptSyntax,
    /// VRFY alone.
    VrfySyntax,
    /// AUTH is not followed by a method and at most one response.
    AuthSyntax,
    /// The sender is no address.
    Sender(AddressError),
    /// The recipient is no address.
    Recipient(AddressError),
    /// An address beyond ASCII without SMTPUTF8.
    NeedsUtf8,
    /// A parameter that is not offered.
    ParameterUnknown,
    /// A parameter stands twice.
    ParameterTwice(&'static str),
    /// A parameter's value is missing or not valid.
    Parameter(&'static str),
    /// BDAT without a size that can be counted: where the next command begins cannot be known.
    Chunk,
}

impl Command {
    /// Reads a line without its line end, with every parameter that there is. A bare local part gets `default` for its
    /// domain.
    ///
    /// # Errors
    /// As [`Command::parse_offered`].
    pub fn parse(line: &[u8], default: &Domain) -> Result<Command, CommandError> {
        Command::parse_offered(line, default, &Extensions::everything())
    }

    /// Reads a line without its line end. A parameter of an extension that is not `offered` is not known.
    ///
    /// # Errors
    /// What is wrong with the line. A verb that is not known is no error here: [`Command::Unknown`].
    pub fn parse_offered(line: &[u8], default: &Domain, offered: &Extensions) -> Result<Command, CommandError> {
        if line.iter().any(u8::is_ascii_control) {
            return Err(CommandError::Control);
        }
        let line = std::str::from_utf8(line).map_err(|_| CommandError::EightBit)?.trim_end_matches(' ');
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start_matches(' ');
        let verb = verb.to_ascii_uppercase();
        if !rest.is_ascii() && !matches!(verb.as_str(), "MAIL" | "RCPT" | "VRFY") {
            return Err(CommandError::EightBit);
        }
        match verb.as_str() {
            "HELO" => hello(rest, false),
            "EHLO" => hello(rest, true),
            "MAIL" => MailFrom::parse(rest, default, offered).map(Command::Mail),
            "RCPT" => RcptTo::parse(rest, default, offered).map(Command::Rcpt),
            "DATA" => alone(rest, Command::Data),
            "BDAT" => chunk(rest),
            "RSET" => alone(rest, Command::Rset),
            "NOOP" => Ok(Command::Noop),
            "QUIT" => alone(rest, Command::Quit),
            "VRFY" if rest.is_empty() => Err(CommandError::VrfySyntax),
            "VRFY" => Ok(Command::Vrfy(rest.into())),
            "HELP" => Ok(Command::Help),
            "STARTTLS" => alone(rest, Command::StartTls),
            "AUTH" => Auth::parse(rest).map(Command::Auth),
            _ if !verb.is_ascii() => Err(CommandError::EightBit),
            _ => Ok(Command::Unknown(verb.chars().take(VERB_KEPT).collect())),
        }
    }
}

fn hello(rest: &str, esmtp: bool) -> Result<Command, CommandError> {
    match rest.split(' ').next() {
        Some(host) if (1..=HELLO_MAX).contains(&host.len()) => Ok(Command::Hello { host: host.into(), esmtp }),
        _ => Err(CommandError::Hello),
    }
}

fn alone(rest: &str, command: Command) -> Result<Command, CommandError> {
    if rest.is_empty() { Ok(command) } else { Err(CommandError::Argument) }
}

fn chunk(rest: &str) -> Result<Command, CommandError> {
    let (octets, last) = rest.split_once(' ').unwrap_or((rest, ""));
    let last = match last.trim_start_matches(' ') {
        "" => false,
        word if word.eq_ignore_ascii_case("LAST") => true,
        _ => return Err(CommandError::Chunk),
    };
    let octets = Some(octets).filter(|text| is_number(text)).and_then(|text| text.parse().ok());
    Ok(Command::Bdat { octets: octets.ok_or(CommandError::Chunk)?, last })
}

/// Takes `keyword`, and the path after it, off what follows MAIL or RCPT: the inside of the brackets, and the rest.
fn split_path<'a>(text: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (start, text) = text.split_at_checked(keyword.len())?;
    if !start.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let text = text.trim_start_matches(' ');
    let (path, rest) = match text.strip_prefix('<') {
        Some(inner) => {
            let end = find_unquoted(inner, b'>')?;
            (&inner[..end], &inner[end + 1..])
        }
        None => {
            let (path, rest) = text.split_at(find_unquoted(text, b' ').unwrap_or(text.len()));
            if path.is_empty() || text.contains(['<', '>']) {
                return None;
            }
            (path, rest)
        }
    };
    (rest.is_empty() || rest.starts_with(' ')).then_some((path, rest))
}

/// Where `wanted` first stands outside a quoted string.
fn find_unquoted(text: &str, wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|octet| {
        let found = !quoted && octet == wanted;
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        found
    })
}

impl MailFrom {
    fn parse(rest: &str, default: &Domain, offered: &Extensions) -> Result<MailFrom, CommandError> {
        let (path, rest) = split_path(rest, "FROM:").ok_or(CommandError::MailSyntax)?;
        let sender = match path {
            "" => ReversePath::Null,
            path => ReversePath::Mailbox(Path::parse(path).map_err(CommandError::Sender)?.complete(default)),
        };
        let MailParameters { size, body, utf8, ret, envid, require_tls, submitter: _ } =
            MailParameters::parse(rest, offered)?;
        let utf8 = utf8.is_some();
        if !utf8 && !sender.mailbox().is_none_or(Mailbox::is_ascii) {
            return Err(CommandError::NeedsUtf8);
        }
        let require_tls = require_tls.is_some();
        Ok(MailFrom { sender, size, body: body.unwrap_or_default(), utf8, ret, envid, require_tls })
    }
}

impl RcptTo {
    fn parse(rest: &str, default: &Domain, offered: &Extensions) -> Result<RcptTo, CommandError> {
        let (path, rest) = split_path(rest, "TO:").ok_or(CommandError::RcptSyntax)?;
        let recipient = Path::parse(path).map_err(CommandError::Recipient)?.complete(default);
        let RcptParameters { notify, orcpt } = RcptParameters::parse(rest, offered)?;
        Ok(RcptTo { recipient, notify: notify.unwrap_or(Notify::Default), orcpt })
    }

    /// Can it only be given after MAIL with SMTPUTF8?
    #[must_use]
    pub fn needs_utf8(&self) -> bool {
        !self.recipient.is_ascii() || self.orcpt.as_ref().is_some_and(|orcpt| !orcpt.is_ascii())
    }
}

impl fmt::Display for Command {
    /// The line without its line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Hello { host, esmtp: true } => write!(f, "EHLO {host}"),
            Command::Hello { host, esmtp: false } => write!(f, "HELO {host}"),
            Command::Mail(mail) => mail.fmt(f),
            Command::Rcpt(rcpt) => rcpt.fmt(f),
            Command::Data => f.write_str("DATA"),
            Command::Bdat { octets, last: false } => write!(f, "BDAT {octets}"),
            Command::Bdat { octets, last: true } => write!(f, "BDAT {octets} LAST"),
            Command::Rset => f.write_str("RSET"),
            Command::Noop => f.write_str("NOOP"),
            Command::Quit => f.write_str("QUIT"),
            Command::Vrfy(what) => write!(f, "VRFY {what}"),
            Command::Help => f.write_str("HELP"),
            Command::StartTls => f.write_str("STARTTLS"),
            Command::Auth(auth) => auth.fmt(f),
            Command::Unknown(verb) => f.write_str(verb),
        }
    }
}

impl CommandError {
    /// What the peer is told: what is wrong, and what to write instead.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            CommandError::Control => Reply::new(500, 5, 2, "Control characters are not allowed in a command"),
            CommandError::EightBit => Reply::new(500, 5, 2, "Only ASCII is allowed here"),
            CommandError::Hello => Reply::new(501, 5, 4, "Write EHLO and the name of your host"),
            CommandError::Argument => Reply::new(501, 5, 4, "This command stands alone on its line"),
            CommandError::MailSyntax => Reply::new(501, 5, 4, "Write MAIL FROM:<address>"),
            CommandError::RcptSyntax => Reply::new(501, 5, 4, "Write RCPT TO:<address>"),
            CommandError::VrfySyntax => Reply::new(501, 5, 4, "Write VRFY and an address"),
            CommandError::AuthSyntax => Reply::new(501, 5, 4, "Write AUTH and a method; EHLO lists the methods"),
            CommandError::Sender(error) => Reply::new(501, 1, 7, format!("Invalid sender: {error}")),
            CommandError::Recipient(error) => Reply::new(501, 1, 3, format!("Invalid recipient: {error}")),
            CommandError::NeedsUtf8 => {
                Reply::new(553, 6, 7, "This address is beyond ASCII: add SMTPUTF8 to MAIL, or use another address")
            }
            CommandError::ParameterUnknown => Reply::new(555, 5, 4, "Parameter not supported; EHLO lists what is"),
            CommandError::ParameterTwice(name) => Reply::new(501, 5, 4, format!("{name} may stand only once")),
            CommandError::Parameter(name) => Reply::new(501, 5, 4, format!("{name} is not valid here: {}", form(name))),
            CommandError::Chunk => Reply::new(501, 5, 4, "Write BDAT and the number of octets, then LAST or nothing"),
        }
    }
}

/// How a parameter is written.
fn form(parameter: &str) -> &'static str {
    match parameter {
        "SIZE" => "write SIZE= and a number of octets",
        "BODY" => "write BODY=7BIT, BODY=8BITMIME or BODY=BINARYMIME",
        "SMTPUTF8" | "REQUIRETLS" => "write it without a value",
        "RET" => "write RET=FULL or RET=HDRS",
        "ENVID" => "write ENVID= and printable text as xtext, at most 100 characters",
        "AUTH" => "write AUTH=<>, or AUTH= and an address as xtext",
        "NOTIFY" => "write NOTIFY=NEVER, or a list of SUCCESS, FAILURE and DELAY",
        "ORCPT" => "write ORCPT=rfc822; and the address as xtext, at most 500 characters",
        _ => "see EHLO",
    }
}

/// What the content may hold (MAIL BODY=; RFC 6152, RFC 3030).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum BodyKind {
    /// Lines of ASCII: the default.
    #[default]
    SevenBit,
    /// Lines of octets.
    EightBitMime,
    /// Any octets, no lines; only by BDAT.
    BinaryMime,
}

/// How much of the message a report gives back (MAIL RET=; RFC 3461 §4.3).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header alone.
    Headers,
}

/// When the sender wants a report about a recipient (RCPT NOTIFY=; RFC 3461 §4.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Notify {
    /// Not said: on failure, and on delay as this relay is set.
    Default,
    /// NOTIFY=NEVER.
    Never,
    /// Exactly these.
    On {
        /// Delivered.
        success: bool,
        /// Failed for good.
        failure: bool,
        /// Late.
        delay: bool,
    },
}

impl Notify {
    /// Does the sender want to hear of a success?
    #[must_use]
    pub fn success(self) -> bool {
        matches!(self, Notify::On { success: true, .. })
    }
    /// Does the sender want to hear of a failure?
    #[must_use]
    pub fn failure(self) -> bool {
        matches!(self, Notify::Default | Notify::On { failure: true, .. })
    }
    /// Does the sender want to hear of a delay?
    #[must_use]
    pub fn delay(self) -> bool {
        matches!(self, Notify::Default | Notify::On { delay: true, .. })
    }
}

/// MAIL FROM with its parameters, completed and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MailFrom {
    /// The sender.
    pub sender: ReversePath,
    /// SIZE=, octets.
    pub size: Option<u64>,
    /// BODY=.
    pub body: BodyKind,
    /// SMTPUTF8 was given.
    pub utf8: bool,
    /// RET=.
    pub ret: Option<Ret>,
    /// ENVID=, still as xtext, at most 100 octets.
    pub envid: Option<Box<str>>,
    /// REQUIRETLS was given: under TLS all the way, or not at all.
    pub require_tls: bool,
}

/// RCPT TO with its parameters, completed and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RcptTo {
    /// The recipient.
    pub recipient: Mailbox,
    /// NOTIFY=.
    pub notify: Notify,
    /// ORCPT= as it came: type, semicolon, xtext; at most 500 octets.
    pub orcpt: Option<Box<str>>,
}

impl fmt::Display for MailFrom {
    /// The command line, with the parameters that say more than their default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MAIL FROM:<{}>", self.sender)?;
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        match self.body {
            BodyKind::SevenBit => {}
            BodyKind::EightBitMime => f.write_str(" BODY=8BITMIME")?,
            BodyKind::BinaryMime => f.write_str(" BODY=BINARYMIME")?,
        }
        if self.utf8 {
            f.write_str(" SMTPUTF8")?;
        }
        match self.ret {
            None => {}
            Some(Ret::Full) => f.write_str(" RET=FULL")?,
            Some(Ret::Headers) => f.write_str(" RET=HDRS")?,
        }
        if let Some(envid) = &self.envid {
            write!(f, " ENVID={envid}")?;
        }
        f.write_str(if self.require_tls { " REQUIRETLS" } else { "" })
    }
}

impl fmt::Display for RcptTo {
    /// The command line, with the parameters that say more than their default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RCPT TO:<{}>", self.recipient)?;
        match self.notify {
            Notify::Default => {}
            Notify::Never => f.write_str(" NOTIFY=NEVER")?,
            Notify::On { success, failure, delay } => {
                let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
                for (i, (_, word)) in words.iter().filter(|(on, _)| *on).enumerate() {
                    write!(f, "{}{word}", if i == 0 { " NOTIFY=" } else { "," })?;
                }
            }
        }
        match &self.orcpt {
            None => Ok(()),
            Some(orcpt) => write!(f, " ORCPT={orcpt}"),
        }
    }
}

#[cfg(test)]
mod tests;

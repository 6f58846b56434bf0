//! What a smart host's refusals mean, and what to do: replies of Microsoft 365, of Google, and of any host that wants a log-on.
//!
//! The first row that fits decides: the code, then the status, then words of the text, without regard to case. Where other
//! hosts give the same code for other reasons, a row asks for words that are this provider's own.

use super::Row;
use smtp::reply::{EnhancedStatus, Reply};

/// A reply that is explained.
#[derive(Copy, Clone, Debug)]
pub struct Explained {
    /// Who says so: `Microsoft 365`, `Google`, or `any host`.
    pub who: &'static str,
    /// The code.
    pub code: u16,
    /// The status.
    pub status: EnhancedStatus,
    /// What the text must contain; empty for anything.
    pub words: &'static str,
    /// What it means, a sentence.
    pub meaning: &'static str,
    /// What to do, a sentence.
    pub advice: &'static str,
}

const MICROSOFT: &str = "Microsoft 365";
const GOOGLE: &str = "Google";
const ANY: &str = "any host";

const fn row(
    who: &'static str,
    (code, subject, detail): (u16, u16, u16),
    words: &'static str,
    meaning: &'static str,
    advice: &'static str,
) -> Explained {
    let status = EnhancedStatus((code / 100) as u8, subject, detail);
    Explained { who, code, status, words, meaning, advice }
}

/// The replies that are explained, the most particular first.
pub static REPLIES: &[Explained] = &[
    // Logging on to Microsoft 365.
    row(
        MICROSOFT,
        (535, 7, 139),
        "SmtpClientAuthentication is disabled for the Tenant",
        "Logging on by SMTP is switched off for the whole organisation.",
        "Let an administrator allow it, for this mailbox at least: Set-CASMailbox MAILBOX -SmtpClientAuthenticationDisabled $false",
    ),
    row(
        MICROSOFT,
        (535, 7, 139),
        "SmtpClientAuthentication is disabled for the Mailbox",
        "Logging on by SMTP is switched off for this mailbox.",
        "Let an administrator allow it: Set-CASMailbox MAILBOX -SmtpClientAuthenticationDisabled $false",
    ),
    row(
        MICROSOFT,
        (535, 7, 139),
        "security defaults",
        "The organisation's security defaults forbid passwords.",
        "Use auth = { method = \"oauth\", … }.",
    ),
    row(
        MICROSOFT,
        (535, 7, 139),
        "basic authentication is disabled",
        "Passwords (Basic authentication) are switched off for this organisation.",
        "Use auth = { method = \"oauth\", … }.",
    ),
    row(
        MICROSOFT,
        (535, 7, 139),
        "user credentials were incorrect",
        "The account or its password is wrong, or the password has expired.",
        "Correct user and password, or use auth = { method = \"oauth\", … }.",
    ),
    row(
        MICROSOFT,
        (535, 7, 139),
        "locked",
        "The account is locked, after too many wrong log-ons.",
        "Correct the password, and let an administrator unlock the account.",
    ),
    row(
        MICROSOFT,
        (535, 7, 139),
        "",
        "A rule of the organisation (Conditional Access, security defaults, SMTP AUTH switched off) forbids this log-on.",
        "Let an administrator look at the sign-in logs of this account and except it from the rule; use auth = { method = \"oauth\", … }.",
    ),
    row(
        MICROSOFT,
        (535, 7, 3),
        "",
        "The log-on was refused: the account, its password or its token is wrong, or may not use this mailbox.",
        "With OAuth: user must be a mailbox with a licence; the application must be registered in Exchange with the Object ID of the \
         enterprise application (New-ServicePrincipal) and have rights on the mailbox (Add-MailboxPermission … FullAccess); look at \
         roles with: mailroot oauth test. With a password: correct it.",
    ),
    row(
        MICROSOFT,
        (550, 7, 30),
        "Basic authentication is not supported",
        "Passwords (Basic authentication) are not taken for sending any more.",
        "Use auth = { method = \"oauth\", … }.",
    ),
    row(
        MICROSOFT,
        (530, 7, 57),
        "",
        "The host wants a log-on, or it does not know us by our address or certificate.",
        "Set auth for this smart host, or send through a connector for this address or certificate, to the host that MX of the \
         domain names.",
    ),
    row(
        MICROSOFT,
        (454, 7, 0),
        "Temporary authentication failure",
        "The log-on could not be checked right now; a new right takes up to an hour to be known everywhere.",
        "Wait; if it lasts, look at the status page of Microsoft 365.",
    ),
    // Sending through Microsoft 365.
    row(
        MICROSOFT,
        (550, 7, 60),
        "",
        "The account that we log on as may not send as this sender.",
        "Give it the right (Add-RecipientPermission SENDER -Trustee ACCOUNT -AccessRights SendAs), or set sender for this smart host \
         to an address that it may use.",
    ),
    row(
        MICROSOFT,
        (554, 2, 252),
        "SendAsDenied",
        "The account that we log on as may not send as this sender.",
        "Give it the right (Add-RecipientPermission SENDER -Trustee ACCOUNT -AccessRights SendAs), or set sender for this smart host \
         to an address that it may use.",
    ),
    row(
        MICROSOFT,
        (554, 2, 0),
        "SendAsDenied",
        "The account that we log on as may not send as this sender; the From field counts too.",
        "Give it the right (Add-RecipientPermission SENDER -Trustee ACCOUNT -AccessRights SendAs), or set sender for this smart host \
         to an address that it may use.",
    ),
    row(
        MICROSOFT,
        (554, 2, 0),
        "Submission quota exceeded",
        "The mailbox has sent to as many recipients as it may in a day.",
        "Wait for tomorrow; set pacing.recipients_per_day for this smart host, or send bulk mail elsewhere.",
    ),
    row(
        MICROSOFT,
        (550, 1, 90),
        "",
        "The mailbox has sent to as many recipients as it may in a day.",
        "Wait for tomorrow; set pacing.recipients_per_day for this smart host, or send bulk mail elsewhere.",
    ),
    row(
        MICROSOFT,
        (432, 3, 2),
        "",
        "More connections at a time than the mailbox may have, which is three.",
        "Set pacing.connections_max = 3 for this smart host (provider = \"microsoft365\" does).",
    ),
    row(
        MICROSOFT,
        (550, 7, 64),
        "TenantAttribution",
        "No connector of the organisation knows us by our address or certificate.",
        "Correct the connector: our public address, or the name in our certificate, which must be an accepted domain.",
    ),
    row(
        MICROSOFT,
        (550, 7, 54),
        "Unable to relay",
        "Without a log-on or a connector that fits the host takes mail for its own domains alone.",
        "Set auth for this smart host, or correct the connector: our public address, or the name in our certificate.",
    ),
    row(
        MICROSOFT,
        (550, 7, 705),
        "",
        "The organisation may not send for now: too much of what it sent was spam.",
        "Find what sent it, stop it, and let an administrator ask Microsoft for release.",
    ),
    row(
        MICROSOFT,
        (550, 1, 8),
        "",
        "The sender may not send for now: too much of what it sent was spam.",
        "Find what sent it, stop it, and let an administrator release the account under Restricted entities.",
    ),
    // Logging on to Google.
    row(
        GOOGLE,
        (534, 7, 9),
        "gsmtp",
        "The account has two-step verification, and its own password is not enough.",
        "Make an app password for it, or use auth = { method = \"oauth\", … }.",
    ),
    row(
        GOOGLE,
        (534, 7, 14),
        "",
        "Google wants a person to log in with a browser first.",
        "Log in with a browser as this account and confirm that it was you; use auth = { method = \"oauth\", … }.",
    ),
    row(
        GOOGLE,
        (535, 7, 8),
        "gsmtp",
        "The account, its password or its token is wrong; Google takes no passwords but app passwords.",
        "With a password: make an app password (two-step verification must be on). With OAuth: the scope must be \
         https://mail.google.com/, and a service account needs it in its domain-wide delegation.",
    ),
    row(
        GOOGLE,
        (454, 7, 0),
        "Too many login attempts",
        "We have logged on too often in a short time.",
        "Wait; set pacing.connections_max for this smart host (provider = \"google\" does).",
    ),
    row(
        GOOGLE,
        (454, 7, 0),
        "Cannot authenticate due to",
        "The log-on could not be checked right now.",
        "Wait; if it lasts, look at the status page of Google Workspace.",
    ),
    row(
        GOOGLE,
        (530, 7, 0),
        "gsmtp",
        "The host wants TLS or a log-on first.",
        "Set tls = \"verified\" and auth for this smart host.",
    ),
    row(
        GOOGLE,
        (550, 7, 1),
        "Invalid credentials for relay",
        "The relay (smtp-relay.gmail.com) does not know us by our address, nor our sender's domain.",
        "Enter our public address in the Admin console under Gmail, Routing, SMTP relay service; or set auth; and send from a domain of \
         the organisation.",
    ),
    row(
        GOOGLE,
        (550, 7, 0),
        "Mail relay denied",
        "The relay (smtp-relay.gmail.com) does not know us by our address, nor our sender's domain.",
        "Enter our public address in the Admin console under Gmail, Routing, SMTP relay service; or set auth; and send from a domain of \
         the organisation.",
    ),
    // Sending through Google, and to it.
    row(
        GOOGLE,
        (550, 4, 5),
        "",
        "The account or organisation has sent as much as it may in a day.",
        "Wait for tomorrow; set pacing.messages_per_day for this smart host, or send bulk mail elsewhere.",
    ),
    row(
        GOOGLE,
        (450, 2, 1),
        "relay limit exceeded",
        "The organisation has sent as much as it may at a time, or in a day.",
        "Wait; set pacing for this smart host.",
    ),
    row(
        GOOGLE,
        (421, 7, 0),
        "Try again later, closing connection",
        "The relay does not like what we call ourselves in EHLO, or we come too often.",
        "Set delivery.fqdn to a name of ours that DNS knows, not localhost; set pacing for this smart host.",
    ),
    row(
        GOOGLE,
        (421, 7, 0),
        "unusual rate of unsolicited mail",
        "Too much of what comes from our address looks like spam.",
        "Find what sent it and stop it; see to SPF, DKIM and DMARC of the sending domain.",
    ),
    row(
        GOOGLE,
        (421, 7, 0),
        "not in whitelist",
        "The recipient's organisation takes mail from certain addresses alone.",
        "Send through the host that it wants, or ask it to allow ours.",
    ),
    row(
        GOOGLE,
        (421, 7, 0),
        "TLS required",
        "The recipient's organisation takes mail under TLS alone.",
        "Set tls = \"required\" for this domain or smart host.",
    ),
    row(
        GOOGLE,
        (550, 7, 26),
        "",
        "The message proves its origin neither by SPF nor by DKIM.",
        "Publish SPF with our public address for the sending domain, or let the message be signed by DKIM.",
    ),
    row(
        GOOGLE,
        (550, 7, 25),
        "",
        "Our address has no name in DNS (PTR), or one that does not lead back to it.",
        "Let whoever gives us the address publish the name of delivery.fqdn for it.",
    ),
    // Everybody.
    row(
        ANY,
        (535, 7, 8),
        "",
        "The log-on was refused: the account, its password or its token is wrong, or the host takes no passwords any more.",
        "Correct user and password; with OAuth look at the token with: mailroot oauth test.",
    ),
    row(
        ANY,
        (530, 7, 0),
        "STARTTLS",
        "The host takes nothing outside TLS.",
        "Set tls = \"required\" or \"verified\" for this smart host or domain.",
    ),
    row(ANY, (530, 7, 0), "", "The host wants a log-on first.", "Set auth for this smart host or domain."),
    row(
        ANY,
        (534, 7, 9),
        "",
        "This method of logging on is too weak for the host.",
        "Set tls = \"required\", or another auth.method.",
    ),
    row(
        ANY,
        (538, 7, 11),
        "",
        "This method of logging on needs TLS.",
        "Set tls = \"required\" or \"verified\" for this smart host.",
    ),
    row(
        ANY,
        (454, 7, 0),
        "",
        "The host could not check the log-on right now.",
        "Wait; if it lasts, tell whoever runs the host.",
    ),
    row(
        ANY,
        (452, 2, 2),
        "",
        "The recipient's mailbox is full.",
        "Nothing on our side: the recipient has to make room.",
    ),
    row(
        ANY,
        (552, 2, 2),
        "",
        "The recipient's mailbox is full.",
        "Nothing on our side: the recipient has to make room.",
    ),
];

/// What a reply means and what to do, if it is known.
#[must_use]
pub fn of_reply(reply: &Reply) -> Option<Row> {
    let status = reply.status?;
    let mut fitting = REPLIES.iter().filter(|row| row.code == reply.code && row.status == status).peekable();
    fitting.peek()?;
    let text = reply.lines.iter().map(|line| line.to_ascii_lowercase()).collect::<Vec<_>>().join(" ");
    let found = fitting.find(|row| text.contains(&row.words.to_ascii_lowercase()))?;
    Some(Row { meaning: found.meaning, advice: found.advice })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(code: u16, (subject, detail): (u16, u16), text: &'static str) -> &'static str {
        of_reply(&Reply::new(code, subject, detail, text)).map_or("", |row| row.meaning)
    }

    /// As the providers write them.
    #[test]
    fn the_usual_refusals_are_explained() {
        for (code, status, text, words) in [
            (
                535,
                (7, 3),
                "Authentication unsuccessful [AM0PR10CA0001.EURPRD10.PROD.OUTLOOK.COM]",
                "may not use this mailbox",
            ),
            (
                535,
                (7, 139),
                "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled",
                "whole organisation",
            ),
            (
                535,
                (7, 139),
                "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled",
                "this mailbox",
            ),
            (535, (7, 139), "Authentication unsuccessful, the user credentials were incorrect.", "password is wrong"),
            (
                535,
                (7, 139),
                "Authentication unsuccessful, user is locked by your organization's security defaults policy.",
                "security defaults",
            ),
            (535, (7, 139), "Authentication unsuccessful, basic authentication is disabled.", "Basic authentication"),
            (535, (7, 139), "Authentication unsuccessful, the request did not meet the criteria", "A rule"),
            (550, (7, 30), "Basic authentication is not supported for Client Submission.", "not taken for sending"),
            (550, (7, 60), "SMTP; Client does not have permissions to send as this sender", "may not send as"),
            (
                530,
                (7, 57),
                "SMTP; Client was not authenticated to send anonymous mail during MAIL FROM",
                "wants a log-on",
            ),
            (
                432,
                (3, 2),
                "Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending",
                "More connections",
            ),
            (454, (7, 0), "Temporary authentication failure", "takes up to an hour"),
            (
                535,
                (7, 8),
                "Username and Password not accepted. For more information, go to https://x - gsmtp",
                "app passwords",
            ),
            (535, (7, 8), "Error: authentication failed: generic failure", "The log-on was refused"),
            (454, (7, 0), "Too many login attempts, please try again later. - gsmtp", "too often"),
            (421, (7, 0), "Try again later, closing connection. (EHLO) - gsmtp", "call ourselves"),
            (452, (2, 2), "The recipient's inbox is out of storage space.", "mailbox is full"),
            (534, (7, 9), "Application-specific password required. - gsmtp", "two-step"),
        ] {
            assert!(
                meaning(code, status, text).contains(words),
                "{code} {status:?} {text}: {}",
                meaning(code, status, text)
            );
        }
    }

    #[test]
    fn other_words_are_left_alone() {
        // RFC 8689 has another meaning for 5.7.30.
        assert_eq!(meaning(550, (7, 30), "REQUIRETLS support required"), "");
        assert_eq!(meaning(550, (1, 1), "No such user"), "");
        assert_eq!(meaning(421, (7, 0), "Too many errors"), "");
        assert_eq!(of_reply(&Reply::plain(535, "no")).map(|row| row.meaning), None);
    }

    #[test]
    fn every_row_can_be_reached_and_says_something() {
        for (at, row) in REPLIES.iter().enumerate() {
            assert!(row.meaning.ends_with('.') && !row.advice.is_empty(), "{row:?}");
            let fits = |r: &&Explained| {
                r.code == row.code
                    && r.status == row.status
                    && row.words.to_ascii_lowercase().contains(&r.words.to_ascii_lowercase())
            };
            let first = REPLIES.iter().find(fits).unwrap();
            assert!(std::ptr::eq(first, &REPLIES[at]), "{row:?} is hidden by {first:?}");
        }
    }
}

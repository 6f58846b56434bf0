//! Terms in words, for `mailroot check` and `mailroot explain`: what differs from mail to a stranger, and never a secret.

use super::{ClientAuth, Grant, OAuthClient, Pacing, PasswordMethod, SecretSource, Terms, TlsPolicy};
use crate::config::quantity::print_time;
use std::fmt;
use std::time::Duration;

impl Terms {
    /// What is special about them, with a comma between the parts; empty: nothing.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        if self.tls != TlsPolicy::Opportunistic {
            parts.push(self.tls.to_string());
        }
        if let Some(file) = &self.authorities {
            parts.push(format!("by the authorities of {}", file.display()));
        }
        if self.certificate.is_some() {
            parts.push("with a certificate of our own".to_owned());
        }
        parts.extend(self.auth.as_ref().map(ToString::to_string));
        parts.extend(pace(&self.pacing));
        if !self.bind.is_empty() {
            let from: Vec<_> = self.bind.iter().map(ToString::to_string).collect();
            parts.push(format!("from {}", from.join(" and ")));
        }
        parts.extend(self.sender.as_ref().map(|sender| format!("always with the sender {sender}")));
        if let Some(waits) = &self.waits {
            let ladder: Vec<_> = waits.retry.iter().map(time).collect();
            parts.push(format!("tried again after {}, given up after {}", ladder.join(", "), time(&waits.expiry)));
        }
        parts.join(", ")
    }
}

impl fmt::Display for TlsPolicy {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsPolicy::None => "in clear text",
            TlsPolicy::Opportunistic => "under TLS where it is offered",
            TlsPolicy::Required => "only under TLS",
            TlsPolicy::Verified => "only under TLS that proves the host",
            TlsPolicy::Implicit => "only under TLS that proves the host, from the first octet on",
        })
    }
}

impl fmt::Display for ClientAuth {
    /// Whose account, by which method, and where its secret is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientAuth::Password { method, user, password, in_clear, .. } => {
                let clear = if *in_clear { ", even without TLS" } else { "" };
                write!(f, "logging on as {user} by {method} (password from {password}){clear}")
            }
            ClientAuth::Gssapi { principal: Some(principal), .. } => write!(f, "logging on as {principal} by Kerberos"),
            ClientAuth::Gssapi { principal: None, .. } => f.write_str("logging on by Kerberos"),
            ClientAuth::External => f.write_str("logging on by that certificate"),
            ClientAuth::OAuth(client) => client.fmt(f),
        }
    }
}

impl fmt::Display for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "logging on as {} by OAuth, {}", self.user, self.grant)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grant::ClientSecret(secret) => write!(f, "client secret from {secret}"),
            Grant::ClientCertificate { certificate, .. } => write!(f, "client certificate {}", certificate.display()),
            Grant::DeviceCode { .. } => f.write_str("by a person's consent (mailroot oauth login)"),
            Grant::RefreshToken { token, .. } => write!(f, "refresh token from {token}"),
            Grant::ServiceAccount { file } => write!(f, "service account {}", file.display()),
        }
    }
}

impl fmt::Display for PasswordMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PasswordMethod::Any => "the strongest method that is offered",
            PasswordMethod::Basic => "PLAIN or LOGIN",
            PasswordMethod::Scram => "SCRAM-SHA-256",
            PasswordMethod::CramMd5 => "CRAM-MD5",
            PasswordMethod::Ntlm => "NTLM",
        })
    }
}

impl fmt::Display for SecretSource {
    /// The place, never what is there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::File(file) => write!(f, "the file {}", file.display()),
            SecretSource::Environment(name) => write!(f, "the environment variable {name}"),
            SecretSource::Credential(name) => write!(f, "the credential {name}"),
        }
    }
}

fn pace(pacing: &Pacing) -> Option<String> {
    let limits = [
        (pacing.connections_max, "connections"),
        (pacing.messages_per_connection, "messages over each"),
        (pacing.recipients_per_message, "recipients of one message"),
        (pacing.messages_per_minute, "messages a minute"),
        (pacing.messages_per_day, "messages a day"),
        (pacing.recipients_per_day, "recipients a day"),
    ];
    let limits: Vec<_> =
        limits.into_iter().filter_map(|(most, what)| most.map(|most| format!("{most} {what}"))).collect();
    (!limits.is_empty()).then(|| format!("at most {}", limits.join(", ")))
}

fn time(duration: &Duration) -> String {
    print_time(duration.as_secs())
}

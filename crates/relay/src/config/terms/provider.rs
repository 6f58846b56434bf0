//! What is known of the large providers: hosts, endpoints, scopes, and how much they take from one account.
//!
//! Presets only: each is what holds where the file says nothing, and the file can say anything else. The limits are those
//! that the providers publish for one account (SMTP AUTH of Exchange Online, SMTP of Google Workspace); they change.

use crate::config::Pacing;
use smtp::address::{Domain, Host};
use std::time::Duration;

/// A provider that the configuration has a name for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::config) enum Provider {
    /// Exchange Online.
    Microsoft365,
    /// Google Workspace and Gmail.
    Google,
}

/// How long nothing goes to a provider that said "slow down": its counters look back over minutes.
const SLOW_DOWN: Duration = Duration::from_secs(300);

impl Provider {
    /// Their words, in this order.
    pub(in crate::config) const WORDS: &'static [&'static str] = &["microsoft365", "google"];
    pub(in crate::config) const ALL: [Provider; 2] = [Provider::Microsoft365, Provider::Google];

    /// Where it takes mail from whoever logs on, by STARTTLS.
    pub(in crate::config) fn host(self) -> Option<(Host, u16)> {
        let name = match self {
            Provider::Microsoft365 => "smtp.office365.com",
            Provider::Google => "smtp.gmail.com",
        };
        Domain::parse(name).ok().map(|name| (Host::Name(name), 587))
    }

    /// How much it takes from one account.
    pub(in crate::config) fn pacing(self) -> Pacing {
        match self {
            Provider::Microsoft365 => Pacing {
                connections_max: Some(3),
                recipients_per_message: Some(500),
                messages_per_minute: Some(30),
                recipients_per_day: Some(10_000),
                slow_down: Some(SLOW_DOWN),
                ..Pacing::default()
            },
            // Nothing is published about connections; so many have not been refused.
            Provider::Google => Pacing {
                connections_max: Some(10),
                recipients_per_message: Some(100),
                messages_per_day: Some(2_000),
                recipients_per_day: Some(3_000),
                slow_down: Some(SLOW_DOWN),
                ..Pacing::default()
            },
        }
    }

    /// Where tokens are asked for; `tenant` counts for Microsoft alone, which has none without.
    pub(in crate::config) fn token_endpoint(self, tenant: Option<&str>) -> Option<String> {
        match self {
            Provider::Microsoft365 => tenant.map(|tenant| microsoft(tenant, "token")),
            Provider::Google => Some(GOOGLE_TOKENS.to_owned()),
        }
    }

    /// Where device codes are asked for. Google gives none for mail.
    pub(in crate::config) fn device_endpoint(self, tenant: Option<&str>) -> Option<String> {
        match self {
            Provider::Microsoft365 => tenant.map(|tenant| microsoft(tenant, "devicecode")),
            Provider::Google => None,
        }
    }

    /// What to ask for. An application in its own name asks Microsoft for all that it was granted, a person by name.
    pub(in crate::config) fn scope(self, is_application: bool) -> &'static str {
        match self {
            Provider::Microsoft365 if is_application => "https://outlook.office365.com/.default",
            Provider::Microsoft365 => "https://outlook.office.com/SMTP.Send offline_access",
            Provider::Google => GOOGLE_SCOPE,
        }
    }
}

/// Where Google gives tokens, to service accounts too.
pub(in crate::config) const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";
/// All of a mailbox: there is no smaller scope for SMTP.
pub(in crate::config) const GOOGLE_SCOPE: &str = "https://mail.google.com/";

fn microsoft(tenant: &str, what: &str) -> String {
    format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/{what}")
}

//! On what terms mail is handed on: TLS, authentication, pace. Of a smart host, a remote domain, or all other mail.
//!
//! [`Terms`] travel with a next hop ([`crate::route::NextHop`]), so that whoever connects needs no other setting, and two
//! destinations with the same hosts but other terms share neither queue nor connection. Values only: files are read, secrets
//! fetched and tokens obtained where connections are made.
//!
//! IIS: Delivery tab, Outbound Security; SMTP domains, Outbound Security.

mod auth;
pub mod keys;
mod oauth;
pub(super) mod provider;
pub(super) mod read;
mod words;

use super::{CertificateSource, DomainPattern, GlitchRetry};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// On what terms mail goes to a next hop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Whose terms these are: under this name tokens, pace and alarms are kept.
    pub owner: Owner,
    /// How the channel is protected.
    pub tls: TlsPolicy,
    /// Certificates (PEM) that are trusted instead of the system's authorities; absolute.
    pub authorities: Option<PathBuf>,
    /// The certificate that we show when the other side asks for one.
    pub certificate: Option<CertificateSource>,
    /// How we prove who we are; `None`: not at all (the old "anonymous access").
    pub auth: Option<ClientAuth>,
    /// How much at a time.
    pub pacing: Pacing,
    /// Our own addresses to connect from, at most one of each family; empty: as the system chooses.
    pub bind: Vec<IpAddr>,
    /// Waits and ages of its own; `None`: the Delivery tab's.
    pub waits: Option<Waits>,
    /// The sender that the other side insists on: our envelope sender and `From` are replaced by it (`Reply-To` keeps the old one).
    pub sender: Option<smtp::address::Mailbox>,
}

impl Terms {
    /// Those of mail that no smart host and no remote domain has terms for: TLS where it is offered, no authentication.
    #[must_use]
    pub fn plain() -> Terms {
        Terms {
            owner: Owner::Server,
            tls: TlsPolicy::Opportunistic,
            authorities: None,
            certificate: None,
            auth: None,
            pacing: Pacing::default(),
            bind: Vec::new(),
            waits: None,
            sender: None,
        }
    }
}

/// Whose terms.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// The virtual server's own, for all other mail.
    Server,
    /// A `[[smart_host]]`, by its name.
    SmartHost(Box<str>),
    /// A remote domain, by its pattern as it is written.
    Domain(Box<str>),
}

impl Owner {
    /// A remote domain's.
    #[must_use]
    pub fn domain(pattern: &DomainPattern) -> Owner {
        Owner::Domain(pattern.to_string().into())
    }
}

impl fmt::Display for Owner {
    /// For people, and as the name of what is kept for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Server => f.write_str("the virtual server"),
            Owner::SmartHost(name) => write!(f, "smart host {name}"),
            Owner::Domain(pattern) => write!(f, "domain {pattern}"),
        }
    }
}

/// How the channel to a next hop is protected.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum TlsPolicy {
    /// In clear text.
    None,
    /// By STARTTLS where it is offered, whoever the other side is; in clear text where it is not, or where the handshake
    /// fails. What the domain has published (DANE, MTA-STS) makes it stricter.
    Opportunistic,
    /// By STARTTLS, whoever the other side is; never in clear text.
    Required,
    /// By STARTTLS, and the certificate must lead to an authority and bear the host's name.
    Verified,
    /// TLS from the first octet (port 465), and the certificate as for `Verified`.
    Implicit,
}

impl TlsPolicy {
    /// Does a channel that is good enough for this one lack something that the other demands?
    #[must_use]
    pub fn is_weaker_than(self, other: TlsPolicy) -> bool {
        let demands = |policy| match policy {
            TlsPolicy::None => 0,
            TlsPolicy::Opportunistic => 1,
            TlsPolicy::Required => 2,
            TlsPolicy::Verified | TlsPolicy::Implicit => 3,
        };
        demands(self) < demands(other)
    }
}

/// How we prove who we are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientAuth {
    /// By a password.
    Password {
        /// By which methods.
        method: PasswordMethod,
        /// The account.
        user: Box<str>,
        /// Its Windows domain, for NTLM.
        domain: Option<Box<str>>,
        /// Where the password is.
        password: SecretSource,
        /// PLAIN and LOGIN may go over a channel without TLS: the operator says so.
        in_clear: bool,
    },
    /// By Kerberos.
    Gssapi {
        /// The keytab with our key; `None`: the system's credentials.
        keytab: Option<PathBuf>,
        /// Who we are; `None`: the keytab's first.
        principal: Option<Box<str>>,
    },
    /// By our certificate (SASL EXTERNAL).
    External,
    /// By a token.
    OAuth(Arc<OAuthClient>),
}

/// By which methods a password is proved.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum PasswordMethod {
    /// The strongest that both sides know; PLAIN and LOGIN under TLS only (unless in clear text is allowed).
    Any,
    /// PLAIN or LOGIN.
    Basic,
    /// SCRAM-SHA-256 or -PLUS.
    Scram,
    /// CRAM-MD5.
    CramMd5,
    /// NTLM.
    Ntlm,
}

impl PasswordMethod {
    /// Does the other side see the password itself?
    #[must_use]
    pub fn shows_password(self) -> bool {
        matches!(self, PasswordMethod::Any | PasswordMethod::Basic)
    }
}

/// Where a secret is to be had. Named here, read when it is needed, never shown.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SecretSource {
    /// The first line of a file; absolute.
    File(PathBuf),
    /// An environment variable of the service.
    Environment(Box<str>),
    /// A file of that name in the service's credential directory (systemd's `LoadCredential`).
    Credential(Box<str>),
}

/// How we obtain tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OAuthClient {
    /// The account that we log on as: `user=` of XOAUTH2.
    pub user: Box<str>,
    /// Which method hands the token over.
    pub mechanism: BearerMechanism,
    /// Where tokens are asked for, https.
    pub token_endpoint: Box<str>,
    /// Where a device code is asked for, https; needed for [`Grant::DeviceCode`] alone.
    pub device_endpoint: Option<Box<str>>,
    /// Our name at the identity provider.
    pub client_id: Box<str>,
    /// What we ask for, joined by blanks.
    pub scope: Box<str>,
    /// By what right.
    pub grant: Grant,
    /// Certificates (PEM) that are trusted for the identity provider's https instead of the system's authorities; absolute.
    pub authorities: Option<PathBuf>,
}

/// How the token goes over the wire.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum BearerMechanism {
    /// XOAUTH2 if it is offered, else OAUTHBEARER.
    Any,
    /// As Google and Microsoft have it.
    Xoauth2,
    /// RFC 7628.
    OauthBearer,
}

/// By what right tokens are given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grant {
    /// Client credentials with a secret (RFC 6749 §4.4).
    ClientSecret(SecretSource),
    /// Client credentials with an assertion signed by our certificate's key (RFC 7523).
    ClientCertificate {
        /// The certificate (PEM), absolute.
        certificate: PathBuf,
        /// Its private key (PEM), absolute.
        key: PathBuf,
    },
    /// A person agrees once, with `mailroot oauth login` (RFC 8628); then refresh tokens.
    DeviceCode {
        /// The client's secret, where the provider wants one.
        secret: Option<SecretSource>,
    },
    /// A refresh token that was obtained elsewhere.
    RefreshToken {
        /// The first one; those that follow are kept by us.
        token: SecretSource,
        /// The client's secret, where the provider wants one.
        secret: Option<SecretSource>,
    },
    /// A Google service account: its key file (JSON), absolute; `user` is whom it acts for.
    ServiceAccount {
        /// The key file.
        file: PathBuf,
    },
}

/// How much at a time; `None`: no bound but the Delivery tab's.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Pacing {
    /// Connections at a time.
    pub connections_max: Option<u32>,
    /// Messages over one connection.
    pub messages_per_connection: Option<u32>,
    /// Recipients of one transaction.
    pub recipients_per_message: Option<u32>,
    /// Messages begun in a minute.
    pub messages_per_minute: Option<u32>,
    /// Messages begun in 24 hours.
    pub messages_per_day: Option<u32>,
    /// Recipients in 24 hours.
    pub recipients_per_day: Option<u32>,
    /// How long the destination rests after it said "slow down" (421, 432, 450, 451 and 452 with the words for it).
    pub slow_down: Option<Duration>,
}

impl Pacing {
    /// Is there a limit to what goes out at a time, in a minute or in a day?
    #[must_use]
    pub fn is_counted(&self) -> bool {
        let Pacing { connections_max, messages_per_minute, messages_per_day, recipients_per_day, .. } = self;
        [connections_max, messages_per_minute, messages_per_day, recipients_per_day].into_iter().any(Option::is_some)
    }
}

/// Waits and ages of its own.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Waits {
    /// Waits between attempts; the last one repeats.
    pub retry: Vec<Duration>,
    /// First waits after a glitch.
    pub glitch_retry: GlitchRetry,
    /// Age at which the sender hears of a delay.
    pub delay_notice: Duration,
    /// Age at which a message is given up.
    pub expiry: Duration,
}

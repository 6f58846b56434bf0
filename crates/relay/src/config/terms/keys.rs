//! The settings of terms: the same in `[[smart_host]]` and in `[[virtual_server.domain]]`.
//!
//! Written down once ([`Keys`]); each of the two tables has all of them under its own name, so that what is said about a
//! value names the place where it stands. The manual describes them at the smart host and lists them at the domain.

use crate::config::quantity::{DAY, HOUR};
use crate::config::settings::{Preset, Range, Setting, Tab, Unit};

/// Longest wait, notice or expiry, as on the Delivery tab.
const LONGEST: u64 = 30 * DAY;

/// The words of `tls`, in the order of [`super::TlsPolicy`].
pub(in crate::config) const TLS_WORDS: &[&str] = &["none", "opportunistic", "required", "verified", "implicit"];

const NONE: Preset = Preset::Follows("none");
const PROVIDERS: Preset = Preset::Follows("the provider's; otherwise none, and only the Delivery tab's limits hold");

macro_rules! keys {
    ($($field:ident $key:literal $label:literal, $unit:expr, $default:expr, $range:expr, $help:literal;)*) => {
        /// The settings of terms, as one table has them.
        #[derive(Debug)]
        pub struct Keys {
            $(#[doc = concat!("`", $key, "`")] pub $field: Setting,)*
        }

        /// Those of `[[smart_host]]`.
        pub static SMART_HOST: Keys = Keys {
            $($field: Setting {
                name: concat!("smart_host.", $key),
                tab: Tab::SmartHost,
                label: $label,
                unit: $unit,
                default: $default,
                range: $range,
                help: $help,
            },)*
        };

        /// Those of `[[virtual_server.domain]]`.
        pub static DOMAIN: Keys = Keys {
            $($field: Setting {
                name: concat!("domain.", $key),
                tab: Tab::Domain,
                label: $label,
                unit: $unit,
                default: $default,
                range: $range,
                help: $help,
            },)*
        };

        /// How many there are.
        pub(in crate::config) const COUNT: usize = [$($key),*].len();
        /// Those of `[[smart_host]]`, in the order of the manual.
        pub(in crate::config) static SMART_HOST_ALL: [&Setting; COUNT] = [$(&SMART_HOST.$field),*];
        /// Those of `[[virtual_server.domain]]`, in the order of the manual.
        pub(in crate::config) static DOMAIN_ALL: [&Setting; COUNT] = [$(&DOMAIN.$field),*];
    };
}

keys! {
    tls "tls" "Outbound security: TLS encryption",
        Unit::Choice,
        Preset::Follows("`\"implicit\"` at port 465, `\"verified\"` with a provider or `auth`, otherwise `\"opportunistic\"`, and for a domain that of `delivery.tls`"),
        Range::OneOf(TLS_WORDS),
        "`\"none\"`: in clear text. `\"opportunistic\"`: by STARTTLS where it is offered, whoever the other side is. `\"required\"`: never in \
clear text. `\"verified\"`: and the certificate must come from an authority and bear the host's name. `\"implicit\"`: the same, with TLS \
from the first octet on (port 465). Mail that cannot be sent so waits, and the queue says why. What a domain publishes (DANE, MTA-STS) \
makes it stricter, never laxer.";
    authority "authority" "Outbound security: authorities",
        Unit::File,
        Preset::Follows("the system's authorities; for a domain that of `delivery.authority`"),
        Range::Any,
        "Certificates (PEM) of the authorities that are trusted here instead of the system's.";
    certificate_file "certificate.file" "Outbound security: our certificate (PEM)",
        Unit::File,
        NONE,
        Range::Any,
        "The certificate that we show when the other side asks for one, and those between it and the root, written as \
`certificate = { file = \"tls/relay.pem\", key = \"tls/relay.key\" }`, or with `pfx`. It is how a connector of Exchange Online knows us, and \
`auth = { method = \"external\" }` logs on by it.";
    certificate_key "certificate.key" "Outbound security: private key (PEM)",
        Unit::File,
        Preset::Follows("`file`, which may hold both"),
        Range::Any,
        "The private key, in PEM, not encrypted, readable by the service's account alone.";
    certificate_pfx "certificate.pfx" "Outbound security: our certificate (PFX)",
        Unit::File,
        NONE,
        Range::Any,
        "Certificate and key in one file (PKCS #12), as Windows exports them.";
    certificate_password_file "certificate.password_file" "Outbound security: password of the PFX file",
        Unit::File,
        Preset::Follows("no password"),
        Range::Any,
        "A file whose first line is the password, readable by the service's account alone.";
    method "auth.method" "Outbound security: authentication",
        Unit::Choice,
        Preset::Follows("none; it must be written in `auth`"),
        Range::OneOf(&["password", "basic", "scram", "cram_md5", "ntlm", "gssapi", "external", "oauth"]),
        "Written as `auth = { method = \"password\", user = \"…\", password = { file = \"…\" } }`; without `auth` nobody logs on. `\"password\"`: \
the strongest that both sides know of those that follow. `\"basic\"`: PLAIN or LOGIN. `\"scram\"`: SCRAM-SHA-256. `\"cram_md5\"`. `\"ntlm\"`: \
Integrated Windows. `\"gssapi\"`: Kerberos, in a program that was built with it. `\"external\"`: by our `certificate`. `\"oauth\"`: by a token \
(XOAUTH2, OAUTHBEARER).";
    user "auth.user" "Outbound security: user name",
        Unit::Text,
        Preset::Follows("none; it must be written for a password or a token"),
        Range::Between(1, 255),
        "The account that we log on as. Mail may have other senders, where the provider allows the account to send for them.";
    password "auth.password" "Outbound security: password",
        Unit::Secret,
        Preset::Follows("none; it must be written where the method has one"),
        Range::Any,
        "Where the password is: the first line of a file that only the service's account may read, an environment variable of the service, \
or a credential of systemd (`LoadCredential`). It is read when it is needed, so a changed one needs no reload. It never stands in this file itself.";
    allow_clear_text "auth.allow_clear_text" "Outbound security: password without TLS",
        Unit::Switch,
        Preset::Switch(false),
        Range::Any,
        "PLAIN and LOGIN may go over a channel without TLS, for a wire that nobody else can read. Without it a password is refused \
beside `tls = \"none\"` and `tls = \"opportunistic\"`. Tokens never go in clear text.";
    domain "auth.domain" "Outbound security: Windows domain",
        Unit::Text,
        NONE,
        Range::Between(1, 255),
        "For NTLM: the domain of the account.";
    keytab "auth.keytab" "Outbound security: Kerberos keys",
        Unit::File,
        Preset::Follows("the credentials that the system holds for the service's account"),
        Range::Any,
        "For GSSAPI: the keytab with our key.";
    principal "auth.principal" "Outbound security: Kerberos principal",
        Unit::Text,
        Preset::Follows("the first one of the keytab"),
        Range::Between(1, 255),
        "For GSSAPI: who we are, as `relay@EXAMPLE.COM`.";
    mechanism "auth.mechanism" "OAuth: method that hands the token over",
        Unit::Choice,
        Preset::Text("\"any\""),
        Range::OneOf(&["any", "xoauth2", "oauthbearer"]),
        "`\"any\"`: XOAUTH2 where it is offered, otherwise OAUTHBEARER.";
    grant "auth.grant" "OAuth: by what right tokens are given",
        Unit::Choice,
        Preset::Follows("none; it must be written for `method = \"oauth\"`"),
        Range::OneOf(&["client_secret", "client_certificate", "device_code", "refresh_token", "service_account"]),
        "`\"client_secret\"` and `\"client_certificate\"`: the application itself is allowed to send (client credentials). `\"device_code\"`: a \
person agrees once, with `mailroot oauth login NAME`. `\"refresh_token\"`: one that was obtained elsewhere. `\"service_account\"`: of Google. \
See docs/smart-hosts.md.";
    tenant "auth.tenant" "OAuth: tenant of Microsoft 365",
        Unit::Text,
        Preset::Follows("none; it must be written with `provider = \"microsoft365\"`, unless the endpoints are"),
        Range::Between(1, 255),
        "The directory (tenant) ID, or a domain of the tenant, as `contoso.onmicrosoft.com`.";
    client_id "auth.client_id" "OAuth: client ID",
        Unit::Text,
        Preset::Follows("none; it must be written for every grant but a service account"),
        Range::Between(1, 500),
        "The application's ID at the identity provider.";
    client_secret "auth.client_secret" "OAuth: client secret",
        Unit::Secret,
        Preset::Follows("none; it must be written for `grant = \"client_secret\"`"),
        Range::Any,
        "Where the application's secret is. With a device code or a refresh token only where the provider wants one, as Google does.";
    assertion_certificate "auth.certificate" "OAuth: certificate of the application (PEM)",
        Unit::File,
        Preset::Follows("none; it must be written for `grant = \"client_certificate\"`"),
        Range::Any,
        "The certificate that is registered for the application; we sign with its key instead of showing a secret.";
    assertion_key "auth.key" "OAuth: private key of the application (PEM)",
        Unit::File,
        Preset::Follows("`auth.certificate`, which may hold both"),
        Range::Any,
        "The private key, in PEM, not encrypted, readable by the service's account alone.";
    refresh_token "auth.refresh_token" "OAuth: refresh token",
        Unit::Secret,
        Preset::Follows("none; it must be written for `grant = \"refresh_token\"`"),
        Range::Any,
        "Where the first refresh token is. Those that the provider gives in its stead are kept under `state.folder`.";
    service_account "auth.service_account" "OAuth: key file of a Google service account (JSON)",
        Unit::File,
        Preset::Follows("none; it must be written for `grant = \"service_account\"`"),
        Range::Any,
        "The file as Google's console gives it, readable by the service's account alone. `user` is the person for whom it acts (domain-wide \
delegation).";
    token_endpoint "auth.token_endpoint" "OAuth: where tokens are asked for",
        Unit::Text,
        Preset::Follows("the provider's; without a provider it must be written"),
        Range::Between(9, 500),
        "An https address of the identity provider.";
    device_endpoint "auth.device_endpoint" "OAuth: where device codes are asked for",
        Unit::Text,
        Preset::Follows("the provider's; without a provider it must be written for `grant = \"device_code\"`"),
        Range::Between(9, 500),
        "An https address of the identity provider.";
    scope "auth.scope" "OAuth: what the token is for",
        Unit::Text,
        Preset::Follows("the provider's; without a provider it must be written"),
        Range::Between(1, 1_000),
        "Scopes, with blanks between them, as the provider names them.";
    auth_authority "auth.authority" "OAuth: authorities for the identity provider",
        Unit::File,
        Preset::Follows("the system's authorities"),
        Range::Any,
        "Certificates (PEM) of the authorities that are trusted for the https of the identity provider instead.";
    connections_max "pacing.connections_max" "Pacing: connections at a time",
        Unit::Count,
        PROVIDERS,
        Range::BetweenOrUnlimited(1, crate::config::CONNECTIONS_CEILING as u64),
        "Written as `pacing = { connections_max = 3, messages_per_minute = 30 }`; what is left out stays as the provider has it. Each virtual \
server that sends there counts for itself.";
    messages_per_connection "pacing.messages_per_connection" "Pacing: messages over one connection",
        Unit::Count,
        Preset::Follows("`messages.messages_per_connection`"),
        Range::BetweenOrUnlimited(1, 2_000_000_000),
        "Then a new connection is opened.";
    recipients_per_message "pacing.recipients_per_message" "Pacing: recipients of one message",
        Unit::Count,
        PROVIDERS,
        Range::BetweenOrUnlimited(1, 100_000),
        "A message with more is sent in several parts.";
    messages_per_minute "pacing.messages_per_minute" "Pacing: messages in a minute",
        Unit::Count,
        PROVIDERS,
        Range::BetweenOrUnlimited(1, 1_000_000),
        "What is above waits in the queue, without an attempt.";
    messages_per_day "pacing.messages_per_day" "Pacing: messages in 24 hours",
        Unit::Count,
        PROVIDERS,
        Range::BetweenOrUnlimited(1, 1_000_000_000),
        "In any 24 hours, not from midnight to midnight. What is above waits in the queue.";
    recipients_per_day "pacing.recipients_per_day" "Pacing: recipients in 24 hours",
        Unit::Count,
        PROVIDERS,
        Range::BetweenOrUnlimited(1, 1_000_000_000),
        "In any 24 hours, each recipient of each message.";
    slow_down "pacing.slow_down" "Pacing: pause after \"slow down\"",
        Unit::Time,
        Preset::Follows("the provider's; otherwise the wait after a glitch"),
        Range::Between(1, DAY),
        "How long nothing goes there after the other side said that it is too much (421, 432, 450, 451 and 452 with words to that effect).";
    bind "bind" "Outbound connections: from these addresses",
        Unit::List(&Unit::Address, 2),
        Preset::Follows("as the system chooses; for a domain that of `delivery.bind`"),
        Range::Any,
        "Our own addresses that connections come from, at most one of each family. A host whose family has none here is not connected to.";
    sender "sender" "The sender that the provider insists on",
        Unit::Mailbox,
        Preset::Follows("none: each message's own"),
        Range::Any,
        "Replaces the envelope sender and `From` of what goes there; `Reply-To` keeps the old one, unless the message has one. Reports are left \
alone.";
    retry "retry" "First, second, third and subsequent retry interval",
        Unit::List(&Unit::Time, 20),
        Preset::Follows("`delivery.retry`"),
        Range::Between(1, LONGEST),
        "Waits between attempts of mail that goes there.";
    glitch_every "glitch_retry.every" "Wait after a glitch",
        Unit::Time,
        Preset::Follows("`delivery.glitch_retry.every`"),
        Range::Between(1, HOUR),
        "Written as `glitch_retry = { every = \"60 s\", times = 3 }`.";
    glitch_times "glitch_retry.times" "How many such retries",
        Unit::Count,
        Preset::Follows("`delivery.glitch_retry.times`"),
        Range::Between(0, 20),
        "After so many the ladder of `retry` begins.";
    delay_notice "delay_notice" "Delay notification",
        Unit::Time,
        Preset::Follows("`delivery.delay_notice`"),
        Range::Between(1, LONGEST),
        "Age at which the sender is told that a message to there still waits.";
    expiry "expiry" "Expiration time-out",
        Unit::Time,
        Preset::Follows("`delivery.expiry`"),
        Range::Between(1, LONGEST),
        "Age at which a message to there is given up.";
}

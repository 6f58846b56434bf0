//! By which methods may this client prove who it is now? One rule for what EHLO offers, for what AUTH refuses, and for
//! `mailroot explain`.
//!
//! A method must be on, must have what it works with ([`Means`]), and must not show a secret to whoever listens.
//!
//! RFC 4954 §4, §6; RFC 5802 §6; IIS: Access tab, Authentication.

use super::{Client, Reason, Value, Verdict, by_listener, secure, word};
use crate::config::{ListenerTls, VirtualServer};
use smtp::sasl::Mechanism;
use smtp::server::replies;

/// What the methods have to work with, beside the client.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Means {
    /// Some account has an NT hash.
    pub nt_hashes: bool,
    /// Kerberos tickets can be read.
    pub tickets: bool,
    /// Tokens can be checked.
    pub tokens: bool,
}

/// The methods that a client is offered, strongest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offered {
    /// Those that it can use now.
    pub now: Vec<Mechanism>,
    /// Those that it could use if it began TLS.
    pub under_tls: Vec<Mechanism>,
}

/// What this client is offered now.
#[must_use]
pub fn offered(server: &VirtualServer, means: Means, client: &Client<'_>) -> Offered {
    let mut offered = Offered::default();
    for mechanism in Mechanism::SERVED {
        match judge(server, means, client, mechanism) {
            Ok(_) => offered.now.push(mechanism),
            Err(No::NeedsTls(_)) => offered.under_tls.push(mechanism),
            Err(No::Unusable(_)) => {}
        }
    }
    offered
}

/// May this client authenticate so? 504 5.5.4: there is no such method here, or not for this client. 538 5.7.11: not without
/// TLS. 502 5.5.1: there is no method for it at all, and so no AUTH.
#[must_use]
pub fn auth<'a>(server: &'a VirtualServer, means: Means, client: &Client<'_>, mechanism: Mechanism) -> Verdict<'a> {
    match judge(server, means, client, mechanism) {
        Ok(because) => Verdict::yes(because),
        Err(No::NeedsTls(because)) => {
            let by_upgrade = matches!(client.listener.tls, ListenerTls::StartTls | ListenerTls::StartTlsRequired);
            Verdict::no(replies::auth_needs_tls(by_upgrade), because)
        }
        Err(No::Unusable(because)) if offered(server, means, client) == Offered::default() => {
            Verdict::no(replies::not_offered(), because)
        }
        Err(No::Unusable(because)) => Verdict::no(replies::mechanism_unknown(), because),
    }
}

/// Why a method is not offered.
enum No<'a> {
    Unusable(Reason<'a>),
    NeedsTls(Reason<'a>),
}

fn judge<'a>(
    server: &'a VirtualServer,
    means: Means,
    client: &Client<'_>,
    mechanism: Mechanism,
) -> Result<Reason<'a>, No<'a>> {
    let methods = &server.access.authentication.methods;
    let because = |words| Reason::setting(server, "access.authentication.methods", Value::Methods(methods), words);
    let lacks =
        if methods.contains(&mechanism) { lacks(means, client, mechanism) } else { Some("the method is not on") };
    if let Some(words) = lacks {
        return Err(No::Unusable(because(words)));
    }
    if !secure(server, client).is_yes() {
        let value = Value::Word(word(client.listener.tls));
        let words = "nothing is taken here without TLS";
        return Err(No::NeedsTls(by_listener(server, client, "general.listen.tls", value, words)));
    }
    if client.tls.is_some() || !mechanism.is_clear_text() {
        return Ok(because("the method is on"));
    }
    in_the_clear(server, client, mechanism)
}

/// What is not there that the method cannot do without.
fn lacks(means: Means, client: &Client<'_>, mechanism: Mechanism) -> Option<&'static str> {
    let (has, words) = match mechanism {
        Mechanism::Plain | Mechanism::Login | Mechanism::ScramSha256 => return None,
        Mechanism::External => {
            let shown = client.tls.is_some_and(|tls| tls.certificate.is_some());
            (shown, "EXTERNAL needs a client certificate, and there is none")
        }
        // Clients bind with the exporter, which TLS 1.2 has not: there they would bind with tls-unique, and fail.
        Mechanism::ScramSha256Plus => {
            (client.tls.is_some_and(|tls| tls.exporter), "the method is bound to TLS 1.3, and there is none")
        }
        Mechanism::Ntlm => (means.nt_hashes, "NTLM needs NT hashes, and no account has one"),
        Mechanism::Gssapi => (means.tickets, "GSSAPI needs the service's key and a program with Kerberos"),
        Mechanism::CramMd5 => (false, "CRAM-MD5 needs passwords that are kept readable"),
        Mechanism::Xoauth2 | Mechanism::OauthBearer => (means.tokens, "tokens cannot be checked"),
    };
    (!has).then_some(words)
}

/// A token goes through other hands than the operator's, so no network is trusted with it.
fn in_the_clear<'a>(
    server: &'a VirtualServer,
    client: &Client<'_>,
    mechanism: Mechanism,
) -> Result<Reason<'a>, No<'a>> {
    let setting = "access.authentication.clear_text_from";
    let allowed = &server.access.authentication.clear_text_from;
    let network =
        allowed.iter().enumerate().find(|(_, network)| !mechanism.is_token() && network.contains(client.address));
    match network {
        Some((index, network)) => {
            let words = "from this network passwords are taken without TLS";
            Ok(Reason::setting(server, setting, Value::Network(network), words).item(index))
        }
        None => {
            let words = "the method shows the password, and the connection is not encrypted";
            Err(No::NeedsTls(Reason::setting(server, setting, Value::Networks(allowed), words)))
        }
    }
}

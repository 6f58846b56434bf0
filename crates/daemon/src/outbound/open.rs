//! A fresh connection → a session that is ready for messages, protected as it must be; or why not.
//!
//! ```text
//!   connected ─┬─ (implicit TLS: handshake) ─ greeting, EHLO ─┬─ STARTTLS ─ handshake ─ EHLO ─┬─ AUTH ─ ready
//!              │                                              └── not offered, or not wanted ──┘
//!              └◄─ once more in clear text, where the policy allows it and the handshake failed; once more on the operator's terms
//!                  alone, where the senders waive what is published and that cannot be met
//! ```
//!
//! Where the policy allows clear text, TLS that is offered and fails is told of in the log. Where it does not, nothing but EHLO
//! and STARTTLS is said in the clear. What the operator has to mend here (a file that cannot be read) ends the attempt
//! under any policy: it must not turn TLS off.
//!
//! RFC 3207, RFC 8314 §3; RFC 7435 (opportunistic security).

use super::Shared;
use super::candidates::{Address, Candidate};
use super::login::Login;
use super::reach;
use super::talk::{Said, Talk};
use super::turn::Turn;
use super::wire::Wire;
use super::words;
use crate::sessions::{Live, Phase};
use crate::tls::client::{ClientEngine, ClientSetup, ClientSetups};
use relay::channel::Channel;
use relay::config::{ClientAuth, Terms, VirtualServer};
use relay::envelope::{Failure, FailureKind};
use relay::record::Record;
use relay::route::Protocol;
use relay::route::protection::{self, Protection};
use smtp::client::{Settings, StartTls, Trouble, TroubleKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// A session that is ready.
pub(super) struct Session {
    pub talk: Talk,
    /// `name [address]:port` of the host.
    pub host: Box<str>,
    /// How the channel is protected, if it is.
    pub channel: Option<Arc<Channel>>,
    /// How it had to be.
    pub protection: Arc<Protection>,
    /// On what terms.
    pub terms: Arc<Terms>,
}

/// One attempt to open a session with one host at one address.
pub(super) struct Opening<'a> {
    pub shared: &'a Shared,
    /// Where operators look on.
    pub live: &'a Arc<Live>,
    /// Until the host greets.
    pub turn: &'a Turn<'a>,
    pub protocol: Protocol,
    pub candidate: &'a Candidate,
    pub address: &'a Address,
    /// How the channel must be.
    pub protection: &'a Arc<Protection>,
    /// How long the call may take, if it has to be made again.
    pub call: Duration,
    /// How long the host may take for all of it.
    pub bound: Duration,
}

/// Why there is no session.
pub(super) enum Unopened {
    /// The handshake failed: on a fresh connection clear text may do.
    NoHandshake(Failure),
    /// The token was not taken: another one may do, since tokens can end before their time.
    StaleToken(Failure),
    /// Nothing is to be had here now.
    Failed(Failure),
}

impl Unopened {
    /// Without what was said in the log-on.
    fn hushed(self, login: &Login<'_>) -> Unopened {
        match self {
            Unopened::NoHandshake(failure) => Unopened::NoHandshake(login.hushed(failure)),
            Unopened::StaleToken(failure) => Unopened::StaleToken(login.hushed(failure)),
            Unopened::Failed(failure) => Unopened::Failed(login.hushed(failure)),
        }
    }

    pub(super) fn failure(self) -> Failure {
        match self {
            Unopened::NoHandshake(failure) | Unopened::StaleToken(failure) | Unopened::Failed(failure) => failure,
        }
    }
}

impl Opening<'_> {
    /// Opens the session over this connection, or over another one to the same address.
    pub(super) async fn open(&self, wire: Wire) -> Result<Session, Failure> {
        let label = self.candidate.label(self.address);
        let opened = self.under(self.protection, wire, &label).await;
        let (Err(failure), Some(waived)) = (&opened, &self.candidate.waived) else { return opened };
        // Our own trouble names no host, and would be the same.
        if failure.kind != FailureKind::Tls || failure.host.is_none() {
            return opened;
        }
        self.shared.log.write(&Record::Waived { host: label.clone(), why: failure.text.clone() });
        let wire = self.call_again(&label).await?;
        self.under(waived, wire, &label).await
    }

    async fn under(&self, protection: &Arc<Protection>, wire: Wire, label: &str) -> Result<Session, Failure> {
        match self.bounded(wire, protection, label).await {
            Ok(session) => Ok(session),
            Err(Unopened::Failed(failure)) => Err(failure),
            Err(Unopened::StaleToken(_)) => self.once_more(protection, label).await,
            Err(Unopened::NoHandshake(failure)) => {
                if protection.channel != protection::Channel::Opportunistic || protection.implicit {
                    return Err(failure);
                }
                self.shared.log.write(&Record::InClear { host: label.into(), why: failure.text });
                let clear = Protection { channel: protection::Channel::Clear, ..(**protection).clone() };
                self.once_more(&Arc::new(clear), label).await
            }
        }
    }

    /// Over a fresh connection; then it has an end.
    async fn once_more(&self, protection: &Arc<Protection>, label: &str) -> Result<Session, Failure> {
        let wire = self.call_again(label).await?;
        self.bounded(wire, protection, label).await.map_err(Unopened::failure)
    }

    async fn call_again(&self, label: &str) -> Result<Wire, Failure> {
        let calling = reach::again(self.candidate, self.address, self.call);
        let silent = || words::not_answered(self.turn.patience(), label);
        self.turn.unless_wanted(pin!(calling)).await.ok_or_else(silent)?
    }

    async fn bounded(&self, wire: Wire, protection: &Arc<Protection>, label: &str) -> Result<Session, Unopened> {
        match tokio::time::timeout(self.bound, self.through(wire, protection, label)).await {
            Ok(opened) => opened,
            Err(_) => Err(Unopened::Failed(words::not_greeted(self.bound, label))),
        }
    }

    /// The host has said nothing, and another waits for the place.
    fn silent(&self, label: &str) -> Unopened {
        Unopened::Failed(words::not_greeted(self.turn.patience(), label))
    }

    async fn through(&self, mut wire: Wire, protection: &Arc<Protection>, label: &str) -> Result<Session, Unopened> {
        let approach = self.approach();
        let settings = Arc::new(approach.settings(protection));
        let early = if settings.secure {
            self.live.set_phase(Phase::Handshake);
            let securing = approach.secure_at_once(&mut wire, protection, label, &settings);
            self.turn.unless_wanted(pin!(securing)).await.ok_or_else(|| self.silent(label))??
        } else {
            Vec::new()
        };
        let mut talk = Talk::new(wire, &settings, self.shared.clock.now());
        talk.show(self.live);
        self.live.set_phase(Phase::Talk);
        self.live.set_user(user(&self.candidate.terms, &self.shared.server));
        talk.hear(&early);
        let mut login =
            Login::new(self.shared, &self.candidate.terms, self.candidate.host.as_ref(), self.candidate.port, label);
        let (mut fault, mut used) = (None, None);
        let mut said = self.turn.unless_wanted(pin!(talk.next())).await.ok_or_else(|| self.silent(label))?;
        self.turn.answered();
        loop {
            match said {
                Said::Ready => break,
                Said::StartTls => match approach.setup(protection, label).await {
                    Ok(setup) => match ClientEngine::new(setup.clone()) {
                        Ok(engine) => {
                            used = Some(setup);
                            talk.shake_hands(engine).await;
                        }
                        Err(failure) => talk.no_tls(&failure.to_string()),
                    },
                    Err(failure) => {
                        talk.no_tls("there is no TLS from this side");
                        fault = Some(failure);
                    }
                },
                Said::Authenticate(offered) => login.begin(&mut talk, offered).await,
                Said::Challenge(challenge) => login.answer(&mut talk, challenge).await,
                Said::Authenticated => login.finish(&mut talk),
                Said::Failed(trouble) => {
                    return Err(match fault.or_else(|| login.fault()) {
                        Some(failure) => Unopened::Failed(failure),
                        None => self.unopened(&talk, &trouble, &login, used.as_ref(), label).hushed(&login),
                    });
                }
                // The machine says nothing else before its first transaction.
                _ => return Err(Unopened::Failed(words::local("The session ended before it began.".into()))),
            }
            said = talk.next().await;
        }
        if settings.protocol != smtp::client::Protocol::Lmtp && self.is_ours(talk.peer_name()) {
            talk.quit();
            // The machine waits a few seconds for the answer, and no longer.
            while !matches!(talk.next().await, Said::Closed | Said::Failed(_)) {}
            return Err(Unopened::Failed(super::candidates::loops(label)));
        }
        if let Some(reply) = talk.tls_refusal() {
            let why = format!("{label} offers TLS (STARTTLS) and then refuses it: {}.", reply.one_line()).into();
            self.shared.log.write(&Record::InClear { host: label.into(), why });
        }
        if let Some(facts) = talk.facts() {
            self.live.set_tls(facts.version.name(), facts.cipher);
        }
        let tls = talk.facts().map(|facts| facts.secured());
        let auth = login.mechanism().map(|mechanism| mechanism.name().into());
        let channel = Channel { tls, auth };
        let channel = (!channel.is_plain()).then(|| Arc::new(channel));
        let (protection, terms) = (Arc::clone(protection), Arc::clone(&self.candidate.terms));
        Ok(Session { talk, host: label.into(), channel, protection, terms })
    }

    /// Does the server call itself by our own name? Then it is this one, by a way that its addresses do not show (a port that
    /// is forwarded back to us): found at the first turn, not when the hops are counted (threats D9).
    fn is_ours(&self, peer_name: &str) -> bool {
        let fqdn = self.shared.server.delivery.fqdn.as_str();
        fqdn.contains('.') && peer_name.trim_end_matches('.').eq_ignore_ascii_case(fqdn)
    }

    fn unopened(
        &self,
        talk: &Talk,
        trouble: &Trouble,
        login: &Login<'_>,
        used: Option<&ClientSetup>,
        label: &str,
    ) -> Unopened {
        // A certificate of ours that the server does not take is told after the handshake.
        if let Some(failure) = talk.tls_failure() {
            return Unopened::NoHandshake(words::no_handshake(&failure.to_string(), label));
        }
        let failure = words::lost(trouble, label, talk.has_stalled());
        if trouble.kind == TroubleKind::AuthRefused {
            let failure = match login.complaint() {
                Some(complaint) => {
                    let text = format!("{} It said of the token: {complaint}", failure.text).into();
                    Failure { text, ..failure }
                }
                None => failure,
            };
            return if login.refused() { Unopened::StaleToken(failure) } else { Unopened::Failed(failure) };
        }
        if trouble.kind != TroubleKind::TlsFailed {
            return Unopened::Failed(failure);
        }
        if let Some(setup) = used {
            self.shared.setups.forget(setup);
        }
        Unopened::NoHandshake(failure)
    }

    fn approach(&self) -> Approach<'_> {
        let Shared { server, setups, .. } = self.shared;
        Approach { server, setups, protocol: self.protocol, candidate: self.candidate, address: self.address }
    }
}

/// Whom we log on as, for operators; our own name in brackets, if as nobody.
fn user(terms: &Terms, server: &VirtualServer) -> Box<str> {
    match &terms.auth {
        Some(ClientAuth::Password { user, .. }) => user.clone(),
        Some(ClientAuth::Gssapi { principal: Some(principal), .. }) => principal.clone(),
        _ => format!("[{}]", server.delivery.fqdn).into(),
    }
}

/// How one address is spoken to, whoever asks.
pub(super) struct Approach<'a> {
    pub server: &'a VirtualServer,
    pub setups: &'a Arc<ClientSetups>,
    pub protocol: Protocol,
    pub candidate: &'a Candidate,
    pub address: &'a Address,
}

impl Approach<'_> {
    /// TLS from the first octet: the greeting comes under it.
    pub(super) async fn secure_at_once(
        &self,
        wire: &mut Wire,
        protection: &Protection,
        label: &str,
        settings: &Settings,
    ) -> Result<Vec<u8>, Unopened> {
        let setup = self.setup(protection, label).await.map_err(Unopened::Failed)?;
        let failed = |why: &str| Unopened::NoHandshake(words::no_handshake(why, label));
        let engine = ClientEngine::new(setup.clone()).map_err(|failure| failed(&failure.to_string()))?;
        let bound = settings.timeout.min(HANDSHAKE_MAX);
        match tokio::time::timeout(bound, wire.shake_hands(engine)).await {
            Ok(Ok(early)) => Ok(early),
            Ok(Err(why)) => {
                self.setups.forget(&setup);
                Err(failed(&why))
            }
            Err(_) => Err(failed("the server did not finish the TLS handshake in time")),
        }
    }

    /// What the handshake needs.
    pub(super) async fn setup(&self, protection: &Protection, label: &str) -> Result<ClientSetup, Failure> {
        let setup = self.setups.of(&self.candidate.terms, protection, self.address.ip()).await;
        setup.map_err(|fault| words::unfit_for_tls(&fault, label))
    }

    /// How the session is to be; the log-on is the caller's.
    pub(super) fn settings(&self, protection: &Protection) -> Settings {
        let (secure, start_tls) = match (protection.implicit, &protection.channel) {
            // A socket of this machine needs no protection that nobody has asked for.
            (_, protection::Channel::Opportunistic) if self.candidate.host.is_none() => (false, StartTls::Never),
            (_, protection::Channel::Clear) => (false, StartTls::Never),
            (true, _) => (true, StartTls::Never),
            (false, protection::Channel::Opportunistic) => (false, StartTls::WhenOffered),
            (false, _) => (false, StartTls::Required),
        };
        let delivery = &self.server.delivery;
        let protocol = match self.protocol {
            Protocol::Esmtp => smtp::client::Protocol::Esmtp,
            Protocol::Helo => smtp::client::Protocol::Helo,
            Protocol::Lmtp => smtp::client::Protocol::Lmtp,
        };
        let plain = Settings::plain(delivery.fqdn.as_str(), protocol, delivery.timeout);
        Settings { start_tls, secure, auth: self.candidate.terms.auth.is_some(), ..plain }
    }
}

/// How long a handshake may take before the session begins.
pub(super) const HANDSHAKE_MAX: Duration = Duration::from_secs(60);

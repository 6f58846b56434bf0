//! Who we are, proved to a server: the choice of a method, and the exchange of AUTH, from our side.
//!
//! A password is read when it is needed and forgotten with the exchange; a token comes from [`crate::oauth`]. What the server
//! makes of it decides the session ([`smtp::client`]); what is not to be had here (a file, a token) is a failure of ours that
//! holds the mail and touches no other host. Nothing of a secret is in a failure or in the log.
//!
//! RFC 4954; the methods: [`smtp::sasl::client`]; GSSAPI (RFC 4752) with the feature `kerberos`. IIS: Delivery tab, Outbound Security.

use super::Shared;
use super::talk::Talk;
use super::ticket::Ticket;
use super::words;
use crate::hush::Hush;
use crate::oauth::Token;
use crate::secret;
use aws_lc_rs::rand;
use relay::config::Terms;
use relay::config::terms::{BearerMechanism, ClientAuth, OAuthClient, PasswordMethod, SecretSource};
use relay::envelope::Failure;
use smtp::address::Host;
use smtp::sasl::client::{Account, Around, Channel, ClientExchange, ClientFault, Fresh, Wanted, choose};
use smtp::sasl::scram::Bindings;
use smtp::sasl::{Mechanism, Mechanisms, Secret};

/// Milliseconds from 1601, where Windows begins to count, to 1970.
const WINDOWS_EPOCH_MS: i64 = 11_644_473_600_000;

/// One log-on under way.
pub(super) struct Login<'a> {
    shared: &'a Shared,
    terms: &'a Terms,
    /// Whom we log on to; `None`: over a socket of this machine.
    host: Option<&'a Host>,
    port: u16,
    /// The same for people.
    label: &'a str,
    exchange: Option<Exchange>,
    mechanism: Option<Mechanism>,
    /// What is not to be had from our side.
    fault: Option<Failure>,
    token: Option<Token>,
    hush: Hush,
}

enum Exchange {
    Sasl(ClientExchange),
    Ticket(Ticket),
}

impl<'a> Login<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        terms: &'a Terms,
        host: Option<&'a Host>,
        port: u16,
        label: &'a str,
    ) -> Login<'a> {
        let (exchange, mechanism, fault, token) = (None, None, None, None);
        Login { shared, terms, host, port, label, exchange, mechanism, fault, token, hush: Hush::default() }
    }

    /// Why the log-on could not be begun from our side, if so.
    pub(super) fn fault(&mut self) -> Option<Failure> {
        self.fault.take()
    }

    /// By which method we have logged on, or have tried to.
    pub(super) fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    /// The server did not take what we had. If that was a token, may another one do, which is obtained for whoever comes next?
    pub(super) fn refused(&self) -> bool {
        self.token.as_ref().is_some_and(|token| self.shared.tokens.refused(&self.terms.owner, token))
    }

    /// A failure in the server's words, without what we have said to prove who we are.
    pub(super) fn hushed(&self, failure: Failure) -> Failure {
        self.hush.over(failure)
    }

    /// What the server said of the token before it refused it.
    pub(super) fn complaint(&self) -> Option<&str> {
        match &self.exchange {
            Some(Exchange::Sasl(exchange)) => exchange.complaint(),
            _ => None,
        }
    }

    /// Chooses a method and begins; answers [`super::talk::Said::Authenticate`].
    pub(super) async fn begin(&mut self, talk: &mut Talk, offered: Mechanisms) {
        let Some(auth) = &self.terms.auth else { return talk.no_auth("there is nothing to log on with") };
        let facts = talk.facts();
        let exporter = facts.as_ref().and_then(|facts| facts.exporter.as_ref().map(<[u8; 32]>::as_slice));
        let end_point = facts.as_ref().map(|facts| &*facts.server_end_point).filter(|octets| !octets.is_empty());
        let bindings = Bindings { exporter, server_end_point: end_point };
        let clear_text = matches!(auth, ClientAuth::Password { in_clear: true, .. });
        let bindable = exporter.is_some() || end_point.is_some();
        let around = Around { secure: talk.is_secure(), bindable, clear_text };
        let mechanism = match choose(offered, wanted(auth), around) {
            Ok(mechanism) => mechanism,
            Err(why) => return talk.no_auth(&why.to_string()),
        };
        self.mechanism = Some(mechanism);
        let name = self.name();
        let plus_offered = offered.contains(Mechanism::ScramSha256Plus);
        let channel = Channel { host: &name, bindings, plus_offered };
        let begun = match auth {
            ClientAuth::Password { user, domain, password, .. } => {
                self.by_password(mechanism, user, domain.as_deref(), password, channel).await
            }
            ClientAuth::OAuth(client) => self.by_token(mechanism, client, &name).await,
            ClientAuth::External => Ok(Exchange::Sasl(ClientExchange::external(""))),
            ClientAuth::Gssapi { keytab, principal } => Ticket::new(keytab.as_deref(), principal.as_deref(), &name)
                .map(Exchange::Ticket)
                .map_err(|fault| words::no_log_on(&fault.to_string(), self.label)),
        };
        match begun {
            Ok(exchange) => self.start(talk, mechanism, exchange).await,
            Err(failure) => {
                self.fault = Some(failure);
                talk.no_auth("what we log on with is not to be had here");
            }
        }
    }

    async fn start(&mut self, talk: &mut Talk, mechanism: Mechanism, exchange: Exchange) {
        match exchange {
            Exchange::Sasl(mut exchange) => {
                let first = exchange.start();
                first.iter().for_each(|first| self.hush.note_response(first));
                talk.authenticate(mechanism, first);
                self.exchange = Some(Exchange::Sasl(exchange));
            }
            Exchange::Ticket(ticket) => match ticket.start().await {
                Ok((ticket, first)) => {
                    self.hush.note_response(&first);
                    talk.authenticate(mechanism, Some(first));
                    self.exchange = Some(Exchange::Ticket(ticket));
                }
                Err(fault) => {
                    self.fault = Some(words::no_log_on(&fault.to_string(), self.label));
                    talk.no_auth("there is no Kerberos ticket");
                }
            },
        }
    }

    /// Answers [`super::talk::Said::Challenge`].
    pub(super) async fn answer(&mut self, talk: &mut Talk, challenge: Vec<u8>) {
        let answered: Result<Vec<u8>, Box<str>> = match self.exchange.take() {
            Some(Exchange::Sasl(exchange)) => {
                let (exchange, answer) = respond(exchange, challenge).await;
                self.exchange = exchange.map(Exchange::Sasl);
                answer.map_err(|fault| fault.to_string().into())
            }
            Some(Exchange::Ticket(ticket)) => match ticket.respond(challenge).await {
                Ok((ticket, answer)) => {
                    self.exchange = Some(Exchange::Ticket(ticket));
                    Ok(answer)
                }
                Err(fault) => Err(fault.to_string().into()),
            },
            None => Err("the server asks although nothing was begun".into()),
        };
        match answered {
            Ok(answer) => {
                self.hush.note_response(&answer);
                talk.respond(answer);
            }
            Err(why) => talk.cancel_auth(&why),
        }
    }

    /// Has the server proved itself, where the method has it do so? Answers [`super::talk::Said::Authenticated`].
    pub(super) fn finish(&mut self, talk: &mut Talk) {
        let proved: Result<(), Box<str>> = match &self.exchange {
            Some(Exchange::Sasl(exchange)) => exchange.finish().map_err(|fault| fault.to_string().into()),
            Some(Exchange::Ticket(ticket)) => ticket.finish().map_err(|fault| fault.to_string().into()),
            None => Err("the server was content before anything was said".into()),
        };
        match proved {
            Ok(()) => talk.confirm_auth(),
            Err(why) => talk.cancel_auth(&why),
        }
    }

    // `&mut`: a Kerberos context may be sent to another thread while this waits, but not shared with one.
    async fn by_password(
        &mut self,
        mechanism: Mechanism,
        user: &str,
        domain: Option<&str>,
        source: &SecretSource,
        channel: Channel<'_>,
    ) -> Result<Exchange, Failure> {
        let label = self.label;
        let fault = |why: &str| words::no_log_on(why, label);
        let password = read(source.clone()).await.map_err(|why| fault(&why))?;
        let account = Account { name: user, domain, password: &password };
        self.hush.note_secret(&password);
        let fresh = self.fresh().ok_or_else(|| fault("the system gives no random numbers"))?;
        let exchange = ClientExchange::by_password(mechanism, account, channel, &fresh);
        exchange.map(Exchange::Sasl).map_err(|why| fault(&why.to_string()))
    }

    async fn by_token(&mut self, mechanism: Mechanism, client: &OAuthClient, name: &str) -> Result<Exchange, Failure> {
        let token = self.shared.tokens.bearer(&self.terms.owner, client).await;
        let token = token.map_err(|fault| fault.failure(Some(self.label)))?;
        let exchange = match mechanism {
            Mechanism::OauthBearer => ClientExchange::oauthbearer(&client.user, token.secret(), name, self.port),
            _ => ClientExchange::xoauth2(&client.user, token.secret()),
        };
        self.hush.note_secret(token.secret());
        self.token = Some(token);
        exchange.map(Exchange::Sasl).map_err(|why| words::no_log_on(&why.to_string(), self.label))
    }

    /// The server's name, as we look for it.
    fn name(&self) -> String {
        match self.host {
            Some(Host::Name(name)) => name.as_str().to_owned(),
            Some(Host::Literal(ip)) => ip.to_string(),
            None => "localhost".to_owned(),
        }
    }

    fn fresh(&self) -> Option<Fresh> {
        let mut chance = [0; 24];
        rand::fill(&mut chance).ok()?;
        let since_1601 = self.shared.clock.now().0.saturating_add(WINDOWS_EPOCH_MS).max(0);
        Some(Fresh { chance, filetime: u64::try_from(since_1601).unwrap_or_default().saturating_mul(10_000) })
    }
}

fn wanted(auth: &ClientAuth) -> Wanted {
    match auth {
        ClientAuth::Password { method, .. } => match method {
            PasswordMethod::Any => Wanted::Password,
            PasswordMethod::Basic => Wanted::Basic,
            PasswordMethod::Scram => Wanted::Scram,
            PasswordMethod::CramMd5 => Wanted::CramMd5,
            PasswordMethod::Ntlm => Wanted::Ntlm,
        },
        ClientAuth::Gssapi { .. } => Wanted::Gssapi,
        ClientAuth::External => Wanted::External,
        ClientAuth::OAuth(client) => match client.mechanism {
            BearerMechanism::Any => Wanted::Token,
            BearerMechanism::Xoauth2 => Wanted::Xoauth2,
            BearerMechanism::OauthBearer => Wanted::OauthBearer,
        },
    }
}

/// On a thread that may wait for the disk.
async fn read(source: SecretSource) -> Result<Secret, String> {
    let work = tokio::task::spawn_blocking(move || secret::read(&source).map_err(|fault| fault.to_string()));
    work.await.unwrap_or_else(|_| Err("the password could not be read".to_owned()))
}

/// SCRAM's key takes a good part of a second to make: not on a thread that others wait for.
async fn respond(
    mut exchange: ClientExchange,
    challenge: Vec<u8>,
) -> (Option<ClientExchange>, Result<Vec<u8>, ClientFault>) {
    if !matches!(exchange.mechanism(), Mechanism::ScramSha256 | Mechanism::ScramSha256Plus) {
        let answer = exchange.respond(&challenge);
        return (Some(exchange), answer);
    }
    let work = tokio::task::spawn_blocking(move || {
        let answer = exchange.respond(&challenge);
        (Some(exchange), answer)
    });
    work.await.unwrap_or((None, Err(ClientFault::Malformed)))
}

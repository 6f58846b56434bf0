//! Why is this mail taken, or refused? One session, asked in the mind: every decision in the order in which a session comes to
//! it, each with the setting that decided.
//!
//! Decides nothing itself. It asks what real sessions and deliveries ask: command inspection lets lines through
//! ([`smtp::server::Inspection`]), the grammar completes the addresses ([`smtp::command`]), [`crate::gate`] judges, [`crate::route`] rewrites and routes. It ends at the first refusal, as
//! a session would. What depends on the moment (how many are connected, how often somebody came, whether a password is right, what
//! MX records say, which version of TLS is agreed upon) is not asked; [`Inquiry`] says what is taken for granted.

use crate::account::{Account, Accounts, Refusal};
use crate::config::{ListenerTls, VirtualServer};
use crate::gate::{self, Client, Identity, Means, PeerName, Verdict};
use crate::reason::{Reason, Value};
use crate::route::{self, Hosts, NextHop, Route};
use smtp::address::{Mailbox, ReversePath};
use smtp::command::{Command, CommandError};
use smtp::extension::Extensions;
use smtp::reply::Reply;
use smtp::sasl::Mechanism;
use smtp::server::replies;
use std::sync::Arc;

/// A session as it is imagined.
#[derive(Clone, Debug)]
pub struct Inquiry<'a> {
    /// The client before it has authenticated.
    pub client: Client<'a>,
    /// What the methods of AUTH have to work with.
    pub means: Means,
    /// Its account, whose password is taken to be right.
    pub logon: Option<Logon<'a>>,
    /// What stands after `MAIL FROM:`, in brackets or not.
    pub sender: &'a str,
    /// What stands after `RCPT TO:`, in brackets or not.
    pub recipient: &'a str,
}

/// How it authenticates.
#[derive(Clone, Debug)]
pub struct Logon<'a> {
    /// The name that it gives.
    pub name: &'a str,
    /// The accounts among which it is looked for.
    pub accounts: &'a Accounts,
    /// By this method; `None`: the strongest that it is offered.
    pub mechanism: Option<Mechanism>,
}

/// Where in a session a decision is made.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Stage {
    /// May it connect?
    Connection,
    /// Must the connection be encrypted?
    Tls,
    /// Who is it, and must that be known?
    Authentication,
    /// May it use this sender?
    Sender,
    /// May it send to this recipient?
    Recipient,
    /// As whom is the sender known to the next host?
    Rewriting,
    /// Where does it go?
    Route,
}

impl Stage {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Connection => "connection",
            Stage::Tls => "TLS",
            Stage::Authentication => "authentication",
            Stage::Sender => "sender",
            Stage::Recipient => "recipient",
            Stage::Rewriting => "rewriting",
            Stage::Route => "route",
        }
    }
}

/// One decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Where it is made.
    pub stage: Stage,
    /// What was asked, as the session understands it.
    pub asked: String,
    /// Yes, and what comes of it; or the reply that refuses.
    pub outcome: Result<String, Reply>,
    /// The setting's name; empty: a rule that no setting changes.
    pub setting: &'static str,
    /// The domain or the smart host that it is of; `None`: the virtual server.
    pub whose: Option<String>,
    /// What it says.
    pub value: String,
    /// File and line; `None`: it is not written, and its default decided.
    pub place: Option<(String, u32)>,
    /// In words.
    pub words: String,
}

impl Decision {
    fn new(stage: Stage, asked: String, outcome: Result<String, Reply>, because: &Reason<'_>) -> Decision {
        Decision {
            stage,
            asked,
            outcome,
            setting: because.setting,
            whose: because.whose(),
            value: because.value.to_string(),
            place: because.place().map(|place| (place.file.to_owned(), place.line)),
            words: because.words.clone().into_owned(),
        }
    }
}

/// Every decision up to the first refusal.
#[must_use]
pub fn explain(server: &VirtualServer, inquiry: &Inquiry<'_>) -> Vec<Decision> {
    let mut told = Told { server, decisions: Vec::new() };
    // A refusal ends it, as `?` does with an error; what was decided by then is kept.
    let _ = told.session(inquiry);
    told.decisions
}

/// Was the mail taken?
#[must_use]
pub fn is_accepted(decisions: &[Decision]) -> bool {
    decisions.iter().all(|decision| decision.outcome.is_ok())
}

struct Told<'a> {
    server: &'a VirtualServer,
    decisions: Vec<Decision>,
}

/// The session ends here.
struct Refused;

impl<'s> Told<'s> {
    fn session(&mut self, inquiry: &Inquiry<'_>) -> Result<(), Refused> {
        let server = self.server;
        let client = inquiry.client;
        let mut asked = client.address.to_canonical().to_string();
        if *client.name != PeerName::NotAsked {
            asked.push_str(&format!(", name in DNS: {}", client.name));
        }
        if let Some(helo) = client.helo {
            asked.push_str(&format!(", calls itself {helo} (nobody is believed for that)"));
        }
        self.add(Stage::Connection, asked, "may connect", &gate::connect(server, &client))?;
        self.greeting(&client, inquiry.means)?;
        self.inspected_tls(&client, inquiry.means)?;
        let with = if client.tls.is_some() { "with TLS" } else { "without TLS" };
        let asked = format!("{with}, on {}", client.listener);
        self.add(Stage::Tls, asked, "may go on", &gate::secure(server, &client))?;
        let identity = self.logon(&client, inquiry)?;
        let client = Client { identity: identity.as_ref(), ..client };
        let asked = match &identity {
            Some(identity) => format!("as {}, by {}", identity.account, identity.mechanism),
            None => "nobody has authenticated".to_owned(),
        };
        self.add(Stage::Authentication, asked, "may go on", &gate::identified(server, &client))?;

        let sender = self.sender(&client, inquiry)?;
        let recipient = self.recipient(&client, inquiry)?;
        self.rewriting(&sender, &recipient);
        self.route(&recipient)
    }

    fn add(&mut self, stage: Stage, asked: String, yes: &str, verdict: &Verdict<'_>) -> Result<(), Refused> {
        let outcome = verdict.outcome.clone().map(|()| yes.to_owned());
        let is_yes = outcome.is_ok();
        self.decisions.push(Decision::new(stage, asked, outcome, &verdict.because));
        if is_yes { Ok(()) } else { Err(Refused) }
    }

    /// Does its EHLO pass?
    fn greeting(&mut self, client: &Client<'_>, means: Means) -> Result<(), Refused> {
        let Some(helo) = client.helo else { return Ok(()) };
        let line = format!("EHLO {helo}");
        let offered = self.offered(client, means);
        self.inspected(Stage::Connection, &line, &offered)?;
        match Command::parse_offered(line.as_bytes(), &self.server.default_domain.name, &offered) {
            Ok(Command::Hello { .. }) => Ok(()),
            Ok(_) => Err(self.misread(Stage::Connection, line, Reply::plain(500, "This is no name"))),
            Err(error) => Err(self.misread(Stage::Connection, line, error.reply())),
        }
    }

    /// Who the client has proved to be.
    fn logon(&mut self, client: &Client<'_>, inquiry: &Inquiry<'_>) -> Result<Option<Identity>, Refused> {
        let Some(logon) = &inquiry.logon else { return Ok(None) };
        let (server, means) = (self.server, inquiry.means);
        let account = logon.accounts.find(logon.name);
        let offered = gate::offered(server, means, client).now;
        // With nothing to choose from, the first that is on says why it is not offered.
        let on = &server.access.authentication.methods;
        let strongest = offered.iter().copied().find(|mechanism| lacks(logon, client, *mechanism).is_none());
        let mechanism = logon.mechanism.or(strongest).or(offered.first().copied()).or(on.first().copied());
        let asked = |by: &str| format!("AUTH as {}{by}", logon.name);
        let Some(mechanism) = mechanism else {
            let because =
                Reason::setting(server, "access.authentication.methods", Value::Methods(on), "no method is on");
            let decision = Decision::new(Stage::Authentication, asked(""), Err(replies::not_offered()), &because);
            self.decisions.push(decision);
            return Err(Refused);
        };
        let by = format!(", by {mechanism}");
        let line = format!("AUTH {mechanism}");
        self.inspected(Stage::Authentication, &line, &self.offered(client, means))?;
        self.add(Stage::Authentication, asked(&by), "may try", &gate::auth(server, means, client, mechanism))?;
        let words = match (account, lacks(logon, client, mechanism)) {
            (Some(account), _) if account.disabled => "the account is disabled",
            (_, Some(words)) => words,
            (account, None) => {
                let named = account.map_or(logon.name, |account| &account.name).into();
                let may_send_as = account.map(|account| account.may_send_as.clone()).unwrap_or_default();
                return Ok(Some(Identity { account: named, mechanism, may_send_as }));
            }
        };
        let because = Reason::setting(server, "access.accounts", Value::None, words);
        self.decisions.push(Decision::new(Stage::Authentication, asked(&by), Err(Refusal::Wrong.reply()), &because));
        Err(Refused)
    }

    fn sender(&mut self, client: &Client<'_>, inquiry: &Inquiry<'_>) -> Result<ReversePath, Refused> {
        let utf8 = if inquiry.sender.is_ascii() && inquiry.recipient.is_ascii() { "" } else { " SMTPUTF8" };
        let line = format!("MAIL FROM:{}{utf8}", bracketed(inquiry.sender));
        let offered = self.offered(client, inquiry.means);
        self.inspected(Stage::Sender, &line, &offered)?;
        match Command::parse_offered(line.as_bytes(), &self.server.default_domain.name, &offered) {
            Ok(Command::Mail(mail)) => {
                let verdict = gate::sender(self.server, client, &mail.sender);
                let asked = self.completed(format!("MAIL FROM:<{}>", mail.sender), inquiry.sender);
                self.add(Stage::Sender, asked, "may be used", &verdict)?;
                Ok(mail.sender)
            }
            Ok(_) => Err(self.misread(Stage::Sender, line, Reply::plain(500, "This is no address"))),
            Err(error @ CommandError::ParameterUnknown) => {
                let words =
                    "the address is beyond ASCII, and SMTPUTF8 is not among the extensions that are let through";
                let because = Reason::setting(self.server, "access.inspection.extensions", Value::None, words);
                self.decisions.push(Decision::new(Stage::Sender, line, Err(error.reply()), &because));
                Err(Refused)
            }
            Err(error) => Err(self.misread(Stage::Sender, line, error.reply())),
        }
    }

    fn recipient(&mut self, client: &Client<'_>, inquiry: &Inquiry<'_>) -> Result<Mailbox, Refused> {
        let line = format!("RCPT TO:{}", bracketed(inquiry.recipient));
        let offered = self.offered(client, inquiry.means);
        self.inspected(Stage::Recipient, &line, &offered)?;
        match Command::parse_offered(line.as_bytes(), &self.server.default_domain.name, &offered) {
            Ok(Command::Rcpt(rcpt)) => {
                let verdict = gate::recipient(self.server, client, &rcpt.recipient);
                let asked = self.completed(format!("RCPT TO:<{}>", rcpt.recipient), inquiry.recipient);
                self.add(Stage::Recipient, asked, "may be written to", &verdict)?;
                Ok(rcpt.recipient)
            }
            Ok(_) => Err(self.misread(Stage::Recipient, line, Reply::plain(500, "This is no address"))),
            Err(error) => Err(self.misread(Stage::Recipient, line, error.reply())),
        }
    }

    /// What EHLO offers this client, command inspection heeded.
    fn offered(&self, client: &Client<'_>, means: Means) -> Extensions {
        let by_upgrade = matches!(client.listener.tls, ListenerTls::StartTls | ListenerTls::StartTlsRequired);
        self.server.access.inspection.rules().limit(Extensions {
            starttls: by_upgrade,
            auth: gate::offered(self.server, means, client) != gate::Offered::default(),
            ..Extensions::ours(self.server.messages.size_max)
        })
    }

    /// Does command inspection let STARTTLS through, if the client needs it for its TLS?
    fn inspected_tls(&mut self, client: &Client<'_>, means: Means) -> Result<(), Refused> {
        if client.tls.is_none() || matches!(client.listener.tls, ListenerTls::Implicit | ListenerTls::Plain) {
            return Ok(());
        }
        self.inspected(Stage::Tls, "STARTTLS", &self.offered(client, means))
    }

    /// Does command inspection let this line through?
    fn inspected(&mut self, stage: Stage, line: &str, offered: &Extensions) -> Result<(), Refused> {
        let inspection = &self.server.access.inspection;
        let objection = inspection.rules().objection(line.as_bytes(), offered);
        // A method that is not on is told of as such, by those who know the methods.
        let is_inspected = inspection.verbs.is_some() || inspection.extensions.is_some();
        let Some(reply) = objection.filter(|_| is_inspected) else { return Ok(()) };
        let verb = line.split(' ').next().unwrap_or(line);
        let listed = inspection.verbs.as_ref().map(|verbs| verbs.iter().find(|allowed| allowed.verb == verb));
        let because = match listed {
            Some(None) => ("access.inspection.verbs", Value::None, "the verb is not among those that are let through"),
            Some(Some(allowed)) if line.len() + 2 > allowed.line_max as usize => {
                let most = Value::Number(allowed.line_max.into());
                ("access.inspection.verbs", most, "the line is longer than is let through")
            }
            _ => ("access.inspection.extensions", Value::None, "the extension is not among those that are let through"),
        };
        let because = Reason::setting(self.server, because.0, because.1, because.2);
        self.decisions.push(Decision::new(stage, line.to_owned(), Err(reply), &because));
        Err(Refused)
    }

    /// What was understood, and what was given if that was something else.
    fn completed(&self, understood: String, given: &str) -> String {
        if understood.ends_with(&format!(":{}", bracketed(given))) {
            return understood;
        }
        format!("{understood}, given as {given}")
    }

    /// The grammar refuses before anybody is asked.
    fn misread(&mut self, stage: Stage, line: String, reply: Reply) -> Refused {
        let because = Reason::fixed(self.server, "it is no address that SMTP knows");
        self.decisions.push(Decision::new(stage, line, Err(reply), &because));
        Refused
    }

    fn rewriting(&mut self, sender: &ReversePath, recipient: &Mailbox) {
        let terms = match route::route(self.server, recipient) {
            Route::Hop(hop) => hop.terms.clone(),
            // Into Drop it goes under its own name.
            Route::Drop | Route::Refuse(_) => self.server.delivery.terms.clone(),
        };
        let (rewritten, because) = route::rewrite(self.server, sender, &terms);
        let outcome = Ok(format!("goes out as <{rewritten}>"));
        self.decisions.push(Decision::new(Stage::Rewriting, format!("<{sender}>"), outcome, &because));
    }

    fn route(&mut self, recipient: &Mailbox) -> Result<(), Refused> {
        let (decision, _) = route_of(self.server, recipient);
        let is_ok = decision.outcome.is_ok();
        self.decisions.push(decision);
        if is_ok { Ok(()) } else { Err(Refused) }
    }
}

/// Where mail for a recipient goes, and what decides; the next hop, if it goes to one.
#[must_use]
pub fn route_of(server: &VirtualServer, recipient: &Mailbox) -> (Decision, Option<Arc<NextHop>>) {
    let (route, because) = route::decide(server, recipient);
    let (outcome, hop) = match route {
        Route::Drop => (Ok(format!("goes to {}", server.default_domain.drop.display())), None),
        Route::Hop(hop) => {
            let words = match &hop.hosts {
                // A socket on this machine: there is no wire that could be read.
                Hosts::Unix(_) => String::new(),
                _ => hop.terms.in_words(),
            };
            let comma = if words.is_empty() { "" } else { ", " };
            (Ok(format!("goes to {hop}{comma}{words}")), Some(hop))
        }
        Route::Refuse(failure) => {
            let reply = failure.reply.clone();
            (Err(reply.unwrap_or_else(|| Reply::plain(550, failure.text.to_string()))), None)
        }
    };
    (Decision::new(Stage::Route, format!("<{recipient}>"), outcome, &because), hop)
}

/// Why nobody can pass by this method as this account, whatever he knows.
fn lacks(logon: &Logon<'_>, client: &Client<'_>, mechanism: Mechanism) -> Option<&'static str> {
    // The issuer says who it is, and needs no account here.
    if mechanism.is_token() {
        return None;
    }
    let Some(account) = logon.accounts.find(logon.name) else { return Some("there is no such account") };
    if mechanism == Mechanism::External {
        let shown = client.tls.and_then(|tls| tls.certificate).map(|shown| shown.names).unwrap_or_default();
        let key = logon.accounts.key(&account.name);
        let is_named = shown.iter().any(|name| logon.accounts.key(name) == key);
        return (!is_named).then_some("the client's certificate does not have the account's name");
    }
    (!has_key(account, mechanism)).then_some("the account has nothing for this method")
}

/// Does the account keep what this method's proofs are checked with?
fn has_key(account: &Account, mechanism: Mechanism) -> bool {
    match mechanism {
        Mechanism::Plain | Mechanism::Login => account.password.is_some(),
        Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => account.scram.is_some(),
        Mechanism::Ntlm => account.nt_hash.is_some(),
        // Passwords that can be read are not kept.
        Mechanism::CramMd5 => false,
        // Nothing is kept here: others vouch.
        Mechanism::Gssapi | Mechanism::External | Mechanism::Xoauth2 | Mechanism::OauthBearer => true,
    }
}

/// The address in its brackets, as a client sends it. What has some already, however odd, is sent as it is.
fn bracketed(address: &str) -> String {
    if address.contains(['<', '>']) { address.to_owned() } else { format!("<{address}>") }
}

impl std::fmt::Display for Decision {
    /// Three lines: what was asked, the answer, and what decided.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:<15} {}", self.stage.name(), self.asked)?;
        match &self.outcome {
            Ok(words) => writeln!(f, "    yes, it {words}: {}", self.words)?,
            Err(reply) => writeln!(f, "    NO, {reply}\n        because {}", self.words)?,
        }
        let place = match &self.place {
            Some((file, line)) => format!("{file}:{line}"),
            None => "default".to_owned(),
        };
        match (self.setting, &*self.value) {
            ("", _) => writeln!(f, "    (a rule that no setting changes)"),
            (setting, "") => writeln!(f, "    {setting} ({place})"),
            (setting, value) => writeln!(f, "    {setting} = {value} ({place})"),
        }
    }
}

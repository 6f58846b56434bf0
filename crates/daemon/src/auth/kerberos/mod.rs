//! Kerberos by the system's library (MIT or Heimdal): the acceptor of GSSAPI tokens, plain or in SPNEGO.
//!
//! The library finds the keytab by `KRB5_KTNAME` in the environment, which a program may not change safely while threads run. So
//! [`prepare`] starts the program anew with that variable at the very beginning, under the same process number; sockets and
//! notifications of systemd stay as they were. What is read from the keytab here only serves to tell early what is wrong.
//!
//! Its calls block (files, the replay cache): they belong to the blocking pool, and [`Kerberos`] bounds them. It judges
//! tickets; which account a principal is, is the exchange's business.
//!
//! Source: RFC 4752 (SASL GSSAPI), RFC 4120, RFC 4178 (SPNEGO).

mod keytab;

use super::Plan;
use super::fault::AuthFault;
use libgssapi::context::{CtxFlags, SecurityContext, ServerCtx};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_MECH_SPNEGO, OidSet};
use relay::config::{ClientAuth, Config, VirtualServer};
use relay::record::Why;
use smtp::sasl::Mechanism;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The library's variable for the keytab of services.
const KEYTAB_VARIABLE: &str = "KRB5_KTNAME";
/// The library's variable for the keytab of clients: of what we log on with elsewhere.
pub(crate) const CLIENT_KEYTAB_VARIABLE: &str = "KRB5_CLIENT_KTNAME";
/// The library's variable for where tickets are kept.
const CACHE_VARIABLE: &str = "KRB5CCNAME";
/// Messages of one exchange: two for Kerberos, two more for SPNEGO, two for the security layer, and some to spare.
const GSSAPI_MESSAGES_MAX: u8 = 8;
/// Tokens that wait to be looked at; further ones are told to come back.
const TOKENS_WAITING_MAX: usize = 256;
/// RFC 4752 §3.3: the octet for "no security layer", and no room for wrapped octets.
const NO_LAYER: [u8; 4] = [1, 0, 0, 0];

/// The acceptor of one virtual server.
#[derive(Debug)]
pub(super) struct Kerberos {
    places: Semaphore,
    cores: Arc<Semaphore>,
}

/// One client on its way. The library's contexts may go from thread to thread, but not be shared.
pub(super) struct Negotiation {
    phase: Phase,
    messages: u8,
}

enum Phase {
    /// Tokens go to and fro.
    Tokens(Option<Box<ServerCtx>>),
    /// The ticket holds, our last token is out, and the client answers that with nothing.
    Established(Box<ServerCtx>),
    /// The client was told that there is no security layer.
    Layer(Box<ServerCtx>),
    Done,
}

/// What comes of a message.
pub(super) enum Step {
    Challenge(Vec<u8>),
    Proved(Proved),
    /// It does not hold.
    Wrong(Why),
    /// It is no message of this method.
    Malformed,
    /// It cannot be judged, for this reason.
    Unavailable(Box<str>),
}

/// The ticket holds.
pub(super) struct Proved {
    /// `user@REALM`.
    pub(super) principal: Box<str>,
    /// Whom the client wants to act as.
    pub(super) act_as: Option<Box<str>>,
}

impl Kerberos {
    pub(super) fn open(plan: &Plan) -> Result<Kerberos, AuthFault> {
        let path = plan.keytab.as_deref().ok_or(AuthFault::NoKeytab)?;
        keytab::look(path, &plan.host)?;
        if std::env::var_os(KEYTAB_VARIABLE).as_ref() != Some(&named(path)) {
            return Err(AuthFault::OtherKeytab { path: path.to_owned() });
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Kerberos { places: Semaphore::new(TOKENS_WAITING_MAX), cores: Arc::new(Semaphore::new(cores)) })
    }

    /// Looks at a message on the blocking pool: at most one for each core at a time.
    pub(super) async fn step(&self, mut negotiation: Negotiation, message: Vec<u8>) -> (Negotiation, Step) {
        let unavailable = |why: &str| Step::Unavailable(why.into());
        let Ok(_place) = self.places.try_acquire() else {
            return (Negotiation::done(), unavailable("too many tokens wait to be looked at"));
        };
        let Ok(core) = Arc::clone(&self.cores).acquire_owned().await else {
            return (Negotiation::done(), unavailable("the program ends"));
        };
        let work = tokio::task::spawn_blocking(move || {
            // A core is taken until the work is done, even if the client has gone meanwhile.
            let _core = core;
            let step = negotiation.step(&message);
            (negotiation, step)
        });
        work.await.unwrap_or_else(|_| (Negotiation::done(), unavailable("the token could not be looked at")))
    }
}

impl Negotiation {
    pub(super) fn new() -> Negotiation {
        Negotiation { phase: Phase::Tokens(None), messages: 0 }
    }

    fn done() -> Negotiation {
        Negotiation { phase: Phase::Done, messages: 0 }
    }

    fn step(&mut self, message: &[u8]) -> Step {
        self.messages += 1;
        if self.messages > GSSAPI_MESSAGES_MAX {
            return Step::Malformed;
        }
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Tokens(Some(context)) => self.token(context, message),
            Phase::Tokens(None) => match credential() {
                Ok(credential) => self.token(Box::new(ServerCtx::new(Some(credential))), message),
                Err(error) => Step::Unavailable(format!("the keytab cannot be used: {}", words(error)).into()),
            },
            Phase::Established(context) if message.is_empty() => self.offer_no_layer(context),
            Phase::Layer(context) => layer(context, message),
            Phase::Established(_) | Phase::Done => Step::Malformed,
        }
    }

    fn token(&mut self, mut context: Box<ServerCtx>, token: &[u8]) -> Step {
        match context.step(token, None) {
            Err(error) => Step::Wrong(Why::Token(reason(error))),
            Ok(Some(ours)) => {
                let ours = ours.to_vec();
                self.phase =
                    if context.is_complete() { Phase::Established(context) } else { Phase::Tokens(Some(context)) };
                Step::Challenge(ours)
            }
            Ok(None) => self.offer_no_layer(context),
        }
    }

    fn offer_no_layer(&mut self, mut context: Box<ServerCtx>) -> Step {
        match context.wrap(false, &NO_LAYER) {
            Ok(wrapped) => {
                self.phase = Phase::Layer(context);
                Step::Challenge(wrapped.to_vec())
            }
            Err(error) => Step::Unavailable(words(error).into()),
        }
    }
}

/// RFC 4752 §3.2: the client's choice, and whom it wants to act as.
fn layer(mut context: Box<ServerCtx>, message: &[u8]) -> Step {
    let answer = match context.unwrap(message) {
        Ok(answer) => answer,
        Err(error) => return Step::Wrong(Why::Token(reason(error))),
    };
    let Some((choice, act_as)) = answer.split_at_checked(NO_LAYER.len()) else { return Step::Malformed };
    let Ok(act_as) = std::str::from_utf8(act_as) else { return Step::Malformed };
    if choice != NO_LAYER || act_as.len() > smtp::sasl::clear::ACCOUNT_NAME_MAX || act_as.contains(char::is_control) {
        return Step::Malformed;
    }
    match principal(&context) {
        Ok(principal) => Step::Proved(Proved { principal, act_as: (!act_as.is_empty()).then(|| act_as.into()) }),
        Err(why) => Step::Wrong(Why::Token(why)),
    }
}

/// Who the ticket is of, if it is one for our service.
fn principal(context: &ServerCtx) -> Result<Box<str>, &'static str> {
    const UNREADABLE: &str = "the context cannot be read";
    if context.mechanism().map_err(|_| UNREADABLE)? != GSS_MECH_KRB5 {
        return Err("it is not of Kerberos");
    }
    if context.flags().map_err(|_| UNREADABLE)?.contains(CtxFlags::GSS_C_ANON_FLAG) {
        return Err("it names nobody");
    }
    let name = |name: Result<libgssapi::name::Name, Error>| {
        let shown = name.and_then(|name| name.display_name()).map_err(|_| UNREADABLE)?;
        String::from_utf8(shown.to_vec()).map_err(|_| UNREADABLE)
    };
    // A keytab may hold the keys of other services of the machine; a ticket for one of those opens nothing here.
    if !keytab::is_ours(&name(context.target_name())?, None) {
        return Err("the ticket is for another service");
    }
    let principal = name(context.source_name())?;
    // What a backslash quotes would be taken for a domain or a realm.
    if principal.contains(['\\', ' ']) || principal.contains(char::is_control) || principal.matches('@').count() != 1 {
        return Err("the name of its owner has characters that no account has");
    }
    Ok(principal.into())
}

/// Read anew for each exchange, so that a key that is changed needs no restart.
fn credential() -> Result<Cred, Error> {
    let mut mechanisms = OidSet::new();
    mechanisms.add(GSS_MECH_KRB5)?;
    mechanisms.add(GSS_MECH_SPNEGO)?;
    Cred::acquire(None, None, CredUsage::Accept, Some(&mechanisms))
}

/// Why a token does not hold, for the operator.
fn reason(error: Error) -> &'static str {
    /// Where RFC 4120 §7.5.9's codes begin in the library.
    const BASE: i64 = -1_765_328_384;
    tracing::info!("a GSSAPI token does not hold: {}", words(error));
    match i64::from(error.minor.cast_signed()) - BASE {
        31 | 41 => "the ticket was not made with the key in the keytab",
        32 => "the ticket has expired",
        33 => "the ticket is not valid yet; the clocks may differ",
        34 => "the token was used before: it is a replay",
        35 | 36 | 144 => "the ticket is for another service",
        37 => "the clocks of client and server differ by too much",
        44 | 230 => "the ticket was made with another version of the key; the keytab may be old",
        45 | 181 => "the keytab has no key for the ticket",
        _ => "the token does not hold",
    }
}

/// The library's own words, in one line.
pub(crate) fn words(error: Error) -> String {
    error.to_string().chars().map(|char| if char.is_control() { ' ' } else { char }).take(300).collect()
}

/// As the library's variables have it.
pub(crate) fn named(keytab: &Path) -> OsString {
    let mut named = OsString::from("FILE:");
    named.push(keytab);
    named
}

fn wanting(config: &Config) -> impl Iterator<Item = &VirtualServer> {
    config
        .servers
        .iter()
        .map(|server| &**server)
        .filter(|server| server.access.authentication.methods.contains(&Mechanism::Gssapi))
}

/// The virtual servers whose keytab is wrong, for the check.
pub(super) fn kerberos_faults(config: &Config) -> Vec<(Box<str>, AuthFault)> {
    let mut faults = Vec::new();
    let mut first: Option<&PathBuf> = None;
    for server in wanting(config) {
        let Some(path) = &server.access.authentication.keytab else { continue };
        let looked = if *first.get_or_insert(path) == path {
            keytab::look(path, server.delivery.fqdn.as_str())
        } else {
            Err(AuthFault::OtherKeytab { path: path.clone() })
        };
        faults.extend(looked.err().map(|fault| (server.name.clone(), fault)));
    }
    faults
}

/// The keytab that we log on with to other servers: one for the whole program.
fn client_keytab(config: &Config) -> Option<&Path> {
    config.terms().find_map(|terms| match &terms.auth {
        Some(ClientAuth::Gssapi { keytab, .. }) => keytab.as_deref(),
        _ => None,
    })
}

/// Starts the program anew if the library would look for the keytabs elsewhere. To be called before anything else runs.
///
/// # Errors
/// The program cannot be started anew.
pub fn prepare_kerberos(config: &Config) -> Result<(), std::io::Error> {
    let served = wanting(config).find_map(|server| server.access.authentication.keytab.as_deref());
    let mut wanted: Vec<(&str, OsString)> = served.map(|path| (KEYTAB_VARIABLE, named(path))).into_iter().collect();
    if let Some(path) = client_keytab(config) {
        wanted.push((CLIENT_KEYTAB_VARIABLE, named(path)));
        // Our tickets are nobody else's business, and a file of them would outlive us.
        wanted.push((CACHE_VARIABLE, OsString::from("MEMORY:mailroot")));
    }
    if wanted.iter().all(|(name, value)| std::env::var_os(name).as_ref() == Some(value)) {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut again = Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    Err(again.args(arguments).envs(wanted).exec())
}

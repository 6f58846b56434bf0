//! One address of a next hop, asked as a delivery would ask it, up to where mail would begin: greeting, EHLO, TLS, EHLO, and QUIT.
//!
//! For somebody who asks what would happen. The connection is the one that a delivery makes ([`super::open::Approach`] and
//! [`super::talk`]), so that the two cannot disagree; no log-on is tried, and no MAIL is said. Where the handshake fails, a second
//! connection shows what a delivery does then: clear text, where that is allowed; else, for people to see, whose certificate it is
//! that was not taken.
//!
//! Promises: an end within [`PROBE_MAX`] for each of at most two connections; what comes from the host is fit to be shown.
//!
//! RFC 5321 §4.1.1.1, RFC 3207 §4.2.

use super::open::{Approach, Unopened};
use super::reach;
use super::survey::Stop;
use super::talk::{Said, Talk};
use super::words;
use crate::clock::Clock;
use crate::tls::Particulars;
use crate::tls::client::{ClientEngine, ClientSetups};
use relay::channel::{Checked, Secured};
use relay::config::VirtualServer;
use relay::envelope::Failure;
use relay::route::NextHop;
use relay::route::protection::{Channel, Protection};
use smtp::client::{Trouble, TroubleKind};
use smtp::reply::{Reply, ReplyReader, clean};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long one connection may take, from the call to the last EHLO. A delivery waits longer.
const PROBE_MAX: Duration = Duration::from_secs(20);
/// How long the host may take to answer QUIT.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// What one address had to say.
#[derive(Debug, Default)]
pub struct Look {
    /// Its greeting.
    pub greeting: Option<Box<str>>,
    /// What it offers in the clear; `None`: it was not asked, or did not say.
    pub in_clear: Option<Vec<Box<str>>>,
    /// What it offers under TLS.
    pub under_tls: Option<Vec<Box<str>>>,
    /// TLS as it was agreed upon.
    pub tls: Option<Secured>,
    /// The certificate that it has shown.
    pub certificate: Option<Particulars>,
}

/// What came of it.
#[derive(Debug)]
pub struct Probe {
    /// What was seen.
    pub look: Look,
    /// Would mail go? If not under TLS, why that is so.
    pub result: Result<Option<Box<str>>, Failure>,
    /// A delivery would log on.
    pub logs_on: bool,
}

impl Probe {
    /// What would become of mail, in a sentence.
    #[must_use]
    pub fn verdict(&self) -> String {
        let mut text = match (&self.result, &self.look.tls) {
            (Err(failure), _) => return format!("mail would not go: {} {}", failure.status, failure.text),
            (Ok(_), Some(tls)) => format!("mail would go under TLS, {}", checked(tls.checked)),
            (Ok(Some(why)), None) => format!("mail would go in clear text: {why}"),
            (Ok(None), None) => "mail would go in clear text".to_owned(),
        };
        if self.logs_on {
            text.push_str("; the log-on was not tried");
        }
        text
    }
}

fn checked(checked: Checked) -> &'static str {
    match checked {
        Checked::No => "to whoever answers: nothing demands that the certificate is checked",
        Checked::Name => "the host verified: an authority vouches for its name",
        Checked::Dane => "the host verified by its TLSA records (DANE)",
        Checked::MtaSts => "the host verified: an authority vouches for its name, and the MTA-STS policy names it",
    }
}

/// Asks this address.
pub async fn probe(
    server: &VirtualServer,
    hop: &NextHop,
    setups: &Arc<ClientSetups>,
    clock: &Clock,
    stop: &Stop,
) -> Probe {
    let (candidate, address) = (&*stop.candidate, &stop.address);
    let approach = Approach { server, setups, protocol: hop.protocol, candidate, address };
    let caller = Caller { approach, clock, label: &stop.label };
    let logs_on = candidate.terms.auth.is_some();
    let mut look = Look::default();
    let unopened = match caller.pass(&stop.protection, &mut look).await {
        Ok(why) => return Probe { look, result: Ok(why), logs_on },
        Err(unopened) => unopened,
    };
    let failure = match unopened {
        Unopened::NoHandshake(failure) => failure,
        Unopened::StaleToken(failure) | Unopened::Failed(failure) => {
            return Probe { look, result: Err(failure), logs_on };
        }
    };
    // What a delivery would do now, or else a look at the certificate that was not taken.
    let again = |channel| Protection { channel, ..(*stop.protection).clone() };
    if stop.protection.channel == Channel::Opportunistic && !stop.protection.implicit {
        let mut look = Look::default();
        let result = caller.pass(&again(Channel::Clear), &mut look).await;
        let result = result.map(|_| Some(failure.text)).map_err(Unopened::failure);
        return Probe { look, result, logs_on };
    }
    let mut second = Look::default();
    // It has told what it could; the first failure counts.
    let _ = caller.pass(&again(Channel::Encrypted), &mut second).await;
    look.certificate = second.certificate;
    Probe { look, result: Err(failure), logs_on }
}

/// Who asks.
struct Caller<'a> {
    approach: Approach<'a>,
    clock: &'a Clock,
    label: &'a str,
}

impl Caller<'_> {
    /// One connection. `Ok`: mail would go; why in clear text, if it is that.
    async fn pass(&self, protection: &Protection, look: &mut Look) -> Result<Option<Box<str>>, Unopened> {
        let until = Instant::now() + PROBE_MAX;
        let late = || Unopened::Failed(words::not_greeted(PROBE_MAX, self.label));
        let Approach { candidate, address, server, .. } = self.approach;
        let settings = Arc::new(self.approach.settings(protection));
        let call = server.delivery.timeout.min(reach::CONNECT_AMONG_OTHERS);
        let mut wire = reach::again(candidate, address, call).await.map_err(Unopened::Failed)?;
        let early = if settings.secure {
            let secured = self.approach.secure_at_once(&mut wire, protection, self.label, &settings);
            timeout_at(until, secured).await.map_err(|_| late())??
        } else {
            Vec::new()
        };
        let mut talk = Talk::new(wire, &settings, self.clock.now());
        talk.keep_words();
        talk.hear(&early);
        let ended = timeout_at(until, self.through(&mut talk, protection, look)).await;
        look.hear(&mut talk);
        ended.map_err(|_| late())??;
        say_goodbye(&mut talk).await;
        Ok(match (talk.is_secure(), talk.tls_refusal()) {
            (true, _) => None,
            (false, Some(reply)) => {
                Some(format!("it offers STARTTLS and then refuses it: {}", reply.one_line()).into())
            }
            (false, None) if protection.channel == Channel::Clear => Some("nothing else is wanted".into()),
            (false, None) => Some("it does not offer STARTTLS".into()),
        })
    }

    /// Up to where mail, or the log-on, would begin.
    async fn through(&self, talk: &mut Talk, protection: &Protection, look: &mut Look) -> Result<(), Unopened> {
        loop {
            match talk.next().await {
                Said::Ready | Said::Authenticate(_) => return Ok(()),
                Said::StartTls => {
                    look.hear(talk);
                    let setup = self.approach.setup(protection, self.label).await.map_err(Unopened::Failed)?;
                    match ClientEngine::new(setup) {
                        Ok(engine) => talk.shake_hands(engine).await,
                        Err(failure) => talk.no_tls(&failure.to_string()),
                    }
                }
                Said::Failed(trouble) => return Err(self.unopened(talk, &trouble)),
                // The machine says nothing else before its first transaction.
                _ => return Err(Unopened::Failed(words::local("The session ended before it began.".into()))),
            }
        }
    }

    fn unopened(&self, talk: &Talk, trouble: &Trouble) -> Unopened {
        match talk.tls_failure() {
            Some(failure) => Unopened::NoHandshake(words::no_handshake(&failure.to_string(), self.label)),
            None if trouble.kind == TroubleKind::TlsFailed => {
                Unopened::NoHandshake(words::lost(trouble, self.label, false))
            }
            None => Unopened::Failed(words::lost(trouble, self.label, false)),
        }
    }
}

/// Says QUIT, and hears the answer if it comes soon.
async fn say_goodbye(talk: &mut Talk) {
    // Ends the session where it waits for a log-on; else it does nothing.
    talk.no_auth("it was only asked");
    talk.quit();
    let until = Instant::now() + GOODBYE_MAX;
    while let Ok(said) = timeout_at(until, talk.next()).await {
        if matches!(said, Said::Closed | Said::Failed(_)) {
            return;
        }
    }
}

impl Look {
    /// Takes over what the session has heard since the last time.
    fn hear(&mut self, talk: &mut Talk) {
        let is_first = self.greeting.is_none();
        let replies = replies(&talk.take_words());
        if is_first {
            self.greeting = replies.first().map(|reply| reply.one_line().into());
        }
        let hello = replies.iter().skip(usize::from(is_first)).rfind(|reply| reply.code == 250);
        let offers = hello.map(|reply| reply.lines.iter().skip(1).map(|line| Box::from(&**line)).collect());
        // The handshake comes after what was heard before it.
        self.tls = talk.facts().map(|facts| facts.secured());
        self.certificate = talk.certificate().and_then(Particulars::read).map(fit_to_show);
        // After a handshake that failed it has said nothing more, and what it said before holds.
        if offers.is_some() {
            *(if self.tls.is_some() { &mut self.under_tls } else { &mut self.in_clear }) = offers;
        }
    }
}

/// The host's words, reply by reply.
fn replies(words: &[u8]) -> Vec<Reply> {
    let mut reader = ReplyReader::default();
    let lines = words.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter_map(|line| reader.line(line).ok().flatten()).collect()
}

/// Anybody may write anything into a certificate.
fn fit_to_show(its: Particulars) -> Particulars {
    let fit = |text: Box<str>| clean(text.as_bytes()).into();
    let names = its.names.into_iter().map(fit).collect();
    Particulars { subject: fit(its.subject), issuer: fit(its.issuer), names, ..its }
}

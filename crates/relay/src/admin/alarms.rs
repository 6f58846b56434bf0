//! Alarms: what an operator should see to, and what to do about it. Facts in, sentences out.
//!
//! An alarm lasts as long as its cause; nothing is remembered or acknowledged. The daemon gathers the facts.

use super::view::{Alarm, DestinationView, ServerState, ServerView};

/// A certificate that ends within so many days is told of.
pub const CERTIFICATE_DAYS: i64 = 14;
/// A destination that has taken nothing for so long is told of, seconds.
pub const DESTINATION_FAILS_FOR: u64 = 3_600;
/// Less than this many times the reserved room is nearly full.
pub const NEARLY_FULL: u64 = 2;
/// Alarms about destinations of one virtual server that are told one by one.
pub const DESTINATION_ALARMS_MAX: usize = 20;

fn alarm(server: Option<&str>, kind: &str, urgent: bool, text: String, advice: String) -> Alarm {
    Alarm { server: server.map(str::to_owned), kind: kind.into(), urgent, text, advice, since: None }
}

/// What is known of a certificate.
#[derive(Clone, Debug)]
pub struct CertificateFacts<'a> {
    /// The virtual server.
    pub server: &'a str,
    /// Its file.
    pub file: &'a str,
    /// The names in it.
    pub names: &'a str,
    /// It is obtained by ACME.
    pub acme: bool,
    /// A listener shows it.
    pub shown: bool,
    /// When it ends; `Err`: it cannot be used, and why.
    pub ends: Result<(&'a str, i64), &'a str>,
}

/// About a certificate.
#[must_use]
pub fn certificate(facts: &CertificateFacts<'_>) -> Option<Alarm> {
    let renew = if facts.acme {
        "It should have been renewed by itself: the log says why it was not (docs/certificates.md)."
    } else {
        "Get a new one and put it in its place; the file is read again by itself (docs/certificates.md)."
    };
    let server = Some(facts.server);
    match facts.ends {
        Err(why) => {
            let text = format!("The certificate {} cannot be used: {why}.", facts.file);
            Some(alarm(server, "certificate", facts.shown, text, renew.into()))
        }
        Ok((on, days)) if days < 0 => {
            let text = format!("The certificate of {} expired on {on} ({}).", facts.names, facts.file);
            let mut alarm = alarm(server, "certificate", facts.shown, text, renew.into());
            alarm.since = Some(on.to_owned());
            Some(alarm)
        }
        Ok((on, days)) if days <= CERTIFICATE_DAYS => {
            let text = format!("The certificate of {} ends in {days} days, on {on} ({}).", facts.names, facts.file);
            Some(alarm(server, "certificate", false, text, renew.into()))
        }
        Ok(_) => None,
    }
}

/// About the tokens of an owner: `why` there is none, what to do, and whether one that is good is left.
#[must_use]
pub fn token(owner: &str, why: &str, advice: &str, is_left: bool) -> Alarm {
    let end = if is_left { "its mail will wait when the token that is left ends" } else { "its mail waits" };
    let advice = if advice.is_empty() {
        "It is tried again by itself; mailroot oauth test shows more.".to_owned()
    } else {
        advice.to_owned()
    };
    let owner = owner.strip_prefix("the ").unwrap_or(owner);
    alarm(None, "token", !is_left, format!("The {owner} gets no token: {why} So {end}."), advice)
}

/// How the disk of a queue stands.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct DiskFacts {
    /// A sync has failed: nothing is accepted any more.
    pub poisoned: bool,
    /// Free octets; none: not known yet.
    pub free: Option<u64>,
    /// What must stay free.
    pub reserved: u64,
    /// Hardly any more files can be made.
    pub no_files: bool,
    /// Messages that wait.
    pub waiting: u64,
    /// How many may.
    pub waiting_max: u64,
}

/// About the disk of a virtual server's home.
#[must_use]
pub fn disk(server: &str, home: &str, facts: &DiskFacts) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut add =
        |urgent, text: String, advice: &str| alarms.push(alarm(Some(server), "disk", urgent, text, advice.into()));
    let mb = |octets: u64| octets / 1_000_000;
    if facts.poisoned {
        add(
            true,
            format!("The disk of {home} has failed; new messages are refused with 452 4.3.1."),
            "Look into the system's log for the disk's error, mend it, then restart: what was accepted is still there.",
        );
    }
    match facts.free {
        Some(free) if free < facts.reserved => add(
            true,
            format!(
                "{} MB are free on the disk of {home}: too little, new messages are refused with 452 4.3.1.",
                mb(free)
            ),
            "Make room on the disk: Badmail, Drop and old logs first. Mail is accepted again by itself.",
        ),
        Some(free) if free < facts.reserved.saturating_mul(NEARLY_FULL) => add(
            false,
            format!(
                "{} MB are free on the disk of {home}; below {} MB new messages are refused.",
                mb(free),
                mb(facts.reserved)
            ),
            "Make room on the disk, or give the home a larger one.",
        ),
        _ => {}
    }
    if facts.no_files {
        add(
            true,
            format!("Hardly any more files can be made on the disk of {home}; new messages are refused."),
            "Remove files (Badmail, Drop), or give the home a file system with more of them.",
        );
    }
    if facts.waiting >= facts.waiting_max {
        add(
            true,
            format!("{} messages wait, and no more may: new messages are refused with 452 4.3.1.", facts.waiting),
            "See why they wait (mailroot destination list), or raise queue.messages_max.",
        );
    }
    alarms
}

/// About Badmail: how many messages lie there, and how many came within the last hour. `more`: there are more than were counted.
#[must_use]
pub fn badmail(server: &str, folder: &str, count: u64, more: bool, lately: u64) -> Option<Alarm> {
    if count == 0 {
        return None;
    }
    let than = if more { "more than " } else { "" };
    let (verb, noun) = if count == 1 { ("lies", "message") } else { ("lie", "messages") };
    let mut text = format!("{than}{count} {noun} {verb} in Badmail ({folder})");
    if lately > 0 {
        text.push_str(&format!("; {lately} came there within the last hour"));
    }
    text.push('.');
    let advice = "See why (mailroot badmail list); mend the cause, then requeue or delete them.";
    Some(alarm(Some(server), "badmail", false, text, advice.into()))
}

/// About destinations that fail for long; `now`, milliseconds since 1970, and how long ago each has begun to wait are in the views.
#[must_use]
pub fn destinations(server: &str, views: &[DestinationView]) -> Vec<Alarm> {
    let fails = |view: &&DestinationView| {
        view.state == "waiting" && view.messages > 0 && view.oldest_s >= DESTINATION_FAILS_FOR
    };
    let failing: Vec<&DestinationView> = views.iter().filter(fails).collect();
    let one = |view: &&DestinationView| {
        let answer = view.last_answer.as_deref().unwrap_or("no answer");
        let text = format!(
            "{} has taken no mail for a while: {} messages wait, the oldest for {} hours. Last: {answer}",
            view.name,
            view.messages,
            view.oldest_s / 3_600
        );
        let advice = format!(
            "Find out whether the host is up and what it wants; then: mailroot destination retry \"{}\". Until then \
             mail for it waits, and is returned when it expires.",
            view.name
        );
        alarm(Some(server), "destination", true, text, advice)
    };
    let mut alarms: Vec<Alarm> = failing.iter().take(DESTINATION_ALARMS_MAX).map(one).collect();
    if let Some(more) = failing.len().checked_sub(DESTINATION_ALARMS_MAX).filter(|more| *more > 0) {
        let text = format!("{more} further destinations have taken no mail for more than an hour.");
        let advice = "mailroot destination list shows them; if there are so many, look at the network and DNS first.";
        alarms.push(alarm(Some(server), "destination", true, text, advice.into()));
    }
    alarms
}

/// About a virtual server that does not run as it should.
#[must_use]
pub fn server(view: &ServerView) -> Option<Alarm> {
    let troubled = !view.trouble.is_empty() && view.state != ServerState::Stopped;
    if view.state != ServerState::Failed && !troubled {
        return None;
    }
    let what = if view.trouble.is_empty() { "it could not start".to_owned() } else { view.trouble.join("; ") };
    let advice = if view.state == ServerState::Failed {
        "The log says why it did not start; mend that, then: mailroot config reload."
    } else {
        "See which program has the address, or correct general.listen; then: mailroot config reload."
    };
    Some(alarm(Some(&view.name), "server", true, format!("'{}': {what}.", view.name), advice.into()))
}

/// About a configuration that was edited by hand and is not in force.
#[must_use]
pub fn config_edited(file: &str) -> Alarm {
    alarm(
        None,
        "config",
        false,
        format!("{file} was edited and is not in force; changes by operators are refused meanwhile."),
        "mailroot config diff shows the edit, mailroot config reload puts it in force.".into(),
    )
}

/// About the console's door, or the file of its operators; `text` is a sentence.
#[must_use]
pub fn console(text: &str) -> Alarm {
    let advice =
        "Mail goes on, and the command line does not need it. The log says more, docs/console.md what there is to do.";
    alarm(None, "console", false, text.into(), advice.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_of_before_it_ends() {
        let facts =
            |ends| CertificateFacts { server: "One", file: "/c.pem", names: "mx.test", acme: false, shown: true, ends };
        assert_eq!(certificate(&facts(Ok(("2026-12-24", 15)))), None);
        let soon = certificate(&facts(Ok(("2026-12-24", 14)))).unwrap();
        assert!(!soon.urgent && soon.text.contains("ends in 14 days") && soon.text.contains("mx.test"));
        let over = certificate(&facts(Ok(("2026-11-24", -1)))).unwrap();
        assert!(over.urgent && over.since.is_some());
        assert!(certificate(&facts(Err("it is a directory"))).unwrap().text.contains("it is a directory"));
        let hidden = CertificateFacts { shown: false, ..facts(Err("x")) };
        assert!(!certificate(&hidden).unwrap().urgent, "nobody sees it");
    }

    #[test]
    fn the_disk_is_told_of_before_it_is_full() {
        let facts = DiskFacts { free: Some(1_000), reserved: 400, waiting_max: 10, ..DiskFacts::default() };
        assert_eq!(disk("One", "/h", &facts), []);
        assert_eq!(disk("One", "/h", &DiskFacts { free: None, ..facts }), []);
        let low = disk("One", "/h", &DiskFacts { free: Some(799), ..facts });
        assert!(low.len() == 1 && !low[0].urgent);
        let full = disk("One", "/h", &DiskFacts { free: Some(399), ..facts });
        assert!(full.len() == 1 && full[0].urgent);
        let worst = DiskFacts { poisoned: true, free: Some(0), no_files: true, waiting: 10, ..facts };
        assert_eq!(disk("One", "/h", &worst).len(), 4);
    }

    #[test]
    fn destinations_are_told_of_when_they_fail_for_long() {
        let view = |name: usize, state: &str, oldest_s| DestinationView {
            name: format!("d{name}.test"),
            state: state.into(),
            messages: 3,
            oldest_s,
            connections: 0,
            last_answer: Some("refused".into()),
            next_try: None,
            empty_at: None,
        };
        assert_eq!(destinations("One", &[view(1, "waiting", 3_599), view(2, "suspended", 9_999)]), []);
        let alarms = destinations("One", &[view(1, "waiting", 7_200)]);
        assert!(alarms[0].text.contains("d1.test") && alarms[0].text.contains("refused"));
        let many: Vec<_> = (0..100).map(|n| view(n, "waiting", 7_200)).collect();
        let alarms = destinations("One", &many);
        assert_eq!(alarms.len(), DESTINATION_ALARMS_MAX + 1);
        assert!(alarms.last().unwrap().text.starts_with("80 further"));
    }

    #[test]
    fn badmail_is_told_of_while_something_lies_there() {
        assert_eq!(badmail("One", "/b", 0, false, 0), None);
        assert_eq!(badmail("One", "/b", 1, false, 0).unwrap().text, "1 message lies in Badmail (/b).");
        let growing = badmail("One", "/b", 10, true, 4).unwrap();
        assert_eq!(growing.text, "more than 10 messages lie in Badmail (/b); 4 came there within the last hour.");
    }

    #[test]
    fn what_an_operator_has_stopped_is_no_alarm() {
        let mut view = ServerView {
            name: "One".into(),
            state: ServerState::Stopped,
            trouble: vec!["it does not run".into()],
            listen: Vec::new(),
            home: String::new(),
            fqdn: String::new(),
            sessions_in: 0,
            sessions_out: 0,
            queue: None,
            destinations: 0,
        };
        assert_eq!(server(&view), None);
        view.state = ServerState::Failed;
        assert!(server(&view).unwrap().urgent);
        view.state = ServerState::Running;
        assert!(server(&view).unwrap().text.contains("does not run"));
        view.trouble.clear();
        assert_eq!(server(&view), None);
    }

    #[test]
    fn a_token_says_what_to_do() {
        assert!(token("smart host office", "It is refused.", "Log in.", false).urgent);
        let left = token("smart host office", "It is refused.", "", true);
        assert!(!left.urgent && !left.advice.is_empty());
    }
}

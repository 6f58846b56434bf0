//! What an address said when it was asked ([`crate::outbound::probe`]), for people and for programs: `mailroot route --probe`.

use crate::outbound::probe::Probe;
use crate::tls::{Particulars, Standing};
use serde_json::{Value, json};
use smtp::time::Timestamp;
use std::fmt::Write;

/// Below the line of its address.
pub(super) fn write(out: &mut String, probe: &Probe, now: Timestamp) -> std::fmt::Result {
    let look = &probe.look;
    let mut line = |what: &str, text: &str| writeln!(out, "        {what:<13}{text}");
    if let Some(greeting) = &look.greeting {
        line("greeting", greeting)?;
    }
    if let Some(offers) = &look.in_clear {
        line("in the clear", &listed(offers))?;
    }
    if let Some(tls) = &look.tls {
        line("TLS", &format!("{} {}", tls.version, tls.cipher))?;
    }
    if let Some(its) = &look.certificate {
        line("certificate", &format!("{}, for {}", its.subject, listed(&its.names)))?;
        line("", &format!("issued by {}", issuer(its)))?;
        line("", &standing(its, now))?;
    }
    if let Some(offers) = &look.under_tls {
        line("under TLS", &listed(offers))?;
    }
    line("result", &probe.verdict())
}

fn listed(items: &[Box<str>]) -> String {
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

fn issuer(its: &Particulars) -> String {
    if its.is_self_signed() { "itself".to_owned() } else { its.issuer.to_string() }
}

fn standing(its: &Particulars, now: Timestamp) -> String {
    let day = |at: Timestamp| at.rfc3339().chars().take(10).collect::<String>();
    match its.standing(now) {
        Standing::Future => format!("holds only from {}", day(its.not_before)),
        Standing::Valid => format!("expires on {}, in {} days", day(its.not_after), its.days_left(now)),
        Standing::Expired => format!("expired on {}", day(its.not_after)),
    }
}

/// The same for programs.
pub(super) fn as_json(address: &str, probe: &Probe) -> Value {
    let look = &probe.look;
    let failure = probe.result.as_ref().err();
    json!({
        "address": address,
        "greeting": look.greeting,
        "in_clear": look.in_clear,
        "under_tls": look.under_tls,
        "tls": look.tls.as_ref().map(|tls| json!({
            "version": tls.version, "cipher": tls.cipher, "checked": tls.checked.word(),
        })),
        "certificate": look.certificate.as_ref().map(|its| json!({
            "subject": its.subject, "issuer": its.issuer, "self_signed": its.is_self_signed(), "names": its.names,
            "not_before": its.not_before.rfc3339(), "not_after": its.not_after.rfc3339(),
            "fingerprint": its.fingerprint, "key": its.key,
        })),
        "would_go": failure.is_none(),
        "status": failure.map(|failure| failure.status.to_string()),
        "result": probe.verdict(),
    })
}

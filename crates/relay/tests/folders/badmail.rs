//! The texts beside a message in Badmail.

use super::drop::envelope;
use super::golden;
use super::pickup::{ID, NOW};
use relay::badmail::{BadmailJob, BadmailReason, Slip, base_name};
use relay::envelope::{Attempt, Origin};
use relay::parcel::Place;
use relay::pickup::Unreadable;
use std::sync::Arc;
use std::time::Duration;

fn check(name: &str, slip: &Slip<'_>) {
    let folder = golden::folder("folders/badmail");
    let (reason, properties) = (slip.reason_text(), slip.properties());
    golden::check(&folder.join(name).with_extension("bdr"), &golden::lines(reason.as_bytes()));
    golden::check(&folder.join(name).with_extension("bdp"), &golden::lines(properties.as_bytes()));
}

#[test]
fn a_report_that_could_not_be_delivered() {
    let mut envelope = envelope("", &["app@example.com", "ok@example.net", "gone@example.org"]);
    envelope.origin = Origin::Report { about: ID };
    envelope.size = 4_321;
    envelope.attempts.push(Attempt {
        at: NOW.plus(Duration::from_secs(60)),
        host: "mx.example.com [192.0.2.9]:25".into(),
        recipients: vec![0],
        said: "550 5.1.1 no such user\r\nforged: line\u{1b}[31m".into(),
        channel: None,
    });
    let job = BadmailJob {
        id: ID,
        envelope: Arc::new(envelope),
        place: Place::File,
        recipients: vec![0, 2],
        reason: BadmailReason::NdrOfDsn,
        text: "mx.example.com refused app@example.com: 550 5.1.1 no such user\nsecond line".to_owned(),
    };
    check("report", &Slip::of_job(&job, &base_name(ID, &job.recipients), NOW.plus(Duration::from_secs(3_600))));
}

#[test]
fn a_pickup_file_that_could_not_be_read() {
    let origin = Origin::Pickup { file: "order\n17.eml".into() };
    let why = Unreadable::NoFrom;
    check("pickup", &Slip::of_pickup(&why, &why.to_string(), &origin, &base_name(ID, &[]), NOW));
}

#[test]
fn each_group_of_recipients_has_its_own_files() {
    assert_eq!(base_name(ID, &[0, 5]), "00064d2f1f0a9c00");
    assert_eq!(base_name(ID, &[2, 1]), "00064d2f1f0a9c00-1");
    assert_eq!(base_name(ID, &[]), "00064d2f1f0a9c00");
}

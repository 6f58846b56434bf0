//! What becomes of an envelope when an operator carries its message out of a queue and into another one.
//!
//! Carried out, it is as it stands, so that a person can read what has happened. Carried in, those are left out who are served;
//! the others have their whole time again, as after a release, and what was held stays held.

use crate::envelope::{Attempt, Envelope, Fate, Recipient};
use smtp::time::Timestamp;

/// The envelope of a message that is carried out. `as_queued`: an operator's hold was for the carrying alone, and is not written.
#[must_use]
pub fn exported(envelope: &Envelope, as_queued: bool, now: Timestamp) -> Envelope {
    let mut envelope = envelope.clone();
    if as_queued {
        for recipient in &mut envelope.recipients {
            if recipient.fate == Fate::Held {
                recipient.fate = Fate::Pending { tries: 0, due: now };
            }
        }
    }
    envelope
}

/// The envelope of a message that is carried in; `None`: all its recipients are served. `hold`: it shall wait for an operator.
#[must_use]
pub fn imported(envelope: Envelope, hold: bool, now: Timestamp) -> Option<Envelope> {
    let mut places: Vec<Option<u32>> = Vec::with_capacity(envelope.recipients.len());
    let mut recipients: Vec<Recipient> = Vec::new();
    for recipient in envelope.recipients {
        if recipient.fate.is_final() {
            places.push(None);
            continue;
        }
        places.push(u32::try_from(recipients.len()).ok());
        let held = hold || recipient.fate == Fate::Held;
        let fate = if held { Fate::Held } else { Fate::Pending { tries: 0, due: now } };
        recipients.push(Recipient { fate, delay_noticed: false, ..recipient });
    }
    if recipients.is_empty() {
        return None;
    }
    let place = |index: &u32| places.get(usize::try_from(*index).ok()?).copied().flatten();
    let moved = |attempt: Attempt| {
        let recipients: Vec<u32> = attempt.recipients.iter().filter_map(place).collect();
        (!recipients.is_empty()).then_some(Attempt { recipients, ..attempt })
    };
    let attempts = envelope.attempts.into_iter().filter_map(moved).collect();
    Some(Envelope { recipients, attempts, released: Some(now), ..envelope })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Failure, FailureKind, Origin};
    use smtp::address::{Mailbox, ReversePath};

    use smtp::reply::EnhancedStatus;

    const NOW: Timestamp = Timestamp(1_000);

    fn envelope(fates: Vec<Fate>) -> Envelope {
        let recipient = |(n, fate): (usize, Fate)| Recipient {
            fate,
            delay_noticed: true,
            ..Recipient::new(Mailbox::parse(&format!("r{n}@x.test")).unwrap(), Timestamp(0))
        };
        let recipients = fates.into_iter().enumerate().map(recipient).collect();
        let attempt =
            Attempt { at: Timestamp(1), host: "h".into(), recipients: vec![0, 1, 2], said: "s".into(), channel: None };
        let envelope = Envelope::new(ReversePath::Null, recipients, Origin::Pickup { file: "x".into() }, Timestamp(0));
        Envelope { size: 1, require_tls: true, attempts: vec![attempt], ..envelope }
    }

    fn failed() -> Fate {
        let failure = Failure {
            kind: FailureKind::Refused,
            status: EnhancedStatus(5, 0, 0),
            host: None,
            reply: None,
            text: "x".into(),
        };
        Fate::Failed(Box::new(failure))
    }

    #[test]
    fn those_who_are_served_are_left_out_and_the_rest_begins_anew() {
        let fates = vec![
            Fate::Delivered { at: NOW, by: "h".into() },
            Fate::Pending { tries: 7, due: Timestamp(99) },
            Fate::Held,
            failed(),
            Fate::Reported { at: NOW },
        ];
        let there = imported(envelope(fates), false, NOW).unwrap();
        let who: Vec<String> = there.recipients.iter().map(|to| to.address.to_string()).collect();
        assert_eq!(who, ["r1@x.test", "r2@x.test", "r3@x.test"]);
        let fresh = Fate::Pending { tries: 0, due: NOW };
        let fates: Vec<&Fate> = there.recipients.iter().map(|to| &to.fate).collect();
        assert_eq!(fates, [&fresh, &Fate::Held, &fresh]);
        assert_eq!(there.attempts[0].recipients, [0, 1], "attempts name the same people as before");
        assert_eq!((there.since(), there.require_tls), (NOW, true));
    }

    #[test]
    fn nobody_left_is_nothing_to_carry_in() {
        let fates = vec![Fate::Reported { at: NOW }, Fate::Deleted { at: NOW }, Fate::Badmail { at: NOW }];
        assert_eq!(imported(envelope(fates), false, NOW), None);
    }

    #[test]
    fn a_hold_for_the_carrying_is_not_carried() {
        let held = envelope(vec![Fate::Held, Fate::Held, Fate::Held]);
        assert_eq!(exported(&held, false, NOW), held);
        assert!(exported(&held, true, NOW).recipients.iter().all(|to| to.fate != Fate::Held));
        let there = imported(exported(&held, true, NOW), true, NOW).unwrap();
        assert!(there.recipients.iter().all(|to| to.fate == Fate::Held));
    }
}

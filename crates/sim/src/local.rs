//! What stays: the Drop folder, Badmail, and the reports that the relay makes itself.

use crate::life::{Act, Life};
use crate::node::{Pending, Waiting};
use relay::badmail::BadmailJob;
use relay::envelope::{Failure, FailureKind};
use relay::notice;
use relay::parcel::{Outcome, Parcel, Taken};
use relay::queue::{Event, ReportJob};
use smtp::reply::EnhancedStatus;

impl Life {
    pub(crate) fn drop_parcel(&mut self, parcel: &Parcel) {
        let full = !self.peace && self.chance.happens(10);
        let mut results = Vec::new();
        for index in &parcel.recipients {
            let Some(recipient) = parcel.envelope.recipients.get(*index as usize) else { continue };
            if full {
                results.push((*index, Err(quota())));
                continue;
            }
            if let Some(account) = self.ledger.account(parcel.id, &recipient.address.to_string()) {
                account.dropped += 1;
            }
            results.push((*index, Ok(Taken { said: "written".into(), reports: false })));
        }
        let outcome = Outcome { id: parcel.id, host: "drop".into(), at: self.now, channel: None, results };
        self.tell(Event::Attempted { connection: None, outcome });
    }

    pub(crate) fn put_into_badmail(&mut self, job: &BadmailJob) {
        if !self.peace && self.chance.happens(10) {
            let (id, recipients) = (job.id, job.recipients.clone());
            self.tell(Event::BadmailFailed { id, recipients, why: "disk full".into() });
            return;
        }
        for index in &job.recipients {
            let Some(recipient) = job.envelope.recipients.get(*index as usize) else { continue };
            if let Some(account) = self.ledger.account(job.id, &recipient.address.to_string()) {
                account.badmail += 1;
            }
        }
        self.tell(Event::Badmailed { id: job.id, recipients: job.recipients.clone() });
    }

    pub(crate) fn make_report(&mut self, job: &ReportJob) {
        let failed = job.kind.failed();
        let id = self.node.next_id();
        let original = match self.node.content(job.id, &job.place) {
            Ok(original) => original,
            Err(why) => {
                let event = Event::ReportFailed { id: job.id, recipients: failed, why };
                return self.tell(event);
            }
        };
        let Some(notice) = notice::compose(job, &original, &self.node.server, self.now, id.0) else { return };
        let told = failed
            .iter()
            .filter_map(|index| job.envelope.recipients.get(*index as usize))
            .map(|r| r.address.to_string())
            .collect();
        let waits = Waiting::Report { about: job.id, failed, told };
        self.node.pending.push(Pending { id, envelope: notice.envelope, content: notice.content, waits });
        self.soon(30, Act::Commit);
    }
}

fn quota() -> Failure {
    let (kind, status) = (FailureKind::Quota, EnhancedStatus(4, 2, 2));
    Failure { kind, status, host: None, reply: None, text: "Drop is full.".into() }
}

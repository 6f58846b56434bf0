//! What becomes of a claimed file: handed in and removed, given back, laid aside, or put into Badmail.
//!
//! A file that somebody goes on writing to after it was read is not removed as if all of it had been sent: it goes into
//! Badmail, with an alarm, where a person can see what is missing in what was sent.
//!
//! A file that cannot be read or put away now is laid aside: it stays claimed and has its turn again after a while, and
//! others go on meanwhile. Only what stops every file (the store takes nothing, files cannot be removed) makes the whole
//! service pause.
//!
//! threats: 2.9, K15.

use super::*;
use relay::envelope::QueueId;

impl Service {
    /// Hands the files in, and does with each what came of it.
    pub(super) fn hand_in(&mut self, mut batch: Vec<Taken>) {
        let fates = self.submitter.submit(&mut batch);
        let mut bad = Vec::new();
        for (taken, fate) in batch.into_iter().zip(fates) {
            match fate {
                Fate::Accepted => bad.extend(self.finish(taken)),
                Fate::Changed => self.give_back(&taken),
                Fate::Unreadable(why) => bad.push(self.put_away(taken, why)),
                Fate::Refused(reply) => self.pause(format!("Pickup waits: {reply}.")),
                // The next life finds it.
                Fate::Stopping => {}
                Fate::Io(e) => self.lay_aside(&taken.claim, &cannot_be_read(&e)),
            }
        }
        for file in bad {
            self.see_put_away(file);
        }
    }

    /// Its messages are accepted: it is not needed any more, unless somebody has gone on writing to it meanwhile.
    pub(super) fn finish(&mut self, taken: Taken) -> Option<PuttingAway> {
        if let Ok(false) = taken.is_unchanged() {
            return Some(self.put_away(taken, Unreadable::WrittenTo));
        }
        if let Err(e) = self.remove(&taken) {
            self.pause(format!("A file from Pickup was sent and cannot be removed: {e}. It will not be sent again."));
        }
        None
    }

    /// It cannot be read or put away now. Others can; it stays claimed and has its turn again after a while.
    fn lay_aside(&mut self, claim: &Claim, why: &str) {
        let text = format!("Pickup file {} {why}. It lies in Queue/claimed for now.", claim.shown());
        if self.aside.len() < LEFT_MAX && self.aside.insert(text.clone()) {
            self.log.alarm(text);
        }
        self.go_on_soon();
    }

    fn go_on_soon(&mut self) {
        self.go_on_at = Some(self.go_on_at.unwrap_or_else(|| Instant::now() + self.patience.aside));
    }

    fn remove(&mut self, taken: &Taken) -> io::Result<()> {
        match taken.remove() {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => {
                self.submitter.forget(&taken.claim);
                Ok(())
            }
        }
    }

    /// It was still being written: it goes back, and is waited for.
    fn give_back(&mut self, taken: &Taken) {
        let Some(folder) = &self.folder else { return };
        if let Err(e) = folder.give_back(taken) {
            self.go_on_soon();
            let file = taken.claim.shown();
            self.log.alarm(format!("{file} was written to after it was taken from Pickup, and cannot go back: {e}."));
        }
    }

    /// Asks for the file to be put into Badmail; the answer comes later.
    fn put_away(&mut self, taken: Taken, why: Unreadable) -> PuttingAway {
        let (done, answer) = sync_channel(1);
        let (folder, name) = taken.place();
        let (folder, claim) = (Arc::clone(folder), taken.claim);
        // If it was sent, the id is the message's, which may yet go there itself.
        let another = (why == Unreadable::WrittenTo).then(|| self.submitter.begin().ok()).flatten();
        let id = another.unwrap_or(claim.id);
        let origin = Origin::Pickup { file: claim.shown().into() };
        self.local.bad_file(BadFile { id, origin, why: why.clone(), folder, name, file: taken.file, done });
        PuttingAway { id, claim, why, answer }
    }

    pub(super) fn see_put_away(&mut self, file: PuttingAway) {
        let PuttingAway { id, claim, why, answer } = file;
        match answer.recv().unwrap_or(Err(io::ErrorKind::BrokenPipe.into())) {
            Ok(()) => {
                self.submitter.forget(&claim);
                self.log.write(&Record::Badmailed { id, reason: why.reason() });
                self.log.alarm(format!("Pickup file {} is in Badmail as {id}.BAD: {why}", claim.shown()));
            }
            Err(e) => self.lay_aside(&claim, &format!("belongs into Badmail ({why}), but: {e}")),
        }
    }

    /// Goes on with files that were claimed in an earlier life, or that came to no end in this one.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        if self.go_on_at.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        self.go_on_at = None;
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut claimed = VecDeque::from(folder.claimed()?);
        while !claimed.is_empty() && self.paused.is_none() {
            let mut batch = Vec::new();
            while batch.len() < BATCH_FILES
                && let Some((claim, place)) = claimed.pop_front()
            {
                match self.claim_again(claim.clone(), &place) {
                    Ok(taken) => batch.extend(taken),
                    Err(e) => self.lay_aside(&claim, &cannot_be_read(&e)),
                }
            }
            self.hand_in(batch);
        }
        if self.go_on_at.is_none() {
            self.aside.clear();
        }
        Ok(())
    }

    /// A claimed file, if anything is left to be done for it, under a new id: the old one may be given to another message
    /// if the system's clock has gone back since.
    fn claim_again(&mut self, claim: Claim, place: &Arc<crate::local::folder::Folder>) -> io::Result<Option<Taken>> {
        let accepted = self.submitter.accepted(&claim);
        let done = claim.done_after(accepted);
        let over = accepted == claim.messages;
        let Some(folder) = &self.folder else { return Ok(None) };
        let mut taken = match folder.reopen(claim, place) {
            Ok(Some(taken)) => taken,
            // Nothing that we would have claimed; whoever put it there may take it away.
            Ok(None) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        if over {
            if taken.was_written_after_its_claim() {
                let file = self.put_away(taken, Unreadable::WrittenTo);
                self.see_put_away(file);
            } else {
                self.remove(&taken)?;
            }
            return Ok(None);
        }
        let id = match self.submitter.begin() {
            Ok(id) => id,
            Err(reply) => {
                self.pause(format!("Pickup waits: {reply}."));
                return Ok(None);
            }
        };
        let old = taken.claim.clone();
        taken.claim_as(Claim { id, messages: 1, share: 0, done, file: old.file.clone() })?;
        self.submitter.forget(&old);
        Ok(Some(taken))
    }
}

/// A file on its way into Badmail.
pub(super) struct PuttingAway {
    /// Its name there.
    id: QueueId,
    claim: Claim,
    why: Unreadable,
    answer: Receiver<io::Result<()>>,
}

fn cannot_be_read(e: &io::Error) -> String {
    format!("cannot be read: {e}")
}

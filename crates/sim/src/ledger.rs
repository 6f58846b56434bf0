//! What the outside world knows: who was promised what, and what became of it. The checkers read it.

use relay::envelope::QueueId;
use std::collections::{BTreeMap, HashMap};

/// What became of one promised recipient. All counts may rise: twice delivered is seen, not hidden.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Taken by a peer (its 250 was sent, whether or not it arrived here).
    pub delivered: u32,
    /// Written to Drop.
    pub dropped: u32,
    /// Named in a failure report that was itself promised.
    pub reported: u32,
    /// Put into Badmail.
    pub badmail: u32,
    /// Failed, and the sender wanted to hear nothing of it.
    pub silent: u32,
    /// Deleted by an operator.
    pub deleted: u32,
    /// The sender wants to hear of a failure.
    pub wants_report: bool,
}

impl Account {
    fn times(&self) -> u32 {
        self.delivered + self.dropped + self.reported + self.badmail + self.silent + self.deleted
    }

    /// Has anything final happened?
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.times() > 0
    }
}

/// One message that was answered with 250, or a report that we accepted ourselves.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Its id.
    pub id: QueueId,
    /// Exactly what was accepted.
    pub content: Vec<u8>,
    /// It came from `<>`.
    pub from_nobody: bool,
    /// Its recipients, and what became of each.
    pub accounts: BTreeMap<String, Account>,
    /// A connection broke or the power failed while it was under way: it may have been delivered twice.
    pub ambiguous: bool,
}

/// All promises of a life.
#[derive(Debug, Default)]
pub struct Ledger {
    promises: BTreeMap<QueueId, Promise>,
    by_content: HashMap<Vec<u8>, QueueId>,
    /// What went wrong; the life ends with it.
    pub faults: Vec<String>,
}

impl Ledger {
    /// A 250 was said (or a report accepted).
    pub fn promise(
        &mut self,
        id: QueueId,
        content: Vec<u8>,
        from_nobody: bool,
        to: impl Iterator<Item = (String, bool)>,
    ) {
        if self.promises.contains_key(&id) {
            self.faults.push(format!("{id} was promised twice"));
        }
        self.by_content.insert(content.clone(), id);
        let account = |wants_report| Account { wants_report, ..Account::default() };
        let accounts = to.map(|(to, wants_report)| (to, account(wants_report))).collect();
        self.promises.insert(id, Promise { id, content, from_nobody, accounts, ambiguous: false });
    }

    /// The message whose content this is. Nobody may receive what was never accepted, nor anything altered.
    pub fn find(&mut self, content: &[u8]) -> Option<QueueId> {
        self.by_content.get(content).copied()
    }

    /// One account, to be changed.
    pub fn account(&mut self, id: QueueId, to: &str) -> Option<&mut Account> {
        self.promises.get_mut(&id)?.accounts.get_mut(to)
    }

    /// It failed, and was logged.
    pub fn failed(&mut self, id: QueueId, to: &str) {
        let Some(promise) = self.promises.get_mut(&id) else { return };
        let from_nobody = promise.from_nobody;
        if let Some(account) = promise.accounts.get_mut(to).filter(|a| !a.wants_report && !from_nobody) {
            account.silent += 1;
        }
    }

    /// An operator has deleted what was left of it. (A report about some of it may be on its way.)
    pub fn deleted(&mut self, id: QueueId) {
        let Some(promise) = self.promises.get_mut(&id) else { return };
        promise.ambiguous = true;
        for account in promise.accounts.values_mut().filter(|a| !a.is_settled()) {
            account.deleted += 1;
        }
    }

    /// The message may be delivered twice from now on.
    pub fn make_ambiguous(&mut self, id: QueueId) {
        if let Some(promise) = self.promises.get_mut(&id) {
            promise.ambiguous = true;
        }
    }

    /// All of them.
    pub fn make_all_ambiguous(&mut self) {
        for promise in self.promises.values_mut() {
            promise.ambiguous = true;
        }
    }

    /// All promises, oldest first.
    pub fn promises(&self) -> impl Iterator<Item = &Promise> {
        self.promises.values()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.promises.len()
    }

    /// None yet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.promises.is_empty()
    }

    /// Whatever the world did: nobody got anything twice, or delivered and reported, without a cause.
    pub fn check_once(&mut self) {
        for promise in self.promises.values().filter(|p| !p.ambiguous) {
            for (to, a) in &promise.accounts {
                let times = a.times();
                if times > 1 {
                    self.faults.push(format!("{} to {to}: settled {times} times without a cause: {a:?}", promise.id));
                }
            }
        }
    }

    /// At the end of a life: every promise was kept.
    pub fn check_kept(&mut self) {
        for promise in self.promises.values() {
            for (to, account) in promise.accounts.iter().filter(|(_, a)| !a.is_settled()) {
                self.faults.push(format!("{} to {to}: promised and lost ({account:?})", promise.id));
            }
        }
    }
}

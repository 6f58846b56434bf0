//! Which queues are being imported into: one import into each at a time, as two would carry in twice what is in both archives.
//! Imports into several queues go on side by side; what they share is `imported.log`, which is shortened only while no other import
//! writes into it.

use super::ledger::Ledger;
use crate::control::{Control, Fault};
use crate::service::Site;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// See the module.
#[derive(Default)]
pub(in crate::control) struct Imports {
    /// The homes of those virtual servers.
    homes: Arc<Mutex<HashSet<PathBuf>>>,
    /// `imported.log` is opened by one at a time.
    opening: tokio::sync::Mutex<()>,
}

/// An import's right to go on; it ends when this is dropped.
pub(super) struct Turn {
    home: PathBuf,
    homes: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Imports {
    /// The turn of an import into the queue below this home; `None`: there is one already.
    fn turn(&self, home: PathBuf) -> Option<Turn> {
        // A set is whole, whatever became of whoever held it.
        let is_first = self.homes.lock().unwrap_or_else(PoisonError::into_inner).insert(home.clone());
        is_first.then(|| Turn { home, homes: Arc::clone(&self.homes) })
    }
}

impl Turn {
    fn is_only_one(&self) -> bool {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).len() == 1
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.home);
    }
}

impl Control {
    /// Takes the turn of an import, with what was imported before.
    pub(super) async fn import_turn(&self, site: &Site) -> Result<(Turn, Ledger), Fault> {
        let imports = &self.house.work.imports;
        let name = site.server.name.to_string();
        let turn = imports.turn(site.server.home.clone()).ok_or_else(|| {
            Fault::Conflict(format!("another import into '{name}' is under way; import this when that has ended"))
        })?;
        let state = self.look(|servers| servers.state().to_owned()).await?;
        let _alone = imports.opening.lock().await;
        let may_shorten = turn.is_only_one();
        let ledger = self.on_a_thread(move || Ledger::open(&state, &name, may_shorten)).await?;
        let ledger = ledger.map_err(|error| Fault::Unavailable(format!("imported.log cannot be used: {error}")))?;
        Ok((turn, ledger))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_import_into_a_queue_at_a_time_and_into_another_one_beside_it() {
        let imports = Imports::default();
        let one = imports.turn("one".into()).unwrap();
        assert!(one.is_only_one());
        let two = imports.turn("two".into()).unwrap();
        assert!(imports.turn("one".into()).is_none() && !two.is_only_one());
        drop(one);
        assert!(imports.turn("one".into()).is_some() && two.is_only_one());
    }
}

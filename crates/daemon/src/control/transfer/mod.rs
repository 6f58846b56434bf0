//! Messages are carried out of a queue, into a file, and into a queue again ([`relay::admin::archive`]).
//!
//! Out: as they stand, and they stay. In: each is durable before it counts, under an id of its own; one that is in the queue, or was
//! carried in before, is passed over and told ([`ledger`]), so that nobody gets two copies by a command that was given twice. One
//! import into a queue at a time ([`turns`]).

mod export;
mod import;
mod ledger;
mod turns;

pub(super) use turns::Imports;

use super::{Control, Fault};
use bytes::Bytes;
use relay::admin::view::Outcome;
use relay::admin::{Command, Operator, QueueVerb, Sight, Which, may, may_see};
use serde::{Deserialize, Serialize};
use std::io;
use tokio::sync::mpsc;
use utoipa::ToSchema;

/// Pieces of an archive that wait for whoever reads it.
const PIECES_WAITING: usize = 8;

/// What is to be carried out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportOrder {
    /// Which messages.
    pub which: Which,
    /// Those of them whose hold was for the carrying alone: it is not written.
    #[serde(default)]
    pub as_queued: Vec<String>,
}

/// How messages are carried in.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug, Deserialize)]
pub struct ImportWishes {
    /// They wait for an operator.
    #[serde(default)]
    pub hold: bool,
    /// Those that were carried in before are once more.
    #[serde(default)]
    pub again: bool,
}

/// The pieces of an archive as they come.
pub type Pieces = mpsc::Receiver<io::Result<Bytes>>;

impl Control {
    /// Carries messages out; they stay in the queue.
    ///
    /// # Errors
    /// He may not read messages, or there is no such virtual server.
    pub async fn export(&self, by: &Operator, from: &str, server: &str, order: ExportOrder) -> Result<Pieces, Fault> {
        let what = format!("queue export of {server}: {}", serde_json::to_string(&order.which).unwrap_or_default());
        let may = may_see(by, Sight::Content, Some(server)).map_err(Fault::Denied);
        let begun = match may {
            Ok(()) => self.site(server).await,
            Err(fault) => Err(fault),
        };
        let told = begun.as_ref().map(|_| Outcome { text: "begun".into(), ..Outcome::default() }).map_err(Clone::clone);
        self.note(&by.name, from, &what, &told).await;
        begun?;
        let (pieces, reading) = mpsc::channel(PIECES_WAITING);
        let (control, by, server) = (self.clone(), by.clone(), server.to_owned());
        tokio::spawn(async move { export::run(&control, &by, &server, order, &pieces).await });
        Ok(reading)
    }

    /// Carries messages in, as their archive comes. What was carried in when it breaks off stays.
    ///
    /// # Errors
    /// He may not, or the virtual server does not run.
    pub async fn import(
        &self,
        by: &Operator,
        from: &str,
        server: &str,
        wishes: ImportWishes,
        archive: Pieces,
    ) -> Result<Outcome, Fault> {
        let like = Command::Queue { server: server.to_owned(), verb: QueueVerb::Hold, which: Which::Ids(Vec::new()) };
        let (control, name, server) = (self.clone(), by.name.clone(), server.to_owned());
        let (from, may) = (from.to_owned(), may(by, &like));
        // In a task of its own: what is being committed when the other end goes away is noted all the same.
        let carried = tokio::spawn(async move {
            let outcome = match may {
                Ok(()) => import::run(&control, &server, wishes, archive).await,
                Err(denied) => Err(Fault::Denied(denied)),
            };
            control.note(&name, &from, &format!("queue import into {server}"), &outcome).await;
            outcome
        });
        carried.await.unwrap_or_else(|_| Err(Fault::Unavailable("a fault in Mailroot itself ended the import".into())))
    }
}

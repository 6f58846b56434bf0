//! The archive of an export, piece by piece, at the pace of whoever reads it.
//!
//! A message that leaves the queue meanwhile is not in it, and the last file says so; one whose content breaks off in the midst ends
//! the whole, because nothing true could follow.

use super::ExportOrder;
use crate::control::{Control, Fault};
use bytes::Bytes;
use relay::admin::archive::{SUMMARY_NAME, end, header, padding};
use relay::admin::transfer::exported;
use relay::admin::{Filter, Operator, Which};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io;
use tokio::sync::mpsc::Sender;

/// Messages that are asked for at a time.
const PAGE: usize = 500;
/// Skipped messages that the last file names.
const SKIPPED_NAMED: usize = 1_000;

/// Whoever reads has gone, or nothing true could follow.
struct Ended;

struct Export<'a> {
    control: &'a Control,
    server: &'a str,
    as_queued: HashSet<String>,
    pieces: &'a Sender<io::Result<Bytes>>,
    messages: u64,
    skipped: Vec<(String, String)>,
}

/// Writes the archive.
pub(super) async fn run(
    control: &Control,
    by: &Operator,
    server: &str,
    order: ExportOrder,
    pieces: &Sender<io::Result<Bytes>>,
) {
    let as_queued = order.as_queued.into_iter().collect();
    let mut export = Export { control, server, as_queued, pieces, messages: 0, skipped: Vec::new() };
    let done = match order.which {
        Which::Ids(ids) => export.these(ids).await,
        Which::Matching(filter) => export.matching(by, &filter).await,
    };
    if done.is_ok() {
        // Whoever does not read the end sees that there is none.
        let _ = export.finish().await;
    }
}

impl Export<'_> {
    async fn these(&mut self, ids: Vec<String>) -> Result<(), Ended> {
        for id in ids {
            self.message(&id).await?;
        }
        Ok(())
    }

    async fn matching(&mut self, by: &Operator, filter: &Filter) -> Result<(), Ended> {
        let mut after: Option<String> = None;
        loop {
            let page = self.control.messages(by, self.server, filter, after.as_deref(), PAGE).await;
            let page = match page {
                Ok(page) => page,
                Err(fault) => return self.fail(&fault).await,
            };
            for message in page.items {
                self.message(&message.id).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn message(&mut self, id: &str) -> Result<(), Ended> {
        let detail = match self.control.detail(self.server, id).await {
            Ok(detail) => detail,
            Err(fault) => return self.skip(id, &fault).await,
        };
        let mut content = match self.control.content_of(self.server, &detail).await {
            Ok(content) => content,
            Err(fault) => return self.skip(id, &fault).await,
        };
        let now = self.control.now();
        let envelope = exported(&detail.envelope, self.as_queued.contains(id), now).print();
        let modified = u64::try_from(detail.envelope.arrived.0 / 1_000).unwrap_or(0);
        let size = content.len();
        let Some(head) = header(&format!("{id}.eml"), size, modified) else {
            return self.skip(id, &Fault::Unavailable("it is too large for an archive".into())).await;
        };
        self.file(&format!("{id}.env"), envelope.into(), modified).await?;
        self.put(head).await?;
        loop {
            match content.next().await {
                Ok(Some(piece)) => self.put(piece).await?,
                Ok(None) => break,
                Err(error) => {
                    let _ = self.pieces.send(Err(error)).await;
                    return Err(Ended);
                }
            }
        }
        self.put(padding(size)).await?;
        self.messages += 1;
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Ended> {
        let mut text = format!(
            "{} messages of the queue of '{}', as of {}.\nEach is two files: ID.env, its envelope, and ID.eml, as it was accepted.\n",
            self.messages,
            self.server,
            self.control.now().rfc3339()
        );
        if !self.skipped.is_empty() {
            let _ = write!(text, "\nNot here ({}):\n", self.skipped.len());
        }
        for (id, why) in self.skipped.iter().take(SKIPPED_NAMED) {
            let _ = writeln!(text, "{id}: {why}");
        }
        self.file(SUMMARY_NAME, text.into(), 0).await?;
        self.put(end()).await
    }

    async fn file(&self, name: &str, content: Bytes, modified: u64) -> Result<(), Ended> {
        let size = content.len() as u64;
        self.put(header(name, size, modified).ok_or(Ended)?).await?;
        self.put(content).await?;
        self.put(padding(size)).await
    }

    async fn put(&self, piece: Bytes) -> Result<(), Ended> {
        if piece.is_empty() {
            return Ok(());
        }
        self.pieces.send(Ok(piece)).await.map_err(|_| Ended)
    }

    async fn skip(&mut self, id: &str, fault: &Fault) -> Result<(), Ended> {
        match fault {
            Fault::NotFound(_) | Fault::Invalid { .. } => {
                self.skipped.push((id.to_owned(), fault.to_string()));
                Ok(())
            }
            _ => self.fail(fault).await,
        }
    }

    async fn fail(&self, fault: &Fault) -> Result<(), Ended> {
        let _ = self.pieces.send(Err(io::Error::other(fault.to_string()))).await;
        Err(Ended)
    }
}

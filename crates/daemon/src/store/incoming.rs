//! A message while it comes in: in memory while it is small and memory allows, else in its own file.

use super::Shared;
use super::limits;
use super::memory::Share;
use crate::files::Files;
use bytes::Bytes;
use relay::disk::Disk;
use relay::envelope::QueueId;
use relay::spool::content::file_name;
use relay::spool::journal::Accept;
use smtp::reply::Reply;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What the header scan may want to see.
pub const HEAD_MAX: usize = 64 << 10;
/// A message up to this stays in memory even when content takes more memory than it should.
const SMALL: usize = 64 << 10;
/// Octets that go to the file at a time.
const PIECE: usize = 256 << 10;

type File = <Files as Disk>::File;

/// The content of a message that is being received. Dropping it throws the message away.
pub struct Incoming {
    shared: Arc<Shared>,
    id: QueueId,
    /// All of the content, or, if there is a file, its beginning.
    octets: Vec<u8>,
    share: Share,
    stream: Option<Stream>,
}

struct Stream {
    file: File,
    /// Not written yet.
    pending: Vec<u8>,
    /// Written, and pending.
    len: u64,
}

impl Incoming {
    pub(super) fn new(shared: Arc<Shared>, id: QueueId) -> Incoming {
        let share = shared.held.share();
        Incoming { shared, id, octets: Vec::new(), share, stream: None }
    }

    /// The message's id.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Octets so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.stream.as_ref().map_or(self.octets.len() as u64, |s| s.len)
    }

    /// Nothing yet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content's beginning, up to [`HEAD_MAX`] octets of it.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.octets[..self.octets.len().min(HEAD_MAX)]
    }

    /// Takes more content. Returns at once unless the message is large.
    ///
    /// # Errors
    /// The reply to give: the file could not be written.
    pub async fn append(&mut self, chunk: Bytes) -> Result<(), Reply> {
        if self.stream.is_none() {
            let len = self.octets.len() + chunk.len();
            let limits = &self.shared.limits;
            let crowded = len > SMALL && self.shared.held.octets() > limits.memory_max.load(Ordering::Relaxed);
            if len as u64 <= limits.stream_over.load(Ordering::Relaxed) && !crowded {
                self.octets.extend_from_slice(&chunk);
                self.share.set(self.octets.capacity() as u64);
                return Ok(());
            }
            self.start_stream().await?;
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let head = chunk.len().min(HEAD_MAX.saturating_sub(self.octets.len()));
        self.octets.extend_from_slice(&chunk[..head]);
        stream.pending.extend_from_slice(&chunk);
        stream.len += chunk.len() as u64;
        if stream.pending.len() >= PIECE { self.write_pending().await } else { Ok(()) }
    }

    async fn start_stream(&mut self) -> Result<(), Reply> {
        let (folder, id) = (self.shared.folder.clone(), self.id);
        let file = on_a_thread(move || folder.create_content(id)).await.map_err(|e| self.refuse(&e))?;
        let pending = std::mem::take(&mut self.octets);
        self.octets = pending[..pending.len().min(HEAD_MAX)].to_vec();
        self.share.set((self.octets.capacity() + 2 * PIECE) as u64);
        let len = pending.len() as u64;
        self.stream = Some(Stream { file, pending, len });
        Ok(())
    }

    async fn write_pending(&mut self) -> Result<(), Reply> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let octets = std::mem::take(&mut stream.pending);
        let (folder, file) = (self.shared.folder.clone(), stream.file.clone());
        on_a_thread(move || folder.append_content(&file, &octets)).await.map_err(|e| self.refuse(&e))
    }

    fn refuse(&self, error: &io::Error) -> Reply {
        tracing::warn!("a message could not be written to {}: {error}", file_name(self.id));
        limits::full()
    }

    /// Ready to be committed: a large message is made durable in its file.
    pub(super) async fn finish(mut self, envelope: String) -> Result<(Accept, Option<Bytes>), Reply> {
        if self.stream.is_none() {
            let mut octets = std::mem::take(&mut self.octets);
            if octets.capacity() > octets.len() + octets.len() / 4 {
                octets.shrink_to_fit();
            }
            let share = std::mem::replace(&mut self.share, self.shared.held.share());
            let content = share.count(octets);
            return Ok((Accept::new(self.id, envelope, content.clone()), Some(content)));
        }
        self.write_pending().await?;
        if let Some(stream) = &self.stream {
            let (folder, file) = (self.shared.folder.clone(), stream.file.clone());
            if let Err(error) =
                on_a_thread(move || Ok(folder.finish_content(&file))).await.map_err(|e| self.refuse(&e))?
            {
                self.shared.poison(&error.to_string());
                return Err(limits::poisoned());
            }
        }
        // From here on the file belongs to the journal's record.
        self.stream = None;
        Ok((Accept::in_file(self.id, envelope), None))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.stream.is_some() {
            self.shared.discard_content(self.id);
        }
    }
}

/// Carries out what waits for the disk without holding up the sockets.
pub(super) async fn on_a_thread<T: Send + 'static>(
    deed: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(deed).await.map_err(io::Error::other)?
}

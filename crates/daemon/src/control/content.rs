//! What a message in the queue says, for operators: its header and the beginning of its text, or all of it as it is.
//!
//! Envelopes and headers are for everybody who may see the queue; text and the message itself for those who can do something with
//! messages ([`Sight::Content`]): whoever watches or answers the phone need not read other people's mail.

use super::{Control, Fault};
use crate::store::{Content, is_lost};
use relay::admin::content::{self, CONTENT_READ_MAX};
use relay::admin::view::ContentView;
use relay::admin::{Operator, Sight, may_see};
use relay::queue::ask::MessageDetail;
use std::io;

impl Control {
    /// What a message in the queue says. Whoever may not read messages gets its header alone.
    ///
    /// # Errors
    /// He may not see it, or there is no such message.
    pub async fn message_content(&self, by: &Operator, server: &str, id: &str) -> Result<ContentView, Fault> {
        may_see(by, Sight::Operation, Some(server))?;
        let whole = may_see(by, Sight::Content, Some(server)).is_ok();
        let (name, mut content) = self.content(server, id).await?;
        let size = content.len();
        let mut head = Vec::new();
        while head.len() < CONTENT_READ_MAX
            && let Some(piece) = content.next().await.map_err(|error| unreadable(&name, &error))?
        {
            head.extend_from_slice(&piece[..piece.len().min(CONTENT_READ_MAX - head.len())]);
        }
        let view = if whole { content::view } else { content::header_view };
        self.on_a_thread(move || view(&name, size, &head)).await
    }

    /// A message in the queue as it is.
    ///
    /// # Errors
    /// He may not read messages, or there is no such message.
    pub async fn message_raw(&self, by: &Operator, server: &str, id: &str) -> Result<Content, Fault> {
        may_see(by, Sight::Content, Some(server))?;
        self.content(server, id).await.map(|(_, content)| content)
    }

    async fn content(&self, server: &str, id: &str) -> Result<(String, Content), Fault> {
        let detail = self.detail(server, id).await?;
        self.content_of(server, &detail).await.map(|content| (id.to_owned(), content))
    }

    /// The content of a message that the queue has just told of.
    pub(super) async fn content_of(&self, server: &str, detail: &MessageDetail) -> Result<Content, Fault> {
        let ended = || Fault::Unavailable("the virtual server is stopping".into());
        let store = self.site(server).await?.store.ok_or_else(ended)?;
        let id = detail.summary.id;
        store.content(id, &detail.place).await.map_err(|error| unreadable(&id.to_string(), &error))
    }
}

fn unreadable(id: &str, error: &io::Error) -> Fault {
    if is_lost(error) {
        Fault::NotFound(format!(
            "message {id} in the queue any more: it was delivered a moment ago, or its content is lost"
        ))
    } else {
        Fault::Unavailable(format!("the message cannot be read: {error}"))
    }
}

//! Badmail, Drop and Pickup: what lies there, a file's headers and text, and what one does with files.
//!
//! IIS: the folders of the same name, for which one needed the Explorer.

use super::page;
use crate::form::{Fields, FormFault};
use crate::layout::{Frame, Room};
use crate::{path, words};
use askama::Template;
use relay::admin::view::{ContentView, FileView, Page};
use relay::admin::{Command, FolderName, FolderVerb};

/// A folder's messages.
#[derive(Template)]
#[template(path = "live/folder.html")]
pub struct Folder {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// Which folder.
    pub folder: FolderName,
    /// Those of this page.
    pub page: Page<FileView>,
    /// This is not the first page.
    pub later: bool,
}

/// One file.
#[derive(Template)]
#[template(path = "live/file.html")]
pub struct FilePage {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// Which folder.
    pub folder: FolderName,
    /// What it says.
    pub content: ContentView,
}

page!(Folder);
page!(FilePage);

/// The folder's place in the tree.
pub(crate) fn room(folder: FolderName) -> Room {
    match folder {
        FolderName::Badmail => Room::Badmail,
        FolderName::Drop => Room::Drop,
        FolderName::Pickup => Room::Pickup,
    }
}

/// What he wants to do with files, and whether to ask him first.
///
/// # Errors
/// The form does not say what to do, or with which.
pub fn folder_command(server: &str, folder: FolderName, form: &Fields) -> Result<(Command, bool), FormFault> {
    let verb = match form.need("verb", "What to do")? {
        "requeue" if folder == FolderName::Badmail => FolderVerb::Requeue,
        "delete" => FolderVerb::Delete,
        other => return Err(FormFault(format!("“{other}” is nothing to do with files of {}", room(folder).label()))),
    };
    let names: Vec<String> = form.all("name").map(str::to_owned).collect();
    if names.is_empty() {
        return Err(FormFault("No file is ticked".into()));
    }
    let ask = verb == FolderVerb::Delete && form.get("sure").is_none();
    Ok((Command::Folder { server: server.to_owned(), folder, verb, names }, ask))
}

/// A file by what its sender called it, else by its name.
fn heading(file: &FileView) -> &str {
    file.subject.as_deref().filter(|subject| !subject.trim().is_empty()).unwrap_or(&file.name)
}

/// Buttons that he may press: the form's word, the label, and whether it cannot be taken back.
fn verbs(frame: &Frame, server: &str, folder: FolderName) -> Vec<(&'static str, &'static str, bool)> {
    let may = |verb| frame.may(&Command::Folder { server: server.to_owned(), folder, verb, names: Vec::new() });
    let mut verbs = Vec::new();
    if folder == FolderName::Badmail && may(FolderVerb::Requeue) {
        verbs.push(("requeue", "Requeue", false));
    }
    if may(FolderVerb::Delete) {
        verbs.push(("delete", "Delete", true));
    }
    verbs
}

impl Folder {
    fn label(&self) -> &'static str {
        room(self.folder).label()
    }

    fn address(&self, rest: &[&str]) -> String {
        let mut segments = vec![room(self.folder).segment()];
        segments.extend(rest);
        path::server(&self.server, &segments)
    }

    fn total(&self) -> Option<String> {
        self.page.total.map(|total| words::count(total, "file", "files"))
    }

    fn next(&self) -> Option<String> {
        self.page.next.as_ref().map(|next| self.address(&[]) + &path::query(&[("after", next)]))
    }

    fn verbs(&self) -> Vec<(&'static str, &'static str, bool)> {
        verbs(&self.frame, &self.server, self.folder)
    }

    fn is_badmail(&self) -> bool {
        self.folder == FolderName::Badmail
    }

    /// What it is for, where there is nothing in it.
    fn purpose(&self) -> &'static str {
        match self.folder {
            FolderName::Badmail => {
                "A message comes here when it can neither be delivered nor returned to its sender. Each has a note with the reason."
            }
            FolderName::Drop => {
                "Mail for local domains is put here as files, for whatever program collects it; what has been collected is not shown any more."
            }
            FolderName::Pickup => {
                "A message that is put here as a file is sent, and the file is gone within a moment. One that stays is being written, locked or not a message."
            }
        }
    }
}

impl FilePage {
    fn label(&self) -> &'static str {
        room(self.folder).label()
    }

    fn address(&self) -> String {
        path::server(&self.server, &[room(self.folder).segment()])
    }

    fn verbs(&self) -> Vec<(&'static str, &'static str, bool)> {
        verbs(&self.frame, &self.server, self.folder)
    }
}

//! One of the folders Badmail, Drop and Pickup, for looking: listed a page at a time, a message opened, a message taken away.
//!
//! Others write there and take away from there, and some of them may mean ill. So everything goes by the open folder
//! ([`Folder`]): names are plain file names, nothing is followed, nothing is waited for, and what is no ordinary file is neither
//! listed nor opened. What vanishes meanwhile is gone, and no trouble. Memory depends on the page, not on the folder.
//!
//! threats: 2.9, 2.10 (path traversal).

use crate::control::Fault;
use crate::local::folder::{Folder, Look};
use crate::local::staging::is_temporary;
use nix::dir::Type;
use relay::admin::FolderName;
use relay::admin::content::summary;
use relay::admin::view::FileView;
use relay::badmail::{NotResent, PROPERTIES_MAX, Properties};
use relay::config::VirtualServer;
use smtp::time::Timestamp;
use std::collections::BinaryHeap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Names of a folder that are looked at for one page; of a fuller folder the page is one of those that were.
pub const NAMES_SCANNED_MAX: u64 = 1_000_000;
/// Octets of a file's beginning that are read for a line of the list.
const LINE_READ: usize = 16 << 10;
/// Octets of a `.BDR` file that are shown.
const REPORT_READ_MAX: usize = 64 << 10;
/// Octets of a name.
const NAME_MAX: usize = 255;

/// See the module.
pub(in crate::control) struct Shelf {
    folder: Folder,
    which: FolderName,
}

/// A page of names.
pub(super) struct Names {
    pub names: Vec<String>,
    /// How many there are; none: more than were looked at.
    pub total: Option<u64>,
    /// There are more after these.
    pub more: bool,
}

impl Shelf {
    /// Opens the folder; `None`: there is none yet.
    pub(in crate::control) fn open(server: &VirtualServer, which: FolderName) -> io::Result<Option<Shelf>> {
        let folder = Folder::existing(&place(server, which))?;
        Ok(folder.map(|folder| Shelf { folder, which }))
    }

    /// The folder itself.
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// How many messages lie there, at most `max`; and whether there are more.
    pub(in crate::control) fn count(&self, max: u64) -> io::Result<(u64, bool)> {
        let (mut count, mut more) = (0, false);
        self.folder.list(|name, kind| {
            if self.message(name, kind).is_some() {
                more = count == max;
                count += u64::from(!more);
            }
            if more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok((count, more))
    }

    /// The first `limit` names after this one, in their order.
    pub(super) fn names(&self, after: Option<&str>, limit: usize) -> io::Result<Names> {
        let mut least: BinaryHeap<String> = BinaryHeap::with_capacity(limit + 1);
        let (mut seen, mut total, mut more) = (0, 0, false);
        self.folder.list(|name, kind| {
            seen += 1;
            if let Some(name) = self.message(name, kind) {
                total += 1;
                if after.is_none_or(|after| *name > *after) {
                    // What is greater than all of a full page need not be kept.
                    if least.len() < limit || least.peek().is_some_and(|last| name < *last) {
                        least.push(name);
                    } else {
                        more = true;
                    }
                    if least.len() > limit {
                        least.pop();
                        more = true;
                    }
                }
            }
            if seen >= NAMES_SCANNED_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(Names { names: least.into_sorted_vec(), total: (seen < NAMES_SCANNED_MAX).then_some(total), more })
    }

    /// The message's name, if this is the name of one; what the listing does not say of its kind is asked for when it is opened.
    fn message(&self, name: &OsStr, kind: Option<Type>) -> Option<String> {
        let is_file = match kind {
            Some(Type::File) => true,
            Some(_) => false,
            None => self.folder.look(name).is_ok_and(|look| look.regular),
        };
        if !is_file || is_temporary(name) || name.as_bytes().starts_with(b".") {
            return None;
        }
        // A name that is no text is shown as far as it is; it cannot be named here again.
        let name = name.to_string_lossy();
        match self.which {
            FolderName::Badmail => name.strip_suffix(BAD).map(str::to_owned),
            FolderName::Drop | FolderName::Pickup => Some(name.into_owned()),
        }
    }

    /// The message in a line; `None`: it is gone, or no ordinary file.
    pub(super) fn line(&self, name: &str) -> Option<FileView> {
        let (file, look) = self.open_message(name).ok()?;
        let head = beginning(&file, LINE_READ).ok()?;
        let found = summary(&head);
        let at = Timestamp(look.modified.0.saturating_mul(1_000)).rfc3339();
        let mut view = FileView {
            name: name.to_owned(),
            size: look.size,
            at,
            sender: found.sender,
            recipients: found.recipients,
            subject: found.subject,
            why: None,
        };
        if self.which == FolderName::Badmail
            && let Ok(Some(properties)) = self.properties(name)
        {
            view.why = properties.text.clone().or(properties.reason);
            view.at = properties.badmailed.unwrap_or(view.at);
            view.sender = properties.sender.or(view.sender);
        }
        Some(view)
    }

    /// Opens a message; nothing but an ordinary file with one name.
    pub(super) fn open_message(&self, name: &str) -> Result<(File, Look), Fault> {
        let absent = || Fault::NotFound(format!("message \"{name}\" in this folder"));
        let file_name = self.file_name(name)?;
        let fault = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => absent(),
            _ => Fault::Unavailable(format!("\"{name}\" cannot be opened: {error}")),
        };
        // Looked at first, because opening some things does something.
        if !self.folder.look(&file_name).map_err(fault)?.regular {
            return Err(absent());
        }
        let file = self.folder.open_file(&file_name).map_err(fault)?;
        let look = Look::of_file(&file).map_err(fault)?;
        if !look.regular {
            return Err(absent());
        }
        if look.links > 1 {
            let text = format!("\"{name}\" has another name elsewhere, so it may be anybody's; it is not opened");
            return Err(Fault::Unavailable(text));
        }
        Ok((file, look))
    }

    /// What the `.BDP` file beside a message in Badmail says; `None`: there is none.
    pub(super) fn properties(&self, name: &str) -> Result<Option<Properties>, NotResent> {
        let unread = NotResent::Properties;
        let text = self.beside(name, "BDP", PROPERTIES_MAX).map_err(|_| unread.clone())?;
        text.map(|text| Properties::parse(&text).ok_or(unread)).transpose()
    }

    /// Of a message in Badmail, why it is there: its `.BDR` file; without that, what the `.BDP` file says.
    pub(super) fn why(&self, name: &str) -> Option<String> {
        if self.which != FolderName::Badmail {
            return None;
        }
        let report = self.beside(name, "BDR", REPORT_READ_MAX).ok().flatten().filter(|text| !text.trim().is_empty());
        report.map(|text| text.replace("\r\n", "\n")).or_else(|| {
            let properties = self.properties(name).ok().flatten()?;
            properties.text.or(properties.reason)
        })
    }

    /// What a file with another extension beside a message says, from its beginning; `None`: there is none.
    fn beside(&self, name: &str, extension: &str, most: usize) -> io::Result<Option<String>> {
        let file_name =
            plain(&format!("{name}.{extension}")).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        match self.folder.look(&file_name) {
            Ok(look) if look.regular => {}
            Ok(_) => return Err(io::ErrorKind::InvalidInput.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let file = self.folder.open_file(&file_name)?;
        let look = Look::of_file(&file)?;
        // With another name elsewhere it may be anybody's.
        if !look.regular || look.links > 1 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let text = beginning(&file, most)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// Takes a message away, in Badmail with what lies beside it.
    pub(super) fn remove(&self, name: &str) -> Result<(), Fault> {
        let file_name = self.file_name(name)?;
        let absent = || Fault::NotFound(format!("message \"{name}\" in this folder"));
        match self.folder.look(&file_name) {
            Ok(look) if look.regular => {}
            _ => return Err(absent()),
        }
        self.folder.remove(&file_name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => absent(),
            _ => Fault::Unavailable(format!("\"{name}\" cannot be removed: {error}")),
        })?;
        if self.which == FolderName::Badmail {
            for extension in ["BDR", "BDP"] {
                // Alone they are no message; the next requeue or deletion does not need them gone.
                let _ = plain(&format!("{name}.{extension}")).map(|beside| self.folder.remove(&beside));
            }
        }
        Ok(())
    }

    fn file_name(&self, name: &str) -> Result<OsString, Fault> {
        match self.which {
            FolderName::Badmail => plain(&format!("{name}{BAD}")),
            FolderName::Drop | FolderName::Pickup => plain(name),
        }
    }
}

/// How a message in Badmail ends.
const BAD: &str = ".BAD";

/// Where the folder is.
fn place(server: &VirtualServer, which: FolderName) -> PathBuf {
    match which {
        FolderName::Badmail => server.messages.badmail.clone(),
        FolderName::Drop => server.default_domain.drop.clone(),
        FolderName::Pickup => server.home.join("Pickup"),
    }
}

/// A name that leads nowhere else.
fn plain(name: &str) -> Result<OsString, Fault> {
    let is_plain = !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with('.') && !name.contains(['/', '\0']);
    if is_plain { Ok(name.into()) } else { Err(Fault::invalid("this is no name of a message, as the list has them")) }
}

/// The first octets of an open file.
pub(super) fn beginning(file: &File, max: usize) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(max).min(max);
    let mut octets = vec![0; len];
    let mut got = 0;
    while got < len {
        match file.read_at(&mut octets[got..], got as u64) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    octets.truncate(got);
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn shelf(which: FolderName) -> (tempfile::TempDir, Shelf) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        (place, Shelf { folder, which })
    }

    #[test]
    fn names_come_in_pages_and_in_order_whatever_there_is() {
        let (place, shelf) = shelf(FolderName::Drop);
        for n in (0..57).rev() {
            fs::write(place.path().join(format!("{n:03}.eml")), "From: a@x.test\n\n").unwrap();
        }
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = shelf.names(after.as_deref(), 10).unwrap();
            assert_eq!(page.total, Some(57));
            all.extend(page.names);
            after = all.last().cloned();
            if !page.more {
                break;
            }
        }
        assert_eq!(all, (0..57).map(|n| format!("{n:03}.eml")).collect::<Vec<_>>());
        assert_eq!(shelf.names(Some("056.eml"), 10).unwrap().names, [""; 0]);
        assert_eq!((shelf.count(57).unwrap(), shelf.count(56).unwrap()), ((57, false), (56, true)));
    }

    #[test]
    fn what_is_no_ordinary_file_is_not_there() {
        let (place, shelf) = shelf(FolderName::Drop);
        let secret = place.path().with_extension("secret");
        fs::write(&secret, "Subject: secret\n\n").unwrap();
        symlink(&secret, place.path().join("link.eml")).unwrap();
        fs::hard_link(&secret, place.path().join("hard.eml")).unwrap();
        fs::create_dir(place.path().join("folder.eml")).unwrap();
        nix::unistd::mkfifo(&place.path().join("fifo.eml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(place.path().join("socket.eml")).unwrap();
        fs::write(place.path().join(".0123456789abcdef.eml.tmp"), "half").unwrap();
        assert_eq!(shelf.names(None, 10).unwrap().names, ["hard.eml"]);
        for name in ["link.eml", "folder.eml", "fifo.eml", "socket.eml", "gone.eml"] {
            assert!(matches!(shelf.open_message(name), Err(Fault::NotFound(_))), "{name}");
            assert!(matches!(shelf.remove(name), Err(Fault::NotFound(_))), "{name}");
        }
        assert!(matches!(shelf.open_message("hard.eml"), Err(Fault::Unavailable(_))));
        assert!(shelf.line("hard.eml").is_none());
        fs::remove_file(secret).unwrap();
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let (place, shelf) = shelf(FolderName::Drop);
        fs::write(place.path().join("a.eml"), "x").unwrap();
        let long = "x".repeat(256);
        let names = ["", ".", "..", "../a.eml", "/etc/passwd", "a.eml/", "./a.eml", "sub/a.eml", "a\0.eml", &long];
        for name in names {
            assert!(matches!(shelf.open_message(name), Err(Fault::Invalid { .. })), "{name:?}");
            assert!(matches!(shelf.remove(name), Err(Fault::Invalid { .. })), "{name:?}");
        }
        assert!(shelf.open_message("a.eml").is_ok());
    }

    #[test]
    fn a_huge_file_costs_its_beginning_alone() {
        let (place, shelf) = shelf(FolderName::Pickup);
        let path = place.path().join("huge.eml");
        fs::write(&path, "Subject: huge\n\n").unwrap();
        File::options().write(true).open(&path).unwrap().set_len(10 << 30).unwrap();
        let view = shelf.line("huge.eml").unwrap();
        assert_eq!((view.subject.as_deref(), view.size), (Some("huge"), 10 << 30));
    }

    #[test]
    fn why_a_message_is_in_badmail() {
        let (place, shelf) = shelf(FolderName::Badmail);
        let path = |name: &str| place.path().join(name);
        let properties = "mailroot-badmail: 1\nreason: General Failure\ntext: nobody wants it\nend\n";
        fs::write(path("1.BDP"), properties).unwrap();
        assert_eq!(shelf.why("1").as_deref(), Some("nobody wants it"));
        fs::write(path("1.BDR"), "It could not be delivered.\r\nnobody wants it\r\n").unwrap();
        assert_eq!(shelf.why("1").as_deref(), Some("It could not be delivered.\nnobody wants it\n"));
        fs::write(path("2.BDP"), &properties[..40]).unwrap();
        // What belongs to somebody else is shown to nobody.
        fs::write(path("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(path("secret"), path("3.BDR")).unwrap();
        fs::hard_link(path("secret"), path("4.BDR")).unwrap();
        for name in ["2", "3", "4", "5", "../1"] {
            assert_eq!(shelf.why(name), None, "{name}");
        }
    }

    #[test]
    fn badmail_is_listed_by_its_messages_and_taken_away_whole() {
        let (place, shelf) = shelf(FolderName::Badmail);
        let path = |name: &str| place.path().join(name);
        fs::write(path("1.BAD"), "x-sender: <>\r\nx-receiver: b@x.test\r\nSubject: s\r\n\r\n").unwrap();
        let properties = "mailroot-badmail: 1\nreason: NDR of DSN\ntext: Nobody.\nsender: <>\nbadmailed: 2026-11-28T00:00:00.000Z\nend\n";
        fs::write(path("1.BDP"), properties).unwrap();
        fs::write(path("1.BDR"), "why").unwrap();
        fs::write(path("2.BDR"), "alone").unwrap();
        assert_eq!(shelf.names(None, 10).unwrap().names, ["1"]);
        let view = shelf.line("1").unwrap();
        assert_eq!((view.why.as_deref(), view.sender.as_deref()), (Some("Nobody."), Some("<>")));
        assert_eq!((view.at.as_str(), view.recipients.len()), ("2026-11-28T00:00:00.000Z", 1));
        assert!(matches!(shelf.properties("1"), Ok(Some(_))) && matches!(shelf.properties("3"), Ok(None)));
        fs::write(path("1.BDP"), &properties[..50]).unwrap();
        assert_eq!(shelf.properties("1"), Err(NotResent::Properties), "it may have said more");
        assert_eq!(shelf.line("1").unwrap().why, None);
        shelf.remove("1").unwrap();
        assert!(!path("1.BAD").exists() && !path("1.BDP").exists() && !path("1.BDR").exists());
        assert!(path("2.BDR").exists());
    }
}

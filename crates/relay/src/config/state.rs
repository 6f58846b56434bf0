//! `[state]`: where the program keeps what it needs for itself, beside the homes of the virtual servers.

use super::read::{Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use std::path::PathBuf;

/// `state.folder`
pub static FOLDER: Setting = Setting {
    name: "state.folder",
    tab: Tab::State,
    label: "Folder of the service's own files",
    unit: Unit::Folder,
    default: Preset::Text("\"state\""),
    range: Range::Any,
    help: "The account at the certificate authority and the certificates that it issued (`access.certificate.acme`) are kept here. It is \
made when it is needed, and nobody but the service's account may read it.",
};

pub(super) fn read(reader: &mut Reader<'_>, table: Table<'_, '_>) -> PathBuf {
    reader.path_or(table, &FOLDER, "state")
}

//! `[[virtual_server]]` itself: its name and its folder.

use super::settings::{Preset, Range, Setting, Tab, Unit};

/// `name`
pub static NAME: Setting = Setting {
    name: "name",
    tab: Tab::Server,
    label: "Name of the virtual server",
    unit: Unit::Text,
    default: Preset::Required,
    range: Range::Between(1, 100),
    help: "Shown in logs and pages; each virtual server has its own.",
};

/// `home`
pub static HOME: Setting = Setting {
    name: "home",
    tab: Tab::Server,
    label: "Home folder (the old service's Mailroot)",
    unit: Unit::Folder,
    default: Preset::Required,
    range: Range::Any,
    help: "Pickup, Drop, Queue and Badmail live here; they are created when they are missing. Each virtual server has its \
own home, and none lies within another.",
};

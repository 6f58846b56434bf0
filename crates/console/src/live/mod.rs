//! Pages of what runs: overview, sessions, queue, folders, counters, alarms.
//!
//! A part that moves stands in `{% block live %}`, in an element with `data-live`; a script asks for it again and puts it in
//! place of what is there.

mod counters;
mod folders;
mod message;
mod overview;
mod queue;
mod sessions;
mod trouble;

pub use counters::{Alarms, Counters};
pub use folders::{FilePage, Folder, folder_command};
pub use message::Message;
pub use overview::Overview;
pub use queue::{Bulk, Destinations, Messages, bulk, destination_command, filter, filter_fields};
pub use sessions::{Dialogue, SessionGone, Sessions, direction};
pub use trouble::Trouble;

/// Gives a page its [`crate::Page`]: with a part that moves, or without.
macro_rules! page {
    ($page:ty) => {
        impl crate::Page for $page {
            fn html(&self) -> String {
                crate::written(askama::Template::render(self))
            }
        }
    };
    ($page:ty, live) => {
        impl crate::Page for $page {
            fn html(&self) -> String {
                crate::written(askama::Template::render(self))
            }

            fn live(&self) -> String {
                crate::written(askama::Template::render(&self.as_live()))
            }
        }
    };
}
pub(crate) use page;

/// How a state in words looks: as it should be, worth a look, or at its end.
pub(crate) fn tone(state: &str) -> &'static str {
    match state {
        "active" | "sending" | "delivered" => "good",
        "waiting" | "resting" | "suspended" | "held" => "warn",
        "failed" | "reported" | "badmail" => "bad",
        _ => "",
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

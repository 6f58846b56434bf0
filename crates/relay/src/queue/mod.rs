//! The one owner of what waits: applies one event at a time and says what is to be done.

mod event;

pub use event::{Accepted, Effect, Event, ReportJob, ReportKind};

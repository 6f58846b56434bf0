//! Pages of what runs: overview, sessions, queue, folders, counters, alarms.
//!
//! A part that moves stands in `{% block live %}`, in an element with `data-live`; a script asks for it again and puts it in
//! place of what is there.

mod overview;

pub use overview::Overview;

//! Counters of a virtual server with plots; alarms.
//!
//! IIS: the SMTP Server object of the System Monitor, and the event log.

use super::overview::{PLOTS, Plot};
use super::page;
use crate::layout::Frame;
use crate::words;
use askama::Template;
use relay::admin::view::{Alarm, CounterView, SeriesView};

/// Counters of a virtual server.
#[derive(Template)]
#[template(path = "live/counters.html", blocks = ["live"])]
pub struct Counters {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// All of them.
    pub counters: Vec<CounterView>,
    /// Its last hour.
    pub series: SeriesView,
}

/// What an operator should see to.
#[derive(Template)]
#[template(path = "live/alarms.html", blocks = ["live"])]
pub struct Alarms {
    /// What stands around it.
    pub frame: Frame,
    /// All of them.
    pub alarms: Vec<Alarm>,
}

page!(Counters, live);
page!(Alarms, live);

impl Counters {
    fn plotted(&self) -> String {
        serde_json::to_string(&self.series).unwrap_or_default()
    }

    fn plots(&self) -> &'static [Plot] {
        &PLOTS
    }
}

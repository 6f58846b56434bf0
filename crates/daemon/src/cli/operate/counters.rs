//! `mailroot counters` and `mailroot alarms`: how much has happened, and what somebody should see to.

use super::table::{clean, lines, table};
use super::{Failure, Place, run};
use clap::Args;
use relay::admin::view::{Alarm, CounterView};
use std::process::ExitCode;

/// The exit code of `mailroot alarms` when there are some.
const SOME_ALARMS: u8 = 3;

#[derive(Args, Debug)]
pub(in crate::cli) struct Counters {
    /// Only those whose name or label contains this
    text: Option<String>,
    /// Also those that are 0
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Alarms {
    #[command(flatten)]
    place: Place,
}

pub(in crate::cli) fn counters(wanted: &Counters) -> ExitCode {
    let text = wanted.text.as_deref().map(str::to_lowercase);
    let all = wanted.all;
    run(&wanted.place, |desk| async move {
        let mut views: Vec<CounterView> = desk.client.get(&desk.address("/counters")).await?;
        if let Some(text) = text {
            views.retain(|view| view.name.contains(&text) || view.label.to_lowercase().contains(&text));
        }
        desk.print(&views, |views| {
            let shown = views.iter().filter(|view| all || view.value > 0);
            let rows: Vec<Vec<String>> =
                shown.map(|view| vec![view.label.clone(), view.value.to_string(), view.name.clone()]).collect();
            table(&["COUNTER", "VALUE", "NAME"], &rows)
        });
        Ok(())
    })
}

/// Exit codes: 0 no alarms, 3 some, 1 nobody could be asked.
pub(in crate::cli) fn alarms(wanted: &Alarms) -> ExitCode {
    // Those of all virtual servers, unless one is named.
    let only = wanted.place.server.clone();
    let place = Place { server: Some(only.clone().unwrap_or_default()), ..wanted.place.clone() };
    run(&place, |desk| async move {
        let mut alarms: Vec<Alarm> = desk.client.get("/alarms").await?;
        if let Some(only) = only {
            alarms.retain(|alarm| alarm.server.as_ref().is_none_or(|server| *server == only));
        }
        desk.print(&alarms, |alarms| told(alarms));
        if alarms.is_empty() { Ok(()) } else { Err(Failure::Told(ExitCode::from(SOME_ALARMS))) }
    })
}

fn told(alarms: &[Alarm]) -> String {
    if alarms.is_empty() {
        return "No alarms.\n".into();
    }
    let mut out = String::new();
    for alarm in alarms {
        let urgent = if alarm.urgent { "URGENT " } else { "" };
        let server = alarm.server.as_ref().map(|server| format!(" of {}", clean(server))).unwrap_or_default();
        out.push_str(&format!("{urgent}{}{server}: {}\n", alarm.kind, lines(&alarm.text)));
        out.push_str(&format!("    {}\n", lines(&alarm.advice)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_says_what_to_do_and_steers_no_terminal() {
        let alarm = Alarm {
            server: Some("One".into()),
            kind: "destination".into(),
            urgent: true,
            text: "far.test \u{1b}[2Jsays no.".into(),
            advice: "Ask there.".into(),
            since: None,
        };
        assert_eq!(told(&[alarm]), "URGENT destination of One: far.test ?[2Jsays no.\n    Ask there.\n");
        assert_eq!(told(&[]), "No alarms.\n");
    }
}

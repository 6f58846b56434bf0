//! Sessions for operators: who is connected, what was said, and the end of it.

use super::{Control, Fault, no_server};
use crate::sessions::Registry;
use relay::admin::view::{DialogueView, Outcome, SessionView};
use relay::admin::{Command, Direction, Operator, Sight, may_see};
use std::sync::Arc;

impl Control {
    /// The sessions of a virtual server, in the order in which they came; none, if it does not run.
    ///
    /// # Errors
    /// He may not see it, or there is no such virtual server.
    pub async fn sessions(
        &self,
        by: &Operator,
        server: &str,
        direction: Option<Direction>,
    ) -> Result<Vec<SessionView>, Fault> {
        may_see(by, Sight::Operation, Some(server))?;
        let registry = self.registry(server).await?;
        Ok(registry.map(|registry| registry.views(direction, self.house.clock.now())).unwrap_or_default())
    }

    /// A session and what was said in it so far.
    ///
    /// # Errors
    /// He may not see it, or there is no such virtual server or session.
    pub async fn dialogue(&self, by: &Operator, server: &str, session: &str) -> Result<DialogueView, Fault> {
        may_see(by, Sight::Operation, Some(server))?;
        let registry = self.registry(server).await?;
        let view = registry.and_then(|registry| registry.dialogue(session, self.house.clock.now()));
        view.ok_or_else(|| no_session(session))
    }

    /// `None`: the virtual server does not run.
    async fn registry(&self, server: &str) -> Result<Option<Arc<Registry>>, Fault> {
        let name = server.to_owned();
        let found = self.look(move |servers| servers.sessions(&name)).await?;
        found.ok_or_else(|| no_server(server))
    }
}

/// Carries out a command that concerns sessions; `None`: it is another's.
pub(super) async fn carry_out(control: &Control, command: &Command, dry_run: bool) -> Option<Result<Outcome, Fault>> {
    match command {
        Command::SessionEnd { server, session } => Some(end(control, server, session, dry_run).await),
        Command::SessionEndAll { server, direction } => Some(end_all(control, server, *direction, dry_run).await),
        _ => None,
    }
}

async fn end(control: &Control, server: &str, session: &str, dry_run: bool) -> Result<Outcome, Fault> {
    let registry = control.registry(server).await?.ok_or_else(|| no_session(session))?;
    let view = registry.dialogue(session, control.house.clock.now()).ok_or_else(|| no_session(session))?.session;
    let text = format!("session {session} {}", with(&view));
    if dry_run {
        return Ok(Outcome { text: format!("{text} would end"), count: 1, ..Outcome::default() });
    }
    if !registry.end(session) {
        return Err(no_session(session));
    }
    Ok(Outcome { text: format!("{text} is ended"), count: 1, ..Outcome::default() })
}

async fn end_all(
    control: &Control,
    server: &str,
    direction: Option<Direction>,
    dry_run: bool,
) -> Result<Outcome, Fault> {
    let registry = control.registry(server).await?;
    let kind = match direction {
        None => "",
        Some(Direction::Inbound) => "inbound ",
        Some(Direction::Outbound) => "outbound ",
    };
    let would = if dry_run { " would end" } else { " ended" };
    let count =
        registry.map_or(0, |registry| if dry_run { registry.count(direction) } else { registry.end_all(direction) });
    let plural = if count == 1 { "" } else { "s" };
    let text = format!("{count} {kind}session{plural}{would}");
    Ok(Outcome { text, count: count as u64, ..Outcome::default() })
}

fn with(view: &SessionView) -> String {
    match (view.direction, &view.destination) {
        (Direction::Inbound, _) => format!("from {}", view.peer),
        (Direction::Outbound, Some(destination)) if view.peer.is_empty() => format!("to {destination}"),
        (Direction::Outbound, _) => format!("to {}", view.peer),
    }
}

fn no_session(id: &str) -> Fault {
    Fault::NotFound(format!("session {id}; it may have ended"))
}

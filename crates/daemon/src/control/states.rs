//! Start, stop, pause and continue, from the service's own loop; a start and a stop are answered when they are
//! done, and hold up nothing meanwhile.

use super::{Fault, no_server};
use crate::service::{Changed, Servers, Unchanged};
use relay::admin::ServerVerb;
use relay::admin::view::Outcome;
use tokio::sync::oneshot;

/// Does it, or says what it would mean.
pub(super) async fn change(
    servers: &mut Servers,
    name: &str,
    verb: ServerVerb,
    dry_run: bool,
    answer: oneshot::Sender<Result<Outcome, Fault>>,
) {
    if dry_run {
        // Whoever asked may have gone; so below.
        let _ = answer.send(servers.preview(name, verb).ok_or_else(|| no_server(name)));
        return;
    }
    match servers.change_state(name, verb).await {
        Ok(Changed::Done(outcome)) => drop(answer.send(Ok(outcome))),
        Ok(Changed::When(done)) => drop(tokio::spawn(async move { answer.send(Ok(done.await)) })),
        Err(Unchanged::Missing) => drop(answer.send(Err(no_server(name)))),
        Err(Unchanged::NotNow(why)) => drop(answer.send(Err(Fault::Conflict(why)))),
    }
}

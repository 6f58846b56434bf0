//! Queue: destinations, messages, one message, and what is done with one or with many.

use super::{Given, PAGE_ENTRIES_MAX, Visit, senseless};
use crate::control::{DestinationsWanted, Fault};
use crate::web::Web;
use axum::Router;
use axum::extract::{Form, Path, Query};
use axum::response::Response;
use axum::routing::{get, post};
use console::form::Fields;
use console::layout::{Place, Room};
use console::live::{Bulk, Destinations, Message, Messages, bulk, destination_command, filter, filter_fields};
use console::{Confirm, path, words};
use relay::admin::{Command, QueueVerb, Which};

pub(super) fn router() -> Router<Web> {
    Router::new()
        .route("/servers/{server}/queue", get(destinations))
        .route("/servers/{server}/queue/destination", post(destination))
        .route("/servers/{server}/queue/messages", get(messages).post(change))
        .route("/servers/{server}/queue/messages/{id}", get(message))
}

fn place(server: &str) -> Place {
    Place::Server(server.to_owned(), Room::Queue)
}

fn address(server: &str) -> String {
    path::server(server, &["queue"])
}

async fn destinations(visit: Visit, Path(server): Path<String>, Query(query): Query<Given>) -> Response {
    let page = async {
        let (control, by) = (&visit.web.control, visit.by());
        let frame = visit.frame("Queue", place(&server)).await?;
        let query = Fields(query);
        let field = |name: &str| query.get(name).map(str::to_owned);
        let (name, after, before) = (field("name"), field("after"), field("before"));
        let wanted = DestinationsWanted { name, after, before, limit: PAGE_ENTRIES_MAX };
        let (view, page) = tokio::join!(control.server(by, &server), control.destinations(by, &server, &wanted));
        let DestinationsWanted { name, after, before, .. } = wanted;
        Ok(Destinations {
            frame,
            server: server.clone(),
            messages: view?.queue.unwrap_or_default(),
            page: page?,
            name,
            after,
            before,
        })
    };
    visit.answer(page.await, "/").await
}

async fn destination(visit: Visit, Path(server): Path<String>, Form(form): Form<Given>) -> Response {
    let back = address(&server);
    match destination_command(&server, &Fields(form)) {
        Ok(command) => visit.carry_out(command, &back).await,
        Err(fault) => visit.fail(&senseless(&fault), &back).await,
    }
}

async fn messages(visit: Visit, Path(server): Path<String>, Query(query): Query<Given>) -> Response {
    let query = Fields(query);
    let page = async {
        let frame = visit.frame("Messages", place(&server)).await?;
        let filter = filter(&query).map_err(|fault| senseless(&fault))?;
        let after = query.get("after").map(str::to_owned);
        let control = &visit.web.control;
        let page = control.messages(visit.by(), &server, &filter, after.as_deref(), PAGE_ENTRIES_MAX).await?;
        Ok(Messages { frame, server: server.clone(), filter, page, after })
    };
    visit.answer(page.await, &address(&server)).await
}

async fn message(visit: Visit, Path((server, id)): Path<(String, String)>) -> Response {
    let page = async {
        let (control, by) = (&visit.web.control, visit.by());
        let frame = visit.frame(&format!("Message {id}"), place(&server)).await?;
        let view = control.message(by, &server, &id).await?;
        // What moves shows nothing of the content.
        let content = match visit.background {
            true => Err(String::new()),
            false => control.message_content(by, &server, &id).await.map_err(|fault| fault.to_string()),
        };
        Ok(Message { frame, server: server.clone(), view, content })
    };
    let back = path::server(&server, &["queue", "messages"]);
    visit.answer(page.await, &back).await
}

async fn change(visit: Visit, Path(server): Path<String>, Form(form): Form<Given>) -> Response {
    let form = Fields(form);
    let back = back(&server, &form);
    match bulk(&server, &form) {
        Ok(bulk) if bulk.ask => visit.answer(question(&visit, &server, bulk, &back).await, &back).await,
        Ok(bulk) => visit.carry_out(bulk.command, &back).await,
        Err(fault) => visit.fail(&senseless(&fault), &back).await,
    }
}

/// Where to go after a change: to the message if it is still there, else to the list as it was searched.
fn back(server: &str, form: &Fields) -> String {
    let stays = matches!(form.get("verb"), Some("retry" | "hold" | "release"));
    if let (true, true, Some(id)) = (form.get("one").is_some(), stays, form.get("id")) {
        return path::server(server, &["queue", "messages", id]);
    }
    let fields = filter(form).map(|filter| filter_fields(&filter)).unwrap_or_default();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    path::server(server, &["queue", "messages"]) + &path::query(&fields)
}

/// How many it would concern, before it is done.
async fn question(visit: &Visit, server: &str, bulk: Bulk, back: &str) -> Result<Confirm, Fault> {
    let Bulk { command, label, says, danger, fields, .. } = bulk;
    let outcome = visit.web.control.execute(visit.by(), &visit.visitor.from, command.clone(), true).await?;
    let count = words::count(outcome.count, "message", "messages");
    let mut lines = Vec::new();
    if let Command::Queue { which: Which::Matching(filter), .. } = &command {
        lines.push(match filter_fields(filter).as_slice() {
            [] => format!("All {count} of this queue."),
            fields => {
                let words: Vec<_> =
                    fields.iter().map(|(name, value)| format!("{} “{value}”", label_of(name))).collect();
                format!("{count} with {}.", words.join(", "))
            }
        });
    }
    lines.push(says.into());
    if matches!(command, Command::Queue { which: Which::Matching(_), verb: QueueVerb::Delete | QueueVerb::Return, .. })
    {
        lines.push("Messages that come meanwhile and match are taken along.".into());
    }
    Ok(Confirm {
        frame: visit.frame(&format!("{label} {count}?"), place(server)).await?,
        server: server.to_owned(),
        says: lines,
        change: None,
        action: path::server(server, &["queue", "messages"]),
        fields,
        button: format!("{label} {count}"),
        danger,
        back: back.to_owned(),
    })
}

/// A field of a search, as the form calls it.
fn label_of(field: &str) -> &str {
    match field {
        "older_than_s" => "seconds of age of at least",
        "younger_than_s" => "seconds of age of at most",
        "reason" => "last answer",
        other => other,
    }
}

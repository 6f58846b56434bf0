//! The domains of a virtual server.

use super::{Question, Sent, Sheeted, Visit, ask, confirm, preview, save, see, senseless, show_again, trouble};
use crate::control::Fault;
use crate::web::Web;
use axum::Router;
use axum::extract::{Form, Path};
use axum::response::Response;
use axum::routing::{get, post};
use console::desk::{DomainPage, Domains, NewDomainPage, Sheet, new_domain};
use console::form::Fields;
use console::layout::{Place, Room};
use console::path;
use relay::admin::view::DomainView;
use relay::admin::{Command, NewDomain};

pub(super) fn router() -> Router<Web> {
    Router::new()
        .route("/servers/{server}/domains", get(list))
        .route("/servers/{server}/new-domain", get(wizard).post(add))
        .route("/servers/{server}/domains/{domain}", get(show).post(change))
        .route("/servers/{server}/domains/{domain}/rename", post(rename))
        .route("/servers/{server}/domains/{domain}/remove", post(remove))
}

fn place(server: &str) -> Place {
    Place::Server(server.to_owned(), Room::Domains)
}

fn all(server: &str) -> String {
    path::server(server, &["domains"])
}

fn of(server: &str, domain: &str) -> String {
    path::server(server, &["domains", domain])
}

async fn list(visit: Visit, Path(server): Path<String>) -> Response {
    let page = async {
        let domains = visit.web.control.domains(visit.by(), &server).await?;
        Ok(Domains { frame: visit.frame("Domains", place(&server)).await?, server, domains })
    };
    visit.answer(page.await, "/").await
}

async fn wizard_page(visit: &Visit, server: &str, form: Fields, wrong: Vec<String>) -> Result<NewDomainPage, Fault> {
    let control = &visit.web.control;
    // Whoever has one virtual server alone does not see the service's smart hosts; he may name one all the same.
    let hosts = control.smart_hosts(visit.by()).await.unwrap_or_default();
    control.domains(visit.by(), server).await?;
    let frame = visit.frame("New domain", place(server)).await?;
    let smart_hosts = hosts.into_iter().map(|host| host.name).collect();
    Ok(NewDomainPage { frame, server: server.to_owned(), smart_hosts, form, wrong })
}

async fn wizard(visit: Visit, Path(server): Path<String>) -> Response {
    let page = wizard_page(&visit, &server, Fields::default(), Vec::new()).await;
    visit.answer(page, &all(&server)).await
}

async fn add(visit: Visit, Path(server): Path<String>, Form(form): Sent) -> Response {
    let form = Fields(form);
    let wrong = match new_domain(&server, &form) {
        Err(fault) => vec![fault.to_string()],
        Ok(command) => match preview(&visit, &command).await {
            Ok(outcome) => {
                let here = path::server(&server, &["new-domain"]);
                let question = Question::new("Add this domain?", place(&server), &all(&server)).cancel(&here);
                return confirm(&visit, command, outcome, question.button("Add")).await;
            }
            Err(Fault::Invalid { text, problems }) if problems.is_empty() => vec![text],
            Err(Fault::Invalid { problems, .. }) => problems.into_iter().map(|problem| problem.text).collect(),
            Err(fault) => return trouble(&visit, &fault, &all(&server)).await,
        },
    };
    show_again(&visit, wizard_page(&visit, &server, form, wrong).await, &all(&server)).await
}

async fn find(visit: &Visit, server: &str, domain: &str) -> Result<DomainView, Fault> {
    let domains = visit.web.control.domains(visit.by(), server).await?;
    let found = domains.into_iter().find(|view| view.name.eq_ignore_ascii_case(domain));
    found.ok_or_else(|| Fault::NotFound(format!("domain \"{domain}\"")))
}

async fn page(visit: &Visit, server: &str, domain: DomainView, sheet: Option<Sheet>) -> Result<DomainPage, Fault> {
    let sheet = sheet.unwrap_or_else(|| Sheet::new(&domain.settings));
    let frame = visit.frame(&domain.name, place(server)).await?;
    Ok(DomainPage { frame, server: server.to_owned(), domain, sheet })
}

async fn show(visit: Visit, Path((server, domain)): Path<(String, String)>) -> Response {
    let page = async { page(&visit, &server, find(&visit, &server, &domain).await?, None).await };
    visit.answer(page.await, &all(&server)).await
}

async fn change(visit: Visit, Path((server, domain)): Path<(String, String)>, Form(form): Sent) -> Response {
    let form = Fields(form);
    let view = match find(&visit, &server, &domain).await {
        Ok(view) => view,
        Err(fault) => return visit.fail(&fault, &all(&server)).await,
    };
    let here = of(&server, &domain);
    let (server_name, name, kind, written) = (server.clone(), view.name.clone(), view.kind, view.written);
    // The default domain need not be written; with a setting of its own it is.
    let command = move |changes| match written {
        true => Command::DomainSet { server: server_name, domain: name, changes },
        false => Command::DomainAdd { server: server_name, new: NewDomain { name, kind, changes } },
    };
    let whose = format!("{} of {server}", view.name);
    let question = Question::new(format!("{}: save the changes?", view.name), place(&server), &here);
    match save(&visit, &form, &view.settings, command, &whose, question).await {
        Sheeted::Answer(answer) => answer,
        Sheeted::Again(sheet) => show_again(&visit, page(&visit, &server, view, Some(sheet)).await, &here).await,
    }
}

async fn rename(visit: Visit, Path((server, domain)): Path<(String, String)>, Form(form): Sent) -> Response {
    let form = Fields(form);
    let here = of(&server, &domain);
    let name = match form.need("name", "The new name") {
        Ok(name) => name.to_owned(),
        Err(fault) => return visit.fail(&senseless(&fault), &here).await,
    };
    if name == domain {
        return see(&here);
    }
    let question = Question::new(format!("Rename {domain}?"), place(&server), &of(&server, &name)).cancel(&here);
    ask(&visit, Command::DomainRename { server, domain, name }, question.button("Rename")).await
}

async fn remove(visit: Visit, Path((server, domain)): Path<(String, String)>) -> Response {
    let question =
        Question::new(format!("Remove {domain}?"), place(&server), &all(&server)).cancel(&of(&server, &domain));
    let note = "Mail for it that waits is routed anew; from now on it is mail for a stranger's domain.";
    ask(&visit, Command::DomainRemove { server, domain }, question.danger("Remove").note(note)).await
}

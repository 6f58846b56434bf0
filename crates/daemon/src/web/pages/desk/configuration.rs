//! The configuration as a file, its versions, and what all virtual servers share.

use super::{Question, Sent, Sheeted, Visit, ask, save, show_again};
use crate::control::Fault;
use crate::web::Web;
use axum::Router;
use axum::extract::{Form, Path};
use axum::response::Response;
use axum::routing::{get, post};
use console::desk::{Configuration, ServiceSettings, Sheet, Version};
use console::form::Fields;
use console::layout::Place;
use relay::admin::Command;

const HERE: &str = "/configuration";
const SERVICE: &str = "/configuration/service";

pub(super) fn router() -> Router<Web> {
    Router::new()
        .route("/configuration", get(list))
        .route("/configuration/reload", post(reload))
        .route("/configuration/service", get(service).post(change))
        .route("/configuration/versions/{version}", get(version))
        .route("/configuration/versions/{version}/rollback", post(rollback))
}

async fn list(visit: Visit) -> Response {
    let page = async {
        let (control, by) = (&visit.web.control, visit.by());
        let versions = control.versions(by).await?;
        // A file that cannot be read is told of in its place, and hides nothing else.
        let edited = control.edited(by).await.unwrap_or_else(|fault| fault.to_string());
        let file = control.service(by).await?.config;
        Ok(Configuration { frame: visit.frame("Configuration", Place::Configuration).await?, file, versions, edited })
    };
    visit.answer(page.await, "/").await
}

async fn reload(visit: Visit) -> Response {
    let question = Question::new("Take the file into force?", Place::Configuration, HERE).button("Take it into force");
    ask(&visit, Command::ConfigReload, question).await
}

async fn version(visit: Visit, Path(number): Path<u64>) -> Response {
    let page = async {
        let (control, by) = (&visit.web.control, visit.by());
        let version = control.versions(by).await?.into_iter().find(|version| version.version == number);
        let version = version.ok_or_else(|| Fault::NotFound(format!("version {number}")))?;
        let diff = control.version_diff(by, number, false).await?;
        let text = control.version_text(by, number).await?;
        Ok(Version {
            frame: visit.frame(&format!("Version {number}"), Place::Configuration).await?,
            version,
            diff,
            text,
        })
    };
    visit.answer(page.await, HERE).await
}

async fn rollback(visit: Visit, Path(version): Path<u64>) -> Response {
    let question =
        Question::new(format!("Go back to version {version}?"), Place::Configuration, HERE).button("Go back");
    ask(&visit, Command::ConfigRollback { version }, question).await
}

async fn page(visit: &Visit, sheet: Option<Sheet>) -> Result<ServiceSettings, Fault> {
    let sheet = match sheet {
        Some(sheet) => sheet,
        None => Sheet::new(&visit.web.control.settings(visit.by(), None).await?),
    };
    Ok(ServiceSettings { frame: visit.frame("Service settings", Place::Configuration).await?, sheet })
}

async fn service(visit: Visit) -> Response {
    let page = page(&visit, None).await;
    visit.answer(page, HERE).await
}

async fn change(visit: Visit, Form(form): Sent) -> Response {
    let form = Fields(form);
    let views = match visit.web.control.settings(visit.by(), None).await {
        Ok(views) => views,
        Err(fault) => return visit.fail(&fault, HERE).await,
    };
    let question = Question::new("Save the service settings?", Place::Configuration, SERVICE);
    match save(&visit, &form, &views, |changes| Command::Set { server: None, changes }, "the service", question).await {
        Sheeted::Answer(answer) => answer,
        Sheeted::Again(sheet) => show_again(&visit, page(&visit, Some(sheet)).await, SERVICE).await,
    }
}

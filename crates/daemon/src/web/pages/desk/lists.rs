//! Explain, the certificates, the audit log.

use super::{Asked, Visit};
use crate::control::Fault;
use crate::web::Web;
use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use console::desk::{Audit, Certificates, Explain, audit_filter, inquiry};
use console::form::Fields;
use console::layout::Place;

/// Records of one page.
const RECORDS: usize = 50;

pub(super) fn router() -> Router<Web> {
    Router::new().route("/explain", get(explain)).route("/certificates", get(certificates)).route("/audit", get(audit))
}

async fn explain(visit: Visit, Query(asked): Asked) -> Response {
    let form = Fields(asked);
    let page = async {
        let frame = visit.frame("Explain", Place::Explain).await?;
        let asked = form.get("from").is_some() || form.get("rcpt").is_some();
        let answer = if asked { Some(visit.web.control.explain(visit.by(), &inquiry(&form)).await) } else { None };
        let (answer, wrong) = match answer {
            Some(Ok(answer)) => (Some(answer), None),
            // What was asked makes no sense: told below the form, with what was typed kept.
            Some(Err(Fault::Invalid { text, .. } | Fault::NotFound(text))) => (None, Some(text)),
            Some(Err(fault)) => return Err(fault),
            None => (None, None),
        };
        Ok(Explain { frame, form, answer, wrong })
    };
    visit.answer(page.await, "/").await
}

async fn certificates(visit: Visit) -> Response {
    let page = async {
        relay::admin::may_see(visit.by(), relay::admin::Sight::Configuration, None)?;
        let certificates = visit.web.control.certificates(visit.by()).await?;
        Ok(Certificates { frame: visit.frame("Certificates", Place::Certificates).await?, certificates })
    };
    visit.answer(page.await, "/").await
}

async fn audit(visit: Visit, Query(asked): Asked) -> Response {
    let form = Fields(asked);
    let page = async {
        let (filter, after) = (audit_filter(&form), form.get("after"));
        let records = visit.web.control.audit(visit.by(), &filter, after, RECORDS).await?;
        let frame = visit.frame("Audit", Place::Audit).await?;
        Ok(Audit { frame, filter, older: after.is_some(), records })
    };
    visit.answer(page.await, "/").await
}

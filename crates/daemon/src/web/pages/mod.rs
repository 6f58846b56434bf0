//! The pages of the console: requests in, views asked for, HTML of [`console`] out; forms in, commands given.
//!
//! `live` has what moves (overview, sessions, queue, folders, counters), `desk` what is set (virtual servers, domains, operators,
//! configuration). Each finds a [`super::Visitor`] in the request, and `State<Web>`; `visit` has both at hand.

mod desk;
mod live;
mod visit;

use super::Web;
use axum::Router;
use visit::{Visit, senseless};

/// All pages behind the log-on.
pub fn router() -> Router<Web> {
    Router::new().merge(live::router()).merge(desk::router())
}

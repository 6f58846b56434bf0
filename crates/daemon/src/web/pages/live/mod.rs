//! Pages: to come.

use crate::web::Web;
use axum::Router;

/// Their routes.
pub(super) fn router() -> Router<Web> {
    Router::new()
}

//! Who asks, and from where: put into a request's extensions by the door through which it came (the socket, the console), read
//! from there by the API and the pages.

use super::Fault;
use super::api::Failed;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use relay::admin::{Denied, Operator};

/// Somebody who has proved who he is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asker {
    /// As an operator.
    pub operator: Operator,
    /// Where he is, for the audit log: `socket`, or an address.
    pub from: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asker, Failed> {
        // Each door turns away whom it does not know; this is for one that forgot to.
        parts.extensions.get::<Asker>().cloned().ok_or(Failed(Fault::Denied(Denied::Scope)))
    }
}

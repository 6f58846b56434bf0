//! Routes of operators, tokens, passwords, and one's own log-on.

use super::{By, Failed};
use crate::control::Control;
use crate::control::asker::Asker;
use crate::web::Visitor;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use relay::admin::Operator;
use relay::admin::view::{OperatorView, Outcome, TokenView};
use serde::{Deserialize, Serialize};
use smtp::sasl::Secret;
use std::fmt;
use utoipa::ToSchema;

/// The operators.
#[utoipa::path(get, path = "/api/v1/operators", responses((status = 200, body = Vec<OperatorView>)))]
pub(super) async fn operators(State(control): State<Control>, By(by): By) -> Result<Json<Vec<OperatorView>>, Failed> {
    Ok(Json(control.operators(&by).await?))
}

/// Tokens of programs; never what they are.
#[utoipa::path(get, path = "/api/v1/tokens", responses((status = 200, body = Vec<TokenView>)))]
pub(super) async fn tokens(State(control): State<Control>, By(by): By) -> Result<Json<Vec<TokenView>>, Failed> {
    Ok(Json(control.tokens(&by).await?))
}

/// A new password.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password: at least 12 characters.
    pub password: String,
    /// The present one, where one's own is changed.
    #[serde(default)]
    pub current: Option<String>,
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword(…)")
    }
}

/// Gives an operator a new password: oneself, with the current one; others as an administrator of everything.
#[utoipa::path(put, path = "/api/v1/operators/{name}/password", params(("name" = String, Path)), request_body = NewPassword, responses((status = 200, body = Outcome)))]
pub(super) async fn password(
    State(control): State<Control>,
    Asker { operator: by, from }: Asker,
    Path(name): Path<String>,
    new: Result<Json<NewPassword>, JsonRejection>,
) -> Result<Json<Outcome>, Failed> {
    let Json(NewPassword { password, current }) = new?;
    let secret = |text: String| Secret::new(text.into_bytes());
    let outcome = control.set_password(&by, &from, &name, current.map(secret), secret(password)).await?;
    Ok(Json(outcome))
}

/// One's own log-on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Whoever asks.
    pub operator: Operator,
    /// With a cookie: what a request that changes something must bring along, as `X-CSRF-Token`.
    pub csrf: Option<String>,
}

/// Who one is, and what requests need that change something.
#[utoipa::path(get, path = "/api/v1/session", responses((status = 200, body = Session)))]
pub(super) async fn session(By(operator): By, visitor: Option<Extension<Visitor>>) -> Json<Session> {
    Json(Session { operator, csrf: visitor.map(|Extension(visitor)| visitor.csrf) })
}

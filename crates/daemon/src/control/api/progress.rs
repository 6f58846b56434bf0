//! A command's answer as lines of JSON that tell how far it is.

use crate::control::{Control, Told};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use relay::admin::{Command, Operator};
use std::convert::Infallible;
use tokio::sync::{mpsc, watch};

/// Carries the command out, to its end even if nobody reads on. What is refused at once is answered as ever.
pub(super) async fn lines(control: Control, by: Operator, from: String, command: Command, dry_run: bool) -> Response {
    // One line at a time: who reads slowly gets fewer.
    let (lines, mut said) = mpsc::channel(1);
    tokio::spawn(async move {
        let (told, mut done) = watch::channel(0);
        let work = control.execute_told(&by, &from, command, dry_run, Some(told));
        let telling = async {
            while done.changed().await.is_ok() {
                let so_far = *done.borrow_and_update();
                if lines.send(Told::Done(so_far)).await.is_err() {
                    return;
                }
            }
        };
        let (outcome, ()) = tokio::join!(work, telling);
        let last = match outcome {
            Ok(outcome) => Told::Outcome(outcome),
            Err(fault) => Told::Problem(fault.details()),
        };
        // Whoever asked may have gone.
        let _ = lines.send(last).await;
    });
    let first = match said.recv().await {
        Some(Told::Problem(problem)) => return problem.into_response(),
        first => first,
    };
    let rest = stream::unfold(said, |mut said| async move { said.recv().await.map(|told| (told, said)) });
    let body = Body::from_stream(stream::iter(first).chain(rest).map(|told| Ok::<_, Infallible>(line(&told))));
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

fn line(told: &Told) -> Bytes {
    // These always serialize.
    let mut line = serde_json::to_vec(told).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

//! Routes by which messages are carried out of a queue and in again: tar archives, in pieces as they come.

use super::Failed;
use crate::control::asker::Asker;
use crate::control::{Control, ExportOrder, ImportWishes};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use relay::admin::view::Outcome;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;

/// Octets of an order that names what is to be carried out.
pub const EXPORT_ORDER_MAX: usize = 16 << 20;
/// Octets that are read of a body which nobody wants any more.
const UNWANTED: usize = 64 << 20;
/// How long a piece that nobody wants is waited for, before the answer is given.
const UNWANTED_WITHIN: Duration = Duration::from_secs(1);
/// How long a piece of the archive may take to come; then it breaks off.
pub const PIECE_WITHIN_MAX: Duration = Duration::from_secs(60);
/// Pieces of a request's body that wait for the import.
const PIECES_WAITING: usize = 8;

/// Carries messages out, as a tar archive of an `.env` and an `.eml` each; they stay in the queue.
#[utoipa::path(post, path = "/api/v1/servers/{server}/queue-export", params(("server" = String, Path)), request_body = ExportOrder,
    responses((status = 200, body = Vec<u8>, content_type = "application/x-tar")))]
pub(super) async fn export(
    State(control): State<Control>,
    asker: Asker,
    Path(server): Path<String>,
    order: Result<Json<ExportOrder>, JsonRejection>,
) -> Result<Response, Failed> {
    let Json(order) = order?;
    let pieces = control.export(&asker.operator, &asker.from, &server, order).await?;
    let body = Body::from_stream(stream::unfold(pieces, |mut pieces| async move {
        pieces.recv().await.map(|piece| (piece, pieces))
    }));
    let headers = [
        (CONTENT_TYPE, "application/x-tar"),
        (CONTENT_DISPOSITION, "attachment; filename=\"queue.tar\""),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, body).into_response())
}

/// Carries messages in, from what `queue-export` gave.
#[utoipa::path(post, path = "/api/v1/servers/{server}/queue-import",
    params(("server" = String, Path), ("hold" = Option<bool>, Query), ("again" = Option<bool>, Query)),
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = 200, body = Outcome)))]
pub(super) async fn import(
    State(control): State<Control>,
    asker: Asker,
    Path(server): Path<String>,
    wishes: Result<Query<ImportWishes>, QueryRejection>,
    body: Body,
) -> Result<Json<Outcome>, Failed> {
    let Query(wishes) = wishes?;
    let (pieces, archive) = mpsc::channel(PIECES_WAITING);
    let feed = feed(body.into_data_stream(), pieces);
    let (outcome, ()) = tokio::join!(control.import(&asker.operator, &asker.from, &server, wishes, archive), feed);
    Ok(Json(outcome?))
}

/// Gives the import what comes, piece by piece, to its end or until nothing comes any more.
async fn feed<E: Into<axum::BoxError>>(
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    pieces: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut unwanted = 0;
    loop {
        let is_over = pieces.is_closed();
        // Whoever sends nothing keeps others from importing into that queue.
        let patience = if is_over { UNWANTED_WITHIN } else { PIECE_WITHIN_MAX };
        let piece = tokio::select! {
            piece = tokio::time::timeout(patience, body.next()) => piece,
            () = pieces.closed(), if !is_over => continue,
        };
        let piece = match piece {
            Ok(Some(piece)) => piece.map_err(io::Error::other),
            Ok(None) => return,
            Err(_) => {
                let text = format!("nothing came for {} seconds", PIECE_WITHIN_MAX.as_secs());
                let _ = pieces.send(Err(io::Error::new(io::ErrorKind::TimedOut, text))).await;
                return;
            }
        };
        let octets = piece.as_ref().map_or(0, Bytes::len);
        // Whoever reads it may have had enough; some more is read all the same, so that the answer is heard.
        if pieces.send(piece).await.is_err() {
            unwanted += octets;
        }
        if unwanted > UNWANTED {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tokio::time::Instant;

    /// What an import gets of a body that sends a piece after each of these pauses (in seconds), and then nothing for ever; and when it
    /// knows that nothing comes.
    async fn fed(pauses: &'static [u64]) -> (Vec<io::Result<Bytes>>, Duration) {
        let sent = stream::iter(pauses).then(|pause| async move {
            tokio::time::sleep(Duration::from_secs(*pause)).await;
            Ok::<_, Infallible>(Bytes::from_static(b"piece"))
        });
        let (pieces, mut archive) = mpsc::channel(PIECES_WAITING);
        let begun = Instant::now();
        let took = async move {
            let mut took = Vec::new();
            while let Some(piece) = archive.recv().await {
                took.push(piece);
            }
            (took, begun.elapsed())
        };
        tokio::join!(feed(Box::pin(sent.chain(stream::pending())), pieces), took).1
    }

    #[tokio::test(start_paused = true)]
    async fn what_nothing_comes_for_ends_after_a_minute() {
        let (took, after) = fed(&[]).await;
        assert!(matches!(took.as_slice(), [Err(why)] if why.kind() == io::ErrorKind::TimedOut), "{took:?}");
        assert_eq!(after.as_secs(), 60);
        // Slow is not silent: each piece has its own minute.
        let (took, after) = fed(&[59, 59]).await;
        assert!(matches!(took.as_slice(), [Ok(_), Ok(_), Err(_)]), "{took:?}");
        assert_eq!(after.as_secs(), 59 + 59 + 60);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_hears_it_though_he_sends_nothing() {
        let (pieces, archive) = mpsc::channel(PIECES_WAITING);
        let begun = Instant::now();
        let refused = async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(archive);
        };
        let nothing = stream::pending::<Result<Bytes, Infallible>>();
        tokio::join!(feed(nothing, pieces), refused);
        assert_eq!(begun.elapsed().as_secs(), 2);
    }
}

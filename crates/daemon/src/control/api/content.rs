//! Routes of messages and files as they are: what they say, and the octets themselves.
//!
//! A message that somebody else wrote is only ever given out as a download that no browser opens by itself.

use super::{By, Failed};
use crate::control::Control;
use crate::store::Content;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use relay::admin::FolderName;
use relay::admin::view::{ContentView, FileView, Page};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, Read};

/// Messages of one page unless another number is asked for.
const PAGE: usize = 100;
/// Octets of a file that are read at a time.
const PIECE: usize = 256 << 10;

/// What a message in the queue says: its header, and the beginning of its text.
#[utoipa::path(get, path = "/api/v1/servers/{server}/queue/{id}/content", params(("server" = String, Path), ("id" = String, Path)), responses((status = 200, body = ContentView)))]
pub(super) async fn message(
    State(control): State<Control>,
    By(by): By,
    Path((server, id)): Path<(String, String)>,
) -> Result<Json<ContentView>, Failed> {
    Ok(Json(control.message_content(&by, &server, &id).await?))
}

/// A message in the queue as it is.
#[utoipa::path(get, path = "/api/v1/servers/{server}/queue/{id}/raw", params(("server" = String, Path), ("id" = String, Path)), responses((status = 200, body = Vec<u8>, content_type = "message/rfc822")))]
pub(super) async fn raw_message(
    State(control): State<Control>,
    By(by): By,
    Path((server, id)): Path<(String, String)>,
) -> Result<Response, Failed> {
    let content = control.message_raw(&by, &server, &id).await?;
    let size = content.len();
    Ok(download(&id, size, pieces(content)))
}

#[derive(Deserialize)]
pub(super) struct Place {
    after: Option<String>,
    limit: Option<usize>,
}

/// Messages of a folder, in the order of their names.
#[utoipa::path(get, path = "/api/v1/servers/{server}/folders/{folder}",
    params(("server" = String, Path), ("folder" = FolderName, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<FileView>)))]
pub(super) async fn files(
    State(control): State<Control>,
    By(by): By,
    path: Result<Path<(String, FolderName)>, PathRejection>,
    place: Result<Query<Place>, QueryRejection>,
) -> Result<Json<Page<FileView>>, Failed> {
    let (Path((server, folder)), Query(Place { after, limit })) = (path?, place?);
    let limit = limit.unwrap_or(PAGE).min(super::ANSWER_ITEMS_MAX);
    Ok(Json(control.files(&by, &server, folder, after.as_deref(), limit).await?))
}

/// What a message in a folder says.
#[utoipa::path(get, path = "/api/v1/servers/{server}/folders/{folder}/{name}",
    params(("server" = String, Path), ("folder" = FolderName, Path), ("name" = String, Path)),
    responses((status = 200, body = ContentView)))]
pub(super) async fn file(
    State(control): State<Control>,
    By(by): By,
    path: Result<Path<(String, FolderName, String)>, PathRejection>,
) -> Result<Json<ContentView>, Failed> {
    let Path((server, folder, name)) = path?;
    Ok(Json(control.file_content(&by, &server, folder, &name).await?))
}

/// A message in a folder as it lies there.
#[utoipa::path(get, path = "/api/v1/servers/{server}/folders/{folder}/{name}/raw",
    params(("server" = String, Path), ("folder" = FolderName, Path), ("name" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "message/rfc822")))]
pub(super) async fn raw_file(
    State(control): State<Control>,
    By(by): By,
    path: Result<Path<(String, FolderName, String)>, PathRejection>,
) -> Result<Response, Failed> {
    let Path((server, folder, name)) = path?;
    let raw = control.file_raw(&by, &server, folder, &name).await?;
    Ok(download(&name, raw.size, file_pieces(raw.file, raw.size)))
}

/// An answer that a browser saves and does not show.
fn download(name: &str, size: u64, body: Body) -> Response {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.chars().map(safe).take(100).collect();
    let name = name.strip_suffix(".eml").unwrap_or(&name);
    let headers = [
        (CONTENT_TYPE, "message/rfc822".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.eml\"")),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
    ];
    (headers, body).into_response()
}

fn pieces(content: Content) -> Body {
    Body::from_stream(stream::try_unfold(content, |mut content| async move {
        let piece = content.next().await?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, content)))
    }))
}

/// The file's octets, as many as it had when it was opened.
fn file_pieces(file: File, size: u64) -> Body {
    Body::from_stream(stream::try_unfold((file, size), |(file, left)| async move {
        if left == 0 {
            return Ok::<_, io::Error>(None);
        }
        let read = move || {
            let mut octets = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
            (&file).read_exact(&mut octets).map(|()| (Bytes::from(octets), file))
        };
        let (octets, file) = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        let left = left - octets.len() as u64;
        Ok(Some((octets, (file, left))))
    }))
}

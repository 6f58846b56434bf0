//! What `mailroot oauth` says about tokens, without showing any.

use super::Token;
use super::kept;
use relay::advice;
use relay::config::terms::{OAuthClient, Owner};
use serde_json::Value;
use smtp::sasl::base64;
use smtp::time::Timestamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How an owner stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The file where its tokens are kept.
    pub file: PathBuf,
    /// Until when the access token that is kept is good, if there is one.
    pub until: Option<Timestamp>,
    /// A refresh token is kept.
    pub has_refresh: bool,
    /// The file cannot be used, and why.
    pub fault: Option<String>,
}

/// How this owner stands by what is kept. Touches the disk.
#[must_use]
pub fn status(state: &Path, owner: &Owner, client: &OAuthClient) -> Status {
    let file = kept::file(state, &kept::stem(owner, client));
    match kept::read(&file) {
        Ok(kept) => {
            let (until, has_refresh) = (kept.access.map(|(_, span)| span.to), kept.refresh.is_some());
            Status { file, until, has_refresh, fault: None }
        }
        Err(fault) => Status { file, until: None, has_refresh: false, fault: Some(fault.to_string()) },
    }
}

/// Forgets all tokens of an owner, also those of clients that it had before; how many files there were.
///
/// # Errors
/// One cannot be removed.
pub fn log_out(state: &Path, owner: &Owner) -> io::Result<usize> {
    let files = kept::files_of(state, owner);
    for file in &files {
        fs::remove_file(file)?;
    }
    if !files.is_empty() {
        fs::File::open(state.join(kept::FOLDER))?.sync_all()?;
    }
    Ok(files.len())
}

/// What a token says about itself, if it is one that can be read (a JWT): claims that help to find out why a host refuses
/// it. Nothing is verified: it is for people.
#[must_use]
pub fn facts(token: &Token) -> Vec<(&'static str, String)> {
    const CLAIMS: [&str; 10] =
        ["iss", "aud", "azp", "appid", "tid", "upn", "preferred_username", "email", "roles", "scp"];
    let claims = token.secret().text().and_then(|text| {
        let payload = text.split('.').nth(1)?;
        let mut payload = payload.replace('-', "+").replace('_', "/");
        while !payload.len().is_multiple_of(4) {
            payload.push('=');
        }
        serde_json::from_slice::<Value>(&base64::decode(payload.as_bytes())?).ok()
    });
    let Some(claims) = claims else { return Vec::new() };
    let shown = |value: &Value| match value {
        Value::String(text) => Some(advice::cleaned(text)),
        Value::Array(list) => {
            Some(advice::cleaned(&list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")))
        }
        _ => None,
    };
    CLAIMS.iter().filter_map(|name| Some((*name, claims.get(name).and_then(shown)?))).collect()
}

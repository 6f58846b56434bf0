//! Why an operator does not get what he asked for; as RFC 9457 writes it.

use relay::admin::Denied;
use relay::admin::edit::EditFault;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// He may not.
    Denied(Denied),
    /// He has not proved who he is, and why not.
    Refused(String),
    /// There is no such thing; what.
    NotFound(String),
    /// What he gave makes no sense: a sentence, and for a configuration all its problems.
    Invalid {
        /// In a sentence.
        text: String,
        /// The configuration's problems.
        problems: Vec<FileProblem>,
    },
    /// The request itself is none: its JSON, its address, its size; which status that is.
    Request {
        /// The status code.
        status: u16,
        /// In a sentence.
        text: String,
    },
    /// Something has changed meanwhile.
    Conflict(String),
    /// It cannot be done now.
    Unavailable(String),
}

/// One problem of a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileProblem {
    /// The line in the file as it would be.
    pub line: u64,
    /// What is wrong, and what to write instead.
    pub text: String,
    /// The setting that it is about, as docs/settings.md names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// Whose: a virtual server's name, `DOMAIN of SERVER`, `smart host NAME`, `the service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

/// The body of an answer that is a fault (RFC 9457).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// What kind: `about:blank`, as the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    /// In a few words.
    pub title: String,
    /// The status code.
    pub status: u16,
    /// In a sentence that says what to do.
    pub detail: String,
    /// The configuration's problems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<FileProblem>,
}

impl ProblemDetails {
    /// One that is about the request, before anybody looks at what it asks for.
    #[must_use]
    pub fn new(status: u16, title: &str, detail: impl Into<String>) -> ProblemDetails {
        ProblemDetails {
            kind: "about:blank".into(),
            title: title.into(),
            status,
            detail: detail.into(),
            problems: Vec::new(),
        }
    }
}

impl Fault {
    /// What he gave makes no sense.
    pub(super) fn invalid(text: impl Into<String>) -> Fault {
        Fault::Invalid { text: text.into(), problems: Vec::new() }
    }

    /// The status code and its title.
    #[must_use]
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Fault::Denied(_) | Fault::Refused(_) => (403, "Not allowed"),
            Fault::NotFound(_) => (404, "Not found"),
            Fault::Invalid { .. } => (422, "Not valid"),
            Fault::Request { status, .. } => (*status, title(*status)),
            Fault::Conflict(_) => (409, "Conflict"),
            Fault::Unavailable(_) => (503, "Not possible now"),
        }
    }

    /// As it goes over the wire.
    #[must_use]
    pub fn details(&self) -> ProblemDetails {
        let (status, title) = self.status();
        let problems = match self {
            Fault::Invalid { problems, .. } => problems.clone(),
            _ => Vec::new(),
        };
        ProblemDetails { problems, ..ProblemDetails::new(status, title, self.to_string()) }
    }
}

/// What a status code means, in a few words.
pub(super) fn title(status: u16) -> &'static str {
    match status {
        400 => "Not understood",
        404 => "Not found",
        405 => "No such method",
        413 => "Too large",
        415 => "Not JSON",
        422 => "Not valid",
        status if status < 500 => "Refused",
        _ => "Not possible now",
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Denied(denied) => denied.fmt(f),
            Fault::NotFound(what) => write!(f, "there is no {what}"),
            Fault::Request { text, .. }
            | Fault::Invalid { text, .. }
            | Fault::Refused(text)
            | Fault::Conflict(text)
            | Fault::Unavailable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Fault {
        Fault::Denied(denied)
    }
}

impl From<EditFault> for Fault {
    fn from(fault: EditFault) -> Fault {
        match fault {
            EditFault::Missing(what) => Fault::NotFound(what),
            EditFault::Taken(_) | EditFault::Broken(_) => Fault::Conflict(fault.to_string()),
            EditFault::Unknown(_) | EditFault::Value(_) => Fault::invalid(fault.to_string()),
        }
    }
}

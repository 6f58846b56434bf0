//! `[virtual_server.access.inspection]`: which verbs and extensions a virtual server has, and how long a line may be.
//!
//! What is not listed is neither offered nor accepted. Without a list everything is there that the program has.
//!
//! What an application-layer firewall did in front of the old service (there: "SMTP filter", verbs with their greatest length).

use super::read::{Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use toml::de::DeValue;

/// Verbs that a list may have. LHLO, TURN and those of former days are never there.
pub const VERBS_KNOWN: &[&str] = &[
    "HELO", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP",
];

/// Extensions that a list may have.
pub const EXTENSIONS_KNOWN: &[&str] = &[
    "PIPELINING",
    "SIZE",
    "8BITMIME",
    "BINARYMIME",
    "CHUNKING",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "SMTPUTF8",
    "STARTTLS",
    "AUTH",
    "REQUIRETLS",
];

/// `access.inspection.verbs`
pub static VERBS: Setting = Setting {
    name: "access.inspection.verbs",
    tab: Tab::Access,
    label: "Command inspection: verbs, and the greatest length of a line with each",
    unit: Unit::Verbs,
    default: Preset::Follows("all, each as long as docs/limits.md says"),
    range: Range::Between(6, 12_288),
    help: "Octets of the whole line with its end, as `verbs = { EHLO = 255, MAIL = 512, RCPT = 512, DATA = 6, QUIT = 6 }`. A verb that is not \
listed gets 502 5.5.1, a longer line 500 5.5.2; extensions that need a verb which is not listed are not offered. EHLO or \
HELO, MAIL, RCPT, DATA or BDAT, and QUIT must be there. AUTH is the line with the verb, not those that follow it.",
};

/// `access.inspection.extensions`
pub static EXTENSIONS: Setting = Setting {
    name: "access.inspection.extensions",
    tab: Tab::Access,
    label: "Command inspection: extensions",
    unit: Unit::List(&Unit::Text, 20),
    default: Preset::Follows("all that the program has"),
    range: Range::Any,
    help: "What EHLO offers: some of PIPELINING, SIZE, 8BITMIME, BINARYMIME, CHUNKING, DSN, ENHANCEDSTATUSCODES, SMTPUTF8, STARTTLS, \
AUTH, REQUIRETLS. Commands and parameters of an extension that is not listed are refused. `[]` leaves plain SMTP.",
};

/// What is there; `None`: everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inspection {
    /// The verbs.
    pub verbs: Option<Vec<AllowedVerb>>,
    /// The extensions' keywords, in capitals.
    pub extensions: Option<Vec<&'static str>>,
}

impl Inspection {
    /// The same in the words of the session machine.
    #[must_use]
    pub fn rules(&self) -> smtp::server::Inspection {
        let (verbs, extensions) = (self.verbs.as_ref(), self.extensions.as_ref());
        smtp::server::Inspection {
            verbs: verbs.map(|list| list.iter().map(|allowed| (allowed.verb.into(), allowed.line_max)).collect()),
            extensions: extensions.map(|list| list.iter().map(|keyword| (*keyword).into()).collect()),
        }
    }
}

/// A verb and the greatest length of its line.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AllowedVerb {
    /// In capitals.
    pub verb: &'static str,
    /// Octets, the end of the line among them.
    pub line_max: u32,
}

pub(super) fn read(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Inspection {
    Inspection { verbs: verbs(reader, table), extensions: extensions(reader, table) }
}

fn verbs(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Option<Vec<AllowedVerb>> {
    let value = table.get(VERBS.key())?;
    let DeValue::Table(entries) = value.get_ref() else {
        let hint = "write { EHLO = 255, MAIL = 512, RCPT = 512, DATA = 6, RSET = 6, QUIT = 6 }";
        reader.problems.note(value.span(), "`access.inspection.verbs` is no table of verbs", hint);
        return None;
    };
    let mut verbs: Vec<AllowedVerb> = Vec::new();
    for (key, value) in entries {
        let upper = key.get_ref().to_ascii_uppercase();
        let known = VERBS_KNOWN.iter().find(|verb| **verb == upper);
        let line_max = reader.quantity(value, &VERBS, Unit::Count).and_then(|n| u32::try_from(n).ok());
        match (known, line_max) {
            (None, _) => {
                let text = format!("{:?} is no verb that can be listed", &**key.get_ref());
                reader.problems.note(key.span(), text, format!("those that can are {}", VERBS_KNOWN.join(", ")));
            }
            (Some(verb), _) if verbs.iter().any(|listed| listed.verb == *verb) => {
                reader.problems.note(key.span(), format!("{verb} stands twice"), "leave one of them");
            }
            (Some(verb), Some(line_max)) => verbs.push(AllowedVerb { verb, line_max }),
            (Some(_), None) => {}
        }
    }
    let has = |verb: &str| entries.iter().any(|(key, _)| key.get_ref().eq_ignore_ascii_case(verb));
    for needed in [&["EHLO", "HELO"][..], &["MAIL"], &["RCPT"], &["DATA", "BDAT"], &["QUIT"]] {
        if !needed.iter().any(|verb| has(verb)) {
            let text = format!("without {} nobody can hand in a message", needed.join(" or "));
            reader.problems.note(value.span(), text, format!("add {}, or leave `verbs` out", needed.join(" or ")));
        }
    }
    Some(verbs)
}

fn extensions(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Option<Vec<&'static str>> {
    let items = reader.items(table, &EXTENSIONS, false)?;
    let mut extensions = Vec::new();
    for item in items {
        let Some(text) = reader.text_of(item, &EXTENSIONS, Unit::Text) else { continue };
        match EXTENSIONS_KNOWN.iter().find(|known| known.eq_ignore_ascii_case(text.value)) {
            Some(known) if extensions.contains(known) => {
                reader.problems.note(text.span, format!("{known} stands twice"), "leave one of them");
            }
            Some(known) => extensions.push(*known),
            None => {
                let problem = format!("{:?} is no extension that can be listed", text.value);
                let hint = format!("those that can are {}", EXTENSIONS_KNOWN.join(", "));
                reader.problems.note(text.span, problem, hint);
            }
        }
    }
    let needs = |extension, base| extensions.contains(&extension) && !extensions.contains(&base);
    if needs("BINARYMIME", "CHUNKING") {
        let hint = "add CHUNKING, or leave BINARYMIME out";
        reader.problems.note(table.span_of(&EXTENSIONS), "BINARYMIME needs CHUNKING (RFC 3030)", hint);
    }
    Some(extensions)
}

//! Secrets that somebody wrote into a text or a command where they do not belong, hidden before it is shown or written down.

use super::place_of_secret;
use crate::admin::{Change, Command};

/// The text, or a difference of texts, with asterisks for what follows a key that sounds like a secret and is no place of one.
#[must_use]
pub fn conceal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(sign) = rest.find('=') {
        let (before, after) = rest.split_at(sign + 1);
        out.push_str(before);
        rest = after;
        let key = before[..sign].trim_end().trim_end_matches(['"', '\'']);
        let key = key.rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next().unwrap_or_default();
        let value = after.trim_start_matches([' ', '\t']);
        let is_text = value.starts_with(['"', '\'']);
        if !is_text || !crate::config::problem::sounds_secret(key) {
            continue;
        }
        let blank = after.len() - value.len();
        let end = blank + text_end(value);
        out.push_str(&after[..blank]);
        out.push_str("\"***\"");
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

/// The command as it may be written down: with the places of secrets, and without what somebody put there instead.
#[must_use]
pub fn presentable(command: &Command) -> Command {
    let mut command = command.clone();
    let changes = match &mut command {
        Command::Set { changes, .. } | Command::DomainSet { changes, .. } | Command::SmartHostSet { changes, .. } => {
            changes
        }
        Command::DomainAdd { new, .. } => &mut new.changes,
        _ => return command,
    };
    changes.iter_mut().for_each(hide);
    command
}

fn hide(change: &mut Change) {
    let Some(value) = &mut change.value else { return };
    let key = change.setting.rsplit('.').next().unwrap_or(&change.setting);
    *value = if crate::config::problem::sounds_secret(key) { place_of_secret(value) } else { conceal(value) };
}

/// Where the text ends that begins here.
fn text_end(value: &str) -> usize {
    for fence in ["\"\"\"", "'''"] {
        if let Some(inner) = value.strip_prefix(fence) {
            return inner.find(fence).map_or(value.len(), |end| end + 6);
        }
    }
    let quote = value.chars().next().unwrap_or('"');
    let mut escaped = false;
    for (at, sign) in value.char_indices().skip(1) {
        match sign {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            sign if sign == quote => return at + 1,
            _ => {}
        }
    }
    value.len()
}

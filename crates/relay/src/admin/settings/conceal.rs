//! Secrets that somebody wrote into a text where they do not belong, hidden before the text is shown.

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

//! What is wrong with the configuration, where, and what to write instead.
//!
//! All problems of a file are collected ([`Problems`]), up to [`PROBLEMS_MAX`], and handed out in the file's order; a reader that finds a
//! fault notes it and goes on with the default, so that one run of `mailroot check` shows everything. Drawing is
//! left to the compiler's own renderer, without colours: the daemon's log and a terminal get the same text. A secret that somebody wrote into
//! the file, where it does not belong, is drawn as asterisks, whichever fault its line is drawn for.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// Problems that are kept; of further ones only the number is told.
pub const PROBLEMS_MAX: usize = 50;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The configuration file.
    pub path: Box<str>,
    /// Octets of the source that are meant.
    pub span: Range<usize>,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub text: Box<str>,
    /// What to write instead; may be empty.
    pub hint: Box<str>,
    /// Another place that has to do with it, and what is there.
    pub related: Option<(Range<usize>, Box<str>)>,
    /// Octets of the source that nobody may see.
    pub hidden: Arc<[Range<usize>]>,
}

impl Problem {
    /// The problem as the compiler would draw it, with the line, a caret and the help below; ends with a line end.
    ///
    /// `source` is the text that was parsed; with another text the drawing falls back to one line.
    #[must_use]
    pub fn render(&self, source: &str) -> String {
        let fits = |span: &Range<usize>| source.get(span.clone()).is_some();
        if !fits(&self.span) || !self.related.as_ref().is_none_or(|(span, _)| fits(span)) {
            return format!("error: {self}\n");
        }
        let source = masked(source, &self.hidden);
        let mut snippet =
            Snippet::source(&*source).path(&*self.path).annotation(AnnotationKind::Primary.span(self.span.clone()));
        if let Some((span, label)) = &self.related {
            snippet = snippet.annotation(AnnotationKind::Context.span(span.clone()).label(&**label));
        }
        let mut group: Group<'_> = Level::ERROR.primary_title(&*self.text).element(snippet);
        if !self.hint.is_empty() {
            group = group.element(Level::HELP.message(&*self.hint));
        }
        let mut drawing = Renderer::plain().render(&[group]);
        drawing.push('\n');
        drawing
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.path, self.line, self.column, self.text)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

/// The problems found so far.
pub(super) struct Problems<'s> {
    source: &'s str,
    path: &'s str,
    found: Vec<Problem>,
    beyond: usize,
    hidden: Vec<Range<usize>>,
}

impl<'s> Problems<'s> {
    pub(super) fn new(source: &'s str, path: &'s str) -> Problems<'s> {
        Problems { source, path, found: Vec::new(), beyond: 0, hidden: Vec::new() }
    }

    /// Notes a problem: what is wrong, and what to write instead.
    pub(super) fn note(&mut self, span: Range<usize>, text: impl Into<Box<str>>, hint: impl Into<Box<str>>) {
        self.add(span, text.into(), hint.into(), None);
    }

    /// The same, with another place that it clashes with.
    pub(super) fn clash(
        &mut self,
        span: Range<usize>,
        text: impl Into<Box<str>>,
        hint: impl Into<Box<str>>,
        related: Option<(Range<usize>, &str)>,
    ) {
        self.add(span, text.into(), hint.into(), related.map(|(span, label)| (span, label.into())));
    }

    fn add(&mut self, span: Range<usize>, text: Box<str>, hint: Box<str>, related: Option<(Range<usize>, Box<str>)>) {
        if self.found.len() == PROBLEMS_MAX {
            self.beyond += 1;
            return;
        }
        let before = self.source.get(..span.start).unwrap_or(self.source);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let hidden = Arc::default();
        self.found.push(Problem { path: self.path.into(), span, line, column, text, hint, related, hidden });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Hides what stands where a secret's place should: the texts of keys that sound like one.
    pub(super) fn hide_secrets(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            match value.get_ref() {
                DeValue::String(_) if sounds_secret(key.get_ref()) => self.hidden.push(value.span()),
                DeValue::Array(items) => items.iter().for_each(|item| match item.get_ref() {
                    DeValue::Table(table) => self.hide_secrets(table),
                    DeValue::String(_) if sounds_secret(key.get_ref()) => self.hidden.push(item.span()),
                    _ => {}
                }),
                DeValue::Table(table) => self.hide_secrets(table),
                _ => {}
            }
        }
    }

    /// The same in a text that is no TOML: what follows such a key, up to the end of its line.
    pub(super) fn hide_secret_lines(&mut self) {
        let mut start = 0;
        for line in self.source.split_inclusive('\n') {
            let mut at = 0;
            while let Some(sign) = line[at..].find('=').map(|sign| at + sign) {
                let before = line[at..sign].trim_end().trim_end_matches(['"', '\'']);
                let key = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next();
                if key.is_some_and(sounds_secret) {
                    self.hidden.push(start + sign + 1..start + line.trim_end().len());
                    break;
                }
                at = sign + 1;
            }
            start += line.len();
        }
    }

    /// In the file's order; what came above the bound is one problem at the end.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        let hidden: Arc<[Range<usize>]> = self.hidden.into();
        self.found.iter_mut().for_each(|problem| problem.hidden = Arc::clone(&hidden));
        self.found.sort_by_key(|problem| problem.span.start);
        if let (1.., Some(last)) = (self.beyond, self.found.last().cloned()) {
            let text = format!("{} more problems are not shown", self.beyond).into();
            self.found.push(Problem { text, hint: "mend these first".into(), related: None, ..last });
        }
        self.found
    }
}

/// Does a key of this name, however it is misspelt, have a secret for a value rather than the place of one?
pub(crate) fn sounds_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let is_place = key.ends_with("_file") || key.ends_with("_endpoint");
    !is_place && ["pas", "pwd", "secret", "refresh", "token"].iter().any(|part| key.contains(part))
}

/// The source with asterisks for what nobody may see; lines and columns stay.
fn masked<'s>(source: &'s str, hidden: &[Range<usize>]) -> Cow<'s, str> {
    let mut masked = Cow::Borrowed(source);
    for span in hidden {
        let Some(secret) = source.get(span.clone()) else { continue };
        // Of the same octets, so that every span still fits.
        let stars: String =
            secret.chars().map(|c| if c == '\n' { "\n".to_owned() } else { "*".repeat(c.len_utf8()) }).collect();
        masked.to_mut().replace_range(span.clone(), &stars);
    }
    masked
}

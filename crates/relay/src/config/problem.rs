//! What is wrong with the configuration, where, and what to write instead.
//!
//! All problems of a file are collected ([`Problems`]), up to [`PROBLEMS_MAX`], and handed out in the file's order; a reader that finds a
//! fault notes it and goes on with the default, so that one run of `mailroot check` shows everything. Drawing is
//! left to the compiler's own renderer, without colours: the daemon's log and a terminal get the same text.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

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
        let mut snippet =
            Snippet::source(source).path(&*self.path).annotation(AnnotationKind::Primary.span(self.span.clone()));
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
}

impl<'s> Problems<'s> {
    pub(super) fn new(source: &'s str, path: &'s str) -> Problems<'s> {
        Problems { source, path, found: Vec::new(), beyond: 0 }
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
        self.found.push(Problem { path: self.path.into(), span, line, column, text, hint, related });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// In the file's order; what came above the bound is one problem at the end.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.span.start);
        if let (1.., Some(last)) = (self.beyond, self.found.last().cloned()) {
            let text = format!("{} more problems are not shown", self.beyond).into();
            self.found.push(Problem { text, hint: "mend these first".into(), related: None, ..last });
        }
        self.found
    }
}

//! Pages: views in, HTML out; forms in, commands out. No I/O, no clock, nothing but [`relay::admin`].
//!
//! Each page is a struct with its template beside it (`templates/*.html`, on [`layout`]); whoever serves it fills in views and
//! writes what comes out. A stranger's text (subject, HELO name, reply, file name) is escaped where it is printed, always:
//! no template marks anything as safe. Pages have no script and no style within them, so that a browser may be told
//! to run none ([`asset`]); they work without any script, which only keeps what moves up to date.
//!
//! IIS: what IIS Manager showed, as pages.

pub mod asset;
mod confirm;
pub mod desk;
pub mod door;
pub mod form;
pub mod layout;
pub mod live;
pub mod path;
pub mod words;

pub use asset::asset;
pub use confirm::Confirm;

/// What is written out as a page.
pub trait Page {
    /// The whole of it.
    fn html(&self) -> String;

    /// The part of it that moves, for a script that asks once a second at most; the whole where nothing does.
    fn live(&self) -> String {
        self.html()
    }
}

/// A template writes to a string, which does not fail.
fn written(html: askama::Result<String>) -> String {
    html.unwrap_or_else(|fault| format!("This page could not be written: {fault}"))
}

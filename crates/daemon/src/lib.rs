//! Deeds: sockets, clocks, disks, signals; the program `mailroot` is [`cli::main`] and nothing else.
//!
//! Whatever decides lives in `relay`, whatever speaks SMTP lives in `smtp`; here their values are carried out. The
//! crate is a library only so that tests and benchmarks can reach its rooms; it promises nothing to other programs.
//!
//! *Coming in*: [`cli`] reads the command line, [`service`] starts and stops the whole, [`listen`] accepts connections,
//! [`inbound`] drives one session each, [`desk`] answers its questions, [`tls`] encrypts what it says.
//!
//! *Going out*: [`outbound`] drives the connections to other servers, [`dns`] finds them, [`oauth`] obtains the tokens that
//! they want, [`secret`] reads a password where it lies, [`policy`] knows what domains publish about TLS.
//!
//! *Between them*: [`store`] keeps what was accepted on disk, through [`files`].
//!
//! *By the folders*: [`watch`] hands in what lies in Pickup, [`local`] writes into Drop and Badmail.
//!
//! *Who is it*: [`auth`] proves it, with passwords, keys and tokens.
//!
//! *Who is connected*: [`sessions`], to be looked at and to be ended.
//!
//! *Above them*: [`control`] shows operators what runs, and carries out what they want; [`explain`] says what would be taken.
//!
//! *Beside them*: [`beside`] makes what a recipe needs, [`https`] fetches small documents, [`certificate`] makes, obtains and lists certificates, [`log`] writes what happened, [`counters`] counts it, [`clock`] tells the time.

pub mod auth;
pub mod beside;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod control;
pub mod counters;
pub mod desk;
pub mod dns;
pub mod explain;
pub mod files;
pub mod https;
mod hush;
pub mod inbound;
pub mod listen;
pub mod local;
pub mod log;
pub mod oauth;
pub mod outbound;
pub mod policy;
mod queue_thread;
mod reporter;
pub mod runtime;
pub mod secret;
pub mod service;
pub mod sessions;
mod standing;
pub mod store;
pub mod tls;
pub mod watch;
pub mod web;

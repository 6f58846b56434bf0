//! The relay seen from outside: the built program, run as an operator runs it, among clients and servers that others wrote.
//!
//! All on loopback, each test on addresses of its own. The modules `with_*` and `as_root` need something of the machine
//! (`./test.sh` installs it, or names them as skipped); the others need nothing but the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod account;
mod as_root;
mod badmail;
mod certificate;
mod console;
mod contents;
mod counters;
mod crash;
mod delivery;
mod explain;
mod faults;
mod gate;
mod harness;
mod helps;
mod life;
mod operate;
mod outbound;
mod policy;
mod process;
mod recipes;
mod retry;
mod route;
mod sessions;
mod states;
mod with_bind;
mod with_chromium;
mod with_clients;
mod with_dovecot;
mod with_idp;
#[cfg(feature = "kerberos")]
mod with_kerberos;
mod with_postfix;
mod with_spnego;

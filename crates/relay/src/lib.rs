//! Decisions: what the operator wants, who may send, where a message goes, what an outcome means; and the durable queue.
//!
//! Nothing here asks the time, opens a socket or starts a thread; everything durable passes through [`disk::Disk`].

pub mod account;
pub mod admin;
pub mod advice;
pub mod badmail;
pub mod channel;
pub mod config;
pub mod counter;
pub mod disk;
pub mod domain;
pub mod drop;
pub mod envelope;
pub mod explain;
pub mod gate;
pub mod notice;
pub mod parcel;
pub mod pickup;
pub mod queue;
pub mod rate;
pub mod reason;
pub mod record;
pub mod retry;
pub mod route;
pub mod scheduler;
pub mod settle;
pub mod spool;
pub mod subject;

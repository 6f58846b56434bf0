//! The Mailroot folders: what Pickup takes, what Drop and Badmail hold.

mod badmail;
mod drop;
pub mod golden;
mod pickup;

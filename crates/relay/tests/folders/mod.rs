//! The Mailroot folders: what Pickup takes, what Drop and Badmail hold.

mod badmail;
pub mod drop;
pub mod golden;
mod pickup;

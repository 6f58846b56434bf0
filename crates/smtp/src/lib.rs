//! Words: SMTP octets to values and back.
//!
//! Both session machines ([`server`], [`client`]), the grammar they speak, and message text (headers, reports).
//! No sockets, no clock, no runtime, no policy: time is an argument, and what needs a decision is asked.

pub mod address;
pub mod body;
pub mod client;
pub mod command;
pub mod convert;
pub mod extension;
pub mod header;
pub mod line;
pub mod minutes;
pub mod reply;
pub mod report;
pub mod sasl;
pub mod server;
pub mod time;

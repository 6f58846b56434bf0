//! Message headers: where they end, which fields they have, how often the message was relayed, and the lines we add.
//!
//! What comes in may be any junk: nothing here recurses, allocates by what a peer announces, or takes more than time
//! in proportion to the octets. Fields are found and left out or added whole; a field that is kept is kept octet for
//! octet. Nothing here decides who receives a message: [`addresses`] reads an address field for Pickup, which does.
//!
//! RFC 5322 §2.2, §3.4, §3.6; RFC 5321 §4.4; RFC 3848 and RFC 6531 §4.3 (protocol keywords).

mod addresses;
mod field;
mod revise;
mod trace;

pub use addresses::{Addresses, addresses};
pub use field::{Field, Fields, Header, count_hops, scan};
pub use revise::{Changes, Mask, Revised, revise};
pub use trace::{ReceivedBy, With, missing, original_arrival_time, received, received_from_pickup, return_path};

//! A program that was built without Kerberos: it says so where GSSAPI is wanted. The other side of [`super::ticket`], which is
//! compiled with the feature `kerberos`.

use std::fmt;
use std::path::Path;

/// Why a ticket does not get us in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TicketFault;

impl fmt::Display for TicketFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this program was built without Kerberos; build it with --features kerberos, or log on by another method",
        )
    }
}

impl std::error::Error for TicketFault {}

/// There is none, ever.
pub(super) enum Ticket {}

impl Ticket {
    pub(super) fn new(_: Option<&Path>, _: Option<&str>, _: &str) -> Result<Ticket, TicketFault> {
        Err(TicketFault)
    }

    pub(super) async fn start(self) -> Result<(Ticket, Vec<u8>), TicketFault> {
        match self {}
    }

    pub(super) async fn respond(self, _: Vec<u8>) -> Result<(Ticket, Vec<u8>), TicketFault> {
        match self {}
    }

    pub(super) fn finish(&self) -> Result<(), TicketFault> {
        match *self {}
    }
}

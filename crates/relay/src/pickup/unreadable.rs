//! Why a pickup file is put into Badmail instead of being sent: for the `.BDR` file, the log and the counters.
//!
//! Each reason says what is wrong in words and what to write instead. The old service had one code for all of them,
//! [`PICKUP_CODE`], and no words.
//!
//! IIS: "Badmailed Messages (Bad Pickup File)", "(No Recipients)", "(Hop Count Exceeded)"; `.BDR` 0xC00402CE.

use crate::badmail::BadmailReason;
use smtp::address::AddressError;
use std::fmt;

/// The code that the old service gave for a pickup file that it could not process.
pub const PICKUP_CODE: u32 = 0xC004_02CE;

/// Why a pickup file cannot be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// Nothing in it.
    Empty,
    /// It begins as UTF-16 does.
    Utf16,
    /// It begins with the mark that some editors put before UTF-8 text.
    ByteOrderMark,
    /// A NUL in this line: not text.
    Nul {
        /// Counted from 1.
        line: u64,
    },
    /// A carriage return without a line feed in this line.
    BareCr {
        /// Counted from 1.
        line: u64,
    },
    /// The header does not end within [`crate::pickup::HEADER_MAX`] octets.
    HeaderTooLong,
    /// It does not begin with a header field.
    NoHeader,
    /// No `From` field.
    NoFrom,
    /// Neither an x-sender line nor a sender that could be taken from `Sender` or `From`.
    NoSender,
    /// Nobody to send it to.
    NoRecipients,
    /// More addresses than [`crate::pickup::RECIPIENTS_PER_FILE_MAX`].
    TooManyRecipients,
    /// An address that is none.
    BadAddress {
        /// The field that it stands in.
        field: Box<str>,
        /// As it stands there, cleaned and cut.
        address: Box<str>,
        /// What is wrong with it.
        error: AddressError,
    },
    /// Over the limit for messages.
    TooLarge {
        /// The limit in octets.
        max: u64,
    },
    /// More `Received` fields than allowed: it goes round in circles.
    TooManyHops {
        /// How many it has.
        hops: u32,
        /// How many it may have.
        max: u32,
    },
    /// It was read and sent; then somebody went on writing to it.
    WrittenTo,
}

impl Unreadable {
    /// The counter that it belongs to.
    #[must_use]
    pub fn reason(&self) -> BadmailReason {
        match self {
            Self::NoRecipients => BadmailReason::NoRecipients,
            Self::TooManyHops { .. } => BadmailReason::HopCountExceeded,
            _ => BadmailReason::BadPickupFile,
        }
    }

    /// The code for the `.BDR` file.
    #[must_use]
    pub fn code(&self) -> u32 {
        PICKUP_CODE
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("The file is empty."),
            Self::Utf16 => f.write_str("The file is UTF-16 text; save it as ASCII, or as UTF-8 without a byte order mark."),
            Self::ByteOrderMark => {
                f.write_str("The file begins with a byte order mark; save it as ASCII, or as UTF-8 without that mark.")
            }
            Self::Nul { line } => write!(f, "Line {line} has a NUL octet: the file is not text."),
            Self::BareCr { line } => {
                write!(f, "Line {line} has a carriage return without a line feed; end lines with CR LF or with LF.")
            }
            Self::HeaderTooLong => {
                write!(f, "The header does not end within {} octets; an empty line must follow it.", super::HEADER_MAX)
            }
            Self::NoHeader => {
                f.write_str("The file does not begin with header fields such as From: and To:, each on a line of its own.")
            }
            Self::NoFrom => f.write_str("The header has no From field; add one, such as From: user@example.com."),
            Self::NoSender => f.write_str(
                "There is no sender: write an x-sender line first (x-sender: <> for none), or an address in the From field.",
            ),
            Self::NoRecipients => f.write_str(
                "There are no recipients: write x-receiver lines first, or addresses in the To, Cc or Bcc fields.",
            ),
            Self::TooManyRecipients => write!(
                f,
                "The file has more than {} recipients; split it into several files.",
                super::RECIPIENTS_PER_FILE_MAX
            ),
            Self::BadAddress { field, address, error } => {
                write!(f, "The {field} address \"{address}\" is not valid: {error}. Nothing was sent to anybody.")
            }
            Self::TooLarge { max } => write!(f, "The message is over the limit of {max} octets (messages.size_max)."),
            Self::TooManyHops { hops, max } => write!(
                f,
                "The message has {hops} Received fields and may have {max} (delivery.hop_count_max): it goes round in circles."
            ),
            Self::WrittenTo => f.write_str(
                "Somebody wrote to the file after it had been read and sent, so what was sent may lack its end. Compare, and \
                 write under a name that begins with a dot, or in another folder, until the file is complete.",
            ),
        }
    }
}

impl std::error::Error for Unreadable {}

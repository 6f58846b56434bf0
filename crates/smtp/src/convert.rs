//! Content of octets into 7-bit lines, for a next hop without 8BITMIME or BINARYMIME.
//!
//! Each part of a MIME message that needs it is encoded in quoted-printable or base64, within nested multiparts and
//! messages too; everything else stays octet for octet. Where the standards do not allow it, for signed and encrypted
//! parts, for octets beyond ASCII in a header, for structure that cannot be followed, the answer is why not, and the
//! message is returned to its sender instead. A DKIM signature over the body does not survive any conversion; the
//! standards accept that (RFC 6376 §5.3), and a next hop of today offers 8BITMIME.
//!
//! RFC 6152 §3; RFC 3030 §4.2; RFC 2045 §6; RFC 2046 §5; RFC 1847 §2.1 (signed parts); RFC 1428 (text without MIME).

pub(crate) mod encode;
mod entity;

pub use entity::to_seven_bit;

use crate::reply::EnhancedStatus;
use std::fmt;

/// Why content cannot be converted.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Unconvertible {
    /// A header has octets beyond ASCII, or NUL, or a lone CR or LF.
    Header,
    /// Within a part that is signed or encrypted, in which nothing may change.
    Sealed,
    /// A part that may not be encoded, or says that it is encoded already, has octets beyond its encoding.
    Encoded,
    /// A multipart's structure cannot be followed: no boundary, or its parts cannot be found.
    Structure,
    /// Parts within parts deeper than [`DEPTH_MAX`].
    TooDeep,
}

/// Parts within parts that are followed.
pub const DEPTH_MAX: usize = 50;

impl Unconvertible {
    /// The status for the report: conversion is needed but not allowed, or not possible (RFC 3463 §3.7).
    #[must_use]
    pub fn status(self) -> EnhancedStatus {
        match self {
            Unconvertible::Sealed => EnhancedStatus(5, 6, 2),
            _ => EnhancedStatus(5, 6, 3),
        }
    }
}

impl fmt::Display for Unconvertible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The next mail server takes 7-bit lines only, and the message cannot be converted: ")?;
        f.write_str(match self {
            Self::Header => "its header is not ASCII.",
            Self::Sealed => "it is signed or encrypted.",
            Self::Encoded => "a part of it holds octets that its encoding does not allow.",
            Self::Structure => "its parts cannot be told apart.",
            Self::TooDeep => "its parts are nested too deeply.",
        })
    }
}

impl std::error::Error for Unconvertible {}

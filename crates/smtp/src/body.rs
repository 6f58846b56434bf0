//! Dot machine and BDAT: where a message ends, what it holds. Refuses a bare CR or LF.

/// What to do with a bare LF in commands and content (`general.bare_newlines`).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum BareNewlines {
    /// Refuse the message.
    #[default]
    Reject,
    /// Turn a bare LF into CRLF, for old devices; CR and NUL are refused all the same.
    Normalize,
}

//! How a session came to its end, as the driver and the log tell it.

/// Why a session ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Closing {
    /// The peer said QUIT.
    Quit,
    /// The peer closed the connection.
    PeerClosed,
    /// The peer was too slow.
    TimedOut,
    /// The peer was refused at its connection.
    Refused,
    /// A limit was reached.
    Limit,
    /// The peer broke the protocol in a way that leaves no safe way on, or does not speak it.
    Protocol,
    /// TLS could not be begun, or broke.
    Tls,
    /// We shut down.
    Drained,
    /// An operator ended it.
    Ended,
}

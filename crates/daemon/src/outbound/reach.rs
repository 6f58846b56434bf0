//! A candidate → an open connection, or why not.

use super::candidates::{Address, Candidate};
use super::wire::Wire;
use super::words;
use relay::envelope::Failure;
use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// How long the only host may take to answer the call.
pub(super) const CONNECT_ALONE: Duration = Duration::from_secs(30);
/// How long, when there are others to try.
pub(super) const CONNECT_AMONG_OTHERS: Duration = Duration::from_secs(10);

/// Connects. `timeout` is the operator's bound for an outbound connection that does nothing.
pub(super) async fn connect(candidate: &Candidate, has_others: bool, timeout: Duration) -> Result<Wire, Failure> {
    let wait = timeout.min(if has_others { CONNECT_AMONG_OTHERS } else { CONNECT_ALONE });
    match tokio::time::timeout(wait, open(&candidate.address)).await {
        Ok(Ok(wire)) => Ok(wire),
        Ok(Err(error)) => Err(words::not_connected(&error, &candidate.label)),
        Err(_) => Err(words::not_answered(wait, &candidate.label)),
    }
}

async fn open(address: &Address) -> io::Result<Wire> {
    match address {
        Address::Ip(address) => {
            let stream = TcpStream::connect(address).await?;
            // Commands and replies are small and waited for.
            stream.set_nodelay(true)?;
            Ok(Wire::Tcp(stream))
        }
        Address::Unix(path) => UnixStream::connect(path).await.map(Wire::Unix),
    }
}

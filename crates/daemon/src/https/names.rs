//! Who finds the addresses of those that are asked: the system, or our own name servers (`[dns]`).

use crate::dns::Resolver;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use relay::route::mx;
use smtp::address::Domain;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

/// See the module.
#[derive(Clone, Debug)]
pub(super) enum Names {
    /// As the tools of the system do.
    System(GaiResolver),
    /// Those of `[dns] servers`.
    Ours(Resolver),
}

type Found = Box<dyn Iterator<Item = SocketAddr> + Send>;

impl Service<Name> for Names {
    type Response = Found;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Found>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Names::System(system) => system.poll_ready(cx),
            Names::Ours(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Names::System(system) => {
                let found = system.call(name);
                Box::pin(async move { found.await.map(|found| Box::new(found) as Found) })
            }
            Names::Ours(resolver) => Box::pin(look_up(resolver.clone(), name)),
        }
    }
}

async fn look_up(resolver: Resolver, name: Name) -> io::Result<Found> {
    let name = Domain::parse(name.as_str()).map_err(|error| io::Error::other(error.to_string()))?;
    let addresses = resolver.addresses(&name).await;
    let failure = String::from(mx::unresolved(&addresses).text);
    let found = mx::interleave(addresses.v6.unwrap_or_default(), addresses.v4.unwrap_or_default());
    let found: Vec<_> = found.into_iter().filter(|ip| mx::is_usable(*ip)).take(mx::ADDRESSES_MAX).collect();
    if found.is_empty() {
        return Err(io::Error::other(failure));
    }
    // The port is the client's to set.
    Ok(Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0))))
}

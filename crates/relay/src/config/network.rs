//! Addresses and networks of the relay list.
//!
//! An IPv4 address that comes in IPv6 clothes (`::ffff:192.0.2.1`, as a dual-stack socket shows it) is IPv4, in rules as
//! in peers; without that, a rule could be walked around or opened by the choice of the socket (threats: relaying).

use super::Network;
use super::read::Fault;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl Network {
    /// Reads `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`.
    pub(super) fn parse(text: &str) -> Result<Network, Fault> {
        let text = text.trim();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            Fault::new(
                "it is no address and no network",
                "write an address, as \"192.0.2.1\", or a network, as \"192.0.2.0/24\" or \"2001:db8::/32\"",
            )
        })?;
        let most = bits(address);
        let prefix = match prefix {
            None => most,
            Some(prefix) => match (prefix.parse::<u8>(), address, prefix.parse::<Ipv4Addr>()) {
                (Ok(prefix), ..) if prefix <= most => prefix,
                (_, IpAddr::V4(_), Ok(mask)) => return Err(masked(address, mask)),
                _ => {
                    let hint = format!("write a number from 0 to {most} after the slash");
                    return Err(Fault::new("what follows the slash is no length of a network", hint));
                }
            },
        };
        let network = Network { address, prefix }.plain();
        if network.address != network.first() {
            let meant = Network { address: network.first(), ..network };
            let hint = format!("write \"{meant}\" for the network, or \"{}\" for the one host", network.address);
            return Err(Fault::new("the address has bits behind the network's length", hint));
        }
        Ok(network)
    }

    /// Does `peer` belong to it?
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        let host = Network { address: peer.to_canonical(), prefix: self.prefix };
        bits(host.address) == bits(self.address) && host.first() == self.address
    }

    /// Is `other` within this network?
    #[must_use]
    pub fn covers(&self, other: &Network) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// IPv4 in IPv6 clothes undressed.
    fn plain(self) -> Network {
        match (self.address, self.address.to_canonical()) {
            (IpAddr::V6(_), address @ IpAddr::V4(_)) if self.prefix >= 96 => {
                Network { address, prefix: self.prefix - 96 }
            }
            _ => self,
        }
    }

    /// The first address: all bits behind the prefix zero.
    fn first(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & mask).into()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == bits(self.address) {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The old dialogs took a subnet and a mask; the file takes a length.
fn masked(address: IpAddr, mask: Ipv4Addr) -> Fault {
    let bits = mask.to_bits();
    let text = "networks are written with a length, not with a mask";
    if bits.leading_ones() == bits.count_ones() {
        Fault::new(text, format!("write \"{address}/{}\"", bits.count_ones()))
    } else {
        Fault::new("the mask has a gap", "write a length after the slash, as \"192.0.2.0/24\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap_or_else(|fault| panic!("{text}: {}", fault.text))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn peers_are_matched_by_their_leading_bits() {
        for (rule, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
        ] {
            assert!(network(rule).contains(ip(inside)), "{rule} {inside}");
            assert!(!network(rule).contains(ip(outside)), "{rule} {outside}");
        }
    }

    #[test]
    fn ipv4_in_ipv6_clothes_is_ipv4() {
        assert!(network("10.0.0.0/8").contains(ip("::ffff:10.0.0.1")));
        assert!(!network("::/0").contains(ip("::ffff:10.0.0.1")));
        assert_eq!(network("::ffff:10.0.0.0/104"), network("10.0.0.0/8"));
        assert_eq!(network("::ffff:0:0/96"), network("0.0.0.0/0"));
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_was_meant() {
        for (text, hint) in [
            ("10.0.0.5/8", "\"10.0.0.0/8\" for the network"),
            ("10.0.0.0/255.0.0.0", "\"10.0.0.0/8\""),
            ("10.0.0.0/255.0.255.0", "a length after the slash"),
            ("10.0.0.0/33", "0 to 32"),
            ("2001:db8::/129", "0 to 128"),
            ("example.com", "an address"),
            ("10.0.0", "an address"),
            ("", "an address"),
        ] {
            let fault = Network::parse(text).err().unwrap_or_else(|| panic!("{text} was taken"));
            assert!(fault.hint.contains(hint), "{text}: {}", fault.hint);
        }
    }
}

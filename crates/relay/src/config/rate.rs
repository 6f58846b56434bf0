//! `[virtual_server.access.rate]`: how often one address, one network or one account may come.
//!
//! An IPv6 address counts with its /64, because a single machine has all of that; a network is an IPv4 /24 or an IPv6 /48.
//!
//! IIS had none; its administrators bought gateways for it.

use super::quantity::{self, QuantityError};
use super::read::{Fault, Reader, Table};
use super::settings::{self, Preset, Range, Setting, Tab, Unit};
use std::fmt;
use std::time::Duration;

const ALLOWED: Range = Range::BetweenOrUnlimited(1, 1_000_000);

/// `access.rate.connections_per_address`
pub static CONNECTIONS_PER_ADDRESS: Setting = Setting {
    name: "access.rate.connections_per_address",
    tab: Tab::Access,
    label: "Connections of one address",
    unit: Unit::Rate,
    default: Preset::Unlimited,
    range: ALLOWED,
    help: "Further connections get 421 4.7.0 until some time has passed; so many may come at once, and then again as time goes by. An IPv6 \
address counts with its /64. Peers of the relay list are not counted here.",
};

/// `access.rate.connections_per_network`
pub static CONNECTIONS_PER_NETWORK: Setting = Setting {
    name: "access.rate.connections_per_network",
    label: "Connections of one network",
    help: "The same for all addresses of an IPv4 /24 or an IPv6 /48 together.",
    ..CONNECTIONS_PER_ADDRESS
};

/// `access.rate.connections_at_once_per_address`
pub static CONNECTIONS_AT_ONCE_PER_ADDRESS: Setting = Setting {
    name: "access.rate.connections_at_once_per_address",
    tab: Tab::Access,
    label: "Connections of one address at the same time",
    unit: Unit::Count,
    default: Preset::Number(50),
    range: Range::BetweenOrUnlimited(1, 20_000),
    help: "Further ones get 421 4.7.0. Peers of the relay list are not counted here: a mail server or a web farm of one's own may open many. \
Without such a bound one address could hold all of `general.connections_max`.",
};

/// `access.rate.messages_per_address`
pub static MESSAGES_PER_ADDRESS: Setting = Setting {
    name: "access.rate.messages_per_address",
    label: "Messages of one address",
    help: "At a message more MAIL gets 450 4.7.1, and may be tried again when some time has passed. Peers of the relay list are counted too.",
    ..CONNECTIONS_PER_ADDRESS
};

/// `access.rate.messages_per_network`
pub static MESSAGES_PER_NETWORK: Setting = Setting {
    name: "access.rate.messages_per_network",
    label: "Messages of one network",
    help: "The same for all addresses of an IPv4 /24 or an IPv6 /48 together.",
    ..CONNECTIONS_PER_ADDRESS
};

/// `access.rate.messages_per_account`
pub static MESSAGES_PER_ACCOUNT: Setting = Setting {
    name: "access.rate.messages_per_account",
    label: "Messages of one account",
    help: "The same for whoever has authenticated, from all addresses together: a stolen password does less harm.",
    ..CONNECTIONS_PER_ADDRESS
};

/// So many in such a time.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Rate {
    /// How many; at least one.
    pub count: u32,
    /// In which time; at least a second.
    pub period: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.period.as_secs() {
            1 => write!(f, "{}/s", self.count),
            quantity::MINUTE => write!(f, "{}/min", self.count),
            quantity::HOUR => write!(f, "{}/h", self.count),
            quantity::DAY => write!(f, "{}/day", self.count),
            seconds => write!(f, "{}/{}", self.count, quantity::print_time(seconds)),
        }
    }
}

/// The rates of a virtual server; `None`: unlimited.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct RateLimits {
    /// Connections of an address.
    pub connections_per_address: Option<Rate>,
    /// Connections of a network.
    pub connections_per_network: Option<Rate>,
    /// Connections of an address at the same time.
    pub connections_at_once_per_address: Option<u32>,
    /// Messages of an address.
    pub messages_per_address: Option<Rate>,
    /// Messages of a network.
    pub messages_per_network: Option<Rate>,
    /// Messages of an account.
    pub messages_per_account: Option<Rate>,
}

pub(super) fn read(reader: &mut Reader<'_>, table: Table<'_, '_>) -> RateLimits {
    let mut one = |setting| rate(reader, table, setting);
    RateLimits {
        connections_per_address: one(&CONNECTIONS_PER_ADDRESS),
        connections_per_network: one(&CONNECTIONS_PER_NETWORK),
        messages_per_address: one(&MESSAGES_PER_ADDRESS),
        messages_per_network: one(&MESSAGES_PER_NETWORK),
        messages_per_account: one(&MESSAGES_PER_ACCOUNT),
        connections_at_once_per_address: reader
            .limit(table, &CONNECTIONS_AT_ONCE_PER_ADDRESS)
            .and_then(|most| u32::try_from(most).ok()),
    }
}

fn rate(reader: &mut Reader<'_>, table: Table<'_, '_>, setting: &'static Setting) -> Option<Rate> {
    let text = reader.text(table, setting)?;
    if quantity::is_unlimited(text.value.trim()) {
        return None;
    }
    reader.parsed(text, setting, |text| parse(text, setting)).map(|rate| rate.value)
}

/// Reads `60/min`, `100/10 min`, `5 / s`.
fn parse(text: &str, setting: &Setting) -> Result<Rate, Fault> {
    let hint = || "write a number and a time, as \"60/min\" or \"100/10 min\", or \"unlimited\"";
    let (count, period) = text.split_once('/').ok_or_else(|| Fault::new("its time is missing", hint()))?;
    let count: u32 = count
        .trim()
        .parse()
        .map_err(|_| Fault::new("it does not begin with a number of at most seven digits", hint()))?;
    let period = period.trim();
    // "per minute" has no number of its own.
    let seconds = match quantity::parse_time(period) {
        Err(QuantityError::NoNumber) => quantity::parse_time(&format!("1 {period}")),
        read => read,
    };
    let seconds = seconds.map_err(|error| Fault::new(format!("what follows the slash is no time: {error}"), hint()))?;
    if let Range::BetweenOrUnlimited(least, most) = setting.range
        && !(least..=most).contains(&u64::from(count))
    {
        let amount = |n| settings::amount(Unit::Count, n);
        return Err(Fault::new(
            "its number is out of its range",
            format!("write {} to {}", amount(least), amount(most)),
        ));
    }
    if seconds == 0 || seconds > quantity::DAY {
        return Err(Fault::new("its time is out of its range", "write a time from one second to one day"));
    }
    Ok(Rate { count, period: Duration::from_secs(seconds) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, count, seconds, printed) in [
            ("60/min", 60, 60, "60/min"),
            ("100/10 min", 100, 600, "100/10 min"),
            ("5 / s", 5, 1, "5/s"),
            ("1000/hour", 1_000, 3_600, "1000/h"),
            ("1/1 day", 1, 86_400, "1/day"),
        ] {
            let rate = parse(text, &CONNECTIONS_PER_ADDRESS).unwrap_or_else(|fault| panic!("{text}: {}", fault.text));
            assert_eq!((rate.count, rate.period.as_secs()), (count, seconds), "{text}");
            assert_eq!(rate.to_string(), printed);
            assert_eq!(parse(printed, &CONNECTIONS_PER_ADDRESS).ok(), Some(rate));
        }
        for (text, words) in [
            ("60", "time is missing"),
            ("/min", "number"),
            ("many/min", "number"),
            ("60/", "no time"),
            ("60/fortnight", "unit"),
            ("0/min", "range"),
            ("1000001/min", "range"),
            ("60/0 s", "range"),
            ("60/2 days", "range"),
            ("-1/min", "number"),
        ] {
            let fault = parse(text, &CONNECTIONS_PER_ADDRESS).err().unwrap_or_else(|| panic!("{text} was taken"));
            assert!(fault.text.contains(words), "{text}: {}", fault.text);
        }
    }
}

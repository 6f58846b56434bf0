//! Sizes and times as people write them: `2 MB`, `15 min`, `unlimited`.
//!
//! A kilobyte has 1,024 octets, as in the dialogs of the old service, whether it is written `KB` or `KiB`. A number may
//! have a fraction (`1.5 h`); what is left of an octet or a second is dropped. Printing gives the shortest text
//! that reads back to the same number.

use std::fmt;

/// Octets in a kilobyte.
pub const KB: u64 = 1_024;
/// Octets in a megabyte.
pub const MB: u64 = 1_024 * KB;
/// Octets in a gigabyte.
pub const GB: u64 = 1_024 * MB;
/// Octets in a terabyte.
pub const TB: u64 = 1_024 * GB;
/// Seconds in a minute.
pub const MINUTE: u64 = 60;
/// Seconds in an hour.
pub const HOUR: u64 = 60 * MINUTE;
/// Seconds in a day.
pub const DAY: u64 = 24 * HOUR;
/// Seconds in a week.
pub const WEEK: u64 = 7 * DAY;

/// Units of size: how they are written (in lower case) and how many octets they have.
const SIZES: &[(&[&str], u64)] = &[
    (&["b", "byte", "bytes", "octet", "octets"], 1),
    (&["kb", "kib", "k"], KB),
    (&["mb", "mib", "m"], MB),
    (&["gb", "gib", "g"], GB),
    (&["tb", "tib", "t"], TB),
];

/// Units of time: how they are written and how many seconds they have.
const TIMES: &[(&[&str], u64)] = &[
    (&["s", "sec", "second", "seconds"], 1),
    (&["min", "minute", "minutes", "m"], MINUTE),
    (&["h", "hour", "hours"], HOUR),
    (&["d", "day", "days"], DAY),
    (&["week", "weeks", "w"], WEEK),
];

/// Why a text is no size or time.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum QuantityError {
    /// It does not begin with a number.
    NoNumber,
    /// The number stands alone.
    NoUnit,
    /// The unit is none of ours.
    UnknownUnit,
    /// More than 64 bits can hold.
    TooLarge,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNumber => "it does not begin with a number",
            Self::NoUnit => "its unit is missing",
            Self::UnknownUnit => "its unit is not known",
            Self::TooLarge => "it is too large",
        })
    }
}

/// Reads `2 MB` as octets.
///
/// # Errors
/// What is wrong with it.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    parse(text, SIZES)
}

/// Reads `15 min` as seconds.
///
/// # Errors
/// What is wrong with it.
pub fn parse_time(text: &str) -> Result<u64, QuantityError> {
    parse(text, TIMES)
}

/// Is this the word for "no limit"?
#[must_use]
pub fn is_unlimited(text: &str) -> bool {
    text.eq_ignore_ascii_case("none") || text.eq_ignore_ascii_case("unlimited")
}

/// Octets as [`parse_size`] reads them.
#[must_use]
pub fn print_size(octets: u64) -> String {
    let (unit, name) = [(TB, "TB"), (GB, "GB"), (MB, "MB"), (KB, "KB")]
        .into_iter()
        .find(|(unit, _)| octets > 0 && octets.is_multiple_of(*unit))
        .unwrap_or((1, "octets"));
    format!("{} {name}", octets / unit)
}

/// Seconds as [`parse_time`] reads them.
#[must_use]
pub fn print_time(seconds: u64) -> String {
    // 48 hours are two days, but 24 hours and 60 seconds stay the words that people use for them.
    let (unit, name) = [(DAY, "days"), (HOUR, "h"), (MINUTE, "min")]
        .into_iter()
        .find(|(unit, _)| seconds > *unit && seconds.is_multiple_of(*unit) || seconds == HOUR && *unit == HOUR)
        .unwrap_or((1, "s"));
    match (seconds, seconds / unit) {
        (DAY, _) => "24 h".to_owned(),
        (_, n) => format!("{n} {name}"),
    }
}

fn parse(text: &str, units: &[(&[&str], u64)]) -> Result<u64, QuantityError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = digits(whole)?;
    let unit = unit.trim();
    if unit.is_empty() {
        return Err(QuantityError::NoUnit);
    }
    let factor = units
        .iter()
        .find(|(names, _)| names.iter().any(|name| unit.eq_ignore_ascii_case(name)))
        .ok_or(QuantityError::UnknownUnit)?
        .1;
    let mut amount = whole.checked_mul(factor).ok_or(QuantityError::TooLarge)?;
    if !fraction.is_empty() {
        // Six places are exact to the octet of a megabyte; more say nothing.
        let places = &fraction[..fraction.len().min(6)];
        let scale = 10u64.pow(u32::try_from(places.len()).unwrap_or(6));
        let part = digits(places)?.checked_mul(factor).ok_or(QuantityError::TooLarge)? / scale;
        amount = amount.checked_add(part).ok_or(QuantityError::TooLarge)?;
    } else if number.contains('.') {
        return Err(QuantityError::NoNumber);
    }
    Ok(amount)
}

fn digits(text: &str) -> Result<u64, QuantityError> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit()) {
        return Err(QuantityError::NoNumber);
    }
    plain.parse().map_err(|_| QuantityError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, octets) in [
            ("2 MB", 2_097_152),
            ("2MB", 2_097_152),
            ("2048 KB", 2_097_152),
            ("2048 KiB", 2_097_152),
            ("1.5 mb", 1_572_864),
            ("1 GB", 1_073_741_824),
            ("1_000 octets", 1_000),
            ("0 B", 0),
        ] {
            assert_eq!(parse_size(text), Ok(octets), "{text}");
        }
        for (text, error) in [
            ("", QuantityError::NoNumber),
            ("MB", QuantityError::NoNumber),
            ("-2 MB", QuantityError::NoNumber),
            ("2. MB", QuantityError::NoNumber),
            (".5 MB", QuantityError::NoNumber),
            ("1.2.3 MB", QuantityError::NoNumber),
            ("2", QuantityError::NoUnit),
            ("2 min", QuantityError::UnknownUnit),
            ("2 MB 3 KB", QuantityError::UnknownUnit),
            ("99999999999999999999 KB", QuantityError::TooLarge),
            ("18446744073709551615 KB", QuantityError::TooLarge),
        ] {
            assert_eq!(parse_size(text), Err(error), "{text}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("60 s", 60),
            ("15 min", 900),
            ("15 minutes", 900),
            ("4 h", 14_400),
            ("1.5 hours", 5_400),
            ("2 days", 172_800),
            ("1 day", 86_400),
            ("1 week", 604_800),
        ] {
            assert_eq!(parse_time(text), Ok(seconds), "{text}");
        }
        assert_eq!(parse_time("2 MB"), Err(QuantityError::UnknownUnit));
        assert_eq!(parse_time("10 ms"), Err(QuantityError::UnknownUnit));
    }

    #[test]
    fn what_is_printed_reads_back() {
        for (octets, text) in
            [(2 * MB, "2 MB"), (2_500 * KB, "2500 KB"), (1, "1 octets"), (0, "0 octets"), (GB, "1 GB")]
        {
            assert_eq!(print_size(octets), text);
            assert_eq!(parse_size(text), Ok(octets));
        }
        for (seconds, text) in [
            (60, "60 s"),
            (90, "90 s"),
            (900, "15 min"),
            (3_600, "1 h"),
            (14_400, "4 h"),
            (86_400, "24 h"),
            (172_800, "2 days"),
            (0, "0 s"),
        ] {
            assert_eq!(print_time(seconds), text);
            assert_eq!(parse_time(text), Ok(seconds));
        }
    }
}

//! Numbers as people read them: sizes, ages, times.
//!
//! Templates lend what they print; so a number comes in as itself or lent.

use std::borrow::Borrow;

/// Octets: `812 B`, `3.4 KB`, `12 MB` (1 KB = 1,024 octets).
#[must_use]
pub fn size(octets: impl Borrow<u64>) -> String {
    let (mut whole, mut rest) = (*octets.borrow(), 0);
    for unit in ["B", "KB", "MB", "GB"] {
        if whole < 1024 {
            return if unit == "B" || whole >= 10 {
                format!("{whole} {unit}")
            } else {
                format!("{whole}.{rest} {unit}")
            };
        }
        rest = whole % 1024 * 10 / 1024;
        whole /= 1024;
    }
    format!("{} TB", number(whole))
}

/// Seconds, by the two largest units: `12 s`, `4 min 10 s`, `3 h 5 min`, `2 d 4 h`.
#[must_use]
pub fn span(seconds: impl Borrow<u64>) -> String {
    let seconds = *seconds.borrow();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// `1,234,567`.
#[must_use]
pub fn number(number: impl Borrow<u64>) -> String {
    let digits = number.borrow().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 message`, `2 messages`.
#[must_use]
pub fn count(number: impl Borrow<u64>, one: &str, many: &str) -> String {
    let number = *number.borrow();
    if number == 1 { format!("1 {one}") } else { format!("{} {many}", self::number(number)) }
}

/// A time of RFC 3339 (UTC) for a page: `2026-11-28 03:07:59 UTC`; a script may show it in the browser's own zone.
#[must_use]
pub fn time(rfc3339: &str) -> String {
    match rfc3339.split_once('T') {
        Some((day, rest)) if rest.len() >= 8 && rest.is_char_boundary(8) => {
            let zone = if rest.ends_with('Z') { " UTC" } else { "" };
            format!("{day} {}{zone}", &rest[..8])
        }
        _ => rfc3339.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let all = [0_u64, 1023, 1024, 3_500, 20_480, 5 << 20, 3 << 40].map(size);
        assert_eq!(all, ["0 B", "1023 B", "1.0 KB", "3.4 KB", "20 KB", "5.0 MB", "3 TB"]);
    }

    #[test]
    fn spans() {
        let all = [0_u64, 59, 60, 250, 3_600, 11_100, 86_400, 187_300].map(span);
        assert_eq!(all, ["0 s", "59 s", "1 min", "4 min 10 s", "1 h", "3 h 5 min", "1 d", "2 d 4 h"]);
    }

    #[test]
    fn numbers_and_times() {
        assert_eq!([0_u64, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(1_u64, "message", "messages"), "1 message");
        assert_eq!(count(0_u64, "message", "messages"), "0 messages");
        assert_eq!(time("2026-11-28T03:07:59Z"), "2026-11-28 03:07:59 UTC");
        assert_eq!(time("2026-11-28T03:07:59.123Z"), "2026-11-28 03:07:59 UTC");
        assert_eq!(time("not a time"), "not a time");
    }
}

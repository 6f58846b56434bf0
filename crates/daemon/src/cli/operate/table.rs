//! Tables for people: columns as wide as their widest cell, and nothing in them that could steer a terminal.

use relay::admin::view::ContentView;

/// Characters of one cell; what is longer ends with `…`.
const CELL_MAX: usize = 60;

/// Rows below a head.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let width = |column: usize| {
        let longest = cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        longest.unwrap_or(0).max(head.get(column).map_or(0, |word| word.len()))
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = line(&widths, head.iter().copied());
    cells.iter().for_each(|row| out.push_str(&line(&widths, row.iter().map(String::as_str))));
    out
}

fn line<'a>(widths: &[usize], cells: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for (cell, width) in cells.zip(widths) {
        out.push_str(cell);
        let gap = width.saturating_sub(cell.chars().count()) + 2;
        out.extend(std::iter::repeat_n(' ', gap));
    }
    format!("{}\n", out.trim_end())
}

/// What a stranger chose, without line ends and control characters, and not too long.
pub(super) fn clean(text: &str) -> String {
    let mut out: String = text.chars().map(|c| if is_harmless(c) { c } else { '?' }).take(CELL_MAX + 1).collect();
    if out.chars().count() > CELL_MAX {
        out = out.chars().take(CELL_MAX - 1).collect();
        out.push('…');
    }
    out
}

/// Whole, unlike a cell, but harmless.
pub(super) fn printable(text: &str) -> String {
    text.split_inclusive(' ').map(clean).collect()
}

/// Text of a stranger on as many lines as it has, without what could steer the terminal.
pub(super) fn lines(text: &str) -> String {
    text.chars().map(|c| if is_harmless(c) || matches!(c, '\n' | '\t') { c } else { '?' }).collect()
}

/// What a message says.
pub(super) fn content(view: &ContentView, headers_only: bool) -> String {
    let mut out = String::new();
    for line in &view.headers {
        let name = lines(&line.name).replace('\n', "?");
        out.push_str(&format!("{name}: {}\n", lines(&line.value).replace('\n', "?")));
    }
    if headers_only {
        return out;
    }
    out.push('\n');
    out.push_str(&lines(&view.text));
    if !out.ends_with('\n') {
        out.push('\n');
    }
    for name in &view.attachments {
        out.push_str(&format!("[attachment: {}]\n", clean(name)));
    }
    if view.cut {
        out.push_str(&format!("[not all of its {} octets are shown]\n", view.size));
    }
    out
}

/// Neither a control character nor one that changes the direction of what follows.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A length of time in a few characters: `45s`, `12m`, `3h`, `2d`.
pub(super) fn short(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Octets in a few characters: `512`, `10K`, `2M`.
pub(super) fn octets(number: u64) -> String {
    match number {
        0..10_240 => format!("{number}"),
        10_240..10_485_760 => format!("{}K", number / 1_024),
        _ => format!("{}M", number / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_nothing_steers_the_terminal() {
        let rows = vec![vec!["a".into(), "\u{1b}[31mred\n".into()], vec!["longer".into(), "\u{202e}x".into()]];
        assert_eq!(table(&["ID", "WHAT"], &rows), "ID      WHAT\na       ?[31mred?\nlonger  ?x\n");
        assert_eq!(clean(&"x".repeat(100)).chars().count(), CELL_MAX);
        assert_eq!(
            (short(59), short(60), short(7_200), octets(20_480)),
            ("59s".into(), "1m".into(), "2h".into(), "20K".into())
        );
    }
}

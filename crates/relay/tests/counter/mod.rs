//! docs/counters.md is what the table of counters says. `BLESS=1` writes it anew.

use crate::folders::golden;
use std::path::Path;

#[test]
fn the_manual_lists_every_counter() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/counters.md"));
    golden::check(path, &relay::counter::markdown());
}

//! `/events`: one line a second for each viewer, only what is his, and an end with the log-on.

use super::{admitted, opened};
use crate::harness::console::Visitor;
use crate::harness::{SOON, Site};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Somebody who listens.
struct Listener(BufReader<TcpStream>);

impl Listener {
    fn of(visitor: &Visitor) -> Listener {
        let mut stream = TcpStream::connect(visitor.at).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(visitor.get("/events").wire().as_bytes()).unwrap();
        Listener(BufReader::new(stream))
    }

    /// The next event: its kind if it has one, and its data.
    fn next(&mut self) -> Option<(String, String)> {
        let (mut kind, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(text) = line.strip_prefix("event: ") {
                kind = text.trim().to_owned();
            }
            if let Some(text) = line.strip_prefix("data: ") {
                return Some((kind, text.trim().to_owned()));
            }
        }
    }

    fn seen(&mut self) -> Value {
        serde_json::from_str(&self.next().expect("an event").1).unwrap()
    }
}

#[test]
fn each_viewer_gets_a_line_a_second_of_what_is_his() {
    let site = Site::new();
    let (_relay, anna) = opened(&site);
    let otto = admitted(&anna, "otto", "operator", &json!({ "servers": ["Elsewhere"] }));
    let (mut hers, mut his) = (Listener::of(&anna), Listener::of(&otto));
    assert_eq!(hers.seen()["servers"]["Test"]["state"], "running");
    assert_eq!(his.seen()["servers"], json!({}), "another's virtual server");
    let start = Instant::now();
    for _ in 0..3 {
        hers.seen();
    }
    assert!(start.elapsed() > Duration::from_millis(2_400), "no more than one a second: {:?}", start.elapsed());
}

#[test]
fn a_log_on_that_is_over_ends_the_lines() {
    let site = Site::new();
    let (_relay, anna) = opened(&site);
    let otto = admitted(&anna, "otto", "operator", &json!("all"));
    let mut his = Listener::of(&otto);
    his.seen();
    assert_eq!(anna.command(&json!({ "command": "operator_log_out", "name": "otto" })).status, 200);
    while let Some((kind, _)) = his.next() {
        if kind == "end" {
            assert_eq!(his.next(), None, "and nothing more");
            return;
        }
    }
    panic!("it ended without a word");
}

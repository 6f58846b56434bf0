//! A whole life of the relay in one thread from one seed: lying disk, moody peers, cut wires, jumping clock; checkers.
//!
//! `cargo run -p sim --release -- --seed N` lives one; the tests live a hundred. What runs is the real thing: both
//! session machines, gate, queue, spool, notices. What is played: sockets, threads, the disk, time, everybody else.
//!
//! Checked all along: nobody gets what was never handed in, or altered; nothing is settled twice without a cause; no
//! report about a report; no attempt before its time or above the limits. After each power cut: every promise that is
//! not kept yet is there, whole. At the end, with the faults gone: the queue is empty and every promise was kept.

pub mod chance;
pub mod ledger;
pub mod life;
pub mod limits;
mod local;
mod node;
mod operator;
pub mod peer;
mod traffic;
pub mod wire;

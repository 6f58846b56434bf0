//! `sim --seed N [--count M] [--trace]`: lives M lives from seed N on, and says what went wrong.

use sim::life::Life;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut seed, mut count, mut trace) = (1_u64, 1_u64, false);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok());
        match argument.as_str() {
            "--seed" => seed = number().unwrap_or(seed),
            "--count" => count = number().unwrap_or(count),
            "--trace" => trace = true,
            _ => {
                eprintln!("usage: sim [--seed N] [--count M] [--trace]");
                return ExitCode::from(2);
            }
        }
    }
    let mut bad = 0_u64;
    for seed in seed..seed.saturating_add(count) {
        let story = Life::new(seed, trace).live();
        let end = if story.faults.is_empty() { "all kept" } else { "BROKEN" };
        println!("seed {seed}: {} promises, {} power cuts, {} acts: {end}", story.promised, story.cuts, story.acts);
        for fault in &story.faults {
            println!("  {fault}");
        }
        bad += u64::from(!story.faults.is_empty());
    }
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! The seed of tests on random inputs: another one in every run. Those in
//! `tests/` take this file in, too.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Repeats a run.
const VARIABLE: &str = "RECSYS_TEST_SEED";

/// A number from the clock, the same in all of the process, or the one that
/// the environment gives. It is printed, which shows where a test fails.
pub fn fresh() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = *SEED.get_or_init(|| {
        let given = std::env::var(VARIABLE).ok();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        given
            .and_then(|seed| seed.parse().ok())
            .unwrap_or(now.map_or(0, |time| time.as_nanos() as u64))
    });
    eprintln!("{VARIABLE}={seed}");
    seed
}

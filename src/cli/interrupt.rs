//! Ctrl-C: the first finishes the step and saves, the second aborts.

use super::output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status of a program that Ctrl-C ended, by convention: 128 + SIGINT.
pub const EXIT_STATUS: u8 = 130;

/// Whether the person asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes over Ctrl-C for the rest of the program. Where that fails, Ctrl-C
    /// keeps ending the program at once, which costs what came after the last
    /// checkpoint.
    pub fn listen(&self) {
        let seen = self.clone();
        let _ = ctrlc::set_handler(move || {
            if seen.0.swap(true, Ordering::SeqCst) {
                std::process::exit(EXIT_STATUS.into());
            }
            output::note("stopping after this step and saving; Ctrl-C again aborts at once");
        });
    }

    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

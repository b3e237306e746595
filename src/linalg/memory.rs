//! Whether a large matrix will fit, before it is made.

use crate::machine::{GIB, memory};
use anyhow::{Result, ensure};

/// `what` names the matrix and `instead` says what to do where there is no
/// room for it.
///
/// # Errors
/// More bytes than the system says are available.
pub fn ensure_fits(bytes: u64, what: &str, instead: &str) -> Result<()> {
    let Some(memory) = memory() else {
        return Ok(());
    };
    let available = memory.available;
    ensure!(
        bytes <= available,
        "{what} takes {:.2} GiB of memory, of which {:.2} are available: {instead}",
        bytes as f64 / GIB,
        available as f64 / GIB
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_named_with_a_way_out() {
        ensure_fits(1, "a number", "").unwrap();
        if memory().is_some() {
            let error = ensure_fits(u64::MAX, "the matrix", "set x = 1").unwrap_err();
            let text = error.to_string();
            assert!(text.contains("the matrix") && text.ends_with("set x = 1"));
        }
    }
}

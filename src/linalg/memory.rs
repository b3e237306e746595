//! Whether a large matrix will fit, before it is made.

use anyhow::{Result, ensure};

const GIB: f64 = (1u64 << 30) as f64;

/// `what` names the matrix and `instead` says what to do where there is no
/// room for it.
///
/// # Errors
/// More bytes than the system says are available.
pub fn ensure_fits(bytes: u64, what: &str, instead: &str) -> Result<()> {
    let Some(available) = available() else {
        return Ok(());
    };
    ensure!(
        bytes <= available,
        "{what} takes {:.2} GiB of memory, of which {:.2} are available: {instead}",
        bytes as f64 / GIB,
        available as f64 / GIB
    );
    Ok(())
}

/// Bytes that can be had without swapping, where the system tells.
#[cfg(target_os = "linux")]
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(not(target_os = "linux"))]
fn available() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_named_with_a_way_out() {
        ensure_fits(1, "a number", "").unwrap();
        if available().is_some() {
            let error = ensure_fits(u64::MAX, "the matrix", "set x = 1").unwrap_err();
            let text = error.to_string();
            assert!(text.contains("the matrix") && text.ends_with("set x = 1"));
        }
    }
}

//! What the allocator keeps of freed memory.

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};

/// `mi_option_purge_delay`, which the bindings do not name: milliseconds until
/// freed pages go back to the system.
const PURGE_DELAY: mi_option_t = 15;

/// Long enough for the tensors of a step, which the next one makes again, and
/// short enough for what a stage leaves behind to be gone in the next one: the
/// allocator itself waits a second.
const DELAY: std::ffi::c_long = 100;

/// To be called once, at the start of the program.
pub fn begin() {
    // SAFETY: sets a number that the allocator reads atomically.
    unsafe { mi_option_set(PURGE_DELAY, DELAY) };
}

/// While it lives, freed pages go back to the system at once. Reading a log
/// frees a few large columns after each other, so that waiting for their next
/// use makes the peak half as high again and saves no time; a training step,
/// which makes and drops the same tensors each time, is better off waiting.
pub struct ReturnFreed {
    before: std::ffi::c_long,
}

impl ReturnFreed {
    pub fn begin() -> Self {
        // SAFETY: reads and sets a number that the allocator reads atomically.
        unsafe {
            let before = mi_option_get(PURGE_DELAY);
            mi_option_set(PURGE_DELAY, 0);
            Self { before }
        }
    }
}

impl Drop for ReturnFreed {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { mi_option_set(PURGE_DELAY, self.before) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_comes_back() {
        // SAFETY: reads a number.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        let before = delay();
        let held = ReturnFreed::begin();
        assert_eq!(delay(), 0);
        drop(held);
        assert_eq!(delay(), before);
        assert!(before > 0, "the option is the delay, which is not 0");
    }
}

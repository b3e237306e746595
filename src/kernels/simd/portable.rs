//! Lanes without vector instructions, or with those of the target's baseline.

use super::{Isa, Lane, WIDTH, madd};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Plain numbers.
#[derive(Clone, Copy)]
pub struct Portable;

impl Isa for Portable {
    const FMA: bool = cfg!(target_arch = "aarch64");

    const TILE: (usize, usize) = (4, 1);

    type Vector = Lane;

    #[inline(always)]
    fn zero() -> Lane {
        Lane::ZERO
    }

    #[inline(always)]
    fn splat(value: f32) -> Lane {
        Lane([value; WIDTH])
    }

    #[inline(always)]
    fn load(lane: &Lane) -> Lane {
        *lane
    }

    #[inline(always)]
    fn store(vector: Lane, lane: &mut Lane) {
        *lane = vector;
    }

    #[inline(always)]
    fn madd(a: Lane, b: Lane, c: Lane) -> Lane {
        Lane(std::array::from_fn(|i| {
            madd::<Self>(a.0[i], b.0[i], c.0[i])
        }))
    }

    #[inline(always)]
    fn add(a: Lane, b: Lane) -> Lane {
        Lane(std::array::from_fn(|i| a.0[i] + b.0[i]))
    }

    #[inline(always)]
    fn sub(a: Lane, b: Lane) -> Lane {
        Lane(std::array::from_fn(|i| a.0[i] - b.0[i]))
    }

    #[inline(always)]
    fn mul(a: Lane, b: Lane) -> Lane {
        Lane(std::array::from_fn(|i| a.0[i] * b.0[i]))
    }

    #[inline(always)]
    fn div(a: Lane, b: Lane) -> Lane {
        Lane(std::array::from_fn(|i| a.0[i] / b.0[i]))
    }

    #[inline(always)]
    fn sqrt(a: Lane) -> Lane {
        Lane(a.0.map(f32::sqrt))
    }

    #[inline(always)]
    fn sum(a: Lane) -> f32 {
        a.sum()
    }

    #[inline(always)]
    fn relu(a: Lane) -> Lane {
        Lane(a.0.map(|x| if x > 0.0 { x } else { 0.0 }))
    }

    #[inline(always)]
    fn above(a: Lane, b: Lane) -> u32 {
        let any =
            a.0.iter()
                .zip(&b.0)
                .fold(false, |any, (a, b)| any | (a > b));
        if !any {
            return 0;
        }
        (0..WIDTH).fold(0, |bits, i| bits | u32::from(a.0[i] > b.0[i]) << i)
    }

    #[inline(always)]
    unsafe fn load_racing(from: *const Lane) -> Lane {
        let from = from.cast::<AtomicU32>();
        // SAFETY: a lane is that many words; valid, as the caller promises.
        Lane(std::array::from_fn(|i| {
            f32::from_bits(unsafe { &*from.add(i) }.load(Relaxed))
        }))
    }

    #[inline(always)]
    unsafe fn store_racing(vector: Lane, to: *mut Lane) {
        let to = to.cast::<AtomicU32>();
        for (i, x) in vector.0.iter().enumerate() {
            // SAFETY: as in `load_racing`.
            unsafe { &*to.add(i) }.store(x.to_bits(), Relaxed);
        }
    }
}

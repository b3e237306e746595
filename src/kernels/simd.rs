//! The widest vector instructions that the machine has, chosen at run time.
//!
//! A [`Job`] is written once, in plain loops over [`Lane`]s; [`run`] holds a
//! copy of it compiled for AVX-512, one for AVX2 with FMA and one for the
//! target's baseline. Sums are kept in the sixteen places of a lane whatever
//! the registers hold, so that only fused multiply-adds tell the copies apart.

mod portable;
#[cfg(target_arch = "x86_64")]
pub mod x86;

pub use portable::Portable;

/// Numbers that a vector instruction can take at once; a cache line.
pub const WIDTH: usize = 16;

/// A cache line of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub struct Lane(pub [f32; WIDTH]);

impl Lane {
    pub const ZERO: Self = Self([0.0; WIDTH]);

    /// The sum of all places, pair by pair.
    #[inline(always)]
    pub fn sum(self) -> f32 {
        let mut s = self.0;
        let mut half = WIDTH / 2;
        while half > 0 {
            for i in 0..half {
                s[i] += s[i + half];
            }
            half /= 2;
        }
        s[0]
    }
}

/// The numbers of lanes in a row.
#[inline(always)]
pub fn flat(lanes: &[Lane]) -> &[f32] {
    // SAFETY: a lane is exactly `WIDTH` numbers, without padding.
    unsafe { std::slice::from_raw_parts(lanes.as_ptr().cast(), lanes.len() * WIDTH) }
}

/// As [`flat`], to write.
#[inline(always)]
pub fn flat_mut(lanes: &mut [Lane]) -> &mut [f32] {
    // SAFETY: as in `flat`; the borrow of the lanes passes on to the result.
    unsafe { std::slice::from_raw_parts_mut(lanes.as_mut_ptr().cast(), lanes.len() * WIDTH) }
}

/// An instruction set. Its vectors hold the sixteen numbers of a lane in as
/// many registers as that takes.
pub trait Isa: Copy {
    /// Whether multiply-add rounds once and is one instruction.
    const FMA: bool;

    type Vector: Copy;

    /// Rows and columns of the largest tile of vectors that stays in
    /// registers: rows beside the vectors that it is made of.
    const TILE: (usize, usize);

    fn zero() -> Self::Vector;

    fn splat(value: f32) -> Self::Vector;

    fn load(lane: &Lane) -> Self::Vector;

    fn store(vector: Self::Vector, lane: &mut Lane);

    /// `a * b + c`
    fn madd(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    fn sqrt(a: Self::Vector) -> Self::Vector;

    /// The sum of all places, in the order of [`Lane::sum`].
    fn sum(a: Self::Vector) -> f32;

    /// What is above zero, place by place.
    fn relu(a: Self::Vector) -> Self::Vector;

    /// One bit for each place where `a` is larger.
    fn above(a: Self::Vector, b: Self::Vector) -> u32;

    /// Reads a lane that others may be writing: each number arrives as somebody
    /// wrote it, and no more is promised.
    ///
    /// # Safety
    /// It is valid for a lane, and nobody reaches it meanwhile but through this
    /// function and [`Self::store_racing`].
    unsafe fn load_racing(from: *const Lane) -> Self::Vector;

    /// Writes a lane over what others may be writing.
    ///
    /// # Safety
    /// As in [`Self::load_racing`].
    unsafe fn store_racing(vector: Self::Vector, to: *mut Lane);
}

/// Work that is compiled once for each instruction set. `call` and what it
/// calls must be `#[inline(always)]`: only code that is inlined into the copy
/// is compiled for the copy's instructions.
pub trait Job {
    type Output;

    fn call<S: Isa>(self) -> Self::Output;
}

/// Runs a job with the widest instructions there are.
pub fn run<J: Job>(job: J) -> J::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if x86::has_avx512() {
            // SAFETY: the machine was just asked.
            return unsafe { avx512(job) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return unsafe { avx2(job) };
        }
    }
    job.call::<Portable>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx2,fma")]
unsafe fn avx512<J: Job>(job: J) -> J::Output {
    job.call::<x86::Avx512>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<J: Job>(job: J) -> J::Output {
    job.call::<x86::Avx2>()
}

/// `a * b + c` of single numbers. Without the instruction, `mul_add` would be
/// a function call.
#[inline(always)]
pub fn madd<S: Isa>(a: f32, b: f32, c: f32) -> f32 {
    if S::FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Inner product of two rows of the same length.
#[inline(always)]
pub fn dot<S: Isa>(a: &[Lane], b: &[Lane]) -> f32 {
    let mut sum = S::zero();
    for (a, b) in a.iter().zip(b) {
        sum = S::madd(S::load(a), S::load(b), sum);
    }
    S::sum(sum)
}

/// `to += factor * row`
#[inline(always)]
pub fn add_scaled<S: Isa>(to: &mut [Lane], factor: f32, row: &[Lane]) {
    let factor = S::splat(factor);
    for (to, row) in to.iter_mut().zip(row) {
        S::store(S::madd(factor, S::load(row), S::load(to)), to);
    }
}

/// `to += row`
#[inline(always)]
pub fn add(to: &mut [Lane], row: &[Lane]) {
    for (to, row) in to.iter_mut().zip(row) {
        for (to, x) in to.0.iter_mut().zip(&row.0) {
            *to += x;
        }
    }
}

/// The largest of the numbers, in an order that vector instructions can keep.
#[inline(always)]
pub fn largest(lanes: &[Lane]) -> f32 {
    let mut most = [f32::NEG_INFINITY; WIDTH];
    for lane in lanes {
        for (most, x) in most.iter_mut().zip(&lane.0) {
            *most = most.max(*x);
        }
    }
    most.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Puts zeros in place of what is not above zero.
#[inline(always)]
pub fn relu<S: Isa>(row: &mut [Lane]) {
    for lane in row {
        S::store(S::relu(S::load(lane)), lane);
    }
}

/// `e^x` to within two units in the last place, without a branch, so that
/// loops of it become vector instructions: `2^n e^r` with the polynomial of
/// Cephes' `expf` for `r` in `-ln(2) / 2..ln(2) / 2`. Below -87 it is 0 or
/// almost so, above 88 it stays at `e^88`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.0);
    // Adding and subtracting 1.5 * 2^23 rounds to an integer.
    const ROUND: f32 = 12_582_912.0;
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    // The integer also stands in the lowest bits, where no conversion is needed,
    // whose care for large values would be one by one.
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits() - 127);
    (p * r * r + r + 1.0) * f32::from_bits(exponent << 23)
}

/// The natural logarithm of a normal positive number to within 2e-7, without
/// a branch: the exponent, and Cephes' polynomial of `logf` for the rest.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    // The exponent counts from the root of one half, so that what is left
    // lies around 1.
    const ROOT_HALF: u32 = 0x3F35_04F3;
    let offset = x.to_bits().wrapping_sub(ROOT_HALF);
    let exponent = (offset as i32) >> 23;
    let r = f32::from_bits((offset & 0x007F_FFFF).wrapping_add(ROOT_HALF)) - 1.0;
    let p = 7.037_683_6e-2 * r - 1.151_461e-1;
    let p = p * r + 1.167_699_87e-1;
    let p = p * r - 1.242_014_1e-1;
    let p = p * r + 1.424_932_3e-1;
    let p = p * r - 1.666_805_8e-1;
    let p = p * r + 2.000_071_5e-1;
    let p = p * r - 2.499_999_4e-1;
    let p = p * r + 3.333_333e-1;
    let square = r * r;
    r - 0.5 * square + p * r * square + exponent as f32 * std::f32::consts::LN_2
}

/// `ln(1 + e^x)` and its derivative, the logistic function of `x`.
#[inline(always)]
pub fn softplus(x: f32) -> (f32, f32) {
    let small = exp(-x.abs());
    let logistic = 1.0 / (1.0 + small);
    let value = x.max(0.0) + ln(1.0 + small);
    (value, if x >= 0.0 { logistic } else { small * logistic })
}

/// Asks for a row that will be used soon.
#[inline(always)]
pub fn prefetch(row: &[Lane]) {
    for lane in row {
        prefetch_at(lane);
    }
}

/// Asks for the cache line at this address, which need not be a valid one.
#[inline(always)]
pub fn prefetch_at<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which may name any address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Products<'a>(&'a [Lane], &'a mut [Lane]);

    impl Job for Products<'_> {
        type Output = f32;

        #[inline(always)]
        fn call<S: Isa>(self) -> f32 {
            add_scaled::<S>(self.1, 2.0, self.0);
            dot::<S>(self.0, self.1)
        }
    }

    #[test]
    fn every_copy_computes_the_same() {
        let a: Vec<Lane> = (0..3)
            .map(|l| Lane(std::array::from_fn(|i| (l * WIDTH + i) as f32)))
            .collect();
        let plain: f32 = (0..48).map(|i| (i * (2 * i + 1)) as f32).sum();
        let mut b = vec![Lane([1.0; WIDTH]); 3];
        assert_eq!(run(Products(&a, &mut b)), plain);
        assert_eq!(flat(&b)[47], 95.0);
        let mut b = vec![Lane([1.0; WIDTH]); 3];
        assert_eq!(Products(&a, &mut b).call::<Portable>(), plain);
        flat_mut(&mut b)[0] = 7.0;
        assert_eq!(b[0].0[0], 7.0);
    }

    /// Every operation on a lane of each.
    struct Operations<'a>(&'a mut [Lane; 2], &'a mut Vec<Lane>);

    impl Job for Operations<'_> {
        type Output = ();

        #[inline(always)]
        fn call<S: Isa>(self) {
            // SAFETY: held alone, and reached through these alone.
            let (a, b) = unsafe { (S::load_racing(&self.0[0]), S::load_racing(&self.0[1])) };
            let results = [
                S::add(a, b),
                S::sub(a, b),
                S::mul(a, b),
                S::div(a, b),
                S::sqrt(b),
            ];
            for result in results {
                // SAFETY: as above.
                unsafe { S::store_racing(result, &mut self.0[0]) };
                self.1.push(self.0[0]);
            }
        }
    }

    /// What copies of a job have been tried; each writes what it computes.
    fn every_copy(mut lanes: [Lane; 2]) -> Vec<Vec<Lane>> {
        let mut results = vec![vec![]; 2];
        run(Operations(&mut lanes.clone(), &mut results[0]));
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            results.push(vec![]);
            // SAFETY: the machine was just asked.
            unsafe { avx2(Operations(&mut lanes.clone(), &mut results[2])) };
        }
        Operations(&mut lanes, &mut results[1]).call::<Portable>();
        results
    }

    #[test]
    fn operations_are_those_of_single_numbers() {
        let a: [f32; WIDTH] = std::array::from_fn(|i| 0.3 * i as f32 - 1.7);
        let b: [f32; WIDTH] = std::array::from_fn(|i| 0.7 * i as f32 + 0.1);
        let plain: [fn(f32, f32) -> f32; 5] = [
            |a, b| a + b,
            |a, b| a - b,
            |a, b| a * b,
            |a, b| a / b,
            |_, b| b.sqrt(),
        ];
        let expected: Vec<Lane> = plain
            .iter()
            .map(|plain| Lane(std::array::from_fn(|i| plain(a[i], b[i]))))
            .collect();
        for results in every_copy([Lane(a), Lane(b)]) {
            assert_eq!(results, expected);
        }
    }

    #[test]
    fn exp_and_ln_are_near_the_library_s() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let (fast, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((fast / exact - 1.0).abs() < 3e-7, "{x}: {fast} {exact}");
        }
        for i in 1..40_000 {
            let x = i as f32 / 1000.0;
            assert!((f64::from(ln(x)) - f64::from(x).ln()).abs() < 4e-7, "{x}");
        }
        assert_eq!((exp(0.0), ln(1.0)), (1.0, 0.0));
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(1e9).is_finite());
    }
}

//! One seed, many named streams of random numbers.
//!
//! Every random choice of the program comes from a stream that is named after
//! its purpose ("split", "init", "negatives", "shuffle", "dropout"), so that
//! drawing more of one never shifts another. The generator is counter-based
//! (Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2,
//! 3", SC 2011): a value depends only on seed, stream and position, never on
//! the thread or the device that asks, and a run can resume anywhere.

#[cfg(test)]
mod fresh;
mod permutation;

pub use permutation::Permutation;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

const ROUNDS: usize = 10;

/// Blocks that [`Rng::blocks`] makes at once.
pub const BLOCKS: usize = 16;

/// The Philox4x32-10 block function.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (p1 >> 32) as u32 ^ counter[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ counter[3] ^ key[1],
            p0 as u32,
        ];
        key = next_key(key);
    }
    counter
}

#[inline(always)]
fn next_key(key: [u32; 2]) -> [u32; 2] {
    [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])]
}

/// The seed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

#[cfg(test)]
impl Seed {
    /// Another one in every run of the tests; shown where one fails.
    pub fn fresh() -> Self {
        Self(fresh::fresh())
    }
}

impl Seed {
    /// The stream of this name.
    pub fn stream(self, name: &str) -> Rng {
        self.indexed(name, 0)
    }

    /// The `index`-th stream of this name, e.g. one for each epoch.
    pub fn indexed(self, name: &str, index: u64) -> Rng {
        // FNV-1a: short, portable, and names are few.
        let name = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        let low = philox(split4(self.0, name), [0x7265_6373, 0x7973_0001]);
        let mixed = philox(
            [low[0], low[1], index as u32, (index >> 32) as u32],
            [low[2], low[3]],
        );
        Rng {
            key: [mixed[0], mixed[1]],
            high: [mixed[2], mixed[3]],
            position: 0,
            block: [0; 4],
            left: 0,
        }
    }
}

fn split4(a: u64, b: u64) -> [u32; 4] {
    [a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32]
}

/// A position in one stream.
#[derive(Clone, Debug)]
pub struct Rng {
    key: [u32; 2],
    high: [u32; 2],
    position: u64,
    block: [u32; 4],
    left: usize,
}

impl Rng {
    /// The same stream, from block `position` on (four words a block). Lets
    /// threads draw their own part of a stream.
    pub fn at(&self, position: u64) -> Self {
        Self {
            position,
            left: 0,
            ..self.clone()
        }
    }

    /// The blocks at `position`, `position + stride`, ... of this stream: word
    /// `w` of the `i`-th one is `blocks[w][i]`. In a loop that is compiled for
    /// vector instructions, they take hardly longer than one.
    #[inline(always)]
    pub fn blocks(&self, position: u64, stride: u64) -> [[u32; BLOCKS]; 4] {
        let (mut a, mut b) = ([0; BLOCKS], [0; BLOCKS]);
        let (mut c, mut d) = ([self.high[0]; BLOCKS], [self.high[1]; BLOCKS]);
        for i in 0..BLOCKS {
            let p = position + stride * i as u64;
            (a[i], b[i]) = (p as u32, (p >> 32) as u32);
        }
        let mut key = self.key;
        for _ in 0..ROUNDS {
            for i in 0..BLOCKS {
                let p0 = u64::from(MULTIPLIERS[0]) * u64::from(a[i]);
                let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c[i]);
                a[i] = (p1 >> 32) as u32 ^ b[i] ^ key[0];
                b[i] = p1 as u32;
                c[i] = (p0 >> 32) as u32 ^ d[i] ^ key[1];
                d[i] = p0 as u32;
            }
            key = next_key(key);
        }
        [a, b, c, d]
    }

    /// Key and upper half of the counter, for kernels that draw by
    /// themselves: block `p` is `philox([p, p >> 32, words[2], words[3]],
    /// [words[0], words[1]])`.
    pub fn words(&self) -> [u32; 4] {
        [self.key[0], self.key[1], self.high[0], self.high[1]]
    }

    pub fn next_u32(&mut self) -> u32 {
        if self.left == 0 {
            let p = self.position;
            self.block = philox(
                [p as u32, (p >> 32) as u32, self.high[0], self.high[1]],
                self.key,
            );
            self.position += 1;
            self.left = 4;
        }
        self.left -= 1;
        self.block[3 - self.left]
    }

    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// Uniform in `0..n`, without bias (Lemire 2019).
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "cannot draw from an empty range");
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u64::from(self.next_u32()) * u64::from(n);
            if wide as u32 >= threshold {
                return (wide >> 32) as u32;
            }
        }
    }

    /// Uniform in [0, 1), 24 bits.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal (Box-Muller; the second value is dropped, so that one
    /// call always costs two words).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - f64::from(self.uniform())).ln()).sqrt();
        let angle = std::f64::consts::TAU * f64::from(self.uniform());
        (radius * angle.cos()) as f32
    }

    /// Fisher-Yates shuffle.
    ///
    /// # Panics
    /// When the slice has 2^32 elements or more.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            let bound =
                u32::try_from(i + 1).expect("slices to shuffle have fewer than 2^32 elements");
            values.swap(i, self.below(bound) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (kat_vectors).
    #[test]
    fn philox_matches_the_published_vectors() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    #[test]
    fn streams_differ_by_name_index_and_seed_and_repeat() {
        let first = |mut r: Rng| r.next_u64();
        let base = first(Seed(1).stream("init"));
        assert_eq!(base, first(Seed(1).stream("init")));
        assert_ne!(base, first(Seed(2).stream("init")));
        assert_ne!(base, first(Seed(1).stream("split")));
        assert_ne!(base, first(Seed(1).indexed("init", 1)));
    }

    #[test]
    fn a_part_of_a_stream_equals_the_whole() {
        let stream = Seed(7).stream("negatives");
        let mut whole = stream.clone();
        let words: Vec<u32> = (0..12).map(|_| whole.next_u32()).collect();
        let mut part = stream.at(2);
        assert_eq!(
            (0..4).map(|_| part.next_u32()).collect::<Vec<_>>(),
            words[8..]
        );
    }

    #[test]
    fn blocks_made_at_once_are_those_made_one_by_one() {
        let stream = Seed(7).stream("negatives");
        let blocks = stream.blocks(u64::from(u32::MAX) - 3, 2);
        for i in 0..BLOCKS {
            let mut one = stream.at(u64::from(u32::MAX) - 3 + 2 * i as u64);
            assert_eq!(blocks.map(|w| w[i]), [(); 4].map(|()| one.next_u32()));
        }
    }

    #[test]
    fn below_is_in_range_and_even() {
        let mut rng = Seed(3).stream("test");
        let mut counts = [0u32; 3];
        for _ in 0..30_000 {
            counts[rng.below(3) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&c| (9_600..10_400).contains(&c)),
            "{counts:?}"
        );
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut rng = Seed(3).stream("test");
        let draws: Vec<f64> = (0..40_000).map(|_| f64::from(rng.normal())).collect();
        let mean = draws.iter().sum::<f64>() / 40_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 40_000.0;
        assert!(
            mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03,
            "{mean} {variance}"
        );
    }
}

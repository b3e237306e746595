//! Drawing from a discrete distribution.

use crate::seed::Rng;

/// Draws in constant time from a discrete distribution (Walker's alias
/// method as in Vose 1991).
pub struct Alias {
    pub threshold: Vec<f32>,
    pub other: Vec<u32>,
}

impl Alias {
    pub fn new(weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let n = weights.len();
        let mut scaled: Vec<f64> = weights.iter().map(|w| w / total * n as f64).collect();
        let mut other: Vec<u32> = (0..n as u32).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..n).partition(|&i| scaled[i] < 1.0);
        while let (Some(s), Some(&l)) = (small.pop(), large.last()) {
            other[s] = l as u32;
            scaled[l] -= 1.0 - scaled[s];
            if scaled[l] < 1.0 {
                large.pop();
                small.push(l);
            }
        }
        // What is left over is 1 but for rounding.
        for i in small.into_iter().chain(large) {
            scaled[i] = 1.0;
        }
        Self {
            threshold: scaled.into_iter().map(|x| x as f32).collect(),
            other,
        }
    }

    pub fn draw(&self, rng: &mut Rng) -> u32 {
        let slot = rng.below(self.other.len() as u32);
        if rng.uniform() < self.threshold[slot as usize] {
            slot
        } else {
            self.other[slot as usize]
        }
    }
}

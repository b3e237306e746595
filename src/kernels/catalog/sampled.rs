//! Losses over an item and sampled others.

use super::RowGradients;
use crate::kernels::gemm::{Left, Right, Size, To, add_part};
use crate::kernels::simd::{
    Isa, Job, Lane, WIDTH, add_scaled, dot, exp, flat, flat_mut, largest, softplus,
};
use crate::kernels::table::Table;

/// What a row's scores are judged by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Cross-entropy of a softmax over the item and its negatives, with
    /// `smoothing` of the target spread over all of them.
    Softmax { smoothing: f32 },
    /// Binary cross-entropy, the mean over the item and its negatives. The
    /// item's share counts `positive` times: 1 for plain BCE, and `beta` for
    /// gBCE (Petrov & Macdonald, "gSASRec", RecSys 2023, eq. 11), since
    /// `-log(s(x)^beta) = -beta log s(x)`. All scores count `offset` more.
    /// Targets are `1 - smoothing` for the item, and `smoothing` for others.
    Bce {
        positive: f32,
        offset: f32,
        smoothing: f32,
    },
    /// As [`crate::losses::bpr`], the mean over the negatives.
    Bpr,
    /// As [`crate::losses::ccl`], of scores that are cosines.
    Ccl { margin: f32, negative_weight: f32 },
}

/// The loss of some hidden rows of one sequence.
pub struct Sampled<'a> {
    pub goal: Goal,
    /// `[targets.len(), d]`
    pub hidden: &'a [Lane],
    pub targets: &'a [u32],
    /// Of all rows together, or as many for each row, one after the other.
    pub negatives: &'a [u32],
    pub shared: bool,
    /// What is subtracted from an item's score as a negative: the logarithm
    /// of how often it is expected among them (Bengio & Senecal, 2008).
    pub log_expected: Option<&'a [f32]>,
    pub items: &'a Table,
    /// Of a row in the mean.
    pub scale: f32,
    /// Added to.
    pub to_hidden: &'a mut [Lane],
    /// Added to.
    pub to_items: &'a mut RowGradients,
}

impl Job for Sampled<'_> {
    /// The sum of the rows' losses.
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(mut self) -> f64 {
        if self.targets.is_empty() {
            0.0
        } else if self.shared {
            self.together::<S>()
        } else {
            self.one_by_one::<S>()
        }
    }
}

impl Goal {
    /// The loss of a row; puts its derivatives in place of the scores. What
    /// pads the negatives is minus infinity and comes out as zero, or as the
    /// smallest power there is.
    #[inline(always)]
    fn derive(self, positive: &mut f32, negatives: &mut [Lane], count: usize, scale: f32) -> f32 {
        match self {
            Self::Softmax { smoothing } => {
                let even = mean(*positive, negatives, count, smoothing);
                let most = largest(negatives).max(*positive);
                let mut sum = Lane::ZERO;
                for lane in negatives.iter_mut() {
                    for i in 0..WIDTH {
                        lane.0[i] = exp(lane.0[i] - most);
                        sum.0[i] += lane.0[i];
                    }
                }
                let own = exp(*positive - most);
                let sum = sum.sum() + own;
                let share = scale / sum;
                let spread = smoothing * scale / (1 + count) as f32;
                for lane in negatives {
                    lane.0.iter_mut().for_each(|x| *x = *x * share - spread);
                }
                let class = (1.0 - smoothing) * *positive + smoothing * even;
                let loss = most + sum.ln() - class;
                *positive = share * own - spread - (1.0 - smoothing) * scale;
                loss
            }
            Self::Bce {
                positive: beta,
                offset,
                smoothing,
            } => {
                let share = 1.0 / (1 + count) as f32;
                // A target y adds -y x to the softplus of x, and softplus(x) is
                // softplus(-x) + x.
                let even = mean(-*positive, negatives, count, smoothing);
                let moved = even * (1 + count) as f32 + (count as f32 - 1.0) * offset;
                let mut sum = Lane::ZERO;
                for lane in negatives {
                    for i in 0..WIDTH {
                        let (loss, slope) = softplus(lane.0[i] + offset);
                        sum.0[i] += loss;
                        lane.0[i] = (slope - smoothing) * scale * share;
                    }
                }
                let (own, slope) = softplus(-*positive - offset);
                *positive = (smoothing - beta * slope) * scale * share;
                (beta * own + sum.sum() - smoothing * moved) * share
            }
            Self::Bpr => {
                let share = scale / count as f32;
                let (mut sum, mut slopes) = (Lane::ZERO, Lane::ZERO);
                for lane in negatives {
                    for i in 0..WIDTH {
                        let (loss, slope) = softplus(lane.0[i] - *positive);
                        sum.0[i] += loss;
                        slopes.0[i] += slope;
                        lane.0[i] = slope * share;
                    }
                }
                *positive = -slopes.sum() * share;
                sum.sum() / count as f32
            }
            Self::Ccl {
                margin,
                negative_weight,
            } => {
                let share = negative_weight / count as f32;
                let mut close = Lane::ZERO;
                for lane in negatives {
                    for i in 0..WIDTH {
                        let above = lane.0[i] - margin;
                        close.0[i] += above.max(0.0);
                        lane.0[i] = if above > 0.0 { share * scale } else { 0.0 };
                    }
                }
                let loss = 1.0 - *positive + share * close.sum();
                *positive = -scale;
                loss
            }
        }
    }
}

/// The mean of a row's scores, where `smoothing` asks for it: not of what pads
/// the negatives.
#[inline(always)]
fn mean(positive: f32, negatives: &[Lane], count: usize, smoothing: f32) -> f32 {
    if smoothing == 0.0 {
        return 0.0;
    }
    let sum: f32 = flat(negatives)[..count].iter().sum();
    (positive + sum) / (1 + count) as f32
}

impl Sampled<'_> {
    fn log_expected(&self, item: u32) -> f32 {
        self.log_expected.map_or(0.0, |of| of[item as usize])
    }

    /// All rows against the same negatives: products of matrices.
    #[inline(always)]
    fn together<S: Isa>(&mut self) -> f64 {
        let width = self.items.per_row();
        let (rows, count) = (self.targets.len(), self.negatives.len());
        let lanes = count.div_ceil(WIDTH);
        let mut gathered = vec![Lane::ZERO; lanes * WIDTH * width];
        let mut columns = vec![Lane::ZERO; width * WIDTH * lanes];
        for (at, &item) in self.negatives.iter().enumerate() {
            let row = self.items.row(item);
            gathered[at * width..][..width].copy_from_slice(row);
            let to = flat_mut(&mut columns)[at..]
                .iter_mut()
                .step_by(lanes * WIDTH);
            for (to, value) in to.zip(flat(row)) {
                *to = *value;
            }
        }
        let mut start = vec![Lane([f32::NEG_INFINITY; WIDTH]); lanes];
        for (to, &item) in flat_mut(&mut start).iter_mut().zip(self.negatives) {
            *to = -self.log_expected(item);
        }
        let mut slopes = start.repeat(rows);
        let left = Left {
            values: flat(self.hidden),
            row: width * WIDTH,
            depth: 1,
        };
        let right = Right {
            lanes: &columns,
            row: lanes,
        };
        let to = To {
            lanes: &mut slopes,
            row: lanes,
        };
        let size = Size {
            rows,
            depth: width * WIDTH,
            width: lanes,
        };
        add_part::<S>(left, right, to, size);
        let mut loss = 0.0;
        for row in 0..rows {
            let negatives = &mut slopes[row * lanes..][..lanes];
            loss += self.row::<S>(row, negatives, count);
        }
        let left = Left {
            values: flat(&slopes),
            row: lanes * WIDTH,
            depth: 1,
        };
        let right = Right {
            lanes: &gathered,
            row: width,
        };
        let to = To {
            lanes: self.to_hidden,
            row: width,
        };
        let size = Size {
            rows,
            depth: count,
            width,
        };
        add_part::<S>(left, right, to, size);
        // The gathered rows are not needed again: their gradients take their
        // place.
        gathered.fill(Lane::ZERO);
        let turned = Left {
            row: 1,
            depth: lanes * WIDTH,
            ..left
        };
        let right = Right {
            lanes: self.hidden,
            row: width,
        };
        let to = To {
            lanes: &mut gathered,
            row: width,
        };
        let size = Size {
            rows: count,
            depth: rows,
            width,
        };
        add_part::<S>(turned, right, to, size);
        for (&item, row) in self.negatives.iter().zip(gathered.chunks_exact(width)) {
            self.to_items.add(item, row);
        }
        loss
    }

    /// The loss of a row, and the gradients by way of its own item.
    #[inline(always)]
    fn row<S: Isa>(&mut self, row: usize, negatives: &mut [Lane], count: usize) -> f64 {
        let width = self.items.per_row();
        let hidden = &self.hidden[row * width..][..width];
        let target = self.targets[row];
        let item = self.items.row(target);
        let mut positive = dot::<S>(hidden, item);
        let loss = self
            .goal
            .derive(&mut positive, negatives, count, self.scale);
        add_scaled::<S>(&mut self.to_hidden[row * width..][..width], positive, item);
        add_scaled::<S>(self.to_items.row_mut(target), positive, hidden);
        f64::from(loss)
    }

    /// Each row against negatives of its own.
    #[inline(always)]
    fn one_by_one<S: Isa>(&mut self) -> f64 {
        let width = self.items.per_row();
        let count = self.negatives.len() / self.targets.len();
        let mut scores = vec![Lane::ZERO; count.div_ceil(WIDTH)];
        let mut loss = 0.0;
        for row in 0..self.targets.len() {
            let hidden = &self.hidden[row * width..][..width];
            let negatives = &self.negatives[row * count..][..count];
            scores.fill(Lane([f32::NEG_INFINITY; WIDTH]));
            for (score, &item) in flat_mut(&mut scores).iter_mut().zip(negatives) {
                *score = dot::<S>(hidden, self.items.row(item)) - self.log_expected(item);
            }
            loss += self.row::<S>(row, &mut scores, count);
            let to_hidden = &mut self.to_hidden[row * width..][..width];
            for (&slope, &item) in flat(&scores).iter().zip(negatives) {
                add_scaled::<S>(to_hidden, slope, self.items.row(item));
                add_scaled::<S>(self.to_items.row_mut(item), slope, hidden);
            }
        }
        loss
    }
}

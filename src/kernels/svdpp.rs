//! Stochastic gradient descent on SVD++ after every rating, in series.
//!
//! Koren, "Factorization meets the neighborhood", KDD 2008, eq. 15 and 16. A
//! rating of user `u` moves the implicit vector of every item that the user
//! rated, by `y_j += rate (e |N|^-1/2 q_i - decay y_j)`: the same scaling and
//! the same shift for all of them. So while ratings of one user follow each
//! other, one factor, one vector and the sum of the `y_j` stand for all, and
//! the `y_j` are written once at the end: the paper's steps at the price of
//! plain matrix factorization.

use super::simd::{self, Isa, Job, Lane, add_scaled, dot, flat_mut};
use super::table::Table;

/// What is learned.
#[derive(Clone, Debug, Default)]
pub struct Factors {
    /// `p`
    pub users: Table,
    /// `q`
    pub items: Table,
    /// `y`
    pub implicit: Table,
    pub user_biases: Vec<f32>,
    pub item_biases: Vec<f32>,
}

/// The distinct items that each user rated: `N(u)`.
#[derive(Clone, Debug)]
pub struct Rated {
    pub offsets: Vec<usize>,
    pub items: Vec<u32>,
}

impl Rated {
    pub fn of(&self, user: u32) -> &[u32] {
        &self.items[self.offsets[user as usize]..self.offsets[user as usize + 1]]
    }
}

/// A rating to learn from.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    pub user: u32,
    pub item: u32,
    /// Less the mean of all.
    pub rating: f32,
}

/// The numbers of a step.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub rate: f32,
    /// L2 on the vectors.
    pub decay: f32,
    /// L2 on the biases.
    pub bias_decay: f32,
}

/// `|N|^-1/2 sum of y_j`, added to `to`.
#[inline(always)]
pub fn add_implicit<S: Isa>(implicit: &Table, rated: &[u32], to: &mut [Lane]) {
    let scale = norm(rated.len());
    for &item in rated {
        add_scaled::<S>(to, scale, implicit.row(item));
    }
}

/// `n^-1/2`, 0 for nobody's items.
fn norm(count: usize) -> f32 {
    if count == 0 {
        0.0
    } else {
        1.0 / (count as f32).sqrt()
    }
}

/// Learns from examples one after the other; those of one user that stand
/// next to each other are cheap. Returns the sum of the squared errors, each
/// from before its own step.
pub fn descend(factors: &mut Factors, rated: &Rated, examples: &[Example], rates: Rates) -> f64 {
    let mut space = Space::default();
    let runs = examples.chunk_by(|a, b| a.user == b.user);
    runs.map(|run| {
        simd::run(Run {
            factors: &mut *factors,
            rated: rated.of(run[0].user),
            run,
            rates,
            space: &mut space,
        })
    })
    .sum()
}

/// Vectors of a run.
#[derive(Default)]
struct Space {
    /// Sum of the `y_j`.
    sum: Vec<Lane>,
    /// What was added to every `y_j`.
    shift: Vec<Lane>,
    /// The user's whole vector.
    whole: Vec<Lane>,
    item: Vec<Lane>,
}

/// The ratings of one user.
struct Run<'a> {
    factors: &'a mut Factors,
    rated: &'a [u32],
    run: &'a [Example],
    rates: Rates,
    space: &'a mut Space,
}

impl Job for Run<'_> {
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(self) -> f64 {
        let Self {
            factors,
            rated,
            rates,
            space,
            ..
        } = self;
        let Space {
            sum,
            shift,
            whole,
            item,
        } = space;
        let per_row = factors.users.per_row();
        for lanes in [&mut *sum, &mut *shift] {
            lanes.clear();
            lanes.resize(per_row, Lane::ZERO);
        }
        for &j in rated {
            add_scaled::<S>(sum, 1.0, factors.implicit.row(j));
        }
        let (scale, count) = (norm(rated.len()), rated.len() as f32);
        let kept = 1.0 - rates.rate * rates.decay;
        let (mut factor, mut squares) = (1.0, 0.0);
        for example in self.run {
            let user = row_mut(&mut factors.users, example.user);
            let item_row = row_mut(&mut factors.items, example.item);
            let user_bias = &mut factors.user_biases[example.user as usize];
            let item_bias = &mut factors.item_biases[example.item as usize];
            whole.clear();
            whole.extend_from_slice(user);
            add_scaled::<S>(whole, scale, sum);
            item.clear();
            item.extend_from_slice(item_row);
            let predicted = *user_bias + *item_bias + dot::<S>(whole, item);
            let error = example.rating - predicted;
            squares += f64::from(error) * f64::from(error);
            let step = rates.rate * error;
            *user_bias += step - rates.rate * rates.bias_decay * *user_bias;
            *item_bias += step - rates.rate * rates.bias_decay * *item_bias;
            move_row::<S>(user, kept, step, item);
            move_row::<S>(item_row, kept, step, whole);
            move_row::<S>(shift, kept, step * scale, item);
            move_row::<S>(sum, kept, step * scale * count, item);
            factor *= kept;
        }
        for &j in rated {
            let row = row_mut(&mut factors.implicit, j);
            move_row::<S>(row, factor, 1.0, shift);
        }
        squares
    }
}

fn row_mut(table: &mut Table, row: u32) -> &mut [Lane] {
    let per_row = table.per_row();
    let start = row as usize * per_row;
    &mut table.lanes_mut()[start..start + per_row]
}

/// `row = kept * row + factor * by`
#[inline(always)]
fn move_row<S: Isa>(row: &mut [Lane], kept: f32, factor: f32, by: &[Lane]) {
    flat_mut(row).iter_mut().for_each(|x| *x *= kept);
    add_scaled::<S>(row, factor, by);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::flat;
    use crate::seed::{Rng, Seed};

    const DIM: usize = 19;

    /// The paper's step in double precision, every `y_j` at once.
    struct Plain {
        users: Vec<f64>,
        items: Vec<f64>,
        implicit: Vec<f64>,
        user_biases: Vec<f64>,
        item_biases: Vec<f64>,
    }

    impl Plain {
        fn step(&mut self, rated: &[u32], example: Example, rates: Rates) -> f64 {
            let rate = f64::from(rates.rate);
            let (decay, bias_decay) = (f64::from(rates.decay), f64::from(rates.bias_decay));
            let (u, i) = (example.user as usize, example.item as usize);
            let scale = (rated.len() as f64).powf(-0.5);
            let whole: Vec<f64> = (0..DIM)
                .map(|k| {
                    let implicit = rated.iter().map(|&j| self.implicit[j as usize * DIM + k]);
                    self.users[u * DIM + k] + scale * implicit.sum::<f64>()
                })
                .collect();
            let item = self.items[i * DIM..(i + 1) * DIM].to_vec();
            let product: f64 = whole.iter().zip(&item).map(|(a, b)| a * b).sum();
            let predicted = self.user_biases[u] + self.item_biases[i] + product;
            let error = f64::from(example.rating) - predicted;
            self.user_biases[u] += rate * (error - bias_decay * self.user_biases[u]);
            self.item_biases[i] += rate * (error - bias_decay * self.item_biases[i]);
            for k in 0..DIM {
                let p = &mut self.users[u * DIM + k];
                *p += rate * (error * item[k] - decay * *p);
                let q = &mut self.items[i * DIM + k];
                *q += rate * (error * whole[k] - decay * *q);
                for &j in rated {
                    let y = &mut self.implicit[j as usize * DIM + k];
                    *y += rate * (error * scale * item[k] - decay * *y);
                }
            }
            error * error
        }
    }

    fn table(rng: &mut Rng, rows: usize) -> Table {
        let values: Vec<f32> = (0..rows * DIM).map(|_| 0.3 * rng.normal()).collect();
        let mut table = Table::zeros(rows, DIM);
        table.put(0, DIM, &values);
        table
    }

    fn doubles(values: Vec<f32>) -> Vec<f64> {
        values.into_iter().map(f64::from).collect()
    }

    fn near(a: &[f32], b: &[f64]) {
        for (a, b) in a.iter().zip(b) {
            assert!((f64::from(*a) - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn steps_are_those_of_the_paper() {
        let mut rng = Seed::fresh().stream("test");
        let mut factors = Factors {
            users: table(&mut rng, 3),
            items: table(&mut rng, 6),
            implicit: table(&mut rng, 6),
            user_biases: vec![0.1, -0.2, 0.3],
            item_biases: vec![0.0; 6],
        };
        let mut plain = Plain {
            users: doubles(factors.users.take(0, DIM)),
            items: doubles(factors.items.take(0, DIM)),
            implicit: doubles(factors.implicit.take(0, DIM)),
            user_biases: doubles(factors.user_biases.clone()),
            item_biases: doubles(factors.item_biases.clone()),
        };
        let rated = Rated {
            offsets: vec![0, 3, 7, 8],
            items: vec![0, 2, 5, 1, 2, 3, 4, 5],
        };
        let rates = Rates {
            rate: 0.05,
            decay: 0.1,
            bias_decay: 0.02,
        };
        // Runs of one user, and returns to an earlier one.
        let order = [
            (1, 2),
            (1, 4),
            (1, 2),
            (0, 5),
            (0, 0),
            (2, 5),
            (1, 1),
            (1, 3),
            (0, 2),
        ];
        let examples: Vec<_> = order
            .iter()
            .cycle()
            .take(40)
            .map(|&(user, item)| Example {
                user,
                item,
                rating: 2.0 * rng.normal(),
            })
            .collect();
        let sum = descend(&mut factors, &rated, &examples, rates);
        let expected: f64 = examples
            .iter()
            .map(|&e| plain.step(rated.of(e.user), e, rates))
            .sum();
        assert!((sum / expected - 1.0).abs() < 1e-4, "{sum} {expected}");
        near(&factors.users.take(0, DIM), &plain.users);
        near(&factors.items.take(0, DIM), &plain.items);
        near(&factors.implicit.take(0, DIM), &plain.implicit);
        near(&factors.user_biases, &plain.user_biases);
        near(&factors.item_biases, &plain.item_biases);
        assert!(flat(factors.users.row(0))[DIM..].iter().all(|x| *x == 0.0));
    }
}

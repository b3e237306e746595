//! Against the objective and the normal equations, written down once more in
//! double precision.

use super::*;
use crate::seed::{Rng, Seed};

/// Both sides, every row with its own number of pairs.
struct Case {
    settings: Settings,
    users: Table,
    items: Table,
    by_user: Pairs,
    by_item: Pairs,
}

fn table(rng: &mut Rng, rows: usize, dim: usize) -> Table {
    let values: Vec<f32> = (0..rows * dim).map(|_| 0.3 * rng.normal()).collect();
    let mut table = Table::zeros(rows, dim);
    table.put(0, dim, &values);
    table
}

fn pairs(rows: usize, mut entries: Vec<(u32, u32, f32)>, weighted: bool) -> Pairs {
    entries.sort_by_key(|e| (e.0, e.1));
    let before = |row: usize| entries.partition_point(|e| (e.0 as usize) < row);
    Pairs {
        offsets: (0..=rows).map(before).collect(),
        others: entries.iter().map(|e| e.1).collect(),
        roots: weighted.then(|| entries.iter().map(|e| e.2.sqrt()).collect()),
    }
}

impl Case {
    fn new(dim: usize, solver: Solver, weighted: bool) -> Self {
        let (users, items) = (23, 61);
        let mut rng = Seed(dim as u64).stream("test");
        let mut entries = Vec::new();
        for user in 0..users {
            // From none to all items.
            for item in 0..items {
                if rng.below(users) < user {
                    entries.push((user, item, 0.5 + 3.0 * rng.uniform()));
                }
            }
        }
        let turned = entries.iter().map(|&(u, i, w)| (i, u, w)).collect();
        let mut case = Self {
            settings: Settings {
                dim,
                unobserved_weight: 0.3,
                regularization: 0.02,
                exponent: 0.7,
                solver,
            },
            users: table(&mut rng, users as usize, dim),
            items: table(&mut rng, items as usize, dim),
            by_user: pairs(users as usize, entries, weighted),
            by_item: pairs(items as usize, turned, weighted),
        };
        for (table, pairs) in [
            (&mut case.users, &case.by_user),
            (&mut case.items, &case.by_item),
        ] {
            let per_row = table.per_row();
            for (row, lanes) in table.lanes_mut().chunks_exact_mut(per_row).enumerate() {
                if pairs.row(row).others.is_empty() {
                    lanes.fill(Lane::ZERO);
                }
            }
        }
        case
    }

    fn value(table: &Table, row: usize, k: usize) -> f64 {
        f64::from(flat(table.row(row as u32))[k])
    }

    fn product(&self, user: usize, item: usize) -> f64 {
        let terms = (0..self.settings.dim)
            .map(|k| Self::value(&self.users, user, k) * Self::value(&self.items, item, k));
        terms.sum()
    }

    /// The whole objective, pair by pair.
    fn objective(&self) -> f64 {
        let (users, items) = (self.by_user.num_rows(), self.by_item.num_rows());
        let mut loss = 0.0;
        for user in 0..users {
            let observed = self.by_user.row(user);
            for (place, &item) in observed.others.iter().enumerate() {
                let error = 1.0 - self.product(user, item as usize);
                loss += f64::from(observed.root(place)).powi(2) * error * error;
            }
            for item in 0..items {
                loss += self.settings.unobserved_weight * self.product(user, item).powi(2);
            }
        }
        let sides = [
            (&self.users, &self.by_user, items),
            (&self.items, &self.by_item, users),
        ];
        for (table, pairs, others) in sides {
            for row in 0..pairs.num_rows() {
                let count = pairs.row(row).others.len() as f64;
                let pairs = count + 0.3 * others as f64;
                let square: f64 = (0..self.settings.dim)
                    .map(|k| Self::value(table, row, k).powi(2))
                    .sum();
                loss += 0.02 * pairs.powf(0.7) * square;
            }
        }
        loss
    }

    /// One half of an epoch, in two parts; returns what it says of the
    /// objective.
    fn half(&mut self, users: bool) -> f64 {
        let (fixed, pairs, to, own, to_pairs) = if users {
            (
                &self.items,
                &self.by_item,
                &mut self.users,
                23,
                &self.by_user,
            )
        } else {
            (
                &self.users,
                &self.by_user,
                &mut self.items,
                61,
                &self.by_item,
            )
        };
        let half = Fixed::new(self.settings, fixed, pairs, own);
        let middle = to_pairs.rows_ending(&(0..to_pairs.len() / 3)).end;
        half.solve(fixed, to_pairs, 0..middle, to)
            + half.solve(fixed, to_pairs, middle..own, to)
            + half.penalty()
    }
}

const DIMS: [usize; 4] = [3, 16, 40, 64];

#[test]
fn rows_solve_the_normal_equations() {
    for dim in DIMS {
        for weighted in [false, true] {
            let mut case = Case::new(dim, Solver::Exact, weighted);
            case.half(true);
            for user in 0..23 {
                let observed = case.by_user.row(user);
                let strength = case.settings.strength(observed.others.len(), 61);
                let x = |k: usize| Case::value(&case.users, user, k);
                for k in 0..dim {
                    // The derivative of the objective, halved.
                    let mut slope = strength * x(k);
                    for item in 0..61 {
                        let v = Case::value(&case.items, item, k);
                        slope += 0.3 * case.product(user, item) * v;
                    }
                    for (place, &item) in observed.others.iter().enumerate() {
                        let error = case.product(user, item as usize) - 1.0;
                        let weight = f64::from(observed.root(place)).powi(2);
                        slope += weight * error * Case::value(&case.items, item as usize, k);
                    }
                    assert!(
                        slope.abs() < 1e-3,
                        "{dim} {weighted}: user {user}, {k}: {slope}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_half_lowers_the_objective_and_says_what_it_is() {
    for dim in DIMS {
        for (solver, weighted) in [
            (Solver::Exact, false),
            (Solver::Exact, true),
            (Solver::Blocks(2), false),
            (Solver::Blocks(16), true),
            (Solver::Blocks(7), false),
            (Solver::Gradients(1), false),
            (Solver::Gradients(3), true),
        ] {
            let mut case = Case::new(dim, solver, weighted);
            let mut last = case.objective();
            for half in 0..6 {
                let said = case.half(half % 2 == 0);
                let is = case.objective();
                assert!(
                    (said / is - 1.0).abs() < 1e-4,
                    "{dim} {solver:?}: {said} is {is}"
                );
                assert!(
                    is < last * (1.0 + 1e-6),
                    "{dim} {solver:?}: from {last} to {is}"
                );
                last = is;
            }
        }
    }
}

#[test]
fn others_come_to_the_exact_solution() {
    for (solver, halves) in [(Solver::Blocks(16), 60), (Solver::Gradients(3), 12)] {
        let mut exact = Case::new(40, Solver::Exact, true);
        let mut other = Case::new(40, solver, true);
        exact.half(true);
        for _ in 0..halves {
            other.half(true);
        }
        let pairs = flat(exact.users.lanes()).iter();
        for (a, b) in pairs.zip(flat(other.users.lanes())) {
            assert!((a - b).abs() < 2e-3, "{solver:?}: {a} {b}");
        }
    }
}

/// In as many steps as there are dimensions, conjugate gradients end at the
/// solution.
#[test]
fn conjugate_gradients_end_after_as_many_steps_as_dimensions() {
    for dim in [3, 16] {
        let mut exact = Case::new(dim, Solver::Exact, true);
        let mut steps = Case::new(dim, Solver::Gradients(dim), true);
        exact.half(true);
        steps.half(true);
        let pairs = flat(exact.users.lanes()).iter();
        for (a, b) in pairs.zip(flat(steps.users.lanes())) {
            assert!((a - b).abs() < 1e-3, "{dim}: {a} {b}");
        }
    }
}

#[test]
fn a_new_row_is_what_a_known_one_becomes() {
    for dim in DIMS {
        let mut case = Case::new(dim, Solver::Exact, true);
        let exact = Exact::new(case.settings, &case.items);
        let observed: Vec<_> = (0..23).map(|user| case.by_user.row(user)).collect();
        let vectors = solve_new(&exact, &observed);
        case.half(true);
        assert_eq!(vectors, case.users.take(0, dim));
    }
}

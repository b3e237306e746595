//! What the kernels take, on random numbers in the shapes of public data.
//! `RAYON_NUM_THREADS` says on how many threads.

mod catalog;
mod gcn;
mod mf;
mod ncf;
mod ranking;
mod rows;
mod sequences;

use rayon::prelude::*;
use recsys::data::Interactions;
use recsys::kernels::table::Table;
use recsys::seed::Seed;

fn main() {
    divan::main();
}

/// Users with so many evenly drawn items each.
fn log(users: usize, each: u32, num_items: usize) -> Interactions {
    let stream = Seed(1).stream("bench");
    let history = |user: u64| {
        let mut rng = stream.at(user * u64::from(each));
        let items = (0..each).map(|_| rng.below(num_items as u32));
        items.collect::<Vec<u32>>()
    };
    let rows: Vec<Vec<u32>> = (0..users as u64).into_par_iter().map(history).collect();
    Interactions {
        offsets: (0..=users).map(|user| user * each as usize).collect(),
        items: rows.concat(),
        num_items,
        ..Interactions::default()
    }
}

/// Normal numbers.
fn table(rows: usize, columns: usize) -> Table {
    let mut table = Table::zeros(rows, columns);
    table.put(0, columns, &normals(rows * columns));
    table
}

/// The same, row-major.
fn normals(count: usize) -> Vec<f32> {
    recsys::params::normal_values(count, 0.1, &Seed(2).stream("bench"))
}

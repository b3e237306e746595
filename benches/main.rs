//! What the kernels take, on random numbers in the shapes of public data.
//! `RAYON_NUM_THREADS` says on how many threads.

mod mf;
mod ncf;
mod ranking;
mod sequences;

fn main() {
    divan::main();
}

//! The update of touched rows against gather, formula and scatter.

use super::{assert_close, devices, ints, normals, seed};
use burn::tensor::{Device, IndexingUpdateOp, Tensor};
use recsys::kernels::rows::Segments;
use recsys::kernels::update::Hyper;
use recsys::optim::{OptimizerConfig, OptimizerKind, apply, num_states};
use recsys::params::host;
use recsys::seed::Rng;

/// A table, its states, and the gradients of a batch that looks up some of
/// its rows, one of them often.
struct Case {
    table: Tensor<2>,
    states: Vec<Tensor<2>>,
    grads: Tensor<2>,
    rows: Vec<u32>,
    inverse: Vec<u32>,
}

const ROWS: usize = 50;
const OCCURRENCES: usize = 300;

impl Case {
    fn new(kind: OptimizerKind, columns: usize, rng: &mut Rng, device: &Device) -> Self {
        let mut rows: Vec<u32> = (0..ROWS as u32).collect();
        rng.shuffle(&mut rows);
        rows.truncate(30);
        let often = |i: usize, rng: &mut Rng| if i < 200 { 0 } else { rng.below(30) };
        let mut inverse: Vec<u32> = (0..OCCURRENCES - 30).map(|i| often(i, rng)).collect();
        inverse.extend(0..30);
        rng.shuffle(&mut inverse);
        Self {
            table: normals(rng, [ROWS, columns], device),
            states: (0..num_states(kind))
                .map(|_| normals(rng, [ROWS, columns], device).abs())
                .collect(),
            grads: normals(rng, [OCCURRENCES, columns], device),
            rows,
            inverse,
        }
    }

    fn segments(&self) -> Segments {
        Segments::new(&self.rows, &self.inverse, &self.table.device())
    }

    fn plain_sum(&self) -> Tensor<2> {
        let device = self.table.device();
        let sums = Tensor::zeros([self.rows.len(), self.table.dims()[1]], &device);
        let at = ints(&self.inverse, &device);
        sums.select_assign(0, at, self.grads.clone(), IndexingUpdateOp::Add)
    }

    fn plain_update(&self, config: &OptimizerConfig) -> (Tensor<2>, Vec<Tensor<2>>) {
        let rows = ints(&self.rows, &self.table.device());
        let select = |t: &Tensor<2>| t.clone().select(0, rows.clone());
        let assign = |t: &Tensor<2>, values: Tensor<2>| {
            t.clone()
                .select_assign(0, rows.clone(), values, IndexingUpdateOp::Assign)
        };
        let states = self.states.iter().map(select).collect();
        let (value, new) = apply(
            config,
            select(&self.table),
            self.plain_sum(),
            states,
            0.1,
            3,
        );
        let states = self.states.iter().zip(new).map(|(t, new)| assign(t, new));
        (assign(&self.table, value), states.collect())
    }
}

const KINDS: [OptimizerKind; 4] = [
    OptimizerKind::Adam,
    OptimizerKind::Adamw,
    OptimizerKind::Sgd,
    OptimizerKind::Adagrad,
];

fn config(kind: OptimizerKind) -> OptimizerConfig {
    OptimizerConfig {
        kind,
        weight_decay: 0.02,
        momentum: 0.9,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-6,
        gradient_clip: 0.0,
    }
}

#[test]
fn updates_equal_gather_formula_scatter() {
    for (name, device) in devices() {
        for (kind, columns) in KINDS.into_iter().zip([1, 5, 64, 17]) {
            let case = Case::new(kind, columns, &mut seed().stream("test"), &device);
            let (table, states) = case.plain_update(&config(kind));
            let hyper = Hyper::new(&config(kind), 0.1, 3);
            let segments = case.segments();
            for summed in [false, true] {
                let grads = if summed {
                    segments.sum(case.grads.clone())
                } else {
                    case.grads.clone()
                };
                // Other handles are alive, so the kernel must not write into them.
                let old = (case.table.clone(), case.states.clone());
                let (new, new_states) = segments.update(old.0, old.1, grads, summed, hyper);
                let what = format!("{name}, {kind:?}, summed {summed}");
                assert_close(&what, new, table.clone(), 1e-5);
                for (new, state) in new_states.into_iter().zip(&states) {
                    assert_close(&what, new, state.clone(), 1e-5);
                }
            }
            let (again, _) = case.plain_update(&config(kind));
            assert_close("the inputs are untouched", again, table, 0.0);
        }
    }
}

#[test]
fn sums_equal_scattered_additions_and_repeat() {
    for (name, device) in devices() {
        let case = Case::new(OptimizerKind::Sgd, 33, &mut seed().stream("test"), &device);
        let sum = || case.segments().sum(case.grads.clone());
        assert_close(name, sum(), case.plain_sum(), 1e-5);
        assert_eq!(host(sum()).unwrap(), host(sum()).unwrap(), "{name}");
    }
}

/// The sums of the rows in a table of all of them.
fn plain_spread(case: &Case) -> Tensor<2> {
    let device = case.table.device();
    let rows = ints(&case.rows, &device);
    let zeros = case.table.zeros_like();
    zeros.select_assign(0, rows, case.plain_sum(), IndexingUpdateOp::Add)
}

#[test]
fn sums_are_put_where_their_rows_are() {
    for (name, device) in devices() {
        let case = Case::new(OptimizerKind::Sgd, 7, &mut seed().stream("test"), &device);
        let spread = case.segments().spread(case.grads.clone(), ROWS);
        assert_close(name, spread, plain_spread(&case), 1e-5);
    }
}

/// Occurrences of no row beside the others.
#[cfg(feature = "wgpu")]
const GAPS: usize = 40;

/// A GPU that finds the occurrences of each row by itself comes to the same,
/// batch after batch.
#[cfg(feature = "wgpu")]
#[test]
fn chains_of_occurrences_do_what_sorted_ones_do() {
    use recsys::kernels::rows::Chains;
    let Some(device) = super::wgpu() else {
        eprintln!("skipped: wgpu sees no adapter, not even a software one");
        return;
    };
    let mut chains = Chains::new(ROWS, &device);
    for kind in [OptimizerKind::Adam, OptimizerKind::Sgd] {
        let mut rng = seed().stream("test");
        let mut case = Case::new(kind, 9, &mut rng, &device);
        let gradients = normals(&mut rng, [OCCURRENCES + GAPS, 9], &device);
        let mut kept: Vec<u32> = (0..(OCCURRENCES + GAPS) as u32).collect();
        rng.shuffle(&mut kept);
        kept.truncate(OCCURRENCES);
        kept.sort_unstable();
        case.grads = gradients.clone().select(0, ints(&kept, &device));
        // What was not kept is of no row.
        let mut ids = vec![u32::MAX; OCCURRENCES + GAPS];
        for (&place, &row) in kept.iter().zip(&case.inverse) {
            ids[place as usize] = case.rows[row as usize];
        }
        let segments = chains.find(ints(&ids, &device));
        let hyper = Hyper::new(&config(kind), 0.1, 3);
        let (table, states) = case.plain_update(&config(kind));
        for summed in [false, true] {
            let grads = match summed {
                true => segments.sum(gradients.clone()),
                false => gradients.clone(),
            };
            let old = (case.table.clone(), case.states.clone());
            let (new, new_states) = segments.update(old.0, old.1, grads, summed, hyper);
            let what = format!("{kind:?}, summed {summed}");
            assert_close(&what, new, table.clone(), 1e-5);
            for (new, state) in new_states.into_iter().zip(&states) {
                assert_close(&what, new, state.clone(), 1e-5);
            }
        }
        let spread = || segments.spread(gradients.clone(), ROWS);
        assert_close("spread", spread(), plain_spread(&case), 1e-5);
        assert_eq!(host(spread()).unwrap(), host(spread()).unwrap());
    }
}

/// Occurrences with gradients in common, in a table of fewer rows than there
/// are occurrences and in one of more.
#[cfg(feature = "wgpu")]
#[test]
fn chains_share_gradients_whatever_the_table() {
    use recsys::kernels::rows::Chains;
    const OWNERS: usize = 12;
    let Some(device) = super::wgpu() else {
        eprintln!("skipped: wgpu sees no adapter, not even a software one");
        return;
    };
    for rows in [ROWS, 10 * OCCURRENCES] {
        let mut chains = Chains::new(rows, &device);
        for _ in 0..2 {
            let mut rng = seed().stream("test");
            let gradients = normals(&mut rng, [OWNERS, 9], &device);
            let owners: Vec<u32> = (0..OCCURRENCES).map(|i| (i % OWNERS) as u32).collect();
            // A few rows are in many places, and every seventh place has none.
            let mut row = |i: usize| match i % 7 {
                0 => u32::MAX,
                1 | 2 => 3 * rng.below(5),
                _ => rng.below(rows as u32),
            };
            let ids: Vec<u32> = (0..OCCURRENCES).map(&mut row).collect();
            let of_row = |i: &usize| ids[*i] != u32::MAX;
            let places: Vec<usize> = (0..OCCURRENCES).filter(of_row).collect();
            let at = |of: &[u32]| -> Vec<u32> { places.iter().map(|&i| of[i]).collect() };
            let parts = gradients.clone().select(0, ints(&at(&owners), &device));
            let zeros = Tensor::<2>::zeros([rows, 9], &device);
            let to = ints(&at(&ids), &device);
            let expected = zeros.select_assign(0, to, parts, IndexingUpdateOp::Add);
            let found = chains.find_owned(ints(&ids, &device), ints(&owners, &device));
            assert_eq!(found.rows().dims(), [rows.min(OCCURRENCES)]);
            let what = format!("{rows} rows");
            assert_close(&what, found.spread(gradients, rows), expected, 1e-5);
        }
    }
}

/// A gradient can be a transposed or broadcast view.
#[test]
fn views_are_read_as_what_they_show() {
    for (name, device) in devices() {
        let mut rng = seed().stream("test");
        let mut case = Case::new(OptimizerKind::Sgd, 8, &mut rng, &device);
        case.grads = normals(&mut rng, [8, OCCURRENCES], &device).transpose();
        let sum = case.segments().sum(case.grads.clone());
        assert_close(name, sum, case.plain_sum(), 1e-5);
        case.grads = normals(&mut rng, [1, 8], &device).expand([OCCURRENCES, 8]);
        let sum = case.segments().sum(case.grads.clone());
        assert_close(name, sum, case.plain_sum(), 1e-4);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (_, device) = devices().remove(0);
    let case = Case::new(OptimizerKind::Adam, 64, &mut seed().stream("test"), &device);
    let hyper = Hyper::new(&config(OptimizerKind::Adam), 0.1, 1);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let (table, states) = (case.table.clone(), case.states.clone());
        let step = || {
            let grads = case.grads.clone();
            case.segments().update(table, states, grads, false, hyper).0
        };
        host(pool.unwrap().install(step)).unwrap()
    };
    assert_eq!(run(1), run(3));
}

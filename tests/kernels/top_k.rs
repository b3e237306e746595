//! Lists that a GPU makes against those of the CPU.

use super::{seed, wgpu};
use burn::tensor::{Bool, Device, Tensor, TensorData};
use recsys::kernels::top_k::{List, Masks, SeenLog, top_k};
use recsys::ranking;

fn tensor(scores: &[f32], rows: usize, device: &Device) -> Tensor<2> {
    let shape = [rows, scores.len() / rows];
    Tensor::from_data(TensorData::new(scores.to_vec(), shape), device)
}

/// Row by row, by the ranking that everything else uses.
fn plain(scores: &[f32], masks: Masks<'_>, k: usize) -> Vec<List> {
    let rows = scores.chunks(scores.len() / masks.masked.len());
    let lists = rows.zip(masks.masked).map(|(row, masked)| {
        let mut row = row.to_vec();
        if row.iter().any(|s| !s.is_finite()) {
            return None;
        }
        for (item, score) in row.iter_mut().enumerate() {
            let allowed = masks.allowed.is_none_or(|flags| flags[item]);
            if !allowed || masked.contains(&(item as u32)) {
                *score = f32::NEG_INFINITY;
            }
        }
        let list = ranking::top_k(&row, k);
        Some((list.items, list.scores))
    });
    lists.collect()
}

/// The best scores of each row by a plain sort, and the items that have them;
/// of ties, any.
fn sorted(scores: &[f32], masks: Masks<'_>, k: usize) -> Vec<Vec<(u32, f32)>> {
    let rows = masks.masked.len();
    let columns = scores.len() / rows;
    let mut left = vec![0; rows];
    let out: Vec<bool> = (0..scores.len())
        .map(|at| {
            let (row, item) = (at / columns, at % columns);
            let allowed = masks.allowed.is_none_or(|flags| flags[item]);
            let out = !allowed || masks.masked[row].contains(&(item as u32));
            left[row] += usize::from(!out);
            out
        })
        .collect();
    let device = Device::flex();
    let out: Tensor<2, Bool> = Tensor::from_data(TensorData::new(out, [rows, columns]), &device);
    let (best, items) = tensor(scores, rows, &device)
        .mask_fill(out, f32::NEG_INFINITY)
        .sort_descending_with_indices(1);
    let best: Vec<f32> = best.into_data().iter().collect();
    let items: Vec<i64> = items.into_data().iter().collect();
    let row = |(row, left): (usize, usize)| {
        let own = row * columns..row * columns + left.min(k);
        let items = items[own.clone()].iter().map(|&item| item as u32);
        items.zip(best[own].iter().copied()).collect()
    };
    left.into_iter().enumerate().map(row).collect()
}

#[test]
fn lists_equal_those_of_the_cpu() {
    let Some(device) = wgpu() else {
        eprintln!("skipped: wgpu sees no adapter, not even a software one");
        return;
    };
    let mut rng = seed().stream("test");
    // Distinct scores, scores with many ties, and fewer items than wanted.
    for (columns, k, values) in [(3000, 20, 0), (1500, 300, 7), (40, 100, 3), (1, 1, 1)] {
        let rows = 9;
        let mut scores: Vec<f32> = (0..rows * columns)
            .map(|_| match values {
                0 => 3.0 * rng.normal(),
                n => rng.below(n) as f32 - 1.0,
            })
            .collect();
        scores[0] = -0.0;
        let masked: Vec<Vec<u32>> = (0..rows as u32)
            .map(|row| match row {
                0 => Vec::new(),
                1 => (0..columns as u32).collect(),
                _ => (0..row).map(|_| rng.below(columns as u32)).collect(),
            })
            .collect();
        // The same as slices of one log, with items before them.
        let items = [&[0][..], &masked.concat()].concat();
        let log = SeenLog::new(&items);
        let mut left = &items[1..];
        let slices: Vec<&[u32]> = masked
            .iter()
            .map(|row| left.split_off(..row.len()).expect("as many as in all rows"))
            .collect();
        let masked: Vec<&[u32]> = masked.iter().map(Vec::as_slice).collect();
        let flags: Vec<bool> = (0..columns).map(|_| rng.below(5) > 0).collect();
        for allowed in [None, Some(&flags[..])] {
            let masks = Masks {
                masked: &masked,
                allowed,
                log: None,
            };
            let expected = plain(&scores, masks, k);
            let lists = top_k(tensor(&scores, rows, &device), masks, k).unwrap();
            let lists = lists.unwrap();
            assert_eq!(lists, expected, "{columns} items, the best {k}");
            let in_log = Masks {
                masked: &slices,
                log: Some(&log),
                ..masks
            };
            let of_log = top_k(tensor(&scores, rows, &device), in_log, k).unwrap();
            assert_eq!(of_log.unwrap(), expected, "{columns} items, the best {k}");
            for (list, plain) in lists.into_iter().zip(sorted(&scores, masks, k)) {
                let (items, best) = list.expect("all scores are numbers");
                let (plain_items, plain_best): (Vec<_>, Vec<_>) = plain.into_iter().unzip();
                assert_eq!(best, plain_best, "{columns} items, the best {k}");
                if values == 0 {
                    assert_eq!(items, plain_items, "{columns} items, the best {k}");
                }
            }
        }
    }
}

#[test]
fn rows_that_cannot_be_ranked_are_named() {
    let Some(device) = wgpu() else {
        eprintln!("skipped: wgpu sees no adapter, not even a software one");
        return;
    };
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let scores = [1.0, 2.0, 3.0, 0.5, bad, 0.7];
        let masks = Masks {
            masked: &[&[], &[1]],
            allowed: None,
            log: None,
        };
        let lists = top_k(tensor(&scores, 2, &device), masks, 2).unwrap();
        assert_eq!(
            lists.unwrap(),
            [Some((vec![2, 1], vec![3.0, 2.0])), None],
            "{bad}"
        );
    }
}

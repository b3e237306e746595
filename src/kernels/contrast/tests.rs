use super::*;
use crate::seed::{Rng, Seed};

fn rows(rng: &mut Rng, count: usize, columns: usize) -> Vec<Lane> {
    let per_row = columns.div_ceil(WIDTH);
    let mut rows = vec![Lane::ZERO; count * per_row];
    for row in rows.chunks_exact_mut(per_row) {
        flat_mut(row)[..columns].fill_with(|| rng.normal());
    }
    rows
}

/// The formula in `f64`.
fn plain(a: &[f64], b: &[f64], columns: usize, temperature: f64) -> f64 {
    let unit = |row: &[f64]| {
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.iter().map(|x| x / norm).collect::<Vec<f64>>()
    };
    let a: Vec<_> = a.chunks(columns).map(unit).collect();
    let b: Vec<_> = b.chunks(columns).map(unit).collect();
    let cosine = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let losses = a.iter().zip(&b).map(|(a, own)| {
        let total: f64 = b.iter().map(|b| (cosine(a, b) / temperature).exp()).sum();
        total.ln() - cosine(a, own) / temperature
    });
    losses.sum::<f64>() / a.len() as f64
}

fn wide(lanes: &[Lane]) -> Vec<f64> {
    flat(lanes).iter().map(|&x| f64::from(x)).collect()
}

/// Values, and gradients against finite differences.
#[test]
fn it_is_the_formula_and_its_gradient() {
    let mut rng = Seed::fresh().stream("test");
    for (count, columns, temperature) in [(1usize, 5usize, 0.2), (70, 64, 0.1), (600, 20, 0.05)] {
        let per_row = columns.div_ceil(WIDTH);
        let width = per_row * WIDTH;
        let a = rows(&mut rng, count, columns);
        let mut b = rows(&mut rng, count, columns);
        for (b, a) in b.iter_mut().zip(&a) {
            b.0.iter_mut()
                .zip(&a.0)
                .for_each(|(b, a)| *b = 0.4 * *b + a);
        }
        let contrast = Contrast {
            temperature: temperature as f32,
            weight: 0.5,
        };
        let (mut to_a, mut to_b) = (a.clone(), a.clone());
        let mut space = Space::default();
        let mut call = |to_a: &mut [Lane], to_b: &mut [Lane]| {
            contrast.loss([&a, &b], per_row, [to_a, to_b], &mut space)
        };
        let loss = call(&mut to_a, &mut to_b);
        let (wide_a, wide_b) = (wide(&a), wide(&b));
        let expected = 0.5 * plain(&wide_a, &wide_b, width, temperature);
        assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
        for _ in 0..12 {
            let at = rng.below(count as u32) as usize * width + rng.below(columns as u32) as usize;
            let difference = |side: usize| {
                let value = |step: f64| {
                    let mut sides = [wide_a.clone(), wide_b.clone()];
                    sides[side][at] += step;
                    0.5 * plain(&sides[0], &sides[1], width, temperature)
                };
                (value(1e-5) - value(-1e-5)) / 2e-5
            };
            for (side, to) in [&to_a, &to_b].into_iter().enumerate() {
                let (slope, exact) = (f64::from(flat(to)[at]), difference(side));
                assert!(
                    (slope - exact).abs() < 1e-5 + 1e-3 * exact.abs(),
                    "{count} rows, side {side}: {slope} {exact}"
                );
            }
        }
        let again = call(&mut to_a, &mut to_b);
        assert_eq!(again, loss, "memory that is used again changes nothing");
    }
}

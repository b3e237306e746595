use super::*;
use crate::seed::Seed;
use simd::Portable;

fn random(n: usize, name: &str) -> Vec<f32> {
    let mut rng = Seed::fresh().stream(name);
    (0..n).map(|_| rng.normal()).collect()
}

/// All scores, by scanning with a threshold that nothing falls below.
fn scores(panels: &Panels, vectors: &[f32], offsets: &[f32], plain: bool) -> Vec<f32> {
    let width = panels.num_items();
    let mut all = vec![f32::NAN; offsets.len() * width];
    let visit = |user: usize, panel: usize, bits: u32, scores: &[f32; PANEL]| {
        for place in (0..PANEL).filter(|p| bits >> p & 1 == 1) {
            let item = panel * PANEL + place;
            if item < width {
                all[user * width + item] = scores[place];
            }
        }
        f32::NEG_INFINITY
    };
    if plain {
        let job = Scan {
            panels,
            vectors,
            offsets,
            visit,
        };
        job.call::<Portable>();
    } else {
        scan(panels, vectors, offsets, visit);
    }
    all
}

#[test]
fn scores_are_inner_products_whatever_the_size() {
    for (users, items, dim) in [(1, 1, 1), (3, 33, 5), (8, 64, 64), (19, 95, 17)] {
        let vectors = random(users * dim, "users");
        let catalog = random(items * dim, "items");
        let (biases, offsets) = (random(items, "biases"), random(users, "offsets"));
        let panels = Panels::new(dim, &catalog, Some(&biases));
        let got = scores(&panels, &vectors, &offsets, false);
        let panels = panels.plain(&catalog);
        let portable = scores(&panels, &vectors, &offsets, true);
        for (at, score) in got.iter().enumerate() {
            let (user, item) = (at / items, at % items);
            let pairs = vectors[user * dim..][..dim]
                .iter()
                .zip(&catalog[item * dim..]);
            let sum: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let exact = sum + f64::from(biases[item]) + f64::from(offsets[user]);
            assert!((f64::from(*score) - exact).abs() < 1e-4, "{score} {exact}");
            assert!((f64::from(portable[at]) - exact).abs() < 1e-4);
        }
    }
}

#[test]
fn a_user_scores_the_same_alone_and_in_company() {
    let (vectors, catalog) = (random(21 * 40, "users"), random(70 * 40, "items"));
    let panels = Panels::new(40, &catalog, None);
    let together = scores(&panels, &vectors, &[0.0; 21], false);
    for user in 0..21 {
        let alone = scores(&panels, &vectors[user * 40..][..40], &[0.0], false);
        assert_eq!(alone, together[user * 70..][..70]);
    }
}

/// With a threshold that moves, bounds leave every item that beats it.
#[test]
fn bounds_lose_no_item() {
    let (users, items) = (19, 700);
    for dim in [16, 50, 64] {
        let vectors = random(users * dim, "users");
        let catalog = random(items * dim, "items");
        let (biases, offsets) = (random(items, "biases"), random(users, "offsets"));
        let panels = Panels::new(dim, &catalog, Some(&biases));
        let best = |panels: &Panels| {
            let mut kept = vec![Vec::<(f32, usize)>::new(); users];
            scan(panels, &vectors, &offsets, |user, panel, bits, scores| {
                let kept = &mut kept[user];
                for place in (0..PANEL).filter(|p| bits >> p & 1 == 1) {
                    let item = panel * PANEL + place;
                    if item < items {
                        kept.push((scores[place], item));
                    }
                }
                kept.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                kept.truncate(10);
                kept.get(9).map_or(f32::NEG_INFINITY, |last| last.0)
            });
            kept
        };
        let bounded = best(&panels);
        let plain = best(&panels.plain(&catalog));
        for (a, b) in bounded.iter().flatten().zip(plain.iter().flatten()) {
            // Where two scores round to one, either may come first.
            let apart = (a.0 - b.0).abs();
            assert!(apart < if a.1 == b.1 { 1e-4 } else { 1e-5 }, "{a:?} {b:?}");
        }
    }
}

#[test]
fn what_could_overflow_is_not_finite() {
    let panels = |values: &[f32]| Panels::new(2, values, None);
    assert!(panels(&[1e10, -1.0]).all_finite(&[1e20, 0.0], &[1.0]));
    assert!(!panels(&[1e20, -1.0]).all_finite(&[-1e20, 0.0], &[1.0]));
    assert!(!panels(&[1.0, f32::NAN]).all_finite(&[0.0, 0.0], &[1.0]));
    assert!(!panels(&[0.0, 1.0]).all_finite(&[0.0, f32::INFINITY], &[1.0]));
    assert!(!panels(&[0.0, 1.0]).all_finite(&[0.0, 1.0], &[f32::NAN]));
}

//! Forward against the plain formulas in float64, backward against finite
//! differences of forward.

use super::*;
use crate::kernels::simd::flat_mut;
use crate::seed::Seed;

const DIM: usize = 32;
/// A single place, a few, and more than a block of attention.
const BOUNDS: [usize; 4] = [0, 1, 6, 43];
const ROWS: usize = 43;

fn random(len: usize, name: &str, deviation: f32) -> Vec<Lane> {
    let mut rng = Seed::fresh().stream(name);
    let lane = |_| Lane(std::array::from_fn(|_| deviation * rng.normal()));
    (0..len).map(lane).collect()
}

fn weights(layout: Layout) -> Weights {
    let mut weights = Weights::zeros(layout);
    weights.lanes = random(weights.layout.len, "weights", 0.3);
    weights.transpose();
    weights
}

type Layer<'a> = &'a dyn Fn(&mut Graph<'_>, Var) -> Var;

/// Sum of the layer's rows, each number times one of its own.
fn value(
    weights: &Weights,
    input: &[Lane],
    width: usize,
    layer: Layer<'_>,
    shares: &[Lane],
) -> f64 {
    let mut graph = Graph::new(weights, &BOUNDS, None);
    let x = graph.input(input.to_vec(), width);
    let y = layer(&mut graph, x);
    let pairs = flat(graph.value(y)).iter().zip(flat(shares));
    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Every ninth derivative by the input, every seventh by the weights.
fn check(name: &str, layout: Layout, width: usize, layer: Layer<'_>) {
    let mut weights = weights(layout);
    let mut input = random(ROWS * width, "input", 1.0);
    let mut graph = Graph::new(&weights, &BOUNDS, None);
    let x = graph.input(input.clone(), width);
    let y = layer(&mut graph, x);
    let shares = random(graph.value(y).len(), "shares", 1.0);
    let mut dense = vec![Lane::ZERO; weights.layout.len];
    let to_input = graph.backward(y, shares.clone(), x, &mut dense);
    let step = 4e-3f32;
    let near = |finite: f64, exact: f32, what: &str| {
        let exact = f64::from(exact);
        assert!(
            (finite - exact).abs() < 0.03 * (1.0 + exact.abs()),
            "{name} by {what}: {finite} {exact}"
        );
    };
    for at in (0..input.len() * WIDTH).step_by(9) {
        let own = flat(&input)[at];
        let mut moved = |to: f32| {
            flat_mut(&mut input)[at] = to;
            value(&weights, &input, width, layer, &shares)
        };
        let finite = (moved(own + step) - moved(own - step)) / f64::from(2.0 * step);
        moved(own);
        near(finite, flat(&to_input)[at], &format!("input {at}"));
    }
    for at in (0..weights.lanes.len() * WIDTH).step_by(7) {
        let own = flat(&weights.lanes)[at];
        let mut moved = |to: f32| {
            flat_mut(&mut weights.lanes)[at] = to;
            value(&weights, &input, width, layer, &shares)
        };
        let finite = (moved(own + step) - moved(own - step)) / f64::from(2.0 * step);
        moved(own);
        near(finite, flat(&dense)[at], &format!("weight {at}"));
    }
}

#[test]
fn linear_goes_back() {
    let mut layout = Layout::default();
    let weight = layout.matrix("w", DIM, 16);
    let bias = layout.table("b", 1, 16, Init::Zeros);
    check("linear", layout, 2, &|g, x| g.linear(x, weight, Some(bias)));
}

#[test]
fn norms_go_back() {
    for centered in [true, false] {
        let mut layout = Layout::default();
        let scale = layout.table("scale", 1, DIM, Init::Ones);
        let shift = centered.then(|| layout.table("shift", 1, DIM, Init::Zeros));
        check("norm", layout, 2, &|g, x| g.norm(x, Norm { scale, shift }));
    }
}

#[test]
fn rows_of_one_length_go_back() {
    check("unit", Layout::default(), 2, &|g, x| g.unit(x, 3.0));
}

#[test]
fn pointwise_layers_go_back() {
    for kind in [Activation::Gelu, Activation::Silu, Activation::Sigmoid] {
        check("activation", Layout::default(), 1, &|g, x| {
            g.activation(x, kind)
        });
    }
    check("sum and times", Layout::default(), 1, &|g, x| {
        let y = g.activation(x, Activation::Silu);
        let z = g.times(x, y);
        g.sum(z, x)
    });
    check("shift", Layout::default(), 1, &|g, x| g.shift(x, 2));
    let mut layout = Layout::default();
    let table = layout.table("places", 40, DIM, Init::Zeros);
    check("places", layout, 2, &|g, x| g.add_places(x, table));
}

#[test]
fn relu_goes_back() {
    let weights = Weights::default();
    let input = random(ROWS, "input", 1.0);
    let mut graph = Graph::new(&weights, &BOUNDS, None);
    let x = graph.input(input.clone(), 1);
    let y = graph.activation(x, Activation::Relu);
    let ones = vec![Lane([1.0; WIDTH]); ROWS];
    let back = graph.backward(y, ones, x, &mut []);
    for (x, slope) in flat(&input).iter().zip(flat(&back)) {
        assert_eq!(*slope, if *x > 0.0 { 1.0 } else { 0.0 });
    }
}

/// Queries, keys and values, each a linear layer of the input.
fn attend(layout: &mut Layout, attend: Attend) -> impl Fn(&mut Graph<'_>, Var) -> Var + use<> {
    let qkv = ["q", "k", "v"].map(|name| layout.matrix(name, DIM, DIM));
    // A third of an octave between two places.
    let happened: Vec<i64> = (0..ROWS).map(|row| 1 << (row / 3)).collect();
    let asked: Vec<i64> = happened.iter().map(|time| time + 7).collect();
    move |graph, x| {
        graph.set_times(&happened, &asked);
        let qkv = qkv.map(|w| graph.linear(x, w, None));
        graph.attention(qkv, attend)
    }
}

#[test]
fn attention_goes_back() {
    for (heads, causal) in [(1, true), (2, true), (2, false)] {
        for pointwise in [false, true] {
            let mut layout = Layout::default();
            let bias = layout.table("bias", heads, 40, Init::Zeros);
            let by_age = causal.then(|| layout.table("ages", heads, BUCKETS, Init::Zeros));
            let kernel = if pointwise {
                Kernel::Silu {
                    bias,
                    by_age,
                    length: 8.0,
                }
            } else {
                Kernel::Softmax { dropout: 0.0 }
            };
            let kind = Attend {
                heads,
                causal,
                kernel,
            };
            let layer = attend(&mut layout, kind);
            check(&format!("{kind:?}"), layout, 2, &layer);
        }
    }
}

/// `softmax(q k / sqrt(16)) v` of the definition.
#[test]
fn attention_is_its_formula() {
    for causal in [true, false] {
        let mut layout = Layout::default();
        let qkv = ["q", "k", "v"].map(|name| layout.matrix(name, DIM, DIM));
        let weights = weights(layout);
        let mut graph = Graph::new(&weights, &BOUNDS, None);
        let x = graph.input(random(ROWS * 2, "input", 1.0), 2);
        let qkv = qkv.map(|w| graph.linear(x, w, None));
        let kernel = Kernel::Softmax { dropout: 0.0 };
        let y = graph.attention(
            qkv,
            Attend {
                heads: 2,
                causal,
                kernel,
            },
        );
        let [q, k, v] = qkv.map(|var| flat(graph.value(var)));
        let at = |of: &[f32], row: usize, c: usize| f64::from(of[row * DIM + c]);
        for bounds in BOUNDS.windows(2) {
            for row in bounds[0]..bounds[1] {
                let end = if causal { row + 1 } else { bounds[1] };
                for head in 0..2 {
                    let columns = head * 16..head * 16 + 16;
                    let score = |key: usize| {
                        let products = columns.clone().map(|c| at(q, row, c) * at(k, key, c));
                        (products.sum::<f64>() / 4.0).exp()
                    };
                    let scores: Vec<f64> = (bounds[0]..end).map(score).collect();
                    let sum: f64 = scores.iter().sum();
                    for c in columns.clone() {
                        let parts = (bounds[0]..end).zip(&scores);
                        let exact: f64 = parts.map(|(key, s)| s / sum * at(v, key, c)).sum();
                        let value = at(flat(graph.value(y)), row, c);
                        assert!((value - exact).abs() < 2e-5, "{value} {exact}");
                    }
                }
            }
        }
    }
}

#[test]
fn gru_goes_back() {
    let mut layout = Layout::default();
    let input = layout.matrix("input", DIM, 3 * DIM);
    let own = GruWeights {
        recurrent: layout.matrix("recurrent", DIM, 3 * DIM),
        bias: layout.table("bias", 1, 3 * DIM, Init::Zeros),
    };
    check("gru", layout, 2, &|g, x| {
        let x = g.linear(x, input, None);
        g.gru(x, own)
    });
}

#[test]
fn gru_is_its_formula() {
    let mut layout = Layout::default();
    let own = GruWeights {
        recurrent: layout.matrix("recurrent", 16, 48),
        bias: layout.table("bias", 1, 48, Init::Zeros),
    };
    let weights = weights(layout);
    let input = random(ROWS * 3, "input", 1.0);
    let mut graph = Graph::new(&weights, &BOUNDS, None);
    let x = graph.input(input.clone(), 3);
    let y = graph.gru(x, own);
    let (u, b) = (flat(weights.of(own.recurrent)), flat(weights.of(own.bias)));
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for bounds in BOUNDS.windows(2) {
        let mut h = [0.0f64; 16];
        for row in bounds[0]..bounds[1] {
            let x = |c: usize| f64::from(flat(&input)[row * 48 + c]);
            let s = |c: usize| {
                let products = (0..16).map(|k| h[k] * f64::from(u[k * 48 + c]));
                f64::from(b[c]) + products.sum::<f64>()
            };
            h = std::array::from_fn(|c| {
                let r = sigmoid(x(c) + s(c));
                let z = sigmoid(x(16 + c) + s(16 + c));
                let n = (x(32 + c) + r * s(32 + c)).tanh();
                (1.0 - z) * n + z * h[c]
            });
            for (c, exact) in h.iter().enumerate() {
                let value = f64::from(flat(graph.value(y))[row * 16 + c]);
                assert!((value - exact).abs() < 1e-5, "{value} {exact}");
            }
        }
    }
}

/// Rows of one sequence do not depend on the others, and dropout keeps the
/// mean.
#[test]
fn dropout_keeps_its_share() {
    let weights = Weights::default();
    let stream = Seed(1).stream("dropout");
    let from = DropoutStream {
        stream: &stream,
        graph: 3,
    };
    let bounds = [0, 4000];
    let mut graph = Graph::new(&weights, &bounds, Some(from));
    let x = graph.input(vec![Lane([1.0; WIDTH]); 4000], 1);
    let (y, z) = (graph.dropout(x, 0.25), graph.dropout(x, 0.25));
    assert_ne!(graph.value(y), graph.value(z));
    let mean = flat(graph.value(y))
        .iter()
        .map(|v| f64::from(*v))
        .sum::<f64>()
        / 64_000.0;
    assert!((mean - 1.0).abs() < 0.01, "{mean}");
    let dropped = flat(graph.value(y)).iter().filter(|v| **v == 0.0).count();
    assert!((dropped as f64 / 64_000.0 - 0.25).abs() < 0.01, "{dropped}");
}

/// Noise has its deviation, is another one in each use and goes back as it
/// came.
#[test]
fn noise_keeps_its_deviation() {
    let weights = Weights::default();
    let stream = Seed(1).stream("dropout");
    let from = DropoutStream {
        stream: &stream,
        graph: 3,
    };
    let bounds = [0, 4000];
    let mut graph = Graph::new(&weights, &bounds, Some(from));
    let x = graph.input(vec![Lane([1.0; WIDTH]); 4000], 1);
    let y = graph.noise(x, 0.3);
    let z = graph.noise(y, 0.3);
    let moved = |a: Var, b: Var| {
        let pairs = flat(graph.value(a)).iter().zip(flat(graph.value(b)));
        pairs.map(|(a, b)| f64::from(b - a)).collect::<Vec<_>>()
    };
    let (first, second) = (moved(x, y), moved(y, z));
    let mean = |a: &[f64], b: &[f64]| {
        let products = a.iter().zip(b).map(|(a, b)| a * b);
        products.sum::<f64>() / 64_000.0
    };
    assert!((mean(&first, &first) - 0.09).abs() < 0.003);
    assert!(mean(&first, &second).abs() < 0.003, "both draws are one");
    // A part is drawn as it is in the whole.
    let part = from.normals(1, 17..20, 0.3);
    let whole = from.normals(1, 0..20, 0.3);
    assert_eq!(part, whole[17..]);
    let above = random(4000, "above", 1.0);
    let back = graph.backward(z, above.clone(), x, &mut []);
    assert_eq!(back, above);
}

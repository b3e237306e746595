//! Item vectors on a plane: those near each other are alike to the model.
//!
//! t-SNE (van der Maaten, Hinton, JMLR 2008; in its Barnes-Hut form, JMLR 2014)
//! over the directions of the vectors. Neighbors are exact, the start comes
//! from the seed, and one thread adds up the forces, so that a map repeats.

use super::Material;
use super::groups::Division;
use super::items::{by_popularity, popularity};
use crate::model::{ItemVectors, ScoreForm};
use anyhow::Result;
use bhtsne::{Neighbor, tSNE};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Items by their place on the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemMap {
    /// All items that have a vector and training interactions.
    pub of: usize,
    pub titles: Vec<String>,
    /// Parallel to `titles`, within -1 and 1.
    pub x: Vec<f32>,
    pub y: Vec<f32>,
    /// Training interactions.
    pub popularity: Vec<u32>,
    pub colorings: Vec<Coloring>,
}

/// A group for each item of the map; of several, the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coloring {
    pub title: String,
    pub labels: Vec<String>,
    /// Numbers into `labels`.
    pub groups: Vec<Option<u8>>,
}

/// Items on the map, at most: the most popular ones.
const ITEMS: usize = 1000;

/// With fewer there is nothing to see.
const FEWEST: usize = 10;

/// On 1,000 points around 40 directions of 64 columns, 68% of the ten nearest in
/// space are among the ten nearest on the map, 34% where there are none
/// (after 250, 66% and 32%).
const EPOCHS: usize = 300;

/// Of them, those that pull neighbors together more than they are.
const EXAGGERATED: usize = 100;

const PERPLEXITY: f32 = 30.0;
const THETA: f32 = 0.5;

/// The map, or why there is none.
///
/// # Errors
/// A device that fails.
pub fn item_map(material: &Material<'_>) -> Result<(Option<ItemMap>, Option<String>)> {
    let no = |why: &str| Ok((None, Some(format!("There is no map of items: {why}."))));
    let ScoreForm::InnerProducts(vectors) = material.model.score_form()? else {
        return no("this model does not score by one vector an item, or keeps them on a device");
    };
    let counts = material.train.item_counts();
    let mut items = by_popularity(&counts);
    items.retain(|&i| counts[i as usize] > 0);
    let of = items.len();
    items.truncate(ITEMS);
    if items.len() < FEWEST {
        return no("there are too few items with training interactions");
    }
    let places = place(material, &vectors, &items);
    let note = (of > items.len()).then(|| {
        format!(
            "The map shows the {} items with the most training interactions, of {of}.",
            items.len()
        )
    });
    let mut divisions = Division::by_table(material.item_features);
    divisions.push(popularity(&counts));
    let map = ItemMap {
        of,
        titles: items.iter().map(|&i| material.item_name(i)).collect(),
        x: places.iter().map(|p| p[0]).collect(),
        y: places.iter().map(|p| p[1]).collect(),
        popularity: items.iter().map(|&i| counts[i as usize]).collect(),
        colorings: divisions.iter().map(|d| coloring(d, &items)).collect(),
    };
    Ok((Some(map), note))
}

fn coloring(division: &Division, items: &[u32]) -> Coloring {
    let group = |&item: &u32| division.of(item).next().map(|g| g as u8);
    Coloring {
        title: division.title.clone(),
        labels: division.labels.clone(),
        groups: items.iter().map(group).collect(),
    }
}

/// Where the items lie, within -1 and 1.
fn place(material: &Material<'_>, vectors: &ItemVectors, items: &[u32]) -> Vec<[f32; 2]> {
    let directions: Vec<Vec<f32>> = items
        .iter()
        .map(|&i| direction(&vectors.vectors[i as usize * vectors.dim..][..vectors.dim]))
        .collect();
    let perplexity = PERPLEXITY.min((items.len() - 1) as f32 / 3.0);
    let nearest = neighbors(&directions, (3.0 * perplexity) as usize);
    let mut random = material.seed.stream("map");
    let start: Vec<f32> = (0..2 * items.len())
        .map(|_| 1e-4 * random.normal())
        .collect();
    scaled(&embedded(&directions, &nearest, perplexity, start))
}

/// On one thread: the library adds up in an order that depends on how many
/// there are, and a map must repeat.
fn embedded(
    directions: &[Vec<f32>],
    nearest: &[Vec<Neighbor<f32>>],
    perplexity: f32,
    start: Vec<f32>,
) -> Vec<f32> {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    one.expect("a thread can be started").install(|| {
        let mut tsne: tSNE<'_, f32, Vec<f32>> = tSNE::new(directions);
        tsne.perplexity(perplexity)
            .epochs(EPOCHS)
            .stop_lying_epoch(EXAGGERATED)
            .momentum_switch_epoch(EXAGGERATED)
            .initial_embedding(start)
            .barnes_hut_with_neighbors(THETA, nearest);
        tsne.embedding()
    })
}

/// Both axes by one factor, with the middle of each at 0.
fn scaled(embedding: &[f32]) -> Vec<[f32; 2]> {
    let range = |axis: usize| {
        let values = embedding.iter().skip(axis).step_by(2);
        values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| {
            (low.min(*v), high.max(*v))
        })
    };
    let (x, y) = (range(0), range(1));
    let half = ((x.1 - x.0).max(y.1 - y.0) / 2.0).max(f32::MIN_POSITIVE);
    let place = |v: f32, (low, high): (f32, f32)| (v - (low + high) / 2.0) / half;
    let points = embedding.chunks_exact(2);
    points.map(|p| [place(p[0], x), place(p[1], y)]).collect()
}

fn direction(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    vector.iter().map(|v| v * scale).collect()
}

/// The `k` nearest others of each point, the nearest first.
fn neighbors(points: &[Vec<f32>], k: usize) -> Vec<Vec<Neighbor<f32>>> {
    let of_point = |own: usize| {
        let mut others: Vec<Neighbor<f32>> = (0..points.len())
            .filter(|i| *i != own)
            .map(|index| Neighbor {
                index,
                distance: distance(&points[own], &points[index]),
            })
            .collect();
        let nearer = |a: &Neighbor<f32>, b: &Neighbor<f32>| {
            let distances = a.distance.total_cmp(&b.distance);
            distances.then(a.index.cmp(&b.index))
        };
        if k < others.len() {
            others.select_nth_unstable_by(k, nearer);
            others.truncate(k);
        }
        others.sort_unstable_by(nearer);
        others
    };
    (0..points.len()).into_par_iter().map(of_point).collect()
}

/// Eight sums side by side, which vector instructions can keep.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    const SUMS: usize = 8;
    let square = |(a, b): (&f32, &f32)| (a - b) * (a - b);
    let (whole_a, whole_b) = (a.chunks_exact(SUMS), b.chunks_exact(SUMS));
    let rest = whole_a.remainder().iter().zip(whole_b.remainder());
    let mut sums = [0.0f32; SUMS];
    for (a, b) in whole_a.zip(whole_b) {
        for (sum, pair) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += square(pair);
        }
    }
    (sums.iter().sum::<f32>() + rest.map(square).sum::<f32>()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_are_the_nearest_in_order() {
        let points = [vec![0.0], vec![1.0], vec![3.0], vec![1.0]];
        let near: Vec<Vec<usize>> = neighbors(&points, 2)
            .iter()
            .map(|n| n.iter().map(|n| n.index).collect())
            .collect();
        assert_eq!(near, [[1, 3], [3, 0], [1, 3], [1, 0]]);
    }

    #[test]
    fn distances_are_those_of_all_columns() {
        let a: Vec<f32> = (0..11).map(|i| i as f32).collect();
        assert_eq!(distance(&a, &[0.0; 11]), 385.0f32.sqrt());
        assert_eq!(distance(&a[..3], &[0.0; 3]), 5.0f32.sqrt());
    }

    #[test]
    fn a_map_does_not_depend_on_threads() {
        let mut random = crate::seed::Seed(3).stream("points");
        let points: Vec<Vec<f32>> = (0..400)
            .map(|_| (0..8).map(|_| random.normal()).collect())
            .collect();
        let nearest = neighbors(&points, 90);
        let start: Vec<f32> = (0..800).map(|_| 1e-4 * random.normal()).collect();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            pool.install(|| embedded(&points, &nearest, 30.0, start.clone()))
        };
        let one = on(1);
        assert_eq!(one, on(2));
        assert_eq!(one, on(5));
    }

    #[test]
    fn places_fill_the_square() {
        let made = scaled(&[0.0, 5.0, 4.0, 6.0, 2.0, 6.0]);
        assert_eq!(made, [[-1.0, -0.25], [1.0, 0.25], [0.0, 0.25]]);
    }

    #[test]
    fn directions_have_length_one_or_none() {
        assert_eq!(direction(&[3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(direction(&[0.0, 0.0]), [0.0, 0.0]);
    }
}

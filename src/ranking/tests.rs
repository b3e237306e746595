use super::*;
use crate::ids::UserIdx;
use crate::model::{ItemVectors, QueryVectors, SparseRow};
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use proptest::prelude::*;

/// Scores looked up in a matrix by user index.
struct Matrix {
    num_items: usize,
    scores: Vec<f32>,
}

impl Recommender for Matrix {
    fn num_items(&self) -> usize {
        self.num_items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        for (query, row) in queries.iter().zip(scores.chunks_mut(self.num_items)) {
            let start = query.user.unwrap().0 as usize * self.num_items;
            row.copy_from_slice(&self.scores[start..start + self.num_items]);
        }
        Ok(())
    }

    fn weights(&self) -> Result<NamedTensors> {
        Ok(NamedTensors::default())
    }
}

fn request(user: u32, masked: &[u32]) -> Request<'_> {
    let query = Query {
        user: Some(UserIdx(user)),
        history: &[],
        ..Query::default()
    };
    Request { query, masked }
}

fn options(k: usize) -> RankingOptions<'static> {
    RankingOptions {
        model_name: "matrix",
        k,
        allowed: None,
        seen: None,
        tile_bytes: TILE_BYTES,
    }
}

fn list(
    model: &dyn Recommender,
    requests: &[Request<'_>],
    options: &RankingOptions<'_>,
) -> Result<Vec<Ranked>> {
    Ranker::new(model)?.rank(requests, options)
}

/// A model of each form that knows something better than rows. Values are
/// small whole numbers, so that scores are exact and ties are everywhere.
struct Formed {
    form: ScoreForm,
    num_items: usize,
    users: QueryVectors,
}

impl Formed {
    fn vector(&self, query: &Query<'_>) -> (&[f32], f32) {
        let user = query.user.unwrap().0 as usize;
        let dim = self.users.vectors.len() / self.users.offsets.len();
        (
            &self.users.vectors[user * dim..][..dim],
            self.users.offsets[user],
        )
    }

    fn score_of(&self, query: &Query<'_>, item: usize) -> f32 {
        let (vector, offset) = self.vector(query);
        match &self.form {
            ScoreForm::InnerProducts(items) => {
                let pairs = vector.iter().zip(&items.vectors[item * items.dim..]);
                let bias = items.biases.as_ref().map_or(0.0, |b| b[item]);
                pairs.map(|(a, b)| a * b).sum::<f32>() + bias + offset
            }
            // Something for every third item.
            ScoreForm::Sparse if item.is_multiple_of(3) => vector[item % vector.len()],
            ScoreForm::Shared(scores) => scores[item],
            _ => 0.0,
        }
    }
}

impl Recommender for Formed {
    fn num_items(&self) -> usize {
        self.num_items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        for (query, row) in queries.iter().zip(scores.chunks_mut(self.num_items)) {
            for (item, score) in row.iter_mut().enumerate() {
                *score = self.score_of(query, item);
            }
        }
        Ok(())
    }

    fn score_form(&self) -> Result<ScoreForm> {
        Ok(self.form.clone())
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        let users = queries.iter().map(|q| self.vector(q));
        Ok(QueryVectors {
            vectors: users.clone().flat_map(|u| u.0.to_vec()).collect(),
            offsets: users.map(|u| u.1).collect(),
        })
    }

    fn sparse_scores(&self, query: &Query<'_>, row: &mut SparseRow) -> Result<()> {
        for item in (0..self.num_items).step_by(3) {
            row.add(item as u32, self.score_of(query, item));
        }
        Ok(())
    }

    fn weights(&self) -> Result<NamedTensors> {
        Ok(NamedTensors::default())
    }
}

const USERS: usize = 21;

/// The three forms over the same random numbers.
fn formed(num_items: usize, dim: usize, seed: u64) -> Vec<Formed> {
    let mut rng = Seed(seed).stream("test");
    let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.below(5) as f32 - 2.0).collect() };
    let users = QueryVectors {
        vectors: draw(USERS * dim),
        offsets: draw(USERS),
    };
    let items = ItemVectors {
        dim,
        vectors: draw(num_items * dim),
        biases: seed.is_multiple_of(2).then(|| draw(num_items)),
    };
    let forms = [
        ScoreForm::InnerProducts(items),
        ScoreForm::Sparse,
        ScoreForm::Shared(draw(num_items)),
    ];
    let new = |form| Formed {
        form,
        num_items,
        users: users.clone(),
    };
    forms.into_iter().map(new).collect()
}

#[test]
fn a_score_that_is_no_number_is_found_in_every_form() {
    for mut model in formed(40, 3, 8) {
        match &mut model.form {
            ScoreForm::InnerProducts(items) => items.vectors[70] = f32::NAN,
            ScoreForm::Shared(scores) => scores[39] = f32::NAN,
            _ => model.users.vectors.fill(f32::INFINITY),
        }
        let error = list(&model, &[request(1, &[])], &options(1)).unwrap_err();
        assert!(error.to_string().contains("`matrix`"), "{error}");
    }
}

#[test]
fn masked_and_filtered_items_are_skipped_and_short_lists_stay_short() {
    let model = Matrix {
        num_items: 4,
        scores: vec![0.1, 0.4, 0.3, 0.2, -1.0, -2.0, -3.0, -4.0],
    };
    let requests = [request(0, &[1]), request(1, &[])];
    let lists = list(&model, &requests, &options(2)).unwrap();
    assert_eq!(lists[0].items, [2, 3]);
    assert_eq!(lists[1].items, [0, 1]);
    let some = RankingOptions {
        allowed: Some(&[true, true, false, false]),
        seen: None,
        ..options(9)
    };
    let lists = list(&model, &requests, &some).unwrap();
    assert_eq!(lists[0].items, [0]);
    assert_eq!(lists[1].scores, [-1.0, -2.0]);
}

#[test]
fn nan_names_user_and_model() {
    let model = Matrix {
        num_items: 2,
        scores: vec![0.0, 0.0, 0.0, f32::NAN],
    };
    let requests = [request(0, &[]), request(1, &[])];
    let error = list(&model, &requests, &options(1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("`matrix`"), "{error}");
    assert!(error.contains("user index 1"), "{error}");
    assert!(error.contains("NaN"), "{error}");
}

#[test]
fn a_filter_of_another_catalog_is_an_error() {
    let model = Matrix {
        num_items: 2,
        scores: vec![0.0, 0.0],
    };
    let wrong = RankingOptions {
        allowed: Some(&[true]),
        seen: None,
        ..options(1)
    };
    assert!(list(&model, &[request(0, &[])], &wrong).is_err());
}

proptest! {
    /// Whatever a model's form, its lists are those of the plain way.
    #[test]
    fn every_form_gives_the_lists_of_whole_rows(
        num_items in 1usize..150,
        dim in 1usize..9,
        k in 0usize..60,
        seed in 0u64..1 << 40,
        filtered: bool,
    ) {
        let mut rng = Seed(seed).stream("masks");
        let mut some = |n: u32| -> Vec<u32> {
            (0..rng.below(n)).map(|_| rng.below(num_items as u32)).collect()
        };
        let masks: Vec<Vec<u32>> = (0..USERS).map(|_| some(40)).collect();
        let out = some(30);
        let allowed: Vec<bool> = (0..num_items as u32).map(|i| !out.contains(&i)).collect();
        let requests: Vec<_> = masks.iter().zip(0..).map(|(m, user)| request(user, m)).collect();
        let options = RankingOptions {
            allowed: filtered.then_some(&allowed[..]),
            seen: None,
            ..options(k)
        };
        for model in formed(num_items, dim, seed) {
            let plain = rank_rows(&model, &requests, &options).unwrap();
            prop_assert_eq!(&list(&model, &requests, &options).unwrap(), &plain);
            let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let single = one.install(|| list(&model, &requests, &options)).unwrap();
            prop_assert_eq!(&single, &plain);
        }
    }

    #[test]
    fn masked_items_are_never_returned_whatever_the_tile(
        scores in proptest::collection::vec(-4i8..4, 6 * 7),
        masked in proptest::collection::btree_set(0u32..7, 0..7),
        k in 1usize..9,
        tile_bytes in 0usize..200,
    ) {
        let model = Matrix { num_items: 7, scores: scores.iter().map(|&s| f32::from(s)).collect() };
        let masked: Vec<u32> = masked.into_iter().collect();
        let requests: Vec<_> = (0..6).map(|u| request(u, &masked)).collect();
        let lists = list(&model, &requests, &options(k)).unwrap();
        for list in &lists {
            prop_assert_eq!(list.items.len(), k.min(7 - masked.len()));
            prop_assert!(list.items.iter().all(|i| !masked.contains(i)));
        }
        let small = RankingOptions { tile_bytes, ..options(k) };
        prop_assert_eq!(list(&model, &requests, &small).unwrap(), lists);
    }
}

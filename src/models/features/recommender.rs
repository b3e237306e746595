//! A fitted model of features: anybody with features or a history is served.
//!
//! A known user is its id and features. Somebody new has, for the id, the mean
//! of those of the training users whose histories are nearest, weighted by
//! nearness (see [`Neighbors`]), and features of its own where the data tell
//! them; those of a bare history are the same mean. Where nobody shares an item
//! with it, and for an empty history, the id is the unknown one, and missing
//! features are missing.
//!
//! Where clicks are learned, the data's history of a user lists what was shown,
//! clicked or not, which speaks for no neighbor: a user of the data keeps the
//! unknown id there (on ml-1m, `click_fm` for the 15,116 test rows of new users
//! with a history: log loss .595, against .609 with neighbors), and a bare
//! history is taken for what was clicked.

use super::Loss;
use super::network::{Network, Split};
use crate::data::interactions::Interactions;
use crate::device::{Family, family};
use crate::kernels::top_k::{List, Masks, top_k_in_tiles};
use crate::model::{ItemVectors, Query, QueryVectors, Recommender, ScoreForm};
use crate::models::neighbors::{Blend, Neighbors, blend_rows};
use crate::params::{Param, host};
use crate::tape::Tape;
use crate::tensors::NamedTensors;
use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Pairs that go through the network at a time.
const PAIRS: usize = 1 << 14;

/// The same where a GPU ranks.
const PAIRS_ON_GPU: usize = 1 << 16;

/// Scores of a tile of queries and items.
const TILE: usize = 1 << 24;

/// A network with what serving needs.
pub struct FeatureRecommender {
    pub network: Network,
    loss: Loss,
    /// What the model was fitted on, in any order inside a user.
    train: Arc<Interactions>,
    device: Device,
    neighbors: OnceLock<Neighbors>,
    /// Made of the parameters when it is first asked for.
    catalog: OnceLock<Catalog>,
}

/// The items for a GPU that ranks.
enum Catalog {
    /// Where scores are inner products.
    Vectors(Box<Split>),
    /// Fields `[items, fields, width]`.
    Fields(Box<Tensor<3>>),
}

impl FeatureRecommender {
    pub fn new(network: Network, loss: Loss, train: Arc<Interactions>, device: &Device) -> Self {
        Self {
            network,
            loss,
            train,
            device: device.clone(),
            neighbors: OnceLock::new(),
            catalog: OnceLock::new(),
        }
    }

    /// What was made of the parameters is made anew after this.
    pub fn params_mut(&mut self) -> Vec<&mut Param> {
        self.catalog.take();
        self.network.params_mut()
    }

    /// The number of a query's user among those that have features. One
    /// without training interactions has no id there.
    fn entity(&self, query: &Query<'_>) -> u32 {
        let user = query.profile.or(query.user);
        user.map_or(self.network.users.side().nobody(), |user| user.0)
    }

    /// Fields `[queries, fields, width]` of those who ask.
    fn user_fields(&self, queries: &[Query<'_>]) -> Result<Tensor<3>> {
        let users: Vec<u32> = queries.iter().map(|q| self.entity(q)).collect();
        let fields = self.fields_of(&users);
        let mut blends = self.blends(queries)?;
        if blends.iter().all(Option::is_none) {
            return Ok(fields);
        }
        let [_, count, _] = fields.dims();
        let ids = self.blended(&fields, 0..1, &blends)?;
        if count == 1 {
            return Ok(ids);
        }
        // Features of its own need no neighbors.
        for (blend, query) in blends.iter_mut().zip(queries) {
            blend.take_if(|_| query.profile.is_some());
        }
        let features = self.blended(&fields, 1..count, &blends)?;
        Ok(Tensor::cat(vec![ids, features], 1))
    }

    /// Of training users, or others with a number.
    fn fields_of(&self, users: &[u32]) -> Tensor<3> {
        let mut tape = Tape::inference(&self.device);
        self.network.user_fields(&mut tape, users, None)
    }

    /// Who stands in for new users that share an item with anybody.
    fn blends(&self, queries: &[Query<'_>]) -> Result<Vec<Option<Blend>>> {
        let blend = |query: &Query<'_>| {
            let shown = self.predicts_clicks() && query.profile.is_some();
            if query.user.is_some() || query.history.is_empty() || shown {
                return Ok(None);
            }
            let items = query.distinct_items(self.train.num_items)?;
            let neighbors = self.neighbors.get_or_init(|| self.find_neighbors());
            Ok(neighbors.nearest(&items))
        };
        queries.par_iter().map(blend).collect()
    }

    /// A history says what somebody took, so what was shown and not clicked
    /// makes nobody a neighbor.
    fn find_neighbors(&self) -> Neighbors {
        match self
            .train
            .weights
            .as_ref()
            .filter(|_| self.predicts_clicks())
        {
            None => Neighbors::new(&self.train),
            Some(labels) => Neighbors::new(&self.train.filtered(|place| labels[place] > 0.5)),
        }
    }

    /// A range of the fields, with those of queries that have a blend replaced.
    fn blended(
        &self,
        fields: &Tensor<3>,
        range: std::ops::Range<usize>,
        blends: &[Option<Blend>],
    ) -> Result<Tensor<3>> {
        let [queries, _, width] = fields.dims();
        let columns = range.len() * width;
        let rows = fields.clone().slice([0..queries, range.clone(), 0..width]);
        let rows_of = |users: &[u32]| {
            let fields = self.fields_of(users);
            let part = fields.slice([0..users.len(), range.clone(), 0..width]);
            part.reshape([users.len(), columns])
        };
        let rows = blend_rows(rows.reshape([queries, columns]), blends, rows_of)?;
        Ok(rows.reshape([queries, range.len(), width]))
    }

    /// Scores of pairs: the place of each one's user in `fields`, and its item.
    fn score_pairs_of(
        &self,
        fields: &Tensor<3>,
        places: &[i32],
        items: &[u32],
    ) -> Result<Vec<f32>> {
        let mut scores = Vec::with_capacity(items.len());
        for (places, items) in places.chunks(PAIRS).zip(items.chunks(PAIRS)) {
            let places = TensorData::new(places.to_vec(), [places.len()]);
            let places = Tensor::from_data(places, &self.device);
            let user = fields.clone().select(0, places);
            let mut tape = Tape::inference(&self.device);
            let item = self.network.item_fields(&mut tape, items, None);
            let pairs = Tensor::cat(vec![user, item], 1);
            scores.extend(host(self.network.score(&mut tape, pairs))?);
        }
        Ok(scores)
    }

    /// Fields `[items, fields, width]` of all items.
    fn catalog_fields(&self) -> Tensor<3> {
        let items: Vec<u32> = (0..self.train.num_items as u32).collect();
        let mut tape = Tape::inference(&self.device);
        self.network.item_fields(&mut tape, &items, None)
    }

    /// The items' side, where scores are inner products.
    fn item_vectors(&self) -> Result<Option<ItemVectors>> {
        let Some(split) = self.network.head.split(self.catalog_fields()) else {
            return Ok(None);
        };
        Ok(Some(ItemVectors {
            dim: split.vectors.dims()[1],
            vectors: host(split.vectors)?,
            biases: Some(host(split.offsets)?),
        }))
    }

    /// The queries' side, where scores are inner products.
    fn query_side(&self, queries: &[Query<'_>]) -> Result<Option<Split>> {
        let split = self.network.head.split(self.user_fields(queries)?);
        Ok(split.map(|split| Split {
            offsets: split.offsets + self.network.bias.value(),
            ..split
        }))
    }

    fn catalog(&self) -> &Catalog {
        self.catalog.get_or_init(|| {
            let fields = self.catalog_fields();
            match self.network.head.split(fields.clone()) {
                Some(split) => Catalog::Vectors(Box::new(split)),
                None => Catalog::Fields(Box::new(fields)),
            }
        })
    }

    /// Scores `[queries, items]`, on the device.
    fn tile(&self, queries: &[Query<'_>]) -> Result<Tensor<2>> {
        match self.catalog() {
            Catalog::Vectors(items) => {
                let users = self.query_side(queries)?.context("both sides split")?;
                let products = users.vectors.matmul(items.vectors.clone().transpose());
                Ok(products + users.offsets + items.offsets.clone().transpose())
            }
            Catalog::Fields(fields) => Ok(self.cross(self.user_fields(queries)?, fields)),
        }
    }

    /// As many pairs at a time as the network takes.
    fn cross(&self, users: Tensor<3>, items: &Tensor<3>) -> Tensor<2> {
        let mut tape = Tape::inference(&self.device);
        let height = (PAIRS_ON_GPU / self.train.num_items.max(1)).max(1);
        let rows = users.split(height, 0).into_iter().map(|users| {
            let parts = items.clone().split(PAIRS_ON_GPU, 0).into_iter();
            let parts = parts.map(|items| self.network.cross(&mut tape, users.clone(), items));
            Tensor::cat(parts.collect(), 1)
        });
        Tensor::cat(rows.collect(), 0)
    }
}

impl Recommender for FeatureRecommender {
    fn num_items(&self) -> usize {
        self.train.num_items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        if queries.is_empty() {
            return Ok(());
        }
        let items: Vec<u32> = (0..self.train.num_items as u32).collect();
        let fields = self.user_fields(queries)?;
        for (place, row) in scores.chunks_mut(items.len().max(1)).enumerate() {
            let places = vec![place as i32; items.len()];
            row.copy_from_slice(&self.score_pairs_of(&fields, &places, &items)?);
        }
        Ok(())
    }

    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let mut scores = Vec::with_capacity(items.len());
        for (queries, items) in queries.chunks(PAIRS).zip(items.chunks(PAIRS)) {
            let (mut people, mut places) = (Vec::new(), Vec::with_capacity(items.len()));
            for run in queries.chunk_by(|a, b| a.is_same(b) && a.profile == b.profile) {
                places.extend(vec![people.len() as i32; run.len()]);
                people.push(run[0]);
            }
            let fields = self.user_fields(&people)?;
            scores.extend(self.score_pairs_of(&fields, &places, items)?);
        }
        Ok(scores)
    }

    fn predicts_clicks(&self) -> bool {
        self.loss == Loss::Clicks
    }

    fn score_form(&self) -> Result<ScoreForm> {
        if family(&self.device) == Family::Gpu {
            return Ok(ScoreForm::OnDevice);
        }
        let vectors = self.item_vectors()?;
        Ok(vectors.map_or(ScoreForm::Rows, ScoreForm::InnerProducts))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        let split = self.query_side(queries)?;
        let split = split.context("the scores of this model are not inner products")?;
        Ok(QueryVectors {
            vectors: host(split.vectors)?,
            offsets: host(split.offsets)?,
        })
    }

    fn pick_best(&self, queries: &[Query<'_>], masks: Masks<'_>, k: usize) -> Result<Vec<List>> {
        let height = (TILE / self.train.num_items.max(1)).max(1);
        top_k_in_tiles(queries, height, masks, k, |queries| self.tile(queries))
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        for param in self.network.params() {
            param.store(&mut weights, "")?;
        }
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserIdx;
    use crate::models::features::tests::{fit, fit_on, train};
    use crate::seed::Seed;

    const SHORT: &str = "epochs = 3\nbatch_size = 4";

    fn stranger(profile: Option<u32>, history: &'static [u32]) -> Query<'static> {
        Query {
            profile: profile.map(UserIdx),
            history,
            ..Query::default()
        }
    }

    fn known(user: u32) -> Query<'static> {
        Query {
            user: Some(UserIdx(user)),
            ..stranger(Some(user), &[])
        }
    }

    fn rows(model: &dyn Recommender, queries: &[Query<'_>]) -> Vec<Vec<f32>> {
        let mut scores = vec![0.0; queries.len() * model.num_items()];
        model.score(queries, &mut scores).unwrap();
        scores
            .chunks(model.num_items())
            .map(<[_]>::to_vec)
            .collect()
    }

    /// User 1 is alone in having item 2.
    #[test]
    fn somebody_with_one_neighbor_is_served_like_it() {
        for name in ["fm", "deep_fm", "dcn_v2"] {
            for params in ["", "features = false"] {
                let model = fit(name, params, SHORT);
                let queries = [stranger(None, &[2]), known(1), stranger(None, &[])];
                let rows = rows(&*model, &queries);
                assert_eq!(rows[0], rows[1], "{name} {params}");
                assert_ne!(rows[0], rows[2], "{name} {params}");
                let pairs = model.score_pairs(&queries, &[3, 3, 3]).unwrap();
                assert_eq!(pairs, [rows[0][3], rows[1][3], rows[2][3]]);
            }
        }
    }

    /// Sums of embeddings of fields, the vectors of a factorization machine.
    fn vectors(model: &dyn Recommender, queries: &[Query<'_>]) -> Vec<Vec<f64>> {
        let vectors = model.query_vectors(queries).unwrap().vectors;
        let wide = vectors.iter().map(|&v| f64::from(v));
        let wide: Vec<f64> = wide.collect();
        wide.chunks(16).map(<[_]>::to_vec).collect()
    }

    fn assert_near(a: &[f64], b: &[f64]) {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
        assert!(a.iter().zip(b).all(near), "{a:?} {b:?}");
    }

    /// Users 0 and 1 have item 1, and three and two items at all.
    #[test]
    fn neighbors_count_by_the_cosine_of_histories() {
        let model = fit("fm", "", SHORT);
        let found = vectors(&*model, &[stranger(None, &[1]), known(0), known(1)]);
        let (first, second) = ((1.0f64 / 3.0).sqrt(), (1.0f64 / 2.0).sqrt());
        let mean = found[1].iter().zip(&found[2]);
        let mean = mean.map(|(a, b)| (first * a + second * b) / (first + second));
        assert_near(&found[0], &mean.collect::<Vec<_>>());
    }

    #[test]
    fn somebody_with_features_takes_the_id_alone_of_neighbors() {
        let model = fit("fm", "", SHORT);
        let found = vectors(&*model, &[stranger(Some(3), &[2]), stranger(Some(3), &[])]);
        let weights = model.weights().unwrap();
        let shape = weights.tensors["user_embedding"].shape.clone();
        let table = weights.f32("user_embedding", &shape).unwrap();
        // Weights of fields are in the first column; 4 is the unknown id.
        let id = |row: usize| &table[17 * row + 1..17 * (row + 1)];
        let moved = id(1).iter().zip(id(4)).map(|(a, b)| f64::from(a - b));
        let expected = found[1].iter().zip(moved).map(|(v, by)| v + by);
        assert_near(&found[0], &expected.collect::<Vec<_>>());
    }

    /// User 0 was shown item 1 and did not click.
    #[test]
    fn what_was_not_clicked_makes_no_neighbor() {
        let model = fit("fm", "loss = \"log_loss\"", SHORT);
        let rows = rows(&*model, &[stranger(None, &[1]), known(1)]);
        assert_eq!(rows[0], rows[1]);
    }

    #[test]
    fn what_was_shown_to_a_user_of_the_data_makes_no_neighbor() {
        let model = fit("fm", "loss = \"log_loss\"", SHORT);
        let rows = rows(
            &*model,
            &[stranger(Some(3), &[1, 2]), stranger(Some(3), &[])],
        );
        assert_eq!(rows[0], rows[1]);
    }

    #[test]
    fn a_history_outside_the_catalog_is_an_error() {
        let model = fit("fm", "", SHORT);
        let error = model.query_vectors(&[stranger(None, &[9])]).err().unwrap();
        assert!(error.to_string().contains("catalog"), "{error}");
    }

    /// Item 5 has no interactions and no features: no seed says anything of it.
    #[test]
    fn what_was_never_learned_is_zero() {
        let train = Interactions {
            num_items: 6,
            ..train()
        };
        for seed in [1, 2] {
            let params = "loss = \"log_loss\"\nfeatures = false".parse().unwrap();
            let model = fit_on(&train, "fm", params, SHORT, Seed(seed));
            let ScoreForm::InnerProducts(items) = model.score_form().unwrap() else {
                panic!("a factorization machine ranks by inner products")
            };
            assert!(items.vectors[5 * 16..].iter().all(|v| *v == 0.0));
            assert!(items.vectors[..5 * 16].iter().all(|v| *v != 0.0));
            assert_eq!(items.biases.unwrap()[5], 0.0);
            let nobody = &vectors(&*model, &[stranger(None, &[])])[0];
            assert!(nobody.iter().all(|v| *v == 0.0));
        }
    }
}

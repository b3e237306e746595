//! What every model keeps to, checked for each one in the registry: adding a
//! model adds its tests.

pub mod world;

use burn::tensor::Device;
use recsys::data::Interactions;
use recsys::ids::UserIdx;
use recsys::model::{Query, Recommender, ScoreForm};
use recsys::models;
use recsys::ranking::{Ranker, RankingOptions, Request, TILE_BYTES, rank_rows};
use recsys::tensors::NamedTensors;
use std::collections::BTreeSet;
use world::*;

#[test]
fn documented_parameters_are_those_with_a_default() {
    each_model(|entry| {
        let documented: BTreeSet<_> = entry.params.iter().map(|(key, _)| *key).collect();
        let defaults = (entry.defaults)();
        let known: BTreeSet<_> = defaults.keys().map(String::as_str).collect();
        assert_eq!(documented, known, "{}", entry.name);
    });
}

#[test]
fn an_unknown_parameter_is_named() {
    each_model(|entry| {
        let table: toml::Table = "no_such_parameter = 1".parse().unwrap();
        let error = format!("{:#}", models::build(entry.name, table).err().unwrap());
        assert!(error.contains("no_such_parameter"), "{error}");
        assert!(error.contains(entry.name), "{error}");
    });
}

#[test]
fn known_users_have_finite_scores() {
    each_model(|entry| {
        let (train, model) = fitted(entry);
        assert_eq!(model.num_items(), ITEMS as usize);
        score(&*model, &known_users(&train));
    });
}

#[test]
fn new_users_are_told_apart_by_their_histories_or_refused_with_a_reason() {
    each_model(|entry| {
        let (_, model) = fitted(entry);
        let histories: [&[u32]; 3] = [&[0, 2], &[3, 3], &[]];
        let queries = histories.map(|history| Query {
            history,
            ..Query::default()
        });
        match model.serves_new_users() {
            Ok(()) => {
                let scores = score(&*model, &queries);
                let rows: Vec<&[f32]> = scores.chunks(ITEMS as usize).collect();
                // A model that has one row for everybody is no worse for it.
                let shared = matches!(model.score_form().unwrap(), ScoreForm::Shared(_));
                assert_eq!(rows[0] == rows[1], shared, "{}", entry.name);
                assert_eq!(rows[0] == rows[2], shared, "{}", entry.name);
            }
            Err(why) => {
                assert!(!why.to_string().is_empty());
                assert!(try_score(&*model, &queries).is_err(), "{}", entry.name);
            }
        }
    });
}

#[test]
fn a_known_user_may_have_an_empty_history() {
    each_model(|entry| {
        let (_, model) = fitted(entry);
        let known = Query {
            user: Some(UserIdx(0)),
            history: &[],
            ..Query::default()
        };
        score(&*model, &[known]);
    });
}

#[test]
fn scores_do_not_depend_on_who_else_is_asked() {
    each_model(|entry| {
        let (train, model) = fitted(entry);
        let queries = known_users(&train);
        let together = score(&*model, &queries);
        let alone: Vec<f32> = queries.iter().flat_map(|q| score(&*model, &[*q])).collect();
        assert_near(&together, &alone, entry.name);
    });
}

#[test]
fn pairs_score_as_in_the_whole_row() {
    each_model(|entry| {
        let (train, model) = fitted(entry);
        let queries = known_users(&train);
        let items: Vec<u32> = (0..USERS).map(|u| (u * 7 + 3) % ITEMS).collect();
        let pairs = model.score_pairs(&queries, &items).unwrap();
        let rows = score(&*model, &queries);
        let picked = items.iter().zip(rows.chunks(ITEMS as usize));
        let picked: Vec<f32> = picked.map(|(&i, row)| row[i as usize]).collect();
        assert_near(&pairs, &picked, entry.name);
    });
}

fn inner_products(model: &dyn Recommender, queries: &[Query<'_>]) -> Option<Vec<f32>> {
    let ScoreForm::InnerProducts(items) = model.score_form().unwrap() else {
        return None;
    };
    let users = model.query_vectors(queries).unwrap();
    let mut scores = Vec::new();
    for (user, offset) in users.vectors.chunks(items.dim).zip(&users.offsets) {
        for (i, item) in items.vectors.chunks(items.dim).enumerate() {
            let product: f32 = user.iter().zip(item).map(|(a, b)| a * b).sum();
            let bias = items.biases.as_ref().map_or(0.0, |b| b[i]);
            scores.push(product + bias + offset);
        }
    }
    Some(scores)
}

#[test]
fn inner_products_are_the_scores() {
    each_model(|entry| {
        let (train, model) = fitted(entry);
        let mut queries = known_users(&train);
        queries.extend(strangers());
        if let Some(products) = inner_products(&*model, &queries) {
            assert_near(&products, &score(&*model, &queries), entry.name);
        }
    });
}

#[test]
fn inner_products_hold_biases_and_the_scale_of_ratings() {
    let train = checkerboard();
    let params = "biases = true\nloss = \"mse\"".parse().unwrap();
    let spec = models::build("mf", params).unwrap();
    let text = format!("{SHORT}\nnormalize_ratings = true");
    let model = fit(&*spec, &train, &toml::from_str(&text).unwrap());
    let mut queries = known_users(&train);
    queries.extend(strangers());
    let products = inner_products(&*model, &queries).unwrap();
    assert_near(&products, &score(&*model, &queries), "mf with biases");
}

#[test]
fn ranking_gives_the_lists_of_the_scores() {
    each_model(|entry| {
        let (train, model) = fitted(entry);
        let mut queries = known_users(&train);
        queries.extend(strangers());
        let requests = queries.iter().map(|query| Request {
            query: *query,
            masked: query.history,
        });
        let requests: Vec<_> = requests.collect();
        let options = RankingOptions {
            model_name: entry.name,
            k: 4,
            allowed: None,
            seen: None,
            tile_bytes: TILE_BYTES,
        };
        let plain = rank_rows(&*model, &requests, &options).unwrap();
        let ranker = Ranker::new(&*model).unwrap();
        let lists = ranker.rank(&requests, &options).unwrap();
        for ((list, plain), query) in lists.iter().zip(&plain).zip(&queries) {
            assert_near(&list.scores, &plain.scores, entry.name);
            // Items whose scores differ by rounding alone may change places.
            let row = score(&*model, &[*query]);
            let own: Vec<f32> = list.items.iter().map(|i| row[*i as usize]).collect();
            assert_near(&own, &plain.scores, entry.name);
            let distinct: BTreeSet<_> = list.items.iter().collect();
            assert_eq!(distinct.len(), plain.items.len(), "{}", entry.name);
            assert!(query.history.iter().all(|i| !distinct.contains(i)));
        }
    });
}

#[test]
fn a_model_comes_back_from_disk() {
    each_model(|entry| {
        let (train, model) = fitted(entry);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.bpk");
        model.weights().unwrap().save_burnpack(&path).unwrap();
        let weights = NamedTensors::load_burnpack(&path).unwrap();
        let loaded = spec(entry).load(&weights, data(&train), &Device::flex());
        let queries = known_users(&train);
        assert_eq!(
            score(&*loaded.unwrap(), &queries),
            score(&*model, &queries),
            "{}",
            entry.name
        );
    });
}

#[test]
fn weights_of_another_catalog_are_refused() {
    each_model(|entry| {
        let (train, model) = fitted(entry);
        let weights = model.weights().unwrap();
        let smaller = Interactions::empty(train.num_users(), 3);
        let loaded = spec(entry).load(&weights, data(&smaller), &Device::flex());
        assert!(loaded.is_err(), "{}", entry.name);
    });
}

#[test]
fn the_same_seed_gives_the_same_model_at_any_thread_count() {
    each_model(|entry| {
        let (train, model) = fitted(entry);
        let queries = known_users(&train);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let single = one.unwrap().install(|| fitted(entry).1);
        assert_eq!(
            score(&*single, &queries),
            score(&*model, &queries),
            "{}",
            entry.name
        );
    });
}

#[test]
fn refitting_equals_a_fresh_fit() {
    each_model(|entry| {
        let used = spec(entry);
        let training = training(entry, SHORT);
        drop(fit(&*used, &stripes(), &training));
        let train = checkerboard();
        let refit = fit(&*used, &train, &training);
        let fresh = fit(&*spec(entry), &train, &training);
        let queries = known_users(&train);
        assert_eq!(
            score(&*refit, &queries),
            score(&*fresh, &queries),
            "{}",
            entry.name
        );
    });
}

/// The item that was withheld from a user is the best of those it has not had.
///
/// Few epochs, because a large model that goes on learns by heart that the
/// withheld items are negatives, too.
#[test]
fn personalized_models_complete_the_checkerboard() {
    each_model(|entry| {
        // The latter predicts ratings, which say nothing of who rates what.
        if ["popularity", "svdpp"].contains(&entry.name) {
            return;
        }
        let train = checkerboard();
        let (epochs, rate) = match entry.name {
            "rec_vae" => (20, 0.001),
            // Learns from the few items that it masks.
            "bert4rec" => (200, 0.001),
            _ => (20, 0.005),
        };
        let text = format!("epochs = {epochs}\nbatch_size = 16\nlearning_rate = {rate}");
        let training = training(entry, &text);
        let spec = match entry.name {
            // With as many singular vectors as items, a history is its own
            // projection.
            "pure_svd" => models::build("pure_svd", "embedding_dim = 2".parse().unwrap()).unwrap(),
            _ => spec(entry),
        };
        let model = fit(&*spec, &train, &training);
        let rows = score(&*model, &known_users(&train));
        for (user, row) in rows.chunks(ITEMS as usize).enumerate() {
            let seen = train.items_of(UserIdx(user as u32));
            let unseen = (0..ITEMS).filter(|i| !seen.contains(i));
            let best = unseen.max_by(|a, b| row[*a as usize].total_cmp(&row[*b as usize]));
            assert_eq!(best, Some(user as u32), "{}: {row:?}", entry.name);
        }
    });
}

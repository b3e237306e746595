//! Real data, where it lies beside the project.

use super::*;
use crate::data::stats::stats;
use std::path::PathBuf;

fn dataset(name: &str, config: &str) -> Option<Dataset> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/datasets")).join(name);
    if !dir.is_dir() {
        eprintln!("skipped: {} is not there", dir.display());
        return None;
    }
    let config: DataConfig = toml::from_str(config).unwrap();
    Some(read(&config, &dir, &mut Listener::default()).unwrap())
}

fn sizes(d: &Dataset) -> (usize, usize, usize) {
    (d.users.len(), d.items.len(), d.log.len())
}

#[test]
fn ml_100k() {
    let Some(d) = dataset(
        "ml-100k",
        "path = 'u.data.gz'
        rating = 3
        timestamp = 4
        [user_features]
        path = 'u.user'
        columns.age = { type = 'numeric', column = 2 }
        columns.occupation = { type = 'categorical', column = 4 }
        [item_features]
        path = 'u.item.gz'
        encoding = 'latin-1'
        title = 2",
    ) else {
        return;
    };
    assert_eq!(sizes(&d), (943, 1682, 100_000));
    let s = stats(&d);
    assert_eq!(s.duplicates, 0);
    assert_eq!((s.per_user.min, s.per_user.max), (20, 737));
    assert_eq!(
        s.ratings.unwrap().histogram.unwrap(),
        [
            (1.0, 6110),
            (2.0, 11370),
            (3.0, 27145),
            (4.0, 34174),
            (5.0, 21201)
        ]
    );
    let time = s.time.unwrap();
    assert_eq!(
        (&time.first[..10], &time.last[..10]),
        ("1997-09-20", "1998-04-22")
    );
    let titles = d.item_features.unwrap();
    let toy_story = d.items.get("1").unwrap();
    assert_eq!(titles.title_of(toy_story), Some("Toy Story (1995)"));
}

#[test]
fn ml_100k_cleaned() {
    let Some(d) = dataset(
        "ml-100k",
        "path = 'u.data.gz'
        rating = 3
        timestamp = 4
        [clean]
        min_rating = 4
        min_user_interactions = 10
        min_item_interactions = 10",
    ) else {
        return;
    };
    assert_eq!(d.cleaning[1].rows, 55_375);
    let s = stats(&d);
    assert!(s.per_user.min >= 10 && s.per_item.min >= 10);
    assert_eq!(d.cleaning.last().unwrap().rows, d.log.len());
}

#[test]
fn ml_1m_with_latin_1_titles() {
    let Some(d) = dataset(
        "ml-1m",
        "path = 'ratings.dat.gz'
        delimiter = '::'
        rating = 3
        timestamp = 4
        [item_features]
        path = 'movies.dat.gz'
        delimiter = '::'
        encoding = 'latin-1'
        title = 2
        columns.genres = { type = 'list', column = 3 }",
    ) else {
        return;
    };
    assert_eq!(sizes(&d), (6040, 3706, 1_000_209));
    let table = d.item_features.unwrap();
    let title = |id| table.title_of(d.items.get(id).unwrap());
    assert_eq!(title("73"), Some("Mis\u{e9}rables, Les (1995)"));
    assert_eq!(title("2"), Some("Jumanji (1995)"));
}

#[test]
fn gowalla_with_given_parts() {
    let Some(d) = dataset(
        "lightgcn-gowalla",
        "train = 'train.txt.gz'
        test = 'test.txt.gz'
        format = 'user_items'",
    ) else {
        return;
    };
    assert_eq!(sizes(&d), (29_858, 40_981, 1_027_370));
    let s = stats(&d);
    assert_eq!((s.parts["train"], s.parts["test"]), (810_128, 217_242));
}

#[test]
fn beauty_in_pairs() {
    let Some(d) = dataset(
        "bert4rec-beauty",
        "path = 'beauty.txt.gz'\nformat = 'pairs'",
    ) else {
        return;
    };
    assert_eq!(sizes(&d), (40_226, 54_542, 353_962));
}

#[test]
fn ncf_ml_1m_with_given_negatives() {
    let Some(d) = dataset(
        "ncf-ml-1m",
        "train = 'ml-1m.train.rating.gz'
        test = 'ml-1m.test.rating'
        negatives = 'ml-1m.test.negative.gz'
        rating = 3
        timestamp = 4",
    ) else {
        return;
    };
    assert_eq!(sizes(&d), (6040, 3706, 1_000_209));
    let negatives = d.negatives.unwrap();
    assert!((0..6040).all(|u| negatives.items_of(crate::ids::UserIdx(u)).len() == 99));
}

#[test]
fn book_crossing_with_escaped_quotes_in_latin_1() {
    let Some(d) = dataset(
        "book-crossing",
        r#"path = 'BX-Book-Ratings.csv.gz'
        encoding = 'latin-1'
        escape = "\\"
        user = 'User-ID'
        item = 'ISBN'
        rating = 'Book-Rating'
        [item_features]
        path = 'BX-Books.csv.gz'
        encoding = 'latin-1'
        escape = "\\"
        id = 'ISBN'
        title = 'Book-Title'
        [user_features]
        path = 'BX-Users.csv.gz'
        encoding = 'latin-1'
        escape = "\\"
        id = 'User-ID'
        columns = { Age = 'numeric', Location = 'text' }"#,
    ) else {
        return;
    };
    assert_eq!(d.log.len(), 1_149_780);
    assert_eq!(d.users.len(), 105_283);
    let titles = d.item_features.unwrap();
    let book = d.items.get("0449003787").unwrap();
    assert_eq!(titles.title_of(book), Some("\"O\" Is for Outlaw"));
}

#[test]
fn online_retail_with_missing_customers() {
    let Some(d) = dataset(
        "online-retail",
        "path = 'online-retail.csv.gz'
        user = 'CustomerID'
        item = 'StockCode'
        rating = 'Quantity'
        timestamp = 'InvoiceDate'
        [clean]
        min_rating = 1
        duplicates = 'sum'",
    ) else {
        return;
    };
    assert_eq!(d.cleaning[0].rows, 541_909);
    // Rows without a customer, and returns (negative quantities).
    assert_eq!(d.cleaning[1].rows, 406_829);
    assert_eq!((d.cleaning[2].rows, d.cleaning[2].users), (397_924, 4339));
    assert_eq!(stats(&d).duplicates, 0);
}

use super::*;
use crate::data::dataset::Part;
use crate::data::features::FeatureValues;
use crate::ids::UserIdx;
use proptest::prelude::*;

#[test]
fn csv_with_usual_names_needs_no_columns() {
    let d = read_files(
        &[(
            "l.csv",
            b"userId,x,movieId,rating,timestamp\n7,0,a,4.5,100\n8,0,b,3,50\n7,0,b,1,200\n",
        )],
        "path = 'l.csv'",
    );
    assert_eq!(pairs(&d), of("7-a 8-b 7-b"));
}

#[test]
fn columns_by_name_and_by_position() {
    let text = b"who;what;stars\n7;a;4.5\n8;b;3\n";
    let by_name = "path = 'l.csv'\nuser = 'who'\nitem = 'what'\nrating = 'stars'";
    let by_position = "path = 'l.csv'\nheader = true\nuser = 1\nitem = 2\nrating = 3";
    for config in [by_name, by_position] {
        let d = read_files(&[("l.csv", text)], config);
        assert_eq!(pairs(&d), of("7-a 8-b"));
        assert_eq!(d.log.weights, Some(vec![4.5, 3.0]));
        assert_eq!(d.log.timestamps, None);
    }
}

#[test]
fn two_character_delimiters_without_a_header() {
    let d = read_files(
        &[(
            "ratings.dat",
            b"1::1193::5::978300760\n1::661::3::978302109\n",
        )],
        "path = 'ratings.dat'\nrating = 3\ntimestamp = 4",
    );
    assert_eq!(pairs(&d), of("1-1193 1-661"));
    assert_eq!(d.log.timestamps, Some(vec![978_300_760, 978_302_109]));
}

#[test]
fn the_most_frequent_delimiter_of_the_first_line_is_taken() {
    let d = read_files(
        &[("l.txt", b"1;2;0,5\n3;4;1,5\n")],
        "path = 'l.txt'\nitem = 3",
    );
    assert_eq!(pairs(&d), of("1-0,5 3-1,5"));
    let d = read_files(&[("l.txt", b"1|a:b::c|2\n")], "path = 'l.txt'\nitem = 3");
    assert_eq!(pairs(&d), of("1-2"));
}

#[test]
fn gzip_and_zstd_read_like_plain_text() {
    let text = b"1\t5\n2\t6\n";
    let zst = zstd::encode_all(&text[..], 1).unwrap();
    let d = read_files(
        &[("u.data.zst", &zst)],
        "path = 'u.data.zst'\nformat = 'tsv'",
    );
    assert_eq!(pairs(&d), of("1-5 2-6"));
}

#[test]
fn recbole_files_carry_their_columns_and_feature_types() {
    let d = read_files(
        &[
            ("x.inter", b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\ta\t4\t8.8e8\n2\tb\t3\t5\n"),
            ("x.item", b"item_id:token\tgenre:token_seq\tprice:float\tkind:token\nb\tx y\t2.5\tk\nz\tx\t1\tk\n"),
        ],
        "path = 'x.inter'\n[item_features]\npath = 'x.item'",
    );
    assert_eq!(pairs(&d), of("1-a 2-b"));
    assert_eq!(d.log.timestamps, Some(vec![880_000_000, 5]));
    let table = d.item_features.unwrap();
    let names: Vec<_> = table.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["genre", "price", "kind"]);
    assert_eq!(
        table.columns[0].values,
        FeatureValues::List {
            labels: vec!["x".into(), "y".into()],
            codes: vec![vec![], vec![0, 1]]
        }
    );
    let FeatureValues::Numeric(prices) = &table.columns[1].values else {
        panic!("numeric")
    };
    assert!(prices[0].is_nan() && prices[1] == 2.5);
}

#[test]
fn one_line_for_each_user() {
    let d = read_files(
        &[("t.txt", b"0 5 6\n1 \n2 5\n")],
        "path = 't.txt'\nformat = 'user_items'",
    );
    assert_eq!(pairs(&d), of("0-5 0-6 2-5"));
}

#[test]
fn pairs_keep_their_order_and_have_no_times() {
    let d = read_files(
        &[("p.txt", b"1 9\n1 3\n2 9\n")],
        "path = 'p.txt'\nformat = 'pairs'",
    );
    assert_eq!(pairs(&d), of("1-9 1-3 2-9"));
    assert_eq!(d.log.timestamps, None);
}

#[test]
fn given_parts_share_their_ids() {
    let d = read_files(
        &[
            ("a.txt", b"0 1 2\n1 1\n"),
            ("b.txt", b"1 2\n"),
            ("c.txt", b"0 9\n"),
        ],
        "train = 'a.txt'\nvalidation = 'b.txt'\ntest = 'c.txt'\nformat = 'user_items'",
    );
    assert_eq!((d.users.len(), d.items.len()), (2, 3));
    use Part::{Test, Train, Validation};
    assert_eq!(
        d.log.parts,
        Some(vec![Train, Train, Train, Validation, Test])
    );
}

#[test]
fn given_negatives_join_the_catalog() {
    let d = read_files(
        &[
            ("a", b"0\t5\n1\t6\n"),
            ("b", b"0\t6\n"),
            ("n", b"(0,6)\t7\t5\n"),
        ],
        "train = 'a'\ntest = 'b'\nnegatives = 'n'\ndelimiter = \"\\t\"",
    );
    let negatives = d.negatives.unwrap();
    assert_eq!(d.items.external(2), "7");
    assert_eq!(negatives.items_of(UserIdx(0)), [2, 0]);
    assert_eq!((negatives.num_users(), negatives.num_items), (2, 3));
}

#[test]
fn events_have_weights() {
    let d = read_files(
        &[("e.csv", b"user,item,event,timestamp\n1,a,view,2010-12-01 08:26:00\n1,b,cart,2010-12-01 08:27:00\n2,a,ping,2010-12-02\n")],
        "path = 'e.csv'\nevent = 'event'\nevent_weights = { view = 1, cart = 2.5, ping = 0 }",
    );
    assert_eq!(pairs(&d), of("1-a 1-b"));
    assert_eq!(d.log.weights, Some(vec![1.0, 2.5]));
    assert_eq!(d.log.timestamps.unwrap()[0], 1_291_191_960);
    assert_eq!(d.users.len(), 1);
    assert_eq!((d.cleaning[0].rows, d.cleaning[0].users), (3, 2));
    assert!(d.cleaning[1].name.contains("1 of an event with weight 0"));
    assert_eq!((d.cleaning[1].rows, d.cleaning[1].users), (2, 1));
}

#[test]
fn milliseconds_become_seconds() {
    let files: &[(&str, &[u8])] = &[("l.csv", b"user,item,timestamp\n1,1,1574553618500\n1,2,5\n")];
    assert_eq!(
        read_files(files, "path = 'l.csv'").log.timestamps,
        Some(vec![1_574_553_618, 0])
    );
    assert_eq!(
        read_files(files, "path = 'l.csv'\ntimestamp_unit = 'seconds'")
            .log
            .timestamps,
        Some(vec![1_574_553_618_500, 5])
    );
}

#[test]
fn sources_with_their_own_columns_join_on_ids() {
    let files: &[(&str, &[u8])] = &[
        ("web1.csv", b"uid,sku\n1,a\n"),
        ("web2.csv", b"uid,sku\n2,b\n"),
        ("app.tsv", b"x1\ta\t2\n1\tc\t3\n"),
    ];
    let sources = "
        [[source]]
        name = 'web'
        path = 'web*.csv'
        user = 'uid'
        item = 'sku'
        [[source]]
        name = 'app'
        path = 'app.tsv'
        rating = 3";
    let d = read_files(files, sources);
    assert_eq!(pairs(&d), of("1-a 2-b x1-a 1-c"));
    assert_eq!(d.platforms, ["web", "app"]);
    assert_eq!(d.log.platforms, Some(vec![0, 0, 1, 1]));
    // Where a source has no ratings, each interaction counts once.
    assert_eq!(d.log.weights, Some(vec![1.0, 1.0, 2.0, 3.0]));
    let apart = read_files(files, &format!("shared = 'users'\n{sources}"));
    assert_eq!(pairs(&apart), of("1-web:a 2-web:b x1-app:a 1-app:c"));
}

#[test]
fn a_platform_column() {
    let d = read_files(
        &[("l.csv", b"user,item,site\n1,a,de\n1,b,fr\n2,a,de\n")],
        "path = 'l.csv'\nplatform = 'site'",
    );
    assert_eq!(d.platforms, ["de", "fr"]);
    assert_eq!(d.log.platforms, Some(vec![0, 1, 0]));
}

#[test]
fn rows_with_empty_cells_are_dropped_counted_and_reported() {
    let (d, warnings) = try_read(
        &[(
            "l.csv",
            b"user,item,rating\n1,a,5\n,a,4\n2,NULL,4\n3,b,\n4,b,3\n",
        )],
        "path = 'l.csv'",
    )
    .unwrap();
    assert_eq!(pairs(&d), of("1-a 4-b"));
    let counts: Vec<_> = d
        .cleaning
        .iter()
        .map(|s| (s.rows, s.users, s.items))
        .collect();
    assert_eq!(counts, [(5, 4, 2), (2, 2, 2)]);
    assert!(warnings[0].contains("3 of 5 rows"), "{warnings:?}");
}

#[test]
fn malformed_rows_are_dropped_when_asked_to() {
    let d = read_files(
        &[("l.csv", b"user,item,rating\n1,a,5\n1,b\n2,a,x\n")],
        "path = 'l.csv'\n[clean]\nmalformed = 'drop'",
    );
    assert_eq!(d.log.len(), 1);
    assert_eq!(d.cleaning[0].rows, 3);
    assert!(d.cleaning[1].name.contains("2 malformed"));
}

#[test]
fn features_by_position_in_latin_1() {
    let d = read_files(
        &[
            ("l.dat", b"1::3\n2::1\n"),
            (
                "movies.dat",
                b"1::Toy Story::Animation|Comedy\n3::Caf\xe9::Drama|Comedy\n4::No::Drama\n",
            ),
        ],
        "path = 'l.dat'
        [item_features]
        path = 'movies.dat'
        encoding = 'latin-1'
        title = 2
        columns = { genres = { type = 'list', column = 3 } }",
    );
    let table = d.item_features.unwrap();
    assert_eq!(table.title_of(0), Some("Caf\u{e9}"));
    assert_eq!(table.title_of(1), Some("Toy Story"));
    assert_eq!(
        table.column("genres").unwrap().values,
        FeatureValues::List {
            labels: vec!["Animation".into(), "Comedy".into(), "Drama".into()],
            codes: vec![vec![2, 1], vec![0, 1]]
        }
    );
}

#[test]
fn features_by_name() {
    let (d, warnings) = try_read(
        &[
            ("l.csv", b"user,item\n1,a\n2,b\n"),
            (
                "u.csv",
                b"user,age,sex,bio\n2,30,f,\"likes, lists\"\n1,,m,\n1,5,m,x\n",
            ),
        ],
        "path = 'l.csv'
        [user_features]
        path = 'u.csv'
        columns = { age = 'numeric', sex = 'categorical', bio = 'text' }",
    )
    .unwrap();
    let table = d.user_features.unwrap();
    assert_eq!(
        table.column("sex").unwrap().values,
        FeatureValues::Categorical {
            labels: vec!["f".into(), "m".into()],
            codes: vec![Some(1), Some(0)]
        }
    );
    assert_eq!(
        table.column("bio").unwrap().values,
        FeatureValues::Text(vec![String::new(), "likes, lists".into()])
    );
    assert!(
        warnings.iter().any(|w| w.contains("repeat an id")),
        "{warnings:?}"
    );
}

#[test]
fn of_rows_with_one_id_the_config_says_which_counts() {
    let read = |duplicates: &str| {
        let (d, warnings) = try_read(
            &[
                ("l.csv", b"user,item\n1,a\n2,b\n"),
                (
                    "i.csv",
                    b"item,price,tags,kind,text\na,1,x|y,p,t\nb,2,z,q,u\na,,w,,\n",
                ),
            ],
            &format!(
                "path = 'l.csv'\n[item_features]\npath = 'i.csv'\n{duplicates}\n\
                 columns = {{ price = 'numeric', tags = 'list', kind = 'categorical', text = 'text' }}"
            ),
        )
        .unwrap();
        let table = d.item_features.unwrap();
        let shown = |name: &str| match &table.column(name).unwrap().values {
            FeatureValues::Numeric(values) => values[0].to_string(),
            FeatureValues::Text(values) => values[0].clone(),
            FeatureValues::Categorical { labels, codes } => {
                codes[0].map_or(String::new(), |c| labels[c as usize].clone())
            }
            FeatureValues::List { labels, codes } => {
                let names = codes[0].iter().map(|&c| labels[c as usize].clone());
                names.collect::<Vec<_>>().join("+")
            }
        };
        let values = ["price", "tags", "kind", "text"].map(shown).join(" ");
        (values, warnings.join(" "))
    };
    let (values, warnings) = read("");
    assert_eq!(values, "1 x+y p t");
    assert!(
        warnings.contains("its first row counts (data.item_features.duplicates"),
        "{warnings}"
    );
    assert_eq!(
        read("duplicates = 'first'"),
        ("1 x+y p t".into(), "".into())
    );
    assert_eq!(read("duplicates = 'last'"), ("NaN w  ".into(), "".into()));
}

#[test]
fn the_hash_follows_content_and_config() {
    let a = read_files(&[("l.csv", b"user,item\n1,a\n")], "path = 'l.csv'");
    let b = read_files(&[("l.csv", b"user,item\n1,a\n")], "path = 'l.csv'");
    let c = read_files(&[("l.csv", b"user,item\n1,b\n")], "path = 'l.csv'");
    let d = read_files(
        &[("l.csv", b"user,item\n1,a\n")],
        "path = 'l.csv'\n[clean]\nduplicates = 'last'",
    );
    assert_eq!(a.hash, b.hash);
    assert_ne!(a.hash, c.hash);
    assert_ne!(a.hash, d.hash);
}

proptest! {
    #[test]
    fn what_is_written_is_read(rows in proptest::collection::vec(("[a-z0-9]{1,3}", 0u32..50, -5i32..6), 1..40)) {
        let mut text = String::from("user,item,rating\n");
        for (user, item, rating) in &rows {
            text += &format!("{user},{item},{rating}\n");
        }
        let d = read_files(&[("l.csv", text.as_bytes())], "path = 'l.csv'");
        let null = ["nan", "null"];
        let kept: Vec<_> = rows.iter().filter(|r| !null.contains(&r.0.as_str())).collect();
        let expected: Vec<_> = kept.iter().map(|r| (r.0.clone(), r.1.to_string())).collect();
        prop_assert_eq!(pairs(&d), expected);
        let weights: Vec<f32> = kept.iter().map(|r| r.2 as f32).collect();
        prop_assert_eq!(d.log.weights.unwrap(), weights);
    }

    #[test]
    fn any_bytes_are_data_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        for config in ["format = 'csv'", "format = 'tsv'", "format = 'user_items'", "format = 'recbole'", "format = 'parquet'", "encoding = 'latin-1'"] {
            let _ = try_read(&[("f", &bytes)], &format!("path = 'f'\n{config}"));
        }
    }
}

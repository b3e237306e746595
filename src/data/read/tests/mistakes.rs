use super::*;

#[track_caller]
fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    says(
        &failure(&[], "path = 'none.csv'"),
        &["data.path", "none.csv"],
    );
    says(
        &failure(&[("a", b"1 1\n")], "train = 'a'\ntest = 'b'"),
        &["data.test", "b"],
    );
    says(&failure(&[], ""), &["data.path is not set"]);
}

#[test]
fn a_missing_column_lists_those_that_are_there() {
    let error = failure(
        &[("l.csv", b"user_id,item_id,stars\n1,2,3\n")],
        "path = 'l.csv'\nrating = 'star'",
    );
    says(
        &error,
        &[
            "data.rating",
            "`star`",
            "l.csv",
            "did you mean `stars`",
            "user_id, item_id, stars",
        ],
    );
    let error = failure(
        &[("l.csv", b"who,what\n1,2\n")],
        "path = 'l.csv'\nheader = true",
    );
    says(&error, &["data.user", "who, what"]);
    let error = failure(&[("l.dat", b"1::2\n")], "path = 'l.dat'\nrating = 3");
    says(&error, &["data.rating", "no column 3", "it has 2"]);
}

#[test]
fn malformed_rows_name_file_line_and_how_many_more() {
    let error = failure(
        &[(
            "l.csv",
            b"user,item,rating\n1,2,3\n1,2\n\n2,3,four\n2,3,4\n",
        )],
        "path = 'l.csv'",
    );
    says(
        &error,
        &["l.csv line 3", "2 fields where 3", "1 more malformed row"],
    );
    let error = failure(&[("l.csv", b"user,item,rating\n1,2,x\n")], "path = 'l.csv'");
    says(&error, &["line 2", "rating `x` is not a number"]);
    let error = failure(
        &[("l.csv", b"user,item,timestamp\n1,2,soon\n")],
        "path = 'l.csv'",
    );
    says(&error, &["line 2", "timestamp `soon`"]);
    let error = failure(&[("p", b"1 2\n1 2 3\n")], "path = 'p'\nformat = 'pairs'");
    says(&error, &["line 2", "3 fields where 2"]);
}

#[test]
fn an_unlisted_event_is_an_error_with_a_suggestion() {
    let error = failure(
        &[("l.csv", b"user,item,event\n1,2,veiw\n")],
        "path = 'l.csv'\nevent = 'event'\nevent_weights = { view = 1 }",
    );
    says(&error, &["line 2", "veiw", "did you mean `view`"]);
    let error = failure(
        &[("l.csv", b"user,item,event\n1,2,view\n")],
        "path = 'l.csv'\nevent = 'event'",
    );
    says(&error, &["data.event_weights"]);
}

#[test]
fn the_step_that_leaves_nothing_is_named() {
    let error = failure(
        &[("l.csv", b"user,item,rating\n1,2,3\n")],
        "path = 'l.csv'\n[clean]\nmin_rating = 4",
    );
    says(&error, &["rating >= 4", "1 before"]);
    let error = failure(&[("l.csv", b"user,item\n,2\n")], "path = 'l.csv'");
    says(&error, &["empty cell"]);
    says(
        &failure(&[("l.csv", b"user,item\n")], "path = 'l.csv'"),
        &["no interactions"],
    );
    says(
        &failure(&[("l.csv", b"")], "path = 'l.csv'"),
        &["l.csv", "empty"],
    );
}

#[test]
fn sources_must_agree() {
    let files: &[(&str, &[u8])] = &[
        ("a.csv", b"user,item,timestamp\n1,2,3\n"),
        ("b.csv", b"user,item\n1,2\n"),
    ];
    let error = failure(files, "path = ['a.csv', 'b.csv']");
    says(&error, &["a.csv", "b.csv", "timestamps"]);
    read_files(files, "path = ['a.csv', 'b.csv']\ntimestamp = ''");
    let error = failure(
        files,
        "[[source]]\npath = 'a.csv'\n[[source]]\npath = 'b.csv'",
    );
    says(&error, &["name"]);
    let error = failure(files, "path = 'a.csv'\ntest = 'b.csv'");
    says(&error, &["exclude"]);
}

#[test]
fn feature_mistakes_name_their_key() {
    let files: &[(&str, &[u8])] = &[
        ("l.csv", b"user,item\n1,a\n"),
        ("i.csv", b"item,price\nz,cheap\na,cheap\n"),
    ];
    let with = |more: &str| {
        failure(
            files,
            &format!("path = 'l.csv'\n[item_features]\npath = 'i.csv'\n{more}"),
        )
    };
    says(&with(""), &["data.item_features.columns", "item, price"]);
    says(
        &with("columns = { prize = 'numeric' }"),
        &["data.item_features.columns.prize", "did you mean `price`"],
    );
    says(
        &with("columns = { price = 'numeric' }"),
        &["i.csv line 3", "price `cheap` is not a number"],
    );
    says(
        &with("id = 'price'\ncolumns = { item = 'text' }"),
        &["no id is one of the data"],
    );
}

#[test]
fn a_truncated_gzip_file_is_an_error() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for i in 0..5000 {
        writeln!(encoder, "{i},{}", i * 7919 % 5003).unwrap();
    }
    let whole = encoder.finish().unwrap();
    let error = failure(
        &[("l.csv.gz", &whole[..whole.len() / 2])],
        "path = 'l.csv.gz'",
    );
    says(&error, &["cannot read", "l.csv.gz"]);
}

#[test]
fn a_first_line_without_numbers_is_not_taken_for_data_unasked() {
    let text = b"Invoice,StockCode,Quantity\n536,A1,2\n537,B1,1\n";
    let read = |more: &str| try_read(&[("l.csv", text)], &format!("path = 'l.csv'\n{more}"));
    let error = format!("{:#}", read("user = 1\nitem = 2").unwrap_err());
    assert!(
        error.contains("is its first line (Invoice, StockCode, Quantity) a header?"),
        "{error}"
    );
    let rows = |more: &str| read(more).unwrap().0.log.len();
    assert_eq!(rows("user = 'Invoice'\nitem = 'StockCode'"), 2);
    assert_eq!(rows("header = true\nuser = 1\nitem = 2"), 2);
    assert_eq!(rows("header = false"), 3);
}

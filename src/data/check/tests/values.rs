//! Values, ids, texts, items and columns.

use super::{CONFIG, Planted, START, lines, log, with};
use crate::data::check::Severity;
use std::fmt::Write as _;

#[test]
fn times_in_wrong_units_zero_and_in_the_future() {
    let swap = |factor: i64| {
        log()
            .lines()
            .skip(1)
            .fold("user,item,rating,timestamp\n".to_string(), |text, line| {
                let (rest, time) = line.rsplit_once(',').unwrap();
                text + &format!("{rest},{}\n", time.parse::<i64>().unwrap() * factor)
            })
    };
    let seconds = CONFIG.replace("[split]", "timestamp_unit = \"seconds\"\n[split]");
    let planted = Planted::new(&seconds, &[("log.csv", &swap(1000))]);
    assert_eq!(
        planted.find_and_mend("timestamp unit").severity,
        Severity::Error
    );
    let milliseconds = CONFIG.replace("[split]", "timestamp_unit = \"milliseconds\"\n[split]");
    let planted = Planted::new(&milliseconds, &[("log.csv", &log())]);
    planted.find_and_mend("timestamp unit");
    let micro = Planted::new(CONFIG, &[("log.csv", &swap(1_000_000))]).find("timestamp unit");
    assert!(micro.advice.unwrap().contains("divide the column by 1000 "));
    let zero = with("3,19,1,0\n").find_and_mend("zero timestamps");
    assert_eq!((zero.count, lines(&zero)), (1, vec![242]));
    let future = with("3,19,1,4000000000\n").find_and_mend("future timestamps");
    assert_eq!(
        (future.severity, lines(&future)),
        (Severity::Error, vec![242])
    );
    let early = with("3,19,1,99\n").find_and_mend("early timestamps");
    assert_eq!(lines(&early), [242]);
    let same = "user,item,timestamp\n1,1,1500000000\n1,2,1500000000\n1,3,1500000000\n";
    Planted::new(CONFIG, &[("log.csv", same)]).find_and_mend("constant timestamps");
}

#[test]
fn ratings_that_are_no_ratings() {
    let plant = |rating: &str| with(&format!("3,19,{rating},{START}\n"));
    let negative = plant("-2").find_and_mend("negative ratings");
    assert_eq!(lines(&negative), [242]);
    assert_eq!(plant("0").find_and_mend("zero ratings").count, 1);
    // One in a thousand or fewer is no value of the scale.
    let long = (100..200).fold(String::new(), |text, user| {
        (0..10).fold(text, |text, i| {
            text + &format!("{user},{i},{},{}\n", 1 + i % 5, START + 500 * i)
        })
    });
    let off = with(&format!("{long}3,19,99,{START}\n")).find_and_mend("ratings off the scale");
    assert_eq!(off.mend.unwrap().line, "clip = { min = 1.0, max = 5.0 }");
    let plays = |last: &str| {
        let rows = (0..200).fold("user,item,rating\n".to_string(), |text, i| {
            text + &format!("{},{},{}\n", i % 20, i / 20, 1 + i)
        });
        rows + last
    };
    let config = CONFIG.replace("leave_one_out", "ratio_per_user");
    let outlier = Planted::new(&config, &[("log.csv", &plays("3,15,900000\n"))]);
    let outlier = outlier.find_and_mend("outlier ratings");
    assert_eq!((outlier.count, lines(&outlier)), (1, vec![202]));
    let constant = log()
        .replace(",1,1", ",4,1")
        .lines()
        .fold(String::new(), |text, line| {
            let cells: Vec<_> = line.split(',').collect();
            let rating = if cells[2] == "rating" { "rating" } else { "4" };
            text + &format!("{},{},{rating},{}\n", cells[0], cells[1], cells[3])
        });
    Planted::new(CONFIG, &[("log.csv", &constant)]).find_and_mend("constant ratings");
}

#[test]
fn ids_that_were_numbers_or_are_written_twice() {
    let text = |id: &str| with(&format!("{id},19,1,{START}\n"));
    let floats = text("777.0").find("ids that are floats");
    assert_eq!(
        (floats.count, floats.examples[0].text.as_str()),
        (1, "user `777.0`")
    );
    let twice = text("7.0").find("ids written in two ways");
    assert_eq!(
        (twice.severity, twice.examples[0].text.as_str()),
        (Severity::Error, "user `7` and `7.0`")
    );
    let twice = text("007").find("ids written in two ways");
    assert_eq!(twice.examples[0].text, "user `7` and `007`");
    assert_eq!(text("00123").find("ids with leading zeros").count, 1);
    let many = (100..300).fold(String::new(), |t, u| t + &format!("{u},19,1,{START}\n"));
    let header = with(&format!("{many}user,item,1,{START}\n")).find("ids that are no numbers");
    assert_eq!(header.examples[0].text, "user `user`");
    let case = with(&format!(
        "Bob,19,1,{START}\nbob ,3,1,{START}\nbob,4,1,{START}\n"
    ));
    let found = case.find("ids that differ in case or blanks");
    assert_eq!(found.examples[0].text, "user `Bob` and `bob`");
    let padded = case.find("blanks around ids");
    assert_eq!((padded.count, lines(&padded)), (1, vec![243]));
    let nobody = (0..300).fold(String::new(), |t, i| {
        t + &format!("-1,{i},1,{}\n", START + 99 * i)
    });
    let found = with(&nobody).find_and_mend("placeholder ids");
    // The item 0 may be popular.
    let popular = (100..400).fold(String::new(), |t, u| t + &format!("{u},0,1,{START}\n"));
    let report = with(&popular).check(&[]);
    assert!(report.findings.iter().all(|f| f.check != "placeholder ids"));
    assert_eq!((found.severity, found.count), (Severity::Error, 300));
}

#[test]
fn text_that_was_decoded_wrongly() {
    let items = |title: &str| format!("item,title\n1,{title}\n2,Second\n3,Third\n");
    let toml = |encoding: &str| {
        format!(
            "{CONFIG}[data.item_features]\npath = \"items.csv\"\ntitle = \"title\"\n\
                 encoding = \"{encoding}\"\n"
        )
    };
    let plant = |title: &str, encoding: &str| {
        Planted::new(
            &toml(encoding),
            &[("log.csv", &log()), ("items.csv", &items(title))],
        )
    };
    let twice = plant("CafÃ©", "utf-8").find("mojibake");
    assert_eq!(twice.examples[0].text, "title of 1: \"CafÃ©\"");
    assert!(twice.mend.is_none());
    plant("Café", "latin-1").find_and_mend("mojibake");
    let lost = plant("Caf\u{fffd}", "utf-8").find("replacement characters");
    assert_eq!(lost.severity, Severity::Error);
    assert_eq!(
        plant("a\u{1}b", "utf-8").find("control characters").count,
        1
    );
    assert_eq!(plant("A &amp; B", "utf-8").find("HTML entities").count, 1);
    let id = with(&format!("MÃ¼ller,1,1,{START}\n")).find("mojibake");
    assert_eq!(id.examples[0].text, "user id: \"MÃ¼ller\"");
}

#[test]
fn items_that_are_there_twice() {
    let mut items = String::from("item,title,year\n");
    for item in 0..20 {
        writeln!(
            items,
            "{item},Film {},{}",
            "x".repeat(item + 1),
            1950 + item
        )
        .unwrap();
    }
    items += "20,\"Matrix, The (1999)\",1999\n21,the matrix! (1999),1999\n22,Matrix (2021),2021\n23,The Matrix (2021),2021\n";
    items += "24,Film x,1950\n";
    let more = (20..25).fold(String::new(), |t, i| t + &format!("{i},{i},1,{START}\n"));
    let toml = format!(
        "{CONFIG}[data.item_features]\npath = \"items.csv\"\ntitle = \"title\"\n\
                        columns = {{ title = \"text\", year = \"numeric\" }}\n"
    );
    let planted = Planted::new(
        &toml,
        &[("log.csv", &(log() + &more)), ("items.csv", &items)],
    );
    let twins = planted.find("near-duplicate items");
    assert_eq!(twins.count, 2, "{twins:?}");
    let texts: Vec<_> = twins.examples.iter().map(|e| e.text.as_str()).collect();
    assert!(
        texts.contains(&"items 20 (Matrix, The (1999)) and 21 (the matrix! (1999))"),
        "{texts:?}"
    );
    assert_eq!(planted.find("titles that differ in the year").count, 1);
    let rows = planted.find("identical item features");
    assert_eq!(
        (rows.count, rows.examples[0].text.as_str()),
        (1, "items 0 (Film x) and 24 (Film x)")
    );
}

#[test]
fn items_that_the_same_people_had() {
    // Items 500 and 501: 19 users of both, one of the first alone; 502 has
    // half of them. Others make it a small part of all.
    let others = (100..200).fold(String::new(), |t, u| t + &format!("{u},1,1,{START}\n"));
    let more = (0..20).fold(String::new(), |t, u| {
        let mut t = t + &format!("{u},500,1,{START}\n");
        if u > 0 {
            t += &format!("{u},501,1,{}\n", START + 30);
        }
        if u % 2 == 0 {
            t += &format!("{u},502,1,{}\n", START + 60);
        }
        t
    });
    let found = with(&(more + &others)).find("near-identical audiences");
    assert_eq!(found.count, 1);
    assert_eq!(found.examples[0].text, "items 500 and 501");
}

#[test]
fn columns_that_say_nothing_and_cells_that_are_empty() {
    let items: String = (0..16).fold("item,same,rare,none,good\n".into(), |t, i| {
        let rare = if i < 4 { i.to_string() } else { String::new() };
        t + &format!("{i},1,{rare},,{i}\n")
    });
    let toml = format!(
        "{CONFIG}[data.item_features]\npath = \"items.csv\"\n\
                        columns = {{ same = \"categorical\", rare = \"numeric\", none = \"text\", good = \"numeric\" }}\n"
    );
    let planted = Planted::new(
        &toml,
        &[
            ("log.csv", &(log() + ",5,1,1500000000\n3,,,\n")),
            ("items.csv", &items),
        ],
    );
    let names = |check: &str| planted.find(check).message;
    assert!(names("constant columns").contains("`same`"));
    assert!(names("mostly missing columns").contains("`rare`"));
    assert!(names("empty columns").contains("`none`"));
    let bare = planted.find("without features");
    assert_eq!(bare.count, 4);
    let report = planted.check(&[]);
    let empty: Vec<_> = report
        .findings
        .iter()
        .filter(|f| f.check == "empty cells")
        .collect();
    let shown: Vec<_> = empty
        .iter()
        .map(|f| (f.count, lines(f), f.examples[0].text.as_str()))
        .collect();
    assert!(shown.contains(&(1, vec![242], "no user")), "{shown:?}");
    assert!(shown.contains(&(1, vec![243], "no rating")), "{shown:?}");
}

#[test]
fn repeated_ids_of_features_are_told_with_their_lines() {
    let items: String = (0..20).fold("item,genre,year\n".into(), |t, i| {
        t + &format!("{i},g{},{}\n", i % 3, 1950 + i)
    });
    // Line 22 says what line 5 says, line 23 something else than line 2; 99 is
    // no item of the data.
    let more = "3, g0 ,1953\n0,g1,1950\n99,g1,1950\n99,g2,1950\n";
    let features = "[data.item_features]\npath = [\"items.csv\", \"more.csv\"]\n\
                    columns = { genre = \"categorical\", year = \"numeric\" }\n";
    let files = [
        ("log.csv", &*log()),
        ("items.csv", &(items + more)),
        ("more.csv", "item,genre,year\n1,g1,\n"),
    ];
    let planted = Planted::new(&format!("{CONFIG}{features}"), &files);
    let found = planted.find_and_mend("repeated ids");
    assert_eq!(
        (found.severity, found.count, found.of),
        (Severity::Warning, 3, 23)
    );
    assert!(
        found.message.contains("2 of them with other values"),
        "{}",
        found.message
    );
    let texts: Vec<_> = found.examples.iter().map(|e| e.text.as_str()).collect();
    assert_eq!(lines(&found), [23, 2, 22]);
    assert_eq!(texts[0], "item 0, unlike line 2");
    assert!(
        texts[1].starts_with("item 1, unlike ") && texts[1].ends_with("items.csv:3"),
        "{texts:?}"
    );
    assert_eq!(texts[2], "item 3, as in line 5");
    // Equal rows alone are harmless.
    let files = [
        ("log.csv", &*log()),
        ("items.csv", "item,genre\n0,a\n1,b\n0,a\n"),
    ];
    let features = features
        .replace(", \"more.csv\"", "")
        .replace(", year = \"numeric\"", "");
    let harmless = Planted::new(&format!("{CONFIG}{features}"), &files).find("repeated ids");
    assert_eq!((harmless.severity, harmless.count), (Severity::Info, 1));
}

#[test]
fn a_split_that_cannot_be_made_is_a_finding() {
    let toml = "[data]\npath = \"log.csv\"\n[split]\nkind = \"given\"\n";
    let found = Planted::new(toml, &[("log.csv", &log())]).find("split");
    assert_eq!(found.severity, Severity::Error);
}

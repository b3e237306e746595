mod values;

use super::*;
use crate::config::Config;
use crate::data::read;
use crate::event::Silent;
use std::fmt::Write as _;

/// 2026
const NOW: i64 = 1_790_000_000;
const START: i64 = 1_500_000_000;

/// A folder with files, and what the checks say of them.
struct Planted {
    folder: tempfile::TempDir,
    toml: String,
}

impl Planted {
    fn new(toml: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let toml = toml.to_string();
        Self { folder, toml }
    }

    fn check(&self, sets: &[String]) -> CheckReport {
        let config = Config::parse_without_model(&self.toml, "config", sets).unwrap();
        let base = self.folder.path();
        let dataset = read(&config.data, base, &mut Silent).unwrap();
        let (data, split, seed) = (&config.data, &config.split, Seed(config.seed));
        check(&dataset, data, split, seed, NOW, base, &mut Silent).unwrap()
    }

    /// The finding with that name.
    fn find(&self, check: &str) -> Finding {
        let report = self.check(&[]);
        let named = report.findings.iter().find(|f| f.check == check);
        named
            .cloned()
            .unwrap_or_else(|| panic!("{check} not in {report:#?}"))
    }

    /// That finding, which its config line takes away.
    fn find_and_mend(&self, check: &str) -> Finding {
        let finding = self.find(check);
        let mend = finding.mend.as_ref().expect("there is a line");
        let line = mend.line.split(" # ").next().unwrap();
        let set = format!("{}.{line}", mend.section).replacen(" = ", "=", 1);
        let mended = self.check(std::slice::from_ref(&set));
        let left = mended.findings.iter().any(|f| f.check == check);
        assert!(!left, "{set} leaves {check}");
        finding
    }
}

/// Lines of the examples, in order.
fn lines(finding: &Finding) -> Vec<usize> {
    finding.examples.iter().filter_map(|e| e.line).collect()
}

/// 30 users with 8 of 20 items each, an hour apart.
fn log() -> String {
    let mut text = String::from("user,item,rating,timestamp\n");
    for user in 0..30i64 {
        for step in 0..8i64 {
            let item = (user * 7 + step * 3) % 20;
            let time = START + 86_400 * step + 60 * user + 7 * step;
            let rating = 1 + (user + step) % 5;
            writeln!(text, "{user},{item},{rating},{time}").unwrap();
        }
    }
    text
}

const CONFIG: &str = "[data]\npath = \"log.csv\"\n[split]\nkind = \"leave_one_out\"\n";

fn with(more: &str) -> Planted {
    Planted::new(CONFIG, &[("log.csv", &(log() + more))])
}

#[test]
fn clean_data_have_no_findings() {
    let items: String = (0..20).fold("item,title,genre\n".into(), |text, i| {
        text + &format!(
            "{i},Film {}é (19{:02}),g{}\n",
            ["A", "B", "C", "D"][i % 4].repeat(i + 1),
            i + 50,
            i % 3
        )
    });
    let features = "[data.item_features]\npath = \"items.csv\"\ntitle = \"title\"\n\
                    columns = { genre = \"categorical\" }\n";
    let files = [("log.csv", log()), ("items.csv", items)];
    let files = files.each_ref().map(|(n, t)| (*n, t.as_str()));
    let planted = Planted::new(&format!("{CONFIG}{features}"), &files);
    let report = planted.check(&[]);
    assert_eq!(report.findings, [], "{report:#?}");
    assert_eq!(
        (report.interactions, report.users, report.items),
        (240, 30, 20)
    );
}

#[test]
fn equal_rows_and_repeated_pairs_are_told_apart_with_their_lines() {
    // Line 2 once more, and its pair two days later.
    let first = log().lines().nth(1).unwrap().to_string();
    let planted = with(&format!("{first}\n0,0,3,{}\n", START + 2 * 86_400));
    let rows = planted.find_and_mend("duplicate rows");
    assert_eq!((rows.count, rows.of), (1, 242));
    assert_eq!(lines(&rows), [2, 242]);
    let pairs = planted.find_and_mend("duplicate pairs");
    assert_eq!(pairs.count, 1);
    assert_eq!(lines(&pairs).last(), Some(&243));
}

#[test]
fn a_repeated_last_interaction_is_a_leak_under_leave_one_out() {
    let last = log().lines().nth(8).unwrap().to_string();
    let leak = with(&format!("{last}\n")).find_and_mend("leak: test in train");
    assert_eq!(
        (leak.severity, leak.count, leak.of),
        (Severity::Error, 1, 30)
    );
    assert_eq!(lines(&leak), [9, 242]);
    // At another time it is a repeat.
    let planted = with(&format!("0,0,1,{}\n", START + 20 * 86_400));
    let repeat = planted.find_and_mend("repeats in test");
    assert_eq!(
        (repeat.severity, lines(&repeat)),
        (Severity::Warning, vec![2, 242])
    );
}

#[test]
fn given_parts_that_share_rows_or_go_back_in_time() {
    let (mut train, mut test) = (String::new(), String::new());
    for user in 0..30 {
        for step in 0..4 {
            writeln!(
                train,
                "{user}\t{}\t{}",
                (user + step) % 9,
                START + 100 * step
            )
            .unwrap();
        }
        writeln!(test, "{user}\t{}\t{}", (user + 5) % 9, START + 1000).unwrap();
    }
    // Of user 3 the test pair stands in train; user 4 is tested on the past.
    writeln!(train, "3\t8\t{}", START + 1000).unwrap();
    writeln!(test, "4\t1\t{}", START - 50).unwrap();
    writeln!(test, "5\t777\t{}", START + 2000).unwrap();
    let toml =
        "[data]\ntrain = \"train.tsv\"\ntest = \"test.tsv\"\nuser = 1\nitem = 2\ntimestamp = 3\n";
    let planted = Planted::new(toml, &[("train.tsv", &train), ("test.tsv", &test)]);
    let leak = planted.find("leak: test in train");
    assert_eq!((leak.severity, leak.count), (Severity::Error, 1));
    let places: Vec<_> = leak
        .examples
        .iter()
        .map(|e| {
            (
                e.file.as_ref().unwrap().ends_with("train.tsv"),
                e.line.unwrap(),
            )
        })
        .collect();
    assert_eq!(places, [(true, 121), (false, 4)]);
    let early = planted.find("leak: test before train");
    assert_eq!(
        (early.severity, early.count, early.of),
        (Severity::Warning, 1, 30)
    );
    assert_eq!(lines(&early), [20, 31]);
    let cold = planted.find("items only in test");
    assert_eq!((cold.severity, cold.count), (Severity::Info, 1));
    assert_eq!(cold.examples[0].text, "item 777: 1 test interaction");
    // Named together and divided by time, nothing goes back.
    let together = toml
        .replace("train = ", "path = [\"test.tsv\", ")
        .replace("train.tsv\"\ntest = \"test.tsv\"", "train.tsv\"]");
    let files = [("train.tsv", train.as_str()), ("test.tsv", test.as_str())];
    let report = Planted::new(&together, &files).check(&[]);
    assert!(
        report
            .findings
            .iter()
            .all(|f| !f.check.starts_with("leak: test before")),
        "{report:#?}"
    );
}

#[test]
fn a_random_split_is_no_leak_but_said() {
    let toml = CONFIG.replace("leave_one_out", "ratio_per_user");
    let planted = Planted::new(&toml, &[("log.csv", &log())]);
    let early = planted.find_and_mend("leak: test before train");
    assert_eq!(early.severity, Severity::Info);
}

#[test]
fn users_that_training_does_not_know() {
    let toml = "[data]\npath = \"log.csv\"\n[split]\nkind = \"global_time\"\n";
    let late = format!(
        "99,3,1,{}\n99,4,1,{}\n",
        START + 86_400 * 9,
        START + 86_400 * 10
    );
    let planted = Planted::new(toml, &[("log.csv", &(log() + &late))]);
    let cold = planted.find("users only in test");
    assert_eq!(cold.examples[0].text, "user 99: 2 test interactions");
    assert_eq!(
        cold.mend,
        Some(Mend::new("evaluation", "users = \"known\""))
    );
}

#[test]
fn ties_within_users() {
    let tied = (0..20).fold(String::new(), |text, i| {
        text + &format!("77,{i},1,{START}\n")
    });
    let ties = with(&tied).find("timestamp ties");
    assert_eq!(
        (ties.severity, ties.count, ties.of),
        (Severity::Info, 19, 30 * 7 + 19)
    );
    assert_eq!(lines(&ties)[..2], [242, 243]);
}

#[test]
fn robots_and_shop_accounts() {
    let robot = (0..150).fold(String::new(), |text, i| {
        text + &format!("666,{i},1,{START}\n")
    });
    let found = with(&robot).find_and_mend("impossible activity");
    assert_eq!(found.count, 1);
    assert!(
        found.examples[0]
            .text
            .starts_with("user 666: 150 within one second"),
        "{found:?}"
    );
    // Two each second, five minutes and more.
    let steady = (0..900).fold(String::new(), |text, i| {
        text + &format!("9999,{i},1,{}\n", START + i / 2)
    });
    assert!(
        with(&steady).find("impossible activity").examples[0]
            .text
            .contains("900 within ten minutes")
    );
    // Slow enough, but too many in all.
    let shop = (0..1500).fold(String::new(), |text, i| {
        text + &format!("0,{i},1,{}\n", START + 86_400 * 20 + 300 * i)
    });
    let users = (100..300).fold(String::new(), |text, u| {
        text + &format!("{u},1,1,{START}\n")
    });
    let outlier = with(&(shop + &users)).find_and_mend("outlier users");
    assert_eq!(outlier.examples[0].text, "user 0: 1508 interactions");
}

//! Train, evaluate, recommend: the main job.

use super::{Sandbox, without_numbers};
use insta::assert_snapshot;
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("nothing but JSON")
}

#[test]
fn eval_reports_what_train_reported() {
    let sandbox = Sandbox::new();
    let train = json(&sandbox.ok("train --config config.toml --output run --format json"));
    let test = json(&sandbox.ok("eval --run run --format json"));
    assert_eq!(test["metrics"]["test"], train["metrics"]["test"]);
    let names: Vec<_> = train["baselines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["label"])
        .collect();
    assert_eq!(names, ["popularity", "item_knn", "ease"]);
    for (again, first) in (0..3).map(|i| (&test["baselines"][i], &train["baselines"][i])) {
        assert_eq!(again["metrics"]["test"], first["metrics"]["test"]);
        assert_eq!(
            (&first["cached"], &again["cached"]),
            (&Value::Bool(false), &Value::Bool(true))
        );
    }
    assert_eq!(test["verdict"], train["verdict"]);
    assert_eq!(train["verdict"]["metric"], "ndcg@5");
    let validation = json(&sandbox.ok("eval --run run --split validation --format json"));
    assert_eq!(
        validation["metrics"]["validation"],
        train["metrics"]["validation"]
    );
    assert_eq!(json(&sandbox.read("run/report.json")), train);
    let ndcg = train["metrics"]["test"]["ndcg@5"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&ndcg));
}

#[test]
fn raw_data_are_needed_only_for_training() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let before = sandbox.ok("eval --run run --format csv");
    std::fs::remove_file(sandbox.path("data.csv")).unwrap();
    std::fs::remove_file(sandbox.path("items.csv")).unwrap();
    assert_eq!(sandbox.ok("eval --run run --format csv"), before);
    sandbox.ok("recommend --run run --user u00");
}

#[test]
fn other_metrics_can_be_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let report = json(&sandbox.ok("eval --run run --metrics mrr@3,hit --format json"));
    let metrics: Vec<_> = report["metrics"]["test"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(metrics, ["mrr@3", "hit_rate@5"]);
    let error = sandbox.fails("eval --run run --metrics ndgc@3");
    assert!(error.contains("did you mean `ndcg`?"), "{error}");
    let error = sandbox.fails("eval --run run --metrics ndcg@300");
    assert!(
        error.contains("larger than the catalog of 24 items"),
        "{error}"
    );
}

#[test]
fn a_training_tells_its_story_in_plain_lines() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run("train --config config.toml --output run");
    assert_eq!(outcome.status, 0, "{}", outcome.err);
    let lines: Vec<_> = outcome.err.lines().map(without_numbers).collect();
    let story = lines.join("\n");
    for part in [
        "data # users, # items",
        "split ",
        "device cpu (flex)",
        "run run",
        "epoch #/#",
    ] {
        assert!(story.contains(part), "{part}: {story}");
    }
    let epochs = outcome
        .err
        .lines()
        .filter(|l| l.starts_with("epoch "))
        .count();
    assert_eq!(epochs, 4, "{}", outcome.err);
    assert!(outcome.out.contains("popularity"), "{}", outcome.out);
    assert!(outcome.out.ends_with("run: run\n"), "{}", outcome.out);
}

#[test]
fn recommendations_have_rank_id_title_and_score() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let out = sandbox.ok("recommend --run run --user u00 --k 3 --format json");
    let lists = json(&out);
    let items = lists[0]["items"].as_array().unwrap();
    assert_eq!(lists[0]["user"], "u00");
    assert_eq!(items.len(), 3);
    let id = items[0]["item"].as_str().unwrap();
    let number: usize = id[1..].parse().unwrap();
    assert_eq!(items[0]["title"], format!("Film {number}"));
    let scores: Vec<_> = items.iter().map(|i| i["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let table = sandbox.ok("recommend --run run --user u00 --k 3");
    assert!(table.starts_with("user u00\nrank  item  title"), "{table}");
}

#[test]
fn nothing_known_is_recommended_unless_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let known: Vec<String> = sandbox
        .read("data.csv")
        .lines()
        .filter_map(|l| l.strip_prefix("u03,")?.split(',').next().map(String::from))
        .collect();
    let items = |arguments: &str| -> Vec<String> {
        let out = sandbox.ok(&format!(
            "recommend --run run --user u03 --format csv {arguments}"
        ));
        out.lines()
            .skip(1)
            .map(|l| l.split(',').nth(2).unwrap().to_string())
            .collect()
    };
    let new = items("--k 24");
    assert!(new.iter().all(|i| !known.contains(i)), "{new:?}");
    let distinct: std::collections::BTreeSet<_> = known.iter().collect();
    assert_eq!(new.len(), 24 - distinct.len());
    assert_eq!(items("--k 24 --include-seen").len(), 24);
}

#[test]
fn filters_keep_what_meets_them() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let out = sandbox.ok(
        "recommend --run run --user u00 --k 24 --format csv --filter genre=War --filter year>=1990",
    );
    let titles: Vec<_> = out
        .lines()
        .skip(1)
        .map(|l| l.split(',').nth(3).unwrap())
        .collect();
    assert!(!titles.is_empty());
    for title in titles {
        let number: usize = title.strip_prefix("Film ").unwrap().parse().unwrap();
        assert!(number % 2 == 1 && number >= 10, "{title}");
    }
    let error = sandbox.fails("recommend --run run --user u00 --filter gnere=War");
    assert!(error.contains("did you mean `genre`?"), "{error}");
}

#[test]
fn unknown_users_and_items() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    assert_snapshot!(sandbox.fails("--quiet recommend --run run --user u0"), @"error: unknown user `u0`; the nearest ids are u00, u01, u02. For somebody whom the training never saw, use --history");
    sandbox.write("ids.txt", "u01\n\nnobody\n");
    let error = sandbox.fails("--quiet recommend --run run --users ids.txt");
    assert!(
        error.contains("ids.txt:3: unknown user `nobody`"),
        "{error}"
    );
    let error = sandbox.fails("--quiet recommend --run run --history x1,x2");
    assert!(error.contains("the history has no known item"), "{error}");
}

#[test]
fn a_history_serves_somebody_new() {
    let sandbox = Sandbox::new();
    sandbox.ok("--quiet train --config config.toml --output knn --set model={name=\"item_knn\"}");
    let outcome = sandbox.run("--quiet recommend --run knn --history i00,zz,i02 --format csv");
    assert_eq!(outcome.status, 0, "{}", outcome.err);
    assert!(outcome.err.contains("unknown item `zz`"), "{}", outcome.err);
    assert!(
        outcome.out.starts_with("rank,item,title,score\n1,"),
        "{}",
        outcome.out
    );
}

#[test]
fn more_than_the_catalog_is_all_of_it() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let outcome = sandbox.run("--quiet recommend --run run --user u00 --k 500 --format csv");
    assert_eq!(outcome.status, 0);
    assert!(
        outcome.err.contains("more than the 24 items"),
        "{}",
        outcome.err
    );
}

#[test]
fn lists_for_all_go_to_a_file() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    sandbox.ok("recommend --run run --all --k 2 --format csv --output all.csv");
    assert_eq!(sandbox.read("all.csv").lines().count(), 1 + 2 * 40);
    sandbox.ok("recommend --run run --all --k 2 --format parquet --output all.parquet");
    assert!(
        std::fs::read(sandbox.path("all.parquet"))
            .unwrap()
            .starts_with(b"PAR1")
    );
    let error = sandbox.fails("recommend --run run --all --format parquet");
    assert!(error.contains("--output"), "{error}");
}

#[test]
fn without_a_name_the_newest_run_is_taken() {
    let sandbox = Sandbox::new();
    sandbox.ok("--quiet train --config config.toml --output runs/b --set training.epochs=1");
    sandbox.ok("--quiet train --config config.toml --output runs/a --set training.epochs=1");
    let outcome = sandbox.run("eval");
    assert_eq!(outcome.status, 0, "{}", outcome.err);
    assert!(outcome.err.starts_with("run runs/a\n"), "{}", outcome.err);
}

#[test]
fn the_default_place_is_under_runs() {
    let sandbox = Sandbox::new();
    let out = sandbox.ok("--quiet train --config config.toml --set training.epochs=1");
    assert!(
        without_numbers(&out).contains("\nrun: runs/config-#-#"),
        "{out}"
    );
}

#[test]
fn statistics_count_what_is_there() {
    let sandbox = Sandbox::new();
    let stats = json(&sandbox.ok("--quiet data stats --config config.toml --format json"));
    assert_eq!(stats["users"], 40);
    assert_eq!(stats["interactions"], 320);
    let table = sandbox.ok("--quiet data stats --config config.toml");
    assert!(table.contains("interactions per user"), "{table}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let output = assert_cmd::Command::new("bash")
        .args([
            "-c",
            &format!(
                "set -o pipefail; {} --quiet recommend --run run --all --k 20 --format csv | head -n 1",
                super::program().display()
            ),
        ])
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.stdout, b"user,rank,item,title,score\n");
}

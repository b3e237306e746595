//! Several seeds, comparisons, searches.

use super::Sandbox;
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("nothing but JSON")
}

#[test]
fn baselines_and_scores_of_users_lie_in_the_run() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    for part in ["validation", "test"] {
        for label in ["", "-popularity", "-item_knn", "-ease"] {
            let path = format!("run/scores/{part}{label}.parquet");
            assert!(sandbox.path(&path).is_file(), "{path}");
        }
    }
    let none = "train --config config.toml --output none --set evaluation.baselines=[]";
    let out = sandbox.ok(none);
    assert!(out.starts_with("test            mf\n"), "{out}");
    let path = sandbox.path("none/scores/test-ease.parquet");
    assert!(!path.exists());
}

#[test]
fn a_model_with_defaults_of_its_own_stands_beside_them() {
    let sandbox = Sandbox::new();
    let ease = |more: &str| {
        let model = format!("--set model={{name=\"ease\"{more}}}");
        sandbox.ok(&format!(
            "-q train --config config.toml {model} --format json --output {}",
            more.len()
        ))
    };
    let labels = |text: &str| -> Vec<String> {
        let report = json(text);
        let baselines = report["baselines"].as_array().unwrap().clone();
        baselines
            .iter()
            .map(|b| b["label"].as_str().unwrap().to_string())
            .collect()
    };
    assert_eq!(labels(&ease("")), ["popularity", "item_knn"]);
    assert_eq!(
        labels(&ease(",regularization=9.0")),
        ["popularity", "item_knn", "ease (defaults)"]
    );
}

#[test]
fn a_baseline_is_checked_before_any_training() {
    let sandbox = Sandbox::new();
    let train = |names: &str| {
        sandbox.fails(&format!(
            "train --config config.toml --output run --set evaluation.baselines={names}"
        ))
    };
    assert!(train("[\"eese\"]").contains("did you mean `ease`?"));
    assert!(train("[\"neumf\"]").contains("recsys compare"));
}

#[test]
fn runs_are_compared_with_their_baselines_and_with_each_other() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let found = json(&sandbox.ok("compare run --format json"));
    let tests = found["tests"].as_array().unwrap();
    // Three baselines, two metrics with a value a user.
    assert_eq!(tests.len(), 6);
    assert_eq!(tests[0]["entry"], "run");
    assert_eq!(tests[0]["against"], "run: popularity");
    assert_eq!(found["users"], 40);
    sandbox.ok("-q train --config config.toml --output again");
    let same = json(&sandbox.ok("compare run again --metrics ndcg@5 --format json"));
    assert_eq!(same["tests"][0]["outcome"], "no_difference");
    assert_eq!(same["tests"][0]["equal"], 40);
    let out = sandbox.ok("compare run again --html page.html --format markdown");
    assert!(out.contains("**again** against **run**"), "{out}");
    assert!(sandbox.read("page.html").contains("<svg"));
    let csv = sandbox.ok("compare run again --format csv --split validation");
    assert_eq!(csv.lines().count(), 3);
}

#[test]
fn a_limit_that_is_not_met_is_a_status_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let outcome = sandbox.run("compare run --fail-below ndcg@5=1.5");
    assert_eq!(outcome.status, 3, "{}", outcome.err);
    assert!(
        outcome.err.contains("fell short: run: ndcg@5"),
        "{}",
        outcome.err
    );
    sandbox.ok("compare run --fail-below ndcg@5=0.0");
    sandbox.ok("compare run run --fail-below ndcg@5=-2%");
    assert_eq!(sandbox.run("compare run --fail-below ndgc@5=0.1").status, 2);
}

#[test]
fn what_differs_is_named() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let train = |more: &str| sandbox.ok(&format!("-q train --config config.toml {more}"));
    train("--output masked --set evaluation.mask_seen=false");
    let error = sandbox.fails("compare run masked");
    assert!(
        error.contains("evaluation.mask_seen: true and false"),
        "{error}"
    );
    train("--output a --set split={kind=\"ratio_per_user\"}");
    train("--output b --set split={kind=\"ratio_per_user\"} --set seed=8");
    let error = sandbox.fails("compare a b");
    assert!(error.contains("seed 7 and with seed 8"), "{error}");
    let error = sandbox.fails("compare run a");
    assert!(error.contains("[split]"), "{error}");
    std::fs::remove_dir_all(sandbox.path("run/scores")).unwrap();
    let error = sandbox.fails("compare run a");
    assert!(
        error.contains("recsys eval --run run --split test"),
        "{error}"
    );
    sandbox.ok("-q eval --run run");
    sandbox.ok("compare run");
}

#[test]
fn other_metrics_join_those_of_the_training() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let error = sandbox.fails("compare run run --metrics mrr@3");
    assert!(error.contains("--metrics mrr@3"), "{error}");
    sandbox.ok("-q eval --run run --metrics mrr@3");
    sandbox.ok("compare run run --metrics mrr@3,ndcg@5");
}

#[test]
fn several_seeds_are_one_entry() {
    let sandbox = Sandbox::new();
    let out = sandbox.ok("-q train --config config.toml --seeds 2 --output group");
    assert!(
        out.starts_with("test, mf    seed 7  seed 8    mean  deviation\n"),
        "{out}"
    );
    assert!(out.ends_with("runs: group\n"), "{out}");
    sandbox.ok("-q train --config config.toml --seeds 3,4 --output other --format json");
    let found = json(&sandbox.ok("compare group other --format json"));
    assert_eq!(found["entries"][0]["seeds"], serde_json::json!([7, 8]));
    assert!(found["entries"][0]["metrics"][0]["deviation"].is_number());
    let table = sandbox.ok("compare group");
    assert!(
        table.contains("±") && table.contains("group against group: ease"),
        "{table}"
    );
    let error = sandbox.fails("train --config config.toml --seeds 2 --output group");
    assert!(error.contains("--resume group"), "{error}");
    // What is there is not trained again; what is missing is.
    std::fs::remove_dir_all(sandbox.path("group/seed-8")).unwrap();
    assert_eq!(sandbox.ok("-q train --resume group"), out);
}

#[test]
fn a_search_writes_a_config_that_trains() {
    let sandbox = Sandbox::new();
    let tuned = "-q tune --config config.toml --trials 6 --output tuned \
                 --set tune.space.model.embedding_dim.int=[2,12]";
    let out = sandbox.ok(tuned);
    assert!(
        out.contains("test, as configured")
            && out.contains("on validation")
            && out.contains("ndcg@5 on test"),
        "{out}"
    );
    assert_eq!(sandbox.read("tuned/config/trials.jsonl").lines().count(), 6);
    let best = sandbox.read("tuned/config/best.toml");
    assert!(best.starts_with("# Trial "), "{best}");
    assert!(
        sandbox
            .read("tuned/search.html")
            .contains("model.embedding_dim")
    );
    // The config as it stands beside it, as if it had been trained by itself.
    sandbox.trained();
    let as_given = json(&sandbox.read("tuned/config/configured/figures.json"));
    assert_eq!(as_given, json(&sandbox.read("run/report.json"))["metrics"]);
    let pair = "compare run tuned/config/best --metrics ndcg@5 --seed 0 --format json";
    let test = &json(&sandbox.ok(pair))["tests"][0];
    let [gain, low, high] = [
        &test["difference"],
        &test["interval"][0],
        &test["interval"][1],
    ]
    .map(|v| v.as_f64().unwrap());
    let said = format!(
        "config: ndcg@5 on test {gain:+.4} a user by tuning (95% interval {low:+.4} to {high:+.4})"
    );
    assert!(out.contains(&said), "{said}\n{out}");
    let report = json(&sandbox.read("tuned/config/best/report.json"));
    let again = "-q train --config tuned/config/best.toml --output again --format json";
    assert_eq!(json(&sandbox.ok(again))["metrics"], report["metrics"]);
    // Nothing is left to do.
    assert_eq!(sandbox.ok("-q tune --resume tuned"), out);
    let error = sandbox.fails(tuned);
    assert!(error.contains("--resume tuned"), "{error}");
    let error = sandbox.fails("tune --config config.toml --set tune.space.model.depth.int=[1,2]");
    assert!(error.contains("tune.space.model.depth"), "{error}");
}

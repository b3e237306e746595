//! Synthetic data: drawn, judged, trained on.

use super::Sandbox;
use serde_json::Value;

const SMALL: &str = "data synth synth --users 120 --items 60 --interactions 2400 --dimension 4";

#[test]
fn its_config_trains_at_once() {
    let sandbox = Sandbox::new();
    let out = sandbox.ok(SMALL);
    assert!(out.contains("true preferences"), "{out}");
    assert!(out.ends_with("synth/config.toml\n"), "{out}");
    let ceiling: Value = serde_json::from_str(&sandbox.read("synth/ceiling.json")).unwrap();
    let ndcg = |who: &str| ceiling[who]["ndcg@10"].as_f64().unwrap();
    assert!(ndcg("true_preferences") > ndcg("popularity"), "{ceiling}");
    let train = "train --config synth/config.toml --set training.epochs=2 --output run";
    let report: Value =
        serde_json::from_str(&sandbox.ok(&format!("{train} --format json"))).unwrap();
    // Popularity is judged alike here and there.
    let popularity = &report["baselines"][0]["metrics"]["test"]["ndcg@10"];
    assert_eq!(popularity.as_f64(), Some(ndcg("popularity")), "{report}");
    assert!(
        sandbox
            .ok("recommend --run run --user 1 --k 3")
            .contains("Item ")
    );
}

#[test]
fn a_seed_repeats_and_a_folder_is_never_replaced() {
    let sandbox = Sandbox::new();
    let quick = SMALL.replace("synth synth", "synth a") + " --ceiling-users 0 --platforms 2";
    sandbox.ok(&quick);
    sandbox.ok(&quick.replace(" a ", " b "));
    let file = |folder: &str| {
        std::fs::read(sandbox.path(&format!("{folder}/interactions-p2.parquet"))).unwrap()
    };
    assert_eq!(file("a"), file("b"));
    assert!(!sandbox.path("a/ceiling.json").exists());
    let error = sandbox.fails(&quick);
    assert!(error.contains("a is there already"), "{error}");
    let error = sandbox.fails("data synth c --users 10 --interactions 5");
    assert!(error.contains("--interactions"), "{error}");
}

use super::entry::{Exam, RunScores};
use super::*;
use crate::ids::ExternalIds;
use crate::report::UserScores;

fn run(split: &str, seed: u64, values: &[f64]) -> RunScores {
    RunScores {
        path: format!("runs/{seed}").into(),
        seed,
        exam: Exam::for_test(split, seed),
        metrics: [("ndcg@10".to_string(), stats::mean(values))]
            .into_iter()
            .collect(),
        scores: UserScores {
            users: ExternalIds::Int((0..values.len() as i64).collect()),
            held_out: vec![1; values.len()],
            metrics: vec![("ndcg@10".to_string(), values.to_vec())],
        },
    }
}

fn entry(name: &str, runs: Vec<RunScores>) -> Entry {
    Entry {
        name: name.to_string(),
        model: "mf".to_string(),
        baseline: false,
        runs,
    }
}

fn plan() -> Plan {
    Plan {
        part: EvaluatedPart::Test,
        metrics: Vec::new(),
        all_pairs: false,
        seed: Seed(1),
    }
}

fn values(add: f64) -> Vec<f64> {
    (0..60)
        .map(|i| f64::from(i * 7 % 11) / 20.0 + add * f64::from(1 + i % 3))
        .collect()
}

#[test]
fn a_clear_difference_is_found_and_none_is_not_made_up() {
    let entries = [
        entry("a", vec![run("s", 1, &values(0.0))]),
        entry("b", vec![run("s", 1, &values(0.02))]),
        entry("c", vec![run("s", 1, &values(0.0))]),
    ];
    let found = compare(&entries, &plan()).unwrap();
    assert_eq!(found.tests.len(), 2);
    let better = &found.tests[0];
    assert_eq!((better.entry.as_str(), better.against.as_str()), ("b", "a"));
    assert_eq!(better.outcome, Outcome::Better);
    assert!((better.difference - 0.04).abs() < 1e-12);
    assert!((better.value - better.against_value - 0.04).abs() < 1e-12);
    assert!(better.interval[0] > 0.03 && better.interval[1] < 0.05);
    assert_eq!((better.better, better.worse, better.equal), (60, 0, 0));
    assert_eq!(better.p_holm, 2.0 * better.p_value);
    assert_eq!(better.rank_biserial, 1.0);
    let none = &found.tests[1];
    assert_eq!(
        (none.outcome, none.p_holm, none.equal),
        (Outcome::NoDifference, 1.0, 60)
    );
    let all = Plan {
        all_pairs: true,
        ..plan()
    };
    assert_eq!(compare(&entries, &all).unwrap().tests.len(), 3);
    let mut entries = entries;
    entries[1].baseline = true;
    let swapped = &compare(&entries, &plan()).unwrap().tests[0];
    assert_eq!(
        (swapped.entry.as_str(), swapped.outcome),
        ("a", Outcome::Worse)
    );
}

#[test]
fn seeds_are_averaged_on_one_split_and_paired_over_several() {
    // On one split: a user's score is the mean over the runs.
    let fixed = |a: f64, b: f64| vec![run("s", 1, &values(a)), run("s", 2, &values(b))];
    let entries = [entry("a", fixed(0.0, 0.02)), entry("b", fixed(0.03, 0.03))];
    let found = compare(&entries, &plan()).unwrap();
    assert!((found.tests[0].difference - 2.0 * 0.02).abs() < 1e-12);
    assert_eq!(found.splits, 1);
    let figure = &found.entries[0].metrics[0];
    assert!((figure.deviation.unwrap() - 0.04 / 2f64.sqrt()).abs() < 1e-12);
    // On two: differences are within a split.
    let moved = |add: f64| vec![run("s", 1, &values(add)), run("t", 2, &values(0.5 + add))];
    let entries = [entry("a", moved(0.0)), entry("b", moved(0.01))];
    let found = compare(&entries, &plan()).unwrap();
    assert!((found.tests[0].difference - 0.02).abs() < 1e-12);
    assert_eq!((found.splits, found.users), (2, 60));
}

#[test]
fn what_cannot_be_compared_says_why() {
    let error = |a: Entry, b: Entry| format!("{:#}", compare(&[a, b], &plan()).unwrap_err());
    let a = || entry("a", vec![run("s", 1, &values(0.0))]);
    let message = error(a(), entry("b", vec![run("t", 2, &values(0.0))]));
    assert!(
        message.contains("a and b cannot be compared")
            && message.contains("seed 1 and with seed 2")
            && message.contains("split.seed"),
        "{message}"
    );
    let message = error(a(), entry("b", vec![run("s", 1, &values(0.0)[1..])]));
    assert!(message.contains("different users"), "{message}");
    let mut other = run("s", 1, &values(0.0));
    other.scores.metrics[0].0 = "recall@5".to_string();
    let message = error(a(), entry("b", vec![other]));
    assert!(message.contains("in common"), "{message}");
    let plan = Plan {
        metrics: vec![MetricSpec::parse("recall@7").unwrap()],
        ..plan()
    };
    let message = format!("{:#}", compare(&[a(), a()], &plan).unwrap_err());
    assert!(message.contains("--metrics recall@7"), "{message}");
}

#[test]
fn limits_are_values_or_shares_of_the_first() {
    let entries = [
        entry("a", vec![run("s", 1, &[0.5; 4])]),
        entry("b", vec![run("s", 1, &[0.48; 4])]),
    ];
    let unmet = |limit: &str, entries: &[Entry]| {
        limit
            .parse::<Limit>()
            .unwrap()
            .unmet(entries)
            .unwrap()
            .len()
    };
    assert_eq!(unmet("ndcg@10=0.49", &entries), 1);
    assert_eq!(unmet("ndcg@10=0.47", &entries), 0);
    assert_eq!(unmet("ndcg@10=-5%", &entries), 0);
    assert_eq!(unmet("ndcg@10=-3%", &entries), 1);
    assert_eq!(unmet("ndcg@10=0.49", &entries[..1]), 0);
    assert_eq!(unmet("ndcg@10=0.51", &entries[..1]), 1);
    for (text, part) in [
        ("ndcg@10", "METRIC=VALUE"),
        ("ndcg@10=2%", "-2%"),
        ("ndcg=0.1", "cutoff"),
    ] {
        let error = format!("{:#}", text.parse::<Limit>().unwrap_err());
        assert!(error.contains(part), "{error}");
    }
    let limit: Limit = "ndcg@10=-2%".parse().unwrap();
    assert!(limit.unmet(&entries[..1]).is_err());
}

#[test]
fn every_form_holds_every_test() {
    let entries = [
        entry("a", vec![run("s", 1, &values(0.0))]),
        entry("b,<c>", vec![run("s", 1, &values(0.02))]),
    ];
    let found = compare(&entries, &plan()).unwrap();
    assert!(table(&found).contains("b,<c> against a\nmetric   difference"));
    assert!(markdown(&found).contains("| ndcg@10 | +0.0400 |"));
    assert_eq!(csv(&found).lines().count(), 2);
    assert!(csv(&found).contains("ndcg@10,\"b,<c>\",a,"));
    let page = html(&found);
    assert!(
        page.contains("<h2>b,&lt;c&gt; against a</h2>")
            && page.contains("<svg class=\"plot\" viewBox")
    );
    assert!(!page.contains("http"));
}

use super::*;
use crate::evaluation::{PerUser, UserLists};

fn evaluation(pairs: &[(&str, f64)]) -> Evaluation {
    Evaluation {
        metrics: pairs.iter().map(|(n, v)| (n.to_string(), *v)).collect(),
        protocol: EvaluationProtocol {
            ranking: "full ranking over 9 items".to_string(),
            seen_items_masked: true,
            users: 3,
            cold_targets: 2,
            ..EvaluationProtocol::default()
        },
        per_user: PerUser::default(),
        lists: UserLists::default(),
    }
}

fn report() -> Report {
    let metrics = MetricSpec::expand(&["recall", "auc"], &[10]).unwrap();
    let split = SplitProtocol {
        description: "leave one out, last".to_string(),
        ..SplitProtocol::default()
    };
    let mut report = Report {
        model: ModelSummary {
            name: "mf".to_string(),
            params: toml::toml! { embedding_dim = 64 },
        },
        protocol: Protocol::new(split, &metrics),
        ..Report::default()
    };
    let test = evaluation(&[("recall@10", 0.25), ("auc", 0.5)]);
    report.add(EvaluatedPart::Test, &test);
    report.add(
        EvaluatedPart::Validation,
        &evaluation(&[("recall@10", 0.3)]),
    );
    let baseline = evaluation(&[("recall@10", 0.1), ("auc", 0.0)]);
    report.add_baseline("popularity", EvaluatedPart::Test, &baseline);
    report
}

#[test]
fn the_table_shows_the_test_part_beside_the_baseline() {
    insta::assert_snapshot!(table(&report()), @r"
    test           mf  popularity  difference
    recall@10  0.2500      0.1000     +150.0%
    auc        0.5000      0.0000           -

    protocol: 3 users; full ranking over 9 items; seen items masked; 2 held-out items without training interactions; split: leave one out, last
    definitions (T: held-out items of a user; means over users; ties: higher score first, then lower item index): auc = per user over unseen items, ties count half; recall@k = hits / |T|
    ");
}

#[test]
fn a_report_without_figures_says_so() {
    assert_eq!(table(&Report::default()), "no metrics were computed\n");
    assert_eq!(csv(&Report::default()), "part,model,metric,value\n");
}

#[test]
fn csv_has_one_row_a_figure() {
    insta::assert_snapshot!(csv(&report()), @r"
    part,model,metric,value
    validation,mf,recall@10,0.3
    test,mf,recall@10,0.25
    test,mf,auc,0.5
    test,popularity,recall@10,0.1
    test,popularity,auc,0
    ");
}

#[test]
fn json_has_the_documented_shape_and_reads_back() {
    let report = report();
    let text = json(&report).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["metrics"]["validation"]["recall@10"], 0.3);
    assert_eq!(value["metrics"]["test"]["recall@10"], 0.25);
    assert_eq!(value["baselines"]["popularity"]["test"]["auc"], 0.0);
    assert_eq!(value["protocol"]["evaluation"]["test"]["users"], 3);
    assert_eq!(value["model"]["params"]["embedding_dim"], 64);
    for key in ["protocol", "data", "provenance"] {
        assert!(value[key].is_object(), "{key}");
    }
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

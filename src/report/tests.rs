use super::*;
use crate::evaluation::PerUser;

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
    let rival = |label: &str, recall: f64| Baseline {
        label: label.to_string(),
        name: label.to_string(),
        metrics: [(
            EvaluatedPart::Test,
            evaluation(&[("recall@10", recall), ("auc", 0.0)]).metrics,
        )]
        .into(),
        ..Baseline::default()
    };
    report.baselines = vec![
        rival("popularity", 0.1),
        rival("item_knn", 0.2),
        Baseline {
            label: "ease".to_string(),
            skipped: Some("too large".to_string()),
            ..Baseline::default()
        },
    ];
    report.verdict = Verdict::new(&report, "ndcg@10", &[]).unwrap();
    report
}

#[test]
fn the_table_shows_the_test_part_beside_the_baselines() {
    insta::assert_snapshot!(table(&report()), @r"
    test           mf  popularity  item_knn  difference
    recall@10  0.2500      0.1000    0.2000      +25.0%
    auc        0.5000      0.0000    0.0000           -

    mf beats every baseline; the best of them is item_knn: test recall@10 0.2500 against 0.2000, +25.0%
    baseline ease was not run: too large

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
    test,item_knn,recall@10,0.2
    test,item_knn,auc,0
    ");
}

#[test]
fn json_has_the_documented_shape_and_reads_back() {
    let report = report();
    let text = json(&report).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["metrics"]["validation"]["recall@10"], 0.3);
    assert_eq!(value["metrics"]["test"]["recall@10"], 0.25);
    assert_eq!(value["baselines"][0]["metrics"]["test"]["auc"], 0.0);
    assert_eq!(value["protocol"]["evaluation"]["test"]["users"], 3);
    assert_eq!(value["model"]["params"]["embedding_dim"], 64);
    assert_eq!(value["verdict"]["standing"], "better");
    for key in ["protocol", "data", "provenance"] {
        assert!(value[key].is_object(), "{key}");
    }
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

/// Users' scores of one metric.
fn scores(values: &[f64]) -> UserScores {
    UserScores {
        users: crate::ids::ExternalIds::Int((0..values.len() as i64).collect()),
        held_out: vec![1; values.len()],
        metrics: vec![("recall@10".to_string(), values.to_vec())],
    }
}

#[test]
fn a_verdict_says_plainly_what_is_worse_and_what_is_chance() {
    let mut report = report();
    let ours = scores(&[0.25; 40]);
    let judged = |report: &Report, rival: &UserScores| {
        let all = [(None, &ours), (Some("item_knn"), rival)];
        Verdict::new(report, "recall@10", &all).unwrap().unwrap()
    };
    let mixed: Vec<f64> = (0..40).map(|i| f64::from(i % 2) * 0.4).collect();
    let verdict = judged(&report, &scores(&mixed));
    assert_eq!(verdict.standing, Standing::Level);
    assert!(
        verdict.sentence.starts_with(
            "mf is no better than the baseline item_knn, as far as this shows: test recall@10"
        ) && verdict.sentence.contains("within chance")
            && verdict.sentence.ends_with("; it beats popularity"),
        "{}",
        verdict.sentence
    );
    report.baselines[1] = Baseline {
        metrics: [(
            EvaluatedPart::Test,
            evaluation(&[("recall@10", 0.5)]).metrics,
        )]
        .into(),
        ..report.baselines[1].clone()
    };
    let verdict = judged(&report, &scores(&[0.5; 40]));
    assert_eq!(verdict.standing, Standing::Worse);
    assert_eq!(
        verdict.sentence,
        "mf does NOT beat the baseline item_knn: test recall@10 0.2500 against 0.5000, -50.0% \
         (95% interval -0.2500 to -0.2500 a user); it beats popularity"
    );
    assert_eq!(
        (verdict.beaten, verdict.unbeaten),
        (vec!["popularity".to_string()], vec!["item_knn".to_string()])
    );
    report.baselines.clear();
    assert_eq!(Verdict::new(&report, "recall@10", &[]).unwrap(), None);
}

#[test]
fn reports_of_earlier_versions_are_read() {
    let old = r#"{"baselines":{"popularity":{"test":{"recall@10":0.25}}}}"#;
    let report: Report = serde_json::from_str(old).unwrap();
    assert_eq!(report.baselines[0].label, "popularity");
    let test = &report.baselines[0].metrics[&EvaluatedPart::Test];
    assert_eq!(test.get("recall@10"), Some(0.25));
}

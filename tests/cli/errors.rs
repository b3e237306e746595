//! Bad input: each mistake is named, with a way out.

use super::Sandbox;
use insta::assert_snapshot;

fn train_error(from: &str, to: &str) -> String {
    let sandbox = Sandbox::new();
    sandbox.config(from, to);
    let error = sandbox.fails("--quiet train --config config.toml --output run");
    assert!(
        !sandbox.path("run").exists(),
        "an empty run directory stays behind"
    );
    error
}

/// Without the list of what there is, which grows.
fn before_list(error: &str) -> &str {
    error.split(" (there are: ").next().unwrap_or(error)
}

#[test]
fn a_misspelled_key() {
    assert_snapshot!(before_list(&train_error("batch_size", "batch_sizes")), @"error: config.toml:28: in [training]: unknown key `batch_sizes`, did you mean `batch_size`?");
}

#[test]
fn a_misspelled_parameter_of_the_model() {
    assert_snapshot!(before_list(&train_error("embedding_dim", "embeding_dim")), @"error: config.toml:24: [model] of `mf`: unknown key `embeding_dim`, did you mean `embedding_dim`?");
}

#[test]
fn a_wrong_type() {
    assert_snapshot!(before_list(&train_error("epochs = 4", "epochs = \"many\"")), @r#"error: config.toml:27: `training.epochs`: invalid type: string "many", expected a whole number"#);
}

#[test]
fn an_unknown_model() {
    assert_snapshot!(before_list(&train_error("\"mf\"", "\"mff\"")), @"error: config.toml:23: unknown model `mff`, did you mean `mf`?");
}

#[test]
fn an_unknown_metric() {
    assert_snapshot!(before_list(&train_error("\"recall\"", "\"recal\"")), @"error: config.toml:34: unknown metric `recal`, did you mean `recall`?");
}

#[test]
fn an_unknown_device() {
    assert_snapshot!(before_list(&train_error("\"cpu\"", "\"cuda\"")), @"error: config.toml:2: `device`: unknown device `cuda`");
}

#[test]
fn a_wrong_override() {
    let sandbox = Sandbox::new();
    assert_snapshot!(before_list(&sandbox.fails("train --config config.toml --set training.epoch=2")), @"error: --set training.epoch=2: `training`: unknown key `epoch`, did you mean `epochs`?");
}

#[test]
fn a_missing_config() {
    assert_snapshot!(Sandbox::new().fails("train --config nowhere.toml"), @"error: cannot read nowhere.toml: No such file or directory (os error 2)");
}

#[test]
fn a_missing_data_file() {
    let error = train_error("data.csv", "dta.csv");
    assert!(error.contains("dta.csv"), "{error}");
}

#[test]
fn a_column_that_is_not_there() {
    let error = train_error("timestamp = \"time\"", "timestamp = \"tme\"");
    assert!(
        error.contains("`tme`") && error.contains("`time`"),
        "{error}"
    );
}

#[test]
fn a_malformed_row() {
    let sandbox = Sandbox::new();
    let mut rows: Vec<String> = sandbox.read("data.csv").lines().map(String::from).collect();
    rows[4] = "u00,i03,yesterday noon".into();
    sandbox.write("data.csv", &(rows.join("\n") + "\n"));
    let error = sandbox.fails("--quiet train --config config.toml --output run");
    assert!(error.contains("data.csv line 5"), "{error}");
}

#[test]
fn a_split_without_test_users() {
    let sandbox = Sandbox::new();
    sandbox.write("data.csv", "user,item,time\na,i00,1\nb,i01,2\na,i01,3\n");
    let error = sandbox.fails(
        "--quiet train --config config.toml --output run --set training.validation_metric=ndcg@1 \
         --set evaluation.cutoffs=[1]",
    );
    assert!(error.contains("test users"), "{error}");
}

#[test]
fn nothing_left_after_cleaning() {
    let sandbox = Sandbox::new();
    let error = sandbox.fails(
        "--quiet train --config config.toml --output run --set data.clean.min_user_interactions=99",
    );
    assert!(error.contains("99"), "{error}");
}

#[test]
fn a_cutoff_beyond_the_catalog() {
    let error = train_error("cutoffs = [5]", "cutoffs = [5, 500]");
    assert_snapshot!(error, @"error: the cutoff of `ndcg@500` is larger than the catalog of 24 items; change evaluation.cutoffs or training.validation_metric");
}

#[test]
fn an_adapter_that_is_not_there() {
    let sandbox = Sandbox::new();
    let error = sandbox.fails("train --config config.toml --device wgpu:99 --output run");
    assert!(error.contains("wgpu:99"), "{error}");
    assert!(!sandbox.path("run").exists());
}

#[test]
fn an_output_that_is_taken() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("taken")).unwrap();
    sandbox.write("taken/precious.txt", "mine");
    assert_snapshot!(sandbox.fails("train --config config.toml --output taken"), @"error: taken is not empty; choose another --output");
    assert_snapshot!(sandbox.fails("train --config config.toml --output data.csv"), @"error: data.csv is a file; choose another --output");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let error = sandbox.fails("--quiet recommend --run run --all --output nowhere/lists.csv");
    assert!(error.contains("there is no folder nowhere"), "{error}");
    // A limit below the size of the split stands for the end of the disk.
    let script = format!(
        "ulimit -f 1; exec {} --quiet train --config config.toml --output small",
        super::program().display()
    );
    let output = assert_cmd::Command::new("bash")
        .args(["-c", &format!("trap '' XFSZ; {script}")])
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("cannot write small/"), "{err}");
    assert!(!sandbox.path("small/config.toml").exists(), "it is no run");
}

use super::*;

fn error(text: &str, sets: &[&str]) -> String {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    format!("{:#}", Config::parse(text, "c.toml", &sets).unwrap_err())
}

const MODEL: &str = "[model]\nname = \"popularity\"\n";

fn with_model(text: &str) -> String {
    format!("{text}\n{MODEL}")
}

fn load(text: &str, sets: &[&str]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, text).unwrap();
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    Config::load(&path, &sets)
        .map_err(|e| format!("{e:#}").replace(path.to_str().unwrap(), "c.toml"))
}

#[test]
fn keys_that_would_change_nothing_are_errors() {
    for (model, key, why) in [
        (
            "ials",
            "learning_rate = 0.1",
            "model `ials` does not use it",
        ),
        ("svdpp", "negatives = 2", "model `svdpp` does not use it"),
        (
            "lightgcn",
            "updates = \"rows\"",
            "model `lightgcn` does not use it",
        ),
        ("mf", "label_smoothing = 0.1", "model `mf` does not use it"),
        ("sasrec", "negatives = 2", "model `sasrec` does not use it"),
        (
            "mult_vae",
            "negatives = 2",
            "model `mult_vae` does not use it",
        ),
        (
            "ease",
            "epochs = 3",
            "model `ease` is not trained in epochs",
        ),
        ("mf", "momentum = 0.5", "it is of `optimizer = \"sgd\"`"),
        ("mf", "decay_epochs = 5", "it is of `schedule = \"step\"`"),
    ] {
        let (name, _) = key.split_once(' ').unwrap();
        let text = format!("[model]\nname = \"{model}\"\n[training]\n{key}");
        let error = load(&text, &[]).unwrap_err();
        let start = format!("c.toml:4: `training.{name}` does not apply: {why}");
        assert!(error.starts_with(&start), "{error}");
        let set = format!("training.{}", key.replace(' ', ""));
        let error = load(&format!("[model]\nname = \"{model}\""), &[&set]).unwrap_err();
        assert!(
            error.starts_with(&format!("c.toml: `training.{name}`")),
            "{error}"
        );
    }
}

#[test]
fn a_file_for_one_model_serves_another_by_an_override() {
    let text = "[model]\nname = \"mf\"\n[training]\nlearning_rate = 0.1";
    assert!(load(text, &["model.name=ials"]).is_ok());
    assert!(load(text, &["model.name=ials", "training.negatives=2"]).is_err());
    assert!(load(text, &["model.name=mf"]).is_ok());
}

#[test]
fn what_is_written_out_loads_again() {
    for entry in crate::models::REGISTRY {
        let text = format!("[model]\nname = \"{}\"", entry.name);
        let config = load(&text, &[]).unwrap();
        assert_eq!(load(&config.to_toml().unwrap(), &[]).unwrap(), config);
    }
}

#[test]
fn a_misspelled_key_is_named_with_its_line_and_the_nearest_one() {
    let message = error(&with_model("[training]\nleraning_rate = 1"), &[]);
    assert!(
        message.starts_with(
            "c.toml:2: in [training]: unknown key `leraning_rate`, did you mean `learning_rate`?"
        ),
        "{message}"
    );
    let message = error("sede = 1", &[]);
    assert!(
        message.starts_with("c.toml:1: unknown key `sede`, did you mean `seed`?"),
        "{message}"
    );
}

#[test]
fn a_wrong_type_names_the_key() {
    let message = error(&with_model("[training]\n\nepochs = \"ten\""), &[]);
    assert!(
        message.starts_with("c.toml:3: `training.epochs`: invalid type"),
        "{message}"
    );
}

#[test]
fn text_that_is_no_toml_names_the_line() {
    let message = error("seed = 1\n[model\n", &[]);
    assert!(message.starts_with("c.toml:2: "), "{message}");
}

#[test]
fn unknown_names_are_told_before_any_work() {
    let message = error("[model]\nname = \"popularty\"", &[]);
    assert!(
        message.starts_with("c.toml:2: unknown model `popularty`, did you mean `popularity`?"),
        "{message}"
    );
    let message = error(&with_model("[evaluation]\nmetrics = [\"ndgc\"]"), &[]);
    assert!(
        message.starts_with("c.toml:2: unknown metric `ndgc`, did you mean `ndcg`?"),
        "{message}"
    );
    let message = error(&with_model("[training]\nvalidation_metric = \"ndcg\""), &[]);
    assert!(
        message.starts_with("c.toml:2: metric `ndcg` needs a cutoff"),
        "{message}"
    );
    let message = error(&with_model("device = \"wgup\""), &[]);
    assert!(
        message.starts_with("c.toml:1: `device`: unknown device `wgup`, did you mean `wgpu`?"),
        "{message}"
    );
    let message = error("seed = 1", &[]);
    assert!(message.contains("add `[model]`"), "{message}");
}

#[test]
fn a_parameter_of_the_model_is_checked_too() {
    let text = "seed = 1\n[model]\nname = \"mf\"\nembeding_dim = 8";
    let message = error(text, &[]);
    assert!(
        message.starts_with("c.toml:4: ")
            && message.contains("unknown key `embeding_dim`, did you mean `embedding_dim`?"),
        "{message}"
    );
    let message = error("[model]\nname = \"mf\"\nembedding_dim = \"wide\"", &[]);
    assert!(
        message.starts_with("c.toml:3: ") && message.contains("`embedding_dim`"),
        "{message}"
    );
}

#[test]
fn an_override_is_checked_by_itself() {
    let message = error(MODEL, &["training.epochs=3", "training.epoch=3"]);
    assert!(
        message.starts_with("--set training.epoch=3: `training`: unknown key `epoch`"),
        "{message}"
    );
    let message = error(MODEL, &["training.epochs=many"]);
    assert!(
        message.contains("`training.epochs`: invalid type"),
        "{message}"
    );
}

#[test]
fn overrides_win_and_defaults_are_written_out() {
    let sets = ["training.epochs=3".to_string(), "model.name=mf".to_string()];
    let config = Config::parse("[model]\nname = \"popularity\"", "c.toml", &sets).unwrap();
    assert_eq!(config.training.epochs, 3);
    assert_eq!(config.model.name, "mf");
    assert!(config.model.params.contains_key("embedding_dim"));
    let text = config.to_toml().unwrap();
    assert_eq!(Config::parse(&text, "again.toml", &[]).unwrap(), config);
}

#[test]
fn the_watched_metric_is_kept_by_its_proper_name() {
    let text = with_model("[training]\nvalidation_metric = \"hit@5\"");
    let config = Config::parse(&text, "c.toml", &[]).unwrap();
    assert_eq!(config.training.validation_metric, "hit_rate@5");
}

//! Help that teaches by example.

use super::Sandbox;
use insta::assert_snapshot;

#[test]
fn the_program_lists_its_commands() {
    assert_snapshot!(Sandbox::new().ok("--help"), @r"
    Trains, evaluates and serves recommenders on any GPU or on the CPU, from interaction logs to top-N
    lists

    Usage: recsys [OPTIONS] <COMMAND>

    Commands:
      train        Train a model, judge it beside its baselines, and keep it in a run directory
      eval         Judge the model of a run, from its directory alone
      compare      Compare runs on the same split: is the difference real?
      tune         Find better settings, by trials that are judged on the validation part alone
      recommend    Recommend items to users of a run, or to somebody it never saw
      data         Fetch public data sets, draw synthetic ones, and look at data
      devices      List the adapters that wgpu sees, and what `--device auto` takes
      doctor       Look at this machine, train two seconds on each device, and say what is wrong
      models       List the models with their parameters, defaults and papers
      metrics      List the metrics with their formulas and papers
      reproduce    Train a config whose figures are known, and say whether they come out
      completions  Print a script that completes commands and options in your shell
      help         Print this message or the help of the given subcommand(s)

    Options:
      -q, --quiet    Say nothing on the way: only results and errors
      -h, --help     Print help
      -V, --version  Print version

    Examples:
      recsys train --config configs/quickstart.toml    train, and see how good it is
      recsys recommend --user N14228                   ten items for that user, by the newest run
      recsys eval --metrics ndcg@5,recall@50           judge the newest run by other metrics
      recsys compare runs/a runs/b                     is the difference real?
      recsys tune --config configs/ml-100k/ease.toml   find better settings
      recsys data stats --config configs/quickstart.toml
      recsys models                                    what can stand under [model]

    Every command has examples of its own: recsys train --help
    Exit status: 0 success, 1 failure, 2 wrong usage, 3 below a --fail-below, 130 stopped by Ctrl-C.
    ");
}

#[test]
fn every_command_has_examples() {
    let sandbox = Sandbox::new();
    for command in [
        "train",
        "eval",
        "compare",
        "tune",
        "recommend",
        "data",
        "data check",
        "data fetch",
        "data stats",
        "data synth",
        "devices",
        "doctor",
        "models",
        "metrics",
        "reproduce",
        "completions",
    ] {
        let help = sandbox.ok(&format!("{command} --help"));
        assert!(help.contains("Examples:\n  recsys "), "{command}: {help}");
    }
}

#[test]
fn wrong_usage_has_its_own_status() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run("train").status, 2);
    assert_eq!(sandbox.run("recommend").status, 2);
    assert_eq!(sandbox.run("recommend --user 1 --all").status, 2);
    assert_eq!(
        sandbox
            .run("train --resume run --config config.toml")
            .status,
        2
    );
    let outcome = sandbox.run("train --config config.toml --device wgup");
    assert_eq!(outcome.status, 2);
    assert!(
        outcome.err.contains("did you mean `wgpu`?"),
        "{}",
        outcome.err
    );
}

#[test]
fn lists_come_from_the_registries() {
    let sandbox = Sandbox::new();
    let models = sandbox.ok("models");
    for entry in recsys::models::REGISTRY {
        assert!(models.contains(&format!("{}: ", entry.name)), "{models}");
        for (param, _) in entry.params {
            assert!(models.contains(param), "{} of {}", param, entry.name);
        }
    }
    let metrics = sandbox.ok("metrics");
    for entry in recsys::metrics::REGISTRY {
        assert!(metrics.contains(entry.name) && metrics.contains(entry.definition));
    }
    let error = sandbox.fails("models popularty");
    assert!(error.contains("did you mean `popularity`?"), "{error}");
}

#[test]
fn devices_are_listed_without_failing() {
    let out = Sandbox::new().ok("devices");
    assert!(out.contains("`auto` takes: "), "{out}");
    assert!(out.contains("cpu"), "{out}");
}

#[test]
fn completions_are_for_a_shell() {
    let script = Sandbox::new().ok("completions bash");
    assert!(script.contains("_recsys()"), "{script}");
}

#[test]
fn data_sets_are_listed() {
    let out = Sandbox::new().ok("data fetch");
    for entry in recsys::data::fetch::CATALOG {
        assert!(out.contains(entry.name), "{out}");
    }
}

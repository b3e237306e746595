//! The report as a page, as Markdown and as JSON.

use super::Sandbox;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::process::Command;

const SECTIONS: [&str; 12] = [
    "verdict",
    "metrics",
    "learning",
    "cutoffs",
    "users",
    "items",
    "long-tail",
    "trade-off",
    "map",
    "examples",
    "data",
    "provenance",
];

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

fn trained() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.trained();
    sandbox
}

/// Ids, and whatever would load something, of a page that must be well-formed.
fn elements(page: &str) -> (Vec<String>, Vec<String>) {
    let mut reader = Reader::from_str(page);
    let (mut ids, mut loads) = (Vec::new(), Vec::new());
    loop {
        let element = match reader.read_event().expect("well-formed") {
            Event::Eof => return (ids, loads),
            Event::Start(element) | Event::Empty(element) => element,
            _ => continue,
        };
        let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
        if ["link", "img", "iframe", "object", "embed", "image", "use"].contains(&name.as_str()) {
            loads.push(name.clone());
        }
        for attribute in element.attributes() {
            let attribute = attribute.expect("an attribute with its value");
            let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
            let value = String::from_utf8_lossy(&attribute.value).into_owned();
            match key.as_str() {
                "id" => ids.push(value),
                "href" if value.starts_with('#') => {}
                "src" | "href" | "srcset" | "xlink:href" | "action" => loads.push(value),
                _ => {}
            }
        }
    }
}

#[test]
fn the_page_is_whole_and_loads_nothing() {
    let sandbox = trained();
    let page = sandbox.read("run/report.html");
    let (ids, loads) = elements(&page);
    for section in SECTIONS {
        assert_eq!(
            ids.iter().filter(|id| *id == section).count(),
            1,
            "{section}"
        );
    }
    assert_eq!(loads, Vec::<String>::new());
    for outside in ["http:", "https:", "//", "@import", "url("] {
        let text = page.replace("// ", "");
        assert!(!text.contains(outside), "{outside}");
    }
}

#[test]
fn page_and_text_have_the_numbers_of_the_json() {
    let sandbox = trained();
    let report = json(&sandbox.read("run/report.json"));
    let (page, text) = (
        sandbox.read("run/report.html"),
        sandbox.read("run/report.md"),
    );
    let mut figures = Vec::new();
    for (_, value) in report["metrics"]["test"].as_object().unwrap() {
        figures.push(value.as_f64().unwrap());
    }
    for baseline in report["baselines"].as_array().unwrap() {
        for (_, value) in baseline["metrics"]["test"].as_object().unwrap() {
            figures.push(value.as_f64().unwrap());
        }
    }
    let analysis = &report["analysis"];
    for interval in analysis["intervals"].as_array().unwrap() {
        figures.extend(["low", "high"].map(|end| interval[end].as_f64().unwrap()));
    }
    for kind in ["user_groups", "item_groups"] {
        for grouping in analysis[kind].as_array().unwrap() {
            let groups = grouping["groups"].as_array().unwrap();
            // The page says of a single group only how many there are.
            for group in groups.iter().filter(|_| groups.len() > 1) {
                figures.extend(
                    group["values"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .filter_map(|v| v.as_f64()),
                );
            }
        }
    }
    for model in analysis["exposure"]["models"].as_array().unwrap() {
        figures.extend(["accuracy", "coverage", "novelty"].map(|f| model[f].as_f64().unwrap()));
    }
    assert!(figures.len() > 40, "{}", figures.len());
    for figure in figures {
        let figure = format!("{figure:.4}");
        assert!(page.contains(&figure), "{figure} is not on the page");
        assert!(text.contains(&figure), "{figure} is not in the text");
    }
    let sentence = report["verdict"]["sentence"].as_str().unwrap();
    let escaped = sentence.replace('&', "&amp;").replace('<', "&lt;");
    assert!(page.contains(&escaped), "{sentence}");
    for title in analysis["map"]["titles"].as_array().unwrap() {
        assert!(page.contains(title.as_str().unwrap()));
    }
    assert_eq!(analysis["map"]["titles"].as_array().unwrap().len(), 24);
    assert_eq!(analysis["examples"].as_array().unwrap().len(), 10);
}

#[test]
fn the_lists_behind_the_analysis_are_those_of_the_metrics() {
    let sandbox = trained();
    let report = json(&sandbox.read("run/report.json"));
    let metrics = &report["metrics"]["test"];
    let analysis = &report["analysis"];
    let exposed = &analysis["exposure"]["models"][0];
    assert_eq!(exposed["accuracy"], metrics["ndcg@5"]);
    assert_eq!(exposed["coverage"], metrics["coverage@5"]);
    for curve in analysis["cutoffs"].as_array().unwrap() {
        let name = format!("{}@5", curve["metric"].as_str().unwrap());
        let last = curve["values"][0].as_array().unwrap().last().unwrap();
        let difference = last.as_f64().unwrap() - metrics[&name].as_f64().unwrap();
        assert!(difference.abs() < 1e-12, "{name}: {difference}");
    }
}

#[test]
fn eval_writes_its_own_page() {
    let sandbox = trained();
    let before = sandbox.read("run/report.html");
    let outcome = sandbox.run("eval --run run --split validation");
    assert_eq!(outcome.status, 0, "{}", outcome.err);
    assert!(
        outcome.err.contains("run/eval/validation/report.html"),
        "{}",
        outcome.err
    );
    elements(&sandbox.read("run/eval/validation/report.html"));
    assert!(
        sandbox
            .read("run/eval/validation/report.md")
            .contains("| validation |")
    );
    assert_eq!(sandbox.read("run/report.html"), before);
}

#[test]
fn models_without_epochs_or_vectors_say_so() {
    let sandbox = Sandbox::new();
    let config = sandbox.read("config.toml");
    let model = config.find("[model]").expect("a model");
    let evaluation = config.find("[evaluation]").expect("an evaluation");
    let neighbors = "[model]\nname = \"item_knn\"\n\n";
    let text = [&config[..model], neighbors, &config[evaluation..]].concat();
    sandbox.write("config.toml", &text);
    sandbox.trained();
    let page = sandbox.read("run/report.html");
    elements(&page);
    assert!(page.contains("there are no epochs to follow"));
    assert!(page.contains("does not score by one vector an item"));
}

#[test]
fn the_page_opens_in_a_browser() {
    let sandbox = trained();
    let python = std::env::var_os("RECSYS_BROWSER_PYTHON").map(std::path::PathBuf::from);
    let home = std::env::var_os("HOME")
        .map(std::path::PathBuf::from)
        .unwrap_or_default();
    let venv = home.join(".cache/recsys/browser-venv/bin/python");
    let python = python.unwrap_or(if venv.exists() {
        venv
    } else {
        "python3".into()
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/check_report.py");
    let page = sandbox.path("run/report.html");
    let Ok(done) = Command::new(&python).arg(script).arg(page).output() else {
        eprintln!("skipped: there is no {}", python.display());
        return;
    };
    let said = String::from_utf8_lossy(&done.stdout);
    match done.status.code() {
        Some(0) => {}
        Some(77) => eprintln!("{said}"),
        _ => panic!("{said}{}", String::from_utf8_lossy(&done.stderr)),
    }
}

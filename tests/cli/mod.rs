//! The program as a person meets it: one file a subject.

mod check;
mod compare;
mod errors;
mod flow;
mod help;
mod interrupt;
mod runs;
mod synth;

use assert_cmd::Command;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A folder with a small data set and a config, to run the program in.
pub struct Sandbox {
    folder: tempfile::TempDir,
}

/// What a run of the program left.
pub struct Outcome {
    pub status: i32,
    pub out: String,
    pub err: String,
}

const CONFIG: &str = r#"seed = 7
device = "cpu"

[data]
path = "data.csv"
user = "user"
item = "item"
timestamp = "time"

[data.item_features]
path = "items.csv"
id = "item"
title = "title"

[data.item_features.columns]
genre = { type = "list", separator = "|" }
year = "numeric"

[split]
kind = "leave_one_out"

[model]
name = "mf"
embedding_dim = 8

[training]
epochs = 4
batch_size = 64
learning_rate = 0.05
validation_metric = "ndcg@5"
checkpoint_seconds = 0

[evaluation]
metrics = ["ndcg", "recall", "coverage"]
cutoffs = [5]
"#;

impl Sandbox {
    /// 40 users, 24 items in two tastes: a user of an even number likes even
    /// items.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sandbox = Self { folder };
        let mut rows = String::from("user,item,time\n");
        for user in 0..40 {
            for step in 0..8 {
                let item = 2 * ((user * 5 + step * 7) % 12) + user % 2;
                writeln!(rows, "u{user:02},i{item:02},{}", 1000 + 40 * step + user).unwrap();
            }
        }
        let mut items = String::from("item,title,genre,year\n");
        for item in 0..24 {
            let genre = ["Comedy", "Drama|War"][item % 2];
            writeln!(items, "i{item:02},Film {item},{genre},{}", 1980 + item).unwrap();
        }
        sandbox.write("data.csv", &rows);
        sandbox.write("items.csv", &items);
        sandbox.write("config.toml", CONFIG);
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the folder is writable");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("the file is there")
    }

    /// The config with one text in place of another.
    pub fn config(&self, from: &str, to: &str) {
        assert!(CONFIG.contains(from), "{from}");
        self.write("config.toml", &CONFIG.replace(from, to));
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(program());
        command
            .current_dir(self.folder.path())
            .env_remove("COLUMNS");
        command
    }

    /// Runs the program; arguments are split at spaces.
    pub fn run(&self, arguments: &str) -> Outcome {
        let output = self
            .command()
            .args(arguments.split_whitespace())
            .output()
            .expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Outcome {
            status: output.status.code().expect("the program ends by itself"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Runs what must succeed; returns its standard output.
    pub fn ok(&self, arguments: &str) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.status, 0, "{arguments}: {}", outcome.err);
        outcome.out
    }

    /// Runs what must fail with status 1; returns the error, which comes last.
    pub fn fails(&self, arguments: &str) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.status, 1, "{arguments}: {}", outcome.err);
        assert_eq!(outcome.out, "", "{arguments}");
        let lines: Vec<_> = outcome.err.lines().collect();
        let at = lines.iter().rposition(|l| l.starts_with("error: "));
        lines[at.expect("an error is told")..].join("\n")
    }

    /// A quick training into `run`.
    pub fn trained(&self) {
        self.ok("--quiet train --config config.toml --output run");
    }
}

pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_recsys"))
}

/// Where times, speeds and commits differ from run to run.
pub fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut in_number = false;
    for c in text.chars() {
        if c.is_ascii_digit() || (in_number && c == '.') {
            in_number = true;
            continue;
        }
        if std::mem::take(&mut in_number) {
            out.push('#');
        }
        out.push(c);
    }
    out
}

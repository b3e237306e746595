//! A config that trains on the data, beside them.

use super::SynthConfig;
use std::fmt::Write;

pub(super) const USERS: &str = "users.parquet";
pub(super) const ITEMS: &str = "items.parquet";

/// The names of the interaction files, one for each platform.
pub(super) fn files(config: &SynthConfig) -> Vec<String> {
    if config.platforms == 1 {
        return vec!["interactions.parquet".to_string()];
    }
    let platforms = 1..=config.platforms;
    platforms
        .map(|p| format!("interactions-p{p}.parquet"))
        .collect()
}

/// The text of the config. Paths are relative to it, so that the folder can
/// be moved.
pub(super) fn text(config: &SynthConfig) -> String {
    let mut text = format!(
        "# Synthetic data: synth.json says how they were drawn.\nseed = {}\n\n[data]\n",
        config.seed
    );
    let files = files(config);
    let mut line = |s: &str| {
        let written = writeln!(text, "{s}");
        debug_assert!(written.is_ok(), "a string takes every line");
    };
    if let [file] = &files[..] {
        line(&format!("path = \"{file}\""));
    }
    line("user = \"user_id\"\nitem = \"item_id\"");
    if config.days.is_some() {
        line("timestamp = \"timestamp\"");
    }
    if config.platforms > 1 {
        for (p, file) in (1..).zip(&files) {
            line(&format!(
                "\n[[data.source]]\nname = \"p{p}\"\npath = \"{file}\""
            ));
        }
    }
    if config.features {
        line(&format!(
            "\n[data.user_features]\npath = \"{USERS}\"\nid = \"user_id\"\n\
             columns = {{ segment = \"categorical\" }}\n\n\
             [data.item_features]\npath = \"{ITEMS}\"\nid = \"item_id\"\ntitle = \"title\"\n\
             columns = {{ category = \"categorical\", tags = \"list\", quality = \"numeric\" }}"
        ));
    }
    let split = if config.days.is_some() {
        "global_time"
    } else {
        "ratio_per_user"
    };
    line(&format!("\n[split]\nkind = \"{split}\""));
    line("\n[model]\nname = \"mf\"");
    line("\n[training]\nepochs = 30\nlearning_rate = 0.005\npatience = 3");
    text
}

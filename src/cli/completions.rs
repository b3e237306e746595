//! `recsys completions`

use super::{Cli, output};
use anyhow::Result;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

/// Print a script that completes commands and options in your shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys completions bash > ~/.local/share/bash-completion/completions/recsys
  recsys completions zsh > ~/.zfunc/_recsys
  recsys completions fish > ~/.config/fish/completions/recsys.fish")]
pub struct Args {
    shell: Shell,
}

pub fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "recsys", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

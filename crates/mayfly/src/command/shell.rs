//! `mayfly completions` and `mayfly man`: what a shell and a reader of manuals want to have.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Print completions for a shell
///
/// For bash: mayfly completions bash > /etc/bash_completion.d/mayfly
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Runs it.
    pub(crate) fn run(&self, mut tree: Command, output: Output) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut tree, "mayfly", &mut script);
        output.bytes(&script)
    }
}

/// Write the manual pages, one for each command
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Where to write them; without it, the first page goes to standard output
    dir: Option<PathBuf>,
}

impl Man {
    /// Runs it.
    pub(crate) fn run(&self, tree: Command, output: Output) -> Outcome {
        let Some(dir) = &self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(tree).render(&mut page)?;
            return output.bytes(&page);
        };
        let failed = |error| Failure::unreachable(format!("{} can't be written", dir.display()), error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        clap_mangen::generate_to(tree, dir).map_err(failed)
    }
}

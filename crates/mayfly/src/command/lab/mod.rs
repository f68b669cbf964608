//! `mayfly lab …`

mod forge;

use clap::Subcommand;

use crate::failure::Outcome;
use crate::output::Output;

/// The laboratory: attacks, and what stands around the server
#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    Forge(Box<forge::Forge>),
}

impl LabCommand {
    /// Runs it.
    pub(crate) fn run(self, output: Output) -> Outcome {
        match self {
            Self::Forge(forge) => forge.run(output),
        }
    }
}

//! `mayfly lab …`

mod forge;
mod issuer_host;

use clap::Subcommand;

use crate::failure::Outcome;
use crate::output::Output;

/// The laboratory: attacks, and what stands around the server
#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    Forge(Box<forge::Forge>),
    IssuerHost(Box<issuer_host::Host>),
}

impl LabCommand {
    /// Runs it.
    pub(crate) fn run(self, output: Output) -> Outcome {
        match self {
            Self::Forge(forge) => forge.run(output),
            Self::IssuerHost(host) => host.run(output),
        }
    }
}

/// Any number: a run is told again by its seed, which is printed.
fn rand_seed() -> u64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    time.map_or(1, |time| time.as_nanos() as u64)
}

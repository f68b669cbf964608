//! `mayfly serve`: the server itself.

use clap::Args;

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;

/// Run the server until SIGTERM or SIGINT
///
/// It works on the data directory that `mayfly init` has made, and logs to standard error. When it is ready,
/// `mayfly status` says so, and run.json in the data directory has its addresses.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Print the configuration that holds, with every key explained, and do nothing else
    #[arg(long)]
    print_config: bool,
}

impl Serve {
    /// Runs it.
    pub(crate) fn run(&self, place: &Place, output: Output) -> Outcome {
        if self.print_config {
            return output.line(place.config()?.print().trim_end());
        }
        let settings = place.settings()?;
        let started = mayfly_server::log::start(&settings);
        started.map_err(|error| Failure::Unreachable(error.to_string()))?;
        mayfly_server::serve(settings).map_err(|error| Failure::Unreachable(error.to_string()))
    }
}

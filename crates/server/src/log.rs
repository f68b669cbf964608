//! The log: lines for people or JSON for machines, on standard error.
//!
//! Nothing secret reaches it: card numbers, CVC2s and keys are types that do not show themselves.

use std::fmt;
use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as format};

use crate::config::{LogFormat, Settings};

/// A log is being written already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyLogging;

impl fmt::Display for AlreadyLogging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this process writes a log already")
    }
}

impl std::error::Error for AlreadyLogging {}

/// Begins to write the log of this process. Once per process.
///
/// # Errors
/// If it was called before.
pub fn start(settings: &Settings) -> Result<(), AlreadyLogging> {
    let filter = settings.log_filter.0.clone();
    let layer = match settings.log_format {
        LogFormat::Text => {
            let layer = format::layer().with_writer(std::io::stderr);
            layer.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed()
        }
        LogFormat::Json => {
            let layer = format::layer().json().flatten_event(true).with_writer(std::io::stderr);
            layer.with_filter(filter).boxed()
        }
    };
    tracing_subscriber::registry().with(layer).try_init().map_err(|_| AlreadyLogging)
}

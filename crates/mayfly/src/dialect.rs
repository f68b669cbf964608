//! Which message specification is meant.

use std::path::Path;

use clap::Args;
use mayfly_iso8583::Dialect;

use crate::failure::{Failure, Outcome};

/// The option `--dialect`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DialectChoice {
    /// The message specification: ascii87, binary87, ebcdic87, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "ascii87")]
    dialect: String,
}

impl DialectChoice {
    /// Finds it among the built-in ones, or reads its file.
    pub(crate) fn load(&self) -> Outcome<&'static Dialect> {
        let name = self.dialect.as_str();
        if let Some(dialect) = Dialect::builtin(name) {
            return Ok(dialect);
        }
        let path = Path::new(name);
        let text = std::fs::read_to_string(path).map_err(|error| {
            let known = Dialect::BUILTIN.join(", ");
            Failure::Usage(format!(
                "there is no dialect and no readable file {name} ({error}); the built-in ones are {known}"
            ))
        })?;
        let title = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
        let dialect = Dialect::parse(title, &text)
            .map_err(|error| Failure::Usage(format!("dialect {name}: {error}")))?;
        // One, read once, and needed until the process ends.
        Ok(Box::leak(Box::new(dialect)))
    }
}

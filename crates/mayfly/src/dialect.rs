//! Which message specification is meant.

use std::borrow::Cow;
use std::ops::Deref;
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

/// A specification that is built in, or was read from a file.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// Built in.
    Builtin(&'static Dialect),
    /// From a file.
    File(Box<Dialect>),
}

impl Deref for Loaded {
    type Target = Dialect;

    fn deref(&self) -> &Dialect {
        match self {
            Self::Builtin(dialect) => dialect,
            Self::File(dialect) => dialect,
        }
    }
}

impl DialectChoice {
    /// Finds it.
    pub(crate) fn load(&self) -> Outcome<Loaded> {
        let name = self.dialect.as_str();
        if let Some(dialect) = Dialect::builtin(name) {
            return Ok(Loaded::Builtin(dialect));
        }
        let path = Path::new(name);
        let stem: Cow<'_, str> = path.file_stem().map_or(Cow::Borrowed(name), |stem| stem.to_string_lossy());
        let text = std::fs::read_to_string(path).map_err(|error| {
            let known = Dialect::BUILTIN.join(", ");
            Failure::Usage(format!(
                "there is no dialect and no readable file {name} ({error}); the built-in ones are {known}"
            ))
        })?;
        let dialect = Dialect::parse(&stem, &text)
            .map_err(|error| Failure::Usage(format!("dialect {name}: {error}")))?;
        Ok(Loaded::File(Box::new(dialect)))
    }
}

//! `mayfly keys …`: root keys, from their ceremony to the end of a version. None of them shows one.

mod ceremony;
pub(super) mod typed;

use std::path::PathBuf;

use clap::Subcommand;
use mayfly_keys::KeyVersion;
use mayfly_server::protocol::{self, AdminRequest, KeyStanding, List};

use crate::admin::{Admin, answered};
use crate::failure::Outcome;
use crate::output::Output;
use crate::place::Place;
use crate::table::Table;

/// Make root keys by a ceremony, compare them, and rotate the versions of the cards' keys
///
/// Where a root key is, or is to be, says the configuration: `keys` for the root key, `keys.card_keys` for further versions
/// of the cards' keys. No command shows a key, or copies one out of where it is.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Draw one custodian's component of a root key; it is shown this once, on a terminal or in a file
    Component {
        /// Write it to a new file that only its owner can read, and not to the terminal
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make a root key of two custodians' components, in a wrapped file or in a token
    ///
    /// Each custodian types his component and its check value, or brings them in a file. Neither of them sees the key.
    Combine {
        /// The files of both components; they are typed if none is named
        #[arg(value_name = "FILE", num_args = 2)]
        components: Vec<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// Draw a root key, in a file or in a token: nobody ever sees it
    Generate(Which),
    /// Draw the key that a root key is to be wrapped by, into the file `keys.wrapping_key_file`
    WrappingKey(Which),
    /// Show the check value of a root key, to compare it with what was written down
    Check(Which),
    /// List the versions of the cards' keys, and how many cards have each
    List,
    /// Let new cards get the next version of the keys; the server opens its root key, which the configuration names
    Rotate,
    /// Let a version of the cards' keys count no more, for good
    Retire {
        /// Which one
        #[arg(value_name = "VERSION", value_parser = version)]
        number: KeyVersion,
        /// Also if cards still have it: they are refused from then on, until they are enrolled anew
        #[arg(long)]
        force: bool,
    },
}

/// Which root key.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Which {
    /// That of this version of the cards' keys; the root key itself if not said
    #[arg(long, value_name = "VERSION", value_parser = version)]
    card_version: Option<KeyVersion>,
}

fn version(text: &str) -> Result<KeyVersion, String> {
    let number = text.parse().ok().and_then(KeyVersion::from_number);
    number.ok_or_else(|| "versions are numbers from 1".to_owned())
}

impl KeysCommand {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let request = match self {
            Self::Component { out } => return ceremony::component(out.as_deref(), output),
            Self::Combine { components, which } => {
                return ceremony::combine(place, which.card_version, &components, output);
            }
            Self::Generate(which) => return ceremony::generate(place, which.card_version, output),
            Self::WrappingKey(which) => return ceremony::wrapping_key(place, which.card_version, output),
            Self::Check(which) => return ceremony::check(place, which.card_version, output),
            Self::List => AdminRequest::ListKeyVersions {},
            Self::Rotate => AdminRequest::RotateKeyVersion {},
            Self::Retire { number, force } => {
                AdminRequest::RetireKeyVersion { version: number.number(), force }
            }
        };
        let versions = answered!(Admin::connect(place)?.ask(request)?, KeyVersions)?;
        output.either(&versions, || show(&versions))
    }
}

fn show(versions: &List<protocol::KeyVersion>) -> String {
    let mut table = Table::new(["version", "standing", "check value", "cards", "since"]);
    for version in &versions.items {
        let standing = match (version.standing, version.retired) {
            (KeyStanding::Current, _) => "current".to_owned(),
            (KeyStanding::Accepted, _) => "accepted".to_owned(),
            (KeyStanding::Retired, Some(at)) => format!("retired {at}"),
            (KeyStanding::Retired, None) => "retired".to_owned(),
        };
        let (number, cards) = (version.version.to_string(), version.cards.to_string());
        table.row([number, standing, version.check_value.clone(), cards, version.created.to_string()]);
    }
    table.lines_or("no versions yet")
}

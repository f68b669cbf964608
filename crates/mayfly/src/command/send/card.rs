//! The card number that a message presents: from options, or from what `number issue --json` printed.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use mayfly_card::Expiry;
use mayfly_server::protocol::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};

/// Where the number comes from.
#[derive(Debug, Args)]
pub(crate) struct CardArgs {
    /// Take number, date and CVC2 from this file, as `mayfly number issue --json` prints them (- is standard
    /// input): they don't show in the list of processes then
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// The card number
    #[arg(long, value_name = "DIGITS", conflicts_with = "card")]
    number: Option<String>,
    /// The expiration date
    #[arg(long, value_name = "MM/YY", value_parser = expiry)]
    expiry: Option<Expiry>,
    /// The card verification code
    #[arg(long, value_name = "DIGITS")]
    cvc2: Option<String>,
    /// Send --number even if it has not the form of a card number
    #[arg(long)]
    pub(crate) any_number: bool,
}

/// A number with what goes with it. All of it may be missing.
pub(crate) struct Card {
    /// The digits.
    pub(crate) number: Option<Zeroizing<String>>,
    /// The date.
    pub(crate) expiry: Option<Expiry>,
    /// The code.
    pub(crate) cvc2: Option<Zeroizing<String>>,
}

#[derive(Deserialize)]
struct Printed {
    number: Secret,
    expiry: Secret,
    cvc2: Secret,
}

impl CardArgs {
    /// Whether --cvc2 was given, and not just a file that has one.
    pub(crate) fn names_cvc2(&self) -> bool {
        self.cvc2.is_some()
    }

    /// What was given; single options go before what the file says.
    pub(crate) fn load(&self) -> Outcome<Card> {
        let printed = self.card.as_deref().map(read).transpose()?;
        let digits = |text: &String| Zeroizing::new(text.replace([' ', '-'], ""));
        let card_expiry = match &printed {
            Some(printed) => Some(expiry(printed.expiry.expose()).map_err(Failure::Usage)?),
            None => None,
        };
        let of_file = |pick: fn(&Printed) -> &Secret| {
            printed.as_ref().map(|printed| Zeroizing::new(pick(printed).expose().to_owned()))
        };
        Ok(Card {
            number: self.number.as_ref().map(digits).or_else(|| of_file(|printed| &printed.number)),
            expiry: self.expiry.or(card_expiry),
            cvc2: self.cvc2.clone().map(Zeroizing::new).or_else(|| of_file(|printed| &printed.cvc2)),
        })
    }
}

fn read(path: &Path) -> Outcome<Printed> {
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(65_536).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(65_536).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::unreachable(format!("{} can't be read", path.display()), error))?;
    serde_json::from_str(&text).map_err(|_| {
        Failure::Usage(format!(
            "{} is not what `mayfly number issue --json` prints: an object with number, expiry and cvc2",
            path.display()
        ))
    })
}

/// An expiration date as people write it, with or without the slash.
pub(crate) fn expiry(text: &str) -> Result<Expiry, String> {
    Expiry::parse_mmyy(&text.replacen('/', "", 1))
        .map_err(|_| "write the date as MM/YY, 09/29 for example".into())
}

//! The card number that a message presents: from options, or from what `number issue --json` or `wallet pay --json` printed,
//! or the HTTP API answered.

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
    /// Take number, date, and CVC2 or MAC field from this file, as `mayfly number issue --json` and `mayfly wallet
    /// pay --json` print them or the HTTP API answers them (- is standard input): they don't show in the list of
    /// processes then
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
    /// The MAC field (AAV).
    pub(crate) mac_field: Option<Zeroizing<String>>,
}

#[derive(Deserialize)]
struct Printed {
    number: Secret,
    /// By the name that it has in the HTTP API, too.
    #[serde(alias = "expiration_date")]
    expiry: Secret,
    #[serde(default)]
    cvc2: Option<Secret>,
    #[serde(default)]
    mac_field: Option<Secret>,
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
        let of_file = |pick: fn(&Printed) -> Option<&Secret>| {
            printed.as_ref().and_then(pick).map(|secret| Zeroizing::new(secret.expose().to_owned()))
        };
        Ok(Card {
            number: self.number.as_ref().map(digits).or_else(|| of_file(|printed| Some(&printed.number))),
            expiry: self.expiry.or(card_expiry),
            cvc2: self.cvc2.clone().map(Zeroizing::new).or_else(|| of_file(|printed| printed.cvc2.as_ref())),
            mac_field: of_file(|printed| printed.mac_field.as_ref()),
        })
    }
}

fn read(path: &Path) -> Outcome<Printed> {
    let mut text = Zeroizing::new(String::new());
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let read = if is_stdin {
        std::io::stdin().lock().take(65_536).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(65_536).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::unreachable(format!("{name} can't be read"), error))?;
    serde_json::from_str(&text).map_err(|_| {
        Failure::Usage(format!(
            "{name} is not what `mayfly number issue --json` prints: an object with number, expiry and what proves them"
        ))
    })
}

/// An expiration date as people write it, with or without the slash.
pub(crate) fn expiry(text: &str) -> Result<Expiry, String> {
    Expiry::parse_mmyy(&text.replacen('/', "", 1))
        .map_err(|_| "write the date as MM/YY, 09/29 for example".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_read_as_the_command_line_prints_it_and_as_the_api_answers_it() {
        let printed =
            r#"{"id":"num_1","number":"4569401797365348","expiry":"0528","cvc2":"010","expires":"2026"}"#;
        let answered = r#"{"id":"num_1","number":"4569401797365348","expiration_date":"05/28","cvc2":"010"}"#;
        for text in [printed, answered] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let card = Some(file.path().to_owned());
            let args = CardArgs { card, number: None, expiry: None, cvc2: None, any_number: false };
            let card = args.load().unwrap();
            assert_eq!(card.number.as_deref().map(String::as_str), Some("4569401797365348"));
            assert_eq!(card.expiry, Some(expiry("05/28").unwrap()));
            assert_eq!(card.cvc2.as_deref().map(String::as_str), Some("010"));
        }
        let filled = r#"{"number":"5419992000000424","expiration_date":"12/27","mac_field":"jHyn"}"#;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), filled).unwrap();
        let card = Some(file.path().to_owned());
        let card =
            CardArgs { card, number: None, expiry: None, cvc2: None, any_number: false }.load().unwrap();
        assert_eq!(card.mac_field.as_deref().map(String::as_str), Some("jHyn"));
        assert!(card.cvc2.is_none());
    }
}

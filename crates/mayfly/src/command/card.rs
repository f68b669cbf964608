//! `mayfly card …`

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mayfly_card::{Expiry, Pan};
use mayfly_core::{AccountId, NumberId, ProgrammeId};
use mayfly_server::protocol::{AdminRequest, Card, EnrolCard, NumberControls, Secret};
use zeroize::Zeroizing;

use super::keys::typed;
use crate::admin::{Admin, PageArgs, answered, more};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use crate::table::{Table, pairs};

/// Enrol, look at, unlock and close cards of the check site
#[derive(Debug, Subcommand)]
pub(crate) enum CardCommand {
    /// Enrol a card; its cardholder's wallet fetches number and key
    Enrol(Enrol),
    /// List an account's cards, the latest first
    List {
        /// Whose cards
        #[arg(long, value_name = "ID", value_parser = AccountId::parse)]
        account: AccountId,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a card
    Show {
        /// Its id, num_1 for example
        #[arg(value_parser = NumberId::parse)]
        card: NumberId,
    },
    /// Unlock a card; as a rule its cardholder does so himself
    Unlock {
        /// Its id
        #[arg(value_parser = NumberId::parse)]
        card: NumberId,
    },
    /// Close a card for good; what was bought with it goes on
    Close {
        /// Its id
        #[arg(value_parser = NumberId::parse)]
        card: NumberId,
    },
}

/// The card that is to be enrolled. Its own number is typed, piped in, or read from a file: on a command line everybody could
/// read it.
#[derive(Debug, Args)]
pub(crate) struct Enrol {
    /// Which account pays
    #[arg(long, value_name = "ID", value_parser = AccountId::parse)]
    account: AccountId,
    /// By whose terms
    #[arg(long, value_name = "ID", value_parser = ProgrammeId::parse)]
    programme: ProgrammeId,
    /// The card's real expiration date, 05/28 for example
    #[arg(long, value_name = "MM/YY", value_parser = date)]
    expiry: Expiry,
    /// The process by which its key is made [default: the first that the programme has enabled]
    #[arg(long, value_name = "DIGIT")]
    process: Option<u8>,
    /// A file with the card's own number, and nothing else; it is typed, or read from standard input, if none is named
    #[arg(long, value_name = "FILE")]
    number_file: Option<PathBuf>,
}

fn date(text: &str) -> Result<Expiry, String> {
    let wrong = || "write month and year, as in 05/28".to_owned();
    let (month, year) = text.split_once('/').filter(|(month, _)| month.len() == 2).ok_or_else(wrong)?;
    Expiry::parse_mmyy(&format!("{month}{year}")).map_err(|_| wrong())
}

/// Longer than a file with a number is.
const FILE_BYTES_MAX: u64 = 64;

impl CardCommand {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let request = match self {
            Self::Enrol(enrol) => AdminRequest::EnrolCard(Box::new(enrol.request()?)),
            Self::List { account, page } => {
                let request = AdminRequest::ListCards { account, page: page.page() };
                let found = answered!(Admin::connect(place)?.ask(request)?, Cards)?;
                return output.either(&found, || {
                    let mut table = Table::new(["card", "masked", "kind", "status", ">open", "enrolled"]);
                    for one in &found.items {
                        table.row([
                            one.id.to_string(),
                            one.masked.clone(),
                            one.kind.name().into(),
                            one.status.name().into(),
                            one.open_etsns.to_string(),
                            one.enrolled.to_string(),
                        ]);
                    }
                    let empty = format!(
                        "no cards: mayfly card enrol --account {account} --programme ID --expiry MM/YY"
                    );
                    table.lines_or(&empty) + &more(found.next.as_ref())
                });
            }
            Self::Show { card } => AdminRequest::ShowCard { card },
            Self::Unlock { card } => AdminRequest::UnlockCard { card },
            Self::Close { card } => AdminRequest::CloseCard { card },
        };
        let card = answered!(Admin::connect(place)?.ask(request)?, Card)?;
        output.either(&card, || show(&card))
    }
}

impl Enrol {
    fn request(self) -> Outcome<EnrolCard> {
        let typed = match &self.number_file {
            Some(file) => read(file)?,
            None => typed::secret("the card's own number (it is not shown): ")?,
        };
        let digits: Zeroizing<String> = Zeroizing::new(
            typed.chars().filter(|letter| !matches!(letter, ' ' | '-' | '\r' | '\n')).collect(),
        );
        let number = Pan::parse(digits.as_bytes())
            .map_err(|error| Failure::Usage(format!("the card's own number: {error}")))?;
        Ok(EnrolCard {
            account: self.account,
            programme: self.programme,
            number,
            expiry: Secret::new(self.expiry.mmyy()),
            process: self.process,
            controls: NumberControls::default(),
        })
    }
}

fn read(file: &Path) -> Outcome<Zeroizing<String>> {
    let name = file.display();
    let failed = |error| Failure::unreachable(format!("{name} can't be read"), error);
    // Looked at before it is read: a device may have no end.
    let metadata = fs::metadata(file).map_err(failed)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(Failure::Usage(format!("{name} is no file with a card's number and nothing else")));
    }
    Ok(Zeroizing::new(fs::read_to_string(file).map_err(failed)?))
}

fn show(card: &Card) -> String {
    let mut lines = vec![
        ("card", card.id.to_string()),
        ("masked", card.masked.clone()),
        ("account", card.account.to_string()),
        ("programme", card.programme.to_string()),
        ("kind", card.kind.name().to_owned()),
        ("status", card.status.name().to_owned()),
        ("open purchases", card.open_etsns.to_string()),
        ("enrolled", card.enrolled.to_string()),
    ];
    lines.extend(card.locked.map(|locked| ("locked", locked.to_string())));
    pairs(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_with_a_stroke() {
        assert_eq!(date("05/28").map(|date| date.mmyy()), Ok("0528".to_owned()));
        for wrong in ["0528", "5/28", "13/28", "05/2028", ""] {
            assert!(date(wrong).is_err(), "{wrong}");
        }
    }
}

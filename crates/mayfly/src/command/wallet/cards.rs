//! The cards: listing, enrolling, restoring, unlocking, forgetting.

use clap::Args;
use mayfly_card::Expiry;
use mayfly_keys::OsRandom;
use mayfly_wallet::{Card, CardId};
use serde_json::{Value, json};

use super::file::Opened;
use super::wire::CardNow;
use super::{At, chosen, failed, of_server};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::{Table, pairs};

/// One of the wallet's cards.
#[derive(Debug, Args)]
pub(crate) struct OneCard {
    /// The card's id, num_1 for example; not needed if the wallet has only one
    #[arg(value_name = "CARD", value_parser = CardId::parse)]
    pub(crate) card: Option<CardId>,
}

/// List your cards: those of the issuer, and which of them the wallet has
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Ask no server: only what is in the wallet
    #[arg(long)]
    offline: bool,
}

impl List {
    /// Runs it.
    pub(crate) fn run(&self, at: &At, output: Output) -> Outcome {
        let mut opened = at.open()?;
        let now =
            if self.offline { Vec::new() } else { at.session(&mut opened)?.cards().map_err(of_server)? };
        let mut lines: Vec<Line<'_>> = now
            .iter()
            .map(|now| Line { id: &now.id, now: Some(now), card: opened.wallet.card(&now.id) })
            .collect();
        let known = |id: &CardId| now.iter().any(|now| &now.id == id);
        let others = opened.wallet.cards().iter().filter(|card| !known(card.id()));
        lines.extend(others.map(|card| Line { id: card.id(), now: None, card: Some(card) }));
        let values: Vec<Value> = lines.iter().map(Line::value).collect();
        output.either(&json!({ "server": opened.wallet.server(), "cards": values }), || {
            let mut table = Table::new([
                "card",
                "number",
                "good through",
                "kind",
                "status",
                ">open",
                "in the wallet",
                ">TSN",
            ]);
            for line in &lines {
                table.row(line.cells());
            }
            table.lines_or("no cards yet: mayfly wallet enrol")
        })
    }
}

/// A card, as the server sees it, or as it is in the wallet, or both.
struct Line<'a> {
    id: &'a CardId,
    now: Option<&'a CardNow>,
    card: Option<&'a Card>,
}

impl Line<'_> {
    fn last_four(&self) -> String {
        match (self.card, self.now) {
            (Some(card), _) => card.number().pan().last_four().to_string(),
            (None, Some(now)) => now.last_four.clone(),
            (None, None) => String::new(),
        }
    }

    fn expiry(&self) -> Option<String> {
        match self.card {
            Some(card) => Some(slashed(card.expiry())),
            None => self.now?.expiry.clone(),
        }
    }

    fn value(&self) -> Value {
        json!({
            "id": self.id.as_str(),
            "last_four": self.last_four(),
            "expiration_date": self.expiry(),
            "in_wallet": self.card.is_some(),
            "mac_field": self.card.map(Card::has_mac_field),
            "tsn": self.card.map(|card| card.tsn().0),
            "server": self.now,
        })
    }

    fn cells(&self) -> [String; 8] {
        let of_server = |pick: fn(&CardNow) -> String| self.now.map_or_else(|| "?".to_owned(), pick);
        [
            self.id.to_string(),
            format!("…{}", self.last_four()),
            self.expiry().unwrap_or_default(),
            of_server(|now| now.kind.clone()),
            of_server(|now| now.status.clone()),
            of_server(|now| now.open_etsns.to_string()),
            if self.card.is_some() { "yes" } else { "no" }.to_owned(),
            self.card.map(|card| card.tsn().0.to_string()).unwrap_or_default(),
        ]
    }
}

/// A date as people write it.
pub(crate) fn slashed(expiry: Expiry) -> String {
    let mmyy = expiry.mmyy();
    format!("{}/{}", &mmyy[..2], &mmyy[2..])
}

/// Take a card into the wallet: its key comes here, and this wallet pays with it from now on
#[derive(Debug, Args)]
pub(crate) struct Enrol {
    /// The card's id, as `mayfly wallet list` shows it; not needed if only one is not in the wallet yet
    #[arg(value_name = "CARD", value_parser = CardId::parse)]
    card: Option<CardId>,
}

impl Enrol {
    /// Runs it.
    pub(crate) fn run(&self, at: &At, output: Output) -> Outcome {
        let mut opened = at.open()?;
        let mut http = at.session(&mut opened)?;
        let id = match &self.card {
            Some(id) => id.clone(),
            None => the_only_one(&opened, &http.cards().map_err(of_server)?)?,
        };
        let Opened { wallet, keeper } = &mut opened;
        let card = mayfly_wallet::enrol(wallet, &id, &mut http, keeper, &mut OsRandom).map_err(failed)?;
        output.either(&shown(card), || {
            pairs(&[
                ("card", card.id().to_string()),
                ("number", format!("…{}", card.number().pan().last_four())),
                ("good through", slashed(card.expiry())),
                ("MAC field", if card.has_mac_field() { "where a form has one" } else { "never" }.to_owned()),
            ])
        })
    }
}

fn the_only_one(opened: &Opened, cards: &[CardNow]) -> Outcome<CardId> {
    let is_new = |card: &&CardNow| card.status != "closed" && opened.wallet.card(&card.id).is_none();
    let new: Vec<&CardNow> = cards.iter().filter(is_new).collect();
    match new[..] {
        [card] => Ok(card.id.clone()),
        [] => Err(Failure::Refused("you have no card that is not in the wallet already".into())),
        _ => {
            let ids: Vec<_> = new.iter().map(|card| card.id.as_str()).collect();
            Err(Failure::Usage(format!("say which card: {}", ids.join(", "))))
        }
    }
}

fn shown(card: &Card) -> Value {
    Line { id: card.id(), now: None, card: Some(card) }.value()
}

/// Learns the last TSN of a card.
pub(crate) fn restore(at: &At, which: &OneCard, output: Output) -> Outcome {
    let mut opened = at.open()?;
    let id = chosen(&opened, which.card.as_ref())?;
    let mut http = at.session(&mut opened)?;
    let Opened { wallet, keeper } = &mut opened;
    let tsn = mayfly_wallet::restore(wallet, &id, &mut http, keeper, &mut OsRandom).map_err(failed)?;
    output.either(&json!({ "id": id.as_str(), "tsn": tsn.0 }), || {
        format!("{id} counts on from {}; you can pay with it again", tsn.0)
    })
}

/// Ends the lock of a card, also of one that is not in the wallet.
pub(crate) fn unlock(at: &At, which: &OneCard, output: Output) -> Outcome {
    let mut opened = at.open()?;
    let id = match &which.card {
        Some(id) => id.clone(),
        None => chosen(&opened, None)?,
    };
    let now = at.session(&mut opened)?.unlock(&id).map_err(of_server)?;
    output.either(&now, || format!("{id} is {}", now.status))
}

/// Forget a card and its key, for good; enrol it again to pay with it here
#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The card's id
    #[arg(value_name = "CARD", value_parser = CardId::parse)]
    card: CardId,
}

impl Forget {
    /// Runs it.
    pub(crate) fn run(&self, at: &At, output: Output) -> Outcome {
        let Opened { mut wallet, mut keeper } = at.open()?;
        wallet.forget(&self.card, &mut keeper).map_err(failed)?;
        let id = &self.card;
        output.either(&json!({ "id": id.as_str(), "in_wallet": false }), || format!("{id} is forgotten"))
    }
}

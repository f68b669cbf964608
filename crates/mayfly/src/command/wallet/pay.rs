//! A purchase: asking for it, and what to put into the merchant's form.

use clap::Args;
use jiff::Timestamp;
use mayfly_card::{Currency, MerchantId};
use mayfly_wallet::{CardId, Filled, Form, Order, Wish};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::cards::{OneCard, slashed};
use super::file::Opened;
use super::http::now_unix_s;
use super::wire::{Amount, mode_name};
use super::{At, chosen, failed};
use crate::command::account::amount;
use crate::command::send::compose::currency;
use crate::duration::parse_ms;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::pairs;

/// Ask for a purchase, and show what to put into the merchant's form
///
/// The number stays the same. The expiration date is good for this one purchase, or, where the form has a field for it, the
/// MAC is. What was asked for is bound: nobody pays more with it, or another merchant if one was named.
#[derive(Debug, Args)]
pub(crate) struct Pay {
    /// With which card; not needed if the wallet has only one
    #[arg(long, value_name = "ID", value_parser = CardId::parse)]
    card: Option<CardId>,
    /// What it costs, at the most: 24.98 for example
    #[arg(long)]
    amount: String,
    /// In which currency
    #[arg(long, value_name = "LETTERS", value_parser = currency)]
    currency: Currency,
    /// At which merchant, by his card acceptor id, if his form or his page says it
    #[arg(long, value_name = "ID", value_parser = merchant, required_if_eq("form_has_mac_field", "true"))]
    merchant: Option<MerchantId>,
    /// What the merchant calls himself; only a MAC field needs it
    #[arg(long, value_name = "NAME", required_if_eq("form_has_mac_field", "true"))]
    merchant_name: Option<String>,
    /// The merchant's form has a field for the MAC (AAV)
    #[arg(long)]
    form_has_mac_field: bool,
    /// How long it should be possible, 10m for example; as long as the issuer says if not given
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    lifetime: Option<u64>,
}

impl Pay {
    /// Runs it.
    pub(crate) fn run(&self, at: &At, output: Output) -> Outcome {
        let wish = self.wish()?;
        let form = Form { mac_field: self.form_has_mac_field };
        let mut opened = at.open()?;
        let id = chosen(&opened, self.card.as_ref())?;
        let mut http = at.server(opened.wallet.server())?;
        let Opened { wallet, keeper } = &mut opened;
        let filled = mayfly_wallet::pay(wallet, &id, wish, form, &mut http, keeper).map_err(failed)?;
        show(&opened, &id, &filled, output)
    }

    fn wish(&self) -> Outcome<Wish> {
        let minor = amount(self.currency, "--amount", &self.amount)?;
        let amount = mayfly_card::MinorUnits::new(minor).map(|minor| (minor, self.currency));
        let lifetime_s = match self.lifetime {
            Some(ms) if ms % 1000 != 0 => {
                return Err(Failure::Usage("--lifetime is a whole number of seconds".into()));
            }
            // What does not fit is too long in any case.
            Some(ms) => Some(u32::try_from(ms / 1000).unwrap_or(u32::MAX)),
            None => None,
        };
        Ok(Wish { amount, merchant: self.merchant, merchant_name: self.merchant_name.clone(), lifetime_s })
    }
}

fn merchant(text: &str) -> Result<MerchantId, String> {
    MerchantId::parse(text)
        .ok()
        .filter(|id| !id.is_empty())
        .ok_or_else(|| "a card acceptor id has 1 to 15 characters, M-001 for example".to_owned())
}

/// Shows the last purchase again.
pub(crate) fn again(at: &At, which: &OneCard, output: Output) -> Outcome {
    let opened = at.open()?;
    let id = chosen(&opened, which.card.as_ref())?;
    let none = |why: &str| Failure::Refused(format!("{why}; ask for one with `mayfly wallet pay`"));
    let card = opened.wallet.card(&id).ok_or_else(|| none("there is no such card in the wallet"))?;
    let filled = card.fill_last().ok_or_else(|| none("no purchase was asked for with this card"))?;
    let filled = filled.map_err(|error| Failure::Refused(error.to_string()))?;
    if filled.expires_unix_s <= now_unix_s() {
        return Err(none("the time of the last purchase is over"));
    }
    show(&opened, &id, &filled, output)
}

fn show(opened: &Opened, id: &CardId, filled: &Filled, output: Output) -> Outcome {
    let order = opened.wallet.card(id).and_then(|card| card.last()).map(|last| &last.order);
    let text = filled.mac_field.as_ref().map(|field| Zeroizing::new(field.text()));
    let mac_field = text.as_ref().map(|text| String::from_utf8_lossy(&text[..]));
    let until = Timestamp::from_second(filled.expires_unix_s.cast_signed()).ok();
    if output.is_json() {
        let wish = order.map(Order::wish);
        return output.json(&json!({
            "id": id.as_str(),
            "number": filled.number.as_str(),
            "expiration_date": slashed(filled.expiry),
            "mac_field": mac_field,
            "mode": order.map(|order| mode_name(order.mode())),
            "amount_max": wish.and_then(|wish| wish.amount).map(Amount::of),
            "merchant": wish.and_then(|wish| wish.merchant).map_or(Value::Null, |id| id.as_str().into()),
            "expires_at": until.map(|until| until.to_string()),
        }));
    }
    let mut lines =
        vec![("number", grouped(filled.number.as_str())), ("expiration date", slashed(filled.expiry))];
    lines.extend(mac_field.map(|field| ("MAC field", field.into_owned())));
    lines.extend(order.map(|order| ("good for", good_for(order))));
    lines.extend(until.map(|until| ("good until", until.to_string())));
    output.line(pairs(&lines).trim_end())
}

fn good_for(order: &Order) -> String {
    let wish = order.wish();
    let most = wish.amount.map(|(amount, currency)| format!("up to {}", currency.show(amount.signed())));
    let place =
        wish.merchant.map_or_else(|| "at any merchant".to_owned(), |merchant| format!("at {merchant}"));
    format!("one purchase {} {place}", most.unwrap_or_else(|| "of any amount".to_owned()))
}

/// As it stands on a card.
fn grouped(digits: &str) -> String {
    let groups: Vec<String> =
        digits.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_grouped_as_on_a_card() {
        assert_eq!(grouped("5419992000000424"), "5419 9920 0000 0424");
        assert_eq!(grouped("541999200000"), "5419 9920 0000");
    }
}

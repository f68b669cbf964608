//! A cardholder with his wallet: the same library that `mayfly wallet` is made of, over the same HTTP API.

use std::convert::Infallible;

use mayfly_card::Expiry;
use mayfly_core::IssuerId;
use mayfly_keys::{OsRandom, Random};
use mayfly_lab::Card;
use mayfly_server::protocol::{AdminRequest, CreateKey, EnrolCard, NumberControls, Secret};
use mayfly_store::directory::Role;
use mayfly_wallet::{CardId, Filled, Form, ServerError, Store, Wallet, WalletError, Wish};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::cards::Holder;
use super::script::name;
use crate::admin::{Admin, answered};
use crate::command::wallet::http::Http;
use crate::command::wallet::wire::{Login, Nothing};
use crate::failure::{Failure, Outcome};

/// A wallet in memory: it lives as long as the demonstration.
struct InMemory;

impl Store for InMemory {
    type Error = Infallible;

    fn save(&mut self, _: &Wallet) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The issuer's own systems, which use the HTTP API with a key.
pub(crate) struct Branch {
    issuer: IssuerId,
    api: String,
    key: Secret,
}

/// A cardholder's phone, with one card in its wallet.
pub(crate) struct Phone {
    http: Http,
    wallet: Wallet,
    card: CardId,
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

#[derive(Deserialize)]
struct Invited {
    invitation: Secret,
}

impl Branch {
    /// With a key that the operator makes.
    pub(crate) fn open(admin: &mut Admin, issuer: IssuerId, api: &str) -> Outcome<Self> {
        let key = CreateKey {
            role: Role::Issuer,
            issuer: Some(issuer),
            merchant: None,
            label: name("the bank's systems")?,
            lifetime_s: None,
        };
        let given = answered!(admin.ask(AdminRequest::CreateKey(Box::new(key)))?, KeyGiven)?;
        Ok(Self { issuer, api: api.to_owned(), key: given.token })
    }

    /// Invites a cardholder, who logs in and takes his card into his wallet.
    pub(crate) fn equip(&self, admin: &mut Admin, holder: &Holder) -> Outcome<Phone> {
        let own = Http::to(&self.api, None)?.with_token(self.key.expose());
        let Made { id } = own.post("/v1/cardholders", &json!({ "name": holder.name })).map_err(said)?;
        let account = json!({ "account": holder.account.to_string() });
        let _: Nothing = own.post(&format!("/v1/cardholders/{id}/accounts"), &account).map_err(said)?;
        let Invited { invitation } =
            own.post(&format!("/v1/cardholders/{id}/invitations"), &Nothing {}).map_err(said)?;
        let enrol = EnrolCard {
            account: holder.account,
            programme: holder.programme,
            number: holder.own.clone(),
            expiry: Secret::new(holder.expiry.mmyy()),
            process: None,
            controls: NumberControls::default(),
        };
        let card = answered!(admin.ask(AdminRequest::EnrolCard(Box::new(enrol)))?, Card)?;

        let http = Http::to(&self.api, None)?;
        let (login, password) = (holder.name.to_lowercase(), password()?);
        let taken = json!({
            "invitation": invitation.expose(), "login_name": login, "password": password.as_str(),
        });
        let _: Nothing = http.post_openly("/v1/enrolments", &taken).map_err(said)?;
        let issuer = self.issuer.to_string();
        let session = http.log_in(&Login {
            issuer: Some(&issuer),
            universal_number: None,
            login_name: &login,
            password: &password,
        });
        let mut http = http.with(&session.map_err(said)?);
        let card =
            CardId::parse(&card.id.to_string()).map_err(|error| Failure::Refused(error.to_string()))?;
        let mut wallet = Wallet::new(http.base());
        mayfly_wallet::enrol(&mut wallet, &card, &mut http, &mut InMemory, &mut OsRandom).map_err(failed)?;
        Ok(Phone { http, wallet, card })
    }
}

impl Phone {
    /// Asks the check site for a purchase; what it says if it refuses.
    pub(crate) fn ask(&mut self, wish: Wish, form: Form) -> Outcome<Result<Filled, ServerError>> {
        match mayfly_wallet::pay(&mut self.wallet, &self.card, wish, form, &mut self.http, &mut InMemory) {
            Ok(filled) => Ok(Ok(filled)),
            Err(WalletError::Server(error @ (ServerError::Refused | ServerError::Said(_)))) => Ok(Err(error)),
            Err(error) => Err(failed(error)),
        }
    }

    /// Ends the card's lock.
    pub(crate) fn unlock(&self) -> Outcome<String> {
        Ok(self.http.unlock(&self.card).map_err(said)?.status)
    }
}

/// What the shop's form takes: its number and its date.
pub(crate) fn in_the_form(filled: &Filled) -> Card {
    Card { pan: filled.number.clone(), expiry: filled.expiry, cvc2: None }
}

/// The card as it is printed.
pub(crate) fn as_printed(pan: &mayfly_card::Pan, expiry: Expiry) -> Card {
    Card { pan: pan.clone(), expiry, cvc2: None }
}

/// One that nobody knows.
fn password() -> Outcome<Zeroizing<String>> {
    let mut drawn = Zeroizing::new([0; 16]);
    OsRandom.fill(&mut *drawn).map_err(|error| Failure::Unreachable(error.to_string()))?;
    Ok(Zeroizing::new(drawn.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// The server's no.
pub(crate) fn said(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

fn failed(error: WalletError<Infallible>) -> Failure {
    said(error)
}

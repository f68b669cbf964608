//! A wallet asks for a purchase: the MAC verification request (S1 cl. 6, 8, 9; S2 cl. 3d to g, 5).

use axum::Json;
use mayfly_card::{Expiry, MinorUnits};
use mayfly_core::TimeMs;
use mayfly_dynamic::{Answer, AppVersion, Mode, Tsn, VerificationRequest};
use mayfly_engine::cards::{Verified, WalletRequest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::cards::ProofPlace;
use crate::extract::Told;
use crate::money::Amount;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::routes::ApiRouter;
use crate::stranger::Stranger;
use crate::text::{CardNumber, Merchant, Shown};
use crate::wire::{HexBytes, MacDate, Mmyy, Sixteen};

/// A wallet's request, under MAC1.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVerification {
    /// The number that merchants get.
    number: CardNumber,
    /// The card's real expiration date.
    expiry: MacDate,
    /// The wallet's version.
    #[schema(example = 1)]
    version: u8,
    /// The wallet's sequence number, greater than all that it has sent.
    #[schema(example = 17)]
    tsn: u64,
    /// MAC1, under the card's key, over number, date, version and sequence number.
    mac: HexBytes,
    /// Where the proof of the purchase will be.
    mode: ProofPlace,
    /// The most that it may come to.
    #[serde(default)]
    amount_max: Option<Amount>,
    /// The one merchant (DE 42).
    #[serde(default)]
    merchant: Option<Merchant>,
    /// How long it is expected, in seconds; as the programme says if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2_592_000, example = 900)]
    lifetime_s: Option<u32>,
}

/// The check site's answer, under RSP1.
#[derive(Serialize, ToSchema)]
pub struct Verification {
    /// The request's sequence number.
    #[schema(example = 17)]
    tsn: u64,
    /// The expected transaction sequence number, from which the wallet makes the purchase's proof.
    #[schema(example = 18)]
    etsn: u64,
    /// The first month that the purchase's date can have.
    reference: MacDate,
    /// Among how many months it lies.
    #[schema(example = 96)]
    months: u8,
    /// Until when the purchase can be made, in seconds since 1970.
    #[schema(example = 1_781_000_000_u64)]
    expires_at: u64,
    /// The most that it may come to; null if nothing was said.
    #[schema(required)]
    amount_max: Option<Amount>,
    /// The one merchant; null if any.
    #[schema(required)]
    merchant: Option<Merchant>,
    /// RSP1, under the card's key, over all of it.
    mac: HexBytes,
}

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(verify))
}

/// Ask for a purchase
///
/// Nobody needs to be logged in: the MAC shows whose wallet it is. One answer, `verification_refused`, for a number that
/// nobody has, a wrong MAC, date or version, and a sequence number that was used before or is too far ahead. What else is
/// in the way is told only after the MAC was right. Sent again it is refused: ask with the next sequence number.
#[utoipa::path(post, path = "/v1/verifications", operation_id = "verify_wallet", tag = "wallets", security(()),
    request_body = NewVerification,
    responses((status = 200, description = "The purchase is expected.", body = Verification)))]
async fn verify(
    stranger: Stranger,
    Peer(address): Peer,
    Told(asked): Told<NewVerification>,
) -> Result<Json<Verification>, Problem> {
    let Shown(Mmyy(expiry)) = asked.expiry;
    let cap = match asked.amount_max {
        Some(amount) => Some((amount.unsigned("/amount_max")?, amount.currency.0)),
        None => None,
    };
    let request = WalletRequest {
        number: asked.number.0,
        proved: VerificationRequest {
            expiry,
            version: AppVersion(asked.version),
            tsn: Tsn(asked.tsn),
            mac: asked.mac.0.0,
        },
        mode: Mode::from(asked.mode),
        cap,
        merchant: asked.merchant.map(|merchant| merchant.0),
        lifetime_ms: asked.lifetime_s.map(|seconds| TimeMs::from(seconds) * 1000),
    };
    Ok(Json(Verification::of(stranger.verify(&request, address).await?)))
}

impl Verification {
    fn of(verified: Verified) -> Self {
        let Verified { said, mac } = verified;
        let Answer { tsn, etsn, reference, expires_unix_s, cap, merchant } = said;
        let amount = |(cap, currency): (MinorUnits, _)| Amount::of(cap.signed(), currency);
        Self {
            tsn: tsn.0,
            etsn: etsn.0,
            reference: Shown(Mmyy(Expiry::from(reference.date()))),
            months: reference.months().count(),
            expires_at: expires_unix_s,
            amount_max: cap.map(amount),
            merchant: merchant.map(Shown),
            mac: Shown(Sixteen(*mac.expose())),
        }
    }
}

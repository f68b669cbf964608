//! Payments: what merchants order, and what they may hear of it. Nothing here shows an account, a cardholder, or why
//! exactly a number was declined.

use axum::Json;
use mayfly_card::Pan;
use mayfly_core::ResponseCode;
use mayfly_keys::Cvc2;
use mayfly_office::payments::{Later, Order, PaymentNow, PaymentState as Stands, SentCard};
use mayfly_office::{Items, Office};
use mayfly_store::directory::{self, PaymentId};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::{Created, Nothing};
use crate::caller::Seller;
use crate::extract::{Id, Params, Posted};
use crate::money::Amount;
use crate::page::{List, part};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::text::{
    ExpirationDate, MerchantRef, PageAddress, PaymentRef, Reference, Shown, Time, TypedNumber, time,
};

/// The longest name of a cardholder, in characters.
const NAME_CHARS_MAX: usize = 100;
/// The longest address, in characters.
const ADDRESS_CHARS_MAX: usize = 400;

/// A payment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Payment {
    /// Its id.
    pub id: PaymentRef,
    /// To whom.
    pub merchant: MerchantRef,
    /// What the merchant calls it.
    pub reference: Reference,
    /// What has become of it.
    pub state: PaymentState,
    /// What it says in words: what to do now, or what was answered.
    #[schema(required, example = "approved")]
    pub detail: Option<String>,
    /// What was ordered.
    pub amount: Amount,
    /// What is authorised of it, without what was given up.
    pub authorised: Amount,
    /// What is captured.
    pub captured: Amount,
    /// What was given back of that.
    pub refunded: Amount,
    /// What was answered to the number that was tried last (DE 39); null if none was.
    #[schema(required, example = "00", pattern = "^[0-9A-Z]{2}$")]
    pub response_code: Option<String>,
    /// The approval code (DE 38); null if it was not approved.
    #[schema(required, example = "000017", pattern = "^[0-9]{6}$")]
    pub approval_code: Option<String>,
    /// The last four digits of the number that was tried last, or that it was ordered with.
    #[schema(example = "9547", pattern = "^[0-9]{4}$")]
    pub last_four: String,
    /// When it was ordered.
    pub created_at: Time,
    /// Where the cardholder is sent back to; null if nowhere.
    #[schema(required)]
    pub return_url: Option<PageAddress>,
    /// The issuer's console, to be opened for the cardholder; null if there is nothing to open.
    #[schema(required)]
    pub console: Option<Console>,
}

/// The issuer's console.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Console {
    /// Open this for the cardholder: in a window of its own, or in place of the shop's page.
    #[schema(
        example = "https://bank.example/console?payment=pay_01jdaz8q3v5m7x2c4b6n8d0f1g",
        format = "uri"
    )]
    pub url: String,
}

/// What has become of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// It was ordered, and nobody has heard what came of it: send the order again, with its Idempotency-Key.
    Pending,
    /// It came with a universal number: the cardholder has to log in at his issuer's console.
    ConsoleRequired,
    /// The amount is held.
    Authorised,
    /// A part is captured, and the rest is still held.
    PartiallyCaptured,
    /// It is captured, and nothing is held any more.
    Captured,
    /// The merchant gave it up.
    Cancelled,
    /// A part was given back.
    PartiallyRefunded,
    /// All of it was given back.
    Refunded,
    /// It was declined. Another number may be tried, three in all and within half an hour.
    Declined,
    /// Nobody paid in time, or what was held was not captured in time.
    Expired,
    /// It has been over for so long that what became of it is only in the issuer's archive: amounts are not known.
    Archived,
}

/// What a merchant orders.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPayment {
    /// To whom: needed from a gateway, and of no use to a merchant.
    #[serde(default)]
    merchant: Option<MerchantRef>,
    /// What the merchant calls it. Not a card number.
    reference: Reference,
    /// How much.
    amount: Amount,
    /// Whether it is captured as soon as it is authorised; if not, it is held.
    #[serde(default)]
    capture: bool,
    /// Where the cardholder is sent back to when he pays at his issuer's page.
    #[serde(default)]
    return_url: Option<PageAddress>,
    /// The number that the cardholder typed: a transaction number, or the universal number of his card.
    number: TypedNumber,
    /// Its expiration date.
    expiration_date: ExpirationDate,
    /// Its CVC2, if it was asked for.
    #[serde(default)]
    cvc2: Option<TypedCvc2>,
    /// The name that the cardholder typed. It is not kept, and given on to nobody.
    #[serde(default)]
    #[schema(max_length = 100, example = "Ada Lovelace")]
    name: String,
    /// The address that he typed. It is not kept, and given on to nobody.
    #[serde(default)]
    #[schema(max_length = 400, example = "34 Moon Avenue, London")]
    address: String,
}

/// A number that is tried for a payment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NumberToTry {
    /// The transaction number.
    number: TypedNumber,
    /// Its expiration date.
    expiration_date: ExpirationDate,
    /// Its CVC2, if it was asked for.
    #[serde(default)]
    cvc2: Option<TypedCvc2>,
}

/// A CVC2 that somebody typed.
#[derive(ToSchema)]
#[schema(value_type = String, example = "436", pattern = "^[0-9]{3}$")]
pub struct TypedCvc2(Cvc2);

impl<'de> Deserialize<'de> for TypedCvc2 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let wrong = |_| serde::de::Error::custom("must be three digits");
        Cvc2::parse(text.as_bytes()).map(Self).map_err(wrong)
    }
}

/// How much of a payment.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartOfPayment {
    /// So much, in the payment's currency; all that is left, if left out.
    #[serde(default)]
    pub amount: Option<Amount>,
}

/// Which payments are listed.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// To whom: needed from a gateway, and of no use to a merchant.
    merchant: Option<MerchantRef>,
    /// Only what the merchant calls so.
    reference: Option<Reference>,
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of payments.
type Page = List<Payment>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new()
        .routes(routes!(order, list))
        .routes(routes!(show))
        .routes(routes!(try_number))
        .routes(routes!(capture))
        .routes(routes!(cancel))
        .routes(routes!(refund))
}

/// Order a payment
///
/// The number is authorised at once, as one that comes by ISO 8583. What the answer is stands in `state`: a payment that
/// is declined was ordered, too. With the universal number of a card nothing is authorised: open `console` for the
/// cardholder, and send the number that he gets, or wait until he has paid there.
#[utoipa::path(post, path = "/v1/payments", operation_id = "order_payment", tag = "payments",
    request_body = NewPayment, responses((status = 201, description = "It is ordered.", body = Payment)))]
async fn order(seller: Seller, new: Posted<NewPayment>) -> Result<Created<Payment>, Problem> {
    let Posted { body, once } = new;
    let merchant = seller.merchant(body.merchant.map(|it| it.0)).await?;
    let bounded = |text: &str, max, pointer: &str| {
        let is_good = text.chars().count() <= max && !text.chars().any(char::is_control);
        let must = format!("must be at most {max} characters, and none of them a control character");
        if is_good { Ok(()) } else { Err(Problem::field(pointer, must)) }
    };
    bounded(&body.name, NAME_CHARS_MAX, "/name")?;
    bounded(&body.address, ADDRESS_CHARS_MAX, "/address")?;
    let amount = body.amount.paid("/amount")?;
    let card = card(body.number, body.expiration_date, body.cvc2)?;
    let (reference, return_url) = (body.reference.0, body.return_url.map(|it| it.0));
    // Both are kept readably.
    let has_number = |text: &str| has_number(text, seller.office());
    if has_number(reference.as_str()) {
        return Err(Problem::field("/reference", "must not have the card number in it"));
    }
    if return_url.as_ref().is_some_and(|url| has_number(url.as_str())) {
        return Err(Problem::field("/return_url", "must not have the card number in it"));
    }
    let order = Order {
        reference,
        amount,
        currency: body.amount.currency.0,
        captures: body.capture,
        return_url,
        name: body.name,
        address: body.address,
        card,
    };
    let payment = shown(seller.gateway().order(merchant, order, once.for_gateway()).await?);
    let id = payment.id.0;
    Ok(Created::at(format_args!("/v1/payments/{id}"), payment))
}

/// Whether a text has a number of a programme of this server in it, however it is written: with spaces or dashes between
/// its digits, or as a URL writes them.
fn has_number(text: &str, office: &Office) -> bool {
    let mut digits = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let hex = [rest.next(), rest.next()].map(|byte| byte.map_or('x', char::from).to_digit(16));
                // Two digits of base 16 are at most 255.
                if let [Some(high), Some(low)] = hex { (high * 16 + low) as u8 } else { b'x' }
            }
            b'+' => b' ',
            byte => byte,
        };
        if !matches!(byte, b' ' | b'-') {
            digits.push(byte);
        }
    }
    let runs = digits.split(|byte| !byte.is_ascii_digit());
    runs.into_iter().any(|run| {
        (Pan::LENGTH_MIN..=Pan::LENGTH_MAX).any(|length| {
            run.windows(length)
                .any(|window| Pan::parse(window).is_ok_and(|number| office.could_be_ours(&number)))
        })
    })
}

/// List payments, the latest first
#[utoipa::path(get, path = "/v1/payments", operation_id = "list_payments", tag = "payments", params(Which),
    responses((status = 200, description = "A page of payments.", body = Page)))]
async fn list(seller: Seller, which: Params<Which>) -> Result<Json<Page>, Problem> {
    let Params(Which { merchant, reference, limit, cursor }) = which;
    let merchant = seller.merchant(merchant.map(|it| it.0)).await?;
    let part = part::<PaymentId>(limit, cursor.as_deref())?;
    let whose = (merchant.issuer, merchant.id);
    let page = seller.directory().ask(move |directory| {
        let before = match part.from {
            Some(id) => {
                let last = directory.payment(whose.0, id)?.filter(|last| last.merchant == whose.1);
                Some(last.ok_or_else(|| Problem::new(Code::CursorInvalid))?.number)
            }
            None => None,
        };
        let reference = reference.as_ref().map(|it| &it.0);
        Ok::<_, Problem>(directory.payments(whose, reference, before, part.limit)?)
    });
    let page = page.await?;
    let next = page.next.and(page.rows.last()).map(|last| last.id);
    let items = seller.gateway().all_now(page.rows, &merchant).await?;
    Ok(Json(List::of(Items { items, next }, shown)))
}

/// Show a payment
#[utoipa::path(get, path = "/v1/payments/{id}", operation_id = "show_payment", tag = "payments",
    params(("id" = PaymentRef, Path, description = "Which one.")),
    responses((status = 200, description = "The payment.", body = Payment)))]
async fn show(seller: Seller, Id(id): Id<PaymentId>) -> Result<Json<Payment>, Problem> {
    let (payment, merchant) = seller.payment(id).await?;
    Ok(Json(shown(seller.gateway().now(payment, &merchant).await?)))
}

/// Try a number for a payment
///
/// For one that came with a universal number, or whose number was declined: three numbers in all, within half an hour.
#[utoipa::path(post, path = "/v1/payments/{id}/number", operation_id = "try_number", tag = "payments",
    params(("id" = PaymentRef, Path, description = "For which one.")), request_body = NumberToTry,
    responses((status = 200, description = "The payment as it is now.", body = Payment)))]
async fn try_number(
    seller: Seller,
    Id(id): Id<PaymentId>,
    new: Posted<NumberToTry>,
) -> Result<Json<Payment>, Problem> {
    let Posted { body, once } = new;
    let (payment, merchant) = seller.payment(id).await?;
    let card = card(body.number, body.expiration_date, body.cvc2)?;
    let tried = seller.gateway().try_number(payment, merchant, &card, once.for_gateway());
    Ok(Json(shown(tried.await?)))
}

/// Capture a payment, or a part of it
///
/// There may be several captures, up to what is authorised and the tolerance of the issuer's programme.
#[utoipa::path(post, path = "/v1/payments/{id}/capture", operation_id = "capture_payment", tag = "payments",
    params(("id" = PaymentRef, Path, description = "Which one.")), request_body = Option<PartOfPayment>,
    responses((status = 200, description = "The payment as it is now.", body = Payment)))]
async fn capture(
    seller: Seller,
    Id(id): Id<PaymentId>,
    new: Posted<PartOfPayment>,
) -> Result<Json<Payment>, Problem> {
    let Posted { body, once } = new;
    let (payment, merchant) = seller.payment(id).await?;
    let later = Later::Capture(body.of(&payment)?);
    let done = seller.gateway().later(payment, merchant, later, once.for_gateway());
    Ok(Json(shown(done.await?)))
}

/// Give a payment up
///
/// What is held and not captured is given back, and no number is tried for it any more. What is captured can be refunded.
#[utoipa::path(post, path = "/v1/payments/{id}/cancel", operation_id = "cancel_payment", tag = "payments",
    params(("id" = PaymentRef, Path, description = "Which one.")), request_body = Option<Nothing>,
    responses((status = 200, description = "The payment as it is now.", body = Payment)))]
async fn cancel(
    seller: Seller,
    Id(id): Id<PaymentId>,
    new: Posted<Nothing>,
) -> Result<Json<Payment>, Problem> {
    let Posted { body: Nothing {}, once } = new;
    let (payment, merchant) = seller.payment(id).await?;
    let done = seller.gateway().later(payment, merchant, Later::Cancel, once.for_gateway());
    Ok(Json(shown(done.await?)))
}

/// Give back what was captured of a payment, or a part of it
#[utoipa::path(post, path = "/v1/payments/{id}/refund", operation_id = "refund_payment", tag = "payments",
    params(("id" = PaymentRef, Path, description = "Which one.")), request_body = Option<PartOfPayment>,
    responses((status = 200, description = "The payment as it is now.", body = Payment)))]
async fn refund(
    seller: Seller,
    Id(id): Id<PaymentId>,
    new: Posted<PartOfPayment>,
) -> Result<Json<Payment>, Problem> {
    let Posted { body, once } = new;
    let (payment, merchant) = seller.payment(id).await?;
    let later = Later::Refund(body.of(&payment)?);
    let done = seller.gateway().later(payment, merchant, later, once.for_gateway());
    Ok(Json(shown(done.await?)))
}

impl PartOfPayment {
    fn of(self, payment: &directory::Payment) -> Result<Option<mayfly_card::MinorUnits>, Problem> {
        let amount = |asked: Amount| asked.in_currency(payment.currency)?.paid("/amount");
        self.amount.map(amount).transpose()
    }
}

/// What was typed, if it is a card number at all. What is not accepted looks all alike.
fn card(
    number: TypedNumber,
    expiration_date: ExpirationDate,
    cvc2: Option<TypedCvc2>,
) -> Result<SentCard, Problem> {
    let pan = number.0.0.ok_or_else(|| Problem::new(Code::NumberNotAccepted))?;
    Ok(SentCard { pan, expiry: expiration_date.0, cvc2: cvc2.map(|cvc2| cvc2.0) })
}

pub(super) fn shown(now: PaymentNow) -> Payment {
    let PaymentNow { payment, state, response, approval, .. } = now;
    let amount = |minor| Amount::of(minor, payment.currency);
    Payment {
        id: Shown(payment.id),
        merchant: Shown(payment.merchant),
        reference: Shown(payment.reference),
        state: PaymentState::of(state),
        detail: detail(state, response, now.console.is_some()).map(str::to_owned),
        amount: amount(payment.amount.signed()),
        authorised: amount(now.authorised),
        captured: amount(now.captured),
        refunded: amount(now.refunded),
        response_code: response.map(|response| response.code().to_owned()),
        approval_code: approval.map(|approval| approval.to_string()),
        last_four: now.last_four.to_string(),
        created_at: time(payment.created_ms),
        return_url: payment.return_url.map(Shown),
        console: now.console.map(|url| Console { url }),
    }
}

fn detail(state: Stands, response: Option<ResponseCode>, has_console: bool) -> Option<&'static str> {
    match state {
        Stands::ConsoleRequired if has_console => Some(
            "open the console for the cardholder; send the number that he gets, or wait until he has paid",
        ),
        Stands::ConsoleRequired => Some(
            "the issuer has named no console; send a transaction number that the cardholder got elsewhere",
        ),
        Stands::Pending => Some("send the order again with its Idempotency-Key"),
        _ => response.map(ResponseCode::words),
    }
}

impl PaymentState {
    fn of(state: Stands) -> Self {
        match state {
            Stands::Pending => Self::Pending,
            Stands::ConsoleRequired => Self::ConsoleRequired,
            Stands::Authorised => Self::Authorised,
            Stands::PartiallyCaptured => Self::PartiallyCaptured,
            Stands::Captured => Self::Captured,
            Stands::Cancelled => Self::Cancelled,
            Stands::PartiallyRefunded => Self::PartiallyRefunded,
            Stands::Refunded => Self::Refunded,
            Stands::Declined => Self::Declined,
            Stands::Expired => Self::Expired,
            Stands::Archived => Self::Archived,
        }
    }
}

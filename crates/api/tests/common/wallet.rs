//! A cardholder's wallet, made of the wallet's own library, that speaks to the API over HTTP.

use base64ct::{Base64UrlUnpadded, Encoding};
use mayfly_card::{Currency, Expiry, MerchantId, MinorUnits, MonthIndex, Pan};
use mayfly_dynamic::{
    Answer, AppVersion, AppVersions, Etsn, FieldOrigin, Mode, Months, ReferenceData, Tsn, VerificationRequest,
};
use mayfly_engine::{Clock, SystemClock};
use mayfly_enrol::Point;
use mayfly_keys::OsRandom;
use mayfly_wallet::{
    Asked, CardId, Filled, Form, LastTsn, Package, Server, ServerError, SignedAnswer, Store, Wallet,
    WalletError, Wish,
};
use serde_json::{Value, json};

use super::{Call, Reply, Rig};

/// A wallet with a session, and all that it was answered.
pub struct Phone<'a> {
    pub rig: &'a Rig,
    pub session: String,
    pub wallet: Wallet,
}

/// The API, as a wallet meets it.
struct Http<'a> {
    rig: &'a Rig,
    session: String,
}

/// A wallet that is kept nowhere.
pub struct Nowhere;

impl Store for Nowhere {
    type Error = ();

    fn save(&mut self, _: &Wallet) -> Result<(), ()> {
        Ok(())
    }
}

impl<'a> Phone<'a> {
    pub fn new(rig: &'a Rig, session: &str) -> Self {
        Self { rig, session: session.to_owned(), wallet: Wallet::new("https://issuer.example") }
    }

    fn http(&self) -> Http<'a> {
        Http { rig: self.rig, session: self.session.clone() }
    }

    pub fn enrol(&mut self, card: &str) -> Result<(), WalletError<()>> {
        let mut http = self.http();
        let id = CardId::parse(card).unwrap();
        mayfly_wallet::enrol(&mut self.wallet, &id, &mut http, &mut Nowhere, &mut OsRandom).map(drop)
    }

    pub fn pay(&mut self, card: &str, wish: Wish, mac_field: bool) -> Result<Filled, WalletError<()>> {
        let (mut http, id) = (self.http(), CardId::parse(card).unwrap());
        mayfly_wallet::pay(&mut self.wallet, &id, wish, Form { mac_field }, &mut http, &mut Nowhere)
    }

    /// A request as it would be sent, counted and not sent.
    pub fn request(&mut self, card: &str, wish: Wish) -> Value {
        let id = CardId::parse(card).unwrap();
        let order = self.wallet.card(&id).unwrap().order(wish, Form::default()).unwrap();
        body(&self.wallet.ask(&id, order, &mut Nowhere).unwrap())
    }

    pub fn restore(&mut self, card: &str) -> Result<Tsn, WalletError<()>> {
        let (mut http, id) = (self.http(), CardId::parse(card).unwrap());
        mayfly_wallet::restore(&mut self.wallet, &id, &mut http, &mut Nowhere, &mut OsRandom)
    }
}

/// So many cents, at any merchant.
pub fn wish(minor: u64) -> Wish {
    let amount = Some((MinorUnits::new(minor).unwrap(), Currency::parse_alphabetic("USD").unwrap()));
    Wish { amount, merchant: None, merchant_name: None, lifetime_s: None }
}

impl Http<'_> {
    fn post(&self, path: &str, body: &Value) -> Reply {
        Call::post(path, body).key(&self.session).send(self.rig)
    }
}

/// What a wallet does not do is said.
fn refused(reply: &Reply) -> ServerError {
    match reply.code().as_str() {
        "verification_refused" => ServerError::Refused,
        "too_many_failures" => {
            ServerError::Wait { seconds: reply.header("retry-after").unwrap().parse().unwrap() }
        }
        "session_unknown" => ServerError::LoggedOut,
        code => ServerError::Said(code.to_owned()),
    }
}

pub fn body(asked: &Asked) -> Value {
    let VerificationRequest { expiry, version, tsn, mac } = *asked.request();
    let wish = asked.order().wish();
    json!({
        "number": asked.number().as_str(), "expiry": expiry.mmyy(), "version": version.0, "tsn": tsn.0,
        "mac": hex(&mac), "mode": if asked.order().mode() == Mode::Field { "field" } else { "expiry" },
        "amount_max": wish.amount.map(|(amount, currency)| {
            json!({ "minor": amount.value(), "currency": currency.letters() })
        }),
        "merchant": wish.merchant.map(|merchant| merchant.to_string()),
        "lifetime_s": wish.lifetime_s,
    })
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(value: &Value) -> [u8; 16] {
    let digits = value.as_str().unwrap();
    assert_eq!(digits.len(), 32);
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    Base64UrlUnpadded::decode_vec(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn date(value: &Value) -> Expiry {
    Expiry::parse_mmyy(value.as_str().unwrap()).unwrap()
}

impl Server for Http<'_> {
    fn enrol(&mut self, card: &CardId, point: &Point) -> Result<Package, ServerError> {
        let point = Base64UrlUnpadded::encode_string(point.bytes());
        let reply = self.post(&format!("/v1/me/cards/{card}/wallet"), &json!({ "point": point }));
        if reply.status != 200 {
            return Err(refused(&reply));
        }
        let given = reply.json();
        let version = |name: &str| AppVersion(number(&given["versions"][name]) as u8);
        let origin = |name: &str| number(&given["field"][name]) as u8;
        Ok(Package {
            number: Pan::parse(given["number"].as_str().unwrap()).unwrap(),
            own: given["shared"].as_bool().unwrap(),
            expiry: date(&given["expiry"]),
            point: Point::parse(&bytes::<65>(&given["point"])).unwrap(),
            wrapped: bytes(&given["wrapped_key"]),
            last_tsn: Tsn(number(&given["last_tsn"])),
            versions: AppVersions { oldest: version("oldest"), newest: version("newest") },
            origin: given["field"].is_object().then(|| FieldOrigin {
                acs: origin("acs"),
                method: origin("method"),
                key: origin("key"),
            }),
        })
    }

    fn verify(&mut self, asked: &Asked) -> Result<SignedAnswer, ServerError> {
        let reply = Call::post("/v1/verifications", &body(asked)).without("idempotency-key").send(self.rig);
        if reply.status != 200 {
            return Err(refused(&reply));
        }
        let said = reply.json();
        let today = MonthIndex::of_unix_ms(SystemClock.now_ms());
        let cap = said["amount_max"].is_object().then(|| {
            let currency = said["amount_max"]["currency"].as_str().unwrap();
            (
                MinorUnits::new(number(&said["amount_max"]["minor"])).unwrap(),
                Currency::parse_alphabetic(currency).unwrap(),
            )
        });
        let answer = Answer {
            tsn: Tsn(number(&said["tsn"])),
            etsn: Etsn(number(&said["etsn"])),
            reference: ReferenceData::new(
                date(&said["reference"]).month_near(today),
                Months::new(number(&said["months"]) as u8).unwrap(),
            )
            .unwrap(),
            expires_unix_s: number(&said["expires_at"]),
            cap,
            merchant: said["merchant"].as_str().map(|merchant| MerchantId::parse(merchant).unwrap()),
        };
        Ok(SignedAnswer { answer, mac: unhex(&said["mac"]) })
    }

    fn last_tsn(&mut self, card: &CardId, nonce: &[u8; 16]) -> Result<LastTsn, ServerError> {
        let reply = self.post(&format!("/v1/me/cards/{card}/tsn"), &json!({ "nonce": hex(nonce) }));
        if reply.status != 200 {
            return Err(refused(&reply));
        }
        let told = reply.json();
        Ok(LastTsn { tsn: Tsn(number(&told["last_tsn"])), mac: unhex(&told["mac"]) })
    }
}

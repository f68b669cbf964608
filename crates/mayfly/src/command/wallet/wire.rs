//! What the wallet and the server say to each other, as JSON.

use base64ct::{Base64UrlUnpadded, Encoding};
use jiff::Timestamp;
use mayfly_card::{Currency, Expiry, MerchantId, MinorUnits, MonthIndex, Pan};
use mayfly_dynamic::{
    Answer, AppVersion, AppVersions, Etsn, FieldOrigin, Mode, Months, ReferenceData, Tsn, VerificationRequest,
};
use mayfly_enrol::{POINT_BYTES, Point, WRAPPED_BYTES};
use mayfly_server::protocol::Secret;
use mayfly_wallet::{Asked, CardId, LastTsn, Package, Session, SignedAnswer, TOKEN_BYTES_MAX};
use serde::{Deserialize, Serialize};

/// `POST /v1/logins`.
#[derive(Serialize)]
pub(crate) struct Login<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) universal_number: Option<&'a str>,
    pub(crate) login_name: &'a str,
    pub(crate) password: &'a str,
}

/// What a log-in comes to.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum LoggedIn {
    Session(Tokens),
    /// Something else is asked for that this program does not know.
    #[serde(other)]
    Further,
}

/// A session's tokens.
#[derive(Deserialize)]
pub(crate) struct Tokens {
    session: Secret,
    expires_at: Timestamp,
    refresh: Secret,
    refresh_expires_at: Timestamp,
}

impl Tokens {
    /// None if a token is longer than any.
    pub(crate) fn read(&self) -> Option<Session> {
        if [&self.session, &self.refresh].iter().any(|token| token.expose().len() > TOKEN_BYTES_MAX) {
            return None;
        }
        let unix_s = |at: Timestamp| at.as_second().try_into().unwrap_or(0);
        Some(Session {
            token: self.session.expose().to_owned(),
            expires_unix_s: unix_s(self.expires_at),
            refresh: self.refresh.expose().to_owned(),
            refresh_expires_unix_s: unix_s(self.refresh_expires_at),
        })
    }
}

/// `POST /v1/sessions/refresh`.
#[derive(Serialize)]
pub(crate) struct Refresh<'a> {
    pub(crate) refresh: &'a str,
}

/// A body without anything in it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Nothing {}

/// `GET /v1/me/cards`.
#[derive(Deserialize)]
pub(crate) struct CardPage {
    pub(crate) items: Vec<CardNow>,
    pub(crate) next_cursor: Option<String>,
}

/// A card, as the server sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CardNow {
    pub(crate) id: CardId,
    pub(crate) account: String,
    pub(crate) programme: String,
    pub(crate) last_four: String,
    pub(crate) kind: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) expiry: Option<String>,
    pub(crate) open_etsns: u32,
    #[serde(default)]
    pub(crate) locked_at: Option<Timestamp>,
}

/// `POST /v1/me/cards/{id}/wallet`.
#[derive(Serialize)]
pub(crate) struct NewWallet {
    point: String,
}

impl NewWallet {
    pub(crate) fn of(point: &Point) -> Self {
        Self { point: Base64UrlUnpadded::encode_string(point.bytes()) }
    }
}

/// What the server gives for a card.
#[derive(Deserialize)]
pub(crate) struct NewCard {
    number: Secret,
    expiry: Secret,
    point: String,
    wrapped_key: String,
    shared: bool,
    last_tsn: u64,
    versions: Versions,
    field: Option<Origin>,
}

#[derive(Deserialize)]
struct Versions {
    oldest: u8,
    newest: u8,
}

#[derive(Deserialize)]
struct Origin {
    acs: u8,
    method: u8,
    key: u8,
}

impl NewCard {
    /// None if one of the texts is not what it should be.
    pub(crate) fn read(&self) -> Option<Package> {
        let Versions { oldest, newest } = self.versions;
        let origin = match &self.field {
            Some(Origin { acs, method, key }) if *method < 16 && *key < 16 => {
                Some(FieldOrigin { acs: *acs, method: *method, key: *key })
            }
            Some(_) => return None,
            None => None,
        };
        Some(Package {
            number: Pan::parse(self.number.expose()).ok()?,
            own: self.shared,
            expiry: Expiry::parse_mmyy(self.expiry.expose()).ok()?,
            point: Point::parse(&base64::<POINT_BYTES>(&self.point)?).ok()?,
            wrapped: base64::<WRAPPED_BYTES>(&self.wrapped_key)?,
            last_tsn: Tsn(self.last_tsn),
            versions: AppVersions { oldest: AppVersion(oldest), newest: AppVersion(newest) },
            origin,
        })
    }
}

/// `POST /v1/verifications`.
#[derive(Serialize)]
pub(crate) struct Verification<'a> {
    number: &'a str,
    expiry: Secret,
    version: u8,
    tsn: u64,
    mac: String,
    mode: &'static str,
    amount_max: Option<Amount>,
    merchant: Option<String>,
    lifetime_s: Option<u32>,
}

impl<'a> Verification<'a> {
    pub(crate) fn of(asked: &'a Asked) -> Self {
        let VerificationRequest { expiry, version, tsn, mac } = *asked.request();
        let wish = asked.order().wish();
        Self {
            number: asked.number().as_str(),
            expiry: Secret::new(expiry.mmyy()),
            version: version.0,
            tsn: tsn.0,
            mac: hex(&mac),
            mode: mode_name(asked.order().mode()),
            amount_max: wish.amount.map(Amount::of),
            merchant: wish.merchant.map(|merchant| merchant.to_string()),
            lifetime_s: wish.lifetime_s,
        }
    }
}

/// Where the MAC travels, by its name.
pub(crate) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Expiry => "expiry",
        Mode::Field => "field",
    }
}

/// An amount and its currency.
#[derive(Serialize, Deserialize)]
pub(crate) struct Amount {
    minor: u64,
    currency: String,
}

impl Amount {
    pub(crate) fn of((amount, currency): (MinorUnits, Currency)) -> Self {
        Self { minor: amount.value(), currency: currency.letters().to_owned() }
    }

    fn read(&self) -> Option<(MinorUnits, Currency)> {
        Some((MinorUnits::new(self.minor)?, Currency::parse_alphabetic(&self.currency)?))
    }
}

/// The answer to a verification request.
#[derive(Deserialize)]
pub(crate) struct Verified {
    tsn: u64,
    etsn: u64,
    reference: Secret,
    months: u8,
    expires_at: u64,
    amount_max: Option<Amount>,
    merchant: Option<String>,
    mac: String,
}

impl Verified {
    /// As of `today`, which says what century is meant; none if one of the texts is not what it should be.
    pub(crate) fn read(&self, today: MonthIndex) -> Option<SignedAnswer> {
        let reference = Expiry::parse_mmyy(self.reference.expose()).ok()?.month_near(today);
        let cap = match &self.amount_max {
            Some(amount) => Some(amount.read()?),
            None => None,
        };
        let merchant = match &self.merchant {
            Some(text) => Some(MerchantId::parse(text).ok()?),
            None => None,
        };
        let answer = Answer {
            tsn: Tsn(self.tsn),
            etsn: Etsn(self.etsn),
            reference: ReferenceData::new(reference, Months::new(self.months)?).ok()?,
            expires_unix_s: self.expires_at,
            cap,
            merchant,
        };
        Some(SignedAnswer { answer, mac: unhex(&self.mac)? })
    }
}

/// `POST /v1/me/cards/{id}/tsn`.
#[derive(Serialize)]
pub(crate) struct TsnAsked {
    nonce: String,
}

impl TsnAsked {
    pub(crate) fn of(nonce: &[u8]) -> Self {
        Self { nonce: hex(nonce) }
    }
}

/// A card's last TSN.
#[derive(Deserialize)]
pub(crate) struct TsnTold {
    last_tsn: u64,
    mac: String,
}

impl TsnTold {
    pub(crate) fn read(&self) -> Option<LastTsn> {
        Some(LastTsn { tsn: Tsn(self.last_tsn), mac: unhex(&self.mac)? })
    }
}

/// Why the server did not do it (RFC 9457).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub(crate) code: String,
    pub(crate) title: String,
    pub(crate) detail: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    Base64UrlUnpadded::decode_vec(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use mayfly_keys::{OsRandom, SecretKey};
    use mayfly_wallet::{Enrolment, Form, Store, Wallet, Wish};
    use serde_json::{Value, json};

    use super::*;

    /// Keeps nothing.
    struct Nowhere;

    impl Store for Nowhere {
        type Error = ();

        fn save(&mut self, _: &Wallet) -> Result<(), ()> {
            Ok(())
        }
    }

    /// A package for this enrolment, as the server writes it.
    fn package(enrolment: &Enrolment) -> Value {
        let number = mayfly_dynamic::CardNumber::Real(Pan::parse("5400001234567892").unwrap());
        let half = mayfly_enrol::Half::draw(&mut OsRandom).unwrap();
        let point = Base64UrlUnpadded::encode_string(half.point().bytes());
        let key = mayfly_dynamic::CardKey::from_secret(SecretKey::from_bytes(&[7; 16]));
        let wrapped = half.wrap(&enrolment.point(), &number, &key).unwrap().wrapped;
        json!({
            "number": "5400001234567892", "expiry": "1227", "point": point,
            "wrapped_key": Base64UrlUnpadded::encode_string(&wrapped), "shared": true, "last_tsn": 17,
            "versions": { "oldest": 1, "newest": 1 }, "field": { "acs": 1, "method": 2, "key": 3 },
        })
    }

    fn read_card(value: &Value) -> Option<Package> {
        serde_json::from_value::<NewCard>(value.clone()).ok()?.read()
    }

    #[test]
    fn a_package_is_read_and_a_request_written() {
        let id = CardId::parse("num_1").unwrap();
        let enrolment = Enrolment::begin(id.clone(), &mut OsRandom).unwrap();
        let value = package(&enrolment);
        let card = enrolment.finish(read_card(&value).unwrap()).unwrap();
        let mut wallet = Wallet::new("https://issuer.example");
        wallet.add(card, &mut Nowhere).unwrap();
        let amount = Some((MinorUnits::new(2498).unwrap(), Currency::parse_alphabetic("USD").unwrap()));
        let merchant = MerchantId::parse("M-001").ok();
        let all = Wish { amount, merchant, merchant_name: Some("Shop".into()), lifetime_s: Some(600) };
        for (wish, mac_field, tsn) in [(all, true, 18), (Wish::default(), false, 19)] {
            let is_all = mac_field;
            let order = wallet.card(&id).unwrap().order(wish, Form { mac_field }).unwrap();
            let asked = wallet.ask(&id, order, &mut Nowhere).unwrap();
            let written = serde_json::to_value(Verification::of(&asked)).unwrap();
            let amount = if is_all { json!({ "minor": 2498, "currency": "USD" }) } else { Value::Null };
            let expected = json!({
                "number": "5400001234567892", "expiry": "1227", "version": 1, "tsn": tsn,
                "mac": hex(&asked.request().mac), "mode": if is_all { "field" } else { "expiry" },
                "amount_max": amount, "merchant": is_all.then_some("M-001"), "lifetime_s": is_all.then_some(600),
            });
            assert_eq!(written, expected);
        }

        for (name, wrong) in [
            ("number", json!("5400001234567893")),
            ("expiry", json!("1327")),
            ("point", json!("AAAA")),
            ("wrapped_key", json!("AAAA")),
            ("wrapped_key", json!("=")),
            ("versions", json!({ "oldest": 1, "newest": 256 })),
            ("field", json!({ "acs": 1, "method": 16, "key": 1 })),
        ] {
            let mut value = value.clone();
            value[name] = wrong;
            assert!(read_card(&value).is_none(), "{name}");
        }
        let mut without = value;
        without["field"] = Value::Null;
        assert_eq!(read_card(&without).unwrap().origin, None);
    }

    #[test]
    fn an_answer_is_read_as_of_today() {
        let value = json!({
            "tsn": 18, "etsn": 19, "reference": "0100", "months": 60, "expires_at": 4_102_444_800u64,
            "amount_max": { "minor": 2498, "currency": "USD" }, "merchant": "M-001", "mac": "0b".repeat(16),
        });
        let today = MonthIndex::new(2099, 12).unwrap();
        let read = |value: &Value| serde_json::from_value::<Verified>(value.clone()).ok()?.read(today);
        let SignedAnswer { answer, mac } = read(&value).unwrap();
        assert_eq!((answer.tsn, answer.etsn, mac), (Tsn(18), Etsn(19), [0x0b; 16]));
        // The year 00 is the next one.
        assert_eq!(answer.reference.date(), MonthIndex::new(2100, 1).unwrap());
        assert_eq!(answer.cap.map(|(amount, of)| (amount.value(), of.letters())), Some((2498, "USD")));
        for (name, wrong) in [
            ("reference", json!("1300")),
            ("months", json!(0)),
            ("months", json!(121)),
            ("amount_max", json!({ "minor": 1, "currency": "XXX" })),
            ("amount_max", json!({ "minor": 1_000_000_000_000u64, "currency": "USD" })),
            ("merchant", json!("sixteen letters!")),
            ("mac", json!("0b")),
            ("mac", json!("+b".repeat(16))),
            ("tsn", json!(-1)),
        ] {
            let mut value = value.clone();
            value[name] = wrong;
            assert!(read(&value).is_none(), "{name}");
        }
        let mut bare = value;
        (bare["amount_max"], bare["merchant"]) = (Value::Null, Value::Null);
        let answer = read(&bare).unwrap().answer;
        assert_eq!((answer.cap, answer.merchant), (None, None));
    }
}

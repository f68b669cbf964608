//! The exchange of one enrolment.

use std::fmt;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Tag};
use mayfly_dynamic::{CardKey, CardNumber};
use mayfly_keys::{Random, RandomError, SecretKey};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey as Scalar};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Length of a [`Point`] in bytes: 4, x, y.
pub const POINT_BYTES: usize = 65;
/// Length of a wrapped key in bytes: the key, and the tag.
pub const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// How an uncompressed point begins (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;
const KEY_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const SHARE_INFO: &[u8] = b"mayfly/share/v1";
const WRAP_INFO: &[u8] = b"mayfly/wrap/v1";
/// A draw is no scalar once in 2^32: so many in a row are a broken generator.
const DRAWS_MAX: usize = 8;

/// What one side draws for one enrolment; wiped on drop, and used up by it.
pub struct Half {
    scalar: Scalar,
    point: Point,
}

/// What one side sends to the other: a point of the curve, and public.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Point([u8; POINT_BYTES]);

/// What the server has of an enrolment when it has wrapped the card's key.
pub struct Enrolled {
    /// The key, wrapped: for the wallet.
    pub wrapped: [u8; WRAPPED_BYTES],
    /// The share, where the number is the card's own: to be sealed and stored with the card. The card's key is the
    /// derived one with this. Behind a pseudo number the card's key is the wrapped one, and nothing is stored.
    pub share: Option<SecretKey<16>>,
}

impl Half {
    /// Draws a half.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn draw(random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; 32]);
        for _ in 0..DRAWS_MAX {
            random.fill(&mut *bytes)?;
            // Not for 0, nor for what is beyond the group's order.
            if let Ok(scalar) = Scalar::from_slice(&*bytes) {
                let point = Point::of(&scalar.public_key());
                return Ok(Self { scalar, point });
            }
        }
        Err(RandomError::Unavailable { os_error: None })
    }

    /// What the other side gets.
    pub fn point(&self) -> Point {
        self.point
    }

    /// The server's part: wraps a card's key, as it was derived or drawn, for the wallet whose point this is.
    ///
    /// # Errors
    ///
    /// [`EnrolError::NoPoint`], [`EnrolError::Reflected`].
    pub fn wrap(self, wallet: &Point, number: &CardNumber, key: &CardKey) -> Result<Enrolled, EnrolError> {
        let agreed = self.agree(wallet)?;
        let bound = bound(wallet, &self.point, number);
        let mut wrapped = [0; WRAPPED_BYTES];
        let (content, room) = wrapped.split_at_mut(KEY_BYTES);
        content.copy_from_slice(key.expose().expose());
        let tag = agreed
            .cipher
            .encrypt_inout_detached(&ONLY_NONCE.into(), &bound, content.into())
            .expect("a key is short enough to be encrypted");
        room.copy_from_slice(&tag);
        Ok(Enrolled { wrapped, share: Form::of(number).puts_share_in().then_some(agreed.share) })
    }

    /// The wallet's part: unwraps what the server whose point this is has wrapped, and makes the card's key of it, in the
    /// way that the number's kind says. What was wrapped for the other kind does not open.
    ///
    /// # Errors
    ///
    /// [`EnrolError`]: whatever was changed on its way looks alike, [`EnrolError::NotAuthentic`].
    pub fn unwrap(
        self,
        server: &Point,
        number: &CardNumber,
        wrapped: &[u8; WRAPPED_BYTES],
    ) -> Result<CardKey, EnrolError> {
        let agreed = self.agree(server)?;
        let bound = bound(&self.point, server, number);
        let (content, tag) = wrapped.split_at(KEY_BYTES);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(content);
        let tag = Tag::try_from(tag).map_err(|_| EnrolError::NotAuthentic)?;
        agreed
            .cipher
            .decrypt_inout_detached(&ONLY_NONCE.into(), &bound, key.as_mut_slice().into(), &tag)
            .map_err(|_| EnrolError::NotAuthentic)?;
        let key = CardKey::from_secret(SecretKey::from_bytes(&key));
        Ok(if Form::of(number).puts_share_in() { key.with_share(&agreed.share) } else { key })
    }

    fn agree(&self, other: &Point) -> Result<Agreed, EnrolError> {
        if self.point == *other {
            return Err(EnrolError::Reflected);
        }
        let public = PublicKey::from_sec1_bytes(&other.0).map_err(|_| EnrolError::NoPoint)?;
        let secret = self.scalar.diffie_hellman(&public).extract::<Sha256>(None);
        let mut share = Zeroizing::new([0; KEY_BYTES]);
        let mut wrap = Zeroizing::new([0; 32]);
        for (info, out) in [(SHARE_INFO, &mut share[..]), (WRAP_INFO, &mut wrap[..])] {
            secret.expand(info, out).expect("HKDF gives up to 8160 bytes");
        }
        Ok(Agreed { share: SecretKey::from_bytes(&share), cipher: Aes256Gcm::new((&*wrap).into()) })
    }
}

/// What both sides compute.
struct Agreed {
    share: SecretKey<16>,
    cipher: Aes256Gcm,
}

/// Each wrapping key is of one enrolment and wraps one key: halves are used up.
const ONLY_NONCE: [u8; 12] = [0; 12];

/// How the wallet comes from the wrapped key to the card's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It puts the share in, and so makes the key itself (S1 cl. 3): a card's own number.
    Made,
    /// It takes the key as it is (S2 cl. 3a, b): a pseudo number.
    Given,
}

impl Form {
    fn of(number: &CardNumber) -> Self {
        match number {
            CardNumber::Real(_) => Self::Made,
            CardNumber::Pseudo(_) => Self::Given,
        }
    }

    fn puts_share_in(self) -> bool {
        self == Self::Made
    }

    /// What the bound text begins with: so nobody can turn one form into the other.
    fn label(self) -> &'static [u8; 5] {
        match self {
            Self::Made => b"ENRL\0",
            Self::Given => b"ENRP\0",
        }
    }
}

/// What a wrapped key is bound to: the form's label (`"ENRL\0"`, `"ENRP\0"`), wallet's point, server's point, lp(number).
fn bound(wallet: &Point, server: &Point, number: &CardNumber) -> Zeroizing<Vec<u8>> {
    let digits = number.pan().digits();
    // A card number has at most 19 digits. Reserved whole at once: growing would leave a copy of them behind.
    Zeroizing::new(
        [&Form::of(number).label()[..], &wallet.0, &server.0, &[digits.len() as u8], digits].concat(),
    )
}

impl Point {
    /// From what the other side sent. Whether it is on the curve is looked at when it is used.
    ///
    /// # Errors
    ///
    /// [`EnrolError::NoPoint`] if it has another length or form.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnrolError> {
        let bytes: [u8; POINT_BYTES] = bytes.try_into().map_err(|_| EnrolError::NoPoint)?;
        if bytes[0] == UNCOMPRESSED { Ok(Self(bytes)) } else { Err(EnrolError::NoPoint) }
    }

    /// The bytes, to be sent.
    pub fn bytes(&self) -> &[u8; POINT_BYTES] {
        &self.0
    }

    fn of(public: &PublicKey) -> Self {
        let mut bytes = [0; POINT_BYTES];
        bytes.copy_from_slice(public.to_sec1_point(false).as_bytes());
        Self(bytes)
    }
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Half(..)")
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Point(..)")
    }
}

impl fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolled(..)")
    }
}

/// Why an enrolment failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolError {
    /// What the other side sent is no point of the curve.
    NoPoint,
    /// The other side sent this side's own point back.
    Reflected,
    /// The wrapped key does not open: it is of another enrolment or number, or was changed.
    NotAuthentic,
}

impl fmt::Display for EnrolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPoint => "the other side of the enrolment sent no point of the curve P-256",
            Self::Reflected => "the other side of the enrolment sent back what it was sent",
            Self::NotAuthentic => {
                "the card's key does not open: it is of another enrolment or was changed; enrol again"
            }
        })
    }
}

impl std::error::Error for EnrolError {}

#[cfg(test)]
mod tests {
    use mayfly_card::Pan;
    use mayfly_dynamic::PseudoPan;
    use proptest::prelude::*;

    use super::*;

    fn hex(digits: &str) -> Vec<u8> {
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    /// Gives these bytes once, and then again and again.
    struct Given(Vec<u8>);

    impl Random for Given {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
            out.copy_from_slice(&self.0[..out.len()]);
            Ok(())
        }
    }

    fn half(byte: u8) -> Half {
        Half::draw(&mut Given(vec![byte; 32])).unwrap()
    }

    fn number(digits: &str) -> CardNumber {
        CardNumber::Real(Pan::parse(digits).unwrap())
    }

    fn pseudo(digits: &str) -> CardNumber {
        CardNumber::Pseudo(PseudoPan::from_pan(Pan::parse(digits).unwrap()).unwrap())
    }

    fn derived() -> CardKey {
        key("12e24dbb0557c5db3bc3b0b9db021b1c")
    }

    fn key(digits: &str) -> CardKey {
        let bytes = hex(digits);
        CardKey::from_secret(SecretKey::from_bytes(bytes.as_slice().try_into().unwrap()))
    }

    /// NIST CAVP, ECC CDH primitive test vectors (SP 800-56A section 5.7.1.2), P-256, count 0.
    #[test]
    fn the_agreement_agrees_with_nist() {
        let scalar = hex("7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534");
        let public = hex("04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287\
             db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac");
        let secret = Scalar::from_slice(&scalar)
            .unwrap()
            .diffie_hellman(&PublicKey::from_sec1_bytes(&public).unwrap());
        assert_eq!(
            secret.raw_secret_bytes()[..],
            hex("46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b")
        );
    }

    /// Generated with ECDH, HKDF and AESGCM of the Python package `cryptography`, from the description of this crate; the
    /// card's keys are those of the profile's vectors, the last one with the share of this enrolment.
    #[test]
    fn both_sides_agree_with_an_independent_implementation() {
        let (wallet, server) = (half(1), half(2));
        let [of_wallet, of_server] = [wallet.point(), server.point()];
        assert_eq!(
            of_wallet.bytes()[..],
            hex(
                "046ff03b949241ce1dadd43519e6960e0a85b41a69a05c328103aa2bce1594ca163c4f753a55bf01dc53f6c0b0c7eee78b\
                 40c6ff7d25a96e2282b989cef71c144a"
            )
        );
        let number = number("5400001234567892");
        let enrolled = server.wrap(&of_wallet, &number, &derived()).unwrap();
        let share = enrolled.share.unwrap();
        assert_eq!(share.expose()[..], hex("a6f00bbc9723265dccdce07978d4681a"));
        assert_eq!(
            enrolled.wrapped[..],
            hex("8a69b7660016c6cbf6ddffa6333f7ecebdd84ed1d78e27264809a66cd6e7f720")
        );
        let key = wallet.unwrap(&of_server, &number, &enrolled.wrapped).unwrap();
        assert_eq!(key.expose().expose()[..], hex("f0106ce8b3c7e02f3871f35998cde29f"));
        let of_server = derived().with_share(&share);
        assert_eq!(of_server.expose().expose(), key.expose().expose());
    }

    /// As above; the key is that of process 2 in the profile's vectors.
    #[test]
    fn behind_a_pseudo_number_the_key_is_taken_as_it_is() {
        let number = pseudo("5419992000000424");
        let of_process_2 = key("87ce161f723c65096e193fbe5735f201");
        let (wallet, server) = (half(1), half(2));
        let of_server = server.point();
        let enrolled = server.wrap(&wallet.point(), &number, &of_process_2).unwrap();
        assert!(enrolled.share.is_none());
        assert_eq!(
            enrolled.wrapped[..],
            hex("1f45ecc2777d6619a30770a1bf0897d34136980b999030ad9a4b73aebca30f58")
        );
        let key = wallet.unwrap(&of_server, &number, &enrolled.wrapped).unwrap();
        assert_eq!(key.expose().expose(), of_process_2.expose().expose());
    }

    #[test]
    fn one_form_cannot_be_turned_into_the_other() {
        let digits = "5419992000000424";
        for (right, other) in [(number(digits), pseudo(digits)), (pseudo(digits), number(digits))] {
            let wrapped = half(2).wrap(&half(1).point(), &right, &derived()).unwrap().wrapped;
            let open = |number| half(1).unwrap(&half(2).point(), number, &wrapped).err();
            assert_eq!(open(&right), None);
            assert_eq!(open(&other), Some(EnrolError::NotAuthentic));
        }
    }

    /// A25: neither the derived key nor the share nor the card's key is in what crosses the wire.
    #[test]
    fn a25_no_key_crosses_the_wire() {
        let (wallet, server) = (half(3), half(4));
        let number = number("5400001234567892");
        let [of_wallet, of_server] = [wallet.point(), server.point()];
        let enrolled = server.wrap(&of_wallet, &number, &derived()).unwrap();
        let share = enrolled.share.clone().unwrap();
        let wire = [&of_wallet.bytes()[..], &of_server.bytes()[..], &enrolled.wrapped].concat();
        let key = wallet.unwrap(&of_server, &number, &enrolled.wrapped).unwrap();
        for secret in [derived().expose().expose(), share.expose(), key.expose().expose()] {
            assert!(!wire.windows(secret.len()).any(|part| part == secret));
        }
        let shown = format!("{:?} {:?} {:?} {key:?}", half(3), of_wallet, enrolled);
        assert_eq!(shown, "Half(..) Point(..) Enrolled(..) CardKey(..)");
    }

    #[test]
    fn what_is_of_another_enrolment_does_not_open() {
        let right = number("5400001234567892");
        let wrap = |wallet: u8, server: u8| half(server).wrap(&half(wallet).point(), &right, &derived());
        let wrapped = wrap(1, 2).unwrap().wrapped;
        let open = |wallet: u8, server: u8, number: &CardNumber| {
            half(wallet).unwrap(&half(server).point(), number, &wrapped).err()
        };
        assert_eq!(open(1, 2, &right), None);
        assert_eq!(open(1, 3, &right), Some(EnrolError::NotAuthentic));
        assert_eq!(open(3, 2, &right), Some(EnrolError::NotAuthentic));
        // The sides are not exchangeable.
        assert_eq!(open(2, 1, &right), Some(EnrolError::NotAuthentic));
        assert_eq!(open(1, 2, &number("5419992000000424")), Some(EnrolError::NotAuthentic));
        assert_eq!(wrap(1, 1).err(), Some(EnrolError::Reflected));
    }

    #[test]
    fn what_is_no_point_is_refused() {
        let point = *half(1).point().bytes();
        assert_eq!(Point::parse(&point[..64]), Err(EnrolError::NoPoint));
        assert_eq!(Point::parse(&[]), Err(EnrolError::NoPoint));
        let mut compressed = point;
        compressed[0] = 2;
        assert_eq!(Point::parse(&compressed), Err(EnrolError::NoPoint));
        let mut elsewhere = point;
        elsewhere[64] ^= 1;
        let elsewhere = Point::parse(&elsewhere).unwrap();
        let number = number("5400001234567892");
        assert_eq!(half(2).wrap(&elsewhere, &number, &derived()).err(), Some(EnrolError::NoPoint));
        assert_eq!(half(2).unwrap(&elsewhere, &number, &[0; WRAPPED_BYTES]).err(), Some(EnrolError::NoPoint));
    }

    #[test]
    fn a_generator_that_gives_no_scalar_is_broken() {
        for byte in [0, 0xff] {
            let drawn = Half::draw(&mut Given(vec![byte; 32]));
            assert_eq!(drawn.err(), Some(RandomError::Unavailable { os_error: None }));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn any_changed_bit_keeps_it_shut(bit in 0usize..8 * WRAPPED_BYTES) {
            let number = number("5400001234567892");
            let mut wrapped = half(2).wrap(&half(1).point(), &number, &derived()).unwrap().wrapped;
            wrapped[bit / 8] ^= 1 << (bit % 8);
            let opened = half(1).unwrap(&half(2).point(), &number, &wrapped);
            prop_assert_eq!(opened.err(), Some(EnrolError::NotAuthentic));
        }
    }
}

//! Sealing what is secret at rest: AES-256-GCM-SIV (RFC 8452), bound to the place where it stands.

use core::fmt;

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce, Tag};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::encode::{LP_BYTES_MAX, lp_prefix};
use crate::kdf::SecretKey;
use crate::opaque::opaque_debug;
use crate::random::{Random, RandomError};

/// First byte of every sealed value: the format, and with it the algorithm.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + NONCE_BYTES;

/// How many bytes a sealed value is longer than its plaintext.
pub const SEAL_OVERHEAD_BYTES: usize = HEAD_BYTES + TAG_BYTES;

/// The longest plaintext that is sealed, in bytes.
pub const SEAL_PLAINTEXT_BYTES_MAX: usize = 65_536;

/// A data key, prepared; wiped on drop.
pub struct SealKey(Aes256GcmSiv);

impl SealKey {
    /// Prepares a data key.
    pub fn new(key: &SecretKey<32>) -> Self {
        Self(Aes256GcmSiv::new(key.expose().into()))
    }

    /// Seals another key under this one, to be stored at `place`.
    ///
    /// # Errors
    ///
    /// As [`seal`](Self::seal).
    pub fn wrap_key<const N: usize>(
        &self,
        place: &SealPlace<'_>,
        key: &SecretKey<N>,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, SealError> {
        self.seal(place, key.expose(), random)
    }

    /// Opens what [`wrap_key`](Self::wrap_key) made of a key of that length; nothing is allocated.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`OpenError::NotAKey`] if something else than such a key was sealed there.
    pub fn unwrap_key<const N: usize>(
        &self,
        place: &SealPlace<'_>,
        wrapped: &[u8],
    ) -> Result<SecretKey<N>, OpenError> {
        let bytes = checked_length(wrapped)?;
        if bytes != N {
            // Whether it is something else, or damaged.
            return self.open(place, wrapped).and(Err(OpenError::NotAKey { bytes }));
        }
        let mut key = Zeroizing::new([0; N]);
        self.open_into(place, wrapped, &mut *key)?;
        Ok(SecretKey::from_bytes(&key))
    }

    /// Seals `plaintext` for one place. The result is: format (1 byte), nonce (12), ciphertext, tag (16).
    ///
    /// # Errors
    ///
    /// [`SealError`]: generator failed, plaintext or a part of the place too long.
    pub fn seal(
        &self,
        place: &SealPlace<'_>,
        plaintext: &[u8],
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, SealError> {
        if plaintext.len() > SEAL_PLAINTEXT_BYTES_MAX {
            return Err(SealError::PlaintextTooLong { bytes: plaintext.len() });
        }
        let mut associated = [0; ASSOCIATED_BYTES_MAX];
        let associated = place.associated_data(&mut associated)?;
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce)?;
        // Reserved whole at once: growing would leave a copy of the plaintext behind.
        let mut out = Vec::with_capacity(plaintext.len() + SEAL_OVERHEAD_BYTES);
        out.push(FORMAT);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plaintext);
        match self.encrypt_in_place(&nonce, associated, &mut out[HEAD_BYTES..]) {
            Ok(tag) => {
                out.extend_from_slice(&tag);
                Ok(out)
            }
            Err(error) => {
                out.zeroize();
                Err(error)
            }
        }
    }

    /// Opens what [`seal`](Self::seal) made for the same place under the same key.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; a wrong key, another place and changed bytes look alike: [`OpenError::NotAuthentic`].
    pub fn open(&self, place: &SealPlace<'_>, sealed: &[u8]) -> Result<Opened, OpenError> {
        let mut opened = Opened(vec![0; checked_length(sealed)?]);
        self.open_into(place, sealed, &mut opened.0)?;
        Ok(opened)
    }

    /// Opens what was sealed into room of just its length; nothing is allocated.
    fn open_into(&self, place: &SealPlace<'_>, sealed: &[u8], out: &mut [u8]) -> Result<(), OpenError> {
        let mut associated = [0; ASSOCIATED_BYTES_MAX];
        let associated = place.associated_data(&mut associated)?;
        let (head, rest) = sealed.split_at(HEAD_BYTES);
        let (ciphertext, tag) = rest.split_at(rest.len() - TAG_BYTES);
        let nonce = Nonce::try_from(&head[1..]).map_err(|_| OpenError::NotAuthentic)?;
        let tag = Tag::try_from(tag).map_err(|_| OpenError::NotAuthentic)?;
        out.copy_from_slice(ciphertext);
        self.0
            .decrypt_inout_detached(&nonce, associated, out.into(), &tag)
            .map_err(|_| OpenError::NotAuthentic)
    }

    fn encrypt_in_place(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], SealError> {
        let bytes = buffer.len();
        self.0
            .encrypt_inout_detached(nonce.into(), associated, buffer.into())
            .map(Into::into)
            .map_err(|_| SealError::PlaintextTooLong { bytes })
    }
}

/// Where a sealed value stands. All of it is bound in: a value moved to another tenant, table or row, or presented
/// under another key version, does not open.
#[derive(Clone, Copy, Debug)]
pub struct SealPlace<'a> {
    /// The issuer the value belongs to.
    pub tenant: &'a [u8],
    /// The table and, where a row holds several sealed values, the column.
    pub table: &'a str,
    /// The row's key.
    pub row: &'a [u8],
    /// Version or period of the data key.
    pub key_version: u32,
}

impl SealPlace<'_> {
    /// `"SEAL\0" format lp(tenant) lp(table) lp(row) key_version`, in `out`.
    fn associated_data<'a>(
        &self,
        out: &'a mut [u8; ASSOCIATED_BYTES_MAX],
    ) -> Result<&'a [u8], PlacePartTooLong> {
        let mut length = 0;
        let mut push = |bytes: &[u8]| {
            out[length..length + bytes.len()].copy_from_slice(bytes);
            length += bytes.len();
        };
        push(b"SEAL\0");
        push(&[FORMAT]);
        for (name, part) in [("tenant", self.tenant), ("table", self.table.as_bytes()), ("row", self.row)] {
            push(&[lp_prefix(part).map_err(|error| PlacePartTooLong { name, bytes: error.bytes })?]);
            push(part);
        }
        push(&self.key_version.to_be_bytes());
        Ok(&out[..length])
    }
}

/// The longest associated data: label, format, three parts with their lengths, key version.
const ASSOCIATED_BYTES_MAX: usize = 5 + 1 + 3 * (1 + LP_BYTES_MAX) + 4;

/// How long the plaintext of a sealed value is, if it can be one.
fn checked_length(sealed: &[u8]) -> Result<usize, OpenError> {
    let bytes = sealed.len();
    if bytes < SEAL_OVERHEAD_BYTES {
        return Err(OpenError::TooShort { bytes });
    }
    if bytes > SEAL_PLAINTEXT_BYTES_MAX + SEAL_OVERHEAD_BYTES {
        return Err(OpenError::TooLong { bytes });
    }
    if sealed[0] != FORMAT {
        return Err(OpenError::UnknownFormat { found: sealed[0] });
    }
    Ok(bytes - SEAL_OVERHEAD_BYTES)
}

/// What was sealed: no readable `Debug`, wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Opened(Vec<u8>);

impl Opened {
    /// The plaintext.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

opaque_debug!(SealKey, Opened);

/// A part of a [`SealPlace`] is too long to be bound in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacePartTooLong {
    /// Which part.
    pub name: &'static str,
    /// Its length in bytes.
    pub bytes: usize,
}

impl fmt::Display for PlacePartTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, bytes } = self;
        write!(
            f,
            "the {name} of a sealed value has {bytes} bytes, at most {LP_BYTES_MAX} are allowed; shorten it"
        )
    }
}

impl std::error::Error for PlacePartTooLong {}

/// Why a value was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The plaintext has more than [`SEAL_PLAINTEXT_BYTES_MAX`] bytes.
    PlaintextTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A part of the place is too long.
    Place(PlacePartTooLong),
    /// No nonce could be drawn.
    Random(RandomError),
}

impl From<PlacePartTooLong> for SealError {
    fn from(error: PlacePartTooLong) -> Self {
        Self::Place(error)
    }
}

impl From<RandomError> for SealError {
    fn from(error: RandomError) -> Self {
        Self::Random(error)
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlaintextTooLong { bytes } => write!(
                f,
                "a value to seal has {bytes} bytes, at most {SEAL_PLAINTEXT_BYTES_MAX} are allowed; split it"
            ),
            Self::Place(error) => error.fmt(f),
            Self::Random(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SealError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::PlaintextTooLong { .. } => None,
            Self::Place(error) => Some(error),
            Self::Random(error) => Some(error),
        }
    }
}

/// Why a sealed value was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is shorter than the shortest sealed value.
    TooShort {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It is longer than the longest sealed value.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Its first byte names a format that this version does not know.
    UnknownFormat {
        /// The first byte.
        found: u8,
    },
    /// A part of the place is too long, so that nothing can have been sealed there.
    Place(PlacePartTooLong),
    /// Wrong key, other place, or changed bytes.
    NotAuthentic,
    /// It opened, but holds no key of the length that was asked for.
    NotAKey {
        /// Length of its content in bytes.
        bytes: usize,
    },
}

impl From<PlacePartTooLong> for OpenError {
    fn from(error: PlacePartTooLong) -> Self {
        Self::Place(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { bytes } => write!(
                f,
                "a sealed value has {bytes} bytes, fewer than {SEAL_OVERHEAD_BYTES}: it was cut off; restore the row"
            ),
            Self::TooLong { bytes } => write!(
                f,
                "a sealed value has {bytes} bytes, more than any that was ever sealed; restore the row"
            ),
            Self::UnknownFormat { found } => write!(
                f,
                "a sealed value has format {found}, this version knows {FORMAT}: it is damaged or was written by a \
                 newer version; restore the row or update"
            ),
            Self::Place(error) => error.fmt(f),
            Self::NotAuthentic => f.write_str(
                "a sealed value does not open: it was changed, moved from another place, or sealed under another \
                 key; check the key version and restore the row",
            ),
            Self::NotAKey { bytes } => write!(
                f,
                "a wrapped key holds {bytes} bytes, which is none: another kind of value was sealed there; \
                 check which row is read"
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Place(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Broken, Constant, hex};

    const PLACE: SealPlace<'_> =
        SealPlace { tenant: b"acme-1", table: "cards", row: b"12345678", key_version: 7 };

    fn key() -> SealKey {
        SealKey::new(&SecretKey::from_bytes(&core::array::from_fn(|at| at as u8)))
    }

    fn sealed() -> Vec<u8> {
        key().seal(&PLACE, b"4569409360110520", &mut Constant(9)).unwrap()
    }

    /// RFC 8452, appendix C.2 (AEAD_AES_256_GCM_SIV), and C.3 (the counter wraps).
    #[test]
    fn the_cipher_agrees_with_rfc_8452() {
        let one = |byte: u8| format!("{byte:02x}{}", "00".repeat(31));
        let nonce = "030000000000000000000000";
        let vectors = [
            (one(1), nonce, "", "", "07f5f4169bbf55a8400cd47ea6fd400f"),
            (one(1), nonce, "", "0100000000000000", "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"),
            (one(1), nonce, "01", "0200000000000000", "1de22967237a813291213f267e3b452f02d01ae33e4ec854"),
            (
                one(0),
                "000000000000000000000000",
                "",
                "000000000000000000000000000000004db923dc793ee6497c76dcc03a98e108",
                "f3f80f2cf0cb2dd9c5984fcda908456cc537703b5ba70324a6793a7bf218d3ea\
                 ffffffff000000000000000000000000",
            ),
        ];
        for (key, nonce, associated, plaintext, expected) in vectors {
            let key = SealKey::new(&SecretKey::from_bytes(hex(&key).as_slice().try_into().unwrap()));
            let mut buffer = hex(plaintext);
            let nonce = hex(nonce).try_into().unwrap();
            let tag = key.encrypt_in_place(&nonce, &hex(associated), &mut buffer).unwrap();
            buffer.extend(tag);
            assert_eq!(buffer, hex(expected));
        }
    }

    /// Generated with `AESGCMSIV` of the Python package `cryptography`: fixes format and associated data.
    #[test]
    fn a_sealed_value_keeps_its_form() {
        assert_eq!(
            sealed(),
            hex("0109090909090909090909090948e22d8152c4a389835f097d61599231e568494261592b3287d255e556b439c9")
        );
        assert_eq!(sealed().len(), 16 + SEAL_OVERHEAD_BYTES);
    }

    #[test]
    fn it_opens_only_at_its_place_and_under_its_key() {
        assert_eq!(key().open(&PLACE, &sealed()).unwrap().expose(), b"4569409360110520");
        let elsewhere = [
            SealPlace { tenant: b"acme-2", ..PLACE },
            SealPlace { table: "numbers", ..PLACE },
            SealPlace { row: b"12345679", ..PLACE },
            SealPlace { key_version: 8, ..PLACE },
        ];
        for place in elsewhere {
            assert_eq!(key().open(&place, &sealed()).err(), Some(OpenError::NotAuthentic), "{place:?}");
        }
        let other = SealKey::new(&SecretKey::from_bytes(&[1; 32]));
        assert_eq!(other.open(&PLACE, &sealed()).err(), Some(OpenError::NotAuthentic));
    }

    #[test]
    fn what_cannot_be_a_sealed_value_is_named() {
        assert_eq!(key().open(&PLACE, &[1; 28]).err(), Some(OpenError::TooShort { bytes: 28 }));
        let bytes = SEAL_PLAINTEXT_BYTES_MAX + SEAL_OVERHEAD_BYTES + 1;
        assert_eq!(key().open(&PLACE, &vec![1; bytes]).err(), Some(OpenError::TooLong { bytes }));
        assert_eq!(key().open(&PLACE, &[2; 40]).err(), Some(OpenError::UnknownFormat { found: 2 }));
    }

    #[test]
    fn what_cannot_be_sealed_is_refused() {
        let random = &mut Constant(9);
        let bytes = SEAL_PLAINTEXT_BYTES_MAX + 1;
        assert_eq!(key().seal(&PLACE, &vec![0; bytes], random), Err(SealError::PlaintextTooLong { bytes }));
        let place = SealPlace { row: &[0; 256], ..PLACE };
        let error = PlacePartTooLong { name: "row", bytes: 256 };
        assert_eq!(key().seal(&place, b"", random), Err(SealError::Place(error)));
        assert_eq!(key().open(&place, &sealed()).err(), Some(OpenError::Place(error)));
        let error = RandomError::Unavailable { os_error: Some(38) };
        assert_eq!(key().seal(&PLACE, b"", &mut Broken), Err(SealError::Random(error)));
    }

    #[test]
    fn a_key_travels_wrapped() {
        let data = SecretKey::<32>::generate(&mut Constant(3)).unwrap();
        let wrapped = key().wrap_key(&PLACE, &data, &mut Constant(9)).unwrap();
        assert_eq!(key().unwrap_key::<32>(&PLACE, &wrapped).unwrap().expose(), data.expose());
        assert_eq!(key().unwrap_key::<32>(&PLACE, &sealed()).err(), Some(OpenError::NotAKey { bytes: 16 }));
        let card = SecretKey::<16>::generate(&mut Constant(3)).unwrap();
        let of_card = key().wrap_key(&PLACE, &card, &mut Constant(9)).unwrap();
        assert_eq!(key().unwrap_key::<16>(&PLACE, &of_card).unwrap().expose(), card.expose());
        assert_eq!(key().unwrap_key::<16>(&PLACE, &wrapped).err(), Some(OpenError::NotAKey { bytes: 32 }));
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(plaintext in prop::collection::vec(any::<u8>(), 0..300), nonce: u8) {
            let sealed = key().seal(&PLACE, &plaintext, &mut Constant(nonce)).unwrap();
            let opened = key().open(&PLACE, &sealed).unwrap();
            prop_assert_eq!(opened.expose(), plaintext);
        }

        #[test]
        fn any_changed_bit_keeps_it_shut(at in 0usize..45, bit in 0u8..8) {
            let mut changed = sealed();
            changed[at] ^= 1 << bit;
            let error = key().open(&PLACE, &changed).err();
            let expected = match at {
                0 => OpenError::UnknownFormat { found: changed[0] },
                _ => OpenError::NotAuthentic,
            };
            prop_assert_eq!(error, Some(expected));
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(key().open(&PLACE, &bytes).is_err());
        }
    }
}

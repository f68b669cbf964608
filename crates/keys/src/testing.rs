//! What the unit tests share.

use crate::random::{Random, RandomError};

/// Bytes from hexadecimal digits.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Fills with one byte, again and again.
pub(crate) struct Constant(pub(crate) u8);

impl Random for Constant {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        out.fill(self.0);
        Ok(())
    }
}

/// Never delivers.
pub(crate) struct Broken;

impl Random for Broken {
    fn fill(&mut self, _out: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError::Unavailable { os_error: Some(38) })
    }
}

/// Every secret type, made of bytes that would show.
#[test]
fn debug_of_a_secret_shows_its_name_and_nothing_else() {
    let bytes = [0xA7; 32];
    let root = crate::RootKey::from_bytes(&bytes);
    let service = crate::KeyService::new(&root);
    let keys = service.base_keys();
    let key = crate::MacKey::aes256(&bytes);
    let cvc2_key = service.cvc2_key(b"456940").unwrap();
    let seal_key = keys.seal_key(1);
    let place = crate::SealPlace { tenant: b"t", table: "t", row: b"1", key_version: 1 };
    let sealed = seal_key.seal(&place, b"plaintext", &mut Constant(1)).unwrap();
    let versions = crate::KeyVersions::first(service.check_value());
    let mut ring = crate::CardKeyring::new(versions);
    ring.load(crate::KeyVersion::FIRST, &service, [&b"541999"[..]]).unwrap();
    let wrapping_key = crate::file::WrappingKey::generate(&mut Constant(7)).unwrap();
    let passphrase = crate::Passphrase::new("correct horse battery").unwrap();
    let shown = [
        (format!("{ring:?}"), "CardKeyring(..)"),
        (format!("{:?}", ring.base(ring.current(), b"541999").unwrap()), "CardBase(..)"),
        (format!("{:?}", service.card_bin_keys(b"541999").unwrap()), "CardBinKeys(..)"),
        (format!("{:?}", service.authentication_key()), "AuthenticationKey(..)"),
        (format!("{:?}", service.holder_keys()), "HolderKeys(..)"),
        (format!("{:?}", service.morph_keys()), "MorphKeys(..)"),
        (format!("{:?}", crate::Component::generate(&mut Constant(7)).unwrap()), "Component(..)"),
        (format!("{wrapping_key:?}"), "WrappingKey(..)"),
        (format!("{passphrase:?}"), "Passphrase(..)"),
        (format!("{root:?}"), "RootKey(..)"),
        (format!("{service:?}"), "KeyService(..)"),
        (format!("{keys:?}"), "BaseKeys(..)"),
        (format!("{:?}", service.directory_keys()), "DirectoryKeys(..)"),
        (format!("{:?}", keys.numbers()), "NumberIndexer(..)"),
        (format!("{:?}", keys.partitions()), "Partitioner(..)"),
        (format!("{:?}", keys.references()), "Fingerprinter(..)"),
        (format!("{key:?}"), "MacKey(..)"),
        (format!("{:?}", key.start()), "MacState(..)"),
        (format!("{:?}", key.mac(&[b"message"])), "Mac(..)"),
        (format!("{:?}", crate::SecretKey::from_bytes(&bytes)), "SecretKey(..)"),
        (format!("{cvc2_key:?}"), "Cvc2Key(..)"),
        (format!("{:?}", cvc2_key.compute(b"4569409360110520", *b"1227")), "Cvc2(..)"),
        (format!("{seal_key:?}"), "SealKey(..)"),
        (format!("{:?}", seal_key.open(&place, &sealed).unwrap()), "Opened(..)"),
    ];
    for (shown, expected) in shown {
        assert_eq!(shown, expected);
    }
}

/// What holds key bytes itself wipes them, the ciphers' schedules included; every other secret type is made of these.
#[test]
fn what_holds_key_bytes_wipes_them() {
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<crate::SecretKey<32>>();
    wiped::<crate::Mac>();
    wiped::<crate::Cvc2>();
    wiped::<crate::Opened>();
    wiped::<crate::Passphrase>();
    wiped::<aes::Aes128Enc>();
    wiped::<aes::Aes256Enc>();
    wiped::<aes::Aes256>();
}

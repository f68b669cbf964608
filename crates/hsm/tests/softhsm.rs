//! The key service over a real PKCS#11 module: SoftHSM2, with a token in a temporary directory for each test.
//!
//! The module reads its configuration from the environment when it is loaded, so each test runs once more in a process of
//! its own that was started with it.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

use std::path::Path;
use std::process::{Command, Output};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use mayfly_hsm::{Access, Token, TokenError, Unfit};
use mayfly_keys::{
    CardBase, CardKeyring, Component, KeyModule, KeyService, KeyVersion, KeyVersions, ModuleError, OsRandom,
    RootKey,
};
use mayfly_testing::SoftHsm;

const TOKEN: &str = "mayfly test";
const LABEL: &str = "mayfly-root-1";
const BIN: &[u8] = b"541999";
const PAN: &[u8] = b"5400001234567892";
const PSEUDO: &[u8] = b"5419992000000424";

/// Runs `body` in another process, whose module has one token.
fn in_a_module(test: &str, body: impl FnOnce()) {
    if std::env::var_os(SoftHsm::VARIABLE).is_some() {
        return body();
    }
    let module = SoftHsm::with_token(TOKEN);
    let output = again(test, &module);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a test once more, in a process of its own that was started with this module.
fn again(test: &str, module: &SoftHsm) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads", "1"])
        .env(SoftHsm::VARIABLE, module.configuration())
        .output()
        .unwrap()
}

fn access() -> Access<'static> {
    Access { library: SoftHsm::library(), token: TOKEN, pin: SoftHsm::PIN }
}

/// The root key of the profile's reference values.
fn root() -> RootKey {
    RootKey::from_bytes(&core::array::from_fn(|at| at as u8))
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A session of the test's own, to do what Mayfly does not.
fn bare_session() -> Session {
    let context = Pkcs11::new(SoftHsm::library()).unwrap();
    // Fails where the test has opened a token already.
    let _ = context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slot = context.get_slots_with_initialized_token().unwrap()[0];
    let session = context.open_rw_session(slot).unwrap();
    let _ = session.login(UserType::User, Some(&AuthPin::from(SoftHsm::PIN)));
    session
}

#[test]
fn the_module_and_memory_give_the_same_bytes() {
    in_a_module("the_module_and_memory_give_the_same_bytes", || {
        let token = Token::open(access()).unwrap();
        assert_eq!(token.import_root(LABEL, &root()).unwrap(), root().check_value());

        let module = KeyService::open(Box::new(token.root(LABEL).unwrap())).unwrap();
        let memory = KeyService::new(&root());
        assert_eq!(module.check_value(), memory.check_value());
        assert_eq!(module.check_value().to_string(), "377822");
        assert_eq!(module.password_pepper().expose(), memory.password_pepper().expose());
        let both = [&module, &memory];
        let [in_module, in_memory] = both.map(|service| {
            let base_keys = service.base_keys();
            let (akdk, bin) = (service.authentication_key(), service.card_bin_keys(BIN).unwrap());
            let base = CardBase::new(&akdk, &bin);
            let directory = service.directory_keys();
            vec![
                base_keys.numbers().index(PAN).to_string().into_bytes(),
                vec![base_keys.partitions().partition(PAN, 199.try_into().unwrap()) as u8],
                base_keys.references().fingerprint("request", &[PAN]).to_string().into_bytes(),
                service.cvc2_key(BIN).unwrap().compute(PAN, *b"1227").expose().to_vec(),
                directory.hash("login-name", &[b"ada"]).to_vec(),
                base.of_number(PSEUDO).expose().to_vec(),
                base.of_number_and_bin(PSEUDO).expose().to_vec(),
                base.of_pan_and_number(PAN, PSEUDO).expose().to_vec(),
                base.of_pan(PAN).expose().to_vec(),
                service.holder_keys().key(b"user-1").unwrap().expose().to_vec(),
                service.morph_keys().key(b"user-1").unwrap().expose().to_vec(),
            ]
        });
        assert_eq!(in_module, in_memory);
        // The profile's own value: tests/vectors/mayfly-v1.json, keys, process 2.
        assert_eq!(in_module[7], hex("87ce161f723c65096e193fbe5735f201"));

        // What is sealed with one is opened with the other.
        let place = mayfly_keys::SealPlace { tenant: b"t", table: "cards", row: b"1", key_version: 1 };
        let keys = both.map(|service| service.base_keys());
        let sealed = keys[0].seal_key(7).seal(&place, b"secret", &mut OsRandom).unwrap();
        assert_eq!(keys[1].seal_key(7).open(&place, &sealed).unwrap().expose(), b"secret");
    });
}

/// SP 800-38B, appendix D.3 (CMAC-AES256), and NIST CAVP, KDFCTR_gen of SP 800-108 (CMAC-AES256, 32-bit counter before the
/// fixed data, count 0): one block is the MAC of counter and fixed data.
#[test]
fn the_module_agrees_with_nist() {
    in_a_module("the_module_agrees_with_nist", || {
        let token = Token::open(access()).unwrap();
        let import = |label: &str, key: &str| {
            let root = RootKey::from_bytes(hex(key).as_slice().try_into().unwrap());
            token.import_root(label, &root).unwrap();
            token.root(label).unwrap()
        };
        let message = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
             30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
        let key = import("cmac", "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        for (bytes, expected) in [
            (16, "28a7023f452e8f82bd4bf28d8c37c35c"),
            (40, "aaf3d8f1de5640c232f5b169b9c911e6"),
            (64, "e1992190549f6ed5696a2c056c315410"),
        ] {
            let mac = key.root_mac(&[&message[..7], &message[7..bytes]]).unwrap();
            assert_eq!(mac.expose()[..], hex(expected), "{bytes} bytes");
        }
        let key = import("kdf", "d0b1b3b70b2393c48ca05159e7e28cbeadea93f28a7cdae964e5136070c45d5c");
        let fixed = hex(
            "dd2f151a3f173492a6fbbb602189d51ddf8ef79fc8e96b8fcbe6dabe73a35b48104f9dff2d63d48786d2b3af177091d6\
             46a9efae005bdfacb61a1214",
        );
        let block = key.root_mac(&[&1u32.to_be_bytes(), &fixed]).unwrap();
        assert_eq!(block.expose()[..], hex("8c449fb474d1c1d4d2a33827103b656a"));
    });
}

/// RFC 4493 section 4, examples 2 to 4: that the module's mechanism is that AES-CMAC with short keys, too.
#[test]
fn the_mechanism_agrees_with_rfc_4493() {
    in_a_module("the_mechanism_agrees_with_rfc_4493", || {
        let session = bare_session();
        let key = session
            .create_object(&[
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::Sign(true),
                Attribute::Value(hex("2b7e151628aed2a6abf7158809cf4f3c")),
            ])
            .unwrap();
        let message = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
             30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
        for (bytes, expected) in [
            (16, "070a16b46b4d4144f79bdd9dd04a287c"),
            (40, "dfa66747de9ae63030ca32611497c827"),
            (64, "51f0bebf7e3b9d92fc49741779363cfe"),
        ] {
            assert_eq!(session.sign(&Mechanism::AesCMac, key, &message[..bytes]).unwrap(), hex(expected));
        }
    });
}

#[test]
fn a_root_key_that_was_brought_in_or_drawn_there_never_leaves() {
    in_a_module("a_root_key_that_was_brought_in_or_drawn_there_never_leaves", || {
        let token = Token::open(access()).unwrap();
        token.import_root(LABEL, &root()).unwrap();
        let drawn = token.generate_root("mayfly-root-2").unwrap();
        assert_ne!(drawn, root().check_value());
        assert_eq!(
            KeyService::open(Box::new(token.root("mayfly-root-2").unwrap())).unwrap().check_value(),
            drawn
        );

        let session = bare_session();
        for label in [LABEL, "mayfly-root-2"] {
            let key = session.find_objects(&[Attribute::Label(label.into())]).unwrap()[0];
            // The token shows no value.
            assert!(
                session.get_attributes(key, &[AttributeType::Value]).map_or(true, |found| found.is_empty())
            );
            let wrapping = session
                .generate_key(
                    &Mechanism::AesKeyGen,
                    &[Attribute::ValueLen(32.into()), Attribute::Wrap(true), Attribute::Token(false)],
                )
                .unwrap();
            let wrapped = session.wrap_key(&Mechanism::AesKeyWrap, wrapping, key);
            assert!(matches!(wrapped, Err(Error::Pkcs11(RvError::KeyUnextractable, _))), "{wrapped:?}");
            let asked = [
                AttributeType::Sensitive,
                AttributeType::Extractable,
                AttributeType::Private,
                AttributeType::Modifiable,
                AttributeType::Encrypt,
                AttributeType::Derive,
            ];
            assert_eq!(
                session.get_attributes(key, &asked).unwrap(),
                [
                    Attribute::Sensitive(true),
                    Attribute::Extractable(false),
                    Attribute::Private(true),
                    Attribute::Modifiable(false),
                    Attribute::Encrypt(false),
                    Attribute::Derive(false),
                ]
            );
            assert!(session.update_attributes(key, &[Attribute::Extractable(true)]).is_err());
        }
        // Nothing is replaced.
        let label = LABEL.to_owned();
        assert_eq!(token.import_root(LABEL, &root()), Err(TokenError::KeyExists { label: label.clone() }));
        assert_eq!(token.generate_root(LABEL), Err(TokenError::KeyExists { label }));
    });
}

/// The ceremony: two custodians, each with what he wrote down.
#[test]
fn two_custodians_bring_a_key_in_that_neither_has() {
    in_a_module("two_custodians_bring_a_key_in_that_neither_has", || {
        let written = [(); 2].map(|()| {
            let component = Component::generate(&mut OsRandom).unwrap();
            (component.text(), component.check_value())
        });
        let [one, other] = written.map(|(text, check)| Component::parse(&text, check).unwrap());
        let root = RootKey::from_components(&one, &other).unwrap();
        let token = Token::open(access()).unwrap();
        let check_value = token.import_root(LABEL, &root).unwrap();
        assert_ne!(check_value, one.check_value());
        let module = KeyService::open(Box::new(token.root(LABEL).unwrap())).unwrap();
        let memory = KeyService::new(&root);
        assert_eq!(module.check_value(), check_value);
        assert_eq!(module.password_pepper().expose(), memory.password_pepper().expose());
    });
}

#[test]
fn versions_rotate_and_retire_in_the_module() {
    in_a_module("versions_rotate_and_retire_in_the_module", || {
        let token = Token::open(access()).unwrap();
        let service = |label: &str| KeyService::open(Box::new(token.root(label).unwrap())).unwrap();
        let first = token.import_root(LABEL, &root()).unwrap();
        let mut ring = CardKeyring::new(KeyVersions::first(first));
        ring.load(KeyVersion::FIRST, &service(LABEL), [BIN]).unwrap();
        let before = ring.base(KeyVersion::FIRST, BIN).unwrap().of_pan(PAN);

        token.generate_root("mayfly-root-2").unwrap();
        let second = ring.rotate(&service("mayfly-root-2"), [BIN]).unwrap();
        assert_eq!(ring.base(KeyVersion::FIRST, BIN).unwrap().of_pan(PAN).expose(), before.expose());
        assert_ne!(ring.base(second, BIN).unwrap().of_pan(PAN).expose(), before.expose());
        ring.retire(KeyVersion::FIRST).unwrap();
        assert!(ring.base(KeyVersion::FIRST, BIN).is_err() && ring.base(second, BIN).is_ok());
    });
}

#[test]
fn the_keys_of_a_new_process_are_those_of_the_old_one() {
    let test = "the_keys_of_a_new_process_are_those_of_the_old_one";
    if std::env::var_os(SoftHsm::VARIABLE).is_some() {
        let token = Token::open(access()).unwrap();
        let label = LABEL.to_owned();
        match token.root(LABEL) {
            Ok(root) => println!("check {}", KeyService::open(Box::new(root)).unwrap().check_value()),
            Err(error) if error == TokenError::NoKey { label } => {
                println!("check {}", token.generate_root(LABEL).unwrap());
            }
            Err(error) => panic!("{error}"),
        }
        return;
    }
    let module = SoftHsm::with_token(TOKEN);
    let [drawn, found] = [(); 2].map(|()| {
        let said = String::from_utf8(again(test, &module).stdout).unwrap();
        let at = said.find("check ").unwrap_or_else(|| panic!("{said}"));
        said[at..at + "check 123456".len()].to_owned()
    });
    assert_eq!(drawn, found);
}

#[test]
fn what_can_be_wrong_is_named() {
    in_a_module("what_can_be_wrong_is_named", || {
        let refused = |access: Access<'_>| Token::open(access).unwrap_err();
        let wrong = refused(Access { library: Path::new("/nowhere/module.so"), ..access() });
        assert!(
            matches!(&wrong, TokenError::Library { path, .. } if path.ends_with("module.so")),
            "{wrong:?}"
        );
        let missing = refused(Access { token: "another", ..access() });
        let (label, found) = ("another".to_owned(), vec![TOKEN.to_owned()]);
        assert_eq!(missing, TokenError::NoToken { label, found });
        let pin = refused(Access { pin: "111111", ..access() });
        assert_eq!(pin, TokenError::Pin { locked: false });
        for error in [wrong, missing, pin] {
            assert!(!format!("{error} {error:?}").contains("111111"));
        }
        assert!(!format!("{:?}", access()).contains(SoftHsm::PIN));

        let token = Token::open(access()).unwrap();
        let label = LABEL.to_owned();
        assert_eq!(token.root(LABEL).err(), Some(TokenError::NoKey { label: label.clone() }));

        // Keys that somebody else made.
        let session = bare_session();
        let make = |label: &str, bytes: u64, more: &[Attribute]| {
            let mut template = vec![
                Attribute::Token(true),
                Attribute::Label(label.into()),
                Attribute::ValueLen(bytes.into()),
            ];
            template.extend_from_slice(more);
            session.generate_key(&Mechanism::AesKeyGen, &template).unwrap()
        };
        let (sensitive, kept) = (Attribute::Sensitive(true), Attribute::Extractable(false));
        make("readable", 32, &[Attribute::Sensitive(false), kept.clone(), Attribute::Sign(true)]);
        make("extractable", 32, &[sensitive.clone(), Attribute::Extractable(true), Attribute::Sign(true)]);
        make("mute", 32, &[sensitive.clone(), kept.clone(), Attribute::Sign(false)]);
        make("short", 16, &[sensitive.clone(), kept.clone(), Attribute::Sign(true)]);
        for (label, reason) in [
            ("readable", Unfit::Exposed),
            ("extractable", Unfit::Exposed),
            ("mute", Unfit::NoSign),
            ("short", Unfit::Length),
        ] {
            let label = label.to_owned();
            assert_eq!(token.root(&label).err(), Some(TokenError::Unfit { label, reason }));
        }
        for _ in 0..2 {
            make(LABEL, 32, &[sensitive.clone(), kept.clone(), Attribute::Sign(true)]);
        }
        assert_eq!(token.root(LABEL).err(), Some(TokenError::SeveralKeys { label, count: 2 }));
    });
}

#[test]
fn a_module_that_fails_later_says_so() {
    in_a_module("a_module_that_fails_later_says_so", || {
        let token = Token::open(access()).unwrap();
        token.import_root(LABEL, &root()).unwrap();
        let service = KeyService::open(Box::new(token.root(LABEL).unwrap())).unwrap();
        // Somebody takes the key away while the service runs: what was derived still works, a new BIN has no keys.
        let session = bare_session();
        let key = session.find_objects(&[Attribute::Label(LABEL.into())]).unwrap()[0];
        session.destroy_object(key).unwrap();
        assert_eq!(service.base_keys().numbers().index(PAN), {
            KeyService::new(&root()).base_keys().numbers().index(PAN)
        });
        let error = service.card_bin_keys(BIN).unwrap_err();
        let function = "C_SignInit".to_owned();
        let reason = "ObjectHandleInvalid".to_owned();
        assert_eq!(error, mayfly_keys::BinKeyError::Module(ModuleError::Failed { function, reason }));
    });
}

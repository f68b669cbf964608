//! The profile's reference values, `tests/vectors/mayfly-v1.json`, computed through the public interface.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

use mayfly_keys::{CardBase, Cvc2, KeyService, MacKey, RootKey, SecretKey, kdf, lp, with_share};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/mayfly-v1.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = text(value);
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn joined(parts: &[&Value]) -> Vec<u8> {
    parts.iter().flat_map(|part| lp(text(part).as_bytes()).unwrap()).collect()
}

fn root(vectors: &Value) -> [u8; 32] {
    bytes(&vectors["root_key"]).try_into().unwrap()
}

#[test]
fn cvc2() {
    let vectors = vectors();
    let root = root(&vectors);
    let vector = &vectors["cvc2"];
    let (bin, number) = (text(&vector["bin"]).as_bytes(), text(&vector["number"]).as_bytes());
    let expiry = text(&vector["expiry_mmyy"]).as_bytes().try_into().unwrap();
    let expected = text(&vector["cvc2"]).as_bytes();

    let key = KeyService::new(&RootKey::from_bytes(&root)).cvc2_key(bin).unwrap();
    assert_eq!(key.compute(number, expiry).expose(), expected);
    assert!(key.verify(number, expiry, &Cvc2::parse(expected).unwrap()));
    assert!(!key.verify(number, *b"0128", &Cvc2::parse(expected).unwrap()));

    let derived = kdf::<16>(&MacKey::aes256(&root), "cvc2", &lp(bin).unwrap());
    assert_eq!(derived.expose()[..], bytes(&vector["key"]));
}

#[test]
fn key_hierarchy() {
    let vectors = vectors();
    let (root, keys) = (root(&vectors), &vectors["keys"]);
    let (bin, pan) = (text(&vectors["special_bin"]).as_bytes(), text(&vectors["pan"]).as_bytes());

    let by_hand = MacKey::aes256(&root);
    let bin_key = kdf::<32>(&by_hand, "bin", &lp(bin).unwrap());
    assert_eq!(bin_key.expose()[..], bytes(&keys["bin_key"]));
    let akdk = kdf::<32>(&by_hand, "akdk", b"");
    assert_eq!(akdk.expose()[..], bytes(&keys["authentication_key_derivation_key"]));

    let service = KeyService::new(&RootKey::from_bytes(&root));
    let (akdk, bin_keys) = (service.authentication_key(), service.card_bin_keys(bin).unwrap());
    let base = CardBase::new(&akdk, &bin_keys);
    let without_pseudo = base.of_pan(pan);
    assert_eq!(without_pseudo.expose()[..], bytes(&keys["card_key_without_pseudo"]));
    let share = SecretKey::from_bytes(bytes(&keys["share"]).as_slice().try_into().unwrap());
    assert_eq!(with_share(&without_pseudo, &share).expose()[..], bytes(&keys["card_key_with_share"]));

    for card in keys["cards"].as_array().unwrap() {
        let pseudo = text(&card["pseudo"]).as_bytes();
        let key = match card["process"].as_u64().unwrap() {
            0 => base.of_number(pseudo),
            1 => base.of_number_and_bin(pseudo),
            2 => base.of_pan_and_number(pan, pseudo),
            other => panic!("process {other} has no derivation"),
        };
        assert_eq!(key.expose()[..], bytes(&card["key"]), "process {}", card["process"]);
    }
}

#[test]
fn cardholders_keys() {
    let vectors = vectors();
    let service = KeyService::new(&RootKey::from_bytes(&root(&vectors)));
    let vector = &vectors["one_time_numbers"];
    let cardholder = text(&vector["cardholder"]).as_bytes();
    let key = service.holder_keys().key(cardholder).unwrap();
    assert_eq!(key.expose()[..], bytes(&vector["cardholder_key"]));
    // The cardholder of all vectors.
    let key = service.morph_keys().key(cardholder).unwrap();
    assert_eq!(key.expose()[..], bytes(&vectors["morph"]["key"]));
}

#[test]
fn macs_and_their_reduction() {
    let vectors = vectors();
    let key = MacKey::new(&bytes(&vectors["keys"]["cards"][2]["key"])).unwrap();
    let number = &vectors["verification_mac"]["number"];

    for vector in vectors["pseudo_expiry"].as_array().unwrap() {
        let etsn = vector["etsn"].as_u64().unwrap();
        let mac = key.mac(&[b"MAC2\0", &joined(&[number]), &[1], &etsn.to_be_bytes()]);
        assert!(mac.verify(&bytes(&vector["mac"])));
        let months = vector["months"].as_u64().unwrap().try_into().unwrap();
        assert_eq!(mac.below(months), vector["offset"].as_u64().unwrap());
    }

    let vector = &vectors["verification_mac"];
    let (expiry, tsn) = (text(&vector["expiry_mmyy"]), vector["tsn"].as_u64().unwrap());
    let mac = key.mac(&[b"MAC1\0", &joined(&[number]), expiry.as_bytes(), &[1], &tsn.to_be_bytes()]);
    assert!(mac.verify(&bytes(&vector["mac"])));
}

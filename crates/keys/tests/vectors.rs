//! The profile's reference values, `tests/vectors/mayfly-v1.json`, computed through the public interface.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

use mayfly_keys::{Cvc2, KeyService, MacKey, RootKey, kdf, lp};
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

    let keys = KeyService::new(&RootKey::from_bytes(&root)).base_keys([bin]).unwrap();
    let key = keys.cvc2_key(bin).unwrap();
    assert_eq!(key.compute(number, expiry).expose(), expected);
    assert!(key.verify(number, expiry, &Cvc2::parse(expected).unwrap()));
    assert!(!key.verify(number, *b"0128", &Cvc2::parse(expected).unwrap()));

    let derived = kdf::<16>(&MacKey::aes256(&root), "cvc2", &lp(bin).unwrap());
    assert_eq!(derived.expose()[..], bytes(&vector["key"]));
}

#[test]
fn key_hierarchy() {
    let vectors = vectors();
    let (root, keys) = (MacKey::aes256(&root(&vectors)), &vectors["keys"]);
    let (bin, pan) = (&vectors["special_bin"], &vectors["pan"]);

    let bin_key = kdf::<32>(&root, "bin", &joined(&[bin]));
    assert_eq!(bin_key.expose()[..], bytes(&keys["bin_key"]));
    let akdk = kdf::<32>(&root, "akdk", b"");
    assert_eq!(akdk.expose()[..], bytes(&keys["authentication_key_derivation_key"]));

    let without_pseudo = kdf::<16>(&bin_key.to_mac_key(), "cardr", &joined(&[pan]));
    assert_eq!(without_pseudo.expose()[..], bytes(&keys["card_key_without_pseudo"]));
    let with_share = kdf::<16>(&without_pseudo.to_mac_key(), "share", &bytes(&keys["share"]));
    assert_eq!(with_share.expose()[..], bytes(&keys["card_key_with_share"]));

    let per_bin = kdf::<32>(&akdk.to_mac_key(), "akbin", &joined(&[bin]));
    for card in keys["cards"].as_array().unwrap() {
        let pseudo = &card["pseudo"];
        let key = match card["process"].as_u64().unwrap() {
            0 => kdf::<16>(&akdk.to_mac_key(), "card0", &joined(&[pseudo])),
            1 => kdf::<16>(&per_bin.to_mac_key(), "card1", &joined(&[pseudo])),
            _ => kdf::<16>(&bin_key.to_mac_key(), "card2", &joined(&[pan, pseudo])),
        };
        assert_eq!(key.expose()[..], bytes(&card["key"]), "process {}", card["process"]);
    }
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

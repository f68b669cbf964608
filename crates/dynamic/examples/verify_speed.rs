//! What a purchase in mode E costs the connection that brings it: `cargo run --release -p mayfly-dynamic --example verify_speed`
//!
//! For each number of open ETSNs: the card's key by each process, its schedule, and all candidates computed and compared.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use mayfly_card::{Expiry, MonthIndex, Pan};
use mayfly_dynamic::{
    AppVersion, Bin, CardKey, CardMacs, ControlDigit, Enrolment, Etsn, KeyMaterial, Months, Numbers,
    OPEN_MAX, OpenEtsn, PseudoPan, ReferenceData, SpecialBin,
};
use mayfly_keys::{CardKeyring, KeyService, KeyVersion, KeyVersions, RootKey};

const ROUNDS: u32 = 200_000;

fn main() {
    let bin = Bin::parse("541999").unwrap();
    let service = KeyService::new(&RootKey::from_bytes(&[7; 32]));
    let mut ring = CardKeyring::new(KeyVersions::first(service.check_value()));
    ring.load(KeyVersion::FIRST, &service, [&bin.digits()[..]]).unwrap();
    let numbers = Numbers::Pseudo(ControlDigit::ALL.into_iter().collect());
    let special = SpecialBin { bin, numbers };
    let pan = Pan::parse("5400001234567892").unwrap();
    let reference = ReferenceData::new(MonthIndex::new(2026, 1).unwrap(), Months::new(60).unwrap()).unwrap();
    let open: Vec<OpenEtsn> = (1..=OPEN_MAX as u64)
        .map(|etsn| OpenEtsn { etsn: Etsn(etsn), version: AppVersion(1), reference })
        .collect();
    let presented = Expiry::parse_mmyy("0328").unwrap();
    println!("nanoseconds for a purchase, by the number of open ETSNs");
    println!("process      0      1      2      3      4      5      6      7      8");
    for digit in [ControlDigit::OfNumber, ControlDigit::OfNumberAndBin, ControlDigit::OfPanAndNumber] {
        print!("{:7}", char::from(digit.digit()));
        let number = PseudoPan::new(bin, digit, 42).pan().clone();
        for count in 0..=OPEN_MAX {
            let begun = Instant::now();
            for _ in 0..ROUNDS {
                let number = special.recognise(black_box(&number)).unwrap();
                let enrolment = Enrolment {
                    pan: &pan,
                    digit: Some(digit),
                    version: KeyVersion::FIRST,
                    material: KeyMaterial::None,
                };
                let key = CardKey::of(&ring, &special, &number, &enrolment).unwrap();
                let macs = CardMacs::new(&key, number);
                black_box(macs.expiry_macs().find(open[..count].iter().copied(), black_box(presented)));
            }
            print!("{:7.0}", begun.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
        }
        println!();
    }
}

//! Cards of the check site on a data directory, each with an open ETSN: what their wallets would have asked for. The server
//! does not run meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mayfly_card::{Currency, Layout, MonthIndex, Pan, Prefix};
use mayfly_core::scheme::dynamic::{DynamicTerms, MARGIN_MS};
use mayfly_core::{
    AccountId, Answer, CardRef, Command, Controls, CreditLimit, EtsnOpened, IssuerId, Name, NumberRef,
    Operation, ProgrammeId, Scheme, Terms,
};
use mayfly_dynamic::{AppVersion, CardMacs, Etsn, Mode, OpenEtsn, ReferenceData, ReferencePolicy, Tsn};
use mayfly_engine::cards::{CardDesk, EnrolOrder};
use mayfly_engine::{Catalogue, Engine, Handle, NobodyAsked, Options, Parts, Progress, SystemClock};
use mayfly_keys::{CardKeys, KeyService, KeyVersion, OsRandom};
use mayfly_lab::Card;
use mayfly_store::directory::{By, Directory, DirectoryError, NewConversion};
use mayfly_store::{FoldOptions, Folder, OpenOptions, ViewsArchive};

use super::harness::Home;

const LIFETIME_MS: u64 = 12 * 3_600_000;
const BIN: &str = "456940";

/// What was prepared.
pub(crate) struct Prepared {
    pub(crate) account: AccountId,
    /// One for each purchase: the number and date that merchants get.
    pub(crate) cards: Vec<Card>,
}

/// The card that all of them stand for.
pub(crate) fn own() -> (Pan, MonthIndex) {
    (Pan::parse("4761739001010119").unwrap(), MonthIndex::of_unix_ms(now_ms()).plus(20).unwrap())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn done(handle: &Handle, operation: Operation) -> Answer {
    handle.ask_blocking(Command::Operate(Box::new(operation)))
}

/// An issuer, an account whose money its host has, and so many cards.
pub(crate) fn prepare(home: &Home, count: usize) -> Prepared {
    let root = mayfly_keys::file::read(&home.file("root.key")).unwrap();
    let service = Arc::new(KeyService::new(&root));
    let store = mayfly_store::Home::from(home.dir.as_path());
    let opened = mayfly_store::open(&store, &OpenOptions::default(), |_| ()).unwrap();
    let directory = Directory::open(&store, service.directory_keys()).unwrap();
    let by = By { actor: "operator", now_ms: now_ms() };
    let versions =
        directory.write::<_, DirectoryError>(by, |w| w.begin_key_versions(root.check_value())).unwrap();
    let services = BTreeMap::from([(KeyVersion::FIRST, service.clone())]);
    let keys = Arc::new(CardKeys::load(versions, &services, &[]).unwrap());
    let catalogue = Catalogue::new(service).with_cards(keys.clone()).among(opened.partitions.count());
    let catalogue = Arc::new(catalogue);
    let progress = Arc::new(Progress::default());
    let folder = Folder::start(&store, FoldOptions::default(), progress.clone(), |_| ()).unwrap();
    let archive = ViewsArchive::open(&store, progress.clone(), &folder).unwrap();
    let engine = Engine::start(Parts {
        partitions: opened.partitions,
        ends: opened.ends,
        journal: Box::new(opened.journal),
        archive: Arc::new(archive),
        catalogue: catalogue.clone(),
        asker: Arc::new(NobodyAsked),
        clock: Arc::new(SystemClock),
        progress,
        options: Options::default(),
    })
    .unwrap();
    let handle = engine.handle();
    let prefix = Prefix::parse(BIN).unwrap();
    catalogue.prepare(&prefix).unwrap();
    let (issuer, programme) = open(&handle, prefix, count);
    let open_account = Operation::OpenAccount {
        issuer,
        currency: Currency::parse_alphabetic("USD").unwrap(),
        limit: CreditLimit::IssuerHost,
    };
    let Answer::Account(account) = done(&handle, open_account) else { panic!("no account") };
    let desk = CardDesk::new(handle.clone(), catalogue.clone(), Box::new(OsRandom), Arc::new(SystemClock));
    let cards = (0..count).map(|_| {
        let (pan, expiry) = own();
        let order =
            EnrolOrder { account, programme, pan, expiry, digit: None, controls: Controls::default() };
        let drawn = desk.draw(&order).unwrap();
        let conversion = &drawn.conversion;
        let new = NewConversion { index: drawn.index, issuer, account, programme, conversion };
        let added = directory.write::<_, DirectoryError>(by, |w| w.add_conversion(&new, &mut OsRandom));
        assert_eq!(added, Ok(true));
        catalogue.cards().unwrap().add(drawn.index, conversion.clone());
        let Answer::Issued { number, .. } =
            handle.ask_blocking(Command::Issue(Box::new(drawn.command.clone())))
        else {
            panic!("no number")
        };
        let card = CardRef { number: NumberRef { id: number, index: drawn.index }, account };
        let (etsn, version) = (Etsn(2), AppVersion(1));
        let terms = DynamicTerms::standard();
        let policy = ReferencePolicy {
            months: terms.months,
            margin_ms: MARGIN_MS,
            furthest_months: terms.furthest_months,
        };
        let reference = ReferenceData::choose(now_ms(), LIFETIME_MS, &policy).unwrap();
        let open = EtsnOpened {
            card,
            tsn: Tsn(1),
            etsn,
            mode: Mode::Expiry,
            version,
            reference,
            expires_ms: now_ms() + LIFETIME_MS,
            cap: None,
            merchant: None,
        };
        let opened = handle.ask_blocking(Command::OpenEtsn { open: Box::new(open), last: Etsn(0) });
        assert_eq!(opened, Answer::Done);
        let bin = catalogue.programme(programme).unwrap().programme.terms.special_bin().unwrap();
        let key = conversion.key(&keys.ring().read().unwrap(), &bin).unwrap();
        let macs = CardMacs::new(&key, conversion.number.clone());
        let expiry = macs.expiry_macs().expiry(&OpenEtsn { etsn, version, reference }).expose();
        Card { pan: conversion.number.pan().clone(), expiry, cvc2: None }
    });
    let cards = cards.collect();
    engine.stop().unwrap();
    folder.stop().unwrap();
    Prepared { account, cards }
}

fn open(handle: &Handle, prefix: Prefix, count: usize) -> (IssuerId, ProgrammeId) {
    let name = |text| Name::parse(text).unwrap();
    let Answer::Issuer(issuer) = done(handle, Operation::OpenIssuer { name: name("Bank") }) else {
        panic!("no issuer")
    };
    let dynamic = DynamicTerms { cap_required: false, ..DynamicTerms::standard() };
    let terms = Terms {
        scheme: Scheme::Dynamic(Box::new(dynamic)),
        lifetime_max_ms: 3660 * 24 * 3_600_000,
        active_max: u32::try_from(count).unwrap().max(100),
        single_completion: false,
        ..Terms::standard(prefix, Layout::DEFAULT)
    };
    match done(handle, Operation::OpenProgramme { issuer, name: name("Cards"), terms }) {
        Answer::Programme(programme) => (issuer, programme),
        other => panic!("{other:?}"),
    }
}

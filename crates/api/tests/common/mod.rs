//! A server of the API on a real engine and a real store in a directory of its own, and a client that speaks raw HTTP.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests may unwrap, and none of them uses everything"
)]

pub mod wallet;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mayfly_api::{Api, ApiOptions, ApiParts, RunningApi};
use mayfly_card::{Country, Currency, Expiry, Layout, Mcc, MerchantId, MinorUnits, MonthIndex, Pan, Prefix};
use mayfly_core::{
    AccountId, Answer, Command, Controls, CreditLimit, Cvc2Check, Facts, Hash64, IssuerId, MessageKind, Name,
    NumberId, Presented, Processing, ProgrammeId, Request, ResponseCode, Terms, TransactionId,
};
use mayfly_engine::cards::{CardDesk, EnrolOrder};
use mayfly_engine::{
    Catalogue, Clock, Desk, Engine, Handle, Issued, Journal, ManualClock, NobodyAsked, Options, Parts,
    Progress, SystemClock,
};
use mayfly_identity::name::PersonName;
use mayfly_identity::password::PasswordHasher;
use mayfly_identity::token::{Token, TokenKind};
use mayfly_keys::{CardKeys, KeyService, KeyVersion, KeyVersions, OsRandom, RootKey, SecretKey};
use mayfly_notify::{Delivery, DeliveryOptions, DeliveryParts};
use mayfly_office::payments::{Asked, Gateway, PaymentNow, SentCard};
use mayfly_office::{
    CheckSiteAsked, NumberOrder, Office, Reception, ReceptionOptions, Views, standard_terms,
};
use mayfly_outbound::{Client, ClientOptions, TargetRules};
use mayfly_store::EventPlace;
use mayfly_store::directory::{
    By, CardholderId, Directory, DirectoryError, KeyId, MerchantEntryId, NewKey, NewMerchant, NewSession,
    NewTokens, NewWebhook, OrderReference, PaymentId, Role, WebhookId,
};
use mayfly_store::{
    Database, DatabaseOptions, DirectoryLock, FoldOptions, Folder, Home, OpenOptions, ViewsArchive,
};
use mayfly_testing::{Store, TestDatabase};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A server, with everything that it stands on.
pub struct Rig {
    pub runtime: Runtime,
    pub office: Arc<Office>,
    pub directory: Arc<Directory>,
    pub gateway: Arc<Gateway>,
    pub address: SocketAddr,
    catalogue: Arc<Catalogue>,
    handle: Handle,
    api: RunningApi,
    delivery: Delivery,
    engine: Engine,
    folder: Folder,
    _lock: Option<DirectoryLock>,
    service: Arc<KeyService>,
    pub data: TempDir,
    /// Where its data are.
    pub home: Home,
    count: AtomicU64,
    /// Dropped last: whoever used it is gone then.
    _database: Option<TestDatabase>,
}

/// A key and its text.
#[derive(Clone)]
pub struct Key {
    pub id: KeyId,
    pub secret: String,
}

/// Things of one issuer.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    pub issuer: IssuerId,
    pub programme: ProgrammeId,
    pub account: AccountId,
    pub number: NumberId,
    pub authorisation: TransactionId,
    pub key: KeyId,
    pub cardholder: CardholderId,
    pub merchant: MerchantEntryId,
    /// Authorised, captured, and declined: one that waits for another number. None if none were made.
    pub payments: [PaymentId; 3],
    pub webhook: WebhookId,
    /// A programme of cards, and one of them. None if none were made.
    pub cards: ProgrammeId,
    pub card: NumberId,
}

impl Side {
    /// Of nobody: ids that there never were.
    pub fn nowhere() -> Self {
        Self {
            issuer: IssuerId(900),
            programme: ProgrammeId(900),
            account: AccountId(90_000),
            number: NumberId(90_000),
            authorisation: TransactionId(90_000),
            key: KeyId(90_000),
            cardholder: CardholderId(90_000),
            merchant: MerchantEntryId(90_000),
            payments: [PaymentId([90; 16]); 3],
            webhook: WebhookId(90_000),
            cards: ProgrammeId(900),
            card: NumberId(90_000),
        }
    }
}

fn delivery(
    runtime: &Runtime,
    office: &Arc<Office>,
    directory: &Arc<Directory>,
    clock: &Arc<dyn Clock>,
) -> Delivery {
    let rules = TargetRules { plain_http: true, private_addresses: true };
    let client = Arc::new(Client::new(&ClientOptions { rules, ca_file: None }).unwrap());
    let (office, directory, clock) = (office.clone(), directory.clone(), clock.clone());
    let options = DeliveryOptions::default();
    runtime.block_on(async { Delivery::start(DeliveryParts { office, directory, client, clock, options }) })
}

fn reception(directory: &Arc<Directory>, clock: &Arc<dyn Clock>) -> Arc<Reception> {
    let hasher = PasswordHasher::new(SecretKey::generate(&mut OsRandom).unwrap());
    let options = ReceptionOptions::default();
    Arc::new(Reception::start(directory.clone(), hasher, clock.clone(), options).unwrap())
}

pub fn loopback() -> ApiOptions {
    ApiOptions::at("127.0.0.1:0".parse().unwrap())
}

/// A data directory, its database if there is one, and which of the two has the data.
fn place(store: Store) -> (TempDir, Option<TestDatabase>, Home) {
    let (data, database) = (tempfile::tempdir().unwrap(), store.database());
    let Some(made) = &database else {
        let home = data.path().into();
        return (data, None, home);
    };
    let limit = Duration::from_secs(30);
    let options = DatabaseOptions {
        url: &made.url(),
        password: None,
        ca_file: None,
        statement_time_max: limit,
        connect_time_max: limit,
    };
    let home = Home::Database(Arc::new(Database::new(&options).unwrap()));
    (data, database, home)
}

impl Rig {
    pub fn start() -> Self {
        Self::with(loopback())
    }

    pub fn start_on(store: Store) -> Self {
        Self::on(store, loopback(), Arc::new(SystemClock), |journal| journal)
    }

    pub fn with(options: ApiOptions) -> Self {
        Self::on(Store::Sqlite, options, Arc::new(SystemClock), |journal| journal)
    }

    /// With a clock of the test's own.
    pub fn at(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self::on(store, loopback(), clock, |journal| journal)
    }

    /// With a journal of the test's own before the real one.
    pub fn on(
        store: Store,
        options: ApiOptions,
        clock: Arc<dyn Clock>,
        journal: impl FnOnce(Box<dyn Journal>) -> Box<dyn Journal>,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let service = Arc::new(KeyService::new(&RootKey::generate(&mut OsRandom).unwrap()));
        Self::build(runtime, (place(store), service), options, clock, journal)
    }

    /// Stops everything, as a server does, and starts on what it has left.
    pub fn restart(self) -> Self {
        let Self { runtime, api, delivery, engine, folder, data, home, service, _lock, _database, .. } = self;
        runtime.block_on(api.stop());
        runtime.block_on(delivery.stop());
        drop(engine.stop());
        drop(folder.stop());
        drop((_lock, self.office, self.gateway, self.directory, self.handle));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self::build(runtime, ((data, _database, home), service), loopback(), clock, |journal| journal)
    }

    fn build(
        runtime: Runtime,
        ((data, _database, home), service): ((TempDir, Option<TestDatabase>, Home), Arc<KeyService>),
        options: ApiOptions,
        clock: Arc<dyn Clock>,
        journal: impl FnOnce(Box<dyn Journal>) -> Box<dyn Journal>,
    ) -> Self {
        let directory = Arc::new(Directory::open(&home, service.directory_keys()).unwrap());
        let opened = mayfly_store::open(&home, &OpenOptions::default(), |_| {}).unwrap();
        let versions = KeyVersions::first(service.check_value());
        let services = BTreeMap::from([(KeyVersion::FIRST, service.clone())]);
        let cards = Arc::new(CardKeys::load(versions, &services, &[]).unwrap());
        let catalogue = Catalogue::new(service.clone()).with_cards(cards).among(opened.partitions.count());
        for programme in opened.partitions.register().programmes() {
            catalogue.prepare(&programme.terms.prefix).unwrap();
        }
        let catalogue = Arc::new(catalogue);
        let by = By { actor: "test", now_ms: clock.now_ms() };
        mayfly_office::load_cards(&directory, catalogue.cards().unwrap(), &opened.partitions, by).unwrap();
        let progress = Arc::new(Progress::default());
        let fold = FoldOptions::default();
        let folder = Folder::start(&home, fold, progress.clone(), |_| {}).unwrap();
        let archive = ViewsArchive::open(&home, progress.clone(), &folder).unwrap();
        let engine = Engine::start(Parts {
            partitions: opened.partitions,
            ends: opened.ends,
            journal: journal(Box::new(opened.journal)),
            archive: Arc::new(archive),
            catalogue: catalogue.clone(),
            asker: Arc::new(NobodyAsked),
            clock: clock.clone(),
            progress,
            // A clock that jumps must not look like views that lag.
            options: Options { views_lag_max_ms: u64::MAX, ..Options::default() },
        })
        .unwrap();
        let handle = engine.handle();
        let views = Views::open(&home, handle.clone(), folder.waker()).unwrap();
        let random = Box::new(OsRandom);
        let desk = Desk::new(handle.clone(), catalogue.clone(), random, clock.clone(), directory.clone());
        let cards = CardDesk::new(handle.clone(), catalogue.clone(), Box::new(OsRandom), clock.clone());
        let office = Arc::new(Office::new(
            handle.clone(),
            (desk, cards),
            catalogue.clone(),
            views,
            directory.clone(),
            clock.clone(),
        ));
        let reception = reception(&directory, &clock);
        let gateway = Arc::new(Gateway::new(office.clone(), directory.clone()));
        let delivery = delivery(&runtime, &office, &directory, &clock);
        let notifier = delivery.notifier().clone();
        let parts = ApiParts {
            office: office.clone(),
            directory: directory.clone(),
            reception,
            notifier,
            asked: Arc::default(),
            clock,
        };
        let api = runtime.block_on(Api::start(options, parts)).unwrap();
        let (address, count) = (api.address(), AtomicU64::new(0));
        let _lock = opened.lock;
        Self {
            runtime,
            office,
            directory,
            gateway,
            address,
            catalogue,
            handle,
            api,
            delivery,
            engine,
            folder,
            _lock,
            service,
            data,
            home,
            count,
            _database,
        }
    }

    /// Why a second API with these options does not start.
    pub fn refused(&self, options: ApiOptions) -> String {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let parts = ApiParts {
            office: self.office.clone(),
            directory: self.directory.clone(),
            reception: reception(&self.directory, &clock),
            notifier: self.delivery.notifier().clone(),
            asked: Arc::default(),
            clock,
        };
        self.runtime.block_on(Api::start(options, parts)).unwrap_err().to_string()
    }

    /// Stops everything, and leaves the directory.
    pub fn stop(self) -> TempDir {
        self.runtime.block_on(self.api.stop());
        self.runtime.block_on(self.delivery.stop());
        drop(self.engine.stop());
        drop(self.folder.stop());
        self.data
    }

    pub fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::SeqCst)
    }

    /// A key for the API; a merchant's is for a merchant of his own.
    pub fn key(&self, role: Role, issuer: Option<IssuerId>) -> Key {
        let merchant = issuer.filter(|_| role == Role::Merchant).map(|issuer| self.merchant(issuer));
        self.key_for(role, issuer, merchant)
    }

    /// A key for one merchant's payments.
    pub fn merchant_key(&self, issuer: IssuerId, merchant: MerchantEntryId) -> Key {
        self.key_for(Role::Merchant, Some(issuer), Some(merchant))
    }

    fn key_for(&self, role: Role, issuer: Option<IssuerId>, merchant: Option<MerchantEntryId>) -> Key {
        let token = Token::draw(TokenKind::ApiKey, &mut OsRandom).unwrap();
        let label = Name::parse("test").unwrap();
        let (hint, hash) = (token.hint(), token.hash());
        let new = NewKey { role, issuer, merchant, label, hint, hash, expires_ms: None };
        let by = By { actor: "operator", now_ms: SystemClock.now_ms() };
        let key = self.directory.write::<_, DirectoryError>(by, |writing| writing.create_key(&new)).unwrap();
        Key { id: key.id, secret: token.expose().to_owned() }
    }

    /// A merchant of an issuer's.
    pub fn merchant(&self, issuer: IssuerId) -> MerchantEntryId {
        let new = NewMerchant {
            issuer,
            name: Name::parse("Bookshop").unwrap(),
            card_acceptor: MerchantId::parse(&format!("SHOP-{}", self.next())).unwrap(),
            mcc: Mcc::parse("5942").unwrap(),
            country: Country::parse("840").unwrap(),
        };
        let by = By { actor: "test", now_ms: SystemClock.now_ms() };
        let made =
            self.directory.write::<_, DirectoryError>(by, |writing| writing.create_merchant(&new)).unwrap();
        made.id
    }

    /// An operator's key.
    pub fn operator(&self) -> String {
        self.key(Role::Operator, None).secret
    }

    /// An issuer with one of everything.
    pub fn issuer(&self) -> Side {
        let name = format!("Issuer {}", self.next());
        let opened =
            self.runtime.block_on(self.office.open_issuer(Name::parse(&name).unwrap(), None)).unwrap();
        let prefix = Prefix::parse(&format!("4{:05}", self.next())).unwrap();
        let terms = Terms { sandbox: true, ..Terms::standard(prefix, Layout::DEFAULT) };
        let office = &self.office;
        let name = Name::parse("Shopping").unwrap();
        let programme =
            self.runtime.block_on(office.open_programme(opened.0, name, terms, None, None)).unwrap();
        self.more(opened.0, programme.0)
    }

    /// One more of everything of an issuer's.
    pub fn more(&self, issuer: IssuerId, programme: ProgrammeId) -> Side {
        let (office, usd) = (&self.office, Currency::parse_alphabetic("USD").unwrap());
        let account = office.open_account(issuer, usd, CreditLimit::Prepaid, None);
        let account = self.runtime.block_on(account).unwrap().0;
        self.runtime.block_on(office.fund(account, 10_000, None)).unwrap();
        let bought = self.order(account, programme);
        let authorisation = self.buy(&bought, 1_000);
        let number = self.order(account, programme).id;
        let key = self.key(Role::Auditor, Some(issuer)).id;
        let by = By { actor: "test", now_ms: SystemClock.now_ms() };
        let name = PersonName::parse("Ada Lovelace").unwrap();
        let entered: Result<_, DirectoryError> =
            self.directory.write(by, |writing| writing.create_cardholder(issuer, &name, &mut OsRandom));
        let cardholder = entered.unwrap().id;
        let merchant = self.merchant(issuer);
        let payments = Side::nowhere().payments;
        let webhook = self.webhook(issuer);
        Side {
            issuer,
            programme,
            account,
            number,
            authorisation,
            key,
            cardholder,
            merchant,
            payments,
            webhook,
            cards: Side::nowhere().cards,
            card: Side::nowhere().card,
        }
    }

    /// The same, with a card of the check site.
    pub fn with_cards(&self, side: Side) -> Side {
        let prefix = Prefix::parse(&format!("6{:05}", self.next())).unwrap();
        let dynamic = CheckSiteAsked::default().terms().unwrap();
        let terms = standard_terms(prefix, Layout::DEFAULT, Some(dynamic));
        let name = Name::parse(&format!("Cards {prefix}")).unwrap();
        let opened = self.office.open_programme(side.issuer, name, terms, None, None);
        let cards = self.runtime.block_on(opened).unwrap().0;
        let order = EnrolOrder {
            account: side.account,
            programme: cards,
            pan: self.own_number(),
            expiry: MonthIndex::of_unix_ms(SystemClock.now_ms()).plus(30).unwrap(),
            digit: None,
            controls: Controls::default(),
        };
        let card = self.office.enrol_card(order, "test".to_owned(), None);
        Side { cards, card: self.runtime.block_on(card).unwrap().id(), ..side }
    }

    /// As a start loads them: how many cards there are, and how many rows were nobody's.
    pub fn load_cards(&self) -> (usize, usize) {
        let (directory, catalogue) = (self.directory.clone(), self.catalogue.clone());
        let looked = self.handle.look(move |partitions| {
            let by = By { actor: "test", now_ms: SystemClock.now_ms() };
            let book = catalogue.cards().unwrap();
            mayfly_office::load_cards(&directory, book, partitions, by).unwrap()
        });
        self.runtime.block_on(looked.unwrap()).unwrap()
    }

    /// A card's own number that nobody has.
    pub fn own_number(&self) -> Pan {
        Pan::with_check_digit(format!("37000000{:07}", self.next())).unwrap()
    }

    /// A token of a cardholder who has logged in.
    pub fn session(&self, issuer: IssuerId, cardholder: CardholderId) -> String {
        let draw = |kind| Token::draw(kind, &mut OsRandom).unwrap();
        let (token, refresh) = (draw(TokenKind::Session), draw(TokenKind::Refresh));
        let now_ms = SystemClock.now_ms();
        let ends_ms = now_ms + 86_400_000;
        let tokens = NewTokens {
            hash: token.hash(),
            refresh: refresh.hash(),
            expires_ms: ends_ms,
            refresh_expires_ms: ends_ms,
        };
        let new = NewSession { issuer, cardholder, tokens, ends_ms };
        let by = By { actor: "test", now_ms };
        let opened: Result<_, DirectoryError> =
            self.directory.write(by, |writing| writing.create_session(&new));
        opened.unwrap().unwrap();
        token.expose().to_owned()
    }

    /// A webhook; of those that the issuer had before none is left, so that there is room.
    fn webhook(&self, issuer: IssuerId) -> WebhookId {
        let by = By { actor: "test", now_ms: SystemClock.now_ms() };
        let url = "http://127.0.0.1:9/nobody-listens-there";
        let (description, kinds, secret, place) = ("", &[][..], &[7; 32][..], EventPlace::FIRST);
        let new = NewWebhook { issuer, url, description, kinds, secret, place };
        let before = self.directory.webhooks(issuer).unwrap();
        let made: Result<_, DirectoryError> = self.directory.write(by, |writing| {
            for webhook in &before[..before.len().saturating_sub(4)] {
                writing.delete_webhook(issuer, webhook.id)?;
            }
            writing.create_webhook(&new, &mut OsRandom)
        });
        made.unwrap().id
    }

    pub fn order(&self, account: AccountId, programme: ProgrammeId) -> Issued {
        let controls = Controls::default();
        let order = NumberOrder { account, programme: Some(programme), uses: 1, lifetime_ms: None, controls };
        self.runtime.block_on(self.office.issue_number(order, None)).unwrap()
    }

    /// The same, with payments.
    pub fn with_payments(&self, side: Side) -> Side {
        let payments = [(false, true), (true, true), (false, false)].map(|(captures, is_right)| {
            let mut issued = self.order(side.account, side.programme);
            if !is_right {
                issued.expiry = Expiry::parse_mmyy("1299").unwrap();
            }
            self.pay((side.issuer, side.merchant), issued, captures).payment.id
        });
        Side { payments, ..side }
    }

    /// Has a merchant paid 10.00 USD with a number.
    pub fn pay(
        &self,
        (issuer, merchant): (IssuerId, MerchantEntryId),
        issued: Issued,
        captures: bool,
    ) -> PaymentNow {
        let merchant = self.directory.merchant(issuer, merchant).unwrap().unwrap();
        let asked = Asked { sender: "test".to_owned(), key: self.next().to_string(), content: [0; 32] };
        let order = mayfly_office::payments::Order {
            reference: OrderReference::parse("order 1").unwrap(),
            amount: MinorUnits::new(1_000).unwrap(),
            currency: Currency::parse_alphabetic("USD").unwrap(),
            captures,
            return_url: None,
            name: String::new(),
            address: String::new(),
            card: SentCard { pan: issued.pan, expiry: issued.expiry, cvc2: Some(issued.cvc2) },
        };
        self.runtime.block_on(self.gateway.order(merchant, order, asked)).unwrap()
    }

    /// Authorises a purchase: its amount is held.
    fn buy(&self, issued: &Issued, minor: u64) -> TransactionId {
        let number = Presented::Number {
            index: self.catalogue.index(&issued.pan),
            programme: self.catalogue.programme_of(&issued.pan),
            last_four: issued.pan.last_four(),
        };
        let answer = self.handle.ask(self.purchase(number, Some(issued.expiry), minor)).unwrap();
        match self.runtime.block_on(answer).unwrap() {
            Answer::Message(answer) => {
                assert_eq!(answer.response, ResponseCode::Approved);
                answer.transaction.unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Lets memory forget everything that is there now: three days go by.
    pub fn forget(&self, clock: &ManualClock) {
        let some = || {
            let purchase = || self.handle.ask(self.purchase(Presented::Invalid, None, 1)).unwrap();
            for answer in [(); 100].map(|()| purchase()) {
                self.runtime.block_on(answer).unwrap();
            }
        };
        // It forgets some thousands at a time, all of them old.
        (0..50).for_each(|_| some());
        clock.set(clock.now_ms() + 3 * 86_400_000);
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(10));
            clock.set(clock.now_ms() + 1000);
            some();
            let asked =
                self.handle.look(|partitions| partitions.first().transactions.has_forgotten()).unwrap();
            if self.runtime.block_on(asked).unwrap() {
                return;
            }
        }
        panic!("nothing is forgotten");
    }

    fn purchase(&self, number: Presented, expiry: Option<Expiry>, minor: u64) -> Command {
        let count = self.next();
        let request = Request {
            message: MessageKind::Authorisation,
            processing: Processing::Purchase,
            reference: Hash64((count + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            identity: Hash64((count + 1).wrapping_mul(0xd6e8_feb8_6659_fd93)),
            content: Hash64(7),
            original: None,
            number,
            expiry,
            cvc2: Cvc2Check::Absent,
            proof: mayfly_core::scheme::dynamic::Proof::NoKey,
            amount: MinorUnits::new(minor).unwrap(),
            replacement: None,
            currency: Currency::parse_alphabetic("USD").unwrap(),
            declined_elsewhere: false,
            repeat: false,
            facts: Facts { merchant: MerchantId::parse("M-001").unwrap(), ..Facts::default() },
            paged: None,
            partition: mayfly_core::PartitionId::FIRST,
        };
        Command::Message(Box::new(request))
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends bytes, and reads to the end of the connection.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // The server may have answered and closed before it took everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    pub fn get(&self, key: &str, path: &str) -> Reply {
        Call::get(path).key(key).send(self)
    }

    pub fn post(&self, key: &str, path: &str, body: &Value) -> Reply {
        Call::post(path, body).key(key).send(self)
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

static IDEMPOTENCY_KEYS: AtomicU64 = AtomicU64::new(0);

impl Call {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// With an idempotency key of its own.
    pub fn post(path: &str, body: &Value) -> Self {
        let key = format!("key-{}", IDEMPOTENCY_KEYS.fetch_add(1, Ordering::SeqCst));
        let mut call = Self::new("POST", path).header("Idempotency-Key", &key);
        call.body = body.to_string().into_bytes();
        call.header("Content-Type", "application/json")
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let Self { method, path, headers, body } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }

    pub fn send(&self, rig: &Rig) -> Reply {
        Reply::parse(&rig.raw(&self.bytes()))
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        Self { status, headers: lines.filter_map(header).collect(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of an answer that is as it should be.
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()
    }

    /// The code of a problem document, which is looked at closely.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status, "{self:?}");
        assert_eq!(document["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        let code = document["code"].as_str().unwrap().to_owned();
        assert_eq!(document["type"], format!("urn:mayfly:problem:{code}"));
        assert!(
            !document["title"].as_str().unwrap().is_empty()
                && !document["detail"].as_str().unwrap().is_empty()
        );
        code
    }

    /// Status and body without what differs from request to request.
    pub fn shape(&self) -> (u16, Value) {
        let mut document = self.json();
        document.as_object_mut().unwrap().remove("request_id");
        (self.status, document)
    }
}

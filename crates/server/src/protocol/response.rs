//! What is answered.

use std::fmt;

use mayfly_card::{
    AcquirerId, Channel, Country, Currency, Mcc, MerchantId, Pan, PosEntryMode, Rrn, Stan, TerminalId,
};
use mayfly_core::{AccountId, IssuerId, Kind, Name, NumberId, ProgrammeId, TransactionId};
use mayfly_store::directory::{KeyId, MerchantEntryId, Role};
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::Page;
use super::{AccountLimit, Card, NumberControls, NumberState, TermsAsked, Time};

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminResponse {
    /// An issuer.
    Issuer(Issuer),
    /// Issuers.
    Issuers(List<Issuer>),
    /// A programme.
    Programme(Programme),
    /// Programmes.
    Programmes(List<Programme>),
    /// An account.
    Account(Account),
    /// Accounts.
    Accounts(List<Account>),
    /// A number, whole, this once.
    Issued(Issued),
    /// A number, masked.
    Number(Number),
    /// Numbers, masked.
    Numbers(List<Number>),
    /// A card of the check site.
    Card(Card),
    /// Cards of the check site.
    Cards(List<Card>),
    /// A transaction.
    Transaction(Transaction),
    /// Transactions.
    Transactions(List<Transaction>),
    /// A key for the HTTP API, whole, this once.
    KeyGiven(KeyGiven),
    /// A key for the HTTP API.
    Key(ApiKey),
    /// Keys for the HTTP API.
    Keys(List<ApiKey>),
    /// All versions of the cards' keys.
    KeyVersions(List<KeyVersion>),
    /// What is kept, and what would be dropped.
    Retention(Retention),
    /// What was dropped since the start, and whether something is.
    RetentionRuns(RetentionRuns),
    /// How the server is.
    Status(Status),
}

/// A version of the cards' keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyVersion {
    /// Its number; 1 is the root key itself.
    pub version: u16,
    /// What it is good for.
    pub standing: KeyStanding,
    /// Its root key's check value.
    pub check_value: String,
    /// How many cards have it.
    pub cards: u64,
    /// Since when it has been there.
    pub created: Time,
    /// Since when it has counted no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Time>,
}

/// What a version of the cards' keys is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyStanding {
    /// New cards get it.
    Current,
    /// Cards that have it are still verified.
    Accepted,
    /// Whatever has it is refused.
    Retired,
}

/// What is kept, and what would be dropped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retention {
    /// Entries of before this time would be archived and dropped; none if the journal is kept for ever.
    pub journal_before: Option<Time>,
    /// What has been over since this time would be dropped from the views; none if they keep everything.
    pub views_before: Option<Time>,
    /// Where the archive's files are.
    pub archive_dir: String,
    /// The first entry that the journal has.
    pub first_entry: u64,
    /// Its time.
    pub oldest: Option<Time>,
    /// The last entry.
    pub last_entry: u64,
    /// How many entries would be archived and dropped.
    pub entries: u64,
    /// How many more would be, if nobody had to read them.
    pub held: u64,
    /// Who has to: `views`, or the id of a webhook.
    pub held_by: Option<String>,
    /// How many transactions of the views are old enough to be looked at.
    pub transactions: u64,
    /// Which of the runs does what was asked for, if something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
    /// What was dropped since the start, and whether something is.
    #[serde(flatten)]
    pub runs: RetentionRuns,
}

/// What was dropped since the start, and whether something is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RetentionRuns {
    /// Whether something is being dropped now.
    pub running: bool,
    /// How many runs came to their end since the start.
    pub runs: u64,
    /// What the last one did.
    pub last: Option<RetentionRun>,
}

/// What one run did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetentionRun {
    /// When it ended.
    pub at: Time,
    /// How many records it archived and dropped from the journal.
    pub records: u64,
    /// How many files it wrote.
    pub files: u64,
    /// How many bytes those have.
    pub bytes: u64,
    /// How many transactions it dropped from the views.
    pub transactions: u64,
    /// How many numbers it dropped from the views.
    pub numbers: u64,
    /// What went wrong.
    pub error: Option<String>,
}

/// A key for the HTTP API that was just made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyGiven {
    /// What is known of it.
    pub key: ApiKey,
    /// The key itself.
    pub token: Secret,
}

/// A key for the HTTP API, without what would let anybody use it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    #[serde(with = "crate::text")]
    pub id: KeyId,
    /// What its holder may do.
    pub role: Role,
    /// On whose things; none for an operator's key.
    #[serde(default, with = "crate::text::option")]
    pub issuer: Option<IssuerId>,
    /// For whose payments; none for a key that is not a merchant's own.
    #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
    pub merchant: Option<MerchantEntryId>,
    /// What people call it.
    #[serde(with = "crate::text")]
    pub label: Name,
    /// Its first characters.
    pub hint: String,
    /// When it was made.
    pub created: Time,
    /// From when on it is not valid any more, if it has an end.
    pub expires: Option<Time>,
    /// When it was revoked, if it was.
    pub revoked: Option<Time>,
    /// The key that came in its place, if one did.
    #[serde(default, with = "crate::text::option")]
    pub replaced_by: Option<KeyId>,
}

/// A part of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins, if there is more: [`Page::cursor`].
    #[serde(default)]
    pub next: Option<String>,
}

/// An amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// In minor units.
    pub minor: i64,
    /// In which currency.
    #[serde(with = "crate::text")]
    pub currency: Currency,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.currency.show(self.minor))
    }
}

/// An issuer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Issuer {
    /// Its id.
    #[serde(with = "crate::text")]
    pub id: IssuerId,
    /// What it is called.
    #[serde(with = "crate::text")]
    pub name: Name,
    /// How long its host's answer is waited for, in milliseconds.
    pub host_wait_ms: u32,
    /// Up to which amount we approve in its host's place, in minor units; 0 for none.
    pub stand_in_max_minor: u64,
}

/// A programme.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Programme {
    /// Its id.
    #[serde(with = "crate::text")]
    pub id: ProgrammeId,
    /// Whose it is.
    #[serde(with = "crate::text")]
    pub issuer: IssuerId,
    /// What it is called.
    #[serde(with = "crate::text")]
    pub name: Name,
    /// Its terms, every one of them.
    pub terms: TermsAsked,
    /// The universal number, masked, if it has one.
    #[serde(default)]
    pub universal: Option<String>,
}

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    #[serde(with = "crate::text")]
    pub id: AccountId,
    /// With which issuer.
    #[serde(with = "crate::text")]
    pub issuer: IssuerId,
    /// In which currency.
    #[serde(with = "crate::text")]
    pub currency: Currency,
    /// How it is funded.
    pub limit: AccountLimit,
    /// What the cardholder has, or owes if negative.
    pub balance: Amount,
    /// Set aside for what was authorised and not yet completed; not in the balance any more.
    pub held: Amount,
    /// What may be spent.
    pub available: Amount,
    /// The channels that are switched off.
    #[serde(with = "crate::text::list")]
    pub blocked_channels: Vec<Channel>,
    /// How many active numbers it has.
    pub active_numbers: u32,
}

/// A number as its cardholder gets it: the only time that it is seen whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Issued {
    /// Its id, for everything that comes later.
    #[serde(with = "crate::text")]
    pub id: NumberId,
    /// The number. `Display` masks it; [`Pan::as_str`] has it whole.
    #[serde(with = "crate::text")]
    pub number: Pan,
    /// Its expiration date, MMYY.
    pub expiry: Secret,
    /// Its CVC2.
    pub cvc2: Secret,
    /// When its lifetime is over.
    pub expires: Time,
}

/// A short text that is not shown by mistake: no readable `Debug`, wiped on drop.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to hand it to the cardholder.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A number as operators see it. Its printed date is part of the proof of a purchase, so it is not among this.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Number {
    /// Its id.
    #[serde(with = "crate::text")]
    pub id: NumberId,
    /// Whose purchases it makes.
    #[serde(with = "crate::text")]
    pub account: AccountId,
    /// By whose terms.
    #[serde(with = "crate::text")]
    pub programme: ProgrammeId,
    /// Prefix and last four digits.
    pub masked: String,
    /// What has become of it.
    pub state: NumberState,
    /// When it was issued.
    #[serde(default)]
    pub issued: Option<Time>,
    /// When its lifetime is over.
    pub expires: Time,
    /// When it left the active ones.
    #[serde(default)]
    pub retired: Option<Time>,
    /// How often it may still be used.
    pub uses_left: u32,
    /// What was bought with it.
    pub spent: Amount,
    /// The merchant that its first use bound it to.
    #[serde(default, with = "crate::text::option")]
    pub bound_to: Option<MerchantId>,
    /// What it may do.
    pub controls: NumberControls,
}

/// A message that was processed, or an operator's act that moved money.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transaction {
    /// Its id.
    #[serde(with = "crate::text")]
    pub id: TransactionId,
    /// When it was decided.
    pub time: Time,
    /// What kind it was.
    #[serde(with = "crate::text")]
    pub kind: Kind,
    /// Which message brought it: its MTI; empty for an operator's act.
    pub message: String,
    /// DE 39.
    pub response: String,
    /// Exactly why. Never sent.
    pub reason: String,
    /// DE 38, where one was given.
    #[serde(default)]
    pub approval: Option<String>,
    /// The number, if one was found.
    #[serde(default, with = "crate::text::option")]
    pub number: Option<NumberId>,
    /// The account, if one was found.
    #[serde(default, with = "crate::text::option")]
    pub account: Option<AccountId>,
    /// The purchase that it belongs to, unless it is one itself.
    #[serde(default, with = "crate::text::option")]
    pub target: Option<TransactionId>,
    /// DE 4 and DE 49.
    pub amount: Amount,
    /// What the message said of merchant and terminal; none for an operator's act.
    #[serde(default)]
    pub merchant: Option<MerchantFacts>,
    /// What stands of it now, if it is a purchase.
    #[serde(default)]
    pub standing: Option<Standing>,
    /// What it changed in the books, book by book; empty if nothing.
    pub entries: Vec<Entry>,
}

/// What a message said of where it came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MerchantFacts {
    /// DE 42.
    #[serde(with = "crate::text")]
    pub id: MerchantId,
    /// DE 18.
    #[serde(default, with = "crate::text::option")]
    pub mcc: Option<Mcc>,
    /// DE 19.
    #[serde(default, with = "crate::text::option")]
    pub country: Option<Country>,
    /// DE 41.
    #[serde(with = "crate::text")]
    pub terminal: TerminalId,
    /// DE 32.
    #[serde(with = "crate::text")]
    pub acquirer: AcquirerId,
    /// DE 11.
    #[serde(with = "crate::text")]
    pub stan: Stan,
    /// DE 37; empty where there was none.
    #[serde(with = "crate::text")]
    pub rrn: Rrn,
    /// DE 22.
    #[serde(with = "crate::text")]
    pub entry_mode: PosEntryMode,
}

/// What stands of a purchase, in minor units of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Authorised.
    pub authorised: i64,
    /// Still held.
    pub held: i64,
    /// Captured.
    pub captured: i64,
    /// Given back after capture.
    pub refunded: i64,
}

/// One entry of a movement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which book: cardholder, held, settlement, funding or suspense.
    pub book: String,
    /// By how much, in minor units of the transaction's currency.
    pub minor: i64,
}

/// How the server is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The software's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it was started.
    pub started: Time,
    /// For how long it has been running, in seconds.
    pub uptime_s: u64,
    /// Whether it takes work.
    pub ready: bool,
    /// Why not.
    #[serde(default)]
    pub reason: Option<String>,
    /// The last record that is on the disk.
    pub durable: u64,
    /// The last entry that is folded into the views.
    pub folded: u64,
    /// By how many entries the views lag.
    pub lag_entries: u64,
    /// By how much time they lag, in milliseconds.
    pub lag_ms: u64,
    /// How many commands wait.
    pub waiting: usize,
    /// What there is.
    pub counts: Counts,
    /// Where it listens.
    pub addresses: Addresses,
    /// The issuer hosts that it asks.
    #[serde(default)]
    pub issuer_hosts: Vec<IssuerHostStatus>,
}

/// How it is with an issuer's host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerHostStatus {
    /// Whose.
    #[serde(with = "crate::text")]
    pub issuer: IssuerId,
    /// How many connections are wanted.
    pub connections: usize,
    /// How many are signed on.
    pub in_service: usize,
    /// How many questions are under way.
    pub under_way: usize,
    /// How many reversals and other advices it has not acknowledged, as far as they are in memory.
    pub owed: usize,
    /// Since when it has not acknowledged the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed_since: Option<Time>,
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Issuers.
    pub issuers: u64,
    /// Programmes.
    pub programmes: u64,
    /// Accounts.
    pub accounts: u64,
    /// Numbers that can be used.
    pub active_numbers: u64,
    /// Numbers that must not be drawn yet.
    pub quarantined: u64,
    /// Transactions in memory.
    pub transactions_in_memory: u64,
    /// Transactions ever.
    pub transactions: u64,
    /// Entries appended since the start: one for each batch.
    pub entries: u64,
    /// Records in them: one for each partition that a batch changed.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Answers given since the start.
    pub answers: u64,
}

/// Where a server listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// ISO 8583, each listener in the order of the configuration.
    pub iso8583: Vec<Listening>,
    /// The admin pages: metrics and health.
    #[serde(default)]
    pub admin_http: Option<String>,
    /// The HTTP API, with its scheme.
    #[serde(default)]
    pub api: Option<String>,
    /// The admin socket.
    pub admin_socket: String,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Address and port.
    pub address: String,
    /// The dialect that is spoken there.
    pub dialect: String,
}

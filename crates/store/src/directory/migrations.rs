//! What earlier versions of the software wrote is used by this one.

use mayfly_card::{Country, Mcc, MerchantId};
use mayfly_core::{IssuerId, Name};
use mayfly_identity::name::PersonName;
use mayfly_identity::token::{Token, TokenKind};
use mayfly_keys::{CheckValue, DirectoryKeys, KeyService, KeyVersions, OsRandom, RootKey};
use mayfly_testing::TestDatabase;

use super::*;
use crate::EventPlace;
use crate::sqlite::Access as Opening;

const ACME: IssuerId = IssuerId(1);
const NOW_MS: u64 = 1_790_000_000_000;
const SECRET: &[u8] = b"a secret of thirty-two bytes!!!!";
const URL: &str = "https://shop.example/hook";

fn keys() -> DirectoryKeys {
    KeyService::new(&RootKey::from_bytes(&[7; 32])).directory_keys()
}

/// The form in an earlier version.
fn as_of(version: u32) -> Format {
    let count = FORMAT.steps.iter().take_while(|step| step.version <= version).count();
    Format { steps: &FORMAT.steps[..count], ..FORMAT }
}

/// What was there before.
struct Before {
    cardholder: Cardholder,
    key: Token,
    session: Token,
    audit: AuditHead,
}

/// Writes what the software of that version wrote, and deletes rows as it did. It drew ids otherwise, so those rows are
/// written here.
fn write_as_of(home: &Home, version: u32) -> Before {
    let (sql, keys) = (home.open(&as_of(version), Opening::Create, 1 << 20).unwrap(), keys());
    check_key(&sql, &keys).unwrap();
    let draw = |kind| Token::draw(kind, &mut OsRandom).unwrap();
    let (key, session) = (draw(TokenKind::ApiKey), draw(TokenKind::Session));
    let transaction = sql.begin(Access::Write).unwrap();
    let writing = Writing::new(&transaction, &keys, By { actor: "key_1", now_ms: NOW_MS });
    let name = PersonName::parse("Ada Lovelace").unwrap();
    let cardholder = writing.create_cardholder(ACME, &name, &mut OsRandom).unwrap();
    let new = NewInvitation {
        issuer: ACME,
        cardholder: cardholder.id,
        hash: draw(TokenKind::Invitation).hash(),
        expires_ms: NOW_MS + 1,
    };
    writing.create_invitation(&new).unwrap().unwrap();
    let detail = serde_json::json!({ "version": version });
    let audit = writing.audit(Entry { action: "a.b", subject: "c", issuer: None, detail }).unwrap();
    let add =
        "INSERT INTO keys (id, issuer, role, label, hint, hash, created_ms) VALUES (4, ?, ?, ?, ?, ?, ?)";
    let (hint, hash) = (key.hint(), key.hash());
    let values = values![ACME.0 as i64, "issuer", "till", hint, hash.as_bytes(), ms(NOW_MS)];
    sql.run(add, values).unwrap();
    let add = "INSERT INTO sessions
        (id, cardholder, issuer, hash, refresh, created_ms, expires_ms, refresh_expires_ms, ends_ms)
        VALUES (?, 1, 1, ?, ?, ?, ?, ?, ?)";
    for id in [7, 9] {
        let refresh = draw(TokenKind::Refresh).hash();
        let hash = if id == 7 { session.hash() } else { refresh };
        let (now_ms, end_ms) = (ms(NOW_MS), ms(NOW_MS + 10));
        let (hash, refresh) = (hash.as_bytes(), refresh.as_bytes());
        sql.run(add, values![id, hash, refresh, now_ms, end_ms, end_ms, end_ms]).unwrap();
    }
    sql.run("DELETE FROM sessions WHERE id = 9", &[]).unwrap();
    if version == 3 {
        sql.run("UPDATE ids SET last = 9 WHERE name = 'sessions'", &[]).unwrap();
        sql.run("UPDATE ids SET last = 5 WHERE name = 'webhooks'", &[]).unwrap();
    }
    if version >= 2 {
        sql.run("UPDATE keys SET merchant = NULL WHERE id = 4", &[]).unwrap();
        let add = "INSERT INTO webhooks (id, issuer, url, description, kinds, state, secret, place_sequence,
            place_index, created_ms) VALUES (?, 1, ?, '', '', 'active', ?, 5, 0, 0)";
        for id in [3, 5] {
            let url = sealed::Column("webhooks.url").seal(&keys, (ACME, id), URL.as_bytes(), &mut OsRandom);
            let secret = sealed::Column("webhooks.secret").seal(&keys, (ACME, id), SECRET, &mut OsRandom);
            sql.run(add, values![ms(id), url.unwrap(), secret.unwrap()]).unwrap();
        }
        sql.run("DELETE FROM webhooks WHERE id = 5", &[]).unwrap();
    }
    transaction.commit().unwrap();
    Before { cardholder, key, session, audit }
}

/// Everything is there as it was, and no id is given that was given before. PostgreSQL did not count before: what was
/// deleted there by an older version was never given by the software.
fn use_today(home: &Home, version: u32, before: &Before) {
    // Those that can be read as they are have none.
    assert!(version < FORMAT.reads_from || key_versions_of(home) == Ok(Vec::new()));
    let directory = Directory::open(home, keys()).unwrap();
    let counts_all = version >= 3 || matches!(home, Home::Files(_));
    assert_eq!(directory.verify_audit(), Ok(before.audit));
    let ada = before.cardholder.id;
    assert_eq!(directory.cardholder(ACME, ada).as_ref(), Ok(&Some(before.cardholder.clone())));
    assert_eq!(directory.find_key(&before.key.hash(), NOW_MS).unwrap().unwrap().id, KeyId(4));
    let session = directory.find_session(&before.session.hash(), NOW_MS).unwrap().unwrap();
    assert_eq!(session.id, SessionId(7));
    let draw = |kind| Token::draw(kind, &mut OsRandom).unwrap();
    let (hash, refresh) = (draw(TokenKind::Session).hash(), draw(TokenKind::Refresh).hash());
    let (expires_ms, ends_ms) = (NOW_MS + 10, NOW_MS + 10);
    let tokens = NewTokens { hash, refresh, expires_ms, refresh_expires_ms: expires_ms };
    let token = draw(TokenKind::ApiKey);
    let by = By { actor: "key_4", now_ms: NOW_MS };
    let made = directory.write(by, |w| {
        let merchant = w.create_merchant(&NewMerchant {
            issuer: ACME,
            name: Name::parse("Bookshop").unwrap(),
            card_acceptor: MerchantId::parse("SHOP-1").unwrap(),
            mcc: Mcc::parse("5942").unwrap(),
            country: Country::parse("840").unwrap(),
        })?;
        let key = w.create_key(&NewKey {
            role: Role::Merchant,
            issuer: Some(ACME),
            merchant: Some(merchant.id),
            label: Name::parse("till").unwrap(),
            hint: token.hint(),
            hash: token.hash(),
            expires_ms: None,
        })?;
        let session = w.create_session(&NewSession { issuer: ACME, cardholder: ada, tokens, ends_ms })?;
        let webhook = w.create_webhook(
            &NewWebhook {
                issuer: ACME,
                url: URL,
                description: "",
                kinds: &[],
                secret: SECRET,
                place: EventPlace::FIRST,
            },
            &mut OsRandom,
        )?;
        Ok::<_, DirectoryError>((merchant.id, key.id, session.unwrap().id, webhook.id))
    });
    let session = SessionId(if counts_all { 10 } else { 8 });
    let webhook = match (version, counts_all) {
        (1, _) => 1,
        (_, true) => 6,
        (_, false) => 4,
    };
    assert_eq!(made, Ok((MerchantEntryId(1), KeyId(5), session, WebhookId(webhook))));
    let urls = directory.webhooks(ACME).unwrap().into_iter().map(|webhook| webhook.url);
    assert_eq!(urls.collect::<Vec<_>>(), if version == 1 { vec![URL] } else { vec![URL, URL] });
    // The keys of cards begin with the version that there always was.
    assert_eq!(directory.key_versions(), Ok(Vec::new()));
    assert_eq!(directory.conversions_by_version(), Ok(Vec::new()));
    let check_value = CheckValue([1; 3]);
    let first = directory.write(by, |w| w.begin_key_versions(check_value));
    assert_eq!(first, Ok(KeyVersions::first(check_value)));
    directory.verify_audit().unwrap();
    // Those who knew less refuse what became of it.
    let newer = home.open(&as_of(version), Opening::Create, 1 << 20).map(|_| ());
    assert!(matches!(newer, Err(StoreError::Newer { .. })), "{newer:?}");
}

fn files(version: u32) {
    let files = tempfile::tempdir().unwrap();
    let home = Home::from(files.path());
    let before = write_as_of(&home, version);
    use_today(&home, version, &before);
}

fn database(version: u32) {
    let test = TestDatabase::create();
    let home = Home::Database(crate::sql::tests::database(&test.url()));
    let before = write_as_of(&home, version);
    use_today(&home, version, &before);
}

#[test]
fn files_of_the_first_version_are_used() {
    files(1);
}

#[test]
fn files_of_the_second_version_are_used() {
    files(2);
}

#[test]
fn files_of_the_third_version_are_used() {
    files(3);
}

#[test]
fn a_database_of_the_first_version_is_used() {
    database(1);
}

#[test]
fn a_database_of_the_second_version_is_used() {
    database(2);
}

#[test]
fn a_database_of_the_third_version_is_used() {
    database(3);
}

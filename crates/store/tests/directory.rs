//! What the directory promises.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;

use common::{Ground, on_both};
use mayfly_card::Pan;
use mayfly_core::{AccountId, IssuerId, Name};
use mayfly_identity::name::{LoginName, PersonName};
use mayfly_identity::password::{Cost, Password, PasswordHasher, PasswordRecord};
use mayfly_identity::throttle::{Throttle, ThrottlePolicy};
use mayfly_identity::token::{Token, TokenKind};
use mayfly_keys::{DirectoryKeys, KeyService, OsRandom, Random, RandomError, RootKey, SecretKey};
use mayfly_store::StoreError;
use mayfly_store::directory::*;
use serde_json::json;

on_both!(
    a_key_is_found_by_its_hash_and_listed_for_its_issuer,
    keys_are_listed_page_by_page,
    only_operators_keys_have_no_issuer,
    a_rotated_key_is_good_for_the_overlap,
    a_revoked_key_is_over_at_once,
    another_issuers_cardholder_is_as_good_as_not_there,
    an_account_belongs_to_one_cardholder,
    an_invitation_is_good_once,
    a_log_in_name_is_taken_once_and_the_invitation_stays_open,
    a_second_invitation_gives_another_password_and_ends_sessions,
    a_session_is_refreshed_until_its_end,
    a_refresh_token_that_was_used_before_ends_the_session,
    who_is_blocked_is_out,
    a_password_is_renewed_only_if_it_is_still_the_same,
    failures_are_counted_before_they_are_known,
    a_change_with_a_key_is_done_once_even_across_a_restart,
    what_counts_for_nothing_is_forgotten_in_bounded_steps,
    an_altered_audit_entry_is_found,
    nothing_stands_there_readably,
    a_newer_one_and_another_root_key_are_refused,
    what_was_moved_to_another_row_does_not_open,
    many_threads_read_and_write_at_once,
    what_is_taken_spoils_nothing_else,
    two_may_write_the_same,
);

const ACME: IssuerId = IssuerId(1);
const OTHER: IssuerId = IssuerId(2);
const NOW_MS: u64 = 1_790_000_000_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const LOGIN: &str = "ada.lovelace@example.com";
const PAN: &str = "4569409360110520";

/// Different bytes each time, the same in each run.
struct Counting(u64);

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        self.0 += 1;
        out.iter_mut().zip(0u64..).for_each(|(byte, at)| {
            let mixed = (self.0 << 8 | at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *byte = (mixed >> 56) as u8;
        });
        Ok(())
    }
}

struct World {
    directory: Directory,
    random: Counting,
    now_ms: u64,
}

fn keys(root: u8) -> DirectoryKeys {
    KeyService::new(&RootKey::from_bytes(&[root; 32])).directory_keys()
}

fn world(ground: &Ground) -> World {
    let directory = Directory::open(&ground.home, keys(7)).unwrap();
    World { directory, random: Counting(0), now_ms: NOW_MS }
}

impl World {
    fn write<T>(&self, work: impl FnOnce(&Writing<'_>) -> Result<T, DirectoryError>) -> T {
        self.try_write(work).unwrap()
    }

    fn try_write<T>(
        &self,
        work: impl FnOnce(&Writing<'_>) -> Result<T, DirectoryError>,
    ) -> Result<T, DirectoryError> {
        self.directory.write(By { actor: "key_1", now_ms: self.now_ms }, work)
    }

    fn token(&mut self, kind: TokenKind) -> Token {
        Token::draw(kind, &mut self.random).unwrap()
    }

    fn key(&mut self, role: Role, issuer: Option<IssuerId>) -> (Token, ApiKey) {
        let token = self.token(TokenKind::ApiKey);
        let new = NewKey {
            role,
            issuer,
            merchant: None,
            label: Name::parse("till").unwrap(),
            hint: token.hint(),
            hash: token.hash(),
            expires_ms: None,
        };
        let key = self.write(|w| w.create_key(&new));
        (token, key)
    }

    fn find_key(&self, token: &Token) -> Option<ApiKey> {
        self.directory.find_key(&token.hash(), self.now_ms).unwrap()
    }

    fn cardholder(&mut self, issuer: IssuerId) -> Cardholder {
        let mut random = Counting(1_000);
        let name = PersonName::parse("Ada Lovelace").unwrap();
        self.write(|w| w.create_cardholder(issuer, &name, &mut random))
    }

    fn invite(&mut self, cardholder: &Cardholder) -> Token {
        let token = self.token(TokenKind::Invitation);
        let new = NewInvitation {
            issuer: cardholder.issuer,
            cardholder: cardholder.id,
            hash: token.hash(),
            expires_ms: self.now_ms + DAY_MS,
        };
        self.write(|w| w.create_invitation(&new)).unwrap();
        token
    }

    fn redeem(&self, token: &Token, login: &str) -> Result<Redeemed, DirectoryError> {
        let (login, hash) = (LoginName::parse(login).unwrap(), token.hash());
        let record = record("correct horse");
        let redemption = Redemption { hash: &hash, login: &login, password: &record };
        self.try_write(|w| w.redeem_invitation(&redemption, &mut OsRandom))
    }

    /// A cardholder who can log in.
    fn registered(&mut self, issuer: IssuerId, login: &str) -> Cardholder {
        let cardholder = self.cardholder(issuer);
        let token = self.invite(&cardholder);
        match self.redeem(&token, login).unwrap() {
            Redeemed::Done(cardholder) => cardholder,
            Redeemed::NotOpen => panic!("the invitation is open"),
        }
    }

    /// The session's token, and the one that refreshes it.
    fn tokens(&mut self) -> (Token, Token, NewTokens) {
        let (session, refresh) = (self.token(TokenKind::Session), self.token(TokenKind::Refresh));
        let new = NewTokens {
            hash: session.hash(),
            refresh: refresh.hash(),
            expires_ms: self.now_ms + HOUR_MS,
            refresh_expires_ms: self.now_ms + DAY_MS,
        };
        (session, refresh, new)
    }

    fn session(&mut self, cardholder: &Cardholder) -> (Token, Token, Session) {
        let (session, refresh, tokens) = self.tokens();
        let (issuer, cardholder) = (cardholder.issuer, cardholder.id);
        let new = NewSession { issuer, cardholder, tokens, ends_ms: self.now_ms + 10 * DAY_MS };
        let opened = self.write(|w| w.create_session(&new)).unwrap();
        (session, refresh, opened)
    }

    fn refresh(&mut self, refresh: &Token) -> (Token, Token, Refreshed) {
        let (session, next, tokens) = self.tokens();
        let refreshed = self.write(|w| w.refresh_session(&refresh.hash(), &tokens));
        (session, next, refreshed)
    }

    fn lets_in(&self, session: &Token) -> bool {
        self.directory.find_session(&session.hash(), self.now_ms).unwrap().is_some()
    }

    fn actions(&self) -> Vec<String> {
        let entries = self.directory.audit(AuditScope::All, None, 1000).unwrap();
        entries.rows.into_iter().map(|entry| entry.action).collect()
    }
}

fn record(password: &str) -> PasswordRecord {
    let hasher = PasswordHasher::with_cost(SecretKey::from_bytes(&[1; 32]), Cost::new(64, 1, 1).unwrap());
    hasher.hash(&Password::choose(password).unwrap(), &mut Counting(0)).unwrap()
}

fn a_key_is_found_by_its_hash_and_listed_for_its_issuer(ground: Ground) {
    let mut world = world(&ground);
    let (token, key) = world.key(Role::Gateway, Some(ACME));
    let (_, operator) = world.key(Role::Operator, None);
    assert_eq!(world.find_key(&token), Some(key.clone()));
    assert_eq!(key.hint, token.hint());
    assert_eq!((key.created_ms, key.is_usable(NOW_MS)), (NOW_MS, true));
    let unknown = world.token(TokenKind::ApiKey);
    assert_eq!(world.find_key(&unknown), None);
    let listed = |issuer| world.directory.keys(issuer, None, 10).unwrap().rows;
    assert_eq!(listed(Some(ACME)), std::slice::from_ref(&key));
    assert_eq!(listed(None), [operator]);
    assert_eq!(listed(Some(OTHER)), []);
    assert_eq!(world.directory.key(Some(ACME), key.id).unwrap(), Some(key.clone()));
    for other in [Some(OTHER), None] {
        assert_eq!(world.directory.key(other, key.id).unwrap(), None);
    }
}

fn keys_are_listed_page_by_page(ground: Ground) {
    let mut world = world(&ground);
    let made: Vec<KeyId> = (0..5).map(|_| world.key(Role::Issuer, Some(ACME)).1.id).collect();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = world.directory.keys(Some(ACME), after, 2).unwrap();
        listed.extend(page.rows.iter().map(|key| key.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, made);
}

fn only_operators_keys_have_no_issuer(ground: Ground) {
    let mut world = world(&ground);
    let token = world.token(TokenKind::ApiKey);
    for role in Role::ALL {
        let issuer = (role == Role::Operator).then_some(ACME);
        let (hint, hash) = (token.hint(), token.hash());
        let label = Name::parse("till").unwrap();
        let new = NewKey { role, issuer, merchant: None, label, hint, hash, expires_ms: None };
        let refused = world.try_write(|w| w.create_key(&new));
        assert_eq!(refused, Err(DirectoryError::KeyIssuer { role }));
    }
    assert_eq!(world.actions(), Vec::<String>::new());
}

fn a_rotated_key_is_good_for_the_overlap(ground: Ground) {
    let mut world = world(&ground);
    let (old_token, old) = world.key(Role::Gateway, Some(ACME));
    let new_token = world.token(TokenKind::ApiKey);
    let secret = NewSecret::of(&new_token, None, HOUR_MS);
    // Another issuer's is as good as not there.
    assert_eq!(world.write(|w| w.rotate_key(Some(OTHER), old.id, &secret)), None);
    let new = world.write(|w| w.rotate_key(Some(ACME), old.id, &secret)).unwrap();
    assert_eq!((new.role, new.issuer, new.label), (old.role, old.issuer, old.label));
    assert_eq!(world.find_key(&new_token).map(|key| key.id), Some(new.id));
    let replaced = world.find_key(&old_token).unwrap();
    assert_eq!((replaced.replaced_by, replaced.expires_ms), (Some(new.id), Some(NOW_MS + HOUR_MS)));
    let again = NewSecret::of(&world.token(TokenKind::ApiKey), None, HOUR_MS);
    let refused = world.try_write(|w| w.rotate_key(Some(ACME), old.id, &again));
    assert_eq!(refused, Err(DirectoryError::KeyOver { key: old.id }));
    let refused = world.try_write(|w| w.rotate_key(Some(ACME), new.id, &secret));
    assert_eq!(refused, Err(DirectoryError::TokenTaken));

    world.now_ms += HOUR_MS - 1;
    assert!(world.find_key(&old_token).is_some());
    world.now_ms += 1;
    assert_eq!(world.find_key(&old_token), None);
    assert!(world.find_key(&new_token).is_some());
    assert_eq!(world.actions(), ["key.created", "key.rotated"]);
}

fn a_revoked_key_is_over_at_once(ground: Ground) {
    let mut world = world(&ground);
    let (token, key) = world.key(Role::Issuer, Some(ACME));
    assert_eq!(world.write(|w| w.revoke_key(Some(OTHER), key.id)), None);
    assert_eq!(world.write(|w| w.revoke_key(None, key.id)), None);
    assert!(world.find_key(&token).is_some());
    let revoked = world.write(|w| w.revoke_key(Some(ACME), key.id)).unwrap();
    assert_eq!(revoked.revoked_ms, Some(NOW_MS));
    assert_eq!(world.find_key(&token), None);
    world.now_ms += 5;
    assert_eq!(world.write(|w| w.revoke_key(Some(ACME), key.id)), Some(revoked));
    assert_eq!(world.actions(), ["key.created", "key.revoked"]);
}

fn another_issuers_cardholder_is_as_good_as_not_there(ground: Ground) {
    let mut world = world(&ground);
    let ada = world.registered(ACME, LOGIN);
    let (id, unknown) = (ada.id, CardholderId(99));
    let pan = Pan::parse(PAN).unwrap();
    world.write(|w| w.link_account(ACME, id, AccountId(1))).unwrap();
    let (session, _, opened) = world.session(&ada);

    let login = LoginName::parse(LOGIN).unwrap();
    assert_eq!(world.directory.login(ACME, &login).unwrap().unwrap().cardholder, ada);
    assert_eq!(world.directory.login(OTHER, &login).unwrap(), None);
    assert_eq!(world.directory.cardholder(ACME, id).unwrap(), Some(ada.clone()));
    assert_eq!(world.directory.cardholders(OTHER, None, 10).unwrap().rows, []);
    let before = world.actions();
    for (issuer, id) in [(OTHER, id), (ACME, unknown)] {
        assert_eq!(world.directory.cardholder(issuer, id).unwrap(), None);
        assert_eq!(world.directory.accounts_of(issuer, id).unwrap(), []);
        let blocked = CardholderStatus::Blocked;
        assert_eq!(world.write(|w| w.set_status(issuer, id, blocked)), None);
        assert!(!world.write(|w| w.set_password(issuer, id, &record("another horse"))));
        assert_eq!(world.write(|w| w.link_account(issuer, id, AccountId(2))), None);
        assert_eq!(world.write(|w| w.revoke_sessions(issuer, id)), 0);
        assert!(!world.write(|w| w.revoke_session(issuer, id, opened.id)));
        let (_, _, tokens) = world.tokens();
        let new = NewSession { issuer, cardholder: id, tokens, ends_ms: NOW_MS + DAY_MS };
        assert_eq!(world.write(|w| w.create_session(&new)), None);
        let hash = world.token(TokenKind::Invitation).hash();
        let new = NewInvitation { issuer, cardholder: id, hash, expires_ms: NOW_MS + DAY_MS };
        assert_eq!(world.write(|w| w.create_invitation(&new)), None);
    }
    assert_eq!(world.directory.linked_account(OTHER, AccountId(1)).unwrap(), None);
    assert_eq!(world.write(|w| w.set_funding_pan(OTHER, AccountId(1), &pan, &mut OsRandom)), None);
    assert_eq!(world.directory.funding_pan(OTHER, AccountId(1)).unwrap(), None);
    assert_eq!(world.actions(), before);
    assert!(world.lets_in(&session));

    // Both issuers may have a cardholder of this log-in name, and they are two.
    let other = world.registered(OTHER, LOGIN);
    assert_eq!(world.directory.login(OTHER, &login).unwrap().unwrap().cardholder, other);
    assert_ne!(other.id, id);
}

fn an_account_belongs_to_one_cardholder(ground: Ground) {
    let mut world = world(&ground);
    let (ada, bob, other) = (world.cardholder(ACME), world.cardholder(ACME), world.cardholder(OTHER));
    let account = AccountId(5);
    let linked = world.write(|w| w.link_account(ACME, ada.id, account)).unwrap();
    assert_eq!(world.write(|w| w.link_account(ACME, ada.id, account)), Some(linked.clone()));
    for (issuer, cardholder) in [(ACME, bob.id), (OTHER, other.id)] {
        let refused = world.try_write(|w| w.link_account(issuer, cardholder, account));
        assert_eq!(refused, Err(DirectoryError::AccountTaken { account }));
    }
    let pan = Pan::parse(PAN).unwrap();
    assert_eq!(world.directory.funding_pan(ACME, account).unwrap(), None);
    world.write(|w| w.set_funding_pan(ACME, account, &pan, &mut OsRandom)).unwrap();
    assert_eq!(world.directory.funding_pan(ACME, account).unwrap(), Some(pan));
    let masked = Some("456940******0520".to_owned());
    assert_eq!(
        world.directory.accounts_of(ACME, ada.id).unwrap(),
        [LinkedAccount { pan_masked: masked, ..linked }]
    );
    for more in 0..ACCOUNTS_MAX as u64 - 1 {
        world.write(|w| w.link_account(ACME, ada.id, AccountId(100 + more))).unwrap();
    }
    let refused = world.try_write(|w| w.link_account(ACME, ada.id, AccountId(99)));
    assert_eq!(refused, Err(DirectoryError::TooManyAccounts));
}

fn an_invitation_is_good_once(ground: Ground) {
    let mut world = world(&ground);
    let ada = world.cardholder(ACME);
    let voided = world.invite(&ada);
    let token = world.invite(&ada);
    assert!(world.directory.open_invitation(&token.hash(), NOW_MS).unwrap().is_some());
    assert_eq!(world.redeem(&voided, LOGIN), Ok(Redeemed::NotOpen));
    let unknown = world.token(TokenKind::Invitation);
    assert_eq!(world.redeem(&unknown, LOGIN), Ok(Redeemed::NotOpen));
    let Ok(Redeemed::Done(registered)) = world.redeem(&token, LOGIN) else { panic!("it is open") };
    assert_eq!(registered.login.unwrap().as_str(), LOGIN);
    assert_eq!(world.redeem(&token, LOGIN), Ok(Redeemed::NotOpen));
    assert_eq!(world.directory.open_invitation(&token.hash(), NOW_MS).unwrap(), None);
    let login = LoginName::parse(LOGIN).unwrap();
    let found = world.directory.login(ACME, &login).unwrap().unwrap();
    assert_eq!(found.password, Some(record("correct horse")));

    let late = world.invite(&ada);
    world.now_ms += DAY_MS;
    assert_eq!(world.redeem(&late, LOGIN), Ok(Redeemed::NotOpen));
}

fn a_log_in_name_is_taken_once_and_the_invitation_stays_open(ground: Ground) {
    let mut world = world(&ground);
    world.registered(ACME, LOGIN);
    let bob = world.cardholder(ACME);
    let token = world.invite(&bob);
    assert_eq!(world.redeem(&token, "Ada.Lovelace@Example.com"), Err(DirectoryError::LoginNameTaken));
    assert!(matches!(world.redeem(&token, "bob"), Ok(Redeemed::Done(_))));
}

fn a_second_invitation_gives_another_password_and_ends_sessions(ground: Ground) {
    let mut world = world(&ground);
    let ada = world.registered(ACME, LOGIN);
    let (session, refresh, _) = world.session(&ada);
    let token = world.invite(&ada);
    assert!(world.lets_in(&session));
    assert!(matches!(world.redeem(&token, "ada"), Ok(Redeemed::Done(_))));
    assert!(!world.lets_in(&session));
    assert_eq!(world.refresh(&refresh).2, Refreshed::NotOpen);
    let old_name = LoginName::parse(LOGIN).unwrap();
    assert_eq!(world.directory.login(ACME, &old_name).unwrap(), None);
}

fn a_session_is_refreshed_until_its_end(ground: Ground) {
    let mut world = world(&ground);
    let ada = world.registered(ACME, LOGIN);
    let (session, refresh, opened) = world.session(&ada);
    assert_eq!(world.directory.find_session(&session.hash(), NOW_MS).unwrap(), Some(opened));
    world.now_ms += HOUR_MS;
    assert!(!world.lets_in(&session));
    let (next, mut refresh, refreshed) = world.refresh(&refresh);
    let Refreshed::Done(after) = refreshed else { panic!("{refreshed:?}") };
    assert_eq!((after.id, after.created_ms), (opened.id, opened.created_ms));
    assert!(world.lets_in(&next) && !world.lets_in(&session));
    // However often it is refreshed, it ends.
    let mut last = next;
    while world.now_ms + DAY_MS / 2 < opened.ends_ms {
        world.now_ms += DAY_MS / 2;
        let (session, next, refreshed) = world.refresh(&refresh);
        assert!(
            matches!(refreshed, Refreshed::Done(session) if session.refresh_expires_ms <= opened.ends_ms)
        );
        (last, refresh) = (session, next);
    }
    world.now_ms = opened.ends_ms;
    assert!(!world.lets_in(&last));
    assert_eq!(world.refresh(&refresh).2, Refreshed::NotOpen);
}

fn a_refresh_token_that_was_used_before_ends_the_session(ground: Ground) {
    let mut world = world(&ground);
    let ada = world.registered(ACME, LOGIN);
    let (_, stolen, _) = world.session(&ada);
    let (elsewhere, _, _) = world.session(&ada);
    let (_, second, _) = world.refresh(&stolen);
    let (session, third, _) = world.refresh(&second);
    assert!(world.lets_in(&session));
    assert_eq!(world.refresh(&stolen).2, Refreshed::Reused);
    assert!(!world.lets_in(&session));
    assert_eq!(world.refresh(&third).2, Refreshed::NotOpen);
    assert_eq!(world.refresh(&stolen).2, Refreshed::Reused);
    assert!(world.lets_in(&elsewhere));
    let reused = world.actions().iter().filter(|action| *action == "session.token_reused").count();
    assert_eq!(reused, 1);
}

fn who_is_blocked_is_out(ground: Ground) {
    let mut world = world(&ground);
    let ada = world.registered(ACME, LOGIN);
    let (session, refresh, _) = world.session(&ada);
    let token = world.invite(&ada);
    let blocked = world.write(|w| w.set_status(ACME, ada.id, CardholderStatus::Blocked)).unwrap();
    assert_eq!(blocked.status, CardholderStatus::Blocked);
    assert!(!world.lets_in(&session));
    assert_eq!(world.refresh(&refresh).2, Refreshed::NotOpen);
    assert_eq!(world.redeem(&token, LOGIN), Ok(Redeemed::NotOpen));
    let (_, _, tokens) = world.tokens();
    let new = NewSession { issuer: ACME, cardholder: ada.id, tokens, ends_ms: NOW_MS + DAY_MS };
    assert_eq!(world.write(|w| w.create_session(&new)), None);
    // What he had does not come back.
    world.write(|w| w.set_status(ACME, ada.id, CardholderStatus::Active)).unwrap();
    assert!(!world.lets_in(&session));
    let (session, _, _) = world.session(&ada);
    assert!(world.lets_in(&session));
}

fn a_password_is_renewed_only_if_it_is_still_the_same(ground: Ground) {
    let mut world = world(&ground);
    let ada = world.registered(ACME, LOGIN);
    let (session, _, _) = world.session(&ada);
    let (checked, changed, renewed) =
        (record("correct horse"), record("another horse"), record("renewed horse"));
    assert!(world.write(|w| w.renew_password(ACME, ada.id, (&checked, &renewed))));
    assert!(world.lets_in(&session));
    assert!(world.write(|w| w.set_password(ACME, ada.id, &changed)));
    assert!(!world.lets_in(&session));
    assert!(!world.write(|w| w.renew_password(ACME, ada.id, (&renewed, &checked))));
    assert!(!world.write(|w| w.renew_password(OTHER, ada.id, (&changed, &checked))));
    let login = LoginName::parse(LOGIN).unwrap();
    assert_eq!(world.directory.login(ACME, &login).unwrap().unwrap().password, Some(changed));
}

fn failures_are_counted_before_they_are_known(ground: Ground) {
    let mut world = world(&ground);
    let key = world.directory.throttle_key(ThrottleScope::Name, &[b"ada"]);
    let policy = ThrottlePolicy::NAME;
    let scope = ThrottleScope::Name;
    for failures in 1..=6 {
        let counted = world.write(|w| w.attempt(scope, key, &policy));
        assert_eq!(counted, Attempt::Counted(Throttle { failures, last_failure_ms: NOW_MS }));
    }
    let wait = world.write(|w| w.attempt(scope, key, &policy));
    assert_eq!(wait, Attempt::Wait { retry_after_ms: 1000 });
    // Not an address's failures.
    let address = world.directory.throttle(ThrottleScope::Address, key).unwrap();
    assert_eq!(address, Throttle::CLEAR);
    world.now_ms += 1000;
    assert!(matches!(world.write(|w| w.attempt(scope, key, &policy)), Attempt::Counted(_)));
    world.write(|w| w.set_throttle(scope, key, Throttle::CLEAR));
    assert_eq!(world.directory.throttle(scope, key).unwrap(), Throttle::CLEAR);
}

fn a_change_with_a_key_is_done_once_even_across_a_restart(ground: Ground) {
    let mut first = world(&ground);
    let (token, key) = (first.token(TokenKind::ApiKey), OnceKey([1; 16]));
    let new = NewKey {
        role: Role::Issuer,
        issuer: Some(ACME),
        merchant: None,
        label: Name::parse("till").unwrap(),
        hint: token.hint(),
        hash: token.hash(),
        expires_ms: None,
    };
    let create = |w: &Writing<'_>| -> Result<Vec<u8>, DirectoryError> {
        w.create_key(&new).map(|key| key.id.to_string().into_bytes())
    };
    let by = |now_ms| By { actor: "key_1", now_ms };
    // What fails is not kept, and neither is what it did before it failed.
    let failed: Result<Once, DirectoryError> = first.directory.once(by(NOW_MS), (key, [1; 32]), |w| {
        create(w)?;
        Err(DirectoryError::TokenTaken)
    });
    assert_eq!(failed, Err(DirectoryError::TokenTaken));
    assert_eq!(first.actions(), Vec::<String>::new());
    let done = first.directory.once(by(NOW_MS), (key, [1; 32]), create).unwrap();
    assert_eq!(done, Once::Done(b"key_1".into()));
    drop(first);

    let second = world(&ground);
    let never = |_: &Writing<'_>| -> Result<Vec<u8>, DirectoryError> { panic!("done before") };
    let last_ms = NOW_MS + ONCE_KEPT_MS - 1;
    let repeated = second.directory.once(by(last_ms), (key, [1; 32]), never).unwrap();
    assert_eq!(repeated, Once::Repeated(b"key_1".into()));
    assert_eq!(second.directory.once(by(last_ms), (key, [2; 32]), never), Ok(Once::OtherContent));
    assert_eq!(second.directory.keys(Some(ACME), None, 10).unwrap().rows.len(), 1);
    // After a day nobody remembers.
    let forgotten =
        second.directory.once(by(last_ms + 1), (key, [2; 32]), |_| Ok::<_, DirectoryError>(b"anew".to_vec()));
    assert_eq!(forgotten, Ok(Once::Done(b"anew".to_vec())));
}

fn what_counts_for_nothing_is_forgotten_in_bounded_steps(ground: Ground) {
    let mut world = world(&ground);
    let ada = world.registered(ACME, LOGIN);
    for byte in 0..5 {
        let (_, refresh, _) = world.session(&ada);
        assert!(matches!(world.refresh(&refresh).2, Refreshed::Done(_)));
        world.write(|w| {
            w.set_throttle(
                ThrottleScope::Name,
                ThrottleKey([byte; 16]),
                Throttle { failures: 9, last_failure_ms: NOW_MS },
            )
        });
        let by = By { actor: "key_1", now_ms: NOW_MS };
        let _ =
            world.directory.once(by, (OnceKey([byte; 16]), [0; 32]), |_| Ok::<_, DirectoryError>(vec![byte]));
    }
    let purge = |world: &World| world.write(|w| w.purge(3, DAY_MS));
    assert_eq!(purge(&world), Purged::default());
    world.now_ms += DAY_MS;
    assert_eq!(purge(&world), Purged { sessions: 3, invitations: 1, throttles: 3, answers: 3, attempts: 0 });
    assert_eq!(purge(&world), Purged { sessions: 2, invitations: 0, throttles: 2, answers: 2, attempts: 0 });
    assert_eq!(purge(&world), Purged::default());
    let left = |table: &str| ground.raw("directory", &format!("SELECT count(*) FROM {table}"));
    for table in ["sessions", "used_refreshes", "invitations", "throttles", "answers"] {
        assert_eq!(left(table), 0, "{table}");
    }
    // A session's id does not come again.
    assert_eq!(world.session(&ada).2.id, SessionId(6));
}

fn an_altered_audit_entry_is_found(ground: Ground) {
    let mut world = world(&ground);
    assert_eq!(world.directory.verify_audit(), Ok(AuditHead::START));
    let (_, key) = world.key(Role::Issuer, Some(ACME));
    world.write(|w| w.revoke_key(Some(ACME), key.id));
    world.key(Role::Operator, None);
    world.cardholder(OTHER);
    let head = world.directory.verify_audit().unwrap();
    assert_eq!(head.sequence, 4);

    let entries = world.directory.audit(AuditScope::Of(Some(ACME)), None, 10).unwrap().rows;
    assert_eq!(
        entries.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(),
        ["key.created", "key.revoked"]
    );
    assert_eq!((entries[1].actor.as_str(), entries[1].subject.as_str()), ("key_1", "key_1"));
    assert_eq!(entries[0].detail["role"], json!("issuer"));
    let later = world.directory.audit(AuditScope::All, Some(2), 1).unwrap();
    assert_eq!((later.rows[0].sequence, later.next), (3, Some(3)));
    assert_eq!(world.directory.audit(AuditScope::Of(None), None, 10).unwrap().rows.len(), 1);

    for change in ["UPDATE audit SET actor = 'key_9'", "DELETE FROM audit"] {
        assert!(ground.refuses(change));
    }
    ground.unguard_audit();
    ground.run("CREATE TABLE kept AS SELECT * FROM audit");
    let altered = Err(DirectoryError::Audit { sequence: 2, why: AuditFault::Altered });
    for (column, value) in [
        ("actor", "'key_9'"),
        ("action", "'key.created'"),
        ("subject", "'key_2'"),
        ("issuer", "NULL"),
        ("detail", "'{\"a\":1}'"),
        ("detail", "'no JSON'"),
        ("at_ms", "1"),
        ("hash", "(SELECT hash FROM kept WHERE sequence = 3)"),
    ] {
        ground.run(&format!("UPDATE audit SET {column} = {value} WHERE sequence = 2"));
        assert_eq!(world.directory.verify_audit(), altered, "{column}");
        let kept = format!("(SELECT {column} FROM kept WHERE sequence = 2)");
        ground.run(&format!("UPDATE audit SET {column} = {kept} WHERE sequence = 2"));
        assert_eq!(world.directory.verify_audit(), Ok(head));
    }
    ground.run("DELETE FROM audit WHERE sequence = 2");
    let missing = Err(DirectoryError::Audit { sequence: 2, why: AuditFault::Missing });
    assert_eq!(world.directory.verify_audit(), missing);
}

fn nothing_stands_there_readably(ground: Ground) {
    let mut world = world(&ground);
    let mut secrets =
        vec!["Ada Lovelace".to_owned(), LOGIN.to_owned(), PAN.to_owned(), "correct horse".to_owned()];
    let (token, key) = world.key(Role::Issuer, Some(ACME));
    let rotated = world.token(TokenKind::ApiKey);
    world.write(|w| w.rotate_key(Some(ACME), key.id, &NewSecret::of(&rotated, None, HOUR_MS)));
    let ada = world.cardholder(ACME);
    let invitation = world.invite(&ada);
    assert!(matches!(world.redeem(&invitation, LOGIN), Ok(Redeemed::Done(_))));
    world.write(|w| w.link_account(ACME, ada.id, AccountId(1))).unwrap();
    let pan = Pan::parse(PAN).unwrap();
    world.write(|w| w.set_funding_pan(ACME, AccountId(1), &pan, &mut OsRandom)).unwrap();
    let (session, refresh, _) = world.session(&ada);
    let (next, next_refresh, _) = world.refresh(&refresh);
    let throttle = world.directory.throttle_key(ThrottleScope::Name, &[LOGIN.as_bytes()]);
    let _ = world.write(|w| w.attempt(ThrottleScope::Name, throttle, &ThrottlePolicy::NAME));
    for token in [token, rotated, invitation, session, refresh, next, next_refresh] {
        // The hint shows the first four characters behind the prefix.
        secrets.push(token.expose()[8..].to_owned());
    }

    let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_bytes()).collect();
    ground.assert_nowhere(&secrets);
    assert!(ground.modes().iter().all(|mode| *mode == 0o600), "{:?}", ground.modes());
    let shown = format!("{:?} {ada:?}", world.directory);
    assert!(!shown.contains("Lovelace"), "{shown}");
}

fn a_newer_one_and_another_root_key_are_refused(ground: Ground) {
    drop(world(&ground));
    let refused = |keys| Directory::open(&ground.home, keys).unwrap_err();
    let DirectoryError::OtherRootKey { location } = refused(keys(8)) else { panic!("it is another's") };
    ground.mark(0x4d59_4644, 1000);
    let newer = refused(keys(7));
    assert!(matches!(newer, DirectoryError::Store(StoreError::Newer { version: 1000, .. })), "{newer}");
    ground.mark(7, 1);
    assert_eq!(refused(keys(7)), DirectoryError::Store(StoreError::Foreign { location }));
}

fn what_was_moved_to_another_row_does_not_open(ground: Ground) {
    let mut world = world(&ground);
    let (ada, bob) = (world.cardholder(ACME), world.cardholder(ACME));
    let (from, to) = (ada.id.0, bob.id.0);
    ground.run(&format!(
        "UPDATE cardholders SET name = (SELECT name FROM cardholders WHERE id = {from}) WHERE id = {to}"
    ));
    assert!(world.directory.cardholder(ACME, ada.id).unwrap().is_some());
    let refused = world.directory.cardholder(ACME, bob.id);
    assert!(matches!(refused, Err(DirectoryError::Sealed { what: "cardholders.name", .. })), "{refused:?}");
}

fn many_threads_read_and_write_at_once(ground: Ground) {
    let mut world = world(&ground);
    let (token, _) = world.key(Role::Issuer, Some(ACME));
    let world = &world;
    let ids: HashSet<CardholderId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    assert!(world.find_key(&token).is_some());
                    let name = PersonName::parse("Ada").unwrap();
                    world.write(|w| w.create_cardholder(ACME, &name, &mut OsRandom)).id
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 20);
    assert_eq!(world.directory.verify_audit().unwrap().sequence, 21);
}

/// Whatever else is done in the same transaction is done.
fn what_is_taken_spoils_nothing_else(ground: Ground) {
    let mut world = world(&ground);
    let (token, _) = world.key(Role::Issuer, Some(ACME));
    let (first, second) = (world.cardholder(ACME), world.cardholder(ACME));
    let invitation = world.invite(&second);
    let theirs = world.invite(&first);
    assert!(matches!(world.redeem(&theirs, LOGIN), Ok(Redeemed::Done(_))));
    let new = NewKey {
        role: Role::Issuer,
        issuer: Some(ACME),
        merchant: None,
        label: Name::parse("till").unwrap(),
        hint: token.hint(),
        hash: token.hash(),
        expires_ms: None,
    };
    let (login, hash, record) = (LoginName::parse(LOGIN).unwrap(), invitation.hash(), record("a good one"));
    let taken = Redemption { hash: &hash, login: &login, password: &record };
    let next = world.token(TokenKind::ApiKey);
    let made = world.write(|w| {
        assert_eq!(w.create_key(&new), Err(DirectoryError::TokenTaken));
        assert_eq!(w.redeem_invitation(&taken, &mut OsRandom), Err(DirectoryError::LoginNameTaken));
        w.create_key(&NewKey { hash: next.hash(), ..new.clone() })
    });
    assert_eq!(world.find_key(&next), Some(made));
    assert!(world.directory.open_invitation(&hash, NOW_MS).unwrap().is_some());
    world.directory.verify_audit().unwrap();
}

/// Two that have the same directory open take turns: no id is given twice, and the audit stream is one.
fn two_may_write_the_same(ground: Ground) {
    let worlds = [world(&ground), world(&ground)];
    let ids: HashSet<CardholderId> = std::thread::scope(|scope| {
        let threads: Vec<_> = worlds
            .iter()
            .map(|world| {
                scope.spawn(|| {
                    let name = PersonName::parse("Ada").unwrap();
                    let make = || world.write(|w| w.create_cardholder(ACME, &name, &mut OsRandom)).id;
                    (0..20).map(|_| make()).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 40);
    assert_eq!(worlds[0].directory.verify_audit().unwrap().sequence, 40);
}

/// Who reads does not notice that a connection broke, nor who has not begun to write; whoever was about to write hears it.
#[test]
fn a_lost_connection_loses_nothing() {
    let ground = Ground::postgres();
    let mut world = world(&ground);
    let (token, key) = world.key(Role::Issuer, Some(ACME));
    let at_once = |_| world.find_key(&token);
    ground.break_connections();
    assert_eq!(at_once(()), Some(key.clone()));
    ground.break_connections();
    let by = By { actor: "key_1", now_ms: NOW_MS };
    let once = (OnceKey([1; 16]), [1; 32]);
    let revoke = |w: &Writing<'_>| w.revoke_key(Some(ACME), key.id).map(|_| b"done".to_vec());
    let lost = world.directory.once(by, once, |w| {
        revoke(w)?;
        ground.break_connections();
        Ok::<_, DirectoryError>(b"done".to_vec())
    });
    assert!(matches!(lost, Err(DirectoryError::Store(StoreError::Lost { .. }))), "{lost:?}");
    assert_eq!(at_once(()), Some(key.clone()));
    assert_eq!(world.directory.once(by, once, revoke), Ok(Once::Done(b"done".to_vec())));
    assert_eq!(at_once(()), None);
    world.directory.verify_audit().unwrap();
}

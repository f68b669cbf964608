//! What the directory promises of webhooks and of where issuers are asked.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ground, on_both};
use mayfly_core::IssuerId;
use mayfly_keys::{DirectoryKeys, KeyService, OsRandom, RootKey};
use mayfly_store::EventPlace;
use mayfly_store::directory::*;

on_both!(
    a_webhook_is_its_issuers_and_comes_back_as_it_was_made,
    an_issuer_has_so_many_and_no_id_comes_twice,
    a_place_that_the_issuer_set_is_not_overwritten_by_who_delivers,
    the_old_secret_signs_for_the_overlap,
    changes_are_counted_and_only_active_ones_are_told,
    the_latest_attempts_are_kept_and_old_ones_forgotten,
    where_an_issuer_is_asked_is_read_once_and_again_after_a_change,
    nothing_stands_there_readably,
);

const ACME: IssuerId = IssuerId(1);
const OTHER: IssuerId = IssuerId(2);
const NOW_MS: u64 = 1_790_000_000_000;
const URL: &str = "https://shop.example/hook?token=url-that-is-secret";
const SECRET: [u8; 32] = *b"a secret of thirty-two bytes!!!!";
const NEXT_SECRET: [u8; 32] = *b"the secret that comes after it!!";

fn keys() -> DirectoryKeys {
    KeyService::new(&RootKey::from_bytes(&[7; 32])).directory_keys()
}

fn open(ground: &Ground) -> Directory {
    Directory::open(&ground.home, keys()).unwrap()
}

fn write<T>(directory: &Directory, work: impl FnOnce(&Writing<'_>) -> Result<T, DirectoryError>) -> T {
    try_write(directory, NOW_MS, work).unwrap()
}

fn try_write<T>(
    directory: &Directory,
    now_ms: u64,
    work: impl FnOnce(&Writing<'_>) -> Result<T, DirectoryError>,
) -> Result<T, DirectoryError> {
    directory.write(By { actor: "key_1", now_ms }, work)
}

fn place(sequence: u64) -> EventPlace {
    EventPlace { sequence, index: 2 }
}

fn new<'a>(issuer: IssuerId, kinds: &'a [String]) -> NewWebhook<'a> {
    NewWebhook { issuer, url: URL, description: "shop", kinds, secret: &SECRET, place: place(5) }
}

fn make(directory: &Directory, issuer: IssuerId) -> Webhook {
    write(directory, |w| w.create_webhook(&new(issuer, &[]), &mut OsRandom))
}

fn progress(webhook: &Webhook, sequence: u64) -> WebhookProgress {
    WebhookProgress {
        webhook: webhook.id,
        place_version: webhook.place_version,
        place: place(sequence),
        failures: 3,
        failing_since_ms: Some(NOW_MS),
        last_error: Some("no".to_owned()),
        delivered_ms: None,
    }
}

fn a_webhook_is_its_issuers_and_comes_back_as_it_was_made(ground: Ground) {
    let directory = open(&ground);
    let kinds = ["transacted".to_owned(), "number_issued".to_owned()];
    let made = write(&directory, |w| w.create_webhook(&new(ACME, &kinds), &mut OsRandom));
    assert_eq!(
        (made.url.as_str(), made.description.as_str(), made.kinds.as_slice()),
        (URL, "shop", &kinds[..])
    );
    assert_eq!((made.state, made.place), (WebhookState::Active, place(5)));
    drop(directory);
    let directory = open(&ground);
    assert_eq!(directory.webhook(ACME, made.id).unwrap().as_ref(), Some(&made));
    assert_eq!(directory.webhooks(ACME).unwrap().as_slice(), std::slice::from_ref(&made));
    let order = directory.webhook_order(made.id, NOW_MS).unwrap().unwrap();
    assert_eq!((order.secret.expose(), order.previous.is_none()), (&SECRET[..], true));
    // Another issuer's is as good as not there.
    assert_eq!(directory.webhook(OTHER, made.id).unwrap(), None);
    assert!(directory.webhooks(OTHER).unwrap().is_empty());
    let change = WebhookChange::default();
    assert_eq!(write(&directory, |w| w.change_webhook(OTHER, made.id, &change, &mut OsRandom)), None);
    assert_eq!(write(&directory, |w| w.set_webhook_place(OTHER, made.id, place(1))), None);
    let secret = (&NEXT_SECRET[..], 1000);
    assert_eq!(write(&directory, |w| w.rotate_webhook_secret(OTHER, made.id, secret, &mut OsRandom)), None);
    assert!(!write(&directory, |w| w.delete_webhook(OTHER, made.id)));
    assert_eq!(directory.webhook(ACME, made.id).unwrap(), Some(made));
}

fn an_issuer_has_so_many_and_no_id_comes_twice(ground: Ground) {
    let directory = open(&ground);
    let made: Vec<Webhook> = (0..WEBHOOKS_MAX).map(|_| make(&directory, ACME)).collect();
    let more = try_write(&directory, NOW_MS, |w| w.create_webhook(&new(ACME, &[]), &mut OsRandom));
    assert_eq!(more, Err(DirectoryError::TooManyWebhooks));
    make(&directory, OTHER);
    assert!(write(&directory, |w| w.delete_webhook(ACME, made[15].id)));
    assert!(!write(&directory, |w| w.delete_webhook(ACME, made[15].id)));
    assert_eq!(make(&directory, ACME).id, WebhookId(WEBHOOKS_MAX as u64 + 2));
}

fn a_place_that_the_issuer_set_is_not_overwritten_by_who_delivers(ground: Ground) {
    let directory = open(&ground);
    let made = make(&directory, ACME);
    write(&directory, |w| w.note_webhooks(&[progress(&made, 9)]));
    let noted = directory.webhook(ACME, made.id).unwrap().unwrap();
    assert_eq!((noted.place, noted.failures, noted.last_error.as_deref()), (place(9), 3, Some("no")));
    assert_eq!(noted.version, made.version, "who delivers is not told of what he said himself");
    let set = write(&directory, |w| w.set_webhook_place(ACME, made.id, place(2))).unwrap();
    assert_eq!((set.place, set.failures, set.last_error.as_deref()), (place(2), 0, None));
    write(&directory, |w| w.note_webhooks(&[progress(&made, 10)]));
    assert_eq!(directory.webhook(ACME, made.id).unwrap().unwrap().place, place(2));
    write(&directory, |w| w.note_webhooks(&[progress(&set, 10)]));
    assert_eq!(directory.webhook(ACME, made.id).unwrap().unwrap().place, place(10));
}

fn the_old_secret_signs_for_the_overlap(ground: Ground) {
    let directory = open(&ground);
    let made = make(&directory, ACME);
    let secret = (&NEXT_SECRET[..], 1000);
    write(&directory, |w| w.rotate_webhook_secret(ACME, made.id, secret, &mut OsRandom)).unwrap();
    let order = |now_ms| directory.webhook_order(made.id, now_ms).unwrap().unwrap();
    assert_eq!(order(NOW_MS + 999).secret.expose(), NEXT_SECRET);
    assert_eq!(order(NOW_MS + 999).previous.unwrap().expose(), SECRET);
    assert!(order(NOW_MS + 1000).previous.is_none());
    let at_once = (&SECRET[..], 0);
    write(&directory, |w| w.rotate_webhook_secret(ACME, made.id, at_once, &mut OsRandom)).unwrap();
    assert!(order(NOW_MS).previous.is_none());
}

fn changes_are_counted_and_only_active_ones_are_told(ground: Ground) {
    let directory = open(&ground);
    let made = make(&directory, ACME);
    let (changes, active) = (directory.webhook_changes(), directory.active_webhooks().unwrap());
    assert_eq!(active, [(made.id, 1)]);
    write(&directory, |w| w.note_webhooks(&[progress(&made, 9)]));
    assert_eq!(directory.webhook_changes(), changes);
    // One that was changed meanwhile is not paused for what its receiver said before.
    write(&directory, |w| w.pause_gone_webhook(&Webhook { version: 7, ..made.clone() }, "gone"));
    assert_eq!(directory.active_webhooks().unwrap(), active);
    write(&directory, |w| w.pause_gone_webhook(&made, "gone"));
    assert!(directory.active_webhooks().unwrap().is_empty());
    assert!(directory.webhook_changes() > changes);
    let change = WebhookChange { state: Some(WebhookState::Active), ..WebhookChange::default() };
    let active = write(&directory, |w| w.change_webhook(ACME, made.id, &change, &mut OsRandom)).unwrap();
    assert_eq!((active.last_error, active.failures), (None, 0));
    assert_eq!(directory.active_webhooks().unwrap(), [(made.id, 3)]);
    // What was not done is no change.
    let changes = directory.webhook_changes();
    try_write(&directory, NOW_MS, |w| {
        w.delete_webhook(ACME, made.id)?;
        Err::<(), _>(DirectoryError::TokenTaken)
    })
    .unwrap_err();
    assert_eq!(directory.webhook_changes(), changes);
}

fn attempt(event: u64, at_ms: u64) -> WebhookAttempt {
    let error = Some("answered 500, not 2xx".to_owned());
    WebhookAttempt { at_ms, event: place(event), attempt: 1, status: Some(500), error, took_ms: 4 }
}

fn the_latest_attempts_are_kept_and_old_ones_forgotten(ground: Ground) {
    let directory = open(&ground);
    let (ours, theirs) = (make(&directory, ACME), make(&directory, OTHER));
    let list = |issuer, webhook: &Webhook, from, limit| {
        directory.webhook_attempts(issuer, webhook.id, from, limit).unwrap()
    };
    for begin in (0..1200).step_by(300) {
        let made: Vec<_> = (begin..begin + 300).map(|event| attempt(event + 1, NOW_MS)).collect();
        write(&directory, |w| w.keep_webhook_attempts(ours.id, &made));
        write(&directory, |w| w.keep_webhook_attempts(theirs.id, &made[..1]));
    }
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let page = list(ACME, &ours, from, 150);
        all.extend(page.rows.into_iter().map(|(_, attempt)| attempt));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (201..=1200).rev().map(|event| attempt(event, NOW_MS)).collect();
    assert_eq!(all, expected);
    assert_eq!(list(OTHER, &theirs, None, 150).rows.len(), 4);
    assert!(list(OTHER, &ours, None, 150).rows.is_empty());
    // Thirty days later they are gone, in steps.
    let later_ms = NOW_MS + ATTEMPTS_KEPT_MS;
    let purge = || try_write(&directory, later_ms, |w| w.purge(600, 0)).unwrap().attempts;
    assert_eq!((purge(), purge(), purge()), (600, 404, 0));
    // Of a webhook that was deleted nothing is kept.
    write(&directory, |w| w.delete_webhook(ACME, ours.id));
    write(&directory, |w| w.keep_webhook_attempts(ours.id, &[attempt(1, NOW_MS)]));
    assert!(list(ACME, &ours, None, 10).rows.is_empty());
}

fn where_an_issuer_is_asked_is_read_once_and_again_after_a_change(ground: Ground) {
    let directory = open(&ground);
    let asked = |issuer| {
        let found = directory.decision_endpoint(issuer).unwrap();
        found.map(|endpoint| (endpoint.url.clone(), endpoint.secret.expose().to_vec()))
    };
    let set = |url: &str, secret: Option<&[u8]>| {
        write(&directory, |w| w.set_decision_endpoint(ACME, url, secret, &mut OsRandom)).is_some()
    };
    assert_eq!(asked(ACME), None);
    assert!(!set(URL, None), "there is no secret to keep");
    assert!(set(URL, Some(&SECRET)));
    assert_eq!(asked(ACME), Some((URL.to_owned(), SECRET.to_vec())));
    assert_eq!(asked(OTHER), None);
    assert!(set("https://shop.example/other", None));
    assert_eq!(asked(ACME), Some(("https://shop.example/other".to_owned(), SECRET.to_vec())));
    assert!(set(URL, Some(&NEXT_SECRET)));
    assert_eq!(asked(ACME), Some((URL.to_owned(), NEXT_SECRET.to_vec())));
    let elsewhere = open(&ground);
    if !ground.is_files() {
        write(&elsewhere, |w| w.set_decision_endpoint(ACME, URL, Some(&SECRET), &mut OsRandom));
        assert_eq!(asked(ACME), Some((URL.to_owned(), SECRET.to_vec())), "another gateway changed it");
    }
    assert!(write(&directory, |w| w.remove_decision_endpoint(ACME)));
    assert!(!write(&directory, |w| w.remove_decision_endpoint(ACME)));
    assert_eq!(asked(ACME), None);
}

/// Neither URLs nor secrets stand there, in a file not even those that were replaced or deleted; and all of it is in the audit
/// stream.
fn nothing_stands_there_readably(ground: Ground) {
    let directory = open(&ground);
    let made = make(&directory, ACME);
    let secret = (&NEXT_SECRET[..], 1000);
    write(&directory, |w| w.rotate_webhook_secret(ACME, made.id, secret, &mut OsRandom));
    write(&directory, |w| w.set_decision_endpoint(ACME, URL, Some(&SECRET), &mut OsRandom));
    let gone = make(&directory, ACME);
    write(&directory, |w| w.delete_webhook(ACME, gone.id));
    directory.verify_audit().unwrap();
    let entries = directory.audit(AuditScope::Of(Some(ACME)), None, 100).unwrap().rows;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "webhook.created",
            "webhook.secret_rotated",
            "decision_endpoint.set",
            "webhook.created",
            "webhook.deleted"
        ]
    );
    let text = format!("{entries:?} {made:?} {:?}", directory.decision_endpoint(ACME));
    assert!(!text.contains("shop.example"), "{text}");
    ground.assert_nowhere(&[b"url-that-is-secret", &SECRET[..16], &NEXT_SECRET[..16]]);
}

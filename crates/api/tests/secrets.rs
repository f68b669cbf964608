//! Nothing that lets somebody pay or in is in the log, nor readably on the disk.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Call, Rig};
use mayfly_store::directory::Role;
use mayfly_testing::CaughtLog;
use serde_json::json;

#[test]
fn neither_the_log_nor_the_disk_has_them() {
    let log = CaughtLog::catch();
    let rig = Rig::start();
    let ours = rig.issuer();
    let operator = rig.operator();
    let key = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let universal = "4999990000000014";
    let terms = json!({ "prefix": "499999" });
    let body = json!({ "name": "Universal", "terms": terms, "universal_number": universal });
    let programme = rig.post(&key, "/v1/programmes", &body);
    let order = json!({ "account": ours.account.to_string(), "programme": ours.programme.to_string() });
    let order = Call::post("/v1/numbers", &order).key(&key);
    let issued = order.send(&rig).ok();
    assert_eq!(order.send(&rig).ok(), issued);
    let made = rig.post(&key, "/v1/keys", &json!({ "role": "auditor", "name": "x" })).ok();
    let unknown = format!("mfk_{}", "A".repeat(43));
    assert_eq!(rig.get(&unknown, "/v1/accounts").status, 401);
    let number = issued["number"].as_str().unwrap().to_owned();
    rig.get(&key, &format!("/v1/accounts/{number}?{number}={number}")).code();
    rig.post(&key, &format!("/v1/{number}"), &json!({ &number: &number })).code();
    let data = rig.stop();

    let told = log.text();
    assert!(told.contains("/v1/numbers") && told.contains("answered"), "the log is on: {told}");
    let mut written = told.into_bytes();
    for file in std::fs::read_dir(data.path()).unwrap() {
        written.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let written = String::from_utf8_lossy(&written);
    let secret = made["secret"].as_str().unwrap().to_owned();
    let mut secrets = vec![number, secret, key, operator, unknown];
    if programme.status == 201 {
        secrets.push(universal.to_owned());
    }
    for secret in secrets {
        assert!(!written.contains(&secret), "{secret} was written");
    }
}

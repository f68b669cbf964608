//! Connections: how many, how long, over TLS, and how they end.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Call, Reply, Rig, loopback};
use mayfly_api::{ApiOptions, TlsFiles};
use mayfly_store::directory::Role;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_connection_serves_several_requests() {
    let rig = Rig::start();
    let mut stream = rig.connect();
    for id in ["one", "two"] {
        let request = format!("GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Request-Id: {id}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).unwrap();
        assert_eq!(Reply::parse(&answer[..length]).header("x-request-id"), Some(id));
    }
    rig.stop();
}

#[test]
fn one_connection_too_many_waits_for_its_place() {
    let rig = Rig::with(ApiOptions { connections_max: 1, ..loopback() });
    let first = rig.connect();
    std::thread::sleep(SHORT);
    let mut second = rig.connect();
    second.write_all(&Call::get("/v1/health").bytes()).unwrap();
    second.set_read_timeout(Some(SHORT)).unwrap();
    assert!(second.read(&mut [0; 16]).is_err(), "there is no place yet");
    drop(first);
    second.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = Vec::new();
    second.read_to_end(&mut answer).unwrap();
    assert_eq!(Reply::parse(&answer).status, 200);
    rig.stop();
}

/// Whoever sends nothing, half a head, or nothing more after an answer, does not keep his connection.
#[test]
fn silent_connections_are_closed() {
    let rig = Rig::with(ApiOptions { header_time_max: SHORT, ..loopback() });
    for sent in ["", "GET /v1/health HT", "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let begun = Instant::now();
        rig.raw(sent.as_bytes());
        assert!(begun.elapsed() < Duration::from_secs(5), "{sent}");
    }
    rig.stop();
}

#[test]
fn a_request_that_takes_too_long_is_answered() {
    let rig = Rig::with(ApiOptions { request_time_max: SHORT, ..loopback() });
    let ours = rig.issuer();
    let key = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let mut bytes = Call::post("/v1/accounts", &json!({ "currency": "USD" })).key(&key).bytes();
    bytes.truncate(bytes.len() - 1);
    let reply = Reply::parse(&rig.raw(&bytes));
    assert_eq!((reply.status, reply.code().as_str()), (503, "time_over"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    rig.stop();
}

/// A body that never comes ends with the connection even where a request may take longer.
#[test]
fn a_body_that_does_not_come_ends_in_silence() {
    let rig = Rig::with(ApiOptions { silence_time_max: SHORT, ..loopback() });
    let key = rig.operator();
    let mut bytes = Call::post("/v1/issuers", &json!({ "name": "x" })).key(&key).bytes();
    bytes.truncate(bytes.len() - 1);
    let begun = Instant::now();
    rig.raw(&bytes);
    assert!(begun.elapsed() < Duration::from_secs(5));
    rig.stop();
}

#[test]
fn a_stop_answers_what_was_asked() {
    let rig = Rig::start();
    let ours = rig.issuer();
    let key = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let bytes = Call::post("/v1/accounts", &json!({ "currency": "USD" })).key(&key).bytes();
    let (most, last) = bytes.split_at(bytes.len() - 1);
    let mut stream = rig.connect();
    stream.write_all(most).unwrap();
    let (address, last) = (rig.address, last.to_owned());
    std::thread::sleep(SHORT);
    let client = std::thread::spawn(move || {
        std::thread::sleep(SHORT);
        assert!(std::net::TcpStream::connect(address).is_err(), "no more connections are taken");
        stream.write_all(&last).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Reply::parse(&answer)
    });
    rig.stop();
    assert_eq!(client.join().unwrap().status, 201);
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let rig = Rig::with(ApiOptions { stop_time_max: SHORT, ..loopback() });
    let key = rig.operator();
    let mut bytes = Call::post("/v1/issuers", &json!({ "name": "x" })).key(&key).bytes();
    bytes.truncate(bytes.len() - 1);
    let mut stream = rig.connect();
    stream.write_all(&bytes).unwrap();
    std::thread::sleep(SHORT);
    let begun = Instant::now();
    rig.stop();
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// A certificate for localhost that signs itself, and its key.
fn certificate(directory: &Path) -> (TlsFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: directory.join("certificate.pem"), key: directory.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.key_pair.serialize_pem()).unwrap();
    (files, made.cert.der().clone())
}

#[test]
fn with_a_certificate_it_speaks_tls_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (files, certificate) = certificate(directory.path());
    let rig = Rig::with(ApiOptions { tls: Some(files), ..loopback() });
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let answer = rig.runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        stream.write_all(&Call::get("/v1/health").bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    });
    assert_eq!(Reply::parse(&answer).status, 200);
    let plain = rig.raw(&Call::get("/v1/health").bytes());
    assert!(!plain.starts_with(b"HTTP"), "plain HTTP is not answered");
    rig.stop();
}

/// A start that can't be says what to do.
#[test]
fn wrong_options_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let (files, _) = certificate(directory.path());
    let other = tempfile::tempdir().unwrap();
    let (others, _) = certificate(other.path());
    let missing = TlsFiles { certificate: "missing.pem".into(), ..files.clone() };
    let swapped = TlsFiles { certificate: files.key.clone(), key: files.certificate.clone() };
    let mixed = TlsFiles { key: others.key, ..files };
    let rig = Rig::start();
    let with = |tls| ApiOptions { tls: Some(tls), ..loopback() };
    for (options, told) in [
        (ApiOptions::at("0.0.0.0:0".parse().unwrap()), "without TLS"),
        (ApiOptions::at(rig.address), "something else listens there"),
        (with(missing), "missing.pem"),
        (with(swapped), "has no certificate"),
        (with(mixed), "its own key"),
    ] {
        let error = rig.refused(options);
        assert!(error.contains(told), "{error}");
    }
    rig.stop();
}

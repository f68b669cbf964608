//! The client against real sockets and a real TLS server.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use mayfly_outbound::{Client, ClientError, ClientOptions, Limits, Reply, SendError, TargetRules};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const LIMITS: Limits = Limits { connect: Duration::from_secs(5), total: Duration::from_secs(5) };
const ALL: TargetRules = TargetRules { plain_http: true, private_addresses: true };

/// A certificate authority in a file, and a server's certificate that it signed.
struct Authority {
    _directory: TempDir,
    file: PathBuf,
    acceptor: TlsAcceptor,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca, &ca_key).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, ca.pem()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    Authority { _directory: directory, file, acceptor: TlsAcceptor::from(Arc::new(config)) }
}

/// What a receiver does with a request.
#[derive(Clone, Copy)]
enum Does {
    /// Answers so, and keeps the connection.
    Answer(&'static str),
    /// Answers so, and closes.
    AnswerAndClose(&'static str),
    /// Nothing.
    Hang,
    /// Closes.
    Close,
}

struct Receiver {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<std::sync::Mutex<Vec<String>>>,
}

async fn receiver(does: Does, tls: Option<TlsAcceptor>) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let requests = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (count, seen) = (connections.clone(), requests.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let (tls, seen) = (tls.clone(), seen.clone());
            tokio::spawn(async move {
                match tls {
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, does, &seen).await;
                        }
                    }
                    None => serve(stream, does, &seen).await,
                }
            });
        }
    });
    Receiver { address, connections, requests }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    does: Does,
    seen: &std::sync::Mutex<Vec<String>>,
) {
    let mut read = Vec::new();
    loop {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(count) => read.extend_from_slice(&part[..count]),
        }
        // Every test's body ends so; a GET has none.
        let is_whole_get = read.starts_with(b"GET ") && read.ends_with(b"\r\n\r\n");
        if !read.ends_with(b"}") && !is_whole_get {
            continue;
        }
        seen.lock().unwrap().push(String::from_utf8(std::mem::take(&mut read)).unwrap());
        match does {
            Does::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Does::AnswerAndClose(answer) => return stream.write_all(answer.as_bytes()).await.unwrap(),
            Does::Hang => (),
            Does::Close => return,
        }
    }
}

fn client(rules: TargetRules, ca_file: Option<PathBuf>) -> Client {
    Client::new(&ClientOptions { rules, ca_file }).unwrap()
}

async fn post(client: &Client, url: &str) -> Result<Reply, SendError> {
    post_within(client, url, LIMITS).await
}

async fn post_within(client: &Client, url: &str, limits: Limits) -> Result<Reply, SendError> {
    let target = client.target(url).unwrap();
    let headers = [(HeaderName::from_static("webhook-id"), HeaderValue::from_static("evt_1_0"))];
    client.post(&target, &headers, Bytes::from_static(b"{\"a\":1}"), limits).await
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_post_over_tls_arrives_whole_and_its_connection_is_used_again() {
    let authority = authority();
    let receiver = receiver(Does::Answer(OK), Some(authority.acceptor.clone())).await;
    let client = client(ALL, Some(authority.file.clone()));
    let url = format!("https://localhost:{}/hook?key=1", receiver.address.port());
    for _ in 0..3 {
        let reply = post(&client, &url).await.unwrap();
        assert_eq!((reply.status, reply.body.as_slice(), reply.whole), (200, &b"{}"[..], true));
    }
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 1);
    let request = receiver.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(request.starts_with("post /hook?key=1 http/1.1\r\n"), "{request}");
    for header in [
        &format!("host: localhost:{}\r\n", receiver.address.port()),
        "webhook-id: evt_1_0\r\n",
        "content-type: application/json\r\n",
        "content-length: 7\r\n",
    ] {
        assert!(request.contains(header), "{request}");
    }
    // By address, too: the certificate names it.
    post(&client, &format!("https://127.0.0.1:{}/", receiver.address.port())).await.unwrap();
}

#[tokio::test]
async fn what_is_got_comes_over_the_same_connection() {
    let authority = authority();
    let receiver = receiver(Does::Answer(OK), Some(authority.acceptor.clone())).await;
    let client = client(ALL, Some(authority.file.clone()));
    let url = format!("https://localhost:{}/v1/things?cursor=1", receiver.address.port());
    post(&client, &url).await.unwrap();
    let headers = [(HeaderName::from_static("authorization"), HeaderValue::from_static("Bearer a"))];
    let reply = client.get(&client.target(&url).unwrap(), &headers, LIMITS).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice(), reply.whole), (200, &b"{}"[..], true));
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 1);
    let request = receiver.requests.lock().unwrap()[1].to_ascii_lowercase();
    assert!(request.starts_with("get /v1/things?cursor=1 http/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: bearer a\r\n"), "{request}");
    assert!(!request.contains("content-"), "{request}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let authority = authority();
    let receiver = receiver(Does::Answer(OK), Some(authority.acceptor.clone())).await;
    let url = format!("https://localhost:{}/", receiver.address.port());
    let error = post(&client(ALL, None), &url).await.unwrap_err();
    assert!(matches!(error, SendError::Tls(_)), "{error:?}");
    // One that is vouched for, but for another host.
    let other = client(ALL, Some(authority.file.clone()));
    let url = format!("https://localhost.localdomain:{}/", receiver.address.port());
    let error = post(&other, &url).await.unwrap_err();
    // Not every machine has that name, and one without a name server finds that out by waiting.
    assert!(matches!(error, SendError::Tls(_)) || is_no_name(&error), "{error:?}");
    assert!(receiver.requests.lock().unwrap().is_empty());
}

/// A name is nothing: what counts is the address behind it when the connection is made.
#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_connected_to() {
    let receiver = receiver(Does::Answer(OK), None).await;
    let client = client(TargetRules { plain_http: true, private_addresses: false }, None);
    let url = format!("http://localhost:{}/", receiver.address.port());
    assert_eq!(post(&client, &url).await, Err(SendError::AddressNotAllowed));
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 0);
    assert!(client.target(&format!("http://{}/", receiver.address)).is_err());
    // Nor does a target of a client that may do more.
    let target = self::client(ALL, None).target(&format!("http://{}/", receiver.address)).unwrap();
    let sent = client.post(&target, &[], Bytes::new(), LIMITS).await;
    assert_eq!(sent, Err(SendError::AddressNotAllowed));
    let strict = self::client(TargetRules { plain_http: false, private_addresses: true }, None);
    assert_eq!(strict.post(&target, &[], Bytes::new(), LIMITS).await, Err(SendError::PlainHttpNotAllowed));
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn redirects_are_answers_and_nothing_is_followed() {
    let answer =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let receiver = receiver(Does::Answer(answer), None).await;
    let reply = post(&client(ALL, None), &format!("http://{}/", receiver.address)).await.unwrap();
    assert_eq!((reply.status, reply.retry_after), (302, Some(Duration::from_secs(7))));
    assert_eq!(receiver.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn no_wait_is_without_a_limit() {
    let hanging = receiver(Does::Hang, None).await;
    let client = client(ALL, None);
    let limits = Limits { total: Duration::from_millis(200), ..LIMITS };
    let url = format!("http://{}/", hanging.address);
    assert_eq!(post_within(&client, &url, limits).await, Err(SendError::Time));
    // Somebody who accepts and never agrees on TLS.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let limits = Limits { connect: Duration::from_millis(200), ..LIMITS };
    assert_eq!(post_within(&client, &url, limits).await, Err(SendError::ConnectTime));
}

#[tokio::test]
async fn a_long_answer_is_read_to_its_bound_only() {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(100_000));
    let receiver = receiver(Does::Answer(text.leak()), None).await;
    let client = client(ALL, None);
    let url = format!("http://{}/", receiver.address);
    let reply = post(&client, &url).await.unwrap();
    assert_eq!((reply.body.len(), reply.whole), (65_536, false));
    // What is left of it is not taken for the next answer.
    post(&client, &url).await.unwrap();
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 2);
    let headers = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(20_000));
    let receiver = self::receiver(Does::Answer(headers.leak()), None).await;
    assert_eq!(post(&client, &format!("http://{}/", receiver.address)).await, Err(SendError::Broken));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_again() {
    let receiver = receiver(Does::AnswerAndClose(OK), None).await;
    let client = client(ALL, None);
    let url = format!("http://{}/", receiver.address);
    for _ in 0..5 {
        assert_eq!(post(&client, &url).await.unwrap().status, 200);
    }
    assert_eq!(receiver.requests.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn whoever_does_not_answer_is_named_so() {
    let client = client(ALL, None);
    let closing = receiver(Does::Close, None).await;
    assert_eq!(post(&client, &format!("http://{}/", closing.address)).await, Err(SendError::Broken));
    let nonsense = receiver(Does::AnswerAndClose("220 mail.example ESMTP\r\n"), None).await;
    assert_eq!(post(&client, &format!("http://{}/", nonsense.address)).await, Err(SendError::Broken));
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = Err(SendError::Connect(std::io::ErrorKind::ConnectionRefused));
    assert_eq!(post(&client, &format!("http://{gone}/")).await, refused);
    let error = post(&client, "http://nothing.invalid/").await.unwrap_err();
    assert!(is_no_name(&error), "{error:?}");
}

/// What is said of a name that nobody has: where no name server answers, that it took too long.
fn is_no_name(error: &SendError) -> bool {
    matches!(error, SendError::Lookup | SendError::ConnectTime)
}

#[test]
fn a_file_without_certificates_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let refused = || Client::new(&ClientOptions { ca_file: Some(file.clone()), ..ClientOptions::default() });
    assert!(matches!(refused(), Err(ClientError::Unreadable { .. })));
    for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, text).unwrap();
        assert!(refused().is_err(), "{text}");
    }
}

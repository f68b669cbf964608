//! The decision caller against real sockets.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mayfly_card::{Channel, Currency, Mcc, MerchantId, MinorUnits};
use mayfly_core::{AccountId, NumberId, ProgrammeId};
use mayfly_notify::{Asked, DecisionCaller, Failed, Question, QuestionKind, Secret, Unusable, Verdict};
use mayfly_outbound::{Client, ClientOptions, SendError, TargetError, TargetRules};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SECRET: [u8; 32] = [7; 32];
const WAIT: Duration = Duration::from_secs(5);

fn question() -> Question {
    Question {
        id: "ask_17".to_owned(),
        at_ms: 1_795_357_611_005,
        deadline_ms: 1_795_357_613_005,
        account: Some(AccountId(1)),
        number: Some(NumberId(2)),
        last_four: Some("0520".to_owned()),
        programme: Some(ProgrammeId(3)),
        amount: MinorUnits::new(2498).unwrap(),
        currency: Currency::parse_alphabetic("USD").unwrap(),
        merchant: Some(MerchantId::parse("BOOKSHOP-1").unwrap()),
        mcc: Some(Mcc::parse("5942").unwrap()),
        country: None,
        channel: Channel::CardNotPresent,
        entry_mode: "812".to_owned(),
        kind: QuestionKind::Purchase,
        acquirer: "400001".to_owned(),
        rrn: "000000000001".to_owned(),
    }
}

fn caller(open_max: usize) -> DecisionCaller {
    let rules = TargetRules { plain_http: true, private_addresses: true };
    DecisionCaller::new(Arc::new(Client::new(&ClientOptions { rules, ca_file: None }).unwrap()), open_max)
}

/// Answers every request so, after a while; gives what came.
async fn issuer(
    body: &'static str,
    after: Duration,
) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                while !read.ends_with(b"}") {
                    if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                sender.send(String::from_utf8(read).unwrap()).unwrap();
                tokio::time::sleep(after).await;
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                // Whoever asked may be gone.
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (address, receiver)
}

async fn ask(caller: &DecisionCaller, address: SocketAddr, wait: Duration) -> Asked {
    caller.ask(&format!("http://{address}/ask"), &SECRET, &question(), wait).await
}

#[tokio::test]
async fn a_question_is_signed_and_its_answer_heard() {
    for (body, verdict) in [
        (r#"{"decision":"approve"}"#, Verdict::Approve),
        (r#"{"decision":"decline"}"#, Verdict::Decline),
        (r#"{"decision":"ask my wife"}"#, Verdict::Unusable(Unusable::NotADecision)),
    ] {
        let (address, mut came) = issuer(body, Duration::ZERO).await;
        let asked = ask(&caller(1), address, WAIT).await;
        assert_eq!(asked.verdict, verdict);
        let request = came.recv().await.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name)).unwrap();
            line.split_once(": ").unwrap().1.to_owned()
        };
        assert_eq!(
            (header("webhook-id"), header("webhook-timestamp")),
            ("ask_17".into(), "1795357611".into())
        );
        let signature = Secret::from_bytes(&SECRET).unwrap().sign("ask_17", 1_795_357_611, body.as_bytes());
        assert_eq!(header("webhook-signature"), signature);
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["type"], &body["id"]), (&"authorisation.requested".into(), &"ask_17".into()));
        assert_eq!(body["timestamp"], "2026-11-22T14:26:51.005Z");
        let data = &body["data"];
        assert_eq!(data["amount"], serde_json::json!({ "minor": 2498, "currency": "USD" }));
        assert_eq!((&data["account"], &data["channel"]), (&"acct_1".into(), &"card_not_present".into()));
        assert_eq!((&data["mcc"], &data["country"]), (&"5942".into(), &Value::Null));
        assert_eq!(data["deadline"], "2026-11-22T14:26:53.005Z");
    }
}

#[tokio::test]
async fn a_late_answer_is_waited_for_and_none_for_ever() {
    let (address, _came) = issuer(r#"{"decision":"approve"}"#, Duration::from_millis(400)).await;
    let asked = ask(&caller(1), address, WAIT).await;
    assert_eq!(asked.verdict, Verdict::Approve);
    assert!(asked.took >= Duration::from_millis(400));
    let asked = ask(&caller(1), address, Duration::from_millis(100)).await;
    assert_eq!(asked.verdict, Verdict::Failed(Failed::Send(SendError::Time)));
}

#[tokio::test]
async fn one_too_many_fails_at_once() {
    let (address, mut came) = issuer(r#"{"decision":"approve"}"#, Duration::from_millis(500)).await;
    let caller = Arc::new(caller(1));
    let first = tokio::spawn({
        let caller = caller.clone();
        async move { ask(&caller, address, WAIT).await }
    });
    came.recv().await.unwrap();
    let second = ask(&caller, address, WAIT).await;
    assert_eq!(second.verdict, Verdict::Failed(Failed::Busy));
    assert_eq!(first.await.unwrap().verdict, Verdict::Approve);
    assert_eq!(caller.room(), 1);
    assert_eq!(ask(&caller, address, WAIT).await.verdict, Verdict::Approve);
}

#[tokio::test]
async fn what_can_not_be_asked_says_why() {
    let caller = caller(1);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = SendError::Connect(std::io::ErrorKind::ConnectionRefused);
    assert_eq!(ask(&caller, gone, WAIT).await.verdict, Verdict::Failed(Failed::Send(refused)));
    let strict = DecisionCaller::new(Arc::new(Client::new(&ClientOptions::default()).unwrap()), 1);
    let scheme = TargetError::Scheme { plain_http: false };
    assert_eq!(ask(&strict, gone, WAIT).await.verdict, Verdict::Failed(Failed::Target(scheme)));
    let asked = caller.ask("http://127.0.0.1:1/", b"short", &question(), WAIT).await;
    assert_eq!(asked.verdict, Verdict::Failed(Failed::Secret));
}

//! Hosts that sign on and then do not keep to any rule.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod linking;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use linking::{OPTIONS, ask, dialect, eventually, register, sale, start};
use mayfly_iso8583::{De, Frame, Message, MessageBuilder, Mti};
use mayfly_network::link::{Ended, IssuerLink, LateAnswers, LinkError, LinkOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, oneshot};

/// The next message that comes.
async fn hear(stream: &mut TcpStream) -> Option<MessageBuilder> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).await.ok()?;
    let mut body = vec![0; usize::from(u16::from_be_bytes(header))];
    stream.read_exact(&mut body).await.ok()?;
    Some(MessageBuilder::from(&Message::parse(dialect("ascii87"), &body).unwrap()))
}

/// A question with an answer that accepts it.
fn accepted(mut question: MessageBuilder) -> Vec<u8> {
    question.set_mti(question.mti().response().unwrap()).set(De::RESPONSE_CODE, "00");
    let mut wire = Vec::new();
    question.encode(dialect("ascii87"), &mut wire).unwrap();
    assert!(matches!(dialect("ascii87").header().next_frame(&wire, 4_096), Ok(Frame::Message { .. })));
    wire
}

/// `room` is how many bytes the system takes in the host's stead, in either direction: otherwise many megabytes.
fn listen(room: Option<u32>) -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(room) = room {
        socket.set_recv_buffer_size(room).unwrap();
        socket.set_send_buffer_size(room).unwrap();
    }
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(16).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A link to a host that accepts every sign-on, then sends these bytes, and then reads on, or not until it is told.
async fn link_to(
    bytes: &'static [u8],
    reads: bool,
    options: LinkOptions,
) -> (IssuerLink, LateAnswers, Arc<Notify>) {
    let (listener, address) = listen(if reads { None } else { Some(4_096) });
    let go_on = Arc::new(Notify::new());
    let told = go_on.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let told = told.clone();
            tokio::spawn(async move {
                let sign_on = hear(&mut stream).await.unwrap();
                stream.write_all(&accepted(sign_on)).await.unwrap();
                stream.write_all(bytes).await.unwrap();
                if !reads {
                    told.notified().await;
                }
                while let Some(question) = hear(&mut stream).await {
                    if stream.write_all(&accepted(question)).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let (link, late) = start(&[(address, 1)], dialect("ascii87"), options);
    eventually("signed on", || link.meter().signed_on.value() > 0).await;
    (link, late, go_on)
}

#[tokio::test]
async fn what_is_no_message_costs_the_connection() {
    let options = LinkOptions { message_ms_max: 50, ..OPTIONS };
    for (bytes, why) in [
        (b"\x00\x14xxxxxxxxxxxxxxxxxxxx".as_slice(), Ended::Unreadable),
        (b"\x7f\xff0810", Ended::TooLong),
        (b"\x00\x300210", Ended::HalfMessage),
    ] {
        let (link, _late, _) = link_to(bytes, true, options).await;
        eventually("it is closed", || link.meter().closed(why).value() > 0).await;
        eventually("it is opened again", || link.meter().signed_on.value() > 1).await;
    }
}

#[tokio::test]
async fn what_can_be_read_in_part_answers_nothing_and_costs_nothing() {
    // An MTI, a bitmap with DE 11 and DE 39, and then letters; and a sign of life.
    let bytes = b"\x00\x1c02100020000002000000abcdef00\x00\x00";
    let (link, _late, _) = link_to(bytes, true, OPTIONS).await;
    eventually("it is counted", || link.meter().malformed.value() == 1).await;
    assert!(link.send(sale(&mut register(), 1)).await.is_ok());
    assert_eq!((link.meter().opened.value(), link.meter().open()), (1, 1));
}

#[tokio::test]
async fn a_host_that_does_not_read_is_left_and_holds_up_only_so_much() {
    let options =
        LinkOptions { write_ms_max: 200, stop_ms_max: 10, queue_max: 100, in_flight_max: 65_536, ..OPTIONS };
    let (link, _late, _go_on) = link_to(b"", false, options).await;
    let mut register = register();
    let long = "x".repeat(999);
    let mut asking = Vec::new();
    // First it fills what lies between the two, which is some megabytes.
    while link.meter().closed(Ended::NotReading).value() == 0 {
        for _ in 0..100 {
            let mut question = sale(&mut register, 1);
            question.set(De::new(60).unwrap(), &long);
            asking.push(ask(&link, question));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(asking.len() < 500_000, "it is not left");
    }
    assert!(link.meter().busy.value() > 0, "there is a bound");
    link.stop().await;
    for one in asking {
        let error = one.await.unwrap().unwrap_err();
        assert!(!matches!(error, LinkError::Timeout { .. }), "{error}");
    }
    assert_eq!(link.under_way(), 0);
}

/// A host that answers one question after the other, and reads nothing while it writes: if nothing were read from it while
/// questions wait for it, both would wait for each other.
#[tokio::test]
async fn a_host_that_reads_nothing_while_it_writes_is_read_from() {
    const QUESTIONS: usize = 8_000;
    let (listener, address) = listen(Some(32_768));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Some(question) = hear(&mut stream).await {
            stream.write_all(&accepted(question)).await.unwrap();
        }
    });
    let options =
        LinkOptions { output_bytes_max: 4_096, queue_max: 65_536, in_flight_max: 65_536, ..OPTIONS };
    let (link, _late) = start(&[(address, 1)], dialect("ascii87"), options);
    eventually("signed on", || link.in_service() == 1).await;
    let (mut register, long) = (register(), "x".repeat(999));
    let mut asking = Vec::new();
    for _ in 0..QUESTIONS {
        let mut question = sale(&mut register, 1);
        question.set(De::new(60).unwrap(), &long);
        asking.push(ask(&link, question));
    }
    for answer in asking {
        answer.await.unwrap().unwrap();
    }
    assert_eq!((link.meter().opened.value(), link.meter().open()), (1, 1));
}

/// A host that asks more than it reads answers to is read no further. That its last message is half there then is not its doing.
#[tokio::test]
async fn a_host_that_is_not_read_from_is_not_late() {
    let (listener, address) = listen(Some(4_096));
    let mut echo = MessageBuilder::new(Mti::NETWORK_REQUEST);
    echo.set(De::TRANSMISSION_TIME, "1123120000").set(De::STAN, "000017").set(De::NETWORK_CODE, "301");
    let mut wire = Vec::new();
    echo.encode(dialect("ascii87"), &mut wire).unwrap();
    let (told, sent) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let sign_on = hear(&mut stream).await.unwrap();
        stream.write_all(&accepted(sign_on)).await.unwrap();
        // Parts that end within a message, mostly.
        let (echoes, part) = (wire.repeat(300), wire.len() * 200 + 5);
        // Until nothing is taken any more, and for much longer than the rest of a message may take.
        let (mut bytes, while_taken) = (0, Duration::from_millis(500));
        loop {
            let begun = bytes % wire.len();
            let write = stream.write(&echoes[begun..begun + part]);
            let Ok(written) = tokio::time::timeout(while_taken, write).await else { break };
            bytes += written.unwrap();
        }
        let (mut reader, mut writer) = stream.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
        let rest = bytes.next_multiple_of(wire.len()) - bytes;
        writer.write_all(&wire[wire.len() - rest..]).await.unwrap();
        told.send((bytes + rest) / wire.len()).unwrap();
        // Open for as long as the test goes on.
        std::future::pending::<()>().await;
    });
    let options =
        LinkOptions { output_bytes_max: 4_096, message_ms_max: 50, write_ms_max: 60_000, ..OPTIONS };
    let (link, _late) = start(&[(address, 1)], dialect("ascii87"), options);
    let sent = sent.await.unwrap() as u64;
    eventually("all is answered", || link.meter().asked_by_host.value() == sent).await;
    assert_eq!((link.meter().opened.value(), link.meter().open()), (1, 1));
}

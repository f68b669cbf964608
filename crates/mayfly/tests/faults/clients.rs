//! Clients that are slow, silent, deaf, or talk nonsense: the healthy one beside them does not notice.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mayfly_testing::Store;

use crate::Shop;
use crate::harness::{Home, Message, Peer, Random};

/// The longest that the healthy client may wait for an answer. It waits for milliseconds; the machine may be
/// busy with other tests.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The healthy client goes on until the others are done, and buys at least so often.
const PURCHASES_MIN: usize = 200;
/// How long the server may take to get rid of a client that is late, with its own limits at a second.
const RID_OF: Duration = Duration::from_secs(20);

#[test]
fn bad_clients_do_not_keep_a_good_one_waiting() {
    let home = Home::with(Store::Sqlite, "read_timeout_s = 1\nwrite_timeout_s = 1\n");
    let server = home.start();
    let mut shop = Shop::open(&server);
    let address = server.address;
    let mut admin = server.admin();
    let card = admin.issue(&shop.account, 1000).unwrap().unwrap();
    let other = Message { card: card.into(), rrn: "900000000001".into(), ..shop.purchase() };
    let silent: Vec<_> = (0..50).map(|_| server.connect()).collect();

    let done = AtomicBool::new(false);
    let bought = std::thread::scope(|scope| {
        let healthy = scope.spawn(|| buy(&mut shop, &mut server.connect(), &mut server.admin(), &done));
        let bad = [
            scope.spawn(|| slow(server.connect(), &other)),
            scope.spawn(|| half(server.connect(), &other)),
            scope.spawn(|| deaf(server.connect(), &other)),
            scope.spawn(|| garbage(address)),
            scope.spawn(|| too_long(server.connect())),
        ];
        let bad: Vec<_> = bad.into_iter().map(|client| client.join()).collect();
        done.store(true, Ordering::Relaxed);
        let bought = healthy.join().unwrap();
        bad.into_iter().for_each(|client| client.unwrap());
        bought
    });
    println!("{bought} purchases beside five bad clients and {} silent ones", silent.len());
    shop.check_at_least(&server);
    server.stop();
    home.verify();
}

/// Buys until the others are done, and is answered in time each time.
fn buy(shop: &mut Shop, peer: &mut Peer, admin: &mut crate::Admin, done: &AtomicBool) -> usize {
    let begun = Instant::now();
    while !done.load(Ordering::Relaxed) || shop.bought.len() < PURCHASES_MIN {
        if shop.bought.len() % 900 == 899 {
            assert!(shop.renew(admin));
        }
        let asked = Instant::now();
        assert!(shop.buy(peer), "the healthy client's purchase {} failed", shop.bought.len());
        let waited = asked.elapsed();
        assert!(waited < ANSWER_MAX, "the healthy client waited {waited:?}");
        assert!(begun.elapsed() < Duration::from_secs(120), "the bad clients go on for ever");
    }
    shop.bought.len()
}

/// One byte after the other, all of them in time: it is answered like everybody.
fn slow(mut peer: Peer, message: &Message) {
    for byte in message.wire(false) {
        peer.send(&[byte]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    let (key, _) = peer.receive().unwrap();
    assert_eq!(key, message.key());
}

/// Half a message, and never the rest: it is disconnected.
fn half(mut peer: Peer, message: &Message) {
    let wire = message.wire(false);
    peer.send(&wire[..wire.len() / 2]).unwrap();
    assert!(peer.closed(RID_OF), "half a message is waited for longer than {RID_OF:?}");
}

/// Sends and sends and never reads: the server reads no more from it, and disconnects it.
fn deaf(mut peer: Peer, message: &Message) {
    let wire = message.wire(false).repeat(64);
    let begun = Instant::now();
    while begun.elapsed() < RID_OF {
        if peer.send(&wire).is_err() {
            return;
        }
    }
    panic!("a client that reads nothing is listened to for longer than {RID_OF:?}");
}

/// Bytes that mean nothing, on one connection after the other.
fn garbage(address: SocketAddr) {
    let mut random = Random::of_environment();
    for _ in 0..300 {
        let mut peer = Peer::connect(address).unwrap();
        let count = 1 + random.below(5000) as usize;
        // It may be cut off in the middle.
        let _ = peer.send(&random.bytes(count));
    }
}

/// A length that no message may have: it is disconnected.
fn too_long(mut peer: Peer) {
    peer.send(&[0xff, 0xff, b'0']).unwrap();
    assert!(peer.closed(RID_OF), "a message of 65535 bytes is waited for");
}

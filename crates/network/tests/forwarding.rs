//! Reversals are forwarded until the issuer host has acknowledged them, whatever happens to host, link and process; and
//! then both sides agree to the cent.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod linking;

use std::sync::Arc;
use std::time::Duration;

use linking::owed::Owed;
use linking::{
    AT_MS, OPTIONS, ask, card, code, dialect, eventually, host, host_at, link, register, sale, start,
};
use mayfly_iso8583::{De, MessageBuilder, Mti};
use mayfly_keys::OsRandom;
use mayfly_lab::Register;
use mayfly_lab::issuer::{Chances, Fault, IssuerHost};
use mayfly_network::forward::{self, ForwardMeter, ForwardOptions, Settled};
use mayfly_network::link::{IssuerLink, LinkOptions};
use tokio::task::JoinHandle;

const FORWARD: ForwardOptions =
    ForwardOptions { at_once_max: 4, known_max: 8, not_found_max: 2, retry_ms_first: 5, retry_ms_max: 50 };

const HASTY: LinkOptions = LinkOptions { answer_ms_max: 100, ..OPTIONS };

fn forwarding(link: &IssuerLink, owed: &Owed) -> JoinHandle<()> {
    counted(link, owed, &Arc::default())
}

fn counted(link: &IssuerLink, owed: &Owed, meter: &Arc<ForwardMeter>) -> JoinHandle<()> {
    tokio::spawn(forward::run(link.clone(), owed.clone(), FORWARD, Box::new(OsRandom), meter.clone()))
}

/// A sale whose STAN is known before it is sent, as whoever may have to reverse it must.
fn known_sale(link: &IssuerLink, register: &mut Register, minor: u64) -> MessageBuilder {
    let mut question = sale(register, minor);
    question.set_number(De::STAN, link.stan().value().into());
    question
}

fn reversal(link: &IssuerLink, register: &mut Register, question: &MessageBuilder) -> MessageBuilder {
    let mut reversal = register.reversal(AT_MS, question, None);
    reversal.set_mti(Mti::REVERSAL_ADVICE).set_number(De::STAN, link.stan().value().into());
    reversal
}

async fn all_settled(owed: &Owed) {
    eventually("all are settled", || owed.outcomes().len() == owed.len()).await;
}

/// The MTIs of the reversals that a host has heard.
fn reversals(host: &IssuerHost) -> Vec<String> {
    let heard = host.heard().into_iter().map(|message| message.mti().to_string());
    heard.filter(|mti| mti.starts_with("04")).collect()
}

#[tokio::test]
async fn a_reversal_is_repeated_until_it_is_acknowledged() {
    let host = host().await;
    host.keep_messages(true);
    let (link, _late) = link(&[&host], HASTY).await;
    let (owed, mut register, meter) = (Owed::default(), register(), Arc::default());
    let forwarding = counted(&link, &owed, &meter);
    host.script([
        Some(Fault::Silent),
        Some(Fault::Deaf),
        Some(Fault::Silent),
        Some(Fault::OtherStan),
        Some(Fault::Say(*b"91")),
        Some(Fault::Close),
    ]);
    let question = known_sale(&link, &mut register, 2498);
    assert!(link.send(question.clone()).await.unwrap_err().may_have_arrived());
    assert_eq!(host.ledger(|ledger| ledger.standing()), 2498);
    owed.add(reversal(&link, &mut register, &question));
    all_settled(&owed).await;
    assert_eq!(owed.outcomes(), [Settled::Accepted]);
    assert_eq!(reversals(&host), ["0420", "0421", "0421", "0421", "0421", "0421"]);
    let stans: Vec<_> = host
        .heard()
        .iter()
        .filter(|m| m.has(De::ORIGINAL_DATA))
        .map(|m| m.text(De::STAN).unwrap().to_owned())
        .collect();
    assert!(stans.iter().all(|stan| *stan == stans[0]));
    assert_eq!(host.ledger(|ledger| ledger.standing()), 0);
    eventually("nothing is owed", || meter.owed() == 0).await;
    assert_eq!((meter.first.value(), meter.repeats.value(), meter.accepted.value()), (1, 5, 1));
    forwarding.abort();
}

#[tokio::test]
async fn a_refusal_is_the_last_word() {
    let host = host().await;
    let (link, _late) = link(&[&host], OPTIONS).await;
    let (owed, mut register) = (Owed::default(), register());
    let question = known_sale(&link, &mut register, 10);
    assert_eq!(code(&link.send(question.clone()).await.unwrap()), "00");
    host.script([Some(Fault::Say(*b"12"))]);
    owed.add(reversal(&link, &mut register, &question));
    let forwarding = forwarding(&link, &owed);
    all_settled(&owed).await;
    assert_eq!(owed.outcomes(), [Settled::Refused(*b"12")]);
    // That the original is not known may be said too soon.
    host.script([Some(Fault::Say(*b"25")), None, Some(Fault::Say(*b"25")), Some(Fault::Say(*b"25"))]);
    for expected in [Settled::Accepted, Settled::Refused(*b"25")] {
        owed.add(reversal(&link, &mut register, &question));
        all_settled(&owed).await;
        assert_eq!(owed.outcomes().last(), Some(&expected));
    }
    forwarding.abort();
}

#[tokio::test]
async fn what_is_found_at_a_start_is_sent_as_a_repeat_when_a_host_is_there() {
    let first = host().await;
    let (address, ledger) = (first.address(), first.stop().await);
    let (link, _late) = start(&[(address, 1)], dialect("ascii87"), HASTY);
    let (owed, mut register) = (Owed::default(), register());
    // More than are known at once.
    for minor in 1..=20 {
        let question = known_sale(&link, &mut register, minor);
        owed.add(reversal(&link, &mut register, &question));
    }
    let one = forwarding(&link, &owed);
    eventually("it has tried", || link.meter().not_opened.value() > 2).await;
    assert_eq!(owed.outcomes(), []);
    one.abort();
    let host = host_at(address, ledger).await;
    host.keep_messages(true);
    let another = forwarding(&link, &owed);
    all_settled(&owed).await;
    assert_eq!(reversals(&host), ["0421"; 20]);
    another.abort();
}

/// Questions, faults, and hosts and forwarders that are killed: whatever the askers were told is what the issuer has.
#[tokio::test(flavor = "multi_thread")]
async fn both_sides_agree_to_the_cent() {
    for seed in 1..=5 {
        agree(seed).await;
    }
}

async fn agree(seed: u64) {
    let faults = [
        (40, Fault::Silent),
        (40, Fault::Deaf),
        (20, Fault::Hold),
        (40, Fault::Delay(Duration::from_millis(20))),
        (10, Fault::Close),
        (10, Fault::CloseDeaf),
        (20, Fault::OtherStan),
        (20, Fault::OtherReference),
        (20, Fault::OtherAmount),
        (20, Fault::OtherNumber),
        (5, Fault::Garbage),
        (20, Fault::Twice),
        (20, Fault::Say(*b"91")),
    ];
    let mut host = host().await;
    host.chances(Some(Chances::new(seed, faults)));
    let (link, mut late) = start(&[(host.address(), 2)], dialect("ascii87"), HASTY);
    eventually("signed on", || link.in_service() == 2).await;
    let late_ones = tokio::spawn(async move {
        let mut count = 0;
        while late.next().await.is_some() {
            count += 1;
        }
        count
    });
    let (owed, mut register) = (Owed::default(), register());
    let mut forwarder = forwarding(&link, &owed);
    let (mut told, mut unknown) = (0, 0);
    for round in 0..6_u64 {
        let mut asking = Vec::new();
        for minor in 1..=40 {
            let question = known_sale(&link, &mut register, 100 * round + minor);
            let answer = ask(&link, question.clone());
            asking.push((100 * round + minor, question, answer));
        }
        match round {
            1 | 4 => {
                let address = host.address();
                let ledger = host.stop().await;
                host = host_at(address, ledger).await;
                host.chances(Some(Chances::new(seed + 100 * round, faults)));
            }
            2 => {
                forwarder.abort();
                forwarder = forwarding(&link, &owed);
            }
            3 => host.cut_all(),
            _ => {}
        }
        for (minor, question, answer) in asking {
            match answer.await.unwrap() {
                Ok(answer) if code(&answer) == "00" => told += minor,
                Ok(_) => {}
                Err(error) if error.may_have_arrived() => {
                    unknown += 1;
                    owed.add(reversal(&link, &mut register, &question));
                }
                Err(_) => {}
            }
        }
        host.release();
        eventually("signed on", || link.in_service() == 2).await;
    }
    host.chances(None);
    all_settled(&owed).await;
    forwarder.abort();
    assert!(unknown > 10, "seed {seed}: the faults happen");
    host.ledger(|ledger| {
        assert_eq!(ledger.standing(), told, "seed {seed}");
        assert!(ledger.adds_up());
        assert_eq!(ledger.balance(&card().pan).unwrap().booked, linking::FUNDS as i64 - told as i64);
    });
    let meter = link.meter();
    assert!(meter.unmatched.value() > 0 && meter.contradicting.value() > 0, "seed {seed}");
    assert_eq!(host.before_sign_on(), 0);
    link.stop().await;
    drop(link);
    assert_eq!(late_ones.await.unwrap(), meter.late.value());
}

//! The link against real issuer hosts over TCP, in everything that goes right or wrong with connections and answers.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod linking;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use linking::{
    AT_MS, FUNDS, OPTIONS, ask, card, code, dialect, eventually, host, host_at, ledger, link, register, sale,
    start,
};
use mayfly_card::{AcquirerId, MinorUnits};
use mayfly_engine::SystemClock;
use mayfly_iso8583::{De, Mti};
use mayfly_keys::OsRandom;
use mayfly_lab::issuer::{Chances, Fault, IssuerHost, SignOn};
use mayfly_network::Traffic;
use mayfly_network::link::{Ended, Host, IssuerLink, LinkError, LinkOptions, LinkStartError, Setting};

#[tokio::test]
async fn a_link_that_can_not_work_is_not_started() {
    let setting = |institution, options| Setting {
        hosts: vec![Host { address: "127.0.0.1:9".into(), connections: 1 }],
        dialect: dialect("ascii87"),
        institution: AcquirerId::parse(institution).unwrap(),
        options,
        clock: Arc::new(SystemClock),
        random: Box::new(OsRandom),
    };
    let started = |institution, options| IssuerLink::start(setting(institution, options)).map(drop);
    assert_eq!(started("400009", OPTIONS), Ok(()));
    assert!(matches!(started("no digits", OPTIONS), Err(LinkStartError::SignOn(_))));
    let unbounded = LinkOptions { in_flight_max: 0, ..OPTIONS };
    assert!(matches!(started("400009", unbounded), Err(LinkStartError::Options(_))));
    let nowhere = Setting { hosts: Vec::new(), ..setting("", OPTIONS) };
    assert!(matches!(IssuerLink::start(nowhere), Err(LinkStartError::Options(_))));
}

/// Soon enough for a test that waits for nothing to come.
const HASTY: LinkOptions = LinkOptions { answer_ms_max: 300, ..OPTIONS };

#[tokio::test]
async fn every_dialect_is_spoken_and_nothing_is_asked_before_the_sign_on() {
    for name in ["ascii87", "binary87", "ebcdic87"] {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let host = IssuerHost::start(address, dialect(name), ledger()).await.unwrap();
        host.keep_messages(true);
        let (link, _late) = start(&[(host.address(), 2)], dialect(name), OPTIONS);
        eventually("signed on", || link.in_service() == 2).await;
        let question = register().authorisation(AT_MS, &card(), MinorUnits::new(2498).unwrap());
        let answer = link.send(question.clone()).await.unwrap();
        assert_eq!((answer.mti(), code(&answer)), (Mti::AUTHORISATION_RESPONSE, "00"));
        assert_eq!(answer.text(De::STAN), Some("000001"));
        assert_eq!(answer.text(De::RRN), question.text(De::RRN));
        assert_eq!(link.stop().await, 0);
        let (meter, told) = (link.meter(), host.heard());
        assert_eq!((host.before_sign_on(), host.ledger(|ledger| ledger.standing())), (0, 2498));
        let codes: Vec<_> = told.iter().map(|message| message.text(De::NETWORK_CODE)).collect();
        assert_eq!(codes, [Some("001"), Some("001"), None, Some("002"), Some("002")]);
        assert_eq!(told[0].text(De::FORWARDER), Some("400009"));
        assert_eq!((meter.signed_on.value(), meter.answered.value()), (2, 1));
        assert_eq!((meter.asked(Traffic::Authorisation).value(), meter.latency.count()), (1, 1));
        assert_eq!((meter.open(), meter.closed(Ended::Stopping).value()), (0, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_at_the_same_time_gets_his_own_answer() {
    let host = host().await;
    let later = |ms| Fault::Delay(Duration::from_millis(ms));
    host.chances(Some(Chances::new(
        7,
        [(200, later(1)), (200, later(5)), (200, later(20)), (100, Fault::Twice)],
    )));
    let (link, _late) = start(&[(host.address(), 3)], dialect("ascii87"), OPTIONS);
    eventually("signed on", || link.in_service() == 3).await;
    let mut register = register();
    let mut asking = Vec::new();
    for minor in 1..=400 {
        let (link, question) = (link.clone(), sale(&mut register, minor));
        asking.push(tokio::spawn(async move {
            let reference = question.text(De::RRN).map(str::to_owned);
            let answer = link.send(question).await.unwrap();
            assert_eq!(code(&answer), "00");
            assert_eq!(answer.text(De::RRN).map(str::to_owned), reference);
            assert_eq!(answer.text(De::AMOUNT), Some(&*format!("{minor:012}")));
        }));
    }
    for one in asking {
        one.await.unwrap();
    }
    eventually("what came twice is counted", || link.meter().unmatched.value() > 0).await;
    assert_eq!(link.meter().answered.value(), 400);
    assert_eq!(host.ledger(|ledger| ledger.standing()), 400 * 401 / 2);
    assert!(host.ledger(|ledger| ledger.adds_up()));
}

#[tokio::test]
async fn nothing_is_asked_of_a_host_that_refuses_or_ignores_the_sign_on() {
    let host = host().await;
    host.sign_on(SignOn::Refuse);
    let (link, _late) =
        start(&[(host.address(), 1)], dialect("ascii87"), LinkOptions { management_ms_max: 50, ..OPTIONS });
    let mut register = register();
    eventually("refused", || link.meter().closed(Ended::SignOnRefused).value() > 1).await;
    assert_eq!(link.send(sale(&mut register, 1)).await.unwrap_err(), LinkError::NotSignedOn);
    host.sign_on(SignOn::Ignore);
    eventually("ignored", || link.meter().closed(Ended::NoSignOn).value() > 1).await;
    assert_eq!(link.send(sale(&mut register, 1)).await.unwrap_err(), LinkError::NotSignedOn);
    assert!(!LinkError::NotSignedOn.may_have_arrived());
    host.sign_on(SignOn::Accept);
    eventually("accepted", || link.in_service() == 1).await;
    assert_eq!(code(&link.send(sale(&mut register, 1)).await.unwrap()), "00");
    assert_eq!((host.before_sign_on(), link.meter().not_signed_on.value()), (0, 2));
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_handed_out_as_late() {
    let host = host().await;
    host.script([Some(Fault::Hold)]);
    let (link, mut late) = link(&[&host], HASTY).await;
    let mut register = register();
    let question = sale(&mut register, 700);
    let reference = question.text(De::RRN).map(str::to_owned);
    let error = link.send(question).await.unwrap_err();
    assert!(matches!(error, LinkError::Timeout { .. }) && error.may_have_arrived());
    assert_eq!((host.held(), host.ledger(|ledger| ledger.standing())), (1, 700));
    host.release();
    let answer = late.next().await.unwrap().answer;
    assert_eq!((code(&answer), answer.text(De::RRN).map(str::to_owned)), ("00", reference));
    assert_eq!((link.meter().timed_out.value(), link.meter().late.value()), (1, 1));
    assert_eq!((link.meter().unmatched.value(), link.under_way()), (0, 0));
}

#[tokio::test]
async fn whoever_waits_no_longer_has_given_up() {
    let host = host().await;
    host.script([Some(Fault::Hold)]);
    let (link, mut late) = link(&[&host], OPTIONS).await;
    let asking = ask(&link, sale(&mut register(), 700));
    eventually("it is there", || host.held() == 1).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    assert_eq!(link.under_way(), 0);
    host.release();
    assert_eq!(code(&late.next().await.unwrap().answer), "00");
}

#[tokio::test]
async fn an_answer_that_nobody_has_looked_at_is_late_too() {
    let host = host().await;
    let (link, mut late) = link(&[&host], OPTIONS).await;
    let mut asking = Box::pin(link.send(sale(&mut register(), 700)));
    tokio::select! {
        biased;
        _ = &mut asking => panic!("nothing was sent yet"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(link.under_way(), 1);
    eventually("it is answered", || link.under_way() == 0).await;
    drop(asking);
    assert_eq!(code(&late.next().await.unwrap().answer), "00");
}

#[tokio::test]
async fn wrong_answers_are_counted_and_delivered_to_nobody() {
    let host = host().await;
    let (link, _late) = link(&[&host], HASTY).await;
    let mut register = register();
    for (fault, unmatched, contradicting) in [
        (Fault::OtherStan, 1, 0),
        (Fault::OtherReference, 2, 0),
        (Fault::OtherAmount, 2, 1),
        (Fault::OtherNumber, 2, 2),
    ] {
        host.script([Some(fault)]);
        let error = link.send(sale(&mut register, 5)).await.unwrap_err();
        assert!(matches!(error, LinkError::Timeout { .. }), "{fault:?}: {error}");
        let meter = link.meter();
        assert_eq!((meter.unmatched.value(), meter.contradicting.value()), (unmatched, contradicting));
    }
    assert_eq!((link.in_service(), link.meter().answered.value()), (1, 0));
}

#[tokio::test]
async fn another_answer_with_a_question_s_key_does_not_take_its_place() {
    let host = host().await;
    host.script([Some(Fault::Hold)]);
    let (link, _late) = link(&[&host], OPTIONS).await;
    let mut question = register().sale(AT_MS, &card(), MinorUnits::new(2498).unwrap());
    let asking = ask(&link, question.clone());
    eventually("it is there", || host.held() == 1).await;
    question.set_mti(Mti::FINANCIAL_RESPONSE).set(De::RESPONSE_CODE, "00").set(De::AMOUNT, "1");
    assert!(host.say(&question));
    eventually("it is seen", || link.meter().contradicting.value() == 1).await;
    question.set(De::AMOUNT, "2498").set(De::TERMINAL, "ANOTHER");
    assert!(host.say(&question));
    eventually("it is seen", || link.meter().unmatched.value() == 1).await;
    assert_eq!(link.under_way(), 1);
    host.release();
    assert_eq!(asking.await.unwrap().unwrap().text(De::AMOUNT), Some("000000002498"));
}

#[tokio::test]
async fn a_connection_that_breaks_loses_its_questions_and_comes_back() {
    let host = host().await;
    let (link, mut late) = link(&[&host], OPTIONS).await;
    let mut register = register();
    for (fault, why, booked) in [
        (Fault::Close, Ended::ByHost, 10),
        (Fault::CloseDeaf, Ended::ByHost, 10),
        (Fault::Garbage, Ended::Unreadable, 20),
    ] {
        let before = link.meter().closed(why).value();
        host.script([Some(fault)]);
        let error = link.send(sale(&mut register, 10)).await.unwrap_err();
        assert!(error == LinkError::Lost && error.may_have_arrived(), "{fault:?}: {error}");
        assert_eq!(host.ledger(|ledger| ledger.standing()), booked, "{fault:?}");
        assert_eq!(link.meter().closed(why).value(), before + 1, "{fault:?}");
        eventually("it is back", || link.in_service() == 1).await;
    }
    // The answer to what was asked over the old connection comes over the new one.
    host.script([Some(Fault::Hold)]);
    let asking = ask(&link, sale(&mut register, 10));
    eventually("it is there", || host.held() == 1).await;
    host.cut_all();
    assert_eq!(asking.await.unwrap().unwrap_err(), LinkError::Lost);
    eventually("it is back", || link.in_service() == 1 && host.signed_on() == 1).await;
    host.release();
    assert_eq!(code(&late.next().await.unwrap().answer), "00");
    assert_eq!(code(&link.send(sale(&mut register, 10)).await.unwrap()), "00");
    assert_eq!(link.meter().lost.value(), 4);
}

#[tokio::test]
async fn a_repeat_of_what_was_lost_gets_the_answer_of_its_first() {
    let host = host().await;
    let (link, _late) = link(&[&host], OPTIONS).await;
    host.script([Some(Fault::Close)]);
    let mut question = register().sale(AT_MS, &card(), MinorUnits::new(10).unwrap());
    assert_eq!(link.send(question.clone()).await.unwrap_err(), LinkError::Lost);
    eventually("it is back", || link.in_service() == 1).await;
    question.set_mti(question.mti().with_repeat());
    assert_eq!(code(&link.send(question).await.unwrap()), "00");
    assert_eq!(host.ledger(|ledger| ledger.standing()), 10);
}

#[tokio::test]
async fn a_host_that_falls_silent_is_asked_for_an_echo_and_left() {
    let host = host().await;
    let options = LinkOptions { echo_after_ms: 20, management_ms_max: 100, ..OPTIONS };
    let (link, _late) = link(&[&host], options).await;
    eventually("echoes", || link.meter().echoes.value() > 3).await;
    host.ignore_echoes(true);
    eventually("left", || link.meter().closed(Ended::Silent).value() > 0).await;
    host.ignore_echoes(false);
    eventually("back", || link.in_service() == 1).await;
    assert!(host.count(Mti::NETWORK_REQUEST) > 5);
}

#[tokio::test]
async fn hosts_take_turns_and_one_does_the_work_of_both() {
    let one_ledger = ledger();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let (first, second) = (host_at(address, one_ledger.clone()).await, host_at(address, one_ledger).await);
    let (link, _late) = link(&[&first, &second], OPTIONS).await;
    let mut register = register();
    for _ in 0..10 {
        assert_eq!(code(&link.send(sale(&mut register, 1)).await.unwrap()), "00");
    }
    let asked = |host: &IssuerHost| host.count(Mti::FINANCIAL_REQUEST);
    assert_eq!((asked(&first), asked(&second)), (5, 5));
    let address = first.address();
    let ledger = first.stop().await;
    eventually("one is left", || link.in_service() == 1).await;
    for _ in 0..10 {
        assert_eq!(code(&link.send(sale(&mut register, 1)).await.unwrap()), "00");
    }
    assert_eq!(asked(&second), 15);
    let first = host_at(address, ledger).await;
    eventually("both are back", || link.in_service() == 2).await;
    for _ in 0..10 {
        assert_eq!(code(&link.send(sale(&mut register, 1)).await.unwrap()), "00");
    }
    assert_eq!((asked(&first), asked(&second)), (5, 20));
    assert_eq!(first.ledger(|ledger| ledger.balance(&card().pan).unwrap().booked), FUNDS as i64 - 30);
}

#[tokio::test]
async fn so_many_are_under_way_so_many_wait_and_the_rest_is_refused() {
    let host = host().await;
    host.always(Some(Fault::Hold));
    let options = LinkOptions { in_flight_max: 1, queue_max: 1, ..OPTIONS };
    let (link, _late) = link(&[&host], options).await;
    let mut register = register();
    let first = ask(&link, sale(&mut register, 1));
    eventually("one is under way", || host.held() == 1).await;
    let second = ask(&link, sale(&mut register, 1));
    eventually("one waits", || link.under_way() == 2).await;
    let refused = link.send(sale(&mut register, 1)).await.unwrap_err();
    assert!(refused == LinkError::Busy && !refused.may_have_arrived());
    host.release();
    assert_eq!(code(&first.await.unwrap().unwrap()), "00");
    eventually("the next is under way", || host.held() == 1).await;
    // What waits when the last connection goes never left.
    let third = ask(&link, sale(&mut register, 1));
    eventually("one waits", || link.under_way() == 2).await;
    host.cut_all();
    assert_eq!(second.await.unwrap().unwrap_err(), LinkError::Lost);
    assert_eq!(third.await.unwrap().unwrap_err(), LinkError::NotSignedOn);
    assert_eq!(host.ledger(|ledger| ledger.standing()), 2);
}

#[tokio::test]
async fn what_waited_for_its_whole_time_never_left() {
    let host = host().await;
    host.always(Some(Fault::Hold));
    let (link, _late) = link(&[&host], LinkOptions { in_flight_max: 1, ..HASTY }).await;
    let mut register = register();
    let (first, second) = (sale(&mut register, 1), sale(&mut register, 1));
    // In this order, since both are polled by one task.
    let (first, second) = tokio::join!(biased; link.send(first), link.send(second));
    assert!(matches!(first.unwrap_err(), LinkError::Timeout { .. }));
    // The first gave its place up in the same moment, so the second may have got it.
    assert!(matches!(second.unwrap_err(), LinkError::Busy | LinkError::Timeout { .. }));
    assert_eq!(link.under_way(), 0);
}

#[tokio::test]
async fn the_same_question_is_not_asked_twice_at_a_time() {
    let host = host().await;
    host.always(Some(Fault::Hold));
    let (link, _late) = link(&[&host], OPTIONS).await;
    let mut question = register().sale(AT_MS, &card(), MinorUnits::new(10).unwrap());
    let stan = link.stan();
    question.set_number(De::STAN, stan.value().into());
    let asking = ask(&link, question.clone());
    eventually("it is there", || host.held() == 1).await;
    assert_eq!(link.send(question.clone()).await.unwrap_err(), LinkError::Duplicate);
    // Another purchase may have the same STAN: its answer is its own.
    question.set(De::RRN, "999999999999");
    let other = tokio::spawn({
        let (link, question) = (link.clone(), question.clone());
        async move { link.send(question).await }
    });
    eventually("both are there", || host.held() == 2).await;
    assert_ne!(link.stan(), stan);
    question.remove(De::TRANSMISSION_TIME);
    let missing = LinkError::Missing(De::TRANSMISSION_TIME);
    assert_eq!(link.send(question).await.unwrap_err(), missing);
    host.release();
    for asking in [asking, other] {
        assert_eq!(code(&asking.await.unwrap().unwrap()), "00");
    }
}

#[tokio::test]
async fn a_host_signs_off_and_on_and_asks_for_echoes() {
    let host = host().await;
    host.keep_messages(true);
    let (link, _late) = link(&[&host], OPTIONS).await;
    let (mut theirs, mut ours) = (register(), register());
    assert!(host.say(&theirs.echo(AT_MS)));
    assert!(host.say(&theirs.sign_off(AT_MS)));
    eventually("signed off", || link.in_service() == 0).await;
    assert_eq!(link.send(sale(&mut ours, 1)).await.unwrap_err(), LinkError::NotSignedOn);
    assert!(host.say(&theirs.sign_on(AT_MS)));
    eventually("signed on", || link.in_service() == 1).await;
    // Nobody asks the issuer's questions here.
    assert!(host.say(&theirs.sale(AT_MS, &card(), MinorUnits::new(1).unwrap())));
    eventually("answered", || host.count(Mti::FINANCIAL_RESPONSE) == 1).await;
    assert_eq!(code(&link.send(sale(&mut ours, 1)).await.unwrap()), "00");
    let answers: Vec<_> = host.heard().into_iter().filter(|message| message.mti().is_response()).collect();
    assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["00", "00", "00", "12"]);
    assert_eq!(link.meter().asked_by_host.value(), 4);
    assert_eq!((link.meter().opened.value(), link.meter().open()), (1, 1));
}

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way_and_signs_off() {
    let host = host().await;
    host.always(Some(Fault::Hold));
    let (link, mut late) = link(&[&host], OPTIONS).await;
    let mut register = register();
    let asking = ask(&link, sale(&mut register, 1));
    eventually("it is there", || host.held() == 1).await;
    let stopping = tokio::spawn({
        let link = link.clone();
        async move { link.stop().await }
    });
    eventually("nothing more is taken", || stopping.is_finished() || link.is_stopping()).await;
    assert_eq!(link.send(sale(&mut register, 1)).await.unwrap_err(), LinkError::Stopping);
    assert_eq!(host.signed_on(), 1);
    host.release();
    assert_eq!(code(&asking.await.unwrap().unwrap()), "00");
    assert_eq!(stopping.await.unwrap(), 0);
    assert_eq!(link.send(sale(&mut register, 1)).await.unwrap_err(), LinkError::Stopping);
    assert_eq!(host.count(Mti::NETWORK_REQUEST), 2);
    drop(link);
    assert!(late.next().await.is_none());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let host = host().await;
    host.always(Some(Fault::Silent));
    let (link, _late) = link(&[&host], LinkOptions { stop_ms_max: 50, ..OPTIONS }).await;
    let asking = ask(&link, sale(&mut register(), 1));
    eventually("it is there", || host.count(Mti::FINANCIAL_REQUEST) == 1).await;
    assert_eq!(link.stop().await, 1);
    assert_eq!(asking.await.unwrap().unwrap_err(), LinkError::Lost);
    assert_eq!(link.stop().await, 0);
}

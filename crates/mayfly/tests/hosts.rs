//! Accounts whose money an issuer host has: what merchants hear, what the host is told, and that both have the same books to
//! the cent, whatever happens in between. The server is a process of its own; the host is the laboratory's, over TCP.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "seeds and counts, for whoever reads the output")]

mod harness;
#[path = "hosts/kills.rs"]
mod kills;
#[path = "hosts/prepare.rs"]
mod prepare;
#[path = "hosts/rig.rs"]
mod rig;

use std::time::Duration;

use mayfly_iso8583::{De, Mti};
use mayfly_lab::issuer::Fault;
use rig::{FUNDS, Rig, code};

/// Acceptance rows A22, A26 and A35.
#[test]
fn the_merchant_hears_exactly_what_the_issuer_says() {
    let mut rig = Rig::start(9);
    rig.host().keep_messages(true);
    let first = rig.authorisation(2_498);
    let answer = rig.ask(&first);
    assert_eq!(code(&answer), "00");
    for element in
        [De::PAN, De::STAN, De::RRN, De::TERMINAL, De::CARD_ACCEPTOR, De::TRANSMISSION_TIME, De::ACQUIRER]
    {
        // As it is filled up when it is written.
        let filled = |text: &str| text.trim_end().trim_start_matches('0').to_owned();
        assert_eq!(answer.text(element).map(filled), first.text(element).map(filled), "{element}");
    }
    let heard =
        rig.host().heard().into_iter().find(|message| message.mti() == Mti::AUTHORISATION_REQUEST).unwrap();
    let (pan, expiry) = prepare::own();
    assert_eq!(heard.text(De::PAN), Some(pan.as_str()));
    assert_eq!(heard.text(De::EXPIRATION_DATE), Some(&*mayfly_card::Expiry::from(expiry).yymm()));
    assert_eq!(heard.text(De::ACQUIRER), Some("990001"));
    assert!(!heard.has(De::ADDITIONAL_DATA));
    for said in ["05", "51", "54", "61", "N7", "91", "41"] {
        let fault = Fault::Say(*said.as_bytes().first_chunk().unwrap());
        rig.host().script([Some(fault)]);
        let request = rig.sale(100);
        assert_eq!(code(&rig.ask(&request)), said);
    }
    rig.agrees();
    let too_much = rig.authorisation(FUNDS + 1);
    assert_eq!(code(&rig.ask(&too_much)), "51");
    rig.agrees();
    rig.stop();
}

/// Acceptance row A23.
#[test]
fn what_is_not_proved_the_issuer_never_sees() {
    let mut rig = Rig::start(2);
    let mut wrong = rig.authorisation(2_498);
    let date = if wrong.text(De::EXPIRATION_DATE) == Some("4001") { "4002" } else { "4001" };
    wrong.set(De::EXPIRATION_DATE, date);
    assert_eq!(code(&rig.ask(&wrong)), "05");
    assert_eq!(rig.host().count(Mti::AUTHORISATION_REQUEST), 0);
    rig.stop();
}

#[test]
fn without_a_link_it_is_91_and_nothing_is_owed() {
    let mut rig = Rig::start(3);
    rig.stop_host();
    let request = rig.authorisation(100);
    assert_eq!(code(&rig.ask(&request)), "91");
    rig.start_host();
    let request = rig.authorisation(200);
    assert_eq!(code(&rig.ask(&request)), "00");
    rig.agrees();
    assert_eq!(rig.host().count(Mti::REVERSAL_ADVICE), 0);
    rig.stop();
}

#[test]
fn silence_is_91_and_reversed_until_that_is_acknowledged_also_by_the_next_process() {
    let mut rig = Rig::start(3);
    rig.host().keep_messages(true);
    rig.host().script([Some(Fault::Silent)]);
    rig.host().always(None);
    let request = rig.authorisation(2_498);
    // Nothing that it is told afterwards is acknowledged, either.
    rig.host().script([Some(Fault::Deaf), Some(Fault::Silent), Some(Fault::Deaf), Some(Fault::Say(*b"91"))]);
    assert_eq!(code(&rig.ask(&request)), "91");
    rig.until("it was told twice", |rig| rig.reversals() >= 2);
    rig.kill();
    rig.serve();
    rig.agrees();
    assert_eq!(rig.host().ledger(|ledger| ledger.standing()), 0);
    let reversals: Vec<_> =
        rig.host().heard().into_iter().filter(|message| message.has(De::ORIGINAL_DATA)).collect();
    assert!(reversals.len() >= 3);
    assert_eq!(reversals[0].mti(), Mti::REVERSAL_ADVICE);
    assert!(reversals[1..].iter().all(|message| message.mti().repeat()), "each after the first is a repeat");
    assert!(reversals.iter().all(|message| message.text(De::STAN) == reversals[0].text(De::STAN)));
    // A repeat of the request is answered as the first was.
    let again = rig.repeat(&request);
    assert_eq!(code(&rig.ask(&again)), "91");
    rig.stop();
}

#[test]
fn a_question_that_a_kill_leaves_unfinished_is_reversed_by_the_next_start() {
    let mut rig = Rig::start(3);
    rig.host().script([Some(Fault::Hold)]);
    let request = rig.authorisation(2_498);
    rig.post(&request);
    rig.until("the host has it", |rig| rig.host().held() == 1);
    assert_eq!(rig.host().ledger(|ledger| ledger.standing()), 2_498);
    rig.kill();
    rig.serve();
    rig.agrees();
    assert_eq!(rig.host().ledger(|ledger| ledger.standing()), 0);
    let again = rig.repeat(&request);
    assert_eq!(code(&rig.ask(&again)), "96");
    rig.stop();
}

#[test]
fn a_late_approval_is_reversed_once_more() {
    let mut rig = Rig::start(3);
    rig.host().script([Some(Fault::Hold)]);
    let request = rig.authorisation(2_498);
    assert_eq!(code(&rig.ask(&request)), "91");
    rig.until("it is reversed", |rig| rig.host().count(Mti::REVERSAL_ADVICE) == 1);
    rig.host().release();
    rig.until("it is reversed once more", |rig| rig.host().count(Mti::REVERSAL_ADVICE) == 2);
    rig.agrees();
    assert_eq!(rig.host().ledger(|ledger| ledger.standing()), 0);
    rig.stop();
}

#[test]
fn an_approval_that_we_can_not_honour_is_91_and_reversed() {
    let mut rig = Rig::start(3);
    rig.host().script([Some(Fault::Say(*b"10"))]);
    let request = rig.sale(2_498);
    assert_eq!(code(&rig.ask(&request)), "91");
    rig.until("it is reversed", |rig| rig.host().count(Mti::REVERSAL_ADVICE) == 1);
    rig.agrees();
    rig.stop();
}

#[test]
fn we_stand_in_below_the_amount_and_tell_the_host() {
    let mut rig = Rig::start(6);
    rig.terms(300, 1_000);
    rig.host().script([Some(Fault::Silent)]);
    let (small, large) = (rig.authorisation(1_000), rig.authorisation(1_001));
    assert_eq!(code(&rig.ask(&small)), "00");
    rig.host().script([Some(Fault::Deaf)]);
    assert_eq!(code(&rig.ask(&large)), "91");
    rig.agrees();
    rig.stop_host();
    let sale = rig.sale(700);
    assert_eq!(code(&rig.ask(&sale)), "00");
    rig.start_host();
    rig.agrees();
    assert_eq!(rig.host().ledger(|ledger| ledger.standing()), 1_700);
    // What comes later finds what stands for it now.
    let completion = rig.completion(&small, 600);
    assert_eq!(code(&rig.ask(&completion)), "00");
    let reversal = rig.reversal(&sale, None);
    assert_eq!(code(&rig.ask(&reversal)), "00");
    rig.agrees();
    rig.stop();
}

#[test]
fn what_happens_to_a_purchase_later_reaches_the_host() {
    let mut rig = Rig::start(6);
    let first = rig.authorisation(10_000);
    assert_eq!(code(&rig.ask(&first)), "00");
    rig.agrees();
    let part = rig.reversal(&first, Some(8_000));
    assert_eq!(code(&rig.ask(&part)), "00");
    rig.agrees();
    let completion = rig.completion(&first, 5_000);
    assert_eq!(code(&rig.ask(&completion)), "00");
    rig.agrees();
    let refund = rig.refund(&first, 1_500);
    assert_eq!(code(&rig.ask(&refund)), "00");
    rig.agrees();
    let sale = rig.sale(700);
    assert_eq!(code(&rig.ask(&sale)), "00");
    let reversal = rig.reversal(&sale, None);
    assert_eq!(code(&rig.ask(&reversal)), "00");
    rig.agrees();
    // While the host is away it is written down.
    rig.stop_host();
    let rest = rig.completion(&first, 1_000);
    assert_eq!(code(&rig.ask(&rest)), "00");
    std::thread::sleep(Duration::from_millis(300));
    rig.kill();
    rig.start_host();
    rig.serve();
    rig.agrees();
    rig.stop();
}

#[test]
fn a_host_of_an_issuer_that_is_not_there_is_said_so() {
    let home = harness::Home::with(mayfly_testing::Store::Sqlite, "");
    home.configure_more(
        "[[issuer_hosts]]\nissuer = \"iss_9\"\naddresses = [\"127.0.0.1:9\"]\nacquirer = \"990001\"\n",
    );
    let said = home.refused();
    assert!(said.contains("iss_9") && said.contains("no such issuer"), "{said}");
    for (wrong, expected) in [
        ("issuer = \"iss_1\"\naddresses = [\"127.0.0.1:9\"]\n", "lacks acquirer"),
        ("issuer = \"bank\"\naddresses = [\"h:9\"]\nacquirer = \"1\"\n", "is \"bank\""),
        ("issuer = \"iss_1\"\naddresses = [\"127.0.0.1\"]\nacquirer = \"1\"\n", "and a port"),
        ("issuer = \"iss_1\"\naddresses = []\nacquirer = \"1\"\n", "1 to 16"),
        ("issuer = \"iss_1\"\naddresses = [\"h:9\"]\nacquirer = \"1\"\nconnections = 65\n", "1 to 64"),
        (
            "issuer = \"iss_1\"\naddresses = [\"h:9\"]\nacquirer = \"1\"\nconections = 5\n",
            "did you mean `connections`",
        ),
        (
            "issuer = \"iss_1\"\naddresses = [\"h:9\"]\nacquirer = \"1\"\nreconnect_ms_max = 1\n",
            "fit together",
        ),
    ] {
        let home = harness::Home::with(mayfly_testing::Store::Sqlite, "");
        home.configure_more(&format!("[[issuer_hosts]]\n{wrong}"));
        let said = home.refused();
        assert!(said.contains(expected), "{said}");
    }
}

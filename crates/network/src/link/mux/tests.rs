//! What holds whatever happens in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use mayfly_iso8583::{De, Mti};
use proptest::prelude::*;

use super::super::key::tests::{question, read};
use super::*;

const BOUNDS: Bounds = Bounds { in_flight_max: 2, queue_max: 2, late_max: 3, output_bytes_max: 4_096 };

fn mux() -> Mux<u32> {
    // Two connections to host 0, one to host 1.
    Mux::new([0, 0, 1], BOUNDS, 0)
}

fn ask(mux: &mut Mux<u32>, stan: u32) -> Result<(Key, u64), LinkError> {
    read(&question(stan), |message| mux.ask(message, &[7; 10], stan))
}

fn answer(mux: &mut Mux<u32>, line: usize, stan: u32) -> Came<u32> {
    let mut answer = question(stan);
    answer.set_mti(Mti::AUTHORISATION_RESPONSE).set(De::RESPONSE_CODE, "00");
    read(&answer, |message| mux.came(line, message))
}

#[test]
fn nothing_is_taken_before_a_connection_is_signed_on() {
    let mut mux = mux();
    assert_eq!(ask(&mut mux, 1), Err(LinkError::NotSignedOn));
    mux.up(1);
    ask(&mut mux, 1).unwrap();
    assert_eq!(mux.drain_wakes().collect::<Vec<_>>(), [1]);
    assert_eq!(answer(&mut mux, 1, 1), Came::For(1));
    assert_eq!(answer(&mut mux, 1, 1), Came::Unmatched, "only once");
}

#[test]
fn connections_take_turns_and_the_rest_waits_or_is_refused() {
    let mut mux = mux();
    mux.up(0);
    mux.up(2);
    for stan in 1..=6 {
        ask(&mut mux, stan).unwrap();
    }
    assert_eq!(mux.lines.iter().map(|line| line.in_flight).collect::<Vec<_>>(), [2, 0, 2]);
    assert_eq!(ask(&mut mux, 7), Err(LinkError::Busy));
    assert_eq!(ask(&mut mux, 6), Err(LinkError::Duplicate));
    // Nobody can answer what was not sent.
    assert_eq!(answer(&mut mux, 0, 5), Came::Unmatched);
    assert_eq!(answer(&mut mux, 0, 1), Came::For(1));
    assert_eq!(answer(&mut mux, 0, 5), Came::For(5));
    assert_eq!(mux.len(), 4);
    let mut taken = 0;
    mux.take_outbox(0, 0, |bytes| taken = bytes.len());
    assert_eq!(taken, 40, "1, 3, 5 and 6");
}

#[test]
fn a_host_answers_only_what_it_was_asked_but_over_any_connection() {
    let mut mux = mux();
    mux.up(0);
    ask(&mut mux, 1).unwrap();
    mux.up(1);
    mux.up(2);
    assert_eq!(answer(&mut mux, 2, 1), Came::Unmatched);
    assert_eq!(answer(&mut mux, 1, 1), Came::For(1));
}

#[test]
fn an_answer_that_contradicts_is_not_delivered() {
    let mut mux = mux();
    mux.up(0);
    ask(&mut mux, 1).unwrap();
    let mut wrong = question(1);
    wrong.set_mti(Mti::AUTHORISATION_RESPONSE).set(De::RESPONSE_CODE, "00").set(De::AMOUNT, "1");
    assert_eq!(read(&wrong, |message| mux.came(0, message)), Came::Contradicts);
    assert_eq!(answer(&mut mux, 0, 1), Came::For(1));
}

#[test]
fn what_was_given_up_is_late_once_and_a_repeat_takes_it_over() {
    let mut mux = mux();
    mux.up(0);
    let (key, turn) = ask(&mut mux, 1).unwrap();
    assert_eq!(mux.give_up(&key, turn), GivenUp::Sent);
    assert_eq!(mux.give_up(&key, turn), GivenUp::Told);
    assert_eq!(answer(&mut mux, 0, 1), Came::Late);
    assert_eq!(answer(&mut mux, 0, 1), Came::Unmatched);
    let (key, turn) = ask(&mut mux, 2).unwrap();
    assert_eq!(mux.give_up(&key, turn), GivenUp::Sent);
    let (_, again) = ask(&mut mux, 2).unwrap();
    assert_eq!(mux.give_up(&key, turn), GivenUp::Told, "that was another turn");
    assert_eq!(answer(&mut mux, 0, 2), Came::For(2));
    assert_eq!(mux.give_up(&key, again), GivenUp::Told);
}

#[test]
fn the_oldest_that_was_given_up_is_forgotten_first() {
    let mut mux = mux();
    mux.up(0);
    for stan in 1..=4 {
        let (key, turn) = ask(&mut mux, stan).unwrap();
        assert_eq!(mux.give_up(&key, turn), GivenUp::Sent);
    }
    assert_eq!(answer(&mut mux, 0, 1), Came::Unmatched);
    assert_eq!(answer(&mut mux, 0, 2), Came::Late);
}

#[test]
fn what_a_closed_connection_had_is_lost_and_what_waits_goes_elsewhere_or_back() {
    let mut mux = mux();
    mux.up(0);
    mux.up(2);
    for stan in 1..=6 {
        ask(&mut mux, stan).unwrap();
    }
    let Down { mut sent, queued } = mux.down(0);
    sent.sort_unstable();
    assert_eq!((sent, queued), (vec![1, 3], vec![]));
    assert_eq!(answer(&mut mux, 1, 1), Came::Late, "over the host's other connection");
    let Down { mut sent, mut queued } = mux.down(2);
    sent.sort_unstable();
    queued.sort_unstable();
    assert_eq!((sent, queued), (vec![2, 4], vec![5, 6]));
    assert_eq!((mux.len(), mux.stans.len()), (0, 0));
    assert_eq!(ask(&mut mux, 5), Err(LinkError::NotSignedOn));
}

#[test]
fn a_host_that_does_not_read_gets_no_more() {
    let mut mux = mux();
    mux.up(0);
    mux.take_outbox(0, 4_096, |_| ());
    ask(&mut mux, 1).unwrap();
    assert_eq!(mux.queue.len(), 1);
    let mut taken = 0;
    mux.take_outbox(0, 0, |bytes| taken = bytes.len());
    assert_eq!((mux.queue.len(), taken), (0, 10));
}

#[test]
fn stans_go_round_and_leave_out_what_is_under_way() {
    let mut mux = Mux::new([0], BOUNDS, 999_997);
    mux.up(0);
    ask(&mut mux, 1).unwrap();
    let stans: Vec<u32> = (0..4).map(|_| mux.next_stan().value()).collect();
    assert_eq!(stans, [999_998, 999_999, 2, 3]);
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u32),
    Answer(usize, u32),
    GiveUp(u32),
    Up(usize),
    Out(usize),
    Down(usize),
    Write(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let line = 0..3_usize;
    prop_oneof![
        6 => (1..12_u32).prop_map(Step::Ask),
        6 => (line.clone(), 1..12_u32).prop_map(|(line, stan)| Step::Answer(line, stan)),
        2 => (1..12_u32).prop_map(Step::GiveUp),
        2 => line.clone().prop_map(Step::Up),
        1 => line.clone().prop_map(Step::Out),
        1 => line.clone().prop_map(Step::Down),
        2 => (line, 0..5_000_usize).prop_map(|(line, unwritten)| Step::Write(line, unwritten)),
    ]
}

proptest! {
    /// Every question is told exactly one thing, never another's answer, and no bound is passed.
    #[test]
    fn whoever_asks_is_told_once(steps in prop::collection::vec(step(), 0..200)) {
        let mut mux = mux();
        let mut waiting: BTreeMap<u32, (Key, u64)> = BTreeMap::new();
        for step in steps {
            let mut told = Vec::new();
            match step {
                Step::Ask(stan) => match ask(&mut mux, stan) {
                    Ok(known) => prop_assert!(waiting.insert(stan, known).is_none()),
                    Err(LinkError::Duplicate) => prop_assert!(waiting.contains_key(&stan)),
                    Err(LinkError::NotSignedOn) => prop_assert_eq!(mux.in_service(), 0),
                    Err(error) => prop_assert_eq!(error, LinkError::Busy),
                },
                Step::Answer(line, stan) => match answer(&mut mux, line, stan) {
                    Came::For(whom) => {
                        prop_assert_eq!(whom, stan);
                        told.push(whom);
                    }
                    Came::Late => prop_assert!(!waiting.contains_key(&stan)),
                    Came::Contradicts => prop_assert!(false, "none does"),
                    Came::Unmatched => {}
                },
                Step::GiveUp(stan) => {
                    if let Some((key, turn)) = waiting.remove(&stan) {
                        prop_assert_ne!(mux.give_up(&key, turn), GivenUp::Told);
                        prop_assert_eq!(mux.give_up(&key, turn), GivenUp::Told);
                    }
                }
                Step::Up(line) => mux.up(line),
                Step::Out(line) => told.extend(mux.out_of_service(line)),
                Step::Down(line) => {
                    let Down { sent, queued } = mux.down(line);
                    told.extend(sent.into_iter().chain(queued));
                }
                Step::Write(line, unwritten) => mux.take_outbox(line, unwritten, |_| ()),
            }
            for whom in told {
                prop_assert!(waiting.remove(&whom).is_some(), "{} was told twice", whom);
            }
            let stans: BTreeSet<u32> = mux.stans.keys().map(|stan| stan.value()).collect();
            prop_assert!(stans.iter().eq(waiting.keys()));
            prop_assert_eq!(mux.len(), waiting.len());
            let queued = mux.waiting.values().filter(|waiting| waiting.line.is_none()).count();
            prop_assert_eq!(mux.queue.len(), queued);
            prop_assert!(queued <= BOUNDS.queue_max);
            prop_assert!(mux.late.len() <= BOUNDS.late_max && mux.late_order.len() <= BOUNDS.late_max);
            for (at, line) in mux.lines.iter().enumerate() {
                let on_it = mux.waiting.values().filter(|waiting| waiting.line == Some(at)).count();
                prop_assert_eq!(line.in_flight, on_it);
                prop_assert!(on_it <= BOUNDS.in_flight_max);
            }
        }
    }
}

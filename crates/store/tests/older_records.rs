//! Records that earlier versions wrote are read, folded and loaded as what they mean today.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ground, PARTITION, Play, alone, assert_same, assert_state, fold, on_both, reopen};
use mayfly_card::{Currency, Expiry, LastFour, MerchantId, MinorUnits, Stan};
use mayfly_core::scheme::dynamic::Proof;
use mayfly_core::{
    AccountId, Asked, Cvc2Check, Facts, Hash64, IssuerId, Kind, MessageKind, NumberId, NumberRef, Original,
    PartitionId, Presented, Processing, ProgrammeId, QuestionId, Request, TransactionId, WhenLate, Whom,
};
use mayfly_engine::{Entry, Journal, Record};
use mayfly_keys::NumberIndex;
use sha2::{Digest, Sha256};

/// What the last version with one kind of asker wrote (format 4): a message about which an issuer's endpoint is asked.
const ASKED: &str = "0cac02020202010100000000000000020000000000000003000000000000000101004d040000000000000000efcdab896745\
    230101018804011c0502c2130164c806010100000000054d2d303031000000d7bb89970400000102ab0207010901010107efcdab896745230101\
    80d8c1a28c3401";
/// And that it was stopped before the word came.
const RESOLVED: &str = "0dac02020300";
const FORMAT: u8 = 4;

on_both!(a_question_of_format_4_is_still_asked);

/// Writes one event as that version did, as the next entry.
fn append(play: &mut Play, hex: &str) {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let payload = (0..hex.len()).step_by(2).map(byte).collect();
    let mut record = Record::seal(&play.ends.head(PARTITION), PARTITION, play.now_ms, 1, payload);
    record.version = FORMAT;
    let mut hash = Sha256::new();
    hash.update(b"mayfly/record/v1\0");
    hash.update(record.partition.0.to_be_bytes());
    hash.update(record.sequence.to_be_bytes());
    hash.update(record.at_ms.to_be_bytes());
    hash.update(record.count.to_be_bytes());
    hash.update([record.version]);
    hash.update(record.previous);
    hash.update(&record.payload);
    record.hash = hash.finalize().into();
    let entry = Entry { number: play.ends.number + 1, ..alone(&record) };
    play.journal.append(&entry).unwrap();
    play.ends.advance(&entry);
}

fn expected() -> Asked {
    let index = NumberIndex(0x0123_4567_89ab_cdef);
    let minor = |amount| MinorUnits::new(amount).unwrap();
    let merchant = MerchantId::parse("M-001").unwrap();
    Asked {
        question: QuestionId(300),
        issuer: IssuerId(2),
        kind: Kind::Increment,
        request: Request {
            message: MessageKind::Financial,
            processing: Processing::Refund,
            reference: Hash64(1),
            identity: Hash64(2),
            content: Hash64(3),
            original: Some(Original {
                message: Some((MessageKind::Authorisation, Stan::from_value(77).unwrap())),
                reference: Hash64(4),
            }),
            number: Presented::Number {
                index,
                programme: Some(ProgrammeId(1)),
                last_four: LastFour::from_value(520).unwrap(),
            },
            expiry: Some(Expiry::parse_yymm("2805").unwrap()),
            cvc2: Cvc2Check::Wrong,
            proof: Proof::NoKey,
            amount: minor(2498),
            replacement: Some(minor(100)),
            currency: Currency::from_number(840).unwrap(),
            declined_elsewhere: true,
            repeat: true,
            facts: Facts { merchant, transmitted: 1_122_131_415, ..Facts::default() },
            paged: Some(vec![TransactionId(299), TransactionId(7)]),
            partition: PartitionId::default(),
        },
        account: Some(AccountId(9)),
        programme: Some(ProgrammeId(1)),
        number: Some(NumberRef { id: NumberId(7), index }),
        keeps_use: true,
        deadline_ms: 1_790_000_000_000,
        when_late: WhenLate::Approve,
        whom: Whom::Hook,
        ceiling: MinorUnits::MAX,
    }
}

fn a_question_of_format_4_is_still_asked(ground: Ground) {
    let mut play = Play::new(&ground.home, 71);
    append(&mut play, ASKED);
    // Once from the journal, and once from the views.
    for _ in 0..2 {
        let opened = reopen(&ground.home);
        let pending = &opened.partitions.get(PARTITION).unwrap().pending;
        assert_eq!(pending.iter().collect::<Vec<_>>(), [&expected()]);
        drop(opened);
        fold(&play.home, &play.ends);
        assert_same(&ground.home);
        assert_eq!(ground.raw("views", "SELECT count(*) FROM pending WHERE whom = 'hook' AND number = 7"), 1);
    }
    append(&mut play, RESOLVED);
    fold(&play.home, &play.ends);
    assert_eq!(ground.raw("views", "SELECT count(*) FROM pending"), 0);
    // Which the last question was is known.
    play.partitions.get_mut(PARTITION).unwrap().pending.count_up_to(QuestionId(300));
    assert_state(&reopen(&ground.home).partitions, &play.partitions);
}

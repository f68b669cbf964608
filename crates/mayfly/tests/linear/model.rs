//! What an account and its numbers must do, written down once more and as simply as possible: for one call after the other.

use std::collections::BTreeMap;

use crate::checker::Object;

/// Up to this amount, in cents, the reversal of a purchase gives the number's use back, once.
pub(crate) const SMALL: i64 = 100;
/// How often a purchase with a number may fail for want of money.
const TRIES: u8 = 3;

/// An account, and the numbers that pay from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    /// What can be spent, in cents.
    available: i64,
    numbers: Vec<Number>,
    purchases: BTreeMap<u32, Purchase>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Number {
    uses: u32,
    tries: u8,
    /// Whether a small purchase was made, and reversing it would give the use back.
    revivable: bool,
    revived: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Purchase {
    /// Its reversal came first, so that it will be declined.
    ReversedFirst,
    Declined,
    Approved(Standing),
}

/// Amounts in cents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Standing {
    number: usize,
    amount: i64,
    /// Captured at once, and not held.
    financial: bool,
    held: i64,
    captured: i64,
    refunded: i64,
    /// Of what was authorised.
    given_back: i64,
}

/// What is asked. `id` is a purchase's; amounts in cents.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Purchase {
        id: u32,
        number: usize,
        amount: i64,
        financial: bool,
    },
    Complete {
        id: u32,
        amount: i64,
    },
    Reverse {
        id: u32,
    },
    Refund {
        id: u32,
        amount: i64,
    },
    /// The server takes back by itself what it approved too late.
    TakeBack {
        id: u32,
    },
    /// How much can be spent?
    Look,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A response code.
    Code(String),
    /// What can be spent, in cents.
    Available(i64),
}

pub(crate) fn code(text: &str) -> Said {
    Said::Code(text.to_owned())
}

impl Account {
    /// With so much to spend, in cents, and numbers that are good so many times.
    pub(crate) fn new(available: i64, uses: &[u32]) -> Self {
        let number = |uses: &u32| Number { uses: *uses, tries: TRIES, revivable: false, revived: false };
        Self { available, numbers: uses.iter().map(number).collect(), purchases: BTreeMap::new() }
    }

    fn purchase(&mut self, id: u32, at: usize, amount: i64, financial: bool) -> &'static str {
        let declined = self.purchases.insert(id, Purchase::Declined);
        assert!(!matches!(declined, Some(Purchase::Approved(_) | Purchase::Declined)), "{id} is made twice");
        let number = &mut self.numbers[at];
        if declined.is_some() || number.uses == 0 || number.tries == 0 {
            return "05";
        }
        if amount > self.available {
            number.tries -= 1;
            return "51";
        }
        number.uses -= 1;
        number.revivable |= amount <= SMALL && !number.revived;
        self.available -= amount;
        let (held, captured) = if financial { (0, amount) } else { (amount, 0) };
        let standing = Standing { number: at, amount, financial, held, captured, refunded: 0, given_back: 0 };
        self.purchases.insert(id, Purchase::Approved(standing));
        "00"
    }

    fn reverse(&mut self, id: u32) -> &'static str {
        let Some(purchase) = self.purchases.get_mut(&id) else {
            self.purchases.insert(id, Purchase::ReversedFirst);
            return "00";
        };
        let Purchase::Approved(standing) = purchase else { return "00" };
        let back = standing.give_back();
        if back == 0 {
            return "12";
        }
        self.available += back;
        let number = &mut self.numbers[standing.number];
        let is_active = number.tries > 0 && (number.uses > 0 || number.revivable);
        if standing.captured == 0 && standing.amount <= SMALL && is_active && !number.revived {
            (number.uses, number.revived, number.revivable) = (number.uses + 1, true, false);
        }
        "00"
    }

    fn complete(&mut self, id: u32, amount: i64) -> &'static str {
        let Some(Purchase::Approved(standing)) = self.purchases.get_mut(&id) else {
            return "nothing to complete";
        };
        let left = standing.amount - standing.given_back - standing.captured;
        if left <= 0 {
            return "12";
        }
        if amount > left {
            return "13";
        }
        standing.held -= amount;
        standing.captured += amount;
        "00"
    }

    fn refund(&mut self, id: u32, amount: i64) -> &'static str {
        let Some(Purchase::Approved(standing)) = self.purchases.get_mut(&id) else {
            return "nothing to refund";
        };
        if standing.captured == 0 {
            return "12";
        }
        if standing.captured - standing.refunded < amount {
            return "13";
        }
        standing.refunded += amount;
        self.available += amount;
        "00"
    }

    fn take_back(&mut self, id: u32) -> &'static str {
        let Some(Purchase::Approved(standing)) = self.purchases.get_mut(&id) else {
            return "nothing to take back";
        };
        let back = standing.held + standing.captured - standing.refunded;
        if back == 0 {
            return "nothing to take back";
        }
        self.available += back;
        standing.given_back += back;
        (standing.held, standing.captured) = (0, standing.refunded);
        "00"
    }
}

impl Standing {
    /// What a reversal gives back.
    fn give_back(&mut self) -> i64 {
        let stands = if self.financial { &mut self.captured } else { &mut self.held };
        let back = *stands - if self.financial { self.refunded } else { 0 };
        *stands -= back;
        self.given_back += back;
        back
    }
}

impl Object for Account {
    type Op = Op;
    type Answer = Said;

    fn call(&mut self, op: &Op) -> Said {
        code(match *op {
            Op::Purchase { id, number, amount, financial } => self.purchase(id, number, amount, financial),
            Op::Complete { id, amount } => self.complete(id, amount),
            Op::Reverse { id } => self.reverse(id),
            Op::Refund { id, amount } => self.refund(id, amount),
            Op::TakeBack { id } => self.take_back(id),
            Op::Look => return Said::Available(self.available),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::{Call, Returned, check};

    fn buy(id: u32, amount: i64) -> Op {
        Op::Purchase { id, number: 0, amount, financial: false }
    }

    /// Calls one after the other.
    fn in_turn(calls: &[(Op, Said)]) -> Vec<Call<Op, Said>> {
        let call = |(at, (op, answer)): (usize, &(Op, Said))| Call {
            op: op.clone(),
            called: at as u64 * 10,
            returned: Some(Returned { at: at as u64 * 10 + 5, answer: answer.clone() }),
        };
        calls.iter().enumerate().map(call).collect()
    }

    /// Calls at the same time.
    fn at_once(calls: &[(Op, Said)]) -> Vec<Call<Op, Said>> {
        let mut calls = in_turn(calls);
        for call in &mut calls {
            call.called = 0;
            call.returned.as_mut().unwrap().at = 100;
        }
        calls
    }

    fn holds(account: &Account, calls: &[Call<Op, Said>]) -> bool {
        check(account, calls).is_ok()
    }

    #[test]
    fn a_number_for_one_purchase_is_used_once() {
        let account = Account::new(10_000, &[1]);
        let race = |first, second| at_once(&[(buy(1, 500), code(first)), (buy(2, 500), code(second))]);
        assert!(holds(&account, &race("00", "05")) && holds(&account, &race("05", "00")));
        assert!(!holds(&account, &race("00", "00")), "used twice");
        assert!(!holds(&account, &race("05", "05")), "used by nobody");
        // Whoever comes after the one who got it gets nothing, and the other way round.
        assert!(holds(&account, &in_turn(&[(buy(1, 500), code("00")), (buy(2, 500), code("05"))])));
        assert!(!holds(&account, &in_turn(&[(buy(1, 500), code("05")), (buy(2, 500), code("00"))])));
    }

    #[test]
    fn an_unanswered_purchase_explains_a_use_that_is_gone() {
        let account = Account::new(10_000, &[1]);
        let mut calls = in_turn(&[(buy(1, 500), code("00")), (buy(2, 500), code("05"))]);
        calls[0].returned = None;
        assert!(holds(&account, &calls));
        // But only once: two uses can't both be there and be gone.
        calls.push(Call {
            op: buy(3, 500),
            called: 30,
            returned: Some(Returned { at: 35, answer: code("00") }),
        });
        assert!(!holds(&account, &calls));
    }

    #[test]
    fn money_is_spent_once() {
        let account = Account::new(1000, &[5, 5]);
        let other = Op::Purchase { id: 2, number: 1, amount: 600, financial: true };
        let race = |second| at_once(&[(buy(1, 600), code("00")), (other.clone(), code(second))]);
        assert!(holds(&account, &race("51")));
        assert!(!holds(&account, &race("00")));
        let end = |available| in_turn(&[(buy(1, 600), code("00")), (Op::Look, Said::Available(available))]);
        assert!(holds(&account, &end(400)) && !holds(&account, &end(1000)));
    }

    #[test]
    fn a_reversal_before_its_purchase_wins() {
        let account = Account::new(1000, &[1]);
        let reverse = (Op::Reverse { id: 1 }, code("00"));
        assert!(holds(&account, &in_turn(&[reverse.clone(), (buy(1, 600), code("05"))])));
        assert!(!holds(&account, &in_turn(&[reverse, (buy(1, 600), code("00"))])));
    }

    #[test]
    fn a_small_purchase_gives_its_use_back_once() {
        let account = Account::new(1000, &[1]);
        let reverse = |id| (Op::Reverse { id }, code("00"));
        let twice = |third| {
            in_turn(&[
                (buy(1, 100), code("00")),
                reverse(1),
                (buy(2, 100), code("00")),
                reverse(2),
                (buy(3, 100), code(third)),
            ])
        };
        assert!(holds(&account, &twice("05")) && !holds(&account, &twice("00")));
        let large = |second| in_turn(&[(buy(1, 101), code("00")), reverse(1), (buy(2, 100), code(second))]);
        assert!(holds(&account, &large("05")) && !holds(&account, &large("00")));
    }

    #[test]
    fn what_was_completed_is_not_given_back_by_a_reversal() {
        let account = Account::new(1000, &[1]);
        let end = |available| {
            in_turn(&[
                (buy(1, 600), code("00")),
                (Op::Complete { id: 1, amount: 200 }, code("00")),
                (Op::Reverse { id: 1 }, code("00")),
                (Op::Reverse { id: 1 }, code("12")),
                (Op::Look, Said::Available(available)),
            ])
        };
        assert!(holds(&account, &end(800)) && !holds(&account, &end(1000)));
    }

    #[test]
    fn what_is_taken_back_stays_used() {
        let account = Account::new(1000, &[1]);
        let taken = in_turn(&[
            (buy(1, 600), code("00")),
            (Op::TakeBack { id: 1 }, code("00")),
            (buy(2, 600), code("05")),
            (Op::Look, Said::Available(1000)),
        ]);
        assert!(holds(&account, &taken));
    }
}

//! Whether what many clients saw of one thing can have happened one after the other: each call at some moment between when
//! it was made and when it was answered (Wing and Gong, "Testing and verifying concurrent objects", 1993; with the memory of
//! Lowe, "Testing for linearizability", 2017).
//!
//! A call that was never answered may have happened at any time after it was made, or not at all.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

/// What is called: how it stands, and what a call makes of that.
pub(crate) trait Object: Clone + Eq + Hash + fmt::Debug {
    /// What can be asked of it.
    type Op: fmt::Debug;
    /// What it answers.
    type Answer: PartialEq + fmt::Debug;

    /// Does it, and answers.
    fn call(&mut self, op: &Self::Op) -> Self::Answer;
}

/// A call, as its client saw it. Times are those of one clock, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Call<O, A> {
    pub(crate) op: O,
    pub(crate) called: u64,
    /// None if nobody knows what became of it.
    pub(crate) returned: Option<Returned<A>>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Returned<A> {
    /// When; [`u64::MAX`] if it is only known that it happened.
    pub(crate) at: u64,
    pub(crate) answer: A,
}

/// How many calls a history may have.
pub(crate) const CALLS_MAX: usize = 128;

/// Why there is no order.
#[derive(Debug)]
pub(crate) struct NoOrder(String);

impl fmt::Display for NoOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of the calls have happened, and how things stand then.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Prefix<T> {
    happened: u128,
    object: T,
}

/// Finds an order in which the calls can have happened, beginning with `object`.
pub(crate) fn check<T: Object>(object: &T, calls: &[Call<T::Op, T::Answer>]) -> Result<(), NoOrder> {
    assert!(calls.len() <= CALLS_MAX, "a history of {} calls is too long", calls.len());
    let bit = |at: usize| 1_u128 << at;
    let answered = (0..calls.len()).filter(|at| calls[*at].returned.is_some()).map(bit).sum::<u128>();
    let begin = Prefix { happened: 0, object: object.clone() };
    let mut seen = HashSet::from([begin.clone()]);
    let mut longest = begin.clone();
    let mut open = vec![begin];
    while let Some(prefix) = open.pop() {
        if prefix.happened & answered == answered {
            return Ok(());
        }
        if prefix.happened.count_ones() > longest.happened.count_ones() {
            longest = prefix.clone();
        }
        let left = || (0..calls.len()).filter(|at| prefix.happened & bit(*at) == 0);
        // Whatever was called after another call was answered comes after it.
        let ends = |at: usize| calls[at].returned.as_ref().map_or(u64::MAX, |returned| returned.at);
        let first_end = left().map(ends).min().unwrap_or(u64::MAX);
        let mut next: Vec<_> = left().filter(|at| calls[*at].called <= first_end).collect();
        // The last one is tried first: what was answered first has likely happened first.
        next.sort_by_key(|at| std::cmp::Reverse((ends(*at), calls[*at].called)));
        for at in next {
            let mut after = prefix.clone();
            let answer = after.object.call(&calls[at].op);
            if calls[at].returned.as_ref().is_some_and(|returned| returned.answer != answer) {
                continue;
            }
            after.happened |= bit(at);
            if seen.insert(after.clone()) {
                open.push(after);
            }
        }
    }
    Err(NoOrder(explain(&longest, calls)))
}

/// How far one comes, and what is left then.
fn explain<T: Object>(longest: &Prefix<T>, calls: &[Call<T::Op, T::Answer>]) -> String {
    let mut lines = vec![format!("after the calls marked + it can stand like this: {:?}", longest.object)];
    let mut order: Vec<_> = (0..calls.len()).collect();
    order.sort_by_key(|at| calls[*at].called);
    for at in order {
        let mark = if longest.happened >> at & 1 == 1 { '+' } else { '-' };
        let Call { op, called, returned } = &calls[at];
        let called = *called as f64 / 1e9;
        lines.push(match returned {
            Some(Returned { at: u64::MAX, answer }) => {
                format!("{mark} {called:.6} … ? {op:?}: {answer:?}")
            }
            Some(Returned { at, answer }) => {
                format!("{mark} {called:.6} … {:.6} {op:?}: {answer:?}", *at as f64 / 1e9)
            }
            None => format!("{mark} {called:.6} … {op:?}: no answer"),
        });
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register: the simplest thing there is.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Register(u32);

    #[derive(Clone, Debug)]
    enum Op {
        Write(u32),
        Read,
    }

    impl Object for Register {
        type Op = Op;
        type Answer = u32;

        fn call(&mut self, op: &Op) -> u32 {
            if let Op::Write(value) = op {
                self.0 = *value;
            }
            self.0
        }
    }

    fn call(op: Op, called: u64, returned: Option<(u64, u32)>) -> Call<Op, u32> {
        Call { op, called, returned: returned.map(|(at, answer)| Returned { at, answer }) }
    }

    fn holds(calls: &[Call<Op, u32>]) -> bool {
        check(&Register(0), calls).is_ok()
    }

    #[test]
    fn what_overlaps_may_have_happened_either_way() {
        for read in [0, 1] {
            assert!(holds(&[call(Op::Write(1), 10, Some((30, 1))), call(Op::Read, 20, Some((40, read))),]));
        }
    }

    #[test]
    fn what_came_later_happened_later() {
        let write = call(Op::Write(1), 10, Some((20, 1)));
        assert!(holds(&[write.clone(), call(Op::Read, 30, Some((40, 1)))]));
        assert!(!holds(&[write, call(Op::Read, 30, Some((40, 0)))]));
    }

    #[test]
    fn nobody_reads_what_was_never_written() {
        assert!(!holds(&[call(Op::Write(1), 10, Some((20, 1))), call(Op::Read, 10, Some((20, 2)))]));
    }

    #[test]
    fn two_readers_agree_on_the_order() {
        let writes = [call(Op::Write(1), 0, Some((100, 1))), call(Op::Write(2), 0, Some((100, 2)))];
        let read = |at, value| call(Op::Read, at, Some((at + 5, value)));
        let all = |reads: [Call<Op, u32>; 3]| [writes.to_vec(), reads.to_vec()].concat();
        assert!(holds(&all([read(10, 1), read(20, 2), read(30, 2)])));
        assert!(!holds(&all([read(10, 1), read(20, 2), read(30, 1)])));
    }

    #[test]
    fn what_was_never_answered_may_happen_late_or_never() {
        let write = call(Op::Write(1), 10, None);
        assert!(holds(&[write.clone(), call(Op::Read, 20, Some((30, 0)))]));
        assert!(holds(&[
            write.clone(),
            call(Op::Read, 20, Some((30, 0))),
            call(Op::Read, 40, Some((50, 1)))
        ]));
        // But not before it was asked for, and once.
        assert!(!holds(&[call(Op::Read, 0, Some((5, 1))), write.clone()]));
        assert!(!holds(&[
            write,
            call(Op::Read, 20, Some((30, 1))),
            call(Op::Write(0), 40, Some((50, 0))),
            call(Op::Read, 60, Some((70, 1))),
        ]));
    }

    #[test]
    fn what_certainly_happened_may_happen_late_but_does() {
        let write = call(Op::Write(1), 10, Some((u64::MAX, 1)));
        assert!(holds(&[write.clone(), call(Op::Read, 20, Some((30, 0)))]));
        assert!(holds(&[write, call(Op::Read, 20, Some((30, 1)))]));
        // An answer that it can't have had.
        assert!(!holds(&[call(Op::Read, 10, Some((u64::MAX, 7)))]));
    }
}

//! Sends what is owed over a link, until it is acknowledged.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_iso8583::MessageBuilder;
use mayfly_keys::Random;
use tokio::task::JoinSet;
use tokio::time;

use super::{Due, Forward, ForwardMeter, ForwardOptions, Sent, Settled};
use crate::link::{IssuerLink, LinkError};

/// How often it is looked whether a host is there again.
const LOOK: Duration = Duration::from_millis(200);

/// Where it is written down what is owed: the journal, or what follows from it. This is what survives a restart; all
/// that [`run`] keeps of it can be lost.
pub trait Reversals: Send {
    /// What names one. They ascend in the order in which they came to be owed: the place in a journal does.
    type Id: Copy + Eq + Ord + Hash + fmt::Debug + Send + 'static;

    /// Those that are not settled, in ascending order, behind `after` and at most so many of them.
    fn unsettled(
        &mut self,
        after: Option<Self::Id>,
        count_max: usize,
    ) -> impl Future<Output = Vec<Self::Id>> + Send;

    /// Returns when there may be more than were told. It is dropped and called again whenever something else happens.
    fn more(&mut self) -> impl Future<Output = ()> + Send;

    /// The message (0420), the same each time: its STAN and transmission time are written down too, so that the host
    /// knows a repeat. None if it is owed no more.
    fn message(&mut self, id: Self::Id) -> impl Future<Output = Option<MessageBuilder>> + Send;

    /// The host has acknowledged it. If that can't be written down it will be sent again, by the next process.
    fn settled(&mut self, id: Self::Id, how: Settled) -> impl Future<Output = ()> + Send;
}

/// Forwards for as long as it is polled. It may be dropped at any moment: what is not settled then is found, and sent
/// as a repeat, by the next.
pub async fn run<R: Reversals>(
    link: IssuerLink,
    mut reversals: R,
    options: ForwardOptions,
    mut random: Box<dyn Random + Send>,
    meter: Arc<ForwardMeter>,
) {
    let mut queue = Forward::new(options);
    let mut under_way: JoinSet<(R::Id, Result<MessageBuilder, LinkError>)> = JoinSet::new();
    let mut last = None;
    // What is found first may have been sent by the process before.
    let (mut look, mut repeat) = (true, true);
    loop {
        let room = queue.room();
        if look && room > 0 {
            let found = reversals.unsettled(last, room).await;
            look = found.len() >= room;
            for id in found {
                last = Some(id);
                queue.add(id, repeat, Instant::now());
            }
            repeat &= look;
        }
        let in_service = link.in_service() > 0;
        while in_service && let Some(Due { id, repeat }) = queue.next(Instant::now()) {
            let Some(mut message) = reversals.message(id).await else {
                queue.forget(id);
                continue;
            };
            if repeat {
                message.set_mti(message.mti().with_repeat());
            }
            meter.sends(repeat);
            let link = link.clone();
            under_way.spawn(async move { (id, link.send(message).await) });
        }
        meter.set_owed(queue.len());
        let next_at = if in_service { queue.next_at() } else { None };
        let next = next_at.unwrap_or_else(|| Instant::now() + LOOK);
        tokio::select! {
            Some(Ok((id, result))) = under_way.join_next() => {
                if let Err(error) = &result {
                    tracing::warn!(?id, %error, "a reversal was not acknowledged");
                }
                let settled = queue.sent(id, Sent::of(&result), Instant::now(), chance(&mut *random));
                if let Some(how) = settled {
                    meter.settled(how);
                    if let Settled::Refused(code) = how {
                        let code = String::from_utf8_lossy(&code).into_owned();
                        tracing::warn!(?id, code, "the issuer host refused a reversal");
                    }
                    reversals.settled(id, how).await;
                }
            }
            () = reversals.more() => look = true,
            () = time::sleep_until(next.into()) => {}
        }
    }
}

/// Any number; without chance always the same: what failed together is then sent again together.
fn chance(random: &mut dyn Random) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes).map_or(u64::MAX, |()| u64::from_le_bytes(bytes))
}

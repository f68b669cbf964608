//! What goes wrong, by a seed: with the active gateway, with the one that stands by, with the database and with its standby.

use std::time::{Duration, Instant};

use mayfly_testing::{TestDatabase, TestPair};
use rustix::process::{Pid, Signal, kill_process};

use crate::clients::Bazaar;
use crate::harness::{Gateway, Random, until};

/// Something that goes wrong; for how long, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The active gateway is killed, and started again.
    Kill { back_ms: u64 },
    /// The active gateway is asked to stop, and started again.
    Stop { back_ms: u64 },
    /// The active gateway stands still.
    Freeze { for_ms: u64 },
    /// The other one is killed, and started again.
    KillStandby { back_ms: u64 },
    /// Both are killed, and started again.
    KillBoth { back_ms: u64 },
    /// The database is restarted, with or without a word.
    Restart { at_once: bool, away_ms: u64 },
    /// The database's standby stands still: every commit waits for it.
    FreezeReplica { for_ms: u64 },
    /// The database is lost, and its standby takes its place. Perhaps the standby was behind, and the primary restarted, so that
    /// it has shown what is lost with it; or the active gateway is killed in the same moment.
    FailOver { after_ms: u64, behind: bool, killed: bool },
    /// The database stands still, and its standby takes its place.
    FreezePrimary { after_ms: u64 },
}

impl Fault {
    pub(crate) fn drawn(random: &mut Random) -> Self {
        let mut below = |bound| random.below(bound);
        match below(15) {
            0 | 1 => Self::Kill { back_ms: below(2500) },
            2 => Self::Stop { back_ms: below(1000) },
            // Less than a lease, or more.
            3 | 4 => Self::Freeze { for_ms: 200 + below(5000) },
            5 => Self::KillStandby { back_ms: below(1000) },
            6 => Self::KillBoth { back_ms: below(1000) },
            7 | 8 => Self::Restart { at_once: below(2) == 0, away_ms: below(3000) },
            9..12 => Self::FreezeReplica { for_ms: 500 + below(5000) },
            12 | 13 => Self::FailOver { after_ms: below(1500), behind: below(2) == 0, killed: below(2) == 0 },
            _ => Self::FreezePrimary { after_ms: below(1500) },
        }
    }
}

/// Two gateways, and two servers of a database.
pub(crate) struct World {
    // Dropped in this order.
    pub(crate) gateways: [Gateway; 2],
    pub(crate) database: TestDatabase,
    pub(crate) pair: TestPair,
}

impl World {
    pub(crate) fn new(database: &str, iso8583: &str) -> Self {
        let pair = TestPair::start();
        let on = pair.database();
        let first = Gateway::with(&on.url(), None, database, iso8583);
        let second = Gateway::with(&on.url(), Some(&first), database, iso8583);
        Self { gateways: [first, second], database: on, pair }
    }

    /// Starts both, and gives which one is active.
    pub(crate) fn start(&mut self) -> usize {
        for gateway in &mut self.gateways {
            gateway.start();
        }
        let active = self.await_active();
        self.gateways[1 - active].await_standby();
        active
    }

    /// Stops both, the active one last.
    pub(crate) fn stop(&mut self) {
        let active = self.await_active();
        self.gateways[1 - active].stop();
        self.gateways[active].stop();
    }

    /// Which one is active, when one is.
    pub(crate) fn await_active(&mut self) -> usize {
        until("a gateway to be active", || {
            for gateway in &mut self.gateways {
                gateway.look_after();
            }
            self.gateways.iter().position(Gateway::is_active)
        })
    }

    /// Has it happen. Afterwards everything runs again; whether it is ready is another question.
    pub(crate) fn suffer(&mut self, fault: Fault, bazaar: &Bazaar) {
        let active = self.gateways.iter().position(Gateway::is_active).unwrap_or(0);
        let other = 1 - active;
        match fault {
            Fault::Kill { back_ms } => self.kill(&[active], back_ms),
            Fault::KillStandby { back_ms } => self.kill(&[other], back_ms),
            Fault::KillBoth { back_ms } => self.kill(&[other, active], back_ms),
            Fault::Stop { back_ms } => {
                self.gateways[active].stop();
                pause(back_ms);
                self.gateways[active].start();
            }
            Fault::Freeze { for_ms } => {
                self.gateways[active].signal(Signal::STOP);
                pause(for_ms);
                self.gateways[active].signal(Signal::CONT);
            }
            Fault::Restart { at_once, away_ms } => self.pair.restart(at_once, Duration::from_millis(away_ms)),
            Fault::FreezeReplica { for_ms } => {
                let processes = self.pair.standby_processes();
                signal(&processes, Signal::STOP);
                pause(for_ms);
                signal(&processes, Signal::CONT);
            }
            Fault::FailOver { after_ms, behind, killed } => {
                let replica = self.pair.standby_processes();
                if behind {
                    signal(&replica, Signal::STOP);
                    pause(200);
                    self.pair.restart(true, Duration::ZERO);
                    // Long enough for whoever reads on.
                    pause(500);
                }
                if killed {
                    self.gateways[active].kill();
                }
                self.pair.halt();
                signal(&replica, Signal::CONT);
                self.pair.promote(Duration::from_millis(after_ms));
                if killed {
                    self.gateways[active].start();
                }
                self.pair.repair();
            }
            Fault::FreezePrimary { after_ms } => {
                let processes = self.pair.primary_processes();
                signal(&processes, Signal::STOP);
                self.pair.promote(Duration::from_millis(after_ms));
                // It is found although the old one still listens.
                self.await_answers(bazaar);
                signal(&processes, Signal::KILL);
                self.pair.repair();
            }
        }
    }

    fn kill(&mut self, which: &[usize], back_ms: u64) {
        for at in which {
            self.gateways[*at].kill();
        }
        pause(back_ms);
        for at in which {
            self.gateways[*at].start();
        }
    }

    /// Waits until messages are answered again, and gives how long that took.
    pub(crate) fn await_answers(&mut self, bazaar: &Bazaar) -> Duration {
        const ENOUGH: u64 = 40;
        let begun = Instant::now();
        self.await_active();
        let before = bazaar.answered();
        until("messages to be answered", || (bazaar.answered() >= before + ENOUGH).then_some(()));
        begun.elapsed()
    }
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn signal(processes: &[i32], signal: Signal) {
    for pid in processes {
        // One of them may have ended.
        let _ = kill_process(Pid::from_raw(*pid).unwrap(), signal);
    }
}

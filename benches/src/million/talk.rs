//! Messages at a fixed rate on all connections of a ring, each echo checked.
//!
//! Message `m` of connection `c` is due at a time that depends on nothing but the plan, spread evenly over all connections
//! and moved up to the next step of [`GRID`]. Its latency counts from then, also when the connection still waited for the echo
//! before: a slow server cannot hide behind a client that asks less.
//!
//! Unsafe: the kernel reads a frame and writes its echo in the connection's [`Talker`]; talkers live until the process
//! ends, and one that waits is touched only when its receive has completed, which its send has then, too.

use std::io;
use std::time::{Duration, Instant};

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fixed;

use super::ring::{ClientRing, Event, Kind, name};
use super::wire::{ASK_BYTES, ECHO_BYTES, encode_ask, is_echo};
use crate::histogram::Histogram;
use crate::sys;

/// Messages become due together in steps of so much.
const GRID: Duration = Duration::from_micros(100);
/// An echo is lost when nothing at all has come for so long and no message was due.
const PATIENCE: Duration = Duration::from_secs(5);
/// A server that is too slow for the rate gets so many times the planned time to answer everything.
const OVERTIME: u32 = 4;
/// Receive without a first try: the echo cannot be there yet.
const POLL_FIRST: u16 = 1;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// Between two messages of a connection.
    pub period: Duration,
    /// Messages of each connection.
    pub messages: u32,
}

/// What came of it.
#[derive(Clone)]
pub struct TalkReport {
    /// Messages that were due.
    pub due: u64,
    /// Right echoes.
    pub echoes: u64,
    /// Echoes of something else.
    pub wrong: u64,
    /// Connections that the server ended.
    pub closed: u64,
    /// From a message's time to its echo.
    pub latency: Histogram,
    /// From the first message's time to the last echo.
    pub elapsed: Duration,
}

impl TalkReport {
    /// Messages without a right echo.
    pub fn lost(&self) -> u64 {
        self.due - self.echoes
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    Ended,
}

struct Talker {
    ask: [u8; ASK_BYTES],
    echo: [u8; ECHO_BYTES],
    filled: usize,
    asked: u32,
    state: State,
}

struct Conversation<'a> {
    ring: &'a mut ClientRing,
    talkers: &'static mut [Talker],
    plan: Talk,
    /// Messages that have become due.
    due: u64,
    waiting: usize,
    start: Instant,
    report: TalkReport,
}

/// Lets every connection of `ring` talk. What the server has said or ended before counts as wrong or closed here.
pub fn talk(ring: &mut ClientRing, plan: Talk) -> io::Result<TalkReport> {
    assert!(!ring.is_empty() && plan.messages > 0, "there is somebody to talk to");
    sys::set_timer_slack_to_least();
    let talker =
        |_| Talker { ask: [0; ASK_BYTES], echo: [0; ECHO_BYTES], filled: 0, asked: 0, state: State::Free };
    let talkers = Vec::leak((0..ring.len()).map(talker).collect());
    let report = TalkReport {
        due: u64::from(ring.len()) * u64::from(plan.messages),
        echoes: 0,
        wrong: 0,
        closed: 0,
        latency: Histogram::new(),
        elapsed: Duration::ZERO,
    };
    let start = Instant::now();
    Conversation { ring, talkers, plan, due: 0, waiting: 0, start, report }.run()
}

impl Conversation<'_> {
    fn run(mut self) -> io::Result<TalkReport> {
        let last_due = self.due_at(self.report.due - 1);
        let end = last_due * OVERTIME + PATIENCE;
        let mut last_event = Duration::ZERO;
        let mut events = Vec::new();
        loop {
            let now = self.start.elapsed();
            self.ask_due(now)?;
            let patient_until = last_due.max(last_event) + PATIENCE;
            let is_over = self.due == self.report.due && self.waiting == 0;
            if is_over || now > patient_until || now > end {
                return Ok(self.report);
            }
            let until = if self.due < self.report.due { self.due_at(self.due) } else { patient_until };
            self.ring.turn(until.saturating_sub(now), &mut events)?;
            let now = self.start.elapsed();
            for event in events.drain(..) {
                last_event = now;
                self.on_event(event, now)?;
            }
        }
    }

    /// When message `index` of all is due: the connections take turns.
    fn due_at(&self, index: u64) -> Duration {
        let nanos = self.plan.period.as_nanos() * u128::from(index) / self.talkers.len() as u128;
        let grid = GRID.as_nanos();
        Duration::from_nanos((nanos.div_ceil(grid) * grid) as u64)
    }

    fn ask_due(&mut self, now: Duration) -> io::Result<()> {
        let connections = self.talkers.len() as u64;
        while self.due < self.report.due && self.due_at(self.due) <= now {
            let (slot, message) = ((self.due % connections) as u32, (self.due / connections) as u32);
            self.due += 1;
            let talker = &self.talkers[slot as usize];
            // One that still waits sends this message when its echo has come.
            if talker.state == State::Free && talker.asked == message {
                self.ask(slot)?;
            }
        }
        Ok(())
    }

    fn ask(&mut self, slot: u32) -> io::Result<()> {
        let talker = &mut self.talkers[slot as usize];
        talker.ask = encode_ask(slot, talker.asked);
        talker.asked += 1;
        talker.filled = 0;
        talker.state = State::Waiting;
        self.waiting += 1;
        let send = opcode::Send::new(Fixed(slot), talker.ask.as_ptr(), ASK_BYTES as u32)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(name(Kind::Ask, 0, slot));
        let receive = receive(talker, slot);
        // SAFETY: see the module's doc.
        unsafe { self.ring.push(&[send, receive]) }
    }

    fn on_event(&mut self, event: Event, now: Duration) -> io::Result<()> {
        match event.kind {
            Kind::Echo => self.on_echo(event, now),
            // A send that fails is told of by its receive; the poll of the idle time is over with the first echo.
            Kind::Ask | Kind::Idle => Ok(()),
            Kind::Socket | Kind::Linger | Kind::Connect | Kind::Request | Kind::Answer => Ok(()),
        }
    }

    fn on_echo(&mut self, event: Event, now: Duration) -> io::Result<()> {
        let slot = event.slot;
        let talker = &mut self.talkers[slot as usize];
        if event.result <= 0 {
            talker.state = State::Ended;
            self.waiting -= 1;
            self.report.closed += 1;
            return Ok(());
        }
        talker.filled += event.result as usize;
        if talker.filled < ECHO_BYTES {
            let rest = receive(talker, slot);
            // SAFETY: see the module's doc.
            return unsafe { self.ring.push(&[rest]) };
        }
        talker.state = State::Free;
        let (message, asked) = (talker.asked - 1, talker.asked);
        let is_right = is_echo(&talker.echo, slot, message);
        self.waiting -= 1;
        let connections = self.talkers.len() as u64;
        let index = |message: u32| u64::from(message) * connections + u64::from(slot);
        if is_right {
            let due = self.due_at(index(message));
            self.report.echoes += 1;
            self.report.latency.record(now.saturating_sub(due), 1);
            self.report.elapsed = now;
        } else {
            self.report.wrong += 1;
        }
        if asked < self.plan.messages && index(asked) < self.due { self.ask(slot) } else { Ok(()) }
    }
}

/// A receive of what is missing of the echo.
fn receive(talker: &mut Talker, slot: u32) -> Entry {
    let rest = &mut talker.echo[talker.filled..];
    opcode::Recv::new(Fixed(slot), rest.as_mut_ptr(), rest.len() as u32)
        .ioprio(POLL_FIRST)
        .build()
        .user_data(name(Kind::Echo, 0, slot))
}

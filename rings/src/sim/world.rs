//! The world: its clock, its agenda, its descriptors, and the rings in it.

use super::kernel::InFlight;
use super::peer::{Action, PeerId, PeerState};
use super::random::Random;
use super::script::{Audit, Counts, Fault, Options, Peer};
use crate::buffers::{BufferRing, Cursor};
use crate::config::{RingConfig, Wait};
use crate::op::Op;
use crate::token::Token;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

pub(super) type OpId = u64;
pub(super) type ObjectId = u64;

/// Ring descriptors are numbers that no process reaches.
const RING_DESCRIPTOR_BASE: RawFd = 1 << 30;
/// What one enter costs at most: without it, a loop that only polls would stop the clock.
const ENTER_COST_MAX: Duration = Duration::from_micros(20);
/// Waits that nothing can end, one after the other, before the run is a failure.
const STALLS_MAX: u32 = 1000;
/// The last completions that [`World::trace`] shows.
const TRACE_MAX: usize = 256;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

pub(super) fn now() -> Duration {
    WORLD
        .with(|world| world.try_borrow().ok().and_then(|world| world.as_ref().map(|world| world.now)))
        .unwrap_or_default()
}

pub(super) fn with<R>(act: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|world| act(world.borrow_mut().as_mut().expect("World::install comes before the first use")))
}

/// As [`with`], for a ring that outlives its world, or its thread.
pub(super) fn drop_ring(ring: usize) {
    let _ = WORLD.try_with(|world| {
        if let Ok(mut world) = world.try_borrow_mut()
            && let Some(world) = world.as_mut()
            && ring < world.rings.len()
        {
            world.close_ring(ring);
        }
    });
}

/// What stands on the agenda.
pub(super) enum Event {
    Post { ring: usize, entry: Entry, number: u64 },
    Connect(PeerId),
    Act(PeerId, Action),
    Deliver(PeerId, Vec<u8>),
    DeliverEnd { peer: PeerId, is_reset: bool },
    PeerReads(PeerId),
    Cancel(OpId),
    Expire(OpId),
    Finish(OpId, Result<u32, i32>),
    RunFile(OpId),
    Call(Box<dyn FnOnce()>),
}

/// A completion as the queue holds it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) token: Token,
    pub(super) result: Result<u32, i32>,
    /// Buffer, and whether the kernel keeps it.
    pub(super) buffer: Option<(u16, bool)>,
    pub(super) more: bool,
    /// Whether somebody has to see it for the audit to be clean.
    pub(super) counts: bool,
    pub(super) effect: Effect,
}

/// What a completion says about descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    /// A direct descriptor was made.
    Opened(u32),
    /// A direct descriptor was closed.
    Closed(u32),
    /// The result is an ordinary descriptor, which differs from run to run.
    Raw,
}

/// A descriptor of a ring's table.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) object: ObjectId,
    /// The slot that uses it, by its token.
    pub(super) slot: Option<(u32, u32)>,
}

pub(super) struct RingState {
    pub(super) descriptor: RawFd,
    /// Grows to its size as it is used.
    pub(super) table: Vec<Option<Place>>,
    pub(super) table_max: usize,
    /// Indexes whose close has not been reported.
    pub(super) closing: Vec<u32>,
    pub(super) buffers: Option<Rc<BufferRing>>,
    pub(super) cursor: Cursor,
    /// When the last completion with an incrementally filled buffer is posted.
    pub(super) lease_last: Duration,
    queue: VecDeque<Entry>,
    queue_max: usize,
    overflow: VecDeque<Entry>,
    /// Overflowing until the next enter.
    is_blocked: bool,
    number_max: u64,
    eventfd: Option<RawFd>,
    is_open: bool,
}

impl RingState {
    pub(super) fn is_full(&self) -> bool {
        self.is_blocked || self.queue.len() >= self.queue_max
    }
}

/// When a wait ends.
pub(super) struct Limits {
    wanted: u32,
    deadline: Option<Duration>,
    /// From here on, one completion is enough.
    one_is_enough: Option<Duration>,
}

impl Limits {
    pub(super) fn new(now: Duration, wait: Wait) -> Limits {
        Limits {
            wanted: wait.completions,
            deadline: wait.timeout.map(|timeout| now + timeout),
            one_is_enough: wait.min_wait.map(|min_wait| now + min_wait),
        }
    }
}

/// What the caller of [`World::step`] does next.
pub(super) enum Step {
    Ready,
    Again,
    Call(Box<dyn FnOnce()>),
}

/// Everything there is in one simulation.
pub struct World {
    pub(super) now: Duration,
    pub(super) random: Random,
    pub(super) options: Options,
    pub(super) counts: Counts,
    pub(super) rings: Vec<RingState>,
    pub(super) ops: BTreeMap<OpId, InFlight>,
    pub(super) objects: BTreeMap<ObjectId, super::kernel::Object>,
    pub(super) raws: BTreeMap<RawFd, super::real::Raw>,
    pub(super) peers: Vec<PeerState>,
    /// Peers that came before there was a listener.
    pub(super) early: Vec<PeerId>,
    pub(super) had_listener: bool,
    pub(super) servers: Vec<(SocketAddr, Box<dyn FnMut() -> Peer>)>,
    pub(super) findings: Audit,
    events: BTreeMap<(Duration, u64), Event>,
    number_last: u64,
    enters: u64,
    stalls: u32,
    trace: VecDeque<String>,
    hash: DefaultHasher,
}

impl World {
    /// Installs a new world on this thread, in place of the one before. Rings are made after it.
    pub fn install(seed: u64, options: Options) {
        let world = World {
            now: Duration::ZERO,
            random: Random::new(seed),
            options,
            counts: Counts::default(),
            rings: Vec::new(),
            ops: BTreeMap::new(),
            objects: BTreeMap::new(),
            raws: BTreeMap::new(),
            peers: Vec::new(),
            early: Vec::new(),
            had_listener: false,
            servers: Vec::new(),
            findings: Audit::default(),
            events: BTreeMap::new(),
            number_last: 0,
            enters: 0,
            stalls: 0,
            trace: VecDeque::new(),
            hash: DefaultHasher::new(),
        };
        WORLD.with(|place| *place.borrow_mut() = Some(world));
    }

    /// Calls `act` at a virtual time, from inside a wait: to stop the code under test, or to look at it. It may use
    /// [`with`](super::script::with).
    pub fn call_at(&mut self, time: Duration, act: impl FnOnce() + 'static) {
        self.schedule(time, Event::Call(Box::new(act)));
    }

    /// Answers connections to this address: `accept` makes the peer of each.
    pub fn serve(&mut self, address: SocketAddr, accept: impl FnMut() -> Peer + 'static) {
        self.servers.push((address, Box::new(accept)));
    }

    /// How often each fault has happened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// A hash of all completions so far, with their times: the same for the same seed.
    pub fn trace_hash(&self) -> u64 {
        self.hash.finish()
    }

    /// The last completions, one line each. Ordinary descriptors, which differ from run to run, are shown as 0.
    pub fn trace(&self) -> String {
        self.trace.iter().map(|line| format!("{line}\n")).collect()
    }

    pub(super) fn add_ring(
        &mut self,
        config: &RingConfig,
        buffers: Option<Rc<BufferRing>>,
    ) -> (usize, RawFd) {
        let index = self.rings.len();
        let descriptor = RING_DESCRIPTOR_BASE + index as RawFd;
        self.rings.push(RingState {
            descriptor,
            table: Vec::new(),
            table_max: config.direct_descriptors as usize,
            closing: Vec::new(),
            buffers,
            cursor: Cursor::default(),
            lease_last: Duration::ZERO,
            queue: VecDeque::new(),
            queue_max: config.completion_entries.max(1) as usize,
            overflow: VecDeque::new(),
            is_blocked: false,
            number_max: 0,
            eventfd: None,
            is_open: true,
        });
        (index, descriptor)
    }

    pub(super) fn register_eventfd(&mut self, ring: usize, eventfd: RawFd) {
        self.rings[ring].eventfd = Some(eventfd);
    }

    pub(super) fn schedule(&mut self, time: Duration, event: Event) {
        self.number_last += 1;
        self.events.insert((time.max(self.now), self.number_last), event);
    }

    /// Draws whether a fault happens here, and counts it.
    pub(super) fn draw(&mut self, fault: Fault) -> bool {
        let rate = self.options.rate(fault);
        let hit = rate > 0.0 && self.random.chance(rate);
        if hit {
            self.counts.add(fault);
        }
        hit
    }

    /// As [`draw`](World::draw), without counting: for what only may come of it.
    pub(super) fn draw_quietly(&mut self, fault: Fault) -> bool {
        let rate = self.options.rate(fault);
        rate > 0.0 && self.random.chance(rate)
    }

    pub(super) fn draw_submission_full(&mut self) -> bool {
        self.draw(Fault::SubmissionFull)
    }

    /// The kernel's part of an enter, before it waits. Returns whether completions had overflowed.
    pub(super) fn enter(&mut self, ring: usize, queue: Vec<(Op, Token)>) -> bool {
        self.enters += 1;
        assert!(
            self.enters < self.options.enters_max,
            "the loop spins: {} enters\n{}",
            self.enters,
            self.trace()
        );
        self.now += self.random.duration(ENTER_COST_MAX);
        assert!(self.now < self.options.duration_max, "the run does not end\n{}", self.trace());
        let state = &mut self.rings[ring];
        let has_overflowed = !state.overflow.is_empty();
        state.is_blocked = false;
        while state.queue.len() < state.queue_max
            && let Some(entry) = state.overflow.pop_front()
        {
            state.queue.push_back(entry);
        }
        self.find_closed_raws();
        for (op, token) in queue {
            self.start(ring, op, token);
        }
        has_overflowed
    }

    /// One step of a wait: everything that is due, or the clock moved to what comes next.
    pub(super) fn step(&mut self, ring: usize, limits: &Limits) -> Step {
        while let Some(event) = self.events.first_entry().filter(|event| event.key().0 <= self.now) {
            match event.remove() {
                Event::Call(call) => return Step::Call(call),
                event => self.happen(event),
            }
        }
        if self.run_real(0) {
            return Step::Again;
        }
        let state = &self.rings[ring];
        let count = state.queue.len() as u32;
        let one_is_enough = limits.one_is_enough.is_some_and(|time| time <= self.now);
        let is_enough = count >= if one_is_enough { limits.wanted.min(1) } else { limits.wanted };
        let is_over = limits.deadline.is_some_and(|deadline| deadline <= self.now);
        if is_enough || is_over || !state.overflow.is_empty() {
            self.stalls = 0;
            return Step::Ready;
        }
        if self.draw(Fault::Interrupted) {
            return Step::Ready;
        }
        let next = self.events.first_key_value().map(|((time, _), _)| *time);
        let soft = limits.one_is_enough.filter(|time| count > 0 && *time > self.now);
        match [next, limits.deadline, soft].into_iter().flatten().min() {
            Some(time) => {
                self.now = time;
                Step::Again
            }
            None => self.stall(),
        }
    }

    /// Nothing in the world can end this wait: only a real descriptor, written by another thread, or the caller.
    fn stall(&mut self) -> Step {
        const REAL_WAIT_MILLISECONDS: i32 = 20;
        if self.run_real(REAL_WAIT_MILLISECONDS) {
            return Step::Again;
        }
        self.stalls += 1;
        assert!(self.stalls < STALLS_MAX, "the loop sleeps for ever\n{}", self.trace());
        Step::Ready
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Post { ring, entry, number } => self.post(ring, entry, number),
            Event::Connect(peer) => self.connect_peer(peer),
            Event::Act(peer, action) => self.act(peer, action),
            Event::Deliver(peer, bytes) => self.deliver(peer, &bytes),
            Event::DeliverEnd { peer, is_reset } => self.deliver_end(peer, is_reset),
            Event::PeerReads(peer) => self.peer_reads_slowly(peer),
            Event::Cancel(op) => self.cancel(op),
            Event::Expire(op) => self.finish(op, Err(libc::ETIME)),
            Event::Finish(op, result) => self.finish(op, result),
            Event::RunFile(op) => self.run_file(op),
            Event::Call(_) => unreachable!("calls are made outside of the world"),
        }
    }

    fn post(&mut self, ring: usize, entry: Entry, number: u64) {
        let result = if entry.effect == Effect::Raw { entry.result.map(|_| 0) } else { entry.result };
        let line = format!("{:?} ring {ring} {:?} {result:?} more {}", self.now, entry.token, entry.more);
        (self.now, entry.token, entry.more, result).hash(&mut self.hash);
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
        if self.rings[ring].number_max > number {
            self.counts.add(Fault::Reordered);
        }
        if !self.rings[ring].is_blocked && self.draw(Fault::CompletionOverflow) {
            self.rings[ring].is_blocked = true;
        }
        let state = &mut self.rings[ring];
        if !state.is_open {
            return;
        }
        match entry.effect {
            Effect::Closed(index) => state.closing.retain(|closing| *closing != index),
            Effect::Opened(index) if state.closing.contains(&index) => self.counts.add(Fault::IndexReused),
            Effect::Opened(_) | Effect::Raw | Effect::None => {}
        }
        state.number_max = state.number_max.max(number);
        match state.is_full() {
            true => state.overflow.push_back(entry),
            false => state.queue.push_back(entry),
        }
        if let Some(eventfd) = state.eventfd {
            super::real::write_eventfd(eventfd);
        }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.number_last += 1;
        self.number_last
    }

    pub(super) fn take_completions(&mut self, ring: usize) -> Vec<Entry> {
        self.rings[ring].queue.drain(..).collect()
    }

    /// Looks for what was left open, held or misused so far.
    pub fn audit(&self) -> Audit {
        let mut audit = self.findings.clone();
        for (index, ring) in self.rings.iter().enumerate() {
            if ring.is_open {
                self.audit_table(index, &mut audit);
            }
            if let Some(stats) = ring.buffers.as_ref().map(|buffers| buffers.stats()) {
                let lost = usize::from(stats.provided - stats.in_kernel).max(stats.leases as usize);
                audit.buffers_held += lost;
                if lost > 0 {
                    audit.note(format!("ring {index}: buffers are held: {stats:?}"));
                }
            }
            for entry in ring.queue.iter().chain(&ring.overflow).filter(|entry| ring.is_open && entry.counts)
            {
                audit.operations_open += 1;
                audit.note(format!("ring {index}: {:?} was not drained", entry.token));
            }
        }
        for op in self.ops.values().filter(|op| self.has_to_end(op)) {
            audit.operations_open += 1;
            audit.note(format!("ring {}: {:?} is in flight: {:?}", op.ring, op.token, op.op));
        }
        for event in self.events.values() {
            if let Event::Post { ring, entry, .. } = event
                && entry.counts
                && self.rings[*ring].is_open
            {
                audit.operations_open += 1;
                audit.note(format!("ring {ring}: {:?} is about to complete", entry.token));
            }
        }
        self.audit_raws(&mut audit);
        audit
    }

    fn audit_table(&self, ring: usize, audit: &mut Audit) {
        for (index, place) in self.rings[ring].table.iter().enumerate() {
            if let Some(place) = place {
                audit.descriptors_open += 1;
                audit.note(format!("ring {ring}: direct descriptor {index} is open, slot {:?}", place.slot));
            }
        }
    }

    fn close_ring(&mut self, ring: usize) {
        let mut findings = std::mem::take(&mut self.findings);
        self.audit_table(ring, &mut findings);
        self.findings = findings;
        self.rings[ring].is_open = false;
        let ops: Vec<OpId> = self.ops.iter().filter(|(_, op)| op.ring == ring).map(|(id, _)| *id).collect();
        for op in ops {
            self.forget(op);
        }
        let places: Vec<Place> = self.rings[ring].table.drain(..).flatten().collect();
        for place in places {
            self.release_object(place.object);
        }
    }
}

//! Following a partition of a log: what is there, and then what comes, each record once and in order.
//!
//! A fiber reads the log, in pieces that all who read there share, and sends no more than the connection takes. When it has come to what
//! topics have in memory, the connection becomes a subscriber of the partition's topic behind the last record that it was sent, and
//! the fiber ends: from there on it costs what a subscriber costs.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, hash_map};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use sws_content::log::{FetchError, FetchMax, Log, Record, live_name};
use sws_runtime::{
    Cancelled, ConnId, Replay, SendError, SubscribeError, sleep, topics, try_go, turn_time, worker_local,
    yield_now,
};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;
/// Bytes that may wait for a connection before more is sent.
const PENDING_BYTES: usize = 64 * 1024;
/// Bytes that all who catch up send in one turn of the loop, and what a record counts beside its payload.
const TURN_BYTES: usize = 512 * 1024;
const RECORD_BYTES: usize = 256;
/// Partitions that one connection catches up with at once, each with a fiber.
const CATCHING_UP_MAX: usize = 64;
/// How often a connection that is behind is looked at, at first and at last.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Why a partition is not followed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FollowError {
    /// The connection follows it already.
    Following,
    /// There are as many fibers as there may be.
    TooMany,
    /// The log cannot be read there.
    Fetch(FetchError),
    /// The connection cannot subscribe.
    Subscribe(SubscribeError),
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FollowError::Following => f.write_str("the connection follows this partition already"),
            FollowError::TooMany => f.write_str("too many are just catching up"),
            FollowError::Fetch(error) => error.fmt(f),
            FollowError::Subscribe(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FollowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FollowError::Following | FollowError::TooMany => None,
            FollowError::Fetch(error) => Some(error),
            FollowError::Subscribe(error) => Some(error),
        }
    }
}

/// Where somebody wants to begin.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}

/// A connection that follows.
pub(crate) trait Follower: 'static {
    fn id(&self) -> ConnId;
    /// Bytes that wait to be sent; `None` when the connection has ended.
    fn pending(&self) -> Option<usize>;
    /// Sends a record.
    fn send(&self, source: &Arc<str>, record: &Record) -> Result<(), SendError>;
    /// Becomes a subscriber behind this number, if nothing is missing in between.
    fn subscribe(&self, topic: &str, after: u64) -> Result<Replay, SubscribeError>;
    /// It is over before it has caught up.
    fn fail(&self, error: FollowError);
}

/// Who is just catching up with what.
#[derive(Default)]
struct CatchingUp {
    numbers: RefCell<HashMap<(ConnId, Arc<str>), u64>>,
    last: Cell<u64>,
    /// The turn in which was last sent, and how much.
    turn: Cell<Duration>,
    sent: Cell<usize>,
}

impl CatchingUp {
    /// Waits for a turn in which all together have not sent their share: live connections have theirs in each.
    fn wait_for_turn(&self, bytes: usize) -> Result<(), FollowError> {
        loop {
            if self.turn.replace(turn_time()) != turn_time() {
                self.sent.set(0);
            }
            if self.sent.get() < TURN_BYTES {
                self.sent.set(self.sent.get() + bytes);
                return Ok(());
            }
            yield_now().map_err(|Cancelled| FollowError::Fetch(FetchError::Cancelled))?;
        }
    }
}

/// Takes one out, however its fiber ends.
struct Entry {
    all: Rc<CatchingUp>,
    id: ConnId,
    source: Arc<str>,
    number: u64,
}

impl Entry {
    fn key(&self) -> (ConnId, Arc<str>) {
        (self.id, Arc::clone(&self.source))
    }

    /// Whether nobody has ended it.
    fn is_live(&self) -> bool {
        self.all.numbers.borrow().get(&self.key()) == Some(&self.number)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.is_live() {
            self.all.numbers.borrow_mut().remove(&self.key());
        }
    }
}

/// Has a connection follow a partition.
pub(crate) fn follow(log: &Log, start: Start, follower: impl Follower) -> Result<(), FollowError> {
    let source: Arc<str> = live_name(&start.topic, start.partition).into();
    let all = worker_local(CatchingUp::default);
    let catching_up = all.numbers.borrow().keys().filter(|(id, _)| *id == follower.id()).count();
    if catching_up >= CATCHING_UP_MAX {
        return Err(FollowError::TooMany);
    }
    let number = all.last.get() + 1;
    all.last.set(number);
    let entry = Entry { all, id: follower.id(), source, number };
    match entry.all.numbers.borrow_mut().entry(entry.key()) {
        hash_map::Entry::Occupied(_) => return Err(FollowError::Following),
        hash_map::Entry::Vacant(place) => place.insert(number),
    };
    let log = log.clone();
    let started = try_go("log catch-up", move || {
        if let Err(error) = catch_up(&log, &start, &entry, &follower) {
            follower.fail(error);
        }
    });
    started.map(drop).ok_or(FollowError::TooMany)
}

/// Ends that a connection catches up. False if it does not.
pub(crate) fn unfollow(id: ConnId, topic: &str, partition: u32) -> bool {
    let source: Arc<str> = live_name(topic, partition).into();
    worker_local(CatchingUp::default).numbers.borrow_mut().remove(&(id, source)).is_some()
}

fn catch_up(log: &Log, start: &Start, entry: &Entry, follower: &impl Follower) -> Result<(), FollowError> {
    log.publish_to(&topics()).map_err(FollowError::Fetch)?;
    let max = FetchMax { bytes: READ_BYTES, ..FetchMax::default() };
    let mut offset = start.offset;
    loop {
        let records = log.fetch(&start.topic, start.partition, offset, max).map_err(FollowError::Fetch)?;
        for record in records.iter() {
            if !send(entry, follower, &record)? {
                return Ok(());
            }
        }
        offset = records.next;
        // Others may have ended it while the log was read.
        if !entry.is_live() || follower.pending().is_none() {
            return Ok(());
        }
        if offset >= records.high {
            // Nothing runs between the look at the end of the log and this, if the log is on this worker; else the topic knows
            // what has come since.
            let replay = follower.subscribe(&entry.source, offset).map_err(FollowError::Subscribe)?;
            if !replay.missed {
                return Ok(());
            }
        }
        // What was in memory has taken no time: others have their turn.
        yield_now().map_err(|Cancelled| FollowError::Fetch(FetchError::Cancelled))?;
    }
}

/// Sends a record when there is room for it: a large one has room when nothing else waits. False when the connection has ended, or does
/// not want more.
fn send(entry: &Entry, follower: &impl Follower, record: &Record) -> Result<bool, FollowError> {
    let mut room = PENDING_BYTES;
    entry.all.wait_for_turn(record.payload.len() + RECORD_BYTES)?;
    while wait_for_room(entry, follower, room)? {
        match follower.send(&entry.source, record) {
            Ok(()) => return Ok(true),
            Err(SendError::Full | SendError::NoBuffer) => {
                room = 1;
                pause(PAUSE_MIN)?;
            }
            Err(_) => return Ok(false),
        }
    }
    Ok(false)
}

fn pause(time: Duration) -> Result<(), FollowError> {
    sleep(time).map_err(|Cancelled| FollowError::Fetch(FetchError::Cancelled))
}

/// Waits until less than `bytes` wait for the connection. False when it has ended, or does not want more.
fn wait_for_room(entry: &Entry, follower: &impl Follower, bytes: usize) -> Result<bool, FollowError> {
    let mut time = PAUSE_MIN;
    loop {
        match follower.pending() {
            None => return Ok(false),
            Some(_) if !entry.is_live() => return Ok(false),
            Some(pending) if pending < bytes => return Ok(true),
            Some(_) => pause(time)?,
        }
        time = (time * 2).min(PAUSE_MAX);
    }
}

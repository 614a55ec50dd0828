//! Following a partition of a log: what is there, and then what comes, each record once and in order.
//!
//! A fiber for each connection reads the log, in pieces that all who read there share, and sends no more than the connection takes; of
//! several partitions a piece of each in turn. Where it has come to what topics have in memory, the connection becomes a subscriber of
//! the partition's topic behind the last record that it was sent. With the last partition the fiber ends: from there on it costs what
//! a subscriber costs.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
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
/// Partitions that one connection catches up with at once.
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
    /// It is over before it has caught up, at this place of the log.
    fn fail(&self, log: &Log, place: &Start, error: FollowError);
}

/// Who is just catching up.
#[derive(Default)]
struct CatchingUp {
    connections: RefCell<HashMap<ConnId, Rc<Connection>>>,
    /// The turn in which was last sent, and how much.
    turn: Cell<Duration>,
    sent: Cell<usize>,
}

/// A connection that is catching up.
#[derive(Default)]
struct Connection {
    /// The topics of its partitions, each with a number of its own: of one that was ended and begun again, only the latter counts.
    sources: RefCell<HashMap<Arc<str>, u64>>,
    last: Cell<u64>,
    readers: RefCell<VecDeque<Reader>>,
}

/// One partition of it.
struct Reader {
    log: Log,
    start: Start,
    source: Arc<str>,
    number: u64,
    follower: Box<dyn Follower>,
}

/// What becomes of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It has a piece more to read.
    More,
    /// It subscribes now, or nobody wants more.
    Done,
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

/// Takes a connection out, however its fiber ends.
struct Leave {
    all: Rc<CatchingUp>,
    id: ConnId,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.all.connections.borrow_mut().remove(&self.id);
    }
}

impl Connection {
    /// Whether nobody has ended it.
    fn wants(&self, reader: &Reader) -> bool {
        self.sources.borrow().get(&reader.source) == Some(&reader.number)
    }

    fn end(&self, reader: &Reader) {
        if self.wants(reader) {
            self.sources.borrow_mut().remove(&reader.source);
        }
    }

    /// Ends a partition. False if there is none.
    fn forget(&self, source: &str) -> bool {
        if self.sources.borrow_mut().remove(source).is_none() {
            return false;
        }
        // One that is just being read is not in the queue, and ends by itself.
        let ended = {
            let mut readers = self.readers.borrow_mut();
            let at = readers.iter().position(|reader| &*reader.source == source);
            at.and_then(|at| readers.remove(at))
        };
        // It has a callback of the user's, so it is dropped when nothing is borrowed.
        drop(ended);
        true
    }

    /// Reads a piece of each partition in turn, until there is none any more.
    fn catch_up(&self, all: &CatchingUp) {
        loop {
            let Some(mut reader) = self.readers.borrow_mut().pop_front() else { return };
            match self.read(all, &mut reader) {
                Ok(Progress::More) => self.readers.borrow_mut().push_back(reader),
                Ok(Progress::Done) => self.end(&reader),
                Err(error) => {
                    self.end(&reader);
                    reader.follower.fail(&reader.log, &reader.start, error);
                }
            }
        }
    }

    /// Sends a piece, and subscribes where the log ends.
    fn read(&self, all: &CatchingUp, reader: &mut Reader) -> Result<Progress, FollowError> {
        reader.log.publish_to(&topics()).map_err(FollowError::Fetch)?;
        let Start { topic, partition, offset } = &reader.start;
        let max = FetchMax { bytes: READ_BYTES, ..FetchMax::default() };
        let records = reader.log.fetch(topic, *partition, *offset, max).map_err(FollowError::Fetch)?;
        for record in records.iter() {
            if !self.send(all, reader, &record)? {
                return Ok(Progress::Done);
            }
        }
        reader.start.offset = records.next;
        // Others may have ended it while the log was read.
        if !self.wants(reader) || reader.follower.pending().is_none() {
            return Ok(Progress::Done);
        }
        if records.next >= records.high {
            // Nothing runs between the look at the end of the log and this, if the log is on this worker; else the topic knows
            // what has come since.
            let replay = reader.follower.subscribe(&reader.source, records.next);
            if !replay.map_err(FollowError::Subscribe)?.missed {
                return Ok(Progress::Done);
            }
        }
        // What was in memory has taken no time: others have their turn.
        yield_now().map_err(|Cancelled| FollowError::Fetch(FetchError::Cancelled))?;
        Ok(Progress::More)
    }

    /// Sends a record when there is room for it: a large one has room when nothing else waits. False when the connection has ended, or
    /// does not want more.
    fn send(&self, all: &CatchingUp, reader: &Reader, record: &Record) -> Result<bool, FollowError> {
        let mut room = PENDING_BYTES;
        all.wait_for_turn(record.payload.len() + RECORD_BYTES)?;
        while self.wait_for_room(reader, room)? {
            match reader.follower.send(&reader.source, record) {
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

    /// Waits until less than `bytes` wait for the connection. False when it has ended, or does not want more.
    fn wait_for_room(&self, reader: &Reader, bytes: usize) -> Result<bool, FollowError> {
        let mut time = PAUSE_MIN;
        loop {
            match reader.follower.pending() {
                None => return Ok(false),
                Some(_) if !self.wants(reader) => return Ok(false),
                Some(pending) if pending < bytes => return Ok(true),
                Some(_) => pause(time)?,
            }
            time = (time * 2).min(PAUSE_MAX);
        }
    }
}

/// Has a connection follow a partition.
pub(crate) fn follow(log: &Log, start: Start, follower: impl Follower) -> Result<(), FollowError> {
    let all = worker_local(CatchingUp::default);
    let id = follower.id();
    let source: Arc<str> = live_name(&start.topic, start.partition).into();
    let known = all.connections.borrow().get(&id).cloned();
    let is_new = known.is_none();
    let connection = known.unwrap_or_default();
    if connection.sources.borrow().contains_key(&source) {
        return Err(FollowError::Following);
    }
    if connection.sources.borrow().len() >= CATCHING_UP_MAX {
        return Err(FollowError::TooMany);
    }
    if is_new {
        all.connections.borrow_mut().insert(id, Rc::clone(&connection));
        let leave = Leave { all: Rc::clone(&all), id };
        let connection = Rc::clone(&connection);
        // Refused, it is dropped, and takes the connection out.
        let started = try_go("log catch-up", move || connection.catch_up(&leave.all));
        started.ok_or(FollowError::TooMany)?;
    }
    let number = connection.last.get() + 1;
    connection.last.set(number);
    connection.sources.borrow_mut().insert(Arc::clone(&source), number);
    let reader = Reader { log: log.clone(), start, source, number, follower: Box::new(follower) };
    connection.readers.borrow_mut().push_back(reader);
    Ok(())
}

/// Ends that a connection catches up. False if it does not.
pub(crate) fn unfollow(id: ConnId, topic: &str, partition: u32) -> bool {
    let all = worker_local(CatchingUp::default);
    let connection = all.connections.borrow().get(&id).cloned();
    connection.is_some_and(|connection| connection.forget(&live_name(topic, partition)))
}

/// Partitions that a connection catches up with.
pub(crate) fn catching_up(id: ConnId) -> usize {
    let all = worker_local(CatchingUp::default);
    let connections = all.connections.borrow();
    connections.get(&id).map_or(0, |connection| connection.sources.borrow().len())
}

fn pause(time: Duration) -> Result<(), FollowError> {
    sleep(time).map_err(|Cancelled| FollowError::Fetch(FetchError::Cancelled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sws_runtime::Runtime;

    /// A connection that takes nothing.
    struct Stalled {
        _alive: Rc<()>,
    }

    impl Follower for Stalled {
        fn id(&self) -> ConnId {
            ConnId { index: 7, generation: 1 }
        }

        fn pending(&self) -> Option<usize> {
            None
        }

        fn send(&self, _: &Arc<str>, _: &Record) -> Result<(), SendError> {
            unreachable!("the test ends before anything is read")
        }

        fn subscribe(&self, _: &str, _: u64) -> Result<Replay, SubscribeError> {
            unreachable!("the test ends before anything is read")
        }

        fn fail(&self, _: &Log, _: &Start, _: FollowError) {}
    }

    #[test]
    fn what_is_ended_leaves_nothing_behind() {
        let dir = std::env::temp_dir().join(format!("sws-follow-{}", std::process::id()));
        let (log, _) = Log::open(&dir).expect("a log");
        let runtime = Runtime::new(Default::default()).expect("a runtime");
        runtime.block_on_fiber(move || {
            let alive = Rc::new(());
            let begin = |partition| {
                let start = Start { topic: "t".to_owned(), partition, offset: 0 };
                follow(&log, start, Stalled { _alive: Rc::clone(&alive) })
            };
            let id = Stalled { _alive: Rc::clone(&alive) }.id();
            begin(0).expect("there is room");
            for _ in 0..3 * CATCHING_UP_MAX {
                begin(1).expect("there is room again");
                assert!(matches!(begin(1), Err(FollowError::Following)));
                assert_eq!((catching_up(id), Rc::strong_count(&alive)), (2, 3));
                assert!(unfollow(id, "t", 1) && !unfollow(id, "t", 1));
                assert_eq!((catching_up(id), Rc::strong_count(&alive)), (1, 2));
            }
        });
        std::fs::remove_dir_all(&dir).expect("it is there");
    }
}

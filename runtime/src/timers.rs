//! Times at which a waiting fiber, or the loop, goes on.
//!
//! Connections have their deadlines in the timer wheel; these are the exact ones: sleeps and timeouts of fibers, which are
//! far fewer. Pure: the time is an argument.

use crate::fiber::Waiter;
use std::collections::BTreeMap;
use std::time::Duration;

/// Names a timer until it has fired or was removed. In nanoseconds, which take half the room of a `Duration`: each sleeping
/// fiber has one, twice over, because the map's leaves are half full when times come in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct TimerKey {
    at_nanos: u64,
    sequence: u64,
}

/// Timers in the order of their times; those of one time in the order they were set.
#[derive(Default)]
pub(crate) struct Timers {
    entries: BTreeMap<TimerKey, Waiter>,
    sequence: u64,
}

impl Timers {
    pub(crate) fn insert(&mut self, at: Duration, waiter: Waiter) -> TimerKey {
        self.sequence += 1;
        let key = TimerKey { at_nanos: nanos(at), sequence: self.sequence };
        self.entries.insert(key, waiter);
        key
    }

    pub(crate) fn remove(&mut self, key: TimerKey) {
        self.entries.remove(&key);
    }

    /// Takes the next one that is due.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<Waiter> {
        let entry = self.entries.first_entry()?;
        (entry.key().at_nanos <= nanos(now)).then(|| entry.remove())
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.entries.first_key_value().map(|(key, _)| Duration::from_nanos(key.at_nanos))
    }
}

/// What is more than five centuries away never comes.
fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

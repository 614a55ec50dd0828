//! What a worker counts of its log routes.

use super::Code;
use std::array;
use std::cell::Cell;
use std::rc::Rc;
use sws_runtime::{find_local, worker_local};

/// The counters of one worker.
pub(super) struct Counters {
    produced_records: Cell<u64>,
    produced_bytes: Cell<u64>,
    fetched_records: Cell<u64>,
    fetched_bytes: Cell<u64>,
    refusals: [Cell<u64>; Code::COUNT],
}

/// What they are at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogCounts {
    pub(crate) produced_records: u64,
    pub(crate) produced_bytes: u64,
    pub(crate) fetched_records: u64,
    pub(crate) fetched_bytes: u64,
    /// By the numbers of their codes.
    pub(crate) refusals: [u64; Code::COUNT],
}

fn add(counter: &Cell<u64>, count: usize) {
    counter.set(counter.get() + count as u64);
}

impl Counters {
    /// Those of the worker on whose thread the caller is.
    pub(super) fn of_worker() -> Rc<Counters> {
        worker_local(|| Counters {
            produced_records: Cell::new(0),
            produced_bytes: Cell::new(0),
            fetched_records: Cell::new(0),
            fetched_bytes: Cell::new(0),
            refusals: array::from_fn(|_| Cell::new(0)),
        })
    }

    /// Records were written, with so many bytes of payload.
    pub(super) fn count_produced(&self, records: usize, bytes: usize) {
        add(&self.produced_records, records);
        add(&self.produced_bytes, bytes);
    }

    /// Records were read, with so many bytes as they are stored.
    pub(super) fn count_fetched(&self, records: usize, bytes: usize) {
        add(&self.fetched_records, records);
        add(&self.fetched_bytes, bytes);
    }

    pub(super) fn count_refusal(&self, code: Code) {
        add(&self.refusals[code as usize], 1);
    }
}

impl LogCounts {
    /// Those of the worker on whose thread the caller is.
    pub(crate) fn take() -> LogCounts {
        find_local::<Counters>().map_or_else(LogCounts::default, |counters| LogCounts {
            produced_records: counters.produced_records.get(),
            produced_bytes: counters.produced_bytes.get(),
            fetched_records: counters.fetched_records.get(),
            fetched_bytes: counters.fetched_bytes.get(),
            refusals: array::from_fn(|code| counters.refusals[code].get()),
        })
    }
}

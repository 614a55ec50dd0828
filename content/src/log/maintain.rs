//! What is done in the background: retention by age and size, and compaction.

use super::compact;
use super::core::{Core, Topic};
use super::options::{TopicConfig, whole_millis};
use super::partition::{Partition, now_ms};
use super::segment_file::Sealed;
use super::wait::{NotWaited, apart};
use crate::storage::remove_if_there;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use sws_runtime::{Cancelled, timeout};

/// Looks at all topics now and then, until the worker ends.
pub(super) fn run(core: &Rc<Core>) {
    watch(core);
    // The worker ends, and waits for those who wait for records.
    let topics: Vec<Rc<Topic>> = core.topics.borrow().values().cloned().collect();
    topics.iter().flat_map(|topic| &topic.partitions).for_each(|partition| partition.arrivals.wake());
}

fn watch(core: &Rc<Core>) {
    loop {
        let waited = timeout(core.options.maintenance_interval, || {
            while !core.is_maintenance_due.replace(false) {
                core.maintenance.wait("log maintenance")?;
            }
            Ok::<(), Cancelled>(())
        });
        if waited.is_ok_and(|waited| waited.is_err()) || core.is_closed.get() || pass(core).is_err() {
            return;
        }
    }
}

/// Retention, compaction and deletion have the files of a partition's sealed segments for themselves, one at a time.
pub(super) struct Exclusive(Rc<Partition>);

impl Exclusive {
    pub(super) fn acquire(partition: &Rc<Partition>) -> Result<Exclusive, Cancelled> {
        while partition.is_maintaining.get() {
            partition.maintained.wait("log maintenance")?;
        }
        partition.is_maintaining.set(true);
        Ok(Exclusive(Rc::clone(partition)))
    }

    /// Waits until no index of the partition is just being written.
    pub(super) fn await_indexes(&self) -> Result<(), Cancelled> {
        while self.0.indexing.get() > 0 {
            self.0.maintained.wait("log index")?;
        }
        Ok(())
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.0.is_maintaining.set(false);
        self.0.maintained.wake();
    }
}

/// Does what is due, partition by partition. What was begun with one is ended also when the caller is cancelled.
pub(super) fn pass(core: &Rc<Core>) -> Result<(), Cancelled> {
    let topics: Vec<Rc<Topic>> = core.topics.borrow().values().cloned().collect();
    for topic in topics {
        for partition in topic.partitions.iter().filter(|partition| is_maintained(&partition.config)) {
            let (core, partition) = (Rc::clone(core), Rc::clone(partition));
            match apart("log maintenance", move || maintain_guarded(&core, &partition)) {
                Ok(done) => done?,
                Err(NotWaited::Cancelled) => return Err(Cancelled),
                // The next time then.
                Err(NotWaited::NoFiber) => {}
            }
        }
    }
    Ok(())
}

/// Whether anything can ever be due.
fn is_maintained(config: &TopicConfig) -> bool {
    config.retention_age.is_some() || config.retention_bytes.is_some() || config.compact
}

/// Others have their turn when the maintenance of one panics; it is tried again.
fn maintain_guarded(core: &Rc<Core>, partition: &Rc<Partition>) -> Result<(), Cancelled> {
    catch_unwind(AssertUnwindSafe(|| maintain(core, partition))).unwrap_or_else(|payload| {
        core.report(&format!("{}/{}: maintenance has panicked", partition.topic, partition.number));
        // What it carries may panic when it is dropped.
        std::mem::forget(payload);
        Ok(())
    })
}

fn maintain(core: &Rc<Core>, partition: &Rc<Partition>) -> Result<(), Cancelled> {
    let exclusive = Exclusive::acquire(partition)?;
    if partition.is_deleted.get() {
        return Ok(());
    }
    retain(core, partition, &exclusive)?;
    if partition.config.compact {
        compact::compact(core, partition, &exclusive)?;
    }
    Ok(())
}

/// Deletes the segments that are too old or too much.
fn retain(core: &Rc<Core>, partition: &Rc<Partition>, exclusive: &Exclusive) -> Result<(), Cancelled> {
    let config = &partition.config;
    let oldest = config.retention_age.map_or(0, |age| now_ms().saturating_sub(whole_millis(age)));
    let is_stale = {
        let state = partition.state.borrow();
        let stale = |active: &super::segment_file::Active| {
            active.tally.count > 0 && active.tally.last_timestamp_ms < oldest
        };
        state.poison.is_none() && state.active.as_ref().is_some_and(stale)
    };
    if is_stale {
        partition.roll(core)?;
    }
    let mut deleted = Vec::new();
    {
        let mut state = partition.state.borrow_mut();
        let mut bytes = state.bytes();
        while let Some(segment) = state.sealed.front() {
            // The name of the last file says which number comes next.
            let is_last = state.sealed.len() == 1 && state.active.is_none();
            let is_old = segment.damage.is_none() && segment.last_timestamp_ms < oldest;
            let is_much = config.retention_bytes.is_some_and(|max| bytes > max);
            if is_last || !(is_old || is_much) {
                break;
            }
            bytes -= segment.size();
            deleted.extend(state.sealed.pop_front());
        }
    }
    if !deleted.is_empty() {
        exclusive.await_indexes()?;
        delete(core, partition, &deleted);
    }
    Ok(())
}

fn delete(core: &Core, partition: &Partition, segments: &[Rc<Sealed>]) {
    for segment in segments {
        core.files.remove(segment.id);
        for path in [segment.index_path(), segment.path.clone()] {
            if let Err(error) = remove_if_there(&*core.storage, &path) {
                core.report(&format!("{}: not deleted: {error}", path.display()));
            }
        }
    }
    if let Err(error) = core.storage.sync_dir(&partition.dir) {
        core.report(&format!("{}: {error}", partition.dir.display()));
    }
}

//! Group commit: what comes in while a batch is on its way to the disk is the next batch. No timer, and one write for each.

use super::chunk::Chunk;
use super::core::Core;
use super::error::ProduceError;
use super::partition::{Partition, now_ms};
use super::queue::Batch;
use super::segment_file::{Active, Sealed, segment_path};
use super::wait::{NotWaited, apart};
use crate::segment::{Footer, Index, SegmentHeader, topic_crc};
use crate::storage::{AppendError, SharedFile, is_full, is_out_of_descriptors, replace_file, write_all_at};
use bytes::Bytes;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use sws_runtime::{Cancelled, try_go};

/// Says that the partition takes nothing, and why, until a person has looked.
pub(super) const POISONED: &str = "poisoned";

/// Why a batch was not written.
enum Failure {
    /// It was not, and nothing of it is in the files.
    Refused(ProduceError),
    /// It is not known what is on the disk.
    Poison(String),
    /// The worker ends.
    Cancelled,
}

impl From<Cancelled> for Failure {
    fn from(Cancelled: Cancelled) -> Failure {
        Failure::Cancelled
    }
}

fn poison(path: &Path, what: impl Display) -> Failure {
    Failure::Poison(format!("{}: {what}", path.display()))
}

/// What becomes of a write or a sync that failed: it is not known what is on the disk, but when it was not begun, or the worker ends.
fn failed(path: &Path, error: AppendError) -> Failure {
    match error {
        AppendError::NotBegun(error) => refuse(path, error),
        AppendError::Write(error) | AppendError::Sync(error) if is_out_of_descriptors(&error) => {
            refuse(path, error)
        }
        AppendError::Write(error) | AppendError::Sync(error) if Cancelled::is_in(&error) => {
            Failure::Cancelled
        }
        error => poison(path, error),
    }
}

fn not_synced(path: &Path, error: io::Error) -> Failure {
    failed(path, AppendError::Sync(error))
}

impl Partition {
    /// Writes batch after batch, until none waits.
    pub(super) fn commit(self: &Rc<Self>, core: &Rc<Core>) {
        let _guard = Panicked(self, core);
        loop {
            let Some(batch) = self.queue.borrow_mut().pop() else { break };
            let bytes = batch.bytes.len();
            let result = match batch.places.is_empty() {
                true => self.sync(core),
                false => self.write(core, &batch).map(|synced| self.finish(core, batch, synced)),
            };
            if let Err(failure) = result {
                self.fail(core, failure);
            }
            if let Some(blocks) = self.plan_preparation() {
                self.prepare(core, blocks, bytes);
            }
        }
        self.idle.wake();
    }

    /// Writes a batch behind the others. Whether it is on the disk.
    fn write(self: &Rc<Self>, core: &Rc<Core>, batch: &Batch) -> Result<bool, Failure> {
        let is_over = {
            let state = self.state.borrow();
            let full = |active: &Active| active.is_full(batch.bytes.len(), self.config.segment_bytes);
            state.active.as_ref().is_some_and(full)
        };
        if is_over {
            self.seal(core)?;
        }
        if self.state.borrow().active.is_none() {
            self.begin(core, batch.places[0].offset)?;
        }
        let (file, path, position, header) = self.open_active(core)?;
        self.await_prepared(position + (header.len() + batch.bytes.len()) as u64)?;
        let joined;
        let data: &[u8] = if header.is_empty() {
            &batch.bytes
        } else {
            joined = [&header[..], &batch.bytes].concat();
            &joined
        };
        let result = self.append(&*file, data, position, batch);
        match result {
            Ok(synced) => Ok(synced),
            Err(AppendError::Write(error)) if is_full(&error) => {
                // What was written of it must not be there when something else is written behind it.
                self.cut(&file, position).map_err(|error| poison(&path, error))?;
                Err(Failure::Refused(ProduceError::StorageFull))
            }
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// Brings to the disk what was written without it.
    fn sync(&self, core: &Core) -> Result<(), Failure> {
        let (durable, end) = (self.state.borrow().durable, self.state.borrow().end);
        if durable < end {
            let (file, path, ..) = self.open_active(core)?;
            file.sync().map_err(|error| not_synced(&path, error))?;
            self.state.borrow_mut().durable = end;
        }
        let told = self.queue.borrow_mut().take_durable(end);
        told.tell();
        Ok(())
    }

    fn append(
        &self,
        file: &dyn crate::storage::StorageFile,
        data: &[u8],
        position: u64,
        batch: &Batch,
    ) -> Result<bool, AppendError> {
        let mut written = || {
            if batch.wants_written {
                let told = self.queue.borrow_mut().take_written(batch.next);
                told.tell();
            }
        };
        if self.is_synced() {
            file.append(data, position, &mut written)?;
            return Ok(true);
        }
        write_all_at(file, data, position).map_err(AppendError::Write)?;
        written();
        if batch.wants_sync {
            file.sync().map_err(AppendError::Sync)?;
        }
        Ok(batch.wants_sync)
    }

    /// The active segment's file, where to write, and the header if it is not yet in the file.
    fn open_active(&self, core: &Core) -> Result<(SharedFile, std::path::PathBuf, u64, Vec<u8>), Failure> {
        let (id, path, position, header) = {
            let state = self.state.borrow();
            let active = state.active.as_ref().expect("a segment was begun");
            let header = if active.begun { Vec::new() } else { active.header.encode().to_vec() };
            (active.id, active.path.clone(), active.position(), header)
        };
        let file = core.files.open(id, &path, true).map_err(|error| refuse(&path, error))?;
        Ok((file, path, position, header))
    }

    /// Cuts the active file where the last good batch ends.
    fn cut(&self, file: &SharedFile, position: u64) -> io::Result<()> {
        file.set_size(position)?;
        file.sync()?;
        if let Some(active) = self.state.borrow_mut().active.as_mut() {
            active.prepared = position;
        }
        Ok(())
    }

    /// A batch is written: everybody who waits for it hears of it.
    fn finish(self: &Rc<Self>, core: &Rc<Core>, batch: Batch, synced: bool) {
        let Batch { bytes, places, next, last_timestamp_ms, .. } = batch;
        let len = bytes.len();
        core.records.set(core.records.get() + places.len() as u64);
        core.commits.set(core.commits.get() + 1);
        let mut state = self.state.borrow_mut();
        let active = state.active.as_mut().expect("it was just written to");
        let position = active.tally.records_bytes;
        active.begun = true;
        for place in &places {
            active.index.push(place.offset, position + u64::from(place.at), last_timestamp_ms);
        }
        active.tally.push(&bytes, places.len() as u64, next, last_timestamp_ms);
        state.end = next;
        if synced {
            state.durable = next;
        }
        state.producers.commit(next);
        let chunk = Arc::new(Chunk::new(Bytes::from(bytes), places, next));
        self.keep_recent(&mut state, core, Arc::clone(&chunk));
        drop(state);
        self.visible.set(next);
        let told = {
            let mut queue = self.queue.borrow_mut();
            queue.release(len);
            if synced { queue.take_durable(next) } else { queue.take_written(next) }
        };
        told.tell();
        self.arrivals.wake();
        self.publish(&core.domains.borrow(), &chunk);
    }

    fn fail(&self, core: &Core, failure: Failure) {
        let (error, reason) = match failure {
            Failure::Refused(error) => (error, None),
            Failure::Cancelled => (ProduceError::Closed, Some("its worker has ended".to_owned())),
            Failure::Poison(reason) => {
                (ProduceError::Poisoned { reason: reason.as_str().into() }, Some(reason))
            }
        };
        let end = {
            let mut state = self.state.borrow_mut();
            state.producers.take_back();
            if let Some(reason) = reason {
                state.poison = Some(reason.into());
            }
            state.end
        };
        // What comes while the file is written is refused.
        if let ProduceError::Poisoned { reason } = &error {
            // It is only a help for whoever looks: the storage may take it or not.
            let _ = replace_file(&*core.storage, &self.dir.join(POISONED), reason.as_bytes());
            core.report(&format!("{}/{}: {reason}", self.topic, self.number));
        }
        let told = self.queue.borrow_mut().fail(end, &error);
        told.tell();
    }

    /// Makes the file of a new active segment.
    fn begin(&self, core: &Core, base_offset: u64) -> Result<(), Failure> {
        let path = segment_path(&self.dir, base_offset);
        let header = SegmentHeader {
            base_offset,
            created_ms: now_ms(),
            partition: self.number,
            topic_crc: topic_crc(&self.topic),
            compacted: false,
        };
        let file = match core.storage.create(&path) {
            // Left by a start that failed for lack of space: it holds nothing.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = core.storage.open(&path, true).map_err(|error| refuse(&path, error))?;
                file.set_size(0).map_err(|error| refuse(&path, error))?;
                file
            }
            result => result.map_err(|error| refuse(&path, error))?,
        };
        core.storage.sync_dir(&self.dir).map_err(|error| not_synced(&self.dir, error))?;
        let active = Active::new(path, header);
        core.files.insert(active.id, file);
        self.state.borrow_mut().active = Some(active);
        Ok(())
    }

    /// Ends the active segment before its time, if nothing is just being written, and begins the next: the number of the next record
    /// is then in the name of a file, whatever becomes of the others. What comes meanwhile is written by a fiber of its own.
    pub(super) fn roll(self: &Rc<Self>, core: &Rc<Core>) -> Result<(), Cancelled> {
        if std::mem::replace(&mut self.queue.borrow_mut().is_committing, true) {
            return Ok(());
        }
        let (partition, shared) = (Rc::clone(self), Rc::clone(core));
        let rolled = apart("log roll", move || {
            let _guard = Panicked(&partition, &shared);
            let end = partition.state.borrow().end;
            if let Err(failure) = partition.seal(&shared).and_then(|()| partition.begin(&shared, end)) {
                partition.fail(&shared, failure);
            }
            let (next, core) = (Rc::clone(&partition), Rc::clone(&shared));
            if try_go("log commit", move || next.commit(&core)).is_none() {
                partition.commit(&shared);
            }
        });
        match rolled {
            Ok(()) => Ok(()),
            Err(NotWaited::Cancelled) => Err(Cancelled),
            Err(NotWaited::NoFiber) => {
                // Nothing has come meanwhile: nobody else had the time.
                self.queue.borrow_mut().is_committing = false;
                Ok(())
            }
        }
    }

    /// Ends the active segment: all of it is on the disk, and its footer says so.
    fn seal(self: &Rc<Self>, core: &Rc<Core>) -> Result<(), Failure> {
        self.await_preparation()?;
        let (id, path, footer) = {
            let state = self.state.borrow();
            let active = state.active.as_ref().expect("only an active segment is sealed");
            (active.id, active.path.clone(), active.tally.footer())
        };
        let file = core.files.open(id, &path, true).map_err(|error| refuse(&path, error))?;
        // A footer says that all before it is on the disk, so it must not get there first.
        let is_durable = self.state.borrow().durable == self.state.borrow().end;
        if !is_durable {
            file.sync().map_err(|error| not_synced(&path, error))?;
        }
        if let Some(active) = self.state.borrow_mut().active.as_mut() {
            active.prepared = 0;
        }
        write_footer(&file, &footer).map_err(|error| match error {
            AppendError::Write(error) if is_full(&error) => Failure::Refused(ProduceError::StorageFull),
            error => failed(&path, error),
        })?;
        core.files.remove(id);
        let (sealed, index) = {
            let mut state = self.state.borrow_mut();
            let active = state.active.take().expect("it was there before");
            state.durable = state.end;
            let producers = state.producers.snapshot();
            let sealed = Rc::new(Sealed::new(active.path, active.header, &footer));
            let index = active.index.finish(sealed.size(), producers);
            core.indexes.hold(&sealed, index.clone());
            state.sealed.push_back(Rc::clone(&sealed));
            (sealed, index)
        };
        self.write_index(core, &sealed, index);
        core.wants_maintenance();
        Ok(())
    }

    /// Writes an index beside its segment, on a fiber of its own. It can be made again, so nobody waits for it but who rewrites or deletes
    /// the segment.
    fn write_index(self: &Rc<Self>, core: &Rc<Core>, sealed: &Sealed, index: Index) {
        let (core, path, writing) = (Rc::clone(core), sealed.index_path(), Indexing::begin(self));
        // Without a fiber it is not written.
        let _ = try_go("log index", move || {
            if let Err(error) = replace_file(&*core.storage, &path, &index.encode()) {
                core.report(&format!("{}: not written, it will be made again: {error}", path.display()));
            }
            drop(writing);
        });
    }
}

/// An index is being written.
struct Indexing(Rc<Partition>);

impl Indexing {
    fn begin(partition: &Rc<Partition>) -> Indexing {
        partition.indexing.set(partition.indexing.get() + 1);
        Indexing(Rc::clone(partition))
    }
}

impl Drop for Indexing {
    fn drop(&mut self) {
        self.0.indexing.set(self.0.indexing.get() - 1);
        self.0.maintained.wake();
    }
}

/// Nobody waits for ever for a fiber that panicked.
struct Panicked<'a>(&'a Rc<Partition>, &'a Rc<Core>);

impl Drop for Panicked<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(self.1, Failure::Poison("the fiber that writes has panicked".to_owned()));
            self.0.queue.borrow_mut().stop();
            self.0.idle.wake();
        }
    }
}

/// Puts a footer behind the records and cuts the file there. What is ready behind it goes first, so that a file with a footer has it
/// at its end.
pub(super) fn write_footer(file: &SharedFile, footer: &Footer) -> Result<(), AppendError> {
    let position = footer.records_bytes;
    file.set_size(position).map_err(AppendError::Write)?;
    write_all_at(&**file, &footer.encode(), position).map_err(AppendError::Write)?;
    file.sync().map_err(AppendError::Sync)
}

/// A file could not be opened or made: nothing was written.
fn refuse(path: &Path, error: io::Error) -> Failure {
    if is_full(&error) {
        return Failure::Refused(ProduceError::StorageFull);
    }
    if Cancelled::is_in(&error) {
        return Failure::Cancelled;
    }
    Failure::Refused(ProduceError::Storage { reason: Arc::from(format!("{}: {error}", path.display())) })
}

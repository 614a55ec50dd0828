//! The log on the worker that has it.

use super::cache::ChunkCache;
use super::error::TopicError;
use super::files::OpenFiles;
use super::indexes::Indexes;
use super::live::{self, Waiting};
use super::maintain::Exclusive;
use super::options::{LogOptions, NAME_BYTES_MAX, TopicConfig};
use super::partition::Partition;
use super::wait::WaitList;
use super::{LogStats, TopicInfo, checkpoint, directory};
use crate::storage::Storage;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use sws_runtime::{Cancelled, Topics};

/// A topic and its partitions.
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) dir: PathBuf,
    pub(super) config: Rc<TopicConfig>,
    pub(super) partitions: Box<[Rc<Partition>]>,
    /// Records that were given a partition in turn.
    pub(super) turn: Cell<u64>,
}

/// All of a log, on its worker's thread.
pub(crate) struct Core {
    pub(super) options: LogOptions,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) dir: PathBuf,
    pub(super) topics: RefCell<HashMap<Arc<str>, Rc<Topic>>>,
    /// Names that are just being made or deleted.
    pub(super) busy: RefCell<Vec<Arc<str>>>,
    pub(super) settled: WaitList,
    pub(super) files: OpenFiles,
    pub(super) cache: ChunkCache,
    pub(super) indexes: Indexes,
    /// Held once more by each read ahead that is under way.
    pub(super) reads_ahead: Rc<()>,
    pub(super) recent_bytes: Cell<usize>,
    /// Records that were written, and the batches in which they were.
    pub(super) records: Cell<u64>,
    pub(super) commits: Cell<u64>,
    /// The topics that hear of each record.
    pub(super) domains: RefCell<Vec<Topics>>,
    /// Messages whose topic is just being made.
    pub(super) waiting: RefCell<HashMap<Arc<str>, Waiting>>,
    /// The fiber of maintenance waits here, and whether it has something to do.
    pub(super) maintenance: WaitList,
    pub(super) is_maintenance_due: Cell<bool>,
    pub(super) is_closed: Cell<bool>,
}

/// Whether a name can be a topic's: no patterns, no numbers of partitions, nothing that is not seen.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && directory::encode_name(name).len() <= NAME_BYTES_MAX
        && !name.contains(['#', '*'])
        && !name.chars().any(char::is_control)
}

impl Core {
    pub(super) fn new(options: LogOptions, dir: PathBuf) -> Core {
        Core {
            storage: Arc::clone(&options.storage),
            files: OpenFiles::new(Arc::clone(&options.storage), options.open_files_max),
            cache: ChunkCache::new(options.cache_bytes_max),
            indexes: Indexes::default(),
            reads_ahead: Rc::new(()),
            options,
            dir,
            topics: RefCell::new(HashMap::new()),
            busy: RefCell::new(Vec::new()),
            settled: WaitList::default(),
            recent_bytes: Cell::new(0),
            records: Cell::new(0),
            commits: Cell::new(0),
            domains: RefCell::new(Vec::new()),
            waiting: RefCell::new(HashMap::new()),
            maintenance: WaitList::default(),
            is_maintenance_due: Cell::new(false),
            is_closed: Cell::new(false),
        }
    }

    pub(super) fn topic(&self, name: &str) -> Option<Rc<Topic>> {
        self.topics.borrow().get(name).cloned()
    }

    pub(super) fn partition(&self, topic: &str, partition: u32) -> Result<Rc<Partition>, Missing> {
        let topic = self.topic(topic).ok_or(Missing::Topic)?;
        topic.partitions.get(partition as usize).cloned().ok_or(Missing::Partition)
    }

    /// Makes a topic: first its folders, then the file that says that it is one.
    pub(super) fn create_topic(&self, name: &str, config: TopicConfig) -> Result<(), TopicError> {
        if !is_name(name) {
            return Err(TopicError::Name);
        }
        config.check().map_err(TopicError::Config)?;
        let name: Arc<str> = name.into();
        // Who comes while it is being made, or deleted, is told what became of that.
        while self.busy.borrow().contains(&name) {
            self.settled.wait("log create").map_err(|Cancelled| TopicError::Cancelled)?;
        }
        {
            let topics = self.topics.borrow();
            let mut busy = self.busy.borrow_mut();
            if topics.contains_key(&name) {
                return Err(TopicError::Exists);
            }
            if topics.len() + busy.len() >= self.options.topics_max {
                return Err(TopicError::TooMany);
            }
            busy.push(Arc::clone(&name));
        }
        let busy = Busy { core: self, name: Arc::clone(&name) };
        let topic = directory::create(&*self.storage, &self.dir, &name, config, &self.options)?;
        for topics in &*self.domains.borrow() {
            for partition in &topic.partitions {
                live::restore(topics, &partition.live_name, 0, []);
            }
        }
        self.topics.borrow_mut().insert(name, Rc::new(topic));
        drop(busy);
        Ok(())
    }

    /// Deletes a topic with its records. To be run to its end: on a fiber that nobody cancels.
    pub(super) fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let topic = {
            let mut topics = self.topics.borrow_mut();
            let (name, topic) = topics.remove_entry(name).ok_or(TopicError::UnknownTopic)?;
            self.busy.borrow_mut().push(name);
            topic
        };
        let _busy = Busy { core: self, name: Arc::clone(&topic.name) };
        let set_deleted = |deleted| topic.partitions.iter().for_each(|one| one.is_deleted.set(deleted));
        set_deleted(true);
        let resting: Result<Vec<Exclusive>, Cancelled> =
            topic.partitions.iter().map(|partition| partition.come_to_rest()).collect();
        let begun = resting.map_err(|Cancelled| TopicError::Cancelled).and_then(|resting| {
            directory::mark_deleted(&*self.storage, &topic.dir)?;
            Ok(resting)
        });
        let _resting = match begun {
            Ok(resting) => resting,
            Err(error) => {
                // Nothing has become of it.
                set_deleted(false);
                self.topics.borrow_mut().insert(Arc::clone(&topic.name), topic);
                return Err(error);
            }
        };
        for partition in &topic.partitions {
            for topics in &*self.domains.borrow() {
                topics.remove(&partition.live_name);
            }
            partition.forget_recent(self);
            partition.close_files(self);
            partition.arrivals.wake();
        }
        directory::delete(&*self.storage, &topic.dir)?;
        Ok(())
    }

    pub(super) fn infos(&self) -> Vec<TopicInfo> {
        let mut infos: Vec<TopicInfo> =
            self.topics.borrow().values().map(|topic| TopicInfo::of(topic)).collect();
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        infos
    }

    pub(super) fn stats(&self) -> LogStats {
        let (cache_bytes, chunks_read, chunks_shared) = self.cache.stats();
        LogStats {
            topics: self.topics.borrow().len(),
            open_files: self.files.len(),
            recent_bytes: self.recent_bytes.get(),
            cache_bytes,
            chunks_read,
            chunks_shared,
            records: self.records.get(),
            commits: self.commits.get(),
        }
    }

    /// Has maintenance look at once.
    pub(super) fn wants_maintenance(&self) {
        self.is_maintenance_due.set(true);
        self.maintenance.wake();
    }

    /// Tells what nobody waits to hear, on the standard error.
    pub(super) fn report(&self, what: &str) {
        eprintln!("sws log: {what}");
    }

    /// Brings all to the disk and says so there. Nothing is taken in any more.
    pub(super) fn close(&self, self_rc: &Rc<Core>) {
        self.is_closed.set(true);
        let topics: Vec<Rc<Topic>> = self.topics.borrow().values().cloned().collect();
        for partition in topics.iter().flat_map(|topic| &topic.partitions) {
            match partition.flush(self_rc) {
                Ok(()) => self.write_checkpoint(partition),
                Err(error) => self.report(&format!("{}/{}: {error}", partition.topic, partition.number)),
            }
            // Who waits for records hears that none come.
            partition.is_closed.set(true);
            partition.arrivals.wake();
        }
        self.wants_maintenance();
    }

    fn write_checkpoint(&self, partition: &Partition) {
        let state = self.durable_of(partition);
        if let Some(durable) = state
            && let Err(error) = checkpoint::write(&*self.storage, &partition.dir, durable)
        {
            self.report(&format!("{}: no checkpoint: {error}", partition.dir.display()));
        }
    }

    /// One past the last offset on the disk, if all is there and nothing is wrong.
    fn durable_of(&self, partition: &Partition) -> Option<u64> {
        let state = partition.state.borrow();
        let is_whole = state.poison.is_none() && state.durable == state.end && state.end > 0;
        is_whole.then_some(state.durable)
    }
}

impl Drop for Core {
    /// A worker that ends without having closed its log: what is known to be on the disk is said all the same.
    fn drop(&mut self) {
        if self.is_closed.get() {
            return;
        }
        for topic in self.topics.borrow().values() {
            for partition in &topic.partitions {
                self.write_checkpoint(partition);
            }
        }
    }
}

/// What was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Topic,
    Partition,
}

/// Gives a name free again.
struct Busy<'a> {
    core: &'a Core,
    name: Arc<str>,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.core.busy.borrow_mut().retain(|name| *name != self.name);
        self.core.settled.wake();
    }
}

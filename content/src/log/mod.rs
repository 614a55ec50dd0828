//! A durable, replayable log.
//!
//! A topic has partitions; a partition is one sequence of records with contiguous offsets, in segments of a bounded size. Records come
//! in from fibers, wait in memory while the batch before them is on its way to the disk, and go there together; their producers
//! hear of it when that is done. Readers see what is on the disk.
//!
//! ```text
//! produce ─▶ partition.rs: take_in ─▶ queue.rs ─▶ commit.rs: one fiber, batch after batch ─▶ storage ─▶ acks, readers, topics
//! fetch   ─▶ read.rs: recent batches | shared chunks of the active and the sealed segments
//! open    ─▶ directory.rs ─▶ recover.rs: footers of sealed segments, a scan of the active one
//! time    ─▶ maintain.rs: retention, compaction
//! ```

mod ahead;
mod cache;
mod checkpoint;
mod chunk;
mod commit;
mod compact;
mod core;
mod damage;
mod directory;
mod error;
mod files;
mod home;
mod indexes;
mod inspect;
mod live;
mod maintain;
mod options;
mod partition;
mod partitioner;
mod prepare;
mod producers;
mod queue;
mod read;
mod record;
mod recover;
mod segment_file;
mod tail;
mod wait;

pub use error::{FetchError, OpenError, ProduceError, TopicError};
pub use inspect::{Inspection, Repair, RepairError, SegmentInfo, dump, inspect, repair};
pub use live::live_name;
pub use options::{Acks, Flush, LogOptions, NAME_BYTES_MAX, PARTITIONS_MAX, SEGMENT_BYTES_MIN, TopicConfig};
pub use partitioner::{Partitioner, key_hash};
pub use read::{FetchMax, StoredRecords};
pub use record::{Entry, ProduceOptions, Produced, ProducerNumber, Record, Records};
pub use recover::PartitionReport;
pub use tail::Tail;

use self::core::{Core, Missing, Topic};
use crate::storage::Lock;
use home::{NotCast, Stage};
use record::OwnedEntry;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sws_runtime::Topics;

/// A log in a folder: a handle for any worker, cheap to clone.
///
/// It is opened before its server runs, and belongs to the worker that uses it first; others reach it through that worker's door. All
/// functions but [`open`](Log::open) are called on fibers, and wait there. A fiber that is cancelled while it waits for an ack
/// gets `Cancelled`; its record is on its way all the same.
///
/// ```
/// use sws_content::log::{Acks, Entry, FetchMax, Log, TopicConfig};
/// # use sws_runtime::Runtime;
///
/// # let dir = std::env::temp_dir().join(format!("sws-doc-log-{}", std::process::id()));
/// let (log, _report) = Log::open(&dir)?;
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// # let shared = log.clone();
/// runtime.block_on_fiber(move || {
///     log.create_topic("orders", TopicConfig::default())?;
///     let produced = log.produce("orders", Entry::text("two tickets").key("user-7"), Acks::Durable)?;
///     assert_eq!((produced.partition, produced.offset), (0, 0));
///
///     let records = log.fetch("orders", 0, 0, FetchMax::default())?;
///     let first = records.iter().next().expect("it was just produced");
///     assert_eq!((first.offset, &first.payload[..]), (0, &b"two tickets"[..]));
///     log.close();
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })
/// # .unwrap();
/// # drop(shared);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    id: u64,
    dir: PathBuf,
    options: LogOptions,
    stage: Mutex<Stage>,
    /// The topics that hear of each record, until a worker has the log.
    domains: Mutex<Vec<Topics>>,
    /// The numbers of all that hear.
    attached: Mutex<HashSet<u64>>,
    /// Held as long as the log is open.
    _lock: Lock,
}

/// What was found when a log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Each partition of each topic.
    pub partitions: Vec<PartitionReport>,
}

impl Report {
    /// Records that there are.
    pub fn records(&self) -> u64 {
        self.partitions.iter().fold(0, |sum, partition| partition.records.saturating_add(sum))
    }

    /// Bytes that were cut.
    pub fn bytes_cut(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.bytes_cut).sum()
    }

    /// All that is damaged.
    pub fn damage(&self) -> impl Iterator<Item = &str> {
        self.partitions.iter().flat_map(|partition| partition.damage.iter().map(String::as_str))
    }
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub config: TopicConfig,
    /// Its partitions, by their numbers.
    pub partitions: Vec<PartitionInfo>,
}

/// A partition as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionInfo {
    /// The oldest offset that is kept.
    pub low: u64,
    /// The offset behind the last that readers see.
    pub high: u64,
    /// Bytes of its segments.
    pub bytes: u64,
    /// How many segments there are.
    pub segments: usize,
    /// Why nothing can be produced, if so.
    pub poisoned: Option<String>,
}

impl TopicInfo {
    fn of(topic: &Topic) -> TopicInfo {
        let partitions = topic.partitions.iter().map(|partition| {
            let (low, high) = partition.range();
            let state = partition.state.borrow();
            PartitionInfo {
                low,
                high,
                bytes: state.bytes(),
                segments: state.sealed.len() + usize::from(state.active.is_some()),
                poisoned: state.poison.as_deref().map(str::to_owned),
            }
        });
        TopicInfo {
            name: topic.name.to_string(),
            config: (*topic.config).clone(),
            partitions: partitions.collect(),
        }
    }
}

/// What a log holds at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Topics.
    pub topics: usize,
    /// Files that are open.
    pub open_files: usize,
    /// Bytes of what was written last, in memory.
    pub recent_bytes: usize,
    /// Bytes of older records in memory.
    pub cache_bytes: usize,
    /// Chunks of records that were read from files.
    pub chunks_read: u64,
    /// Chunks that somebody else had read.
    pub chunks_shared: u64,
    /// Records that were written since it was opened.
    pub records: u64,
    /// Batches in which they were; one sync each, where a topic syncs every batch.
    pub commits: u64,
}

impl Log {
    /// Opens the log in a folder, which is made if it is not there. It blocks: call it before the server runs.
    ///
    /// # Errors
    /// [`OpenError`]. Damage is no error: the report says it, and what is good can be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<(Log, Report), OpenError> {
        Log::open_with(dir, LogOptions::default())
    }

    /// As [`open`](Log::open), with settings.
    ///
    /// # Errors
    /// As [`open`](Log::open).
    pub fn open_with(dir: impl AsRef<Path>, options: LogOptions) -> Result<(Log, Report), OpenError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let dir = dir.as_ref().to_owned();
        directory::make(&*options.storage, &dir)?;
        let lock = directory::lock(&*options.storage, &dir)?;
        let (topics, partitions) = directory::open_all(&dir, &options)?;
        let shared = Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            dir,
            options,
            stage: Mutex::new(Stage::Found(topics)),
            domains: Mutex::new(Vec::new()),
            attached: Mutex::default(),
            _lock: lock,
        };
        Ok((Log { shared: Arc::new(shared) }, Report { partitions }))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// [`TopicError`].
    pub fn create_topic(&self, name: &str, config: TopicConfig) -> Result<(), TopicError> {
        let name = name.to_owned();
        self.call_to_end(move |core| core.create_topic(&name, config))
    }

    /// As [`create_topic`](Log::create_topic); one that is there already is left as it is.
    ///
    /// # Errors
    /// [`TopicError`].
    pub fn ensure_topic(&self, name: &str, config: TopicConfig) -> Result<(), TopicError> {
        match self.create_topic(name, config) {
            Err(TopicError::Exists) => Ok(()),
            result => result,
        }
    }

    /// Deletes a topic and all its records. Who waits for records of it gets `UnknownTopic`.
    ///
    /// # Errors
    /// [`TopicError`]. What a failure of the storage has left is deleted when the log is opened again.
    pub fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let name = name.to_owned();
        self.call_to_end(move |core| core.delete_topic(&name))
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// [`TopicError::Closed`] and [`TopicError::Cancelled`].
    pub fn topics(&self) -> Result<Vec<TopicInfo>, TopicError> {
        self.call(|core| Ok(core.infos()))
    }

    /// One topic.
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`], [`TopicError::Closed`] and [`TopicError::Cancelled`].
    pub fn topic(&self, name: &str) -> Result<TopicInfo, TopicError> {
        let name = name.to_owned();
        self.call(move |core| {
            core.topic(&name).map(|topic| TopicInfo::of(&topic)).ok_or(TopicError::UnknownTopic)
        })
    }

    /// Puts a record behind the others of its partition, and waits as `acks` says.
    ///
    /// # Errors
    /// [`ProduceError`].
    pub fn produce(&self, topic: &str, entry: Entry<'_>, acks: Acks) -> Result<Produced, ProduceError> {
        self.produce_batch(topic, &[entry], ProduceOptions::default().acks(acks))
    }

    /// Puts records behind the others of one partition, all or none of them: that of the first one's key, unless one is named.
    ///
    /// # Errors
    /// [`ProduceError`].
    pub fn produce_batch(
        &self,
        topic: &str,
        entries: &[Entry<'_>],
        options: ProduceOptions,
    ) -> Result<Produced, ProduceError> {
        if let Some(core) = self.local() {
            let partition = choose(&core, topic, entries, &options)?;
            return partition.produce(&core, entries, &options);
        }
        let owned: Vec<OwnedEntry> = entries.iter().map(OwnedEntry::of).collect();
        let topic = topic.to_owned();
        self.call(move |core| {
            let entries: Vec<Entry<'_>> = owned.iter().map(OwnedEntry::entry).collect();
            choose(core, &topic, &entries, &options)?.produce(core, &entries, &options)
        })
    }

    /// As [`produce_batch`](Log::produce_batch), for callers that cannot wait: `answer` is called on the log's worker when it is done, or,
    /// where that worker is overloaded or gone, on this thread before this returns. It must not wait either. Off a worker, a log that no
    /// worker has used yet answers [`ProduceError::Closed`].
    pub fn produce_then(
        &self,
        topic: &str,
        entries: &[Entry<'_>],
        options: ProduceOptions,
        answer: impl FnOnce(Result<Produced, ProduceError>) + Send + 'static,
    ) {
        if let Some(core) = sws_runtime::on_worker().then(|| self.local()).flatten() {
            return produce_then(&core, topic, entries, &options, answer);
        }
        let owned: Vec<OwnedEntry> = entries.iter().map(OwnedEntry::of).collect();
        let topic = topic.to_owned();
        // Whoever is not reached there is answered here.
        let answer = Arc::new(Mutex::new(Some(answer)));
        let later = Arc::clone(&answer);
        let take = |answer: &Mutex<Option<_>>| answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let cast = self.cast(move |core| {
            let Some(answer) = take(&later) else { return };
            let Some(core) = core else { return answer(Err(ProduceError::Closed)) };
            let entries: Vec<Entry<'_>> = owned.iter().map(OwnedEntry::entry).collect();
            produce_then(core, &topic, &entries, &options, answer);
        });
        if let Err(why) = cast
            && let Some(answer) = take(&answer)
        {
            answer(Err(match why {
                NotCast::Full => error::Remote::overloaded(),
                NotCast::Closed => ProduceError::Closed,
            }));
        }
    }

    /// The partition that the topic's partitioner chooses for a key. Without one, partitions take turns.
    ///
    /// # Errors
    /// [`ProduceError::UnknownTopic`], [`ProduceError::UnknownPartition`] where none is chosen, [`ProduceError::Closed`] and
    /// [`ProduceError::Cancelled`].
    pub fn partition_of(&self, topic: &str, key: Option<&[u8]>) -> Result<u32, ProduceError> {
        let (topic, key) = (topic.to_owned(), key.map(<[u8]>::to_vec));
        self.call(move |core| {
            let entry = Entry { key: key.as_deref(), ..Entry::default() };
            choose(core, &topic, &[entry], &ProduceOptions::default()).map(|partition| partition.number)
        })
    }

    /// Records from an offset on: as many as there are and may be, none at the end.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn fetch(
        &self,
        topic: &str,
        partition: u32,
        offset: u64,
        max: FetchMax,
    ) -> Result<Records, FetchError> {
        self.fetch_wait(topic, partition, offset, max, Duration::ZERO)
    }

    /// As [`fetch`](Log::fetch); at the end it waits for records, at most for `wait`, and returns none if none come.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn fetch_wait(
        &self,
        topic: &str,
        partition: u32,
        offset: u64,
        max: FetchMax,
        wait: Duration,
    ) -> Result<Records, FetchError> {
        let topic = topic.to_owned();
        self.call(move |core| find(core, &topic, partition)?.fetch_wait(core, offset, max, wait))
    }

    /// Encoded records of at most `bytes_max` bytes from an offset on, as a part of the sealed segment in which they lie. None where they are to be
    /// [fetched](Log::fetch): in segments that are not sealed yet, that are compacted, and where there are only few.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn fetch_stored(
        &self,
        topic: &str,
        partition: u32,
        offset: u64,
        bytes_max: u64,
    ) -> Result<Option<StoredRecords>, FetchError> {
        let topic = topic.to_owned();
        self.call(move |core| find(core, &topic, partition)?.fetch_stored(core, offset, bytes_max))
    }

    /// Waits until readers see the record with this offset: so that one who has produced it elsewhere reads it here.
    ///
    /// # Errors
    /// [`FetchError::TimedOut`] when that takes longer than `wait`, and others.
    pub fn wait_for(
        &self,
        topic: &str,
        partition: u32,
        min_offset: u64,
        wait: Duration,
    ) -> Result<(), FetchError> {
        let topic = topic.to_owned();
        self.call(move |core| find(core, &topic, partition)?.wait_visible(min_offset.saturating_add(1), wait))
    }

    /// The oldest offset that is kept, and the one that the next record will have as far as readers see.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn range(&self, topic: &str, partition: u32) -> Result<(u64, u64), FetchError> {
        let topic = topic.to_owned();
        self.call(move |core| Ok(find(core, &topic, partition)?.range()))
    }

    /// All records of a partition from an offset on, those that come later too.
    pub fn tail(&self, topic: &str, partition: u32, offset: u64) -> Tail {
        Tail::new(self.clone(), topic, partition, offset)
    }

    /// Waits until all that was produced to a topic is on the disk.
    ///
    /// # Errors
    /// [`ProduceError`].
    pub fn flush(&self, topic: &str) -> Result<(), ProduceError> {
        let topic = topic.to_owned();
        self.call(move |core| {
            let topic = core.topic(&topic).ok_or(ProduceError::UnknownTopic)?;
            topic.partitions.iter().try_for_each(|partition| partition.flush(core))
        })
    }

    /// Looks at once for what retention and compaction have to do, and waits until that is done.
    ///
    /// # Errors
    /// [`TopicError::Closed`] and [`TopicError::Cancelled`].
    pub fn maintain(&self) -> Result<(), TopicError> {
        self.call(|core| maintain::pass(core).map_err(|sws_runtime::Cancelled| TopicError::Cancelled))
    }

    /// What it holds at the moment.
    ///
    /// # Errors
    /// [`TopicError::Closed`] and [`TopicError::Cancelled`].
    pub fn stats(&self) -> Result<LogStats, TopicError> {
        self.call(|core| Ok(core.stats()))
    }

    /// Brings all to the disk, and takes nothing in any more. A log whose worker ends without it loses nothing that was acknowledged.
    pub fn close(&self) {
        let log = self.clone();
        // Closed already, or its worker is gone.
        let _ = self.call_to_end(move |core| {
            log.end(core);
            Ok::<(), TopicError>(())
        });
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

/// The partition that a batch goes to.
fn choose(
    core: &Rc<Core>,
    topic: &str,
    entries: &[Entry<'_>],
    options: &ProduceOptions,
) -> Result<Rc<partition::Partition>, ProduceError> {
    if core.is_closed.get() {
        return Err(ProduceError::Closed);
    }
    let topic = core.topic(topic).ok_or(ProduceError::UnknownTopic)?;
    let number = match options.partition {
        Some(number) => number,
        None if topic.config.partitioner == Partitioner::Explicit => {
            return Err(ProduceError::UnknownPartition);
        }
        None => {
            let turn = topic.turn.get();
            topic.turn.set(turn.wrapping_add(1));
            let key = entries.first().and_then(|entry| entry.key);
            topic.config.partitioner.choose(key, topic.config.partitions, turn)
        }
    };
    topic.partitions.get(number as usize).cloned().ok_or(ProduceError::UnknownPartition)
}

fn produce_then(
    core: &Rc<Core>,
    topic: &str,
    entries: &[Entry<'_>],
    options: &ProduceOptions,
    answer: impl FnOnce(Result<Produced, ProduceError>) + 'static,
) {
    // Who is refused is answered here, everybody else later.
    let answer = Rc::new(Cell::new(Some(answer)));
    let later = Rc::clone(&answer);
    let taken = choose(core, topic, entries, options).and_then(|partition| {
        partition.produce_then(core, entries, options, move |result| {
            if let Some(answer) = later.take() {
                answer(result);
            }
        })
    });
    if let Err(error) = taken
        && let Some(answer) = answer.take()
    {
        answer(Err(error));
    }
}

fn find(core: &Core, topic: &str, partition: u32) -> Result<Rc<partition::Partition>, FetchError> {
    core.partition(topic, partition).map_err(|missing| match missing {
        Missing::Topic => FetchError::UnknownTopic,
        Missing::Partition => FetchError::UnknownPartition,
    })
}

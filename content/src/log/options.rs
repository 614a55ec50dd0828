//! What a log and its topics may be set to, and their bounds.

use super::partitioner::Partitioner;
use crate::storage::{RingStorage, Storage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Partitions of one topic, at most.
pub const PARTITIONS_MAX: u32 = 4096;
/// Bytes of a topic's name as that of a folder, at most: letters, digits, `.`, `-` and `_` are one each, other bytes three.
pub const NAME_BYTES_MAX: usize = 200;
/// The least size that a segment can be set to: a header, a footer and something between.
pub const SEGMENT_BYTES_MIN: u64 = 4096;

/// How a log is kept, see [`Log::open_with`](crate::log::Log::open_with).
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Where the files are: the ring, unless a test wants otherwise.
    pub storage: Arc<dyn Storage>,
    /// The settings of topics that are made without settings of their own.
    pub topic: TopicConfig,
    /// Topics, at most.
    pub topics_max: usize,
    /// Bytes that may wait for the disk in one partition. What comes beyond is refused with
    /// [`ProduceError::Overloaded`](crate::log::ProduceError::Overloaded).
    pub queue_bytes_max: usize,
    /// Bytes of one batch on its way to the disk; a larger single record or atomic batch goes alone.
    pub batch_bytes_max: usize,
    /// Files open at once, but for those that somebody is just using.
    pub open_files_max: usize,
    /// Bytes of what was written last that are kept in memory for each partition.
    pub recent_bytes_max: usize,
    /// The same for all partitions together.
    pub recent_bytes_total_max: usize,
    /// Bytes of older records kept in memory, for all who catch up.
    pub cache_bytes_max: usize,
    /// Producers whose last numbers a partition remembers; the one that was silent for longest is forgotten.
    pub producers_max: usize,
    /// How often age and size are looked at, and compaction considered.
    pub maintenance_interval: Duration,
    /// Bytes a second that compaction reads and writes.
    pub compaction_bytes_per_second: u64,
    /// Bytes of keys that compaction has in memory, 64 for each beside its own, but that those of one segment may always be there. Where
    /// there are more keys, it goes on with the next segments the next time.
    pub compaction_keys_bytes_max: usize,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            storage: Arc::new(RingStorage::default()),
            topic: TopicConfig::default(),
            topics_max: 65_536,
            queue_bytes_max: 8 * 1024 * 1024,
            batch_bytes_max: 1024 * 1024,
            open_files_max: 256,
            recent_bytes_max: 1024 * 1024,
            recent_bytes_total_max: 64 * 1024 * 1024,
            cache_bytes_max: 64 * 1024 * 1024,
            producers_max: 10_000,
            maintenance_interval: Duration::from_secs(10),
            compaction_bytes_per_second: 16 * 1024 * 1024,
            compaction_keys_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// When what was written is synced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Flush {
    /// With each batch. Readers see what is durable.
    #[default]
    EveryBatch,
    /// With a batch in which somebody asked for [`Acks::Durable`], when a segment is full, and at the end; else when the operating
    /// system sees fit. Readers see what is written.
    OnRequest,
}

/// The settings of a topic. They are kept beside its partitions.
///
/// ```
/// use sws_content::log::TopicConfig;
/// use std::time::Duration;
///
/// let config = TopicConfig::default().partitions(4).retain_for(Duration::from_secs(7 * 24 * 3600));
/// assert_eq!(config.partitions, 4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TopicConfig {
    /// Partitions, from 1 to [`PARTITIONS_MAX`].
    pub partitions: u32,
    /// Which partition a record goes to when none is named.
    pub partitioner: Partitioner,
    /// Bytes of a segment, at which the next begins. A record that is larger has one of its own.
    pub segment_bytes: u64,
    /// Segments whose newest record is older are deleted.
    #[serde(with = "millis", rename = "retention_ms")]
    pub retention_age: Option<Duration>,
    /// While a partition is larger, its oldest segments are deleted.
    pub retention_bytes: Option<u64>,
    /// Of sealed segments only the last record of each key is kept, in the background.
    pub compact: bool,
    /// How long a tombstone is kept by compaction, for those who follow.
    #[serde(with = "millis", rename = "tombstone_ms")]
    pub tombstone_age: Option<Duration>,
    /// When what was written is synced.
    pub flush: Flush,
}

impl Default for TopicConfig {
    fn default() -> TopicConfig {
        TopicConfig {
            partitions: 1,
            partitioner: Partitioner::default(),
            segment_bytes: 64 * 1024 * 1024,
            retention_age: None,
            retention_bytes: None,
            compact: false,
            tombstone_age: Some(Duration::from_secs(24 * 3600)),
            flush: Flush::default(),
        }
    }
}

impl TopicConfig {
    /// With so many partitions.
    #[must_use]
    pub fn partitions(mut self, partitions: u32) -> TopicConfig {
        self.partitions = partitions;
        self
    }

    /// With another way to choose partitions.
    #[must_use]
    pub fn partitioner(mut self, partitioner: Partitioner) -> TopicConfig {
        self.partitioner = partitioner;
        self
    }

    /// With segments of this size.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> TopicConfig {
        self.segment_bytes = bytes;
        self
    }

    /// Deletes segments whose newest record is older.
    #[must_use]
    pub fn retain_for(mut self, age: Duration) -> TopicConfig {
        self.retention_age = Some(age);
        self
    }

    /// Deletes the oldest segments of partitions that are larger.
    #[must_use]
    pub fn retain_bytes(mut self, bytes: u64) -> TopicConfig {
        self.retention_bytes = Some(bytes);
        self
    }

    /// Keeps the last record of each key only.
    #[must_use]
    pub fn compact(mut self, on: bool) -> TopicConfig {
        self.compact = on;
        self
    }

    /// Says when what was written is synced.
    #[must_use]
    pub fn flush(mut self, flush: Flush) -> TopicConfig {
        self.flush = flush;
        self
    }

    /// What is wrong with it, if anything is.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Err("a topic has 1 to 4096 partitions");
        }
        if self.segment_bytes < SEGMENT_BYTES_MIN || self.segment_bytes > u64::from(u32::MAX) {
            return Err("a segment has 4096 bytes to 4 GiB");
        }
        Ok(())
    }
}

/// What a producer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acks {
    /// Nothing: the record has its place in the order, and is lost if it cannot be written.
    None,
    /// The operating system has it: it survives the end of the process, not that of the machine.
    Written,
    /// It is on the disk.
    #[default]
    Durable,
}

/// A duration as whole milliseconds.
pub(super) fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Durations as whole milliseconds.
mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(age: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match age {
            Some(age) => to.serialize_some(&super::whole_millis(*age)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_survives_its_json_and_unknown_words_are_refused() {
        let config = TopicConfig::default().partitions(3).retain_for(Duration::from_secs(5)).compact(true);
        let json = serde_json::to_string(&config).expect("it has a form");
        assert!(json.contains(r#""retention_ms":5000"#), "{json}");
        assert_eq!(serde_json::from_str::<TopicConfig>(&json).expect("it is one"), config);
        assert!(serde_json::from_str::<TopicConfig>(r#"{"partitons":3}"#).is_err());
        assert_eq!(serde_json::from_str::<TopicConfig>("{}").expect("all defaults"), TopicConfig::default());
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert!(TopicConfig::default().check().is_ok());
        assert!(TopicConfig::default().partitions(0).check().is_err());
        assert!(TopicConfig::default().partitions(4097).check().is_err());
        assert!(TopicConfig::default().segment_bytes(100).check().is_err());
    }
}

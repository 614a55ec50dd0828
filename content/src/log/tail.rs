//! Following a partition.

use super::Log;
use super::error::FetchError;
use super::read::FetchMax;
use super::record::{Record, Records};
use std::time::Duration;

/// How long one call waits; it is asked again then, so that a worker that ends is noticed.
const WAIT: Duration = Duration::from_secs(60);
/// Bytes that are read ahead.
const AHEAD_BYTES: usize = 256 * 1024;

/// All records of a partition from an offset on, in order, each once: those that are there, and then those that come. See
/// [`Log::tail`].
///
/// ```
/// use sws_content::log::{Acks, Entry, Log, TopicConfig};
/// # use sws_runtime::{Runtime, go};
///
/// # let dir = std::env::temp_dir().join(format!("sws-doc-tail-{}", std::process::id()));
/// let (log, _) = Log::open(&dir)?;
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(move || {
///     log.create_topic("events", TopicConfig::default()).unwrap();
///     log.produce("events", Entry::text("first"), Acks::Durable).unwrap();
///     let mut tail = log.tail("events", 0, 0);
///     assert_eq!(&tail.next_record().unwrap().payload[..], b"first");
///
///     let producer = log.clone();
///     go("producer", move || producer.produce("events", Entry::text("second"), Acks::Durable).map(drop));
///     assert_eq!(&tail.next_record().unwrap().payload[..], b"second");
///     log.close();
/// });
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Tail {
    log: Log,
    topic: String,
    partition: u32,
    /// Where the next fetch begins.
    offset: u64,
    records: Records,
    /// What of the records was returned: part, and place in it.
    at: (usize, usize),
}

impl Tail {
    pub(super) fn new(log: Log, topic: &str, partition: u32, offset: u64) -> Tail {
        Tail { log, topic: topic.to_owned(), partition, offset, records: Records::default(), at: (0, 0) }
    }

    /// The next record, for which it waits.
    ///
    /// # Errors
    /// [`FetchError`]; `OutOfRange` if retention was quicker. The tail stays where it is, and can be asked again.
    pub fn next_record(&mut self) -> Result<Record, FetchError> {
        loop {
            if let Some(record) = self.take() {
                return Ok(record);
            }
            let max = FetchMax { bytes: AHEAD_BYTES, ..FetchMax::default() };
            self.records = self.log.fetch_wait(&self.topic, self.partition, self.offset, max, WAIT)?;
            self.offset = self.records.next;
            self.at = (0, 0);
        }
    }

    /// The next record, if it was read already.
    fn take(&mut self) -> Option<Record> {
        loop {
            let part = self.records.parts.get(self.at.0)?;
            if part.from + self.at.1 < part.to {
                let record = part.chunk.record(part.from + self.at.1);
                self.at.1 += 1;
                return Some(record);
            }
            self.at = (self.at.0 + 1, 0);
        }
    }
}

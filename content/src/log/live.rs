//! The join of the log with topics: what readers of the log see is published under the same numbers, and what is published to a topic
//! of the log goes to the log first.
//!
//! The first partition of a topic is the topic of the same name, the others are `name#1`, `name#2` and so on. A message's sequence number
//! is its offset and one more, because 0 is no number. A subscriber who was away reads the log up to what topics have in memory, and
//! goes on there ([`Conn::subscribe_behind`](sws_runtime::Conn::subscribe_behind)).

use super::chunk::Chunk;
use super::core::Core;
use super::error::{FetchError, ProduceError, TopicError};
use super::home::{NotCast, Stage};
use super::partition::Partition;
use super::record::{Entry, ProduceOptions};
use super::{Log, key_hash};
use bytes::Bytes;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::{Arc, MutexGuard, PoisonError};
use sws_runtime::{Journal, PayloadKind, Publication, PublishError, Recorded, Topics, try_go};

/// What a message that waits costs beside its payload.
const MESSAGE_WEIGHT: usize = 128;

/// The topic on which the records of a partition are published.
pub fn live_name(topic: &str, partition: u32) -> String {
    match partition {
        0 => topic.to_owned(),
        number => format!("{topic}#{number}"),
    }
}

/// The records of a chunk from an offset on, as messages.
fn publications(chunk: &Chunk, from: u64, source: &Arc<str>) -> Vec<Publication> {
    (chunk.find(from)..chunk.len())
        .map(|at| {
            let record = chunk.record(at);
            let kind = if record.text { PayloadKind::Text } else { PayloadKind::Binary };
            let mut publication = Publication::new(record.payload, kind);
            // What is the latest of its key among records is so among messages.
            publication.key = record.key.as_deref().map_or(0, key_hash);
            publication.sequence = record.offset + 1;
            publication.record =
                Some(Recorded { source: Arc::clone(source), bytes: chunk.encoded(at, at + 1) });
            publication
        })
        .collect()
}

/// Tells a domain what a partition has: how far its numbers have come, and what was written last.
pub(super) fn restore<'a>(
    topics: &Topics,
    name: &str,
    end: u64,
    recent: impl IntoIterator<Item = &'a Arc<Chunk>>,
) {
    let source: Arc<str> = name.into();
    let history = recent.into_iter().flat_map(|chunk| publications(chunk, 0, &source)).collect();
    topics.restore(name, end, history);
}

impl Partition {
    /// Publishes the chunk that was just written.
    pub(super) fn publish(&self, domains: &[Topics], chunk: &Chunk) {
        for topics in domains {
            topics.deliver(&self.live_name, publications(chunk, 0, &self.live_name));
        }
    }
}

impl Log {
    /// Has all records published to these topics from here on, unless they are already: who follows needs that. Topics that are
    /// [configured](sws_runtime::TopicOptions::durable) with this log have it.
    ///
    /// # Errors
    /// [`FetchError::Closed`] and [`FetchError::Cancelled`].
    pub fn publish_to(&self, topics: &Topics) -> Result<(), FetchError> {
        if self.attached().contains(&topics.id()) || self.attach_found(topics) {
            return Ok(());
        }
        let shared = topics.clone();
        topics.keep_journal(Arc::new(self.clone()));
        self.call(move |core| {
            core.attach(&shared);
            Ok::<(), FetchError>(())
        })?;
        self.note_attached(topics);
        Ok(())
    }

    /// Attaches topics before a worker has the log. False if one has.
    fn attach_found(&self, topics: &Topics) -> bool {
        // With the stage locked, the log does not come to a worker meanwhile.
        let stage = self.shared.stage();
        let Stage::Found(found) = &*stage else { return false };
        if self.attached().insert(topics.id()) {
            self.shared.domains.lock().unwrap_or_else(PoisonError::into_inner).push(topics.clone());
            for topic in found {
                topic.restore(topics);
            }
            topics.keep_journal(Arc::new(self.clone()));
        }
        true
    }

    fn note_attached(&self, topics: &Topics) {
        self.attached().insert(topics.id());
    }

    /// The domains that hear of each record.
    fn attached(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.shared.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Topics on whose workers the log may find one, as long as none has it.
    fn first_domain(&self) -> Option<Option<Topics>> {
        // With the stage locked, the log does not come to a worker meanwhile.
        let stage = self.shared.stage();
        let domains = || self.shared.domains.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*stage, Stage::Found(_)).then(|| domains().first().cloned())
    }

    /// Takes a message in before any worker has the log: a worker of its topics gets it.
    fn append_first(
        &self,
        domain: &Topics,
        topic: Arc<str>,
        publication: Publication,
    ) -> Result<(), PublishError> {
        let log = self.clone();
        domain.invoke(move || {
            if let Err(error) = log.append(&topic, publication) {
                eprintln!("sws log: {topic}: a message was not taken in: {error}");
            }
        })
    }
}

impl Journal for Log {
    fn attach(&self, topics: &Topics) {
        if self.attach_found(topics) {
            return;
        }
        let (topics, log) = (topics.clone(), self.clone());
        let cast = self.cast(move |core| {
            if let Some(core) = core {
                core.attach(&topics);
                log.note_attached(&topics);
            }
        });
        if cast == Err(NotCast::Full) {
            eprintln!("sws log: its worker is overloaded: topics were not attached, and hear nothing of it");
        }
    }

    fn append(&self, topic: &str, publication: Publication) -> Result<(), PublishError> {
        let topic: Arc<str> = topic.into();
        // Whose publisher is on the log's worker hears at once that there is no room.
        if let Some(core) = sws_runtime::on_worker().then(|| self.local()).flatten() {
            return core.append(&topic, Message::of(publication)).map_err(|error| match error {
                ProduceError::Overloaded { .. } | ProduceError::StorageFull => PublishError::Full,
                _ => PublishError::Closed,
            });
        }
        if let Some(domain) = self.first_domain() {
            return self.append_first(&domain.ok_or(PublishError::Closed)?, topic, publication);
        }
        let cast = self.cast(move |core| {
            let Some(core) = core else { return };
            if let Err(error) = core.append(&topic, Message::of(publication)) {
                core.report(&format!("{topic}: a message was not taken in: {error}"));
            }
        });
        cast.map_err(|why| match why {
            NotCast::Full => PublishError::Full,
            // Once a worker has had a log it is never without one again until it is closed.
            NotCast::Closed => PublishError::Closed,
        })
    }
}

/// Messages that wait for their topic to be made; as many bytes as may wait for the disk in a partition.
#[derive(Default)]
pub(super) struct Waiting {
    messages: Vec<Message>,
    bytes: usize,
}

/// A message on its way into the log.
pub(super) struct Message {
    key: Option<String>,
    payload: Bytes,
    text: bool,
}

impl Message {
    fn of(publication: Publication) -> Message {
        Message {
            key: (publication.key != 0).then(|| publication.key.to_string()),
            text: publication.kind == PayloadKind::Text,
            payload: publication.payload,
        }
    }
}

impl Core {
    /// Has a domain hear of all records from here on.
    pub(super) fn attach(&self, topics: &Topics) {
        if self.domains.borrow().iter().any(|known| known.id() == topics.id()) {
            return;
        }
        for topic in self.topics.borrow().values() {
            for partition in &topic.partitions {
                let state = partition.state.borrow();
                restore(topics, &partition.live_name, state.end, &state.recent);
            }
        }
        self.domains.borrow_mut().push(topics.clone());
    }

    /// Takes a message of a topic in, which is made if it is not there.
    fn append(self: &Rc<Self>, name: &Arc<str>, message: Message) -> Result<(), ProduceError> {
        if self.is_closed.get() {
            return Err(ProduceError::Closed);
        }
        // What came before it and still waits goes first.
        let topic = self.topic(name).filter(|_| !self.waiting.borrow().contains_key(name));
        let Some(topic) = topic else { return self.append_later(name, message) };
        let partition = topic.partitions.first().ok_or(ProduceError::UnknownPartition)?;
        let entry = message.entry();
        let (core, name) = (Rc::clone(self), Arc::clone(name));
        partition.produce_then(self, &[entry], &ProduceOptions::default(), move |result| {
            if let Err(error) = result {
                core.report(&format!("{name}: a message was not kept: {error}"));
            }
        })
    }

    /// Makes a topic for a message, and puts what comes meanwhile behind it.
    fn append_later(self: &Rc<Self>, name: &Arc<str>, message: Message) -> Result<(), ProduceError> {
        let mut waiting = self.waiting.borrow_mut();
        let bytes = message.payload.len() + MESSAGE_WEIGHT;
        if let Some(others) = waiting.get_mut(name) {
            if others.bytes + bytes > self.options.queue_bytes_max {
                return Err(ProduceError::Overloaded { retry_after: super::partition::RETRY_AFTER });
            }
            others.bytes += bytes;
            others.messages.push(message);
            return Ok(());
        }
        waiting.insert(Arc::clone(name), Waiting { messages: vec![message], bytes });
        drop(waiting);
        let (core, topic) = (Rc::clone(self), Arc::clone(name));
        let started = try_go("log create", move || {
            let made = core.create_topic(&topic, core.options.topic.clone());
            let Waiting { messages, .. } = core.waiting.borrow_mut().remove(&topic).unwrap_or_default();
            if let Err(error) = made.or_else(|error| match error {
                TopicError::Exists => Ok(()),
                other => Err(other),
            }) {
                core.report(&format!(
                    "{topic}: not made, {} messages were not kept: {error}",
                    messages.len()
                ));
                return;
            }
            for message in messages {
                if let Err(error) = core.append(&topic, message) {
                    core.report(&format!("{topic}: a message was not kept: {error}"));
                }
            }
        });
        if started.is_none() {
            self.waiting.borrow_mut().remove(name);
            return Err(ProduceError::Overloaded { retry_after: super::partition::RETRY_AFTER });
        }
        Ok(())
    }
}

impl Message {
    fn entry(&self) -> Entry<'_> {
        Entry { key: self.key.as_deref().map(str::as_bytes), text: self.text, ..Entry::bytes(&self.payload) }
    }
}

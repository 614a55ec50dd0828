//! What topics may be set to, their bounds, and what can go wrong with them.

use super::{PresenceEvent, Publication, Topics};
use crate::limits::Overflow;
use std::fmt;
use std::sync::Arc;

/// Bounds of a domain of topics, see [`Topics::with_limits`](crate::Topics::with_limits).
#[derive(Clone, Debug)]
pub struct TopicLimits {
    /// Topics and patterns that somebody subscribes to, over all workers.
    pub topics_max: usize,
    /// Bytes of the name of a topic, and of a member.
    pub name_bytes_max: usize,
    /// Topics of one connection.
    pub memberships_per_connection_max: usize,
    /// Bytes that wait for one worker, published by other threads and workers.
    pub mailbox_bytes_max: usize,
    /// Topics that have history and no subscriber; the one that had none for longest is forgotten.
    pub retained_topics_max: usize,
    /// Bytes of the history of one topic, each message with 64 more; the oldest message is forgotten. The last one is kept whatever its
    /// size. A new subscriber gets all of it at once, so it has to be well below what may wait for a connection
    /// ([`Limits::output_bytes_max`](crate::Limits::output_bytes_max)): otherwise who subscribes is too slow at once.
    pub history_bytes_max: usize,
    /// Bytes of the histories of all topics together. Topics without subscribers are forgotten for a new message, the one that had none
    /// for longest first; then the oldest messages of its own topic.
    pub history_bytes_total_max: usize,
    /// Messages of a topic with a journal that are kept in memory: who reads the journal up to the last of them can go on with what
    /// is published. New subscribers get as many as [`TopicOptions::history`] says.
    pub journal_messages_max: usize,
    /// Bytes that one turn publishes on a worker before they are delivered within the turn.
    pub turn_bytes_max: usize,
}

impl Default for TopicLimits {
    fn default() -> TopicLimits {
        TopicLimits {
            topics_max: 1 << 20,
            name_bytes_max: 256,
            memberships_per_connection_max: 65_536,
            mailbox_bytes_max: 16 * 1024 * 1024,
            retained_topics_max: 65_536,
            history_bytes_max: 256 * 1024,
            history_bytes_total_max: 256 * 1024 * 1024,
            journal_messages_max: 512,
            turn_bytes_max: 1024 * 1024,
        }
    }
}

/// What a topic keeps and does, see [`Topics::configure`](crate::Topics::configure). By default nothing is kept.
///
/// ```
/// use sws_runtime::{Overflow, TopicOptions, Topics};
///
/// let topics = Topics::default();
/// topics.configure("room/*", TopicOptions::default().history(50).presence(true));
/// topics.configure("prices", TopicOptions::default().overflow(Overflow::KeepLatest));
/// ```
#[derive(Clone, Debug, Default)]
pub struct TopicOptions {
    pub(super) history: usize,
    pub(super) presence: Option<fn(&PresenceEvent<'_>) -> Publication>,
    pub(super) overflow: Option<Overflow>,
    pub(super) journal: Option<Arc<dyn Journal>>,
}

/// Keeps what is published, and says when it may be heard: a durable log. Whoever publishes to a topic with a journal gives the message
/// to it, and subscribers get it when the journal calls [`Topics::deliver`](crate::Topics::deliver).
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// A domain has topics of this journal from here on. It [restores](crate::Topics::restore) those that it knows.
    fn attach(&self, topics: &Topics);

    /// Takes a message of a topic in. It must not wait.
    ///
    /// # Errors
    /// [`PublishError::Full`] when it cannot take more, [`PublishError::Closed`] when it takes nothing any more.
    fn append(&self, topic: &str, publication: Publication) -> Result<(), PublishError>;
}

impl TopicOptions {
    /// Keeps the last `messages`, for those who subscribe later.
    #[must_use]
    pub fn history(mut self, messages: usize) -> TopicOptions {
        self.history = messages;
        self
    }

    /// Knows its members by name, and publishes their coming and leaving as JSON texts ([`PresenceEvent::to_json`]).
    #[must_use]
    pub fn presence(mut self, on: bool) -> TopicOptions {
        self.presence = on.then_some(|event| event.to_publication());
        self
    }

    /// As [`presence`](TopicOptions::presence), with messages of the caller's making. `message` must not use topics: it is called
    /// while they are locked. When it panics there is no event.
    #[must_use]
    pub fn presence_with(mut self, message: fn(&PresenceEvent<'_>) -> Publication) -> TopicOptions {
        self.presence = Some(message);
        self
    }

    /// What becomes of messages when too many wait for a subscriber, in place of the connection's own policy.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> TopicOptions {
        self.overflow = Some(overflow);
        self
    }

    /// Has its messages kept by a journal before anybody hears of them: they survive the end of the process, and their numbers go on.
    /// Who publishes is told that the journal has taken a message in, not that it is kept. All subscribers get it, also one that
    /// [publishes to others](crate::Conn::publish_to_others). Presence events are not kept.
    #[must_use]
    pub fn durable(mut self, journal: impl Journal) -> TopicOptions {
        self.journal = Some(Arc::new(journal));
        self
    }

    /// Whether workers have to agree on the order of its messages.
    pub(super) fn is_shared(&self) -> bool {
        self.history > 0 || self.presence.is_some() || self.journal.is_some()
    }
}

/// Why nothing was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The name is empty, too long, or a pattern.
    Name,
    /// So much waits for one of the workers that it takes nothing more. Nobody gets the message.
    Full,
    /// There is no worker yet, or none any more.
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublishError::Name => "a topic's name is empty, too long, or a pattern",
            PublishError::Full => "too much waits for a worker",
            PublishError::Closed => "no worker runs",
        })
    }
}

impl std::error::Error for PublishError {}

/// Why a connection does not subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The name of the topic or of the member is empty or too long, or a pattern where there is none.
    Name,
    /// There are as many topics as there may be.
    TooManyTopics,
    /// The connection is in as many topics as it may be.
    TooManyMemberships,
    /// The topic does not know its members: see [`TopicOptions::presence`].
    NoPresence,
    /// The encoding is not one of this worker.
    Encoding,
    /// The connection is closing, or gone.
    Closed,
    /// Messages are just being delivered: an encoding, or the destructor of a payload, has asked.
    Delivering,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubscribeError::Name => "the name is empty or too long, or a pattern",
            SubscribeError::TooManyTopics => "there are as many topics as there may be",
            SubscribeError::TooManyMemberships => "the connection is in as many topics as it may be",
            SubscribeError::NoPresence => "the topic does not know its members",
            SubscribeError::Encoding => "the encoding is not one of this worker",
            SubscribeError::Closed => "the connection is closed",
            SubscribeError::Delivering => "messages are just being delivered",
        })
    }
}

impl std::error::Error for SubscribeError {}

/// What a new subscriber was given of a topic's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replay {
    /// How many messages.
    pub messages: usize,
    /// Whether there were others before them, after the one that was asked for, which are gone.
    pub missed: bool,
}

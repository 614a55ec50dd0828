//! The topics that workers share: who has which, and the state of those with history or presence.

use super::mailbox::weight;
use super::{Journal, PresenceEvent, Publication, SubscribeError, TopicLimits, TopicOptions};
use crate::turn::guarded;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What the workers know of a topic without a lock.
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) options: Arc<TopicOptions>,
    pub(super) subscribers: AtomicUsize,
    /// Whether a journal gives its messages their numbers.
    pub(super) is_recorded: AtomicBool,
}

impl Topic {
    /// Whether workers have to agree on the order of its messages.
    pub(super) fn is_shared(&self) -> bool {
        self.options.is_shared() || self.is_recorded()
    }

    /// Whether its messages come from a journal.
    pub(super) fn is_recorded(&self) -> bool {
        self.is_recorded.load(Ordering::Relaxed)
    }
}

/// Order, history and members of a topic.
#[derive(Default)]
pub(super) struct State {
    /// The number before the first of this life of the topic, and the last that was given.
    born: u64,
    sequence: u64,
    history: VecDeque<Publication>,
    /// What its messages weigh.
    history_bytes: usize,
    /// The connections of each member.
    members: HashMap<Arc<str>, u32>,
}

struct Entry {
    topic: Arc<Topic>,
    /// Workers on which somebody subscribes.
    workers: u32,
    /// When it was retained; 0 while somebody subscribes.
    retained: u64,
    /// Only of topics that are shared.
    state: Option<Box<State>>,
}

/// From where on a subscriber wants the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// All there is.
    Oldest,
    /// What is newer than this sequence number; 0 for one who has seen nothing.
    After(u64),
    /// What is newer than this number of a journal, whose first is 1.
    Behind(u64),
}

/// A topic that is shared.
pub(super) struct Found<'a> {
    pub(super) state: &'a mut State,
    pub(super) topic: Arc<Topic>,
}

/// What was forgotten. Payloads may have destructors of the user's, so it is to be dropped when nothing is locked.
#[derive(Default)]
pub(super) struct Gone {
    pub(super) topics: Vec<State>,
    pub(super) messages: Vec<Publication>,
}

/// All topics of a domain.
pub(super) struct Directory {
    /// Gives a number above those of the domain's earlier lives, such as before a restart.
    birth: fn() -> u64,
    /// The highest number that a forgotten topic has given.
    given: u64,
    /// What the histories of all topics weigh.
    history_bytes: usize,
    /// Keeps the topics that were restored.
    pub(super) journal: Option<Arc<dyn Journal>>,
    patterns: Vec<(Box<str>, Arc<TopicOptions>)>,
    plain: Arc<TopicOptions>,
    entries: HashMap<Arc<str>, Entry>,
    /// Entries that somebody subscribes to.
    in_use: usize,
    /// Entries with history that nobody subscribes to, the oldest first; one whose number is not its entry's is out of date.
    retained: VecDeque<(u64, Arc<str>)>,
    retained_len: usize,
    retained_number: u64,
}

/// The prefix that a pattern stands for.
pub(super) fn prefix_of(name: &str) -> Option<&str> {
    name.strip_suffix('*')
}

impl Directory {
    /// No topics. Each begins its life behind a number that `birth` gives.
    pub(super) fn new(birth: fn() -> u64) -> Directory {
        Directory {
            birth,
            given: 0,
            history_bytes: 0,
            journal: None,
            patterns: Vec::new(),
            plain: Arc::default(),
            entries: HashMap::new(),
            in_use: 0,
            retained: VecDeque::new(),
            retained_len: 0,
            retained_number: 0,
        }
    }

    /// Sets what topics whose name fits the pattern have, when they come to be.
    pub(super) fn configure(&mut self, pattern: &str, options: TopicOptions) {
        self.patterns.retain(|(known, _)| **known != *pattern);
        self.patterns.push((pattern.into(), Arc::new(options)));
        // The longest first: the first that fits is the nearest. A name comes before a pattern.
        self.patterns.sort_by_key(|(pattern, _)| (pattern.ends_with('*'), usize::MAX - pattern.len()));
    }

    fn options_of(&self, name: &str) -> Arc<TopicOptions> {
        let fits = |pattern: &str| match prefix_of(pattern) {
            Some(prefix) => pattern == name || name.starts_with(prefix),
            None => pattern == name,
        };
        let found = self.patterns.iter().find(|(pattern, _)| fits(pattern));
        Arc::clone(found.map_or(&self.plain, |(_, options)| options))
    }

    /// Whether workers have to agree on the order of a topic's messages.
    pub(super) fn is_shared(&self, name: &str) -> bool {
        match self.entries.get(name) {
            Some(entry) => entry.state.is_some(),
            None => prefix_of(name).is_none() && self.options_of(name).is_shared(),
        }
    }

    fn make(&self, name: &str) -> Entry {
        let options = self.options_of(name);
        let is_recorded = options.journal.is_some();
        // A journal that does not know the topic begins it with the number 1.
        let birth = || if is_recorded { 0 } else { (self.birth)().max(self.given) };
        // A pattern is no topic: nothing is published to it.
        let state = (prefix_of(name).is_none() && options.is_shared()).then(|| Box::new(State::new(birth())));
        let topic = Topic {
            name: name.into(),
            options,
            subscribers: AtomicUsize::new(0),
            is_recorded: AtomicBool::new(is_recorded),
        };
        Entry { topic: Arc::new(topic), workers: 0, retained: 0, state }
    }

    /// A worker gets its first subscriber of a topic.
    pub(super) fn acquire(&mut self, name: &str, limits: &TopicLimits) -> Result<Arc<Topic>, SubscribeError> {
        let known = self.entries.get_mut(name);
        if known.as_ref().is_none_or(|entry| entry.workers == 0) {
            if self.in_use >= limits.topics_max {
                return Err(SubscribeError::TooManyTopics);
            }
            self.in_use += 1;
        }
        if let Some(entry) = known {
            entry.workers += 1;
            if std::mem::take(&mut entry.retained) != 0 {
                self.retained_len -= 1;
            }
            return Ok(Arc::clone(&entry.topic));
        }
        let entry = Entry { workers: 1, ..self.make(name) };
        let topic = Arc::clone(&entry.topic);
        self.entries.insert(Arc::clone(&topic.name), entry);
        Ok(topic)
    }

    /// A worker has lost its last subscriber of a topic.
    pub(super) fn release(&mut self, name: &str, limits: &TopicLimits, gone: &mut Gone) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.workers -= 1;
        if entry.workers > 0 {
            return;
        }
        self.in_use -= 1;
        if entry.topic.is_recorded() {
            // Its journal goes on with its numbers.
        } else if entry.state.as_ref().is_none_or(|state| state.history.is_empty()) {
            self.forget(name, gone);
        } else {
            self.retain(name, limits, gone);
        }
    }

    fn forget(&mut self, name: &str, gone: &mut Gone) {
        let Some(state) = self.entries.remove(name).and_then(|entry| entry.state) else { return };
        self.given = self.given.max(state.sequence);
        self.history_bytes -= state.history_bytes;
        gone.topics.push(*state);
    }

    /// Keeps a topic that nobody subscribes to, in place of the one that was kept for longest when there are too many.
    fn retain(&mut self, name: &str, limits: &TopicLimits, gone: &mut Gone) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        self.retained_number += 1;
        entry.retained = self.retained_number;
        self.retained.push_back((entry.retained, Arc::clone(&entry.topic.name)));
        self.retained_len += 1;
        while self.retained_len > limits.retained_topics_max && self.forget_retained(gone) {}
        if self.retained.len() > 2 * self.retained_len + 16 {
            let entries = &self.entries;
            self.retained.retain(|place| is_retained(entries, place));
        }
    }

    /// Forgets the topic that was kept for longest. False if none is.
    fn forget_retained(&mut self, gone: &mut Gone) -> bool {
        while let Some(oldest) = self.retained.pop_front() {
            if is_retained(&self.entries, &oldest) {
                self.retained_len -= 1;
                self.forget(&oldest.1, gone);
                return true;
            }
        }
        false
    }

    /// The state of a topic that is shared. For `publishing` one that has history is made if there is none.
    pub(super) fn state(
        &mut self,
        name: &str,
        publishing: bool,
        limits: &TopicLimits,
        gone: &mut Gone,
    ) -> Option<Found<'_>> {
        if publishing && !self.entries.contains_key(name) {
            let entry = self.make(name);
            let is_recorded = entry.topic.is_recorded();
            if !is_recorded && (entry.topic.options.history == 0 || limits.retained_topics_max == 0) {
                return None;
            }
            self.entries.insert(Arc::clone(&entry.topic.name), entry);
            if !is_recorded {
                self.retain(name, limits, gone);
            }
        }
        let entry = self.entries.get_mut(name)?;
        Some(Found { state: entry.state.as_mut()?, topic: Arc::clone(&entry.topic) })
    }

    /// Gives a message its number and keeps it, within the bounds of the topic and of all together.
    pub(super) fn record(
        &mut self,
        topic: &Topic,
        publication: &mut Publication,
        limits: &TopicLimits,
        gone: &mut Gone,
    ) {
        let Some(entry) = self.entries.get_mut(&*topic.name) else { return };
        let Some(state) = entry.state.as_mut() else { return };
        let before = state.history_bytes;
        match topic.is_recorded() {
            true => state.keep_recorded(publication, &topic.options, limits, gone),
            false => state.record(publication, &topic.options, limits, gone),
        }
        self.history_bytes = self.history_bytes - before + state.history_bytes;
        if self.history_bytes <= limits.history_bytes_total_max {
            return;
        }
        // Others go first, though it may be the one that was kept for longest.
        let is_kept = std::mem::take(&mut entry.retained) != 0;
        while self.history_bytes > limits.history_bytes_total_max && self.forget_retained(gone) {}
        if is_kept {
            self.retained_len -= 1;
            self.retain(&topic.name, limits, gone);
        }
        let entry = self.entries.get_mut(&*topic.name);
        let Some(state) = entry.and_then(|entry| entry.state.as_mut()) else { return };
        while self.history_bytes > limits.history_bytes_total_max
            && let Some(bytes) = state.shorten(gone)
        {
            self.history_bytes -= bytes;
        }
    }

    /// A journal has given messages of a topic their numbers up to this one, of which these are the last.
    pub(super) fn restore(
        &mut self,
        name: &str,
        sequence: u64,
        history: Vec<Publication>,
        limits: &TopicLimits,
        gone: &mut Gone,
    ) {
        if let Some(entry) = self.entries.get_mut(name)
            && std::mem::take(&mut entry.retained) != 0
        {
            self.retained_len -= 1;
        }
        if !self.entries.contains_key(name) {
            let entry = self.make(name);
            self.entries.insert(Arc::clone(&entry.topic.name), entry);
        }
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.topic.is_recorded.store(true, Ordering::Relaxed);
        let topic = Arc::clone(&entry.topic);
        let born = history.first().map_or(sequence, |first| first.sequence - 1);
        let members = entry.state.take().map_or_else(HashMap::new, |state| {
            let State { members, history, history_bytes, .. } = *state;
            self.history_bytes -= history_bytes;
            gone.messages.extend(history);
            members
        });
        entry.state = Some(Box::new(State { members, ..State::new(born) }));
        for mut publication in history {
            self.record(&topic, &mut publication, limits, gone);
        }
    }

    /// A journal has deleted a topic.
    pub(super) fn remove(&mut self, name: &str, gone: &mut Gone) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.topic.is_recorded.store(entry.topic.options.journal.is_some(), Ordering::Relaxed);
        if entry.workers == 0 {
            self.forget(name, gone);
        } else if let Some(state) = entry.state.as_mut() {
            self.history_bytes -= state.history_bytes;
            let State { members, history, .. } = std::mem::take(&mut **state);
            state.members = members;
            gone.messages.extend(history);
        }
    }

    /// The journal of a topic.
    pub(super) fn journal_of(&self, name: &str) -> Option<Arc<dyn Journal>> {
        match self.entries.get(name) {
            Some(entry) if entry.topic.options.journal.is_some() => entry.topic.options.journal.clone(),
            Some(entry) if entry.topic.is_recorded() => self.journal.clone(),
            Some(_) => None,
            None => self.options_of(name).journal.clone(),
        }
    }

    /// Subscribers of a topic, or of a pattern, on all workers.
    pub(super) fn subscribers(&self, name: &str) -> usize {
        self.entries.get(name).map_or(0, |entry| entry.topic.subscribers.load(Ordering::Relaxed))
    }

    /// The members of a topic with presence, and the connections of each.
    pub(super) fn members(&self, name: &str) -> Vec<(Arc<str>, u32)> {
        let Some(state) = self.entries.get(name).and_then(|entry| entry.state.as_ref()) else {
            return Vec::new();
        };
        state.members.iter().map(|(name, &connections)| (Arc::clone(name), connections)).collect()
    }

    /// How many members a topic with presence has.
    pub(super) fn member_count(&self, name: &str) -> usize {
        let state = self.entries.get(name).and_then(|entry| entry.state.as_ref());
        state.map_or(0, |state| state.members.len())
    }
}

/// Whether a place in the list of kept topics is up to date.
fn is_retained(entries: &HashMap<Arc<str>, Entry>, (number, name): &(u64, Arc<str>)) -> bool {
    entries.get(name).is_some_and(|entry| entry.retained == *number)
}

impl State {
    fn new(born: u64) -> State {
        State { born, sequence: born, ..State::default() }
    }

    fn record(
        &mut self,
        publication: &mut Publication,
        options: &TopicOptions,
        limits: &TopicLimits,
        gone: &mut Gone,
    ) {
        if options.history == 0 {
            return;
        }
        self.sequence += 1;
        publication.sequence = self.sequence;
        self.keep(publication, options.history, limits, gone);
    }

    /// Keeps a message that has its number from a journal. What is older than the last one was kept before.
    fn keep_recorded(
        &mut self,
        publication: &Publication,
        options: &TopicOptions,
        limits: &TopicLimits,
        gone: &mut Gone,
    ) {
        if publication.sequence > self.sequence {
            self.sequence = publication.sequence;
            self.keep(publication, options.history.max(limits.journal_messages_max), limits, gone);
        }
    }

    fn keep(&mut self, publication: &Publication, messages: usize, limits: &TopicLimits, gone: &mut Gone) {
        self.history_bytes += weight(publication);
        self.history.push_back(publication.clone());
        while self.history.len() > messages
            || (self.history.len() > 1 && self.history_bytes > limits.history_bytes_max)
        {
            self.shorten(gone);
        }
    }

    /// Forgets the oldest message; returns what it weighed.
    fn shorten(&mut self, gone: &mut Gone) -> Option<usize> {
        let oldest = self.history.pop_front()?;
        let bytes = weight(&oldest);
        self.history_bytes -= bytes;
        gone.messages.push(oldest);
        Some(bytes)
    }

    /// The messages since then, and whether others before them are gone. To one who has no number, at most `messages`.
    pub(super) fn since(&self, since: Since, messages: usize) -> (Vec<Publication>, bool) {
        if since == Since::Oldest && self.history.len() > messages {
            let skipped = self.history.len() - messages;
            return (self.history.iter().skip(skipped).cloned().collect(), true);
        }
        let oldest = self.history.front().map_or(self.sequence + 1, |oldest| oldest.sequence);
        let after = match since {
            // 0 is no message's number: who has none has seen nothing, and misses what is gone of this life.
            Since::Oldest | Since::After(0) => self.born,
            Since::After(after) | Since::Behind(after) => after,
        };
        if after > self.sequence {
            // A number of another life of this topic.
            return (self.history.iter().cloned().collect(), true);
        }
        let newer = self.history.iter().filter(|publication| publication.sequence > after).cloned().collect();
        (newer, after + 1 < oldest)
    }

    /// A connection of a member has come. The event, if it is the first.
    pub(super) fn join(&mut self, topic: &Topic, member: &Arc<str>) -> Option<Publication> {
        let connections = self.members.entry(Arc::clone(member)).or_insert(0);
        *connections += 1;
        if *connections > 1 {
            return None;
        }
        self.event(topic, member, true)
    }

    /// A connection of a member has gone. The event, if it was the last.
    pub(super) fn leave(&mut self, topic: &Topic, member: &Arc<str>) -> Option<Publication> {
        let connections = self.members.get_mut(member)?;
        *connections -= 1;
        if *connections > 0 {
            return None;
        }
        self.members.remove(member);
        self.event(topic, member, false)
    }

    fn event(&self, topic: &Topic, member: &str, joined: bool) -> Option<Publication> {
        let event = PresenceEvent { topic: &topic.name, member, joined, count: self.members.len() };
        let message = topic.options.presence?;
        // A panic in it costs the event: who came or left is counted.
        let mut publication = None;
        guarded(|| publication = Some(message(&event)));
        publication
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;

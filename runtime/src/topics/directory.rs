//! The topics that workers share: who has which, and the state of those with history or presence.

use super::{PresenceEvent, Publication, SubscribeError, TopicLimits, TopicOptions};
use crate::turn::guarded;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the workers know of a topic without a lock.
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) options: Arc<TopicOptions>,
    pub(super) subscribers: AtomicUsize,
}

/// Order, history and members of a topic.
#[derive(Default)]
pub(super) struct State {
    sequence: u64,
    history: VecDeque<Publication>,
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
    /// What is newer than this sequence number.
    After(u64),
}

/// A topic that is shared.
pub(super) struct Found<'a> {
    pub(super) state: &'a mut State,
    pub(super) topic: Arc<Topic>,
    /// What was forgotten for it: to be dropped when nothing is locked.
    pub(super) gone: Option<Box<State>>,
}

/// All topics of a domain.
#[derive(Default)]
pub(super) struct Directory {
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
        // A pattern is no topic: nothing is published to it.
        let state = (prefix_of(name).is_none() && options.is_shared()).then(Box::default);
        let topic = Topic { name: name.into(), options, subscribers: AtomicUsize::new(0) };
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

    /// A worker has lost its last subscriber of a topic. What is returned is to be dropped when nothing is locked.
    #[must_use]
    pub(super) fn release(&mut self, name: &str, limits: &TopicLimits) -> Option<Box<State>> {
        let entry = self.entries.get_mut(name)?;
        entry.workers -= 1;
        if entry.workers > 0 {
            return None;
        }
        self.in_use -= 1;
        if entry.state.as_ref().is_none_or(|state| state.history.is_empty()) {
            return self.entries.remove(name)?.state;
        }
        self.retain(name, limits)
    }

    /// Keeps a topic that nobody subscribes to, in place of the one that was kept for longest when there are too many.
    fn retain(&mut self, name: &str, limits: &TopicLimits) -> Option<Box<State>> {
        let entry = self.entries.get_mut(name)?;
        self.retained_number += 1;
        entry.retained = self.retained_number;
        self.retained.push_back((entry.retained, Arc::clone(&entry.topic.name)));
        self.retained_len += 1;
        let is_kept = |entries: &HashMap<Arc<str>, Entry>, (number, name): &(u64, Arc<str>)| {
            entries.get(name).is_some_and(|entry| entry.retained == *number)
        };
        let mut gone = None;
        while self.retained_len > limits.retained_topics_max
            && let Some(oldest) = self.retained.pop_front()
        {
            if is_kept(&self.entries, &oldest) {
                self.retained_len -= 1;
                gone = self.entries.remove(&oldest.1).and_then(|entry| entry.state);
            }
        }
        if self.retained.len() > 2 * self.retained_len + 16 {
            let entries = &self.entries;
            self.retained.retain(|place| is_kept(entries, place));
        }
        gone
    }

    /// The state of a topic that is shared. For `publishing` one that has history is made if there is none.
    pub(super) fn state(&mut self, name: &str, publishing: bool, limits: &TopicLimits) -> Option<Found<'_>> {
        let mut gone = None;
        if publishing && !self.entries.contains_key(name) {
            let entry = self.make(name);
            if entry.topic.options.history == 0 || limits.retained_topics_max == 0 {
                return None;
            }
            self.entries.insert(Arc::clone(&entry.topic.name), entry);
            gone = self.retain(name, limits);
        }
        let entry = self.entries.get_mut(name)?;
        Some(Found { state: entry.state.as_mut()?, topic: Arc::clone(&entry.topic), gone })
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

impl State {
    /// Gives a message its number and keeps it. What is returned is to be dropped when nothing is locked.
    #[must_use]
    pub(super) fn record(
        &mut self,
        publication: &mut Publication,
        options: &TopicOptions,
        limits: &TopicLimits,
    ) -> Vec<Publication> {
        let mut gone = Vec::new();
        if options.history == 0 {
            return gone;
        }
        self.sequence += 1;
        publication.sequence = self.sequence;
        self.history_bytes += publication.payload.len();
        self.history.push_back(publication.clone());
        while self.history.len() > options.history
            || (self.history.len() > 1 && self.history_bytes > limits.history_bytes_max)
        {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= oldest.payload.len();
            gone.push(oldest);
        }
        gone
    }

    /// The messages since then, and whether others before them are gone.
    pub(super) fn since(&self, since: Since) -> (Vec<Publication>, bool) {
        let oldest = self.history.front().map_or(self.sequence + 1, |oldest| oldest.sequence);
        let after = match since {
            Since::Oldest => return (self.history.iter().cloned().collect(), oldest > 1),
            Since::After(after) => after,
        };
        if after > self.sequence {
            // A number of an earlier life of this topic.
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
mod tests {
    use super::*;

    #[test]
    fn the_nearest_options_count() {
        let mut directory = Directory::default();
        for (pattern, history) in [("*", 1), ("a/*", 2), ("a/b/*", 3), ("a/b", 4), ("a/*", 5)] {
            directory.configure(pattern, TopicOptions::default().history(history));
        }
        for (name, history) in
            [("x", 1), ("a", 1), ("a/", 5), ("a/x", 5), ("a/b", 4), ("a/b/", 3), ("a/b/c", 3)]
        {
            assert_eq!(directory.options_of(name).history, history, "{name}");
        }
    }

    #[test]
    fn history_is_bounded_in_messages_and_bytes() {
        let limits = TopicLimits { history_bytes_max: 10, ..TopicLimits::default() };
        let options = TopicOptions::default().history(3);
        let mut state = State::default();
        let kept = |state: &mut State, len: usize| {
            let gone = state.record(&mut Publication::from(vec![0; len]), &options, &limits).len();
            (gone, state.history.len(), state.history_bytes)
        };
        assert_eq!(kept(&mut state, 1), (0, 1, 1));
        assert_eq!(kept(&mut state, 2), (0, 2, 3));
        assert_eq!(kept(&mut state, 3), (0, 3, 6));
        assert_eq!(kept(&mut state, 4), (1, 3, 9), "three messages");
        assert_eq!(kept(&mut state, 5), (2, 2, 9), "ten bytes");
        assert_eq!(kept(&mut state, 50), (2, 1, 50), "the last is kept whatever its size");
        assert_eq!(state.since(Since::After(5)).0[0].sequence, 6);
        assert!(state.since(Since::After(4)).1 && !state.since(Since::After(5)).1);
    }

    #[test]
    fn a_topic_without_history_is_forgotten_with_its_last_worker() {
        let limits = TopicLimits::default();
        let mut directory = Directory::default();
        for _ in 0..2 {
            assert!(directory.acquire("t", &limits).is_ok());
        }
        assert!(directory.release("t", &limits).is_none());
        assert_eq!((directory.entries.len(), directory.in_use), (1, 1));
        assert!(directory.release("t", &limits).is_none());
        assert_eq!((directory.entries.len(), directory.in_use), (0, 0));
    }

    #[test]
    fn the_list_of_kept_topics_stays_short() {
        let limits = TopicLimits { retained_topics_max: 4, ..TopicLimits::default() };
        let mut directory = Directory::default();
        directory.configure("*", TopicOptions::default().history(1));
        for n in 0..1000 {
            let name = format!("t{}", n % 6);
            assert!(directory.acquire(&name, &limits).is_ok());
            let found = directory.state(&name, true, &limits).expect("it has history");
            let options = Arc::clone(&found.topic.options);
            let _ = found.state.record(&mut Publication::from("x"), &options, &limits);
            let _ = directory.release(&name, &limits);
            assert!(directory.entries.len() <= 4 && directory.retained.len() <= 2 * 4 + 17);
            assert_eq!(directory.retained_len, directory.entries.len());
        }
    }
}

//! The topics of one worker: who subscribes, and what this turn has published.

use super::delivery::Work;
use super::directory::{Gone, Topic, prefix_of};
use super::domain::Shared;
use super::log::Log;
use super::mailbox::{Mailbox, Post};
use super::members::{Members, NO_LIST};
use super::{Encoding, Publication, PublishError, Topics};
use crate::conn::ConnId;
use crate::core::Core;
use crate::limits::Overflow;
use crate::runtime::Handle;
use crate::turn::guarded;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) type Encoder = Rc<dyn Fn(&Publication, &mut Vec<u8>)>;

/// A topic, or a pattern, that somebody subscribes to on this worker.
pub(super) struct LocalTopic {
    pub(super) topic: Arc<Topic>,
    /// The first of its lists.
    pub(super) list: u32,
    pub(super) subscribers: u32,
    /// The member that a connection is of, by slot, in topics with presence.
    pub(super) joined: HashMap<u32, Arc<str>>,
}

/// The subscribers of a topic with one encoding.
#[derive(Clone, Copy)]
pub(super) struct List {
    /// The topic's number on this worker.
    pub(super) topic: u32,
    pub(super) encoding: Encoding,
    /// The topic's next list.
    pub(super) next: u32,
}

/// Members of which list with which encoding get a run.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) list: u32,
    pub(super) encoding: Encoding,
    pub(super) overflow: Option<Overflow>,
}

#[derive(Default)]
pub(super) struct Local {
    names: HashMap<Arc<str>, u32>,
    topics: Vec<Option<LocalTopic>>,
    free: Vec<u32>,
    lists: Vec<List>,
    /// Patterns by the prefix that they stand for,
    prefixes: HashMap<Box<[u8]>, u32>,
    /// and how many there are of each length of prefix.
    prefix_lengths: BTreeMap<usize, usize>,
    pub(super) members: Members,
}

impl Local {
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    pub(super) fn topic(&self, number: u32) -> Option<&LocalTopic> {
        self.topics.get(number as usize)?.as_ref()
    }

    pub(super) fn topic_mut(&mut self, number: u32) -> Option<&mut LocalTopic> {
        self.topics.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn topic_named(&mut self, name: &str) -> Option<&mut LocalTopic> {
        let number = self.find(name)?;
        self.topic_mut(number)
    }

    pub(super) fn list(&self, list: u32) -> List {
        self.lists[list as usize]
    }

    /// The name of the topic whose list it is.
    pub(super) fn name_of(&self, list: u32) -> Option<Arc<str>> {
        Some(Arc::clone(&self.topic(self.list(list).topic)?.topic.name))
    }

    /// The lists of a topic.
    pub(super) fn lists_of(&self, topic: u32) -> impl Iterator<Item = u32> {
        let first = self.topic(topic).map_or(NO_LIST, |topic| topic.list);
        let some = |list| (list != NO_LIST).then_some(list);
        std::iter::successors(some(first), move |&list| some(self.list(list).next))
    }

    /// Adds a topic that has no subscribers yet.
    pub(super) fn insert(&mut self, topic: Arc<Topic>) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.topics.push(None);
            self.topics.len() as u32 - 1
        });
        self.names.insert(Arc::clone(&topic.name), number);
        if let Some(prefix) = prefix_of(&topic.name) {
            self.prefixes.insert(prefix.as_bytes().into(), number);
            *self.prefix_lengths.entry(prefix.len()).or_insert(0) += 1;
        }
        let topic = LocalTopic { topic, list: NO_LIST, subscribers: 0, joined: HashMap::new() };
        self.topics[number as usize] = Some(topic);
        number
    }

    /// Takes a topic out that has no subscribers any more.
    pub(super) fn remove(&mut self, number: u32) -> Option<LocalTopic> {
        let lists: Vec<u32> = self.lists_of(number).collect();
        lists.iter().for_each(|&list| self.members.release_list(list));
        let topic = self.topics.get_mut(number as usize)?.take()?;
        self.free.push(number);
        self.names.remove(&topic.topic.name);
        if let Some(prefix) = prefix_of(&topic.topic.name) {
            self.prefixes.remove(prefix.as_bytes());
            if let Some(count) = self.prefix_lengths.get_mut(&prefix.len()) {
                *count -= 1;
                if *count == 0 {
                    self.prefix_lengths.remove(&prefix.len());
                }
            }
        }
        Some(topic)
    }

    /// The list of a topic's subscribers with this encoding, made if there is none.
    pub(super) fn list_for(&mut self, topic: u32, encoding: Encoding) -> u32 {
        let known = self.lists_of(topic).find(|&list| self.list(list).encoding == encoding);
        if let Some(list) = known {
            return list;
        }
        let list = self.members.acquire_list();
        let next = self.topic(topic).map_or(NO_LIST, |topic| topic.list);
        let entry = List { topic, encoding, next };
        match self.lists.get_mut(list as usize) {
            Some(place) => *place = entry,
            None => self.lists.push(entry),
        }
        if let Some(topic) = self.topic_mut(topic) {
            topic.list = list;
        }
        list
    }

    /// Whose messages those of a topic are: its own subscribers', and those of the patterns that it fits.
    pub(super) fn targets(&self, name: &str, targets: &mut Vec<Target>) {
        let mut add = |topic: u32| {
            let overflow = self.topic(topic).and_then(|topic| topic.topic.options.overflow);
            for list in self.lists_of(topic) {
                targets.push(Target { list, encoding: self.list(list).encoding, overflow });
            }
        };
        if let Some(topic) = self.find(name) {
            add(topic);
        }
        for &len in self.prefix_lengths.keys().take_while(|&&len| len <= name.len()) {
            if let Some(&pattern) = self.prefixes.get(&name.as_bytes()[..len]) {
                add(pattern);
            }
        }
    }

    pub(super) fn has_patterns(&self) -> bool {
        !self.prefixes.is_empty()
    }

    fn len(&self) -> usize {
        self.names.len()
    }
}

/// The topics of one worker.
pub(crate) struct WorkerTopics {
    pub(super) domain: Topics,
    pub(super) mailbox: Arc<Mailbox>,
    /// Whether the mailbox is among those of the domain.
    is_registered: Cell<bool>,
    pub(super) local: RefCell<Local>,
    pub(super) log: RefCell<Log>,
    /// Whether the log holds something.
    pub(super) pending: Cell<bool>,
    /// A delivery that the turn's share did not suffice for.
    pub(super) work: RefCell<Option<Work>>,
    pub(super) delivering: Cell<bool>,
    /// Memory for the members that get messages one by one.
    pub(super) slow: RefCell<Vec<ConnId>>,
    pub(super) encoders: RefCell<Vec<Encoder>>,
    inbox: RefCell<VecDeque<Post>>,
    /// Whether the worker was told of mail while a delivery was under way: it is taken behind that.
    pub(super) mail_waits: Cell<bool>,
    published: Cell<u64>,
    pub(super) delivered: Cell<u64>,
}

/// What the topics of a worker count.
pub(crate) struct TopicCounts {
    pub(crate) topics: usize,
    pub(crate) memberships: usize,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) mailbox_refusals: u64,
}

impl WorkerTopics {
    /// Adds a worker to a domain.
    pub(crate) fn new(domain: Topics, worker: Handle) -> WorkerTopics {
        let topics = WorkerTopics {
            domain,
            mailbox: Arc::new(Mailbox::new(worker)),
            is_registered: Cell::new(false),
            local: RefCell::default(),
            log: RefCell::default(),
            pending: Cell::new(false),
            work: RefCell::new(None),
            delivering: Cell::new(false),
            slow: RefCell::default(),
            encoders: RefCell::new(Vec::new()),
            inbox: RefCell::default(),
            mail_waits: Cell::new(false),
            published: Cell::new(0),
            delivered: Cell::new(0),
        };
        topics.enter_domain();
        topics
    }

    /// Puts the worker into its domain, unless it is there.
    pub(crate) fn enter_domain(&self) {
        if !self.is_registered.replace(true) {
            self.shared().register(Arc::clone(&self.mailbox));
        }
    }

    /// Takes the worker out of its domain: others publish no more for it.
    pub(crate) fn leave_domain(&self) {
        self.is_registered.set(false);
        self.shared().unregister(&self.mailbox);
    }

    pub(crate) fn domain(&self) -> Topics {
        self.domain.clone()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.domain.shared
    }

    /// Whether this is the worker's domain.
    pub(super) fn is_of(&self, topics: &Topics) -> bool {
        Arc::ptr_eq(&self.domain.shared, &topics.shared)
    }

    /// Registers an encoding.
    pub(crate) fn add_encoding(&self, encoder: impl Fn(&Publication, &mut Vec<u8>) + 'static) -> Encoding {
        let mut encoders = self.encoders.borrow_mut();
        encoders.push(Rc::new(encoder));
        Encoding(u8::try_from(encoders.len()).expect("a worker has at most 255 encodings"))
    }

    pub(crate) fn counts(&self) -> TopicCounts {
        let local = self.local.borrow();
        TopicCounts {
            topics: local.len(),
            memberships: local.members.len(),
            published: self.published.get(),
            delivered: self.delivered.get(),
            mailbox_refusals: self.mailbox.refusals(),
        }
    }

    /// Whether something was published that is not delivered.
    #[inline]
    pub(crate) fn has_pending(&self) -> bool {
        self.pending.get()
    }

    /// Publishes from this worker's thread, to all but `except`.
    pub(super) fn publish(
        &self,
        core: &Core,
        name: &str,
        publication: Publication,
        except: Option<ConnId>,
    ) -> Result<(), PublishError> {
        let shared = self.shared();
        shared.check_topic(name)?;
        if let Some(journal) = shared.journal_of(name) {
            return journal.append(name, publication);
        }
        let known = self.log.borrow().last_plain(name).map(Arc::clone);
        let topic = match known {
            Some(topic) => topic,
            None => match self.plain_name(name) {
                Some(Some(topic)) => topic,
                Some(None) => {
                    self.published.set(self.published.get() + 1);
                    return Ok(());
                }
                None => return self.publish_shared(core, name, publication, except),
            },
        };
        if shared.has_others() {
            let mailboxes = shared.mailboxes(Some(&self.mailbox));
            mailboxes.reserve(&publication, &shared.limits)?;
            mailboxes.push(&topic, &publication);
        }
        self.append(&topic, true, publication, except);
        self.relieve(core);
        Ok(())
    }

    /// The name of a topic that has no shared state: `Some(None)` if nobody can hear it. `None` for a topic that has.
    fn plain_name(&self, name: &str) -> Option<Option<Arc<str>>> {
        let local = self.local.borrow();
        let found = local.find(name).and_then(|topic| local.topic(topic));
        if let Some(found) = found {
            return (!found.topic.is_shared()).then(|| Some(Arc::clone(&found.topic.name)));
        }
        if self.shared().is_shared(name) {
            return None;
        }
        let is_heard = local.has_patterns() || self.shared().has_others();
        Some(is_heard.then(|| name.into()))
    }

    /// Publishes to a topic whose order all workers agree on.
    fn publish_shared(
        &self,
        core: &Core,
        name: &str,
        publication: Publication,
        except: Option<ConnId>,
    ) -> Result<(), PublishError> {
        let mut gone = Gone::default();
        let result = self.append_shared(name, publication, except, &mut gone);
        guarded(|| drop(gone));
        result?;
        self.relieve(core);
        Ok(())
    }

    /// Gives a message its place in the order of its topic, in the log and in all other mailboxes.
    fn append_shared(
        &self,
        name: &str,
        mut publication: Publication,
        except: Option<ConnId>,
        gone: &mut Gone,
    ) -> Result<(), PublishError> {
        let shared = self.shared();
        let mut directory = shared.directory();
        let known = directory.state(name, true, &shared.limits, gone).map(|found| found.topic);
        let mailboxes = shared.mailboxes(Some(&self.mailbox));
        mailboxes.reserve(&publication, &shared.limits)?;
        let name = match known {
            Some(topic) => {
                directory.record(&topic, &mut publication, &shared.limits, gone);
                Arc::clone(&topic.name)
            }
            // It would know its members, and has none.
            None => name.into(),
        };
        self.take_mail(false);
        mailboxes.push(&name, &publication);
        self.append(&name, false, publication, except);
        Ok(())
    }

    /// Gives messages that a journal has kept their place in the log and in all other mailboxes.
    pub(super) fn deliver_recorded(
        &self,
        core: &Core,
        name: &str,
        messages: Vec<Publication>,
        gone: &mut Gone,
    ) {
        let shared = self.shared();
        let mut directory = shared.directory();
        let Some(topic) = directory.state(name, true, &shared.limits, gone).map(|found| found.topic) else {
            return;
        };
        let mailboxes = shared.mailboxes(Some(&self.mailbox));
        let is_heard = topic.subscribers.load(Ordering::Relaxed) > 0 || self.local.borrow().has_patterns();
        if is_heard {
            self.take_mail(false);
        }
        for mut publication in messages {
            directory.record(&topic, &mut publication, &shared.limits, gone);
            mailboxes.reserve_always(&publication);
            mailboxes.push(&topic.name, &publication);
            if is_heard {
                self.append(&topic.name, false, publication, None);
            }
        }
        drop(mailboxes);
        drop(directory);
        self.relieve(core);
    }

    /// Puts a presence event into the log and all other mailboxes. With the directory locked, so that events have one order.
    pub(super) fn append_event(&self, topic: &Topic, event: Publication) {
        let mailboxes = self.shared().mailboxes(Some(&self.mailbox));
        mailboxes.reserve_always(&event);
        self.take_mail(false);
        mailboxes.push(&topic.name, &event);
        self.append(&topic.name, false, event, None);
    }

    pub(super) fn append(
        &self,
        topic: &Arc<str>,
        is_plain: bool,
        publication: Publication,
        except: Option<ConnId>,
    ) {
        self.published.set(self.published.get() + 1);
        self.log.borrow_mut().push(topic, is_plain, publication, except);
        self.pending.set(true);
    }

    /// Delivers within the turn when much was published in it; unless connections are borrowed, in a closure of the user's.
    fn relieve(&self, core: &Core) {
        let is_over = self.log.borrow().bytes > self.shared().limits.turn_bytes_max;
        if is_over && core.conns.slots.try_borrow_mut().is_ok() {
            self.flush(core);
        }
    }

    /// The worker was told that its mailbox holds something. While a delivery is under way it stays there, within the mailbox's bound:
    /// who publishes more than is delivered is refused. The loop is busy until then, and a second call is not made.
    pub(super) fn on_mail(&self) {
        if self.is_under_way() {
            self.mail_waits.set(true);
        } else {
            self.take_mail(true);
        }
    }

    /// Moves what the mailbox holds into the log.
    pub(super) fn take_mail(&self, heard: bool) {
        let mut inbox = self.inbox.take();
        self.mailbox.drain(&mut inbox, heard);
        for post in inbox.drain(..) {
            self.append(&post.topic, false, post.publication, None);
        }
        self.inbox.replace(inbox);
    }
}

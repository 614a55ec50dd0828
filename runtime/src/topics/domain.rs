//! What the workers of a server share of their topics.

use super::directory::{Directory, Gone, prefix_of};
use super::mailbox::{Mailbox, Post, weight};
use super::{Journal, Publication, PublishError, SubscribeError, TopicLimits, TopicOptions};
use crate::core;
use crate::runtime::InvokeError;
use crate::turn::guarded;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

/// The topics of a server: a handle for any thread, cheap to clone. Workers whose [`Config`](crate::Config) has the same share
/// them.
///
/// Topics come to be with their first subscriber and end with their last; [`configure`](Topics::configure) gives them history,
/// presence or a policy for slow subscribers by name. A connection subscribes by [`Conn::subscribe`](crate::Conn::subscribe).
///
/// ```
/// use std::io::{BufRead, BufReader};
/// use sws_runtime::{Config, Conn, Data, Encoding, EventHandler, Runtime, Topics};
///
/// struct News;
///
/// impl EventHandler for News {
///     type Workspace = ();
///     fn on_open(&mut self, conn: &mut Conn<'_, ()>) {
///         conn.subscribe("news", Encoding::RAW).expect("a topic more");
///     }
///     fn on_data(&mut self, _conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
///         data.len()
///     }
/// }
///
/// let topics = Topics::default();
/// let config = Config { topics: Some(topics.clone()), ..Config::default() };
/// let runtime = Runtime::new(config)?;
/// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
/// let (addr, handle) = (listener.local_addr().unwrap(), runtime.handle());
/// runtime.listen(listener, News);
///
/// let client = std::thread::spawn(move || {
///     let mut reader = BufReader::new(std::net::TcpStream::connect(addr).unwrap());
///     while topics.subscribers("news") == 0 {
///         std::thread::yield_now();
///     }
///     topics.publish("news", "it works\n").expect("the worker runs");
///     let mut line = String::new();
///     reader.read_line(&mut line).unwrap();
///     handle.shutdown();
///     line
/// });
/// runtime.run();
/// assert_eq!(client.join().unwrap(), "it works\n");
/// # Ok::<(), sws_runtime::RuntimeError>(())
/// ```
#[derive(Clone)]
pub struct Topics {
    pub(super) shared: Arc<Shared>,
}

/// What a domain holds for all workers.
pub(super) struct Shared {
    id: u64,
    pub(super) limits: TopicLimits,
    directory: Mutex<Directory>,
    /// Whether some topics were configured to be shared: until then none is looked for.
    has_shared: AtomicBool,
    /// The same of journals.
    has_journal: AtomicBool,
    workers: RwLock<Vec<Arc<Mailbox>>>,
    workers_len: AtomicUsize,
}

/// The number before the first message of a topic that comes to be now: a million for each second of the clock, so that it is higher than
/// what an earlier run has given, and exact as a floating-point number for two hundred years.
fn birth() -> u64 {
    let seconds = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs());
    (seconds << 20) & ((1 << 53) - 1)
}

impl Default for Topics {
    fn default() -> Topics {
        Topics::with_limits(TopicLimits::default())
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl Topics {
    /// Topics with these bounds.
    pub fn with_limits(limits: TopicLimits) -> Topics {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Topics {
            shared: Arc::new(Shared {
                id: NEXT.fetch_add(1, Ordering::Relaxed),
                limits,
                directory: Mutex::new(Directory::new(birth)),
                has_shared: AtomicBool::new(false),
                has_journal: AtomicBool::new(false),
                workers: RwLock::default(),
                workers_len: AtomicUsize::new(0),
            }),
        }
    }

    /// Sets what topics have: the one of this name, or, for a pattern such as `room/*`, all whose name begins so. The nearest
    /// counts: the name, then the longest pattern. A topic that exists keeps what it has.
    pub fn configure(&self, pattern: &str, options: TopicOptions) {
        let journal = options.journal.clone();
        if options.is_shared() {
            self.shared.has_shared.store(true, Ordering::Release);
        }
        self.shared.directory().configure(pattern, options);
        if let Some(journal) = journal {
            self.keep_journal(Arc::clone(&journal));
            journal.attach(self);
        }
    }

    /// For a [journal](Journal): what is published to the topics that it [restores](Topics::restore), whatever their names, goes to it.
    pub fn keep_journal(&self, journal: Arc<dyn Journal>) {
        self.shared.has_journal.store(true, Ordering::Release);
        self.shared.has_shared.store(true, Ordering::Release);
        self.shared.directory().journal = Some(journal);
    }

    /// For a [journal](Journal): it has a topic, whose last message has this number (0 for none), and the last ones are these.
    ///
    /// # Panics
    /// When the messages have no numbers.
    pub fn restore(&self, topic: &str, sequence: u64, history: Vec<Publication>) {
        assert!(history.iter().all(|message| message.sequence > 0), "a message of a journal has a number");
        let mut gone = Gone::default();
        self.shared.directory().restore(topic, sequence, history, &self.shared.limits, &mut gone);
        guarded(|| drop(gone));
    }

    /// For a [journal](Journal): it has deleted a topic. Who subscribes hears what is published under its name without it.
    pub fn remove(&self, topic: &str) {
        let mut gone = Gone::default();
        self.shared.directory().remove(topic, &mut gone);
        guarded(|| drop(gone));
    }

    /// For a [journal](Journal): messages of a topic are kept, and subscribers get them. Each has its number, which follows that of
    /// the one before. They are taken in whatever waits already: the journal has the bound.
    pub fn deliver(&self, topic: &str, messages: Vec<Publication>) {
        let mut gone = Gone::default();
        match core::try_with(|core| core.topics.is_of(self)) {
            Some(true) => core::with(|core| core.topics.deliver_recorded(core, topic, messages, &mut gone)),
            _ => self.shared.deliver(topic, messages, &mut gone),
        }
        guarded(|| drop(gone));
    }

    /// For a [journal](Journal) that lives on a worker: runs `f` on the loop of one of the workers.
    ///
    /// # Errors
    /// [`PublishError::Closed`] where there is no worker, [`PublishError::Full`] where it takes no more calls at the moment.
    pub fn invoke(&self, f: impl FnOnce() + Send + 'static) -> Result<(), PublishError> {
        let first = self.shared.mailboxes(None).workers.first().map(Arc::clone);
        first.ok_or(PublishError::Closed)?.invoke(f).map_err(|error| match error {
            InvokeError::Full => PublishError::Full,
            _ => PublishError::Closed,
        })
    }

    /// A number that no other domain of this process has.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Sends a message to all subscribers of a topic. From a callback or a fiber it goes out at the end of the turn, or before what
    /// is sent to the subscriber by other ways.
    ///
    /// # Errors
    /// [`PublishError`]: then nobody gets it.
    pub fn publish(&self, topic: &str, message: impl Into<Publication>) -> Result<(), PublishError> {
        let publication = message.into();
        match core::try_with(|core| core.topics.is_of(self)) {
            Some(true) => core::with(|core| core.topics.publish(core, topic, publication, None)),
            _ => self.shared.publish(topic, publication),
        }
    }

    /// Subscribers of a topic, or of a pattern itself, on all workers.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.shared.directory().subscribers(topic)
    }

    /// The members of a topic with [presence](TopicOptions::presence), in no order, and how many connections each has.
    pub fn members(&self, topic: &str) -> Vec<(Arc<str>, u32)> {
        self.shared.directory().members(topic)
    }

    /// How many members a topic with presence has.
    pub fn member_count(&self, topic: &str) -> usize {
        self.shared.directory().member_count(topic)
    }
}

/// The topics of the worker on whose thread the caller is.
///
/// # Panics
/// Off a worker's thread.
pub fn topics() -> Topics {
    core::with(|core| core.topics.domain())
}

/// The mailboxes of all workers, while a publication is put into them.
pub(super) struct Mailboxes<'a> {
    workers: RwLockReadGuard<'a, Vec<Arc<Mailbox>>>,
    /// The publisher's own gets nothing.
    own: Option<&'a Arc<Mailbox>>,
}

impl Mailboxes<'_> {
    fn others(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.workers.iter().filter(|mailbox| self.own.is_none_or(|own| !Arc::ptr_eq(own, mailbox)))
    }

    /// Takes room in all of them, or in none.
    pub(super) fn reserve(
        &self,
        publication: &Publication,
        limits: &TopicLimits,
    ) -> Result<(), PublishError> {
        let bytes = weight(publication);
        for (n, mailbox) in self.others().enumerate() {
            if !mailbox.reserve(bytes, limits.mailbox_bytes_max) {
                self.others().take(n).for_each(|mailbox| mailbox.cancel(bytes));
                return Err(PublishError::Full);
            }
        }
        Ok(())
    }

    /// As [`reserve`](Mailboxes::reserve), never refused.
    pub(super) fn reserve_always(&self, publication: &Publication) {
        self.others().for_each(|mailbox| mailbox.reserve_always(weight(publication)));
    }

    /// Puts in what room was reserved for.
    pub(super) fn push(&self, topic: &Arc<str>, publication: &Publication) {
        for mailbox in self.others() {
            mailbox.push(Post { topic: Arc::clone(topic), publication: publication.clone() });
        }
    }
}

impl Shared {
    /// User code runs under this lock only to make presence events, after what it is about was changed.
    pub(super) fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mailboxes of the workers other than `own`.
    pub(super) fn mailboxes<'a>(&'a self, own: Option<&'a Arc<Mailbox>>) -> Mailboxes<'a> {
        Mailboxes { workers: self.workers.read().unwrap_or_else(PoisonError::into_inner), own }
    }

    /// Whether there is another worker than the caller's.
    pub(super) fn has_others(&self) -> bool {
        self.workers_len.load(Ordering::Acquire) > 1
    }

    pub(super) fn register(&self, mailbox: Arc<Mailbox>) {
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        workers.push(mailbox);
        self.workers_len.store(workers.len(), Ordering::Release);
    }

    pub(super) fn unregister(&self, mailbox: &Arc<Mailbox>) {
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|known| !Arc::ptr_eq(known, mailbox));
        self.workers_len.store(workers.len(), Ordering::Release);
    }

    /// Whether workers have to agree on the order of a topic's messages.
    pub(super) fn is_shared(&self, topic: &str) -> bool {
        self.has_shared.load(Ordering::Acquire) && self.directory().is_shared(topic)
    }

    /// The journal of a topic, if there is one.
    #[inline]
    pub(super) fn journal_of(&self, topic: &str) -> Option<Arc<dyn Journal>> {
        self.has_journal.load(Ordering::Acquire).then(|| self.directory().journal_of(topic)).flatten()
    }

    /// Puts messages that a journal has kept into all mailboxes.
    fn deliver(&self, topic: &str, messages: Vec<Publication>, gone: &mut Gone) {
        let mut directory = self.directory();
        let Some(topic) = directory.state(topic, true, &self.limits, gone).map(|found| found.topic) else {
            return;
        };
        let mailboxes = self.mailboxes(None);
        for mut publication in messages {
            directory.record(&topic, &mut publication, &self.limits, gone);
            mailboxes.reserve_always(&publication);
            mailboxes.push(&topic.name, &publication);
        }
    }

    /// Refuses what is no name of a topic to publish to.
    #[inline]
    pub(super) fn check_topic(&self, name: &str) -> Result<(), PublishError> {
        let is_name =
            !name.is_empty() && name.len() <= self.limits.name_bytes_max && prefix_of(name).is_none();
        if is_name { Ok(()) } else { Err(PublishError::Name) }
    }

    /// Refuses what is no name of a topic, a pattern or a member.
    pub(super) fn check_name(&self, name: &str) -> Result<(), SubscribeError> {
        let is_name = !name.is_empty() && name.len() <= self.limits.name_bytes_max;
        if is_name { Ok(()) } else { Err(SubscribeError::Name) }
    }

    /// Publishes from a thread that is no worker of this domain.
    fn publish(&self, topic: &str, mut publication: Publication) -> Result<(), PublishError> {
        self.check_topic(topic)?;
        if self.workers_len.load(Ordering::Acquire) == 0 {
            return Err(PublishError::Closed);
        }
        if let Some(journal) = self.journal_of(topic) {
            return journal.append(topic, publication);
        }
        if self.is_shared(topic) {
            let mut gone = Gone::default();
            let published = self.publish_shared(topic, &mut publication, &mut gone);
            guarded(|| drop(gone));
            if let Some(result) = published {
                return result;
            }
        }
        let mailboxes = self.mailboxes(None);
        mailboxes.reserve(&publication, &self.limits)?;
        mailboxes.push(&topic.into(), &publication);
        Ok(())
    }

    /// Publishes to a topic whose order all workers agree on. `None` if there is no state to agree on.
    fn publish_shared(
        &self,
        topic: &str,
        publication: &mut Publication,
        gone: &mut Gone,
    ) -> Option<Result<(), PublishError>> {
        let mut directory = self.directory();
        let topic = directory.state(topic, true, &self.limits, gone)?.topic;
        let mailboxes = self.mailboxes(None);
        let reserved = mailboxes.reserve(publication, &self.limits);
        if reserved.is_ok() {
            directory.record(&topic, publication, &self.limits, gone);
            mailboxes.push(&topic.name, publication);
        }
        Some(reserved)
    }
}

//! What other threads and workers have published for a worker.

use super::Publication;
use crate::core;
use crate::runtime::{Handle, InvokeError};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a message counts beside its payload.
const POST_BYTES: usize = 64;

/// A publication on its way to a worker.
pub(super) struct Post {
    pub(super) topic: Arc<str>,
    pub(super) publication: Publication,
}

#[derive(Default)]
struct Queue {
    posts: VecDeque<Post>,
    /// Whether the worker was told, and has not looked since: it is told once for each batch.
    told: bool,
}

/// The mailbox of one worker. Room in it is reserved first, so that a publication is put into all mailboxes or into none.
pub(super) struct Mailbox {
    bytes: AtomicUsize,
    refusals: AtomicU64,
    worker: Handle,
    queue: Mutex<Queue>,
}

/// What a publication takes of a mailbox, of the log and of a history.
pub(super) fn weight(publication: &Publication) -> usize {
    publication.payload.len() + POST_BYTES
}

impl Mailbox {
    pub(super) fn new(worker: Handle) -> Mailbox {
        Mailbox {
            bytes: AtomicUsize::new(0),
            refusals: AtomicU64::new(0),
            worker,
            queue: Mutex::new(Queue::default()),
        }
    }

    /// Takes room for `bytes`, or leaves everything as it was. One message that is larger than the bound finds room when nothing
    /// waits.
    pub(super) fn reserve(&self, bytes: usize, bytes_max: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before > 0 && before.saturating_add(bytes) > bytes_max {
            self.cancel(bytes);
            self.refusals.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Takes room whether there is any or not: for what is bounded otherwise.
    pub(super) fn reserve_always(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives room back.
    pub(super) fn cancel(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Puts in what room was reserved for, and wakes the worker if it does not know that something waits.
    pub(super) fn push(&self, post: Post) {
        let mut queue = self.lock();
        queue.posts.push_back(post);
        let told = std::mem::replace(&mut queue.told, true);
        drop(queue);
        if !told {
            // A worker that has ended reads nothing; it is about to leave the domain.
            let _ = self.worker.invoke_reserved(|| core::with(|core| core.topics.on_mail()));
        }
    }

    /// Runs `f` on the worker's loop.
    pub(super) fn invoke(&self, f: impl FnOnce() + Send + 'static) -> Result<(), InvokeError> {
        self.worker.invoke(f)
    }

    /// Moves everything into `into`, which is empty. `heard`: the worker has followed the call.
    pub(super) fn drain(&self, into: &mut VecDeque<Post>, heard: bool) {
        debug_assert!(into.is_empty());
        let mut queue = self.lock();
        if heard {
            queue.told = false;
        }
        std::mem::swap(into, &mut queue.posts);
        drop(queue);
        self.cancel(into.iter().map(|post| weight(&post.publication)).sum());
    }

    /// Publications refused because of this mailbox.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// No code of others runs under this lock, so a poisoned one cannot hold a broken queue.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

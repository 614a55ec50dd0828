//! Callbacks for descriptors of others: a library's socket, a pipe, an inotify.
//!
//! A watch is a one-shot poll that is armed again after each call, so it is level-triggered: what is not read is told of again.

use crate::core::{self, Core};
use crate::slab::{Key, Slab};
use crate::turn::guarded;
use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use sws_rings::{Completion, Descriptor, Op, OpKind, Owner, Token};

/// What a watch waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Interest {
    /// Something to read, or the end.
    Readable,
    /// Room to write.
    Writable,
}

impl Interest {
    fn events(self) -> u32 {
        match self {
            Interest::Readable => (libc::POLLIN | libc::POLLRDHUP) as u32,
            Interest::Writable => libc::POLLOUT as u32,
        }
    }
}

/// What a watch calls when its descriptor is ready.
pub type WatchCallback = Box<dyn FnMut(RawFd)>;

struct Watch {
    fd: RawFd,
    interest: Interest,
    /// Absent while it is being called.
    callback: Rc<RefCell<Option<WatchCallback>>>,
}

/// All watches of a worker.
pub(crate) struct Watches {
    table: RefCell<Slab<Watch>>,
    keys: RefCell<HashMap<(RawFd, Interest), Key>>,
}

impl Watches {
    pub(crate) fn new() -> Watches {
        Watches { table: RefCell::new(Slab::new()), keys: RefCell::new(HashMap::new()) }
    }

    pub(crate) fn is_live(&self, token: Token) -> bool {
        self.table.borrow().get(key(token)).is_some()
    }

    fn arm(&self, core: &Core, key: Key) {
        let Some((fd, interest)) = self.table.borrow().get(key).map(|watch| (watch.fd, watch.interest))
        else {
            return;
        };
        let op = Op::Poll { descriptor: Descriptor::Raw(fd), events: interest.events(), multi: false };
        // SAFETY: names no memory.
        unsafe { core.ring.borrow_mut().push(&op, token(key)) };
    }

    fn insert(
        &self,
        core: &Core,
        fd: RawFd,
        interest: Interest,
        callback: WatchCallback,
    ) -> Option<WatchCallback> {
        let before = self.remove(core, fd, interest);
        let watch = Watch { fd, interest, callback: Rc::new(RefCell::new(Some(callback))) };
        let key = self.table.borrow_mut().insert(watch);
        self.keys.borrow_mut().insert((fd, interest), key);
        self.arm(core, key);
        before
    }

    fn remove(&self, core: &Core, fd: RawFd, interest: Interest) -> Option<WatchCallback> {
        let key = self.keys.borrow_mut().remove(&(fd, interest))?;
        let watch = self.table.borrow_mut().remove(key)?;
        let cancel = Token::new(Owner::Loop, OpKind::Cancel, 0, 0);
        // SAFETY: names no memory.
        unsafe { core.ring.borrow_mut().push(&Op::Cancel { target: token(key) }, cancel) };
        watch.callback.take()
    }

    /// A descriptor is ready: calls, and arms again. A poll that failed for good ends its watch.
    pub(crate) fn on_ready(&self, core: &Core, completion: &Completion) {
        let key = key(completion.token);
        match completion.result {
            Ok(_) => self.call(key),
            Err(libc::EINTR | libc::EAGAIN | libc::ECANCELED) => {}
            Err(_) => {
                if let Some(watch) = self.table.borrow_mut().remove(key) {
                    self.keys.borrow_mut().remove(&(watch.fd, watch.interest));
                }
            }
        }
        self.arm(core, key);
    }

    fn call(&self, key: Key) {
        let Some((fd, place)) =
            self.table.borrow().get(key).map(|watch| (watch.fd, Rc::clone(&watch.callback)))
        else {
            return;
        };
        let Some(mut callback) = place.take() else { return };
        guarded(|| callback(fd));
        // An unwatch or a replacement from inside has removed this watch: its callback is dropped here.
        if self.table.borrow().get(key).is_some() {
            place.replace(Some(callback));
        }
    }
}

fn token(key: Key) -> Token {
    Token::new(Owner::Watch, OpKind::Poll, key.index, key.generation)
}

fn key(token: Token) -> Key {
    Key { index: token.index(), generation: token.generation() }
}

/// Calls `callback` on the loop whenever the descriptor is ready, until [`unwatch`]. A second watch of the same descriptor
/// and interest replaces the first and returns its callback. The caller keeps the descriptor open for as long as it is watched.
///
/// The callback must not block; to wait, start a fiber with [`go`](crate::go).
///
/// # Panics
/// Off a worker's thread.
pub fn watch(
    fd: BorrowedFd<'_>,
    interest: Interest,
    callback: impl FnMut(RawFd) + 'static,
) -> Option<WatchCallback> {
    core::with(|core| core.watches.insert(core, fd.as_raw_fd(), interest, Box::new(callback)))
}

/// Ends a watch and returns its callback (or nothing, when called from inside it). It is not called after this returns.
///
/// # Panics
/// Off a worker's thread.
pub fn unwatch(fd: RawFd, interest: Interest) -> Option<WatchCallback> {
    core::with(|core| core.watches.remove(core, fd, interest))
}

/// Ends all watches of this worker; returns how many there were.
///
/// # Panics
/// Off a worker's thread.
pub fn unwatch_all() -> usize {
    core::with(|core| {
        let all: Vec<(RawFd, Interest)> = core.watches.keys.borrow().keys().copied().collect();
        all.iter().filter(|(fd, interest)| core.watches.remove(core, *fd, *interest).is_some()).count()
    })
}

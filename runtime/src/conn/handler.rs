//! The callback protocol: what a connection's user sees.
//!
//! # Unsafe
//!
//! A slot's workspace is 64 bytes without a type. A service declares its type once, and its `TypeId` is kept beside it; the
//! bytes are set to a value of that type when a connection opens or is handed over, together with the number of the service. A
//! [`Conn`] carries the number of the service whose type it has, and reads and writes the bytes only while the slot has the same
//! number. The type is `Copy`, so nothing needs dropping.

use super::{ConnId, HandlerId, SendError, flag, is_open};
use crate::core::Core;
use crate::limits::Overflow;
use crate::spare::Shared;
use std::any::TypeId;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::{Deref, Range};
use std::time::Duration;
use sws_rings::Lease;
use sws_stackpool::limits::BUFFER_BYTES_MAX;

/// A slot's bytes for the protocol.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Workspace([MaybeUninit<u8>; 64]);

impl Default for Workspace {
    fn default() -> Workspace {
        Workspace([MaybeUninit::new(0); 64])
    }
}

/// A protocol over connections, by callbacks. All are called on the IO thread, one at a time; none may block. To wait for
/// something, start a fiber with [`go`](crate::go), which can use the connection by its [`ConnId`]. A callback that panics
/// loses its connection, and nothing else.
///
/// ```
/// use sws_runtime::{Conn, Data, EventHandler};
///
/// /// Sends back what comes.
/// struct Echo;
///
/// impl EventHandler for Echo {
///     type Workspace = ();
///     fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
///         if conn.send(data).is_err() {
///             conn.abort();
///         }
///         data.len()
///     }
/// }
/// ```
pub trait EventHandler: 'static {
    /// State of one connection: at most 64 bytes, aligned to at most 8.
    type Workspace: Copy + Default + 'static;

    /// A connection was accepted.
    fn on_open(&mut self, _conn: &mut Conn<'_, Self::Workspace>) {}

    /// Bytes came. Returns how many were taken; the others are given again, with what comes behind them, when more
    /// comes or after [`Conn::resume_input`]. When they are over the input bound, receiving pauses.
    fn on_data(&mut self, conn: &mut Conn<'_, Self::Workspace>, data: &Data<'_>) -> usize;

    /// All output was sent.
    fn on_sent(&mut self, _conn: &mut Conn<'_, Self::Workspace>) {}

    /// The peer has ended its side and will send no more; it may still read. By default the connection is closed when
    /// the output is sent.
    fn on_end(&mut self, conn: &mut Conn<'_, Self::Workspace>) {
        conn.close();
    }

    /// The deadline set by [`Conn::set_deadline`] has passed. By default the connection is closed at once.
    fn on_deadline(&mut self, conn: &mut Conn<'_, Self::Workspace>) {
        conn.abort();
    }

    /// The worker drains: no new connections come, and it ends when there are none left. By default the connection is closed
    /// when the output is sent.
    fn on_drain(&mut self, conn: &mut Conn<'_, Self::Workspace>) {
        conn.close();
    }

    /// So many messages wait that the connection is to be closed ([`Overflow::Close`](crate::Overflow::Close)); they are dropped.
    /// What is queued here goes out behind what is being sent. By default the connection is closed at once.
    fn on_overflow(&mut self, conn: &mut Conn<'_, Self::Workspace>) {
        conn.abort();
    }

    /// The connection is gone; its id finds nothing from here on. Called once for each connection.
    fn on_close(&mut self, _conn: &mut Conn<'_, Self::Workspace>) {}
}

/// Received bytes.
pub struct Data<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) lease: Option<&'a Lease>,
}

impl Data<'_> {
    /// Keeps a part of the bytes beyond the callback: without a copy where they lie in a buffer of their own.
    ///
    /// # Panics
    /// When the range is not inside the data.
    pub fn hold(&self, range: Range<usize>) -> Held {
        match self.lease {
            // Held buffers are not the kernel's: when few are left, a copy keeps the worker from going deaf.
            Some(lease) if !lease.is_scarce() => Held(Inner::Lease(lease.slice(range))),
            _ => Held(Inner::Owned(self.bytes[range].to_vec())),
        }
    }
}

impl Deref for Data<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

enum Inner {
    Lease(Lease),
    Owned(Vec<u8>),
}

/// Received bytes that are kept, see [`Data::hold`].
pub struct Held(Inner);

impl From<Vec<u8>> for Held {
    fn from(bytes: Vec<u8>) -> Held {
        Held(Inner::Owned(bytes))
    }
}

impl Deref for Held {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Lease(lease) => lease,
            Inner::Owned(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({} bytes)", self.len())
    }
}

/// One connection, for the length of a callback or of a call by id.
pub struct Conn<'a, W = ()> {
    core: &'a Core,
    id: ConnId,
    /// The service whose workspace is a `W`: the connection may have been handed over to another since.
    service: u8,
    /// Exactly `W`: what is written as a supertype would be read as something that it is not.
    workspace: PhantomData<fn(W) -> W>,
}

impl<'a, W: Copy + 'static> Conn<'a, W> {
    /// `service` has the workspace `W`.
    pub(super) fn new(core: &'a Core, id: ConnId, service: u8) -> Conn<'a, W> {
        Conn { core, id, service, workspace: PhantomData }
    }

    /// The same connection, for those who keep it for a shorter time.
    #[inline]
    pub fn reborrow(&mut self) -> Conn<'_, W> {
        Conn { core: self.core, id: self.id, service: self.service, workspace: PhantomData }
    }

    pub(crate) fn parts(&self) -> (&'a Core, ConnId) {
        (self.core, self.id)
    }

    /// Before something is sent: what was published for the connection goes first.
    #[inline]
    fn settle(&self) {
        self.core.topics.settle(self.core, self.id);
    }

    /// Names the connection for as long as it lives: an id of a closed connection finds nothing.
    #[inline]
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The connection's state.
    #[inline]
    pub fn workspace(&self) -> W
    where
        W: Default,
    {
        let bytes =
            self.core.conns.with(self.id, |slot| (slot.service == self.service).then_some(slot.workspace));
        // SAFETY: the slot belongs to a service whose workspace type is `W`, see the module doc, and `W` fits.
        bytes.flatten().map_or_else(W::default, |bytes| unsafe { (&raw const bytes).cast::<W>().read() })
    }

    /// Looks at the connection's state, or changes it, in its place. In `f` all connections are borrowed: using one, or waiting,
    /// panics. `f` gets a default that leads nowhere when the connection is
    /// gone, or was handed over.
    #[inline]
    pub fn update<R>(&mut self, f: impl FnOnce(&mut W) -> R) -> R
    where
        W: Default,
    {
        let mut slots = self.core.conns.slots.borrow_mut();
        match slots.get_mut(self.id).filter(|slot| slot.service == self.service) {
            // SAFETY: the slot belongs to a service whose workspace type is `W`, see the module doc; `f` cannot reach the
            // slots, which are borrowed.
            Some(slot) => f(unsafe { &mut *(&raw mut slot.workspace).cast::<W>() }),
            None => f(&mut W::default()),
        }
    }

    /// Replaces the connection's state.
    #[inline]
    pub fn set_workspace(&mut self, value: W) {
        self.core.conns.with(self.id, |slot| {
            if slot.service == self.service {
                // SAFETY: `W` is at most as large and as aligned as the workspace, asserted when its service was made.
                unsafe { (&raw mut slot.workspace).cast::<W>().write(value) }
            }
        });
    }

    /// Makes the connection another handler's, with this state: what comes from here on, and what came and was not taken, is
    /// the other's. Its `on_open` is not called. This handler finds nothing of the connection any more.
    ///
    /// ```
    /// use sws_runtime::{Config, Conn, Data, EventHandler, HandlerId, Runtime};
    ///
    /// struct Greeting {
    ///     then: HandlerId<()>,
    /// }
    ///
    /// impl EventHandler for Greeting {
    ///     type Workspace = u64;
    ///     fn on_data(&mut self, conn: &mut Conn<'_, u64>, data: &Data<'_>) -> usize {
    ///         conn.hand_over(self.then, ());
    ///         data.len()
    ///     }
    /// }
    ///
    /// struct Discard;
    ///
    /// impl EventHandler for Discard {
    ///     type Workspace = ();
    ///     fn on_data(&mut self, _conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
    ///         data.len()
    ///     }
    /// }
    ///
    /// let runtime = Runtime::new(Config::default())?;
    /// let then = runtime.add_handler(Discard);
    /// runtime.listen(std::net::TcpListener::bind("127.0.0.1:0").unwrap(), Greeting { then });
    /// # Ok::<(), sws_runtime::RuntimeError>(())
    /// ```
    ///
    /// # Panics
    /// When the handler is one of another worker.
    pub fn hand_over<N: Copy + 'static>(&mut self, to: HandlerId<N>, state: N) {
        assert_eq!(to.worker, self.core.number, "a handler of another worker");
        if !self.is_ours() {
            return;
        }
        self.core.conns.with(self.id, |slot| {
            slot.service = to.number;
            // SAFETY: the id of a handler is made with its workspace's type, which fits, asserted when it was added; and it is
            // one of this worker.
            unsafe { (&raw mut slot.workspace).cast::<N>().write(state) }
        });
        self.core.conns.defer_input(self.id);
    }

    /// Whether the connection is still there and was not handed over.
    #[inline]
    pub fn is_ours(&self) -> bool {
        self.core.conns.with(self.id, |slot| slot.service == self.service && is_open(slot)).unwrap_or(false)
    }

    /// Sets how many bytes may wait to be sent, and what becomes of messages over that. Without it
    /// [`Limits::output_bytes_max`](crate::Limits::output_bytes_max) holds, and messages over it are refused. A bound of 0 means that
    /// of the limits again; one over `u32::MAX` is that.
    ///
    /// Each message that waits behind the output counts 64 bytes more than it has. Where there is no room for one, those that wait
    /// under [`Overflow::DropOldest`] or [`Overflow::KeepLatest`] make it; others are never dropped.
    pub fn set_overflow(&mut self, bytes_max: usize, overflow: Overflow) {
        self.core.conns.set_overflow(self.id, bytes_max, overflow);
    }

    /// Has the kernel hold no more than 64 KB that are not sent (`TCP_NOTSENT_LOWAT`), where it would hold megabytes: for connections
    /// whose waiting messages may be dropped or replaced, which they can only before the kernel has them. A kernel that
    /// does not do it stays as it is.
    pub fn limit_unsent(&mut self) {
        self.core.conns.limit_unsent(self.core, self.id);
    }

    /// Queues a whole message, shared by reference. Beyond a window of the output messages wait, each whole; over the bound the
    /// connection's [`Overflow`] says what becomes of them. `key` is 0, or names what this is the latest value of.
    ///
    /// # Errors
    /// [`SendError::Full`] when it was refused, [`SendError::Closed`] when the connection is closing.
    pub fn push_message(&mut self, message: &bytes::Bytes, key: u64) -> Result<(), SendError> {
        self.settle();
        self.core.conns.push_message(self.core, self.id, message, key, None)
    }

    /// As [`push_message`](Conn::push_message), for a message of about `len` bytes that `f` writes in place. A fiber must not wait in
    /// `f`: that panics.
    ///
    /// # Errors
    /// As [`push_message`](Conn::push_message), and [`SendError::NoBuffer`] when all pooled buffers are in use.
    #[inline]
    pub fn write_message<R>(
        &mut self,
        len: usize,
        f: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Result<R, SendError> {
        self.settle();
        if self.core.conns.has_window(self.core, self.id, len)? && len <= BUFFER_BYTES_MAX {
            return self.write_with(len, f);
        }
        let mut message = self.core.spares.acquire(len);
        let written = self.core.fibers.without_waits(|| f(&mut message));
        self.push_message(&bytes::Bytes::from_owner(Shared::new(message)), 0)?;
        Ok(written)
    }

    /// Queues bytes to be sent, copied.
    ///
    /// # Errors
    /// [`SendError::Full`] when more than [`Limits::output_bytes_max`](crate::Limits::output_bytes_max) would wait
    /// (unless nothing waits yet), and
    /// [`SendError::Closed`] when the connection is closing. Nothing is queued then.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.settle();
        self.core.conns.send(self.core, self.id, bytes)
    }

    /// Queues bytes to be sent, shared without a copy when they are many.
    ///
    /// # Errors
    /// As [`send`](Conn::send).
    pub fn send_bytes(&mut self, bytes: bytes::Bytes) -> Result<(), SendError> {
        self.settle();
        self.core.conns.send_bytes(self.core, self.id, bytes)
    }

    /// Queues bytes to be sent, whatever waits already: for answers, whose number the caller bounds. Few are copied, many are
    /// shared.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closing, [`SendError::NoBuffer`] when all pooled buffers are in use.
    pub fn push_bytes(&mut self, bytes: bytes::Bytes) -> Result<(), SendError> {
        self.settle();
        self.core.conns.push_bytes(self.id, bytes)
    }

    /// Queues a buffer of [`acquire_buffer`](crate::acquire_buffer), whatever waits already.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closing; the buffer is given back.
    pub fn push_buffer(&mut self, buffer: Vec<u8>) -> Result<(), SendError> {
        self.settle();
        self.core.conns.push_buffer(self.id, buffer)
    }

    /// Queues what is in a [`Pipe`](crate::Pipe), whatever waits already.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closing; the pipe is given back.
    pub fn push_pipe(&mut self, pipe: super::Pipe) -> Result<(), SendError> {
        self.settle();
        self.core.conns.push_pipe(self.id, pipe)
    }

    /// Lets `f` write output of about `len` bytes in place. Beyond the bound of [`send`](Conn::send) nothing is refused:
    /// this is for answers, whose number the caller bounds. A fiber must not wait in `f`: that panics. When `f` panics, nothing is queued.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closing, [`SendError::NoBuffer`] when all pooled buffers are in use.
    #[inline]
    pub fn write_with<R>(&mut self, len: usize, f: impl FnOnce(&mut Vec<u8>) -> R) -> Result<R, SendError> {
        self.settle();
        self.core.conns.write_with(self.id, len, |out| self.core.fibers.without_waits(|| f(out)))
    }

    /// Bytes that wait to be sent. A message that waits behind the output counts 64 bytes more than it has.
    pub fn pending_output(&self) -> usize {
        self.core.conns.pending_output(self.id) + self.core.conns.backlog_bytes(self.id)
    }

    /// Bytes that the kernel has taken to send since the connection was opened.
    pub fn bytes_sent(&self) -> u64 {
        self.core.conns.with(self.id, |slot| slot.bytes_out).unwrap_or(0)
    }

    /// A number that is another one at a deadline if the peer has taken something since an earlier one, also where the kernel took
    /// nothing more to send: it is asked how much is confirmed before [`EventHandler::on_deadline`] is called. Only its changes mean
    /// something.
    pub fn progress(&self) -> u64 {
        self.bytes_sent().wrapping_sub(self.core.conns.unsent.of(self.id).into())
    }

    /// Bytes received and not taken. Inside [`EventHandler::on_data`] those of its argument do not count.
    pub fn pending_input(&self) -> usize {
        self.core.conns.pending_input(self.id)
    }

    /// Gives the input that waits to `f`, which returns how many bytes it took. A fiber must not wait in it: that panics.
    pub fn take_input(&mut self, f: impl FnOnce(&[u8]) -> usize) -> usize {
        self.core.conns.take_input(self.core, self.id, |bytes| self.core.fibers.without_waits(|| f(bytes)))
    }

    /// Has [`EventHandler::on_data`] called with the input that waits, in the next turn.
    pub fn resume_input(&mut self) {
        self.core.conns.defer_input(self.id);
    }

    /// Whether the peer has ended its side.
    pub fn is_ended(&self) -> bool {
        self.core.conns.with(self.id, |slot| slot.flags & flag::ENDED != 0).unwrap_or(true)
    }

    /// Closes the connection when its output is sent.
    pub fn close(&mut self) {
        self.settle();
        self.core.conns.close_after(self.core, self.id, false);
    }

    /// Sends the output, ends our side, and closes when the peer has ended its own or after two seconds; so that a peer that
    /// still sends gets the answer instead of a reset.
    pub fn close_lingering(&mut self) {
        self.settle();
        self.core.conns.close_after(self.core, self.id, true);
    }

    /// Closes the connection at once; what was not sent is lost.
    pub fn abort(&mut self) {
        self.core.conns.doom(self.id);
    }

    /// Closes the connection at once by a reset, so that the peer cannot take what it has for all there is.
    pub fn reset(&mut self) {
        self.core.conns.reset(self.core, self.id);
    }

    /// Whether [`close`](Conn::close) or another end was asked for.
    pub fn is_closing(&self) -> bool {
        let over = flag::CLOSE_AFTER | flag::DOOMED | flag::LINGERING;
        self.core.conns.with(self.id, |slot| slot.flags & over != 0).unwrap_or(true)
    }

    /// Calls [`EventHandler::on_deadline`] after this time, in place of any deadline set before; `None` for never. Exact
    /// to 8 ms. A connection that lingers has the runtime's own.
    #[inline]
    pub fn set_deadline(&mut self, after: Option<Duration>) {
        let lingering = self.core.conns.with(self.id, |slot| slot.flags & flag::LINGERING != 0);
        if lingering == Some(true) {
            return;
        }
        self.core.conns.set_deadline(self.core, self.id, after);
    }

    /// The peer's address. On a fiber it costs a turn of the loop where the kernel keeps the descriptor; off a fiber
    /// it is not known there.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.core.conns.peer_addr(self.core, self.id)
    }

    /// Ids of all open connections of the same handler, this one included.
    pub fn peers(&self) -> Vec<ConnId> {
        let service = self.core.conns.with(self.id, |slot| slot.service);
        service.map_or_else(Vec::new, |service| self.core.conns.ids_of(service))
    }

    /// Queues bytes on another connection of the same worker.
    ///
    /// # Errors
    /// As [`send`](Conn::send).
    pub fn send_to(&mut self, id: ConnId, bytes: &[u8]) -> Result<(), SendError> {
        self.core.topics.settle(self.core, id);
        self.core.conns.send(self.core, id, bytes)
    }

    /// Queues bytes on all connections of the same handler, or on all but this one. Returns how many took them; one whose
    /// output is over its bound is left out.
    pub fn broadcast(&mut self, bytes: &[u8], to_self: bool) -> usize {
        self.core.topics.flush(self.core);
        let mut taken = 0;
        for id in self.peers() {
            if (to_self || id != self.id) && self.core.conns.send(self.core, id, bytes).is_ok() {
                taken += 1;
            }
        }
        taken
    }
}

/// Calls `f` with a connection of the worker on whose thread the caller is. `None` when it is gone, or when its handler's
/// workspace is not a `W`.
///
/// # Panics
/// Off a worker's thread.
#[inline]
pub fn with_conn<W: Copy + Default + 'static, R>(
    id: ConnId,
    f: impl FnOnce(&mut Conn<'_, W>) -> R,
) -> Option<R> {
    crate::core::with(|core| {
        let service = {
            let slots = core.conns.slots.borrow();
            slots.get(id).filter(|slot| is_open(slot))?.service
        };
        let known = core.conns.services.borrow().get(usize::from(service))?.workspace;
        (known == TypeId::of::<W>()).then(|| f(&mut Conn::new(core, id, service)))
    })
}

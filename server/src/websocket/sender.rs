//! [`Sender`]: a way to a socket from fibers and other threads.

use super::sockets::Sockets;
use super::{Message, MessageBuf};
use crate::gate::{GATE_BYTES_MAX, Gate};
use std::fmt;
use std::sync::Arc;
use sws_runtime::{ConnId, Handle, Overflow, SendError, find_local};

/// Sends to a socket from anywhere: other callbacks, fibers, other threads. Cheap to clone. Messages of one thread arrive in their
/// order.
///
/// ```
/// use sws::websocket::{Message, Socket, WebSocketUpgrade};
/// use sws::{Response, Router};
///
/// fn count(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_message(|socket: &mut Socket<'_>, _message: Message<'_>| {
///         let sender = socket.sender();
///         std::thread::spawn(move || {
///             for number in 0..10 {
///                 if sender.send(&number.to_string()).is_err() {
///                     return;
///                 }
///             }
///         });
///     })
/// }
///
/// let router = Router::new().get("/count", count);
/// # let _ = router;
/// ```
#[derive(Clone)]
pub struct Sender {
    worker: Handle,
    id: ConnId,
    gate: Arc<Gate>,
}

impl Sender {
    pub(super) fn new(worker: Handle, id: ConnId, gate: Arc<Gate>) -> Sender {
        Sender { worker, id, gate }
    }

    /// Names the socket.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// Whether the socket has ended.
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// Sends a message. From the socket's own thread it is queued at once; from another it is copied and handed over. What was
    /// taken here and is within the socket's bounds is sent, unless the connection breaks.
    ///
    /// # Errors
    /// [`SendError::Full`] when too much waits for the socket, or on its way there; [`SendError::Closed`] when it has ended.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        if let Some(sockets) = self.local() {
            return sockets.with(self.id, |socket| socket.send(message)).unwrap_or(Err(SendError::Closed));
        }
        let len = message.len();
        self.gate.acquire(len)?;
        let (gate, id, message) = (Arc::clone(&self.gate), self.id, message.to_buf());
        let handed = self.worker.invoke(move || {
            gate.release(message.len());
            if let Some(sockets) = find_local::<Sockets>() {
                sockets.with(id, |socket| deliver(socket, &gate, &message));
            }
        });
        handed.map_err(|error| self.gate.refused(len, error))
    }

    /// Calls `f` with the socket, if it is one of this thread and not gone.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut super::Socket<'_>) -> R) -> Option<R> {
        self.local()?.with(self.id, f)
    }

    /// Begins the closing handshake, as [`Socket::close`](super::Socket::close).
    pub fn close(&self, code: u16, reason: &str) {
        if let Some(sockets) = self.local() {
            sockets.with(self.id, |socket| socket.close(code, reason));
            return;
        }
        let (id, reason) = (self.id, reason.to_owned());
        // A worker that has ended has no socket to close.
        let _ = self.worker.invoke_reserved(move || {
            if let Some(sockets) = find_local::<Sockets>() {
                sockets.with(id, |socket| socket.close(code, &reason));
            }
        });
    }

    /// The sockets of this thread, if this one is among them.
    fn local(&self) -> Option<std::rc::Rc<Sockets>> {
        find_local::<Sockets>().filter(|sockets| sockets.gates.owns(&self.gate))
    }
}

/// Queues a message that was taken in already: where the socket would refuse it, it is let in once more, up to the bound of
/// what may be on its way.
fn deliver(socket: &mut super::Socket<'_>, gate: &Gate, message: &MessageBuf) {
    let Some(options) = socket.options() else { return };
    if options.overflow == Overflow::Refuse {
        let bytes_max = options.output_bytes_max;
        socket
            .conn()
            .set_overflow(bytes_max.saturating_add(GATE_BYTES_MAX + message.len()), Overflow::Refuse);
        // A socket that has ended meanwhile has lost everything that waited.
        let _ = socket.send(message);
        if !socket.is_closing() {
            socket.conn().set_overflow(bytes_max, Overflow::Refuse);
        }
        if socket.pending_bytes() > bytes_max {
            gate.set_full(true);
            socket.notify_drain();
        }
    } else {
        // The policy decides, and its counters tell.
        let _ = socket.send(message);
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("id", &self.id).field("closed", &self.is_closed()).finish()
    }
}

//! [`Socket`]: what a callback can do with its socket.

use super::codec::{Opcode, encode_header};
use super::sender::Sender;
use super::sockets::Sockets;
use super::state::{Flags, SocketConn};
use super::{Message, SocketOptions, codec};
use serde::Serialize;
use std::fmt;
use sws_runtime::{Conn, ConnId, SendError, current_handle};

/// Bytes of a frame's head from a server, at most (RFC 6455, 5.2).
const HEAD_BYTES_MAX: usize = 10;

/// A socket, for the length of a callback.
pub struct Socket<'a> {
    conn: Conn<'a, SocketConn>,
    sockets: &'a Sockets,
}

impl<'a> Socket<'a> {
    pub(super) fn new(conn: Conn<'a, SocketConn>, sockets: &'a Sockets) -> Socket<'a> {
        Socket { conn, sockets }
    }

    /// Names the socket for as long as it lives: an id of a closed one finds nothing.
    pub fn id(&self) -> ConnId {
        self.conn.id()
    }

    /// Queues a message. All that is queued in a turn of the loop leaves in one send.
    ///
    /// # Errors
    /// [`SendError::Full`] when more than [`SocketOptions::output_bytes_max`](super::SocketOptions::output_bytes_max) would wait and the
    /// socket's [`Overflow`](crate::runtime::Overflow) refuses the message; `on_drain` tells when to go on. With `Overflow::Close` the
    /// socket is then closed with 1013. [`SendError::Closed`] when the socket is closing.
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        let opcode = if message.is_text() { Opcode::Text } else { Opcode::Binary };
        let flags = self.conn.update(|state| state.flags);
        if flags.has(Flags::ENDING) {
            return Err(SendError::Closed);
        }
        if flags.has(Flags::DEFLATE)
            && let Some(sent) = self.sockets.send_deflated(&mut self.conn, opcode, message.as_bytes())
        {
            return self.note(sent);
        }
        let sent = write_frame(&mut self.conn, false, opcode, message.as_bytes());
        self.note(sent)
    }

    /// Sends the JSON of a value as a text.
    ///
    /// # Errors
    /// As [`send`](Socket::send); [`SendError::Closed`] also for a value that has no JSON form, after which the socket is closed with
    /// 1011: a mistake of the program.
    pub fn send_json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SendError> {
        match serde_json::to_string(value) {
            Ok(text) => self.send(&text),
            Err(_) => {
                self.close(codec::close::INTERNAL_ERROR, "");
                Err(SendError::Closed)
            }
        }
    }

    /// Remembers that the handler is to be told when there is room again.
    fn note(&mut self, sent: Result<(), SendError>) -> Result<(), SendError> {
        if sent.is_err() {
            self.conn.update(|state| state.flags.set(Flags::PRESSED));
        }
        sent
    }

    /// Has `on_drain` called when all that waits is sent.
    pub fn notify_drain(&mut self) {
        self.conn.update(|state| state.flags.set(Flags::PRESSED));
    }

    /// Queues a ping with at most 125 bytes; more are cut off. The peer answers with a pong, which nobody is told of.
    ///
    /// # Errors
    /// As [`send`](Socket::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        if self.conn.update(|state| state.flags).has(Flags::ENDING) {
            return Err(SendError::Closed);
        }
        let payload = &payload[..payload.len().min(codec::frame::CONTROL_BYTES_MAX)];
        write_frame(&mut self.conn, false, Opcode::Ping, payload)
    }

    /// Begins the closing handshake: a close frame goes out behind what is queued, and nothing can be sent after it; the socket's
    /// subscriptions end. A code that must not be sent (RFC 6455, 7.4) becomes 1011; a reason is cut to 123 bytes. A second call does
    /// nothing.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.sockets.begin_close(&mut self.conn, code, reason);
    }

    /// Ends the connection at once, without a close frame.
    pub fn abort(&mut self) {
        self.conn.abort();
    }

    /// Whether a close was begun by either side.
    pub fn is_closing(&self) -> bool {
        self.conn.workspace().flags.has(Flags::ENDING) || self.conn.is_closing()
    }

    /// Bytes that wait to be sent.
    pub fn pending_bytes(&self) -> usize {
        self.conn.pending_output()
    }

    /// Takes no messages until [`resume`](Socket::resume): the peer is held back.
    pub fn pause(&mut self) {
        self.conn.update(|state| state.flags.set(Flags::PAUSED));
    }

    /// Takes messages again.
    pub fn resume(&mut self) {
        let paused = self.conn.update(|state| {
            let paused = state.flags.has(Flags::PAUSED);
            state.flags.clear(Flags::PAUSED);
            paused
        });
        if paused {
            self.sockets.resume(&mut self.conn);
        }
    }

    /// A way to this socket for fibers and other threads.
    pub fn sender(&mut self) -> Sender {
        let id = self.conn.id();
        let gated = self.conn.update(|state| {
            let gated = state.flags.has(Flags::GATED);
            state.flags.set(Flags::GATED);
            gated
        });
        let gate = if self.is_closing() && !gated {
            self.sockets.gates.closed()
        } else {
            self.sockets.gates.open(id)
        };
        Sender::new(current_handle(), id, gate)
    }

    /// Whether a message of `len` bytes fits now, without anything being refused, dropped or closed.
    pub(super) fn has_room(&self, len: usize) -> bool {
        let pending = self.conn.pending_output();
        let bytes_max = self.options().map_or(0, |options| options.output_bytes_max);
        self.is_closing() || pending == 0 || pending + len + HEAD_BYTES_MAX <= bytes_max
    }

    /// The socket's options.
    pub(super) fn options(&self) -> Option<SocketOptions> {
        let route = self.sockets.route(self.conn.workspace().route)?;
        Some(route.options().clone())
    }

    pub(super) fn sockets(&self) -> &'a Sockets {
        self.sockets
    }

    pub(super) fn conn_ref(&self) -> &Conn<'a, SocketConn> {
        &self.conn
    }

    pub(super) fn conn(&mut self) -> &mut Conn<'a, SocketConn> {
        &mut self.conn
    }
}

impl fmt::Debug for Socket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.id())
            .field("pending_bytes", &self.pending_bytes())
            .finish()
    }
}

/// Queues a whole frame.
pub(super) fn write_frame(
    conn: &mut Conn<'_, SocketConn>,
    compressed: bool,
    opcode: Opcode,
    payload: &[u8],
) -> Result<(), SendError> {
    conn.write_message(HEAD_BYTES_MAX + payload.len(), |out| {
        encode_header(out, true, compressed, opcode, payload.len() as u64);
        out.extend_from_slice(payload);
    })
}

//! Topics as sockets see them: a publication becomes one frame, encoded (and compressed) once for all who get it.

use super::Socket;
use super::codec::{Opcode, check_text, encode_frame};
use super::sockets::Sockets;
use super::state::Flags;
use std::sync::Arc;
use sws_runtime::{Encoding, PayloadKind, Publication, PublishError, Replay, SubscribeError, topics};

/// The encodings of sockets.
#[derive(Clone, Copy)]
pub(super) struct Encodings {
    pub(super) plain: Encoding,
    /// For sockets that agreed on compression without contexts, and with the largest window.
    pub(super) deflated: Encoding,
    /// Both for records of a log.
    pub(super) records: Encoding,
    pub(super) records_deflated: Encoding,
}

/// A text that is none would break the sockets that it is sent to: it goes as bytes.
pub(super) fn opcode_of(publication: &Publication) -> Opcode {
    match publication.kind {
        PayloadKind::Text if check_text(&publication.payload).is_ok() => Opcode::Text,
        PayloadKind::Text | PayloadKind::Binary => Opcode::Binary,
    }
}

/// Appends a publication as a frame.
pub(super) fn encode_plain(publication: &Publication, out: &mut Vec<u8>) {
    encode_frame(out, true, false, opcode_of(publication), &publication.payload);
}

/// Topics: what is published to one reaches all its subscribers, on all workers, sockets and others alike. A socket's
/// subscriptions end with it.
impl Socket<'_> {
    /// Subscribes to a topic. What the topic keeps is sent first. See
    /// [`Conn::subscribe`](crate::runtime::Conn::subscribe).
    ///
    /// ```
    /// use sws::websocket::{Message, Socket, SocketHandler, WebSocketUpgrade};
    /// use sws::{Path, Response, Router};
    ///
    /// struct Guest {
    ///     room: String,
    /// }
    ///
    /// impl SocketHandler for Guest {
    ///     fn on_open(&mut self, socket: &mut Socket<'_>) {
    ///         if socket.subscribe(&self.room).is_err() {
    ///             socket.close(1013, "too many rooms");
    ///         }
    ///     }
    ///
    ///     fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
    ///         let _ = socket.publish(&self.room, message);
    ///     }
    /// }
    ///
    /// let router = Router::new().get("/rooms/{room}", |Path(room): Path<String>, upgrade: WebSocketUpgrade| {
    ///     upgrade.accept(Guest { room })
    /// });
    /// # let _ = router;
    /// ```
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe(&mut self, topic: &str) -> Result<(), SubscribeError> {
        let encoding = self.encoding()?;
        self.conn().subscribe(topic, encoding)
    }

    /// Subscribes to all topics whose name begins with `prefix`; see [`Conn::subscribe_prefix`](crate::runtime::Conn::subscribe_prefix).
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe_prefix(&mut self, prefix: &str) -> Result<(), SubscribeError> {
        let encoding = self.encoding()?;
        self.conn().subscribe_prefix(prefix, encoding)
    }

    /// As [`subscribe`](Socket::subscribe), for a client that has what was published up to this number. See
    /// [`Conn::subscribe_since`](crate::runtime::Conn::subscribe_since).
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe_since(&mut self, topic: &str, sequence: u64) -> Result<Replay, SubscribeError> {
        let encoding = self.encoding()?;
        self.conn().subscribe_since(topic, encoding, sequence)
    }

    /// As [`subscribe`](Socket::subscribe), as one of the connections of a member of a topic with presence. See
    /// [`Conn::join`](crate::runtime::Conn::join).
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn join(&mut self, topic: &str, member: &str) -> Result<(), SubscribeError> {
        let encoding = self.encoding()?;
        self.conn().join(topic, member, encoding)
    }

    /// As [`join`](Socket::join), for a client that has what was published up to this number, as by
    /// [`subscribe_since`](Socket::subscribe_since).
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn join_since(&mut self, topic: &str, member: &str, sequence: u64) -> Result<Replay, SubscribeError> {
        let encoding = self.encoding()?;
        self.conn().join_since(topic, member, encoding, sequence)
    }

    /// Ends a subscription; what was published before is still delivered. False if there is none.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.conn().unsubscribe(topic)
    }

    /// Whether the socket subscribes to this topic, or this pattern.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.conn_ref().is_subscribed(topic)
    }

    /// The topics and patterns that the socket subscribes to, in no order.
    pub fn subscriptions(&self) -> Vec<Arc<str>> {
        self.conn_ref().subscriptions()
    }

    /// Publishes to all subscribers of a topic, this socket too if it is one. See [`Topics::publish`](crate::Topics::publish).
    ///
    /// # Errors
    /// [`PublishError`]: then nobody gets it.
    pub fn publish(&mut self, topic: &str, message: impl Into<Publication>) -> Result<(), PublishError> {
        topics().publish(topic, message)
    }

    /// Publishes to all subscribers of a topic but this socket.
    ///
    /// # Errors
    /// [`PublishError`]: then nobody gets it.
    pub fn publish_to_others(
        &mut self,
        topic: &str,
        message: impl Into<Publication>,
    ) -> Result<(), PublishError> {
        self.conn().publish_to_others(topic, message)
    }

    /// How publications become frames of this socket. A socket that has ended subscribes to nothing.
    fn encoding(&mut self) -> Result<Encoding, SubscribeError> {
        let flags = self.conn().update(|state| state.flags);
        let encodings = self.sockets().encodings().filter(|_| !flags.has(Flags::ENDING));
        let Encodings { plain, deflated, .. } = encodings.ok_or(SubscribeError::Closed)?;
        Ok(if flags.has(Flags::SHARED_DEFLATE) { deflated } else { plain })
    }
}

impl Sockets {
    /// Appends a publication as a frame, compressed if that makes it shorter.
    pub(super) fn encode_deflated(&self, publication: &Publication, out: &mut Vec<u8>) {
        self.encode_shared(opcode_of(publication), &publication.payload, out);
    }

    /// Appends a message as a frame, compressed if that makes it shorter.
    pub(super) fn encode_shared(&self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        let compressed = self.compress_shared(payload, |compressed| {
            encode_frame(out, true, true, opcode, compressed);
        });
        if !compressed {
            encode_frame(out, true, false, opcode, payload);
        }
    }
}

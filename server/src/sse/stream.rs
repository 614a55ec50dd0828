//! [`EventStream`]: what a handler does with its stream.

use super::Event;
use super::sender::EventSender;
use super::service::StreamConn;
use super::streams::Streams;
use std::fmt;
use sws_runtime::{Conn, ConnId, Encoding, SendError, SubscribeError, current_handle};

/// A stream, for the length of a callback. To send later, take a [`sender`](EventStream::sender), or subscribe to a topic.
///
/// ```
/// use std::io::{Read, Write};
/// use sws::sse::{Event, EventStream, Sse};
/// use sws::{Router, Server};
///
/// let countdown = |sse: Sse| {
///     sse.open(|stream: &mut EventStream<'_>| {
///         for number in (1..=3).rev() {
///             let _ = stream.send(Event::data(number.to_string()));
///         }
///         stream.close();
///     })
/// };
/// let running = Server::bind("127.0.0.1:0")?.spawn(move || Router::new().get("/", countdown))?;
///
/// let mut client = std::net::TcpStream::connect(running.addr()).unwrap();
/// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).unwrap();
/// assert!(answer.ends_with("\r\n\r\ndata: 3\n\ndata: 2\n\ndata: 1\n\n"));
/// running.shutdown();
/// # Ok::<(), sws::ServeError>(())
/// ```
pub struct EventStream<'a> {
    conn: Conn<'a, StreamConn>,
    streams: &'a Streams,
}

impl<'a> EventStream<'a> {
    pub(super) fn new(conn: Conn<'a, StreamConn>, streams: &'a Streams) -> EventStream<'a> {
        EventStream { conn, streams }
    }

    /// Names the stream for as long as it lives: an id of a closed one finds nothing.
    pub fn id(&self) -> ConnId {
        self.conn.id()
    }

    /// Queues an event. All that is queued in a turn of the loop leaves in one send.
    ///
    /// # Errors
    /// [`SendError::Full`] when more than [`SseOptions::output_bytes_max`](super::SseOptions::output_bytes_max) would wait and the stream's
    /// [`Overflow`](crate::runtime::Overflow) refuses the event; with `Overflow::Close` the stream is then closed.
    /// [`SendError::Closed`] when it is closing, and [`SendError::NoBuffer`] when all pooled buffers are in use.
    pub fn send<'m>(&mut self, event: impl Into<Event<'m>>) -> Result<(), SendError> {
        let event = event.into();
        self.conn.write_message(event.encoded_len(), |out| event.encode(out))
    }

    /// Ends the stream when what is queued is sent. The client comes again, unless its page stops it.
    pub fn close(&mut self) {
        self.streams.close(&mut self.conn);
    }

    /// Whether the stream ends.
    pub fn is_closing(&self) -> bool {
        self.conn.is_closing()
    }

    /// Bytes that wait to be sent.
    pub fn pending_bytes(&self) -> usize {
        self.conn.pending_output()
    }

    /// A way to this stream for later, from fibers and from other threads.
    pub fn sender(&mut self) -> EventSender {
        let gate = match self.conn.is_closing() {
            true => self.streams.gates.closed(),
            false => self.streams.gate(&mut self.conn),
        };
        EventSender::new(current_handle(), self.id(), gate)
    }

    pub(super) fn encoding(&self) -> Result<Encoding, SubscribeError> {
        self.streams.encoding().ok_or(SubscribeError::Encoding)
    }

    pub(super) fn streams(&self) -> &Streams {
        self.streams
    }

    pub(super) fn conn(&mut self) -> &mut Conn<'a, StreamConn> {
        &mut self.conn
    }
}

impl fmt::Debug for EventStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("id", &self.id())
            .field("pending_bytes", &self.pending_bytes())
            .finish()
    }
}

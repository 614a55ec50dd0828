//! [`EventSender`]: a way to a stream from fibers and other threads.

use super::streams::Streams;
use super::{Event, EventStream};
use crate::gate::{GATE_BYTES_MAX, Gate};
use bytes::Bytes;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use sws_runtime::{ConnId, Handle, Overflow, SendError, find_local};

/// Sends to a stream from anywhere: other callbacks, fibers, other threads. Cheap to clone. Events of one thread arrive in their order.
///
/// ```
/// use sws::Response;
/// use sws::sse::{Event, Sse};
///
/// fn count(sse: Sse) -> Response {
///     sse.open(|stream| {
///         let sender = stream.sender();
///         std::thread::spawn(move || {
///             for number in 0..10 {
///                 if sender.send(Event::data(number.to_string())).is_err() {
///                     return;
///                 }
///             }
///             sender.close();
///         });
///     })
/// }
/// # let _ = sws::Router::new().get("/count", count);
/// ```
#[derive(Clone)]
pub struct EventSender {
    worker: Handle,
    id: ConnId,
    gate: Arc<Gate>,
}

impl EventSender {
    pub(super) fn new(worker: Handle, id: ConnId, gate: Arc<Gate>) -> EventSender {
        EventSender { worker, id, gate }
    }

    /// Names the stream.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// Whether the stream has ended, or is about to.
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// Sends an event. From the stream's own thread it is queued at once; from another it is handed over. What was taken here and is within
    /// the stream's bounds is sent, unless the connection breaks.
    ///
    /// # Errors
    /// [`SendError::Full`] when too much waits for the stream, or on its way there; [`SendError::Closed`] when it has ended; otherwise as
    /// [`EventStream::send`].
    pub fn send<'m>(&self, event: impl Into<Event<'m>>) -> Result<(), SendError> {
        let event = event.into();
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        if let Some(streams) = self.local() {
            return streams.with(self.id, |stream| stream.send(event)).unwrap_or(Err(SendError::Closed));
        }
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        let (len, bytes) = (bytes.len(), Bytes::from(bytes));
        self.gate.acquire(len)?;
        let (gate, id) = (Arc::clone(&self.gate), self.id);
        let handed = self.worker.invoke(move || {
            gate.release(len);
            if let Some(streams) = find_local::<Streams>() {
                streams.with(id, |stream| deliver(stream, &gate, &bytes));
            }
        });
        handed.map_err(|error| self.gate.refused(len, error))
    }

    /// Ends the stream when what was sent before is sent, as [`EventStream::close`].
    pub fn close(&self) {
        if let Some(streams) = self.local() {
            streams.with(self.id, |stream| stream.close());
            return;
        }
        if self.is_closed() {
            return;
        }
        let id = self.id;
        // A worker that has ended has no stream to close.
        let _ = self.worker.invoke_reserved(move || {
            if let Some(streams) = find_local::<Streams>() {
                streams.with(id, |stream| stream.close());
            }
        });
    }

    /// The streams of this thread, if this one is among them.
    fn local(&self) -> Option<Rc<Streams>> {
        find_local::<Streams>().filter(|streams| streams.gates.owns(&self.gate))
    }
}

/// Queues an event that was taken in already: where the stream would refuse it, it is let in once more, up to the bound of what may be
/// on its way.
fn deliver(stream: &mut EventStream<'_>, gate: &Gate, event: &Bytes) {
    let state = stream.conn().workspace();
    if !state.refuses {
        // The policy decides, and the counters of the runtime tell.
        let _ = stream.conn().push_message(event, 0);
        return;
    }
    let bytes_max = state.output_bytes_max as usize;
    let once = bytes_max.saturating_add(GATE_BYTES_MAX + event.len());
    stream.conn().set_overflow(once, Overflow::Refuse);
    // A stream that has ended meanwhile has lost everything that waited.
    let _ = stream.conn().push_message(event, 0);
    stream.conn().set_overflow(bytes_max, Overflow::Refuse);
    if stream.pending_bytes() > bytes_max {
        stream.conn().update(|state| state.full = true);
        gate.set_full(true);
    }
}

impl fmt::Debug for EventSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSender").field("id", &self.id).field("closed", &self.is_closed()).finish()
    }
}

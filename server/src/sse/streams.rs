//! All streams of a worker, and what they share.

use super::follow::{RecordEncodings, encode_record_json, encode_record_payload};
use super::service::{StreamConn, StreamService};
use super::topic::encode_publication;
use super::{Event, EventStream, SseOptions};
use crate::gate::{Gate, Gates};
use crate::panic::drop_quietly;
use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use sws_runtime::{
    Conn, ConnId, Encoding, HandlerId, Overflow, Runtime, with_conn, without_waits, worker_local,
};

/// What the streams of a worker share.
pub(crate) struct Streams {
    handler: OnceCell<HandlerId<StreamConn>>,
    encoding: OnceCell<Encoding>,
    record_encodings: OnceCell<RecordEncodings>,
    /// Of the streams that can be reached from elsewhere.
    pub(super) gates: Gates,
}

/// A callback has panicked.
#[derive(Debug)]
pub(super) struct Panicked;

impl Streams {
    /// Lets connections of this worker become streams.
    pub(crate) fn install(runtime: &Runtime) {
        let streams = runtime.enter(|| worker_local(Streams::new));
        if streams.handler.get().is_none() {
            let handler = runtime.add_handler(StreamService::new(Rc::clone(&streams)));
            // Set once: nothing ran in between.
            let _ = streams.handler.set(handler);
            let _ = streams.encoding.set(runtime.add_encoding(encode_publication));
            let _ = streams.record_encodings.set(RecordEncodings {
                payload: runtime.add_encoding(encode_record_payload),
                json: runtime.add_encoding(encode_record_json),
            });
        }
    }

    fn new() -> Streams {
        Streams {
            handler: OnceCell::new(),
            encoding: OnceCell::new(),
            record_encodings: OnceCell::new(),
            gates: Gates::new(),
        }
    }

    /// What makes a connection a stream.
    pub(super) fn handler(&self) -> Option<HandlerId<StreamConn>> {
        self.handler.get().copied()
    }

    /// How publications become events.
    pub(super) fn encoding(&self) -> Option<Encoding> {
        self.encoding.get().copied()
    }

    /// How records of a log become events.
    pub(super) fn record_encodings(&self) -> Option<RecordEncodings> {
        self.record_encodings.get().copied()
    }

    /// Calls `f` with a stream of this worker, unless it is gone.
    pub(super) fn with<R>(&self, id: ConnId, f: impl FnOnce(&mut EventStream<'_>) -> R) -> Option<R> {
        with_conn::<StreamConn, _>(id, |conn| f(&mut EventStream::new(conn.reborrow(), self)))
    }

    /// A connection has become a stream.
    pub(super) fn open(
        &self,
        id: ConnId,
        options: &SseOptions,
        f: impl FnOnce(&mut EventStream<'_>),
    ) -> Result<(), Panicked> {
        let opened = with_conn::<StreamConn, _>(id, |conn| {
            let (bytes_max, interval) = conn.update(|state| (state.output_bytes_max, state.look_interval()));
            conn.set_overflow(bytes_max as usize, options.overflow);
            if matches!(options.overflow, Overflow::DropOldest | Overflow::KeepLatest) {
                conn.limit_unsent();
            }
            conn.set_deadline(Some(interval));
            let mut stream = EventStream::new(conn.reborrow(), self);
            if let Some(after) = options.retry {
                // One whose bound is smaller than this has no use for it.
                let _ = stream.send(Event::default().retry(after));
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| without_waits(|| f(&mut stream))));
            outcome.map_err(|payload| {
                drop_quietly(payload);
                self.close_gate(conn);
                conn.reset();
                Panicked
            })
        });
        opened.unwrap_or(Ok(()))
    }

    /// Sends what is queued, then ends the stream.
    pub(super) fn close(&self, conn: &mut Conn<'_, StreamConn>) {
        self.close_gate(conn);
        conn.close();
    }

    /// Those who send from elsewhere are told of the end.
    pub(super) fn close_gate(&self, conn: &mut Conn<'_, StreamConn>) {
        if conn.update(|state| std::mem::take(&mut state.gated)) {
            self.gates.close(conn.id());
        }
    }

    /// The gate of a stream that is open.
    pub(super) fn gate(&self, conn: &mut Conn<'_, StreamConn>) -> Arc<Gate> {
        conn.update(|state| state.gated = true);
        self.gates.open(conn.id())
    }
}

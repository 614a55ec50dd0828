//! All sockets of a worker: their kinds, and what they share.

use super::codec::encode_close;
use super::compress::Compression;
use super::follow::encode_record;
use super::handler::SocketHandler;
use super::options::{
    PARTIAL_BYTES_MAX, PARTIAL_BYTES_RESERVE, PARTIAL_BYTES_SMALL, ROUTES_MAX, SCRATCH_BYTES_KEPT,
};
use super::route::{Kind, Route};
use super::service::SocketService;
use super::state::{Flags, NONE, SocketConn};
use super::stats::SocketStats;
use super::topic::{Encodings, encode_plain};
use super::{Close, Socket, SocketOptions};
use crate::gate::Gates;
use crate::panic::drop_quietly;
use std::any::{Any, TypeId};
use std::cell::{Cell, OnceCell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;
use sws_runtime::{Conn, ConnId, HandlerId, Runtime, release_spare, with_conn, without_waits, worker_local};

/// A kind of sockets, with and without its handler's type.
struct RouteEntry {
    route: Rc<dyn Route>,
    kind: Rc<dyn Any>,
}

/// What the sockets of a worker share.
pub(crate) struct Sockets {
    handler: OnceCell<HandlerId<SocketConn>>,
    encodings: OnceCell<Encodings>,
    routes: RefCell<Vec<RouteEntry>>,
    /// Messages that came in part.
    partials: RefCell<Partials>,
    pub(super) gates: Gates,
    pub(super) compression: Compression,
    pub(super) panics: Cell<u64>,
    /// The socket whose callback runs.
    pub(super) calling: Cell<Option<ConnId>>,
}

#[derive(Default)]
struct Partials {
    messages: Vec<Vec<u8>>,
    free: Vec<u32>,
    bytes: usize,
}

/// There are as many kinds of sockets as may be.
#[derive(Debug)]
pub(super) struct TooManyKinds;

impl Sockets {
    /// Lets connections of this worker become sockets.
    pub(crate) fn install(runtime: &Runtime) {
        let sockets = runtime.enter(|| worker_local(Sockets::new));
        if sockets.handler.get().is_none() {
            let handler = runtime.add_handler(SocketService::new(Rc::clone(&sockets)));
            let (shared, followers) = (Rc::clone(&sockets), Rc::clone(&sockets));
            let encodings = Encodings {
                plain: runtime.add_encoding(encode_plain),
                deflated: runtime
                    .add_encoding(move |publication, out| shared.encode_deflated(publication, out)),
                records: runtime.add_encoding(encode_record),
                records_deflated: runtime
                    .add_encoding(move |publication, out| followers.encode_record_deflated(publication, out)),
            };
            // Set once: nothing ran in between.
            let _ = (sockets.handler.set(handler), sockets.encodings.set(encodings));
        }
    }

    fn new() -> Sockets {
        Sockets {
            handler: OnceCell::new(),
            encodings: OnceCell::new(),
            routes: RefCell::new(Vec::new()),
            partials: RefCell::new(Partials::default()),
            gates: Gates::new(),
            compression: Compression::default(),
            panics: Cell::new(0),
            calling: Cell::new(None),
        }
    }

    pub(super) fn stats(&self) -> SocketStats {
        let partials = self.partials.borrow();
        let (contexts, context_bytes) = self.compression.contexts();
        SocketStats {
            sockets: self.routes.borrow().iter().map(|entry| entry.route.len()).sum(),
            partial_messages: partials.messages.len() - partials.free.len(),
            partial_bytes: partials.bytes,
            contexts,
            context_bytes,
            senders: self.gates.len(),
            panics: self.panics.get(),
        }
    }

    /// What makes a connection a socket.
    pub(super) fn handler(&self) -> Option<HandlerId<SocketConn>> {
        self.handler.get().copied()
    }

    /// How publications become frames.
    pub(super) fn encodings(&self) -> Option<Encodings> {
        self.encodings.get().copied()
    }

    /// The kind of sockets with this handler and these options, and its number.
    pub(super) fn kind<H: SocketHandler>(
        &self,
        options: &SocketOptions,
    ) -> Result<(u16, Rc<Kind<H>>), TooManyKinds> {
        let mut routes = self.routes.borrow_mut();
        let same = |entry: &RouteEntry| {
            entry.route.handler_type() == TypeId::of::<H>() && entry.route.options() == options
        };
        let number = match routes.iter().position(same) {
            Some(number) => number,
            // One that nobody uses any more makes room.
            None => match routes.iter().position(RouteEntry::is_unused) {
                _ if routes.len() < ROUTES_MAX => {
                    routes.push(RouteEntry::new::<H>(options.clone()));
                    routes.len() - 1
                }
                Some(unused) => {
                    routes[unused] = RouteEntry::new::<H>(options.clone());
                    unused
                }
                None => return Err(TooManyKinds),
            },
        };
        let kind = Rc::clone(&routes[number].kind).downcast().map_err(|_| TooManyKinds)?;
        Ok((number as u16, kind))
    }

    pub(super) fn route(&self, number: u16) -> Option<Rc<dyn Route>> {
        self.routes.borrow().get(usize::from(number)).map(|entry| Rc::clone(&entry.route))
    }

    /// Calls `f` with a socket of this worker, unless it is gone.
    pub(super) fn with<R>(&self, id: ConnId, f: impl FnOnce(&mut Socket<'_>) -> R) -> Option<R> {
        with_conn::<SocketConn, _>(id, |conn| f(&mut Socket::new(conn.reborrow(), self)))
    }

    /// Calls one of the handler's callbacks. One that panics closes its socket.
    pub(super) fn call(
        &self,
        conn: &mut Conn<'_, SocketConn>,
        f: impl FnOnce(&dyn Route, u32, &mut Socket<'_>),
    ) {
        let (number, entry) = conn.update(|state| (state.route, state.entry));
        let Some(route) = self.route(number) else { return };
        let outer = self.calling.replace(Some(conn.id()));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            without_waits(|| f(&*route, entry, &mut Socket::new(conn.reborrow(), self)));
        }));
        self.calling.set(outer);
        if let Err(payload) = outcome {
            self.panics.set(self.panics.get() + 1);
            drop_quietly(payload);
            self.fail(conn, super::codec::close::INTERNAL_ERROR, "");
        }
    }

    /// Queues a close frame, as the last of all; once.
    pub(super) fn send_close(
        &self,
        conn: &mut Conn<'_, SocketConn>,
        code: Option<u16>,
        reason: &str,
    ) -> bool {
        let first = conn.update(|state| {
            let first = !state.flags.has(Flags::CLOSE_SENT);
            state.flags.set(Flags::CLOSE_SENT);
            state.close_code = code.unwrap_or(super::codec::close::NO_STATUS);
            first
        });
        if !first {
            return false;
        }
        // It goes out whatever waits before it.
        conn.set_overflow(usize::MAX, sws_runtime::Overflow::Refuse);
        if conn.write_message(128, |out| encode_close(out, code, reason)).is_err() {
            conn.abort();
        }
        true
    }

    /// Ends a socket from our side: the close frame is queued, and nothing more is read.
    pub(super) fn fail(&self, conn: &mut Conn<'_, SocketConn>, code: u16, reason: &str) {
        self.send_close(conn, Some(code), reason);
        self.end(conn);
        let close = Close { code, reason: reason.to_owned(), clean: false };
        self.tell_close(conn, &close);
    }

    /// Nothing more is read: what is queued is sent, then our side is ended.
    pub(super) fn end(&self, conn: &mut Conn<'_, SocketConn>) {
        let (route, over) = conn.update(|state| {
            let over = state.flags.has(Flags::OVER);
            state.flags.set(Flags::OVER);
            (state.route, over)
        });
        if !over {
            self.drop_partial(conn);
            let timeout = self.route(route).map(|route| route.options().close_timeout);
            conn.set_deadline(Some(timeout.unwrap_or(Duration::from_secs(5))));
            conn.close_lingering();
        }
    }

    /// Tells the handler of the end, once.
    pub(super) fn tell_close(&self, conn: &mut Conn<'_, SocketConn>, close: &Close) {
        let told = conn.update(|state| {
            let told = state.flags.has(Flags::TOLD);
            state.flags.set(Flags::TOLD);
            told
        });
        if !told {
            self.close_gate(conn);
            self.call(conn, |route, entry, socket| route.on_close(entry, socket, close));
        }
    }

    pub(super) fn close_gate(&self, conn: &mut Conn<'_, SocketConn>) {
        if conn.update(|state| state.flags.has(Flags::GATED)) {
            self.gates.close(conn.id());
        }
    }

    /// The memory for a message: that of the part which came before, or `scratch`.
    pub(super) fn take_partial(&self, partial: u32, scratch: &mut Vec<u8>) -> Vec<u8> {
        if partial == NONE {
            return std::mem::take(scratch);
        }
        let mut partials = self.partials.borrow_mut();
        let message = std::mem::take(&mut partials.messages[partial as usize]);
        partials.bytes -= message.len();
        partials.free.push(partial);
        message
    }

    /// Keeps the part of a message that has come. `None` when all sockets together keep too much.
    pub(super) fn keep_partial(&self, message: Vec<u8>) -> Option<u32> {
        let mut partials = self.partials.borrow_mut();
        let reserve = if message.len() <= PARTIAL_BYTES_SMALL { PARTIAL_BYTES_RESERVE } else { 0 };
        if partials.bytes + message.len() > PARTIAL_BYTES_MAX + reserve {
            return None;
        }
        partials.bytes += message.len();
        match partials.free.pop() {
            Some(partial) => {
                partials.messages[partial as usize] = message;
                Some(partial)
            }
            None => {
                partials.messages.push(message);
                Some(partials.messages.len() as u32 - 1)
            }
        }
    }

    /// Gives up the part of a message that has come.
    pub(super) fn drop_partial(&self, conn: &mut Conn<'_, SocketConn>) {
        let partial = conn.update(|state| std::mem::replace(&mut state.partial, NONE));
        if partial != NONE {
            release_spare(self.take_partial(partial, &mut Vec::new()));
        }
    }
}

impl RouteEntry {
    fn new<H: SocketHandler>(options: SocketOptions) -> RouteEntry {
        let kind = Rc::new(Kind::<H>::new(options));
        RouteEntry { route: kind.clone(), kind }
    }

    /// Whether no socket is of this kind, nor about to be: the entry has the only two references.
    fn is_unused(&self) -> bool {
        self.route.len() == 0 && Rc::strong_count(&self.kind) == 2
    }
}

/// Keeps memory for the next message: of usual size here, of a large one among the worker's spares.
pub(super) fn keep_scratch(scratch: &mut Vec<u8>, mut message: Vec<u8>) {
    if message.capacity() > SCRATCH_BYTES_KEPT {
        release_spare(message);
    } else if message.capacity() > scratch.capacity() {
        message.clear();
        *scratch = message;
    }
}

//! permessage-deflate over the sockets of a worker: what they share, and the contexts of those that have their own.

use super::codec::{DeflateConfig, Deflater, Inflater, Negotiated, Opcode, ProtocolError};
use super::options::{CONTEXT_BYTES_MAX, INFLATED_BYTES_KEPT, SCRATCH_BYTES_KEPT};
use super::socket::write_frame;
use super::sockets::Sockets;
use super::state::{Flags, NONE, SocketConn};
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem;
use sws_runtime::{Conn, Overflow, SendError};

/// What a message grows by at most when it is compressed, beyond an eighth of it.
const COMPRESSED_EXTRA: usize = 256;

/// The compression of a worker's sockets.
#[derive(Default)]
pub(super) struct Compression(RefCell<Inner>);

#[derive(Default)]
struct Inner {
    /// Without a context, by level and window.
    deflaters: HashMap<(u8, u8), Deflater>,
    inflater: Option<Inflater>,
    /// Memory for what is compressed, and for what is inflated.
    compressed: Vec<u8>,
    inflated: Vec<u8>,
    contexts: Vec<Contexts>,
    free: Vec<u32>,
    context_bytes: usize,
}

/// The contexts of one socket.
#[derive(Default)]
struct Contexts {
    deflater: Option<Deflater>,
    inflater: Option<Inflater>,
    bytes: usize,
}

impl Compression {
    /// How many sockets have contexts, and their bytes.
    pub(super) fn contexts(&self) -> (usize, usize) {
        let inner = self.0.borrow();
        (inner.contexts.len() - inner.free.len(), inner.context_bytes)
    }
}

impl Contexts {
    fn new(level: u8, agreed: &Negotiated) -> Contexts {
        let mut contexts = Contexts::default();
        if !agreed.server_no_context_takeover {
            contexts.deflater = Some(Deflater::new(level, agreed.server_max_window_bits, true));
            contexts.bytes += Deflater::memory_bytes(agreed.server_max_window_bits);
        }
        if !agreed.client_no_context_takeover {
            contexts.inflater = Some(Inflater::new(agreed.client_max_window_bits, true));
            contexts.bytes += Inflater::MEMORY_BYTES;
        }
        contexts
    }
}

impl Inner {
    /// Compresses with the socket's own context, or without any.
    fn compress(&mut self, contexts: u32, level: u8, window_bits: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = mem::take(&mut self.compressed);
        out.clear();
        let own = self.contexts.get_mut(contexts as usize).and_then(|contexts| contexts.deflater.as_mut());
        let deflater = match own {
            Some(own) => own,
            None => self
                .deflaters
                .entry((level, window_bits))
                .or_insert_with(|| Deflater::new(level, window_bits, false)),
        };
        deflater.compress(payload, &mut out);
        out
    }

    /// Keeps memory for the next message: of usual size here, of a large one among the worker's spares.
    fn keep(memory: &mut Vec<u8>, used: Vec<u8>, bytes_max: usize) {
        if used.capacity() <= bytes_max {
            *memory = used;
        }
    }
}

impl Sockets {
    /// What is offered to a client: its own contexts only while there is room for more of them, and never where messages may be dropped
    /// behind the compressor, because those that follow could not be read.
    pub(super) fn deflate_offer(&self, config: &DeflateConfig, overflow: Overflow) -> DeflateConfig {
        let room = self.compression.0.borrow().context_bytes < CONTEXT_BYTES_MAX;
        let whole = matches!(overflow, Overflow::Close | Overflow::Refuse);
        DeflateConfig { context_takeover: config.context_takeover && room && whole, ..*config }
    }

    /// Makes a socket compress as was agreed.
    pub(super) fn agree(&self, state: &mut SocketConn, config: &DeflateConfig, agreed: &Negotiated) {
        state.flags.set(Flags::DEFLATE);
        state.window_bits = agreed.server_max_window_bits;
        let contexts = Contexts::new(config.level, agreed);
        if contexts.deflater.is_none() && agreed.server_max_window_bits == SHARED_WINDOW_BITS {
            state.flags.set(Flags::SHARED_DEFLATE);
        }
        if contexts.bytes > 0 {
            let mut inner = self.compression.0.borrow_mut();
            inner.context_bytes += contexts.bytes;
            state.contexts = match inner.free.pop() {
                Some(number) => {
                    inner.contexts[number as usize] = contexts;
                    number
                }
                None => {
                    inner.contexts.push(contexts);
                    inner.contexts.len() as u32 - 1
                }
            };
        }
    }

    /// Gives up the contexts of a socket.
    pub(super) fn drop_contexts(&self, conn: &mut Conn<'_, SocketConn>) {
        let number = conn.update(|state| mem::replace(&mut state.contexts, NONE));
        if number != NONE {
            let mut inner = self.compression.0.borrow_mut();
            let contexts = mem::take(&mut inner.contexts[number as usize]);
            inner.context_bytes -= contexts.bytes;
            inner.free.push(number);
        }
    }

    /// Sends a message compressed. `None` when it is better sent as it is.
    pub(super) fn send_deflated(
        &self,
        conn: &mut Conn<'_, SocketConn>,
        opcode: Opcode,
        payload: &[u8],
    ) -> Option<Result<(), SendError>> {
        let state = conn.workspace();
        let route = self.route(state.route)?;
        let options = route.options();
        let config = options.deflate?;
        if payload.len() < config.threshold_bytes {
            return None;
        }
        let has_context = self.has_context(state.contexts);
        let pending = conn.pending_output();
        // Asked before, because what went through a context must be sent: the peer's has to follow.
        if has_context
            && options.overflow == Overflow::Refuse
            && pending > 0
            && pending + payload.len() + payload.len() / 8 + COMPRESSED_EXTRA > options.output_bytes_max
        {
            return Some(Err(SendError::Full));
        }
        let compressed = self.compression.0.borrow_mut().compress(
            state.contexts,
            config.level,
            state.window_bits,
            payload,
        );
        let useful = compressed.len() < payload.len() || has_context;
        let sent = useful.then(|| write_frame(conn, true, opcode, &compressed));
        Inner::keep(&mut self.compression.0.borrow_mut().compressed, compressed, SCRATCH_BYTES_KEPT);
        if matches!(sent, Some(Err(SendError::NoBuffer))) && has_context {
            // The peer's context has missed it: nothing that follows could be read.
            conn.abort();
        }
        sent
    }

    /// Calls `f` with what a payload that many sockets get is compressed to. False when it is better sent as it is.
    pub(super) fn compress_shared(&self, payload: &[u8], f: impl FnOnce(&[u8])) -> bool {
        let config = DeflateConfig::default();
        if payload.len() < config.threshold_bytes {
            return false;
        }
        let mut inner = self.compression.0.borrow_mut();
        let compressed = inner.compress(NONE, config.level, SHARED_WINDOW_BITS, payload);
        let useful = compressed.len() < payload.len();
        if useful {
            f(&compressed);
        }
        Inner::keep(&mut inner.compressed, compressed, SCRATCH_BYTES_KEPT);
        useful
    }

    fn has_context(&self, contexts: u32) -> bool {
        let inner = self.compression.0.borrow();
        inner.contexts.get(contexts as usize).is_some_and(|contexts| contexts.deflater.is_some())
    }

    /// Calls `f` with what a compressed message inflates to.
    pub(super) fn with_inflated(
        &self,
        conn: &mut Conn<'_, SocketConn>,
        bytes_max: usize,
        payload: &[u8],
        f: impl FnOnce(&mut Conn<'_, SocketConn>, &[u8]),
    ) -> Result<(), ProtocolError> {
        let number = conn.workspace().contexts;
        let (result, inflated) = {
            let mut inner = self.compression.0.borrow_mut();
            let inner = &mut *inner;
            let mut inflated = mem::take(&mut inner.inflated);
            inflated.clear();
            let own = inner.contexts.get_mut(number as usize).and_then(|own| own.inflater.as_mut());
            let inflater = match own {
                Some(own) => own,
                None => inner.inflater.get_or_insert_with(|| Inflater::new(SHARED_WINDOW_BITS, false)),
            };
            (inflater.decompress(payload, &mut inflated, bytes_max), inflated)
        };
        if result.is_ok() {
            f(conn, &inflated);
        }
        Inner::keep(&mut self.compression.0.borrow_mut().inflated, inflated, INFLATED_BYTES_KEPT);
        result
    }
}

/// The window of what sockets share: the largest.
const SHARED_WINDOW_BITS: u8 = super::codec::extensions::WINDOW_BITS_MAX;

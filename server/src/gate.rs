//! What a connection and those who send to it from elsewhere share: they can say at once whether it is full or closed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use sws_runtime::{ConnId, InvokeError, SendError};

/// Bytes of messages from other threads that are on their way to one connection.
pub(crate) const GATE_BYTES_MAX: usize = 1024 * 1024;

/// What a message counts for beside its bytes.
const MESSAGE_BYTES: usize = 64;

/// One connection's.
pub(crate) struct Gate {
    closed: AtomicBool,
    /// More waits on the connection than may.
    full: AtomicBool,
    /// Bytes of messages that are on their way through the door.
    bytes: AtomicUsize,
    /// The table that it is of.
    token: Arc<()>,
}

impl Gate {
    fn new(token: &Arc<()>, closed: bool) -> Arc<Gate> {
        Arc::new(Gate {
            closed: AtomicBool::new(closed),
            full: AtomicBool::new(false),
            bytes: AtomicUsize::new(0),
            token: Arc::clone(token),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }

    /// Takes in `len` bytes, if there is room; a single message that is larger than the room alone.
    pub(crate) fn acquire(&self, len: usize) -> Result<(), SendError> {
        let len = len + MESSAGE_BYTES;
        let before = self.bytes.fetch_add(len, Ordering::AcqRel);
        let fits = before == 0 || before + len <= GATE_BYTES_MAX;
        if !fits || self.full.load(Ordering::Acquire) {
            self.bytes.fetch_sub(len, Ordering::AcqRel);
            return Err(SendError::Full);
        }
        Ok(())
    }

    /// The bytes have come, or will not.
    pub(crate) fn release(&self, len: usize) {
        self.bytes.fetch_sub(len + MESSAGE_BYTES, Ordering::AcqRel);
    }

    /// The worker's door has refused them.
    pub(crate) fn refused(&self, len: usize, error: InvokeError) -> SendError {
        self.release(len);
        match error {
            InvokeError::Closed => SendError::Closed,
            _ => SendError::Full,
        }
    }
}

/// Those of a worker's connections of one protocol, as far as somebody has a way to them.
pub(crate) struct Gates {
    table: RefCell<HashMap<ConnId, Arc<Gate>>>,
    /// Tells the tables of workers apart.
    token: Arc<()>,
}

impl Gates {
    pub(crate) fn new() -> Gates {
        Gates { table: RefCell::default(), token: Arc::new(()) }
    }

    /// The gate of an open connection.
    pub(crate) fn open(&self, id: ConnId) -> Arc<Gate> {
        let mut table = self.table.borrow_mut();
        Arc::clone(table.entry(id).or_insert_with(|| Gate::new(&self.token, false)))
    }

    /// The gate of one that has ended.
    pub(crate) fn closed(&self) -> Arc<Gate> {
        Gate::new(&self.token, true)
    }

    /// Whether a gate is of this table.
    pub(crate) fn owns(&self, gate: &Gate) -> bool {
        Arc::ptr_eq(&self.token, &gate.token)
    }

    /// A connection ends: those who send to it are told.
    pub(crate) fn close(&self, id: ConnId) {
        if let Some(gate) = self.table.borrow_mut().remove(&id) {
            gate.closed.store(true, Ordering::Release);
        }
    }

    pub(crate) fn set_full(&self, id: ConnId, full: bool) {
        if let Some(gate) = self.table.borrow().get(&id) {
            gate.set_full(full);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.borrow().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_takes_in_what_has_room_and_one_large_message_alone() {
        let gates = Gates::new();
        let id = ConnId { index: 1, generation: 1 };
        let gate = gates.open(id);
        assert_eq!(gate.acquire(2 * GATE_BYTES_MAX), Ok(()));
        assert_eq!(gate.acquire(1), Err(SendError::Full));
        gate.release(2 * GATE_BYTES_MAX);
        assert_eq!(gate.acquire(1), Ok(()));
        gates.set_full(id, true);
        assert_eq!(gate.acquire(1), Err(SendError::Full));
        assert!(gates.owns(&gate) && !Gates::new().owns(&gate));
        gates.close(id);
        assert!(gate.is_closed() && gates.closed().is_closed());
        assert_eq!(gates.len(), 0);
    }
}

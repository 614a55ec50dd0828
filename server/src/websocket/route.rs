//! Kinds of sockets: a handler's type and the options, with the data of all sockets of that kind.

use super::codec::DecodeLimits;
use super::{Close, Message, Socket, SocketHandler, SocketOptions};
use std::any::TypeId;
use std::cell::{Cell, RefCell};
use sws_runtime::set_fiber_name;

/// A [`Kind`] without its handler's type.
pub(super) trait Route {
    fn options(&self) -> &SocketOptions;
    fn limits(&self, compression: bool) -> &DecodeLimits;
    fn handler_type(&self) -> TypeId;
    fn on_open(&self, entry: u32, socket: &mut Socket<'_>);
    fn on_message(&self, entry: u32, socket: &mut Socket<'_>, message: Message<'_>);
    fn on_drain(&self, entry: u32, socket: &mut Socket<'_>);
    fn on_close(&self, entry: u32, socket: &mut Socket<'_>, close: &Close);
    /// Ends the data of a socket.
    fn release(&self, entry: u32);
    /// Sockets of this kind.
    fn len(&self) -> usize;
}

/// The data of sockets of one kind, by number.
struct Entries<H> {
    values: Vec<Option<H>>,
    free: Vec<u32>,
}

/// Sockets with the same type of handler and the same options.
pub(super) struct Kind<H> {
    options: SocketOptions,
    plain: DecodeLimits,
    compressed: DecodeLimits,
    entries: RefCell<Entries<H>>,
    /// How many there are: asked for while one of them is in its callback, and so borrowed.
    len: Cell<usize>,
}

impl<H: SocketHandler> Kind<H> {
    pub(super) fn new(options: SocketOptions) -> Kind<H> {
        let limits = |compression| DecodeLimits {
            frame_bytes_max: options.frame_bytes_max,
            message_bytes_max: options.message_bytes_max,
            compression,
        };
        Kind {
            plain: limits(false),
            compressed: limits(true),
            options,
            entries: RefCell::new(Entries { values: Vec::new(), free: Vec::new() }),
            len: Cell::new(0),
        }
    }

    pub(super) fn acquire(&self, handler: H) -> u32 {
        self.len.set(self.len.get() + 1);
        let mut entries = self.entries.borrow_mut();
        match entries.free.pop() {
            Some(entry) => {
                entries.values[entry as usize] = Some(handler);
                entry
            }
            None => {
                entries.values.push(Some(handler));
                entries.values.len() as u32 - 1
            }
        }
    }

    /// The data stays borrowed while the callback runs: it cannot wait, and no other callback is called inside of it.
    fn with(&self, entry: u32, f: impl FnOnce(&mut H)) {
        // What a slow turn is reported under.
        set_fiber_name(std::any::type_name::<H>());
        let mut entries = self.entries.borrow_mut();
        if let Some(handler) = entries.values.get_mut(entry as usize).and_then(Option::as_mut) {
            f(handler);
        }
    }
}

impl<H: SocketHandler> Route for Kind<H> {
    fn options(&self) -> &SocketOptions {
        &self.options
    }

    fn limits(&self, compression: bool) -> &DecodeLimits {
        if compression { &self.compressed } else { &self.plain }
    }

    fn handler_type(&self) -> TypeId {
        TypeId::of::<H>()
    }

    fn on_open(&self, entry: u32, socket: &mut Socket<'_>) {
        self.with(entry, |handler| handler.on_open(socket));
    }

    fn on_message(&self, entry: u32, socket: &mut Socket<'_>, message: Message<'_>) {
        self.with(entry, |handler| handler.on_message(socket, message));
    }

    fn on_drain(&self, entry: u32, socket: &mut Socket<'_>) {
        self.with(entry, |handler| handler.on_drain(socket));
    }

    fn on_close(&self, entry: u32, socket: &mut Socket<'_>, close: &Close) {
        self.with(entry, |handler| handler.on_close(socket, close));
    }

    fn release(&self, entry: u32) {
        let handler = {
            let mut entries = self.entries.borrow_mut();
            let handler = entries.values.get_mut(entry as usize).and_then(Option::take);
            if handler.is_some() {
                self.len.set(self.len.get() - 1);
                entries.free.push(entry);
            }
            handler
        };
        // Its destructor is the user's: nothing is borrowed.
        drop(handler);
    }

    fn len(&self) -> usize {
        self.len.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted(u32);

    impl SocketHandler for Counted {
        fn on_message(&mut self, _socket: &mut Socket<'_>, _message: Message<'_>) {
            self.0 += 1;
        }
    }

    #[test]
    fn places_are_used_again() {
        let kind = Kind::new(SocketOptions::default());
        let (first, second) = (kind.acquire(Counted(1)), kind.acquire(Counted(2)));
        kind.release(first);
        kind.release(first);
        assert_eq!(kind.len(), 1);
        assert_eq!(kind.acquire(Counted(3)), first);
        let mut seen = 0;
        kind.with(second, |handler| seen = handler.0);
        assert_eq!((seen, kind.len()), (2, 2));
    }
}

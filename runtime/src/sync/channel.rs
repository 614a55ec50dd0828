//! A bounded queue of messages.

use super::WaitQueue;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

/// A queue of at most `capacity` messages from any number of senders to one receiver, all on one worker. Messages arrive in
/// the order in which they were sent, also those of senders that had to wait.
///
/// # Panics
/// When `capacity` is zero.
///
/// ```
/// # use sws_runtime::Runtime;
/// use sws_runtime::go;
/// use sws_runtime::sync::{RecvError, channel};
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| {
///     let (sender, receiver) = channel(2);
///     go("producer", move || {
///         for n in 1..=10 {
///             sender.send(n).unwrap();
///         }
///     });
///     let mut sum = 0;
///     let end = loop {
///         match receiver.recv() {
///             Ok(n) => sum += n,
///             Err(end) => break end,
///         }
///     };
///     assert_eq!((sum, end), (55, RecvError::Closed));
/// });
/// ```
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel without capacity would hold nothing");
    let shared = Rc::new(Shared {
        capacity,
        messages: RefCell::new(VecDeque::new()),
        senders: Cell::new(1),
        has_receiver: Cell::new(true),
        sending: WaitQueue::new(),
        receiving: WaitQueue::new(),
    });
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared })
}

/// Who waits to send waits behind a full queue, who waits to receive before an empty one.
struct Shared<T> {
    capacity: usize,
    messages: RefCell<VecDeque<T>>,
    senders: Cell<usize>,
    has_receiver: Cell<bool>,
    /// Each with its message, until that is taken.
    sending: WaitQueue<T>,
    /// Each with a message when one was handed to it.
    receiving: WaitQueue<T>,
}

/// Why a message was not sent; it is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// As many messages wait as may, or other senders wait before.
    Full(T),
    /// The receiver is gone.
    Closed(T),
    /// The fiber was cancelled, or a [`timeout`](crate::timeout()) around it is over.
    Cancelled(T),
}

impl<T> SendError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            SendError::Full(message) | SendError::Closed(message) | SendError::Cancelled(message) => message,
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "Full(..)",
            SendError::Closed(_) => "Closed(..)",
            SendError::Cancelled(_) => "Cancelled(..)",
        })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "the channel is full",
            SendError::Closed(_) => "the receiver is gone",
            SendError::Cancelled(_) => "the fiber was cancelled",
        })
    }
}

impl<T> std::error::Error for SendError<T> {}

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// None is there.
    Empty,
    /// None is there, and all senders are gone.
    Closed,
    /// The fiber was cancelled, or a [`timeout`](crate::timeout()) around it is over.
    Cancelled,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvError::Empty => "the channel is empty",
            RecvError::Closed => "all senders are gone",
            RecvError::Cancelled => "the fiber was cancelled",
        })
    }
}

impl std::error::Error for RecvError {}

/// The sending side of a [`channel`]; clones share it. The channel is closed when the last one is dropped; what was sent by then
/// is received.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends, and waits for room while there is none.
    ///
    /// # Errors
    /// [`SendError::Closed`] and [`SendError::Cancelled`]: the message was not sent and is not going to be.
    ///
    /// # Panics
    /// When it has to wait and is not called on a fiber.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let message = match self.try_send(message) {
            Err(SendError::Full(message)) => message,
            done => return done,
        };
        match self.shared.sending.wait(Some(message), "channel send") {
            (None, _) => Ok(()),
            (Some(message), Ok(())) => Err(SendError::Closed(message)),
            (Some(message), Err(_)) => Err(SendError::Cancelled(message)),
        }
    }

    /// Sends if there is room and nobody waits for it.
    ///
    /// # Errors
    /// [`SendError::Full`] and [`SendError::Closed`].
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        let shared = &*self.shared;
        if !shared.has_receiver.get() {
            return Err(SendError::Closed(message));
        }
        if let Some(receiver) = shared.receiving.pop() {
            receiver.item.set(Some(message));
            receiver.end();
            return Ok(());
        }
        let mut messages = shared.messages.borrow_mut();
        if messages.len() >= shared.capacity {
            return Err(SendError::Full(message));
        }
        debug_assert!(shared.sending.is_empty(), "senders wait for room only");
        messages.push_back(message);
        Ok(())
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        !self.shared.has_receiver.get()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Sender { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let senders = self.shared.senders.get() - 1;
        self.shared.senders.set(senders);
        if senders == 0 {
            self.shared.receiving.end_all();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("queued", &self.shared.messages.borrow().len()).finish_non_exhaustive()
    }
}

/// The receiving side of a [`channel`]. Messages that it leaves are dropped with it.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Waits for a message. Of several fibers that share a receiver, each message goes to the one that has waited longest.
    ///
    /// # Errors
    /// [`RecvError::Closed`] when all were received, and [`RecvError::Cancelled`]; no message is lost by it.
    ///
    /// # Panics
    /// When it has to wait and is not called on a fiber.
    pub fn recv(&self) -> Result<T, RecvError> {
        match self.try_recv() {
            Err(RecvError::Empty) => {}
            done => return done,
        }
        match self.shared.receiving.wait(None, "channel receive") {
            (Some(message), _) => Ok(message),
            (None, Ok(())) => Err(RecvError::Closed),
            (None, Err(_)) => Err(RecvError::Cancelled),
        }
    }

    /// Takes a message if there is one.
    ///
    /// # Errors
    /// [`RecvError::Empty`] and [`RecvError::Closed`].
    pub fn try_recv(&self) -> Result<T, RecvError> {
        let shared = &*self.shared;
        let mut messages = shared.messages.borrow_mut();
        let Some(message) = messages.pop_front() else {
            let is_closed = shared.senders.get() == 0;
            return Err(if is_closed { RecvError::Closed } else { RecvError::Empty });
        };
        if let Some(sender) = shared.sending.pop() {
            messages.extend(sender.item.take());
            sender.end();
        }
        Ok(message)
    }

    /// Messages that wait to be received, without those of senders that wait for room.
    pub fn len(&self) -> usize {
        self.shared.messages.borrow().len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.has_receiver.set(false);
        self.shared.sending.end_all();
        // Outside of the borrow: a message's destructor may use the channel.
        let left = self.shared.messages.take();
        drop(left);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("queued", &self.len()).finish_non_exhaustive()
    }
}

//! [`WebSocket`]: a socket as a straight line, on a fiber of its own.

use super::handler::SocketHandler;
use super::options::{INBOX_BYTES_MAX, INBOX_MESSAGES_MAX};
use super::sender::Sender;
use super::sockets::Sockets;
use super::{Close, Message, MessageBuf, Socket, codec};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use sws_runtime::{Cancelled, FiberId, SendError, current_fiber, park, try_go, unpark};

/// What a socket's callbacks and its fiber share.
#[derive(Default)]
struct Line {
    messages: VecDeque<MessageBuf>,
    bytes: usize,
    close: Option<Close>,
    /// The fiber, while it waits for a message or for room.
    waits: Option<FiberId>,
    paused: bool,
}

impl Line {
    fn is_full(&self) -> bool {
        self.bytes > INBOX_BYTES_MAX || self.messages.len() >= INBOX_MESSAGES_MAX
    }
}

/// Puts the messages where the fiber finds them.
pub(super) struct LineHandler<F> {
    line: Rc<RefCell<Line>>,
    /// What the fiber runs, until it is started.
    run: Option<F>,
}

impl<F> LineHandler<F> {
    pub(super) fn new(run: F) -> LineHandler<F> {
        LineHandler { line: Rc::default(), run: Some(run) }
    }

    fn wake(&self) {
        let waits = self.line.borrow_mut().waits.take();
        if let Some(fiber) = waits {
            unpark(fiber);
        }
    }
}

impl<F, R> SocketHandler for LineHandler<F>
where
    F: FnOnce(WebSocket) -> R + 'static,
    R: 'static,
{
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        let Some(run) = self.run.take() else { return };
        let web_socket = WebSocket { sender: socket.sender(), line: Rc::clone(&self.line) };
        let started = try_go(std::any::type_name::<F>(), move || {
            run(web_socket);
        });
        if started.is_none() {
            socket.close(codec::close::TRY_AGAIN_LATER, "too many handlers");
        }
    }

    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        let full = {
            let mut line = self.line.borrow_mut();
            line.bytes += message.len();
            line.messages.push_back(message.to_buf());
            line.paused |= line.is_full();
            line.paused
        };
        if full {
            socket.pause();
        }
        self.wake();
    }

    fn on_drain(&mut self, _socket: &mut Socket<'_>) {
        self.wake();
    }

    fn on_close(&mut self, _socket: &mut Socket<'_>, close: &Close) {
        self.line.borrow_mut().close = Some(close.clone());
        self.wake();
    }
}

/// A socket that a function has for itself: it receives and sends in a straight line, on a fiber of its own, which waits without
/// blocking anybody. Dropped, it closes with 1000, or with 1011 by a panic. Made by [`WebSocketUpgrade::run`](super::WebSocketUpgrade::run).
///
/// ```
/// use sws::websocket::{WebSocket, WebSocketUpgrade};
/// use sws::{Response, Router};
///
/// fn echo(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.run(|mut socket: WebSocket| {
///         while let Ok(Some(message)) = socket.recv() {
///             if socket.send(&message).is_err() {
///                 break;
///             }
///         }
///     })
/// }
///
/// let router = Router::new().get("/echo", echo);
/// # let _ = router;
/// ```
pub struct WebSocket {
    sender: Sender,
    line: Rc<RefCell<Line>>,
}

impl WebSocket {
    /// Waits for the next message. `None` when the socket has ended; [`close_info`](WebSocket::close_info) then says how.
    ///
    /// While the function does something else, some messages are kept for it; beyond that the peer is held back.
    ///
    /// # Errors
    /// [`Cancelled`] when the fiber is cancelled: the server ends.
    pub fn recv(&mut self) -> Result<Option<MessageBuf>, Cancelled> {
        loop {
            let (message, resume) = {
                let mut line = self.line.borrow_mut();
                let message = line.messages.pop_front();
                line.bytes -= message.as_ref().map_or(0, MessageBuf::len);
                let resume = line.paused && !line.is_full();
                line.paused &= !resume;
                (message, resume)
            };
            if resume {
                self.with(|socket| socket.resume());
            }
            if message.is_some() || self.line.borrow().close.is_some() {
                return Ok(message);
            }
            self.wait("a message")?;
        }
    }

    /// Sends a message; waits while too much waits for the peer.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the socket has ended or the fiber is cancelled.
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        loop {
            // With another policy than to refuse, a full socket drops messages or is closed: here it is waited for instead.
            let room = self.with(|socket| {
                let room = socket.has_room(message.len());
                if !room {
                    socket.notify_drain();
                }
                room
            });
            match room {
                Some(true) => return self.sender.send(message),
                Some(false) => self.wait("room to send").map_err(|Cancelled| SendError::Closed)?,
                None => return Err(SendError::Closed),
            }
        }
    }

    /// As [`send`](WebSocket::send), without waiting.
    ///
    /// # Errors
    /// [`SendError::Full`] and [`SendError::Closed`].
    pub fn try_send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.sender.send(message)
    }

    /// Begins the closing handshake; [`recv`](WebSocket::recv) goes on to its end.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.sender.close(code, reason);
    }

    /// How the socket ended, once it has.
    pub fn close_info(&self) -> Option<Close> {
        self.line.borrow().close.clone()
    }

    /// A way to this socket for other fibers and threads.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Calls `f` with the socket as callbacks have it: to subscribe to topics, for instance. `None` when it has ended.
    pub fn with<R>(&self, f: impl FnOnce(&mut Socket<'_>) -> R) -> Option<R> {
        sws_runtime::find_local::<Sockets>()?.with(self.sender.id(), f)
    }

    fn wait(&self, what: &'static str) -> Result<(), Cancelled> {
        self.line.borrow_mut().waits = current_fiber();
        let parked = park(what);
        self.line.borrow_mut().waits = None;
        parked
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        let code = if std::thread::panicking() {
            if let Some(sockets) = sws_runtime::find_local::<Sockets>() {
                sockets.panics.set(sockets.panics.get() + 1);
            }
            codec::close::INTERNAL_ERROR
        } else {
            codec::close::NORMAL
        };
        self.sender.close(code, "");
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("id", &self.sender.id()).finish_non_exhaustive()
    }
}

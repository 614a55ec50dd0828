//! What a user writes for a socket: callbacks over its own data.

use super::{Close, Message, Socket};

/// Callbacks of a socket. The value is the socket's own data: one for each, kept beside its connection, and nothing else while it
/// is idle. All are called on the IO thread, one at a time; none may wait. For that there are
/// [`go`](crate::runtime::go) with a [`Sender`](super::Sender), and [`WebSocketUpgrade::run`](super::WebSocketUpgrade::run).
/// A callback that panics closes its socket with 1011, and nothing else.
///
/// ```
/// use sws::websocket::{Message, Socket, SocketHandler, WebSocketUpgrade};
/// use sws::{Path, Response, Router};
///
/// struct Guest {
///     name: String,
///     said: u32,
/// }
///
/// impl SocketHandler for Guest {
///     fn on_open(&mut self, socket: &mut Socket<'_>) {
///         let _ = socket.send(&format!("Hello, {}!", self.name));
///     }
///
///     fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
///         self.said += 1;
///         if socket.send(message).is_err() {
///             socket.close(1013, "too slow");
///         }
///     }
/// }
///
/// fn join(Path(name): Path<String>, upgrade: WebSocketUpgrade) -> Response {
///     upgrade.accept(Guest { name, said: 0 })
/// }
///
/// let router = Router::new().get("/guests/{name}", join);
/// # let _ = router;
/// ```
pub trait SocketHandler: 'static {
    /// The handshake is done.
    fn on_open(&mut self, _socket: &mut Socket<'_>) {}

    /// A whole message came. By default it is dropped: a socket that only listens.
    fn on_message(&mut self, _socket: &mut Socket<'_>, _message: Message<'_>) {}

    /// All that waited is sent, after a send was refused or had to wait.
    fn on_drain(&mut self, _socket: &mut Socket<'_>) {}

    /// The socket has ended: by a close frame of either side, or without one. Called once; nothing can be sent any more.
    fn on_close(&mut self, _socket: &mut Socket<'_>, _close: &Close) {}
}

/// Closes at once.
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: String,
}

impl SocketHandler for Refusal {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        socket.close(self.code, &self.reason);
    }
}

/// A closure for the messages, and nothing else.
pub(super) struct OnMessage<F>(pub(super) F);

impl<F: FnMut(&mut Socket<'_>, Message<'_>) + 'static> SocketHandler for OnMessage<F> {
    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        (self.0)(socket, message);
    }
}

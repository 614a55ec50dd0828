//! WebSocket (RFC 6455), with permessage-deflate (RFC 7692).
//!
//! A handler takes a [`WebSocketUpgrade`] and says what the socket is to be:
//!
//! - callbacks over the socket's own data ([`SocketHandler`]): no fiber and no memory but its slot while it is idle, for a
//!   million of them;
//! - a function on a fiber of its own ([`WebSocket`]), which receives and sends in a straight line, for thousands.
//!
//! [`Sender`] reaches a socket from other fibers and threads, and a topic ([`Socket::subscribe`], [`Topics`](crate::Topics)) all its
//! subscribers at once.
//!
//! ```no_run
//! use sws::websocket::{Message, Socket, WebSocketUpgrade};
//! use sws::{Response, Router, Server};
//!
//! fn echo(upgrade: WebSocketUpgrade) -> Response {
//!     upgrade.on_message(|socket: &mut Socket<'_>, message: Message<'_>| {
//!         let _ = socket.send(message);
//!     })
//! }
//!
//! fn main() -> Result<(), sws::ServeError> {
//!     Server::bind("127.0.0.1:8080")?.serve(|| Router::new().get("/echo", echo))
//! }
//! ```

//! # What publications look like
//!
//! A socket gets the payload of a publication alone, as a text or binary message: where clients need its number (to come again by
//! [`Socket::subscribe_since`]) or its name, put them into the payload. Server-Sent Events carry both.
//!
//! # When the server ends
//!
//! Behind what is queued each socket gets a close frame with 1001, and has [`SocketOptions::close_timeout`] to answer it.
//! [`WebSocket::recv`] then gives `None`; a function that waits for something else goes on until the drain timeout
//! ([`Limits::drain_timeout`](crate::runtime::Limits::drain_timeout)), but its socket sends no more. A fiber that would go on for ever asks
//! [`is_draining`](crate::runtime::is_draining).

pub mod codec;

mod compress;
mod follow;
mod handler;
mod line;
mod message;
mod options;
mod route;
mod sender;
mod service;
mod socket;
mod sockets;
mod state;
mod stats;
mod topic;
mod upgrade;

pub use codec::{DeflateConfig, HandshakeError};
pub use handler::SocketHandler;
pub use line::WebSocket;
pub use message::{Close, Message, MessageBuf};
pub use options::SocketOptions;
pub use sender::Sender;
pub use socket::Socket;
pub(crate) use sockets::Sockets;
pub use stats::{SocketStats, stats};
pub use upgrade::WebSocketUpgrade;

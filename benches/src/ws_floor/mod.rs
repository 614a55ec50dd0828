//! The least that a WebSocket server can do: answer the upgrade, undo the mask, send back.
//!
//! - `GET /ws`: every data frame is sent back unmasked, as its bytes come: no message is gathered, nothing is checked.
//! - `GET /room`: every whole frame is written once into the block of the turn, and at the end of the turn each member
//!   is sent that block: all messages of a turn leave in one send, from memory that all share.
//!
//! No UTF-8 check, no fragments, no limits on messages, no timers; a ping is answered and a close is returned.

mod epoll;
mod room;
mod stream;
mod uring;

use std::io;
use std::net::TcpListener;

use crate::floor::Mode;
use crate::ring::Wait;

/// Serves until the process is told to end.
pub fn serve(mode: Mode, listener: TcpListener) -> io::Result<()> {
    match mode {
        Mode::Uring => uring::serve(listener, Wait::ForOne, uring::Hold::Recv),
        Mode::UringMinwait => uring::serve(listener, Wait::Batch, uring::Hold::Recv),
        Mode::UringPoll => uring::serve(listener, Wait::ForOne, uring::Hold::Poll),
        Mode::Epoll => epoll::serve(listener, epoll::Trigger::Edge),
        Mode::RwEpoll => epoll::serve(listener, epoll::Trigger::Level),
    }
}

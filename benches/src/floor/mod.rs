//! The least a server can do: find the blank line that ends each head in what was read, answer
//! each with the same bytes, send once per read. No parsing, no routing, no limits, no timers.
//!
//! What a real server spends above this is its own.

mod epoll;
mod uring;

use std::io;
use std::net::TcpListener;

use crate::ring::Wait;
use crate::sys::system_calls;

/// One answer. It has the fields that a real server sends, so that the kernel moves as many bytes.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 13\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n\
    Hello, World!";

/// How the floor learns of input and sends its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// io_uring: multishot accept, multishot recv into provided buffers, one wait per turn.
    Uring,
    /// The same, waiting for 64 completions or 200 us, whichever is first.
    UringMinwait,
    /// The same as `uring`, but a multishot poll per connection and one recv per event.
    UringPoll,
    /// Edge-triggered epoll.
    Epoll,
    /// Level-triggered epoll with one read and one write per event: the most ordinary loop.
    RwEpoll,
}

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

const HEAD_END: &[u8; 4] = b"\r\n\r\n";

/// Counts the heads that end in a stream of bytes, whatever its chunks.
///
/// A constant answer needs no byte of the request, so what is kept of an unfinished head is only
/// how many bytes of the blank line have been seen at its end.
#[derive(Default)]
struct HeadCounter {
    matched: u8,
}

impl HeadCounter {
    fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut heads = 0;
        while self.matched > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return heads };
            bytes = rest;
            heads += usize::from(self.step(byte));
        }
        while let Some(at) = memchr::memmem::find(bytes, HEAD_END) {
            heads += 1;
            bytes = &bytes[at + HEAD_END.len()..];
        }
        for &byte in &bytes[bytes.len().saturating_sub(HEAD_END.len() - 1)..] {
            self.step(byte);
        }
        heads
    }

    fn step(&mut self, byte: u8) -> bool {
        if byte == HEAD_END[usize::from(self.matched)] {
            self.matched += 1;
        } else {
            self.matched = u8::from(byte == b'\r');
        }
        let ended = usize::from(self.matched) == HEAD_END.len();
        if ended {
            self.matched = 0;
        }
        ended
    }
}

/// Makes SIGTERM print how many system calls the loop made, and then end the process.
pub fn print_system_calls_on_sigterm() {
    // SAFETY: the handler calls only what is async-signal-safe: an atomic load, write and _exit.
    unsafe { libc::signal(libc::SIGTERM, on_sigterm as *const () as libc::sighandler_t) };
}

extern "C" fn on_sigterm(_signal: i32) {
    let mut text = *b"system calls: 00000000000000000000\n";
    let mut left = system_calls();
    let mut at = text.len() - 1;
    while left > 0 {
        at -= 1;
        text[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    // SAFETY: writes from an array of this frame, then ends the process without running anything else.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_in_any_chunks() {
        let stream =
            b"GET / HTTP/1.1\r\n\r\nGET /\r\r\n\r\n\r\n\rx\r\n\r\nGET /a HTTP/1.1\r\nHost: b\r\n\r\n\r\n";
        let whole = HeadCounter::default().count(stream);
        assert_eq!(whole, 4);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut counter = HeadCounter::default();
                let parts = [&stream[..first], &stream[first..second], &stream[second..]];
                let sum: usize = parts.iter().map(|part| counter.count(part)).sum();
                assert_eq!(sum, whole, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn the_answer_is_framed() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
    }
}

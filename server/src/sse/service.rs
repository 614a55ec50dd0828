//! A connection that is a stream: its state in the slot, and what the loop tells it.
//!
//! ```text
//!  open ── close(), drain, the peer's end ──▶ what is queued is sent ──▶ closed
//!    └──── too much waits, or the peer takes nothing ─────────────────▶ aborted: the client comes again
//! ```
//!
//! One deadline serves two ends: nothing was sent for a while, so a comment is; or what waits is not taken, so the stream is given up.

use super::streams::Streams;
use super::{Event, SseOptions};
use std::rc::Rc;
use std::time::Duration;
use sws_runtime::{Conn, Data, EventHandler, Overflow, turn_time};

/// What a slot holds of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StreamConn {
    /// When all output was sent last.
    sent_at: Duration,
    /// Since when `mark` bytes are sent, as far as looks have found; while output waits.
    stuck_at: Option<Duration>,
    mark: u64,
    /// 0 for never.
    keep_alive_ms: u32,
    write_timeout_ms: u32,
    pub(super) output_bytes_max: u32,
    /// Over the bound events are refused.
    pub(super) refuses: bool,
    /// Another thread or fiber has a way to the stream.
    pub(super) gated: bool,
    /// Senders on other threads are told that it is full.
    pub(super) full: bool,
}

const _: () = assert!(size_of::<StreamConn>() <= 64);

/// What is to be done when a deadline has passed.
#[derive(Debug, PartialEq)]
enum Look {
    /// Nothing, until this time has passed.
    Wait(Duration),
    /// Nothing was sent for a while.
    KeepAlive,
    /// What waits is not taken.
    Stuck,
}

impl StreamConn {
    pub(super) fn new(options: &SseOptions, now: Duration) -> StreamConn {
        StreamConn {
            sent_at: now,
            keep_alive_ms: options.keep_alive.map_or(0, millis),
            write_timeout_ms: millis(options.write_timeout),
            output_bytes_max: u32::try_from(options.output_bytes_max).unwrap_or(u32::MAX).max(1),
            refuses: options.overflow == Overflow::Refuse,
            ..StreamConn::default()
        }
    }

    /// The longest time between two looks.
    pub(super) fn look_interval(&self) -> Duration {
        self.keep_alive().map_or(self.write_timeout(), |time| time.min(self.write_timeout()))
    }

    fn keep_alive(&self) -> Option<Duration> {
        (self.keep_alive_ms != 0).then(|| Duration::from_millis(self.keep_alive_ms.into()))
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms.into())
    }

    /// `sent` bytes were sent since the connection was opened, and `pending` wait.
    fn look(&mut self, now: Duration, sent: u64, pending: usize) -> Look {
        if pending == 0 {
            self.stuck_at = None;
            let quiet = now.saturating_sub(self.sent_at);
            return match self.keep_alive() {
                Some(time) if quiet >= time => Look::KeepAlive,
                Some(time) => Look::Wait((time - quiet).min(self.look_interval())),
                None => Look::Wait(self.look_interval()),
            };
        }
        match self.stuck_at {
            Some(since) if self.mark == sent => {
                match self.write_timeout().checked_sub(now.saturating_sub(since)) {
                    None | Some(Duration::ZERO) => Look::Stuck,
                    Some(rest) => Look::Wait(rest),
                }
            }
            _ => {
                (self.mark, self.stuck_at) = (sent, Some(now));
                Look::Wait(self.write_timeout())
            }
        }
    }
}

/// At least one.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// Server-Sent Events as a protocol over connections.
pub(super) struct StreamService {
    streams: Rc<Streams>,
}

impl StreamService {
    pub(super) fn new(streams: Rc<Streams>) -> StreamService {
        StreamService { streams }
    }
}

impl EventHandler for StreamService {
    type Workspace = StreamConn;

    /// The answer does not end before the connection does, so nothing that comes is answered.
    fn on_data(&mut self, _conn: &mut Conn<'_, StreamConn>, data: &Data<'_>) -> usize {
        data.len()
    }

    fn on_sent(&mut self, conn: &mut Conn<'_, StreamConn>) {
        let now = turn_time();
        let was_full = conn.update(|state| {
            state.sent_at = now;
            std::mem::take(&mut state.full)
        });
        if was_full {
            self.streams.gates.set_full(conn.id(), false);
        }
    }

    fn on_end(&mut self, conn: &mut Conn<'_, StreamConn>) {
        self.streams.close(conn);
    }

    fn on_deadline(&mut self, conn: &mut Conn<'_, StreamConn>) {
        let (now, sent, pending) = (turn_time(), conn.progress(), conn.pending_output());
        match conn.update(|state| state.look(now, sent, pending)) {
            Look::Wait(time) => conn.set_deadline(Some(time)),
            Look::KeepAlive => {
                // With no buffer left there will be another time.
                let _ = conn.write_message(8, |out| Event::comment("").encode(out));
                let time = conn.update(|state| state.look_interval());
                conn.set_deadline(Some(time));
            }
            Look::Stuck => conn.abort(),
        }
    }

    fn on_drain(&mut self, conn: &mut Conn<'_, StreamConn>) {
        self.streams.close(conn);
    }

    /// The client has missed events; when it comes again it says which it has.
    fn on_overflow(&mut self, conn: &mut Conn<'_, StreamConn>) {
        self.streams.close_gate(conn);
        conn.abort();
    }

    fn on_close(&mut self, conn: &mut Conn<'_, StreamConn>) {
        self.streams.close_gate(conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn state(keep_alive: Option<Duration>, write_timeout: Duration) -> StreamConn {
        StreamConn::new(&SseOptions { keep_alive, write_timeout, ..SseOptions::default() }, secs(100))
    }

    #[test]
    fn a_comment_is_due_when_nothing_was_sent() {
        let mut state = state(Some(secs(15)), secs(30));
        assert_eq!(state.look_interval(), secs(15));
        assert_eq!(state.look(secs(110), 300, 0), Look::Wait(secs(5)));
        state.sent_at = secs(112);
        assert_eq!(state.look(secs(115), 320, 0), Look::Wait(secs(12)));
        assert_eq!(state.look(secs(127), 320, 0), Look::KeepAlive);
    }

    #[test]
    fn without_keep_alive_there_are_looks_only() {
        let mut state = state(None, secs(30));
        assert_eq!(state.look_interval(), secs(30));
        assert_eq!(state.look(secs(9000), 300, 0), Look::Wait(secs(30)));
    }

    #[test]
    fn looks_are_as_close_as_the_write_timeout() {
        let mut state = state(Some(secs(60)), secs(10));
        assert_eq!(state.look(secs(110), 0, 0), Look::Wait(secs(10)));
        assert_eq!(state.look(secs(155), 0, 0), Look::Wait(secs(5)));
    }

    #[test]
    fn only_who_takes_nothing_is_stuck() {
        let mut state = state(Some(secs(15)), secs(30));
        assert_eq!(state.look(secs(115), 500, 80), Look::Wait(secs(30)));
        assert_eq!(state.look(secs(145), 501, 79), Look::Wait(secs(30)), "one byte is progress");
        assert_eq!(state.look(secs(170), 501, 99), Look::Wait(secs(5)), "too early");
        assert_eq!(state.look(secs(175), 501, 99), Look::Stuck);
    }

    #[test]
    fn what_was_sent_in_between_begins_anew() {
        let mut state = state(Some(secs(15)), secs(30));
        assert_eq!(state.look(secs(115), 500, 80), Look::Wait(secs(30)));
        state.sent_at = secs(144);
        assert_eq!(state.look(secs(145), 580, 0), Look::Wait(secs(14)));
        assert_eq!(state.look(secs(159), 580, 40), Look::Wait(secs(30)));
        assert_eq!(state.look(secs(189), 580, 40), Look::Stuck);
    }

    #[test]
    fn times_fit_whatever_is_asked_for() {
        let longest = state(Some(Duration::MAX), Duration::MAX);
        assert_eq!(longest.look_interval(), Duration::from_millis(u32::MAX.into()));
        assert_eq!(state(Some(Duration::ZERO), secs(1)).look_interval(), Duration::from_millis(1));
    }
}

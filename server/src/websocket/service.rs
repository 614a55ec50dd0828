//! The callbacks of a connection that is a socket: what the loop tells it, and what it makes of it.

use super::codec::{CloseFrame, ControlPayload, Decoder, Event, Opcode, check_text, close, encode_frame};
use super::route::Route;
use super::socket::write_frame;
use super::sockets::{Sockets, keep_scratch};
use super::state::{Flags, NONE, SocketConn};
use super::{Close, Message};
use std::rc::Rc;
use std::time::Duration;
use sws_runtime::{Conn, ConnId, Data, EventHandler, Overflow, acquire_spare, without_waits};

/// Frames of one socket in one call, and bytes that its messages inflate to: what came beyond is the next turn's.
const FRAMES_PER_TURN: u32 = 256;
const INFLATED_BYTES_PER_TURN: usize = 256 * 1024;
/// How often a socket without pings is looked at, for output that nobody takes.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// What pongs are the latest of.
const PONG_KEY: u64 = 0x504f_4e47_504f_4e47;
/// A message that came in part and is shorter than this is copied, so that the memory for messages stays.
const PARTIAL_COPY_MAX: usize = 8 * 1024;

/// WebSocket as a protocol over connections.
pub(super) struct SocketService {
    sockets: Rc<Sockets>,
    /// Memory for a message.
    scratch: Vec<u8>,
    /// Bytes that messages of this call have inflated to.
    inflated: usize,
}

/// Whether there is more to do for a socket in this call.
#[derive(PartialEq)]
enum Next {
    GoOn,
    Stop,
}

impl SocketService {
    pub(super) fn new(sockets: Rc<Sockets>) -> SocketService {
        SocketService { sockets, scratch: Vec::new(), inflated: 0 }
    }

    /// Takes what has come, frame by frame; returns how many bytes.
    fn take(&mut self, conn: &mut Conn<'_, SocketConn>, data: &Data<'_>, route: &dyn Route) -> usize {
        let (mut decoder, flags, partial) =
            conn.update(|state| (state.decoder, state.flags, std::mem::replace(&mut state.partial, NONE)));
        let limits = route.limits(flags.has(Flags::DEFLATE));
        let mut message = self.sockets.take_partial(partial, &mut self.scratch);
        let mut at = 0;
        let mut budget = FRAMES_PER_TURN;
        self.inflated = 0;
        loop {
            let step = decoder.next(&data[at..], &mut message, limits);
            at += step.consumed;
            let next = match step.event {
                Event::NeedMore => break,
                Event::Message { text, compressed } => {
                    let next = self.on_message(conn, route, &message, text, compressed);
                    message.clear();
                    next
                }
                Event::Ping(payload) => self.on_ping(conn, route, &payload),
                Event::Pong(_) => Next::GoOn,
                Event::Close(frame) => self.on_close_frame(conn, &frame),
                Event::Reject(error) => {
                    self.sockets.fail(conn, error.close_code(), error.reason());
                    Next::Stop
                }
            };
            budget = if self.inflated < INFLATED_BYTES_PER_TURN { budget - 1 } else { 0 };
            if next == Next::Stop || budget == 0 {
                break;
            }
        }
        self.keep(conn, decoder, message);
        let flags = conn.workspace().flags;
        if flags.has(Flags::OVER) {
            return data.len();
        }
        if budget == 0 && at < data.len() {
            conn.resume_input();
        } else if conn.is_ended() && !flags.has(Flags::PAUSED) {
            self.sockets.end_without_close(conn);
        }
        at
    }

    /// Puts the decoder back, and the part of a message that has come.
    fn keep(&mut self, conn: &mut Conn<'_, SocketConn>, decoder: Decoder, message: Vec<u8>) {
        if !decoder.is_mid_message() || conn.update(|state| state.flags.has(Flags::OVER)) {
            keep_scratch(&mut self.scratch, message);
            conn.update(|state| state.decoder = decoder);
            return;
        }
        let rest = usize::try_from(decoder.frame_remaining()).unwrap_or(usize::MAX);
        let whole = message.len().saturating_add(rest);
        let spacious = message.capacity() / 2 > whole;
        let message = if message.len() < PARTIAL_COPY_MAX || spacious {
            // Few bytes in much memory, which others need.
            let part = message.clone();
            keep_scratch(&mut self.scratch, message);
            part
        } else if message.capacity() < whole {
            // A good part of the frame is here: room for all of it at once, so that it is not moved again and again.
            let mut room = acquire_spare(whole);
            room.extend_from_slice(&message);
            keep_scratch(&mut self.scratch, message);
            room
        } else {
            message
        };
        match self.sockets.keep_partial(message) {
            Some(partial) => conn.update(|state| (state.decoder, state.partial) = (decoder, partial)),
            None => self.sockets.fail(conn, close::TRY_AGAIN_LATER, "too many messages in part"),
        }
    }

    fn on_message(
        &mut self,
        conn: &mut Conn<'_, SocketConn>,
        route: &dyn Route,
        payload: &[u8],
        text: bool,
        compressed: bool,
    ) -> Next {
        if conn.update(|state| state.flags.has(Flags::CLOSE_SENT)) {
            // We have said our last word; only the peer's is waited for.
            return Next::GoOn;
        }
        let sockets = Rc::clone(&self.sockets);
        let delivered = if compressed {
            let inflated = &mut self.inflated;
            sockets.with_inflated(conn, route.options().message_bytes_max, payload, |conn, payload| {
                *inflated += payload.len();
                sockets.deliver(conn, text, payload);
            })
        } else {
            sockets.deliver(conn, text, payload);
            Ok(())
        };
        if let Err(error) = delivered {
            self.sockets.fail(conn, error.close_code(), error.reason());
        }
        match conn.update(|state| state.flags.has(Flags::PAUSED | Flags::OVER)) {
            true => Next::Stop,
            false => Next::GoOn,
        }
    }

    /// Every ping is answered; where so much waits that its pong would be over the bound, the latest only (RFC 6455, 5.5.3). No pong is
    /// a reason to close or to drop a message.
    fn on_ping(&self, conn: &mut Conn<'_, SocketConn>, route: &dyn Route, payload: &ControlPayload) -> Next {
        if conn.update(|state| state.flags.has(Flags::CLOSE_SENT)) {
            return Next::GoOn;
        }
        let options = route.options();
        let pending = conn.pending_output();
        if pending == 0 {
            // Only a connection that breaks takes nothing now.
            let _ = write_frame(conn, false, Opcode::Pong, payload.as_slice());
            return Next::GoOn;
        }
        let mut pong = Vec::new();
        encode_frame(&mut pong, true, false, Opcode::Pong, payload.as_slice());
        let key = if pending + pong.len() <= options.output_bytes_max { 0 } else { PONG_KEY };
        conn.set_overflow(usize::MAX, Overflow::KeepLatest);
        let _ = conn.push_message(&pong.into(), key);
        conn.set_overflow(options.output_bytes_max, options.overflow);
        Next::GoOn
    }

    /// The peer's close frame: answered by ours, unless it answers ours.
    fn on_close_frame(&self, conn: &mut Conn<'_, SocketConn>, frame: &CloseFrame) -> Next {
        self.sockets.send_close(conn, frame.code, "");
        self.sockets.end(conn);
        let code = frame.code.unwrap_or(close::NO_STATUS);
        let close = Close { code, reason: frame.reason.as_str().to_owned(), clean: true };
        self.sockets.tell_close(conn, &close);
        Next::Stop
    }
}

impl Sockets {
    fn deliver(&self, conn: &mut Conn<'_, SocketConn>, text: bool, payload: &[u8]) {
        let message = match text {
            // The decoder has checked what was not compressed; once more, it becomes a `str`.
            true => match check_text(payload) {
                Ok(text) => Message::Text(text),
                Err(error) => return self.fail(conn, error.close_code(), error.reason()),
            },
            false => Message::Binary(payload),
        };
        self.call(conn, |route, entry, socket| route.on_message(entry, socket, message));
    }

    /// Begins the closing handshake from our side. No data follows the close frame (RFC 6455, 5.5.1): what was published so far goes
    /// before it, and the subscriptions end.
    pub(super) fn begin_close(&self, conn: &mut Conn<'_, SocketConn>, code: u16, reason: &str) {
        conn.mute();
        if !self.send_close(conn, Some(code), reason) {
            return;
        }
        self.close_gate(conn);
        let paused = conn.update(|state| {
            let paused = state.flags.has(Flags::PAUSED);
            state.flags.clear(Flags::PAUSED);
            paused
        });
        if paused {
            self.resume(conn);
        }
        let route = conn.workspace().route;
        if let Some(route) = self.route(route) {
            conn.set_deadline(Some(route.options().close_timeout));
        }
    }

    /// Messages are taken again. A handler is not told of an end inside of a callback: who called that looks at its socket afterwards,
    /// and another one is told when its connection is torn down.
    pub(super) fn resume(&self, conn: &mut Conn<'_, SocketConn>) {
        match self.calling.get() {
            _ if !is_at_end(conn) => conn.resume_input(),
            None => self.end_without_close(conn),
            Some(called) if called == conn.id() => {}
            Some(_) => conn.close(),
        }
    }

    /// The peer has ended its side without a close frame.
    fn end_without_close(&self, conn: &mut Conn<'_, SocketConn>) {
        self.tell_close(conn, &abnormal(conn.workspace().close_code));
        conn.close();
    }

    /// A connection has become a socket.
    pub(super) fn open(&self, id: ConnId) {
        sws_runtime::with_conn::<SocketConn, _>(id, |conn| {
            let Some(route) = self.route(conn.workspace().route) else { return conn.abort() };
            let options = route.options();
            conn.set_overflow(options.output_bytes_max, options.overflow);
            if matches!(options.overflow, Overflow::DropOldest | Overflow::KeepLatest) {
                conn.limit_unsent();
            }
            conn.set_deadline(Some(first_look(options.ping_interval.unwrap_or(LOOK_INTERVAL), id)));
            self.call(conn, |route, entry, socket| route.on_open(entry, socket));
        });
    }
}

/// A time within a tenth around `interval`, different for each socket.
fn first_look(interval: Duration, id: ConnId) -> Duration {
    // Fibonacci hashing: neighbours come out far apart.
    let spread = id.index.wrapping_add(id.generation).wrapping_mul(0x9e37_79b9) >> 16;
    interval * 9 / 10 + interval * spread / (5 * 65_536)
}

impl EventHandler for SocketService {
    type Workspace = SocketConn;

    fn on_data(&mut self, conn: &mut Conn<'_, SocketConn>, data: &Data<'_>) -> usize {
        let (flags, route) = conn.update(|state| {
            state.flags.set(Flags::HEARD);
            (state.flags, state.route)
        });
        if flags.has(Flags::OVER) {
            return data.len();
        }
        if flags.has(Flags::PAUSED) {
            return 0;
        }
        match self.sockets.route(route) {
            Some(route) => self.take(conn, data, &*route),
            None => {
                conn.abort();
                data.len()
            }
        }
    }

    fn on_sent(&mut self, conn: &mut Conn<'_, SocketConn>) {
        let flags = conn.update(|state| {
            let flags = state.flags;
            state.flags.clear(Flags::PRESSED);
            flags
        });
        if flags.has(Flags::PRESSED) {
            if flags.has(Flags::GATED) {
                self.sockets.gates.set_full(conn.id(), false);
            }
            if !flags.has(Flags::CLOSE_SENT | Flags::OVER) {
                self.sockets.call(conn, |route, entry, socket| route.on_drain(entry, socket));
                if is_at_end(conn) && !conn.workspace().flags.has(Flags::PAUSED | Flags::OVER) {
                    self.sockets.end_without_close(conn);
                }
            }
        }
    }

    /// The peer sends no more. What it has sent comes first; without a close frame in it, this is the end.
    fn on_end(&mut self, conn: &mut Conn<'_, SocketConn>) {
        if conn.pending_input() > 0 && !conn.workspace().flags.has(Flags::OVER) {
            conn.resume_input();
        } else {
            self.sockets.end_without_close(conn);
        }
    }

    fn on_deadline(&mut self, conn: &mut Conn<'_, SocketConn>) {
        let state = conn.workspace();
        let Some(route) = self.sockets.route(state.route) else { return conn.abort() };
        let options = route.options();
        let sent = conn.progress() as u32;
        let waits = conn.pending_output() > 0;
        let moves = state.sent_mark != sent;
        conn.update(|state| {
            state.sent_mark = sent;
            state.flags.clear(Flags::HEARD | Flags::ASKED);
        });
        if state.flags.has(Flags::CLOSE_SENT | Flags::OVER) {
            // The close frame waits behind others as long as they move.
            return match waits && moves {
                true => conn.set_deadline(Some(options.close_timeout)),
                false => conn.abort(),
            };
        }
        // One that takes nothing of what waits for it is not alive, whatever it sends. Without output, a handler that takes no messages
        // cannot hear whether the peer is.
        let alive = if waits { moves } else { state.flags.has(Flags::HEARD | Flags::PAUSED) };
        match options.ping_interval {
            _ if alive => conn.set_deadline(Some(options.ping_interval.unwrap_or(LOOK_INTERVAL))),
            _ if state.flags.has(Flags::ASKED) => conn.abort(),
            None if !waits => conn.set_deadline(Some(LOOK_INTERVAL)),
            _ => {
                conn.update(|state| state.flags.set(Flags::ASKED));
                if !waits {
                    // A connection that breaks here is told of by the loop.
                    let _ = write_frame(conn, false, Opcode::Ping, b"");
                }
                conn.set_deadline(Some(options.pong_timeout));
            }
        }
    }

    /// Too much waits: the peer has missed messages, and is told so.
    fn on_overflow(&mut self, conn: &mut Conn<'_, SocketConn>) {
        self.sockets.fail(conn, close::TRY_AGAIN_LATER, "too slow");
    }

    fn on_drain(&mut self, conn: &mut Conn<'_, SocketConn>) {
        self.sockets.begin_close(conn, close::GOING_AWAY, "");
    }

    fn on_close(&mut self, conn: &mut Conn<'_, SocketConn>) {
        let state = conn.workspace();
        self.sockets.tell_close(conn, &abnormal(state.close_code));
        self.sockets.close_gate(conn);
        self.sockets.drop_partial(conn);
        self.sockets.drop_contexts(conn);
        if let Some(route) = self.sockets.route(state.route) {
            without_waits(|| route.release(state.entry));
        }
    }
}

/// Whether the peer has ended its side, and all that it sent was taken.
fn is_at_end(conn: &Conn<'_, SocketConn>) -> bool {
    conn.is_ended() && conn.pending_input() == 0
}

/// The end of a socket whose peer has sent no close frame.
fn abnormal(sent: u16) -> Close {
    let code = if sent == 0 { close::ABNORMAL } else { sent };
    Close { code, reason: String::new(), clean: false }
}

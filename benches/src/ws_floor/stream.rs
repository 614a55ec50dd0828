//! What a connection's bytes mean: an upgrade, then frames. Pure; any chunking gives the same output.

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::ws::{self, CLOSE, FIN, FRAME_HEAD_BYTES_MAX, FrameHead, HEAD_END, PING, PONG};

/// The longest head of an upgrade.
const UPGRADE_BYTES_MAX: usize = 8 * 1024;
/// The longest frame in a room, which is gathered; others are passed on as they come.
const ROOM_FRAME_BYTES_MAX: u64 = 1 << 20;
const CONTROL_BYTES_MAX: u64 = 125;

/// What the path asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/ws`.
    Echo,
    /// `/room`.
    Room,
}

/// The connection broke a rule that even a floor holds to, or closed: what is in `out` is sent, then it is closed.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended;

/// The state of one connection's input.
#[derive(Default)]
pub struct Stream {
    /// `None` until the upgrade is answered.
    pub route: Option<Route>,
    /// The beginning of an upgrade, of a frame's head, or of a frame that must be whole, without mask.
    partial: Vec<u8>,
    /// What is left of the payload that is being read, its mask turned to its next byte.
    left: u64,
    mask: [u8; 4],
    target: Target,
}

/// Where the payload that is being read goes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Target {
    #[default]
    Out,
    /// To `partial`, and to the room when it is whole.
    Gather,
    Nowhere,
}

impl Stream {
    /// Takes the next bytes. What this connection is to be sent goes to `out`, what its room is to be sent to `room`.
    pub fn read(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, room: &mut Vec<u8>) -> Result<(), Ended> {
        let Some(route) = self.route else {
            bytes = self.read_upgrade(bytes, out)?;
            return if self.route.is_some() { self.read(bytes, out, room) } else { Ok(()) };
        };
        loop {
            if self.left > 0 {
                bytes = self.read_payload(bytes, out, room);
            }
            if bytes.is_empty() {
                return Ok(());
            }
            bytes = self.read_head(route, bytes, out, room)?;
        }
    }

    fn read_upgrade<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Ended> {
        let before = self.partial.len();
        self.partial.extend_from_slice(bytes);
        let from = before.saturating_sub(HEAD_END.len() - 1);
        let Some(at) = memchr::memmem::find(&self.partial[from..], HEAD_END) else {
            return if self.partial.len() > UPGRADE_BYTES_MAX { Err(Ended) } else { Ok(&[]) };
        };
        let end = from + at + HEAD_END.len();
        let head = std::mem::take(&mut self.partial);
        let path = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        let route = match path {
            b"/ws" => Route::Echo,
            b"/room" => Route::Room,
            _ => {
                out.extend_from_slice(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                return Err(Ended);
            }
        };
        let accept = derive_accept_key(ws::field(&head[..end], "sec-websocket-key").ok_or(Ended)?);
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(accept.as_bytes());
        out.extend_from_slice(HEAD_END);
        self.route = Some(route);
        Ok(&bytes[end - before..])
    }

    /// Begins a frame; of one that is whole in `bytes` nothing is kept.
    fn read_head<'a>(
        &mut self,
        route: Route,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
        room: &mut Vec<u8>,
    ) -> Result<&'a [u8], Ended> {
        let before = self.partial.len();
        let (head, rest) = if before == 0 {
            let Some(head) = FrameHead::read(bytes) else {
                self.partial.extend_from_slice(bytes);
                return Ok(&[]);
            };
            (head, &bytes[head.bytes..])
        } else {
            let taken = bytes.len().min(FRAME_HEAD_BYTES_MAX - before);
            self.partial.extend_from_slice(&bytes[..taken]);
            let Some(head) = FrameHead::read(&self.partial) else { return Ok(&bytes[taken..]) };
            self.partial.clear();
            (head, &bytes[head.bytes - before..])
        };
        let (first, length) = (head.first, head.payload_bytes);
        self.left = length;
        self.mask = head.mask;
        self.target = Target::Out;
        if head.is_control() {
            if length > CONTROL_BYTES_MAX {
                return Err(Ended);
            }
            match first & 0xf {
                PING => ws::push_head(out, FIN | PONG, length as usize),
                CLOSE => {
                    // Its payload, if it is there, is returned with it.
                    let payload = &rest[..rest.len().min(length as usize)];
                    ws::push_head(out, FIN | CLOSE, payload.len());
                    ws::push_unmasked(out, head.mask, payload);
                    return Err(Ended);
                }
                _ => self.target = Target::Nowhere,
            }
        } else if route == Route::Echo {
            ws::push_head(out, first, length as usize);
        } else if rest.len() as u64 >= length {
            let (payload, rest) = rest.split_at(length as usize);
            ws::push_head(room, first, payload.len());
            ws::push_unmasked(room, head.mask, payload);
            self.left = 0;
            return Ok(rest);
        } else {
            if length > ROOM_FRAME_BYTES_MAX {
                return Err(Ended);
            }
            ws::push_head(&mut self.partial, first, length as usize);
            self.target = Target::Gather;
        }
        Ok(rest)
    }

    fn read_payload<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>, room: &mut Vec<u8>) -> &'a [u8] {
        let taken = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let (payload, rest) = bytes.split_at(taken);
        match self.target {
            Target::Out => ws::push_unmasked(out, self.mask, payload),
            Target::Gather => ws::push_unmasked(&mut self.partial, self.mask, payload),
            Target::Nowhere => {}
        }
        self.mask.rotate_left(taken % 4);
        self.left -= taken as u64;
        if self.left == 0 && self.target == Target::Gather {
            room.append(&mut self.partial);
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::{BINARY, TEXT};

    fn upgrade(path: &str) -> Vec<u8> {
        ws::upgrade_request("127.0.0.1:80".parse().unwrap(), path, false)
    }

    /// Upgrade, frames of several lengths, a ping and a pong among them; and what is to be sent back.
    fn conversation(path: &str) -> (Vec<u8>, Vec<u8>) {
        let (mut asks, mut answers) = (upgrade(path), Vec::new());
        for (first, length) in
            [(FIN | TEXT, 5), (FIN | PING, 3), (BINARY, 0), (FIN | PONG, 4), (FIN, 130), (FIN | BINARY, 7)]
        {
            let payload: Vec<u8> = (0..length).map(|at| at as u8 ^ first).collect();
            ws::push_masked(&mut asks, first, [9, 8, 7, length as u8], &payload);
            let is_control = first & 0x8 != 0;
            match (path, first & 0xf) {
                (_, PONG) => continue,
                ("/ws", PING) => ws::push_head(&mut answers, FIN | PONG, payload.len()),
                ("/room", PING) => continue,
                _ => ws::push_head(&mut answers, first, payload.len()),
            }
            assert!(!is_control || path == "/ws");
            answers.extend_from_slice(&payload);
        }
        (asks, answers)
    }

    #[test]
    fn any_chunks_give_the_same_output() {
        for path in ["/ws", "/room"] {
            let (asks, answers) = conversation(path);
            for first in 0..=asks.len() {
                for second in (first..=asks.len()).step_by(7) {
                    let (mut stream, mut out, mut room) = (Stream::default(), Vec::new(), Vec::new());
                    for part in [&asks[..first], &asks[first..second], &asks[second..]] {
                        stream.read(part, &mut out, &mut room).unwrap();
                    }
                    let end = memchr::memmem::find(&out, HEAD_END).unwrap() + HEAD_END.len();
                    assert_eq!(ws::check_upgrade(&out[..end], false), Ok(()));
                    let got = if path == "/ws" { &out[end..] } else { &room };
                    assert_eq!(got, answers, "{path}, split at {first} and {second}");
                }
            }
        }
    }

    #[test]
    fn a_close_is_returned_and_ends() {
        let (mut stream, mut out, mut room) = (Stream::default(), Vec::new(), Vec::new());
        stream.read(&upgrade("/ws"), &mut out, &mut room).unwrap();
        out.clear();
        let mut close = Vec::new();
        ws::push_masked(&mut close, FIN | CLOSE, [1, 2, 3, 4], &1000u16.to_be_bytes());
        assert_eq!(stream.read(&close, &mut out, &mut room), Err(Ended));
        assert_eq!(out, [FIN | CLOSE, 2, 0x03, 0xe8]);
    }

    #[test]
    fn another_path_is_not_found() {
        let (mut out, mut room) = (Vec::new(), Vec::new());
        assert_eq!(Stream::default().read(&upgrade("/plaintext"), &mut out, &mut room), Err(Ended));
        assert!(out.starts_with(b"HTTP/1.1 404 "));
    }
}

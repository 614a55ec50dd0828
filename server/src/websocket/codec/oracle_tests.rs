//! The codec against tungstenite, which shares no code with it: what one side encodes the other decodes, at every boundary
//! of the length and with random splits and fragments.

use super::decoder::tests::{Seen, events_of};
use super::{DecodeLimits, Decoder, Opcode, encode_close, encode_frame, encode_frame_masked};
use std::io::{self, Read, Write};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// Lengths around each form of the header, each word of the mask and 64 KiB, and the largest of the issue.
const LENGTHS: [usize; 22] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    9,
    63,
    64,
    65,
    124,
    125,
    126,
    127,
    128,
    65_534,
    65_535,
    65_536,
    65_537,
    1 << 20,
    16 << 20,
];

/// A stream without a peer: reads come in pieces from `input`, writes are kept.
struct Pipe {
    input: Vec<u8>,
    at: usize,
    output: Vec<u8>,
    rng: fastrand::Rng,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.input.len() - self.at;
        if left == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let longest = if self.rng.bool() { 10 } else { 100_000 };
        let len = self.rng.usize(1..=longest).min(left).min(buffer.len());
        buffer[..len].copy_from_slice(&self.input[self.at..][..len]);
        self.at += len;
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn oracle(role: Role, input: Vec<u8>, seed: u64) -> WebSocket<Pipe> {
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let pipe = Pipe { input, at: 0, output: Vec::new(), rng: fastrand::Rng::with_seed(seed) };
    WebSocket::from_raw_socket(pipe, role, Some(config))
}

fn seen(message: Message) -> Seen {
    match message {
        Message::Text(text) => Seen::Message(true, false, text.as_bytes().to_vec()),
        Message::Binary(bytes) => Seen::Message(false, false, bytes.to_vec()),
        Message::Ping(payload) => Seen::Ping(payload.to_vec()),
        Message::Pong(payload) => Seen::Pong(payload.to_vec()),
        Message::Close(None) => Seen::Close(None, String::new()),
        Message::Close(Some(close)) => Seen::Close(Some(close.code.into()), close.reason.to_string()),
        Message::Frame(frame) => panic!("{frame}"),
    }
}

/// Messages of every length, binary and, up to 1 MiB, text.
fn messages(rng: &mut fastrand::Rng) -> Vec<Seen> {
    let mut messages = Vec::new();
    for len in LENGTHS {
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes);
        messages.push(Seen::Message(false, false, bytes));
        if len > 1 << 20 {
            continue;
        }
        let mut text: Vec<u8> = "text \u{fc} \u{20ac} \u{1f600}; ".bytes().cycle().take(len).collect();
        while std::str::from_utf8(&text).is_err() {
            text.pop();
        }
        text.resize(len, b'.');
        messages.push(Seen::Message(true, false, text));
    }
    messages
}

#[test]
fn what_tungstenite_encodes_is_decoded() {
    let limits = DecodeLimits::default();
    for (role, decoder) in [(Role::Client, Decoder::default()), (Role::Server, Decoder::client())] {
        let mut rng = fastrand::Rng::with_seed(6455);
        let mut theirs = oracle(role, Vec::new(), 1);
        let mut expected = messages(&mut rng);
        for message in &expected {
            let Seen::Message(text, _, bytes) = message else { unreachable!("messages only") };
            let message = match text {
                true => Message::text(String::from_utf8(bytes.clone()).unwrap()),
                false => Message::binary(bytes.clone()),
            };
            theirs.write(message).unwrap();
        }
        theirs.write(Message::Ping(vec![7; 125].into())).unwrap();
        theirs.close(None).unwrap();
        expected.extend([Seen::Ping(vec![7; 125]), Seen::Close(None, String::new())]);
        let wire = std::mem::take(&mut theirs.get_mut().output);
        let cut = || if rng.bool() { rng.usize(1..20) } else { rng.usize(1..300_000) };
        assert!(events_of(decoder, &wire, &limits, cut) == expected);
    }
}

/// A session of all messages, in random fragments with control frames between, as a client or as a server sends it.
fn session(rng: &mut fastrand::Rng, masked: bool, wire: &mut Vec<u8>) -> Vec<Seen> {
    let mut expected = Vec::new();
    for message in messages(rng) {
        let Seen::Message(text, _, bytes) = &message else { unreachable!("messages only") };
        let mut opcode = if *text { Opcode::Text } else { Opcode::Binary };
        let mut rest = &bytes[..];
        loop {
            let len = if rng.bool() { rest.len() } else { rng.usize(0..=rest.len()) };
            let (payload, behind) = rest.split_at(len);
            let fin = behind.is_empty() && rng.u8(..4) > 0;
            encode(rng, masked, wire, fin, opcode, payload);
            if fin {
                break;
            }
            if rng.bool() {
                let control = vec![rng.u8(..); rng.usize(0..=125)];
                encode(rng, masked, wire, true, Opcode::Pong, &control);
                expected.push(Seen::Pong(control));
            }
            (opcode, rest) = (Opcode::Continuation, behind);
        }
        expected.push(message);
    }
    expected
}

fn encode(
    rng: &mut fastrand::Rng,
    masked: bool,
    wire: &mut Vec<u8>,
    fin: bool,
    opcode: Opcode,
    payload: &[u8],
) {
    match masked {
        true => encode_frame_masked(wire, fin, false, opcode, rng.u32(..).to_ne_bytes(), payload),
        false => encode_frame(wire, fin, false, opcode, payload),
    }
}

#[test]
fn what_is_encoded_tungstenite_decodes_the_same_way() {
    for (masked, role, decoder) in
        [(true, Role::Server, Decoder::default()), (false, Role::Client, Decoder::client())]
    {
        let mut rng = fastrand::Rng::with_seed(9);
        let mut wire = Vec::new();
        let mut expected = session(&mut rng, masked, &mut wire);
        if !masked {
            encode_close(&mut wire, Some(1001), "going away");
            expected.push(Seen::Close(Some(1001), "going away".to_owned()));
        }
        let cut = || if rng.bool() { rng.usize(1..20) } else { rng.usize(1..300_000) };
        assert!(events_of(decoder, &wire, &DecodeLimits::default(), cut) == expected);
        let mut theirs = oracle(role, wire, 2);
        for expected in expected {
            assert!(seen(theirs.read().unwrap()) == expected);
        }
    }
}

//! How a record is sent, and what counts as its answer. Pure.

use std::fmt;
use std::net::SocketAddr;

use crate::load::{AnswerReader, Malformed};
use crate::ws::{self, FrameHead};

/// What producers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A POST for each record, on a connection that stays.
    Http,
    /// A frame for each record.
    WebSocket,
    /// XADD to Redis.
    Redis,
}

/// The topic, or stream, that is produced to.
pub const TOPIC: &str = "bench";
/// A key without a value: Redis' entries have fields.
const FIELD: &str = "r";

impl Protocol {
    /// One record with this payload, of letters and digits; with a key, where the protocol has one.
    pub fn encode(self, addr: SocketAddr, payload: &str, key: Option<&str>) -> Vec<u8> {
        match self {
            Protocol::Http => {
                let key = key.map(|key| format!("Sws-Key: {key}\r\n")).unwrap_or_default();
                let length = payload.len();
                format!(
                    "POST /topics/{TOPIC} HTTP/1.1\r\nHost: {addr}\r\nContent-Type: text/plain\r\n{key}Content-Length: {length}\r\n\r\n{payload}"
                )
                .into_bytes()
            }
            Protocol::WebSocket => {
                let key = key.map(|key| format!(r#","key":"{key}""#)).unwrap_or_default();
                let message = format!(r#"{{"op":"produce","topic":"{TOPIC}","text":"{payload}"{key}}}"#);
                let mut frame = Vec::new();
                ws::push_masked(&mut frame, ws::FIN | ws::TEXT, [0x5a, 0x17, 0xc3, 0x08], message.as_bytes());
                frame
            }
            Protocol::Redis => {
                let words = ["XADD", TOPIC, "*", key.unwrap_or(FIELD), payload];
                let mut command = format!("*{}\r\n", words.len());
                for word in words {
                    command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
                }
                command.into_bytes()
            }
        }
    }

    /// For a connection that has sent nothing yet.
    pub fn reader(self) -> Reader {
        match self {
            Protocol::Http => Reader::Http(AnswerReader::default()),
            Protocol::WebSocket => Reader::WebSocket(Vec::new()),
            Protocol::Redis => Reader::Redis(Vec::new()),
        }
    }
}

/// What came that is no answer to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// It is no answer of HTTP with status 200.
    Http(Malformed),
    /// It says another thing than that the record was taken.
    Text(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Http(malformed) => write!(f, "{malformed}"),
            Refused::Text(text) => write!(f, "answered {text:?}"),
        }
    }
}

impl std::error::Error for Refused {}

/// Counts whole answers that say that a record was taken.
pub enum Reader {
    /// By status and length.
    Http(AnswerReader),
    /// By whole frames; what came of one that is not whole.
    WebSocket(Vec<u8>),
    /// By whole replies; the same.
    Redis(Vec<u8>),
}

impl Reader {
    /// Takes the next bytes; how many answers ended in them.
    pub fn read(&mut self, bytes: &[u8]) -> Result<u32, Refused> {
        match self {
            Reader::Http(reader) => reader.read(bytes).map_err(Refused::Http),
            Reader::WebSocket(partial) => count(partial, bytes, frame),
            Reader::Redis(partial) => count(partial, bytes, reply),
        }
    }
}

type Split = fn(&[u8]) -> Result<Option<usize>, Refused>;

/// Counts what `split` finds one after the other, and keeps what is not whole.
fn count(partial: &mut Vec<u8>, bytes: &[u8], split: Split) -> Result<u32, Refused> {
    let mut answers = 0;
    let mut at = 0;
    // Nearly always one whole answer comes alone.
    let all: &[u8] = match partial.is_empty() {
        true => bytes,
        false => {
            partial.extend_from_slice(bytes);
            partial
        }
    };
    while let Some(len) = split(&all[at..])? {
        answers += 1;
        at += len;
    }
    *partial = all[at..].to_vec();
    Ok(answers)
}

fn refused(bytes: &[u8]) -> Refused {
    Refused::Text(String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned())
}

/// The length of the frame at the beginning, if it is whole.
fn frame(bytes: &[u8]) -> Result<Option<usize>, Refused> {
    let Some(head) = FrameHead::read(bytes) else { return Ok(None) };
    let len = head.bytes + head.payload_bytes as usize;
    let Some(payload) = bytes.get(head.bytes..len) else { return Ok(None) };
    let is_answer = memchr::memmem::find(payload, br#""op":"produced""#).is_some();
    if is_answer { Ok(Some(len)) } else { Err(refused(payload)) }
}

/// The same of a reply of Redis: XADD is answered with the entry's id, as `$15\r\n1526919030474-0\r\n`.
fn reply(bytes: &[u8]) -> Result<Option<usize>, Refused> {
    let Some(end) = memchr::memchr(b'\n', bytes) else { return Ok(None) };
    let length = bytes[..end].strip_prefix(b"$").and_then(|digits| std::str::from_utf8(digits).ok());
    let Some(length) = length.and_then(|digits| digits.trim_end().parse::<usize>().ok()) else {
        return Err(refused(&bytes[..end]));
    };
    let len = end + 1 + length + 2;
    Ok((bytes.len() >= len).then_some(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_of(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        ws::push_head(&mut bytes, ws::FIN | ws::TEXT, text.len());
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn answers_count_when_they_are_whole_however_they_come() {
        let http = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec();
        let websocket = frame_of(r#"{"offset":3,"op":"produced"}"#);
        let redis = b"$15\r\n1526919030474-0\r\n".to_vec();
        for (protocol, answer) in
            [(Protocol::Http, http), (Protocol::WebSocket, websocket), (Protocol::Redis, redis)]
        {
            let stream = answer.repeat(3);
            for cut in 0..=stream.len() {
                let mut reader = protocol.reader();
                let first = reader.read(&stream[..cut]).unwrap();
                assert_eq!(first as usize, cut / answer.len(), "{protocol:?}, cut at {cut}");
                assert_eq!(first + reader.read(&stream[cut..]).unwrap(), 3, "{protocol:?}, cut at {cut}");
            }
        }
    }

    #[test]
    fn a_refusal_is_no_answer() {
        let error = frame_of(r#"{"code":"overloaded","op":"error"}"#);
        assert!(Protocol::WebSocket.reader().read(&error).is_err());
        assert!(Protocol::Redis.reader().read(b"-ERR no\r\n").is_err());
        assert!(Protocol::Http.reader().read(b"HTTP/1.1 429 Too Many Requests\r\n\r\n").is_err());
    }

    #[test]
    fn commands_are_written_as_redis_reads_them() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let command = Protocol::Redis.encode(addr, "abc", None);
        let expected = "*5\r\n$4\r\nXADD\r\n$5\r\nbench\r\n$1\r\n*\r\n$1\r\nr\r\n$3\r\nabc\r\n";
        assert_eq!(String::from_utf8(command).unwrap(), expected);
    }
}

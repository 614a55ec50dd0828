//! Messages, borrowed and owned.

use std::fmt;
use sws_runtime::Publication;

/// A message as a callback gets it and as a socket sends it: text or binary, borrowed.
///
/// ```
/// use sws::websocket::Message;
///
/// assert_eq!(Message::from("hello"), Message::Text("hello"));
/// assert_eq!(Message::from(&b"\x00\x01"[..]).as_bytes(), [0, 1]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text; checked to be UTF-8 when it came from a peer.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The payload, whatever its type.
    pub fn as_bytes(&self) -> &'a [u8] {
        match *self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&'a str> {
        match *self {
            Message::Text(text) => Some(text),
            Message::Binary(_) => None,
        }
    }

    /// Bytes of the payload.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is text.
    pub fn is_text(&self) -> bool {
        matches!(self, Message::Text(_))
    }

    /// A copy that outlives the callback.
    pub fn to_buf(&self) -> MessageBuf {
        match *self {
            Message::Text(text) => MessageBuf::Text(text.to_owned()),
            Message::Binary(bytes) => MessageBuf::Binary(bytes.to_vec()),
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Message::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Message<'a> {
        Message::Text(text)
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Message<'a> {
        Message::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(bytes: &'a [u8]) -> Message<'a> {
        Message::Binary(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    fn from(bytes: &'a Vec<u8>) -> Message<'a> {
        Message::Binary(bytes)
    }
}

impl<'a> From<&'a MessageBuf> for Message<'a> {
    fn from(message: &'a MessageBuf) -> Message<'a> {
        message.as_message()
    }
}

impl From<Message<'_>> for Publication {
    fn from(message: Message<'_>) -> Publication {
        match message {
            Message::Text(text) => Publication::from(text),
            Message::Binary(bytes) => Publication::from(bytes),
        }
    }
}

/// A message of its own, as [`WebSocket::recv`](super::WebSocket::recv) gives it.
#[derive(Clone, PartialEq, Eq)]
pub enum MessageBuf {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl MessageBuf {
    /// The message, borrowed.
    pub fn as_message(&self) -> Message<'_> {
        match self {
            MessageBuf::Text(text) => Message::Text(text),
            MessageBuf::Binary(bytes) => Message::Binary(bytes),
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        self.as_message().as_text()
    }

    /// The payload, whatever its type.
    pub fn as_bytes(&self) -> &[u8] {
        self.as_message().as_bytes()
    }

    /// Bytes of the payload.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for MessageBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_message().fmt(f)
    }
}

/// How a socket ended.
///
/// ```
/// use sws::websocket::Close;
///
/// let close = Close { code: 1000, reason: "bye".into(), clean: true };
/// assert_eq!(close.to_string(), "1000 bye");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code: the peer's, or ours where it sent none; 1005 for a close frame without a code, 1006 for an end without a close
    /// frame (RFC 6455, 7.4.1).
    pub code: u16,
    /// The peer's reason; often empty.
    pub reason: String,
    /// Whether the peer has sent a close frame.
    pub clean: bool,
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " {}", self.reason) }
    }
}

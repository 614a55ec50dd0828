//! What is published, and how it becomes bytes.

use bytes::Bytes;
use std::fmt::Write;
use std::sync::Arc;

/// What a payload is: protocols that tell texts from bytes have to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadKind {
    /// UTF-8.
    #[default]
    Text,
    /// Any bytes.
    Binary,
}

/// One message to the subscribers of a topic.
///
/// ```
/// use sws_runtime::{PayloadKind, Publication};
///
/// let publication = Publication::from("42.17").key(7).event("price");
/// assert_eq!((publication.kind, publication.key), (PayloadKind::Text, 7));
/// assert_eq!(publication.event.as_deref(), Some("price"));
/// assert_eq!(Publication::from(vec![0, 1]).kind, PayloadKind::Binary);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// The message.
    pub payload: Bytes,
    /// Whether it is text.
    pub kind: PayloadKind,
    /// What this is the latest value of: it takes the place of a message with the same key that waits for a slow subscriber
    /// ([`Overflow::KeepLatest`](crate::Overflow::KeepLatest)). 0 for a message that stands for itself.
    pub key: u64,
    /// A name for the kind of message, for encodings that have such.
    pub event: Option<Arc<str>>,
    /// The number of the message in its topic, given on publishing in topics with history: one more than that of the message before. The
    /// first follows from the time at which the topic came to be, so that the numbers of a topic that was forgotten, or of a server
    /// that was started anew, are older ones. Below 2^53. 0 in other topics. In topics with a [journal](crate::Journal) the journal gives it.
    pub sequence: u64,
    /// Where its topic's journal keeps it, if there is one.
    pub record: Option<Recorded>,
}

/// A publication as a [journal](crate::Journal) keeps it, for encodings that say more of it than its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What the journal calls the place.
    pub source: Arc<str>,
    /// The record, as the journal writes it.
    pub bytes: Bytes,
}

impl Publication {
    /// A message of this kind. Whether a text is UTF-8 is for the caller to know.
    pub fn new(payload: impl Into<Bytes>, kind: PayloadKind) -> Publication {
        Publication { payload: payload.into(), kind, ..Publication::default() }
    }

    /// A text that is the JSON of a value.
    ///
    /// # Errors
    /// When the value has no JSON form.
    ///
    /// ```
    /// use sws_runtime::Publication;
    ///
    /// assert_eq!(&Publication::json(&[1, 2])?.payload[..], b"[1,2]");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<Publication, serde_json::Error> {
        Ok(Publication::new(serde_json::to_vec(value)?, PayloadKind::Text))
    }

    /// Names what this is the latest value of.
    #[must_use]
    pub fn key(mut self, key: u64) -> Publication {
        self.key = key;
        self
    }

    /// Names the kind of message.
    #[must_use]
    pub fn event(mut self, name: impl Into<Arc<str>>) -> Publication {
        self.event = Some(name.into());
        self
    }
}

impl From<&str> for Publication {
    fn from(text: &str) -> Publication {
        Publication::new(Bytes::copy_from_slice(text.as_bytes()), PayloadKind::Text)
    }
}

impl From<String> for Publication {
    fn from(text: String) -> Publication {
        Publication::new(text, PayloadKind::Text)
    }
}

impl From<&[u8]> for Publication {
    fn from(bytes: &[u8]) -> Publication {
        Publication::new(Bytes::copy_from_slice(bytes), PayloadKind::Binary)
    }
}

impl From<Vec<u8>> for Publication {
    fn from(bytes: Vec<u8>) -> Publication {
        Publication::new(bytes, PayloadKind::Binary)
    }
}

impl From<Bytes> for Publication {
    fn from(bytes: Bytes) -> Publication {
        Publication::new(bytes, PayloadKind::Binary)
    }
}

/// How publications become the bytes of a subscriber's protocol: [`Encoding::RAW`], or one that was registered with the worker by
/// [`Runtime::add_encoding`](crate::Runtime::add_encoding).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoding(pub(super) u8);

impl Encoding {
    /// Payloads as they are, one behind the other.
    pub const RAW: Encoding = Encoding(0);
}

/// Somebody came to, or left, a topic with presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PresenceEvent<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Who.
    pub member: &'a str,
    /// Whether they came: their first connection has joined. Otherwise their last one has left.
    pub joined: bool,
    /// How many members there are from here on.
    pub count: usize,
}

impl PresenceEvent<'_> {
    /// The event as a JSON text, such as `{"event":"join","topic":"room/1","member":"Ada","count":3}`.
    pub fn to_json(&self) -> String {
        let event = if self.joined { "join" } else { "leave" };
        let mut json = String::with_capacity(64 + self.topic.len() + self.member.len());
        let (topic, member) = (serde_json::Value::from(self.topic), serde_json::Value::from(self.member));
        write!(json, r#"{{"event":"{event}","topic":{topic},"member":{member},"count":{}}}"#, self.count)
            .expect("a string takes all that is written");
        json
    }

    /// What is published unless the topic says otherwise: [`to_json`](PresenceEvent::to_json), with `join` or `leave` as the name of
    /// the event.
    pub fn to_publication(&self) -> Publication {
        Publication::from(self.to_json()).event(if self.joined { "join" } else { "leave" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_in_events() {
        let event = PresenceEvent { topic: "room/\"1\"", member: "A\\da\n\u{1}é", joined: true, count: 3 };
        assert_eq!(
            event.to_json(),
            r#"{"event":"join","topic":"room/\"1\"","member":"A\\da\n\u0001é","count":3}"#
        );
        let parsed: serde_json::Value = serde_json::from_str(&event.to_json()).expect("it is JSON");
        assert_eq!(parsed["member"], "A\\da\n\u{1}é");
    }
}

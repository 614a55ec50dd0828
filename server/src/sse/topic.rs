//! Topics as streams see them: a publication becomes one event, encoded once for all who get it.

use super::{Event, EventStream};
use data_encoding::BASE64;
use std::borrow::Cow;
use sws_runtime::{PayloadKind, Publication, Replay, SubscribeError};

/// Appends a publication as an event: its number in the topic is the id, where the topic gives numbers.
pub(super) fn encode_publication(publication: &Publication, out: &mut Vec<u8>) {
    let data = match publication.kind {
        // Whoever published it knows that it is UTF-8; an event cannot be anything else.
        PayloadKind::Text => String::from_utf8_lossy(&publication.payload),
        PayloadKind::Binary => Cow::Owned(BASE64.encode(&publication.payload)),
    };
    let mut event = Event::data(data);
    if let Some(name) = &publication.event {
        event = event.event(&**name);
    }
    if publication.sequence > 0 {
        event = event.id(publication.sequence.to_string());
    }
    event.encode(out);
}

/// Topics. A publication is an event with the publication's payload as its data (a binary one in base64), the publication's name, and, where
/// the topic keeps history, its number as the id.
impl EventStream<'_> {
    /// Makes the stream a subscriber of a topic until [`unsubscribe`](EventStream::unsubscribe) or its end; see
    /// [`Conn::subscribe`](crate::runtime::Conn::subscribe). What the topic keeps is sent first.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe(&mut self, topic: &str) -> Result<(), SubscribeError> {
        let encoding = self.encoding()?;
        self.conn().subscribe(topic, encoding)
    }

    /// Subscribes to all topics whose name begins with `prefix`; see [`Conn::subscribe_prefix`](crate::runtime::Conn::subscribe_prefix).
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe_prefix(&mut self, prefix: &str) -> Result<(), SubscribeError> {
        let encoding = self.encoding()?;
        self.conn().subscribe_prefix(prefix, encoding)
    }

    /// As [`subscribe`](EventStream::subscribe), for a client that has what was published up to this number, as it says by `Last-Event-ID`;
    /// see [`Conn::subscribe_since`](crate::runtime::Conn::subscribe_since). An id is one number, so a stream resumes one topic.
    ///
    /// ```
    /// use sws::sse::Sse;
    /// use sws::{Response, Router};
    ///
    /// fn news(sse: Sse) -> Response {
    ///     let last = sse.last_sequence().unwrap_or(0);
    ///     sse.open(move |stream| match stream.subscribe_since("news", last) {
    ///         Ok(replay) if replay.missed => drop(stream.send("some news are gone")),
    ///         Ok(_) => {}
    ///         Err(_) => stream.close(),
    ///     })
    /// }
    /// # let _ = Router::new().get("/news", news);
    /// ```
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe_since(&mut self, topic: &str, sequence: u64) -> Result<Replay, SubscribeError> {
        let encoding = self.encoding()?;
        self.conn().subscribe_since(topic, encoding, sequence)
    }

    /// As [`subscribe`](EventStream::subscribe), as one of the connections of a member of a topic with presence; see
    /// [`Conn::join`](crate::runtime::Conn::join).
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn join(&mut self, topic: &str, member: &str) -> Result<(), SubscribeError> {
        let encoding = self.encoding()?;
        self.conn().join(topic, member, encoding)
    }

    /// Ends a subscription; what was published before is still delivered. False if there is none.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.conn().unsubscribe(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_become_events() {
        let numbered = |publication: Publication| Publication { sequence: 7, ..publication };
        let cases: &[(Publication, &str)] = &[
            (Publication::from("a\nb"), "data: a\ndata: b\n\n"),
            (numbered(Publication::from("a")), "id: 7\ndata: a\n\n"),
            (Publication::from("a").event("price"), "event: price\ndata: a\n\n"),
            (Publication::from("a").event("x\ndata: y"), "data: a\n\n"),
            (Publication::from(vec![0, 255, 10]), "data: AP8K\n\n"),
            (Publication::new("a\u{1}".as_bytes(), PayloadKind::Text), "data: a\u{1}\n\n"),
            (Publication::new(&b"\xff"[..], PayloadKind::Text), "data: \u{fffd}\n\n"),
        ];
        for (publication, expected) in cases {
            let mut out = Vec::new();
            encode_publication(publication, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), *expected, "{publication:?}");
        }
    }
}

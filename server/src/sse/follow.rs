//! Records of a log as events.

use super::service::StreamConn;
use super::streams::Streams;
use super::topic::encode_publication;
use super::{Event, EventStream};
use crate::follow::{self, FollowError, Follower, Start};
use crate::log_routes::encode_record_json as record_json;
use data_encoding::BASE64;
use std::borrow::Cow;
use std::sync::Arc;
use sws_content::log::{FetchError, Log, Record, live_name};
use sws_runtime::{ConnId, Encoding, Publication, Replay, SendError, SubscribeError, find_local, with_conn};

/// How a record becomes an event. The event's id is the record's offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordFormat {
    /// The data are the payload. Bytes that are no text are in base64, as events named `bytes`; a tombstone is an event named
    /// `tombstone`, with its key as the data.
    #[default]
    Payload,
    /// The data are `{"offset", "timestamp", "key", "text" or "base64"}`, as a fetch has it.
    Json,
}

/// The encodings of both formats.
#[derive(Clone, Copy)]
pub(super) struct RecordEncodings {
    pub(super) payload: Encoding,
    pub(super) json: Encoding,
}

fn encode_payload(record: &Record, out: &mut Vec<u8>) {
    let lossy = |bytes| String::from_utf8_lossy(bytes);
    let event = if record.tombstone {
        Event::data(record.key.as_deref().map_or(Cow::Borrowed(""), lossy)).event("tombstone")
    } else if record.text {
        Event::data(lossy(&record.payload))
    } else {
        Event::data(BASE64.encode(&record.payload)).event("bytes")
    };
    event.id(record.offset.to_string()).encode(out);
}

fn encode_json(record: &Record, out: &mut Vec<u8>) {
    let mut json = Vec::with_capacity(record.payload.len() + 96);
    record_json(&mut json, record);
    Event::data(String::from_utf8_lossy(&json)).id(record.offset.to_string()).encode(out);
}

pub(super) fn encode_record_payload(publication: &Publication, out: &mut Vec<u8>) {
    encode_recorded(publication, out, encode_payload);
}

pub(super) fn encode_record_json(publication: &Publication, out: &mut Vec<u8>) {
    encode_recorded(publication, out, encode_json);
}

/// What is published without the log, such as who comes and goes, is an event as any other.
fn encode_recorded(publication: &Publication, out: &mut Vec<u8>, encode: fn(&Record, &mut Vec<u8>)) {
    match publication.record.as_ref().and_then(|recorded| Record::decode(&recorded.bytes)) {
        Some(record) => encode(&record, out),
        None => encode_publication(publication, out),
    }
}

/// The event that says that records were there which are not any more, or that the topic has begun anew.
pub(crate) const MISSED: &str = "missed";
/// The event that says why a stream ends.
const FAILED: &str = "failed";

/// A stream that follows.
struct StreamFollower {
    id: ConnId,
    format: RecordFormat,
    encoding: Encoding,
}

impl Follower for StreamFollower {
    fn id(&self) -> ConnId {
        self.id
    }

    fn pending(&self) -> Option<usize> {
        let pending =
            with_conn::<StreamConn, _>(self.id, |conn| (!conn.is_closing()).then(|| conn.pending_output()));
        pending.flatten()
    }

    fn send(&self, _source: &Arc<str>, record: &Record) -> Result<(), SendError> {
        let mut bytes = Vec::with_capacity(record.payload.len() + 128);
        match self.format {
            RecordFormat::Payload => encode_payload(record, &mut bytes),
            RecordFormat::Json => encode_json(record, &mut bytes),
        }
        let event = bytes.into();
        with_conn::<StreamConn, _>(self.id, |conn| conn.push_message(&event, 0))
            .unwrap_or(Err(SendError::Closed))
    }

    fn subscribe(&self, topic: &str, after: u64) -> Result<Replay, SubscribeError> {
        let encoding = self.encoding;
        with_conn::<StreamConn, _>(self.id, |conn| conn.subscribe_behind(topic, encoding, after))
            .unwrap_or(Err(SubscribeError::Closed))
    }

    /// One that were ended for an offset out of range would come again with the same: it is told, and gets what there is.
    fn fail(&self, log: &Log, place: &Start, error: FollowError) {
        let Some(streams) = find_local::<Streams>() else { return };
        streams.with(self.id, |stream| {
            let again = match &error {
                FollowError::Fetch(FetchError::OutOfRange { low, high }) => {
                    let what = format!(r#"{{"low":{low},"high":{high}}}"#);
                    let told = stream.send(Event::data(what).event(MISSED));
                    told.is_ok()
                        && stream.follow(log, &place.topic, place.partition, *low, self.format).is_ok()
                }
                _ => false,
            };
            if !again {
                // Without room for it the stream ends all the same.
                let _ = stream.send(Event::data(error.to_string()).event(FAILED));
                stream.close();
            }
        });
    }
}

impl EventStream<'_> {
    /// Sends all records of a partition from an offset on, those that come later too: each once, in order, with its offset as the id of its
    /// event, so that a client which comes again says by `Last-Event-ID` what it has. A client that reads more slowly than records come is sent
    /// no more than it takes; when it has caught up and falls behind after that, the stream's policy counts.
    ///
    /// ```
    /// use sws::sse::{RecordFormat, Sse};
    /// use sws::{Log, Response, Router};
    ///
    /// # let dir = std::env::temp_dir().join(format!("sws-doc-follow-{}", std::process::id()));
    /// let (log, _report) = Log::open(&dir)?;
    /// let orders = move |sse: Sse| -> Response {
    ///     let next = sse.last_sequence().map_or(0, |last| last + 1);
    ///     let log = log.clone();
    ///     sse.open(move |stream| {
    ///         if stream.follow(&log, "orders", 0, next, RecordFormat::Json).is_err() {
    ///             stream.close();
    ///         }
    ///     })
    /// };
    /// let router = Router::new().get("/orders", orders);
    /// # let _ = router;
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FollowError::Following`] and [`FollowError::TooMany`]. If it turns out later that the offset is not kept any more, or that there is
    /// none such yet, an event `missed` with the data `{"low", "high"}` says so, and all from `low` on follows. Anything else ends the
    /// stream behind an event `failed` that says why.
    pub fn follow(
        &mut self,
        log: &Log,
        topic: &str,
        partition: u32,
        offset: u64,
        format: RecordFormat,
    ) -> Result<(), FollowError> {
        let encodings = self.streams().record_encodings();
        let encodings = encodings.ok_or(FollowError::Subscribe(SubscribeError::Encoding))?;
        let encoding = match format {
            RecordFormat::Payload => encodings.payload,
            RecordFormat::Json => encodings.json,
        };
        if self.conn().is_subscribed(&live_name(topic, partition)) {
            return Err(FollowError::Following);
        }
        let start = Start { topic: topic.to_owned(), partition, offset };
        follow::follow(log, start, StreamFollower { id: self.id(), format, encoding })
    }
}

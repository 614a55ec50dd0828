//! Records of a log as messages.

use super::codec::{Opcode, encode_frame};
use super::sockets::Sockets;
use super::state::{Flags, SocketConn};
use super::topic::encode_plain;
use super::{Message, Socket};
use crate::follow::{self, FollowError, Follower, Start};
use crate::log_routes::{encode_number, encode_record_members, encode_text};
use std::sync::Arc;
use sws_content::log::{Log, Record, live_name};
use sws_runtime::{ConnId, Encoding, Publication, Replay, SendError, SubscribeError, find_local, with_conn};

/// Appends `{"op":"record","topic":...,"partition":...,` and the members of the record.
fn envelope(out: &mut Vec<u8>, source: &str, record: &Record) {
    let (topic, partition) = match source.rsplit_once('#') {
        Some((topic, number)) => (topic, number.parse().unwrap_or(0)),
        None => (source, 0),
    };
    out.extend_from_slice(b"{\"op\":\"record\",\"topic\":");
    encode_text(out, topic);
    out.extend_from_slice(b",\"partition\":");
    encode_number(out, partition);
    out.push(b',');
    encode_record_members(out, record);
}

fn recorded(publication: &Publication) -> Option<Vec<u8>> {
    let recorded = publication.record.as_ref()?;
    let record = Record::decode(&recorded.bytes)?;
    let mut json = Vec::with_capacity(record.payload.len() + 128);
    envelope(&mut json, &recorded.source, &record);
    Some(json)
}

/// Appends a record of a log as a frame. What is published without the log goes as it is.
pub(super) fn encode_record(publication: &Publication, out: &mut Vec<u8>) {
    match recorded(publication) {
        Some(json) => encode_frame(out, true, false, Opcode::Text, &json),
        None => encode_plain(publication, out),
    }
}

impl Sockets {
    /// The same, compressed if that makes it shorter.
    pub(super) fn encode_record_deflated(&self, publication: &Publication, out: &mut Vec<u8>) {
        match recorded(publication) {
            Some(json) => self.encode_shared(Opcode::Text, &json, out),
            None => self.encode_deflated(publication, out),
        }
    }
}

/// What is called when a socket cannot go on.
type Failed = dyn Fn(&mut Socket<'_>, FollowError);

/// A socket that follows.
struct SocketFollower {
    id: ConnId,
    encoding: Encoding,
    member: Option<String>,
    failed: Box<Failed>,
}

impl SocketFollower {
    fn with<R>(&self, f: impl FnOnce(&mut Socket<'_>) -> R) -> Option<R> {
        find_local::<Sockets>()?.with(self.id, f)
    }
}

impl Follower for SocketFollower {
    fn id(&self) -> ConnId {
        self.id
    }

    fn pending(&self) -> Option<usize> {
        self.with(|socket| (!socket.is_closing()).then(|| socket.pending_bytes())).flatten()
    }

    fn send(&self, source: &Arc<str>, record: &Record) -> Result<(), SendError> {
        let mut json = Vec::with_capacity(record.payload.len() + 128);
        envelope(&mut json, source, record);
        let text = std::str::from_utf8(&json).expect("what is made of strings is one");
        self.with(|socket| socket.send(Message::Text(text))).unwrap_or(Err(SendError::Closed))
    }

    fn subscribe(&self, topic: &str, after: u64) -> Result<Replay, SubscribeError> {
        with_conn::<SocketConn, _>(self.id, |conn| {
            let replay = conn.subscribe_behind(topic, self.encoding, after)?;
            let member = self.member.as_deref().filter(|_| !replay.missed);
            let joined = member.map_or(Ok(()), |member| conn.join(topic, member, self.encoding));
            if joined.is_err() {
                // A refused wish has no part that lives on.
                conn.unsubscribe(topic);
            }
            joined.map(|()| replay)
        })
        .unwrap_or(Err(SubscribeError::Closed))
    }

    fn fail(&self, _log: &Log, _place: &Start, error: FollowError) {
        self.with(|socket| (self.failed)(socket, error));
    }
}

/// A log: its records as messages.
impl Socket<'_> {
    /// Sends all records of a partition from an offset on, those that come later too: each once and in order, as a text
    /// `{"op":"record","topic","partition","offset","timestamp","key","text" or "base64"}`. A client that reads more slowly than records come is
    /// sent no more than it takes; when it has caught up and falls behind after that, the socket's policy counts.
    ///
    /// With a `member`, the socket becomes one of that member's when it has caught up, in a topic with
    /// [presence](crate::TopicOptions::presence). `failed` is called when it cannot go on, such as for an offset that is not kept any more.
    ///
    /// ```
    /// use sws::websocket::{Socket, SocketHandler, WebSocketUpgrade};
    /// use sws::{Log, Router};
    ///
    /// struct Reader(Log);
    ///
    /// impl SocketHandler for Reader {
    ///     fn on_open(&mut self, socket: &mut Socket<'_>) {
    ///         let failed = |socket: &mut Socket<'_>, _| socket.close(1011, "the log cannot be read");
    ///         if socket.follow(&self.0, "orders", 0, 0, None, failed).is_err() {
    ///             socket.close(1013, "too many readers");
    ///         }
    ///     }
    /// }
    ///
    /// # let dir = std::env::temp_dir().join(format!("sws-doc-follow-ws-{}", std::process::id()));
    /// let (log, _report) = Log::open(&dir)?;
    /// let router = Router::new().get("/orders", move |up: WebSocketUpgrade| up.accept(Reader(log.clone())));
    /// # let _ = router;
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FollowError::Following`] and [`FollowError::TooMany`].
    pub fn follow(
        &mut self,
        log: &Log,
        topic: &str,
        partition: u32,
        offset: u64,
        member: Option<&str>,
        failed: impl Fn(&mut Socket<'_>, FollowError) + 'static,
    ) -> Result<(), FollowError> {
        let flags = self.conn().update(|state| state.flags);
        let encodings = self.sockets().encodings().filter(|_| !flags.has(Flags::ENDING));
        let encodings = encodings.ok_or(FollowError::Subscribe(SubscribeError::Closed))?;
        let shared = flags.has(Flags::SHARED_DEFLATE);
        let encoding = if shared { encodings.records_deflated } else { encodings.records };
        if self.is_subscribed(&live_name(topic, partition)) {
            return Err(FollowError::Following);
        }
        let start = Start { topic: topic.to_owned(), partition, offset };
        let member = member.map(str::to_owned);
        follow::follow(
            log,
            start,
            SocketFollower { id: self.id(), encoding, member, failed: Box::new(failed) },
        )
    }

    /// Partitions of which the socket reads what is there.
    pub(crate) fn catching_up(&self) -> usize {
        follow::catching_up(self.id())
    }

    /// Ends [`follow`](Socket::follow). False if the partition is not followed.
    pub fn unfollow(&mut self, topic: &str, partition: u32) -> bool {
        let was_behind = follow::unfollow(self.id(), topic, partition);
        self.unsubscribe(&live_name(topic, partition)) || was_behind
    }
}

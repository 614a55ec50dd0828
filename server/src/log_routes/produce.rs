//! `POST /{topic}`: one record as it is, or JSON.

use super::parameters::{check_entry, flag, number, pairs};
use super::{Access, Outcome, Problem, Routes, batch, decode, encode};
use crate::body::BodyError;
use crate::context::Context;
use crate::request::Request;
use crate::response::{JSON, Response};
use bytes::Bytes;
use std::borrow::Cow;
use std::io::Read;
use sws_content::log::{Acks, Entry, ProduceOptions, Produced};

/// Bytes of a body of known length up to which it is read at once.
const SMALL_BYTES_MAX: u64 = 64 * 1024;
/// What can be said beside a body, by a query parameter or by a header `Sws-...`.
const PARAMETERS: [&[u8]; 7] =
    [b"key", b"partition", b"acks", b"producer_id", b"sequence", b"timestamp", b"tombstone"];

/// What a request says beside its body. A header counts more than the query parameter of its name.
#[derive(Default)]
pub(super) struct Given<'a> {
    media: Media,
    pub(super) key: Option<Cow<'a, [u8]>>,
    pub(super) partition: Option<u32>,
    pub(super) acks: Option<Acks>,
    pub(super) producer_id: Option<u64>,
    pub(super) sequence: Option<u32>,
    pub(super) timestamp_ms: Option<u64>,
    pub(super) tombstone: bool,
}

/// What kind of body it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Media {
    #[default]
    Bytes,
    Text,
    Json,
}

pub(super) fn produce(routes: &Routes, ctx: &mut Context) -> Outcome {
    routes.topic(ctx, Access::Write)?;
    let body = read_body(routes, ctx).map_err(Problem::from)?;
    let topic = ctx.param("topic").unwrap_or_default();
    let given = Given::read(ctx.request())?;
    if given.media == Media::Json {
        return batch::produce(routes, topic, decode::body(&body)?, &given);
    }
    let mut entry = Entry::bytes(&body);
    entry.key = given.key.as_deref();
    entry.timestamp_ms = given.timestamp_ms;
    entry.tombstone = given.tombstone;
    entry.text = given.media == Media::Text && simdutf8::basic::from_utf8(&body).is_ok();
    check_entry(&entry)?;
    let options = given.options()?;
    Ok(produce_one_place(routes, topic, &[entry], options)?)
}

/// Produces what goes to one partition, and says where it is.
pub(super) fn produce_one_place(
    routes: &Routes,
    topic: &str,
    entries: &[Entry<'_>],
    options: ProduceOptions,
) -> Result<Response, Problem> {
    let produced = routes.creating(topic, || routes.log.produce_batch(topic, entries, options))?;
    count(routes, entries, &produced);
    let mut answer = Vec::with_capacity(96 + topic.len());
    encode::receipt(&mut answer, topic, &produced, entries.len());
    Ok(Response::with_type(JSON, answer))
}

/// Counts what was written.
pub(super) fn count(routes: &Routes, entries: &[Entry<'_>], produced: &Produced) {
    if !produced.duplicate {
        let bytes = entries.iter().map(|entry| entry.payload.len()).sum();
        routes.counters().count_produced(entries.len(), bytes);
    }
}

/// Reads the whole body. A small one of known length goes straight into memory of that length.
fn read_body(routes: &Routes, ctx: &mut Context) -> Result<Bytes, BodyError> {
    let bytes_max = routes.body_bytes_max.unwrap_or(ctx.body_bytes_max());
    let body = ctx.body();
    match body.remaining() {
        Some(len @ 1..=SMALL_BYTES_MAX) if len <= bytes_max as u64 => {
            let mut bytes = vec![0; len as usize];
            body.read_exact(&mut bytes)?;
            Ok(Bytes::from(bytes))
        }
        _ => body.read_whole(bytes_max),
    }
}

impl<'a> Given<'a> {
    /// Looks at the query and, once, at all headers.
    fn read(request: &'a Request) -> Result<Given<'a>, Problem> {
        let mut given = Given::default();
        for (name, value) in pairs(request.query().unwrap_or_default()) {
            given.set(&name, value)?;
        }
        for (name, value) in request.header_list() {
            let name = name.as_bytes();
            if name.eq_ignore_ascii_case(b"content-type") {
                given.media = Media::of(value);
            } else if let Some(name) = header_of(name) {
                given.set(name, Cow::Borrowed(value))?;
            }
        }
        Ok(given)
    }

    fn set(&mut self, name: &[u8], value: Cow<'a, [u8]>) -> Result<(), Problem> {
        match name {
            b"key" => self.key = Some(value),
            b"partition" => self.partition = Some(number("partition", &value)?),
            b"acks" => self.acks = Some(acks(&value)?),
            b"producer_id" => self.producer_id = Some(number("producer_id", &value)?),
            b"sequence" => self.sequence = Some(number("sequence", &value)?),
            b"timestamp" => self.timestamp_ms = Some(number("timestamp", &value)?),
            b"tombstone" => self.tombstone = flag("tombstone", &value)?,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn options(&self) -> Result<ProduceOptions, Problem> {
        let mut options = ProduceOptions::default().acks(self.acks.unwrap_or_default());
        options.partition = self.partition;
        match (self.producer_id, self.sequence) {
            (None, None) => Ok(options),
            (Some(0), _) => Err(Problem::field("producer_id", "it is to be at least 1")),
            (Some(id), Some(sequence)) => Ok(options.producer(id, sequence)),
            (Some(_), None) => Err(Problem::field("sequence", "a producer's id comes with a sequence")),
            (None, Some(_)) => Err(Problem::field("producer_id", "a sequence comes with a producer's id")),
        }
    }
}

/// What a header `Sws-...` says: the parameter that it stands for.
fn header_of(header: &[u8]) -> Option<&'static [u8]> {
    let (prefix, rest) = header.split_at_checked(4)?;
    let is_same = |(own, given): (&u8, &u8)| match own {
        b'_' => *given == b'-',
        own => own.eq_ignore_ascii_case(given),
    };
    let found = |name: &&[u8]| name.len() == rest.len() && name.iter().zip(rest).all(is_same);
    if prefix.eq_ignore_ascii_case(b"sws-") { PARAMETERS.into_iter().find(found) } else { None }
}

impl Media {
    fn of(content_type: &[u8]) -> Media {
        let end = content_type.iter().position(|&byte| byte == b';').unwrap_or(content_type.len());
        let media = content_type[..end].trim_ascii();
        if media.eq_ignore_ascii_case(b"application/json") {
            return Media::Json;
        }
        let is_text = media.get(..5).is_some_and(|group| group.eq_ignore_ascii_case(b"text/"));
        if is_text { Media::Text } else { Media::Bytes }
    }
}

fn acks(value: &[u8]) -> Result<Acks, Problem> {
    match value {
        b"durable" => Ok(Acks::Durable),
        b"written" => Ok(Acks::Written),
        b"none" => Ok(Acks::None),
        _ => Err(Problem::field("acks", "it is to be `durable`, `written` or `none`")),
    }
}

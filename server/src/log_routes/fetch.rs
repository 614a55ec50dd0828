//! `GET /{topic}/{partition}`: records from an offset on, as JSON or as they are stored.

use super::parameters::{count, millis, number, pairs};
use super::{Access, Outcome, Problem, Routes, encode, partition_of};
use crate::body::{Body, BodyWriter, FileBody, FileSource};
use crate::context::Context;
use crate::response::{JSON, OCTETS, Response};
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};
use sws_content::log::{FetchError, FetchMax, Log, Records, StoredRecords};
use sws_content::storage::SharedFile;

/// Bytes of records that are answered with, unless more are asked for.
const BYTES_DEFAULT: usize = 256 * 1024;
/// Bytes of records that one answer has at most.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of records that are read at once: an answer of more is sent piece by piece, as the peer takes it.
const PIECE_BYTES: usize = 256 * 1024;
/// How long a `min_offset` is waited for, unless it is said.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// How often an offset that is counted from an end is looked up: retention may be at work meanwhile.
const RANGE_TRIES: usize = 5;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Earliest,
    Latest,
    Offset(u64),
    /// So many before the end.
    Last(u64),
}

/// What is asked for.
struct Question {
    start: Start,
    records: usize,
    bytes: usize,
    wait: Duration,
    min_offset: Option<u64>,
    timeout: Duration,
    raw: bool,
}

pub(super) fn fetch(routes: &Routes, ctx: &mut Context) -> Outcome {
    let topic = routes.topic(ctx, Access::Read)?;
    let partition = partition_of(ctx)?;
    let mut question = Question::read(ctx)?;
    let budget = routes.wait_budget(ctx);
    let begin = Instant::now();
    if let Some(min_offset) = question.min_offset {
        let wait = question.timeout.min(budget);
        routes.log.wait_for(topic, partition, min_offset, wait).map_err(Problem::from)?;
    }
    if let Some(stored) = question.stored(routes, topic, partition).map_err(Problem::from)? {
        return Ok(stored);
    }
    question.wait = question.wait.min(budget.saturating_sub(begin.elapsed()));
    let records = question.begin(&routes.log, topic, partition).map_err(Problem::from)?;
    let bytes = stored_bytes(&records);
    routes.counters().count_fetched(records.len(), bytes);
    let rest = Rest {
        next: records.next,
        until: records.high,
        records: question.records - records.len(),
        bytes: question.bytes.saturating_sub(bytes),
    };
    let Records { low, high, next, .. } = records;
    let is_whole = question.bytes <= PIECE_BYTES || rest.is_done();
    let mut pieces =
        Pieces { log: routes.log.clone(), topic: topic.to_owned(), partition, first: Some(records), rest };
    let response = match (question.raw, is_whole) {
        (true, true) => {
            let response = Response::bytes(pieces.first.take().map(join).unwrap_or_default());
            response.with_header("sws-next", next.to_string())
        }
        (true, false) => Response::stream(OCTETS, move |out| write_raw(pieces, out)),
        (false, true) => {
            let mut answer = Vec::with_capacity(256 + bytes * 2);
            write_head(&mut answer, topic, partition, low, high);
            if let Some(records) = pieces.first.take() {
                write_records(&mut answer, &records, &mut true);
            }
            write_end(&mut answer, next);
            Response::with_type(JSON, answer)
        }
        (false, false) => Response::stream(JSON, move |out| write_json(pieces, low, high, out)),
    };
    let response = if question.raw { with_range(response, low, high) } else { response };
    Ok(response.with_header(CACHE_CONTROL, "no-store"))
}

fn with_range(response: Response, low: u64, high: u64) -> Response {
    response.with_header("sws-low", low.to_string()).with_header("sws-high", high.to_string())
}

/// Many records of a full segment are sent as the part of its file that they are, as files are.
fn send_stored(routes: &Routes, stored: StoredRecords, from: u64) -> Response {
    let StoredRecords { file, position, len, low, high, next, .. } = stored;
    routes.counters().count_fetched((next - from) as usize, len as usize);
    let body = Body::File(FileBody { source: Box::new(StoredFile(file)), offset: position, len });
    let response = Response::with_type(OCTETS, body).with_header("sws-next", next.to_string());
    with_range(response, low, high).with_header(CACHE_CONTROL, "no-store")
}

/// A segment's file as the source of a body.
struct StoredFile(SharedFile);

impl FileSource for StoredFile {
    fn read_into(&mut self, buf: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize> {
        self.0.read_into(buf, len, offset)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.descriptor()
    }
}

impl Routes {
    /// How long a request may wait in all.
    fn wait_budget(&self, ctx: &Context) -> Duration {
        let limit = ctx.connection().map(|(shared, _)| shared.limits.handler_timeout * 3 / 4);
        limit.map_or(self.wait_max, |limit| limit.min(self.wait_max))
    }
}

impl Question {
    fn read(ctx: &Context) -> Result<Question, Problem> {
        let accepts_raw = |value: &str| value.contains("application/octet-stream");
        let mut question = Question {
            start: Start::Earliest,
            records: usize::MAX,
            bytes: BYTES_DEFAULT,
            wait: Duration::ZERO,
            min_offset: None,
            timeout: TIMEOUT_DEFAULT,
            raw: ctx.header("accept").is_some_and(accepts_raw),
        };
        for (name, value) in pairs(ctx.request().query().unwrap_or_default()) {
            match &*name {
                b"offset" => question.start = Start::read(&value)?,
                b"max" => question.records = count("max", &value)?,
                b"max_bytes" => question.bytes = count("max_bytes", &value)?.min(BYTES_MAX),
                b"wait" => question.wait = millis("wait", &value)?,
                b"min_offset" => question.min_offset = Some(number("min_offset", &value)?),
                b"timeout" => question.timeout = millis("timeout", &value)?,
                b"format" => {
                    question.raw = match &*value {
                        b"raw" => true,
                        b"json" => false,
                        _ => return Err(Problem::field("format", "it is to be `json` or `raw`")),
                    }
                }
                _ => {}
            }
        }
        Ok(question)
    }

    /// The answer, if it is a part of a file.
    fn stored(&self, routes: &Routes, topic: &str, partition: u32) -> Result<Option<Response>, FetchError> {
        if !self.raw || self.records < usize::MAX || self.bytes <= PIECE_BYTES {
            return Ok(None);
        }
        let offset = self.start.find(&routes.log, topic, partition)?;
        let stored = routes.log.fetch_stored(topic, partition, offset, self.bytes as u64)?;
        Ok(stored.map(|stored| send_stored(routes, stored, offset)))
    }

    /// The first piece of the answer, for which it waits if there is none yet.
    fn begin(&self, log: &Log, topic: &str, partition: u32) -> Result<Records, FetchError> {
        let max = FetchMax { records: self.records, bytes: self.bytes.min(PIECE_BYTES) };
        let mut tries = RANGE_TRIES;
        loop {
            let offset = self.start.find(log, topic, partition)?;
            tries -= 1;
            match log.fetch_wait(topic, partition, offset, max, self.wait) {
                Err(FetchError::OutOfRange { .. })
                    if tries > 0 && !matches!(self.start, Start::Offset(_)) => {}
                result => return result,
            }
        }
    }
}

impl Start {
    /// What a parameter says.
    pub(super) fn read(value: &[u8]) -> Result<Start, Problem> {
        match value {
            b"earliest" => Ok(Start::Earliest),
            b"latest" => Ok(Start::Latest),
            [b'-', digits @ ..] => number("offset", digits).map(Start::Last),
            digits => number("offset", digits).map(Start::Offset),
        }
    }

    /// The offset, in a partition as it is now.
    fn find(self, log: &Log, topic: &str, partition: u32) -> Result<u64, FetchError> {
        match self {
            Start::Offset(offset) => Ok(offset),
            counted => log.range(topic, partition).map(|(low, high)| counted.resolve(low, high)),
        }
    }

    /// The offset, in a partition that has those from `low` up to `high`.
    pub(super) fn resolve(self, low: u64, high: u64) -> u64 {
        match self {
            Start::Earliest => low,
            Start::Latest => high,
            Start::Offset(offset) => offset,
            Start::Last(count) => high.saturating_sub(count).max(low),
        }
    }
}

/// What of an answer is still to be read.
struct Rest {
    next: u64,
    /// The answer ends where the partition did when it began.
    until: u64,
    records: usize,
    bytes: usize,
}

impl Rest {
    fn is_done(&self) -> bool {
        self.next >= self.until || self.records == 0 || self.bytes == 0
    }
}

/// The pieces of an answer, each read when the one before is sent.
struct Pieces {
    log: Log,
    topic: String,
    partition: u32,
    first: Option<Records>,
    rest: Rest,
}

impl Pieces {
    fn next(&mut self) -> Result<Option<Records>, FetchError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let rest = &mut self.rest;
        if rest.is_done() {
            return Ok(None);
        }
        let max = FetchMax { records: rest.records, bytes: rest.bytes.min(PIECE_BYTES) };
        let records = self.log.fetch(&self.topic, self.partition, rest.next, max)?;
        let bytes = stored_bytes(&records);
        // One that is larger than what is left comes alone; it is the next answer's.
        if bytes > rest.bytes || records.next == rest.next {
            return Ok(None);
        }
        super::counts::Counters::of_worker().count_fetched(records.len(), bytes);
        rest.next = records.next;
        rest.records -= records.len();
        rest.bytes -= bytes;
        Ok(Some(records))
    }
}

fn stored_bytes(records: &Records) -> usize {
    records.encoded().map(|piece| piece.len()).sum()
}

/// The bytes of all records, without a copy if they lie in one piece.
fn join(records: Records) -> Body {
    let mut pieces = records.encoded();
    let Some(first) = pieces.next() else { return Body::Empty };
    let Some(second) = pieces.next() else { return Body::Bytes(first) };
    let mut whole = Vec::with_capacity(stored_bytes(&records));
    let mut append = |piece: &Bytes| whole.extend_from_slice(piece);
    append(&first);
    append(&second);
    pieces.for_each(|piece| append(&piece));
    drop(first);
    Body::Buffer(whole)
}

fn write_raw(mut pieces: Pieces, out: &mut BodyWriter<'_>) -> io::Result<()> {
    while let Some(records) = pieces.next().map_err(io::Error::other)? {
        for piece in records.encoded() {
            out.write_all(&piece)?;
        }
    }
    Ok(())
}

fn write_json(mut pieces: Pieces, low: u64, high: u64, out: &mut BodyWriter<'_>) -> io::Result<()> {
    let mut text = Vec::with_capacity(2 * PIECE_BYTES);
    write_head(&mut text, &pieces.topic, pieces.partition, low, high);
    let mut is_first = true;
    while let Some(records) = pieces.next().map_err(io::Error::other)? {
        write_records(&mut text, &records, &mut is_first);
        out.write_all(&text)?;
        text.clear();
    }
    write_end(&mut text, pieces.rest.next);
    out.write_all(&text)
}

fn write_head(out: &mut Vec<u8>, topic: &str, partition: u32, low: u64, high: u64) {
    out.extend_from_slice(b"{\"topic\":");
    encode::text(out, topic);
    out.extend_from_slice(b",\"partition\":");
    encode::number(out, u64::from(partition));
    out.extend_from_slice(b",\"low\":");
    encode::number(out, low);
    out.extend_from_slice(b",\"high\":");
    encode::number(out, high);
    out.extend_from_slice(b",\"records\":[");
}

fn write_records(out: &mut Vec<u8>, records: &Records, is_first: &mut bool) {
    for record in records.iter() {
        if !std::mem::take(is_first) {
            out.push(b',');
        }
        encode::record(out, &record);
    }
}

fn write_end(out: &mut Vec<u8>, next: u64) {
    out.extend_from_slice(b"],\"next\":");
    encode::number(out, next);
    out.push(b'}');
}

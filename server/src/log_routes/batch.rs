//! JSON bodies: one record, an atomic batch, or a batch that is split by partitions.

use super::decode::{Body, NewRecord};
use super::produce::{Given, count, produce_one_place};
use super::{Outcome, Problem, Routes, encode};
use crate::response::{JSON, Response};
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use sws_content::log::{Entry, Partitioner, ProduceError, ProduceOptions, Produced, TopicConfig, TopicError};
use sws_runtime::{Cancelled, block_on};

/// Produces what a body says. What it leaves open the headers and the query say.
pub(super) fn produce(routes: &Routes, topic: &str, mut body: Body<'_>, given: &Given<'_>) -> Outcome {
    let mut options = given.options()?;
    options.acks = body.acks.unwrap_or(options.acks);
    options.producer = body.producer.or(options.producer);
    options.partition = body.partition.or(options.partition);
    if !body.is_batch {
        let Some(record) = body.records.first_mut() else {
            return Err(Problem::field("records", "none").into());
        };
        options.partition = record.partition.or(options.partition);
        let mut entry = record.entry();
        entry.key = entry.key.or(given.key.as_deref());
        entry.timestamp_ms = entry.timestamp_ms.or(given.timestamp_ms);
        return Ok(produce_one_place(routes, topic, &[entry], options)?);
    }
    if body.atomic || options.partition.is_some() {
        if let Some(number) = body.records.iter().position(|record| record.partition.is_some()) {
            let field = format!("records[{number}].partition");
            return Err(
                Problem::field(&field, "an atomic batch has one partition, named beside `records`").into()
            );
        }
        let entries: Vec<Entry<'_>> = body.records.iter().map(NewRecord::entry).collect();
        return Ok(produce_one_place(routes, topic, &entries, options)?);
    }
    if options.producer.is_some() {
        let what = "numbers count in one partition: the batch is to be `atomic`, or to name its `partition`";
        return Err(Problem::field("producer", what).into());
    }
    Ok(produce_split(routes, topic, &body.records, options)?)
}

/// The records of a batch that go to one partition, by their places in it.
type Parts = BTreeMap<u32, Vec<usize>>;

/// Produces each partition's part of a batch, all at the same time.
fn produce_split(
    routes: &Routes,
    topic: &str,
    records: &[NewRecord<'_>],
    options: ProduceOptions,
) -> Result<Response, Problem> {
    let choice = routes.creating(topic, || Choice::of(routes, topic, records))?;
    let parts = split(records, &choice)?;
    let gathered = Gathered::new(parts.len());
    for (number, (&partition, places)) in parts.iter().enumerate() {
        let entries: Vec<Entry<'_>> = places.iter().map(|&place| records[place].entry()).collect();
        let gathered = gathered.clone();
        let answer = move |result| gathered.set(number, result);
        routes.log.produce_then(topic, &entries, options.partition(partition), answer);
    }
    let results = gathered.wait()?;
    let mut failure = None;
    let mut places: Vec<Option<Place>> = vec![None; records.len()];
    for ((&partition, part), result) in parts.iter().zip(results) {
        let result = result.map_err(Problem::from);
        if let Ok(produced) = &result {
            let entries: Vec<Entry<'_>> = part.iter().map(|&place| records[place].entry()).collect();
            count(routes, &entries, produced);
        }
        for (number, &place) in part.iter().enumerate() {
            places[place] = Some(match &result {
                Ok(produced) => Place::At { partition, offset: produced.offset + number as u64 },
                Err(problem) => Place::Refused { partition, code: problem.code().as_str() },
            });
        }
        failure = failure.or(result.err());
    }
    let mut results = vec![b'['];
    for (number, place) in places.iter().flatten().enumerate() {
        if number > 0 {
            results.push(b',');
        }
        place.encode(&mut results);
    }
    results.push(b']');
    if let Some(problem) = failure {
        let results: Value = serde_json::from_slice(&results).unwrap_or_default();
        return Err(problem.with("results", results));
    }
    let mut answer = Vec::with_capacity(64 + topic.len() + results.len());
    answer.extend_from_slice(b"{\"topic\":");
    encode::text(&mut answer, topic);
    answer.extend_from_slice(b",\"count\":");
    encode::number(&mut answer, records.len() as u64);
    answer.extend_from_slice(b",\"results\":");
    answer.extend_from_slice(&results);
    answer.push(b'}');
    Ok(Response::with_type(JSON, answer))
}

/// How a topic chooses partitions, at this moment.
struct Choice {
    partitioner: Partitioner,
    partitions: u32,
    turn: u64,
}

impl Choice {
    fn of(routes: &Routes, topic: &str, records: &[NewRecord<'_>]) -> Result<Choice, ProduceError> {
        let config = routes.log.topic(topic).map_err(|error| match error {
            TopicError::Closed => ProduceError::Closed,
            TopicError::Cancelled => ProduceError::Cancelled,
            _ => ProduceError::UnknownTopic,
        })?;
        let TopicConfig { partitioner, partitions, .. } = config.config;
        let turn = match records.iter().all(|record| record.partition.is_some()) {
            true => 0,
            false => routes.log.partition_of(topic, None)?,
        };
        Ok(Choice { partitioner, partitions, turn: u64::from(turn) })
    }
}

/// Finds each record's partition. Those that neither name one nor follow from a key take turns from where the topic's turn is.
fn split(records: &[NewRecord<'_>], choice: &Choice) -> Result<Parts, Problem> {
    let mut parts = Parts::new();
    for (number, record) in records.iter().enumerate() {
        let turn = choice.turn + number as u64;
        let chosen = || choice.partitioner.choose(record.key.as_deref(), choice.partitions, turn);
        let partition = record.partition.unwrap_or_else(chosen);
        if partition >= choice.partitions {
            let problem = Problem::from(ProduceError::UnknownPartition);
            return Err(problem.with("field", format!("records[{number}].partition")));
        }
        parts.entry(partition).or_default().push(number);
    }
    Ok(parts)
}

/// What became of a record.
#[derive(Clone, Copy)]
enum Place {
    At { partition: u32, offset: u64 },
    Refused { partition: u32, code: &'static str },
}

impl Place {
    fn encode(self, out: &mut Vec<u8>) {
        let (Place::At { partition, .. } | Place::Refused { partition, .. }) = self;
        out.extend_from_slice(b"{\"partition\":");
        encode::number(out, u64::from(partition));
        match self {
            Place::At { offset, .. } => {
                out.extend_from_slice(b",\"offset\":");
                encode::number(out, offset);
            }
            Place::Refused { code, .. } => {
                out.extend_from_slice(b",\"code\":");
                encode::text(out, code);
            }
        }
        out.push(b'}');
    }
}

/// What became of the parts of a batch, brought together for the fiber that waits for all. The log may be on another worker.
#[derive(Clone)]
struct Gathered(Arc<Mutex<Results>>);

struct Results {
    results: Vec<Option<Result<Produced, ProduceError>>>,
    left: usize,
    waker: Option<Waker>,
}

impl Gathered {
    fn new(count: usize) -> Gathered {
        let results = Results { results: vec![None; count], left: count, waker: None };
        Gathered(Arc::new(Mutex::new(results)))
    }

    fn results(&self) -> MutexGuard<'_, Results> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part has its answer. Called once for each.
    fn set(&self, number: usize, result: Result<Produced, ProduceError>) {
        let mut results = self.results();
        results.results[number] = Some(result);
        results.left -= 1;
        let waker = if results.left == 0 { results.waker.take() } else { None };
        drop(results);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for all. A part without an answer was never taken in.
    fn wait(self) -> Result<Vec<Result<Produced, ProduceError>>, Cancelled> {
        block_on(poll_fn(|context| {
            let mut results = self.results();
            if results.left > 0 {
                results.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            let all = std::mem::take(&mut results.results);
            Poll::Ready(all.into_iter().map(|result| result.unwrap_or(Err(ProduceError::Closed))).collect())
        }))
    }
}

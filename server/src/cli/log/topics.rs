//! `sws log topics`, `create` and `delete`.

use super::folder::{self, PartitionView};
use super::units;
use super::{Failure, Outcome, with_log};
use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use sws_content::log::{Flush, PARTITIONS_MAX, TopicConfig};

/// How topics are listed.
#[derive(Args, Debug)]
pub(super) struct TopicsArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The topic to be made.
#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// Its name.
    topic: String,
    /// Partitions.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..=u64::from(PARTITIONS_MAX)))]
    partitions: u32,
    /// Bytes of a segment, such as 64MiB [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    segment_bytes: Option<u64>,
    /// Delete segments whose newest record is older, such as 7d or 12h.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    retain: Option<Duration>,
    /// Delete the oldest segments of partitions that are larger, such as 1G.
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    retain_bytes: Option<u64>,
    /// Keep the last record of each key only.
    #[arg(long)]
    compact: bool,
    /// When records are synced to the disk: with each batch, or when a producer asks for it.
    #[arg(long, value_enum, default_value = "every-batch")]
    flush: FlushWhen,
}

/// [`Flush`] as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FlushWhen {
    EveryBatch,
    OnRequest,
}

/// The topic to be deleted.
#[derive(Args, Debug)]
pub(super) struct DeleteArgs {
    /// Its name.
    topic: String,
    /// Do it; without this it is only said what would be deleted.
    #[arg(long)]
    yes: bool,
}

/// A topic as JSON.
#[derive(Serialize)]
struct TopicJson {
    topic: String,
    config: TopicConfig,
    partitions: Vec<PartitionJson>,
}

#[derive(Serialize)]
struct PartitionJson {
    partition: u32,
    low: u64,
    high: u64,
    records: u64,
    segments: u64,
    bytes: u64,
    poisoned: Option<String>,
    bad: Option<String>,
}

/// Lists what there is.
pub(super) fn list(data: &Path, args: &TopicsArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let mut listed = Vec::new();
    for topic in folder::topics(data)? {
        let mut partitions = Vec::new();
        for number in 0..topic.config.partitions {
            partitions.push(json(number, folder::view(&topic.partition(number))?));
        }
        listed.push(TopicJson { topic: topic.name, config: topic.config, partitions });
    }
    if args.json {
        let text = serde_json::to_string_pretty(&listed).map_err(|error| Failure::at("topics", error))?;
        writeln!(out, "{text}")?;
        return Ok(Outcome::Done);
    }
    if listed.is_empty() {
        writeln!(out, "no topics in {}", data.display())?;
        return Ok(Outcome::Done);
    }
    let head = ["topic", "partition", "low", "high", "records", "segments", "bytes", "state"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for topic in &listed {
        rows.extend(topic.partitions.iter().map(|partition| row(&topic.topic, partition)));
    }
    write!(out, "{}", units::table(&rows, 1))?;
    Ok(Outcome::Done)
}

fn json(partition: u32, view: PartitionView) -> PartitionJson {
    let PartitionView { low, high, records, segments, bytes, poisoned, bad } = view;
    PartitionJson { partition, low, high, records, segments, bytes, poisoned, bad }
}

fn row(topic: &str, partition: &PartitionJson) -> Vec<String> {
    let state = match (&partition.poisoned, &partition.bad) {
        (Some(reason), _) => format!("poisoned: {}", units::escaped(reason.trim().as_bytes())),
        (None, Some(place)) => format!("torn or damaged, see `sws log verify`: {place}"),
        (None, None) => "ok".to_owned(),
    };
    let numbers = [partition.low, partition.high, partition.records, partition.segments, partition.bytes];
    let mut row = vec![units::escaped(topic.as_bytes()), partition.partition.to_string()];
    row.extend(numbers.iter().map(u64::to_string));
    row.push(state);
    row
}

/// Makes a topic.
pub(super) fn create(data: &Path, args: &CreateArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let flush = match args.flush {
        FlushWhen::EveryBatch => Flush::EveryBatch,
        FlushWhen::OnRequest => Flush::OnRequest,
    };
    let mut config = TopicConfig::default().partitions(args.partitions).compact(args.compact).flush(flush);
    if let Some(bytes) = args.segment_bytes {
        config = config.segment_bytes(bytes);
    }
    if let Some(age) = args.retain {
        config = config.retain_for(age);
    }
    if let Some(bytes) = args.retain_bytes {
        config = config.retain_bytes(bytes);
    }
    let topic = args.topic.clone();
    with_log(data, move |log| log.create_topic(&topic, config).map_err(|error| Failure::at(&topic, error)))?;
    writeln!(out, "made the topic {} in {}", args.topic, data.display())?;
    Ok(Outcome::Done)
}

/// Deletes a topic, or says what it would delete.
pub(super) fn delete(data: &Path, args: &DeleteArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let topic = folder::topic(data, &args.topic)?;
    let (mut records, mut bytes) = (0, 0);
    for number in 0..topic.config.partitions {
        let view = folder::view(&topic.partition(number))?;
        records += view.records;
        bytes += view.bytes;
    }
    let what = format!("{} with {records} records in {bytes} bytes", args.topic);
    if !args.yes {
        writeln!(out, "would delete {what}; with --yes it does")?;
        return Ok(Outcome::Wanting);
    }
    with_log(data, move |log| {
        log.delete_topic(&topic.name).map_err(|error| Failure::at(&topic.name, error))
    })?;
    writeln!(out, "deleted {what}")?;
    Ok(Outcome::Done)
}

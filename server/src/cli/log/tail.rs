//! `sws log tail`.

use super::folder::{self, TopicDir};
use super::reader::{Pause, Reader};
use super::units;
use super::{Failure, Outcome};
use clap::Args;
use data_encoding::BASE64;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use sws_content::segment::RecordRef;

/// How often files that may have grown are looked at, in nanoseconds.
const LOOK_NANOS: i64 = 50_000_000;
/// Records of each partition that are shown if nothing else is said.
const LAST: u64 = 10;

/// Which records are printed.
#[derive(Args, Debug)]
pub(super) struct TailArgs {
    /// The topic.
    topic: String,
    /// One partition [default: all].
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Begin with this offset.
    #[arg(long, value_name = "N", conflicts_with_all = ["last", "from_start"])]
    offset: Option<u64>,
    /// Begin so many offsets before the end of each partition [default: 10].
    #[arg(long, value_name = "N", conflicts_with = "from_start")]
    last: Option<u64>,
    /// Begin with the oldest records.
    #[arg(long)]
    from_start: bool,
    /// Go on with the records that come.
    #[arg(long, short)]
    follow: bool,
    /// Print a JSON object for each record.
    #[arg(long)]
    json: bool,
}

/// A record as JSON: what is no UTF-8 is in base 64.
#[derive(Serialize)]
struct RecordJson<'a> {
    partition: u32,
    offset: u64,
    time: String,
    timestamp_ms: u64,
    #[serde(flatten)]
    key: Option<KeyJson<'a>>,
    #[serde(flatten)]
    payload: PayloadJson<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tombstone: bool,
}

#[derive(Serialize)]
enum KeyJson<'a> {
    #[serde(rename = "key")]
    Text(&'a str),
    #[serde(rename = "key_base64")]
    Base64(String),
}

#[derive(Serialize)]
enum PayloadJson<'a> {
    #[serde(rename = "payload")]
    Text(&'a str),
    #[serde(rename = "payload_base64")]
    Base64(String),
}

/// A partition that is read.
struct Followed {
    partition: u32,
    reader: Reader,
    /// The bad place that was reported last.
    reported: Option<Pause>,
}

/// Prints records, and follows if that is wanted.
pub(super) fn tail(data: &Path, args: &TailArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let topic = folder::topic(data, &args.topic)?;
    let partitions = folder::partitions(&topic, args.partition)?;
    if args.offset.is_some() && partitions.len() > 1 {
        let what = format!("{} has {} partitions: --offset wants --partition", topic.name, partitions.len());
        return Err(Failure::Usage(what));
    }
    let mut followed = Vec::new();
    for partition in partitions {
        let dir = topic.partition(partition);
        let offset = first(&topic, partition, args)?;
        followed.push(Followed { partition, reader: Reader::new(&dir, offset), reported: None });
    }
    loop {
        let mut outcome = Outcome::Done;
        for one in &mut followed {
            if one.read(args, out)? {
                outcome = Outcome::Wanting;
            }
        }
        out.flush()?;
        if !args.follow {
            return Ok(outcome);
        }
        wait()?;
        if !topic.path.exists() {
            return Err(Failure::Said(format!("the topic {} was deleted", topic.name)));
        }
    }
}

/// The first offset that is wanted of a partition.
fn first(topic: &TopicDir, partition: u32, args: &TailArgs) -> Result<u64, Failure> {
    if args.from_start {
        return Ok(0);
    }
    let view = folder::view(&topic.partition(partition))?;
    let Some(offset) = args.offset else {
        return Ok(view.high.saturating_sub(args.last.unwrap_or(LAST)).max(view.low));
    };
    if !(view.low..=view.high).contains(&offset) {
        let what = format!(
            "offset {offset} is out of range: kept are {} up to, and without, {}",
            view.low, view.high
        );
        return Err(Failure::at(format!("{}/{partition}", topic.name), what));
    }
    Ok(offset)
}

impl Followed {
    /// Prints what is there; whether it ends with something bad.
    fn read(&mut self, args: &TailArgs, out: &mut dyn Write) -> Result<bool, Failure> {
        let (partition, json) = (self.partition, args.json);
        let wanted = self.reader.next();
        let mut is_first = true;
        let pause = self.reader.read(&mut |record| {
            // From the start means from whatever is kept.
            if std::mem::take(&mut is_first) && record.offset > wanted && wanted > 0 && !json {
                eprintln!(
                    "sws: {}/{partition}: {wanted} to {} are not kept any more",
                    args.topic, record.offset
                );
            }
            match json {
                true => write_json(partition, record, out),
                false => write_line(partition, record, out),
            }
        })?;
        let Pause::Bad { path, position, what } = &pause else {
            self.reported = None;
            return Ok(false);
        };
        // Beside a server that is writing it is gone with the next look; without one it stays.
        let is_new = self.reported.as_ref() != Some(&pause);
        if is_new && !args.follow {
            eprintln!(
                "sws: {} ends at byte {position}: {what}; `sws log verify` says whether that is a torn tail or damage",
                path.display()
            );
        }
        self.reported = Some(pause);
        Ok(true)
    }
}

fn write_line(partition: u32, record: &RecordRef<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    write!(out, "{}  {partition}/{}", units::time(record.timestamp_ms), record.offset)?;
    if let Some(key) = record.key {
        write!(out, "  [{}]", units::escaped(key))?;
    }
    match record.tombstone {
        true => writeln!(out, "  (tombstone)")?,
        false => writeln!(out, "  {}", units::escaped(record.payload))?,
    }
    Ok(())
}

fn write_json(partition: u32, record: &RecordRef<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let key = |bytes| match std::str::from_utf8(bytes) {
        Ok(text) => KeyJson::Text(text),
        Err(_) => KeyJson::Base64(BASE64.encode(bytes)),
    };
    let json = RecordJson {
        partition,
        offset: record.offset,
        time: units::time(record.timestamp_ms),
        timestamp_ms: record.timestamp_ms,
        key: record.key.map(key),
        payload: match std::str::from_utf8(record.payload) {
            Ok(text) => PayloadJson::Text(text),
            Err(_) => PayloadJson::Base64(BASE64.encode(record.payload)),
        },
        tombstone: record.tombstone,
    };
    let text = serde_json::to_string(&json).map_err(|error| Failure::at("a record", error))?;
    writeln!(out, "{text}")?;
    Ok(())
}

/// Waits for the time of the next look, or until nobody reads stdout any more.
fn wait() -> Result<(), Failure> {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let time = Timespec { tv_sec: 0, tv_nsec: LOOK_NANOS };
    match poll(&mut polled, Some(&time)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(()),
        Ok(_) => Err(Failure::Unread),
        Err(error) => Err(Failure::at("stdout", error)),
    }
}

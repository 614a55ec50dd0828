//! `sws log produce`.

use super::folder;
use super::{Failure, Outcome, with_log};
use clap::{Args, ValueEnum};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc;
use sws::runtime::{current_fiber, park, submit, unpark};
use sws_content::log::{Acks, Entry, Log, ProduceError, ProduceOptions, Produced};
use sws_content::segment::{RECORD_BYTES_MAX, RECORD_HEADER_BYTES};

/// Bytes that are read from stdin at once.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of records on their way at once: far below what a partition lets wait.
const AT_ONCE_BYTES: usize = 1024 * 1024;

/// What is produced.
#[derive(Args, Debug)]
pub(super) struct ProduceArgs {
    /// The topic.
    topic: String,
    /// The payload; without it each line of stdin is one.
    text: Option<String>,
    /// The key of each record.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The partition [default: by key, or in turn].
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// What to wait for: the disk, the operating system, or nothing.
    #[arg(long, value_enum, default_value = "durable")]
    acks: AcksFor,
}

/// [`Acks`] as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AcksFor {
    Durable,
    Written,
    None,
}

/// What all records have in common.
struct Job {
    topic: String,
    key: Option<String>,
    options: ProduceOptions,
    /// Lines that were produced.
    lines: u64,
}

/// Produces, and prints the partition and the offset of each record.
pub(super) fn produce(data: &Path, args: &ProduceArgs) -> Result<Outcome, Failure> {
    let topic = folder::topic(data, &args.topic)?;
    folder::partitions(&topic, args.partition)?;
    let acks = match args.acks {
        AcksFor::Durable => Acks::Durable,
        AcksFor::Written => Acks::Written,
        AcksFor::None => Acks::None,
    };
    let mut options = ProduceOptions::default().acks(acks);
    options.partition = args.partition;
    let mut job = Job { topic: args.topic.clone(), key: args.key.clone(), options, lines: 0 };
    let text = args.text.clone();
    with_log(data, move |log| match text {
        Some(text) => job.produce(log, &[text.into_bytes()]),
        None => job.produce_lines(log, io::stdin()),
    })?;
    Ok(Outcome::Done)
}

impl Job {
    fn produce_lines(&mut self, log: &Log, input: impl Read + Send + 'static) -> Result<(), Failure> {
        let mut lines = Lines::new(input);
        loop {
            let read = submit(move || (lines.read(), lines)).join();
            let (read, back) = read.map_err(|error| Failure::at("stdin", error))?;
            lines = back;
            let payloads = read.map_err(|error| Failure::at("stdin", error))?;
            if payloads.is_empty() {
                return Ok(());
            }
            let key_bytes = self.key.as_deref().map_or(0, str::len);
            let mut rest = &payloads[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(group(rest, key_bytes));
                self.produce(log, now)?;
                rest = later;
            }
        }
    }

    /// Produces records at once, and prints where they are when all have their answers.
    fn produce(&mut self, log: &Log, payloads: &[Vec<u8>]) -> Result<(), Failure> {
        let (answer, answers) = mpsc::channel();
        let fiber = current_fiber().expect("`with_log` calls on a fiber");
        for (number, payload) in payloads.iter().enumerate() {
            let mut entry = Entry::bytes(payload);
            entry.text = std::str::from_utf8(payload).is_ok();
            entry.key = self.key.as_deref().map(str::as_bytes);
            let answer = answer.clone();
            log.produce_then(&self.topic, &[entry], self.options, move |result| {
                // The fiber may have ended with an earlier failure.
                let _ = answer.send((number, result));
                unpark(fiber);
            });
        }
        let mut results: Vec<Option<Result<Produced, ProduceError>>> = vec![None; payloads.len()];
        let mut missing = payloads.len();
        while missing > 0 {
            match answers.try_recv() {
                Ok((number, result)) => {
                    results[number] = Some(result);
                    missing -= 1;
                }
                Err(_) => park("acks").map_err(|cancelled| Failure::at(&self.topic, cancelled))?,
            }
        }
        self.print(results.into_iter().flatten())
    }

    fn print(
        &mut self,
        results: impl Iterator<Item = Result<Produced, ProduceError>>,
    ) -> Result<(), Failure> {
        let mut text = String::new();
        let mut failed = None;
        for result in results {
            self.lines += 1;
            match result {
                Ok(Produced { partition, offset, .. }) => {
                    text.push_str(&format!("partition {partition} offset {offset}\n"));
                }
                Err(error) => {
                    let place = format!("{}: record {}", self.topic, self.lines);
                    failed.get_or_insert(Failure::at(place, error));
                }
            }
        }
        let mut out = io::stdout().lock();
        let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match (failed, printed) {
            (Some(failure), _) => Err(failure),
            // Its records are in the log all the same.
            (None, result) => Ok(result?),
        }
    }
}

/// How many of the records may be on their way at once.
fn group(payloads: &[Vec<u8>], key_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = payloads.iter().take_while(|payload| {
        bytes += RECORD_HEADER_BYTES + key_bytes + payload.len();
        bytes <= AT_ONCE_BYTES
    });
    fits.count().max(1)
}

/// Lines of an input, as many at once as there are.
struct Lines<R> {
    input: R,
    /// What was read behind the last end of a line.
    rest: Vec<u8>,
}

impl<R: Read> Lines<R> {
    fn new(input: R) -> Lines<R> {
        Lines { input, rest: Vec::new() }
    }

    /// The next lines, without their ends; none at the end.
    fn read(&mut self) -> io::Result<Vec<Vec<u8>>> {
        loop {
            let len = self.rest.len();
            self.rest.resize(len + READ_BYTES, 0);
            let read = self.input.read(&mut self.rest[len..]);
            self.rest.truncate(len + read.as_ref().map_or(0, |&count| count));
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The last line may have no end.
                Ok(0) if self.rest.is_empty() => return Ok(Vec::new()),
                Ok(0) => return Ok(vec![std::mem::take(&mut self.rest)]),
                result => result?,
            };
            if let Some(end) = self.rest[len..].iter().rposition(|&byte| byte == b'\n') {
                let behind = self.rest.split_off(len + end + 1);
                let whole = std::mem::replace(&mut self.rest, behind);
                return Ok(whole[..len + end].split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect());
            }
            if self.rest.len() > RECORD_BYTES_MAX {
                let what = "a line is longer than a record can be";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one piece for each read.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let whole: &[u8] = b"one\n\ntwo\xff\nthree";
        let expected: Vec<Vec<u8>> = whole.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
        for cut in 1..whole.len() {
            for second in cut + 1..whole.len() {
                let pieces = vec![&whole[..cut], &whole[cut..second], &whole[second..]];
                let mut lines = Lines::new(Pieces(pieces));
                let mut found = Vec::new();
                loop {
                    let next = lines.read().expect("it cannot fail");
                    if next.is_empty() {
                        break;
                    }
                    found.extend(next);
                }
                assert_eq!(found, expected, "cut at {cut} and {second}");
            }
        }
    }

    #[test]
    fn what_is_produced_at_once_is_bounded() {
        let payloads = vec![vec![0; 100]; 1000];
        assert_eq!(group(&payloads, 0), 1000);
        assert_eq!(group(&payloads, 60_000), AT_ONCE_BYTES / (60_000 + 148));
        assert_eq!(group(&[vec![0; 2 * AT_ONCE_BYTES], Vec::new()], 0), 1);
    }
}

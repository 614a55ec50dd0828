//! `sws log`: everything in a log's folder, for a person to look at and to mend.
//!
//! ```text
//! folder.rs   the folder as it lies there: topics.rs, tail.rs (reader.rs)  ─┐ beside whoever has the log open,
//! inspect     of the content room: verify.rs, dump.rs                      ─┘ and nothing is changed
//! with_log    the log itself, on a worker: create, delete, produce.rs      ─┐ while nobody else
//! repair      of the content room: repair.rs                               ─┘ has it open
//! ```

mod dump;
mod folder;
mod produce;
mod reader;
mod repair;
mod tail;
mod topics;
mod units;
mod verify;

use clap::{Args, Subcommand};
use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use sws::runtime::{Config, Limits, Runtime};
use sws_content::log::{Log, OpenError};

/// Which log, and what of it.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// The log's folder.
    #[arg(long, value_name = "DIR", default_value = "data", global = true)]
    data: PathBuf,
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// List topics and partitions, also beside a server that has the log open.
    Topics(topics::TopicsArgs),
    /// Make a topic, and the log if there is none.
    Create(topics::CreateArgs),
    /// Delete a topic and all its records.
    Delete(topics::DeleteArgs),
    /// Produce a record, or one for each line of stdin, and print where each is.
    Produce(produce::ProduceArgs),
    /// Print records, and those that come, also beside a server that has the log open.
    Tail(tail::TailArgs),
    /// Read every byte and say what is torn or damaged, also beside a server that has the log open.
    Verify(verify::VerifyArgs),
    /// Print what a segment's file (.seg) or an index (.idx) holds, and where it goes bad.
    Dump(dump::DumpArgs),
    /// Let a damaged partition be written to again, by cutting its last segment behind its last good record.
    Repair(repair::RepairArgs),
}

/// Why a command has no result.
#[derive(Debug)]
enum Failure {
    /// What went wrong.
    Said(String),
    /// The arguments do not fit the log.
    Usage(String),
    /// Nobody reads the output any more.
    Unread,
}

impl Failure {
    fn at(place: impl Display, error: impl Display) -> Failure {
        Failure::Said(format!("{place}: {error}"))
    }

    fn of_file(path: &Path) -> impl Fn(io::Error) -> Failure + '_ {
        |error| Failure::at(path.display(), error)
    }
}

/// A write to stdout failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Unread,
            _ => Failure::at("stdout", error),
        }
    }
}

/// How a command ended that could do what it was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All is well.
    Done,
    /// Damage was found, or nothing was done.
    Wanting,
}

/// Does what the arguments say.
pub fn log(args: &LogArgs) -> ExitCode {
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout());
    let result = run(args, &mut out).and_then(|outcome| {
        out.flush()?;
        Ok(outcome)
    });
    match result {
        Ok(Outcome::Done) | Err(Failure::Unread) => ExitCode::SUCCESS,
        Ok(Outcome::Wanting) => ExitCode::FAILURE,
        Err(failure) => {
            // What was found before the failure is still worth reading.
            let _ = out.flush();
            let (text, code) = match failure {
                Failure::Usage(text) => (text, ExitCode::from(super::USAGE)),
                Failure::Said(text) => (text, ExitCode::FAILURE),
                Failure::Unread => return ExitCode::SUCCESS,
            };
            eprintln!("sws: {text}");
            code
        }
    }
}

fn run(args: &LogArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let data = &args.data;
    match &args.command {
        LogCommand::Topics(args) => topics::list(data, args, out),
        LogCommand::Create(args) => topics::create(data, args, out),
        LogCommand::Delete(args) => topics::delete(data, args, out),
        LogCommand::Produce(args) => produce::produce(data, args),
        LogCommand::Tail(args) => tail::tail(data, args, out),
        LogCommand::Verify(args) => verify::verify(data, args, out),
        LogCommand::Dump(args) => dump::dump(args, out),
        LogCommand::Repair(args) => repair::repair(data, args, out),
    }
}

/// Opens the log, says what its opening has cut and found damaged, and calls `f` on a fiber with it.
fn with_log<T: 'static>(
    data: &Path,
    f: impl FnOnce(&Log) -> Result<T, Failure> + 'static,
) -> Result<T, Failure> {
    let (log, report) = Log::open(data).map_err(|error| opening(data, &error))?;
    for found in &report.partitions {
        let place = format!("{}/{}", found.topic, found.partition);
        if found.bytes_cut > 0 {
            eprintln!("sws: {place}: a torn tail of {} bytes was cut", found.bytes_cut);
        }
        for damage in &found.damage {
            eprintln!("sws: {place}: damaged: {damage}");
        }
    }
    // A slow turn delays nobody else here.
    let limits = Limits { connections_max: 1, turn_warn: Duration::MAX, ..Limits::default() };
    let runtime = Runtime::new(Config { limits, ..Config::default() })
        .map_err(|error| Failure::at("no worker (see `sws doctor`)", error))?;
    runtime.block_on_fiber(move || {
        let result = f(&log);
        log.close();
        result
    })
}

/// Why the log was not opened, and what may be done all the same.
fn opening(data: &Path, error: &OpenError) -> Failure {
    let hint = "stop it first (topics, tail, verify and dump work beside it)";
    Failure::Said(super::not_opened(data, error, hint))
}

//! `log_append`: the log beside plain loops over the page cache, and a segment sent by HTTP.

use std::io;
use std::path::PathBuf;

use benches::compare::default_load_cpu;
use benches::log_append::local::Medium;
use benches::log_append::{Plan, floor, folder_or_default, measure_append, measure_fetch, measure_send};
use benches::log_client::server;
use benches::sys;
use benches::table::markdown;
use clap::Parser;

/// Measures appending without a sync, reading sealed segments, and sending one, beside plain loops.
#[derive(Parser)]
struct Args {
    /// Runs of each, interleaved.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// MiB that are appended, and read, in each.
    #[arg(long, default_value_t = 256)]
    mib: u64,
    /// Answers of HTTP in each run.
    #[arg(long, default_value_t = 8)]
    answers: u32,
    /// MiB of one, and of a segment.
    #[arg(long, default_value_t = 64)]
    answer_mib: u64,
    /// Only these tables: append, fetch, send.
    #[arg(long, value_delimiter = ',', default_value = "append,fetch,send")]
    part: Vec<String>,
    /// The program of sws [default: examples/log_server beside this program].
    #[arg(long)]
    sws: Option<PathBuf>,
    /// A folder on the disk in question [default: that of this program].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Cores of the server.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    server_cpus: Vec<usize>,
    /// Core of this process [default: 1 where there are two].
    #[arg(long)]
    load_cpu: Option<usize>,
    /// Sizes that only show that it runs.
    #[arg(long)]
    tiny: bool,
}

fn main() -> io::Result<()> {
    floor::serve_if_asked();
    let mut args = Args::parse();
    if args.tiny {
        (args.runs, args.mib, args.answers, args.answer_mib) = (1, 4, 1, 1);
    }
    sys::pin_to_cpus(&[args.load_cpu.unwrap_or_else(default_load_cpu)])?;
    let plan = Plan {
        runs: args.runs,
        bytes: args.mib << 20,
        answers: args.answers,
        answer_bytes: args.answer_mib << 20,
        sws: args.sws.unwrap_or_else(server::default_sws),
        dir: folder_or_default(args.dir.as_deref())?,
        server_cpus: args.server_cpus,
    };
    println!("Median (least–greatest) of {} runs, ratio to the plain loop\n", plan.runs);
    let wants = |part: &str| args.part.iter().any(|wanted| wanted == part);
    for medium in Medium::ALL {
        let (mib, place) = (args.mib, medium.name());
        if wants("append") {
            let table = markdown("by", &measure_append(&plan, medium)?);
            println!("#### Appending {mib} MiB, at the end {place}\n\n{table}");
        }
        if wants("fetch") {
            let table = markdown("by", &measure_fetch(&plan, medium)?);
            println!("#### Reading {mib} MiB of sealed segments, at the beginning {place}\n\n{table}");
        }
    }
    if wants("send") {
        println!("#### {} MiB by HTTP\n\n{}", args.answer_mib, markdown("server", &measure_send(&plan)?));
    }
    Ok(())
}

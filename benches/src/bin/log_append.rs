//! `log_append`: the log beside plain loops over the page cache, and a segment sent by HTTP.

use std::io;

use benches::log_append::local::Medium;
use benches::log_append::{Plan, floor, measure_append, measure_fetch, measure_send};
use benches::log_client::server::{Place, ServerArgs};
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
    #[command(flatten)]
    server: ServerArgs,
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
    let Place { sws, dir, server_cpus } = args.server.place()?;
    let plan = Plan {
        runs: args.runs,
        bytes: args.mib << 20,
        answers: args.answers,
        answer_bytes: args.answer_mib << 20,
        sws,
        dir,
        server_cpus,
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

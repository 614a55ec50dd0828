//! `log_recovery`: opening a log that did not end in peace.

use std::io;

use benches::log_client::server::DirArgs;
use benches::log_recovery::{Plan, measure};
use benches::table::markdown;
use clap::Parser;

/// Measures the opening of a log whose last state is not known, beside plain reading of its files. Both find them in the page cache.
#[derive(Parser)]
struct Args {
    /// Runs of each, interleaved.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// MiB of records.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// MiB of a segment, where there are many.
    #[arg(long, default_value_t = 64)]
    segment_mib: u64,
    #[command(flatten)]
    dir: DirArgs,
    /// Sizes that only show that it runs.
    #[arg(long)]
    tiny: bool,
}

fn main() -> io::Result<()> {
    let mut args = Args::parse();
    if args.tiny {
        (args.runs, args.mib, args.segment_mib) = (1, 4, 1);
    }
    let plan = Plan {
        runs: args.runs,
        bytes: args.mib << 20,
        segment_bytes: args.segment_mib << 20,
        dir: args.dir.folder()?,
    };
    println!("Median (least–greatest) of {} runs, files in the page cache\n", plan.runs);
    println!("{}", markdown("a log of", &measure(&plan)?));
    Ok(())
}

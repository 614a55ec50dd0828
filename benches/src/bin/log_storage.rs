//! `log_storage`: how a batch of a log becomes durable, and what it costs the loop.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use benches::log_storage::file::FileState;
use benches::log_storage::{Method, Plan, measure, prepare};
use benches::sys;
use benches::table::markdown;
use clap::Parser;

/// Measures the ways to make a batch durable, on the disk that holds `--dir`.
#[derive(Parser)]
struct Args {
    /// Runs of each, interleaved.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Commits in one run.
    #[arg(long, default_value_t = 200)]
    commits: usize,
    /// Bytes of a batch, in KiB.
    #[arg(long, value_delimiter = ',', default_value = "1,4,32,64,1024")]
    batch_kib: Vec<usize>,
    /// Only methods whose name holds this.
    #[arg(long, default_value = "")]
    method: String,
    /// Only states of the file whose name holds this: grows, allocated, written.
    #[arg(long, default_value = "")]
    state: String,
    /// Microseconds of other work in each turn of the loop, which never waits then [default: none, it waits].
    #[arg(long)]
    work_us: Option<u64>,
    /// A folder on the disk in question, not on a tmpfs [default: that of this program].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The core of this process [default: any].
    #[arg(long)]
    cpu: Option<usize>,
    /// Sizes that only show that it runs.
    #[arg(long)]
    tiny: bool,
}

/// What a run writes at most, so that large batches do not fill the disk.
const RUN_BYTES_MAX: usize = 40 << 20;
/// The segment that is prepared.
const SEGMENT_BYTES: usize = 64 << 20;

fn main() -> io::Result<()> {
    let mut args = Args::parse();
    let mut segment_bytes = SEGMENT_BYTES;
    if args.tiny {
        (args.runs, args.commits, args.batch_kib, segment_bytes) = (1, 4, vec![1, 64], 1 << 20);
    }
    if let Some(cpu) = args.cpu {
        sys::pin_to_cpus(&[cpu])?;
    }
    let beside = || std::env::current_exe().map(|program| program.with_file_name(""));
    let dir = args.dir.map_or_else(beside, Ok)?;
    let plan = Plan {
        runs: args.runs,
        commits: args.commits,
        run_bytes_max: RUN_BYTES_MAX,
        batch_bytes: args.batch_kib.iter().map(|kib| kib * 1024).collect(),
        methods: Method::all().into_iter().filter(|method| method.name().contains(&args.method)).collect(),
        work: args.work_us.map(Duration::from_micros),
        states: FileState::ALL.into_iter().filter(|state| state.name().contains(&args.state)).collect(),
        dir,
    };
    println!("Median (least–greatest) of {} runs\n", plan.runs);
    for (table, kib) in measure(&plan)?.iter().zip(&args.batch_kib) {
        println!("#### {kib} KiB\n\n{}", markdown("file and method", table));
    }
    println!("#### Preparing {} MiB\n", segment_bytes >> 20);
    println!("{}", markdown("by", &prepare::measure(&plan.dir, segment_bytes, plan.runs)?));
    Ok(())
}

//! `site_edit`: from a file that is closed to the event that tells of it, and a checkout of many files.

use std::io;

use benches::log_client::server::DirArgs;
use benches::site_edit::{Plan, checkout, edits};
use benches::sys;
use benches::table::{Row, markdown};
use clap::Parser;

/// Edits articles of a live site with many who listen to its changes: the times from a closed file to the event, the watcher's
/// debounce of 20 ms included; then has git check out another branch.
#[derive(Parser)]
struct Args {
    /// Runs.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Streams of events.
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Files written.
    #[arg(long, default_value_t = 300)]
    edits: usize,
    /// Files of the checkout.
    #[arg(long, default_value_t = 500)]
    checkout_files: usize,
    #[command(flatten)]
    dir: DirArgs,
    /// 20 streams, 5 edits, 50 files.
    #[arg(long)]
    tiny: bool,
}

fn main() -> io::Result<()> {
    let mut args = Args::parse();
    if args.tiny {
        (args.subscribers, args.edits, args.checkout_files) = (20, 5, 50);
    }
    sys::raise_nofile()?;
    let dir = args.dir.folder()?;
    let Args { subscribers, edits: count, checkout_files, runs, .. } = args;
    let plan = Plan { subscribers, edits: count, checkout_files, dir };
    let run = |measure: fn(&Plan) -> io::Result<Vec<benches::table::Figure>>| {
        (0..runs).map(|_| measure(&plan)).collect::<io::Result<Vec<_>>>()
    };
    let name = format!("{subscribers} streams, {count} edits");
    println!("{}", markdown("edits", &[Row { name, is_floor: false, runs: run(edits)? }]));
    let name = format!("git checkout of {checkout_files} files");
    println!("{}", markdown("checkout", &[Row { name, is_floor: false, runs: run(checkout)? }]));
    Ok(())
}

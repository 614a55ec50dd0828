//! `fiber_cost`: what a fiber costs in time and in memory.

use std::io;
use std::process::{Command, Stdio};

use benches::fiber_cost::{Plan, measure};
use benches::suspended::{self, Start};
use benches::table::markdown;
use benches::{sws_server, sys};
use clap::Parser;

/// Measures a fiber's life, a switch, and what a suspended handler keeps.
#[derive(Parser)]
struct Args {
    /// Runs of each kind, interleaved.
    #[arg(long, default_value_t = 11)]
    runs: usize,
    /// Fibers or switches in one run.
    #[arg(long, default_value_t = 1_000_000)]
    rounds: u32,
    /// Fibers that yield to each other.
    #[arg(long, default_value_t = 64)]
    yielding: u32,
    /// Fibers that are suspended at once.
    #[arg(long, default_value_t = 20_000)]
    fibers: usize,
    /// Requests whose handlers are suspended at once; each takes a descriptor here.
    #[arg(long, default_value_t = 19_000)]
    requests: usize,
    /// Core of this process.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// Only suspend that many fibers and print the resident bytes of each.
    #[arg(long, value_enum)]
    suspend: Option<Start>,
    /// Sizes that only show that it runs.
    #[arg(long)]
    tiny: bool,
}

fn main() -> io::Result<()> {
    sws_server::serve_if_asked();
    let mut args = Args::parse();
    if args.tiny {
        (args.runs, args.rounds, args.fibers, args.requests) = (1, 2_000, 200, 100);
    }
    sys::raise_nofile()?;
    sys::pin_to_cpus(&[args.cpu])?;
    // Each in a process of its own: one that has touched memory uses it again.
    if let Some(how) = args.suspend {
        println!("{:.0}", suspended::bytes_per_fiber(args.fibers, how)?);
        return Ok(());
    }
    let (inline, go) = (in_a_child(&args, "inline")?, in_a_child(&args, "go")?);
    let request = suspended::bytes_per_request(args.requests, &[args.cpu])?;
    let plan = Plan { runs: args.runs, rounds: args.rounds, yielding: args.yielding };
    let (life, switch) = measure(&plan).map_err(io::Error::other)?;
    let ratio = format!("median (least–greatest) of {} runs, ratio to the bare coroutine", args.runs);
    println!("Create, run and finish a fiber: {ratio}\n\n{}", markdown("fiber", &life));
    println!("Switch to a fiber or back: {ratio}\n\n{}", markdown("switch", &switch));
    println!("| suspended | how many | resident bytes each |\n|---|---|---|");
    println!("| handlers, run in place | {} | {inline} |", args.fibers);
    println!("| fibers of `go` | {} | {go} |", args.fibers);
    println!("| requests, connection included | {} | {request:.0} |", args.requests);
    Ok(())
}

fn in_a_child(args: &Args, how: &str) -> io::Result<String> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--suspend", how, "--fibers"]).arg(args.fibers.to_string());
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("fibers could not be suspended: {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

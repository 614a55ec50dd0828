//! `just figures`: every measuring program once, as one Markdown document, each behind its command.

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;

/// Runs all measuring programs and prints one document. They must be built: `cargo build --release -p benches --bins`
/// and `cargo build --release -p examples --example bench_server --example log_server`.
#[derive(Parser)]
struct Args {
    /// Sizes that only show that everything runs.
    #[arg(long)]
    tiny: bool,
}

/// One part of the document.
struct Section {
    title: &'static str,
    program: &'static str,
    args: &'static str,
    tiny: &'static str,
}

const SECTIONS: &[Section] = &[
    Section {
        title: "Servers under load",
        program: "compare",
        args: "--runs 3 --seconds 2",
        tiny: "--tiny --scenario plaintext64,json64,pipeline16,burst,submit20,idle200",
    },
    Section {
        title: "Memory of idle connections",
        program: "memory",
        args: "--contestant sws,floor-uring,hyper --connections 15000",
        tiny: "--contestant sws,floor-uring --connections 200 --warmup-connections 16",
    },
    Section {
        title: "WebSockets under load",
        program: "compare",
        args: "--scenario ws-echo512,ws-large16,ws-large1024,ws-broadcast5000 --contestant floor-uring,floor-uring-minwait,floor-uring-poll,floor-epoll,tungstenite,fastwebsockets,sws --runs 3 --seconds 1.5 --warmup-seconds 0.5",
        tiny: "--scenario ws-echo32,ws-large64,ws-broadcast64 --tiny",
    },
    Section {
        title: "WebSockets, compressed",
        program: "compare",
        args: "--scenario ws-deflate16,ws-deflate1024 --contestant sws --runs 3 --seconds 1 --warmup-seconds 0.3",
        tiny: "--scenario ws-deflate64 --contestant sws --tiny",
    },
    Section {
        title: "Memory of idle WebSockets",
        program: "compare",
        args: "--scenario ws-idle15000,ws-idle-room15000 --contestant floor-uring,tungstenite,fastwebsockets,sws --runs 1",
        tiny: "--scenario ws-idle200,ws-idle-room200 --tiny",
    },
    Section { title: "Idle connections, held both ways", program: "quiet", args: "", tiny: "--tiny" },
    Section {
        title: "Very many WebSockets",
        program: "million",
        args: "--connections 15000 --active-seconds 10",
        tiny: "--tiny",
    },
    Section { title: "Members that stop reading", program: "slow_peers", args: "", tiny: "--tiny" },
    Section { title: "Slots without sockets", program: "slots_million", args: "", tiny: "--tiny" },
    Section { title: "Fibers", program: "fiber_cost", args: "", tiny: "--tiny" },
    Section { title: "Durable batches", program: "log_storage", args: "", tiny: "--tiny" },
    Section {
        title: "Durable batches of a busy loop",
        program: "log_storage",
        args: "--state written --batch-kib 4,64 --cpu 0 --work-us 50",
        tiny: "--tiny --state written --work-us 20",
    },
    Section { title: "From edit to browser", program: "site_edit", args: "--runs 3", tiny: "--tiny" },
    Section { title: "Durable records", program: "log_produce", args: "", tiny: "--tiny" },
    Section {
        title: "Subscribers that break off and resume",
        program: "log_resume",
        args: "",
        tiny: "--tiny",
    },
    Section {
        title: "Light requests beside producers and compaction",
        program: "log_light",
        args: "",
        tiny: "--tiny",
    },
    Section { title: "The log beside plain loops", program: "log_append", args: "", tiny: "--tiny" },
    Section { title: "Opening a log after a crash", program: "log_recovery", args: "", tiny: "--tiny" },
    Section { title: "Work on the pool", program: "submit_latency", args: "", tiny: "--tiny" },
];

fn main() -> io::Result<ExitCode> {
    let args = Args::parse();
    println!("# Figures\n\n{}\n", machine());
    let mut failed = Vec::new();
    for section in SECTIONS {
        let arguments = if args.tiny { section.tiny } else { section.args };
        let command = format!("cargo run --release -p benches --bin {} -- {arguments}", section.program);
        println!("## {}\n\n```sh\n{}\n```\n", section.title, command.trim_end_matches([' ', '-']));
        let succeeded = run(section.program, arguments)?;
        println!();
        if !succeeded {
            println!("It failed: what it measured is not complete.\n");
            failed.push(section.program);
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Runs the program that lies beside this one; whether it ended well.
fn run(program: &str, arguments: &str) -> io::Result<bool> {
    let path: PathBuf = std::env::current_exe()?.with_file_name(program);
    let status = Command::new(&path).args(arguments.split_whitespace()).stdin(Stdio::null()).status();
    match status {
        Ok(status) => Ok(status.success()),
        Err(error) => {
            eprintln!("{}: {error}; build it with `cargo build --release -p benches --bins`", path.display());
            Ok(false)
        }
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!("{cores} cores, Linux {}, load average {load} at the beginning.", kernel.trim())
}

//! The program `sws`: `sws serve DIR` serves a folder, `sws log` looks at a log, `sws doctor` says whether this machine is ready.
//!
//! What goes wrong is one line on stderr that begins with `sws: `. The exit code is 0 for success, 1 for a failure, and 2
//! for arguments that make no sense.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}

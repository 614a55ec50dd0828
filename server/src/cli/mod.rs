//! The command line: what may be said, and the way to what does it.

mod doctor;
mod facts;
mod log;
mod serve;
mod serve_site;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// The exit code of arguments that make no sense.
const USAGE: u8 = 2;

/// Serves very many connections on one io_uring thread.
#[derive(Debug, Parser)]
#[command(name = "sws", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a site live, or the files of a folder, over HTTP/1.1 until SIGINT or SIGTERM.
    Serve(Box<serve::ServeArgs>),
    /// Check io_uring and the limits of this machine, and say what mends them.
    Doctor,
    /// Look at a log's topics, records and files, produce to it, verify and repair it.
    Log(Box<log::LogArgs>),
}

/// Does what the arguments say; the first is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Args::try_parse_from(args) {
        Ok(Args { command: Command::Serve(args) }) => match serve::serve(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("sws: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(Args { command: Command::Doctor }) => doctor::doctor(),
        Ok(Args { command: Command::Log(args) }) => log::log(&args),
        Err(error) => usage(&error),
    }
}

/// Help that was asked for is printed whole; a mistake is one line.
fn usage(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody reads it if it cannot be written.
        let _ = error.print();
    } else {
        eprintln!("sws: {} (`sws --help` says what may be said)", one_line(&error.to_string()));
    }
    if asked { ExitCode::SUCCESS } else { ExitCode::from(USAGE) }
}

/// The first paragraph of clap's message, as one line without its `error: `.
fn one_line(message: &str) -> String {
    let paragraph = message.split("\n\n").next().unwrap_or(message);
    let lines: Vec<&str> = paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line = lines.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_mistake_is_one_line() {
        let line = |args: &[&str]| one_line(&Args::try_parse_from(args).expect_err("a mistake").to_string());
        assert_eq!(line(&["sws", "serve"]), "the following required arguments were not provided: <DIR>");
        assert_eq!(line(&["sws", "serf"]), "unrecognized subcommand 'serf'");
        let bad = line(&["sws", "serve", ".", "--workers", "0"]);
        assert!(bad.starts_with("invalid value '0' for '--workers <N>'"), "{bad}");
    }
}

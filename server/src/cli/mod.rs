//! The command line: what may be said, and the way to what does it.

mod doctor;
mod facts;
mod log;
mod serve;
mod serve_site;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use sws_content::log::OpenError;

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
    let args: Vec<OsString> = args.into_iter().collect();
    match Args::try_parse_from(&args) {
        Ok(Args { command: Command::Serve(args) }) => match serve::serve(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("sws: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(Args { command: Command::Doctor }) => doctor::doctor(),
        Ok(Args { command: Command::Log(args) }) => log::log(&args),
        Err(error) => usage(&error, &args),
    }
}

/// Help that was asked for is printed whole; a mistake is one line.
fn usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody reads it if it cannot be written.
        let _ = error.print();
    } else {
        let command = named(args);
        eprintln!("sws: {} (`{command} --help` says what may be said)", one_line(&error.to_string()));
    }
    if asked { ExitCode::SUCCESS } else { ExitCode::from(USAGE) }
}

/// The command that arguments name, as far as they name one.
fn named(args: &[OsString]) -> String {
    let all = Args::command();
    let (mut command, mut name) = (&all, all.get_name().to_owned());
    for arg in args.iter().skip(1) {
        if let Some(below) = command.find_subcommand(arg) {
            command = below;
            name = format!("{name} {}", below.get_name());
        }
    }
    name
}

/// Why a log was not opened, and what may be done if another process has it.
fn not_opened(data: &Path, error: &OpenError, hint: &str) -> String {
    let dir = data.display();
    match error {
        OpenError::Locked { .. } => {
            format!("another process, perhaps a server, has the log in {dir} open; {hint}")
        }
        OpenError::Storage { path, source } if path == data && !data.is_dir() => {
            let why = if data.exists() { "it is no folder".to_owned() } else { source.to_string() };
            format!("the log's folder {dir} could not be made: {why}")
        }
        error => error.to_string(),
    }
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
        Args::command().debug_assert();
    }

    #[test]
    fn a_mistake_names_the_help_of_its_command() {
        let table: [(&[&str], &str); 6] = [
            (&["sws"], "sws"),
            (&["sws", "serf"], "sws"),
            (&["sws", "serve", "log"], "sws serve"),
            (&["sws", "log", "tial"], "sws log"),
            (&["sws", "log", "tail", "--last", "x"], "sws log tail"),
            (&["sws", "log", "--data", "x", "tail", "serve"], "sws log tail"),
        ];
        for (args, command) in table {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            assert_eq!(named(&args), command, "{args:?}");
        }
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

//! `sws doctor`: is this machine ready, and what mends it where it is not.

use super::facts::Facts;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;
use sws::runtime::{
    Config, Features, Runtime, RuntimeError, SLOTS_MAX, SetupError, default_slots_max, probe,
};

/// Descriptors for as many connections as a worker can have, nearly: what Linux allows without a change of `fs.nr_open`.
const NOFILE_WANTED: u64 = 1 << 20;
/// Connections below which it is worth to raise the limits.
const CONNECTIONS_WANTED: u32 = 65_536;
/// Open files of the whole machine, beside those of the server.
const FILES_OF_OTHERS: u64 = 4096;
/// Locked memory for the rings of a few dozen workers.
const MEMLOCK_WANTED: u64 = 8 << 20;
/// Connections that the kernel holds until they are accepted; the server asks for so many.
const SOMAXCONN_WANTED: u64 = 4096;
/// Memory mappings: those of a fiber's stack are the most.
const MAP_COUNT_WANTED: u64 = 65_530;
/// Times that a worker is tried for want of locked memory, and the pause between them.
const ATTEMPTS_MAX: u32 = 10;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Ok,
    /// Serving is possible, with less.
    Warn,
    /// Serving is impossible.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        })
    }
}

/// One line of the table.
#[derive(Debug)]
struct Finding {
    level: Level,
    what: &'static str,
    found: String,
    /// The command that mends it, where it is not ok.
    mend: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, what, found: found.into(), mend: None }
    }

    fn warn(what: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { level: Level::Warn, what, found: found.into(), mend: Some(mend.into()) }
    }

    fn fail(what: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { level: Level::Fail, what, found: found.into(), mend: Some(mend.into()) }
    }
}

/// Prints the table; fails if serving is impossible.
pub fn doctor() -> ExitCode {
    let facts = Facts::read();
    let ring = probe();
    let trial = ring.is_ok().then(try_worker);
    let mut findings = ring_findings(&ring, &facts);
    findings.extend(trial.map(trial_finding));
    findings.extend(limit_findings(&facts));
    // Nobody reads it if it cannot be written.
    let _ = io::stdout().write_all(table(&findings).as_bytes());
    match findings.iter().any(|finding| finding.level == Level::Fail) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { level, what, found, mend } in findings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{level:<4}  {what:<24}  {found}");
        if let Some(mend) = mend {
            let _ = writeln!(text, "{:<4}  {:<24}  mend: {mend}", "", "");
        }
    }
    text
}

/// Makes a worker as `sws serve` does, and runs a fiber on it. The kernel gives back the locked memory of a ring that was
/// closed a little later, so want of that is not believed at once.
fn try_worker() -> Result<(), RuntimeError> {
    let mut attempts = 0;
    let runtime = loop {
        attempts += 1;
        match Runtime::new(Config::default()) {
            Err(RuntimeError::Ring(SetupError::MemoryLimit { .. })) if attempts < ATTEMPTS_MAX => {
                std::thread::sleep(ATTEMPT_PAUSE);
            }
            result => break result?,
        }
    };
    runtime.block_on_fiber(|| ());
    Ok(())
}

fn trial_finding(trial: Result<(), RuntimeError>) -> Finding {
    match trial {
        Ok(()) => Finding::ok("worker", "made, and ran a fiber"),
        Err(RuntimeError::Ring(error)) => Finding::fail("worker", error.to_string(), mend_of(&error)),
        Err(error) => Finding::fail("worker", error.to_string(), "ulimit -n 1024"),
    }
}

fn ring_findings(ring: &Result<Features, SetupError>, facts: &Facts) -> Vec<Finding> {
    let mut findings = match ring {
        Ok(features) => feature_findings(features),
        Err(error) => vec![Finding::fail("io_uring", error.to_string(), mend_of(error))],
    };
    findings.push(match facts.io_uring_disabled {
        None | Some(0) => Finding::ok("kernel.io_uring_disabled", "0"),
        Some(level) if ring.is_ok() => {
            Finding::ok("kernel.io_uring_disabled", format!("{level}: this user may"))
        }
        Some(level) => Finding::fail(
            "kernel.io_uring_disabled",
            format!("{level}: this user may not"),
            "sysctl -w kernel.io_uring_disabled=0",
        ),
    });
    findings
}

fn feature_findings(features: &Features) -> Vec<Finding> {
    let with = |has, what, gives, kernel: &str| match has {
        true => Finding::ok(what, gives),
        false => Finding::warn(what, format!("missing: {gives}"), format!("boot Linux {kernel} or later")),
    };
    let receive = "one receive serves all messages of a connection";
    vec![
        Finding::ok("io_uring", "rings can be made"),
        with(features.deferred_task_work, "deferred task work", "completions wait for the loop", "6.1"),
        match features.multishot_receive {
            true => Finding::ok("multishot receive", receive),
            false => {
                Finding::fail("multishot receive", format!("missing: {receive}"), "boot Linux 6.1 or later")
            }
        },
        with(
            features.direct_descriptors,
            "direct descriptors",
            "connections in the ring's own table",
            "5.19",
        ),
        with(features.incremental_buffers, "incremental buffers", "several receives share a buffer", "6.12"),
        with(features.min_wait, "minimum wait", "a burst is taken in few turns", "6.12"),
        with(features.socket_options, "socket options", "options on direct descriptors", "6.7"),
        with(features.install, "descriptor install", "a connection can be handed to other code", "6.8"),
    ]
}

/// What to do about a ring that cannot be made.
fn mend_of(error: &SetupError) -> String {
    match error {
        SetupError::Forbidden { sysctl: Some(1..), .. } => "sysctl -w kernel.io_uring_disabled=0".to_owned(),
        SetupError::Missing | SetupError::Forbidden { seccomp: true, .. } => {
            "docker run --security-opt seccomp=unconfined (or a profile with the io_uring calls), on Linux 6.1 or later"
                .to_owned()
        }
        SetupError::MemoryLimit { .. } => "ulimit -l 65536 (as root, or LimitMEMLOCK=64M in the unit)".to_owned(),
        SetupError::Descriptors => format!("ulimit -n {NOFILE_WANTED}"),
        SetupError::TooOld { .. } => "boot Linux 6.1 or later".to_owned(),
        _ => "dmesg | tail (for the refusal)".to_owned(),
    }
}

fn limit_findings(facts: &Facts) -> Vec<Finding> {
    let hard = facts.nofile.map_or(0, |limit| limit.hard);
    let connections = default_slots_max(hard.min(facts.file_max.unwrap_or(u64::MAX)));
    let files = facts.file_max.unwrap_or(0);
    let files_wanted = hard.min(NOFILE_WANTED) + FILES_OF_OTHERS;
    vec![
        nofile_finding(facts, connections),
        setting("fs.nr_open", facts.nr_open, NOFILE_WANTED, NOFILE_WANTED),
        match files >= files_wanted {
            true => Finding::ok("fs.file-max", count(files)),
            false => setting("fs.file-max", facts.file_max, files_wanted, 2 * NOFILE_WANTED),
        },
        memlock_finding(facts),
        setting("net.core.somaxconn", facts.somaxconn, SOMAXCONN_WANTED, SOMAXCONN_WANTED),
        setting("vm.max_map_count", facts.max_map_count, MAP_COUNT_WANTED, 4 * MAP_COUNT_WANTED),
        Finding::ok("connections", format!("at most {} for each worker", count(connections.into()))),
    ]
}

fn nofile_finding(facts: &Facts, connections: u32) -> Finding {
    const WHAT: &str = "RLIMIT_NOFILE";
    let mend = || {
        let raise =
            format!("ulimit -n {NOFILE_WANTED} (as root, or LimitNOFILE={NOFILE_WANTED} in the unit)");
        match facts.nr_open {
            Some(most) if most < NOFILE_WANTED => format!("sysctl -w fs.nr_open={NOFILE_WANTED}; {raise}"),
            _ => raise,
        }
    };
    let Some(limit) = facts.nofile else { return Finding::warn(WHAT, "cannot be read", mend()) };
    let found = match limit.soft < limit.hard {
        true => format!("{}, raised to {} at the start", count(limit.soft), count(limit.hard)),
        false => count(limit.soft),
    };
    match connections >= CONNECTIONS_WANTED {
        true => Finding::ok(WHAT, found),
        false => Finding::warn(WHAT, found, mend()),
    }
}

fn memlock_finding(facts: &Facts) -> Finding {
    const WHAT: &str = "RLIMIT_MEMLOCK";
    const MEND: &str = "ulimit -l 65536 (as root, or LimitMEMLOCK=64M in the unit)";
    match facts.memlock {
        _ if facts.may_lock_memory => Finding::ok(WHAT, "does not count: this process has CAP_IPC_LOCK"),
        Some(limit) if limit.soft >= MEMLOCK_WANTED => Finding::ok(WHAT, bytes(limit.soft)),
        Some(limit) => Finding::warn(WHAT, format!("{}: rings are made smaller", bytes(limit.soft)), MEND),
        None => Finding::warn(WHAT, "cannot be read", MEND),
    }
}

/// A setting that is to be at least `wanted`; `set` is what to set it to.
fn setting(what: &'static str, found: Option<u64>, wanted: u64, set: u64) -> Finding {
    let mend = || format!("sysctl -w {what}={set}");
    match found {
        Some(value) if value >= wanted => Finding::ok(what, count(value)),
        Some(value) => Finding::warn(what, format!("{}, under {}", count(value), count(wanted)), mend()),
        None => Finding::warn(what, "cannot be read", mend()),
    }
}

fn bytes(value: u64) -> String {
    match value {
        u64::MAX => "unlimited".to_owned(),
        value => format!("{} KiB", count(value / 1024)),
    }
}

/// A number with its thousands apart; more than any limit of Linux is none.
fn count(value: u64) -> String {
    if value >= i64::MAX as u64 {
        return "unlimited".to_owned();
    }
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const _: () = assert!(CONNECTIONS_WANTED < SLOTS_MAX && SLOTS_MAX as u64 <= NOFILE_WANTED);

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;

//! Each limit, good and bad, and what is said of it.

use super::super::facts::ProcessLimit;
use super::*;

const GOOD: Facts = Facts {
    nofile: Some(ProcessLimit { soft: 1024, hard: 1 << 20 }),
    memlock: Some(ProcessLimit { soft: 8 << 20, hard: 8 << 20 }),
    may_lock_memory: false,
    somaxconn: Some(4096),
    file_max: Some(i64::MAX as u64),
    nr_open: Some(1 << 20),
    max_map_count: Some(65_530),
    io_uring_disabled: Some(0),
};

fn finding<'a>(findings: &'a [Finding], what: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.what == what).expect("a line of that name")
}

fn worst(findings: &[Finding]) -> Option<Level> {
    findings.iter().map(|finding| finding.level).find(|level| *level != Level::Ok)
}

#[test]
fn a_good_machine_has_nothing_to_mend() {
    let findings = limit_findings(&GOOD);
    assert_eq!(worst(&findings), None, "{findings:?}");
    assert_eq!(finding(&findings, "connections").found, "at most 1,048,320 for each worker");
    assert_eq!(finding(&findings, "RLIMIT_NOFILE").found, "1,024, raised to 1,048,576 at the start");
    assert_eq!(finding(&findings, "fs.file-max").found, "unlimited");
    assert!(!table(&findings).contains("mend"));
}

#[test]
fn each_bad_limit_has_its_command() {
    let nofile = |hard| Some(ProcessLimit { soft: hard, hard });
    let table = [
        (Facts { nofile: nofile(20_000), ..GOOD }, "RLIMIT_NOFILE", "ulimit -n 1048576 (as root"),
        (
            Facts { nofile: nofile(20_000), nr_open: Some(20_000), ..GOOD },
            "RLIMIT_NOFILE",
            "sysctl -w fs.nr_open=1048576; ulimit -n 1048576",
        ),
        (Facts { nofile: None, ..GOOD }, "RLIMIT_NOFILE", "ulimit -n 1048576"),
        (Facts { nr_open: Some(20_000), ..GOOD }, "fs.nr_open", "sysctl -w fs.nr_open=1048576"),
        (Facts { file_max: Some(1 << 20), ..GOOD }, "fs.file-max", "sysctl -w fs.file-max=2097152"),
        (
            Facts { memlock: Some(ProcessLimit { soft: 65_536, hard: u64::MAX }), ..GOOD },
            "RLIMIT_MEMLOCK",
            "ulimit -l 65536",
        ),
        (Facts { somaxconn: Some(128), ..GOOD }, "net.core.somaxconn", "sysctl -w net.core.somaxconn=4096"),
        (
            Facts { max_map_count: Some(1000), ..GOOD },
            "vm.max_map_count",
            "sysctl -w vm.max_map_count=262120",
        ),
        (Facts { somaxconn: None, ..GOOD }, "net.core.somaxconn", "sysctl -w net.core.somaxconn=4096"),
    ];
    for (facts, what, mend) in table {
        let findings = limit_findings(&facts);
        let found = finding(&findings, what);
        assert_eq!(found.level, Level::Warn, "{what}");
        assert!(found.mend.as_deref().is_some_and(|text| text.starts_with(mend)), "{found:?}");
    }
    let privileged =
        Facts { memlock: Some(ProcessLimit { soft: 0, hard: 0 }), may_lock_memory: true, ..GOOD };
    assert_eq!(finding(&limit_findings(&privileged), "RLIMIT_MEMLOCK").level, Level::Ok);
}

#[test]
fn connections_follow_the_tightest_limit() {
    let of = |hard, file_max| {
        let facts = Facts { nofile: Some(ProcessLimit { soft: 1, hard }), file_max: Some(file_max), ..GOOD };
        finding(&limit_findings(&facts), "connections").found.clone()
    };
    assert_eq!(of(20_000, 1 << 30), "at most 19,744 for each worker");
    assert_eq!(of(u64::MAX, 1 << 30), "at most 1,048,576 for each worker");
    assert_eq!(of(1 << 20, 1024), "at most 768 for each worker");
}

#[test]
fn a_refused_ring_fails_with_its_reason_and_command() {
    let table = [
        (SetupError::Missing, "docker run --security-opt seccomp=unconfined"),
        (SetupError::Forbidden { sysctl: Some(2), seccomp: true }, "sysctl -w kernel.io_uring_disabled=0"),
        (SetupError::Forbidden { sysctl: Some(0), seccomp: true }, "docker run"),
        (SetupError::Forbidden { sysctl: None, seccomp: false }, "dmesg"),
        (SetupError::MemoryLimit { memlock: 65_536 }, "ulimit -l 65536"),
        (SetupError::Descriptors, "ulimit -n"),
        (SetupError::TooOld { feature: "x" }, "boot Linux"),
    ];
    for (error, mend) in table {
        let text = error.to_string();
        let findings = ring_findings(&Err(error), &GOOD);
        let found = finding(&findings, "io_uring");
        assert_eq!((found.level, &found.found), (Level::Fail, &text));
        assert!(found.mend.as_deref().is_some_and(|text| text.starts_with(mend)), "{found:?}");
    }
    let disabled = Facts { io_uring_disabled: Some(2), ..GOOD };
    let refused = ring_findings(&Err(SetupError::Forbidden { sysctl: Some(2), seccomp: false }), &disabled);
    assert_eq!(finding(&refused, "kernel.io_uring_disabled").level, Level::Fail);
    let allowed = ring_findings(&Ok(Features::default()), &disabled);
    assert_eq!(finding(&allowed, "kernel.io_uring_disabled").level, Level::Ok);
}

#[test]
fn missing_features_are_named_with_the_kernel_that_has_them() {
    let none = ring_findings(&Ok(Features::default()), &GOOD);
    assert_eq!(finding(&none, "io_uring").level, Level::Ok);
    assert_eq!(finding(&none, "multishot receive").level, Level::Fail);
    assert_eq!(finding(&none, "minimum wait").mend.as_deref(), Some("boot Linux 6.12 or later"));
    assert_eq!(finding(&none, "minimum wait").level, Level::Warn);
}

#[test]
fn the_table_is_aligned() {
    let findings = [Finding::ok("a", "fine"), Finding::fail("bc", "bad", "do this")];
    let pad = " ".repeat(24);
    let expected =
        format!("ok    a{}  fine\nfail  bc{}  bad\n      {pad}  mend: do this\n", &pad[1..], &pad[2..]);
    assert_eq!(table(&findings), expected);
}

#[test]
fn numbers() {
    for (value, text) in
        [(0, "0"), (999, "999"), (1000, "1,000"), (1_048_576, "1,048,576"), (u64::MAX, "unlimited")]
    {
        assert_eq!(count(value), text);
    }
    assert_eq!((bytes(65_536), bytes(u64::MAX)), ("64 KiB".to_owned(), "unlimited".to_owned()));
}

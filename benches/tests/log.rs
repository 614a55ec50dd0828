//! The log's measuring programs at their smallest. Those that need a server use the example `log_server`, which `cargo test --workspace` builds.

use std::process::Command;

use benches::log_client::server::default_sws;

/// Runs a program with `--tiny`; what it prints.
fn tiny(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).arg("--tiny").args(args).output().unwrap();
    let (table, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {table}{errors}");
    table.into_owned()
}

fn assert_server() {
    let server = default_sws();
    assert!(
        server.exists(),
        "{} is not built: cargo build -p examples --example log_server",
        server.display()
    );
}

#[test]
fn produces_over_http_and_websocket() {
    assert_server();
    let table = tiny(env!("CARGO_BIN_EXE_log_produce"), &[]);
    for row in ["| sws, HTTP |", "| sws, WebSocket |", "- sws, HTTP: "] {
        assert!(table.contains(row), "{row}: {table}");
    }
}

#[test]
fn everyone_who_resumes_has_every_record_once() {
    assert_server();
    let table = tiny(env!("CARGO_BIN_EXE_log_resume"), &["--seed", "7"]);
    assert!(table.contains("| 25 events, 25 WebSockets,"), "{table}");
}

#[test]
fn asks_lightly_beside_producers() {
    assert_server();
    let table = tiny(env!("CARGO_BIN_EXE_log_light"), &[]);
    assert!(table.contains("| beside producers and compaction |"), "{table}");
}

#[test]
fn appends_fetches_and_sends() {
    assert_server();
    let table = tiny(env!("CARGO_BIN_EXE_log_append"), &[]);
    for row in [
        "| sws, acks: none |",
        "| dd |",
        "| sws, fetches of 1 MB, checked |",
        "| sws, as stored, reads of 64 KB |",
        "| sws, raw fetch |",
        "| sendfile |",
    ] {
        assert!(table.contains(row), "{row}: {table}");
    }
}

#[test]
fn opens_what_was_not_closed() {
    let table = tiny(env!("CARGO_BIN_EXE_log_recovery"), &[]);
    assert!(table.contains("| one active segment | 1 (1–1) |"), "{table}");
}

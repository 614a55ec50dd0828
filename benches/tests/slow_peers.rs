//! `slow_peers` at its smallest, by each policy.

use std::process::Command;

#[test]
fn it_measures_both_ways_by_each_policy() {
    for overflow in ["drop-oldest", "keep-latest", "close"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slow_peers"));
        let output = command.args(["--tiny", "--overflow", overflow]).output().unwrap();
        let (table, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{overflow}: {table}{errors}");
        for row in ["| 20 read, 0 stopped |", "| 20 read, 20 stopped |"] {
            assert!(table.contains(row), "{overflow}: {table}{errors}");
        }
    }
}

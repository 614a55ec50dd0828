//! `sws log`, started as a person starts it, on folders as they are.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use sws_content::log::Log;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sws");

/// A log's folder of its own for each test, removed at its end.
struct Data(PathBuf);

impl Data {
    fn new() -> Data {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Data(std::env::temp_dir().join(format!("sws-log-program-{}-{number}", std::process::id())))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("log").args(args).arg("--data").arg(&self.0).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("started"))
    }

    /// As `run`, and it goes well.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}: {}", ran.out);
        ran.out
    }

    #[track_caller]
    fn produce_lines(&self, args: &[&str], lines: &str) -> Ran {
        let mut command = self.command(&[&["produce"], args].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.as_mut().expect("started");
        let mut input = child.stdin.take().expect("piped");
        let text = lines.to_owned();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let out = read_all(child.stdout.take().expect("piped"));
        let err = read_all(child.stderr.take().expect("piped"));
        // A program that has ended with a mistake reads no more.
        let _ = writer.join().expect("no panic");
        Ran { code: child.wait().expect("ended").code().expect("not by a signal"), out, err }
    }

    fn partition(&self, topic: &str, partition: u32) -> PathBuf {
        self.0.join(topic).join(partition.to_string())
    }

    /// The segments of a topic's only partition, the oldest first.
    fn segments(&self, topic: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.partition(topic, 0)).expect("it is there");
        let paths = entries.map(|entry| entry.expect("read").path());
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
        paths.sort();
        paths
    }

    /// A topic `orders` of small segments with 200 records of 40 bytes.
    fn with_segments() -> Data {
        let data = Data::new();
        data.ok(&["create", "orders", "--segment-bytes", "4096"]);
        // What comes together goes to one segment.
        for batch in 0..10 {
            let lines: String = (0..20).map(|number| format!("{:040}\n", 20 * batch + number)).collect();
            assert_eq!(data.produce_lines(&["orders"], &lines).code, 0);
        }
        assert!(data.segments("orders").len() > 1, "more than one segment");
        data
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // The test has said what it had to say.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read_all(mut from: impl std::io::Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).expect("text");
    text
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let code = output.status.code().expect("not ended by a signal");
        Ran { code, out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A program that goes on; killed at the end of a test that has not ended it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Changes one byte of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("it is there");
    bytes[at] ^= 0x20;
    fs::write(path, bytes).expect("written");
}

/// Where a record begins, as `dump` says.
fn position_of(data: &Data, path: &Path, offset: u64) -> usize {
    let from = offset.to_string();
    let text = data.ok(&["dump", path.to_str().expect("text"), "--from", &from, "--max", "1"]);
    let line =
        text.lines().find(|line| line.contains(&format!("offset {offset},"))).expect("the record's line");
    let rest = line.strip_prefix("record at byte ").expect("a record");
    rest.split(':').next().expect("a number").parse().expect("a number")
}

/// The words of a table's line about a topic.
fn row<'a>(table: &'a str, topic: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(topic));
    line.unwrap_or_else(|| panic!("{topic} in {table}")).split_whitespace().collect()
}

#[test]
fn topics_are_made_listed_and_deleted() {
    let data = Data::new();
    let more = [
        "--partitions",
        "3",
        "--retain",
        "7d",
        "--retain-bytes",
        "1GiB",
        "--compact",
        "--flush",
        "on-request",
    ];
    let made = data.ok(&[&["create", "orders"], &more[..]].concat());
    assert!(made.starts_with("made the topic orders in "), "{made}");
    data.ok(&["create", "room/1"]);
    data.ok(&["produce", "room/1", "hello"]);
    let listed = data.ok(&["topics"]);
    assert_eq!(listed.lines().count(), 1 + 3 + 1, "{listed}");
    assert_eq!(row(&listed, "room/1"), ["room/1", "0", "0", "1", "1", "1", "117", "ok"]);

    let json: serde_json::Value = serde_json::from_str(&data.ok(&["topics", "--json"])).expect("JSON");
    assert_eq!(json[0]["topic"], "orders");
    assert_eq!(json[0]["config"]["retention_ms"], 7 * 86_400_000_u64);
    assert_eq!(json[0]["config"]["retention_bytes"], 1_u64 << 30);
    assert_eq!(
        (&json[0]["config"]["compact"], &json[0]["config"]["flush"]),
        (&true.into(), &"on_request".into())
    );
    assert_eq!(json[1]["partitions"][0]["high"], 1);

    let again = data.run(&["create", "orders"]);
    assert_eq!((again.code, again.err.as_str()), (1, "sws: orders: there is a topic of this name\n"));
    let asked = data.run(&["delete", "room/1"]);
    assert_eq!(asked.code, 1);
    assert!(asked.out.starts_with("would delete room/1 with 1 records in 117 bytes"), "{}", asked.out);
    assert!(data.ok(&["topics"]).contains("room/1"));
    assert!(data.ok(&["delete", "room/1", "--yes"]).starts_with("deleted room/1"));
    assert!(!data.ok(&["topics"]).contains("room/1"));
}

#[test]
fn records_are_produced_and_shown() {
    let data = Data::new();
    data.ok(&["create", "orders", "--partitions", "2"]);
    assert_eq!(
        data.ok(&["produce", "orders", "to the second", "--partition", "1"]),
        "partition 1 offset 0\n"
    );
    let keyed = data.ok(&["produce", "orders", "with a key", "--key", "user-7", "--acks", "written"]);
    let partition =
        keyed.strip_prefix("partition ").and_then(|rest| rest.split(' ').next()).expect("a number");
    assert_eq!(
        data.ok(&["produce", "orders", "a\u{1b}[2Jb", "--acks", "none", "--partition", "0"]).lines().count(),
        1
    );

    let shown = data.ok(&["tail", "orders"]);
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(shown.contains("  1/0  to the second\n"), "{shown}");
    assert!(shown.contains("  [user-7]  with a key\n"), "{shown}");
    assert!(shown.contains("  a\\u{1b}[2Jb\n"), "{shown}");

    let json = data.ok(&["tail", "orders", "--partition", partition, "--json", "--from-start"]);
    let records: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let keyed = records.iter().find(|record| record["key"] == "user-7").expect("the one with the key");
    assert_eq!(keyed["payload"], "with a key");
    let time = keyed["time"].as_str().expect("a text");
    assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
}

#[test]
fn ten_thousand_lines_come_out_as_they_went_in() {
    let data = Data::new();
    data.ok(&["create", "lines", "--segment-bytes", "100KiB"]);
    let lines: String =
        (0..10_000).map(|number| format!("line {number} {}\n", "x".repeat(number % 50))).collect();
    let ran = data.produce_lines(&["lines"], lines.strip_suffix('\n').expect("it ends with one"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let expected: String = (0..10_000).map(|number| format!("partition 0 offset {number}\n")).collect();
    assert!(ran.out == expected, "each has its offset");

    let json = data.ok(&["tail", "lines", "--from-start", "--json"]);
    let mut back = String::new();
    for (number, line) in json.lines().enumerate() {
        let record: serde_json::Value = serde_json::from_str(line).expect("an object");
        assert_eq!(record["offset"], number);
        back.push_str(record["payload"].as_str().expect("a text"));
        back.push('\n');
    }
    assert!(back == lines, "all lines, in order");

    let offsets = |args: &[&str]| {
        let text = data.ok(&[&["tail", "lines"], args].concat());
        let offset =
            |line: &str| line.split_once("  0/").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        text.lines().map(|line| offset(line).expect("an offset")).collect::<Vec<u64>>()
    };
    assert_eq!(offsets(&["--last", "3"]), [9997, 9998, 9999]);
    assert_eq!(offsets(&[]).len(), 10);
    assert_eq!(offsets(&["--offset", "5000"]), (5000..10_000).collect::<Vec<_>>());
    let beyond = data.run(&["tail", "lines", "--offset", "10001"]);
    assert_eq!(beyond.code, 1);
    assert!(
        beyond.err.contains("offset 10001 is out of range: kept are 0 up to, and without, 10000"),
        "{}",
        beyond.err
    );
    assert!(data.ok(&["verify"]).ends_with("no damage\n"));
}

#[test]
fn a_changed_byte_is_found_with_its_place() {
    let data = Data::with_segments();
    assert!(data.ok(&["verify", "orders"]).ends_with("no damage\n"));
    let path = data.segments("orders").swap_remove(1);
    let base: u64 = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("a number");
    let position = position_of(&data, &path, base + 7);
    flip(&path, position + 60);

    let verified = data.run(&["verify"]);
    assert_eq!((verified.code, verified.err.as_str()), (1, ""));
    let damage = format!("damaged: orders/0: {}: damaged at byte {position}: ", path.display());
    assert!(verified.out.contains(&damage), "{}", verified.out);
    assert_eq!(row(&verified.out, "orders").last(), Some(&"damaged"));

    let dumped = data.run(&["dump", path.to_str().expect("text")]);
    assert_eq!((dumped.code, dumped.err.as_str()), (1, ""));
    let bad = format!("bad at byte {position} (offset {}): ", base + 7);
    assert!(dumped.out.contains(&bad), "{}", dumped.out);

    let tailed = data.run(&["tail", "orders", "--from-start"]);
    assert_eq!((tailed.code, tailed.out.lines().count()), (1, base as usize + 7));
    assert!(
        tailed.err.contains(&format!("ends at byte {position}: the checksum does not match")),
        "{}",
        tailed.err
    );
}

#[test]
fn dumps_show_each_part_of_a_file() {
    let data = Data::with_segments();
    let path = data.segments("orders").swap_remove(0);
    let name = path.to_str().expect("text");
    let whole = data.ok(&["dump", name]);
    assert!(whole.starts_with("header at byte 0: base offset 0, made 20"), "{whole}");
    assert!(whole.contains("\nrecord at byte 64: offset 0, 20"), "{whole}");
    assert!(whole.lines().last().expect("a line").starts_with("footer at byte "), "{whole}");
    let records = whole.lines().filter(|line| line.starts_with("record")).count();
    assert!(whole.contains(&format!(": {records} records, next offset {records},")), "{whole}");

    let some = data.ok(&["dump", name, "--from", "3", "--max", "2", "--hex"]);
    let offsets: Vec<_> = some.lines().filter(|line| line.starts_with("record")).collect();
    assert!(offsets.len() == 2 && offsets[0].contains(": offset 3,"), "{some}");
    assert!(some.contains("  00000000  53 57 53 53 45 47 4d 31"), "{some}");

    let index = path.with_extension("idx");
    let shown = data.ok(&["dump", index.to_str().expect("text")]);
    assert!(shown.contains("base offset 0,") && shown.contains("entry: offset 0 at byte 64, "), "{shown}");
    flip(&index, 20);
    let bad = data.run(&["dump", index.to_str().expect("text")]);
    assert_eq!(bad.code, 1);
    assert!(bad.out.starts_with("bad: the checksum does not match"), "{}", bad.out);

    for (name, text) in
        [("notes.txt", "no segment ".repeat(20)), ("short", "x".into()), ("notes.idx", "none".into())]
    {
        let other = data.0.join(name);
        fs::write(&other, text).expect("written");
        let other = other.to_str().expect("text");
        let ran = data.run(&["dump", other, "--hex"]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""));
        assert_eq!(ran.err, format!("sws: {other}: this is no segment and no index of a log\n"));
    }
    // A segment is known by its name when its first bytes are gone.
    fs::write(&path, "no segment ".repeat(20)).expect("written");
    assert!(data.run(&["dump", name]).out.starts_with("header at byte 0: bad: the magic bytes"));
}

#[test]
fn a_torn_tail_is_reported_and_cut_at_opening() {
    let data = Data::new();
    data.ok(&["create", "orders"]);
    data.ok(&["produce", "orders", "safe"]);
    let path = data.segments("orders").swap_remove(0);
    let whole = 64 + 48 + 4;
    let mut bytes = fs::read(&path).expect("it is there");
    bytes.truncate(whole);
    // The first half of a record.
    bytes.extend_from_slice(&[60, 0, 0, 0, 1, 2, 3, 4, 1, 8]);
    fs::write(&path, &bytes).expect("written");

    let verified = data.ok(&["verify"]);
    assert_eq!(row(&verified, "orders")[5..], ["10", "torn"]);
    assert!(
        verified.contains("torn: orders/0: ") && verified.contains(": 10 bytes at its end"),
        "{verified}"
    );
    let dumped = data.run(&["dump", path.to_str().expect("text")]);
    assert!(
        dumped.out.contains(&format!("a torn tail of 10 bytes from byte {whole} on, next offset 1")),
        "{}",
        dumped.out
    );
    assert_eq!(fs::read(&path).expect("it is there"), bytes, "looking changes nothing");

    let produced = data.run(&["produce", "orders", "and on"]);
    assert_eq!((produced.code, produced.out.as_str()), (0, "partition 0 offset 1\n"));
    assert_eq!(produced.err, "sws: orders/0: a torn tail of 10 bytes was cut\n");
    assert_eq!(row(&data.ok(&["verify"]), "orders")[5..], ["0", "ok"]);
}

#[test]
fn repair_says_what_it_does_and_keeps_what_it_cuts() {
    let data = Data::new();
    data.ok(&["create", "orders"]);
    assert_eq!(data.produce_lines(&["orders"], "zero\none\ntwo\nthree\n").code, 0);
    let path = data.segments("orders").swap_remove(0);
    let position = position_of(&data, &path, 2);
    flip(&path, position + 49);
    let damaged = fs::read(&path).expect("it is there");

    let refused = data.run(&["produce", "orders", "four"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("sws: orders: record 1: the partition takes nothing more: "),
        "{}",
        refused.err
    );
    let kept = path.with_extension("cut");
    let asked = data.run(&["repair", "orders", "0"]);
    assert_eq!((asked.code, asked.err.as_str()), (1, ""));
    assert!(asked.out.contains(&format!("from byte {position} on")), "{}", asked.out);
    let lost =
        "records from offset 2 on would be lost (some of them were on the disk, and their producers know)";
    assert!(asked.out.contains(lost), "{}", asked.out);
    assert!(asked.out.contains("all below 4 is known to have been on the disk"), "{}", asked.out);
    assert!(asked.out.contains(&kept.display().to_string()) && !kept.exists(), "{}", asked.out);
    assert_eq!(fs::read(&path).expect("it is there"), damaged, "asking changes nothing");

    let repaired = data.ok(&["repair", "orders", "0", "--yes"]);
    assert!(repaired.ends_with("orders/0 goes on with offset 2\n"), "{repaired}");
    let cut = fs::read(&kept).expect("the cut bytes");
    assert_eq!(cut, damaged[position..][..cut.len()]);
    assert!(cut.ends_with(b"three"), "all that was written");
    assert!(data.ok(&["verify"]).ends_with("no damage\n"));
    assert_eq!(data.ok(&["produce", "orders", "again"]), "partition 0 offset 2\n");
    let shown = data.ok(&["tail", "orders"]);
    let payloads: Vec<_> = shown.lines().filter_map(|line| line.split("  ").nth(2)).collect();
    assert_eq!(payloads, ["zero", "one", "again"]);

    let sound = fs::read(&path).expect("it is there");
    for args in [&["repair", "orders", "0"][..], &["repair", "orders", "0", "--yes"]] {
        assert_eq!(data.ok(args), "orders/0 is sound: nothing to do, next offset 3\n");
        assert_eq!(fs::read(&path).expect("it is there"), sound, "{args:?}");
    }
    // One that takes nothing for want of a person who has looked is not sound, though nothing is to be cut.
    fs::write(data.partition("orders", 0).join("poisoned"), "a sync failed").expect("written");
    let asked = data.run(&["repair", "orders", "0"]);
    assert_eq!(asked.code, 1);
    assert!(asked.out.contains("orders/0 takes nothing: a sync failed"), "{}", asked.out);
    assert!(
        asked.out.contains("no last segment of orders/0 is torn or damaged: nothing to cut, next offset 3"),
        "{}",
        asked.out
    );
    assert!(data.ok(&["repair", "orders", "0", "--yes"]).ends_with("orders/0 goes on with offset 3\n"));
}

#[test]
fn beside_a_server_one_can_look_and_not_touch() {
    let data = Data::with_segments();
    let (log, _) = Log::open(&data.0).expect("nobody has it");
    for args in [
        &["create", "other"][..],
        &["delete", "orders", "--yes"],
        &["produce", "orders", "text"],
        &["repair", "orders", "0"],
        &["repair", "orders", "0", "--yes"],
    ] {
        let ran = data.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{args:?}");
        let line =
            format!("sws: another process, perhaps a server, has the log in {} open; ", data.0.display());
        assert!(ran.err.starts_with(&line) && ran.err.lines().count() == 1, "{args:?}: {}", ran.err);
    }
    assert_eq!(row(&data.ok(&["topics"]), "orders")[3], "200");
    assert_eq!(data.ok(&["tail", "orders", "--from-start"]).lines().count(), 200);
    let verified = data.ok(&["verify"]);
    assert!(verified.contains("another process has the log open"), "{verified}");
    drop(log);
    assert!(!data.ok(&["verify"]).contains("another process"));
}

#[test]
fn following_shows_what_others_produce() {
    let data = Data::with_segments();
    let mut command = data.command(&["tail", "orders", "--follow", "--last", "1"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("started"));
    let mut lines = BufReader::new(running.0.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("a line").expect("read");
    assert!(next().contains("  0/199  "));
    // Over the end of segments, too.
    for round in 0..3 {
        let text: String = (0..100).map(|number| format!("{round} {number} {:040}\n", 0)).collect();
        assert_eq!(data.produce_lines(&["orders"], &text).code, 0);
        for number in 0..100 {
            let line = next();
            let expected = format!("  0/{}  {round} {number} ", 200 + 100 * round + number);
            assert!(line.contains(&expected), "{expected} in {line}");
        }
    }
    drop(lines);
    assert_eq!(running.0.wait().expect("ended").code(), Some(0), "it ends when nobody reads");
}

#[test]
fn a_reader_that_leaves_is_no_mistake() {
    let data = Data::with_segments();
    let lines: String = (0..20_000).map(|number| format!("{number:040}\n")).collect();
    assert_eq!(data.produce_lines(&["orders", "--acks", "written"], &lines).code, 0);
    let mut command = data.command(&["tail", "orders", "--from-start"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert!(line.contains("  0/0  "), "{line}");
    let ran = Ran::of(child.wait_with_output().expect("ended"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn what_makes_no_sense_is_one_line() {
    let data = Data::new();
    let missing = data.run(&["topics"]);
    let line = format!("sws: there is no log in {} (--data says where it is)\n", data.0.display());
    assert_eq!((missing.code, missing.err), (1, line));
    assert!(!data.0.exists(), "looking makes nothing");
    data.ok(&["create", "orders", "--partitions", "2"]);
    for (code, args, text) in [
        (2, &["create", "x", "--retain", "soon"][..], "a time over 0 is wanted"),
        (2, &["create", "x", "--retain-bytes", "much"], "a size is wanted"),
        (2, &["create", "x", "--partitions", "0"], "invalid value '0'"),
        (2, &["tail", "orders", "--offset", "0"], "orders has 2 partitions: --offset wants --partition"),
        (2, &["tail", "orders", "--last", "1", "--from-start"], "cannot be used with"),
        (2, &["repair", "orders"], "<PARTITION>"),
        (1, &["tail", "nobody"], "there is no topic nobody in "),
        (1, &["produce", "nobody", "text"], "there is no topic nobody in "),
        (1, &["produce", "orders", "text", "--partition", "2"], "orders has no partition 2: they are 0 to 1"),
        (1, &["create", "x", "--segment-bytes", "100"], "x: a segment has 4096 bytes to 4 GiB"),
        (1, &["create", "a#b"], "a#b: a topic's name has "),
        (1, &["verify", "nobody"], "there is no topic nobody in "),
        (1, &["dump", "/nowhere/0.seg"], "/nowhere/0.seg: No such file"),
    ] {
        let ran = data.run(args);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.lines().count()),
            (code, "", 1),
            "{args:?}: {}",
            ran.err
        );
        assert!(ran.err.starts_with("sws: ") && ran.err.contains(text), "{args:?}: {}", ran.err);
    }
}

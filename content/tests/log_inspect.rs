//! What opening a log finds damaged, looking at it from outside finds too.

use std::fs;
use std::path::{Path, PathBuf};
use sws_content::log::*;
use sws_content::storage::StdStorage;
use sws_runtime::{Config, Runtime};

/// A log of two partitions with 100 records each in segments of 4 KiB; taken away at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let (log, _) = Log::open(&path).expect("a log");
        Runtime::new(Config::default()).expect("a runtime").block_on_fiber(move || {
            log.create_topic("orders", TopicConfig::default().partitions(2).segment_bytes(4096))
                .expect("made");
            for partition in [0, 1] {
                let options = ProduceOptions::default().partition(partition).acks(Acks::Written);
                for _ in 0..100 {
                    log.produce_batch(
                        "orders",
                        &[Entry::text("forty bytes that say nothing of interest")],
                        options,
                    )
                    .expect("written");
                }
            }
            log.close();
        });
        Folder(path)
    }

    /// The segments of a partition, the oldest first.
    fn segments(&self, partition: u32) -> Vec<PathBuf> {
        let dir = self.0.join("orders").join(partition.to_string());
        let paths = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
        paths.sort();
        assert!(paths.len() > 2, "several segments");
        paths
    }

    /// What both ways find damaged of the first partition.
    fn damage(&self) -> (Vec<String>, Vec<String>) {
        let inspected = inspect(&StdStorage, &self.0).expect("it can be read");
        let inspected = inspected[0].damage().collect();
        let (_, report) = Log::open(&self.0).expect("it can be opened");
        (inspected, report.partitions[0].damage.clone())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The test has said what it had to say.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn assert_same(folder: &Folder, path: &Path, what: &str) {
    let expected = vec![format!("{}: {what}", path.display())];
    assert_eq!(folder.damage(), (expected.clone(), expected));
}

#[test]
fn a_good_log_has_no_damage() {
    let folder = Folder::new("inspect-good");
    assert_eq!(folder.damage(), (Vec::new(), Vec::new()));
}

#[test]
fn the_last_segment_of_another_partition() {
    let folder = Folder::new("inspect-last");
    let (here, there) = (folder.segments(0), folder.segments(1));
    let (here, there) = (here.last().expect("some"), there.last().expect("some"));
    fs::copy(there, here).expect("copied");
    assert_same(&folder, here, "it belongs to another topic or partition");
}

#[test]
fn a_sealed_segment_of_another_partition() {
    let folder = Folder::new("inspect-sealed");
    fs::copy(&folder.segments(1)[1], &folder.segments(0)[1]).expect("copied");
    assert_same(&folder, &folder.segments(0)[1], "it belongs to another topic or partition");
}

#[test]
fn the_last_segment_is_gone() {
    let folder = Folder::new("inspect-gone");
    let paths = folder.segments(0);
    let [.., before, last] = &paths[..] else { panic!("several segments") };
    let next: u64 = last.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("a number");
    fs::remove_file(last).expect("removed");
    assert_same(&folder, before, &format!("records {next} to 100 are missing behind it"));
}

#[test]
fn all_segments_are_gone() {
    let folder = Folder::new("inspect-empty");
    let paths = folder.segments(0);
    paths.iter().for_each(|path| fs::remove_file(path).expect("removed"));
    let dir = paths[0].parent().expect("a folder");
    assert_same(&folder, dir, "records up to 100 were on the disk, and there is no segment");
}

#[test]
fn the_last_segment_of_another_base() {
    let folder = Folder::new("inspect-base");
    let (here, there) = (folder.segments(0), folder.segments(1));
    fs::copy(&there[1], here.last().expect("some")).expect("copied");
    let base: u64 = there[1].file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("a number");
    let what = format!("its header says that it begins at {base}");
    assert_same(&folder, here.last().expect("some"), &what);
    // Nothing is cut of it.
    let refused = repair(&StdStorage, &folder.0, "orders", 0);
    assert!(matches!(refused, Err(RepairError::Foreign { what: said, .. }) if said == what));
    assert_eq!(fs::read(here.last().expect("some")).expect("bytes"), fs::read(&there[1]).expect("bytes"));
}

#[test]
fn a_last_segment_longer_than_any() {
    let folder = Folder::new("inspect-long");
    let last = folder.segments(0).pop().expect("some");
    fs::OpenOptions::new().write(true).open(&last).expect("a file").set_len(1 << 40).expect("sparse");
    assert_same(&folder, &last, "it has 1099511627776 bytes, which no segment has");
}

#[test]
fn a_sealed_segment_that_was_made_longer_is_read_up_to_there() {
    let folder = Folder::new("inspect-longer");
    let second = &folder.segments(0)[1];
    let base: u64 = second.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("a number");
    fs::OpenOptions::new().write(true).open(second).expect("a file").set_len(1 << 40).expect("sparse");
    let (log, report) = Log::open(&folder.0).expect("it can be opened");
    assert_eq!(report.damage().count(), 1);
    let second = second.clone();
    Runtime::new(Config::default()).expect("a runtime").block_on_fiber(move || {
        let before = log.fetch("orders", 0, 0, FetchMax::default()).expect("what lies before it");
        assert_eq!(before.next, base);
        let damaged = log.fetch("orders", 0, base, FetchMax::default());
        assert!(matches!(damaged, Err(FetchError::Corrupt { path, .. }) if path == second));
    });
}

#[test]
fn what_is_no_file_holds_nobody_up() {
    for name in ["00000000000000000000.seg", "00000000000000000000.idx", "checkpoint", "poisoned"] {
        let folder = Folder::new("inspect-fifo");
        let path = folder.0.join("orders/0").join(name);
        let _ = fs::remove_file(&path);
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        let inspected = inspect(&StdStorage, &folder.0);
        assert!(inspected.is_err() || name.ends_with("idx") || name == "poisoned", "{name}");
        let opened = Log::open(&folder.0);
        assert!(opened.is_err() || name.ends_with("idx") || name == "poisoned", "{name}");
    }
}

#[test]
fn settings_that_are_none_cost_their_topic() {
    let folder = Folder::new("inspect-settings");
    let settings = folder.0.join("orders/topic.json");
    let check = |reason: &str| {
        let found = inspect(&StdStorage, &folder.0).expect("the log can be read");
        let damage: Vec<String> = found.iter().flat_map(|one| one.damage()).collect();
        assert_eq!(damage.len(), 1);
        assert!(damage[0].contains(reason), "{damage:?}");
        let (_, report) = Log::open(&folder.0).expect("it can be opened");
        assert!(report.damage().all(|what| what.contains(reason)));
        assert_eq!(report.damage().count(), 1);
    };
    fs::write(&settings, "{").expect("written");
    check("EOF");
    fs::remove_file(&settings).expect("removed");
    fs::create_dir(&settings).expect("a folder");
    check("directory");
}

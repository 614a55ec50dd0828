//! The tracker, case by case, in virtual time.

use super::*;
use crate::watch::{Batch, LimitKind};

const ROOT: Wd = 1;

/// The length of each file found.
const LEN: u64 = 9;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn found(path: &str, wd: Wd, files: &[&str]) -> Found {
    Found { path: path.into(), wd: Some(wd), files: files.iter().map(|name| (name.into(), LEN)).collect() }
}

fn scan(folders: Vec<Found>) -> Scan {
    Scan { path: folders[0].path.clone(), folders, ..Scan::default() }
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

fn changed(names: &[&str]) -> Step {
    Step::Deliver(Batch { changed: paths(names), ..Batch::default() })
}

fn removed(names: &[&str]) -> Step {
    Step::Deliver(Batch { removed: paths(names), ..Batch::default() })
}

fn rescan() -> Step {
    Step::Deliver(Batch { rescan: true, ..Batch::default() })
}

fn wait(n: u64) -> Step {
    Step::Wait(Some(ms(n)))
}

/// A tracker of a root (watch 1) with the folder `d` (watch 2); debounce 20 ms, at most 500 ms.
struct Bench(Tracker);

impl Bench {
    fn new() -> Bench {
        Bench::with(WatchOptions::default())
    }

    fn with(options: WatchOptions) -> Bench {
        let mut tracker =
            Tracker::new(options, scan(vec![found("", ROOT, &["old"]), found("d", 2, &["old"])]));
        tracker.on_caught_up();
        Bench(tracker)
    }

    fn event(&mut self, at: u64, wd: Wd, kind: EventKind, name: &str) -> &mut Bench {
        self.full(at, Event { wd, kind, name: name.into(), is_dir: false, cookie: 0 })
    }

    fn folder(&mut self, at: u64, wd: Wd, kind: EventKind, name: &str) -> &mut Bench {
        self.full(at, Event { wd, kind, name: name.into(), is_dir: true, cookie: 7 })
    }

    fn full(&mut self, at: u64, event: Event) -> &mut Bench {
        self.0.on_event(event, ms(at));
        self
    }

    fn poll(&mut self, at: u64, expected: Step) -> &mut Bench {
        assert_eq!(self.0.poll(ms(at)), expected, "at {at} ms");
        self
    }

    fn scanned(&mut self, at: u64, scan: Scan) -> &mut Bench {
        self.0.on_scan(scan, ms(at));
        self
    }

    /// Polls when all that was found is to be looked at, finds it as it was, and polls again.
    fn probed(&mut self, at: u64, expected: Step) -> &mut Bench {
        match self.0.poll(ms(at)) {
            Step::Probe(paths) => {
                paths.into_iter().for_each(|path| self.0.on_probe(path, Probe::File { links: 1, len: LEN }));
            }
            other => panic!("no probe at {at} ms: {other:?}"),
        }
        self.poll(at, expected)
    }

    fn strays(&mut self) -> Vec<Wd> {
        self.0.take_strays().collect()
    }
}

use EventKind::{
    CloseWrite, Create, Delete, DeleteSelf, Ignored, Modify, MoveSelf, MovedFrom, MovedTo, Overflow, Unmount,
};

#[test]
fn a_batch_waits_for_quiet_and_not_longer_than_the_bound() {
    let mut bench = Bench::new();
    bench.poll(0, Step::Wait(None));
    bench.event(100, ROOT, CloseWrite, "b").poll(100, wait(20)).poll(119, wait(1));
    bench.event(119, 2, CloseWrite, "a").poll(119, wait(20));
    bench.event(120, ROOT, CloseWrite, "b").poll(140, changed(&["b", "d/a"])).poll(140, Step::Wait(None));
    for at in (1000..1500).step_by(10) {
        bench.event(at, ROOT, CloseWrite, "x").poll(at, wait(20.min(1500 - at)));
    }
    bench.event(1500, ROOT, CloseWrite, "x").poll(1500, changed(&["x"])).poll(1500, Step::Wait(None));
}

#[test]
fn what_is_written_is_held_back_and_holds_nothing_back() {
    let mut bench = Bench::new();
    bench.event(0, ROOT, Create, "new").event(0, ROOT, Modify, "new").event(0, ROOT, Modify, "old");
    bench.poll(0, Step::Wait(None));
    bench.event(5, ROOT, CloseWrite, "x").event(15, ROOT, Modify, "old").poll(25, changed(&["x"]));
    bench.event(30, ROOT, CloseWrite, "new").poll(50, changed(&["new"]));
    // Written again before it was told.
    bench.event(60, ROOT, CloseWrite, "old").event(70, ROOT, Modify, "old").poll(90, Step::Wait(None));
    bench.event(200, ROOT, CloseWrite, "old").poll(219, wait(1)).poll(220, changed(&["old"]));
}

#[test]
fn a_file_that_is_replaced_is_not_told_removed() {
    let mut bench = Bench::new();
    bench.event(0, ROOT, MovedFrom, "old").event(1, ROOT, Create, "old").event(2, ROOT, Modify, "old");
    bench.poll(100, Step::Wait(None));
    bench.event(200, ROOT, CloseWrite, "old").poll(220, changed(&["old"]));
    bench.event(300, ROOT, Modify, "old").event(301, ROOT, Delete, "old").poll(321, removed(&["old"]));
}

#[test]
fn a_creation_alone_is_looked_at() {
    for (probe, expected) in [
        (Probe::Symlink, changed(&["x"])),
        (Probe::File { links: 2, len: 0 }, changed(&["x"])),
        (Probe::File { links: 1, len: LEN }, Step::Wait(None)),
        (Probe::Nothing, Step::Wait(None)),
    ] {
        let mut bench = Bench::new();
        bench.event(0, ROOT, Create, "x").poll(19, wait(1));
        // Not answered, so asked again.
        bench.poll(20, Step::Probe(paths(&["x"]))).poll(20, Step::Probe(paths(&["x"])));
        bench.0.on_probe("x".into(), probe);
        bench.poll(21, expected).poll(21, Step::Wait(None));
        bench.event(100, ROOT, CloseWrite, "x").poll(120, changed(&["x"]));
    }
}

#[test]
fn a_file_found_in_a_new_folder_is_whole_if_it_does_not_grow() {
    for (probe, expected) in [
        (Probe::File { links: 1, len: LEN }, changed(&["n/x"])),
        (Probe::File { links: 1, len: LEN + 1 }, Step::Wait(None)),
        (Probe::Symlink, changed(&["n/x"])),
        (Probe::Nothing, Step::Wait(None)),
    ] {
        let mut bench = Bench::new();
        bench.folder(0, ROOT, Create, "n").scanned(0, scan(vec![found("n", 3, &["x"])]));
        bench.poll(20, Step::Probe(paths(&["n/x"])));
        bench.0.on_probe("n/x".into(), probe);
        bench.poll(20, expected).event(100, 3, CloseWrite, "x").poll(120, changed(&["n/x"]));
    }
    // A second scan knows no better than the events in between.
    let mut bench = Bench::new();
    bench.folder(0, ROOT, Create, "n").scanned(0, scan(vec![found("n", 3, &["a"])]));
    bench.event(1, 3, Create, "new").event(1, 3, Modify, "a").event(1, 3, Delete, "gone");
    bench.scanned(2, scan(vec![found("n", 3, &["a", "gone", "new"])]));
    bench.poll(22, Step::Probe(paths(&["n/new"])));
    bench.0.on_probe("n/new".into(), Probe::File { links: 1, len: LEN });
    bench.poll(22, removed(&["n/gone"])).poll(22, Step::Wait(None));
}

#[test]
fn an_answer_to_a_probe_that_is_overtaken_is_not_taken() {
    let mut bench = Bench::new();
    bench.event(0, ROOT, Create, "x").poll(20, Step::Probe(paths(&["x"])));
    bench.event(20, ROOT, Delete, "x");
    bench.0.on_probe("x".into(), Probe::Symlink);
    bench.poll(40, removed(&["x"]));
}

#[test]
fn probes_do_not_put_off_what_is_overdue() {
    let mut bench = Bench::new();
    for at in (0..=500).step_by(10) {
        bench.event(at, ROOT, CloseWrite, "x").event(at, ROOT, Create, "link");
    }
    bench.poll(500, changed(&["x"])).poll(500, wait(20)).poll(520, Step::Probe(paths(&["link"])));
    bench.0.on_probe("link".into(), Probe::Symlink);
    bench.poll(520, changed(&["link"]));
}

#[test]
fn moves_of_files_carry_their_writers() {
    let moved = |bench: &mut Bench, from: &str, to: &str| {
        for (kind, name) in [(MovedFrom, from), (MovedTo, to)] {
            bench.full(0, Event { wd: ROOT, kind, name: name.into(), is_dir: false, cookie: 3 });
        }
    };
    let mut bench = Bench::new();
    moved(&mut bench, "old", "new");
    bench.poll(
        20,
        Step::Deliver(Batch { changed: paths(&["new"]), removed: paths(&["old"]), ..Batch::default() }),
    );
    bench.event(0, ROOT, Modify, "a");
    moved(&mut bench, "a", "b");
    bench.poll(40, removed(&["a"])).event(50, ROOT, CloseWrite, "b").poll(70, changed(&["b"]));
    bench.event(0, ROOT, Create, "c");
    moved(&mut bench, "c", "d2");
    bench.poll(90, Step::Probe(paths(&["d2"])));
    // Over a file that was written: that writer's file is gone.
    let mut bench = Bench::new();
    bench.event(0, ROOT, Modify, "new");
    moved(&mut bench, ".hidden", "new");
    bench.poll(20, changed(&["new"]));
}

#[test]
fn new_folders_are_scanned_at_once_and_inner_ones_with_them() {
    let mut bench = Bench::new();
    bench.folder(0, ROOT, Create, "n").folder(0, 2, Create, "i").folder(0, ROOT, MovedTo, "n2");
    bench.full(0, Event { wd: ROOT, kind: Create, name: ".git".into(), is_dir: true, cookie: 0 });
    bench.poll(0, Step::Scan(paths(&["d/i", "n", "n2"])));
    assert!(bench.0.wants_scan());
    bench.scanned(3, scan(vec![found("n", 3, &["a"]), found("n/m", 4, &["b"])]));
    bench.folder(3, 3, Create, "m").poll(3, Step::Scan(paths(&["d/i", "n/m", "n2"])));
    bench.folder(4, ROOT, Create, "n").poll(4, Step::Scan(paths(&["d/i", "n", "n2"])));
    bench.scanned(5, scan(vec![found("n", 3, &["a"]), found("n/m", 4, &["b"])]));
    bench.scanned(5, scan(vec![found("d/i", 5, &[])]));
    bench.scanned(5, Scan { path: "n2".into(), ..Scan::default() });
    assert!(!bench.0.wants_scan());
    bench.probed(25, changed(&["n/a", "n/m/b"])).poll(25, Step::Wait(None));
    assert_eq!(bench.0.folders_len(), 5);
    bench.event(30, 4, CloseWrite, "c").poll(50, changed(&["n/m/c"]));
    assert!(bench.strays().is_empty());
}

#[test]
fn a_folder_that_goes_takes_what_was_to_be_told_of_it_along() {
    let mut bench = Bench::new();
    bench.event(0, 2, CloseWrite, "a").event(0, 2, Delete, "old").event(0, 2, Modify, "w");
    bench.folder(1, 2, DeleteSelf, "").event(1, 2, Ignored, "").folder(1, ROOT, Delete, "d");
    let gone = || Step::Deliver(Batch { removed_dirs: paths(&["d"]), ..Batch::default() });
    bench.poll(21, gone());
    assert_eq!((bench.0.folders_len(), bench.strays()), (1, vec![]));
    assert!(bench.0.writing.is_empty());
    // One that is moved out of the tree keeps its watch until it is told.
    let mut bench = Bench::new();
    bench.folder(0, ROOT, MovedFrom, "d").event(1, 2, CloseWrite, "a").poll(20, gone());
    assert_eq!(bench.strays(), [2]);
    bench.event(30, 2, CloseWrite, "a").poll(30, Step::Wait(None));
    // One that comes again in the same batch is told anew.
    let mut bench = Bench::new();
    bench.folder(0, ROOT, Delete, "d").folder(0, ROOT, Create, "d").poll(0, Step::Scan(paths(&["d"])));
    bench.scanned(0, scan(vec![found("d", 3, &["x"])])).event(1, 3, Delete, "x").event(1, 3, CloseWrite, "y");
    bench.poll(
        21,
        Step::Deliver(Batch { removed_dirs: paths(&["d"]), changed: paths(&["d/y"]), ..Batch::default() }),
    );
    assert_eq!(bench.strays(), [2]);
}

#[test]
fn a_moved_folder_keeps_its_watch_under_its_new_path() {
    let mut bench = Bench::new();
    bench.event(0, 2, Modify, "w").event(0, 2, Create, "opened").event(0, 2, Create, "o2");
    bench.0.on_probe("d/o2".into(), Probe::File { links: 1, len: 0 });
    bench.folder(0, ROOT, MovedFrom, "d").folder(0, ROOT, MovedTo, "e");
    bench.event(0, 2, CloseWrite, "a").poll(0, Step::Scan(paths(&["e"])));
    bench.scanned(1, scan(vec![found("e", 2, &["a", "old", "opened", "o2", "w"])]));
    let told = Batch { removed_dirs: paths(&["d"]), changed: paths(&["e/a", "e/old"]), ..Batch::default() };
    bench.probed(21, Step::Deliver(told));
    assert!(bench.strays().is_empty());
    bench.event(30, 2, CloseWrite, "w").poll(50, changed(&["e/w"]));
}

#[test]
fn a_folder_moved_over_an_empty_one_takes_its_place() {
    let mut bench = Bench::new();
    bench.folder(0, ROOT, Create, "e").scanned(0, scan(vec![found("e", 3, &["x"])]));
    bench.probed(20, changed(&["e/x"]));
    bench.event(30, 2, Delete, "x").event(30, 2, Modify, "y").event(30, 2, Delete, "y");
    bench.folder(30, ROOT, MovedFrom, "e").folder(30, ROOT, MovedTo, "d").folder(30, 2, DeleteSelf, "");
    bench.event(30, 2, Ignored, "").poll(30, Step::Scan(paths(&["d"])));
    bench.scanned(30, scan(vec![found("d", 3, &["x"])]));
    let told = Batch { removed_dirs: paths(&["d", "e"]), changed: paths(&["d/x"]), ..Batch::default() };
    bench.probed(50, Step::Deliver(told));
    assert!(bench.strays().is_empty());
    bench.event(60, 3, CloseWrite, "y").poll(80, changed(&["d/y"]));
}

#[test]
fn a_path_that_turns_out_to_be_another_folder_is_told_as_it_is() {
    let mut bench = Bench::new();
    // Noted for `d` while its watch was thought to be 2.
    bench.event(0, 2, Modify, "w").event(0, 2, CloseWrite, "gone").folder(0, ROOT, Create, "d");
    bench.poll(0, Step::Scan(paths(&["d"]))).scanned(0, scan(vec![found("d", 3, &["w"])]));
    let told = Batch { changed: paths(&["d/w"]), removed: paths(&["d/gone"]), ..Batch::default() };
    bench.probed(20, Step::Deliver(told));
    assert_eq!(bench.strays(), [2]);
}

#[test]
fn lost_events_are_a_rescan_once_it_is_quiet() {
    let mut bench = Bench::new();
    let all = || Step::Scan(paths(&[""]));
    bench.event(0, ROOT, CloseWrite, "x").event(1, -1, Overflow, "").event(5, ROOT, CloseWrite, "y");
    bench.poll(5, wait(20)).poll(25, all()).poll(25, all());
    bench.scanned(30, scan(vec![found("", ROOT, &["x"]), found("e", 3, &["z"])]));
    bench.poll(30, rescan()).poll(30, Step::Wait(None));
    assert_eq!(bench.strays(), [2]);
    bench.event(40, 3, CloseWrite, "z").poll(60, changed(&["e/z"]));
    // A storm that does not end.
    for at in (1000..=1500).step_by(10) {
        bench.event(at, -1, Overflow, "");
    }
    bench.poll(1500, all()).scanned(1501, scan(vec![found("", ROOT, &[])]));
    bench.poll(1501, rescan()).event(1502, -1, Overflow, "").poll(1502, wait(20)).poll(1522, all());
}

/// The caller may have read a file in a folder that had no watch yet, and which was gone when the folder was listed.
#[test]
fn a_folder_that_came_while_the_tree_was_read_is_told_anew() {
    let mut bench = Bench(Tracker::new(WatchOptions::default(), scan(vec![found("", ROOT, &[])])));
    let anew =
        || Step::Deliver(Batch { removed_dirs: paths(&["n"]), changed: paths(&["n/x"]), ..Batch::default() });
    // A batch in between changes nothing while there are older events to read.
    bench.event(0, ROOT, CloseWrite, "y").poll(20, changed(&["y"]));
    for round in [100, 1000] {
        bench.folder(round, ROOT, Create, "n").poll(round, Step::Scan(paths(&["n"])));
        bench.0.on_caught_up();
        bench.scanned(round, scan(vec![found("n", 3, &["x"])])).probed(round + 20, anew());
        bench.folder(round + 30, ROOT, Create, "m").scanned(round + 30, scan(vec![found("m", 4, &["x"])]));
        bench.probed(round + 50, changed(&["m/x"]));
        bench.0.renew(ms(round + 60));
        bench
            .poll(round + 80, Step::Scan(paths(&[""])))
            .scanned(round + 80, scan(vec![found("", ROOT, &[])]));
        bench.poll(round + 80, rescan());
    }
}

#[test]
fn a_root_that_is_gone_is_told_once_and_looked_for() {
    let all = || Step::Scan(paths(&[""]));
    for (kind, name) in
        [(DeleteSelf, "deleted"), (MoveSelf, "moved"), (Unmount, "unmounted"), (Ignored, "ended")]
    {
        let mut bench = Bench::new();
        bench.folder(0, ROOT, kind, "").poll(0, wait(20)).poll(20, all()).scanned(20, Scan::default());
        bench.poll(20, Step::RootGone).poll(20, wait(250)).poll(270, all()).scanned(270, Scan::default());
        bench.poll(270, wait(250)).poll(520, all()).scanned(520, scan(vec![found("", 9, &["x"])]));
        bench.poll(520, rescan()).poll(520, Step::Wait(None));
        bench.event(600, 9, CloseWrite, "x").event(600, ROOT, CloseWrite, "y").poll(620, changed(&["x"]));
        assert_eq!(bench.0.folders_len(), 1, "{name}");
    }
    // A folder in the tree that moves is its parent's to tell.
    Bench::new().folder(0, 2, MoveSelf, "").poll(0, Step::Wait(None));
}

#[test]
fn an_unmounted_folder_shows_what_it_hid() {
    let mut bench = Bench::new();
    bench.folder(0, 2, Unmount, "").event(0, 2, Ignored, "").poll(0, Step::Scan(paths(&["d"])));
    bench.scanned(1, scan(vec![found("d", 3, &["below"])]));
    let told = Batch { removed_dirs: paths(&["d"]), changed: paths(&["d/below"]), ..Batch::default() };
    bench.probed(21, Step::Deliver(told));
}

#[test]
fn more_than_the_bound_is_a_rescan_without_new_watches() {
    let mut bench = Bench::with(WatchOptions { entries_max: 3, ..WatchOptions::default() });
    for name in ["a", "b", "c"] {
        bench.event(0, ROOT, CloseWrite, name);
    }
    bench.poll(20, changed(&["a", "b", "c"]));
    for name in ["a", "b", "c", "e", "f"] {
        bench.event(30, ROOT, CloseWrite, name);
    }
    bench.poll(50, rescan()).event(60, ROOT, CloseWrite, "a").poll(80, changed(&["a"]));
    bench.folder(90, ROOT, Create, "n").poll(90, Step::Scan(paths(&["n"])));
    bench.scanned(90, Scan { truncated: true, ..scan(vec![found("n", 3, &["a"])]) }).poll(110, rescan());
    for n in 0..10 {
        bench.event(120, ROOT, Modify, &n.to_string());
        bench.full(120, Event { wd: ROOT, kind: MovedFrom, name: ".x".into(), is_dir: false, cookie: n });
    }
    assert!(bench.0.writing.len() <= 3 && bench.0.moves.len() <= 3);
}

#[test]
fn a_limit_is_told_once_and_with_every_batch() {
    let limit = WatchLimit { kind: LimitKind::Watches, current: Some(5), sysctl: None, path: "n".into() };
    let degraded =
        |names: &[&str]| Step::Deliver(Batch { changed: paths(names), degraded: true, ..Batch::default() });
    let mut bench = Bench::new();
    let unwatched = Found { path: "n".into(), wd: None, files: Vec::new() };
    bench.folder(0, ROOT, Create, "n").poll(0, Step::Scan(paths(&["n"])));
    bench.scanned(0, Scan { limit: Some(limit.clone()), ..scan(vec![unwatched]) });
    bench.poll(20, degraded(&[])).poll(20, Step::Wait(None));
    assert_eq!(bench.0.limit(), Some(&limit));
    bench.event(30, ROOT, CloseWrite, "x").poll(50, degraded(&["x"]));
    bench.0.renew(ms(60));
    bench
        .poll(80, Step::Scan(paths(&[""])))
        .scanned(80, scan(vec![found("", ROOT, &[]), found("n", 3, &[])]));
    bench.poll(80, rescan());
    assert_eq!(bench.0.limit(), None);
}

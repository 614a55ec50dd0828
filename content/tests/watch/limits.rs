//! Bounds: the kernel's queue, its watches, our own; and the end of a wait.

use super::support::{Folder, PATIENCE, Watched, on_fiber, paths, read_tree};
use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;
use sws_content::watch::{LimitKind, WatchError, WatchOptions, Watcher};

#[test]
fn a_full_queue_is_a_rescan_and_all_is_watched_again() {
    on_fiber(|| {
        let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let queue: usize = queue.trim().parse().unwrap();
        if queue > 1 << 20 {
            return println!("skipped: the queue takes {queue} events");
        }
        let mut watched = Watched::new();
        watched.write("a", "a");
        watched.write("b", "b");
        watched.settle();
        // Two in turn, so that no two events in a row are the same and merge. Nobody reads meanwhile.
        for n in 0..=queue {
            let name = if n % 2 == 0 { "a" } else { "b" };
            drop(OpenOptions::new().append(true).open(watched.path(name)).unwrap());
        }
        fs::create_dir_all(watched.path("lost/deep")).unwrap();
        watched.write("lost/deep/x.md", "x");
        fs::remove_file(watched.path("a")).unwrap();
        assert!(watched.next().rescan);
        assert_eq!(watched.copy, read_tree(&watched.folder.root()));
        watched.write("lost/deep/x.md", "y");
        assert_eq!(watched.take_all().changed, paths(&["lost/deep/x.md"]));
        watched.settle();
    });
}

#[test]
fn more_changes_than_are_counted_are_a_rescan() {
    on_fiber(|| {
        let options = WatchOptions { entries_max: 50, ..WatchOptions::default() };
        let mut watched = Watched::over(Folder::new(), options);
        for n in 0..51 {
            watched.write(&format!("{n}"), "x");
        }
        let batch = watched.next();
        assert!(batch.rescan && batch.changed.is_empty() && !batch.degraded);
        watched.settle();
        // So are more files than that in a folder moved in.
        fs::create_dir(watched.folder.outside("many")).unwrap();
        (0..51).for_each(|n| fs::write(watched.folder.outside(&format!("many/{n}")), "x").unwrap());
        fs::rename(watched.folder.outside("many"), watched.path("many")).unwrap();
        assert!(watched.next().rescan);
        watched.write("many/7", "y");
        assert_eq!(watched.take_all().changed, paths(&["many/7"]));
    });
}

#[test]
fn more_folders_than_may_be_leave_it_degraded_until_a_rescan() {
    on_fiber(|| {
        let options = WatchOptions { entries_max: 3, ..WatchOptions::default() };
        let mut watched = Watched::over(Folder::new(), options);
        assert!(watched.watcher.limit().is_none());
        for name in ["a", "b", "c"] {
            fs::create_dir(watched.path(name)).unwrap();
        }
        let told = watched.take_all();
        assert!(told.degraded);
        let limit = watched.watcher.limit().unwrap();
        assert_eq!((limit.kind, limit.current), (LimitKind::Entries, Some(3)));
        // It goes on with what it has.
        watched.write("x.md", "x");
        let told = watched.take_all();
        assert!(told.degraded);
        assert_eq!(told.changed, paths(&["x.md"]));
        fs::remove_dir(watched.path("a")).unwrap();
        watched.take_all();
        watched.watcher.rescan();
        let batch = watched.next();
        assert!(batch.rescan && !batch.degraded);
        watched.write("c/y.md", "y");
        assert!(watched.take_all().changed.contains(&"c/y.md".into()));
    });
}

/// A user namespace of its own may have a lower limit of watches.
#[test]
fn the_kernels_limit_of_watches() {
    const INSIDE: &str = "WATCH_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_none() {
        let script = "echo 4 > /proc/sys/user/max_inotify_watches && exec \"$0\" --exact limits::the_kernels_limit_of_watches";
        let allowed = Command::new("unshare")
            .args(["-Ur", "sh", "-c", "echo 4 > /proc/sys/user/max_inotify_watches"])
            .output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            return println!("skipped: no user namespaces");
        }
        let this = std::env::current_exe().unwrap();
        let output = Command::new("unshare")
            .args(["-Ur", "sh", "-c", script])
            .arg(this)
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    on_fiber(|| {
        let mut watched = Watched::new();
        for name in ["a", "b", "c", "d", "e"] {
            fs::create_dir(watched.path(name)).unwrap();
        }
        assert!(watched.take_all().degraded);
        let limit = watched.watcher.limit().unwrap();
        assert_eq!((limit.kind, limit.current), (LimitKind::Watches, Some(4)));
        let text = limit.to_string();
        assert!(
            text.contains("user.max_inotify_watches is 4")
                && text.contains("sudo sysctl user.max_inotify_watches="),
            "{text}"
        );
        // A new folder's files are told though it cannot be watched; and a second watcher has nothing to stand on.
        let refused = Watcher::new(watched.folder.root(), WatchOptions::default()).err().unwrap();
        assert!(
            matches!(&refused, WatchError::Limit(limit) if limit.kind == LimitKind::Watches),
            "{refused}"
        );
        ["a", "b", "c"].iter().for_each(|name| fs::remove_dir(watched.path(name)).unwrap());
        watched.take_all();
        watched.watcher.rescan();
        assert!(!watched.next().degraded);
        watched.write("e/x.md", "x");
        assert!(watched.take_all().changed.contains(&"e/x.md".into()));
    });
}

#[test]
fn a_cancelled_fiber_is_told_so_and_nothing_is_lost() {
    on_fiber(|| {
        let watched = Rc::new(RefCell::new(Watched::new()));
        let waiting = Rc::clone(&watched);
        let (told, is_waiting) = sws_runtime::sync::channel(1);
        let fiber = sws_runtime::go("watch", move || {
            told.send(sws_runtime::current_fiber().unwrap()).unwrap();
            waiting.borrow_mut().watcher.next()
        });
        let id = is_waiting.recv().unwrap();
        sws_runtime::cancel_fiber(id);
        assert!(matches!(fiber.join().unwrap(), Err(WatchError::Cancelled)));
        let mut watched = watched.borrow_mut();
        assert!(watched.watcher.next_within(Duration::ZERO).unwrap().is_none());
        fs::create_dir(watched.path("a")).unwrap();
        watched.write("a/x", "x");
        // A time that is over at any point of the work, scans among them, leaves what is to be told for the next call.
        let mut found = None;
        for micros in (0..).step_by(50).take_while(|micros| Duration::from_micros(*micros) < PATIENCE) {
            let time = Duration::from_micros(micros);
            let mut batch = None;
            let _ = sws_runtime::timeout(time, || batch = watched.watcher.next().ok());
            if let Some(batch) = batch {
                found = Some(batch);
                break;
            }
        }
        assert_eq!(found.unwrap().changed, paths(&["a/x"]));
    });
}

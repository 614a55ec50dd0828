//! Folders that come, move and go.

use super::support::{Folder, PATIENCE, Watched, on_fiber, paths, run_beside};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use sws_content::watch::{WatchError, WatchOptions, Watcher};

#[test]
fn what_is_made_in_a_new_folder_at_once_is_told() {
    on_fiber(|| {
        let mut watched = Watched::new();
        fs::create_dir_all(watched.path("a/b/c")).unwrap();
        watched.write("a/b/c/deep.md", "deep");
        watched.write("a/top.md", "top");
        assert_eq!(watched.take_all().changed, paths(&["a/b/c/deep.md", "a/top.md"]));
        watched.write("a/b/c/later.md", "later");
        assert_eq!(watched.take_all().changed, paths(&["a/b/c/later.md"]));
        assert_eq!(watched.watcher.folders_len(), 4);
        watched.settle();
    });
}

/// A tree of some hundred files, five levels deep.
fn plant(root: &Path) {
    let mut dirs = vec![root.to_owned()];
    for level in 0..5 {
        let mut next = Vec::new();
        for dir in &dirs {
            for n in 0..3 {
                let inner = dir.join(format!("{level}-{n}"));
                fs::create_dir_all(&inner).unwrap();
                fs::write(inner.join("page.md"), format!("{}", inner.display())).unwrap();
                next.push(inner);
            }
        }
        dirs = next;
    }
}

#[test]
fn a_deep_copy_and_its_removal_while_watched() {
    on_fiber(|| {
        let mut watched = Watched::new();
        plant(&watched.folder.outside("source"));
        let copying = run_beside("cp", &["-r", "source", "root/tree"], &watched.folder.0);
        watched.next();
        assert!(copying.join().unwrap());
        watched.settle();
        assert_eq!(watched.copy.len(), 363);
        assert_eq!(watched.watcher.folders_len(), 365);
        let removing = run_beside("rm", &["-rf", "root/tree"], &watched.folder.0);
        watched.next();
        assert!(removing.join().unwrap());
        watched.settle();
        watched.take_all();
        assert_eq!(watched.watcher.folders_len(), 1);
    });
}

#[test]
fn folders_move_in_within_and_out() {
    on_fiber(|| {
        let mut watched = Watched::new();
        let outside = watched.folder.outside("tree");
        fs::create_dir_all(outside.join("inner")).unwrap();
        fs::write(outside.join("inner/a.md"), "a").unwrap();

        fs::rename(&outside, watched.path("in")).unwrap();
        assert_eq!(watched.take_all().changed, paths(&["in/inner/a.md"]));

        fs::rename(watched.path("in"), watched.path("within")).unwrap();
        let told = watched.take_all();
        assert_eq!((told.changed, told.removed_dirs), (paths(&["within/inner/a.md"]), paths(&["in"])));
        watched.write("within/inner/b.md", "b");
        assert_eq!(watched.take_all().changed, paths(&["within/inner/b.md"]));

        fs::rename(watched.path("within"), &outside).unwrap();
        assert_eq!(watched.take_all().removed_dirs, paths(&["within"]));
        fs::write(outside.join("inner/c.md"), "c").unwrap();
        assert!(watched.take_all().is_empty());
        assert_eq!(watched.watcher.folders_len(), 1);
        watched.settle();
    });
}

#[test]
fn a_writer_keeps_its_file_through_the_move_of_a_folder() {
    on_fiber(|| {
        use std::io::Write;
        let mut watched = Watched::new();
        fs::create_dir(watched.path("a")).unwrap();
        watched.take_all();
        let mut file = fs::File::create(watched.path("a/x")).unwrap();
        file.write_all(b"ha").unwrap();
        fs::rename(watched.path("a"), watched.path("b")).unwrap();
        assert!(watched.take_all().changed.is_empty());
        file.write_all(b"lf").unwrap();
        drop(file);
        assert_eq!(watched.take_all().changed, paths(&["b/x"]));
    });
}

#[test]
fn folders_that_swap_names_keep_their_own_files() {
    on_fiber(|| {
        let mut watched = Watched::new();
        for name in ["a", "b"] {
            fs::create_dir(watched.path(name)).unwrap();
            watched.write(&format!("{name}/{name}.md"), name);
        }
        watched.settle();
        fs::rename(watched.path("a"), watched.path("c")).unwrap();
        fs::rename(watched.path("b"), watched.path("a")).unwrap();
        fs::rename(watched.path("c"), watched.path("b")).unwrap();
        watched.settle();
        watched.take_all();
        watched.write("a/new.md", "in what was b");
        watched.write("b/new.md", "in what was a");
        assert_eq!(watched.take_all().changed, paths(&["a/new.md", "b/new.md"]));
    });
}

#[test]
fn linked_and_ignored_folders_are_not_entered() {
    on_fiber(|| {
        let mut watched = Watched::new();
        let outside = watched.folder.outside("tree");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, watched.path("link")).unwrap();
        fs::create_dir(watched.path(".git")).unwrap();
        assert_eq!(watched.take_all().changed, paths(&["link"]));
        fs::write(outside.join("a.md"), "a").unwrap();
        watched.write(".git/index", "i");
        assert!(watched.take_all().is_empty());
        assert_eq!(watched.watcher.folders_len(), 1);
    });
}

#[test]
fn a_folder_takes_the_place_of_a_file_and_the_other_way_round() {
    on_fiber(|| {
        let mut watched = Watched::new();
        watched.write("x", "a file");
        watched.settle();
        fs::remove_file(watched.path("x")).unwrap();
        fs::create_dir(watched.path("x")).unwrap();
        watched.write("x/y", "in a folder");
        watched.settle();
        fs::remove_dir_all(watched.path("x")).unwrap();
        watched.write("x", "a file again");
        let told = watched.take_all();
        assert_eq!((told.removed_dirs, told.changed), (paths(&["x"]), paths(&["x"])));
        watched.settle();
    });
}

#[test]
fn a_root_that_goes_is_an_error_and_a_root_that_comes_a_rescan() {
    on_fiber(|| {
        let mut watched = Watched::new();
        let root = watched.folder.root();
        for leave in [(|root: &Path| fs::remove_dir_all(root).unwrap()) as fn(&Path), |root| {
            fs::rename(root, root.with_file_name("old")).unwrap()
        }] {
            watched.write("before.md", "b");
            watched.settle();
            leave(&root);
            let gone = loop {
                match watched.watcher.next_within(PATIENCE) {
                    Ok(batch) => assert!(batch.is_some(), "the root's end is told"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(&gone, WatchError::RootGone { root: at } if *at == root), "{gone}");
            fs::create_dir_all(root.join("sub")).unwrap();
            assert!(watched.next().rescan);
            watched.write("sub/again.md", "a");
            assert_eq!(watched.take_all().changed, paths(&["sub/again.md"]));
            watched.settle();
        }
    });
}

#[test]
fn a_root_that_somebody_has_open_goes_and_comes() {
    on_fiber(|| {
        let mut watched = Watched::new();
        let root = watched.folder.root();
        for round in 0..20 {
            let open = fs::File::open(&root).unwrap();
            fs::remove_dir_all(&root).unwrap();
            if round % 2 == 0 {
                let gone = loop {
                    match watched.watcher.next_within(PATIENCE) {
                        Ok(batch) => assert!(batch.is_some(), "the root's end is told"),
                        Err(error) => break error,
                    }
                };
                assert!(matches!(gone, WatchError::RootGone { .. }), "{gone}");
            }
            fs::create_dir_all(root.join("content")).unwrap();
            // Where it was away too briefly to be missed, only its end may be told before.
            while !matches!(watched.watcher.next_within(PATIENCE), Ok(Some(batch)) if batch.rescan) {}
            watched.write("content/a.md", "a");
            assert_eq!(watched.take_all().changed, paths(&["content/a.md"]), "round {round}");
            drop(open);
        }
    });
}

#[test]
fn a_root_that_is_replaced_is_a_rescan() {
    on_fiber(|| {
        let mut watched = Watched::new();
        let root = watched.folder.root();
        fs::create_dir(watched.folder.outside("next")).unwrap();
        fs::write(watched.folder.outside("next/new.md"), "new").unwrap();
        fs::rename(&root, watched.folder.outside("old")).unwrap();
        fs::rename(watched.folder.outside("next"), &root).unwrap();
        assert!(watched.next().rescan);
        watched.settle();
        fs::write(watched.folder.outside("old/x.md"), "x").unwrap();
        watched.write("y.md", "y");
        assert_eq!(watched.take_all().changed, paths(&["y.md"]));
    });
}

#[test]
fn a_root_that_is_none_is_refused() {
    on_fiber(|| {
        let folder = Folder::new();
        fs::write(folder.outside("file"), "").unwrap();
        for name in ["file", "missing"] {
            let refused = Watcher::new(folder.outside(name), WatchOptions::default()).err().unwrap();
            assert!(matches!(refused, WatchError::Io { .. }), "{refused}");
        }
    });
}

//! How files come to be: written, linked, moved into place by the editors and copiers there are.

use super::support::{Folder, Watched, on_fiber, paths, run, run_beside};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::Duration;
use sws_content::watch::WatchOptions;

#[test]
fn a_plain_write_is_told_once() {
    on_fiber(|| {
        let mut watched = Watched::new();
        watched.write("post.md", "one");
        watched.write("about.md", "two");
        watched.write("post.md", "three");
        let batch = watched.next();
        assert_eq!(batch.changed, paths(&["about.md", "post.md"]));
        assert!(
            batch.removed.is_empty() && batch.removed_dirs.is_empty() && !batch.rescan && !batch.degraded
        );
        fs::remove_file(watched.path("post.md")).unwrap();
        assert_eq!(watched.next().removed, paths(&["post.md"]));
        watched.settle();
    });
}

#[test]
fn a_file_is_not_told_before_its_writer_closes_it() {
    on_fiber(|| {
        let mut watched = Watched::new();
        watched.write("old.md", "whole");
        watched.settle();
        let mut new = File::create(watched.path("new.md")).unwrap();
        let mut old = OpenOptions::new().write(true).truncate(true).open(watched.path("old.md")).unwrap();
        let only_opened = File::create(watched.path("opened.md")).unwrap();
        new.write_all(b"ha").unwrap();
        assert!(watched.take_all().is_empty());
        old.write_all(b"ha").unwrap();
        new.write_all(b"lf").unwrap();
        assert!(watched.take_all().is_empty());
        drop(new);
        assert_eq!(watched.take_all().changed, paths(&["new.md"]));
        drop((old, only_opened));
        assert_eq!(watched.take_all().changed, paths(&["old.md", "opened.md"]));
        watched.settle();
    });
}

#[test]
fn a_file_renamed_while_it_is_written_is_told_when_it_is_closed() {
    on_fiber(|| {
        let mut watched = Watched::new();
        let mut file = File::create(watched.path("download.part")).unwrap();
        file.write_all(b"ha").unwrap();
        fs::rename(watched.path("download.part"), watched.path("download")).unwrap();
        assert!(watched.take_all().changed.is_empty());
        drop(file);
        assert_eq!(watched.take_all().changed, paths(&["download"]));
    });
}

#[test]
fn links_are_changes_though_nobody_writes() {
    on_fiber(|| {
        let mut watched = Watched::new();
        fs::write(watched.folder.outside("source"), "linked").unwrap();
        fs::hard_link(watched.folder.outside("source"), watched.path("hard")).unwrap();
        symlink("hard", watched.path("soft")).unwrap();
        assert_eq!(watched.next().changed, paths(&["hard", "soft"]));
        symlink("elsewhere", watched.path("soft.new")).unwrap();
        fs::rename(watched.path("soft.new"), watched.path("soft")).unwrap();
        assert_eq!(watched.next().changed, paths(&["soft"]));
        watched.settle();
    });
}

#[test]
fn sed_in_place() {
    on_fiber(|| {
        let mut watched = Watched::new();
        watched.write("post.md", "a draft");
        watched.settle();
        if run("sed", &["-i", "s/draft/post/", "post.md"], &watched.folder.root()) {
            let told = watched.take_all();
            assert_eq!(told.changed, paths(&["post.md"]));
            assert!(told.removed.iter().all(|path| path.to_string_lossy().starts_with("sed")), "{told:?}");
            assert_eq!(fs::read(watched.path("post.md")).unwrap(), b"a post");
            watched.settle();
        }
    });
}

/// The calls of vim 9 for `:w` with `backupcopy=no` and `writebackup`, in their order.
fn save_as_vim(watched: &Watched, name: &str, content: &str) -> File {
    let backup = watched.path(&format!("{name}~"));
    drop(File::create(watched.path("4913")).unwrap());
    fs::remove_file(watched.path("4913")).unwrap();
    fs::rename(watched.path(name), backup).unwrap();
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).open(watched.path(name)).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file.sync_all().unwrap();
    file
}

#[test]
fn vim_never_makes_an_article_vanish() {
    on_fiber(|| {
        let mut watched = Watched::new();
        watched.write("post.md", "one");
        watched.settle();
        let file = save_as_vim(&watched, "post.md", "two");
        // It is slow: the new file is still open, and the old one has its backup's name.
        assert!(watched.take_all().is_empty());
        drop(file);
        fs::remove_file(watched.path("post.md~")).unwrap();
        let told = watched.take_all();
        assert_eq!((told.changed, told.removed), (paths(&["post.md"]), paths(&[])));
        watched.settle();
    });
}

#[test]
fn vim_itself() {
    on_fiber(|| {
        for options in
            ["set backupcopy=no writebackup", "set backupcopy=yes", "set nowritebackup backupcopy=no"]
        {
            let mut watched = Watched::new();
            watched.write("post.md", "one\n");
            watched.settle();
            let arguments =
                ["-u", "NONE", "-es", "-c", options, "-c", "normal! ccfrom vim", "-c", "wq", "post.md"];
            if run("vim", &arguments, &watched.folder.root()) {
                let told = watched.take_all();
                assert_eq!((told.changed, told.removed), (paths(&["post.md"]), paths(&[])), "{options}");
                assert_eq!(fs::read(watched.path("post.md")).unwrap(), b"from vim\n");
                watched.settle();
            }
        }
    });
}

#[test]
fn editors_that_write_in_place_and_that_rename() {
    on_fiber(|| {
        let mut watched = Watched::new();
        watched.write("post.md", "one");
        watched.settle();
        let mut file = OpenOptions::new().write(true).truncate(true).open(watched.path("post.md")).unwrap();
        file.write_all(b"in place").unwrap();
        drop(file);
        let told = watched.take_all();
        assert_eq!((told.changed, told.removed), (paths(&["post.md"]), paths(&[])));
        for temporary in ["post.md.tmp.4711", ".post.md.a1B2c3", "post.md___jb_tmp___"] {
            watched.write(temporary, temporary);
            fs::rename(watched.path(temporary), watched.path("post.md")).unwrap();
            let told = watched.take_all();
            assert_eq!(told.changed, paths(&["post.md"]), "{temporary}");
            assert!(!told.removed.contains(&"post.md".into()), "{temporary}");
            watched.settle();
        }
    });
}

#[test]
fn rsync_itself() {
    on_fiber(|| {
        let mut watched = Watched::new();
        fs::create_dir_all(watched.folder.outside("source/deep")).unwrap();
        fs::write(watched.folder.outside("source/deep/a.md"), "a").unwrap();
        fs::write(watched.folder.outside("source/b.md"), "b").unwrap();
        if run("rsync", &["-a", "source/", "root/"], &watched.folder.0) {
            assert_eq!(watched.take_all().changed, paths(&["b.md", "deep/a.md"]));
            watched.settle();
        }
    });
}

#[test]
fn a_checkout_of_500_files_is_one_change() {
    on_fiber(|| {
        let folder = Folder::new();
        let root = folder.root();
        for n in 0..500 {
            fs::create_dir_all(root.join(format!("d{}", n % 17))).unwrap();
            fs::write(root.join(format!("d{}/{n}.md", n % 17)), format!("one {n}")).unwrap();
        }
        let git = |arguments: &[&str]| run("git", arguments, &root);
        if !git(&["init", "-q", "-b", "one"]) {
            return;
        }
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"];
        let commit = |text| git(&[&identity[..], &["commit", "-q", "-m", text]].concat());
        git(&["add", "."]);
        commit("one");
        git(&["checkout", "-q", "-b", "two"]);
        for n in 0..500 {
            fs::write(root.join(format!("d{}/{n}.md", n % 17)), format!("two {n}")).unwrap();
        }
        git(&["add", "."]);
        commit("two");
        let options = WatchOptions {
            debounce: Duration::from_millis(200),
            debounce_max: Duration::from_secs(20),
            ..WatchOptions::default()
        };
        let mut watched = Watched::over(folder, options);
        for branch in ["one", "two"] {
            watched.batches.clear();
            let checkout = run_beside("git", &["checkout", "-q", branch], &root);
            let last = watched.next();
            assert!(!last.rescan);
            assert!(checkout.join().unwrap());
            watched.settle();
            assert!(watched.batches.len() <= 2, "{} batches", watched.batches.len());
            let told: usize = watched.batches.iter().map(|batch| batch.changed.len()).sum();
            assert!((500..=1000).contains(&told), "{told}");
            let expected =
                |path: &std::path::Path| format!("{branch} {}", path.file_stem().unwrap().to_str().unwrap());
            assert!(watched.copy.iter().all(|(path, content)| *content == expected(path).into_bytes()));
        }
    });
}

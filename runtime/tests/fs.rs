//! Files on the ring.
#![cfg(not(sws_sim))]

use std::fs as std_fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use sws_runtime::fs::{Dir, File, OpenOptions, Symlinks};
use sws_runtime::{Cancelled, Config, Runtime, cancel_fiber, current_fiber, go, without_waits};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sws-fs-{}-{number}", std::process::id()));
        std_fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The test has said what it had to say.
        let _ = std_fs::remove_dir_all(&self.0);
    }
}

fn on_fiber<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    Runtime::new(Config::default()).expect("a runtime").block_on_fiber(f)
}

#[test]
fn what_is_written_at_an_offset_is_read_there() {
    let folder = Folder::new();
    let path = folder.path("data");
    on_fiber(move || {
        let file = File::create(&path).expect("made");
        let large: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        file.write_all_at(&large, 10).expect("written");
        file.write_all_at(b"0123456789", 0).expect("written");
        file.sync().expect("synced");
        file.sync_all().expect("synced");
        let mut head = [0; 12];
        file.read_exact_at(&mut head, 0).expect("read");
        assert_eq!(&head, b"0123456789\x00\x01");
        let mut whole = vec![0; large.len()];
        file.read_exact_at(&mut whole, 10).expect("read");
        assert_eq!(whole, large);
        assert_eq!(std_fs::read(&path).expect("there").len(), large.len() + 10);
        let mut over = [0; 20];
        assert_eq!(file.read_at(&mut over, 300_000).expect("the last ten"), 10);
        assert_eq!(file.read_at(&mut over, 300_010).expect("the end"), 0);
        assert_eq!(file.read_at(&mut [], 0).expect("nothing"), 0);
        let short = file.read_exact_at(&mut over, 300_000).expect_err("not so many");
        assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn offsets_that_the_kernel_reads_otherwise_are_refused() {
    let folder = Folder::new();
    let path = folder.path("data");
    on_fiber(move || {
        let file = File::create(&path).expect("made");
        for offset in [u64::MAX, 1 << 63] {
            assert_eq!(
                file.read_at(&mut [0], offset).expect_err("no offset").kind(),
                ErrorKind::InvalidInput
            );
            assert_eq!(file.write_at(&[0], offset).expect_err("no offset").kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(std_fs::metadata(&path).expect("there").len(), 0);
    });
}

#[test]
fn options_say_how_a_file_is_opened() {
    let folder = Folder::new();
    let path = folder.path("data");
    on_fiber(move || {
        assert_eq!(File::open(&path).expect_err("not there").kind(), ErrorKind::NotFound);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).expect("made");
        file.write_all_at(b"abc", 0).expect("written");
        assert_eq!(std_fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        let again = OpenOptions::new().write(true).create_new(true).open(&path);
        assert_eq!(again.expect_err("it is there").kind(), ErrorKind::AlreadyExists);
        let error = file.read_at(&mut [0], 0).expect_err("opened to write");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        let kept = OpenOptions::new().read(true).write(true).create(true).open(&path).expect("opened");
        assert_eq!(kept.metadata().expect("metadata").len(), 3);
        let emptied = OpenOptions::new().write(true).truncate(true).open(&path).expect("opened");
        assert_eq!(emptied.metadata().expect("metadata").len(), 0);
        for wrong in [OpenOptions::new().create(true), OpenOptions::new().read(true).truncate(true)] {
            assert_eq!(wrong.open(&path).expect_err("contradicts").kind(), ErrorKind::InvalidInput);
        }
        let direct = OpenOptions::new().write(true).custom_flags(libc::O_DSYNC).open(&path).expect("opened");
        // SAFETY: takes no pointers.
        let flags = unsafe { libc::fcntl(direct.as_fd().as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_DSYNC, libc::O_DSYNC);
        // SAFETY: takes no pointers.
        let flags = unsafe { libc::fcntl(direct.as_fd().as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
        let with_nul = File::open(Path::new("a\0b")).expect_err("a NUL");
        assert_eq!(with_nul.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn metadata_are_those_of_the_open_file() {
    let folder = Folder::new();
    let path = folder.path("data");
    on_fiber(move || {
        std_fs::write(&path, b"12345").expect("written");
        let expected = std_fs::metadata(&path).expect("there");
        let file = File::open(&path).expect("opened");
        std_fs::rename(&path, path.with_extension("old")).expect("renamed");
        std_fs::write(&path, b"another").expect("written");
        let found = file.metadata().expect("metadata");
        assert_eq!((found.len(), found.inode(), found.mode()), (5, expected.ino(), expected.mode()));
        assert_eq!(found.modified(), expected.modified().expect("a time"));
        assert!(found.is_file() && !found.is_dir());
        assert_eq!(libc::makedev(found.device().0, found.device().1), expected.dev());
    });
}

fn site(folder: &Folder) -> PathBuf {
    let root = folder.path("site");
    std_fs::create_dir_all(root.join("inner/deep")).expect("made");
    std_fs::write(root.join("page"), "page").expect("made");
    std_fs::write(root.join("inner/deep/leaf"), "leaf").expect("made");
    std_fs::write(folder.path("secret"), "secret").expect("made");
    symlink("inner/deep/leaf", root.join("short")).expect("made");
    symlink("../page", root.join("inner/up")).expect("made");
    symlink("../secret", root.join("out")).expect("made");
    symlink("..", root.join("parent")).expect("made");
    symlink(folder.path("secret"), root.join("absolute")).expect("made");
    symlink("/proc/self/root", root.join("magic")).expect("made");
    symlink("loop", root.join("loop")).expect("made");
    root
}

fn text(file: &File) -> io::Result<String> {
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(String::from_utf8(bytes).expect("text"))
}

#[test]
fn nothing_outside_a_folder_is_reached() {
    let folder = Folder::new();
    let root = site(&folder);
    let secret = folder.path("secret");
    on_fiber(move || {
        let site = Dir::open(&root).expect("opened");
        let open = |path: &str| site.open_beneath(path, Symlinks::FollowBeneath);
        for (path, content) in
            [("page", "page"), ("inner/../page", "page"), ("./short", "leaf"), ("inner/up", "page")]
        {
            assert_eq!(text(&open(path).expect(path)).expect(path), content, "{path}");
        }
        let secret = secret.to_str().expect("text");
        for path in
            ["../secret", "inner/../../secret", "out", "absolute", "parent/secret", secret, "magic/etc"]
        {
            let error = open(path).expect_err(path);
            assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path}");
            let error = site.metadata_beneath(path, Symlinks::FollowBeneath).expect_err(path);
            assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path}");
        }
        assert_eq!(open("loop").expect_err("a loop").raw_os_error(), Some(libc::ELOOP));
        assert_eq!(open("page/").expect_err("a file").kind(), ErrorKind::NotADirectory);
        assert_eq!(open("absent").expect_err("absent").kind(), ErrorKind::NotFound);
        assert_eq!(open("").expect_err("empty").kind(), ErrorKind::NotFound);
        assert_eq!(open("pa\0ge").expect_err("a NUL").kind(), ErrorKind::InvalidInput);
        assert!(open("inner").expect("a folder").metadata().expect("metadata").is_dir());
        assert!(site.metadata().expect("metadata").is_dir());
        assert_eq!(Dir::open(root.join("page")).expect_err("a file").kind(), ErrorKind::NotADirectory);
    });
}

#[test]
fn links_are_refused_if_asked() {
    let folder = Folder::new();
    let root = site(&folder);
    on_fiber(move || {
        let site = Dir::open(&root).expect("opened");
        for path in ["short", "inner/up", "out", "loop"] {
            let error = site.open_beneath(path, Symlinks::Refuse).expect_err(path);
            assert_eq!(error.raw_os_error(), Some(libc::ELOOP), "{path}");
            let error = site.metadata_beneath(path, Symlinks::Refuse).expect_err(path);
            assert_eq!(error.raw_os_error(), Some(libc::ELOOP), "{path}");
        }
        let leaf = site.open_beneath("inner/deep/leaf", Symlinks::Refuse).expect("no link");
        assert_eq!(text(&leaf).expect("read"), "leaf");
        let metadata = site.metadata_beneath("short", Symlinks::FollowBeneath).expect("the link's target");
        assert!(metadata.is_file());
    });
}

#[test]
fn a_fifo_without_a_writer_opens_at_once() {
    let folder = Folder::new();
    let path = folder.path("fifo");
    let name = std::ffi::CString::new(path.to_str().expect("text")).expect("no NUL");
    // SAFETY: the name is NUL-terminated and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let root = folder.0.clone();
    on_fiber(move || {
        let dir = Dir::open(&root).expect("opened");
        let file = dir.open_beneath("fifo", Symlinks::FollowBeneath).expect("opened");
        let metadata = file.metadata().expect("metadata");
        assert!(!metadata.is_file() && !metadata.is_dir());
        // SAFETY: takes no pointers.
        let flags = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
    });
}

#[test]
fn a_cancelled_fiber_reaches_no_file() {
    let folder = Folder::new();
    let path = folder.path("data");
    on_fiber(move || {
        let file = File::create(&path).expect("made");
        let cancelled = go("cancelled", move || {
            cancel_fiber(current_fiber().expect("on a fiber"));
            let error = file.write_at(b"x", 0).expect_err("cancelled");
            assert!(Cancelled::is_in(&error), "{error}");
            drop(file);
        });
        cancelled.join().expect("it ends");
        assert_eq!(std_fs::metadata(&path).expect("there").len(), 0);
    });
}

#[test]
#[should_panic(expected = "only a fiber can wait")]
fn a_file_off_a_fiber_says_so() {
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    let _ = runtime.enter(|| File::open("/"));
}

#[test]
fn where_a_fiber_must_not_wait_nothing_is_read() {
    let folder = Folder::new();
    std_fs::write(folder.path("file"), [7; 64]).expect("a file");
    let path = folder.path("file");
    on_fiber(move || {
        let file = File::open(&path).expect("it is there");
        let (mut never, mut read) = ([0; 64], [0; 64]);
        let refused = catch_unwind(AssertUnwindSafe(|| without_waits(|| file.read_at(&mut never, 0))));
        assert!(refused.is_err(), "it panics");
        // What was pushed before this one would have been done with it.
        assert_eq!(file.read_at(&mut read, 0).expect("a read"), 64);
        assert_eq!((never, read), ([0; 64], [7; 64]));
    });
}

//! A folder under watch, what was told of it, and a copy that follows by what was told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use sws_content::watch::{Batch, WatchOptions, Watcher};
use sws_runtime::Runtime;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of its own, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("watch-test-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root")).unwrap();
        Folder(path)
    }

    /// What is watched; beside it is what is not.
    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    pub fn outside(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn on_fiber(test: impl FnOnce() + 'static) {
    Runtime::new(Default::default()).unwrap().block_on_fiber(test);
}

/// The files of a tree with their content, and symbolic links with their targets; without ignored names.
pub fn read_tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut tree = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if WatchOptions::default().ignore.matches(&entry.file_name()) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
            } else if let Some(content) = read_file(&path) {
                tree.insert(path.strip_prefix(root).unwrap().to_owned(), content);
            }
        }
    }
    tree
}

fn read_file(path: &Path) -> Option<Vec<u8>> {
    match fs::read_link(path) {
        Ok(target) => Some(format!("-> {}", target.display()).into_bytes()),
        Err(_) => fs::read(path).ok(),
    }
}

pub struct Watched {
    pub folder: Folder,
    pub watcher: Watcher,
    pub copy: BTreeMap<PathBuf, Vec<u8>>,
    pub batches: Vec<Batch>,
    sentinels: usize,
}

impl Watched {
    pub fn new() -> Watched {
        Watched::over(Folder::new(), WatchOptions::default())
    }

    pub fn over(folder: Folder, options: WatchOptions) -> Watched {
        let watcher = Watcher::new(folder.root(), options).unwrap();
        let copy = read_tree(&folder.root());
        Watched { folder, watcher, copy, batches: Vec::new(), sentinels: 0 }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.root().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The next batch, taken over into the copy.
    pub fn next(&mut self) -> Batch {
        let batch = self.watcher.next_within(PATIENCE).unwrap().expect("something is told");
        self.apply(&batch);
        self.batches.push(batch.clone());
        batch
    }

    fn apply(&mut self, batch: &Batch) {
        let root = self.folder.root();
        assert!(batch.changed.is_sorted() && batch.removed.is_sorted() && batch.removed_dirs.is_sorted());
        if batch.rescan {
            self.copy = read_tree(&root);
        }
        for dir in &batch.removed_dirs {
            self.copy.retain(|path, _| !path.starts_with(dir));
        }
        for path in &batch.removed {
            self.copy.remove(path);
        }
        for path in &batch.changed {
            match read_file(&root.join(path)) {
                Some(content) => self.copy.insert(path.clone(), content),
                None => self.copy.remove(path),
            };
        }
    }

    /// Takes batches until one names a file that is written now; returns what they tell together, without that file.
    pub fn take_all(&mut self) -> Batch {
        self.sentinels += 1;
        let name = format!("sentinel-{}", self.sentinels);
        self.write(&name, "");
        let mut all = Batch::default();
        loop {
            let batch = self.next();
            let last = batch.rescan || batch.changed.iter().any(|path| path == Path::new(&name));
            all.rescan |= batch.rescan;
            all.degraded |= batch.degraded;
            all.changed.extend(batch.changed.into_iter().filter(|path| path != Path::new(&name)));
            all.removed.extend(batch.removed);
            all.removed_dirs.extend(batch.removed_dirs);
            if last {
                return all;
            }
        }
    }

    /// Takes batches until the copy is what is on the disk.
    pub fn settle(&mut self) {
        let root = self.folder.root();
        while self.copy != read_tree(&root) {
            match self.watcher.next_within(PATIENCE).unwrap() {
                Some(batch) => {
                    self.apply(&batch);
                    self.batches.push(batch);
                }
                None => assert_eq!(names(&self.copy), names(&read_tree(&root)), "told: {:?}", self.batches),
            }
        }
    }
}

fn names(tree: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<(PathBuf, String)> {
    tree.iter().map(|(path, content)| (path.clone(), String::from_utf8_lossy(content).into_owned())).collect()
}

pub fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

/// Runs a program to its end; false when it is not there.
pub fn run(program: &str, arguments: &[&str], dir: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
    command.stdin(std::process::Stdio::null());
    match command.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{program} {arguments:?}: {text}");
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: no {program}");
            false
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// As [`run`], on the pool, so that the watcher follows at the same time.
pub fn run_beside(program: &'static str, arguments: &[&str], dir: &Path) -> sws_runtime::JoinHandle<bool> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let dir = dir.to_owned();
    sws_runtime::submit(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(program, &arguments, &dir)
    })
}

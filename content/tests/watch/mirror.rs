//! A copy that follows the batches is, when it is quiet, what is on the disk, whatever was done to it.

use super::support::{Watched, on_fiber, read_tree};
use std::fs;
use std::path::{Path, PathBuf};

/// Some folder of the tree, the root among them.
fn some_folder(rng: &mut fastrand::Rng, root: &Path) -> PathBuf {
    let mut at = root.to_owned();
    while rng.u8(0..3) > 0 {
        let inner: Vec<PathBuf> = fs::read_dir(&at)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        match rng.choice(inner) {
            Some(path) => at = path,
            None => break,
        }
    }
    at
}

/// One operation; those that the tree does not allow do nothing.
fn disturb(rng: &mut fastrand::Rng, root: &Path, outside: &Path, n: usize) {
    let name = |rng: &mut fastrand::Rng| rng.choice(["a", "b", "c", "d"]).unwrap();
    let from = some_folder(rng, root).join(name(rng));
    let to = some_folder(rng, root).join(name(rng));
    let beside = outside.join(name(rng));
    let _ = match rng.u8(0..12) {
        0..=3 => fs::write(&from, n.to_string()),
        4 | 5 => fs::create_dir(&from),
        6 => fs::remove_file(&from),
        7 => fs::remove_dir_all(&from),
        8 | 9 => fs::rename(&from, &to),
        10 => fs::rename(&from, &beside),
        _ => fs::rename(&beside, &to),
    };
}

#[test]
fn random_operations_leave_the_copy_equal() {
    for seed in 0..6 {
        on_fiber(move || {
            let mut watched = Watched::new();
            let (root, outside) = (watched.folder.root(), watched.folder.outside("beside"));
            fs::create_dir(&outside).unwrap();
            let mut rng = fastrand::Rng::with_seed(seed);
            for round in 0..8 {
                // On another thread, so that events, scans and operations cross each other.
                let (root, outside, mut inner) = (root.clone(), outside.clone(), rng.fork());
                let job = sws_runtime::submit(move || {
                    (0..150).for_each(|n| disturb(&mut inner, &root, &outside, round * 1000 + n));
                });
                watched.next();
                job.join().unwrap();
                watched.settle();
                watched.take_all();
                assert!(watched.copy == read_tree(&watched.folder.root()), "seed {seed}");
            }
        });
    }
}

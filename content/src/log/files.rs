//! Open files, as many as may be.

use crate::storage::{SharedFile, Storage};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Keeps files open that were used last.
#[derive(Debug)]
pub(super) struct OpenFiles {
    storage: Arc<dyn Storage>,
    files: RefCell<HashMap<u64, (SharedFile, u64)>>,
    used: Cell<u64>,
    max: usize,
}

impl OpenFiles {
    pub(super) fn new(storage: Arc<dyn Storage>, max: usize) -> OpenFiles {
        OpenFiles { storage, files: RefCell::new(HashMap::new()), used: Cell::new(0), max: max.max(1) }
    }

    /// The file of a segment, opened if it is not.
    pub(super) fn open(&self, id: u64, path: &Path, writable: bool) -> io::Result<SharedFile> {
        if let Some((file, used)) = self.files.borrow_mut().get_mut(&id) {
            *used = self.tick();
            return Ok(Arc::clone(file));
        }
        // Another fiber may open it meanwhile; the later one stays.
        let file = self.storage.open(path, writable)?;
        self.insert(id, Arc::clone(&file));
        Ok(file)
    }

    /// Keeps a file that was just made.
    pub(super) fn insert(&self, id: u64, file: SharedFile) {
        let mut files = self.files.borrow_mut();
        files.insert(id, (file, self.tick()));
        if files.len() > self.max
            && let Some(oldest) = files.iter().min_by_key(|(_, (_, used))| *used).map(|(&id, _)| id)
        {
            files.remove(&oldest);
        }
    }

    /// Closes a file when nobody uses it any more.
    pub(super) fn remove(&self, id: u64) {
        self.files.borrow_mut().remove(&id);
    }

    /// How many are open, but for those that only their users have.
    pub(super) fn len(&self) -> usize {
        self.files.borrow().len()
    }

    fn tick(&self) -> u64 {
        self.used.set(self.used.get() + 1);
        self.used.get()
    }
}

//! Files and folders by name: as programs see them, and as they are on the disk.
//!
//! Each change of names waits in one list until a folder that it touches is synced. A change then gets to the disk with all those
//! before it that touch the same folders, so a rename is there whole or not at all, from one folder to another too.

use super::content::Content;
use super::survival::Fate;
use crate::storage::DirEntry;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

/// A file or folder by its number; 0 is the root.
pub(super) type NodeId = usize;

const ROOT: NodeId = 0;

#[derive(Clone, Debug)]
enum Node {
    File(FileNode),
    Folder(Folder),
}

#[derive(Clone, Debug)]
struct FileNode {
    content: Content,
    /// Names it has, and times it is open: with neither its space is free.
    links: usize,
    handles: usize,
}

#[derive(Clone, Debug, Default)]
struct Folder {
    live: BTreeMap<String, NodeId>,
    disk: BTreeMap<String, NodeId>,
}

/// One name that stands for another node than before, or for none.
#[derive(Clone, Debug)]
struct Entry {
    folder: NodeId,
    name: String,
    node: Option<NodeId>,
}

#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// The changes of names that are not synced, the oldest first.
    pending: Vec<Vec<Entry>>,
}

impl Tree {
    pub(super) fn new() -> Tree {
        Tree { nodes: vec![Node::Folder(Folder::default())], pending: Vec::new() }
    }

    /// Bytes of all files that have a name or are open.
    pub(super) fn used(&self) -> u64 {
        let bytes = |node: &Node| match node {
            Node::File(file) if file.links + file.handles > 0 => file.content.len() as u64,
            Node::File(_) | Node::Folder(_) => 0,
        };
        self.nodes.iter().map(bytes).sum()
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<NodeId> {
        let (folder, name) = self.parent(path)?;
        if self.folder(folder)?.live.contains_key(name) {
            return Err(Errno::EXIST.into());
        }
        let node = self.nodes.len();
        self.nodes.push(Node::File(FileNode { content: Content::default(), links: 0, handles: 0 }));
        self.change(vec![Entry { folder, name: name.to_owned(), node: Some(node) }]);
        Ok(node)
    }

    pub(super) fn find_file(&self, path: &Path) -> io::Result<NodeId> {
        let node = self.find(path)?;
        match &self.nodes[node] {
            Node::File(_) => Ok(node),
            Node::Folder(_) => Err(Errno::ISDIR.into()),
        }
    }

    pub(super) fn acquire(&mut self, node: NodeId) {
        self.file_mut(node).handles += 1;
    }

    pub(super) fn release(&mut self, node: NodeId) {
        self.file_mut(node).handles -= 1;
    }

    /// Of a file that is open, or was found.
    pub(super) fn content(&self, node: NodeId) -> &Content {
        match &self.nodes[node] {
            Node::File(file) => &file.content,
            Node::Folder(_) => unreachable!("a folder is not opened"),
        }
    }

    pub(super) fn content_mut(&mut self, node: NodeId) -> &mut Content {
        &mut self.file_mut(node).content
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_folder, from_name) = self.parent(from)?;
        let (to_folder, to_name) = self.parent(to)?;
        let node = self.entry(from_folder, from_name)?;
        if self.is_inside(to_folder, node) {
            return Err(Errno::INVAL.into());
        }
        if let Ok(target) = self.entry(to_folder, to_name) {
            if target == node {
                return Ok(());
            }
            if self.is_inside(from_folder, target) {
                return Err(Errno::NOTEMPTY.into());
            }
            match (&self.nodes[node], &self.nodes[target]) {
                (Node::File(_), Node::Folder(_)) => return Err(Errno::ISDIR.into()),
                (Node::Folder(_), Node::File(_)) => return Err(Errno::NOTDIR.into()),
                (Node::Folder(_), Node::Folder(folder)) if !folder.live.is_empty() => {
                    return Err(Errno::NOTEMPTY.into());
                }
                (Node::File(_), Node::File(_)) | (Node::Folder(_), Node::Folder(_)) => {}
            }
        }
        self.change(vec![
            Entry { folder: from_folder, name: from_name.to_owned(), node: None },
            Entry { folder: to_folder, name: to_name.to_owned(), node: Some(node) },
        ]);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        let node = self.entry(folder, name)?;
        if let Node::Folder(_) = self.nodes[node] {
            return Err(Errno::ISDIR.into());
        }
        self.change(vec![Entry { folder, name: name.to_owned(), node: None }]);
        Ok(())
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let names = names(path)?;
        let mut folder = ROOT;
        for (index, &name) in names.iter().enumerate() {
            match self.entry(folder, name) {
                Ok(node) => match &self.nodes[node] {
                    Node::Folder(_) => folder = node,
                    Node::File(_) if index + 1 == names.len() => return Err(Errno::EXIST.into()),
                    Node::File(_) => return Err(Errno::NOTDIR.into()),
                },
                Err(_) => {
                    let node = self.nodes.len();
                    self.nodes.push(Node::Folder(Folder::default()));
                    self.change(vec![Entry { folder, name: name.to_owned(), node: Some(node) }]);
                    folder = node;
                }
            }
        }
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        let node = self.entry(folder, name)?;
        if !self.folder(node)?.live.is_empty() {
            return Err(Errno::NOTEMPTY.into());
        }
        self.change(vec![Entry { folder, name: name.to_owned(), node: None }]);
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let folder = self.folder(self.find(path)?)?;
        let is_dir = |node: NodeId| matches!(self.nodes[node], Node::Folder(_));
        Ok(folder
            .live
            .iter()
            .map(|(name, &node)| DirEntry { name: name.clone(), is_dir: is_dir(node) })
            .collect())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.settle(path, &mut Fate::Everything)
    }

    /// A sync of a folder that failed: any part of the changes is on the disk, and the others never get there.
    pub(super) fn lose(&mut self, path: &Path, fate: &mut Fate) -> io::Result<()> {
        self.settle(path, fate)
    }

    /// Reads all again that is not waiting to be written.
    pub(super) fn drop_caches(&mut self) {
        for node in &mut self.nodes {
            match node {
                Node::File(file) => file.content.drop_cache(),
                Node::Folder(folder) => folder.live = folder.disk.clone(),
            }
        }
        for entry in self.pending.clone().into_iter().flatten() {
            apply(self.live_mut(entry.folder), entry);
        }
        self.count_links();
    }

    /// The same, with nothing open.
    pub(super) fn with_all_closed(&self) -> Tree {
        let mut tree = self.clone();
        for node in &mut tree.nodes {
            if let Node::File(file) = node {
                file.handles = 0;
            }
        }
        tree
    }

    /// What is on the disk if the power goes.
    pub(super) fn survivor(&self, fate: &mut Fate) -> Tree {
        let mut disk = self.clone();
        for entry in self.surviving_names(fate) {
            apply(disk.disk_mut(entry.folder), entry);
        }
        disk.pending.clear();
        for node in &mut disk.nodes {
            match node {
                Node::File(file) => {
                    let content = Content::durable(file.content.survivor(fate));
                    *file = FileNode { content, links: 0, handles: 0 };
                }
                Node::Folder(folder) => folder.live = folder.disk.clone(),
            }
        }
        disk.count_links();
        disk
    }

    /// Of each folder the first few changes; a change that touches two folders counts in both.
    fn surviving_names(&self, fate: &mut Fate) -> Vec<Entry> {
        let mut left: BTreeMap<NodeId, usize> = BTreeMap::new();
        for folder in self.pending.iter().flat_map(|change| folders(change)) {
            *left.entry(folder).or_default() += 1;
        }
        for count in left.values_mut() {
            *count = fate.prefix(*count);
        }
        let mut survivors = Vec::new();
        for change in &self.pending {
            let folders = folders(change);
            if folders.iter().all(|folder| left[folder] > 0) {
                folders.iter().for_each(|folder| *left.entry(*folder).or_default() -= 1);
                survivors.extend(change.iter().cloned());
            } else {
                folders.iter().for_each(|folder| *left.entry(*folder).or_default() = 0);
            }
        }
        survivors
    }

    /// Takes the changes on which a folder depends out of those that wait, and writes as many of them to the disk as get there.
    fn settle(&mut self, path: &Path, fate: &mut Fate) -> io::Result<()> {
        let folder = self.find(path)?;
        self.folder(folder)?;
        let mut touched = BTreeSet::from([folder]);
        let mut settled = Vec::new();
        for (index, change) in self.pending.iter().enumerate().rev() {
            let folders = folders(change);
            if !folders.is_disjoint(&touched) {
                touched.extend(folders);
                settled.push(index);
            }
        }
        let mut changes: Vec<Vec<Entry>> =
            settled.into_iter().map(|index| self.pending.remove(index)).collect();
        changes.reverse();
        changes.truncate(fate.prefix(changes.len()));
        for entry in changes.into_iter().flatten() {
            apply(self.disk_mut(entry.folder), entry);
        }
        Ok(())
    }

    fn change(&mut self, change: Vec<Entry>) {
        for entry in &change {
            let before = apply(self.live_mut(entry.folder), entry.clone());
            self.count_link(before, -1);
            self.count_link(entry.node, 1);
        }
        self.pending.push(change);
    }

    fn count_link(&mut self, node: Option<NodeId>, by: isize) {
        if let Some(Node::File(file)) = node.map(|node| &mut self.nodes[node]) {
            file.links = file.links.saturating_add_signed(by);
        }
    }

    fn count_links(&mut self) {
        for node in &mut self.nodes {
            if let Node::File(file) = node {
                file.links = 0;
            }
        }
        let mut folders = vec![ROOT];
        let mut seen = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            let Node::Folder(names) = &self.nodes[folder] else { continue };
            let nodes: Vec<NodeId> = names.live.values().copied().collect();
            for node in nodes {
                self.count_link(Some(node), 1);
                if seen.insert(node) {
                    folders.push(node);
                }
            }
        }
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        names(path)?.into_iter().try_fold(ROOT, |folder, name| self.entry(folder, name))
    }

    /// The folder that a path's last name lies in, and the name.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<(NodeId, &'a str)> {
        let mut names = names(path)?;
        let name = names.pop().ok_or(Errno::BUSY)?;
        let folder = names.into_iter().try_fold(ROOT, |folder, name| self.entry(folder, name))?;
        self.folder(folder)?;
        Ok((folder, name))
    }

    fn entry(&self, folder: NodeId, name: &str) -> io::Result<NodeId> {
        Ok(*self.folder(folder)?.live.get(name).ok_or(Errno::NOENT)?)
    }

    /// Whether a folder is `top` or lies in it.
    fn is_inside(&self, folder: NodeId, top: NodeId) -> bool {
        folder == top
            || match &self.nodes[top] {
                Node::Folder(names) => names.live.values().any(|&node| self.is_inside(folder, node)),
                Node::File(_) => false,
            }
    }

    fn folder(&self, node: NodeId) -> io::Result<&Folder> {
        match &self.nodes[node] {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    fn folder_mut(&mut self, node: NodeId) -> &mut Folder {
        match &mut self.nodes[node] {
            Node::Folder(folder) => folder,
            Node::File(_) => unreachable!("a file has no names in it"),
        }
    }

    fn live_mut(&mut self, node: NodeId) -> &mut BTreeMap<String, NodeId> {
        &mut self.folder_mut(node).live
    }

    fn disk_mut(&mut self, node: NodeId) -> &mut BTreeMap<String, NodeId> {
        &mut self.folder_mut(node).disk
    }

    fn file_mut(&mut self, node: NodeId) -> &mut FileNode {
        match &mut self.nodes[node] {
            Node::File(file) => file,
            Node::Folder(_) => unreachable!("a folder is not opened"),
        }
    }
}

fn apply(names: &mut BTreeMap<String, NodeId>, entry: Entry) -> Option<NodeId> {
    match entry.node {
        Some(node) => names.insert(entry.name, node),
        None => names.remove(&entry.name),
    }
}

fn folders(change: &[Entry]) -> BTreeSet<NodeId> {
    change.iter().map(|entry| entry.folder).collect()
}

/// The names of a path, from the root or from where the program is: both are the same here.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or(Errno::INVAL)?),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(Errno::INVAL.into()),
        }
    }
    Ok(names)
}

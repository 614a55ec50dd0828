//! Reads a site's folder: what changed since it was read last, parsed as far as one file goes. All of a site's IO is here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::article::{Article, Source};
use super::change::Changes;
use super::config::{CONFIG_FILE, SiteConfig};
use super::layout::{self, CONTENT, Place, STATIC, place_of};
use super::options::SiteOptions;
use super::problem::Problem;
use super::search::Terms;
use super::stack::{on_large_stack, spawn};
use super::templates;
use super::wanted::Wanted;
use crate::storage::{NO_FILE, open_regular};

/// A file may be written twice within one step of the file system's clock. One that was read this soon after it was written is
/// read again at the next look.
const RACY: Duration = Duration::from_secs(2);
/// Threads that parse articles, when there are many.
const THREADS_MAX: usize = 8;
/// Articles from which on a second thread is worth its start.
const ARTICLES_PER_THREAD: usize = 8;

/// What is known of a file since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub modified: Option<SystemTime>,
    pub len: u64,
    /// Of the content; 0 for files that are served as they are, which are not read.
    hash: u64,
    /// Read so soon after it was written that its time may not tell the next writing.
    racy: bool,
}

/// Reads a site's folder apart from the site, so that it can be done on another thread: the site serves its pages in the meantime.
///
/// ```no_run
/// use sws_content::site::{Changes, Site, SiteOptions};
///
/// let (mut site, _) = Site::load("my-site".as_ref(), SiteOptions::default())?;
/// let reader = site.reader();
/// let batch = std::thread::spawn(move || reader.read(&Changes::rescan())).join().expect("the reader does not panic");
/// println!("{} changes", site.apply(batch).changes.len());
/// # Ok::<(), sws_content::site::SiteError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) root: PathBuf,
    pub(super) options: Arc<SiteOptions>,
    pub(super) known: Arc<BTreeMap<String, Fingerprint>>,
    /// The paths that could not be read.
    pub(super) troubled: Arc<BTreeSet<String>>,
    /// The language in which words are counted for the search.
    pub(super) language: String,
    /// How many batches the site had taken in when this was made.
    pub(super) generation: u64,
}

/// What one article's files are.
#[derive(Debug)]
pub(super) enum ArticleRead {
    Good(Box<Article>, Terms),
    /// What is wrong, and what it wants to be where that can be told.
    Bad(Problem, Option<Wanted>),
    /// There is no Markdown. A JSON file alone is a problem.
    Gone(Option<Problem>),
}

/// What a reader has read: to be given to the site that the reader is of.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) generation: u64,
    /// Each file that is new, another than before, or gone.
    pub(super) files: BTreeMap<String, Option<Fingerprint>>,
    /// Files that were written and say what they said before.
    pub(super) touched: BTreeMap<String, Fingerprint>,
    pub(super) config: Option<Result<SiteConfig, Problem>>,
    pub(super) articles: BTreeMap<String, ArticleRead>,
    /// The source of a template; none if it is gone.
    pub(super) templates: BTreeMap<String, Result<Option<String>, Problem>>,
    /// What could not be read, and what can be again (none).
    pub(super) problems: BTreeMap<String, Option<Problem>>,
}

impl Batch {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.problems.is_empty()
    }
}

/// A walk through the folder.
struct Walk<'a> {
    reader: &'a Reader,
    now: SystemTime,
    seen: BTreeSet<String>,
    /// Where the walk could not look: what is known below is not gone for that.
    blind: Vec<String>,
    batch: Batch,
}

impl Reader {
    /// Reads what changed. Files that are as they were are no part of the batch.
    pub fn read(&self, changes: &Changes) -> Batch {
        on_large_stack(|| self.look(changes))
    }

    fn look(&self, changes: &Changes) -> Batch {
        let batch = Batch { generation: self.generation, ..Batch::default() };
        let mut walk =
            Walk { reader: self, now: SystemTime::now(), seen: BTreeSet::new(), blind: Vec::new(), batch };
        if changes.rescan {
            for path in [CONFIG_FILE, CONTENT, templates::FOLDER, STATIC] {
                walk.visit(path, 1);
            }
            walk.note_gone(|_| true);
        }
        for path in changes.paths.iter().filter_map(|path| layout::normalize(path)) {
            if self.has_folders_above(&path) {
                let depth = path.split('/').count();
                walk.visit(&path, depth);
                // An article is read from both of its files, so what the other one is must be known too.
                if let Place::Article(key) = place_of(&path) {
                    [".md", ".json"]
                        .iter()
                        .for_each(|end| walk.visit(&format!("{CONTENT}/{key}{end}"), depth));
                }
            }
            let below = format!("{path}/");
            walk.note_gone(|known| path.is_empty() || known == path || known.starts_with(&below));
        }
        let mut batch = walk.batch;
        self.parse(&mut batch);
        batch
    }

    /// Whether all folders above a path are folders of the site, not links.
    fn has_folders_above(&self, path: &str) -> bool {
        path.match_indices('/')
            .all(|(at, _)| fs::symlink_metadata(self.root.join(&path[..at])).is_ok_and(|meta| meta.is_dir()))
    }

    /// Reads and parses what the changed files are parts of.
    fn parse(&self, batch: &mut Batch) {
        let mut keys = BTreeSet::new();
        for path in batch.files.keys() {
            match place_of(path) {
                Place::Config => {
                    let parse = |text: Option<String>| {
                        text.map_or(Ok(SiteConfig::default()), |text| SiteConfig::parse(&text))
                    };
                    batch.config = Some(self.text(path).and_then(parse));
                }
                Place::Template(name) => {
                    batch.templates.insert(name.to_owned(), self.text(path));
                }
                Place::Article(key) => drop(keys.insert(key.to_owned())),
                Place::File | Place::Nothing => {}
            }
        }
        let keys: Vec<String> = keys.into_iter().collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(THREADS_MAX).min(keys.len() / ARTICLES_PER_THREAD).max(1);
        let next = AtomicUsize::new(0);
        let work = || {
            let one = || keys.get(next.fetch_add(1, Ordering::Relaxed));
            std::iter::from_fn(one).map(|key| (key.clone(), self.article(key))).collect::<Vec<_>>()
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| spawn(scope, work)).collect();
            batch.articles.extend(work());
            for other in others {
                match other.join() {
                    Ok(read) => batch.articles.extend(read),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
    }

    fn article(&self, key: &str) -> ArticleRead {
        let (path, json_path) = (format!("{CONTENT}/{key}.md"), format!("{CONTENT}/{key}.json"));
        let (text, json) = match (self.text(&path), self.text(&json_path)) {
            (Ok(text), Ok(json)) => (text, json),
            (Err(problem), _) | (_, Err(problem)) => return ArticleRead::Bad(problem, None),
        };
        let Some(text) = text else {
            let alone = || Problem::new(&json_path, format!("there is no {path} beside it"));
            return ArticleRead::Gone(json.map(|_| alone()));
        };
        let json = json.as_deref().map(|json| (json_path.as_str(), json));
        let source = Source { key, path: &path, text: &text, json };
        match Article::parse(source, &self.options) {
            Ok(mut article) => {
                let written =
                    |path: &str| fs::metadata(self.root.join(path)).and_then(|meta| meta.modified()).ok();
                article.modified = written(&path).max(written(&json_path));
                let terms = Terms::of(&article, &self.language);
                ArticleRead::Good(Box::new(article), terms)
            }
            Err(problem) => ArticleRead::Bad(problem, Some(Wanted::of(source))),
        }
    }

    /// A file's text; none if there is no such file.
    fn text(&self, path: &str) -> Result<Option<String>, Problem> {
        let full = self.root.join(path);
        match self.kind(path, &full) {
            Ok(Some(meta)) if meta.is_file() => {}
            Ok(Some(_)) => return Err(Problem::new(path, NO_FILE)),
            Ok(None) => return Ok(None),
            Err(problem) => return Err(problem),
        }
        let bytes = match self.bytes(&full) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Problem::new(path, format!("cannot be read: {error}"))),
        };
        let max = self.options.limits.article_bytes_max;
        if bytes.len() > max {
            return Err(Problem::new(path, format!("the file has over {max} bytes")));
        }
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            Problem::new(path, "the text is not UTF-8").at(line as u32, None)
        })
    }

    /// A file's first bytes, one more than there may be. A pipe that has come in the file's place meanwhile is not waited for.
    fn bytes(&self, full: &Path) -> std::io::Result<Vec<u8>> {
        let file = open_regular(full, false)?;
        let mut bytes = Vec::new();
        file.take(self.options.limits.article_bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// What a path is, links resolved: a link must lead to a file within the site. None if there is nothing.
    fn kind(&self, path: &str, full: &Path) -> Result<Option<Metadata>, Problem> {
        let said = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(Problem::new(path, format!("cannot be read: {error}"))),
        };
        let meta = match fs::symlink_metadata(full) {
            Ok(meta) => meta,
            Err(error) => return said(error),
        };
        if !meta.is_symlink() {
            return Ok(Some(meta));
        }
        let target = match fs::canonicalize(full) {
            Ok(target) => target,
            Err(error) => return said(error),
        };
        if !target.starts_with(&self.root) {
            return Err(Problem::new(path, "the link leads out of the site's folder, and is not followed"));
        }
        match fs::metadata(&target) {
            Ok(meta) if meta.is_dir() => Err(Problem::new(path, "a link to a folder is not followed")),
            Ok(meta) => Ok(Some(meta)),
            Err(error) => said(error),
        }
    }
}

impl Walk<'_> {
    fn visit(&mut self, path: &str, depth: usize) {
        let full = self.reader.root.join(path);
        let is_text = !matches!(place_of(path), Place::File | Place::Nothing);
        let problem = match self.reader.kind(path, &full) {
            Ok(None) => None,
            Ok(Some(meta)) if meta.is_dir() => self.visit_folder(path, &full, depth),
            Ok(Some(meta)) if meta.is_file() => {
                self.visit_file(path, &full, &meta);
                None
            }
            // Pipes, sockets and devices are not opened.
            Ok(Some(_)) => is_text.then(|| Problem::new(path, NO_FILE)),
            Err(problem) => Some(problem),
        };
        let Some(problem) = problem else { return };
        self.batch.problems.insert(path.to_owned(), Some(problem));
        if !fs::symlink_metadata(&full).is_ok_and(|meta| !meta.is_dir()) {
            self.blind.push(path.to_owned());
        } else if is_text {
            // What is refused stands in the place of a text, of which the last good version stays.
            let refused = Fingerprint { modified: None, len: 0, hash: 0, racy: true };
            if self.seen.insert(path.to_owned()) && self.reader.known.get(path) != Some(&refused) {
                self.batch.files.insert(path.to_owned(), Some(refused));
            }
        }
    }

    fn visit_folder(&mut self, path: &str, full: &Path, depth: usize) -> Option<Problem> {
        let depth_max = self.reader.options.limits.depth_max;
        if depth > depth_max {
            return Some(Problem::new(path, format!("over {depth_max} folders within each other")));
        }
        let entries = match fs::read_dir(full) {
            Ok(entries) => entries,
            Err(error) => return Some(Problem::new(path, format!("cannot be read: {error}"))),
        };
        let mut names = Vec::new();
        let mut unnamed = None;
        for entry in entries.flatten() {
            match entry.file_name().into_string() {
                Ok(name) => names.push(name),
                Err(name) => {
                    unnamed = Some(Problem::new(path, format!("a name that is not UTF-8: {name:?}")))
                }
            }
        }
        names.sort_unstable();
        for name in names {
            let below = if path.is_empty() { name } else { format!("{path}/{name}") };
            self.visit(&below, depth + 1);
        }
        unnamed
    }

    fn visit_file(&mut self, path: &str, full: &Path, meta: &Metadata) {
        let place = place_of(path);
        if place == Place::Nothing || !self.seen.insert(path.to_owned()) {
            return;
        }
        let known = self.reader.known.get(path);
        let (modified, len) = (meta.modified().ok(), meta.len());
        let same = known.is_some_and(|known| (known.modified, known.len) == (modified, len));
        let racy = modified.is_none_or(|modified| self.now < modified + RACY);
        if same && (place == Place::File || known.is_some_and(|known| !known.racy)) {
            return;
        }
        let mut hash = 0;
        let mut racy = racy;
        if place != Place::File {
            let mut hasher = DefaultHasher::new();
            match self.reader.bytes(full) {
                Ok(bytes) => bytes.hash(&mut hasher),
                // What cannot be read is tried again at the next look.
                Err(_) => racy = true,
            }
            hash = hasher.finish() | 1;
        }
        let fingerprint = Fingerprint { modified, len, hash, racy };
        if place != Place::File && known.is_some_and(|known| (known.hash, known.len) == (hash, len)) {
            self.batch.touched.insert(path.to_owned(), fingerprint);
            return;
        }
        self.batch.files.insert(path.to_owned(), Some(fingerprint));
    }

    /// Notes what was known where the walk has been and is not there: files that are gone, troubles that are over.
    fn note_gone(&mut self, walked: impl Fn(&str) -> bool) {
        let below = |path: &str, folder: &String| {
            path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        let looked =
            |path: &str| walked(path) && !self.blind.iter().any(|blind| blind == path || below(path, blind));
        let gone = self.reader.known.keys().filter(|path| looked(path) && !self.seen.contains(*path));
        self.batch.files.extend(gone.map(|path| (path.clone(), None)));
        for path in self.reader.troubled.iter().filter(|path| looked(path)) {
            self.batch.problems.entry(path.clone()).or_insert(None);
        }
    }
}

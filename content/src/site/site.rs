//! The site: what its files say, taken together, and what a batch of changed files changes in it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use minijinja::Value;
use serde_json::Value as Json;

use super::article::Article;
use super::cache::Cache;
use super::change::{Change, Changes};
use super::config::SiteConfig;
use super::layout::CONTENT;
use super::listing::Listing;
use super::manifest::Part;
use super::options::SiteOptions;
use super::problem::{Problem, SiteError};
use super::reader::{Batch, Fingerprint, Reader};
use super::search::{Hit, SearchIndex};
use super::stack::on_large_stack;
use super::templates::Templates;
use super::wanted::Wanted;

/// A site, as it is served.
///
/// Rendering takes it by reference, so several threads can share one behind a lock of which only [`apply`](Site::apply) needs the
/// exclusive side.
///
/// ```
/// use sws_content::site::{Answer, Changes, Query, Site, SiteOptions};
///
/// # let root = std::env::temp_dir().join(format!("sws-site-doc-{}", std::process::id()));
/// std::fs::create_dir_all(root.join("content"))?;
/// std::fs::write(root.join("content/first.md"), "---\ntitle: First\n---\nThe *text*.\n")?;
/// let (mut site, report) = Site::load(&root, SiteOptions::default())?;
/// assert_eq!((report.articles, report.problems.len()), (1, 0));
///
/// let Answer::Page(page) = site.render("/first/", &Query::default()) else { panic!("not a page") };
/// assert_eq!(page.status, 200);
/// assert!(String::from_utf8_lossy(&page.body).contains("<em>text</em>"));
///
/// std::fs::write(root.join("content/first.md"), "---\ntitle: Another\n---\nThe *text*.\n")?;
/// let applied = site.update(&Changes::of(["content/first.md"]));
/// assert_eq!((applied.changes[0].path.as_str(), applied.changes[0].version), ("/first/", 1));
/// # std::fs::remove_dir_all(&root)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Site {
    pub(super) root: PathBuf,
    pub(super) options: Arc<SiteOptions>,
    pub(super) known: Arc<BTreeMap<String, Fingerprint>>,
    pub(super) troubled: Arc<BTreeSet<String>>,
    pub(super) generation: u64,
    pub(super) version: u64,
    /// The version of all articles that have none of their own.
    version_at_start: u64,
    /// The version in which an article changed last.
    pub(super) versions: BTreeMap<String, u64>,
    pub(super) config: SiteConfig,
    pub(super) config_hash: u64,
    /// The value of `site` in templates.
    pub(super) config_value: Value,
    /// The last good version of each article by its files, drafts too.
    pub(super) articles: BTreeMap<String, Arc<Article>>,
    /// The articles that cannot be taken in as they are, by their files, with what each wants to be where it can be told.
    pub(super) broken: BTreeMap<String, Option<Wanted>>,
    /// What was there in an earlier life and may still be: it cannot be read.
    pub(super) missing: BTreeMap<String, Part>,
    /// The articles that want an address and may have one, by their files.
    pub(super) candidates: BTreeMap<String, BTreeSet<String>>,
    /// Who has it.
    pub(super) owners: BTreeMap<String, String>,
    /// What is served, by its address.
    pub(super) public: BTreeMap<String, Arc<Article>>,
    /// The sum of the hashes of what the sitemap says of each article.
    pub(super) public_sum: u64,
    pub(super) listing: Listing,
    pub(super) search: SearchIndex,
    pub(super) templates: Templates,
    /// Files that are served as they are.
    pub(super) files: BTreeSet<String>,
    /// What is wrong, by what it is wrong with.
    pub(super) problems: BTreeMap<Subject, Problem>,
    pub(super) problems_hash: u64,
    pub(super) cache: Mutex<Cache>,
}

/// What a problem is of: a later look at the same takes the place of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Config,
    Template(String),
    Article(String),
    /// An article that has no address, as another one has it.
    Address(String),
    /// The template that an article names.
    Look(String),
    Path(String),
    Limit(&'static str),
}

/// What was found when a site was loaded.
///
/// ```
/// use sws_content::site::LoadReport;
///
/// assert_eq!(LoadReport::default().to_string(), "0 articles, 0 pages, 0 drafts, 0 templates, 0 files, 0 problems");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Articles that lists have.
    pub articles: usize,
    /// Those that they do not have.
    pub pages: usize,
    /// Drafts, shown or not.
    pub drafts: usize,
    /// Templates of the site itself.
    pub templates: usize,
    /// Files that are served as they are.
    pub files: usize,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl std::fmt::Display for LoadReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LoadReport { articles, pages, drafts, templates, files, problems } = self;
        let counts = [
            (*articles, "article"),
            (*pages, "page"),
            (*drafts, "draft"),
            (*templates, "template"),
            (*files, "file"),
            (problems.len(), "problem"),
        ];
        for (at, (count, what)) in counts.into_iter().enumerate() {
            let (comma, plural) = (if at > 0 { ", " } else { "" }, if count == 1 { "" } else { "s" });
            write!(f, "{comma}{count} {what}{plural}")?;
        }
        Ok(())
    }
}

/// What a batch changed.
///
/// ```
/// use sws_content::site::Applied;
///
/// assert!(Applied::default().changes.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The changes in the order of their versions.
    pub changes: Vec<Change>,
    /// Whether [`Site::problems`] says something else than before.
    pub problems_changed: bool,
}

impl Site {
    /// Loads the site in a folder, which must have a folder `content`. What is wrong with its files is in the report.
    pub fn load(root: &Path, options: SiteOptions) -> Result<(Site, LoadReport), SiteError> {
        let unreadable = |source| SiteError::Unreadable { root: root.to_owned(), source };
        let folder = std::fs::canonicalize(root).map_err(unreadable)?;
        match std::fs::metadata(folder.join(CONTENT)) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(SiteError::NoContent { root: root.to_owned() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SiteError::NoContent { root: root.to_owned() });
            }
            Err(error) => return Err(unreadable(error)),
        }
        // Below the folder, what cannot be read is a problem; without the folder there is nothing to serve.
        let unreadable = |source| SiteError::Unreadable { root: root.join(CONTENT), source };
        std::fs::read_dir(folder.join(CONTENT)).map_err(unreadable)?;
        let mut site = Site::empty(folder, options);
        site.update(&Changes::rescan());
        site.set_version(0);
        let report = site.report();
        Ok((site, report))
    }

    fn empty(root: PathBuf, options: SiteOptions) -> Site {
        let config = SiteConfig::default();
        let mut site = Site {
            root,
            known: Arc::default(),
            troubled: Arc::default(),
            generation: 0,
            version: 0,
            version_at_start: 0,
            versions: BTreeMap::new(),
            config_hash: 0,
            config_value: Value::UNDEFINED,
            articles: BTreeMap::new(),
            broken: BTreeMap::new(),
            missing: BTreeMap::new(),
            candidates: BTreeMap::new(),
            owners: BTreeMap::new(),
            public: BTreeMap::new(),
            public_sum: 0,
            listing: Listing::default(),
            search: SearchIndex::new(&config.language),
            templates: Templates::new(options.limits.template_fuel, options.limits.page_bytes_max),
            files: BTreeSet::new(),
            problems: BTreeMap::new(),
            problems_hash: 0,
            cache: Mutex::default(),
            options: Arc::new(options),
            config: config.clone(),
        };
        site.set_config(config);
        site
    }

    fn report(&self) -> LoadReport {
        let finished = self.articles.values().filter(|article| !article.draft);
        let (articles, pages): (Vec<_>, Vec<_>) = finished.partition(|article| article.listed);
        LoadReport {
            articles: articles.len(),
            pages: pages.len(),
            drafts: self.articles.values().filter(|article| article.draft).count(),
            templates: self.templates.own_count(),
            files: self.files.len(),
            problems: self.problems(),
        }
    }

    /// The number of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Continues at a version: the next change has the number after it. For one who keeps changes over restarts.
    pub fn set_version(&mut self, version: u64) {
        self.version = version;
        self.version_at_start = version;
        self.versions.clear();
        self.forget_pages();
    }

    /// The version in which the article of an address changed last, or where the site continued if it did not change since.
    pub fn article_version(&self, slug: &str) -> u64 {
        self.versions.get(slug).copied().unwrap_or(self.version_at_start)
    }

    /// What `site.json` says.
    pub fn config(&self) -> &SiteConfig {
        &self.config
    }

    /// A key of `site.json` that the site has no meaning for.
    pub fn extra(&self, key: &str) -> Option<&Json> {
        self.config.extra.get(key)
    }

    /// The folder, with links resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The article at an address, if it is public.
    pub fn article(&self, slug: &str) -> Option<&Article> {
        self.public.get(slug).map(Arc::as_ref)
    }

    /// The articles that lists have, in their order: heavier first, then newer.
    pub fn articles(&self) -> impl Iterator<Item = &Article> {
        self.listing.all.slugs().filter_map(|slug| self.article(slug))
    }

    /// Those that have a tag, by its slug.
    pub fn articles_by_tag(&self, tag: &str) -> impl Iterator<Item = &Article> {
        let list = self.listing.tag(tag);
        list.into_iter().flat_map(|tag| tag.list.slugs()).filter_map(|slug| self.article(slug))
    }

    /// Each tag: its slug, its name and how many articles have it.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        self.listing.tags().map(|(slug, tag)| (slug, tag.name(), tag.list.len()))
    }

    /// Public articles that have every word of a query, the best first.
    pub fn search(&self, query: &str) -> Vec<Hit> {
        let limits = &self.options.limits;
        let query = &query[..query.floor_char_boundary(limits.query_bytes_max)];
        self.search.search(query, limits.results_max)
    }

    /// A reader of what changes from here on. One batch at a time: a reader made before a batch was applied is of no use after it.
    pub fn reader(&self) -> Reader {
        Reader {
            root: self.root.clone(),
            options: self.options.clone(),
            known: self.known.clone(),
            troubled: self.troubled.clone(),
            language: self.config.language.clone(),
            generation: self.generation,
        }
    }

    /// Reads and takes in what changed, in one.
    pub fn update(&mut self, changes: &Changes) -> Applied {
        // The reader shares what is known with the site, so it goes before the site changes that.
        let batch = self.reader().read(changes);
        self.apply(batch)
    }

    /// Takes in what a reader has read.
    ///
    /// # Panics
    ///
    /// If the reader was made before another batch was applied: what it took for unchanged may be what that batch changed.
    pub fn apply(&mut self, batch: Batch) -> Applied {
        assert_eq!(batch.generation, self.generation, "a batch of a reader that is out of date");
        on_large_stack(|| self.take_in(batch))
    }

    fn take_in(&mut self, batch: Batch) -> Applied {
        self.generation += 1;
        let problems_before = self.problems_hash;
        let mut changes = Vec::new();
        for (path, problem) in &batch.problems {
            self.set_problem(Subject::Path(path.clone()), problem.clone());
        }
        if let Some(read) = batch.config {
            self.apply_config(read, &mut changes);
        }
        let served = self.served(&batch.files);
        let mut terms = BTreeMap::new();
        let addresses = self.apply_articles(batch.articles, &mut terms);
        self.settle(addresses, terms, &mut changes);
        self.apply_files(batch.files, batch.touched, &served, &mut changes);
        if !batch.templates.is_empty() {
            self.apply_templates(batch.templates, &mut changes);
        }
        let troubled = self.problems.keys().filter_map(|subject| match subject {
            Subject::Path(path) => Some(path.clone()),
            _ => None,
        });
        self.troubled = Arc::new(troubled.collect());
        let mut hasher = DefaultHasher::new();
        self.problems.values().for_each(|problem| problem.to_string().hash(&mut hasher));
        self.problems_hash = hasher.finish();
        self.forget_gone();
        self.find_missing(&mut changes);
        Applied { changes, problems_changed: problems_before != self.problems_hash }
    }

    /// What is wrong, by file.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.problems.values().cloned().chain(self.failures()).collect();
        problems.sort();
        problems.dedup();
        problems
    }

    pub(super) fn set_problem(&mut self, subject: Subject, problem: Option<Problem>) {
        match problem {
            Some(problem) => {
                let room = self.problems.len() < self.options.limits.problems_max;
                if room || self.problems.contains_key(&subject) {
                    self.problems.insert(subject, problem);
                }
            }
            None => drop(self.problems.remove(&subject)),
        }
    }
}

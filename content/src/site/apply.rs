//! How each part of a batch is taken in: `site.json`, articles and their addresses, files, templates.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::article::Article;
use super::change::{Change, ChangeKind, ChangeOf};
use super::config::SiteConfig;
use super::context;
use super::layout::{CONTENT, Place, STATIC, folder_of, place_of};
use super::pages::problem_of_failure;
use super::problem::Problem;
use super::reader::{ArticleRead, Fingerprint};
use super::search::{SearchIndex, Terms};
use super::site::{Site, Subject};
use super::slug::encode_path;
use super::templates;
use super::wanted::Wanted;

type Changed<'a> = &'a mut Vec<Change>;

fn kind_of(before: bool, after: bool) -> Option<ChangeKind> {
    match (before, after) {
        (false, true) => Some(ChangeKind::Created),
        (true, true) => Some(ChangeKind::Updated),
        (true, false) => Some(ChangeKind::Removed),
        (false, false) => None,
    }
}

/// Of what the sitemap says of an article.
fn sitemap_hash(article: &Article) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&article.slug, article.updated.or(article.date)).hash(&mut hasher);
    hasher.finish()
}

impl Site {
    fn push_change(&mut self, changes: Changed, kind: ChangeKind, of: ChangeOf, path: String, slug: &str) {
        self.version += 1;
        let (title, tags) = (String::new(), Vec::new());
        changes.push(Change { version: self.version, kind, of, path, slug: slug.to_owned(), title, tags });
    }

    pub(super) fn apply_config(&mut self, read: Result<SiteConfig, Problem>, changes: Changed) {
        match read {
            Ok(config) => {
                self.set_problem(Subject::Config, None);
                if config != self.config {
                    self.set_config(config);
                    self.push_change(changes, ChangeKind::Updated, ChangeOf::Config, "/".to_owned(), "");
                }
            }
            Err(problem) => self.set_problem(Subject::Config, Some(problem)),
        }
    }

    pub(super) fn set_config(&mut self, config: SiteConfig) {
        if config.language != self.config.language {
            self.search = SearchIndex::new(&config.language);
            self.public.values().for_each(|article| self.search.insert(article, None));
        }
        let url = config.url.as_deref().or(self.options.url.as_deref());
        self.config_value = context::site(&config, url);
        let mut hasher = DefaultHasher::new();
        format!("{config:?}").hash(&mut hasher);
        self.config_hash = hasher.finish();
        self.config = config;
    }

    /// Notes the last good version of each article, and gives the addresses that are concerned.
    pub(super) fn apply_articles(
        &mut self,
        read: BTreeMap<String, ArticleRead>,
        terms: &mut BTreeMap<String, Terms>,
    ) -> BTreeSet<String> {
        let mut addresses = BTreeSet::new();
        for (key, read) in read {
            let subject = Subject::Article(key.clone());
            match read {
                ArticleRead::Good(article, counted) => match self.refusal(&key, &article) {
                    None => {
                        self.set_problem(subject, None);
                        self.broken.remove(&key);
                        terms.insert(key.clone(), counted);
                        self.put_article(key, Some(Arc::new(*article)), &mut addresses);
                    }
                    problem => {
                        self.set_problem(subject, problem);
                        self.broken.insert(key, Some(Wanted { slug: article.slug, draft: article.draft }));
                    }
                },
                ArticleRead::Bad(problem, wanted) => {
                    self.set_problem(subject, Some(problem));
                    self.broken.insert(key, wanted);
                }
                ArticleRead::Gone(problem) => {
                    self.set_problem(subject, problem);
                    self.broken.remove(&key);
                    self.put_article(key, None, &mut addresses);
                }
            }
        }
        addresses
    }

    /// Why an article cannot be taken in.
    fn refusal(&self, key: &str, article: &Article) -> Option<Problem> {
        let max = self.options.limits.articles_max;
        let own = super::route::RESERVED.contains(&article.slug.as_str());
        if own || self.options.reserved.contains(&article.slug) {
            let message = format!("the address {} is taken by the site; choose another `slug`", article.url);
            return Some(Problem::new(&article.path, message));
        }
        if !self.articles.contains_key(key) && self.articles.len() >= max {
            return Some(Problem::new(&article.path, format!("over {max} articles")));
        }
        None
    }

    fn put_article(&mut self, key: String, new: Option<Arc<Article>>, addresses: &mut BTreeSet<String>) {
        let drafts = self.options.drafts;
        if let Some(old) = self.articles.remove(&key) {
            if let Some(keys) = self.candidates.get_mut(&old.slug) {
                keys.remove(&key);
            }
            self.set_problem(Subject::Address(key.clone()), None);
            addresses.insert(old.slug.clone());
        }
        let look = new.as_ref().and_then(|new| self.look_of(new)).flatten();
        self.set_problem(Subject::Look(key.clone()), look);
        if let Some(new) = new {
            if drafts || !new.draft {
                self.candidates.entry(new.slug.clone()).or_default().insert(key.clone());
                addresses.insert(new.slug.clone());
            }
            self.articles.insert(key, new);
        }
    }

    /// Decides who has each address, and takes the difference into the index.
    pub(super) fn settle(
        &mut self,
        addresses: BTreeSet<String>,
        mut terms: BTreeMap<String, Terms>,
        changes: Changed,
    ) {
        for slug in addresses {
            let candidates = self.candidates.get(&slug).cloned().unwrap_or_default();
            if candidates.is_empty() {
                self.candidates.remove(&slug);
            }
            // Who has the address keeps it.
            let owner = self.owners.remove(&slug).filter(|owner| candidates.contains(owner));
            let owner = owner.or_else(|| candidates.first().cloned());
            for key in &candidates {
                let other = owner.as_ref().filter(|owner| *owner != key);
                let problem = other.and_then(|owner| self.clash(key, owner));
                self.set_problem(Subject::Address(key.clone()), problem);
            }
            let new = owner.as_ref().and_then(|owner| self.articles.get(owner)).cloned();
            let terms = owner.as_ref().and_then(|owner| terms.remove(owner));
            if let Some(owner) = owner {
                self.owners.insert(slug.clone(), owner);
            }
            self.publish(&slug, new, terms, changes);
        }
    }

    fn clash(&self, key: &str, owner: &str) -> Option<Problem> {
        let (article, other) = (self.articles.get(key)?, self.articles.get(owner)?);
        let message =
            format!("the address {} is that of {} too; give one another `slug`", article.url, other.path);
        Some(Problem::new(&article.path, message))
    }

    /// Puts an article in the place of what was at its address.
    fn publish(&mut self, slug: &str, new: Option<Arc<Article>>, terms: Option<Terms>, changes: Changed) {
        let old = self.public.get(slug).cloned();
        if let (Some(old), Some(new)) = (&old, &new)
            && (old.hash, &old.path) == (new.hash, &new.path)
        {
            return;
        }
        let Some(kind) = kind_of(old.is_some(), new.is_some()) else { return };
        if let Some(old) = &old {
            self.public.remove(slug);
            if old.listed {
                self.listing.remove(old);
            }
            if new.is_none() {
                self.search.remove(slug);
            }
            self.public_sum = self.public_sum.wrapping_sub(sitemap_hash(old));
        }
        self.version += 1;
        let mut tags: Vec<String> = Vec::new();
        for tag in new.iter().chain(&old).flat_map(|article| &article.tags) {
            if !tags.contains(&tag.slug) {
                tags.push(tag.slug.clone());
            }
        }
        let Some(told) = new.as_ref().or(old.as_ref()) else { return };
        changes.push(Change {
            version: self.version,
            kind,
            of: if told.listed { ChangeOf::Article } else { ChangeOf::Page },
            path: told.url.clone(),
            slug: slug.to_owned(),
            title: told.title.clone(),
            tags,
        });
        self.versions.remove(slug);
        if let Some(new) = new {
            self.versions.insert(slug.to_owned(), self.version);
            if new.listed {
                self.listing.insert(&new);
            }
            self.search.insert(&new, terms);
            self.public_sum = self.public_sum.wrapping_add(sitemap_hash(&new));
            self.public.insert(slug.to_owned(), new);
        }
    }

    /// The files of a batch that are served as they are, as things stand.
    pub(super) fn served(&self, files: &BTreeMap<String, Option<Fingerprint>>) -> BTreeSet<String> {
        let served =
            files.keys().filter(|path| self.files.contains(*path) && self.address_of(path).is_some());
        served.cloned().collect()
    }

    /// Notes what is known of files, and takes in those that are served as they are. `served` are those that were before the
    /// articles of the batch were taken in.
    pub(super) fn apply_files(
        &mut self,
        files: BTreeMap<String, Option<Fingerprint>>,
        touched: BTreeMap<String, Fingerprint>,
        served: &BTreeSet<String>,
        changes: Changed,
    ) {
        if files.is_empty() && touched.is_empty() {
            return;
        }
        let files_max = self.options.limits.files_max;
        let mut over = None;
        let mut known = std::mem::take(&mut self.known);
        let all = Arc::make_mut(&mut known);
        all.extend(touched);
        for (path, fingerprint) in files {
            match fingerprint {
                Some(fingerprint) => drop(all.insert(path.clone(), fingerprint)),
                None => drop(all.remove(&path)),
            }
            if place_of(&path) != Place::File {
                continue;
            }
            let before = self.files.contains(&path);
            let after = fingerprint.is_some();
            if after && !before && self.files.len() >= files_max {
                over = Some(Problem::new(path, format!("over {files_max} files, this one is not served")));
                continue;
            }
            if after {
                self.files.insert(path.clone());
            } else {
                self.files.remove(&path);
            }
            let Some(kind) = kind_of(before, after) else { continue };
            if kind == ChangeKind::Removed && !served.contains(&path) {
                continue;
            }
            if let Some((url, slug)) = self.address_of(&path) {
                self.push_change(changes, kind, ChangeOf::Static, url, &slug);
            }
        }
        self.known = known;
        self.set_problem(Subject::Limit("files"), over);
    }

    /// Where a file is served, and beside which article. What stands beside a draft is nowhere.
    pub(super) fn address_of(&self, path: &str) -> Option<(String, String)> {
        let (folder, below) = path.split_once('/')?;
        if folder == STATIC {
            return Some((format!("/{}", encode_path(below)), String::new()));
        }
        let (folder, below) = below.split_once('/')?;
        let article = self.articles.get(&format!("{folder}/{folder}"))?;
        let public = self.public.get(&article.slug).filter(|public| public.path == article.path)?;
        Some((format!("{}{}", public.url, encode_path(below)), public.slug.clone()))
    }

    /// The file beside an article, if the article has a folder of its own.
    pub(super) fn file_beside(&self, slug: &str, below: &str) -> Option<String> {
        self.public.get(slug)?;
        let folder = folder_of(self.owners.get(slug)?)?;
        let path = format!("{CONTENT}/{folder}/{below}");
        self.files.contains(&path).then_some(path)
    }

    /// Takes templates in use. One with which a page cannot be rendered is taken out again, as one that does not parse is not
    /// taken in.
    pub(super) fn apply_templates(
        &mut self,
        read: BTreeMap<String, Result<Option<String>, Problem>>,
        changes: Changed,
    ) {
        let mut before: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (name, read) in read {
            let old = self.templates.own(&name).map(str::to_owned);
            match read.and_then(|source| self.templates.set(&name, source.as_deref())) {
                Ok(()) => {
                    self.set_problem(Subject::Template(name.clone()), None);
                    before.insert(name, old);
                }
                Err(problem) => self.set_problem(Subject::Template(name), Some(problem)),
            }
        }
        while !before.is_empty() {
            let Some((page, error)) = self.try_pages() else { break };
            let problem = problem_of_failure(&error, &page);
            let named = problem
                .path
                .strip_prefix(templates::FOLDER)
                .map(|name| name.trim_start_matches('/').to_owned());
            // The error may show in a template that another one has broken: then none of the changed ones is kept.
            let wrong: Vec<String> = match named.filter(|name| before.contains_key(name)) {
                Some(name) => vec![name],
                None => before.keys().cloned().collect(),
            };
            for name in wrong {
                if let Some(old) = before.remove(&name) {
                    // What is put back was in use, so it parses.
                    let _ = self.templates.set(&name, old.as_deref());
                    self.set_problem(Subject::Template(name), Some(problem.clone()));
                }
            }
        }
        self.check_looks();
        for (name, old) in before {
            let after = self.templates.own(&name);
            if old.as_deref() != after
                && let Some(kind) = kind_of(old.is_some(), after.is_some())
            {
                self.push_change(changes, kind, ChangeOf::Template, name, "");
            }
        }
    }

    /// Finds articles that name a template that is not there.
    fn check_looks(&mut self) {
        let named =
            self.articles.iter().filter_map(|(key, article)| Some((key.clone(), self.look_of(article)?)));
        for (key, problem) in named.collect::<Vec<_>>() {
            self.set_problem(Subject::Look(key), problem);
        }
    }

    /// What is wrong with the template that an article names; none if it names none.
    fn look_of(&self, article: &Article) -> Option<Option<Problem>> {
        let template = article.template.as_ref()?;
        let message = || format!("there is no template `{template}`; the usual one is used");
        Some((!self.templates.exists(template)).then(|| Problem::new(&article.path, message())))
    }
}

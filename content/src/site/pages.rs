//! Pages: what is rendered for an address, of what, and the cache of it.
//!
//! A page that is kept knows what it was made of: articles, slices of lists, templates, the configuration, each by a hash of what
//! it took from it. After a change the hashes are compared when the page is asked for, so a page is rendered again exactly if
//! something that it shows is another.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use minijinja::Error;

use super::cache::{Cache, Kept};
use super::layout::{Place, STATIC, place_of};
use super::listing::page_count;
use super::make::{HTML, Made, failed, hash_of, template_of};
use super::problem::Problem;
use super::route::{Page, Query, Route, decode, route};
use super::site::Site;
use super::stack::on_large_stack;
use super::templates;

/// What there is to answer for a path.
///
/// ```no_run
/// # use sws_content::site::{Answer, Query, Site};
/// # fn answer(site: &Site) {
/// match site.render("/first/", &Query::default()) {
///     Answer::Page(page) => println!("{} {} bytes", page.status, page.body.len()),
///     Answer::File(file) => println!("{}", file.path.display()),
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub enum Answer {
    /// A page, an error page, or a redirection.
    Page(Arc<Rendered>),
    /// A file to be sent as it is.
    File(SiteFile),
}

/// A rendered page.
///
/// ```no_run
/// # use sws_content::site::{Answer, Query, Site};
/// # fn answer(site: &Site) {
/// let Answer::Page(page) = site.render("/first", &Query::default()) else { return };
/// assert_eq!((page.status, page.location.as_deref()), (301, Some("/first/")));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Rendered {
    /// 200, 301, 404, or 500 if a template fails and the page was never rendered before.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// The entity tag, with its quotes: of the body, so a page that is rendered again to the same keeps it.
    pub etag: String,
    /// When the newest file that an article's page is made of was written; lists have none.
    pub last_modified: Option<SystemTime>,
    /// Where a 301 leads: a path, percent-encoded.
    pub location: Option<String>,
    /// The site's version when it was rendered.
    pub version: u64,
}

/// A file that is served as it is.
///
/// ```no_run
/// # use sws_content::site::{Answer, Query, Site};
/// # fn answer(site: &Site) {
/// let Answer::File(file) = site.render("/style.css", &Query::default()) else { return };
/// assert!(file.path.ends_with("static/style.css"));
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The same relative to the site's folder.
    pub name: String,
}

/// Something that a page shows, and the hash of what it shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dependency {
    Article(String, u64),
    Listed(String, u64),
    /// A page of a list, of all or of a tag.
    List(Option<String>, usize, u64),
    Tags(u64),
    Sitemap(u64),
    Feed(u64),
    Template(String, u64),
    Config(u64),
    Problems(u64),
    NeverGood(u64),
}

/// A failure of a rendering as a problem of the template that is to blame.
pub(super) fn problem_of_failure(error: &Error, page: &Page) -> Problem {
    templates::problem_of(error, template_of(page))
}

fn rendered(made: Made, version: u64) -> Rendered {
    let etag = format!("\"{:016x}\"", hash_of(&made.body));
    Rendered {
        status: made.status,
        content_type: made.content_type,
        body: Bytes::from(made.body),
        etag,
        last_modified: made.last_modified,
        location: None,
        version,
    }
}

impl Site {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is at a path, which may be percent-encoded and has no query. There is always an answer: at no address it is the
    /// 404 page.
    pub fn render(&self, path: &str, query: &Query) -> Answer {
        let Some(path) = decode(path) else { return self.page(Page::NotFound) };
        let reserved =
            path.split('/').next().is_some_and(|first| self.options.reserved.iter().any(|r| r == first));
        if reserved && !path.is_empty() {
            return self.page(Page::NotFound);
        }
        match route(&path, query) {
            Route::Page(Page::ThemeCss | Page::HighlightCss) if self.has_static(&path) => {
                self.static_file(&path)
            }
            Route::Page(page) if self.exists(&page) => self.page(page),
            Route::Slash(page) if self.exists(&page) => self.redirect(&page),
            Route::Beside(slug, below) => match self.file_beside(&slug, &below) {
                Some(name) => self.file(name),
                None => self.static_file(&path),
            },
            Route::Page(_) | Route::Slash(_) | Route::Nothing => self.static_file(&path),
        }
    }

    fn has_static(&self, path: &str) -> bool {
        self.files.contains(&format!("{STATIC}/{path}"))
    }

    /// A file below `static`, at the root or by the folder's own name, or the `index.html` of a folder there.
    fn static_file(&self, path: &str) -> Answer {
        let below = path.strip_prefix("static/").filter(|below| self.has_static(below)).unwrap_or(path);
        let index = format!("{below}index.html");
        let folder = (below.ends_with('/') && self.has_static(&index)).then_some(index.as_str());
        let name = format!("{STATIC}/{}", folder.unwrap_or(below));
        if self.files.contains(&name) {
            return self.file(name);
        }
        let wanted = Page::NotYet(path.strip_suffix('/').unwrap_or(path).to_owned());
        self.page(if self.exists(&wanted) { wanted } else { Page::NotFound })
    }

    fn file(&self, name: String) -> Answer {
        debug_assert_eq!(place_of(&name), Place::File);
        Answer::File(SiteFile { path: self.root.join(&name), name })
    }

    fn redirect(&self, page: &Page) -> Answer {
        let location = page.url();
        let made = Made {
            status: 301,
            content_type: HTML,
            body: String::new(),
            dependencies: Vec::new(),
            last_modified: None,
        };
        Answer::Page(Arc::new(Rendered { location, ..rendered(made, self.version()) }))
    }

    /// Whether the site has the page.
    fn exists(&self, page: &Page) -> bool {
        let has = |total: usize, page: usize| (1..=page_count(self.config.per_page, total)).contains(&page);
        match page {
            Page::Index(n) => has(self.listing.all.len(), *n),
            Page::Tag(tag, n) => self.listing.tag(tag).is_some_and(|tag| has(tag.list.len(), *n)),
            Page::Article(slug) => self.public.contains_key(slug),
            Page::Tags | Page::Search(_) | Page::Feed | Page::Sitemap => true,
            Page::NotYet(slug) => self.never_good_at(Some(slug)).next().is_some(),
            Page::ThemeCss | Page::HighlightCss | Page::NotFound => true,
        }
    }

    fn page(&self, page: Page) -> Answer {
        let page = match page {
            Page::Search(query) => {
                let max = self.options.limits.query_bytes_max;
                Page::Search(query[..query.floor_char_boundary(max)].to_owned())
            }
            page => page,
        };
        let mut cache = self.cache();
        cache.clock += 1;
        let now = cache.clock;
        if let Some(kept) = cache.pages.get_mut(&page) {
            kept.used = now;
            if kept.checked == self.generation || kept.dependencies.iter().all(|one| self.is_current(one)) {
                kept.checked = self.generation;
                return Answer::Page(kept.rendered.clone());
            }
        }
        let searched = matches!(page, Page::Search(_));
        let counted = if searched { Page::Search(String::new()) } else { page.clone() };
        match on_large_stack(|| self.make(&page)) {
            Ok(made) => {
                *cache.renders.entry(counted.clone()).or_default() += 1;
                cache.failures.remove(&counted);
                let dependencies = made.dependencies.clone();
                let rendered = Arc::new(rendered(made, self.version()));
                // What visitors search for has no end, so it is not kept.
                if !searched {
                    let kept = Kept {
                        rendered: rendered.clone(),
                        dependencies,
                        checked: self.generation,
                        used: now,
                    };
                    cache.keep(page, kept, self.options.limits.cache_bytes_max);
                }
                Answer::Page(rendered)
            }
            Err(error) => {
                cache.failures.insert(counted, problem_of_failure(&error, &page));
                if let Some(kept) = cache.pages.get_mut(&page) {
                    // The page as it was before; it is tried again after the next change.
                    kept.checked = self.generation;
                    return Answer::Page(kept.rendered.clone());
                }
                Answer::Page(Arc::new(rendered(failed(), self.version())))
            }
        }
    }

    fn is_current(&self, dependency: &Dependency) -> bool {
        match dependency {
            Dependency::Article(slug, hash) => {
                self.public.get(slug).is_some_and(|article| article.hash == *hash)
            }
            Dependency::Listed(slug, hash) => {
                self.public.get(slug).is_some_and(|article| article.listing_hash == *hash)
            }
            Dependency::List(tag, page, hash) => {
                self.slice(tag.as_deref(), *page).is_some_and(|(_, now)| now == *hash)
            }
            Dependency::Tags(hash) => self.listing.tags_hash() == *hash,
            Dependency::Feed(hash) => self.feed_hash() == *hash,
            Dependency::Sitemap(hash) => self.sitemap_hash() == *hash,
            Dependency::Template(name, hash) => self.templates.hash(name) == *hash,
            Dependency::Config(hash) => self.config_hash == *hash,
            Dependency::NeverGood(hash) => self.never_good_hash() == *hash,
            Dependency::Problems(hash) => self.problems_hash == *hash,
        }
    }

    /// How often each page was rendered, by its address. Searches are one, and the 404 page is `404`.
    pub fn renders(&self) -> BTreeMap<String, u64> {
        let named = |page: &Page| page.url().unwrap_or_else(|| "404".to_owned());
        self.cache().renders.iter().map(|(page, count)| (named(page), *count)).collect()
    }

    pub(super) fn failures(&self) -> Vec<Problem> {
        self.cache().failures.values().cloned().collect()
    }

    /// Forgets pages of addresses that are gone.
    pub(super) fn forget_gone(&self) {
        let mut cache = self.cache();
        let cache = &mut *cache;
        let bytes = &mut cache.bytes;
        cache.pages.retain(|page, kept| {
            let stays = self.exists(page);
            *bytes -= if stays { 0 } else { kept.rendered.body.len() };
            stays
        });
        cache.renders.retain(|page, _| self.exists(page));
        cache.failures.retain(|page, _| self.exists(page));
    }

    pub(super) fn forget_pages(&self) {
        *self.cache() = Cache::default();
    }
}

//! Pages: what is rendered for an address, of what, and the cache of it.
//!
//! A page that is kept knows what it was made of: articles, slices of lists, templates, the configuration, each by a hash of what
//! it took from it. After a change the hashes are compared when the page is asked for, so a page is rendered again exactly if
//! something that it shows is another.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use minijinja::{Error, Value, context};

use super::article::Article;
use super::cache::{Cache, Kept};
use super::change::Subscription;
use super::context;
use super::layout::{Place, STATIC, place_of};
use super::listing::page_count;
use super::problem::Problem;
use super::route::{Page, Query, Route, decode, route};
use super::site::Site;
use super::templates::{self, Output};
use super::theme;

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
}

/// A page as it was made.
struct Made {
    status: u16,
    content_type: &'static str,
    body: String,
    dependencies: Vec<Dependency>,
    last_modified: Option<SystemTime>,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const ATOM: &str = "application/atom+xml; charset=utf-8";
const XML: &str = "application/xml; charset=utf-8";

/// Addresses in a sitemap (sitemaps.org).
const SITEMAP_URLS_MAX: usize = 50_000;

/// A failure of a rendering as a problem of the template that is to blame.
pub(super) fn problem_of_failure(error: &Error, page: &Page) -> Problem {
    templates::problem_of(error, template_of(page))
}

/// The usual template of a page.
fn template_of(page: &Page) -> &'static str {
    match page {
        Page::Index(_) => "index.html",
        Page::Tags => "tags.html",
        Page::Tag(..) => "tag.html",
        Page::Article(_) => "article.html",
        Page::Search(_) => "search.html",
        Page::Feed => "feed.xml",
        Page::Sitemap => "sitemap.xml",
        Page::ThemeCss => "theme.css",
        Page::HighlightCss => "highlight.css",
        Page::NotFound => "404.html",
    }
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
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
        if self.files.contains(&name) { self.file(name) } else { self.page(Page::NotFound) }
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
        match self.make(&page) {
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
            Dependency::Sitemap(hash) => self.sitemap_hash == *hash,
            Dependency::Template(name, hash) => self.templates.hash(name) == *hash,
            Dependency::Config(hash) => self.config_hash == *hash,
            Dependency::Problems(hash) => self.problems_hash == *hash,
        }
    }

    /// The slugs of a page of a list, and a hash of them, of the list's length and of the tag's name.
    fn slice(&self, tag: Option<&str>, page: usize) -> Option<(Vec<&str>, u64)> {
        let (name, list) = match tag {
            None => ("", &self.listing.all),
            Some(tag) => self.listing.tag(tag).map(|tag| (tag.name(), &tag.list))?,
        };
        let slugs: Vec<&str> = list.page(page, self.config.per_page)?.collect();
        let hash = hash_of((&slugs, list.len(), name));
        Some((slugs, hash))
    }

    /// Renders a page. One that does not exist is the 404 page.
    fn make(&self, page: &Page) -> Result<Made, Error> {
        match page {
            Page::Index(n) => self.make_list(page, None, *n),
            Page::Tag(tag, n) => self.make_list(page, Some(tag), *n),
            Page::Article(slug) => match self.public.get(slug) {
                Some(article) => self.make_article(page, article),
                None => self.make(&Page::NotFound),
            },
            Page::Tags => {
                let dependencies = vec![Dependency::Tags(self.listing.tags_hash())];
                let context = context! { tags => context::tags(&self.listing) };
                self.make_html(page, "Tags", Subscription::All, context, dependencies)
            }
            Page::Search(query) => self.make_search(page, query),
            Page::NotFound => {
                let made = self.make_html(page, "Not found", Subscription::All, context! {}, Vec::new())?;
                Ok(Made { status: 404, ..made })
            }
            Page::Feed => self.make_feed(),
            Page::Sitemap => self.make_sitemap(),
            Page::ThemeCss => Ok(style(theme::THEME_CSS)),
            Page::HighlightCss => Ok(style(theme::HIGHLIGHT_CSS)),
        }
    }

    fn make_list(&self, page: &Page, tag: Option<&str>, n: usize) -> Result<Made, Error> {
        let Some((slugs, hash)) = self.slice(tag, n) else { return self.make(&Page::NotFound) };
        let mut dependencies = vec![Dependency::List(tag.map(str::to_owned), n, hash)];
        let articles: Vec<&Arc<Article>> = slugs.iter().filter_map(|slug| self.public.get(*slug)).collect();
        dependencies.extend(
            articles.iter().map(|article| Dependency::Listed(article.slug.clone(), article.listing_hash)),
        );
        let list = tag.and_then(|tag| self.listing.tag(tag));
        let total = list.map_or(self.listing.all.len(), |tag| tag.list.len());
        let pages = page_count(self.config.per_page, total);
        let url = |n: usize| match tag {
            None => Page::Index(n).url(),
            Some(tag) => Page::Tag(tag.to_owned(), n).url(),
        };
        let link = |n: Option<String>| n.map_or(Value::UNDEFINED, Value::from);
        let pagination = context! {
            page => n,
            pages => pages,
            total => total,
            previous => link((n > 1).then(|| url(n - 1)).flatten()),
            next => link((n < pages).then(|| url(n + 1)).flatten()),
        };
        let articles: Vec<Value> =
            articles.iter().map(|article| context::summary(article, &self.config)).collect();
        let context = context! {
            articles,
            pagination,
            tag => list.map_or(Value::UNDEFINED, |list| context::tag(list.name(), tag.unwrap_or(""), Some(total))),
        };
        let subscription = tag.map_or(Subscription::All, |tag| Subscription::ByTag(tag.to_owned()));
        self.make_html(page, list.map_or("", |list| list.name()), subscription, context, dependencies)
    }

    fn make_article(&self, page: &Page, article: &Article) -> Result<Made, Error> {
        let dependencies = vec![Dependency::Article(article.slug.clone(), article.hash)];
        let context = context! { article => context::article(article, &self.config) };
        let subscription = Subscription::ByTitle(article.slug.clone());
        let made = self.make_html(page, &article.title, subscription, context, dependencies)?;
        let written = |path: &str| self.known.get(path).and_then(|known| known.modified);
        let of_templates = made.dependencies.iter().filter_map(|dependency| match dependency {
            Dependency::Template(name, _) => written(&format!("{}/{name}", templates::FOLDER)),
            _ => None,
        });
        let newest = of_templates.chain(article.modified).chain(written(super::config::CONFIG_FILE)).max();
        Ok(Made { last_modified: newest, ..made })
    }

    fn make_search(&self, page: &Page, query: &str) -> Result<Made, Error> {
        let results: Vec<Value> = self
            .search(query)
            .into_iter()
            .filter_map(|hit| {
                let article = self.public.get(&hit.slug)?;
                let snippet = self.search.snippet(&[&article.text, &article.summary], query);
                Some(context! {
                    title => &article.title,
                    url => &article.url,
                    snippet => Value::from_safe_string(snippet),
                    score => hit.score,
                })
            })
            .collect();
        let context = context! { query => query, results };
        self.make_html(page, "Search", Subscription::All, context, Vec::new())
    }

    /// Renders a page of HTML by its template, with what all of them have.
    fn make_html(
        &self,
        page: &Page,
        title: &str,
        subscription: Subscription,
        context: Value,
        mut dependencies: Vec<Dependency>,
    ) -> Result<Made, Error> {
        let article = match page {
            Page::Article(slug) => self.public.get(slug),
            _ => None,
        };
        let usual =
            if article.is_some_and(|article| !article.listed) { "page.html" } else { template_of(page) };
        let mut template = usual;
        if let Some(named) = article.and_then(|article| article.template.as_deref()) {
            // One that is not there yet is a dependency too.
            dependencies.push(Dependency::Template(named.to_owned(), self.templates.hash(named)));
            if self.templates.exists(named) {
                template = named;
            }
        }
        let topics = [subscription.topic(), Subscription::Theme.topic()];
        let of_page = context! {
            url => page.url().unwrap_or_default(),
            title => title,
            template => template,
            description => article.map_or("", |article| article.summary.as_str()),
            topics => topics.as_slice().iter().map(Value::from).collect::<Vec<_>>(),
        };
        let live = self.options.live_script.as_deref();
        let mut shared = vec![
            ("site", self.config_value.clone()),
            ("page", of_page),
            ("version", Value::from(self.version())),
            ("live", Value::from(live.is_some())),
            ("live_script", Value::from(live.unwrap_or(""))),
        ];
        if self.options.show_problems {
            dependencies.push(Dependency::Problems(self.problems_hash));
            shared.push(("problems", context::problems(self.problems.values())));
        }
        let context = context! { ..context, ..Value::from_pairs(shared) };
        let Output { text, templates } = self.templates.render(template, context)?;
        self.depend(&mut dependencies, templates);
        Ok(Made { status: 200, content_type: HTML, body: text, dependencies, last_modified: None })
    }

    fn depend(&self, dependencies: &mut Vec<Dependency>, templates: Vec<(String, u64)>) {
        dependencies.push(Dependency::Config(self.config_hash));
        dependencies.extend(templates.into_iter().map(|(name, hash)| Dependency::Template(name, hash)));
    }

    /// The address of the site, for what needs a whole one.
    fn base(&self) -> &str {
        let url = self.config.url.as_deref().or(self.options.url.as_deref());
        url.map_or("http://localhost", |url| url.trim_end_matches('/'))
    }

    fn make_feed(&self) -> Result<Made, Error> {
        let entries: Vec<&Article> = self.articles().take(self.options.limits.feed_entries_max).collect();
        let updated = entries.iter().filter_map(|article| context::feed_date(article)).max();
        let context = context! {
            site => self.config_value.clone(),
            base => self.base(),
            updated => updated.map_or_else(|| context::EPOCH.to_owned(), |date| date.to_string()),
            articles => entries.iter().map(|article| context::entry(article, &self.config)).collect::<Vec<_>>(),
        };
        let mut dependencies = vec![Dependency::Feed(self.feed_hash())];
        let Output { text, templates } = self.templates.render(template_of(&Page::Feed), context)?;
        self.depend(&mut dependencies, templates);
        Ok(Made { status: 200, content_type: ATOM, body: xml_text(text), dependencies, last_modified: None })
    }

    /// Of the articles that the feed has.
    fn feed_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.articles()
            .take(self.options.limits.feed_entries_max)
            .for_each(|article| (&article.slug, article.hash).hash(&mut hasher));
        hasher.finish()
    }

    fn make_sitemap(&self) -> Result<Made, Error> {
        let entry = |url: String, modified: Option<super::date::Date>| {
            let modified = modified.map_or(Value::UNDEFINED, |date| Value::from(date.iso()));
            context! { url, modified }
        };
        let lists = [Page::Index(1), Page::Tags].into_iter().filter_map(|page| page.url());
        let tags = self.tags().filter_map(|(slug, _, _)| Page::Tag(slug.to_owned(), 1).url());
        let articles =
            self.public.values().map(|article| entry(article.url.clone(), article.updated.or(article.date)));
        let entries = lists.chain(tags).map(|url| entry(url, None)).chain(articles);
        let context = context! {
            site => self.config_value.clone(),
            base => self.base(),
            entries => entries.take(SITEMAP_URLS_MAX).collect::<Vec<_>>(),
        };
        let mut dependencies = vec![Dependency::Sitemap(self.sitemap_hash)];
        let Output { text, templates } = self.templates.render(template_of(&Page::Sitemap), context)?;
        self.depend(&mut dependencies, templates);
        Ok(Made { status: 200, content_type: XML, body: xml_text(text), dependencies, last_modified: None })
    }

    /// Renders one page of each kind, and one of each template that an article names, until one fails.
    pub(super) fn try_pages(&self) -> Option<(Page, Error)> {
        let mut pages = vec![Page::Index(1), Page::Tags, Page::NotFound, Page::Feed, Page::Sitemap];
        let word = self.articles().next().map_or("", |article| article.title.as_str());
        pages.push(Page::Search(word.to_owned()));
        pages.extend(self.listing.tags().next().map(|(tag, _)| Page::Tag(tag.to_owned(), 1)));
        let mut looks: HashMap<(Option<&str>, bool), &str> = HashMap::new();
        for article in self.public.values() {
            looks.insert((article.template.as_deref(), article.listed), &article.slug);
        }
        pages.extend(looks.into_values().map(|slug| Page::Article(slug.to_owned())));
        pages.into_iter().find_map(|page| self.make(&page).err().map(|error| (page, error)))
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

fn style(css: &str) -> Made {
    Made {
        status: 200,
        content_type: CSS,
        body: css.to_owned(),
        dependencies: Vec::new(),
        last_modified: None,
    }
}

/// What is answered when a template fails on a page that was never rendered: no template is asked again.
fn failed() -> Made {
    let body = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Error</title>\
                <h1>This page cannot be shown</h1><p>Its template fails. The site's owner finds the place among the site's problems.</p></html>\n";
    Made {
        status: 500,
        content_type: HTML,
        body: body.to_owned(),
        dependencies: Vec::new(),
        last_modified: None,
    }
}

/// Without characters that XML does not have (XML 1.0, 2.2), which no escape can bring in either.
fn xml_text(mut text: String) -> String {
    let is_xml = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    if !text.chars().all(is_xml) {
        text.retain(is_xml);
    }
    text
}

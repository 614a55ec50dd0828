//! How each page is made: what its template gets to see, and what it depends on for that.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use minijinja::{Error, Value, context};

use super::article::Article;
use super::change::Subscription;
use super::context;
use super::listing::page_count;
use super::pages::Dependency;
use super::route::Page;
use super::site::Site;
use super::templates::{self, Output};
use super::theme;

/// A page as it was made.
pub(super) struct Made {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
    pub dependencies: Vec<Dependency>,
    pub last_modified: Option<SystemTime>,
}

pub(super) const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const ATOM: &str = "application/atom+xml; charset=utf-8";
const XML: &str = "application/xml; charset=utf-8";

/// Addresses in a sitemap (sitemaps.org).
const SITEMAP_URLS_MAX: usize = 50_000;

/// The usual template of a page.
pub(super) fn template_of(page: &Page) -> &'static str {
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
        Page::NotFound | Page::NotYet(_) => "404.html",
    }
}

pub(super) fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Site {
    /// The slugs of a page of a list, and a hash of them, of the list's length and of the tag's name.
    pub(super) fn slice(&self, tag: Option<&str>, page: usize) -> Option<(Vec<&str>, u64)> {
        let (name, list) = match tag {
            None => ("", &self.listing.all),
            Some(tag) => self.listing.tag(tag).map(|tag| (tag.name(), &tag.list))?,
        };
        let slugs: Vec<&str> = list.page(page, self.config.per_page)?.collect();
        let hash = hash_of((&slugs, list.len(), name));
        Some((slugs, hash))
    }

    /// Renders a page. One that does not exist is the 404 page.
    pub(super) fn make(&self, page: &Page) -> Result<Made, Error> {
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
            Page::NotFound | Page::NotYet(_) => {
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
        let context = context! { article => context::article(article, self.article_version(&article.slug), &self.config) };
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
        if let Some((dependency, problems)) = self.shown_problems(page) {
            dependencies.push(dependency);
            shared.push(("problems", problems));
        }
        let context = context! { ..context, ..Value::from_pairs(shared) };
        let Output { text, templates } = self.templates.render(template, context)?;
        self.depend(&mut dependencies, templates);
        Ok(Made { status: 200, content_type: HTML, body: text, dependencies, last_modified: None })
    }

    /// The problems that a page shows, and what it depends on for that.
    fn shown_problems(&self, page: &Page) -> Option<(Dependency, Value)> {
        let slug = match page {
            _ if self.options.show_problems => {
                let all = context::problems(self.problems.values());
                return Some((Dependency::Problems(self.problems_hash), all));
            }
            Page::Index(_) => None,
            Page::NotYet(slug) => Some(slug.as_str()),
            _ => return None,
        };
        let found = context::problems(self.never_good_at(slug));
        Some((Dependency::NeverGood(self.never_good_hash()), found))
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
    pub(super) fn feed_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.articles()
            .take(self.options.limits.feed_entries_max)
            .for_each(|article| (&article.slug, article.hash).hash(&mut hasher));
        hasher.finish()
    }

    pub(super) fn sitemap_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.public_sum.hash(&mut hasher);
        self.listing.tags().for_each(|(slug, _)| slug.hash(&mut hasher));
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
        let mut dependencies = vec![Dependency::Sitemap(self.sitemap_hash())];
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
pub(super) fn failed() -> Made {
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

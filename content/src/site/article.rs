//! An article: what its files say, as HTML, and what lists and the search show of it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::date::Date;
use super::front_matter::FrontMatter;
use super::markdown::{self, Heading, Rendering};
use super::options::SiteOptions;
use super::problem::Problem;
use super::slug::{encode_path, slugify_at_most};

/// Bytes of a slug.
pub(super) const SLUG_BYTES_MAX: usize = 200;
/// Words that are read in a minute.
const WORDS_PER_MINUTE: usize = 220;

/// The files of one article, as they were read.
///
/// ```
/// use sws_content::site::{Article, SiteOptions, Source};
///
/// let json = Some(("content/a/a.json", r#"{ "tags": ["x"] }"#));
/// let source = Source { key: "a/a", path: "content/a/a.md", text: "# Title\n\nText.", json };
/// let article = Article::parse(source, &SiteOptions::default()).unwrap();
/// assert_eq!((article.title.as_str(), article.slug.as_str()), ("Title", "a"));
/// assert_eq!(article.tags[0].slug, "x");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The Markdown file below `content`, without its ending.
    pub key: &'a str,
    /// The Markdown file, relative to the site's folder.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
    /// The JSON file beside it and its text. What the front matter says too, the JSON says in its place.
    pub json: Option<(&'a str, &'a str)>,
}

/// What an article is about: the name as its author writes it, and as an address.
///
/// ```
/// use sws_content::site::TagName;
///
/// assert_eq!(TagName::new("A/B").slug, "a-b");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagName {
    /// The name as it is shown.
    pub name: String,
    /// The name in addresses; tags with the same are the same.
    pub slug: String,
}

impl TagName {
    /// The tag of a name.
    pub fn new(name: &str) -> TagName {
        TagName { name: name.to_owned(), slug: slugify_at_most(name, SLUG_BYTES_MAX) }
    }
}

/// An article or a page of a site.
#[derive(Clone, Debug)]
pub struct Article {
    /// The Markdown file, relative to the site's folder.
    pub path: String,
    /// The address of the article below the site's root.
    pub slug: String,
    /// The path of its page, percent-encoded: `/slug/`.
    pub url: String,
    /// Its title.
    pub title: String,
    /// Its first words.
    pub summary: String,
    /// When it was published.
    pub date: Option<Date>,
    /// When it was last changed, as its author says.
    pub updated: Option<Date>,
    /// What it is about.
    pub tags: Vec<TagName>,
    /// Who wrote it, if not the site's author.
    pub author: Option<String>,
    /// The template, if not the usual one.
    pub template: Option<String>,
    /// Not for the public yet.
    pub draft: bool,
    /// Whether lists and the feed have it. What they do not have is a page.
    pub listed: bool,
    /// Lists show heavier articles first.
    pub weight: i32,
    /// Every other key of its front matter.
    pub extra: Map<String, Value>,
    /// Its text as HTML.
    pub html: String,
    /// Its headings.
    pub toc: Vec<Heading>,
    /// Its text without mark-up, for the search.
    pub text: String,
    /// How many words it has.
    pub words: usize,
    /// How long it takes to read.
    pub minutes: usize,
    /// When the newest of its files was written.
    pub modified: Option<SystemTime>,
    /// Of everything that its own page shows.
    pub(super) hash: u64,
    /// Of everything that lists show of it.
    pub(super) listing_hash: u64,
}

impl Article {
    /// Reads an article from its files.
    pub fn parse(source: Source, options: &SiteOptions) -> Result<Article, Problem> {
        let limits = &options.limits;
        let (mut front, markdown) = FrontMatter::split(source.path, source.text, limits)?;
        if let Some((path, text)) = source.json {
            front = FrontMatter::of_json(path, text, limits)?.or(front);
        }
        let rendering = Rendering {
            title: front.title.as_deref(),
            escape_html: options.escape_html,
            highlight_bytes_max: limits.highlight_bytes_max,
        };
        let document = markdown::render(markdown, rendering);
        let name = source.key.rsplit('/').next().unwrap_or(source.key);
        let slug = slugify_at_most(front.slug.as_deref().unwrap_or(name), SLUG_BYTES_MAX);
        let mut tags: Vec<TagName> = Vec::new();
        for tag in front.tags.iter().map(|tag| TagName::new(tag)) {
            if tags.iter().all(|other| other.slug != tag.slug) {
                tags.push(tag);
            }
        }
        let mut article = Article {
            path: source.path.to_owned(),
            url: format!("/{}/", encode_path(&slug)),
            title: front.title.or(document.title).unwrap_or_else(|| name.to_owned()),
            summary: front.summary.unwrap_or(document.summary),
            slug,
            date: front.date,
            updated: front.updated,
            tags,
            author: front.author,
            template: front.template,
            draft: front.draft,
            listed: front.list.unwrap_or(true),
            weight: front.weight,
            extra: front.extra,
            html: document.html,
            toc: document.toc,
            minutes: document.words.div_ceil(WORDS_PER_MINUTE).max(1),
            text: document.text,
            words: document.words,
            modified: None,
            hash: 0,
            listing_hash: 0,
        };
        article.set_hashes();
        Ok(article)
    }

    fn set_hashes(&mut self) {
        let mut hasher = DefaultHasher::new();
        (&self.slug, &self.title, &self.summary, self.date, self.updated, &self.tags).hash(&mut hasher);
        (&self.author, self.draft, self.listed, self.weight, self.words).hash(&mut hasher);
        Value::Object(self.extra.clone()).to_string().hash(&mut hasher);
        self.listing_hash = hasher.finish();
        (&self.template, &self.html, &self.toc).hash(&mut hasher);
        self.hash = hasher.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, text: &str) -> Result<Article, Problem> {
        Article::parse(Source { key, path: "content/a.md", text, json: None }, &SiteOptions::default())
    }

    #[test]
    fn what_is_not_said_is_found() {
        let article = parse("two-words/two-words", "# *The* title\n\nFirst.\n\nSecond.\n").unwrap();
        assert_eq!((article.slug.as_str(), article.url.as_str()), ("two-words", "/two-words/"));
        assert_eq!((article.title.as_str(), article.summary.as_str()), ("The title", "First."));
        assert_eq!((article.words, article.minutes, article.listed, article.draft), (2, 1, true, false));
        let bare = parse("Some Name", "").unwrap();
        assert_eq!(
            (bare.title.as_str(), bare.url.as_str(), bare.summary.as_str()),
            ("Some Name", "/some-name/", "")
        );
        let said = parse("a", "---\ntitle: T\nsummary: S\nslug: B/C\ntags: [x, X, y]\n---\n# H\n").unwrap();
        assert_eq!((said.title.as_str(), said.summary.as_str(), said.slug.as_str()), ("T", "S", "b-c"));
        assert_eq!(said.tags, [TagName::new("x"), TagName::new("y")]);
    }

    #[test]
    fn hashes_tell_what_lists_show_from_what_the_page_shows() {
        let base = parse("a", "---\ntitle: T\nsummary: S\n---\none two\n").unwrap();
        let same = parse("a", "---\nsummary: S\ntitle: T\n---\n\none two\n\n").unwrap();
        assert_eq!((base.hash, base.listing_hash), (same.hash, same.listing_hash));
        let body = parse("a", "---\ntitle: T\nsummary: S\n---\none *two*\n").unwrap();
        assert!(body.hash != base.hash && body.listing_hash == base.listing_hash);
        let title = parse("a", "---\ntitle: U\nsummary: S\n---\none two\n").unwrap();
        assert!(title.hash != base.hash && title.listing_hash != base.listing_hash);
    }

    #[test]
    fn no_text_is_too_odd() {
        let parts = [
            "---\n",
            "title: ",
            "tags: [",
            "]",
            "date: ",
            "2026-01-01",
            "\n",
            "# ",
            "## ",
            "> ",
            "- ",
            "```",
            "rust",
            "|",
            "--",
            "[^1]",
            ": ",
            "<b>",
            "</b>",
            "<!--",
            "*",
            "_",
            "`",
            "[",
            "](",
            ")",
            "!",
            "{#x}",
            "\\",
            "&amp;",
            "é",
            "日",
            "\u{0}",
            "\t",
            "    ",
            "x",
            "http://a.b",
            "[!NOTE]",
            "~~",
            "&a",
            "*a",
        ];
        let mut random = fastrand::Rng::with_seed(11);
        let mut good = 0;
        for n in 0..3000 {
            let text: String = (0..random.usize(..60)).map(|_| parts[random.usize(..parts.len())]).collect();
            let options = SiteOptions { escape_html: n % 2 == 0, ..SiteOptions::default() };
            let source = Source { key: "a", path: "content/a.md", text: &text, json: None };
            if let Ok(article) = Article::parse(source, &options) {
                good += 1;
                assert!(!article.title.contains(char::is_control), "{text:?}");
                assert!(article.summary.len() <= options.limits.text_bytes_max && article.minutes >= 1);
                let mut ids: Vec<_> = article.toc.iter().map(|heading| &heading.id).collect();
                ids.sort();
                ids.dedup();
                assert_eq!(ids.len(), article.toc.len(), "{text:?}");
            }
        }
        assert!(good > 1000, "{good}");
    }
}

//! Which page a path is the address of.

use super::slug::encode_path;

/// Names at the root that are the site's own: no article can have them.
pub(super) const RESERVED: &[&str] =
    &["tags", "search", "feed.xml", "sitemap.xml", "theme.css", "highlight.css", "static"];

/// What a visitor asks for beyond the path.
///
/// ```
/// use sws_content::site::Query;
///
/// let query = Query::of_pairs([("page", "2"), ("q", "rings")]);
/// assert_eq!((query.page, query.q.as_str()), (2, "rings"));
/// assert_eq!(Query::default().page, 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The page of a list, from 1. There is no page 0.
    pub page: usize,
    /// The words to search for.
    pub q: String,
}

impl Default for Query {
    fn default() -> Self {
        Query { page: 1, q: String::new() }
    }
}

impl Query {
    /// The query of decoded names and values. A page that is no number is page 0, which is nowhere.
    pub fn of_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Query {
        let mut query = Query::default();
        for (name, value) in pairs {
            match name {
                "page" => query.page = value.parse().unwrap_or(0),
                "q" => query.q = value.to_owned(),
                _ => {}
            }
        }
        query
    }
}

/// A page of the site that is rendered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Page {
    Index(usize),
    Tags,
    Tag(String, usize),
    Article(String),
    Search(String),
    Feed,
    Sitemap,
    ThemeCss,
    HighlightCss,
    NotFound,
    /// The same at an address that an article wants which cannot be shown.
    NotYet(String),
}

impl Page {
    /// The address of the page; none where there is none of its own.
    pub fn url(&self) -> Option<String> {
        let numbered =
            |path: String, page: usize| if page == 1 { path } else { format!("{path}?page={page}") };
        match self {
            Page::Index(page) => Some(numbered("/".to_owned(), *page)),
            Page::Tags => Some("/tags/".to_owned()),
            Page::Tag(tag, page) => Some(numbered(format!("/tags/{}/", encode_path(tag)), *page)),
            Page::Article(slug) => Some(format!("/{}/", encode_path(slug))),
            Page::Search(_) => Some("/search/".to_owned()),
            Page::Feed => Some("/feed.xml".to_owned()),
            Page::Sitemap => Some("/sitemap.xml".to_owned()),
            Page::ThemeCss => Some("/theme.css".to_owned()),
            Page::HighlightCss => Some("/highlight.css".to_owned()),
            Page::NotFound | Page::NotYet(_) => None,
        }
    }
}

/// What a path may be the address of, in the order in which it is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Page(Page),
    /// The address of a page but for its last slash.
    Slash(Page),
    /// A file beside an article: its slug, and the path in its folder.
    Beside(String, String),
    Nothing,
}

/// The path decoded, without the slash that it begins with; none if it is not UTF-8 or has a control character.
pub(super) fn decode(path: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(path.strip_prefix('/')?).decode_utf8().ok()?;
    (!decoded.contains(|c: char| c.is_control())).then(|| decoded.into_owned())
}

/// Looks at a decoded path without its first slash.
pub(super) fn route(path: &str, query: &Query) -> Route {
    let of = |page: Page, slash: bool| if slash { Route::Page(page) } else { Route::Slash(page) };
    match path {
        "" => return Route::Page(Page::Index(query.page)),
        "search" | "search/" => return Route::Page(Page::Search(query.q.clone())),
        "feed.xml" => return Route::Page(Page::Feed),
        "sitemap.xml" => return Route::Page(Page::Sitemap),
        "theme.css" => return Route::Page(Page::ThemeCss),
        "highlight.css" => return Route::Page(Page::HighlightCss),
        _ => {}
    }
    let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match (first, rest) {
        ("tags", None) => Route::Slash(Page::Tags),
        ("tags", Some("")) => Route::Page(Page::Tags),
        ("tags", Some(tag)) => {
            let (tag, slash) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            of(Page::Tag(tag.to_owned(), if slash { query.page } else { 1 }), slash)
        }
        ("", _) => Route::Nothing,
        (slug, None) => Route::Slash(Page::Article(slug.to_owned())),
        (slug, Some("")) => Route::Page(Page::Article(slug.to_owned())),
        (slug, Some(file)) => Route::Beside(slug.to_owned(), file.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let article = |slug: &str| Page::Article(slug.into());
        let table = [
            ("/", Route::Page(Page::Index(3))),
            ("/tags", Route::Slash(Page::Tags)),
            ("/tags/", Route::Page(Page::Tags)),
            ("/tags/a", Route::Slash(Page::Tag("a".into(), 1))),
            ("/tags/%C3%BC/", Route::Page(Page::Tag("ü".into(), 3))),
            ("/a", Route::Slash(article("a"))),
            ("/a/", Route::Page(article("a"))),
            ("/a/b/c.png", Route::Beside("a".into(), "b/c.png".into())),
            ("/search", Route::Page(Page::Search("x".into()))),
            ("/search/", Route::Page(Page::Search("x".into()))),
            ("/feed.xml", Route::Page(Page::Feed)),
            ("//a", Route::Nothing),
        ];
        let query = Query { page: 3, q: "x".into() };
        for (path, wanted) in table {
            assert_eq!(decode(path).map(|path| route(&path, &query)), Some(wanted), "{path}");
        }
    }

    #[test]
    fn paths_that_are_none() {
        for path in ["", "a", "/%FF", "/%00", "/a%0d%0ab", "*"] {
            assert_eq!(decode(path), None, "{path:?}");
        }
    }

    #[test]
    fn each_page_has_its_address() {
        let query = Query { page: 2, q: String::new() };
        for page in [
            Page::Index(2),
            Page::Tags,
            Page::Tag("a/ü".into(), 2),
            Page::Article("ü".into()),
            Page::Feed,
            Page::Sitemap,
        ] {
            let url = page.url().unwrap();
            let path = url.split('?').next().unwrap();
            assert_eq!(route(&decode(path).unwrap(), &query), Route::Page(page), "{url}");
        }
    }

    #[test]
    fn pairs() {
        let table = [("1", 1), ("0", 0), ("-1", 0), ("x", 0), ("99999999999999999999999", 0), ("", 0)];
        for (value, page) in table {
            assert_eq!(Query::of_pairs([("page", value), ("other", "7")]).page, page, "{value:?}");
        }
    }
}

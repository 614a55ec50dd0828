//! How a site is loaded and shown, and the bounds of what it may hold.

/// How a site is loaded and shown.
///
/// ```
/// use sws_content::site::SiteOptions;
///
/// let preview = SiteOptions { drafts: true, ..SiteOptions::default() };
/// assert!(!preview.escape_html, "authors are trusted with HTML by default");
/// ```
#[derive(Clone, Debug, Default)]
pub struct SiteOptions {
    /// Shows drafts like finished articles, for a preview. Without it they are nowhere.
    pub drafts: bool,
    /// Shows the HTML in an article's Markdown as text. By default it goes through: who can write into the site's folder can put
    /// any script into its templates, so authors are trusted. Set it when articles come from others than the owner.
    pub escape_html: bool,
    /// Gives templates the list of `problems`, so that an author sees them in the page. They name files. Without it the list has
    /// articles that were never good and are no drafts, on the first page and where the article is to be.
    pub show_problems: bool,
    /// The address of the script that keeps a page live; templates have it as `live_script`, and `live` says if it is there.
    pub live_script: Option<String>,
    /// First segments of paths that the caller keeps for routes of its own: no article or file is served below them.
    pub reserved: Vec<String>,
    /// The absolute address of the site where its `site.json` has no `url`, as `http://localhost:8080`.
    pub url: Option<String>,
    /// The bounds.
    pub limits: SiteLimits,
}

/// The bounds of a site. What is beyond one is reported as a problem and left out.
///
/// ```
/// use sws_content::site::SiteLimits;
///
/// let limits = SiteLimits { articles_max: 100, ..SiteLimits::default() };
/// assert!(limits.article_bytes_max >= 1 << 20);
/// ```
#[derive(Clone, Debug)]
pub struct SiteLimits {
    /// Bytes of an article's Markdown, of its JSON, of a template and of `site.json`, each.
    pub article_bytes_max: usize,
    /// Articles and pages, drafts too.
    pub articles_max: usize,
    /// Files that are served as they are.
    pub files_max: usize,
    /// Folders within each other, counted from the site's.
    pub depth_max: usize,
    /// Tags of one article.
    pub tags_max: usize,
    /// Bytes of a title, a summary, an author and a tag, each.
    pub text_bytes_max: usize,
    /// Steps of one rendering (minijinja's fuel): an endless loop in a template ends here.
    pub template_fuel: u64,
    /// Bytes of a rendered page, the feed and the sitemap too.
    pub page_bytes_max: usize,
    /// Bytes of rendered pages that are kept; the one not asked for longest goes first.
    pub cache_bytes_max: usize,
    /// Bytes of a search's query; what is longer is cut.
    pub query_bytes_max: usize,
    /// Results of a search.
    pub results_max: usize,
    /// Entries of the feed.
    pub feed_entries_max: usize,
    /// Problems that are kept for the report.
    pub problems_max: usize,
    /// Bytes of a block of code that is highlighted; a longer one is shown plain.
    pub highlight_bytes_max: usize,
}

impl Default for SiteLimits {
    fn default() -> Self {
        SiteLimits {
            article_bytes_max: 2 << 20,
            articles_max: 100_000,
            files_max: 100_000,
            depth_max: 12,
            tags_max: 32,
            text_bytes_max: 4096,
            template_fuel: 20_000_000,
            page_bytes_max: 32 << 20,
            cache_bytes_max: 64 << 20,
            query_bytes_max: 256,
            results_max: 20,
            feed_entries_max: 20,
            problems_max: 1000,
            highlight_bytes_max: 64 << 10,
        }
    }
}

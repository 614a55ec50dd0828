//! A site that stays live: a folder of Markdown, templates and files becomes pages, and a changed file changes the pages that
//! depend on it and nothing else.
//!
//! ```text
//! site.json                        title, description, url, language, author, per_page, nav, and whatever else
//! content/first.md                 an article: front matter between `---` lines, then Markdown
//! content/second/second.md         an article with a folder of its own; its front matter may stand in second.json instead
//! content/second/photo.jpg         served beside it, as /second/photo.jpg
//! templates/article.html           in place of the built-in template of this name
//! static/style.css                 served as /style.css
//! ```
//!
//! A [`Site`] is loaded once and takes in what changed: a [`Reader`] reads and parses files, on any thread, and [`Site::apply`] takes
//! its [`Batch`] in and says which [`Change`]s that made. [`Site::render`] answers for a path. Nothing here opens a socket or
//! starts a watcher, and all of the IO is in the reader.
//!
//! A file that is wrong stops nothing: what was good before stays served, and the [`Problem`] says the file and the line. Drafts
//! are in no list, no search, no feed and at no address, and no [`Change`] speaks of them.
//!
//! Articles and templates are trusted: HTML in Markdown goes through, unless [`SiteOptions::escape_html`] is set. Titles, tags and
//! all else that templates show is escaped.

mod apply;
mod article;
mod cache;
mod change;
mod config;
mod context;
mod date;
mod front_matter;
mod highlight;
mod keys;
mod layout;
mod listing;
mod make;
mod manifest;
mod markdown;
mod missing;
mod nesting;
mod options;
mod pages;
mod problem;
mod reader;
mod route;
mod search;
#[allow(clippy::module_inception)]
mod site;
mod slug;
mod stack;
mod templates;
mod theme;
mod wanted;

pub use article::{Article, Source, TagName};
pub use change::{Change, ChangeKind, ChangeOf, Changes, NoSubscription, Subscription};
pub use config::{CONFIG_FILE, NavLink, SiteConfig};
pub use date::Date;
pub use front_matter::FrontMatter;
pub use manifest::Part;
pub use markdown::Heading;
pub use options::{SiteLimits, SiteOptions};
pub use pages::{Answer, Rendered, SiteFile};
pub use problem::{Problem, SiteError};
pub use reader::{Batch, Reader};
pub use route::Query;
pub use search::Hit;
pub use site::{Applied, LoadReport, Site};
pub use slug::slugify;

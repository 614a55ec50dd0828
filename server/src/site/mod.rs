//! A site served live: its pages, and what changes in it told to browsers as it happens.
//!
//! ```text
//! GET  /...            pages.rs: pages, files, feed, sitemap, search; 404 for the rest
//! GET  /-/live         live.rs: what changes, over Server-Sent Events or as a WebSocket
//! GET  /-/live.js      the script of the built-in theme
//! GET  /-/admin        admin.rs: problems, changes, articles, topics
//!      /topics/...     the log, by what `site.json` says of its topics (rules.rs)
//! ```
//!
//! All workers share one site (shared.rs). A fiber on the first of them takes changes in (keeper.rs), and each worker tells its own
//! subscribers (hub.rs).
//!
//! # Subscribing
//! `/-/live?path=/first/` names a page: its article, and what all pages share; a list is everything. `title=first`, `tag=io_uring` and
//! `topic=site/all` (or another of [`Subscription`](crate::content::site::Subscription)'s topics) subscribe to parts; several may be named, and
//! without any it is everything.
//!
//! | event | data |
//! |---|---|
//! | `change` | `{"version", "kind", "of", "path", "slug", "title", "tags", "url", "hash"}`; its id is the version |
//! | `problem` | `{"file", "line", "column", "message"}`: a file is wrong, and its last good version is shown |
//! | `solved` | `{"file"}` and what was wrong with it; an empty `file` is for all |
//! | `version` | `{"version"}`: where the subscriber is |
//! | `missed` | some changes since the version that was named are not known any more: look at everything again |
//!
//! A browser that comes again gets the changes after the one with its `Last-Event-ID`; `version=` in the query says the same. A WebSocket
//! gets `{"event": "change", "data": {...}}` with the same words.
//!
//! # Versions
//! Each change is a record of the log's topic `site`, on the disk before anybody is told, with the part of the site for its key and a hash of
//! what the part says: so versions go on where they were when a server begins again, and what changed while it was away is told then. With
//! drafts shown the topic is `site.preview`, which visitors cannot read.

mod admin;
mod filter;
mod history;
mod hub;
mod keeper;
mod live;
mod pages;
mod record;
mod rules;
mod shared;

use crate::bearer::knows_token;
use crate::context::Context;
use crate::log_routes::{Access, Code, LogRoutes, Problem, presence_message};
use crate::response::Response;
use crate::router::Router;
use crate::static_files::ServeDir;
use rules::Visitors;
use shared::Shared;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use sws_content::log::Log;
use sws_content::site::{LoadReport, Site, SiteError, SiteOptions};
use sws_content::watch::WatchOptions;
use sws_runtime::{TopicOptions, Topics};

/// First segments of paths that are not the site's.
const RESERVED: [&str; 2] = ["-", "topics"];
/// Where the script of the built-in theme is.
const LIVE_SCRIPT: &str = "/-/live.js";

/// How a site is served.
///
/// ```
/// use sws::site::LiveSiteOptions;
///
/// let options = LiveSiteOptions { token: Some("s3cret".into()), ..LiveSiteOptions::default() };
/// assert!(!options.site.drafts);
/// ```
#[derive(Clone, Debug, Default)]
pub struct LiveSiteOptions {
    /// Who knows this bearer token may do everything with the log's topics and see the admin page; but the topic `site` is written by the
    /// server alone. Without one, the admin page is for requests from this machine, and topics cannot be made or deleted over the network.
    pub token: Option<String>,
    /// How the site is loaded and shown.
    pub site: SiteOptions,
    /// How its folder is watched.
    pub watch: WatchOptions,
}

/// A site that is served live: loaded once, shared by all workers, cheap to clone.
///
/// ```no_run
/// use sws::site::{LiveSite, LiveSiteOptions};
/// use sws::{Log, Server};
///
/// let (log, _recovered) = Log::open("my-site.data")?;
/// let (site, report) = LiveSite::open("my-site", log, LiveSiteOptions::default())?;
/// println!("{report}");
/// let server = Server::bind("127.0.0.1:8080")?;
/// site.attach(&server.topics());
/// server.serve(move || site.router())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LiveSite {
    shared: Arc<Shared>,
}

impl LiveSite {
    /// Loads the site in a folder, which must have a folder `content`. Its changes are kept in `log`. It blocks: call it before the server
    /// runs. What is wrong with files is in the report, and stops nothing.
    ///
    /// # Errors
    /// [`SiteError`].
    pub fn open(
        dir: impl AsRef<Path>,
        log: Log,
        options: LiveSiteOptions,
    ) -> Result<(LiveSite, LoadReport), SiteError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let LiveSiteOptions { token, site: mut options, watch } = options;
        options.reserved.extend(RESERVED.map(str::to_owned));
        options.live_script.get_or_insert_with(|| LIVE_SCRIPT.to_owned());
        let drafts = options.drafts;
        let (site, report) = Site::load(dir.as_ref(), options)?;
        let unreadable = |source| SiteError::Unreadable { root: dir.as_ref().to_owned(), source };
        let files = ServeDir::new(site.root()).map_err(unreadable)?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let topic = if drafts { rules::CHANGES_PREVIEW } else { rules::CHANGES };
        let shared = Shared::new(id, site, files, log, topic, drafts, token, watch);
        for problem in &report.problems {
            eprintln!("sws: {problem}");
        }
        // Those that are known from the beginning are nothing new to anybody.
        let problems = shared.read_blocking(|site| shared.problems_of(site));
        shared.state().problems = problems;
        Ok((LiveSite { shared: Arc::new(shared) }, report))
    }

    /// Joins the log with the topics of a server, so that subscribers hear what is produced. Call it before the server runs.
    pub fn attach(&self, topics: &Topics) {
        let rules = Arc::clone(&self.shared.state().rules);
        for (name, _) in rules.topics.iter().filter(|(_, rule)| rule.presence) {
            topics.configure(name, TopicOptions::default().presence_with(presence_message));
        }
        // Behind that: the log makes its topics with what they are to have.
        sws_runtime::Journal::attach(&self.shared.log, topics);
    }

    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.shared.state().history.version()
    }

    /// The routes, for each worker anew. The first worker that has them watches the folder.
    pub fn router(&self) -> Router {
        let shared = &self.shared;
        keeper::enter_worker(shared);
        let of = |answer: fn(&Arc<Shared>, &mut Context) -> Response| {
            let shared = Arc::clone(shared);
            move |ctx: &mut Context| answer(&shared, ctx)
        };
        let rules = Arc::clone(shared);
        let topics = LogRoutes::new(shared.log.clone())
            .admin(shared.token.is_some())
            .access(move |ctx, topic, access| may(&rules, ctx, topic, access));
        Router::new()
            .get("/-/live", of(live::live))
            .get("/-/live.js", live::script)
            .get("/-/admin", of(|shared, ctx| admin::admin(shared, ctx)))
            .nest("/topics", topics.into_router())
            .fallback(of(|shared, ctx| pages::page(shared, ctx)))
    }
}

/// Whether no page of elsewhere has a browser ask: a browser says where the page comes from that writes.
fn is_of_this_site(ctx: &Context) -> bool {
    let Some(origin) = ctx.request().header_bytes("origin") else { return true };
    let host = ctx.request().host().unwrap_or_default().as_bytes();
    [&b"http://"[..], b"https://"].iter().any(|scheme| origin.strip_prefix(*scheme) == Some(host))
}

/// Whether the log's routes may do what is asked.
fn may(shared: &Shared, ctx: &Context, topic: &str, access: Access) -> Result<(), Response> {
    let is_own = rules::is_of_site(topic) && access != Access::Read;
    if !is_own && shared.token.as_ref().is_some_and(|token| knows_token(ctx, token)) {
        return Ok(());
    }
    let visitors = shared.state().rules.visitors(topic);
    let is_open = match access {
        Access::Read => visitors >= Visitors::Read,
        Access::Write => visitors >= Visitors::Write && !is_own && is_of_this_site(ctx),
        Access::Admin => false,
    };
    if is_open {
        return Ok(());
    }
    Err(Response::from(match shared.token.is_some() {
        _ if is_own => {
            Problem::new(Code::Forbidden, format!("the topic `{topic}` is written by the server alone"))
        }
        true => Problem::new(Code::Unauthorized, "a bearer token is asked for here"),
        false => Problem::new(Code::Forbidden, "this topic is not open to visitors"),
    }))
}

impl fmt::Debug for LiveSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSite").field("root", &self.shared.root).finish_non_exhaustive()
    }
}

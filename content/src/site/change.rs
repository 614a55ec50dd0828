//! What changed on the disk, what that changed in the site, and the names of the topics that tell it.

use serde::{Deserialize, Serialize};

/// Files of a site that may have changed, as a watcher saw it. A path that did not change is no harm.
///
/// ```
/// use sws_content::site::Changes;
///
/// let changes = Changes::of(["content/a.md", "templates"]);
/// assert!(!changes.rescan && changes.paths.contains("content/a.md"));
/// assert!(Changes::rescan().rescan);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files and folders that were made, written, moved or removed, relative to the site's folder, with slashes. What is below
    /// a folder is looked at too.
    pub paths: std::collections::BTreeSet<String>,
    /// Some may have been missed: everything is looked at.
    pub rescan: bool,
}

impl Changes {
    /// Changes of these files and folders.
    pub fn of<P: Into<String>>(paths: impl IntoIterator<Item = P>) -> Changes {
        Changes { paths: paths.into_iter().map(Into::into).collect(), rescan: false }
    }

    /// Changes that nobody saw: everything is looked at.
    pub fn rescan() -> Changes {
        Changes { rescan: true, ..Changes::default() }
    }

    /// These and the others in one.
    pub fn merge(&mut self, other: Changes) {
        self.paths.extend(other.paths);
        self.rescan |= other.rescan;
    }
}

/// What happened to a part of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It was not there before.
    Created,
    /// It is another than before.
    Updated,
    /// It is gone.
    Removed,
}

/// Which part of a site changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeOf {
    /// An article that lists have.
    Article,
    /// One that they do not have.
    Page,
    /// A template.
    Template,
    /// A file that is served as it is, beside an article (whose `slug` is said) or below `static`.
    Static,
    /// `site.json`.
    Config,
}

/// One change of a site as its readers see it: drafts change nothing.
///
/// ```
/// use sws_content::site::{Change, ChangeKind, ChangeOf, Subscription};
///
/// let change = Change {
///     version: 7,
///     kind: ChangeKind::Updated,
///     of: ChangeOf::Article,
///     path: "/first/".into(),
///     slug: "first".into(),
///     title: "First".into(),
///     tags: vec!["rust".into()],
/// };
/// assert_eq!(Subscription::topics_of(&change), ["site/all", "site/title/first", "site/tag/rust"]);
/// let json = serde_json::to_string(&change).unwrap();
/// assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The site's version by this change: each has the next number.
    pub version: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// To which part.
    pub of: ChangeOf,
    /// The path of the page or file, percent-encoded; for a template its name, for `site.json` a slash.
    pub path: String,
    /// The article's address, the `ByTitle` of subscriptions; empty where there is no article.
    pub slug: String,
    /// The article's title.
    pub title: String,
    /// The slugs of the tags that it had before or has now.
    pub tags: Vec<String>,
}

/// What of a site's changes a subscriber wants. Each is one topic.
///
/// ```
/// use sws_content::site::Subscription;
///
/// assert_eq!(Subscription::ByTag("io_uring".into()).topic(), "site/tag/io_uring");
/// assert_eq!("site/title/first".parse(), Ok(Subscription::ByTitle("first".into())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// Every change.
    All,
    /// Those of one article, by its slug; also when it is removed.
    ByTitle(String),
    /// Those of articles that have the tag of this slug, or had it until then.
    ByTag(String),
    /// Those of what all pages share: templates, static files, `site.json`.
    Theme,
}

const ALL: &str = "site/all";
const THEME: &str = "site/theme";
const TITLE: &str = "site/title/";
const TAG: &str = "site/tag/";

impl Subscription {
    /// The name of its topic.
    pub fn topic(&self) -> String {
        match self {
            Subscription::All => ALL.to_owned(),
            Subscription::ByTitle(slug) => format!("{TITLE}{slug}"),
            Subscription::ByTag(tag) => format!("{TAG}{tag}"),
            Subscription::Theme => THEME.to_owned(),
        }
    }

    /// The topics on which a change is published: `site/all` always, then what it concerns.
    pub fn topics_of(change: &Change) -> Vec<String> {
        let mut topics = vec![Subscription::All.topic()];
        match change.of {
            ChangeOf::Template | ChangeOf::Config => topics.push(Subscription::Theme.topic()),
            ChangeOf::Static if change.slug.is_empty() => topics.push(Subscription::Theme.topic()),
            ChangeOf::Article | ChangeOf::Page | ChangeOf::Static => {
                topics.push(Subscription::ByTitle(change.slug.clone()).topic());
            }
        }
        topics.extend(change.tags.iter().map(|tag| Subscription::ByTag(tag.clone()).topic()));
        topics
    }
}

/// A name that is no topic of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSubscription;

impl std::fmt::Display for NoSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no topic of a site: site/all, site/theme, site/title/<slug> or site/tag/<tag>")
    }
}

impl std::error::Error for NoSubscription {}

impl std::str::FromStr for Subscription {
    type Err = NoSubscription;

    fn from_str(topic: &str) -> Result<Self, NoSubscription> {
        let named =
            |prefix: &str| topic.strip_prefix(prefix).filter(|name| !name.is_empty()).map(str::to_owned);
        match topic {
            ALL => Ok(Subscription::All),
            THEME => Ok(Subscription::Theme),
            _ => named(TITLE)
                .map(Subscription::ByTitle)
                .or_else(|| named(TAG).map(Subscription::ByTag))
                .ok_or(NoSubscription),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(of: ChangeOf, slug: &str, tags: &[&str]) -> Change {
        let tags = tags.iter().map(|tag| tag.to_string()).collect();
        let (kind, path, title) = (ChangeKind::Removed, String::new(), String::new());
        Change { version: 1, kind, of, path, slug: slug.into(), title, tags }
    }

    #[test]
    fn topics() {
        let table: [(Change, &[&str]); 6] = [
            (
                change(ChangeOf::Article, "a", &["x", "y"]),
                &["site/all", "site/title/a", "site/tag/x", "site/tag/y"],
            ),
            (change(ChangeOf::Page, "a", &[]), &["site/all", "site/title/a"]),
            (change(ChangeOf::Static, "a", &[]), &["site/all", "site/title/a"]),
            (change(ChangeOf::Static, "", &[]), &["site/all", "site/theme"]),
            (change(ChangeOf::Template, "", &[]), &["site/all", "site/theme"]),
            (change(ChangeOf::Config, "", &[]), &["site/all", "site/theme"]),
        ];
        for (change, topics) in table {
            assert_eq!(Subscription::topics_of(&change), topics, "{change:?}");
        }
    }

    #[test]
    fn each_topic_is_read_back() {
        let all = [
            Subscription::All,
            Subscription::Theme,
            Subscription::ByTitle("a".into()),
            Subscription::ByTag("日本/x".into()),
        ];
        for subscription in all {
            assert_eq!(subscription.topic().parse(), Ok(subscription));
        }
        for wrong in ["", "site", "site/", "site/tag/", "site/title/", "chat", "site/all/x"] {
            assert_eq!(wrong.parse::<Subscription>(), Err(NoSubscription), "{wrong}");
        }
    }
}

//! What templates get to see: articles, lists and the site as values.

use minijinja::value::{Serde, Value};

use super::article::Article;
use super::config::SiteConfig;
use super::date::Date;
use super::listing::Listing;
use super::problem::Problem;
use super::slug::encode_path;

/// A value, or nothing: what is not there is an empty text in a page, and false in a condition.
fn maybe(value: Option<impl Into<Value>>) -> Value {
    value.map_or(Value::UNDEFINED, Into::into)
}

/// The value of `site`.
pub(super) fn site(config: &SiteConfig, url: Option<&str>) -> Value {
    let nav = config.nav.iter().map(|link| {
        Value::from_pairs([("label", Value::from(&link.label)), ("href", Value::from(&link.href))])
    });
    Value::from_pairs([
        ("title", Value::from(&config.title)),
        ("description", Value::from(&config.description)),
        ("url", maybe(url)),
        ("language", Value::from(&config.language)),
        ("author", maybe(config.author.as_deref())),
        ("nav", Value::from(nav.collect::<Vec<_>>())),
        ("extra", Value::from(Serde(&config.extra))),
    ])
}

/// The value of a tag: its name, its slug, its address, and how many articles have it where that is known.
pub(super) fn tag(name: &str, slug: &str, count: Option<usize>) -> Value {
    Value::from_pairs([
        ("name", Value::from(name)),
        ("slug", Value::from(slug)),
        ("url", Value::from(format!("/tags/{}/", encode_path(slug)))),
        ("count", maybe(count)),
    ])
}

/// The values of all tags, by their slugs.
pub(super) fn tags(listing: &Listing) -> Value {
    Value::from(
        listing.tags().map(|(slug, list)| tag(list.name(), slug, Some(list.list.len()))).collect::<Vec<_>>(),
    )
}

/// The fields of an article that a list shows, in which nothing stands but what its `listing_hash` covers.
pub(super) fn listed(article: &Article, config: &SiteConfig) -> Vec<(&'static str, Value)> {
    let tags = article.tags.iter().map(|one| tag(&one.name, &one.slug, None));
    let iso = |date: Option<Date>| maybe(date.map(|date| date.iso()));
    let human = |date: Option<Date>| maybe(date.map(|date| date.human()));
    vec![
        ("title", Value::from(&article.title)),
        ("slug", Value::from(&article.slug)),
        ("url", Value::from(&article.url)),
        ("summary", Value::from(&article.summary)),
        ("date", iso(article.date)),
        ("date_human", human(article.date)),
        ("updated", iso(article.updated)),
        ("updated_human", human(article.updated)),
        ("tags", Value::from(tags.collect::<Vec<_>>())),
        ("minutes", Value::from(article.minutes)),
        ("words", Value::from(article.words)),
        ("author", maybe(article.author.as_ref().or(config.author.as_ref()))),
        ("draft", Value::from(article.draft)),
        ("extra", Value::from(Serde(&article.extra))),
    ]
}

/// The value of an article in a list.
pub(super) fn summary(article: &Article, config: &SiteConfig) -> Value {
    Value::from_pairs(listed(article, config))
}

/// The value of an article on its own page.
pub(super) fn article(article: &Article, version: u64, config: &SiteConfig) -> Value {
    let toc = article.toc.iter().map(|heading| {
        Value::from_pairs([
            ("level", Value::from(heading.level)),
            ("id", Value::from(&heading.id)),
            ("text", Value::from(&heading.text)),
        ])
    });
    let mut fields = listed(article, config);
    fields.push(("html", Value::from_safe_string(article.html.clone())));
    fields.push(("toc", Value::from(toc.collect::<Vec<_>>())));
    fields.push(("version", Value::from(version)));
    Value::from_pairs(fields)
}

/// When an entry of the feed changed, which every entry must say: as its author says, and else as its file does.
pub(super) fn feed_date(article: &Article) -> Option<Date> {
    article.updated.or(article.date).or_else(|| article.modified.and_then(Date::of_system_time))
}

/// The value of an article in the feed: its HTML as text, for the feed carries it escaped.
pub(super) fn entry(article: &Article, config: &SiteConfig) -> Value {
    let mut fields = listed(article, config);
    // The feed has no author where that is the feed's own.
    fields.retain(|(name, _)| *name != "author");
    fields.push(("author", maybe(article.author.as_deref())));
    fields.push(("source", Value::from(&article.html)));
    fields.push(("published", maybe(article.date.map(|date| date.to_string()))));
    let updated = feed_date(article).map_or_else(|| EPOCH.to_owned(), |date| date.to_string());
    fields.push(("feed_updated", Value::from(updated)));
    Value::from_pairs(fields)
}

/// The date of what has none, in a format that wants one.
pub(super) const EPOCH: &str = "1970-01-01T00:00:00Z";

/// The values of problems.
pub(super) fn problems<'a>(problems: impl Iterator<Item = &'a Problem>) -> Value {
    let one = |problem: &Problem| {
        Value::from_pairs([
            ("path", Value::from(&problem.path)),
            ("line", maybe(problem.line)),
            ("column", maybe(problem.column)),
            ("message", Value::from(&problem.message)),
        ])
    };
    Value::from(problems.map(one).collect::<Vec<_>>())
}

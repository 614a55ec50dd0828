//! Which changes a subscriber wants. Pure.

use sws_content::site::{Change, ChangeOf, Subscription};

/// Subscriptions of one connection, at most; what is beyond is left out.
const SUBSCRIPTIONS_MAX: usize = 64;

/// What a connection has subscribed to: changes that fit any of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    all: bool,
    theme: bool,
    titles: Vec<String>,
    tags: Vec<String>,
}

impl Filter {
    /// Reads `path`, `title`, `tag` and `topic` of a query. Without any of them, everything is wanted.
    pub(super) fn of_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Filter {
        let mut filter = Filter::default();
        for (name, value) in pairs.into_iter().take(SUBSCRIPTIONS_MAX) {
            match name {
                "path" => filter.add_path(value),
                "title" => filter.titles.push(value.to_owned()),
                "tag" => filter.tags.push(value.to_owned()),
                "topic" => match value.parse() {
                    Ok(Subscription::All) => filter.all = true,
                    Ok(Subscription::Theme) => filter.theme = true,
                    Ok(Subscription::ByTitle(title)) => filter.titles.push(title),
                    Ok(Subscription::ByTag(tag)) => filter.tags.push(tag),
                    Err(_) => {}
                },
                _ => {}
            }
        }
        filter.all |= filter == Filter::default();
        filter
    }

    /// What changes the page at a path: an article and what all pages share, or, for lists, everything.
    fn add_path(&mut self, path: &str) {
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        let mut segments = decoded.split('/').filter(|segment| !segment.is_empty());
        match (segments.next(), segments.next(), segments.next()) {
            (None | Some("search"), ..) | (Some("tags"), None, _) => self.all = true,
            (Some("tags"), Some(tag), None) => self.tags.push(tag.to_owned()),
            (Some(slug), ..) => self.titles.push(slug.to_owned()),
        }
        self.theme = true;
    }

    pub(super) fn wants(&self, change: &Change) -> bool {
        let of_all_pages = match change.of {
            ChangeOf::Template | ChangeOf::Config => true,
            ChangeOf::Static => change.slug.is_empty(),
            ChangeOf::Article | ChangeOf::Page => false,
        };
        self.all
            || (self.theme && of_all_pages)
            || (!change.slug.is_empty() && self.titles.contains(&change.slug))
            || change.tags.iter().any(|tag| self.tags.contains(tag))
    }

    /// Whether a problem with the page of this slug is shown, or, without one, a problem of what all pages share.
    pub(super) fn wants_problem(&self, slug: Option<&str>) -> bool {
        match slug {
            Some(slug) => self.all || self.titles.iter().any(|title| title == slug),
            None => self.all || self.theme,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sws_content::site::ChangeKind;

    fn change(of: ChangeOf, slug: &str, tags: &[&str]) -> Change {
        let tags = tags.iter().map(|tag| tag.to_string()).collect();
        let (path, title) = (format!("/{slug}/"), String::new());
        Change { version: 1, kind: ChangeKind::Updated, of, path, slug: slug.to_owned(), title, tags }
    }

    #[test]
    fn each_subscription_gets_its_own_changes() {
        let a = change(ChangeOf::Article, "a", &["x"]);
        let b = change(ChangeOf::Page, "b", &[]);
        let photo = change(ChangeOf::Static, "a", &[]);
        let style = change(ChangeOf::Static, "", &[]);
        let template = change(ChangeOf::Template, "", &[]);
        let all = [&a, &b, &photo, &style, &template];
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let table: [(Pairs<'_>, [bool; 5]); 12] = [
            (&[], [true; 5]),
            (&[("other", "1")], [true; 5]),
            (&[("path", "/")], [true; 5]),
            (&[("path", "/search/")], [true; 5]),
            (&[("path", "/tags/")], [true; 5]),
            (&[("path", "/tags/x/")], [true, false, false, true, true]),
            (&[("path", "/a/")], [true, false, true, true, true]),
            (&[("path", "/%61/")], [true, false, true, true, true]),
            (&[("title", "a")], [true, false, true, false, false]),
            (&[("tag", "x")], [true, false, false, false, false]),
            (&[("topic", "site/theme"), ("topic", "site/title/b")], [false, true, false, true, true]),
            (&[("topic", "site/all")], [true; 5]),
        ];
        for (pairs, wanted) in table {
            let filter = Filter::of_pairs(pairs.iter().copied());
            assert_eq!(all.map(|change| filter.wants(change)), wanted, "{pairs:?}");
        }
    }

    #[test]
    fn problems_are_shown_where_they_matter() {
        let page = Filter::of_pairs([("path", "/a/")]);
        assert!(page.wants_problem(Some("a")) && page.wants_problem(None) && !page.wants_problem(Some("b")));
        let title = Filter::of_pairs([("title", "a")]);
        assert!(title.wants_problem(Some("a")) && !title.wants_problem(None));
    }

    #[test]
    fn a_query_without_end_has_an_end() {
        let many: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let filter = Filter::of_pairs(many.iter().map(|title| ("title", title.as_str())));
        assert_eq!(filter.titles.len(), SUBSCRIPTIONS_MAX);
    }
}

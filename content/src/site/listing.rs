//! The index of a site: articles by tag and by date, one article at a time, and pages of lists.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use super::article::Article;
use super::date::Date;

/// The place of an article in a list: the heavier first, then the newer, then by name.
type Place = (Reverse<i32>, Reverse<Option<Date>>, String);

fn place_of(article: &Article) -> Place {
    (Reverse(article.weight), Reverse(article.date), article.slug.clone())
}

/// A list in its order.
#[derive(Debug, Default)]
pub(super) struct List {
    places: Vec<Place>,
}

impl List {
    fn insert(&mut self, place: Place) {
        if let Err(at) = self.places.binary_search(&place) {
            self.places.insert(at, place);
        }
    }

    fn remove(&mut self, place: &Place) {
        if let Ok(at) = self.places.binary_search(place) {
            self.places.remove(at);
        }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The slugs in their order.
    pub fn slugs(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|(_, _, slug)| slug.as_str())
    }

    /// The slugs of a page; none if there is no such page. A list without articles has one page.
    pub fn page(&self, page: usize, per_page: usize) -> Option<impl Iterator<Item = &str>> {
        let range = page_range(page, per_page, self.len())?;
        Some(self.places[range].iter().map(|(_, _, slug)| slug.as_str()))
    }
}

/// How many pages a list of `total` has.
pub(super) fn page_count(per_page: usize, total: usize) -> usize {
    total.div_ceil(per_page.max(1)).max(1)
}

fn page_range(page: usize, per_page: usize, total: usize) -> Option<Range<usize>> {
    if page == 0 || page > page_count(per_page, total) {
        return None;
    }
    let from = (page - 1) * per_page.max(1);
    Some(from..total.min(from + per_page.max(1)))
}

/// A tag, and the articles that have it.
#[derive(Debug, Default)]
pub(super) struct TagList {
    /// How often each spelling is used.
    names: BTreeMap<String, usize>,
    pub list: List,
}

impl TagList {
    /// The spelling that most articles use.
    pub fn name(&self) -> &str {
        let most = self.names.iter().max_by_key(|(name, count)| (**count, Reverse(*name)));
        most.map_or("", |(name, _)| name)
    }
}

/// The lists of a site. They hold what is public and listed, and nothing else: paging counts what is shown.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub all: List,
    tags: BTreeMap<String, TagList>,
}

impl Listing {
    /// Takes an article in, which must be public and listed.
    pub fn insert(&mut self, article: &Article) {
        let place = place_of(article);
        for tag in &article.tags {
            let list = self.tags.entry(tag.slug.clone()).or_default();
            *list.names.entry(tag.name.clone()).or_default() += 1;
            list.list.insert(place.clone());
        }
        self.all.insert(place);
    }

    /// Takes it out again, as it was when it was taken in.
    pub fn remove(&mut self, article: &Article) {
        let place = place_of(article);
        for tag in &article.tags {
            let Some(list) = self.tags.get_mut(&tag.slug) else { continue };
            list.list.remove(&place);
            if let Some(count) = list.names.get_mut(&tag.name) {
                *count -= 1;
                if *count == 0 {
                    list.names.remove(&tag.name);
                }
            }
            if list.list.len() == 0 {
                self.tags.remove(&tag.slug);
            }
        }
        self.all.remove(&place);
    }

    pub fn tag(&self, slug: &str) -> Option<&TagList> {
        self.tags.get(slug)
    }

    /// Each tag by its slug.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &TagList)> {
        self.tags.iter().map(|(slug, list)| (slug.as_str(), list))
    }

    /// A number that is another if a tag, its name or its count is.
    pub fn tags_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (slug, list) in self.tags() {
            (slug, list.name(), list.list.len()).hash(&mut hasher);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::article::Source;
    use super::super::options::SiteOptions;
    use super::*;

    fn article(slug: &str, date: &str, weight: i32, tags: &str) -> Article {
        let text = format!("---\ntitle: {slug}\ndate: {date}\nweight: {weight}\ntags: [{tags}]\n---\n");
        Article::parse(Source { key: slug, path: "a.md", text: &text, json: None }, &SiteOptions::default())
            .unwrap()
    }

    #[test]
    fn order_and_pages() {
        let mut listing = Listing::default();
        let all = [
            article("b", "2026-01-02", 0, ""),
            article("a", "2026-01-02", 0, ""),
            article("new", "2026-01-03", 0, ""),
            article("none", "", 0, ""),
            article("pinned", "2020-01-01", 1, ""),
        ];
        for one in all.iter().rev() {
            listing.insert(one);
        }
        assert_eq!(listing.all.slugs().collect::<Vec<_>>(), ["pinned", "new", "a", "b", "none"]);
        let page = |n, per| listing.all.page(n, per).map(|page| page.collect::<Vec<_>>().join(" "));
        let table = [
            (1, 2, Some("pinned new")),
            (2, 2, Some("a b")),
            (3, 2, Some("none")),
            (4, 2, None),
            (0, 2, None),
            (usize::MAX, 2, None),
            (1, 5, Some("pinned new a b none")),
            (2, 5, None),
        ];
        for (n, per, wanted) in table {
            assert_eq!(page(n, per).as_deref(), wanted, "page {n} of {per}");
        }
        assert_eq!(List::default().page(1, 10).map(Iterator::count), Some(0));
    }

    #[test]
    fn a_model_of_inserts_and_removals() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut listing, mut model) = (Listing::default(), BTreeMap::<String, Article>::new());
        for _ in 0..2000 {
            let slug = format!("s{}", random.u8(..40));
            if let Some(old) = model.remove(&slug) {
                listing.remove(&old);
            }
            if random.bool() {
                let tags = ["x", "X", "y", "x, y", ""][random.usize(..5)];
                let new = article(
                    &slug,
                    ["2026-01-01", "2026-01-02", ""][random.usize(..3)],
                    random.i32(-1..2),
                    tags,
                );
                listing.insert(&new);
                model.insert(slug, new);
            }
            let mut wanted: Vec<_> = model.values().map(place_of).collect();
            wanted.sort();
            assert_eq!(listing.all.places, wanted);
            for tag in ["x", "y"] {
                let wanted = model.values().filter(|a| a.tags.iter().any(|t| t.slug == tag)).count();
                assert_eq!(listing.tag(tag).map_or(0, |list| list.list.len()), wanted);
            }
        }
    }

    #[test]
    fn a_tag_has_the_name_that_most_use() {
        let mut listing = Listing::default();
        let all = [article("a", "", 0, "rust"), article("b", "", 0, "Rust"), article("c", "", 0, "Rust")];
        listing.insert(&all[0]);
        assert_eq!(listing.tag("rust").map(TagList::name), Some("rust"));
        listing.insert(&all[1]);
        assert_eq!(listing.tag("rust").map(TagList::name), Some("Rust"), "of two the first by name");
        listing.insert(&all[2]);
        let before = listing.tags_hash();
        listing.remove(&all[1]);
        assert_ne!(listing.tags_hash(), before);
        listing.remove(&all[2]);
        listing.remove(&all[0]);
        assert!(listing.tag("rust").is_none());
    }
}

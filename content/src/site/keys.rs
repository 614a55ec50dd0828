//! Keys that are nearly one that the site has a meaning for: more likely a slip than a key of the author's own.

use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// What has keys with a meaning, beside which others may stand.
pub(super) trait Known {
    const KEYS: &'static [&'static str];
}

/// Keys shorter than this are near another only by a letter too few, too many, or by two that changed places: `data` is no `date`.
const WORD: usize = 5;
/// From this length on, two slips are still the same word.
const LONG_WORD: usize = 7;

/// The key that another one is meant to be, if it is nearly that.
pub(super) fn meant(key: &str, known: &[&'static str]) -> Option<&'static str> {
    if known.contains(&key) {
        return None;
    }
    let plain = |key: &str| key.replace(['_', '-'], "").to_lowercase();
    let found = plain(key);
    known.iter().copied().find(|known| {
        let known = plain(known);
        found == known || (key.chars().all(char::is_alphabetic) && is_near(&found, &known))
    })
}

/// Whether a word is another one with a slip. Nobody slips at the first letter: `height` is no `weight`.
fn is_near(found: &str, known: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (found.chars().collect(), known.chars().collect());
    let most = if b.len() >= LONG_WORD { 2 } else { 1 };
    if a.first() != b.first() || a.len().abs_diff(b.len()) > most {
        return false;
    }
    if b.len() < WORD && a.len() == b.len() {
        let (mut one, mut other) = (a.clone(), b.clone());
        one.sort_unstable();
        other.sort_unstable();
        return one == other && distance(&a, &b) <= most;
    }
    distance(&a, &b) <= most
}

/// How many letters are too few, too many, or others; two that changed places are one slip.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let other = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = other.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Whether one of the keys without a meaning is nearly one that has.
pub(super) fn has_slip<T: Known>(others: &Map<String, Value>) -> bool {
    others.keys().any(|key| meant(key, T::KEYS).is_some())
}

/// An object whose keys are looked at, and nothing else: it is read once more for the place of the first that is nearly a known one.
pub(super) struct Keys<T>(PhantomData<T>);

impl<'de, T: Known> Deserialize<'de> for Keys<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys<T>, D::Error> {
        deserializer.deserialize_map(Keys(PhantomData))
    }
}

impl<'de, T: Known> Visitor<'de> for Keys<T> {
    type Value = Keys<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<T>, A::Error> {
        while map.next_entry::<Key<T>, IgnoredAny>()?.is_some() {}
        Ok(self)
    }
}

/// One of its keys: the error of the key itself has its place.
struct Key<T>(PhantomData<T>);

impl<'de, T: Known> Deserialize<'de> for Key<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<T>, D::Error> {
        let key = String::deserialize(deserializer)?;
        match meant(&key, T::KEYS) {
            Some(meant) => Err(D::Error::custom(format!("`{key}` is no key; did you mean `{meant}`?"))),
            None => Ok(Key(PhantomData)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::SiteConfig;
    use super::super::front_matter::FrontMatter;
    use super::*;

    #[test]
    fn the_document_has_every_key() {
        let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/site.md"));
        let rows = |text: &'static str| -> Vec<&str> {
            text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
        };
        let (front_matter, config) = document.split_once("## `site.json`").expect("two parts");
        assert_eq!(rows(front_matter), FrontMatter::KEYS);
        assert_eq!(rows(config), SiteConfig::KEYS);
    }

    #[test]
    fn every_key_has_its_meaning() {
        for key in FrontMatter::KEYS {
            let front: FrontMatter = serde_json::from_str(&format!("{{\"{key}\": []}}")).unwrap_or_default();
            assert_eq!(front.extra.len(), 0, "{key}");
        }
        for key in SiteConfig::KEYS.iter().filter(|key| **key != "topics") {
            let config: SiteConfig = serde_json::from_str(&format!("{{\"{key}\": []}}")).unwrap_or_default();
            assert_eq!(config.extra.len(), 0, "{key}");
        }
    }

    #[test]
    fn slips_are_told_from_other_words() {
        let table = [
            ("draft", None),
            ("drafts", Some("draft")),
            ("Draft", Some("draft")),
            ("DRAFTS", Some("draft")),
            ("drfat", Some("draft")),
            ("draf", Some("draft")),
            ("titel", Some("title")),
            ("titles", Some("title")),
            ("tag", Some("tags")),
            ("tasg", Some("tags")),
            ("Date", Some("date")),
            ("dates", Some("date")),
            ("sumary", Some("summary")),
            ("summery", Some("summary")),
            ("templtae", Some("template")),
            ("update", Some("updated")),
            ("wieght", Some("weight")),
            ("date2", None),
            ("tags2", None),
            ("tag_line", None),
            ("data", None),
            ("last", None),
            ("rate", None),
            ("height", None),
            ("craft", None),
            ("width", None),
            ("table", None),
            ("theme", None),
            ("actor", None),
            ("subtitle", None),
            ("mood", None),
            ("d", None),
            ("", None),
            ("日付", None),
        ];
        for (key, wanted) in table {
            assert_eq!(meant(key, FrontMatter::KEYS), wanted, "{key}");
        }
        let table = [
            ("titel", Some("title")),
            ("perPage", Some("per_page")),
            ("per-page", Some("per_page")),
            ("per_pages", None),
            ("perpages", Some("per_page")),
            ("URL", Some("url")),
            ("urls", Some("url")),
            ("uri", None),
            ("topic", Some("topics")),
            ("theme", None),
            ("lang", None),
        ];
        for (key, wanted) in table {
            assert_eq!(meant(key, SiteConfig::KEYS), wanted, "{key}");
        }
    }
}

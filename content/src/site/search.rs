//! Full-text search: words by their stems, ranked by BM25, one article at a time.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use rust_stemmers::{Algorithm, Stemmer};

use super::article::Article;
use super::highlight::push_escaped;

/// How much more a word weighs in a title or a tag than in the text.
const TITLE_WEIGHT: u32 = 8;
const TAG_WEIGHT: u32 = 4;
/// Words of a query that are looked for.
const QUERY_WORDS_MAX: usize = 16;
/// Words that the last word of a query, as far as it is typed, may stand for.
const PREFIX_WORDS_MAX: usize = 32;
/// Characters of a snippet before and after its first hit.
const SNIPPET_BEFORE: usize = 60;
const SNIPPET_AFTER: usize = 180;
/// Bytes of a word; what is longer is no word.
const WORD_BYTES_MAX: usize = 64;

/// BM25's usual constants: how fast repetition saturates, and how much length counts.
const K1: f32 = 1.2;
const B: f32 = 0.75;

/// A hit of a search.
///
/// ```
/// use sws_content::site::Hit;
///
/// let hit = Hit { slug: "a".into(), score: 1.0 };
/// assert_eq!(hit.slug, "a");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The article.
    pub slug: String,
    /// The higher the better.
    pub score: f32,
}

/// How often a document has a word, titles and tags counted more.
#[derive(Clone, Copy, Debug)]
struct Posting {
    document: u32,
    weight: u32,
}

/// The words of an article by their stems, ready to be taken into an index: what costs time is done before.
#[derive(Debug)]
pub(super) struct Terms {
    language: String,
    length: u32,
    /// The stems, each with a line feed behind it: many small strings would be most of what a large site's loading needs.
    stems: String,
    /// How much each weighs.
    weights: Vec<u32>,
}

impl Terms {
    /// The words of an article in a language.
    pub fn of(article: &Article, language: &str) -> Terms {
        let stemmer = Stemmer::create(algorithm(language));
        let mut weights: BTreeMap<String, u32> = BTreeMap::new();
        let mut length = 0;
        let tags = article.tags.iter().map(|tag| (tag.name.as_str(), TAG_WEIGHT));
        let texts =
            [(article.title.as_str(), TITLE_WEIGHT), (article.summary.as_str(), 1), (&article.text, 1)];
        for (text, weight) in texts.into_iter().chain(tags) {
            for (_, word) in words(text) {
                *weights.entry(stemmer.stem(&word).into_owned()).or_default() += weight;
                length += 1;
            }
        }
        let stems = weights.keys().flat_map(|stem| [stem.as_str(), "\n"]).collect();
        Terms { language: language.to_owned(), length, stems, weights: weights.into_values().collect() }
    }
}

/// The index of the words of public articles.
pub(super) struct SearchIndex {
    language: String,
    stemmer: Stemmer,
    /// Each word by its place in `entries`.
    words: BTreeMap<Arc<str>, u32>,
    entries: Vec<Entry>,
    /// Places in `entries` of words that no article has any more.
    free: Vec<u32>,
    /// Each document's number by its slug.
    numbers: HashMap<String, u32>,
    documents: Vec<Document>,
    /// Numbers of documents that are gone.
    gone: Vec<u32>,
    length_total: u64,
}

/// A word, and the documents that have it in the order of their numbers.
struct Entry {
    word: Arc<str>,
    postings: Vec<Posting>,
}

#[derive(Default)]
struct Document {
    slug: String,
    length: u32,
    /// The places of its words, to take them out again.
    entries: Box<[u32]>,
}

impl std::fmt::Debug for SearchIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SearchIndex({} documents, {} words)", self.numbers.len(), self.words.len())
    }
}

/// The stemmer of a language, by the first part of its tag; English if there is none.
fn algorithm(language: &str) -> Algorithm {
    match language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "ar" => Algorithm::Arabic,
        "da" => Algorithm::Danish,
        "nl" => Algorithm::Dutch,
        "fi" => Algorithm::Finnish,
        "fr" => Algorithm::French,
        "de" => Algorithm::German,
        "el" => Algorithm::Greek,
        "hu" => Algorithm::Hungarian,
        "it" => Algorithm::Italian,
        "no" | "nb" | "nn" => Algorithm::Norwegian,
        "pt" => Algorithm::Portuguese,
        "ro" => Algorithm::Romanian,
        "ru" => Algorithm::Russian,
        "es" => Algorithm::Spanish,
        "sv" => Algorithm::Swedish,
        "ta" => Algorithm::Tamil,
        "tr" => Algorithm::Turkish,
        _ => Algorithm::English,
    }
}

/// The words of a text and where each begins, in lower case.
fn words(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let from = rest.find(|c: char| c.is_alphanumeric() || c == '_')?;
            let word = &rest[from..];
            let length = word.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(word.len());
            let at = text.len() - rest.len() + from;
            rest = &word[length..];
            if length <= WORD_BYTES_MAX {
                return Some((at, word[..length].to_lowercase()));
            }
        }
    })
}

/// What two lists have in common, both in the order of documents.
fn intersect(one: &[(u32, f32)], other: &[(u32, f32)]) -> Vec<(u32, f32)> {
    let mut rest = other.iter().peekable();
    let both = |(document, score): &(u32, f32)| {
        while rest.next_if(|(next, _)| next < document).is_some() {}
        rest.next_if(|(next, _)| next == document).map(|(_, more)| (*document, score + more))
    };
    one.iter().filter_map(both).collect()
}

impl SearchIndex {
    pub fn new(language: &str) -> SearchIndex {
        SearchIndex {
            language: language.to_owned(),
            stemmer: Stemmer::create(algorithm(language)),
            words: BTreeMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            numbers: HashMap::new(),
            documents: Vec::new(),
            gone: Vec::new(),
            length_total: 0,
        }
    }

    /// Takes an article in, which must be public, in place of what was known of its slug. Its words are counted here if they were
    /// not before, or for another language.
    pub fn insert(&mut self, article: &Article, terms: Option<Terms>) {
        let terms = terms.filter(|terms| terms.language == self.language);
        let terms = terms.unwrap_or_else(|| Terms::of(article, &self.language));
        let number = match self.numbers.get(&article.slug) {
            Some(number) => *number,
            None => self.add_document(&article.slug),
        };
        let mut entries = Vec::with_capacity(terms.weights.len());
        for (stem, weight) in terms.stems.lines().zip(terms.weights) {
            let at = match self.words.get(stem) {
                Some(at) => *at,
                None => self.add_word(stem.into()),
            };
            let postings = &mut self.entries[at as usize].postings;
            // Most words of an edited article were in it before: their postings stay where they are.
            match postings.binary_search_by_key(&number, |posting| posting.document) {
                Ok(place) => postings[place].weight = weight,
                Err(place) => postings.insert(place, Posting { document: number, weight }),
            }
            entries.push(at);
        }
        entries.sort_unstable();
        let document = &mut self.documents[number as usize];
        self.length_total = self.length_total - u64::from(document.length) + u64::from(terms.length);
        document.length = terms.length;
        let before = std::mem::replace(&mut document.entries, entries.into());
        let now = &self.documents[number as usize].entries;
        let lost: Vec<u32> = before.into_iter().filter(|at| now.binary_search(at).is_err()).collect();
        self.remove_postings(number, lost);
    }

    fn add_document(&mut self, slug: &str) -> u32 {
        let document = Document { slug: slug.to_owned(), ..Document::default() };
        let number = match self.gone.pop() {
            Some(number) => {
                self.documents[number as usize] = document;
                number
            }
            None => {
                self.documents.push(document);
                self.documents.len() as u32 - 1
            }
        };
        self.numbers.insert(slug.to_owned(), number);
        number
    }

    fn add_word(&mut self, word: Arc<str>) -> u32 {
        let entry = Entry { word: word.clone(), postings: Vec::new() };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.words.insert(word, at);
        at
    }

    pub fn remove(&mut self, slug: &str) {
        let Some(number) = self.numbers.remove(slug) else { return };
        let document = std::mem::take(&mut self.documents[number as usize]);
        self.gone.push(number);
        self.length_total -= u64::from(document.length);
        self.remove_postings(number, document.entries);
    }

    fn remove_postings(&mut self, number: u32, entries: impl IntoIterator<Item = u32>) {
        for at in entries {
            let entry = &mut self.entries[at as usize];
            if let Ok(place) = entry.postings.binary_search_by_key(&number, |posting| posting.document) {
                entry.postings.remove(place);
            }
            if entry.postings.is_empty() {
                entry.postings = Vec::new();
                self.words.remove(&entry.word);
                self.free.push(at);
            }
        }
    }

    /// The articles that have every word of the query, the best first. The last word is taken as the beginning of one too.
    pub fn search(&self, query: &str, results_max: usize) -> Vec<Hit> {
        let asked: Vec<String> = words(query).map(|(_, word)| word).take(QUERY_WORDS_MAX).collect();
        let typing = query.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let mut scores: Option<Vec<(u32, f32)>> = None;
        for (n, word) in asked.iter().enumerate() {
            let last = typing && n + 1 == asked.len();
            let found = self.scores(&self.stemmer.stem(word), last.then_some(word));
            scores = Some(match scores {
                None => found,
                Some(before) => intersect(&before, &found),
            });
        }
        let mut scores = scores.unwrap_or_default();
        let slug = |document: u32| &self.documents[document as usize].slug;
        scores.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| slug(a.0).cmp(slug(b.0))));
        scores.truncate(results_max);
        scores.into_iter().map(|(document, score)| Hit { slug: slug(document).clone(), score }).collect()
    }

    /// The documents of a word in their order, with what it is worth in each.
    fn scores(&self, stem: &str, typed: Option<&String>) -> Vec<(u32, f32)> {
        let total = self.numbers.len() as f32;
        let average = (self.length_total as f32 / total.max(1.0)).max(1.0);
        let mut sums = vec![0.0; self.documents.len()];
        for postings in self.postings(stem, typed) {
            let with = postings.len() as f32;
            let rarity = (1.0 + (total - with + 0.5) / (with + 0.5)).ln();
            for posting in postings {
                let weight = posting.weight as f32;
                let length = 1.0 - B + B * self.documents[posting.document as usize].length as f32 / average;
                sums[posting.document as usize] += rarity * weight * (K1 + 1.0) / (weight + K1 * length);
            }
        }
        (0..).zip(sums).filter(|(_, sum)| *sum > 0.0).collect()
    }

    /// The postings of a stem, and those of words that begin with what is being typed.
    fn postings(&self, stem: &str, typed: Option<&String>) -> impl Iterator<Item = &[Posting]> {
        let of = |at: &u32| self.entries[*at as usize].postings.as_slice();
        let exact = self.words.get(stem).map(of);
        let longer = typed.into_iter().flat_map(move |typed| {
            let from = (Bound::Included(typed.as_str()), Bound::Unbounded);
            self.words
                .range::<str, _>(from)
                .take_while(move |(word, _)| word.starts_with(typed.as_str()))
                .filter(move |(word, _)| word.as_ref() != stem)
                .take(PREFIX_WORDS_MAX)
                .map(move |(_, at)| of(at))
        });
        exact.into_iter().chain(longer)
    }

    /// A part of the first of the texts that has a word of the query, as HTML with the hits marked; without any hit, the beginning
    /// of the first.
    pub fn snippet(&self, texts: &[&str], query: &str) -> String {
        let asked: Vec<String> = words(query).map(|(_, word)| word).take(QUERY_WORDS_MAX).collect();
        let stems: Vec<_> = asked.iter().map(|word| self.stemmer.stem(word)).collect();
        let last = asked.last().filter(|_| !query.ends_with(char::is_whitespace));
        let hit = |word: &str| {
            let stem = self.stemmer.stem(word);
            stems.contains(&stem) || last.is_some_and(|last| word.starts_with(last))
        };
        let found = |text: &&str| words(text).find(|(_, word)| hit(word)).map(|(at, _)| at);
        let first = texts.iter().find_map(|text| found(text).map(|at| (*text, at)));
        let (text, first) = first.unwrap_or((texts.first().copied().unwrap_or_default(), 0));
        let from = text[..first].char_indices().rev().take(SNIPPET_BEFORE).last().map_or(first, |(at, _)| at);
        // Begin at a word.
        let from =
            if from == 0 { 0 } else { text[from..first].find(' ').map_or(from, |space| from + space + 1) };
        let to = text[first..].char_indices().nth(SNIPPET_AFTER).map_or(text.len(), |(at, _)| first + at);
        let to =
            if to == text.len() { to } else { text[first..to].rfind(' ').map_or(to, |space| first + space) };
        let part = &text[from..to];
        let mut html = String::with_capacity(part.len() + 64);
        if from > 0 {
            html.push('…');
        }
        let mut done = 0;
        for (at, word) in words(part).filter(|(_, word)| hit(word)) {
            // A word in lower case may have another length than in the text.
            let rest = &part[at..];
            let end = at + rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            debug_assert!(!word.is_empty());
            push_escaped(&mut html, &part[done..at]);
            html.push_str("<mark>");
            push_escaped(&mut html, &part[at..end]);
            html.push_str("</mark>");
            done = end;
        }
        push_escaped(&mut html, &part[done..]);
        if to < text.len() {
            html.push('…');
        }
        html
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;

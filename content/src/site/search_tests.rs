//! What is found, and in which order.

use super::super::article::Source;
use super::super::options::SiteOptions;
use super::*;

fn article(slug: &str, title: &str, tags: &str, text: &str) -> Article {
    let text = format!("---\ntitle: {title}\ntags: [{tags}]\nsummary: '.'\n---\n{text}\n");
    Article::parse(Source { key: slug, path: "a.md", text: &text, json: None }, &SiteOptions::default())
        .unwrap()
}

fn index() -> SearchIndex {
    let mut index = SearchIndex::new("en-GB");
    index
        .insert(&article("ring", "The ring", "kernel", "One ring submits operations. Rings are fast."), None);
    let fiber = article("fiber", "Fibers", "kernel, stacks", "A fiber waits on a ring and keeps its stack.");
    index.insert(&fiber, None);
    index.insert(&article("log", "The log", "disk", "Records are appended. Größe und io_uring."), None);
    index
}

fn found(index: &SearchIndex, query: &str) -> String {
    index.search(query, 10).into_iter().map(|hit| hit.slug).collect::<Vec<_>>().join(" ")
}

#[test]
fn words_are_found_by_their_stems() {
    let table = [
        ("ring", "ring fiber"),
        ("Rings ", "ring fiber"),
        ("appending", "log"),
        ("waiting ring", "fiber"),
        ("ring log", ""),
        ("kernel ", "fiber ring"),
        ("fib", "fiber"),
        ("fib ", ""),
        ("oper", "ring"),
        ("größe", "log"),
        ("GRÖSSE ", ""),
        ("io_uring", "log"),
        ("", ""),
        (" .,!", ""),
        ("nothing", ""),
        ("'; drop <b>", ""),
    ];
    let index = index();
    for (query, wanted) in table {
        let mut hits: Vec<_> = found(&index, query).split(' ').map(str::to_owned).collect();
        let mut wanted: Vec<_> = wanted.split(' ').collect();
        if query == "kernel " {
            hits.sort();
            wanted.sort();
        }
        assert_eq!(hits, wanted, "{query:?}");
    }
    assert_eq!(index.search("ring", 1).len(), 1);
}

#[test]
fn words_counted_for_another_language_are_counted_again() {
    let mut index = SearchIndex::new("de");
    let article = article("a", "Häuser", "", "text");
    for language in ["en", "de"] {
        index.insert(&article, Some(Terms::of(&article, language)));
        assert_eq!(found(&index, "Häusern "), "a", "{language}");
    }
}

#[test]
fn an_article_is_taken_out_whole() {
    let mut index = index();
    index.insert(&article("ring", "Other", "", "Nothing of before."), None);
    assert_eq!(found(&index, "ring"), "fiber");
    assert_eq!(found(&index, "before"), "ring");
    let entries = index.entries.len();
    for slug in ["ring", "fiber", "log", "unknown"] {
        index.remove(slug);
    }
    assert!(index.words.is_empty() && index.numbers.is_empty() && index.gone.len() == index.documents.len());
    assert_eq!(index.length_total, 0);
    assert!(
        index.free.len() == index.entries.len()
            && index.entries.iter().all(|entry| entry.postings.capacity() == 0)
    );
    assert_eq!(found(&index, "ring"), "");
    index.insert(&article("ring", "The ring", "kernel", "One ring."), None);
    assert_eq!(index.entries.len(), entries, "places are used again");
    assert_eq!(found(&index, "ring"), "ring");
}

#[test]
fn snippets_are_escaped_and_marked() {
    let index = index();
    let table = [
        ("a <b>ring</b> & more", "ring", "a &lt;b&gt;<mark>ring</mark>&lt;/b&gt; &amp; more"),
        ("rings and ringing", "ring ", "<mark>rings</mark> and <mark>ringing</mark>"),
        ("no hit \"here\"", "ring", "no hit &quot;here&quot;"),
        ("a ri", "ri", "a <mark>ri</mark>"),
        ("", "ring", ""),
        ("İstanbul x", "x", "İstanbul <mark>x</mark>"),
    ];
    for (text, query, wanted) in table {
        assert_eq!(index.snippet(&[text], query), wanted, "{text:?}");
    }
    assert_eq!(index.snippet(&["none", "a ring"], "ring"), "a <mark>ring</mark>");
    assert_eq!(index.snippet(&["none", "nothing"], "ring"), "none");
    assert_eq!(index.snippet(&[], "ring"), "");
    let long = format!("{} ring {}", "früh ".repeat(100), "spät ".repeat(100));
    let snippet = index.snippet(&[&long], "ring");
    assert!(snippet.starts_with("…früh") && snippet.ends_with("spät…"), "{snippet}");
    assert!(snippet.contains("<mark>ring</mark>") && snippet.chars().count() < 300, "{snippet}");
}

#[test]
fn languages_have_their_stemmers() {
    for (language, wanted) in [("de", "a"), ("de-AT", "a"), ("en", ""), ("", "")] {
        let mut index = SearchIndex::new(language);
        index.insert(&article("a", "Häuser", "", "text"), None);
        assert_eq!(found(&index, "Häusern "), wanted, "{language}");
    }
}

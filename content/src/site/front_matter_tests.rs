//! Tables of front matter, right and wrong.

use super::*;

fn split(text: &str) -> Result<(FrontMatter, String), Problem> {
    FrontMatter::split("a.md", text, &SiteLimits::default()).map(|(front, body)| (front, body.to_owned()))
}

#[test]
fn all_keys() {
    let text = "---\ntitle: \"A: title\"\ndate: 2026-11-21\nupdated: 2026-11-22T10:00:00Z\ntags: [a, \"b c\"]\nsummary: >\n  Two\n  lines\ndraft: true\n\
                author: Ada\ntemplate: wide.html\nslug: other\nlist: false\nweight: -3\nmood: good\n---\nBody\n";
    let (front, body) = split(text).unwrap();
    let wanted = FrontMatter {
        title: Some("A: title".into()),
        date: Date::parse("2026-11-21"),
        updated: Date::parse("2026-11-22T10:00:00Z"),
        tags: vec!["a".into(), "b c".into()],
        summary: Some("Two lines".into()),
        draft: true,
        author: Some("Ada".into()),
        template: Some("wide.html".into()),
        slug: Some("other".into()),
        list: Some(false),
        weight: -3,
        extra: [("mood".to_owned(), Value::from("good"))].into_iter().collect(),
    };
    assert_eq!(front, wanted);
    assert_eq!(body, "Body\n");
}

#[test]
fn where_it_begins_and_ends() {
    let titled = |title: &str| FrontMatter { title: Some(title.into()), ..FrontMatter::default() };
    let table = [
        ("no front matter", FrontMatter::default(), "no front matter"),
        ("", FrontMatter::default(), ""),
        ("---\n---\nx", FrontMatter::default(), "x"),
        ("---\n\n# only a comment\n---\nx", FrontMatter::default(), "x"),
        ("---\ntitle: a\n---", titled("a"), ""),
        ("---\r\ntitle: a\r\n---\r\nx\r\n", titled("a"), "x\r\n"),
        ("\u{feff}---\ntitle: a\n---\nx", titled("a"), "x"),
        ("--- \ntitle: a\n--- \nx", titled("a"), "x"),
        ("----\nx\n", FrontMatter::default(), "----\nx\n"),
        ("\n---\ntitle: a\n---\n", FrontMatter::default(), "\n---\ntitle: a\n---\n"),
        ("---\ntitle: a\n---\nx\n---\ny", titled("a"), "x\n---\ny"),
        ("---\ntitle:\n---\nx", FrontMatter::default(), "x"),
        ("---\ntitle: ''\n---\nx", FrontMatter::default(), "x"),
        ("---\ntitle: \"a\\u0001b\\tc\"\n---\n", titled("a b c"), ""),
        ("---\ntitle: 2026\n---\n", titled("2026"), ""),
    ];
    for (text, front, body) in table {
        assert_eq!(split(text), Ok((front, body.to_owned())), "{text:?}");
    }
}

#[test]
fn tags_in_all_forms() {
    let table: [(&str, &[&str]); 7] = [
        ("[a, b]", &["a", "b"]),
        ("[]", &[]),
        ("", &[]),
        ("a, b", &["a", "b"]),
        ("a", &["a"]),
        ("\n  - a/b\n  - 'c, d'", &["a/b", "c, d"]),
        ("[1, ' ']", &["1"]),
    ];
    for (tags, wanted) in table {
        assert_eq!(split(&format!("---\ntags: {tags}\n---\n")).unwrap().0.tags, wanted, "{tags:?}");
    }
}

#[test]
fn wrong_front_matter_says_where() {
    let table = [
        ("---\ntitle: a\n", 1, "no end"),
        ("---", 1, "no end"),
        ("---\ntitle: a\ndate: tomorrow\n---\n", 3, "`tomorrow` is no date"),
        ("---\ntitle: a\n\ndraft: perhaps\n---\n", 4, "bool"),
        ("---\ntitle: [a\n---\n", 2, ""),
        ("---\ntags: [a, b\nsummary: x\n---\n", 3, "left open?"),
        ("---\ntitle: a\ntitle: b\n---\n", 3, "title"),
        ("---\ntitle: a\n\tdate: 2026-01-01\n---\n", 2, "tab"),
        ("---\njust words\n---\n", 2, ""),
        ("---\nweight: 1e99\n---\n", 2, ""),
        ("---\ntags: {a: b}\n---\n", 2, "a list of tags"),
        ("---\n\n\nlist: 3\n---\n", 4, ""),
        ("---\ntitle: a\ndrafts: true\n---\n", 3, "`drafts` is no key; did you mean `draft`?"),
        (
            "---\nmood:\n  drafts: true\n\"Draft\": true\ntitle: a\n---\n",
            4,
            "`Draft` is no key; did you mean `draft`?",
        ),
    ];
    for (text, line, words) in table {
        let problem = split(text).unwrap_err();
        assert_eq!(problem.line, Some(line), "{text:?}: {problem}");
        assert!(problem.message.contains(words), "{text:?}: {problem}");
        assert!(!problem.message.contains(" at line"), "{text:?}: {problem}");
        assert_eq!(problem.path, "a.md");
    }
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "---\na: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (one, next) in ('a'..='i').zip('b'..='j') {
        let aliases = vec![format!("*{one}"); 9].join(", ");
        text.push_str(&format!("{next}: &{next} [{aliases}]\n"));
    }
    text.push_str("---\n");
    assert!(split(&text).is_err());
}

#[test]
fn texts_and_tags_are_bounded() {
    let limits = SiteLimits { text_bytes_max: 8, tags_max: 2, ..SiteLimits::default() };
    let long = FrontMatter::split("a.md", "---\ntitle: 123456789\n---\n", &limits).unwrap_err();
    assert!(long.message.contains("over 8 bytes"), "{long}");
    let many = FrontMatter::split("a.md", "---\ntags: [a, b, c]\n---\n", &limits).unwrap_err();
    assert!(many.message.contains("over 2 tags"), "{many}");
}

#[test]
fn json_says_the_same() {
    let limits = SiteLimits::default();
    let text = r#"{ "title": "T", "date": "2026-11-21", "tags": ["a"], "list": false, "mood": 1 }"#;
    let front = FrontMatter::of_json("a.json", text, &limits).unwrap();
    assert_eq!((front.title.as_deref(), front.list, front.tags.len()), (Some("T"), Some(false), 1));
    assert_eq!(front.extra["mood"], 1);
    let wrong = FrontMatter::of_json("a.json", "{\n\"draft\": 1 }", &limits).unwrap_err();
    assert_eq!(wrong.to_string(), "a.json:2:10: invalid type: integer `1`, expected a boolean");
    let slip =
        FrontMatter::of_json("a.json", "{\n\"mood\": { \"drafts\": true },\n\"drafts\": true\n}", &limits)
            .unwrap_err();
    assert_eq!(slip.to_string(), "a.json:3:8: `drafts` is no key; did you mean `draft`?");
}

#[test]
fn the_first_of_two_wins() {
    let (one, _) = split("---\ntitle: one\nmood: good\n---\n").unwrap();
    let (two, _) = split("---\ntitle: two\ntags: [x]\ndraft: true\nmood: bad\n---\n").unwrap();
    let both = one.or(two);
    assert_eq!((both.title.as_deref(), both.tags.len(), both.draft), (Some("one"), 1, true));
    assert_eq!(both.extra["mood"], "good");
}

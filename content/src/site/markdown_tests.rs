//! What Markdown becomes.

use super::*;

const PLAIN: Rendering = Rendering { title: None, escape_html: false, highlight_bytes_max: 1000 };

#[test]
fn extensions() {
    let table = [
        ("| a | b |\n|---|--:|\n| 1 | 2 |", "<div class=\"table\" tabindex=\"0\"><table>"),
        ("a[^1]\n\n[^1]: note", "footnote-definition"),
        ("~~gone~~", "<del>gone</del>"),
        ("- [x] done", "type=\"checkbox\" checked"),
        ("> [!NOTE]\n> text", "markdown-alert-note"),
        (
            "## A part",
            "<h2 id=\"a-part\">A part <a class=\"anchor\" aria-label=\"Link to this part\" href=\"#a-part\">#</a></h2>",
        ),
        ("## A part {#own}", "<h2 id=\"own\">"),
        ("```rust\nfn a() {}\n```", "<code class=\"language-rust\"><span class=\"hl-k\">fn"),
        ("```rust,no_run\nfn a() {}\n```", "class=\"language-rust\""),
        ("```\"><b>\nx\n```", "class=\"language-&quot;&gt;&lt;b&gt;\""),
        ("```nonsense\n<b>\n```", "<code class=\"language-nonsense\">&lt;b&gt;\n</code>"),
        ("    <b>", "<pre class=\"code\" tabindex=\"0\"><code>&lt;b&gt;</code></pre>"),
        ("a <b>bold</b>", "a <b>bold</b>"),
        ("`<b>`", "<code>&lt;b&gt;</code>"),
    ];
    for (markdown, wanted) in table {
        let html = render(markdown, PLAIN).html;
        assert!(html.contains(wanted), "{markdown:?}: {html}");
    }
}

#[test]
fn anchors_are_as_if_each_was_looked_for_from_the_first_number() {
    let names = ["part", "part 2", "part 3", "part-2-2", "other", "part 2-3"];
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..200 {
        let picked: Vec<&str> = (0..30).map(|_| names[random.usize(..names.len())]).collect();
        let text: String = picked.iter().map(|name| format!("## {name}\n")).collect();
        let mut wanted: Vec<String> = Vec::new();
        for name in &picked {
            let name = name.replace(' ', "-");
            let mut numbered = (2..).map(|n| format!("{name}-{n}"));
            let is_free = |anchor: &String| !wanted.contains(anchor);
            let anchor = Some(name.clone()).filter(is_free).or_else(|| numbered.find(is_free));
            wanted.push(anchor.unwrap());
        }
        let ids: Vec<String> = render(&text, PLAIN).toc.into_iter().map(|heading| heading.id).collect();
        assert_eq!(ids, wanted, "{text}");
    }
}

/// It ends in time or not at all: what looks at all numbers for each heading does 5,000,000,000 steps.
#[test]
fn a_hundred_thousand_headings_may_say_the_same() {
    let document = render(&"## part\n".repeat(100_000), PLAIN);
    assert_eq!(document.toc.last().unwrap().id, "part-100000");
}

#[test]
fn headings_have_anchors_of_their_own() {
    let document = render("## A\n\n### *B* `c`\n\n## A\n\n## !\n\n#\n", PLAIN);
    let ids: Vec<_> = document.toc.iter().map(|h| (h.level, h.id.as_str(), h.text.as_str())).collect();
    assert_eq!(ids, [(2, "a", "A"), (3, "b-c", "B c"), (2, "a-2", "A"), (2, "x21", "!"), (1, "part", "")]);
}

#[test]
fn the_opening_heading_is_the_title() {
    let open = "# The title\n\nText.\n\n# Not the title\n";
    let document = render(open, PLAIN);
    assert_eq!(document.title.as_deref(), Some("The title"));
    assert!(!document.html.contains("The title"), "{}", document.html);
    assert_eq!(document.toc.len(), 1);

    let same = render(open, Rendering { title: Some("The title"), ..PLAIN });
    assert_eq!(same, document);

    let other = render(open, Rendering { title: Some("Another"), ..PLAIN });
    assert!(other.html.starts_with("<h1 id=\"the-title\">"), "{}", other.html);
    assert_eq!(other.toc.len(), 2);

    assert_eq!(render("Text\n\n# Later\n", PLAIN).title, None);
}

#[test]
fn the_first_paragraph_is_the_summary() {
    let table = [
        ("# T\n\nOne *two*\nthree `four`.\n\nFive.", "One two three four."),
        ("> quoted\n\nText", "quoted"),
        ("```\ncode\n```\n\nText", "Text"),
        ("- item", ""),
        ("", ""),
    ];
    for (markdown, summary) in table {
        assert_eq!(render(markdown, PLAIN).summary, summary, "{markdown:?}");
    }
    let long = render(&"wörter, ".repeat(100), PLAIN).summary;
    assert!(long.ends_with("wörter…") && long.chars().count() <= SUMMARY_CHARS_MAX + 1, "{long}");
}

#[test]
fn the_plain_text_has_words_and_no_marks() {
    let document =
        render("# T\n\nA **bo**ld [link](/x).\n\n| a | b |\n|--|--|\n| c | d |\n\n```sh\nls\n```\n", PLAIN);
    assert_eq!(document.text, "A bold link. a b c d ls");
    assert_eq!(document.words, 8);
}

#[test]
fn escaped_html_runs_nothing() {
    let strict = Rendering { escape_html: true, ..PLAIN };
    let table = [
        ("<script>alert(1)</script>", "<script"),
        ("a <img src=x onerror=alert(1)> b", "<img"),
        ("[a](javascript:alert(1))", "javascript:"),
        ("[a](JaVaScRiPt:alert(1))", "alert"),
        ("[a](java&#10;script:alert(1))", "alert"),
        ("![a](data:text/html,x)", "data:"),
        ("<javascript:alert(1)>", "href=\"javascript"),
    ];
    for (markdown, never) in table {
        let html = render(markdown, strict).html;
        assert!(!html.contains(never), "{markdown:?}: {html}");
    }
    for (markdown, kept) in [
        ("[a](/b:c)", "href=\"/b:c\""),
        ("[a](https://x.y/)", "href=\"https://x.y/\""),
        ("[a](#b)", "href=\"#b\""),
        ("[a](mailto:a@b.c)", "href=\"mailto:a@b.c\""),
    ] {
        let html = render(markdown, strict).html;
        assert!(html.contains(kept), "{markdown:?}: {html}");
    }
}

#[test]
fn long_code_is_shown_plain() {
    let code = format!("```rust\n{}\n```", "fn a() {}\n".repeat(200));
    assert!(!render(&code, PLAIN).html.contains("<span"));
}

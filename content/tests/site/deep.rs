//! What is nested deep is refused or shown, and ends nothing: neither on the stack of the caller, nor on that of a page's reader.

use sws_content::site::{Changes, SiteOptions};

use super::folder::{Folder, problems, save, status, text, told};

/// A fiber has as much.
const STACK_BYTES: usize = 128 * 1024;

fn on_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test);
    thread.expect("a thread").join().expect("no panic");
}

fn nested(n: usize) -> String {
    format!("---\ntitle: t\nx: {}1{}\n---\nhi\n", "{a: ".repeat(n), "}".repeat(n))
}

#[test]
fn front_matter_has_a_depth() {
    let folder = Folder::of(&[("content/a.md", "# Good\n"), ("content/b.md", "# B\n")]);
    let mut site = folder.load();
    on_small_stack(move || {
        let lines = |n: usize| (1..n).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>();
        let lists = format!("---\ntitle: t\nx: {}\n---\n", "[".repeat(100_000));
        let items = format!("---\ntitle: t\nx:\n  {}1\n---\n", "- ".repeat(10_000));
        let maps = format!("---\ntitle: t\nx:\n{}---\n", lines(500));
        let alias = |n: usize| format!("a{n}: &a{n} {{x: *a{}}}\n", n - 1);
        let aliases = format!("---\na0: &a0 1\n{}---\n", (1..500).map(alias).collect::<String>());
        for deep in [nested(16), nested(60), nested(1000), nested(100_000), lists, items, maps, aliases] {
            assert_eq!(told(&save(&folder, &mut site, "content/a.md", &deep)), [""; 0]);
            let problems = problems(&site);
            assert!(problems.len() == 1 && problems[0].starts_with("content/a.md:"), "{problems:?}");
            assert!(text(&site, "/a/").contains("Good"));
        }
        save(&folder, &mut site, "content/a.md", &nested(16));
        assert_eq!(problems(&site), ["content/a.md:3:64: over 16 lists and maps within each other"]);
        assert_eq!(told(&save(&folder, &mut site, "content/a.md", &nested(15))), ["Updated Article /a/"]);
        assert_eq!((site.problems().len(), status(&site, "/a/")), (0, 200));
    });
}

#[test]
fn json_has_a_depth() {
    let json = |n: usize| format!("{{\"x\": {}1{} }}", "[".repeat(n), "]".repeat(n));
    let shown = "{{ article.extra.x }}{{ article.extra|string }}{{ site.extra }}";
    let folder = Folder::of(&[
        ("content/a.md", "# A\n"),
        ("content/a.json", &json(120)),
        ("site.json", &json(120)),
        ("templates/article.html", shown),
    ]);
    on_small_stack(move || {
        let mut site = folder.load();
        assert!(text(&site, "/a/").contains(&"[".repeat(120)));
        for path in ["content/a.json", "site.json"] {
            save(&folder, &mut site, path, &json(100_000));
            assert!(problems(&site)[0].starts_with(path), "{:?}", problems(&site));
            assert!(text(&site, "/a/").contains(&"[".repeat(120)));
            save(&folder, &mut site, path, &json(120));
        }
        assert_eq!(site.problems(), []);
    });
}

#[test]
fn templates_have_a_depth() {
    let folder = Folder::of(&[("content/a.md", "# A\n"), ("templates/article.html", "good")]);
    let mut site = folder.load();
    let many = |begin: &str, part: &str, end: &str, n: usize| format!("{begin}{}{end}", part.repeat(n));
    on_small_stack(move || {
        for n in [1000, 50_000] {
            let tables = [
                many("{{ 1", "+1", " }}", n),
                many("{{ ", "not ", "1 }}", n),
                many("{{ ", "-", "1 }}", n),
                many("{{ 1", "|abs", " }}", n),
                many("{{ site", ".a", " }}", n),
                many("{{ ", "1 if 1 else ", "1 }}", n),
                many("{{ 1", " and 1", " }}", n),
                many("{{ 1", "~1", " }}", n),
                many("{{ 1", "**1", " }}", n),
                many("{% set ", "(", "", n),
                many("{% if 1 %}", "{% elif 1 %}", "{% endif %}", n),
                many("", "{% if 1 %}", "", n),
                many("{{ ", "[", "", n),
            ];
            for deep in tables {
                let begin = &deep[..20];
                let applied = save(&folder, &mut site, "templates/article.html", &format!("\n{deep}"));
                assert_eq!((told(&applied), text(&site, "/a/")), (vec![], "good".to_owned()), "{begin}");
                let problems = problems(&site);
                let place = "templates/article.html:2: ";
                assert!(problems.len() == 1 && problems[0].starts_with(place), "{begin}: {problems:?}");
            }
        }
    });
}

#[test]
fn what_is_deep_and_allowed_is_rendered_on_any_stack() {
    let sum = format!("{{{{ 1{} }}}}", "+1".repeat(190));
    let chain = format!("{{% if 0 %}}{}{{% else %}}last{{% endif %}}", "{% elif 0 %}".repeat(190));
    // A value that holds another, and that another: it is printed and dropped level by level.
    let lists = format!("{{% set x = 1 %}}{}{{{{ x }}}}", "{% set x = [x] %}".repeat(2000));
    let folder = Folder::of(&[
        ("content/a.md", "# A\n"),
        ("templates/article.html", &format!("{sum} {chain} {lists}")),
    ]);
    on_small_stack(move || {
        let (mut site, report) = folder.load_with(SiteOptions::default());
        assert_eq!(report.problems, []);
        let shown = text(&site, "/a/");
        assert!(shown.starts_with("191 last [[[") && shown.ends_with("]]]"), "{}", &shown[..30]);
        site.update(&Changes::rescan());
    });
}

//! What is wrong stops nothing: the last good version stays served, and the problem says the file and the line.

use sws_content::site::{Changes, Query, Site, SiteError, SiteLimits, SiteOptions};

use super::folder::{Folder, page, problems, save, status, text, told};

#[test]
fn a_broken_article_stays_as_it_was() {
    let folder =
        Folder::of(&[("content/a.md", "---\ntitle: Good\n---\nOld text.\n"), ("content/b/b.md", "# B\n")]);
    let mut site = folder.load();
    let table = [
        ("content/a.md", "---\ntitle: Good\ndate: soon\n---\n", "content/a.md:3"),
        ("content/a.md", "---\ntitle: Good\n", "content/a.md:1"),
        ("content/b/b.json", "{\n \"title\": 1\n}", "content/b/b.json:2"),
    ];
    for (path, broken, place) in table {
        let before = (text(&site, "/a/"), text(&site, "/b/"));
        let applied = save(&folder, &mut site, path, broken);
        assert_eq!((told(&applied), applied.problems_changed), (vec![], true), "{path}");
        assert_eq!((text(&site, "/a/"), text(&site, "/b/")), before);
        let problems = problems(&site);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(place), "{problems:?}");

        // The same again is nothing new.
        let applied = site.update(&Changes::rescan());
        assert_eq!((applied.changes.len(), applied.problems_changed), (0, false));

        let mended = save(
            &folder,
            &mut site,
            path,
            if path.ends_with("json") { "{}" } else { "---\ntitle: Good\n---\nOld text.\n" },
        );
        assert!(mended.problems_changed);
        assert_eq!(told(&mended), [""; 0], "it is again what it was");
        assert_eq!(site.problems(), []);
    }
    folder.write("content/a.md", b"---\ntitle: Good\n---\n\nnot UTF-8: \xff\n");
    assert_eq!(told(&site.update(&Changes::of(["content/a.md"]))), [""; 0]);
    assert_eq!(problems(&site), ["content/a.md:5: the text is not UTF-8"]);
    assert!(text(&site, "/a/").contains("Old text."));
}

#[test]
fn an_article_that_was_never_good_is_not_there() {
    let folder = Folder::of(&[("content/a.md", "---\ndraft: 7\n---\n"), ("content/b.md", "# B\n")]);
    let (mut site, report) = folder.load_with(SiteOptions::default());
    assert_eq!((report.articles, report.problems.len()), (1, 1));
    assert_eq!((report.problems[0].path.as_str(), report.problems[0].line), ("content/a.md", Some(2)));
    assert_eq!((status(&site, "/a/"), status(&site, "/b/")), (404, 200));
    folder.remove("content/a.md");
    assert!(site.update(&Changes::of(["content/a.md"])).problems_changed);
    assert_eq!(site.problems(), []);
}

#[test]
fn an_article_that_was_never_good_says_so_where_it_is_to_be() {
    let folder = Folder::of(&[("content/b.md", "# B\n")]);
    let mut site = folder.load();
    assert_eq!(status(&site, "/fresh/"), 404);
    save(&folder, &mut site, "content/fresh.md", "---\ntitle: [oops\n---\nText.\n");
    save(&folder, &mut site, "content/c.md", "---\nslug: other\ndate: soon\n---\nText.\n");
    save(&folder, &mut site, "content/plan.md", "---\ndrafts: true\n---\nText.\n");
    save(&folder, &mut site, "content/b.md", "---\ntitle: [oops\n---\nText.\n");
    let table = [
        ("/fresh/", 404, &["fresh.md:2"][..]),
        ("/fresh", 404, &["fresh.md:2"]),
        ("/other/", 404, &["c.md:3"]),
        ("/plan/", 404, &[]),
        ("/nothing/", 404, &[]),
        ("/", 200, &["c.md:3", "fresh.md:2"]),
        ("/tags/", 200, &[]),
        ("/b/", 200, &[]),
    ];
    let shown = |site: &Site, url: &str| {
        let page = page(site, url);
        let body = String::from_utf8(page.body.to_vec()).unwrap();
        let names = ["b.md:2", "c.md:3", "fresh.md:2", "plan.md"];
        (page.status, names.into_iter().filter(|name| body.contains(name)).collect::<Vec<_>>())
    };
    for (url, status, names) in table {
        assert_eq!(shown(&site, url), (status, names.to_vec()), "{url}");
    }
    save(&folder, &mut site, "content/c.md", "---\nslug: another\ndate: soon\n---\nText.\n");
    assert_eq!((shown(&site, "/other/"), shown(&site, "/another/").1), ((404, vec![]), vec!["c.md:3"]));
    folder.remove("content/c.md");
    save(&folder, &mut site, "content/fresh.md", "# Fresh\n");
    site.update(&Changes::rescan());
    assert_eq!((shown(&site, "/fresh/"), shown(&site, "/")), ((200, vec![]), (200, vec![])));
    let (site, _) = folder.load_with(SiteOptions { drafts: true, ..SiteOptions::default() });
    assert_eq!(shown(&site, "/plan/"), (404, vec!["plan.md"]), "a preview shows drafts");
}

#[test]
fn a_json_alone_is_a_problem() {
    let folder = Folder::of(&[("content/a/a.json", "{}")]);
    let (mut site, report) = folder.load_with(SiteOptions::default());
    assert_eq!(report.problems[0].to_string(), "content/a/a.json: there is no content/a/a.md beside it");
    assert_eq!(told(&save(&folder, &mut site, "content/a/a.md", "# A\n")), ["Created Article /a/"]);
    assert_eq!(site.problems(), []);
}

fn make_pipe(folder: &Folder, path: &str) {
    let made = std::process::Command::new("mkfifo").arg(folder.path(path)).status().unwrap();
    assert!(made.success());
}

#[test]
fn a_pipe_in_the_place_of_a_text_is_not_waited_for() {
    let folder = Folder::of(&[("content/a.md", "# A\n"), ("content/b.md", "# B\n"), ("static/x.txt", "x")]);
    let mut site = folder.load();
    std::fs::create_dir(folder.path("templates")).unwrap();
    let pipes = ["content/a.json", "content/c.md", "site.json", "templates/article.html", "static/y.txt"];
    pipes.iter().for_each(|path| make_pipe(&folder, path));
    let said = |path: &&str| format!("{path}: it is not a regular file");
    let wanted: Vec<String> = pipes[..4].iter().map(said).collect();

    // Its own change is not always told; here the article's is.
    assert_eq!(told(&save(&folder, &mut site, "content/a.md", "# A, again\n")), [""; 0]);
    assert_eq!(problems(&site), wanted[..1]);
    site.update(&Changes::rescan());
    site.update(&Changes::rescan());
    assert_eq!(problems(&site), wanted);
    assert!(text(&site, "/a/").contains("<h1>A</h1>"), "{}", text(&site, "/a/"));
    assert_eq!((status(&site, "/x.txt"), status(&site, "/y.txt")), (200, 404));

    let (started, report) = folder.load_with(SiteOptions::default());
    assert_eq!((report.articles, problems(&started)), (1, wanted));
    assert_eq!((status(&started, "/a/"), status(&started, "/b/")), (404, 200));

    folder.remove("content/a.json");
    assert_eq!(told(&site.update(&Changes::of(["content/a.json"]))), ["Updated Article /a/"]);
    assert!(text(&site, "/a/").contains("A, again"));
    pipes[1..].iter().for_each(|path| folder.remove(path));
    site.update(&Changes::rescan());
    assert_eq!(site.problems(), []);
}

#[test]
fn a_text_that_becomes_a_pipe_stays_as_it_was() {
    let folder = Folder::of(&[("content/a.md", "# A\n"), ("templates/article.html", "mine")]);
    let mut site = folder.load();
    for path in ["content/a.md", "templates/article.html"] {
        let good = std::fs::read_to_string(folder.path(path)).unwrap();
        folder.remove(path);
        make_pipe(&folder, path);
        assert_eq!(told(&site.update(&Changes::of([path]))), [""; 0]);
        assert_eq!(
            (problems(&site), text(&site, "/a/")),
            (vec![format!("{path}: it is not a regular file")], "mine".into())
        );
        folder.write(path, good);
        assert_eq!(told(&site.update(&Changes::of([path]))), [""; 0]);
        assert_eq!(site.problems(), []);
    }
}

#[test]
fn a_broken_template_stays_as_it_was() {
    let folder = Folder::of(&[
        ("content/a.md", "# A\n"),
        ("templates/article.html", "<p>{{ article.title }}</p>{% include 'part.html' %}"),
        ("templates/part.html", "part"),
    ]);
    let mut site = folder.load();
    assert_eq!(text(&site, "/a/"), "<p>A</p>part");
    let table = [
        ("templates/article.html", "new\n{% if %}", "templates/article.html:2"),
        ("templates/article.html", "new\n\n{{ article|nonsense }}", "templates/article.html:3"),
        (
            "templates/article.html",
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}",
            "templates/article.html:1",
        ),
        ("templates/article.html", "{% extends 'missing.html' %}", "templates/article.html:1"),
        ("templates/article.html", "{% include 'article.html' %}", "templates/article.html:1"),
        ("templates/part.html", "new\n{{ nonsense() }}", "templates/part.html:2"),
    ];
    for (path, broken, place) in table {
        let good = std::fs::read_to_string(folder.path(path)).unwrap();
        let applied = save(&folder, &mut site, path, broken);
        assert_eq!((told(&applied), applied.problems_changed), (vec![], true), "{broken}");
        assert_eq!(text(&site, "/a/"), "<p>A</p>part", "{broken}");
        let problems = problems(&site);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(place), "{broken}: {problems:?}");
        save(&folder, &mut site, path, &good);
        assert_eq!(site.problems(), []);
    }
    folder.remove("templates/part.html");
    assert_eq!(told(&site.update(&Changes::of(["templates/part.html"]))), [""; 0], "a page needs it");
    assert_eq!(text(&site, "/a/"), "<p>A</p>part");
    assert_eq!(site.problems().len(), 1);
}

#[test]
fn a_broken_template_at_the_start_is_the_built_in_one() {
    let folder =
        Folder::of(&[("content/a.md", "# A\n\nText.\n"), ("templates/article.html", "{{ article.html ")]);
    let (site, report) = folder.load_with(SiteOptions::default());
    assert_eq!(report.problems[0].path, "templates/article.html");
    assert!(text(&site, "/a/").contains("<p>Text.</p>"));
}

#[test]
fn an_error_that_shows_later_keeps_the_page() {
    let folder = Folder::of(&[
        ("content/a.md", "# A\n"),
        ("templates/article.html", "{% if article.extra.on %}{{ nonsense() }}{% endif %}ok"),
    ]);
    let mut site = folder.load();
    assert_eq!(text(&site, "/a/"), "ok");
    let text_on = "---\ntitle: A\non: true\n---\n";
    assert_eq!(told(&save(&folder, &mut site, "content/a.md", text_on)), ["Updated Article /a/"]);
    assert_eq!(text(&site, "/a/"), "ok", "the page as it was");
    assert_eq!(problems(&site).len(), 1);
    assert!(problems(&site)[0].starts_with("templates/article.html:1: "), "{:?}", problems(&site));
    save(&folder, &mut site, "content/b.md", text_on);
    assert_eq!(page(&site, "/b/").status, 500, "it never was");
    assert_eq!(page(&site, "/b/").body, page(&site, "/b/").body);
    save(&folder, &mut site, "templates/article.html", "fine");
    assert_eq!((text(&site, "/a/"), text(&site, "/b/")), ("fine".into(), "fine".into()));
    assert_eq!(site.problems(), []);
}

#[test]
fn a_page_that_is_too_long_is_not_made() {
    let folder = Folder::of(&[
        ("content/a.md", "---\ntitle: A\ntemplate: wide.html\n---\n"),
        ("templates/wide.html", "ok"),
    ]);
    let mut site = folder.load();
    let long = "{% set x = 'aaaaaaaaaaaaaaaa' * 100000 %}{% for i in range(300) %}{{ x }}{% endfor %}";
    assert_eq!(told(&save(&folder, &mut site, "templates/wide.html", long)), [""; 0]);
    assert_eq!(problems(&site), ["templates/wide.html: the page has over 33554432 bytes"]);
    let large = "{{ 'a' * 10 ** 9 }}";
    assert_eq!(told(&save(&folder, &mut site, "templates/wide.html", large)), [""; 0]);
    assert!(problems(&site)[0].starts_with("templates/wide.html:1: "), "{:?}", problems(&site));
    assert_eq!(text(&site, "/a/"), "ok");

    // One that grows with what it shows keeps its page as it was.
    let grows = "{{ 'aaaaaaaaaaaaaaaa' * article.extra.n|default(0) }}";
    save(&folder, &mut site, "templates/wide.html", grows);
    assert_eq!((text(&site, "/a/"), problems(&site)), (String::new(), vec![]));
    let text_of = |n: usize| format!("---\ntitle: A\ntemplate: wide.html\nn: {n}\n---\n");
    save(&folder, &mut site, "content/a.md", &text_of(3_000_000));
    assert_eq!(text(&site, "/a/"), "", "as it was");
    assert_eq!(problems(&site), ["templates/wide.html: the page has over 33554432 bytes"]);
    save(&folder, &mut site, "content/a.md", &text_of(1));
    assert_eq!((text(&site, "/a/"), problems(&site)), ("a".repeat(16), vec![]));
}

#[test]
fn a_template_that_is_not_there_is_said() {
    let folder = Folder::of(&[("content/a.md", "---\ntitle: A\ntemplate: wide.html\n---\nText.\n")]);
    let (mut site, report) = folder.load_with(SiteOptions::default());
    assert_eq!(
        report.problems[0].to_string(),
        "content/a.md: there is no template `wide.html`; the usual one is used"
    );
    assert!(text(&site, "/a/").contains("<p>Text.</p>"));
    assert_eq!(
        told(&save(&folder, &mut site, "templates/wide.html", "wide")),
        ["Created Template wide.html"]
    );
    assert_eq!((text(&site, "/a/"), site.problems().len()), ("wide".into(), 0));
    folder.remove("templates/wide.html");
    assert_eq!(told(&site.update(&Changes::of(["templates"]))), ["Removed Template wide.html"]);
    assert!(text(&site, "/a/").contains("<p>Text.</p>"));
    assert_eq!(site.problems().len(), 1);
}

#[test]
fn a_broken_config_stays_as_it_was() {
    let folder = Folder::of(&[("site.json", r#"{ "title": "Mine" }"#)]);
    let mut site = folder.load();
    let applied = save(&folder, &mut site, "site.json", "{\n  \"title\": \"Mine\",\n}");
    assert_eq!((told(&applied), applied.problems_changed), (vec![], true));
    assert!(problems(&site)[0].starts_with("site.json:3:1: "), "{:?}", problems(&site));
    assert_eq!(site.config().title, "Mine");
    assert_eq!(told(&save(&folder, &mut site, "site.json", r#"{ "title": "Other" }"#)), ["Updated Config /"]);
    assert!(text(&site, "/").contains("<h1>Other</h1>") && site.problems().is_empty());
    folder.remove("site.json");
    assert_eq!(told(&site.update(&Changes::of(["site.json"]))), ["Updated Config /"]);
    assert_eq!(site.config().title, "A site");
}

#[test]
fn two_articles_with_one_address() {
    let folder = Folder::of(&[
        ("content/a.md", "---\nslug: x\n---\nfirst\n"),
        ("content/b.md", "---\nslug: X\n---\nsecond\n"),
    ]);
    let (mut site, report) = folder.load_with(SiteOptions::default());
    let clash = ["content/b.md: the address /x/ is that of content/a.md too; give one another `slug`"];
    assert_eq!(report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(), clash);
    assert!(text(&site, "/x/").contains("first"));

    // Who has it keeps it, however often the other is written.
    assert_eq!(told(&save(&folder, &mut site, "content/b.md", "---\nslug: x\n---\nthird\n")), [""; 0]);
    assert_eq!(problems(&site), clash);

    folder.remove("content/a.md");
    assert_eq!(told(&site.update(&Changes::of(["content/a.md"]))), ["Updated Article /x/"]);
    assert!(text(&site, "/x/").contains("third") && site.problems().is_empty());

    folder.write("content/a.md", "---\nslug: x\n---\nfirst\n");
    assert_eq!(told(&site.update(&Changes::rescan())), [""; 0], "b has it now");
    assert_eq!(
        problems(&site),
        ["content/a.md: the address /x/ is that of content/b.md too; give one another `slug`"]
    );
    assert_eq!(
        told(&save(&folder, &mut site, "content/a.md", "---\nslug: y\n---\nfirst\n")),
        ["Created Article /y/"]
    );
    assert_eq!(site.problems(), []);
}

#[test]
fn addresses_of_the_site_are_not_for_articles() {
    let folder = Folder::of(&[
        ("content/tags.md", "# T\n"),
        ("content/a.md", "---\nslug: chat\n---\n"),
        ("content/feed.md", "---\nslug: feed.xml\n---\n"),
    ]);
    let options = SiteOptions { reserved: vec!["chat".into()], ..SiteOptions::default() };
    let (site, report) = folder.load_with(options);
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    assert!(report.problems.iter().all(|problem| problem.message.contains("is taken by the site")));
    assert_eq!(status(&site, "/feed-xml/"), 200, "a dot is no part of a slug");
}

#[test]
fn bounds_leave_out_what_is_beyond_them() {
    let limits = SiteLimits {
        articles_max: 2,
        files_max: 1,
        article_bytes_max: 100,
        problems_max: 3,
        depth_max: 3,
        ..SiteLimits::default()
    };
    let folder = Folder::of(&[("static/a.css", ""), ("static/b.css", ""), ("static/x/y/z.css", "")]);
    for name in ["a", "b", "c"] {
        folder.write(&format!("content/{name}.md"), format!("# {name}\n"));
    }
    folder.write("content/long.md", "x".repeat(101));
    let (mut site, report) = folder.load_with(SiteOptions { limits, ..SiteOptions::default() });
    assert_eq!((report.articles, report.files, report.problems.len()), (2, 1, 3), "{:?}", report.problems);
    assert_eq!((status(&site, "/c/"), status(&site, "/long/"), status(&site, "/b.css")), (404, 404, 404));
    save(&folder, &mut site, "content/a.md", &"x".repeat(200));
    assert!(text(&site, "/a/").contains("<h1>a</h1>"), "the last good one stays");
}

#[test]
fn a_folder_without_content_is_no_site() {
    let folder = Folder::of(&[]);
    folder.remove("content");
    let error = Site::load(folder.root(), SiteOptions::default()).err().unwrap();
    assert!(matches!(error, SiteError::NoContent { .. }), "{error}");
    assert_eq!(format!("{error:?}"), error.to_string(), "a `main` that returns it prints this");
    folder.write("content", "a file");
    assert!(matches!(Site::load(folder.root(), SiteOptions::default()), Err(SiteError::NoContent { .. })));
    let missing = Site::load(&folder.path("missing"), SiteOptions::default()).err().unwrap();
    assert!(matches!(missing, SiteError::Unreadable { .. }), "{missing}");
    assert!(std::error::Error::source(&missing).is_some());
}

#[test]
fn templates_that_call_themselves_end_on_a_small_stack() {
    for text in [
        "{% macro f(x) %}{{ f(x + 1) }}{% endmacro %}{{ f(0) }}",
        "{% include \"page.html\" %}",
        "{% extends \"page.html\" %}",
    ] {
        // As large as a fiber's.
        let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
            let folder = Folder::of(&[
                ("content/a.md", "---\ntitle: A\nlist: false\n---\ntext"),
                ("templates/page.html", text),
            ]);
            let (site, _) = folder.load_with(SiteOptions::default());
            let _ = site.render("/a/", &Query::default());
            assert!(!site.problems().is_empty(), "{text}");
        });
        thread.expect("a thread").join().expect("no panic");
    }
}

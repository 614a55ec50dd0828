//! Files that are no good texts: they are problems, and the site goes on.

use crate::fixture::Folder;
use std::process::Command;

#[test]
fn what_is_nested_deep_is_a_problem_and_nothing_ends() {
    let folder = Folder::new();
    let mut program = folder.serve(&[]);
    program.listen("", "").wait("version");
    let front = format!("---\ntitle: t\nx: {}1{}\n---\nhi\n", "{a: ".repeat(60), "}".repeat(60));
    let table = [
        ("content/first.md", front, "content/first.md:3:"),
        ("templates/article.html", format!("{{{{ 1{} }}}}", "+1".repeat(1000)), "templates/article.html:1:"),
        ("templates/index.html", format!("{{{{ {}1 }}}}", "not ".repeat(50_000)), "templates/index.html:1:"),
        (
            "templates/page.html",
            format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(500)),
            "templates/page.html:1:",
        ),
    ];
    for (path, text, place) in &table {
        folder.write(path, text);
        let complaint = program.complaint();
        assert!(complaint.starts_with(&format!("sws: {place}")), "{complaint}");
        assert!(program.get("/first/").body.contains("The first text."));
        assert_eq!(program.get("/").status, 200);
    }
    program.end();

    let mut program = folder.serve(&[]);
    assert!(program.said[0].contains("4 problems"), "{:?}", program.said);
    for (_, _, place) in &table {
        let complaint = program.complaint();
        assert!(complaint.starts_with(&format!("sws: {place}")), "{complaint}");
    }
    program.end();
}

#[test]
fn a_pipe_beside_an_article_is_a_problem_and_the_site_follows() {
    let folder = Folder::new();
    let mut program = folder.serve(&[]);
    let mut all = program.listen("", "");
    all.wait("version");
    let pipe = folder.path("content/first.json");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("started").success());
    folder.write("content/first.md", "# First, again\n");
    assert_eq!(program.complaint(), "sws: content/first.json: it is not a regular file");
    folder.write("content/second.md", "# Second, again\n");
    assert_eq!(all.wait("change").get("slug"), "second");
    program.end();

    let mut program = folder.serve(&[]);
    assert_eq!(program.complaint(), "sws: content/first.json: it is not a regular file");
    let mut all = program.listen("", "");
    all.wait("version");
    folder.remove("content/first.json");
    assert_eq!(all.wait("change").get("slug"), "first");
    program.end();
}

//! The rules on documents: what they name exists.

use crate::rules::Breaches;
use crate::scan::{Function, Scan};
use crate::tree::Tree;
use std::collections::BTreeSet;

/// A piece of a document set as code, with its line.
struct Snippet<'a> {
    line: usize,
    text: &'a str,
}

/// The documents at the root.
fn documents(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.files().filter(|(path, _)| path.ends_with(".md") && !path.contains('/'))
}

/// Lines of fenced and indented code, and inline code spans.
fn snippets(text: &str) -> Vec<Snippet<'_>> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (n, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            found.push(Snippet { line: n, text: line.trim().trim_start_matches("$ ") });
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(|text| Snippet { line: n, text }));
        }
    }
    found
}

fn has_recipe(tree: &Tree, name: &str) -> bool {
    let recipe = |line: &str| {
        !line.contains(":=") && line.split([' ', ':']).next() == Some(name) && line.contains(':')
    };
    tree.text("justfile").unwrap_or_default().lines().any(recipe)
}

/// What is wrong with a `cargo` command, if anything.
fn cargo_fault(tree: &Tree, command: &str) -> Option<String> {
    let (ours, theirs) = command.split_once(" -- ").map_or((command, ""), |(a, b)| (a, b));
    let words: Vec<&str> = ours.split_whitespace().collect();
    let value = |flags: [&str; 2]| {
        let at = words.iter().position(|word| flags.contains(word))?;
        words.get(at + 1).copied()
    };
    let rooms = tree.rooms();
    let package = value(["-p", "--package"]);
    let room = match package {
        Some(name) => match rooms.iter().find(|room| tree.package(room).as_deref() == Some(name)) {
            Some(room) => room.as_str(),
            None => return Some(format!("no package `{name}`")),
        },
        None => "server",
    };
    for kind in ["example", "test", "bench", "bin"] {
        if let Some(name) =
            value([&format!("--{kind}"), ""]).filter(|name| !tree.has_target(room, kind, name))
        {
            return Some(format!("`{room}` has no {kind} `{name}`"));
        }
    }
    if words.get(1) == Some(&"run") && room == "server" {
        return program_fault(tree, theirs);
    }
    None
}

/// What is wrong with the arguments of the program `sws`, if anything.
fn program_fault(tree: &Tree, arguments: &str) -> Option<String> {
    let mut words = arguments.split_whitespace();
    let verb = words.next().filter(|word| word.starts_with(char::is_alphabetic))?;
    let variant: String = verb[..1].to_uppercase() + &verb[1..];
    let known = tree.sources().any(|(path, text)| {
        path.starts_with("server/src/")
            && !crate::scan::words_at(&crate::scan::Scan::new(text).code.join("\n"), &variant).is_empty()
    });
    if !known {
        return Some(format!("`sws` has no command `{verb}`"));
    }
    let folder = words.next().filter(|folder| verb == "serve" && folder.starts_with("examples/"))?;
    (!tree.has(folder)).then(|| format!("no folder `{folder}`"))
}

/// Commands in the documents can be run: packages, targets, recipes, programs and folders exist.
pub fn commands_exist(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    if tree.text("README.md").is_none() {
        breaches.push("README.md:1: the file is missing".into());
    }
    for (path, text) in documents(tree) {
        for Snippet { line, text } in snippets(text) {
            let command = text.split(" #").next().unwrap_or_default().trim();
            let fault = match command.split_whitespace().find(|word| !word.contains('=')) {
                Some("cargo") => cargo_fault(tree, command),
                Some("just") => command.split_whitespace().nth(1).and_then(|name| {
                    let plain = name.starts_with(char::is_alphabetic) && !has_recipe(tree, name);
                    plain.then(|| format!("no recipe `{name}`"))
                }),
                Some("sws") => {
                    command.split_once(' ').and_then(|(_, arguments)| program_fault(tree, arguments))
                }
                _ => None,
            };
            breaches.extend(fault.map(|fault| format!("{path}:{line}: `{command}`: {fault}")));
        }
    }
    breaches
}

/// Files and folders that the documents name by path exist.
pub fn paths_exist(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    let mut roots = tree.rooms();
    roots.extend([".ci".into(), "fuzz".into(), "docs".into()]);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    for (path, text) in documents(tree) {
        for Snippet { line, text } in snippets(text) {
            for word in text.split_whitespace().filter(|word| word.chars().all(plain)) {
                let rooted = word
                    .split_once('/')
                    .is_some_and(|(root, rest)| roots.iter().any(|r| r == root) && !rest.is_empty());
                if rooted && !tree.has(word) {
                    breaches.push(format!("{path}:{line}: `{word}` does not exist"));
                }
            }
        }
    }
    breaches
}

/// Examples that README and CHANGELOG name exist: each code span of a paragraph or list item that opens with
/// `Examples:`.
pub fn named_examples_exist(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    for (path, text) in documents(tree).filter(|(path, _)| matches!(*path, "README.md" | "CHANGELOG.md")) {
        let mut inside = false;
        for (n, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line.trim_start())) {
            let item = line.strip_prefix("- ");
            if line.is_empty() || item.is_some() {
                inside = false;
            }
            inside |= item.unwrap_or(line).starts_with("Examples:");
            let spans = line
                .split('`')
                .skip(1)
                .step_by(2)
                .filter(|span| inside && span.chars().all(crate::scan::is_word));
            for name in spans.filter(|name| !tree.has_target("examples", "example", name)) {
                breaches.push(format!("{path}:{n}: no example `{name}`"));
            }
        }
    }
    breaches
}

/// Tests that the tables of the documents below `docs` name exist: where the last column is headed `Test`, every row names one at
/// least, as a code span.
pub fn tabled_tests_exist(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    let tests: BTreeSet<String> = tree.sources().flat_map(|(_, text)| test_names(text)).collect();
    for (path, text) in tree.files().filter(|(path, _)| path.starts_with("docs/") && path.ends_with(".md")) {
        let mut of_tests = false;
        let mut last = "";
        for (n, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line.trim())) {
            let cells = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')).unwrap_or_default();
            let cell = cells.rsplit('|').next().unwrap_or_default().trim();
            let is_rule = !cells.is_empty() && cells.chars().all(|c| "-:| ".contains(c));
            if cells.is_empty() || is_rule {
                of_tests = is_rule && last == "Test";
            } else if of_tests {
                let mut names = cell.split('`').skip(1).step_by(2).peekable();
                if names.peek().is_none() {
                    breaches.push(format!("{path}:{n}: no test for this rule"));
                }
                let missing = names.filter(|name| !tests.contains(*name));
                breaches.extend(missing.map(|name| format!("{path}:{n}: no test `{name}`")));
            }
            last = cell;
        }
    }
    breaches
}

/// The functions of a source that are tests.
fn test_names(text: &str) -> Vec<String> {
    let scan = Scan::new(text);
    let is_test = |function: &Function| {
        let head = scan.code[..function.lines.start() - 1].iter().rev();
        head.map(|line| line.trim()).take_while(|line| line.starts_with("#[")).any(|line| line == "#[test]")
    };
    scan.functions().into_iter().filter(is_test).map(|function| function.name).collect()
}

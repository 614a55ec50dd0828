//! The rules on manifests and sources. Each takes a tree and lists its breaches; none prints or panics.

use crate::scan::{Function, Scan, is_word, within, words_at};
use crate::tree::{Tree, dependencies};

/// What each room may import of ours, the packages below it.
const LAYERS: &[(&str, &[&str])] = &[
    ("rings", &[]),
    ("stackpool", &[]),
    ("runtime", &["sws-rings", "sws-stackpool"]),
    ("content", &["sws-runtime"]),
    ("server", &["sws-runtime", "sws-content"]),
    ("examples", &["sws"]),
    ("benches", &["sws", "sws-content", "sws-runtime", "sws-rings", "sws-stackpool"]),
    ("tests", &["sws", "sws-content", "sws-runtime", "sws-rings", "sws-stackpool"]),
];

/// Rooms that may use the io-uring crate.
const RING_ROOMS: &[&str] = &["rings", "benches"];

/// Rooms that may hold unsafe code: two of the library, and the members that measure and test it from outside.
const UNSAFE_ROOMS: &[&str] = &["rings", "runtime", "benches", "tests"];

/// Rooms that forbid unsafe code at the crate root. Those not yet there are skipped, but for the first two.
const FORBIDDING_ROOMS: &[&str] = &["server", "examples", "stackpool", "content", "outbound"];

/// Pure modules: a file, or a folder and all in it.
const PURE: &[&str] = &[
    "stackpool/src/wheel",
    "stackpool/src/pool",
    "runtime/src/topics/members",
    "runtime/src/topics/log",
    "runtime/src/topics/directory",
    "runtime/src/topics/options",
    "content/src/segment",
    "content/src/watch/ignore",
    "content/src/watch/options",
    "content/src/watch/tracker",
    "content/src/site/apply",
    "content/src/site/article",
    "content/src/site/cache",
    "content/src/site/change",
    "content/src/site/config",
    "content/src/site/context",
    "content/src/site/date",
    "content/src/site/front_matter",
    "content/src/site/highlight",
    "content/src/site/layout",
    "content/src/site/listing",
    "content/src/site/make",
    "content/src/site/markdown",
    "content/src/site/pages",
    "content/src/site/route",
    "content/src/site/search",
    "content/src/site/slug",
    "content/src/site/templates",
    "content/src/site/theme",
    "server/src/http1",
    "server/src/websocket/codec",
    "server/src/sse/event",
    "server/src/static_files/path",
    "server/src/static_files/range",
    "server/src/static_files/conditional",
    "server/src/static_files/media",
];

/// What a pure module never names.
const IMPURE: &[&str] = &[
    "std::net",
    "std::fs",
    "std::io::stdin",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "unsafe",
    "libc",
    "io_uring",
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// One breach, as `file:line: what`.
pub type Breaches = Vec<String>;

fn room_of(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Whether a whole file is test code: a sibling test file, or in a folder of tests.
pub fn is_test_file(path: &str) -> bool {
    path.ends_with("_tests.rs")
        || path.ends_with("/tests.rs")
        || path.starts_with("tests/")
        || path.contains("/tests/")
}

/// A room imports only rooms below it, and every room has its place in the layers.
pub fn layers(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    let ours: Vec<String> = tree.rooms().iter().filter_map(|room| tree.package(room)).collect();
    for room in tree.rooms() {
        let path = format!("{room}/Cargo.toml");
        let Some(allowed) = LAYERS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed) else {
            breaches.push(format!("{path}:1: the room has no place in the layers; give it one in this test"));
            continue;
        };
        for dependency in dependencies(tree.text(&path).unwrap_or_default()) {
            let name = dependency.package.as_str();
            if ours.iter().any(|package| package == name) && !allowed.contains(&name) {
                breaches.push(format!("{path}:{}: `{room}` must not depend on `{name}`", dependency.line));
            }
        }
    }
    breaches
}

/// The server reaches the rings through the runtime alone.
pub fn server_names_no_rings(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    for (path, text) in tree.sources().filter(|(path, _)| path.starts_with("server/")) {
        for line in ["sws_rings", "io_uring"].iter().flat_map(|name| Scan::new(text).lines_with(name)) {
            breaches.push(format!("{path}:{line}: the server must not name the rings"));
        }
    }
    breaches
}

/// Only `rings`, and the benches beside it, use the io-uring crate.
pub fn only_rings_use_io_uring(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    for room in tree.rooms().iter().filter(|room| !RING_ROOMS.contains(&room.as_str())) {
        let path = format!("{room}/Cargo.toml");
        for dependency in
            dependencies(tree.text(&path).unwrap_or_default()).iter().filter(|d| d.package == "io-uring")
        {
            breaches.push(format!("{path}:{}: only `rings` depends on io-uring", dependency.line));
        }
    }
    breaches
}

fn is_pure(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// The impure names in a line or an import. Addresses of `std::net` are plain data and pass.
fn impurities(text: &str) -> impl Iterator<Item = &'static str> {
    let address = |rest: &str| ["::Ip", "::Socket"].iter().any(|name| rest.starts_with(name));
    let hit = |word: &str| {
        words_at(text, word).iter().any(|at| word != "std::net" || !address(&text[at + word.len()..]))
    };
    IMPURE.iter().copied().filter(move |word| hit(word)).collect::<Vec<_>>().into_iter()
}

/// Pure modules do no IO, read no clock and hold no unsafe, their own tests aside; and they exist.
pub fn pure_modules(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    for module in PURE {
        let mut files = tree.sources().filter(|(path, _)| is_pure(path, module)).peekable();
        if files.peek().is_none() {
            breaches.push(format!("{module}.rs:1: a pure module of this list is missing"));
        }
        for (path, text) in files.filter(|(path, _)| !is_test_file(path)) {
            let scan = Scan::new(text);
            let parts = scan.test_parts();
            let mut named = Vec::new();
            for (n, line) in scan.code.iter().enumerate() {
                named.extend(impurities(line).map(|word| (n + 1, word)));
            }
            for (line, import) in scan.imports() {
                named.extend(impurities(&import).map(|word| (line, word)));
            }
            named.sort_unstable();
            named.dedup();
            for (line, word) in named.into_iter().filter(|(line, _)| !within(&parts, *line)) {
                breaches.push(format!("{path}:{line}: a pure module names `{word}`"));
            }
        }
    }
    breaches
}

/// Every source file opens with its module doc.
pub fn module_docs(tree: &Tree) -> Breaches {
    let opens = |text: &str| {
        text.lines()
            .find(|line| !line.is_empty() && !line.starts_with("#!["))
            .is_some_and(|l| l.starts_with("//!"))
    };
    tree.sources()
        .filter(|(_, text)| !opens(text))
        .map(|(path, _)| format!("{path}:1: no `//!` doc at the top"))
        .collect()
}

/// No source file is too long, tests aside.
pub fn file_sizes(tree: &Tree) -> Breaches {
    let long = |text: &str| text.lines().count() > FILE_LINES_MAX;
    let files = tree.sources().filter(|(path, text)| !is_test_file(path) && long(text));
    files
        .map(|(path, text)| format!("{path}:1: {} lines, at most {FILE_LINES_MAX}", text.lines().count()))
        .collect()
}

/// No function is too long, tests aside.
pub fn function_sizes(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    for (path, text) in tree.sources().filter(|(path, _)| !is_test_file(path)) {
        let scan = Scan::new(text);
        let parts = scan.test_parts();
        let long = |f: &Function| f.len() > FUNCTION_LINES_MAX && !within(&parts, *f.lines.start());
        for function in scan.functions().into_iter().filter(long) {
            let (line, name, lines) = (function.lines.start(), &function.name, function.len());
            breaches.push(format!("{path}:{line}: `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}"));
        }
    }
    breaches
}

/// Nothing is left undone: no stub macros, no marks for later, no debugging prints.
pub fn nothing_left_undone(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    for (path, text) in tree.sources() {
        let scan = Scan::new(text);
        for word in ["todo!", "unimplemented!", "dbg!"] {
            breaches.extend(scan.lines_with(word).iter().map(|line| format!("{path}:{line}: `{word}`")));
        }
        for (n, comment) in scan.comments.iter().enumerate() {
            let marks =
                ["FIXME", "XXX", "TODO"].into_iter().filter(|mark| !words_at(comment, mark).is_empty());
            breaches.extend(marks.map(|mark| format!("{path}:{}: `{mark}`", n + 1)));
        }
    }
    breaches
}

/// An ignored test can be run by a recipe: a line of the justfile that says `ignored` names the test or its file.
pub fn ignored_tests_have_recipes(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    let recipes: Vec<&str> =
        tree.text("justfile").unwrap_or_default().lines().filter(|line| line.contains("ignored")).collect();
    for (path, text) in tree.sources() {
        let scan = Scan::new(text);
        let stem = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        for line in
            scan.code.iter().enumerate().filter(|(_, line)| line.contains("#[ignore")).map(|(n, _)| n + 1)
        {
            let name = scan
                .functions()
                .into_iter()
                .find(|f| *f.lines.start() >= line)
                .map_or(String::new(), |f| f.name);
            let named =
                |recipe: &&&str| !words_at(recipe, &name).is_empty() || !words_at(recipe, stem).is_empty();
            if name.is_empty() || recipes.iter().find(named).is_none() {
                breaches.push(format!(
                    "{path}:{line}: `{name}` is ignored, and no recipe of the justfile runs it"
                ));
            }
        }
    }
    breaches
}

/// What an `unsafe` on a line begins.
#[derive(PartialEq, Eq)]
enum Unsafe {
    /// A block or an `unsafe impl`: the author argues.
    Argued,
    /// An `unsafe fn` or trait: the doc says what the caller owes.
    Owed,
}

fn unsafe_kind(after: &str) -> Option<Unsafe> {
    let after = after.trim_start();
    let name = |rest: &str| rest.trim_start().starts_with(is_word);
    if after.starts_with('{') || after.starts_with("impl") {
        return Some(Unsafe::Argued);
    }
    let item = after.strip_prefix("extern").map_or(after, str::trim_start);
    let owed = item.strip_prefix("fn").is_some_and(name) || item.strip_prefix("trait").is_some_and(name);
    if owed { Some(Unsafe::Owed) } else { item.starts_with('{').then_some(Unsafe::Argued) }
}

/// The comments right above `line` (an index), through attributes and the head of a statement that spans lines.
fn comments_above(scan: &Scan, line: usize) -> String {
    let mut text = scan.comments[line].clone();
    for above in (0..line).rev().take(40) {
        let (code, comment) = (scan.code[above].trim(), &scan.comments[above]);
        let attribute = code.starts_with("#[");
        if (code.is_empty() && comment.is_empty()) || (!attribute && code.ends_with([';', '}'])) {
            break;
        }
        text.push_str(comment);
    }
    text
}

/// Every unsafe block and impl has its SAFETY comment, every unsafe function its `# Safety` doc.
pub fn unsafe_is_argued(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    for (path, text) in tree.sources() {
        let scan = Scan::new(text);
        for (n, line) in scan.code.iter().enumerate() {
            for at in words_at(line, "unsafe") {
                let next = scan.code.get(n + 1).map_or("", String::as_str);
                let Some(kind) = unsafe_kind(&format!("{} {next}", &line[at + "unsafe".len()..])) else {
                    continue;
                };
                let above = comments_above(&scan, n);
                let argued =
                    above.contains("SAFETY:") || (kind == Unsafe::Owed && above.contains("# Safety"));
                if !argued {
                    let wanted = if kind == Unsafe::Owed { "`# Safety` doc" } else { "SAFETY comment" };
                    breaches.push(format!("{path}:{}: unsafe without its {wanted}", n + 1));
                }
            }
        }
    }
    breaches
}

/// Unsafe code stands in its rooms only.
pub fn unsafe_stays_in_its_rooms(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    for (path, text) in tree.sources().filter(|(path, _)| !UNSAFE_ROOMS.contains(&room_of(path))) {
        breaches.extend(
            Scan::new(text)
                .lines_with("unsafe")
                .iter()
                .map(|line| format!("{path}:{line}: unsafe outside its rooms")),
        );
    }
    breaches
}

/// The other rooms forbid it at the crate root.
pub fn unsafe_is_forbidden_elsewhere(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    let roots = FORBIDDING_ROOMS
        .iter()
        .flat_map(|room| ["lib.rs", "main.rs"].map(|file| format!("{room}/src/{file}")));
    for path in roots {
        let forbids = tree
            .text(&path)
            .map(|text| Scan::new(text).code.iter().any(|line| line == "#![forbid(unsafe_code)]"));
        let required = matches!(path.as_str(), "server/src/lib.rs" | "examples/src/lib.rs");
        if !forbids.unwrap_or(!required) {
            breaches.push(format!("{path}:1: no `#![forbid(unsafe_code)]`"));
        }
    }
    breaches
}

/// No path of a developer's machine stands in a file.
pub fn no_machine_paths(tree: &Tree) -> Breaches {
    let mut breaches = Breaches::new();
    let roots = ["work", "root", "home"].map(|name| format!("/{name}/"));
    for (path, text) in tree.files() {
        for (n, line) in text.lines().enumerate() {
            for root in &roots {
                let absolute = |at: usize| {
                    !line[..at].chars().next_back().is_some_and(|c| is_word(c) || "./-})>*$~".contains(c))
                };
                if line.match_indices(root.as_str()).any(|(at, _)| absolute(at)) {
                    breaches.push(format!("{path}:{}: a path of one machine (`{root}`)", n + 1));
                }
            }
        }
    }
    breaches
}

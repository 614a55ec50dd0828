//! Every rule fails on a bad input, at the right line, and passes on the good one beside it.

use crate::documents;
use crate::rules::{self, Breaches};
use crate::tree::Tree;

/// Asserts that `rule` finds one breach in each bad file, at `line`, and none in the good one.
#[track_caller]
fn judges(rule: fn(&Tree) -> Breaches, path: &str, good: &str, bad: &[(&str, usize)]) {
    assert_eq!(rule(&Tree::of(&[(path, good)])), Breaches::new(), "the good input");
    for (text, line) in bad {
        let breaches = rule(&Tree::of(&[(path, text)]));
        assert_eq!(breaches.len(), 1, "{text}: {breaches:?}");
        assert!(breaches[0].starts_with(&format!("{path}:{line}: ")), "{text}: {breaches:?}");
    }
}

fn workspace(room: &str, dependencies: &str) -> Breaches {
    let root = "[workspace]\nmembers = [\"rings\", \"server\", \"tests\"]\n";
    let manifest = |name: &str| format!("[package]\nname = \"{name}\"\n");
    let mut files = vec![("Cargo.toml".to_string(), root.to_string())];
    for (folder, name) in [("rings", "sws-rings"), ("server", "sws"), ("tests", "tests")] {
        let extra = if folder == room { dependencies } else { "" };
        files.push((format!("{folder}/Cargo.toml"), manifest(name) + extra));
    }
    let tree = Tree::of(&files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>());
    let mut breaches = rules::layers(&tree);
    breaches.extend(rules::only_rings_use_io_uring(&tree));
    breaches
}

#[test]
fn layers_fail_upward() {
    assert_eq!(workspace("tests", "[dev-dependencies]\nsws.workspace = true\n"), Breaches::new());
    assert_eq!(workspace("rings", "[dependencies]\nio-uring.workspace = true\n"), Breaches::new());
    for (room, text) in [
        ("rings", "[dependencies]\nsws = { path = \"../server\" }\n"),
        ("server", "[dependencies]\nsws-rings.workspace = true\n"),
        ("server", "[dev-dependencies]\nalias = { package = \"tests\", path = \"../tests\" }\n"),
        ("server", "[target.'cfg(unix)'.dependencies]\nio-uring = \"0.7\"\n"),
    ] {
        let breaches = workspace(room, text);
        assert_eq!(breaches.len(), 1, "{text}: {breaches:?}");
        assert!(breaches[0].starts_with(&format!("{room}/Cargo.toml:4: ")), "{breaches:?}");
    }
    let unknown =
        Tree::of(&[("Cargo.toml", "members = [\"attic\"]"), ("attic/Cargo.toml", "name = \"attic\"")]);
    assert_eq!(rules::layers(&unknown).len(), 1);
}

#[test]
fn naming_rings_in_the_server_fails() {
    let good = "// sws_rings is below\nuse sws_runtime::Runtime;\n";
    judges(
        rules::server_names_no_rings,
        "server/src/a.rs",
        good,
        &[("\nuse sws_rings::Ring;", 2), ("fn a() { sws_rings::b() }", 1)],
    );
}

#[test]
fn impure_modules_fail() {
    let rule = |tree: &Tree| {
        rules::pure_modules(tree).into_iter().filter(|b| !b.contains("missing")).collect::<Breaches>()
    };
    let good = "//! Reads no std::fs.\nuse std::{io, net::{IpAddr, SocketAddrV4}};\nfn a(now: Instant) {}\n#[cfg(test)]\nmod tests { fn a() { Instant::now(); } }\n";
    for path in
        ["stackpool/src/wheel.rs", "server/src/http1/deep/head.rs", "server/src/static_files/range.rs"]
    {
        judges(
            rule,
            path,
            good,
            &[
                ("use std::{io, fs::File};", 1),
                ("use std::{io, net};", 1),
                ("use std::net::{IpAddr, TcpStream};", 1),
                ("\nfn a() { std::net::lookup() }", 2),
                ("let t = Instant::now();", 1),
                ("let t = std::time::SystemTime::now();", 1),
                ("\n\nunsafe { x() }", 3),
                ("libc::getpid();", 1),
            ],
        );
    }
    assert!(rules::pure_modules(&Tree::of(&[])).iter().all(|b| b.contains("missing")));
    assert!(!rules::pure_modules(&Tree::of(&[])).is_empty());
}

#[test]
fn missing_docs_fail() {
    judges(
        rules::module_docs,
        "runtime/src/a.rs",
        "//! A.\nfn a() {}",
        &[("fn a() {}\n//! late", 1), ("/// An item.\nfn a() {}", 1), ("", 1)],
    );
    judges(
        rules::module_docs,
        "fuzz/fuzz_targets/a.rs",
        "#![no_main]\n\n//! A.\n",
        &[("#![no_main]\nfn a() {}", 1)],
    );
}

#[test]
fn long_files_and_functions_fail() {
    let (fits, long) = ("\n".repeat(600), "\n".repeat(601));
    judges(rules::file_sizes, "rings/src/a.rs", &fits, &[(&long, 1)]);
    for exempt in ["rings/src/a_tests.rs", "rings/src/a/tests.rs", "tests/tests/a.rs", "server/tests/a.rs"] {
        judges(rules::file_sizes, exempt, &long, &[]);
    }
    let function = |lines: usize| format!("//! A.\nfn a() {{{}}}\n", "\n".repeat(lines - 1));
    judges(rules::function_sizes, "rings/src/a.rs", &function(70), &[(&function(71), 2)]);
    judges(
        rules::function_sizes,
        "rings/src/a.rs",
        &format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(90)),
        &[],
    );
}

#[test]
fn things_left_undone_fail() {
    let good = "fn a() { let s = \"todo!() FIXME\"; method_todo!(); }\n// the fixme of XXXX\n";
    let bad = ["todo!()", "unimplemented!(\"x\")", "dbg!(x)", "// FIXME: x", "/* XXX */", "/// TODO later"]
        .map(|text| (text, 1));
    judges(rules::nothing_left_undone, "runtime/src/a.rs", good, &bad);
}

#[test]
fn ignored_tests_without_recipe_fail() {
    let test = "#[test]\n#[ignore = \"slow\"]\nfn long_one() {}\n";
    let with = |recipes: &str| {
        rules::ignored_tests_have_recipes(&Tree::of(&[("tests/tests/soak.rs", test), ("justfile", recipes)]))
    };
    assert_eq!(with("soak:\n    cargo test long_one -- --ignored\n"), Breaches::new());
    assert_eq!(with("soak:\n    cargo test --test soak -- --ignored\n"), Breaches::new());
    for recipes in ["", "soak:\n    cargo test long_one\n", "soak:\n    cargo test other -- --ignored\n"] {
        let breaches = with(recipes);
        assert_eq!(breaches.len(), 1);
        assert!(breaches[0].starts_with("tests/tests/soak.rs:2: `long_one`"), "{breaches:?}");
    }
}

#[test]
fn unargued_unsafe_fails() {
    let good = "// SAFETY: it is ours.\nunsafe { a() };\n\n// SAFETY: spans lines.\nlet x =\n    unsafe { b() };\n/// Does.\n///\n/// # Safety\n/// Be kind.\n#[inline]\npub unsafe fn c() {}\ntype F = unsafe fn(u8);\n// SAFETY: one thread.\nunsafe impl Send for A {}\n// \"unsafe {\"\nlet s = \"unsafe {\";\n#[unsafe(no_mangle)]\nfn d() {}\n";
    judges(
        rules::unsafe_is_argued,
        "rings/src/a.rs",
        good,
        &[
            ("unsafe { a() }", 1),
            ("// SAFETY: of another.\nlet a = unsafe { b() };\nlet c = unsafe { d() };", 3),
            ("// SAFETY: far.\n\nunsafe { a() }", 3),
            ("let s = \"SAFETY:\";\nunsafe impl Send for A {}", 2),
            ("/// Does.\npub unsafe fn a() {}", 2),
            ("unsafe\n{ a() }", 1),
            ("unsafe extern \"C\" { fn a(); }", 1),
        ],
    );
}

#[test]
fn unsafe_in_the_wrong_room_fails() {
    let code = "//! A.\n// SAFETY: none.\nfn a() { unsafe { b() } }";
    judges(rules::unsafe_stays_in_its_rooms, "runtime/src/a.rs", code, &[]);
    judges(
        rules::unsafe_stays_in_its_rooms,
        "server/src/a.rs",
        "// unsafe\n#![forbid(unsafe_code)]",
        &[(code, 3)],
    );
    judges(
        rules::unsafe_stays_in_its_rooms,
        "examples/examples/a.rs",
        "",
        &[(code, 3), ("unsafe impl Send for A {}", 1)],
    );
}

#[test]
fn rooms_that_do_not_forbid_unsafe_fail() {
    let found = |server: &str, content: &str| {
        let forbids = "#![forbid(unsafe_code)]\n";
        let files = [
            ("server/src/lib.rs", server),
            ("examples/src/lib.rs", forbids),
            ("content/src/lib.rs", content),
        ];
        rules::unsafe_is_forbidden_elsewhere(&Tree::of(&files))
    };
    let good = "//! A.\n#![forbid(unsafe_code)]\n";
    assert_eq!(found(good, good), Breaches::new());
    assert_eq!(found("//! #![forbid(unsafe_code)]\n", good).len(), 1);
    assert_eq!(found(good, "//! A.\n").len(), 1);
    assert_eq!(rules::unsafe_is_forbidden_elsewhere(&Tree::of(&[])).len(), 2);
}

#[test]
fn machine_paths_fail() {
    let path = |root: &str| format!("one\nsee /{root}/somewhere\n");
    let bad = ["work", "root", "home"].map(path);
    let good = "a/work/b ./root/c https://example.invalid/root/d /workers/ $PWD/work/\n";
    judges(rules::no_machine_paths, "docs/a.md", good, &bad.each_ref().map(|text| (text.as_str(), 2)));
}

/// A project with one example, one recipe and one program, and a README that says `readme`.
fn documented(rule: fn(&Tree) -> Breaches, readme: &str) -> Breaches {
    rule(&Tree::of(&[
        ("Cargo.toml", "members = [\"server\", \"examples\"]"),
        ("server/Cargo.toml", "name = \"sws\""),
        ("server/src/main.rs", "enum Command { Serve }"),
        ("examples/Cargo.toml", "name = \"examples\""),
        ("examples/examples/hello.rs", ""),
        ("examples/site/index.html", ""),
        ("justfile", "set shell := []\ntest *ARGS:\n    cargo test\n"),
        ("README.md", readme),
    ]))
}

#[test]
fn commands_that_do_not_exist_fail() {
    for good in [
        "```sh\ncargo run --release -- serve examples/site # the site\n$ just test\n```\n`cargo test --workspace`",
        "    RUSTFLAGS=x cargo run -p examples --example hello -- --listen 1\n",
        "`sws serve DIR`, `just` and `cargo build -p sws`",
    ] {
        assert_eq!(documented(documents::commands_exist, good), Breaches::new(), "{good}");
    }
    for bad in [
        "`cargo run -- swim`",
        "`cargo run -- serve examples/sight`",
        "`cargo run -p exemplars --example hello`",
        "`cargo run -p examples --example hullo`",
        "`cargo test -p sws --test nothing`",
        "`just jest`",
        "`sws swim`",
    ] {
        assert_eq!(documented(documents::commands_exist, bad).len(), 1, "{bad}");
    }
    assert_eq!(documents::commands_exist(&Tree::of(&[])).len(), 1, "no README");
}

#[test]
fn paths_and_examples_that_do_not_exist_fail() {
    let good = "`server/src/main.rs`, `examples/site/`, `other/place`, `server/src/*.rs`\n\n- Examples: `hello`;\n  and `examples/site`.\n- Else: `hullo`\n";
    for rule in [documents::paths_exist, documents::named_examples_exist] {
        assert_eq!(documented(rule, good), Breaches::new());
    }
    assert_eq!(documented(documents::paths_exist, "`server/src/mine.rs`").len(), 1);
    let breaches = documented(documents::named_examples_exist, "- Examples: `hello`,\n  `hullo`\n");
    assert_eq!(breaches, ["README.md:2: no example `hullo`"]);
}

#[test]
fn tabled_tests_that_do_not_exist_fail() {
    let source = "#[test]\n#[ignore]\nfn rfc1_2_a() {}\n\nfn rfc1_2_b() {}\n";
    let judge = |rows: &str| {
        let table =
            format!("# A\n\n| Rule | Test |\n|---|---|\n{rows}\n\n| Rule | Why |\n|---|---|\n| x | none |\n");
        documents::tabled_tests_exist(&Tree::of(&[("docs/a.md", &table), ("server/tests/a.rs", source)]))
    };
    assert_eq!(judge("| one | `rfc1_2_a` |\n| two | here `rfc1_2_a`, `rfc1_2_a` |"), Breaches::new());
    assert_eq!(judge("| one | `rfc1_2_a` |\n| two | `rfc1_2_c` |"), ["docs/a.md:6: no test `rfc1_2_c`"]);
    assert_eq!(judge("| one | `rfc1_2_a`, `rfc1_2_b` |"), ["docs/a.md:5: no test `rfc1_2_b`"], "not a test");
    assert_eq!(judge("| one | rfc1_2_a |"), ["docs/a.md:5: no test for this rule"]);
}

//! Tidy: the habits of this project, checked. Each rule is a test that lists its breaches as `file:line: what`.
//!
//! | file | what it holds |
//! |---|---|
//! | `tidy/tree.rs` | the files and manifests that the rules look at |
//! | `tidy/scan.rs` | a scanner that tells code from comments and literals |
//! | `tidy/rules.rs` | the rules on manifests and sources |
//! | `tidy/documents.rs` | the rules on documents |
//! | `tidy/rules_tests.rs` | a bad input for each rule, so that one that cannot fail is noticed |

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/rules_tests.rs"]
mod rules_tests;
#[path = "tidy/scan.rs"]
mod scan;
#[path = "tidy/tree.rs"]
mod tree;

use tree::Tree;

/// Fails with every breach of `rule` in the project.
#[track_caller]
fn check(rule: fn(&Tree) -> rules::Breaches) {
    let breaches = rule(&Tree::of_project());
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

#[test]
fn layers() {
    check(rules::layers);
}

#[test]
fn server_names_no_rings() {
    check(rules::server_names_no_rings);
}

#[test]
fn only_rings_use_io_uring() {
    check(rules::only_rings_use_io_uring);
}

#[test]
fn pure_modules() {
    check(rules::pure_modules);
}

#[test]
fn module_docs() {
    check(rules::module_docs);
}

#[test]
fn file_sizes() {
    check(rules::file_sizes);
}

#[test]
fn function_sizes() {
    check(rules::function_sizes);
}

#[test]
fn nothing_left_undone() {
    check(rules::nothing_left_undone);
}

#[test]
fn ignored_tests_have_recipes() {
    check(rules::ignored_tests_have_recipes);
}

#[test]
fn unsafe_is_argued() {
    check(rules::unsafe_is_argued);
}

#[test]
fn unsafe_stays_in_its_rooms() {
    check(rules::unsafe_stays_in_its_rooms);
}

#[test]
fn unsafe_is_forbidden_elsewhere() {
    check(rules::unsafe_is_forbidden_elsewhere);
}

#[test]
fn no_machine_paths() {
    check(rules::no_machine_paths);
}

#[test]
fn commands_in_documents_exist() {
    check(documents::commands_exist);
}

#[test]
fn paths_in_documents_exist() {
    check(documents::paths_exist);
}

#[test]
fn examples_in_documents_exist() {
    check(documents::named_examples_exist);
}

#[test]
fn tests_in_tables_of_documents_exist() {
    check(documents::tabled_tests_exist);
}

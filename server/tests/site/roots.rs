//! The site's folder goes and comes again, and what is saved in it is seen.

use crate::fixture::{Folder, Listener, Program};
use std::fs;

/// Waits until a page and a file are as they were saved.
fn see(program: &Program, listener: &mut Listener, text: &str) {
    while !program.get("/first/").body.contains(text) {
        listener.wait("change");
    }
}

/// Makes the folder `content` or the whole site anew, again and again. A file that was asked for keeps the old folder open.
fn goes_and_comes(whole: bool) {
    let folder = Folder::new();
    let mut program = folder.serve(&[]);
    let mut all = program.listen("", "");
    all.wait("version");
    for round in 0..20 {
        assert_eq!(program.get("/data.txt").status, 200);
        let gone = if whole { "" } else { "content" };
        fs::remove_dir_all(folder.path(gone)).expect("removed");
        // In every second round the site sees that it is gone: pages without articles, but without a root as they were.
        match (round % 2, whole) {
            (0, false) => {
                while program.get("/first/").status != 404 {
                    drop(all.wait("change"))
                }
            }
            (0, true) => while !program.complaint().contains("gone") {},
            _ => {}
        }
        folder.write("static/data.txt", &format!("data {round}"));
        folder.write("content/first.md", &format!("# First\n\nMade in round {round}.\n"));
        see(&program, &mut all, &format!("Made in round {round}."));
        assert_eq!(program.get("/data.txt").body, format!("data {round}"));
        folder.write("content/first.md", &format!("# First\n\nSaved in round {round}.\n"));
        see(&program, &mut all, &format!("Saved in round {round}."));
    }
    program.end();
}

#[test]
fn the_folder_of_articles_goes_and_comes() {
    goes_and_comes(false);
}

#[test]
fn the_whole_site_goes_and_comes() {
    goes_and_comes(true);
}

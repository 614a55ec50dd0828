//! The files that the rules look at, and what the manifests among them say.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Text files of the project by their path from its root, with `/` between folders.
pub struct Tree {
    files: BTreeMap<String, String>,
}

/// A dependency that a manifest names.
pub struct Dependency {
    /// The package, also where the manifest renames it.
    pub package: String,
    /// The line that names it.
    pub line: usize,
}

impl Tree {
    /// The project that these tests belong to: what git tracks or would track, or every file where there is no git.
    pub fn of_project() -> Tree {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the project");
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output();
        let paths: Vec<String> = match listed {
            Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout)
                .split('\0')
                .filter(|p| !p.is_empty())
                .map(String::from)
                .collect(),
            _ => walk(root, root),
        };
        let read = |path: String| std::fs::read_to_string(root.join(&path)).ok().map(|text| (path, text));
        Tree { files: paths.into_iter().filter_map(read).collect() }
    }

    /// A made-up tree, for the tests of the rules.
    pub fn of(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect() }
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Every Rust source.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// Whether `path` is a file or a folder that holds one.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&folder))
    }

    /// The rooms: the folders that the root manifest has as members.
    pub fn rooms(&self) -> Vec<String> {
        let text = self.text("Cargo.toml").unwrap_or_default();
        let Some(list) = text.split("members = [").nth(1).and_then(|rest| rest.split(']').next()) else {
            return Vec::new();
        };
        list.split('"').skip(1).step_by(2).map(String::from).collect()
    }

    /// The package name of a room.
    pub fn package(&self, room: &str) -> Option<String> {
        let text = self.text(&format!("{room}/Cargo.toml"))?;
        let line = text.lines().find(|line| line.starts_with("name = "))?;
        line.split('"').nth(1).map(String::from)
    }

    /// Whether a room has an example, a test, a bench or a program of this name.
    pub fn has_target(&self, room: &str, kind: &str, name: &str) -> bool {
        let folder = match kind {
            "example" => "examples",
            "test" => "tests",
            "bench" => "benches",
            _ => "src/bin",
        };
        let manifest = self.text(&format!("{room}/Cargo.toml")).unwrap_or_default();
        let section = format!("[[{kind}]]\nname = \"{name}\"");
        self.has(&format!("{room}/{folder}/{name}.rs"))
            || self.has(&format!("{room}/{folder}/{name}/main.rs"))
            || manifest.contains(&section)
            || (kind == "bin"
                && self.package(room).as_deref() == Some(name)
                && self.has(&format!("{room}/src/main.rs")))
    }
}

fn walk(root: &Path, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | ".git") {
            found.extend(walk(root, &path));
        } else if path.is_file() {
            found.extend(path.strip_prefix(root).map(|p| p.to_string_lossy().into_owned()));
        }
    }
    found
}

/// Every dependency of any kind that a manifest names.
pub fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let mut inside = false;
    for (n, line) in manifest.lines().enumerate().map(|(n, line)| (n + 1, line.trim())) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            inside = section.ends_with("dependencies") && !section.starts_with("workspace");
            if let Some((_, name)) = section.rsplit_once("dependencies.") {
                found.push(Dependency { package: name.to_string(), line: n });
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let key = line.split(['=', '.', ' ']).next().unwrap_or_default().trim_matches('"');
            let renamed = line.split("package = \"").nth(1).and_then(|rest| rest.split('"').next());
            found.push(Dependency { package: renamed.unwrap_or(key).to_string(), line: n });
        }
    }
    found
}

#[test]
fn dependencies_of_every_form_are_found() {
    let text = "[package]\nname = \"x\"\n[dependencies]\nplain = \"1\"\nshared.workspace = true\nalias = { package = \"real\", version = \"1\" }\n\n[dev-dependencies]\ndev = { path = \"../dev\" }\n[target.\"cfg(loom)\".dependencies]\nloom = \"0.7\"\n[dependencies.long]\nversion = \"1\"\n[lints]\nworkspace = true\n";
    let names: Vec<_> = dependencies(text).into_iter().map(|d| (d.package, d.line)).collect();
    let expected = [("plain", 4), ("shared", 5), ("real", 6), ("dev", 9), ("loom", 11), ("long", 12)];
    assert_eq!(names, expected.map(|(name, line)| (name.to_string(), line)));
}

#[test]
fn the_project_is_found() {
    let tree = Tree::of_project();
    assert!(tree.sources().count() > 7, "few sources: the rules would look at nothing");
    assert!(tree.rooms().iter().any(|room| room == "server"), "{:?}", tree.rooms());
    assert!(tree.has_target("tests", "test", "tidy") && !tree.has_target("tests", "test", "untidy"));
}

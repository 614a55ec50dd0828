//! A folder for a site, gone when the test is over, and what is asked of the site in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sws_content::site::{Answer, Applied, Changes, LoadReport, Query, Rendered, Site, SiteOptions};

/// A folder for a site.
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// A folder of these files, and the folder `content`.
    pub fn of(files: &[(&str, &str)]) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sws-site-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Folder { root: std::env::temp_dir().join(name) };
        std::fs::create_dir_all(folder.path("content")).unwrap();
        for (path, text) in files {
            folder.write(path, text);
        }
        folder
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file as editors do it: another one is renamed to its name.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let passing = path.with_extension("tmp");
        std::fs::write(&passing, text).unwrap();
        std::fs::rename(passing, path).unwrap();
    }

    pub fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }

    pub fn remove_link(&self, path: &str) {
        std::fs::remove_file(self.path(path)).unwrap();
    }

    pub fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub fn load_with(&self, options: SiteOptions) -> (Site, LoadReport) {
        Site::load(&self.root, options).unwrap()
    }

    /// The site, which must have no problems.
    pub fn load(&self) -> Site {
        let (site, report) = self.load_with(SiteOptions::default());
        assert_eq!(report.problems, []);
        site
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Writes a file and tells the site.
pub fn save(folder: &Folder, site: &mut Site, path: &str, text: &str) -> Applied {
    folder.write(path, text);
    site.update(&Changes::of([path]))
}

/// The changes in short: kind, part and path of each.
pub fn told(applied: &Applied) -> Vec<String> {
    applied
        .changes
        .iter()
        .map(|change| format!("{:?} {:?} {}", change.kind, change.of, change.path))
        .collect()
}

/// The page at an address, which may have a query.
pub fn page(site: &Site, url: &str) -> Arc<Rendered> {
    match answer(site, url) {
        Answer::Page(page) => page,
        Answer::File(file) => panic!("{url} is the file {}", file.name),
    }
}

pub fn answer(site: &Site, url: &str) -> Answer {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    site.render(path, &Query::of_pairs(pairs))
}

/// The text of a page that must be there.
pub fn text(site: &Site, url: &str) -> String {
    let page = page(site, url);
    assert_eq!(page.status, 200, "{url}");
    String::from_utf8(page.body.to_vec()).unwrap()
}

pub fn status(site: &Site, url: &str) -> u16 {
    match answer(site, url) {
        Answer::Page(page) => page.status,
        Answer::File(_) => 200,
    }
}

/// The problems as lines.
pub fn problems(site: &Site) -> Vec<String> {
    site.problems().iter().map(ToString::to_string).collect()
}

//! Templates: those of the site, the built-in ones where the site has none, and the last good one where it has a broken one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{Environment, Error, Value};

use super::nesting;
use super::problem::Problem;
use super::theme;

/// The folder of templates.
pub(super) const FOLDER: &str = "templates";

/// The templates of a site.
#[derive(Debug)]
pub(super) struct Templates {
    environment: Environment<'static>,
    /// The hash of each template that is in use, the built-in ones too.
    hashes: BTreeMap<String, u64>,
    /// The sources of the site's own that are in use.
    own: BTreeMap<String, String>,
    /// The names that the rendering under way has loaded beyond its first.
    loaded: Arc<Mutex<BTreeSet<String>>>,
    page_bytes_max: usize,
}

/// What a rendering made, and of which templates.
pub(super) struct Output {
    pub text: String,
    /// Each template by its hash; 0 for one that was looked for and is not there.
    pub templates: Vec<(String, u64)>,
}

/// A page as far as it is rendered. Beyond its bound it takes no more, which ends the rendering.
struct Page<'a> {
    name: &'a str,
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl io::Write for Page<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            return Err(io::Error::other(TooLong { name: self.name.to_owned(), bytes_max: self.bytes_max }));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A template makes a page that is longer than it may be.
#[derive(Debug)]
struct TooLong {
    name: String,
    bytes_max: usize,
}

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "the page has over {} bytes", self.bytes_max)
    }
}

impl std::error::Error for TooLong {}

/// Templates and macros within each other, at most.
const RECURSION_MAX: usize = 20;

impl Templates {
    pub fn new(fuel: u64, page_bytes_max: usize) -> Templates {
        let loaded = Arc::new(Mutex::new(BTreeSet::new()));
        let mut environment = Environment::new();
        environment.set_fuel(Some(fuel));
        // Each level takes up to some kilobytes of a fiber's stack.
        environment.set_recursion_limit(RECURSION_MAX);
        let names = loaded.clone();
        // Called for each template that another one names, before it is looked up.
        environment.set_path_join_callback(move |name, _| {
            names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
            Cow::Borrowed(name)
        });
        let (hashes, own) = (BTreeMap::new(), BTreeMap::new());
        let mut templates = Templates { environment, hashes, own, loaded, page_bytes_max };
        for (name, source) in theme::TEMPLATES {
            let added = templates.put(name, source);
            assert!(added.is_ok(), "the built-in template {name} is broken: {added:?}");
        }
        templates
    }

    fn put(&mut self, name: &str, source: &str) -> Result<(), Error> {
        self.environment.add_template_owned(name.to_owned(), source.to_owned())?;
        let mut hasher = DefaultHasher::new();
        source.hash(&mut hasher);
        self.hashes.insert(name.to_owned(), hasher.finish() | 1);
        Ok(())
    }

    /// The source of the site's own template of this name that is in use.
    pub fn own(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str)
    }

    /// How many templates the site has itself.
    pub fn own_count(&self) -> usize {
        self.own.len()
    }

    pub fn exists(&self, name: &str) -> bool {
        self.hashes.contains_key(name)
    }

    /// The hash of a template in use, 0 if there is none of this name.
    pub fn hash(&self, name: &str) -> u64 {
        self.hashes.get(name).copied().unwrap_or(0)
    }

    /// Takes a template of the site in use, or with no source out of it: then the built-in one of this name is back. One that does
    /// not parse, or nests too deep for that, changes nothing.
    pub fn set(&mut self, name: &str, source: Option<&str>) -> Result<(), Problem> {
        match source {
            Some(source) => {
                let path = || format!("{FOLDER}/{name}");
                nesting::check(source)
                    .map_err(|deep| Problem::new(path(), deep.message).at(deep.line, None))?;
                self.put(name, source).map_err(|error| problem_of(&error, name))?;
                self.own.insert(name.to_owned(), source.to_owned());
            }
            None => {
                self.own.remove(name);
                match theme::TEMPLATES.iter().find(|(builtin, _)| *builtin == name) {
                    Some((_, source)) => {
                        let added = self.put(name, source);
                        debug_assert!(added.is_ok(), "{added:?}");
                    }
                    None => {
                        self.environment.remove_template(name);
                        self.hashes.remove(name);
                    }
                }
            }
        }
        Ok(())
    }

    /// Renders a template and says which ones took part.
    pub fn render(&self, name: &str, context: Value) -> Result<Output, Error> {
        let lock = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        lock().clear();
        let mut page = Page { name, bytes: Vec::new(), bytes_max: self.page_bytes_max };
        self.environment.get_template(name)?.render_captured_to(context, &mut page)?;
        let text = String::from_utf8(page.bytes).expect("the engine writes text");
        let mut names = std::mem::take(&mut *lock());
        names.insert(name.to_owned());
        let templates =
            names.into_iter().map(|name| (self.hash(&name), name)).map(|(hash, name)| (name, hash));
        Ok(Output { text, templates: templates.collect() })
    }
}

/// An error of a template as a problem of its file; `name` is the template of which nothing better is known.
pub(super) fn problem_of(error: &Error, name: &str) -> Problem {
    // The innermost error knows the place where it happened; those around it say how it was reached.
    let mut inner = error;
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        if let Some(source) = source.downcast_ref::<Error>() {
            inner = source;
        }
        let written = source.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(long) = written.and_then(|error| error.downcast_ref::<TooLong>()) {
            return Problem::new(format!("{FOLDER}/{}", long.name), long.to_string());
        }
        next = source.source();
    }
    let message = match inner.detail() {
        Some(detail) => format!("{}: {detail}", inner.kind()),
        None => inner.kind().to_string(),
    };
    let file = inner.name().or(error.name()).unwrap_or(name);
    let problem = Problem::new(format!("{FOLDER}/{file}"), message);
    match inner.line().or(error.line()) {
        Some(line) => problem.at(line as u32, None),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    fn text(templates: &Templates, name: &str) -> String {
        templates.render(name, context! { title => "<b>" }).unwrap().text
    }

    #[test]
    fn the_last_good_one_stays() {
        let mut templates = Templates::new(1000, 1000);
        templates.set("a.html", Some("one {{ title }}")).unwrap();
        let hash = templates.hash("a.html");
        let problem = templates.set("a.html", Some("two\n\n{% if %}")).unwrap_err();
        assert_eq!((problem.path.as_str(), problem.line), ("templates/a.html", Some(3)));
        assert_eq!(text(&templates, "a.html"), "one &lt;b&gt;");
        assert_eq!(templates.hash("a.html"), hash);
        templates.set("a.html", None).unwrap();
        assert!(!templates.exists("a.html"));
    }

    #[test]
    fn the_built_in_one_comes_back() {
        let mut templates = Templates::new(1000, 1000);
        let hash = templates.hash("404.html");
        templates.set("404.html", Some("own")).unwrap();
        assert_eq!(text(&templates, "404.html"), "own");
        templates.set("404.html", None).unwrap();
        assert_eq!(templates.hash("404.html"), hash);
        assert_eq!(templates.own_count(), 0);
    }

    #[test]
    fn a_rendering_knows_its_templates() {
        let mut templates = Templates::new(1000, 1000);
        templates.set("x.html", Some("{% block a %}{% endblock %}")).unwrap();
        let child = "{% extends 'x.html' %}{% block a %}{% include 'y.html' ignore missing %}{% endblock %}";
        templates.set("z.html", Some(child)).unwrap();
        let names = |templates: &Templates| templates.render("z.html", context! {}).unwrap().templates;
        assert_eq!(
            names(&templates),
            [
                ("x.html".to_owned(), templates.hash("x.html")),
                ("y.html".to_owned(), 0),
                ("z.html".to_owned(), templates.hash("z.html")),
            ]
        );
        assert_eq!(templates.render("x.html", context! {}).unwrap().templates.len(), 1);
    }

    #[test]
    fn an_error_of_a_rendering_names_its_template_and_line() {
        let mut templates = Templates::new(1000, 1000);
        templates.set("part.html", Some("\n{{ title|nonsense }}")).unwrap();
        templates.set("whole.html", Some("{% include 'part.html' %}")).unwrap();
        let error = templates.render("whole.html", context! {}).err().unwrap();
        let problem = problem_of(&error, "whole.html");
        assert_eq!((problem.path.as_str(), problem.line), ("templates/part.html", Some(2)), "{problem}");
    }

    #[test]
    fn a_page_has_a_bound() {
        let mut templates = Templates::new(1_000_000, 1000);
        templates.set("part.html", Some("{% for x in range(n) %}é{% endfor %}")).unwrap();
        templates.set("whole.html", Some("{% include 'part.html' %}{{ more }}")).unwrap();
        let render = |n: usize, more: &str| templates.render("whole.html", context! { n, more });
        assert_eq!(render(500, "").unwrap().text, "é".repeat(500));
        for (n, more) in [(500, "x"), (501, ""), (100_000, ""), (0, &"<".repeat(300))] {
            let problem = problem_of(&render(n, more).err().unwrap(), "other.html");
            assert_eq!(problem.to_string(), "templates/whole.html: the page has over 1000 bytes");
        }
    }

    #[test]
    fn a_template_without_an_end_runs_out_of_fuel() {
        let mut templates = Templates::new(1000, 1000);
        templates.set("a.html", Some("{% for x in range(9999) %}{{ x }}{% endfor %}")).unwrap();
        let error = templates.render("a.html", context! {}).err().unwrap();
        assert_eq!(error.kind(), minijinja::ErrorKind::OutOfFuel);
    }
}

//! What is wrong with a site, as values: a [`Problem`] is the author's to mend and stops nothing, a [`SiteError`] says that there
//! is no site to serve.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something in a file of the site that is wrong. What was good before stays served until it is mended.
///
/// ```
/// use sws_content::site::Problem;
///
/// let problem = Problem::new("content/a.md", "no date").at(3, Some(7));
/// assert_eq!(problem.to_string(), "content/a.md:3:7: no date");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// The file, relative to the site's folder.
    pub path: String,
    /// The line within the file, from 1.
    pub line: Option<u32>,
    /// The column within the line, from 1.
    pub column: Option<u32>,
    /// What is wrong, in one line.
    pub message: String,
}

impl Problem {
    /// A problem of a whole file.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { path: path.into(), line: None, column: None, message: message.into() }
    }

    /// The same at a place within the file, both from 1.
    pub fn at(mut self, line: u32, column: Option<u32>) -> Problem {
        self.line = Some(line);
        self.column = column;
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)?;
        for place in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{place}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Why a folder cannot be loaded as a site.
#[non_exhaustive]
pub enum SiteError {
    /// The folder has no folder `content`.
    NoContent {
        /// The folder that was to be a site.
        root: PathBuf,
    },
    /// The folder itself, or its folder `content`, cannot be read.
    Unreadable {
        /// The folder that cannot be read.
        root: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl std::fmt::Debug for SiteError {
    /// As `Display`: it is what a `main` that returns it prints.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for SiteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SiteError::NoContent { root } => {
                write!(f, "{} is no site: it has no folder `content`", root.display())
            }
            SiteError::Unreadable { root, source } => write!(f, "cannot read {}: {source}", root.display()),
        }
    }
}

impl std::error::Error for SiteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SiteError::NoContent { .. } => None,
            SiteError::Unreadable { source, .. } => Some(source),
        }
    }
}

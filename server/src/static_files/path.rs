//! From a raw request path to a clean relative path, or a refusal. Nothing here looks at a file system: symlinks are
//! the opener's part.

use crate::http1::target::{BadPath, decode_path};
use http::StatusCode;

/// Longest name of a file or folder (NAME_MAX).
pub const NAME_BYTES_MAX: usize = 255;

/// Longest relative path: PATH_MAX with room for the folder that is served.
pub const PATH_BYTES_MAX: usize = 2048;

/// The one dot-name that is served (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// A path below the served folder: non-empty names joined by `/`, none of them `.`, `..` or hidden, without NUL,
/// backslash or control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelativePath {
    path: String,
    is_folder: bool,
}

impl RelativePath {
    /// The path without a slash at either end; empty for the served folder itself.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// Whether the request named a folder: its path ended with a slash.
    pub fn is_folder(&self) -> bool {
        self.is_folder
    }
}

/// Why a path is not looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathReject {
    /// It cannot be decoded: a bad escape, NUL, or not UTF-8. Answer 400.
    Encoding(BadPath),
    /// `.` or `..`, plain or encoded. Answer 400.
    Traversal,
    /// An encoded slash, a backslash or a control character. Answer 400.
    Separator,
    /// A name that begins with a dot, an empty one, or one too long: there is no such file. Answer 404.
    NotServed,
}

impl PathReject {
    /// The status code of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            PathReject::Encoding(_) | PathReject::Traversal | PathReject::Separator => {
                StatusCode::BAD_REQUEST
            }
            PathReject::NotServed => StatusCode::NOT_FOUND,
        }
    }
}

impl std::fmt::Display for PathReject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PathReject::Encoding(error) => error.fmt(f),
            PathReject::Traversal => f.write_str("a path with dot segments"),
            PathReject::Separator => f.write_str("a path with an encoded separator or a control character"),
            PathReject::NotServed => f.write_str("a name that is not served"),
        }
    }
}

impl std::error::Error for PathReject {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PathReject::Encoding(error) => Some(error),
            PathReject::Traversal | PathReject::Separator | PathReject::NotServed => None,
        }
    }
}

/// Resolves a path as it stands in the request target, still percent-encoded, with or without its leading slash.
///
/// Each segment is decoded exactly once. A segment that decodes to something other than a plain name is refused and
/// not repaired: clients resolve dot segments before they send.
///
/// ```
/// use sws::static_files::path::{PathReject, resolve};
///
/// let path = resolve("/news/caf%C3%A9.html").unwrap();
/// assert_eq!((path.as_str(), path.is_folder()), ("news/café.html", false));
/// assert_eq!(resolve("/%2e%2e/etc/passwd"), Err(PathReject::Traversal));
/// assert_eq!(resolve("/.git/config").unwrap_err().status(), 404);
/// ```
pub fn resolve(raw_path: &str) -> Result<RelativePath, PathReject> {
    let raw = raw_path.strip_prefix('/').unwrap_or(raw_path);
    let (raw, is_folder) = match raw.strip_suffix('/') {
        Some(raw) => (raw, true),
        None => (raw, raw.is_empty()),
    };
    let mut path = String::with_capacity(raw.len());
    if raw.is_empty() {
        // "/" is the folder itself; "//" has an empty name in it.
        return if raw_path.len() <= 1 {
            Ok(RelativePath { path, is_folder })
        } else {
            Err(PathReject::NotServed)
        };
    }
    let mut is_served = true;
    for raw_segment in raw.split('/') {
        let segment = decode_path(raw_segment).map_err(PathReject::Encoding)?;
        if segment == "." || segment == ".." {
            return Err(PathReject::Traversal);
        }
        if segment.bytes().any(|byte| byte == b'/' || byte == b'\\' || byte.is_ascii_control()) {
            return Err(PathReject::Separator);
        }
        let is_hidden = segment.starts_with('.') && segment != WELL_KNOWN;
        is_served &= !is_hidden && !segment.is_empty() && segment.len() <= NAME_BYTES_MAX;
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&segment);
    }
    if is_served && path.len() <= PATH_BYTES_MAX {
        Ok(RelativePath { path, is_folder })
    } else {
        Err(PathReject::NotServed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves() {
        let table = [
            ("/", "", true),
            ("", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/a/b.html", "a/b.html", false),
            ("/a%2Eb", "a.b", false),
            ("/a..b/c...", "a..b/c...", false),
            ("/%252e%252e/x", "%2e%2e/x", false),
            ("/%20", " ", false),
            ("/a+b", "a+b", false),
            ("/caf%c3%a9", "café", false),
            ("/.well-known/security.txt", ".well-known/security.txt", false),
            ("/C:/x", "C:/x", false),
        ];
        for (raw, path, is_folder) in table {
            let resolved = resolve(raw).unwrap_or_else(|reject| panic!("{raw}: {reject}"));
            assert_eq!((resolved.as_str(), resolved.is_folder()), (path, is_folder), "{raw}");
        }
    }

    #[test]
    fn refuses() {
        let long_name = format!("/{}", "a".repeat(NAME_BYTES_MAX + 1));
        let long_path = "/abcdefgh".repeat(PATH_BYTES_MAX / 8);
        let table = [
            ("/..", PathReject::Traversal),
            ("/../x", PathReject::Traversal),
            ("/a/../b", PathReject::Traversal),
            ("/a/..", PathReject::Traversal),
            ("/./a", PathReject::Traversal),
            ("/a/.", PathReject::Traversal),
            ("/%2e%2e/x", PathReject::Traversal),
            ("/%2E./x", PathReject::Traversal),
            ("/.%2e/x", PathReject::Traversal),
            ("/%2e", PathReject::Traversal),
            ("/.hidden/../x", PathReject::Traversal),
            ("/..%2fx", PathReject::Separator),
            ("/a%2Fb", PathReject::Separator),
            ("/..%5cx", PathReject::Separator),
            ("/..\\x", PathReject::Separator),
            ("/a\\b", PathReject::Separator),
            ("/a%0d%0ab", PathReject::Separator),
            ("/a%7f", PathReject::Separator),
            ("/%00", PathReject::Encoding(BadPath::Nul)),
            ("/a.html%00.png", PathReject::Encoding(BadPath::Nul)),
            ("/%", PathReject::Encoding(BadPath::Escape)),
            ("/%zz", PathReject::Encoding(BadPath::Escape)),
            ("/%c0%ae%c0%ae/x", PathReject::Encoding(BadPath::Utf8)),
            ("/%ff", PathReject::Encoding(BadPath::Utf8)),
            ("/.git", PathReject::NotServed),
            ("/%2egit/config", PathReject::NotServed),
            ("/a/.env", PathReject::NotServed),
            ("/.well-known/.x", PathReject::NotServed),
            ("/.well-knownx", PathReject::NotServed),
            ("//", PathReject::NotServed),
            ("//a", PathReject::NotServed),
            ("/a//b", PathReject::NotServed),
            ("/a//", PathReject::NotServed),
            (&long_name, PathReject::NotServed),
            (&long_path, PathReject::NotServed),
        ];
        for (raw, reject) in table {
            assert_eq!(resolve(raw), Err(reject), "{raw}");
            let status = if reject == PathReject::NotServed { 404 } else { 400 };
            assert_eq!(reject.status(), status, "{raw}");
        }
    }
}

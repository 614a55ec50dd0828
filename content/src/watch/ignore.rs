//! Which names are nobody's content: hidden files and what editors and copiers leave for a moment. Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Names of files and folders that a [`Watcher`](super::Watcher) does not see. A folder that is ignored is not watched, so nothing
/// below it is seen either.
///
/// ```
/// use sws_content::watch::Ignore;
///
/// let ignore = Ignore::default().name("*.bak");
/// assert!(ignore.matches("post.md~".as_ref()) && ignore.matches(".git".as_ref()));
/// assert!(ignore.matches("post.bak".as_ref()));
/// assert!(!ignore.matches("post.md".as_ref()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignore {
    hidden: bool,
    temporaries: bool,
    names: Vec<OsString>,
}

impl Default for Ignore {
    /// Hidden names and temporaries.
    fn default() -> Ignore {
        Ignore { hidden: true, temporaries: true, names: Vec::new() }
    }
}

impl Ignore {
    /// Ignores nothing.
    pub fn nothing() -> Ignore {
        Ignore { hidden: false, temporaries: false, names: Vec::new() }
    }

    /// Whether names that begin with a dot are ignored (they are by default). Among them are `.git`, vim's swap files and the
    /// temporaries of rsync.
    pub fn hidden(mut self, ignored: bool) -> Ignore {
        self.hidden = ignored;
        self
    }

    /// Whether the temporaries of editors and copiers are ignored (they are by default): `x~`, `4913` and `.x.swp` of vim, `#x#`
    /// and `.#x` of Emacs, `x___jb_tmp___` and `x___jb_old___` of the JetBrains editors, `.x.Ab12Cd` of rsync,
    /// `.goutputstream-Ab12Cd` of GTK, and `.git`.
    pub fn temporaries(mut self, ignored: bool) -> Ignore {
        self.temporaries = ignored;
        self
    }

    /// Ignores a name too. `*` stands for any text, `?` for any byte.
    pub fn name(mut self, pattern: impl Into<OsString>) -> Ignore {
        self.names.push(pattern.into());
        self
    }

    /// Whether a name (one component of a path) is ignored.
    pub fn matches(&self, name: &OsStr) -> bool {
        let bytes = name.as_bytes();
        (self.hidden && bytes.first() == Some(&b'.'))
            || (self.temporaries && is_temporary(bytes))
            || self.names.iter().any(|pattern| matches_glob(pattern.as_bytes(), bytes))
    }
}

fn is_temporary(name: &[u8]) -> bool {
    let swap = || {
        name.len() > 5
            && name.starts_with(b".")
            && name[name.len() - 4..].starts_with(b".sw")
            && name[name.len() - 1].is_ascii_lowercase()
    };
    let suffixed = || {
        let (head, tail) = name.split_at(name.len().saturating_sub(7));
        head.len() > 1
            && head[0] == b'.'
            && tail[0] == b'.'
            && tail[1..].iter().all(u8::is_ascii_alphanumeric)
    };
    name == b".git"
        || name == b"4913"
        || (name.len() > 1 && name.ends_with(b"~"))
        || (name.len() > 2 && name.starts_with(b"#") && name.ends_with(b"#"))
        || name.starts_with(b".#")
        || name.ends_with(b"___jb_tmp___")
        || name.ends_with(b"___jb_old___")
        || name.starts_with(b".goutputstream-")
        || swap()
        || suffixed()
}

/// Linear in the name for each star: goes back to the last star only.
fn matches_glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            Some(_) | None => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    p = after;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporaries_of_editors_and_copiers() {
        let ignore = Ignore::nothing().temporaries(true);
        for name in [
            "post.md~",
            "4913",
            ".post.md.swp",
            ".post.md.swx",
            ".post.md.swo",
            "#post.md#",
            ".#post.md",
            "post.md___jb_tmp___",
            "post.md___jb_old___",
            ".post.md.a1B2c3",
            ".goutputstream-XY12",
            ".git",
        ] {
            assert!(ignore.matches(name.as_ref()), "{name}");
        }
        for name in [
            "post.md",
            "~",
            "#",
            "##",
            "49130",
            "a4913",
            ".hidden",
            "post.a1B2c3",
            "sw",
            ".swp",
            "post.swp",
            "",
        ] {
            assert!(!ignore.matches(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn hidden_and_own_names() {
        assert!(Ignore::default().matches(".env".as_ref()));
        assert!(!Ignore::default().hidden(false).matches(".env".as_ref()));
        assert!(!Ignore::nothing().matches("x~".as_ref()));
        let table = [
            ("*.bak", "a.bak", true),
            ("*.bak", ".bak", true),
            ("*.bak", "a.bak2", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXcXb", false),
            ("node_modules", "node_modules", true),
            ("node_modules", "node_module", false),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(Ignore::nothing().name(pattern).matches(name.as_ref()), expected, "{pattern} {name}");
        }
    }
}

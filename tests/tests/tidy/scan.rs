//! A small scanner of Rust source: code apart from comments and literals, functions, test parts, imports.
//!
//! It knows just enough of the lexical grammar (nested comments, raw strings, lifetimes against chars) that a brace
//! in a string or a word in a comment is never taken for code. Lines are counted from 1.

use std::ops::RangeInclusive;

/// A source text split into its code and its comments, line by line; each keeps its column.
pub struct Scan {
    /// The code; comments, strings and chars are blanks.
    pub code: Vec<String>,
    /// The comments; all else is blanks.
    pub comments: Vec<String>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// From the line of `fn` to that of the closing brace.
    pub lines: RangeInclusive<usize>,
}

impl Function {
    /// How many lines it covers.
    pub fn len(&self) -> usize {
        self.lines.end() - self.lines.start() + 1
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl Scan {
    /// Scans `text`.
    pub fn new(text: &str) -> Scan {
        let chars: Vec<char> = text.chars().collect();
        let kinds = kinds(&chars);
        let keep = |wanted: Kind| -> Vec<String> {
            let masked =
                chars.iter().zip(&kinds).map(|(&c, &kind)| if c == '\n' || kind == wanted { c } else { ' ' });
            masked.collect::<String>().split('\n').map(|line| line.trim_end().to_string()).collect()
        };
        Scan { code: keep(Kind::Code), comments: keep(Kind::Comment) }
    }

    /// Line numbers on which `word` stands in the code as a whole word; `::` and `!` may be part of it.
    pub fn lines_with(&self, word: &str) -> Vec<usize> {
        let hit = |line: &&(usize, &String)| !words_at(line.1, word).is_empty();
        self.code
            .iter()
            .enumerate()
            .map(|(i, line)| (i + 1, line))
            .filter(|line| hit(&line))
            .map(|l| l.0)
            .collect()
    }

    /// Every function with a body, nested ones too.
    pub fn functions(&self) -> Vec<Function> {
        let (text, starts) = self.joined();
        let mut found = Vec::new();
        for at in words_at(&text, "fn") {
            let name: String = text[at + 2..].trim_start().chars().take_while(|&c| is_word(c)).collect();
            if name.is_empty() {
                continue;
            }
            if let Some(open) = body_start(&text, at) {
                let close = matching_brace(&text, open);
                found.push(Function { name, lines: line_of(&starts, at)..=line_of(&starts, close) });
            }
        }
        found
    }

    /// The items under `#[cfg(test)]` or `#[cfg(all(test, ..))]`, as line ranges.
    pub fn test_parts(&self) -> Vec<RangeInclusive<usize>> {
        let (text, starts) = self.joined();
        let mut parts = Vec::new();
        for (at, _) in text.match_indices("#[cfg(") {
            let Some(end) = text[at..].find(']').map(|n| at + n) else { continue };
            let attribute: String = text[at..=end].split_whitespace().collect();
            if attribute != "#[cfg(test)]" && !attribute.starts_with("#[cfg(all(test,") {
                continue;
            }
            let close = body_start(&text, end + 1).map_or(end, |open| matching_brace(&text, open));
            parts.push(line_of(&starts, at)..=line_of(&starts, close));
        }
        parts
    }

    /// Every path that a `use` brings in, groups spelled out, with its line.
    pub fn imports(&self) -> Vec<(usize, String)> {
        let (text, starts) = self.joined();
        let mut found = Vec::new();
        for at in words_at(&text, "use") {
            let end = text[at..].find(';').map_or(text.len(), |n| at + n);
            let tree: String = text[at + 3..end].replace(" as ", "@").split_whitespace().collect();
            let line = line_of(&starts, at);
            found.extend(spelled_out(&tree).into_iter().map(|path| (line, path)));
        }
        found
    }

    fn joined(&self) -> (String, Vec<usize>) {
        let mut starts = Vec::with_capacity(self.code.len());
        let mut text = String::new();
        for line in &self.code {
            starts.push(text.len());
            text.push_str(line);
            text.push('\n');
        }
        (text, starts)
    }
}

/// Whether `line` lies in one of `parts`.
pub fn within(parts: &[RangeInclusive<usize>], line: usize) -> bool {
    parts.iter().any(|part| part.contains(&line))
}

/// Where `word` stands in `text` with no word character directly before or after it.
pub fn words_at(text: &str, word: &str) -> Vec<usize> {
    let ends_in_word = word.ends_with(is_word);
    let whole = |at: usize| {
        let before = text[..at].chars().next_back().is_some_and(is_word);
        let after = ends_in_word && text[at + word.len()..].chars().next().is_some_and(is_word);
        !before && !after
    };
    text.match_indices(word).map(|(at, _)| at).filter(|&at| whole(at)).collect()
}

/// Whether `c` can be part of an identifier.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(starts: &[usize], at: usize) -> usize {
    starts.partition_point(|&start| start <= at)
}

/// The `{` that opens the body of the item at `from`, or none if a `;` ends the item first.
fn body_start(text: &str, from: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (n, c) in text[from..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(from + n),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn matching_brace(text: &str, open: usize) -> usize {
    let mut depth = 0i32;
    for (n, c) in text[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + n;
        }
    }
    text.len() - 1
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn spelled_out(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else { return vec![tree.to_string()] };
    let (prefix, inner) = (&tree[..open], tree[open + 1..].trim_end_matches('}'));
    let mut paths = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (n, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth <= 0 || n == inner.len() => {
                paths.extend(
                    spelled_out(&inner[from..n])
                        .iter()
                        .filter(|p| !p.is_empty())
                        .map(|p| format!("{prefix}{p}")),
                );
                from = (n + 1).min(inner.len());
            }
            _ => {}
        }
    }
    paths
}

fn kinds(chars: &[char]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Code; chars.len()];
    let mut at = 0;
    while at < chars.len() {
        let (kind, end) = token(chars, at);
        kinds[at..end].fill(kind);
        at = end;
    }
    kinds
}

/// The kind of what begins at `at`, and where it ends.
fn token(chars: &[char], at: usize) -> (Kind, usize) {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => (Kind::Comment, end_of_line(chars, at)),
        '/' if next == Some('*') => (Kind::Comment, end_of_block_comment(chars, at)),
        '"' => (Kind::Literal, end_of_quoted(chars, at + 1, '"')),
        '\'' if is_char_literal(chars, at) => (Kind::Literal, end_of_quoted(chars, at + 1, '\'')),
        c if is_word(c) => {
            let end = at + chars[at..].iter().take_while(|&&c| is_word(c)).count();
            let word: String = chars[at..end].iter().collect();
            match (word.as_str(), chars.get(end)) {
                ("r" | "br" | "cr", Some('"' | '#')) => {
                    raw_string(chars, end).map_or((Kind::Code, end), |end| (Kind::Literal, end))
                }
                _ => (Kind::Code, end),
            }
        }
        _ => (Kind::Code, at + 1),
    }
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    at + chars[at..].iter().take_while(|&&c| c != '\n').count()
}

fn end_of_block_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut n) = (0, at);
    while n < chars.len() {
        match (chars[n], chars.get(n + 1)) {
            ('/', Some('*')) => (depth, n) = (depth + 1, n + 2),
            ('*', Some('/')) => (depth, n) = (depth - 1, n + 2),
            _ => n += 1,
        }
        if depth == 0 {
            return n;
        }
    }
    chars.len()
}

fn end_of_quoted(chars: &[char], from: usize, quote: char) -> usize {
    let mut n = from;
    while n < chars.len() {
        match chars[n] {
            '\\' => n += 2,
            c if c == quote => return n + 1,
            _ => n += 1,
        }
    }
    chars.len()
}

/// A quote opens a char if it is escaped or closed after one character; else it is a lifetime or a label.
fn is_char_literal(chars: &[char], at: usize) -> bool {
    chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'')
}

/// The end of a raw string whose `#`s or quote begin at `at`; none if it is a raw identifier.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|&&c| c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let mut n = at + hashes + 1;
    while n < chars.len() {
        if chars[n] == '"' && chars[n + 1..].iter().take_while(|&&c| c == '#').count() >= hashes {
            return Some(n + 1 + hashes);
        }
        n += 1;
    }
    Some(chars.len())
}

#[test]
fn literals_and_comments_are_not_code() {
    let text = "let a = \"{ \\\" fn x() {\"; // fn y() {\nlet b = r#\"a \" {\"#; /* { /* { */ { */ let c = '{'; let d: &'a str = '\\'';\nlet r#fn = b\"}\";";
    let scan = Scan::new(text);
    assert_eq!(scan.code.len(), 3);
    assert!(scan.code.iter().all(|line| !line.contains(['{', '}', '"'])), "{:?}", scan.code);
    assert!(scan.code[1].contains("&'a str"), "{:?}", scan.code[1]);
    assert!(scan.comments[0].contains("// fn y() {") && !scan.comments[0].contains("let"));
    assert!(scan.functions().is_empty());
}

#[test]
fn functions_are_found_with_their_lines() {
    let text = "fn a() {\n    if x { \"}\" } else { y }\n}\ntrait T { fn no_body(&self, x: [u8; 4]) -> u8; }\nfn b<T>(f: fn(u8) -> u8) -> [u8; 2]\nwhere\n    T: Sized,\n{\n    fn inner() {}\n}\n";
    let found: Vec<_> = Scan::new(text)
        .functions()
        .into_iter()
        .map(|f| (f.name.clone(), *f.lines.start(), f.len()))
        .collect();
    assert_eq!(found, [("a".into(), 1, 3), ("b".into(), 5, 6), ("inner".into(), 9, 1)]);
}

#[test]
fn test_parts_are_found() {
    let text = "#[cfg(test)]\nmod tests {\n    fn a() {}\n}\nfn b() {}\n#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod more;\n#[cfg(feature = \"x\")]\nmod c {}\n";
    let parts = Scan::new(text).test_parts();
    assert!((1..=4).all(|line| within(&parts, line)), "{parts:?}");
    assert!(!within(&parts, 5) && within(&parts, 6) && !within(&parts, 10), "{parts:?}");
}

#[test]
fn imports_are_spelled_out() {
    let text = "use std::{fs, io::{self, Read as _}, net::TcpStream};\npub use a::b;\n";
    let paths: Vec<_> = Scan::new(text).imports().into_iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["std::fs", "std::io::self", "std::io::Read@_", "std::net::TcpStream", "a::b"]);
}

#[test]
fn words_are_whole() {
    assert_eq!(words_at("unsafe_code unsafe(x) not_unsafe unsafe", "unsafe"), [12, 33]);
    assert_eq!(words_at("my_todo!() todo!()", "todo!"), [11]);
}

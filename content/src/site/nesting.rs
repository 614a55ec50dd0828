//! How deep a template nests, told from its source before it is parsed. The engine goes as deep as the source does, and bounds itself
//! only at brackets and blocks: a sum of a thousand numbers is a thousand levels.
//!
//! The source is split as the engine's lexer splits it. Where that would fail the parser goes no further, and neither does this.

/// Operators, filters, attributes, calls, conditions and brackets around each other in one tag.
pub(super) const STEPS_MAX: usize = 200;
/// `elif` in an `if` and in those around it.
pub(super) const ELIFS_MAX: usize = 200;

/// What nests too deep, and the line of the tag.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooDeep {
    pub line: u32,
    pub message: String,
}

/// Looks whether a template nests no deeper than it may.
pub(super) fn check(source: &str) -> Result<(), TooDeep> {
    let bytes = source.as_bytes();
    let too_deep = |at: usize, message: String| {
        let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
        TooDeep { line: line as u32, message }
    };
    let (mut elifs_of, mut elifs): (Vec<usize>, usize) = (Vec::new(), 0);
    let mut at = 0;
    while let Some(start) = find_tag(bytes, at) {
        let inner = start + 2 + usize::from(matches!(bytes.get(start + 2), Some(b'-' | b'+')));
        let kind = bytes[start + 1];
        let end = match kind {
            b'#' => find(bytes, inner, b"#}").map(|end| end + 2),
            b'%' if basic_tag(&bytes[inner..], b"raw").is_some() => end_of_raw(bytes, inner),
            _ => {
                let mut tag = Tag { bytes, at: inner, levels: vec![Level::default()] };
                let end = tag.scan(if kind == b'%' { b"%}" } else { b"}}" });
                if tag.depth() > STEPS_MAX {
                    let message = format!(
                        "over {STEPS_MAX} operators, filters and brackets around each other in one tag"
                    );
                    return Err(too_deep(start, message));
                }
                end
            }
        };
        match (kind == b'%').then(|| word(&bytes[inner..])) {
            Some(b"if") => elifs_of.push(0),
            Some(b"elif") => {
                elifs_of.last_mut().into_iter().for_each(|count| *count += 1);
                elifs += 1;
                if elifs > ELIFS_MAX {
                    return Err(too_deep(start, format!("over {ELIFS_MAX} `elif` in one `if`")));
                }
            }
            Some(b"endif") => elifs -= elifs_of.pop().unwrap_or(0),
            _ => {}
        }
        let Some(end) = end else { break };
        at = end;
    }
    Ok(())
}

/// The first word of a tag.
fn word(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii_start();
    &tag[..tag.iter().take_while(|byte| is_word(**byte)).count()]
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn find(bytes: &[u8], from: usize, what: &[u8; 2]) -> Option<usize> {
    bytes.get(from..)?.windows(2).position(|pair| pair == what).map(|at| from + at)
}

/// Where the next tag or comment begins.
fn find_tag(bytes: &[u8], from: usize) -> Option<usize> {
    let begins = |pair: &[u8]| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#');
    bytes.get(from..)?.windows(2).position(begins).map(|at| from + at)
}

/// The bytes of a tag of one word, behind its opening, if it is that.
fn basic_tag(tag: &[u8], name: &[u8]) -> Option<usize> {
    let rest = tag.trim_ascii_start().strip_prefix(name)?.trim_ascii_start();
    let rest = rest.strip_prefix(b"-").or(rest.strip_prefix(b"+")).unwrap_or(rest);
    rest.strip_prefix(b"%}").map(|rest| tag.len() - rest.len())
}

/// Where a text ends that is no template.
fn end_of_raw(bytes: &[u8], inner: usize) -> Option<usize> {
    let mut at = inner + basic_tag(&bytes[inner..], b"raw")?;
    loop {
        at = find(bytes, at, b"{%")? + 2;
        let signed = usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
        if let Some(len) = basic_tag(&bytes[at + signed..], b"endraw") {
            return Some(at + signed + len);
        }
    }
}

/// What stands between two brackets.
#[derive(Default)]
struct Level {
    /// Since the last comma: each may be around all others and around what is in brackets.
    steps: usize,
    /// The deepest brackets since the last comma.
    inner: usize,
    /// The deepest before the last comma.
    before: usize,
}

impl Level {
    fn depth(&self) -> usize {
        self.before.max(self.steps + self.inner)
    }
}

/// A tag that is looked through.
struct Tag<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The open brackets, and the tag itself for the first.
    levels: Vec<Level>,
}

impl Tag<'_> {
    /// Goes to the end of the tag; none if it has none.
    fn scan(&mut self, end: &[u8; 2]) -> Option<usize> {
        loop {
            self.skip(|byte| byte.is_ascii_whitespace());
            let rest = &self.bytes[self.at..];
            let is_open = self.levels.len() > 1;
            if !is_open {
                let signed = usize::from(matches!(rest.first(), Some(b'-' | b'+')));
                if let Some(len) = [signed, 0].into_iter().find(|len| rest[*len..].starts_with(end)) {
                    return Some(self.at + len + 2);
                }
            }
            let level = self.levels.last_mut()?;
            match rest.first()? {
                b',' => *level = Level { before: level.depth(), ..Level::default() },
                b':' => {}
                b'(' | b'[' | b'{' => {
                    level.steps += 1;
                    self.levels.push(Level::default());
                }
                b')' | b']' | b'}' if is_open => self.close(),
                quote @ (b'\'' | b'"') => {
                    self.at += 1 + string_len(&rest[1..], *quote)?;
                }
                b'+' | b'-' | b'*' | b'/' | b'%' | b'.' | b'~' | b'|' | b'=' | b'<' | b'>' | b'!' => {
                    level.steps += 1;
                    let pair = rest.get(..2).unwrap_or_default();
                    let is_pair = [b"//", b"**", b"==", b"!=", b">=", b"<="].iter().any(|op| *op == pair);
                    self.at += usize::from(is_pair);
                }
                byte if is_word(*byte) => {
                    let len = rest.iter().take_while(|byte| is_word(**byte)).count();
                    level.steps += usize::from(is_step(&rest[..len]));
                    self.at += len - 1;
                }
                _ => return None,
            }
            self.at += 1;
        }
    }

    fn skip(&mut self, what: impl Fn(&u8) -> bool) {
        self.at += self.bytes[self.at..].iter().take_while(|byte| what(byte)).count();
    }

    fn close(&mut self) {
        let depth = self.levels.pop().map_or(0, |level| level.depth());
        if let Some(around) = self.levels.last_mut() {
            around.inner = around.inner.max(depth);
        }
    }

    /// How deep the tag nests, brackets included that are not closed.
    fn depth(&mut self) -> usize {
        while self.levels.len() > 1 {
            self.close();
        }
        self.levels[0].depth()
    }
}

/// Whether a word is an operator. A number may have one at its end.
fn is_step(word: &[u8]) -> bool {
    let is_number = word.first().is_some_and(u8::is_ascii_digit);
    match is_number {
        true => word.iter().any(|byte| !byte.is_ascii_digit()),
        false => matches!(word, b"and" | b"or" | b"not" | b"if" | b"else" | b"is" | b"in"),
    }
}

/// The bytes of a string between its quotes, if it has an end.
fn string_len(text: &[u8], quote: u8) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|byte| {
        let ends = !is_escaped && *byte == quote;
        is_escaped = !is_escaped && *byte == b'\\';
        ends
    })
}

#[cfg(test)]
#[path = "nesting_tests.rs"]
mod tests;

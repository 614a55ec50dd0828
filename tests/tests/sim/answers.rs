//! What a peer is owed: answers in their order, some of which can be given in more than one way.

use std::ops::ControlFlow;

/// Stands for a byte of a date in a [`Way`]'s head.
pub const ANY: u8 = 0xff;
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One way to give an answer.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Compared byte by byte, [`ANY`] with any.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    /// The connection ends behind it.
    pub is_last: bool,
    /// The connection may end within it.
    pub may_be_cut: bool,
}

impl Way {
    /// Exactly these bytes.
    pub fn exactly(body: Vec<u8>) -> Way {
        Way { body, ..Way::default() }
    }

    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// How much of this way is there: `None` if it is something else.
    fn common(&self, received: &[u8]) -> Option<usize> {
        let head = received.len().min(self.head.len());
        let is_same = |(ours, theirs): (&u8, &u8)| *ours == ANY || ours == theirs;
        let body = (received.len() - head).min(self.body.len());
        let fits = self.head[..head].iter().zip(&received[..head]).all(is_same)
            && self.body[..body] == received[head..head + body];
        fits.then_some(head + body)
    }
}

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// A `100 Continue` may stand before it.
    pub may_continue: bool,
    pub ways: Vec<Way>,
}

impl From<Way> for Answer {
    fn from(way: Way) -> Answer {
        Answer { may_continue: false, ways: vec![way] }
    }
}

/// What a peer has got of what it was owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    Whole,
    /// The beginning, up to within this answer.
    Part {
        answer: usize,
    },
    /// Something else, from this byte on.
    Other {
        at: usize,
        answer: usize,
    },
}

/// Compares what was received with what was owed.
pub fn compare(answers: &[Answer], received: &[u8]) -> Got {
    let mut at = 0;
    for (number, answer) in answers.iter().enumerate() {
        match answer.take(&received[at..]) {
            ControlFlow::Continue(len) => at += len,
            ControlFlow::Break(Ok(len)) if at + len == received.len() => return Got::Whole,
            ControlFlow::Break(Ok(len)) => return Got::Other { at: at + len, answer: number },
            ControlFlow::Break(Err(true)) => return Got::Part { answer: number },
            ControlFlow::Break(Err(false)) => return Got::Other { at, answer: number },
        }
    }
    match at == received.len() {
        true => Got::Whole,
        false => Got::Other { at, answer: answers.len() },
    }
}

impl Answer {
    /// Takes this answer from the front. It breaks with a length where the connection ends here, and otherwise with
    /// whether the bytes are the beginning of the answer.
    fn take(&self, received: &[u8]) -> ControlFlow<Result<usize, bool>, usize> {
        let informed = self.may_continue && received.starts_with(CONTINUE);
        let before = if informed { CONTINUE.len() } else { 0 };
        let rest = &received[before..];
        let mut whole = self.ways.iter().filter(|way| way.common(rest) == Some(way.len()));
        let fits = |way: &&Way| way.is_last == (way.len() == rest.len());
        if let Some(way) = whole.clone().find(fits).or_else(|| whole.next()) {
            return match way.is_last {
                true => ControlFlow::Break(Ok(before + way.len())),
                false => ControlFlow::Continue(before + way.len()),
            };
        }
        let begun = |way: &&Way| way.common(rest) == Some(rest.len());
        if self.ways.iter().filter(begun).any(|way| way.may_be_cut) {
            return ControlFlow::Break(Ok(received.len()));
        }
        let is_begun =
            self.ways.iter().any(|way| begun(&way)) || (self.may_continue && CONTINUE.starts_with(rest));
        ControlFlow::Break(Err(is_begun))
    }
}

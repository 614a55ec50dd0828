//! Bodies: limits, errors of the connection, files and streams.

use super::*;

/// Gives `pieces` one per read, then `end`.
struct Pieces {
    pieces: Vec<&'static [u8]>,
    end: Option<io::Error>,
    hint: Option<u64>,
}

impl Pieces {
    fn new(pieces: &[&'static [u8]]) -> Self {
        Self { pieces: pieces.iter().rev().copied().collect(), end: None, hint: None }
    }

    fn body(self) -> RequestBody {
        RequestBody::from_source(Box::new(self))
    }
}

impl BodySource for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.pieces.pop() else {
            return self.end.take().map_or(Ok(0), Err);
        };
        let count = piece.len().min(buf.len());
        buf[..count].copy_from_slice(&piece[..count]);
        if count < piece.len() {
            self.pieces.push(&piece[count..]);
        }
        Ok(count)
    }

    fn remaining_hint(&self) -> Option<u64> {
        self.hint
    }
}

#[test]
fn a_body_in_memory_reads_in_pieces_and_whole() {
    let mut body = RequestBody::from(Bytes::from_static(b"hello"));
    let mut buf = [0; 2];
    assert_eq!(body.remaining(), Some(5));
    assert_eq!(body.read(&mut buf).unwrap(), 2);
    assert_eq!((&buf, body.remaining()), (b"he", Some(3)));
    assert_eq!(body.read_whole(3).unwrap(), "llo");
    assert_eq!(body.read(&mut buf).unwrap(), 0);
    assert_eq!(body.read_whole(0).unwrap(), "");
    assert_eq!(RequestBody::empty().read_whole(0).unwrap(), "");
}

#[test]
fn a_stream_is_joined_whatever_its_pieces() {
    for pieces in [&[b"hello".as_slice()] as &[&[u8]], &[b"h", b"el", b"lo"], &[b"hell", b"o"]] {
        assert_eq!(Pieces::new(pieces).body().read_whole(5).unwrap(), "hello");
    }
    assert_eq!(Pieces::new(&[]).body().read_whole(0).unwrap(), "");
}

#[test]
fn the_limit_holds_with_and_without_a_declared_length() {
    let over = Err(BodyError::TooLarge { bytes_max: 4 });
    assert_eq!(Pieces::new(&[b"hel", b"lo"]).body().read_whole(4), over);
    assert_eq!(RequestBody::from(Bytes::from_static(b"hello")).read_whole(4), over);
    let mut declared = Pieces { hint: Some(5), ..Pieces::new(&[b"hello"]) }.body();
    assert_eq!(declared.read_whole(4), over);
    assert_eq!(declared.read_whole(5).unwrap(), "hello", "a refusal by the declared length reads nothing");
}

#[test]
fn a_declared_length_does_not_reserve_its_memory() {
    let body = Pieces { hint: Some(u64::MAX), ..Pieces::new(&[b"x"]) }.body().read_whole(usize::MAX).unwrap();
    assert_eq!(body, "x");
}

#[test]
fn errors_of_the_connection_have_their_answers() {
    let kinds = [
        (io::ErrorKind::InvalidData, BodyError::Malformed, 400),
        (io::ErrorKind::UnexpectedEof, BodyError::Malformed, 400),
        (io::ErrorKind::TimedOut, BodyError::TimedOut, 408),
        (io::ErrorKind::ConnectionReset, BodyError::Cancelled, 503),
        (io::ErrorKind::ConnectionAborted, BodyError::Cancelled, 503),
        (io::ErrorKind::BrokenPipe, BodyError::Cancelled, 503),
        (io::ErrorKind::Other, BodyError::Failed(io::ErrorKind::Other), 500),
    ];
    for (kind, error, status) in kinds {
        let mut body = Pieces { end: Some(kind.into()), ..Pieces::new(&[b"part"]) }.body();
        assert_eq!(body.read_whole(100), Err(error));
        assert_eq!(error.status(), status);
    }
}

#[test]
fn a_body_error_survives_the_way_through_io_error() {
    let errors = [
        BodyError::TooLarge { bytes_max: 7 },
        BodyError::Malformed,
        BodyError::TimedOut,
        BodyError::Cancelled,
        BodyError::Failed(io::ErrorKind::OutOfMemory),
    ];
    for error in errors {
        assert_eq!(BodyError::from(io::Error::from(error)), error);
    }
}

#[test]
fn an_interrupted_read_is_tried_again() {
    let mut body = Pieces { end: Some(io::ErrorKind::Interrupted.into()), ..Pieces::new(&[b"ab"]) }.body();
    assert_eq!(body.read_whole(9).unwrap(), "ab");
}

struct Memory {
    bytes: &'static [u8],
    step: usize,
}

impl FileSource for Memory {
    fn read_into(&mut self, buf: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize> {
        let rest = &self.bytes[(offset as usize).min(self.bytes.len())..];
        let count = rest.len().min(len).min(self.step);
        buf.extend_from_slice(&rest[..count]);
        Ok(count)
    }
}

fn file(offset: u64, len: u64, step: usize) -> Body {
    Body::File(FileBody { source: Box::new(Memory { bytes: b"0123456789", step }), offset, len })
}

#[test]
fn a_file_is_sent_by_its_range_whatever_the_reads() {
    for step in [1, 3, 100] {
        let mut out = Vec::new();
        file(2, 5, step).write_to(&mut out).unwrap();
        assert_eq!(out, b"23456");
    }
    assert_eq!(file(2, 5, 1).len(), Some(5));
    let error = file(8, 5, 100).write_to(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "a file that shrank is not padded");
}

#[test]
fn bodies_know_their_length_and_bytes() {
    assert_eq!(Body::from(()).len(), Some(0));
    assert!(matches!(Body::from("abc"), Body::Static(b"abc")));
    assert!(matches!(Body::from(b"abc"), Body::Static(b"abc")));
    assert!(matches!(Body::from(Cow::Borrowed("abc")), Body::Static(b"abc")));
    assert_eq!(Body::from(Cow::<'static, str>::Owned("abc".into())).as_bytes(), Some(&b"abc"[..]));
    assert_eq!(Body::from(Bytes::from_static(b"abc")).as_bytes(), Some(&b"abc"[..]));
    assert!(Body::from(String::new()).is_empty());
    let stream = Body::stream(|out| out.write_all(b"abc"));
    assert_eq!((stream.len(), stream.is_empty(), stream.as_bytes()), (None, false, None));
}

#[test]
fn a_stream_passes_on_writes_flushes_and_errors() {
    #[derive(Default)]
    struct Peer {
        writes: Vec<Vec<u8>>,
        flushes: usize,
    }
    impl Write for Peer {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            if self.writes.len() == 2 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.writes.push(buf.to_vec());
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            self.flushes += 1;
            Ok(())
        }
    }
    let mut peer = Peer::default();
    let body = Body::stream(|out| {
        loop {
            out.write_all(b"x")?;
            out.flush()?;
        }
    });
    assert_eq!(body.write_to(&mut peer).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!((peer.writes.len(), peer.flushes), (2, 2));
}

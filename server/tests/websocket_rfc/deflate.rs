//! permessage-deflate: RFC 7692, 5 to 7.

use crate::peer::{BINARY, CONTINUATION, FIN, Frame, PING, PONG, Peer, RSV1, TEXT, code, frame, masked};
use crate::{all_fail, with_server};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use sws::websocket::codec::{Deflater, Inflater};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate";
/// The examples of 7.2.3: "Hello" in one block, and the same again by reference to it.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
const HELLO_AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

fn offer(parameters: &str) -> String {
    format!("{OFFER}{parameters}")
}

/// What the server answers to an offer; empty where it declines.
fn agreed(addr: SocketAddr, path: &str, offers: &[&str]) -> String {
    let (_, head) = Peer::open_with(addr, path, offers);
    let answers = head.all("sec-websocket-extensions");
    assert!(answers.len() <= 1, "{answers:?}");
    answers.first().map_or_else(String::new, |answer| {
        answer.strip_prefix("permessage-deflate").expect("nothing else is offered").to_owned()
    })
}

fn inflated(inflater: &mut Inflater, frame: &Frame) -> Vec<u8> {
    assert_eq!(frame.first & !0x0f, FIN | RSV1, "{frame:?}");
    let mut message = Vec::new();
    inflater.decompress(&frame.payload, &mut message, 1 << 20).expect("inflates");
    message
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(7692);
    (0..len).map(|_| rng.u8(..)).collect()
}

/// A block without compression.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u16;
    [&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), bytes].concat()
}

/// A message of one reference: `len` is 3, `distance` the whole window of these bits. Then the header of an empty block.
fn reference(window_bits: u32) -> Vec<u8> {
    let mut bits = 0_u64;
    let mut at = 0;
    let mut push = |value: u64, count: u32| {
        bits |= value << at;
        at += count;
    };
    // BFINAL 0, BTYPE 01; the code of a length of 3 is 0000001, and codes stand with their first bit first.
    push(0, 1);
    push(1, 2);
    push(u64::from(1_u8.reverse_bits() >> 1), 7);
    push(u64::from((2 * window_bits as u8 - 1).reverse_bits() >> 3), 5);
    push((1 << (window_bits - 2)) - 1, window_bits - 2);
    // The end of the block, and three bits of the next.
    push(0, 7 + 3);
    bits.to_le_bytes()[..at.div_ceil(8) as usize].to_vec()
}

#[test]
fn rfc7692_5_without_an_agreement_nothing_is_compressed() {
    with_server(|addr, _| {
        // Not offered, not offered by its name, or not spoken here (RFC 6455, 9: nothing that was not asked for is answered).
        for (path, lines) in [
            ("/deflate", &[][..]),
            ("/deflate", &["Sec-WebSocket-Extensions: x-webkit-deflate-frame, permessage-bzip2"]),
            ("/deflate", &["Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8"]),
            ("/ws", &[OFFER]),
        ] {
            let (mut peer, head) = Peer::open_with(addr, path, lines);
            assert_eq!(head.all("sec-websocket-extensions"), [""; 0], "{path} {lines:?}");
            let text = "a text that is long enough, long enough";
            peer.frame(FIN | TEXT, text);
            assert_eq!(peer.next(), frame(FIN | TEXT, text));
            // RFC 6455, 5.2: then the bit has no meaning.
            peer.frame(FIN | RSV1 | TEXT, HELLO);
            peer.failed(1002);
        }
    });
}

#[test]
fn rfc7692_5_1_the_answer_is_what_was_agreed() {
    with_server(|addr, _| {
        let none = "; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(agreed(addr, "/deflate", &[OFFER]), none);
        assert_eq!(agreed(addr, "/takeover", &[OFFER]), "");
        assert_eq!(
            agreed(addr, "/takeover", &[&offer("; client_no_context_takeover")]),
            "; client_no_context_takeover"
        );
        assert_eq!(
            agreed(addr, "/takeover", &[&offer("; server_no_context_takeover")]),
            "; server_no_context_takeover"
        );
        // 7.1.2.1: the same or a smaller window.
        assert_eq!(
            agreed(addr, "/takeover", &[&offer("; server_max_window_bits=12")]),
            "; server_max_window_bits=12"
        );
        assert_eq!(
            agreed(addr, "/small", &[&offer("; server_max_window_bits=12")]),
            "; server_max_window_bits=10"
        );
        assert_eq!(
            agreed(addr, "/small", &[&offer("; server_max_window_bits=9")]),
            "; server_max_window_bits=9"
        );
        // 7.1.2.2: told only to a client that offers it, and never more than it says.
        assert_eq!(agreed(addr, "/small", &[OFFER]), "; server_max_window_bits=10");
        let both = "; server_max_window_bits=10; client_max_window_bits=";
        assert_eq!(agreed(addr, "/small", &[&offer("; client_max_window_bits")]), format!("{both}10"));
        assert_eq!(agreed(addr, "/small", &[&offer("; client_max_window_bits=9")]), format!("{both}9"));
        assert_eq!(agreed(addr, "/small", &[&offer("; client_max_window_bits=15")]), format!("{both}10"));
        // The first offer that will do.
        let offers = offer("; x=1, permessage-deflate; server_no_context_takeover, permessage-deflate");
        assert_eq!(agreed(addr, "/takeover", &[&offers]), "; server_no_context_takeover");
    });
}

#[test]
fn rfc7692_7_offers_with_wrong_parameters_are_declined() {
    with_server(|addr, _| {
        for parameters in [
            "; unknown",
            "; server_no_context_takeover=1",
            "; client_no_context_takeover=0",
            "; server_max_window_bits",
            "; server_max_window_bits=7",
            "; server_max_window_bits=16",
            "; server_max_window_bits=010",
            "; client_max_window_bits=16",
            "; client_max_window_bits=\"08\"",
            "; server_no_context_takeover; server_no_context_takeover",
            "; client_max_window_bits=10; client_max_window_bits=10",
        ] {
            let (_, head) = Peer::open_with(addr, "/deflate", &[&offer(parameters)]);
            assert_eq!(head.all("sec-websocket-extensions"), [""; 0], "{parameters}");
        }
    });
}

#[test]
fn rfc7692_6_1_rsv1_is_set_on_compressed_messages_only() {
    with_server(|addr, _| {
        let (mut peer, _) = Peer::open_with(addr, "/deflate", &[OFFER]);
        let mut inflater = Inflater::new(15, false);
        // 6.2: what is not compressed is taken as it is.
        for (opcode, payload) in
            [(TEXT, "the same, the same, the same, the same"), (BINARY, "aaaaaaaaaaaaaaaaaaaaaaaaaaa")]
        {
            peer.frame(FIN | opcode, payload);
            let answer = peer.next();
            assert_eq!(answer.first, FIN | RSV1 | opcode, "its type is kept");
            assert!(answer.payload.len() < payload.len());
            assert_eq!(inflated(&mut inflater, &answer), payload.as_bytes());
        }
        // Short ones, those that would not get shorter, and control frames are sent without.
        peer.frame(FIN | TEXT, "short");
        assert_eq!(peer.next(), frame(FIN | TEXT, "short"));
        let noise = noise(1000);
        peer.frame(FIN | BINARY, &noise);
        assert_eq!(peer.next(), frame(FIN | BINARY, &noise));
        peer.frame(FIN | PING, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(peer.next(), frame(FIN | PONG, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        peer.frame(FIN | TEXT, "ping aaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(peer.next(), frame(FIN | PING, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    });
}

#[test]
fn rfc7692_6_1_rsv1_on_control_frames_and_later_fragments_fails() {
    with_server(|addr, _| {
        let inputs = [
            masked(FIN | RSV1 | PING, ""),
            masked(FIN | RSV1 | PONG, ""),
            masked(FIN | RSV1 | 8, code(1000, "")),
            [masked(RSV1 | TEXT, HELLO), masked(FIN | RSV1 | CONTINUATION, "")].concat(),
            [masked(TEXT, "x"), masked(FIN | RSV1 | CONTINUATION, HELLO)].concat(),
            masked(FIN | RSV1 | 0x20 | TEXT, HELLO),
        ];
        all_fail(addr, "/deflate", &[OFFER], 1002, &inputs);
    });
}

#[test]
fn rfc7692_6_2_compressed_messages_in_fragments_with_control_frames_between() {
    with_server(|addr, _| {
        let (mut peer, _) = Peer::open_with(addr, "/deflate", &[OFFER]);
        for cut in 0..=HELLO.len() {
            peer.frame(RSV1 | TEXT, &HELLO[..cut]);
            peer.frame(FIN | PING, "between");
            peer.frame(CONTINUATION, "");
            peer.frame(FIN | CONTINUATION, &HELLO[cut..]);
            assert_eq!(peer.next(), frame(FIN | PONG, "between"));
            assert_eq!(peer.next(), frame(FIN | TEXT, "Hello"));
        }
        // 7.2.3.3 to 7.2.3.6: blocks of all kinds, several of them, an end of the stream, nothing in it.
        for (payload, message) in [
            (&b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"[..], "Hello"),
            (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),
            (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"),
            (b"\x00", ""),
        ] {
            peer.frame(FIN | RSV1 | TEXT, payload);
            assert_eq!(peer.next(), frame(FIN | TEXT, message));
        }
    });
}

#[test]
fn rfc7692_7_1_1_1_without_takeover_the_server_compresses_each_message_alone() {
    with_server(|addr, _| {
        let text = "a message that says a message, a message";
        for (path, parameters) in [("/deflate", ""), ("/takeover", "; server_no_context_takeover")] {
            let (mut peer, _) = Peer::open_with(addr, path, &[&offer(parameters)]);
            let mut payloads = Vec::new();
            for _ in 0..3 {
                peer.frame(FIN | TEXT, text);
                let answer = peer.next();
                assert_eq!(inflated(&mut Inflater::new(15, false), &answer), text.as_bytes());
                payloads.push(answer.payload);
            }
            assert!(payloads.iter().all(|payload| *payload == payloads[0]));
        }
        // With takeover they get shorter, and follow on one another.
        let (mut peer, _) = Peer::open_with(addr, "/takeover", &[OFFER]);
        let mut inflater = Inflater::new(15, true);
        let mut lengths = Vec::new();
        for _ in 0..3 {
            peer.frame(FIN | TEXT, text);
            let answer = peer.next();
            lengths.push(answer.payload.len());
            assert_eq!(inflated(&mut inflater, &answer), text.as_bytes());
        }
        assert!(lengths[1] < lengths[0] && lengths[2] < lengths[0], "{lengths:?}");
    });
}

#[test]
fn rfc7692_7_2_2_with_takeover_the_clients_messages_share_a_window() {
    with_server(|addr, messages| {
        // 7.2.3.2, also for a client that said that it would not, and was not held to it.
        let (mut peer, _) = Peer::open_with(addr, "/takeover", &[OFFER]);
        peer.frame(FIN | RSV1 | TEXT, HELLO);
        peer.frame(FIN | TEXT, "plain");
        peer.frame(FIN | RSV1 | TEXT, HELLO_AGAIN);
        for expected in ["Hello", "plain", "Hello"] {
            assert_eq!(peer.next(), frame(FIN | TEXT, expected));
        }
        // Agreed without, there is no window to refer to.
        let before = messages.load(Ordering::SeqCst);
        for (path, parameters) in [("/deflate", ""), ("/takeover", "; client_no_context_takeover")] {
            let (mut peer, _) = Peer::open_with(addr, path, &[&offer(parameters)]);
            peer.frame(FIN | RSV1 | TEXT, HELLO);
            assert_eq!(peer.next(), frame(FIN | TEXT, "Hello"));
            peer.frame(FIN | RSV1 | TEXT, HELLO_AGAIN);
            peer.failed(1007);
        }
        assert_eq!(messages.load(Ordering::SeqCst), before + 2);
    });
}

#[test]
fn rfc7692_7_2_2_without_an_agreed_window_the_clients_is_the_largest() {
    with_server(|addr, _| {
        // 7.1.2.2: what the client says of itself is a hint, unless the answer repeats it.
        for (path, parameters, window_bits) in [
            ("/takeover", "", 15),
            ("/takeover", "; client_max_window_bits", 15),
            ("/takeover", "; client_max_window_bits=15", 15),
            ("/takeover", "; client_max_window_bits=8", 15),
            ("/small", "", 15),
            ("/small", "; client_max_window_bits=8", 15),
            ("/small", "; client_max_window_bits", 10),
            ("/takeover", "; client_max_window_bits=9", 9),
        ] {
            let (mut peer, head) = Peer::open_with(addr, path, &[&offer(parameters)]);
            let told = head.all("sec-websocket-extensions")[0].contains("client_max_window_bits");
            assert_eq!(told, window_bits < 15, "{path}{parameters}");
            let noise = noise(1 << window_bits);
            peer.frame(FIN | RSV1 | BINARY, [stored(&noise), vec![0]].concat());
            let _echo = peer.next();
            peer.frame(FIN | RSV1 | BINARY, reference(window_bits));
            assert_eq!(peer.next(), frame(FIN | BINARY, &noise[..3]), "{path}{parameters}");
        }
    });
}

#[test]
fn rfc7692_7_2_1_the_server_keeps_to_its_window() {
    with_server(|addr, _| {
        let noise = noise(4000);
        let message = [&noise[..], &noise].concat();
        for (path, parameters, far) in [
            ("/takeover", "", true),
            ("/deflate", "", true),
            ("/takeover", "; server_max_window_bits=13", true),
            ("/takeover", "; server_max_window_bits=11", false),
            ("/deflate", "; server_max_window_bits=9", false),
            ("/small", "", false),
        ] {
            let (mut peer, _) = Peer::open_with(addr, path, &[&offer(parameters)]);
            peer.frame(FIN | BINARY, &message);
            let answer = peer.next();
            assert_eq!(answer.payload.len() < 5000, far, "{path}{parameters}: {}", answer.payload.len());
        }
    });
}

#[test]
fn rfc7692_7_2_1_publications_are_compressed_as_each_subscriber_agreed() {
    with_server(|addr, _| {
        let word = "word".repeat(200);
        let mut peers: Vec<(Peer, bool)> = [
            ("/deflate", &[OFFER][..], true),
            ("/deflate", &[], false),
            ("/ws", &[], false),
            ("/deflate", &["Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9"], false),
            // One with a window of its own would lose it to a frame that all share.
            ("/takeover", &[OFFER], false),
        ]
        .map(|(path, lines, compressed)| (Peer::open_with(addr, path, lines).0, compressed))
        .into();
        for (peer, _) in &mut peers {
            peer.frame(FIN | TEXT, "join room");
            assert_eq!(peer.next(), frame(FIN | TEXT, "joined"));
        }
        let (first, _) = &mut peers[1];
        first.frame(FIN | TEXT, format!("tell {word}"));
        for (peer, compressed) in &mut peers {
            let got = peer.next();
            match compressed {
                true => assert_eq!(inflated(&mut Inflater::new(15, false), &got), word.as_bytes()),
                false => assert_eq!(got, frame(FIN | TEXT, &word)),
            }
        }
    });
}

#[test]
fn rfc7692_7_2_2_what_does_not_inflate_or_is_no_text_fails() {
    with_server(|addr, messages| {
        let mut not_text = Vec::new();
        Deflater::new(6, 15, false).compress(b"cut \xe2\x82", &mut not_text);
        let inputs = [
            masked(FIN | RSV1 | TEXT, b"\x07"),
            masked(FIN | RSV1 | BINARY, [0xff; 20]),
            masked(FIN | RSV1 | BINARY, b"\x00\x05\x00\x00\x00Hello\x00"),
            // RFC 6455, 8.1 holds for what is inflated.
            masked(FIN | RSV1 | TEXT, &not_text),
        ];
        for path in ["/deflate", "/takeover"] {
            all_fail(addr, path, &[OFFER], 1007, &inputs);
        }
        assert_eq!(messages.load(Ordering::SeqCst), 0);
        // RFC 6455, 10.4: the limit is one on what is inflated.
        let mut bomb = Vec::new();
        Deflater::new(6, 15, false).compress(&vec![0; 200_001], &mut bomb);
        all_fail(addr, "/deflate", &[OFFER], 1009, &[masked(FIN | RSV1 | BINARY, &bomb)]);
    });
}

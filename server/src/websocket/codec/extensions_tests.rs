//! Grammar and negotiation by table (RFC 6455, 9.1; RFC 7692, 5 to 7.1).

use super::*;

fn answer_with(config: &DeflateConfig, values: &[&str]) -> Result<Option<String>, HandshakeError> {
    negotiate(values.iter().map(|value| value.as_bytes()), config).map(|agreed| agreed.map(|a| a.to_string()))
}

/// The answer with context takeover, where nothing is added to what the client asks for.
fn answer(values: &[&str]) -> Result<Option<String>, HandshakeError> {
    answer_with(&DeflateConfig { context_takeover: true, ..DeflateConfig::default() }, values)
}

fn agreed(parameters: &str) -> Result<Option<String>, HandshakeError> {
    Ok(Some(format!("permessage-deflate{parameters}")))
}

#[test]
fn rfc6455_9_1_malformed_lists_fail_the_handshake() {
    for bad in [
        "permessage-deflate;",
        "permessage-deflate; ;",
        "; a",
        "a b",
        "a; b c",
        "a; b=",
        "a; b=\"",
        "a; b=\"\"",
        "a; b=\"c",
        "a; b=\"c d\"",
        "a; b=\"c\" d",
        "a; b=\"c\\\"",
        "a; =c",
        "a; b==c",
        "a/b",
        "\"a\"",
        "a; b=\u{fc}",
        "permessage-deflate, a b",
    ] {
        assert_eq!(answer(&[bad]), Err(HandshakeError::Extensions), "{bad}");
        assert_eq!(answer(&["permessage-deflate", bad]), Err(HandshakeError::Extensions), "{bad}");
    }
}

#[test]
fn rfc6455_9_1_lists_over_lines_whitespace_and_quotes() {
    for good in [
        &["permessage-deflate"][..],
        &["", "permessage-deflate"],
        &[" , permessage-deflate\t,"],
        &["x-other; a=1; b=\"2\"", "permessage-deflate"],
        &["x-other, permessage-deflate"],
    ] {
        assert_eq!(answer(good), agreed(""), "{good:?}");
    }
    for good in [
        "permessage-deflate;server_max_window_bits=10",
        "permessage-deflate ; server_max_window_bits = 10 ",
        "permessage-deflate; server_max_window_bits=\"10\"",
        "permessage-deflate; server_max_window_bits=\"\\1\\0\"",
    ] {
        assert_eq!(answer(&[good]), agreed("; server_max_window_bits=10"), "{good}");
    }
}

#[test]
fn rfc6455_9_1_a_list_has_at_least_one_extension() {
    for bad in [&[""][..], &[" ,"], &["", ", ,"]] {
        assert_eq!(answer(bad), Err(HandshakeError::Extensions), "{bad:?}");
    }
}

#[test]
fn rfc6455_9_1_unknown_extensions_are_not_answered() {
    assert_eq!(answer(&[]), Ok(None));
    assert_eq!(answer(&["x-webkit-deflate-frame, permessage-bzip2; level=9"]), Ok(None));
}

#[test]
fn rfc7692_7_1_wrong_parameters_are_declined() {
    for parameters in [
        "x",
        "x=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=09",
        "server_max_window_bits=+9",
        "server_max_window_bits=100",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=0",
        "client_max_window_bits=x",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        "client_max_window_bits=10; client_max_window_bits",
        "client_max_window_bits; x",
    ] {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(answer(&[&offer]), Ok(None), "{offer}");
        // RFC 7692, 5: the next offer of the list may still do.
        assert_eq!(answer(&[&format!("{offer}, permessage-deflate")]), agreed(""), "{offer}");
    }
}

#[test]
fn rfc7692_5_1_the_first_offer_that_does_is_taken() {
    let offer = "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=12, \
                 permessage-deflate";
    assert_eq!(answer(&[offer]), agreed("; server_max_window_bits=12"));
    let lines = ["permessage-deflate; client_no_context_takeover", "permessage-deflate"];
    assert_eq!(answer(&lines), agreed("; client_no_context_takeover"));
}

#[test]
fn rfc7692_7_1_1_1_server_no_context_takeover_is_kept_to() {
    assert_eq!(
        answer(&["permessage-deflate; server_no_context_takeover"]),
        agreed("; server_no_context_takeover")
    );
}

#[test]
fn rfc7692_7_1_1_2_the_server_may_ask_for_client_no_context_takeover_unasked() {
    let both = agreed("; server_no_context_takeover; client_no_context_takeover");
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits",
    ] {
        assert_eq!(answer_with(&DeflateConfig::default(), &[offer]), both, "{offer}");
    }
}

#[test]
fn rfc7692_7_1_2_1_the_servers_window_is_not_larger_than_asked() {
    let config =
        |window_bits| DeflateConfig { context_takeover: true, window_bits, ..DeflateConfig::default() };
    for asked in 9..=15 {
        for ours in 9..=15 {
            let offer = format!("permessage-deflate; server_max_window_bits={asked}");
            let bits = asked.min(ours);
            let answer = negotiate([offer.as_bytes()], &config(ours)).unwrap().unwrap();
            assert_eq!(answer.server_max_window_bits, bits);
            assert_eq!(answer.to_string(), format!("permessage-deflate; server_max_window_bits={bits}"));
        }
    }
    // Unasked, a smaller window is told, so that the client can save memory.
    let offer = ["permessage-deflate"];
    assert_eq!(answer_with(&config(11), &offer), agreed("; server_max_window_bits=11"));
    assert_eq!(answer_with(&config(0), &offer), agreed("; server_max_window_bits=9"));
    assert_eq!(answer_with(&config(99), &offer), agreed(""));
}

#[test]
fn rfc7692_7_1_2_1_a_server_window_of_8_is_declined() {
    assert_eq!(answer(&["permessage-deflate; server_max_window_bits=8"]), Ok(None));
}

#[test]
fn rfc7692_7_1_2_2_the_clients_window_is_told_only_if_it_offers() {
    let agree = |window_bits, offer: &str| {
        let config = DeflateConfig { context_takeover: true, window_bits, ..DeflateConfig::default() };
        let agreed = negotiate([offer.as_bytes()], &config).unwrap().unwrap();
        let told =
            agreed.to_string().split_once("client_max_window_bits=").map(|(_, bits)| bits.parse().unwrap());
        (agreed.client_max_window_bits, told)
    };
    // Not offered: it may use 15 and must not be told.
    assert_eq!(agree(15, "permessage-deflate"), (15, None));
    assert_eq!(agree(10, "permessage-deflate"), (15, None));
    assert_eq!(agree(15, "permessage-deflate; client_max_window_bits"), (15, None));
    assert_eq!(agree(10, "permessage-deflate; client_max_window_bits"), (10, Some(10)));
    // Never more than it says itself.
    assert_eq!(agree(15, "permessage-deflate; client_max_window_bits=12"), (12, Some(12)));
    assert_eq!(agree(10, "permessage-deflate; client_max_window_bits=12"), (10, Some(10)));
    assert_eq!(agree(15, "permessage-deflate; client_max_window_bits=15"), (15, None));
    // RFC 7692, 7.2.2: what the client says is a hint; without the answer's parameter the window is the largest.
    for ours in 9..=15 {
        assert_eq!(agree(ours, "permessage-deflate; client_max_window_bits=8"), (15, None));
    }
}

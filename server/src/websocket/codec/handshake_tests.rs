//! Keys, versions, upgrades, subprotocols and origins by table (RFC 6455, 4.2).

use super::*;

#[test]
fn rfc6455_4_2_2_the_key_is_answered_with_its_hash() {
    assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(&accept_key(b"AQIDBAUGBwgJCgsMDQ4PEC=="), b"OfS0wDaT5NoxF2gqm7Zj2YtetzM=");
}

#[test]
fn rfc6455_4_2_1_the_key_must_be_base64_of_16_bytes() {
    let good = &b"dGhlIHNhbXBsZSBub25jZQ=="[..];
    assert_eq!(check_key([good]), Ok(good));
    assert_eq!(check_key([&b" dGhlIHNhbXBsZSBub25jZQ== "[..]]), Ok(good));
    for bad in [
        &b""[..],
        b"dGhlIHNhbXBsZSBub25jZQ",   // without padding
        b"dGhlIHNhbXBsZSBub25j",     // 15 bytes
        b"dGhlIHNhbXBsZSBub25jZSE=", // 17 bytes
        b"dGhlIHNhbXBsZSBub25jZSEh", // 18 bytes
        b"dGhlIHNhbXBsZSBub25jZ$==", // no letter of base64
        b"dGhlIHNhbXBsZSBub25jZR==", // bits behind the last byte
        b"dGhlIHNhbXBs ZSBub25jZQ=", // whitespace
    ] {
        assert_eq!(check_key([bad]), Err(HandshakeError::Key), "{:?}", bad.escape_ascii().to_string());
    }
    assert_eq!(check_key([]), Err(HandshakeError::Key));
}

#[test]
fn rfc6455_11_3_1_the_key_must_not_appear_twice() {
    let good = &b"dGhlIHNhbXBsZSBub25jZQ=="[..];
    assert_eq!(check_key([good, good]), Err(HandshakeError::Key));
}

#[test]
fn rfc6455_4_4_the_version_is_13() {
    assert_eq!(check_version([&b"13"[..]]), Ok(()));
    for bad in [&b"8"[..], b"12", b"14", b"013", b"13, 8", b""] {
        assert_eq!(check_version([bad]), Err(HandshakeError::Version));
    }
    assert_eq!(check_version([]), Err(HandshakeError::Version));
    assert_eq!(check_version([&b"13"[..], b"13"]), Err(HandshakeError::Version));
    assert_eq!(HandshakeError::Version.status(), 426);
}

#[test]
fn rfc6455_4_2_1_upgrade_and_connection_must_name_it() {
    let check =
        |upgrade: &str, connection: &str| check_upgrade([upgrade.as_bytes()], [connection.as_bytes()]);
    for (upgrade, connection) in
        [("websocket", "Upgrade"), ("WebSocket", "keep-alive, UPGRADE"), ("h2c, websocket", ",upgrade ,")]
    {
        assert_eq!(check(upgrade, connection), Ok(()), "{upgrade} {connection}");
    }
    for (upgrade, connection) in [
        ("websocket", "close"),
        ("h2c", "Upgrade"),
        ("websockets", "Upgrade"),
        ("", "upgrade"),
        ("websocket", ""),
    ] {
        assert_eq!(check(upgrade, connection), Err(HandshakeError::NotAnUpgrade), "{upgrade} {connection}");
    }
    let lines = [&b"keep-alive"[..], b"upgrade"];
    assert_eq!(check_upgrade([&b"websocket"[..]], lines), Ok(()));
    assert_eq!(check_upgrade([], lines), Err(HandshakeError::NotAnUpgrade));
}

#[test]
fn rfc6455_4_2_2_a_subprotocol_is_one_of_the_clients_or_none() {
    let select = |supported: &[&'static str], values: &[&'static str]| {
        select_subprotocol(supported, values.iter().map(|value| value.as_bytes()))
            .map(|name| name.map(str::to_owned))
    };
    let some = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(select(&["a", "b"], &["b, a"]), some("a"));
    assert_eq!(select(&["b", "a"], &["b,a"]), some("b"));
    assert_eq!(select(&["c"], &["b, a"]), Ok(None));
    assert_eq!(select(&["c"], &[]), Ok(None));
    assert_eq!(select(&[], &["a"]), Ok(None));
    assert_eq!(select(&["A"], &["a"]), Ok(None));
    // RFC 6455, 11.3.4: several lines are one list.
    assert_eq!(select(&["c", "a"], &["a", "b , c"]), some("c"));
    assert_eq!(select(&["a"], &[", ,a,"]), some("a"));
    assert_eq!(select(&["v1.chat+json"], &["v1.chat+json"]), some("v1.chat+json"));
}

#[test]
fn rfc6455_4_1_subprotocols_must_be_tokens() {
    for bad in [&b"a b"[..], b"a;b", b"\"a\"", b"a, b\x80", b"a/1", b"a\x01"] {
        assert_eq!(select_subprotocol(&["a"], [bad]), Err(HandshakeError::Subprotocols));
    }
    assert_eq!(HandshakeError::Subprotocols.status(), 400);
}

#[test]
fn rfc6455_11_3_4_a_list_of_subprotocols_has_at_least_one_token() {
    for good in [&[][..], &[&b"a"[..]], &[&b""[..], b"a"], &[&b", a ,b"[..]]] {
        assert_eq!(check_subprotocols(good.iter().copied()), Ok(()), "{good:?}");
    }
    for bad in [&[&b""[..]][..], &[&b" , "[..]], &[&b"a"[..], b"b c"], &[&b"a\x7f"[..]], &[&b"\"a\""[..]]] {
        assert_eq!(check_subprotocols(bad.iter().copied()), Err(HandshakeError::Subprotocols), "{bad:?}");
    }
}

#[test]
fn rfc6455_4_2_1_an_origin_comes_once_and_is_ascii() {
    assert_eq!(check_origin([]), Ok(None));
    assert_eq!(check_origin([&b"http://a.example"[..]]), Ok(Some("http://a.example")));
    assert_eq!(check_origin([&b"null"[..]]), Ok(Some("null")));
    for bad in [
        &[&b"http://a.example"[..], b"http://b.example"][..],
        &[&b"http://\xff"[..]],
        &[&b"http://\xc3\xbc"[..]],
    ] {
        assert_eq!(check_origin(bad.iter().copied()), Err(HandshakeError::Origin), "{bad:?}");
    }
    assert_eq!(HandshakeError::Origin.status(), 400);
}

#[test]
fn rfc6455_10_2_origins_are_compared_without_case_and_default_port() {
    for (origin, host) in [
        ("http://a.example", "a.example"),
        ("HTTP://A.Example", "a.EXAMPLE"),
        ("http://a.example", "a.example:80"),
        ("https://a.example", "a.example:443"),
        ("https://a.example", "a.example"),
        ("http://a.example:8080", "a.example:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
    ] {
        assert!(is_same_origin(origin, host), "{origin} {host}");
    }
    for (origin, host) in [
        ("null", "null"),
        ("", ""),
        ("http://", ""),
        ("a.example", "a.example"),
        ("http://a.example", "b.example"),
        ("http://a.example:8080", "a.example"),
        ("http://a.example", "a.example:443"),
        ("https://a.example", "a.example:80"),
        ("http://a.example.evil", "a.example"),
        ("http://evil-a.example", "a.example"),
    ] {
        assert!(!is_same_origin(origin, host), "{origin} {host}");
    }
    let list = ["https://a.example", "null"];
    assert!(is_listed_origin("https://A.example", &list) && is_listed_origin("null", &list));
    assert!(!is_listed_origin("http://a.example", &list) && !is_listed_origin("", &list));
}

use proptest::prelude::*;

use super::*;

/// The addresses, one by one, with `!` in front if the list is malformed.
fn read(value: &str) -> String {
    let list = parse_list(value.as_bytes());
    let addresses: Vec<String> = list.mailboxes.iter().map(|mailbox| mailbox.address.to_string()).collect();
    format!("{}{}", if list.malformed { "!" } else { "" }, addresses.join(" "))
}

fn display(value: &str) -> String {
    parse_list(value.as_bytes()).mailboxes[0].display.clone().unwrap_or_default()
}

#[test]
fn ordinary_lists_are_read() {
    for (value, expected) in [
        ("alice@alpha.example", "alice@alpha.example"),
        (" <alice@alpha.example> ", "alice@alpha.example"),
        ("Alice <alice@ALPHA.example>, bob@beta.example", "alice@alpha.example bob@beta.example"),
        ("\"Weber, Alice\" <alice@alpha.example>", "alice@alpha.example"),
        ("alice@alpha.example (Alice (really) \\) here)", "alice@alpha.example"),
        ("Alice (not <mallory@evil.example>) <alice@alpha.example>", "alice@alpha.example"),
        ("friends: a@x.example, B <b@y.example>;, c@z.example", "a@x.example b@y.example c@z.example"),
        ("undisclosed-recipients:;", ""),
        ("", ""),
        (",, a@x.example,,", "a@x.example"),
        ("\"alice w\"@alpha.example", "\"alice w\"@alpha.example"),
        ("\"alice\"@alpha.example", "alice@alpha.example"),
        ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "pete@silly.test"),
        ("John Q. Public <jqp@x.example>", "jqp@x.example"),
        ("<@one.example,@two.example:alice@alpha.example>", "alice@alpha.example"),
        ("alice . weber @ alpha . example", "alice.weber@alpha.example"),
        ("alice@[192.0.2.1]", "alice@[192.0.2.1]"),
        ("alice@alpha.example.", "alice@alpha.example"),
        ("j..doe.@docomo.example", "\"j..doe.\"@docomo.example"),
        ("grün@grün.example", "grün@grün.example"),
        ("alice@XN--GRN-HOA.example", "alice@xn--grn-hoa.example"),
    ] {
        assert_eq!(read(value), expected, "{value}");
    }
}

#[test]
fn display_names_are_decoded() {
    assert_eq!(display("=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <j@x.example>"), "Jürgen Müller");
    assert_eq!(display("\"Weber, Alice\" <a@x.example>"), "Weber, Alice");
    assert_eq!(display("John Q. Public <a@x.example>"), "John Q. Public");
    assert_eq!(display("=?utf-8?Q?Weber,_Alice?= <a@x.example>"), "Weber, Alice");
    assert_eq!(display("\"a\\\"b\" <a@x.example>"), "a\"b");
    assert_eq!(display("a@x.example"), "");
    let latin = parse_list(b"J\xf6rg <j@x.example>");
    assert!(!latin.malformed);
    assert_eq!(latin.mailboxes[0].display.as_deref(), Some("J\u{fffd}rg"));
}

#[test]
fn a_display_name_that_looks_like_an_address_is_never_the_address() {
    for (value, expected) in [
        ("\"alice@alpha.example\" <mallory@evil.example>", "mallory@evil.example"),
        ("alice@alpha.example <mallory@evil.example>", "!mallory@evil.example"),
        ("\"<alice@alpha.example>\" <mallory@evil.example>", "mallory@evil.example"),
        ("=?utf-8?Q?alice=40alpha.example?= <mallory@evil.example>", "mallory@evil.example"),
        ("=?utf-8?Q?Alice_<alice@alpha.example>,?= <mallory@evil.example>", "mallory@evil.example"),
        ("(<alice@alpha.example>) mallory@evil.example", "mallory@evil.example"),
        ("\"x\\\" <alice@alpha.example>, \" <mallory@evil.example>", "mallory@evil.example"),
    ] {
        assert_eq!(read(value), expected, "{value}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_malformed() {
    for (value, expected) in [
        ("<alice@alpha.example> <mallory@evil.example>", "!alice@alpha.example"),
        ("<alice@alpha.example> mallory@evil.example", "!alice@alpha.example"),
        ("alice@alpha.example@evil.example", "!"),
        ("<alice@alpha.example@evil.example>", "!"),
        ("alice@alpha.example mallory@evil.example", "!"),
        ("alice smith@alpha.example", "!"),
        ("\"alice\"smith@alpha.example", "!"),
        ("\"alice.\"smith@alpha.example", "!"),
        ("alice@alpha.example\0.evil.example", "!"),
        ("alice\0 <mallory@evil.example>", "!mallory@evil.example"),
        ("alice@alpha.example: mallory@evil.example;", "!mallory@evil.example"),
        ("mailto:alice@alpha.example", "!alice@alpha.example"),
        ("Alice <alice@alpha.example", "!alice@alpha.example"),
        ("\"Alice <alice@alpha.example>", "!"),
        ("(Alice <alice@alpha.example>", "!"),
        ("<<alice@alpha.example>>", "!"),
        ("alice", "!"),
        ("Alice <>", "!"),
        ("alice@", "!"),
        ("@alpha.example", "!"),
        ("alice@alpha..example", "!"),
        ("alice@alpha example", "!"),
        ("alice@alpha/example", "!"),
        ("=?utf-8?Q?a(b?=@alpha.example", "!"),
        ("a@x.example; b@y.example", "!a@x.example b@y.example"),
        ("a: b: c@x.example;", "!c@x.example"),
    ] {
        assert_eq!(read(value), expected, "{value}");
    }
    assert!(parse_list(b"al\xffice@alpha.example").malformed);
    assert!(parse_list(b"al\xffice@alpha.example").mailboxes.is_empty());
}

#[test]
fn one_address_is_parsed_strictly() {
    let alice = Address::parse("Alice@Alpha.EXAMPLE").unwrap();
    assert_eq!((alice.local(), alice.domain()), ("Alice", "alpha.example"));
    assert_eq!("a\"b", Address::parse("\"a\\\"b\"@x.example").unwrap().local());
    for (text, error) in [
        ("", AddressError::NoDomain),
        ("alice", AddressError::NoDomain),
        ("alice@", AddressError::NoDomain),
        ("@alpha.example", AddressError::NoLocalPart),
        ("a@b@c", AddressError::Syntax),
        ("a b@x.example", AddressError::Syntax),
        (" a@x.example", AddressError::Syntax),
        ("a@x.example(comment)", AddressError::Syntax),
        ("<a@x.example>", AddressError::Syntax),
        ("a@x.example,b@y.example", AddressError::Syntax),
        ("a@x.example\r\nBcc: b@y.example", AddressError::Control),
        ("a@x\0", AddressError::Control),
        ("\"a@x.example", AddressError::NoDomain),
    ] {
        let found = Address::parse(text).unwrap_err();
        assert!(found == error || text.starts_with([' ', '<', '"']) || text.contains('('), "{text}: {found}");
    }
}

#[test]
fn envelope_paths_are_read() {
    let path = |text: &str| Address::parse_path(text).map(|path| path.map(|address| address.to_string()));
    assert_eq!(path("<alice@alpha.example>"), Ok(Some("alice@alpha.example".into())));
    assert_eq!(path("alice@alpha.example"), Ok(Some("alice@alpha.example".into())));
    assert_eq!(path("<>"), Ok(None));
    assert_eq!(path(""), Ok(None));
    assert_eq!(path("<@relay.example:alice@alpha.example>"), Ok(Some("alice@alpha.example".into())));
    assert_eq!(path("<\"a>b\"@x.example>"), Ok(Some("\"a>b\"@x.example".into())));
    assert_eq!(path("<postmaster>"), Err(AddressError::NoDomain));
    assert_eq!(path("<alice@alpha.example"), Err(AddressError::Syntax));
    assert_eq!(path("<a@x.example> <b@y.example>"), Err(AddressError::Syntax));
}

#[test]
fn hostile_lists_take_linear_time() {
    for piece in ["(", "<", "\"", "\\", "=?", "=?a?q?", "a@b,", ":", "@", "[", ";", "a<b@c>"] {
        let _ = parse_list(piece.repeat(200_000).as_bytes());
    }
}

proptest! {
    #[test]
    fn any_value_is_read_and_shown_addresses_read_back(value in "[ab@.,:;<>()\"\\\\ \\[\\]=?Q\u{0}ü\u{fffd}]{0,40}") {
        for mailbox in parse_list(value.as_bytes()).mailboxes {
            let shown = mailbox.address.to_string();
            prop_assert_eq!(Address::parse(&shown).unwrap(), mailbox.address.clone());
            prop_assert_eq!(Address::parse_path(&format!("<{shown}>")).unwrap(), Some(mailbox.address));
        }
    }
}

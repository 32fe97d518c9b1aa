use crate::fixtures::mistakes;
use crate::fixtures::read;

#[track_caller]
fn assert_mistake(text: &str, expected: &str) {
    assert_eq!(mistakes(text), [expected], "{text}");
}

#[test]
fn unknown_names_are_errors_with_line_column_and_the_nearest_name() {
    assert_mistake(
        "[policy]\nsign = 'always'\nencrpyt = 'never'\n",
        "gatepost.toml:3:1: unknown key `encrpyt` in [policy]; did you mean `encrypt`?",
    );
    assert_mistake(
        "[polcy]\nencrypt = 'never'",
        "gatepost.toml:1:2: unknown section `polcy` at the top level; did you mean `policy`?",
    );
    assert_mistake("encrypt = 'never'", "gatepost.toml:1:1: unknown key `encrypt` at the top level");
    assert_mistake(
        "[[rule]]\nid = 'a'\nstop = true\n  senders = ['a@b']",
        "gatepost.toml:4:3: unknown key `senders` in [[rule]]; did you mean `sender`?",
    );
    assert_mistake(
        "[partner.\"beta.example\"]\nsing = 'always'",
        "gatepost.toml:2:1: unknown key `sing` in [partner.\"beta.example\"]; did you mean `sign`?",
    );
}

#[test]
fn values_that_are_not_valid_list_the_valid_ones() {
    assert_mistake(
        "[policy]\nencrypt = 'requierd'",
        "gatepost.toml:2:11: `encrypt` cannot be `requierd`; valid are never, opportunistic, required; \
         did you mean `required`?",
    );
    assert_mistake("[policy]\nsign = true", "gatepost.toml:2:8: `sign` must be a string, not a boolean");
    assert_mistake(
        "[policy]\nunverifiable = 'drop'",
        "gatepost.toml:2:16: `unverifiable` cannot be `drop`; valid are deliver, tag, reject, quarantine",
    );
    assert_mistake("[policy]\nopen = 'yes'", "gatepost.toml:2:8: `open` must be true or false, not a string");
}

#[test]
fn kinds_of_keys_that_do_not_exist_are_refused_with_the_nearest_name() {
    assert_mistake(
        "[policy]\nkeys = ['user-opengpg']",
        "gatepost.toml:2:9: `keys` cannot hold `user-opengpg`; valid are user-smime, user-openpgp, domain-smime, \
         domain-openpgp, password-message; \
         did you mean `user-openpgp`?",
    );
    assert_mistake("[policy]\nkeys = []", "gatepost.toml:2:8: `keys` must name at least one kind of key");
    assert_mistake(
        "[policy]\nkeys = ['user-openpgp', 'user-openpgp']",
        "gatepost.toml:2:25: `keys` names `user-openpgp` twice",
    );
}

#[test]
fn domains_and_users_must_be_ours_and_partners_must_not() {
    assert_mistake(
        "[domain.\"alpah.example\"]\nsign = 'always'",
        "gatepost.toml:1:9: domain `alpah.example` is not one of the gateway's domains; \
         did you mean `alpha.example`?",
    );
    assert_mistake(
        "[domain.alpha.example]\nsign = 'always'",
        "gatepost.toml:1:9: a name with dots needs quotes: write [domain.\"alpha.example\"]",
    );
    assert_mistake(
        "[user.\"alice@alphs.example\"]\nsign = 'always'",
        "gatepost.toml:1:7: user `alice@alphs.example` is not in one of the gateway's domains; \
         did you mean `alice@alpha.example`?",
    );
    assert_mistake(
        "[user.alice]\nsign = 'always'",
        "gatepost.toml:1:7: user `alice` is no address; write [user.\"name@domain\"]",
    );
    assert_mistake(
        "[user.'*@alpha.example']\nsign = 'always'",
        "gatepost.toml:1:7: user `*@alpha.example` cannot be a pattern; use a [[rule]] with `sender`",
    );
    assert_mistake(
        "[partner.\"alpha.example\"]\nsign = 'always'",
        "gatepost.toml:1:10: partner `alpha.example` is a domain of ours; write [domain.\"alpha.example\"]",
    );
    assert_mistake(
        "[partner.\"be*ta.example\"]\nsign = 'always'",
        "gatepost.toml:1:10: partner `be*ta.example` is no domain: `*` can only stand for everything below a \
         domain, as in `*.example.org`",
    );
    assert_mistake(
        "[partner.'.b.example']\nsign = 'always'\n[partner.'*.B.example']\nsign = 'never'",
        "gatepost.toml:3:10: [partner.\"*.B.example\"] is there twice, written differently",
    );
}

#[test]
fn rules_that_make_no_sense_are_errors() {
    for (rule, expected) in [
        ("stop = true", "1:1: missing key `id` in [[rule]]: the log and the record name rules by it"),
        ("id = 'a b'\nstop = true", "2:6: `id` cannot be `a b`; use letters, digits, `.`, `_` and `-`"),
        ("id = 'a'\nsubject = 'x'", "1:1: rule `a` sets nothing"),
        (
            "id = 'a'\nstop = true\nsubject = ''",
            "4:11: `subject`: an empty text is in every subject; leave the key out",
        ),
        (
            "id = 'a'\nstop = true\nsender = ['alpha.example']",
            "4:11: `sender`: `alpha.example` is no address pattern; write `user@example.org`, `*@alpha.example` or `<>`",
        ),
        (
            "id = 'a'\nstop = true\nrecipient = []",
            "4:13: `recipient` is an empty list; leave the key out to match everything",
        ),
        ("id = 'a'\nstop = true\nfinding = ['']", "4:12: `finding`: an empty pattern matches nothing"),
        ("id = 'a'\nstop = true\nheader = { 'a b' = 'x' }", "4:12: `a b` is no name of a header field"),
        (
            "id = 'a'\nstop = true\nheader = { X = 1 }",
            "4:16: `X` in `header` must be a string, not an integer",
        ),
        (
            "id = 'a'\nstop = true\nsize_over = '10 mb'",
            "4:13: `size_over` cannot be `10 mb`; a size is a whole number of bytes, or one with a unit: B, kB, MB, GB, KiB, MiB, GiB",
        ),
        ("id = 'a'\nstop = true\nsize_over = -1", "4:13: `size_over` must not be negative"),
        (
            "id = 'a'\nstop = true\nsize_over = '10 MB'\nsize_under = '1 MB'",
            "4:13: no size is over 10000000 and under 1000000 bytes: the rule can never hold",
        ),
        (
            "id = 'a'\nsender = ['a@b']\nsign = 'always'\nremove_trigger = true",
            "5:18: `remove_trigger` needs `subject` or `header` in the same rule: there is nothing to remove",
        ),
        ("id = 'a'\nstop = true\ntext = 'x'", "4:8: `text` needs `verdict` in the same rule"),
        (
            "id = 'a'\nverdict = 'discard'\ntext = 'x'",
            "4:8: `text` is never seen when the verdict is `discard`",
        ),
        (
            "id = 'a'\nverdict = 'reject'\ntext = \"x\\r\\ny\"",
            "4:8: `text`: must be one line of printable ASCII: it is part of an SMTP reply",
        ),
        (
            "id = 'a'\nverdict = 'accept'",
            "3:11: `verdict` cannot be `accept`; valid are reject, quarantine, discard",
        ),
        (
            "id = 'a'\ndirection = 'inbound'\nsign = 'always'",
            "1:1: rule `a` would sign inbound mail: mail that is not ours is never signed",
        ),
        (
            "id = 'a'\ndirection = 'outbound'\nundecryptable = 'tag'",
            "1:1: rule `a` sets `undecryptable` for outbound mail, which is never opened",
        ),
        (
            "id = 'a'\nstop = true\n[[rule]]\nid = 'b'\nsign = 'always'",
            "4:1: rule `b` is never reached: rule `a` has no condition and stops",
        ),
        (
            "id = 'a'\nsign = 'always'\n[[rule]]\nid = 'a'\nencrypt = 'never'",
            "4:1: there are two rules with the id `a`",
        ),
    ] {
        assert_mistake(&format!("[[rule]]\n{rule}"), &format!("gatepost.toml:{expected}"));
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "[policy]\nencrypt = 'x'\nfoo = 1\n[[rule]]\nid = 'a'\nsize_over = 'y'\n[bar]\n";
    let places: Vec<String> =
        mistakes(text).iter().map(|m| m.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(
        places,
        ["gatepost.toml:2:11:", "gatepost.toml:3:1:", "gatepost.toml:6:13:", "gatepost.toml:7:2:"]
    );
}

#[test]
fn text_that_is_not_toml_is_an_error_with_its_place() {
    for (text, place) in [
        ("[policy]\nencrypt = never\n", "gatepost.toml:2:11: not valid TOML: "),
        ("[policy]\nsign = 'never'\nsign = 'never'\n", "gatepost.toml:3:1: not valid TOML: "),
        ("[policy\n", "gatepost.toml:1:8: not valid TOML: "),
    ] {
        let told = mistakes(text);
        assert!(told[0].starts_with(place), "{told:?}");
        assert!(told.iter().all(|line| !line.contains('\n')), "{told:?}");
    }
}

#[test]
fn a_mistake_is_one_line_whatever_names_hold() {
    assert_mistake("[policy]\n\"a\\nb\" = 1", "gatepost.toml:2:1: unknown key `a\\nb` in [policy]");
}

#[test]
fn columns_count_characters() {
    let told = mistakes("policy = { unverifiable = 'üüü', sing = 1 }");
    assert_eq!(told[1], "gatepost.toml:1:34: unknown key `sing` in [policy]; did you mean `sign`?");
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    assert!(read(&format!("x = {}", "[".repeat(100_000))).is_err());
    assert!(read(&format!("x = {}1{}", "[".repeat(5_000), "]".repeat(5_000))).is_err());
    assert!(read(&format!("[{}]", vec!["a"; 20_000].join("."))).is_err());
}

#[test]
fn the_example_in_the_manual_is_a_valid_policy() {
    let manual = include_str!("../../../docs/policy.md");
    let example = manual.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(mistakes(example), Vec::<String>::new());
}

#[test]
fn every_key_is_in_the_manual() {
    let manual = include_str!("../../../docs/policy.md");
    let keys = "encrypt keys open sign undecryptable unverifiable authenticated direction finding header recipient \
                sender size_over size_under subject id remove_trigger stop text verdict";
    for key in keys.split_whitespace() {
        let told =
            |line: &str| line.starts_with('`') && line.split(", ").any(|name| name == format!("`{key}`"));
        assert!(manual.lines().any(told), "{key}");
    }
}

use super::*;

fn shown(value: &str) -> String {
    let parsed = ContentType::parse(value.as_bytes());
    let params: Vec<String> = parsed.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{parsed} {}", params.join("|"))
}

#[test]
fn types_and_parameters_are_read() {
    for (value, expected) in [
        ("text/plain", "text/plain "),
        ("TEXT/Html; Charset=UTF-8", "text/html charset=UTF-8"),
        ("multipart/mixed; boundary=\"a b;c\\\"d\"", "multipart/mixed boundary=a b;c\"d"),
        ("multipart/mixed;boundary=----=_Part_1.2;type=x", "multipart/mixed boundary=----=_Part_1.2|type=x"),
        ("text/plain (a; b=c) ; (x) charset (y) = (z) utf-8 (end)", "text/plain charset=utf-8"),
        ("text/plain; charset=a; CHARSET=b", "text/plain charset=a"),
        ("text/plain; format=flowed;", "text/plain format=flowed"),
        ("text/plain; =x; ;; y; z=1", "text/plain z=1"),
        ("text/plain; a=\"open", "text/plain a=open"),
        ("text/plain; a=", "text/plain a="),
        ("text", "text/plain "),
        ("", "text/plain "),
        ("/", "text/plain "),
        ("text/", "text/plain "),
        ("a/b/c; x=y", "text/plain x=y"),
        ("\"text/html\"", "text/html "),
    ] {
        assert_eq!(shown(value), expected, "{value}");
    }
}

#[test]
fn continuations_and_character_sets_of_rfc_2231() {
    for (value, expected) in [
        // The examples of RFC 2231 sections 3, 4 and 4.1.
        (
            "message/external-body; access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/x.zip\"",
            "message/external-body access-type=URL|url=ftp://cs.utk.edu/x.zip",
        ),
        (
            "application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
            "application/x-stuff title=This is ***fun***",
        ),
        (
            "application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; \
             title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
            "application/x-stuff title=This is even more ***fun*** isn't it!",
        ),
        ("a/b; name*1=b; name*0=a; name*3=d", "a/b name=ab"),
        ("a/b; name*=iso-8859-1''gr%FCn; name=gruen", "a/b name=grün"),
        ("a/b; name*=no-quotes%41", "a/b name=no-quotesA"),
        ("a/b; name*=utf-8''%zz%4", "a/b name=%zz%4"),
        ("a/b; name*1=only", "a/b "),
        ("multipart/mixed; boundary=a; boundary*0=b", "multipart/mixed boundary=a"),
        ("multipart/mixed; boundary*0=a; boundary*1=b", "multipart/mixed boundary=ab"),
        ("a/b; name*99999999999999999999=x", "a/b "),
    ] {
        assert_eq!(shown(value), expected, "{value}");
    }
}

#[test]
fn hostile_parameters_take_linear_time() {
    for piece in [";a=b", ";a*0=b", "(", "\"", ";", ";a*1", "\\"] {
        let _ = ContentType::parse(format!("text/plain{}", piece.repeat(200_000)).as_bytes());
    }
}

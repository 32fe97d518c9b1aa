//! Good and bad command lines.

use proptest::prelude::*;

use super::*;

fn code(line: &str) -> String {
    match parse(line.as_bytes()) {
        Ok(command) => panic!("{line}: {command:?}"),
        Err(reply) => {
            let EnhancedCode(class, subject, detail) = reply.enhanced.unwrap();
            format!("{} {class}.{subject}.{detail}", reply.code)
        }
    }
}

#[test]
fn mail_and_rcpt_keep_what_the_next_host_needs() {
    let line =
        "mail from:<a@b.example> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=hdrs ENVID=x+2By REQUIRETLS AUTH=<>";
    let envelope = Envelope {
        reverse_path: "a@b.example".to_owned(),
        smtputf8: true,
        require_tls: true,
        ret: Some("HDRS".to_owned()),
        envid: Some("x+2By".to_owned()),
    };
    assert_eq!(parse(line.as_bytes()), Ok(Command::Mail { envelope, size: Some(1000) }));
    let empty = Command::Mail { envelope: Envelope::default(), size: None };
    assert_eq!(parse(b"MAIL FROM: <>"), Ok(empty));
    let recipient = Recipient {
        address: "\"a> b\"@C.Example.".to_owned(),
        notify: Some("SUCCESS,DELAY".to_owned()),
        orcpt: Some("rfc822;x@y".to_owned()),
    };
    let line = "RCPT TO:<\"a> b\"@C.Example.> NOTIFY=success,delay ORCPT=rfc822;x@y";
    assert_eq!(parse(line.as_bytes()), Ok(Command::Rcpt { recipient, domain: "c.example".to_owned() }));
}

#[test]
fn domains_of_recipients_are_told_apart_from_next_hops() {
    for (path, domain) in [
        ("a@Example.ORG", "example.org"),
        ("@x,@y:a@example.org", "example.org"),
        ("\"@\"@example.org", "example.org"),
        ("a@bücher.example", "xn--bcher-kva.example"),
        ("a@[192.0.2.1]", "[192.0.2.1]"),
        ("a@[IPv6:2001:db8::1]", "[ipv6:2001:db8::1]"),
    ] {
        match parse(format!("RCPT TO:<{path}>").as_bytes()).unwrap() {
            Command::Rcpt { domain: found, .. } => assert_eq!(found, domain),
            other => panic!("{other:?}"),
        }
    }
    for path in [
        "",
        "a",
        "@b",
        "a@",
        "a@.",
        "a@[mx.example.org]",
        "a@[192.0.2.1]:26",
        "a@[192.0.2.1",
        "a@example.org:26",
        "a@[2001:db8::1]",
        "a@b c",
        "a@b/c",
        "a@b,c",
        "@a",
        "a@[]",
    ] {
        assert_eq!(&code(&format!("RCPT TO:<{path}>"))[..4], "501 ", "{path}");
    }
    assert_eq!(code(&format!("RCPT TO:<{}@example.org>", "a".repeat(600))), "501 5.1.3");
}

#[test]
fn bad_commands_have_their_replies() {
    for (line, reply) in [
        ("EHLO x", "500 5.5.1"),
        ("HELO x", "500 5.5.1"),
        ("", "500 5.5.1"),
        ("EXPN x", "500 5.5.1"),
        ("STARTTLS", "500 5.5.1"),
        ("LHLO", "501 5.5.4"),
        ("DATA x", "501 5.5.4"),
        ("NOOP\r", "500 5.5.2"),
        ("NOOP \0", "500 5.5.2"),
        ("MAIL", "501 5.1.3"),
        ("MAIL FROM:a@b", "501 5.1.3"),
        ("MAIL FROM:<a@b", "501 5.1.3"),
        ("MAIL FROM:<a@b>x", "501 5.1.3"),
        ("MAIL FROM:<a@b> SIZE=x", "501 5.5.4"),
        ("MAIL FROM:<a@b> SIZE=99999999999999999999999", "501 5.5.4"),
        ("MAIL FROM:<a@b> BODY=BINARYMIME", "501 5.5.4"),
        ("MAIL FROM:<a@b> RET=x", "501 5.5.4"),
        ("MAIL FROM:<a@b> SMTPUTF8=1", "501 5.5.4"),
        ("MAIL FROM:<a@b> X-OTHER=1", "555 5.5.4"),
        ("MAIL FROM:<ä@b>", "553 5.6.7"),
        ("RCPT TO:<a@b> NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
        ("RCPT TO:<a@b> ORCPT=x", "501 5.5.4"),
        ("RCPT TO:<a@b> RRVS=x", "555 5.5.4"),
        ("BDAT", "501 5.5.4"),
        ("BDAT -1", "501 5.5.4"),
        ("BDAT 1 LAST x", "501 5.5.4"),
        ("XFORWARD NAME", "501 5.5.4"),
    ] {
        assert_eq!(code(line), reply, "{line:?}");
    }
    assert!(parse(b"NOOP \xff").is_err());
}

#[test]
fn xforward_gives_the_queue_id_and_no_nonsense() {
    let ident = |line: &str| match parse(line.as_bytes()) {
        Ok(Command::Xforward { ident }) => ident,
        other => panic!("{other:?}"),
    };
    assert_eq!(ident("XFORWARD NAME=a ADDR=192.0.2.1 IDENT=4ZbX1y5Gz2z9"), Some("4ZbX1y5Gz2z9".to_owned()));
    assert_eq!(ident("XFORWARD IDENT=[UNAVAILABLE]"), None);
    assert_eq!(ident("XFORWARD IDENT=a+0Ab"), None);
    assert_eq!(ident(&format!("XFORWARD IDENT={}", "A".repeat(65))), None);
    assert_eq!(ident("XFORWARD PROTO=SMTP"), None);
}

proptest! {
    #[test]
    fn no_line_panics_and_no_address_carries_a_line_end(line: Vec<u8>) {
        let _ = parse(&line);
    }

    #[test]
    fn what_is_parsed_has_no_control_characters(text in "(MAIL FROM|RCPT TO):<[ -~\\PC\r\n\t]{0,30}> ?[A-Z]{0,8}=?[ -~]{0,12}") {
        match parse(text.as_bytes()) {
            Ok(Command::Mail { envelope, .. }) => {
                prop_assert!(!envelope.reverse_path.chars().any(char::is_control));
            }
            Ok(Command::Rcpt { recipient, domain }) => {
                prop_assert!(!recipient.address.chars().any(char::is_control));
                prop_assert!(!domain.is_empty());
            }
            _ => {}
        }
    }
}

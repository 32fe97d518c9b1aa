//! Messages that are legal and rare, or illegal and common.

/// All of them with their names.
pub(crate) fn messages() -> Vec<(String, Vec<u8>)> {
    let all = [framing(), headers(), types(), encodings(), multiparts(), uses()].concat();
    all.into_iter().map(|(name, message)| (name.to_owned(), message)).collect()
}

type Named = (&'static str, Vec<u8>);

const HEAD: &str = "From: alice@alpha.example\r\nTo: bob@beta.example\r\nSubject: odd\r\n";

fn with(rest: impl AsRef<[u8]>) -> Vec<u8> {
    [HEAD.as_bytes(), rest.as_ref()].concat()
}

/// A body of this type.
fn typed(content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n");
    with([head.as_bytes(), body.as_ref()].concat())
}

/// A text in this transfer encoding.
fn encoded(encoding: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let kind = format!("text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}");
    typed(&kind, body)
}

/// Where the header ends, and how lines do.
fn framing() -> Vec<Named> {
    vec![
        ("nothing but a header", with("")),
        ("a header without its last line end", with("X-Last: one")),
        ("an empty body", with("\r\n")),
        ("a body of one empty line", with("\r\n\r\n")),
        ("no last line end", with("\r\nno end")),
        ("a lone carriage return at the end", with("\r\nend\r")),
        ("line feeds alone", with("\r\none\ntwo\n\nthree\r\n")),
        ("carriage returns alone", with("\r\none\rtwo\r\rthree\r\r\n")),
        ("bytes of zero", with(b"\r\none\0two\r\n\0\r\n")),
        ("every byte", with([b"\r\n".as_slice(), &(0..=255).collect::<Vec<u8>>()].concat())),
        (
            "the header of another message",
            with("\r\nSubject: in the body\r\nContent-Type: text/html\r\n\r\n<b>\r\n"),
        ),
        (
            "only line feeds",
            b"From: alice@alpha.example\nTo: bob@beta.example\nSubject: unix\n\none\n\ntwo\n".to_vec(),
        ),
        (
            "an mbox line on top",
            [b"From alice Mon Nov  2 09:30:00 2026\r\n", &with("\r\nb\r\n")[..]].concat(),
        ),
        ("a line that is no field", with("this is no field\r\nX-After: 1\r\n\r\nb\r\n")),
        ("a body of a dot", with("\r\n.\r\n..\r\n")),
        ("a line like that of an mbox", with("\r\nFrom the beginning\r\n>From\r\n")),
        ("trailing blanks", with("\r\nblanks \t \r\n-- \r\nname\r\n \r\n\r\n\r\n")),
        ("a form feed and other controls", with("\r\n\x0cpage\x08\x7f\x1b[0m\r\n")),
        ("lines of 998 and 999", with(format!("\r\n{}\r\n{}\r\n", "a".repeat(998), "b".repeat(999)))),
        ("a line of 100 kB", with(format!("\r\n{}\r\n", "x".repeat(100_000)))),
        (
            "lines of 76 to 78",
            with(format!("\r\n{}\r\n{}\r\n{}\r\n", "a".repeat(76), "b".repeat(77), "c".repeat(78))),
        ),
        ("a byte order mark in the body", with("\r\n\u{feff}text\r\n")),
    ]
}

/// Header fields.
fn headers() -> Vec<Named> {
    let many = (0..500).map(|number| format!("X-Number-{number}: {number}\r\n")).collect::<String>();
    let received = (0..60).map(|n| format!("Received: from a{n}\r\n\tby b{n}; date\r\n")).collect::<String>();
    vec![
        ("five hundred fields", with(format!("{many}\r\nb\r\n"))),
        ("sixty hops", [received.as_bytes(), &with("\r\nb\r\n")].concat()),
        ("a field of 90 kB", with(format!("X-Long: {}\r\n\r\nb\r\n", "h ".repeat(45_000)))),
        ("folds of blanks", with("X-Fold: a\r\n \t b\r\n\t\r\n c\r\n\r\nb\r\n")),
        ("fields without a value", with("X-Empty:\r\nX-Blank: \r\nX-Tab:\t\r\n\r\nb\r\n")),
        ("no blank after the colon", with("X-Tight:value\r\nReferences:<a@b>\r\n\r\nb\r\n")),
        ("a blank before the colon", with("X-Loose : value\r\nX-Tab\t: value\r\n\r\nb\r\n")),
        ("8bit in fields", with(b"X-Latin: gr\xfc\xdfe\r\nX-Utf8: gr\xc3\xbc\xc3\x9fe\r\n\r\nb\r\n")),
        ("broken encoded words", with("X-W: =?utf-8?q?=C3?= =?x?z?y?= =?utf-8?b?!?=\r\n\r\nb\r\n")),
        (
            "the same field again and again",
            with("X-A: 1\r\nx-a: 2\r\nX-A: 1\r\nSubject: second\r\n\r\nb\r\n"),
        ),
        ("no Subject, no To", b"From: alice@alpha.example\r\n\r\nb\r\n".to_vec()),
        ("no From", b"To: bob@beta.example\r\nDate: yesterday\r\n\r\nb\r\n".to_vec()),
        (
            "resent",
            [b"Resent-From: carol@alpha.example\r\nResent-To: bob@beta.example\r\n", &with("\r\nb\r\n")[..]]
                .concat(),
        ),
        ("odd field names", with("X_Under: 1\r\nX.Dot: 2\r\n1: 3\r\n!#$%: 4\r\n\r\nb\r\n")),
        (
            "fields about content that nobody knows",
            with(
                "Content-Features: x\r\nContent-MD5: y\r\nContent-Length: 3\r\nContent-Language: de\r\n\r\nb\r\n",
            ),
        ),
    ]
}

/// Content-Type and its neighbours.
fn types() -> Vec<Named> {
    vec![
        ("no subtype", typed("text", "b\r\n")),
        ("an empty type", typed("", "b\r\n")),
        ("nonsense as a type", typed(";;=\"", "b\r\n")),
        ("comments in the type", typed("(a) text/(b)plain(c); charset=(d)utf-8", "b\r\n")),
        (
            "parameters in pieces",
            typed("text/plain; charset*0=ut;\r\n charset*1=f-8; name*=utf-8''%C3%BC", "b\r\n"),
        ),
        ("two types", with("Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n<b>b</b>\r\n")),
        (
            "MIME-Version with a comment",
            with("MIME-Version: 1.0 (of 1996)\r\nContent-Type: text/plain\r\n\r\nb\r\n"),
        ),
        ("MIME-Version twice", with("MIME-Version: 1.0\r\nmime-version: 1.0\r\n\r\nb\r\n")),
        (
            "a type without MIME-Version",
            with("Content-Type: text/html; charset=iso-8859-1\r\n\r\n<b>b</b>\r\n"),
        ),
        ("flowed", typed("text/plain; format=flowed; delsp=yes", "one \r\ntwo \r\n\r\n-- \r\nme\r\n")),
        ("an unknown character set", typed("text/plain; charset=x-none", "b\r\n")),
        (
            "utf-16 in base64",
            typed("text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64", "aABpAA==\r\n"),
        ),
        ("a calendar", typed("text/calendar; method=REQUEST", "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")),
        (
            "winmail.dat",
            typed(
                "application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64",
                "eJ8+IgAAAAAA\r\n",
            ),
        ),
    ]
}

/// Content-Transfer-Encoding.
fn encodings() -> Vec<Named> {
    vec![
        ("8bit that is latin 1", encoded("8bit", b"gr\xfc\xdfe\r\n")),
        ("8bit that nobody announced", with(b"\r\ngr\xfc\xdfe\r\n")),
        ("7bit that is none", encoded("7bit", "gr\u{fc}\u{df}e\r\n")),
        ("an unknown encoding", encoded("x-uuencode", "begin 644 a\r\n#86)C\r\n`\r\nend\r\n")),
        ("an encoding with a comment", encoded("(x) BASE64 (y)", "aGVsbG8=\r\n")),
        ("quoted-printable that is broken", encoded("quoted-printable", "=ZZ =\r\nsoft=  \r\n=C3=BC =")),
        (
            "quoted-printable with lower case and trailing blanks",
            encoded("quoted-printable", "=c3=bc  \r\na=20\r\n"),
        ),
        ("base64 with rubbish in it", encoded("base64", "aGV*sbG8\r\n\r\n  =aGk\r\n--\r\n")),
        ("base64 on one line", encoded("base64", format!("{}\r\n", "aGVsbG8h".repeat(400)))),
        ("an empty base64", encoded("base64", "")),
    ]
}

/// Boundaries and trees.
fn multiparts() -> Vec<Named> {
    let deep = |levels: usize| {
        let mut body = "Content-Type: text/plain\r\n\r\ndeep\r\n".to_owned();
        for level in 0..levels {
            body = format!(
                "Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n{body}--b{level}--\r\n"
            );
        }
        with(format!("MIME-Version: 1.0\r\n{body}"))
    };
    let mixed = |body: &str| typed("multipart/mixed; boundary=b", body);
    let forwarded = "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nhello\r\n--b--\r\n";
    vec![
        ("a multipart that never ends", mixed("--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n")),
        ("a multipart that never begins", mixed("nothing\r\n")),
        ("a multipart without boundary", typed("multipart/mixed", "--b\r\n\r\none\r\n--b--\r\n")),
        ("an empty boundary", typed("multipart/mixed; boundary=\"\"", "--\r\n\r\none\r\n----\r\n")),
        (
            "a boundary of a hundred characters",
            typed(
                &format!("multipart/mixed; boundary={}", "b".repeat(100)),
                format!("--{0}\r\n\r\none\r\n--{0}--\r\n", "b".repeat(100)),
            ),
        ),
        (
            "a boundary with odd characters",
            typed(
                "multipart/mixed; boundary=\"a b'()+_,-./:=?\"",
                "--a b'()+_,-./:=?\r\n\r\none\r\n--a b'()+_,-./:=?--\r\n",
            ),
        ),
        (
            "a boundary and one that begins like it",
            mixed(
                "--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\r\none\r\n--bb--\r\n--b--\r\n",
            ),
        ),
        (
            "the same boundary inside",
            mixed(
                "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b--\r\n--b--\r\n",
            ),
        ),
        ("blanks after a delimiter", mixed("--b \t\r\n\r\none\r\n--b--  \r\nepilogue")),
        ("preamble and epilogue", mixed("before\r\n\r\n--b\r\n\r\none\r\n--b--\r\nafter\r\n\r\n--b\r\n")),
        ("parts without header or content", mixed("--b\r\n--b\r\n\r\n--b\r\nX: y\r\n--b--\r\n")),
        ("a part that ends in a lone line feed", mixed("--b\r\n\r\none\n--b\r\n\r\ntwo\r\n--b--\r\n")),
        ("fifteen levels", deep(15)),
        ("sixty levels", deep(60)),
        ("a thousand and one parts", mixed(&format!("{}--b--\r\n", "--b\r\n\r\np\r\n".repeat(1001)))),
        ("a forwarded message", mixed(forwarded)),
        (
            "a forwarded message in base64",
            mixed(
                "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA0KDQpi\r\n--b--\r\n",
            ),
        ),
        (
            "a digest",
            typed(
                "multipart/digest; boundary=b",
                "--b\r\n\r\nSubject: 1\r\n\r\none\r\n--b\r\n\r\nSubject: 2\r\n\r\ntwo\r\n--b--\r\n",
            ),
        ),
    ]
}

/// What people and programs send.
fn uses() -> Vec<Named> {
    let related = "--b\r\nContent-Type: text/html\r\n\r\n<img src=cid:1>\r\n--b\r\nContent-Type: image/png\r\n\
        Content-ID: <1>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--\r\n";
    let report = "--b\r\n\r\nsorry\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n\
        Final-Recipient: rfc822; c@d\r\nAction: failed\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n--b--\r\n";
    let signed = "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\n\
        -----BEGIN PGP SIGNATURE-----\r\n\r\nAAAA\r\n-----END PGP SIGNATURE-----\r\n--b--\r\n";
    vec![
        ("a page with a picture", typed("multipart/related; boundary=b; type=\"text/html\"", related)),
        ("a delivery report", typed("multipart/report; report-type=delivery-status; boundary=b", report)),
        (
            "a part of a message",
            typed("message/partial; id=\"1@x\"; number=1; total=2", "Subject: half\r\n\r\nb\r\n"),
        ),
        (
            "content elsewhere",
            typed(
                "message/external-body; access-type=anon-ftp; site=x; name=y",
                "Content-Type: text/plain\r\n\r\n",
            ),
        ),
        (
            "somebody's signature that is broken",
            typed(
                "multipart/signed; micalg=pgp-sha256; protocol=\"application/pgp-signature\"; boundary=b",
                signed,
            ),
        ),
        (
            "somebody's key",
            typed(
                "application/pgp-keys",
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n\r\nAAAA\r\n-----END PGP PUBLIC KEY BLOCK-----\r\n",
            ),
        ),
        ("words of armor in a text", with("\r\n> -----BEGIN PGP MESSAGE-----\r\n> x\r\n")),
        ("text below a uuencoded file", with("\r\nbegin 644 a.txt\r\n#86)C\r\n`\r\nend\r\nthe end\r\n")),
        (
            "signatures of other gateways",
            [
                b"DKIM-Signature: v=1; a=rsa-sha256; d=x; b=AAAA\r\nARC-Seal: i=1; a=rsa-sha256; cv=none\r\n",
                &with("\r\nb\r\n")[..],
            ]
            .concat(),
        ),
        (
            "protected header fields",
            typed("text/plain; protected-headers=v1; hp=clear", "Subject: other\r\n\r\nb\r\n"),
        ),
    ]
}

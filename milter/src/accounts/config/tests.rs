use policy::parse_document;

use super::*;

fn take(text: &str) -> Result<AccountsConfig, String> {
    let mut root = parse_document("gatepost.toml", &format!("[accounts]\n{text}")).unwrap();
    let mut section = root.take_section("accounts");
    let taken = AccountsConfig::take(&mut section);
    root.close(section);
    root.finish().map_err(|error| error.to_string())?;
    taken.ok_or_else(|| "no section".to_owned())
}

#[test]
fn sources_are_read_and_defaults_are_careful() {
    let config = take("source = \"file:/etc/gatepost/accounts\"").unwrap();
    assert_eq!(config.source, Source::File("/etc/gatepost/accounts".into()));
    assert_eq!((config.max_loss, config.profile), (20, UserProfile::User));
    assert_eq!(config.watch, Some(Duration::from_secs(15)));
    let config = take("source = \"postmap:hash:/etc/postfix/virtual\"\nmax_loss = \"5%\"\nwatch_seconds = 0");
    let config = config.unwrap();
    assert_eq!(config.source, Source::Map("hash:/etc/postfix/virtual".to_owned()));
    assert_eq!((config.max_loss, config.watch), (5, None));
}

#[test]
fn an_ldap_url_says_base_attributes_scope_and_filter() {
    let text =
        "source = \"ldap://ldap.beta.example/ou=people,dc=beta?mail,mailAlternate?one?(objectClass=person)\"";
    let Source::Ldap(directory) = take(text).unwrap().source else { panic!("not LDAP") };
    assert_eq!((directory.base.as_str(), directory.scope), ("ou=people,dc=beta", Scope::OneLevel));
    assert_eq!(directory.addresses, ["mail", "mailAlternate"]);
    assert_eq!(directory.filter, "(objectClass=person)");
    assert!(directory.starttls, "the way is not ours");
}

#[test]
fn what_would_be_unsafe_or_meaningless_is_refused() {
    for (text, said) in [
        ("profile = \"user\"", "missing key `source`"),
        ("source = \"accounts\"", "use file:/path"),
        ("source = \"file:accounts\"", "absolute path"),
        ("source = \"postmap:/etc/x\"", "needs type and path"),
        ("source = \"ldap://ldap.beta.example/dc=x\"\nstarttls = false", "without TLS"),
        ("source = \"ldap://127.0.0.1/dc=x\"\nbind_dn = \"cn=x\"", "belong together"),
        ("source = \"ldap://127.0.0.1/dc=x???(mail=\"", "no LDAP filter"),
        ("source = \"ldap://me:secret@127.0.0.1/dc=x\"", "password_file"),
        ("source = \"file:/x\"\nbind_dn = \"cn=x\"\npassword_file = \"/y\"", "only an LDAP source"),
        ("source = \"file:/x\"\nmax_loss = \"120%\"", "from 0% to 100%"),
        ("source = \"file:/x\"\nmax_los = \"1%\"", "did you mean `max_loss`"),
    ] {
        let error = take(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}

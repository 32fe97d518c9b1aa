//! Whether a name in a certificate covers the name we wanted.

/// Whether `presented`, a name in a certificate, covers the host name `wanted`.
///
/// ASCII case does not count. A first label `*` stands for exactly one label (RFC 7672 section 3.2.3), and, as
/// OpenSSL has it, not directly below a top-level domain. No other wildcard is known.
pub fn covers(presented: &str, wanted: &str) -> bool {
    let presented = presented.strip_suffix('.').unwrap_or(presented);
    let wanted = wanted.strip_suffix('.').unwrap_or(wanted);
    if wanted.is_empty() || wanted.contains('*') {
        return false;
    }
    let Some(parent) = presented.strip_prefix("*.") else {
        return presented.eq_ignore_ascii_case(wanted);
    };
    let Some((label, wanted_parent)) = wanted.split_once('.') else { return false };
    !label.is_empty() && parent.contains('.') && parent.eq_ignore_ascii_case(wanted_parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_whole_first_label() {
        for (presented, wanted, covered) in [
            ("mx.example.org", "mx.example.org", true),
            ("MX.Example.ORG", "mx.example.org", true),
            ("mx.example.org.", "mx.example.org", true),
            ("*.example.org", "mx.example.org", true),
            ("*.example.org", "a.mx.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("m*.example.org", "mx.example.org", false),
            ("mx.*.org", "mx.example.org", false),
            ("*.org", "example.org", false),
            ("*", "example", false),
            ("*.example.org", "*.example.org", false),
            ("mx.example.org", "mx.example.net", false),
            ("mx.example.org\0.evil.net", "mx.example.org", false),
            ("", "", false),
            ("", "mx.example.org", false),
        ] {
            assert_eq!(covers(presented, wanted), covered, "{presented:?} {wanted:?}");
        }
    }
}

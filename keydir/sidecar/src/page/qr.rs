//! QR codes as SVG.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

use crate::percent;

/// Modules of quiet zone on each side (ISO/IEC 18004).
const QUIET: usize = 4;

/// What a phone reads: the fingerprint in the form that key applications know, with address and name for those that read
/// on.
pub(super) fn text(fingerprint: &str, address: &str, name: Option<&str>) -> String {
    let mut text = format!("OPENPGP4FPR:{fingerprint}#a={}", percent::encode(address));
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        let short: String = name.chars().take(64).collect();
        let _ = write!(text, "&n={}", percent::encode(&short));
    }
    text
}

/// A picture of the text, dark on light whatever the colours of the page; `None` if it is too long for any code.
pub(super) fn svg(text: &str, title: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let side = width + 2 * QUIET;
    let mut path = String::new();
    for (at, color) in code.into_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let _ = write!(path, "M{},{}h1v1h-1z", at % width + QUIET, at / width + QUIET);
        }
    }
    let title = super::html::Escaped(title);
    Some(format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"{title}\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_leaves_its_place() {
        let read = text("ABCD", "a+b@c.example", Some("Ä <\"&\n"));
        assert_eq!(read, "OPENPGP4FPR:ABCD#a=a%2Bb%40c.example&n=%C3%84%20%3C%22%26%0A");
        assert_eq!(text("ABCD", "a@b", None), "OPENPGP4FPR:ABCD#a=a%40b");
        assert!(svg(&read, "a \"title\"").unwrap().contains("aria-label=\"a &quot;title&quot;\""));
        assert!(svg(&"x".repeat(5000), "").is_none());
    }
}

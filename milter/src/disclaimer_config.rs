//! The `[disclaimer."NAME"]` sections: texts that are put under mail that leaves.

use std::collections::BTreeMap;

use policy::{Policy, Section};

/// Most bytes of one text.
const LONGEST: usize = 64 << 10;

/// One text in the forms that mail has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisclaimerConfig {
    /// For text/plain.
    pub text: String,
    /// For text/html; made from `text` where there is none.
    pub html: Option<String>,
}

/// Takes all of them.
pub fn take(root: &mut Section) -> BTreeMap<String, DisclaimerConfig> {
    let mut disclaimers = BTreeMap::new();
    for (name, mut section) in root.take_named_sections("disclaimer") {
        let at = section.at();
        let text = section.take_parsed("text", body).map(|text| text.value);
        let html = section.take_parsed("html", body).map(|html| html.value);
        match text {
            Some(text) => {
                disclaimers.insert(name.value.clone(), DisclaimerConfig { text, html });
            }
            None => section.reject(at, "text", format!("disclaimer `{}` needs `text`", name.value)),
        }
        root.close(section);
    }
    disclaimers
}

/// The first disclaimer that the policy names and nobody wrote.
pub fn missing(policy: &Policy, disclaimers: &BTreeMap<String, DisclaimerConfig>) -> Option<String> {
    policy.disclaimers().into_iter().find(|name| !disclaimers.contains_key(*name)).map(str::to_owned)
}

fn body(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > LONGEST {
        return Err(format!("must have 1 to {LONGEST} bytes"));
    }
    if text.contains('\0') {
        return Err("must not hold NUL".to_owned());
    }
    Ok(text.to_owned())
}

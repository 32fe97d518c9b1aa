//! A policy file is a policy or it is not. One that is gives the same policy again from the lines that are kept, and
//! its patterns list only hosts of the same number of labels.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::sts::MAX_AGE_MAX;
use relay::sts::Mode;
use relay::sts::StsPolicy;

fuzz_target!(|input: (&str, &str)| {
    let (text, host) = input;
    let Ok(policy) = StsPolicy::parse(text, "1") else { return };
    assert!(policy.max_age <= MAX_AGE_MAX);
    assert!(policy.mode == Mode::None || !policy.mx.is_empty());
    assert_eq!(StsPolicy::parse(&(policy.lines.join("\r\n") + "\r\n"), "1").as_ref(), Ok(&policy));
    if policy.lists(host) {
        let labels = host.strip_suffix('.').unwrap_or(host).split('.').count();
        assert!(policy.mx.iter().any(|pattern| pattern.split('.').count() == labels));
    }
});

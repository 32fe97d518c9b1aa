use super::*;

use std::cell::RefCell;

thread_local! {
    /// The step at which the current test wants the power to fail.
    static FAILS_AT: RefCell<Option<&'static str>> = const { RefCell::new(None) };
}

pub(super) fn step(name: &str) -> Result<(), KeyLogError> {
    match FAILS_AT.with_borrow(|at| *at == Some(name)) {
        true => Err(KeyLogError::Interrupted),
        false => Ok(()),
    }
}

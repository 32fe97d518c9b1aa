//! What lies in memory: secret keys, and mail that was opened.

use std::io;

use rustix::process::DumpableBehavior;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::set_dumpable_behavior;
use rustix::process::setrlimit;

/// Keeps this process out of core dumps, also those that go to a program (systemd-coredump), and out of the reach of
/// debuggers that other processes of the same user start.
///
/// # Errors
/// If the system refuses.
pub fn forbid_core_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;
    use rustix::process::getrlimit;

    use super::*;

    #[test]
    fn nothing_of_this_process_is_dumped_any_more() {
        forbid_core_dumps().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
    }
}

//! Recipient maps of Postfix: the keys are addresses, the values are not looked at.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::file::{clean, whole};
use super::source::{Account, Gathering, SourceError};

/// Most that postmap may print, bytes.
const OUTPUT: u64 = 64 << 20;
/// Most of its complaints that is kept, bytes.
const COMPLAINT: u64 = 4096;
/// Longest time it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the text from which postmap makes a map (postmap(1), INPUT FILE FORMAT).
///
/// # Errors
/// It cannot be read.
pub fn read_text(path: &Path, gathering: &mut Gathering) -> Result<(), SourceError> {
    let bytes = whole(path)?;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        // What begins with a blank continues the value above.
        if !line.first().is_some_and(u8::is_ascii_whitespace) {
            key(&format!("line {}", index + 1), line, gathering);
        }
    }
    Ok(())
}

/// Reads a map of any type that `postmap -s` can list: `hash:/etc/postfix/virtual`.
///
/// # Errors
/// postmap cannot be run, or complains.
pub fn read_map(map: &str, gathering: &mut Gathering) -> Result<(), SourceError> {
    let (listed, complaint) = list(map)?;
    for line in complaint.lines() {
        gathering.skip("postmap", line);
    }
    for (index, line) in listed.split(|byte| *byte == b'\n').enumerate() {
        key(&format!("entry {}", index + 1), line, gathering);
    }
    Ok(())
}

/// Takes the key of one entry (virtual(5), TABLE SEARCH ORDER). A map serves other purposes too; what is no
/// mailbox is left out.
fn key(place: &str, line: &[u8], gathering: &mut Gathering) {
    // Values may be long; only the key counts.
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let key = match clean(line.get(..end).unwrap_or(line)) {
        Ok("") => return,
        Ok(key) => key,
        Err(why) => return gathering.mistake(place, why),
    };
    match key.split_once('@') {
        Some(("", domain)) => gathering.skip(place, &format!("@{domain} catches all and is no mailbox")),
        Some(_) => gathering.take_ours(place, Account { address: key.to_owned(), ..Account::default() }),
        None if gathering.is_own(key) => {} // says that the domain is a virtual one
        None => match &gathering.domain {
            Some(domain) => {
                let address = format!("{key}@{domain}");
                gathering.take_ours(place, Account { address, ..Account::default() });
            }
            None => gathering.skip(place, &format!("{key} has no domain, and [accounts] sets none")),
        },
    }
}

/// The map, and the warnings that came with it.
fn list(map: &str) -> Result<(Vec<u8>, String), SourceError> {
    let what = format!("{map} with `postmap -s`");
    let unreadable = |source| SourceError::Unreadable { what: what.clone(), source };
    let mut child = Command::new("postmap")
        .args(["-s", map])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(unreadable)?;
    let (out, complaint) = (child.stdout.take(), child.stderr.take());
    let (done, ended) = channel();
    let out = reading(out, OUTPUT, done.clone());
    let complaint = reading(complaint, COMPLAINT, done);
    // Both pipes are at their end, or both readers have enough.
    let in_time = !matches!(ended.recv_timeout(PATIENCE), Err(RecvTimeoutError::Timeout))
        && !matches!(ended.recv_timeout(PATIENCE), Err(RecvTimeoutError::Timeout));
    let status = end(&mut child, in_time).map_err(unreadable)?;
    let panicked = || unreadable(io::Error::other("reading it failed"));
    let out = out.join().map_err(|_| panicked())?.map_err(unreadable)?;
    let complaint = complaint.join().map_err(|_| panicked())?.map_err(unreadable)?;
    if !in_time {
        return Err(unreadable(io::Error::new(io::ErrorKind::TimedOut, "no answer for a minute")));
    }
    let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
    // A part of a map must not pass for the whole.
    if !status || out.len() as u64 > OUTPUT {
        let why = if complaint.is_empty() { "it failed or printed too much".to_owned() } else { complaint };
        return Err(unreadable(io::Error::other(why)));
    }
    Ok((out, complaint))
}

type Reader = thread::JoinHandle<io::Result<Vec<u8>>>;

fn reading(pipe: Option<impl Read + Send + 'static>, limit: u64, done: Sender<()>) -> Reader {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.map_or(Ok(0), |pipe| pipe.take(limit + 1).read_to_end(&mut bytes));
        let _ = done.send(());
        read.map(|_| bytes)
    })
}

/// Waits for the end of a process whose output has ended, or ends it; true if it succeeded.
fn end(child: &mut Child, in_time: bool) -> io::Result<bool> {
    if !in_time {
        child.kill()?;
    }
    Ok(child.wait()?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_text_are_mailboxes_and_the_rest_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("virtual");
        std::fs::write(
            &path,
            "# virtual\nbeta.example anything\nbob@beta.example bob,\n  carol\n\n@beta.example  bob\n\
             x@other.example y\ndora dora@elsewhere.example\n",
        )
        .unwrap();
        let read = |domain| {
            let mut gathering = Gathering::new(&["beta.example".to_owned()], domain);
            read_text(&path, &mut gathering).unwrap();
            gathering.finish("virtual").unwrap()
        };
        let plain = read(None);
        assert_eq!(plain.accounts.keys().collect::<Vec<_>>(), ["bob@beta.example"]);
        assert_eq!(plain.skipped.len(), 3, "{:?}", plain.skipped);
        assert!(plain.skipped[1].starts_with("line 7: x@other.example is outside"), "{:?}", plain.skipped);
        let with_domain = read(Some("beta.example"));
        assert_eq!(
            with_domain.accounts.keys().collect::<Vec<_>>(),
            ["bob@beta.example", "dora@beta.example"]
        );
    }
}

//! The valid name that somebody probably meant.

/// Names further away than this are a different word, not a slip.
const FARTHEST: usize = 3;

/// The name in `names` that is nearest to `given`, if one is near enough to be a slip of the finger.
///
/// Near means at most three edits (one inserted, missing, wrong or swapped character each) and at most
/// half of the longer name. Of equally near names the first wins.
pub fn nearest<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let given = given.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for name in names {
        let longer = given.chars().count().max(name.chars().count());
        let distance = edit_distance(&given, &name.to_lowercase());
        let near = distance <= FARTHEST && distance * 2 <= longer;
        if near && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// The number of edits between two words; a swap of two neighbours is one edit.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > FARTHEST {
        return FARTHEST + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut left = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX);
            let mut least = (left + 1).min(cell(&above, j + 1).saturating_add(1));
            least = least.min(cell(&above, j).saturating_add(usize::from(x != y)));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                least = least.min(cell(&before, j - 1).saturating_add(1));
            }
            row.push(least);
            left = least;
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let names = ["encrypt", "sign", "keys", "unverifiable", "undecryptable", "open"];
        for (given, meant) in [
            ("encrpyt", "encrypt"),
            ("sing", "sign"),
            ("key", "keys"),
            ("Encrypt", "encrypt"),
            ("unverifyable", "unverifiable"),
            ("undecryptible", "undecryptable"),
        ] {
            assert_eq!(nearest(given, names), Some(meant), "{given}");
        }
    }

    #[test]
    fn another_word_finds_nothing() {
        for given in ["", "x", "id", "frobnicate", "verschlüsseln"] {
            assert_eq!(nearest(given, ["encrypt", "sign", "keys", "open"]), None, "{given}");
        }
    }
}

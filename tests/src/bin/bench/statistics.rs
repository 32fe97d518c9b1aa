//! Medians, of ratios above all.

use std::fmt;

/// A median with its quartiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// Half of the values are below.
    pub(crate) median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    /// Of these values.
    ///
    /// # Panics
    /// If there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self { median: at(&values, 0.5), low: at(&values, 0.25), high: at(&values, 0.75) }
    }

    /// Of the ratios of pairs that were measured in the same round.
    pub(crate) fn of_ratios(numerators: &[f64], denominators: &[f64]) -> Self {
        assert_eq!(numerators.len(), denominators.len(), "every value has its pair");
        Self::of(numerators.iter().zip(denominators).map(|(a, b)| a / b))
    }
}

/// `0.841 (0.803–0.876)`: median and quartiles, with three digits below 1.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, low, high } = self;
        let digits = if median.abs() < 1.0 { 3 } else { 2 };
        write!(f, "{median:.digits$} ({low:.digits$}–{high:.digits$})")
    }
}

/// The value below which `part` of the sorted values lie, between two of them if need be.
fn at(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of_ratios(&[1.0, 2.0], &[2.0, 4.0]).to_string(), "0.500 (0.500–0.500)");
    }
}

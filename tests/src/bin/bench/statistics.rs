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

/// A mean with its confidence interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    /// The mean.
    pub(crate) mean: f64,
    /// The true mean lies at most this far away, with a confidence of 95 %, if the values are about normal.
    pub(crate) margin: f64,
}

impl Mean {
    /// Of the ratios of pairs that were measured in the same round.
    ///
    /// # Panics
    /// If there are fewer than two.
    pub(crate) fn of_ratios(numerators: &[f64], denominators: &[f64]) -> Self {
        assert_eq!(numerators.len(), denominators.len(), "every value has its pair");
        let ratios: Vec<f64> = numerators.iter().zip(denominators).map(|(a, b)| a / b).collect();
        let count = ratios.len() as f64;
        let mean = ratios.iter().sum::<f64>() / count;
        let variance = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let margin = STUDENT[(ratios.len() - 2).min(STUDENT.len() - 1)] * (variance / count).sqrt();
        Self { mean, margin }
    }
}

/// `0.998 ± 0.013`.
impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ± {:.3}", self.mean, self.margin)
    }
}

/// Two-sided 95 % quantiles of Student's distribution for 1, 2, … degrees of freedom.
const STUDENT: [f64; 24] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
];

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
    fn the_margin_of_a_mean_is_that_of_students_distribution() {
        let mean = Mean::of_ratios(&[0.9, 1.0, 1.1], &[1.0, 1.0, 1.0]);
        assert_eq!(mean.to_string(), "1.000 ± 0.248");
    }

    #[test]
    fn the_median_lies_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of_ratios(&[1.0, 2.0], &[2.0, 4.0]).to_string(), "0.500 (0.500–0.500)");
    }
}

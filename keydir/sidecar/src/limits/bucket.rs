//! A token bucket that needs no timer.

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Tokens that come in an hour; at least 1.
    pub(super) per_hour: u64,
    /// Tokens that it holds at most.
    pub(super) most: u64,
}

/// Milliseconds of an hour: one token is so many parts, so that slow rates lose nothing to rounding.
const HOUR: u64 = 3_600_000;

/// What was taken and has not come back, in parts of a token. New buckets are full.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    taken: u64,
    at: u64,
}

impl Bucket {
    /// Takes tokens at `now` (milliseconds), or says after how many seconds there will be enough.
    pub(super) fn take(&mut self, rate: Rate, tokens: u64, now: u64) -> Result<(), u32> {
        let came = now.saturating_sub(self.at).saturating_mul(rate.per_hour);
        let taken = self.taken.min(rate.most.saturating_mul(HOUR)).saturating_sub(came);
        self.at = self.at.max(now);
        self.taken = taken;
        let wanted = taken.saturating_add(tokens.saturating_mul(HOUR));
        let over = wanted.saturating_sub(rate.most.saturating_mul(HOUR));
        if over == 0 {
            self.taken = wanted;
            return Ok(());
        }
        let seconds = over.div_ceil(rate.per_hour.max(1)).div_ceil(1000);
        Err(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_as_long_as_told_is_enough() {
        let rate = Rate { per_hour: 7, most: 3 };
        let (mut bucket, mut now) = (Bucket::default(), 0);
        for _ in 0..50 {
            if let Err(wait) = bucket.take(rate, 1, now) {
                assert!(wait > 0);
                now += u64::from(wait) * 1000;
                assert_eq!(bucket.take(rate, 1, now), Ok(()));
            }
        }
        // 47 tokens had to come, at 7 an hour.
        assert!((46 * HOUR / 7..49 * HOUR / 7).contains(&now), "{now}");
    }

    #[test]
    fn a_clock_that_stands_still_gives_nothing() {
        let rate = Rate { per_hour: u64::MAX, most: 2 };
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(rate, 2, 9), Ok(()));
        assert!(bucket.take(rate, 1, 9).is_err());
        assert!(bucket.take(rate, 1, 3).is_err());
    }
}

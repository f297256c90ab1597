//! The little statistics that the analysis needs, robust against the faults it looks for.
//!
//! Durations are summarised on a log scale: they are positive, skewed, and what matters is a ratio.

/// A robust summary of durations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    /// Number of samples.
    pub(crate) samples: usize,
    /// Median in ms.
    pub(crate) median_ms: f64,
    /// Median absolute deviation of the log durations, or their median's distance from the lower quartile where that
    /// is less: the same for normal samples, and slow ones among them don't widen it. From the interquartile range
    /// when that is 0.
    pub(crate) spread: f64,
    /// Largest sample in ms.
    pub(crate) max_ms: f64,
}

/// Durations below this are as good as nothing, and a log of zero is no number.
const FLOOR_MS: f64 = 1.0;
/// Least spread assumed: samples that agree to the millisecond don't make a deviation of two
/// milliseconds an anomaly.
const MIN_SPREAD: f64 = 0.05;
/// Makes the median absolute deviation of normal samples a standard deviation.
const MAD_TO_SIGMA: f64 = 0.6745;
/// The interquartile range of normal samples is 2·0.6745 standard deviations: half of it is their MAD.
const IQR_TO_MAD: f64 = 0.5;

impl Summary {
    /// Summarises durations in ms; `None` when there are none. Sorts the samples.
    pub(crate) fn of(samples: &mut [f64]) -> Option<Self> {
        samples.sort_unstable_by(f64::total_cmp);
        let max_ms = *samples.last()?;
        let logs: Vec<f64> = samples.iter().map(|&ms| log(ms)).collect();
        let (lower, middle) = (quantile(&logs, 0.25)?, quantile(&logs, 0.5)?);
        let mut off: Vec<f64> = logs.iter().map(|x| (x - middle).abs()).collect();
        off.sort_unstable_by(f64::total_cmp);
        let mut spread = quantile(&off, 0.5)?.min(middle - lower);
        if spread == 0.0 {
            spread = (quantile(&logs, 0.75)? - lower) * IQR_TO_MAD;
        }
        Some(Self {
            samples: samples.len(),
            median_ms: quantile(samples, 0.5)?,
            spread: spread.max(MIN_SPREAD),
            max_ms,
        })
    }

    /// How unusual a duration is: `0.6745·(x − median)/MAD` on log durations.
    pub(crate) fn robust_z(&self, ms: f64) -> f64 {
        MAD_TO_SIGMA * (log(ms) - log(self.median_ms)) / self.spread
    }
}

fn log(ms: f64) -> f64 {
    ms.max(FLOOR_MS).ln()
}

/// Quantile of sorted samples, interpolated as `percentile_cont` does it.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    Some(sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64))
}

/// Two-sided probability that two success counts come from one rate: Fisher's exact test, which holds
/// for small counts too.
pub(crate) fn same_rate(successes: [usize; 2], totals: [usize; 2]) -> f64 {
    let all = totals[0] + totals[1];
    let good = successes[0] + successes[1];
    if totals[0] == 0 || totals[1] == 0 || good == 0 || good == all {
        return 1.0;
    }
    let logs = log_factorials(all);
    let choose = |n: usize, k: usize| logs[n] - logs[k] - logs[n - k];
    let weight = |k: usize| choose(totals[0], k) + choose(totals[1], good - k) - choose(all, good);
    let seen = weight(successes[0]);
    let range = good.saturating_sub(totals[1])..=good.min(totals[0]);
    // Rounding must not drop tables that are exactly as likely as the one seen.
    let sum: f64 = range
        .map(weight)
        .filter(|w| *w <= seen + 1e-7)
        .map(f64::exp)
        .sum();
    sum.min(1.0)
}

fn log_factorials(up_to: usize) -> Vec<f64> {
    let mut logs = vec![0.0; up_to + 1];
    for n in 1..=up_to {
        logs[n] = logs[n - 1] + (n as f64).ln();
    }
    logs
}

/// Two-sided probability that two sets of samples come from one distribution: Mann and Whitney's test
/// with ties, in its normal approximation. `None` below eight samples on either side.
pub(crate) fn same_distribution(a: &[f64], b: &[f64]) -> Option<f64> {
    const ENOUGH: usize = 8;
    if a.len() < ENOUGH || b.len() < ENOUGH {
        return None;
    }
    let mut all: Vec<(f64, bool)> = a.iter().map(|&x| (x, true)).collect();
    all.extend(b.iter().map(|&x| (x, false)));
    all.sort_unstable_by(|x, y| x.0.total_cmp(&y.0));
    let (mut rank_sum, mut ties, mut at) = (0.0, 0.0, 0);
    for run in all.chunk_by(|x, y| x.0 == y.0) {
        let count = run.len() as f64;
        let middle = at as f64 + (count + 1.0) / 2.0;
        rank_sum += middle * run.iter().filter(|(_, first)| *first).count() as f64;
        ties += count.powi(3) - count;
        at += run.len();
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let total = n + m;
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return Some(1.0);
    }
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    Some(two_sided_normal(z))
}

/// Probability that a standard normal value lies farther from 0 than `z` (Abramowitz and Stegun
/// 7.1.26, good to 1.5e-7).
fn two_sided_normal(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    (poly * (-x * x).exp()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robust_z_ignores_a_few_wild_samples() {
        let mut samples: Vec<f64> = (0..40).map(|i| 1_800.0 + f64::from(i) * 10.0).collect();
        samples.extend([90_000.0, 120_000.0, 300_000.0]);
        let summary = Summary::of(&mut samples).unwrap();
        assert!((summary.median_ms - 2_010.0).abs() < 20.0);
        assert!(summary.robust_z(2_200.0) < 2.0);
        assert!(summary.robust_z(20_000.0) > 5.0);
    }

    #[test]
    fn slow_samples_do_not_make_slowness_usual() {
        let usual = [1.0, 1.5, 1.5, 1.6, 1.9, 2.2, 2.3, 2.6, 2.6, 3.0, 3.2, 4.2];
        let slow = [23.6, 24.1, 32.9];
        let mut samples: Vec<f64> = usual.iter().chain(&slow).map(|s| s * 1_000.0).collect();
        let summary = Summary::of(&mut samples).unwrap();
        assert!(summary.robust_z(23_600.0) > 3.5, "{summary:?}");
        assert!(summary.robust_z(4_200.0) < 1.5, "{summary:?}");
    }

    #[test]
    fn interquartile_range_stands_in_when_most_samples_are_equal() {
        let mut samples = vec![100.0; 6];
        samples.extend([200.0, 210.0, 220.0, 230.0]);
        let summary = Summary::of(&mut samples).unwrap();
        assert!(summary.spread > MIN_SPREAD, "{summary:?}");
    }

    #[test]
    fn no_samples_have_no_summary_and_no_quantile() {
        assert_eq!(Summary::of(&mut []), None);
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn quantiles_interpolate_between_samples() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[1.0, 2.0], 1.0), Some(2.0));
        assert_eq!(quantile(&[7.0], 0.95), Some(7.0));
    }

    #[test]
    fn fishers_test_agrees_with_the_tea_lady() {
        // Three of four right on either side: 34/70.
        let p = same_rate([3, 1], [4, 4]);
        assert!((p - 0.485_714).abs() < 1e-5, "{p}");
        assert!(same_rate([85, 40], [100, 100]) < 1e-6);
        assert_eq!(same_rate([0, 0], [10, 10]), 1.0);
    }

    #[test]
    fn shifted_samples_are_told_from_equal_ones() {
        let a: Vec<f64> = (0..30).map(f64::from).collect();
        let b: Vec<f64> = (0..30).map(|i| f64::from(i) + 20.0).collect();
        assert!(same_distribution(&a, &b).unwrap() < 0.001);
        assert!(same_distribution(&a, &a).unwrap() > 0.9);
        assert_eq!(same_distribution(&a, &b[..3]), None);
        assert_eq!(same_distribution(&[5.0; 10], &[5.0; 12]), Some(1.0));
    }
}

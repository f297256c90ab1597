//! How a time offset is distributed, learned from examples that are only known to lie in a window.
//!
//! A body of narrow bins, smoothed and mixed with a broad prior, and a tail on either side that falls
//! off with the inverse of the distance: a cold start of a minute is rare, not impossible. Invariant:
//! the density is positive everywhere within [`REACH`], so no single oddity rules a pair out.

/// Width of a bin in seconds: finer than the hundredths that durations are printed in is useless.
pub(super) const BIN: f64 = 0.02;
/// The body reaches this far to either side of its centre, in seconds.
const HALF: f64 = 15.0;
/// The tails reach this far, in seconds: the longest wait for a container that is believed.
pub(super) const REACH: f64 = 900.0;
/// How many examples a default is worth.
const FEWEST: f64 = 6.0;
/// How many examples earlier experience is worth at most: what happens now counts for more.
const MOST: f64 = 300.0;

/// Density of an offset in seconds.
#[derive(Debug, Clone)]
pub(super) struct Density {
    first: f64,
    centre: f64,
    // Density per second in each bin: of the body alone, and with the tails in.
    body: Vec<f64>,
    table: Vec<f64>,
    // Share of the examples that lies before and after the body.
    early: f64,
    late: f64,
    // How many examples it was learned from.
    examples: f64,
}

impl Density {
    /// A two-sided exponential around `centre`, with given shares in the tails.
    pub(super) fn broad(centre: f64, scale: f64, early: f64, late: f64) -> Self {
        let bins = (2.0 * HALF / BIN) as usize;
        let first = centre - HALF;
        let body = (0..bins)
            .map(|at| (-(middle(first, at) - centre).abs() / scale).exp() / (2.0 * scale))
            .collect();
        Self {
            first,
            centre,
            body,
            table: Vec::new(),
            early,
            late,
            examples: 0.0,
        }
        .with_tails()
    }

    fn with_tails(mut self) -> Self {
        let inside = 1.0 - self.early - self.late;
        let both = |(at, body): (usize, &f64)| body * inside + self.tail(middle(self.first, at));
        self.table = self.body.iter().enumerate().map(both).collect();
        self
    }

    /// The same shape elsewhere.
    pub(super) fn shifted(&self, by: f64) -> Self {
        Self {
            first: self.first + by,
            centre: self.centre + by,
            ..self.clone()
        }
    }

    /// Density at `x`, per second.
    pub(super) fn at(&self, x: f64) -> f64 {
        match self.bin(x) {
            Some(at) => self.table[at],
            None => self.tail(x),
        }
    }

    /// Mean density over `steps` bins that follow each other from `x` on.
    pub(super) fn mean(&self, x: f64, steps: usize) -> f64 {
        let sum: f64 = match self.slice(x, steps) {
            Some(bins) => bins.iter().sum(),
            None => (0..steps).map(|step| self.at(x + step as f64 * BIN)).sum(),
        };
        sum / steps as f64
    }

    /// Mean over `steps` bins of this density going up from `x` times `other` going down from `y`.
    pub(super) fn mean_against(&self, x: f64, other: &Self, y: f64, steps: usize) -> f64 {
        let lowest = y - (steps - 1) as f64 * BIN;
        let sum: f64 = match (self.slice(x, steps), other.slice(lowest, steps)) {
            (Some(up), Some(down)) => up.iter().zip(down.iter().rev()).map(|(a, b)| a * b).sum(),
            _ => (0..steps)
                .map(|step| step as f64 * BIN)
                .map(|on| self.at(x + on) * other.at(y - on))
                .sum(),
        };
        sum / steps as f64
    }

    fn slice(&self, x: f64, steps: usize) -> Option<&[f64]> {
        let from = self.bin(x)?;
        self.table.get(from..from + steps)
    }

    /// The middle of the body as it was set up.
    pub(super) fn centre(&self) -> f64 {
        self.centre
    }

    fn bin(&self, x: f64) -> Option<usize> {
        let at = (x - self.first) / BIN;
        (at >= 0.0 && at < self.table.len() as f64).then_some(at as usize)
    }

    fn tail(&self, x: f64) -> f64 {
        let distance = x - self.centre;
        let share = if distance < 0.0 {
            self.early
        } else {
            self.late
        };
        let distance = distance.abs();
        if distance > REACH {
            return 0.0;
        }
        share / ((distance + 1.0) * (REACH + 1.0).ln())
    }
}

fn middle(first: f64, at: usize) -> f64 {
    first + (at as f64 + 0.5) * BIN
}

/// Examples on their way to becoming a density.
#[derive(Debug)]
pub(super) struct Examples<'a> {
    prior: &'a Density,
    bins: Vec<f64>,
    early: f64,
    late: f64,
}

impl<'a> Examples<'a> {
    pub(super) fn new(prior: &'a Density) -> Self {
        Self {
            prior,
            bins: vec![0.0; prior.table.len()],
            early: 0.0,
            late: 0.0,
        }
    }

    /// Adds a share of an example at `x`.
    pub(super) fn add(&mut self, x: f64, weight: f64) {
        match self.prior.bin(x) {
            Some(at) => self.bins[at] += weight,
            None if x < self.prior.centre => self.early += weight,
            None => self.late += weight,
        }
    }

    /// The density that the examples and the prior make together.
    pub(super) fn learn(self) -> Density {
        let inside: f64 = self.bins.iter().sum();
        let total = inside + self.early + self.late;
        let before = self.prior.examples.clamp(FEWEST, MOST);
        let share = |now: f64, then: f64| (now + before * then) / (total + before);
        // The more examples, the finer the detail that is more than chance.
        let bandwidth = (0.15 / (inside + 1.0).cbrt()).clamp(0.012, 0.1);
        let body = smoothed(&self.bins, bandwidth)
            .iter()
            .zip(&self.prior.body)
            .map(|(count, prior)| (count / BIN + before * prior) / (inside + before))
            .collect();
        Density {
            first: self.prior.first,
            centre: self.prior.centre,
            body,
            table: Vec::new(),
            early: share(self.early, self.prior.early),
            late: share(self.late, self.prior.late),
            examples: before + total,
        }
        .with_tails()
    }
}

/// Counts blurred by a Gaussian of the given width in seconds.
fn smoothed(bins: &[f64], bandwidth: f64) -> Vec<f64> {
    let reach = (3.0 * bandwidth / BIN).ceil() as usize;
    let weight = |steps: usize| (-0.5 * (steps as f64 * BIN / bandwidth).powi(2)).exp();
    let kernel: Vec<f64> = (0..=reach).map(weight).collect();
    let norm = kernel[0] + 2.0 * kernel[1..].iter().sum::<f64>();
    let mut blurred = vec![0.0; bins.len()];
    for (at, &count) in bins.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        for (steps, weight) in kernel.iter().enumerate() {
            let part = count * weight / norm;
            if let Some(bin) = blurred.get_mut(at + steps) {
                *bin += part;
            }
            if let (Some(left), true) = (at.checked_sub(steps), steps > 0) {
                blurred[left] += part;
            }
        }
    }
    blurred
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integral(density: &Density) -> f64 {
        let steps = (REACH / BIN) as i32;
        (-steps..steps)
            .map(|step| density.at(density.centre + (f64::from(step) + 0.5) * BIN) * BIN)
            .sum()
    }

    #[test]
    fn a_density_sums_to_one_before_and_after_learning() {
        let broad = Density::broad(0.3, 1.0, 0.01, 0.06);
        assert!(
            (integral(&broad) - 1.0).abs() < 0.02,
            "{}",
            integral(&broad)
        );
        let mut examples = Examples::new(&broad);
        for step in 0..200 {
            examples.add(0.1 + f64::from(step) * 0.001, 1.0);
        }
        examples.add(40.0, 3.0);
        let learned = examples.learn();
        let total = integral(&learned);
        assert!((total - 1.0).abs() < 0.03, "{total}");
    }

    #[test]
    fn examples_sharpen_the_density_where_they_lie() {
        let broad = Density::broad(0.0, 1.0, 0.01, 0.01);
        let mut examples = Examples::new(&broad);
        for _ in 0..100 {
            examples.add(0.5, 1.0);
        }
        let learned = examples.learn();
        assert!(learned.at(0.5) > 4.0 * broad.at(0.5));
        assert!(learned.at(-0.5) < broad.at(-0.5));
    }

    #[test]
    fn a_mean_over_bins_is_the_same_inside_and_across_the_edge_of_the_table() {
        let density = Density::broad(0.0, 1.0, 0.05, 0.05);
        for x in [-2.009, HALF - 0.109] {
            let one_by_one: f64 = (0..20).map(|k| density.at(x + f64::from(k) * BIN)).sum();
            assert!((density.mean(x, 20) - one_by_one / 20.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_far_offset_is_rare_but_possible() {
        let density = Density::broad(0.0, 1.0, 0.05, 0.05);
        assert!(density.at(90.0) > 0.0 && density.at(90.0) < density.at(1.0) / 50.0);
        assert_eq!(density.at(REACH + 1.0), 0.0);
    }
}

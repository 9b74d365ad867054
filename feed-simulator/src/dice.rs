//! Seeded randomness that gives the same numbers on every machine: only exact arithmetic, no `ln`, no `cos`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A seeded stream of random numbers.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream number `stream` of a seed; different streams have nothing to do with each other.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in `from..to`; `from` where that is empty.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        let width = to.saturating_sub(from).max(1).unsigned_abs();
        let wide = u128::from(self.0.next_u64()) * u128::from(width);
        from + i64::try_from(wide >> 64).unwrap_or(0)
    }

    /// About normal with mean 0 and variance 1: a sum of four uniforms, scaled. Its tails end at ±3.5.
    pub fn normal(&mut self) -> f64 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        (sum - 2.0) * 1.732_050_807_568_877_2
    }

    /// Exponential with mean 1, by von Neumann's method: comparisons of uniforms only.
    pub fn exponential(&mut self) -> f64 {
        let mut whole = 0.0;
        loop {
            let first = self.unit();
            let mut smallest = first;
            let mut falling = 1_u32;
            loop {
                let next = self.unit();
                if next >= smallest {
                    break;
                }
                smallest = next;
                falling += 1;
            }
            if falling % 2 == 1 {
                return whole + first;
            }
            whole += 1.0;
        }
    }
}

/// A float as the nearest integer.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is what a simulated price or time needs")]
pub fn whole(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_variance(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..20_000).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 20_000.0)
    }

    #[test]
    fn the_distributions_are_what_they_claim() {
        let mut dice = Dice::new(1, 0);
        let (mean, variance) = mean_and_variance(|| dice.exponential());
        assert!((mean - 1.0).abs() < 0.03 && (variance - 1.0).abs() < 0.08, "{mean} {variance}");
        let (mean, variance) = mean_and_variance(|| dice.normal());
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        assert!((0..1000).all(|_| (3..7).contains(&dice.between(3, 7))));
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draws = |seed, stream| {
            let mut dice = Dice::new(seed, stream);
            (0..5).map(|_| dice.between(0, 1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1, 2), draws(1, 2));
        assert_ne!(draws(1, 2), draws(1, 3));
        assert_ne!(draws(1, 2), draws(2, 2));
    }
}

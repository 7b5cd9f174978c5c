//! What is random in a corruption.

use crate::{Draw, Draws, Error};

/// The random numbers of one image.
#[derive(Clone, Copy)]
pub(super) struct Chance<'a> {
    pub(super) draws: &'a dyn Draws,
    /// The image's number.
    pub(super) sample: u64,
}

impl Chance<'_> {
    /// So many numbers uniform in `[0, 1)`.
    pub(super) fn uniform(&self, name: &'static str, count: usize) -> Result<Vec<f64>, Error> {
        self.uniform_in_step(name, 0, count)
    }

    /// The same where one name has several draws.
    pub(super) fn uniform_in_step(
        &self,
        name: &'static str,
        step: usize,
        count: usize,
    ) -> Result<Vec<f64>, Error> {
        let draw = Draw::new(name, self.sample).in_step(step);
        self.draws.uniform(draw, count)
    }

    /// One number uniform in `[low, high)`.
    pub(super) fn between(&self, name: &'static str, low: f64, high: f64) -> Result<f64, Error> {
        let drawn = self.uniform(name, 1)?;
        Ok(low + (high - low) * drawn[0])
    }

    /// So many numbers of the standard normal distribution.
    pub(super) fn normal(&self, name: &'static str, count: usize) -> Result<Vec<f64>, Error> {
        self.draws.normal(Draw::new(name, self.sample), count)
    }
}

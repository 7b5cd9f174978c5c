//! What a decision-based attack sees: whether points are on the wrong side, and a budget.

use std::cell::Cell;

use crate::attack::AttackBatch;
use crate::attack::forms::scores_of;
use crate::{AttackedModel, Draw, Error};

/// The values of one image.
pub(super) type Pixels = Vec<f64>;

/// Answers about one image under attack, until the queries are spent.
pub(super) struct Oracle<'a> {
    model: &'a dyn AttackedModel,
    /// The one image.
    pub(super) batch: &'a AttackBatch<'a>,
    left: Cell<usize>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(
        model: &'a dyn AttackedModel,
        batch: &'a AttackBatch<'a>,
        max_queries: usize,
    ) -> Self {
        Self {
            model,
            batch,
            left: Cell::new(max_queries),
        }
    }

    pub(super) fn clean(&self) -> &[f64] {
        self.batch.images().image(0)
    }

    pub(super) fn sample(&self) -> u64 {
        self.batch.samples()[0]
    }

    /// Whether each point is taken for a class that the attack wants; none if there are more points
    /// than queries left.
    pub(super) fn are_wrong(&self, points: Vec<Pixels>) -> Result<Option<Vec<bool>>, Error> {
        let Some(left) = self.left.get().checked_sub(points.len()) else {
            return Ok(None);
        };
        self.left.set(left);
        let scores = scores_of(self.model, self.batch.images().size(), points)?;
        let wrong = scores.iter().map(|scores| self.batch.is_success(0, scores));
        Ok(Some(wrong.collect()))
    }

    pub(super) fn is_wrong(&self, point: &[f64]) -> Result<Option<bool>, Error> {
        Ok(self
            .are_wrong(vec![point.to_vec()])?
            .map(|wrong| wrong == [true]))
    }

    /// An image of noise, uniform in 0..1.
    pub(super) fn uniform(&self, draw: Draw) -> Result<Pixels, Error> {
        self.batch.draws().uniform(draw, self.clean().len())
    }

    /// So many directions, uniform in −1..1.
    pub(super) fn symmetric(&self, draw: Draw, count: usize) -> Result<Vec<Pixels>, Error> {
        let values = self.clean().len();
        let draws = self.batch.draws().uniform(draw, count * values)?;
        let rows = draws.chunks_exact(values);
        Ok(rows
            .map(|row| row.iter().map(|draw| 2. * draw - 1.).collect())
            .collect())
    }

    /// So many directions of the normal distribution.
    pub(super) fn normal(&self, draw: Draw, count: usize) -> Result<Vec<Pixels>, Error> {
        let values = self.clean().len();
        let draws = self.batch.draws().normal(draw, count * values)?;
        Ok(draws.chunks_exact(values).map(<[f64]>::to_vec).collect())
    }
}

/// The point so far on the way from one to another.
pub(super) fn blend(from: &[f64], to: &[f64], share: f64) -> Pixels {
    let pairs = from.iter().zip(to);
    pairs
        .map(|(from, to)| (1. - share) * from + share * to)
        .collect()
}

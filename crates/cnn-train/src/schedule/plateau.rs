//! Lowering the rate when the score stops rising.

use serde::{Deserialize, Serialize};

use crate::Error;

/// When and how the rate falls; PyTorch's `ReduceLROnPlateau` and its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plateau {
    /// What the rate is multiplied with, between 0 and 1; default 0.1.
    pub factor: f64,
    /// Epochs without a better score that are borne; the next one lowers the rate. Default 10.
    pub patience: usize,
    /// A better score exceeds the best by this part of its magnitude; not negative, default 1e-4.
    pub threshold: f64,
    /// The lowest factor of the base rate, 0 to 1; default 0.
    pub min_factor: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            min_factor: 0.,
        }
    }
}

impl Plateau {
    pub(super) fn validate(&self) -> Result<(), Error> {
        if !(self.factor > 0. && self.factor < 1.) {
            return Err(Error::argument("factor", self.factor, "between 0 and 1"));
        }
        if !(self.threshold.is_finite() && self.threshold >= 0.) {
            return Err(Error::argument(
                "threshold",
                self.threshold,
                "a finite number, not negative",
            ));
        }
        if !(0. ..=1.).contains(&self.min_factor) {
            return Err(Error::argument("min_factor", self.min_factor, "0 to 1"));
        }
        Ok(())
    }
}

/// What is remembered from evaluation to evaluation; part of a resumable run's state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    /// The best score so far.
    pub best: Option<f64>,
    /// Evaluations since then, or since the rate last fell.
    pub bad_epochs: usize,
    /// What the base rate is multiplied with now; 1 at first.
    pub factor: f64,
}

impl Default for PlateauState {
    fn default() -> Self {
        Self {
            best: None,
            bad_epochs: 0,
            factor: 1.,
        }
    }
}

impl PlateauState {
    /// Takes an evaluation's score into account: higher is better, a loss is given negated. NaN is
    /// never better.
    ///
    /// ```
    /// use cnn_train::{Plateau, PlateauState};
    ///
    /// let plateau = Plateau {
    ///     patience: 1,
    ///     ..Plateau::default()
    /// };
    /// let mut state = PlateauState::default();
    /// for score in [0.5, 0.7, 0.6, 0.7] {
    ///     state.update(&plateau, score);
    /// }
    /// assert_eq!((state.best, state.factor), (Some(0.7), 0.1));
    /// ```
    pub fn update(&mut self, plateau: &Plateau, score: f64) {
        let is_better = match self.best {
            Some(best) => score > best + plateau.threshold * best.abs(),
            None => !score.is_nan(),
        };
        if is_better {
            (self.best, self.bad_epochs) = (Some(score), 0);
            return;
        }
        self.bad_epochs += 1;
        if self.bad_epochs > plateau.patience {
            self.factor = (self.factor * plateau.factor).max(plateau.min_factor);
            self.bad_epochs = 0;
        }
    }
}

//! How the size and the weight of the bounds grow (Gowal et al. 2018, arXiv:1810.12715, appendix A):
//! bounds of the whole size at once teach a fresh network nothing.

use cnn_train::Progress;

use crate::Error;

/// The share of the ramp before anything grows: 2,000 of the 12,000 steps that the paper takes on
/// MNIST.
const WARM_UP: f64 = 1. / 6.;
/// How much the images as they are count in the end (κ).
const LAST_KAPPA: f64 = 0.5;

/// How the size and the weight of the bounds grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::defence) struct Ramp {
    share: f64,
}

/// What an update is made with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// The size, as a share of the whole.
    pub(super) size: f64,
    /// How much the images as they are count; the bounds count the rest.
    pub(super) kappa: f64,
}

impl Ramp {
    /// Over this share of the training.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not above 0 and at most 1.
    pub(in crate::defence) fn new(share: f64) -> Result<Self, Error> {
        if share > 0. && share <= 1. {
            return Ok(Self { share });
        }
        let expected = "a share of the training, above 0 and at most 1";
        Err(Error::argument("ramp", share, expected))
    }

    /// In the first sixth of the ramp the images alone count, then both grow in a straight line.
    pub(super) fn at(&self, progress: Progress) -> Point {
        let share = progress.epoch / progress.epochs / self.share;
        let size = ((share - WARM_UP) / (1. - WARM_UP)).clamp(0., 1.);
        Point {
            size,
            kappa: 1. - (1. - LAST_KAPPA) * size,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn on_mnist_it_is_that_of_the_paper() {
        // 100 epochs of 600 updates: 2,000 of warm-up, 10,000 of growth.
        let ramp = Ramp::new(0.2).unwrap();
        let at = |update: f64| {
            ramp.at(Progress {
                epoch: update / 600.,
                epochs: 100.,
            })
        };
        let near = |found: Point, size: f64, kappa: f64| {
            assert!((found.size - size).abs() < 1e-12, "{found:?}");
            assert!((found.kappa - kappa).abs() < 1e-12, "{found:?}");
        };
        near(at(0.), 0., 1.);
        near(at(2_000.), 0., 1.);
        near(at(7_000.), 0.5, 0.75);
        near(at(12_000.), 1., 0.5);
        near(at(59_999.), 1., 0.5);
        for wrong in [0., -1., 1.1, f64::NAN] {
            assert!(Ramp::new(wrong).is_err());
        }
    }
}

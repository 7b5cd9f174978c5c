//! One change for all images: universal perturbations (Moosavi-Dezfooli et al. 2017,
//! arXiv:1610.08401), found by stochastic ascent (Shafahi et al. 2020, arXiv:1811.11304).
//!
//! The ascent is chosen over the original, which runs DeepFool on image after image: it takes one
//! gradient for each image and round, works in any norm, and fools more images.

use super::checks::{at_least_one, positive};
use super::pgd::direction;
use super::{Attack, AttackBatch, CrossEntropyLoss};
use crate::{AttackedModel, Error, Images, LogitLoss, Threat};

/// Finds one change that a network errs on many images with.
///
/// Each batch is a step up the sum of `min(loss, β)` over its images, followed by a projection to
/// the ball; the bound `β` keeps images that are fooled already from ruling the step. The change
/// depends on all images and their order, as it must.
///
/// ```
/// use cnn_models::{ModelConfig, Network};
/// use cnn_robust::attack::{Attack, AttackBatch, Universal};
/// use cnn_robust::{AttackedModel, Images, PixelClassifier, Threat};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let model = PixelClassifier::new(network.model(), network.preprocessing())?;
/// let images = Images::new(2, [32, 32, 3], vec![0.5; 2 * 32 * 32 * 3])?;
/// let labels = model.logits(&images)?.predictions();
/// let batch = AttackBatch::new(images, labels)?;
/// let universal = Universal::new(Threat::linf(8. / 255.)?).with_rounds(3)?;
/// let universal = universal.find(&model, std::slice::from_ref(&batch))?;
/// let changed = universal.run(&model, &batch)?;
/// assert_eq!(changed.image(1), universal.apply(batch.images())?.image(1));
/// let change = changed.minus(batch.images());
/// let pairs = change.image(0).iter().zip(universal.change().image(0));
/// assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-12));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Universal {
    threat: Threat,
    rounds: usize,
    step_size: f64,
    bound: f64,
}

impl Universal {
    /// Looks in a ball. Default: 20 rounds over all batches with steps of `ε / 4`, and `β = 9`,
    /// which is the paper's.
    pub fn new(threat: Threat) -> Self {
        Self {
            threat,
            rounds: 20,
            step_size: threat.eps / 4.,
            bound: 9.,
        }
    }

    /// How often each batch is seen.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is 0.
    pub fn with_rounds(self, rounds: usize) -> Result<Self, Error> {
        let rounds = at_least_one("rounds", rounds)?;
        Ok(Self { rounds, ..self })
    }

    /// How far a step goes, in the norm.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not above 0 or not finite.
    pub fn with_step_size(self, step_size: f64) -> Result<Self, Error> {
        let step_size = positive("step_size", step_size)?;
        Ok(Self { step_size, ..self })
    }

    /// The loss from which on an image counts as fooled: `β`.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not above 0 or not finite.
    pub fn with_bound(self, bound: f64) -> Result<Self, Error> {
        let bound = positive("bound", bound)?;
        Ok(Self { bound, ..self })
    }

    /// The change for these images, which are all of one size. Batches with targets bring the
    /// images there.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no image or they differ in size, and as
    /// [`AttackBatch::check`].
    pub fn find(
        &self,
        model: &dyn AttackedModel,
        batches: &[AttackBatch<'_>],
    ) -> Result<UniversalChange, Error> {
        let Some(first) = batches.iter().find(|batch| !batch.is_empty()) else {
            return Err(Error::argument("batches", "no image", "at least one"));
        };
        for batch in batches {
            batch.check(model)?;
        }
        let mut found = UniversalChange {
            threat: self.threat,
            change: first.images().select(&[0]).zeros_like(),
        };
        for _ in 0..self.rounds {
            for batch in batches.iter().filter(|batch| !batch.is_empty()) {
                let images = found.apply(batch.images())?;
                let loss = BoundedLoss {
                    loss: CrossEntropyLoss(batch),
                    bound: self.bound,
                };
                let mut step = sum(&model.gradient(&images, &loss)?.images);
                direction(self.threat.norm, step.image_mut(0));
                found.change = found.change.plus(&step, self.step_size);
                self.threat.project_change(found.change.image_mut(0));
            }
        }
        Ok(found)
    }
}

/// One change for all images, as [`Universal::find`] gives it. As an [`Attack`] it adds the change
/// to images and asks the model nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct UniversalChange {
    threat: Threat,
    change: Images,
}

impl UniversalChange {
    /// What is added to each image, a batch of one.
    pub fn change(&self) -> &Images {
        &self.change
    }

    /// The images with the change, their values kept in 0..1.
    ///
    /// # Errors
    /// [`Error::Argument`] if they have another size.
    pub fn apply(&self, images: &Images) -> Result<Images, Error> {
        if images.size() != self.change.size() {
            let [found, wanted] = [images.size(), self.change.size()].map(|at| format!("{at:?}"));
            let expected = format!("{wanted}, the size of the universal change");
            return Err(Error::argument("images", found, expected));
        }
        let same = self.change.select(&vec![0; images.len()]);
        Ok(images.plus(&same, 1.).within_unit())
    }
}

impl Attack for UniversalChange {
    fn name(&self) -> &'static str {
        "universal"
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn attack(&self, _: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        self.apply(batch.images())
    }
}

/// `min(loss, β)`.
struct BoundedLoss<'a> {
    loss: CrossEntropyLoss<'a>,
    bound: f64,
}

impl LogitLoss for BoundedLoss<'_> {
    fn loss(&self, index: usize, logits: &[f64], gradient: &mut [f64]) -> f64 {
        let loss = self.loss.loss(index, logits, gradient);
        if loss > self.bound {
            gradient.fill(0.);
        }
        loss.min(self.bound)
    }
}

/// The sum of all images, as a batch of one.
fn sum(images: &Images) -> Images {
    let mut sum = images.select(&[0]).zeros_like();
    for index in 0..images.len() {
        for (sum, value) in sum.values_mut().iter_mut().zip(images.image(index)) {
            *sum += value;
        }
    }
    sum
}

//! First-order Taylor importance (Molchanov et al. 2019, arXiv:1906.10771).

use candle_core::backprop::GradStore;
use cnn_layers::Store;

use super::scores::{Scores, by_unit};
use super::values::Values;
use crate::{Error, Groups, Role};

/// The change of the loss that removing a unit would bring, as the gradients foretell it: for each
/// layer with weights of the unit the square of `Σ w · ∂L/∂w` over them, averaged over batches.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_compress::{Groups, TaylorScores};
/// use cnn_kernels::backward;
/// use cnn_layers::{Context, FeatureMap, Mode};
/// use cnn_models::{ModelConfig, Network};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let groups = Groups::of(&network)?;
/// let model = network.build(Mode::Train)?;
/// let mut taylor = TaylorScores::new(&groups);
/// for _batch in 0..2 {
///     let images = FeatureMap::from_nchw(&Tensor::randn(0f32, 1., (4, 3, 32, 32), &Device::Cpu)?)?;
///     let loss = model.forward(&images, &Context::eval())?.sqr()?.mean_all()?;
///     taylor.add(network.store(), &backward(&loss)?)?;
/// }
/// let importance = taylor.scores().importance(&groups);
/// assert_eq!(importance.scores().len(), groups.units());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TaylorScores<'a> {
    groups: &'a Groups,
    /// Of each axis, the sums over batches.
    sums: Vec<Vec<(usize, f64)>>,
    batches: usize,
}

impl<'a> TaylorScores<'a> {
    /// No batch yet.
    pub fn new(groups: &'a Groups) -> Self {
        Self {
            groups,
            sums: Vec::new(),
            batches: 0,
        }
    }

    /// Adds the gradients of a batch's loss with respect to the parameters of the store. Parameters
    /// without one, as frozen ones, count as if they had none.
    ///
    /// # Errors
    /// If a gradient cannot be read.
    pub fn add(&mut self, store: &Store, gradients: &GradStore) -> Result<(), Error> {
        let trainable = store.trainable();
        let mut place = 0;
        for axis in self.groups.axes() {
            let counts = !matches!(axis.role, Role::Offsets | Role::Statistics);
            let units = self.groups.units_along(&axis.tensor, axis.axis);
            let (true, Some(units)) = (counts, units) else {
                continue;
            };
            let var = trainable.iter().find(|(name, _)| *name == axis.tensor);
            let gradient = var.and_then(|(_, var)| Some((var, gradients.get(var)?)));
            let found = match gradient {
                Some((var, gradient)) => {
                    let products = (var.as_detached_tensor() * gradient)?;
                    let products = Values::of(&products)?;
                    let sums = products.sums_along(axis.axis, |product| product);
                    by_unit(units, &sums)
                }
                None => Vec::new(),
            };
            let squared = found.into_iter().map(|(unit, sum)| (unit, sum * sum));
            match self.sums.get_mut(place) {
                None => self.sums.push(squared.collect()),
                Some(sums) if sums.is_empty() => *sums = squared.collect(),
                Some(sums) => {
                    for (so_far, (_, squared)) in sums.iter_mut().zip(squared) {
                        so_far.1 += squared;
                    }
                }
            }
            place += 1;
        }
        self.batches += 1;
        Ok(())
    }

    /// The means over the batches.
    pub fn scores(&self) -> Scores {
        let mut scores = Scores::new(self.groups);
        let batches = self.batches.max(1) as f64;
        for sums in &self.sums {
            scores.add_units(sums.iter().map(|&(unit, sum)| (unit, sum / batches)));
        }
        scores
    }
}

//! Unstructured pruning: single weights that stay zero (Han et al. 2015, "Learning both Weights and
//! Connections for Efficient Neural Networks", arXiv:1506.02626).

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use cnn_layers::{Init, Mode, Store, TensorKind};
use cnn_train::{Error as TrainError, Step, StepReport, Task, Update};

use crate::{Error, Scope};

/// Which weights of a store stay, one by one. It makes no network faster or its file smaller, since
/// the kernels compute with zeros as with other numbers: for that, whole units have to go.
///
/// Weights of convolutions and linear layers are masked; vectors, as biases and norms, are not.
///
/// ```
/// use cnn_compress::{Masks, Scope};
/// use cnn_models::{ModelConfig, Network};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let masks = Masks::by_magnitude(network.store(), 0.8, Scope::Global)?;
/// masks.apply(network.store())?;
/// assert!((masks.zeros() - 0.8).abs() < 1e-4);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Masks {
    /// 1 where a weight stays and 0 where not, by its tensor's name.
    masks: Store,
}

impl Masks {
    /// The smallest weights go, this share of all ([`Scope::Global`]) or of each tensor
    /// ([`Scope::PerGroup`]). Of equal ones those go first that lie first.
    ///
    /// # Errors
    /// [`Error::Share`] for a share that is not from 0 to 1.
    pub fn by_magnitude(store: &Store, share: f64, scope: Scope) -> Result<Self, Error> {
        if !(0. ..=1.).contains(&share) {
            let what = "the share of weights that go";
            return Err(Error::Share { what, share });
        }
        let entries = store.entries().into_iter();
        let weights =
            entries.filter(|entry| entry.kind == TensorKind::Parameter && entry.shape.len() > 1);
        let weights: Vec<(String, Tensor)> = weights
            .map(|entry| Ok((entry.name.clone(), store.get(&entry.name)?)))
            .collect::<Result<_, Error>>()?;
        let masks = Store::with_dtype(0, store.dtype(), &Device::Cpu);
        let parts: Vec<&[(String, Tensor)]> = match scope {
            Scope::Global => vec![&weights],
            Scope::PerGroup => weights.chunks(1).collect(),
        };
        for part in parts {
            mask_smallest(part, share, &masks)?;
        }
        Ok(Self { masks })
    }

    /// Sets the weights that went to zero.
    ///
    /// # Errors
    /// If the store lacks a tensor, or it has another shape.
    pub fn apply(&self, store: &Store) -> Result<(), candle_core::Error> {
        for (name, mask) in self.masks.tensors() {
            store.set(&name, &(store.get(&name)? * mask)?)?;
        }
        Ok(())
    }

    /// The share of the masked tensors' weights that went.
    pub fn zeros(&self) -> f64 {
        let mut stay = 0.;
        let mut all = 0.;
        for (_, mask) in self.masks.tensors() {
            all += mask.elem_count() as f64;
            let sum = mask.to_dtype(DType::F64).and_then(|mask| mask.sum_all());
            stay += sum
                .and_then(|sum| sum.to_scalar::<f64>())
                .unwrap_or(f64::NAN);
        }
        1. - stay / f64::max(all, 1.)
    }
}

/// Masks the smallest of some tensors' weights.
fn mask_smallest(weights: &[(String, Tensor)], share: f64, masks: &Store) -> Result<(), Error> {
    let mut places: Vec<(f64, usize, usize)> = Vec::new();
    let mut kept: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (number, (_, weight)) in weights.iter().enumerate() {
        let values: Vec<f64> = weight.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        kept.insert(number, vec![1.; values.len()]);
        let values = values.iter().enumerate();
        places.extend(values.map(|(at, value)| (value.abs(), number, at)));
    }
    let goes = (share * places.len() as f64).round() as usize;
    places.sort_by(|one, other| {
        let by_place = (one.1, one.2).cmp(&(other.1, other.2));
        one.0.total_cmp(&other.0).then(by_place)
    });
    for &(_, number, at) in &places[..goes] {
        if let Some(mask) = kept.get_mut(&number) {
            mask[at] = 0.;
        }
    }
    let root = masks.builder(Mode::Eval);
    for ((name, weight), mask) in weights.iter().zip(kept.into_values()) {
        root.buffer(name, weight.dims(), Init::ONES)?;
        masks.set(name, &Tensor::from_vec(mask, weight.dims(), &Device::Cpu)?)?;
    }
    Ok(())
}

/// A step of training after which the weights that went are zero again.
pub struct MaskedStep<S> {
    step: S,
    masks: Masks,
    store: Store,
}

impl<S> MaskedStep<S> {
    /// Any step, with the masks of the store that it trains; they are applied at once.
    ///
    /// # Errors
    /// As [`Masks::apply`].
    pub fn new(step: S, masks: Masks, store: &Store) -> Result<Self, candle_core::Error> {
        masks.apply(store)?;
        Ok(Self {
            step,
            masks,
            store: store.clone(),
        })
    }
}

impl<T: Task, S: Step<T>> Step<T> for MaskedStep<S> {
    fn step(
        &mut self,
        task: &T,
        batches: &[T::Batch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, TrainError> {
        let report = self.step.step(task, batches, update)?;
        self.masks.apply(&self.store)?;
        Ok(report)
    }

    fn kept(&self) -> Vec<(String, Store)> {
        let masks = ("masks".to_string(), self.masks.masks.clone());
        self.step.kept().into_iter().chain([masks]).collect()
    }
}

//! The certified accuracy as a metric of validation images.

use std::sync::Arc;

use candle_core::Tensor;
use cnn_core::Preprocessing;
use cnn_layers::{Classifier, Context, FeatureMap, Store};
use cnn_train::{Error, ImageMetric};

use crate::certify::IntervalBounds;
use crate::defence::adversarial_step::other;
use crate::{Logits, Normalization, Threat};

/// The share of the first validation images that a classifier is right about whatever changes by at
/// most a size in L∞, by interval bounds: a curve to choose an epoch by, and a lower bound of the
/// accuracy under any attack.
#[derive(Clone)]
pub struct CertifiedAccuracy {
    network: Arc<dyn Classifier>,
    store: Store,
    record: Preprocessing,
    normalization: Normalization,
    eps: f64,
    most: usize,
    seen: usize,
    certified: usize,
    /// Of the weights when the first image was seen.
    bounds: Option<Arc<IntervalBounds>>,
}

impl CertifiedAccuracy {
    /// Within `eps`, of at most `most` images. `network` is the network that is trained, built in
    /// [`Mode::Eval`](cnn_layers::Mode::Eval) from `store`, and `record` its preprocessing.
    ///
    /// # Errors
    /// If `eps` is negative or not finite, or the record is invalid.
    pub fn new(
        network: Arc<dyn Classifier>,
        store: &Store,
        record: &Preprocessing,
        eps: f64,
        most: usize,
    ) -> Result<Self, crate::Error> {
        let Threat { eps, .. } = Threat::linf(eps)?;
        Ok(Self {
            network,
            store: store.clone(),
            record: record.clone(),
            normalization: Normalization::new(record)?,
            eps,
            most,
            seen: 0,
            certified: 0,
            bounds: None,
        })
    }

    fn count(&mut self, inputs: &Tensor, labels: &[u32]) -> Result<usize, crate::Error> {
        let bounds = match &self.bounds {
            Some(bounds) => bounds.clone(),
            None => {
                let network = self.network.as_ref();
                let bounds = IntervalBounds::new(network, &self.store, &self.record)?;
                self.bounds.insert(Arc::new(bounds)).clone()
            }
        };
        let maps = FeatureMap::from_nhwc(inputs)?;
        let scores = self.network.forward(&maps, &Context::eval())?;
        let answers = Logits::from_tensor(&scores)?.predictions();
        let images = self.normalization.images(inputs)?;
        let certificates = bounds.certify(&images, &answers, &[self.eps])?;
        let pairs = certificates.iter().zip(labels);
        Ok(pairs
            .filter(|(certificate, label)| certificate.holds(**label, self.eps))
            .count())
    }
}

impl ImageMetric for CertifiedAccuracy {
    fn update(&mut self, inputs: &Tensor, _: &[usize], labels: &[u32]) -> Result<(), Error> {
        let count = labels.len().min(self.most - self.seen);
        if count == 0 {
            return Ok(());
        }
        let inputs = inputs.narrow(0, 0, count)?;
        self.certified += self.count(&inputs, &labels[..count]).map_err(other)?;
        self.seen += count;
        Ok(())
    }

    fn value(&self) -> f64 {
        self.certified as f64 / self.seen.max(1) as f64
    }
}

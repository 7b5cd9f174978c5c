//! The statistics of batch norms, measured anew.

use std::cell::RefCell;

use candle_core::{DType, Device, Tensor};
use cnn_layers::{BatchNormPolicy, Context, Event, FeatureMap, LayerKind, Observer, Value};
use cnn_models::{ModelKind, NetworkOf};
use indexmap::IndexMap;

use crate::Error;
use crate::pass::{evaluated, outputs};

/// Measures the running statistics of all batch norms anew over batches of images, and returns how
/// many norms those were. What was pruned gives other values than before, so the old statistics no
/// longer fit; no weight changes.
///
/// Each batch passes with its own statistics, as in training; the means and variances of a norm are
/// those of all that it has read, the variance with the unbiased divisor (Wu and Johnson 2021,
/// "Rethinking 'Batch' in BatchNorm", "precise BN"). They do not depend on what was there before.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_compress::recalibrate;
/// use cnn_layers::FeatureMap;
/// use cnn_models::{ModelConfig, Network};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let batch = || FeatureMap::from_nchw(&Tensor::randn(0f32, 1., (8, 3, 32, 32), &Device::Cpu)?);
/// assert_eq!(recalibrate(&network, [batch(), batch()])?, 7);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// That of a batch, and if the network does not take the images, as where a norm would have a single
/// value of each channel. The store is then as it was.
pub fn recalibrate<M: ModelKind + ?Sized>(
    network: &NetworkOf<M>,
    batches: impl IntoIterator<Item = Result<FeatureMap, candle_core::Error>>,
) -> Result<usize, Error> {
    let model = evaluated(network)?;
    let sums = Sums::default();
    let cx = Context::eval().with_batch_norm(BatchNormPolicy::BatchOnly);
    for images in batches {
        outputs(&model, &images?, &cx.with_observer(&sums))?;
    }
    let norms = sums.0.into_inner();
    for (path, norm) in &norms {
        let statistics = [
            ("running_mean", norm.means.clone()),
            ("running_var", norm.unbiased_variance()),
        ];
        for (name, values) in statistics {
            let values = Tensor::new(values, &Device::Cpu)?;
            network.store().set(&format!("{path}.{name}"), &values)?;
        }
    }
    Ok(norms.len())
}

/// What each batch norm has read.
#[derive(Default)]
struct Sums(RefCell<IndexMap<String, Norm>>);

/// Of each channel.
#[derive(Default)]
struct Norm {
    count: f64,
    means: Vec<f64>,
    /// The sums of squared differences from the means.
    squares: Vec<f64>,
}

impl Norm {
    /// Adds a batch's values (Chan et al. 1979): no digits are lost where means are large.
    fn add(&mut self, rows: &[Vec<f64>]) {
        let count = rows.len() as f64;
        let channels = rows.first().map_or(0, Vec::len);
        self.means.resize(channels, 0.);
        self.squares.resize(channels, 0.);
        let all = self.count + count;
        for channel in 0..channels {
            let values = rows.iter().map(|row| row[channel]);
            let mean = values.clone().sum::<f64>() / count;
            let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
            let apart = mean - self.means[channel];
            self.means[channel] += apart * count / all;
            self.squares[channel] += squares + apart * apart * self.count * count / all;
        }
        self.count = all;
    }

    fn unbiased_variance(&self) -> Vec<f64> {
        let squares = self.squares.iter();
        squares.map(|squares| squares / (self.count - 1.)).collect()
    }
}

impl Observer for Sums {
    fn exit(&self, event: &Event<'_>) -> candle_core::Result<()> {
        let (LayerKind::BatchNorm { .. }, [Value::Maps(maps)]) = (event.kind, event.inputs) else {
            return Ok(());
        };
        let values = maps.detach().to_nhwc().to_dtype(DType::F64)?;
        let rows: Vec<Vec<f64>> = values.flatten_to(2)?.to_vec2()?;
        let mut norms = self.0.borrow_mut();
        norms.entry(event.path.to_string()).or_default().add(&rows);
        Ok(())
    }
}

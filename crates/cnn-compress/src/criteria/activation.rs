//! How large the values are that the readers of a channel see.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::Result;
use cnn_layers::{Event, Observer, Value};

use super::scores::Scores;
use super::values::Values;
use crate::{Groups, Role};

/// The mean absolute value of each channel over images and pixels, as the convolutions and linear
/// layers that read it see it. It is an observer of forward passes.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_compress::{ActivationScores, Groups};
/// use cnn_layers::{Context, FeatureMap};
/// use cnn_models::{ModelConfig, Network};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let groups = Groups::of(&network)?;
/// let activation = ActivationScores::new(&groups);
/// let images = FeatureMap::from_nchw(&Tensor::randn(0f32, 1., (4, 3, 32, 32), &Device::Cpu)?)?;
/// network.model().forward(&images, &Context::eval().with_observer(&activation))?;
/// assert!(activation.scores().importance(&groups).scores().iter().all(|score| score.is_finite()));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug)]
pub struct ActivationScores<'a> {
    groups: &'a Groups,
    /// Of each layer that reads channels, its weight and the axis along which they lie.
    readers: HashMap<&'a str, (&'a str, usize)>,
    seen: RefCell<HashMap<String, Seen>>,
}

/// What a layer has read.
#[derive(Debug, Default)]
struct Seen {
    /// Of each channel, the sum of absolute values.
    sums: Vec<f64>,
    /// Values of each channel.
    count: usize,
}

impl<'a> ActivationScores<'a> {
    /// Nothing seen yet.
    pub fn new(groups: &'a Groups) -> Self {
        let axes = groups.axes().filter(|axis| axis.role == Role::Reads);
        Self {
            groups,
            readers: axes
                .map(|axis| (&*axis.layer, (&*axis.tensor, axis.axis)))
                .collect(),
            seen: RefCell::default(),
        }
    }

    /// The means over all that was seen.
    pub fn scores(&self) -> Scores {
        let mut scores = Scores::new(self.groups);
        let seen = self.seen.borrow();
        for axis in self.groups.axes().filter(|axis| axis.role == Role::Reads) {
            let units = self.groups.units_along(&axis.tensor, axis.axis);
            let (Some(units), Some(seen)) = (units, seen.get(&axis.layer)) else {
                continue;
            };
            let mut means = vec![0.; units.len()];
            // A grouped convolution has weights for the channels of one group alone.
            for (channel, sum) in seen.sums.iter().enumerate() {
                means[channel % units.len()] += sum / seen.count.max(1) as f64;
            }
            scores.add_positions(units, &means);
        }
        scores
    }
}

impl Observer for ActivationScores<'_> {
    fn exit(&self, event: &Event<'_>) -> Result<()> {
        if !self.readers.contains_key(event.path) {
            return Ok(());
        }
        let read = match event.inputs.first() {
            Some(Value::Maps(maps)) => maps.to_nhwc(),
            Some(Value::Vectors(vectors)) => (*vectors).clone(),
            None => return Ok(()),
        };
        let last = read.dims().len() - 1;
        let values = Values::of(&read.detach())?;
        let sums = values.sums_along(last, f64::abs);
        let mut seen = self.seen.borrow_mut();
        let seen = seen.entry(event.path.to_string()).or_default();
        seen.sums.resize(sums.len(), 0.);
        for (so_far, sum) in seen.sums.iter_mut().zip(&sums) {
            *so_far += sum;
        }
        seen.count += values.values.len() / sums.len().max(1);
        Ok(())
    }
}

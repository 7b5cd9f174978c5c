//! What a model is built with beside its name.

use cnn_layers::Padding;

/// How MobileNets pad their 3×3 convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PadType {
    /// One row and column on each side: PyTorch's.
    #[default]
    Symmetric,
    /// As much as gives `⌈input / stride⌉` outputs, the odd one last: TensorFlow's.
    Same,
}

/// What a model is built with beside its name; `None` means the model's own default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelConfig {
    /// Number of classes; default the model's, 1000 for ImageNet models.
    pub num_classes: Option<usize>,
    /// Channels of the input images; default 3, for LeNet 1.
    pub in_channels: Option<usize>,
    /// Height and width of the images. Only LeNet depends on it; the other models take any size
    /// that their layers fit.
    pub input_size: Option<[usize; 2]>,
    /// Probability of dropping a feature before the classifier in training; default 0, for
    /// SqueezeNet 0.5.
    pub drop_rate: Option<f64>,
    /// Probability of dropping the deepest residual branch in training; shallower ones in
    /// proportion. Default 0.
    pub drop_path_rate: Option<f64>,
    /// Width of a MobileNet relative to the paper's; default the variant's.
    pub channel_multiplier: Option<f64>,
    /// Padding of a MobileNet; default symmetric.
    pub pad_type: PadType,
    /// Eps of a MobileNet's batch norms; default 1e-5.
    pub bn_eps: Option<f64>,
}

impl ModelConfig {
    /// The padding of a square kernel that moves by `stride`.
    pub(crate) fn padding(&self, kernel_size: usize, stride: usize) -> Padding {
        match self.pad_type {
            PadType::Same => Padding::Same,
            PadType::Symmetric => Padding::all((stride + kernel_size - 2) / 2),
        }
    }

    /// Probability of dropping residual branch `index` of `count`.
    pub(crate) fn drop_path(&self, index: usize, count: usize) -> f64 {
        self.drop_path_rate.unwrap_or(0.) * index as f64 / count.max(1) as f64
    }

    pub(crate) fn bn_eps(&self) -> f64 {
        self.bn_eps.unwrap_or(1e-5)
    }
}

/// The nearest multiple of 8 that is not more than 10 % below `channels`, as MobileNets round their
/// widths.
pub(crate) fn make_divisible(channels: f64) -> usize {
    let rounded = ((channels + 4.) as usize / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * channels {
        rounded + 8
    } else {
        rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_round_as_in_timm() {
        for (channels, rounded) in [
            (32. * 0.35, 16),
            (16. * 0.35, 8),
            (24. * 1.1, 24),
            (32. * 1.4, 48),
            (96. * 1.1, 104),
            (1., 8),
        ] {
            assert_eq!(make_divisible(channels), rounded, "{channels}");
        }
    }
}

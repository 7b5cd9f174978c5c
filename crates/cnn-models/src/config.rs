//! What a model is built with beside its name.

use std::collections::BTreeMap;

use cnn_layers::{Builder, Padding, Step};
use serde_json::{Map, Value};

use crate::{ArgReader, Error};

/// What a model is built with beside its name; `None` means the model's own default.
///
/// ```
/// use cnn_models::{ModelConfig, Network};
///
/// let config = ModelConfig { num_classes: Some(5), ..ModelConfig::default() }.with_arg("drop_path_rate", 0.1);
/// assert_eq!(Network::new("resnet18", &config, 0)?.model().num_classes(), 5);
///
/// // What a family does not use, it refuses.
/// let error = Network::new("resnet18", &config.with_arg("pad_type", "same"), 0).unwrap_err();
/// assert_eq!(error.to_string(), "resnet: `pad_type` is not known (accepted: drop_rate, drop_path_rate, output_stride, bn_eps)");
/// # Ok::<(), cnn_models::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelConfig {
    /// Number of classes; default the model's, 1000 for ImageNet models.
    pub num_classes: Option<usize>,
    /// Channels of the input images; default the model's, 3 for most.
    pub in_channels: Option<usize>,
    /// Height and width of the images. Only LeNet depends on it; the other models take any size
    /// that their layers fit.
    pub input_size: Option<[usize; 2]>,
    /// What the model's family knows beside: `drop_rate` (the probability of dropping a feature
    /// before the classifier in training), `drop_path_rate` (that of dropping the deepest residual
    /// branch), and what its page says. timm's `model_args`.
    pub args: Map<String, Value>,
    /// Other numbers of output channels for some layers, by their paths, as `layer1.0.conv1`: what
    /// is left of a network that was pruned.
    pub widths: BTreeMap<String, usize>,
}

impl ModelConfig {
    /// The configuration with something that the model's family knows.
    #[must_use]
    pub fn with_arg(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.args.insert(name.into(), value.into());
        self
    }

    /// What is said to the family, as it reads it; what it does not ask for is refused.
    ///
    /// # Errors
    /// Those of `read`, and [`Error::UnknownArgument`].
    pub fn read_args<T>(
        &self,
        family: &'static str,
        read: impl FnOnce(&mut ArgReader<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut reader = ArgReader::new(family, &self.args);
        let args = read(&mut reader)?;
        reader.finish()?;
        Ok(args)
    }
}

/// How MobileNets pad their convolutions: timm's `pad_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PadType {
    /// As many rows and columns on each side: PyTorch's.
    Symmetric,
    /// As much as gives `⌈input / stride⌉` outputs, the odd one last: TensorFlow's.
    Same,
}

impl PadType {
    /// Reads `pad_type`, which is `""` or `"same"`; `None` if nothing is said of it.
    pub(crate) fn read(args: &mut ArgReader<'_>) -> Result<Option<Self>, Error> {
        let said = args.choice("pad_type", &["same", ""])?;
        Ok(said.map(|word| match word {
            "same" => Self::Same,
            _ => Self::Symmetric,
        }))
    }

    /// The padding of a square kernel.
    pub(crate) fn padding(self, kernel_size: usize, step: Step) -> Padding {
        let Step { stride, dilation } = step;
        match self {
            Self::Same => Padding::Same,
            Self::Symmetric => Padding::all((stride - 1 + dilation * (kernel_size - 1)) / 2),
        }
    }
}

/// Checks that the sum at the end of a residual block can be made: that its branch gives as many
/// channels as its shortcut, which is at `at`. They differ only if a plan of widths
/// ([`ModelConfig::widths`]) changed one of them.
///
/// # Errors
/// If a plan of widths changed one and not the other.
pub(crate) fn check_shortcut(
    family: &'static str,
    shortcut: usize,
    branch: usize,
    at: &Builder,
) -> Result<(), Error> {
    if shortcut == branch {
        return Ok(());
    }
    Err(Error::Argument {
        model: family,
        what: "the planned width of a residual block",
        found: format!("{branch} for its branch"),
        expected: format!("as many as its shortcut at {} gives, {shortcut}", at.path()),
    })
}

/// The nearest multiple of 8 that is not more than 10 % below `channels`, as MobileNets round their
/// widths.
pub(crate) fn make_divisible(channels: f64) -> usize {
    round_channels(channels, 0.9)
}

/// The nearest multiple of 8 that is not below `limit` times `channels`.
pub(crate) fn round_channels(channels: f64, limit: f64) -> usize {
    let rounded = ((channels + 4.) as usize / 8 * 8).max(8);
    if (rounded as f64) < limit * channels {
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

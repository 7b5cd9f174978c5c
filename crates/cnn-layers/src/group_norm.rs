//! Group normalisation.

use candle_core::{Result, Tensor};
use cnn_kernels::group_norm;

use crate::{Builder, Context, Error, FeatureMap, Init, Layer, LayerKind};

/// What a [`GroupNorm`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupNormConfig {
    groups: usize,
    channels: usize,
    eps: f64,
    affine: bool,
}

impl GroupNormConfig {
    /// As many groups of neighbouring channels, with a weight and a bias and PyTorch's default eps,
    /// 1e-5.
    pub const fn new(groups: usize, channels: usize) -> Self {
        Self {
            groups,
            channels,
            eps: 1e-5,
            affine: true,
        }
    }

    /// Another number added to the variance.
    pub const fn with_eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Neither weight nor bias.
    pub const fn without_affine(mut self) -> Self {
        self.affine = false;
        self
    }

    /// Takes `weight` and `bias`, `(channels)`, from the builder's place, if there are any.
    ///
    /// # Errors
    /// If the groups do not divide the channels, or the store holds a parameter with another shape.
    pub fn build(&self, builder: &Builder) -> Result<GroupNorm> {
        let &Self {
            groups, channels, ..
        } = self;
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(Error::Config {
                layer: builder.path().to_string(),
                what: "groups",
                found: groups.to_string(),
                expected: format!("a divisor of {channels} channels"),
            }
            .into());
        }
        let affine = if self.affine {
            let weight = builder.param("weight", &[channels], Init::ONES)?;
            let bias = builder.param("bias", &[channels], Init::ZEROS)?;
            Some([weight, bias])
        } else {
            None
        };
        Ok(GroupNorm {
            path: builder.path().to_string(),
            groups,
            eps: self.eps,
            affine,
        })
    }
}

/// `(x − mean) / √(var + eps) · weight + bias` with mean and biased variance over a group of
/// neighbouring channels of all pixels of an image (Wu & He 2018,
/// <https://arxiv.org/abs/1803.08494>): PyTorch's `GroupNorm`. An image's result does not depend on
/// the others of its batch, and is the same in training and in evaluation.
///
/// # Shapes
/// `(N, H, W, channels)` to the same.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::{Context, FeatureMap, GroupNormConfig, Layer, Mode, Store};
///
/// let store = Store::new(0);
/// let norm = GroupNormConfig::new(2, 4).build(&store.builder(Mode::Eval).pp("norm"))?;
/// let xs = FeatureMap::from_nhwc(&Tensor::new(&[[[[1f32, 3., 100., 200.]]]], &Device::Cpu)?)?;
/// let ys = norm.forward(&xs, &Context::eval())?.flatten()?.to_vec2::<f32>()?;
/// let expected = [-1., 1., -1., 1.];
/// assert!(ys[0].iter().zip(expected).all(|(y, expected)| (y - expected).abs() < 1e-4));
/// assert_eq!(store.names(), ["norm.weight", "norm.bias"]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GroupNorm {
    path: String,
    groups: usize,
    eps: f64,
    /// Weight and bias.
    affine: Option<[Tensor; 2]>,
}

impl Layer for GroupNorm {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let kind = LayerKind::GroupNorm {
            groups: self.groups,
            eps: self.eps,
            affine: self.affine.is_some(),
        };
        cx.layer(&self.path, kind, &[xs.into()], || {
            let affine = self.affine.as_ref().map(|affine| affine.each_ref());
            group_norm(xs, self.groups, affine, self.eps)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Mode, Store};

    #[test]
    fn groups_have_to_divide_the_channels() {
        let store = Store::new(0);
        let root = store.builder(Mode::Eval);
        for (groups, channels) in [(0, 4), (3, 4), (8, 4)] {
            let config = GroupNormConfig::new(groups, channels);
            let message = config.build(&root.pp("norm")).unwrap_err().to_string();
            let expected = format!("norm: groups is {groups}, expected a divisor of 4 channels");
            assert!(message.contains(&expected), "{message}");
        }
        let config = GroupNormConfig::new(4, 4).without_affine();
        config.build(&root.pp("plain")).unwrap();
        assert!(store.names().is_empty());
    }
}

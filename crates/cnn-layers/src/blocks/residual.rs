//! The residual connection (He et al. 2015).

use candle_core::Result;

use crate::{
    Activate, Activation, Builder, Context, ConvNormAct, FeatureMap, Layer, ResidualSum,
    Sequential, SqueezeExcite,
};

/// `activation(last(branch(xs)) + shortcut(xs))`: a residual block. Squeeze-and-excitation may weigh
/// the channels of what `last` gives.
///
/// # Shapes
/// `(N, H, W, C)` to what branch and shortcut both give.
pub struct Residual {
    branch: Sequential,
    last: ConvNormAct,
    squeeze_excite: Option<SqueezeExcite>,
    shortcut: Option<Box<dyn Layer>>,
    sum: ResidualSum,
}

impl Residual {
    /// A branch whose end is `last`, which has no activation, the input itself as the shortcut, and
    /// ReLU after the sum, at `act`. The sum is computed in the pass of `last` where that can be.
    pub fn new(branch: Sequential, last: ConvNormAct, at: &Builder) -> Self {
        let relu = Activate::new(Activation::Relu, &at.pp("act"));
        let sum = ResidualSum::new(0., Some(relu), at).expect("0 is a probability");
        Self::with_sum(branch, last, sum)
    }

    /// The same with another sum: another activation or none, or stochastic depth.
    pub fn with_sum(branch: Sequential, last: ConvNormAct, sum: ResidualSum) -> Self {
        Self {
            branch,
            last,
            squeeze_excite: None,
            shortcut: None,
            sum,
        }
    }

    /// What brings the input to the branch's shape.
    #[must_use]
    pub fn with_shortcut(self, shortcut: impl Layer + 'static) -> Self {
        Self {
            shortcut: Some(Box::new(shortcut)),
            ..self
        }
    }

    /// Weighs the channels before the sum, as SE-ResNet does (Hu et al. 2017).
    #[must_use]
    pub fn with_squeeze_excite(self, squeeze_excite: SqueezeExcite) -> Self {
        Self {
            squeeze_excite: Some(squeeze_excite),
            ..self
        }
    }
}

impl Layer for Residual {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let branch = self.branch.forward(xs, cx)?;
        let shortcut = match &self.shortcut {
            Some(layer) => layer.forward(xs, cx)?,
            None => xs.clone(),
        };
        let Some(squeeze_excite) = &self.squeeze_excite else {
            return self.sum.forward(&self.last, &branch, &shortcut, cx);
        };
        let branch = squeeze_excite.forward(&self.last.forward(&branch, cx)?, cx)?;
        self.sum.join(&branch, &shortcut, cx)
    }
}

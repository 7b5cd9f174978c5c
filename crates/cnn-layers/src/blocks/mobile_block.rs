//! What all mobile blocks are: convolutions, squeeze-and-excitation, a projection, a sum.

use candle_core::Result;

use super::residual_sum::check_residual;
use crate::{
    BlockOptions, Builder, Context, ConvNormAct, FeatureMap, Layer, ResidualSum, SqueezeExcite,
};

/// Convolutions one after another, the weighing of channels, and the 1×1 convolution that gives the
/// block's output, to which the input is added where the block is residual.
///
/// It is what [`DepthwiseSeparableConfig`](crate::DepthwiseSeparableConfig),
/// [`InvertedResidualConfig`](crate::InvertedResidualConfig),
/// [`FusedInvertedResidualConfig`](crate::FusedInvertedResidualConfig) and
/// [`UniversalInvertedResidualConfig`](crate::UniversalInvertedResidualConfig) build; they say which
/// convolutions those are.
#[derive(Debug, Clone)]
pub struct MobileBlock {
    pub(super) out_channels: usize,
    /// Up to the squeeze-and-excitation.
    pub(super) units: Vec<ConvNormAct>,
    pub(super) squeeze_excite: Option<SqueezeExcite>,
    pub(super) project: ConvNormAct,
    /// Present where the block is residual.
    pub(super) sum: Option<ResidualSum>,
}

impl MobileBlock {
    /// Channels of its output.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// The first convolution and what follows it, for a network that reads the map between: SSDLite
    /// finds objects in what an inverted residual widens its input to. `None` for a residual block,
    /// whose sum reads the input.
    pub fn split_first(mut self) -> Option<(ConvNormAct, Self)> {
        if self.sum.is_some() || self.units.is_empty() {
            return None;
        }
        let first = self.units.remove(0);
        Some((first, self))
    }
}

impl BlockOptions {
    /// The squeeze-and-excitation of a block, at `se`.
    pub(super) fn build_squeeze_excite(&self, block: &Builder) -> Result<Option<SqueezeExcite>> {
        let config = self.squeeze_excite;
        config
            .map(|config| config.build(&block.pp("se")))
            .transpose()
    }

    /// The sum of a block that reads `input` channels and whose branch gives `output`.
    ///
    /// # Errors
    /// If a plan of widths changed one and not the other.
    pub(super) fn build_sum(
        &self,
        input: usize,
        output: usize,
        block: &Builder,
    ) -> Result<ResidualSum> {
        check_residual(input, output, block)?;
        ResidualSum::new(self.drop_path, None, block)
    }
}

impl Layer for MobileBlock {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let mut ys = None;
        let mut units = &self.units[..];
        while let [unit, rest @ ..] = units {
            let input = ys.as_ref().unwrap_or(xs);
            let with_next = rest
                .split_first()
                .and_then(|(next, rest)| Some((unit.forward_expanded(next, input, cx)?, rest)));
            (ys, units) = match with_next {
                Some((both, rest)) => (Some(both?), rest),
                None => (Some(unit.forward(input, cx)?), rest),
            };
        }
        if let Some(squeeze_excite) = &self.squeeze_excite {
            ys = Some(squeeze_excite.forward(ys.as_ref().unwrap_or(xs), cx)?);
        }
        let ys = ys.as_ref().unwrap_or(xs);
        match &self.sum {
            Some(sum) => sum.forward(&self.project, ys, xs, cx),
            None => self.project.forward(ys, cx),
        }
    }
}

//! The path aggregation network of YOLOX (Liu et al. 2018): from the deepest map up to the finest,
//! and down again.

use candle_core::Result;
use cnn_layers::{
    Builder, Concat, Context, ConvNormAct, FeatureMap, Interpolation, Layer, ResizeLike,
};

use super::units::{CspConfig, CspLayer, Parts, Unit, UnitStyle};

pub(super) struct PathAggregation {
    lateral: ConvNormAct,
    up_middle: Up,
    reduce: ConvNormAct,
    up_fine: Up,
    down_middle: Down,
    down_coarse: Down,
}

impl PathAggregation {
    /// Of maps with these channels, from the finest on; the same channels come out.
    pub(super) fn build(
        channels: [usize; 3],
        depth: usize,
        style: UnitStyle,
        root: &Builder,
    ) -> Result<Self> {
        let [fine, middle, coarse] = channels;
        let csp = |from, to, name: &str| {
            let config = CspConfig {
                from,
                to,
                depth,
                shortcut: false,
            };
            config.build(style, &root.pp(name))
        };
        let up = |from, to, name: &str| -> Result<Up> {
            Ok(Up {
                resize: ResizeLike::new(Interpolation::Nearest, &root.pp(name).pp("resize")),
                concat: Concat::new(&root.pp(name).pp("join")),
                csp: csp(from, to, name)?,
            })
        };
        let down = |channels, to, halve: &str, name: &str| -> Result<Down> {
            let unit = Unit::spatial(channels, channels, 2);
            Ok(Down {
                halve: unit.build_parts(style, &root.pp(halve))?,
                concat: Concat::new(&root.pp(name).pp("join")),
                csp: csp(2 * channels, to, name)?,
            })
        };
        let pointwise = |from, to, name: &str| {
            let unit = Unit::pointwise(from, to);
            unit.build(style, &root.pp(name))
        };
        Ok(Self {
            lateral: pointwise(coarse, middle, "lateral_conv0")?,
            up_middle: up(2 * middle, middle, "C3_p4")?,
            reduce: pointwise(middle, fine, "reduce_conv1")?,
            up_fine: up(2 * fine, fine, "C3_p3")?,
            down_middle: down(fine, middle, "bu_conv2", "C3_n3")?,
            down_coarse: down(middle, coarse, "bu_conv1", "C3_n4")?,
        })
    }

    /// From the finest map on, as they come.
    pub(super) fn forward(
        &self,
        [fine, middle, coarse]: [&FeatureMap; 3],
        cx: &Context<'_>,
    ) -> Result<[FeatureMap; 3]> {
        let from_coarse = self.lateral.forward(coarse, cx)?;
        let middle = self.up_middle.forward(&from_coarse, middle, cx)?;
        let from_middle = self.reduce.forward(&middle, cx)?;
        let fine = self.up_fine.forward(&from_middle, fine, cx)?;
        let middle = self.down_middle.forward(&fine, &from_middle, cx)?;
        let coarse = self.down_coarse.forward(&middle, &from_coarse, cx)?;
        Ok([fine, middle, coarse])
    }
}

/// A map at twice its size beside the backbone's.
struct Up {
    resize: ResizeLike,
    concat: Concat,
    csp: CspLayer,
}

impl Up {
    fn forward(&self, xs: &FeatureMap, skip: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let doubled = self.resize.forward(xs, skip, cx)?;
        let joined = self.concat.forward(&[&doubled, skip], cx)?;
        self.csp.forward(&joined, cx)
    }
}

/// A map at half its size beside the one of the way up.
struct Down {
    halve: Parts,
    concat: Concat,
    csp: CspLayer,
}

impl Down {
    fn forward(&self, xs: &FeatureMap, skip: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let half = self.halve.forward(xs, cx)?;
        let joined = self.concat.forward(&[&half, skip], cx)?;
        self.csp.forward(&joined, cx)
    }
}

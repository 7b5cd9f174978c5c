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
    /// Of maps with `read` channels, from the finest on; it is designed for maps of the channels
    /// that it is `designed` to give.
    pub(super) fn build(
        read: [usize; 3],
        designed: [usize; 3],
        depth: usize,
        style: UnitStyle,
        root: &Builder,
    ) -> Result<Self> {
        let [fine, middle, coarse] = designed;
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
        let down = |unit: Unit, beside, to, halve: &str, name: &str| -> Result<Down> {
            let halve = unit.build_parts(style, &root.pp(halve))?;
            Ok(Down {
                concat: Concat::new(&root.pp(name).pp("join")),
                csp: csp(halve.out_channels() + beside, to, name)?,
                halve,
            })
        };
        let pointwise = |from, to, name: &str| {
            let unit = Unit::pointwise(from, to);
            unit.build(style, &root.pp(name))
        };
        let lateral = pointwise(read[2], middle, "lateral_conv0")?;
        let from_coarse = lateral.out_channels();
        let up_middle = up(from_coarse + read[1], middle, "C3_p4")?;
        let reduce = pointwise(up_middle.csp.out_channels(), fine, "reduce_conv1")?;
        let from_middle = reduce.out_channels();
        let up_fine = up(from_middle + read[0], fine, "C3_p3")?;
        let halve = Unit::spatial(up_fine.csp.out_channels(), fine, 2);
        let down_middle = down(halve, from_middle, middle, "bu_conv2", "C3_n3")?;
        let halve = Unit::spatial(down_middle.csp.out_channels(), middle, 2);
        let down_coarse = down(halve, from_coarse, coarse, "bu_conv1", "C3_n4")?;
        Ok(Self {
            lateral,
            up_middle,
            reduce,
            up_fine,
            down_middle,
            down_coarse,
        })
    }

    /// Channels of what it gives, from the finest map on.
    pub(super) fn out_channels(&self) -> [usize; 3] {
        [
            self.up_fine.csp.out_channels(),
            self.down_middle.csp.out_channels(),
            self.down_coarse.csp.out_channels(),
        ]
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

//! CSPDarknet, the backbone of YOLOX: YOLOv5's.

use candle_core::Result;
use cnn_layers::{Builder, SpaceToDepth, StagedBackbone, StagedBuilder};

use super::units::{CspConfig, SpatialPyramid, Unit, UnitStyle};

/// How deep and how wide: shares of YOLOX-L's blocks and channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) depth: f64,
    pub(super) width: f64,
}

impl Scale {
    pub(super) const NANO: Self = Self::new(0.33, 0.25);
    pub(super) const TINY: Self = Self::new(0.33, 0.375);
    pub(super) const SMALL: Self = Self::new(0.33, 0.5);
    pub(super) const MEDIUM: Self = Self::new(0.67, 0.75);

    const fn new(depth: f64, width: f64) -> Self {
        Self { depth, width }
    }

    /// Bottlenecks of a layer that YOLOX-L has three of.
    pub(super) fn blocks(self) -> usize {
        ((self.depth * 3.).round_ties_even() as usize).max(1)
    }

    /// Channels of a layer that has so many in YOLOX-L.
    pub(super) fn channels(self, of_large: usize) -> usize {
        (of_large as f64 * self.width) as usize
    }
}

/// The backbone, of which the last three stages are read: at an eighth, a sixteenth and a 32nd of
/// the image's size.
pub(super) fn build(
    scale: Scale,
    in_channels: usize,
    style: UnitStyle,
    root: &Builder,
) -> Result<StagedBackbone> {
    let mut net = StagedBuilder::new(root, in_channels);
    let base = scale.channels(64);
    net.group("stem", &["stem"]);
    let stem = net.at("stem");
    let conv = Unit::spatial(4 * in_channels, base, 1);
    let conv = conv.build(style, &stem.pp("conv"))?;
    let channels = conv.out_channels();
    net.add(SpaceToDepth::new(&stem.pp("focus")))
        .add_stride(2)
        .add(conv)
        .set_channels(channels);
    net.end_stage("stem");
    for level in 1..=4 {
        let name = format!("dark{}", level + 1);
        let at = net.at(&name);
        let width = base << level;
        net.group(&name, &[&name]);
        let halving = Unit::spatial(net.channels(), width, 2);
        let halving = halving.build_parts(style, &at.pp(0))?;
        let mut channels = halving.out_channels();
        net.add(halving).add_stride(2);
        let is_last = level == 4;
        if is_last {
            let pyramid = SpatialPyramid::build(channels, width, style, &at.pp(1))?;
            channels = pyramid.out_channels();
            net.add(pyramid);
        }
        // The two in the middle are three times as deep.
        let is_middle = level == 2 || level == 3;
        let csp = CspConfig {
            from: channels,
            to: width,
            depth: if is_middle {
                3 * scale.blocks()
            } else {
                scale.blocks()
            },
            shortcut: !is_last,
        };
        let place = if is_last { 2 } else { 1 };
        let csp = csp.build(style, &at.pp(place))?;
        let channels = csp.out_channels();
        net.add(csp).set_channels(channels);
        net.end_stage(&name);
    }
    net.backbone().select(&[2, 3, 4])
}

//! Which filters of a network do nothing.

use cnn_data::Image;

use crate::{
    FilterKind, HeldOut, InspectedLayer, Inspection, Rarefaction, Savings, Spread, StageField,
    Totals, WeightStatistics,
};

/// The filters of a network that can be removed, what each stage sees, and the filters of its first
/// layer. [`Inspection::report`] makes one.
///
/// The page lists the layers in which something was found, or all if they are few, and draws where
/// in them it was.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterReport {
    /// What was inspected on what images, such as "test images, weights of the best epoch".
    pub inspected_on: String,
    /// Number of images of which it is said.
    pub images: usize,
    /// How often the same claim, made from a part of the images, did not hold on the others; `None`
    /// where there were too few.
    pub held_out: Option<HeldOut>,
    /// How the number of filters that do nothing falls with the number of images.
    pub rarefaction: Rarefaction,
    /// All layers with filters, from the image to the head.
    pub layers: Vec<FilterLayer>,
    /// Sums over them.
    pub totals: Totals,
    /// The stages with their receptive fields.
    pub stages: Vec<StageField>,
    /// The filters of the first layer as one picture; [`filter_grid`](crate::filter_grid) draws it.
    pub first_filters: Option<Image>,
}

/// The filters of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterLayer {
    /// The layer's name.
    pub name: String,
    /// Number of filters.
    pub channels: usize,
    /// Those that can be removed: number and kind, in the order of the numbers.
    pub found: Vec<(usize, FilterKind)>,
    /// The values that it gave, after norm and activation.
    pub activations: Spread,
    /// Its convolution's weight.
    pub weights: WeightStatistics,
    /// Share of channels that a rectifier set to 0 everywhere, in 0..1; `None` without a rectifier.
    pub dead_relus: Option<f64>,
    /// What removing them saves, if nothing else is removed.
    pub saves: Savings,
}

impl Inspection {
    /// What a page shows of it, with what kind of images it was inspected on, and the picture of
    /// the first layer's filters where it is given.
    pub fn report(
        &self,
        inspected_on: impl Into<String>,
        first_filters: Option<Image>,
    ) -> FilterReport {
        let layer = |layer: &InspectedLayer| FilterLayer {
            name: layer.unit.conv.clone(),
            channels: layer.unit.channels,
            found: self
                .findings_of(&layer.unit.conv)
                .map(|finding| (finding.channel, finding.kind))
                .collect(),
            activations: layer.activations,
            weights: layer.weights,
            dead_relus: layer.dead_relus,
            saves: layer.saves,
        };
        FilterReport {
            inspected_on: inspected_on.into(),
            images: self.images,
            held_out: self.held_out,
            rarefaction: self.rarefaction.clone(),
            layers: self.layers.iter().map(layer).collect(),
            totals: self.totals,
            stages: self.stages.clone(),
            first_filters,
        }
    }
}

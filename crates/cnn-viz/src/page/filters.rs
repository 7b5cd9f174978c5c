//! The filters that do nothing, layer by layer.

use super::filter_chart::filter_chart;
use super::format::{NOTHING, count, number, percent};
use super::pictures::Thumbnail;
use crate::{Error, FilterCounts, FilterKind, FilterLayer, FilterReport};

/// A network of so many layers is listed as a whole; of a larger one, the layers in which something was found.
const WHOLE_TABLE: usize = 24;

/// What stands under "Filters".
pub(crate) struct Filters<'a> {
    pub(crate) about: &'a FilterReport,
    pub(crate) summary: Summary,
    pub(crate) rows: Vec<FilterRow<'a>>,
    /// Layers that are not listed: nothing was found there.
    pub(crate) left_out: usize,
    /// Where the filters are; `None` where there are none.
    pub(crate) chart: Option<String>,
    /// Each layer with its activations (mean, deviation, range, zeros, dead rectifiers) and weights (mean, deviation, range, norm).
    pub(crate) statistics: Vec<(&'a str, [String; 9])>,
    pub(crate) stages: Vec<[String; 4]>,
    pub(crate) picture: Option<Thumbnail>,
}

/// The totals as text.
pub(crate) struct Summary {
    pub(crate) removable: usize,
    pub(crate) filters: String,
    pub(crate) counts: [String; 4],
    pub(crate) parameters: String,
    pub(crate) multiply_adds: String,
    pub(crate) parameter_share: String,
    pub(crate) work_share: String,
    /// The largest change of a class score; `None` for no change at all.
    pub(crate) change: Option<String>,
}

/// One layer.
pub(crate) struct FilterRow<'a> {
    pub(crate) name: &'a str,
    pub(crate) channels: String,
    pub(crate) counts: [String; 4],
    pub(crate) zeros: String,
    pub(crate) parameters: String,
    pub(crate) multiply_adds: String,
}

impl<'a> Filters<'a> {
    pub(crate) fn new(about: &'a FilterReport) -> Result<Self, Error> {
        let found = about.layers.iter().any(|layer| !layer.found.is_empty());
        let whole = about.layers.len() <= WHOLE_TABLE;
        let listed = about.layers.iter().filter(|layer| found && (whole || !layer.found.is_empty()));
        let rows: Vec<_> = listed.map(row).collect();
        Ok(Self {
            about,
            summary: summary(about),
            left_out: if found { about.layers.len() - rows.len() } else { 0 },
            rows,
            chart: found.then(|| filter_chart(&about.layers)).transpose()?,
            statistics: about.layers.iter().map(statistics).collect(),
            stages: about.stages.iter().map(stage).collect(),
            picture: about.first_filters.as_ref().map(first_filters).transpose()?,
        })
    }
}

fn summary(about: &FilterReport) -> Summary {
    let totals = &about.totals;
    Summary {
        removable: totals.removable,
        filters: count(totals.filters as u64),
        counts: counts(&totals.counts),
        parameters: count(totals.saves.parameters as u64),
        multiply_adds: count(totals.saves.multiply_adds),
        parameter_share: percent(totals.saves.parameters as f64 / totals.parameters as f64),
        work_share: percent(totals.saves.multiply_adds as f64 / totals.multiply_adds as f64),
        change: (totals.max_logit_change != 0.).then(|| number(totals.max_logit_change)),
    }
}

fn row(layer: &FilterLayer) -> FilterRow<'_> {
    FilterRow {
        name: &layer.name,
        channels: count(layer.channels as u64),
        counts: counts(&FilterCounts::of(layer.found.iter().map(|&(_, kind)| kind))),
        zeros: percent(layer.activations.zeros),
        parameters: some(layer.saves.parameters as u64),
        multiply_adds: some(layer.saves.multiply_adds),
    }
}

fn statistics(layer: &FilterLayer) -> (&str, [String; 9]) {
    let (activations, weights) = (&layer.activations, &layer.weights);
    let range = |min, max| format!("{} to {}", number(min), number(max));
    let cells = [
        number(activations.mean),
        number(activations.std),
        range(activations.min, activations.max),
        percent(activations.zeros),
        layer.dead_relus.map_or_else(|| NOTHING.into(), percent),
        number(weights.mean),
        number(weights.std),
        range(weights.min, weights.max),
        number(weights.norm),
    ];
    (&layer.name, cells)
}

/// In the order of [`FilterKind::ALL`].
fn counts(counts: &FilterCounts) -> [String; 4] {
    FilterKind::ALL.map(|kind| some(counts.get(kind) as u64))
}

fn some(number: u64) -> String {
    if number == 0 { NOTHING.into() } else { count(number) }
}

fn stage(stage: &crate::StageField) -> [String; 4] {
    let field = stage.receptive_field.map_or_else(|| "unknown".into(), |field| field.to_string());
    [stage.module.clone(), count(stage.channels as u64), count(stage.reduction as u64), field]
}

fn first_filters(image: &cnn_data::Image) -> Result<Thumbnail, Error> {
    Thumbnail::new(image, "the first filters", usize::MAX)
}

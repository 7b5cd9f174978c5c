//! The filters that do nothing, layer by layer.

use super::filter_chart::filter_chart;
use super::format::{NOTHING, count, number, percent};
use super::pictures::Thumbnail;
use super::rarefaction_chart::rarefaction_chart;
use crate::{
    Error, FilterCounts, FilterKind, FilterLayer, FilterReport, HeldOut, Rarefaction,
    RarefactionPoint,
};

/// A network of so many layers is listed as a whole; of a larger one, the layers in which something
/// was found.
const WHOLE_TABLE: usize = 24;

/// What stands under "Filters".
pub(crate) struct Filters<'a> {
    pub(crate) about: &'a FilterReport,
    pub(crate) summary: Summary,
    /// Whether the claim holds on images from which it was not made.
    pub(crate) held_out: String,
    /// What more images would leave.
    pub(crate) outlook: Option<String>,
    pub(crate) by_images: Option<ByImages>,
    pub(crate) rows: Vec<FilterRow<'a>>,
    /// Layers that are not listed: nothing was found there.
    pub(crate) left_out: usize,
    /// Where the filters are; `None` where there are none.
    pub(crate) chart: Option<String>,
    /// Each layer with its activations (mean, deviation, range, zeros, dead rectifiers) and weights
    /// (mean, deviation, range, norm).
    pub(crate) statistics: Vec<(&'a str, [String; 9])>,
    pub(crate) stages: Vec<[String; 4]>,
    pub(crate) picture: Option<Thumbnail>,
}

/// How the number of filters falls with the number of images.
pub(crate) struct ByImages {
    pub(crate) svg: String,
    pub(crate) points: Vec<Point>,
}

/// A number of images, the filters that do nothing on so many, and whether that is an estimate.
pub(crate) struct Point {
    pub(crate) images: String,
    pub(crate) filters: String,
    pub(crate) is_estimate: bool,
}

/// The totals as text.
pub(crate) struct Summary {
    /// As "1,500 images".
    pub(crate) images: String,
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
        let listed = about
            .layers
            .iter()
            .filter(|layer| found && (whole || !layer.found.is_empty()));
        let rows: Vec<_> = listed.map(row).collect();
        Ok(Self {
            about,
            summary: summary(about),
            held_out: held_out(about.held_out.as_ref()),
            outlook: outlook(&about.rarefaction, about.totals.removable),
            by_images: by_images(&about.rarefaction)?,
            left_out: if found {
                about.layers.len() - rows.len()
            } else {
                0
            },
            rows,
            chart: found.then(|| filter_chart(&about.layers)).transpose()?,
            statistics: about.layers.iter().map(statistics).collect(),
            stages: about.stages.iter().map(stage).collect(),
            picture: about
                .first_filters
                .as_ref()
                .map(first_filters)
                .transpose()?,
        })
    }
}

fn summary(about: &FilterReport) -> Summary {
    let totals = &about.totals;
    Summary {
        images: images(about.images),
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

fn images(number: usize) -> String {
    format!(
        "{} {}",
        count(number as u64),
        if number == 1 { "image" } else { "images" }
    )
}

fn held_out(about: Option<&HeldOut>) -> String {
    let Some(about) = about else {
        let least = HeldOut::LEAST_IMAGES;
        return format!(
            "There are too few images, fewer than {least}, to try this on some from which it was not made."
        );
    };
    let made_from = images(about.made_from);
    let others = images(about.images);
    let claimed = count(about.claimed as u64);
    if about.claimed == 0 {
        return format!(
            "On {made_from} of these alone no filter does nothing, so there is nothing to try on the {others} left."
        );
    }
    let contradicted = match about.contradicted {
        0 => "none does anything".to_string(),
        some => format!(
            "{} ({}) do something",
            count(some as u64),
            percent(about.contradicted_share())
        ),
    };
    let change = match about.max_logit_change {
        0. => "changes no class score".to_string(),
        change => format!("changes a class score by up to {}", number(change)),
    };
    format!(
        "The same claim from {made_from} of these names {claimed} filters. On the other {others}, from which it was not made, {contradicted}, and removing all {claimed} {change}."
    )
}

/// `None` where no filter is left that more images could take away.
fn outlook(about: &Rarefaction, found: usize) -> Option<String> {
    let now = about.counted.last().filter(|now| rounded(now) > 0)?;
    let expected: Vec<String> = about
        .estimated
        .iter()
        .map(|point| format!("{} on {}", count(rounded(point)), images(point.images)))
        .collect();
    let (last, others) = expected.split_last()?;
    let all = if others.is_empty() {
        last.clone()
    } else {
        format!("{} and {last}", others.join(", "))
    };
    let once = match about.active_once {
        0 => "no other does something on a single image only".to_string(),
        1 => "1 other does something on a single image only".to_string(),
        some => format!(
            "{} others do something on a single image only",
            count(some as u64)
        ),
    };
    let exact = match rounded(now) {
        1 if found == 1 => "The filter gives".to_string(),
        all if all == found as u64 => format!("All {} filters give", count(all)),
        some => format!(
            "Of the {} filters {} give",
            count(found as u64),
            count(some)
        ),
    };
    Some(format!(
        "{exact} one and the same number everywhere; {once}. More images would leave about {all}."
    ))
}

fn by_images(about: &Rarefaction) -> Result<Option<ByImages>, Error> {
    let Some(svg) = rarefaction_chart(about)? else {
        return Ok(None);
    };
    let point = |is_estimate: bool| {
        move |point: &RarefactionPoint| Point {
            images: count(point.images as u64),
            filters: count(rounded(point)),
            is_estimate,
        }
    };
    let points = about
        .counted
        .iter()
        .map(point(false))
        .chain(about.estimated.iter().map(point(true)));
    Ok(Some(ByImages {
        svg,
        points: points.collect(),
    }))
}

fn rounded(point: &RarefactionPoint) -> u64 {
    point.filters.round() as u64
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
    let activations = &layer.activations;
    let weights = &layer.weights;
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
    if number == 0 {
        NOTHING.into()
    } else {
        count(number)
    }
}

fn stage(stage: &crate::StageField) -> [String; 4] {
    let field = stage
        .receptive_field
        .map_or_else(|| "unknown".into(), |field| field.to_string());
    [
        stage.module.clone(),
        count(stage.channels as u64),
        count(stage.reduction as u64),
        field,
    ]
}

fn first_filters(image: &cnn_data::Image) -> Result<Thumbnail, Error> {
    Thumbnail::new(image, "the first filters", usize::MAX)
}

//! The page of a run.

use askama::Template;

use super::bands;
use super::boxes::Boxes;
use super::calibration::Calibration;
use super::class_table::ClassTable;
use super::confusion::{Cells, ConfusedPairs, Matrix};
use super::curves::Curves;
use super::detections::Detections;
use super::filters::Filters as FilterSection;
use super::format;
use super::freezing::Freezing;
use super::pictures::{Group, Strip, groups};
use super::regions::{Masks, Regions};
use super::robustness::Robustness;
use super::score_grid::Grid;
use super::section::Section;
use super::template_filters as filters;
use crate::{ClassResults, Error, Report};

/// Confused pairs listed beside a matrix, and without one.
const PAIRS: [usize; 2] = [10, 30];

/// The page, each part as its section of the template shows it.
#[derive(Template)]
#[template(path = "report.html")]
pub(crate) struct ReportPage<'a> {
    report: &'a Report,
    curves: Option<Curves>,
    sections: Vec<Section<'a>>,
    classes: Vec<Classes<'a>>,
    regions: Option<Regions<'a>>,
    masks: Vec<Masks<'a>>,
    detections: Option<Detections<'a>>,
    boxes: Vec<Boxes<'a>>,
    calibration: Option<Calibration>,
    robustness: Option<Robustness<'a>>,
    score_grids: Vec<Grid<'a>>,
    pictures: Vec<Group<'a>>,
    strip: Option<Strip<'a>>,
    filters: Option<FilterSection<'a>>,
    freezing: Option<Freezing<'a>>,
    /// Name, number of images, fingerprint.
    data: Vec<[String; 3]>,
    timings: Vec<[String; 3]>,
}

struct Classes<'a> {
    evaluated_on: &'a str,
    matrix: Option<Matrix<'a>>,
    pairs: ConfusedPairs<'a>,
    table: ClassTable<'a>,
}

impl<'a> ReportPage<'a> {
    pub(crate) fn new(report: &'a Report) -> Result<Self, Error> {
        bands::check(&report.phases)?;
        Ok(Self {
            report,
            curves: Curves::new(report)?,
            sections: report
                .sections
                .iter()
                .map(Section::new)
                .collect::<Result<_, _>>()?,
            classes: report
                .classes
                .iter()
                .map(classes)
                .filter_map(Result::transpose)
                .collect::<Result<_, _>>()?,
            regions: report
                .regions
                .as_ref()
                .map(|results| Regions::new(results, PAIRS[0]))
                .transpose()?,
            masks: report
                .masks
                .iter()
                .filter(|group| !group.photos.is_empty())
                .map(Masks::new)
                .collect::<Result<_, _>>()?,
            detections: report
                .detections
                .as_ref()
                .map(|results| Detections::new(results, PAIRS))
                .transpose()?,
            boxes: report
                .boxes
                .iter()
                .filter(|group| !group.photos.is_empty())
                .map(Boxes::new)
                .collect::<Result<_, _>>()?,
            calibration: report
                .calibration
                .as_ref()
                .map_or(Ok(None), Calibration::new)?,
            robustness: report
                .robustness
                .as_ref()
                .map(Robustness::new)
                .transpose()?,
            score_grids: report
                .score_grids
                .iter()
                .map(Grid::new)
                .collect::<Result<_, _>>()?,
            pictures: groups(report)?,
            strip: report.strip.as_ref().map(Strip::new).transpose()?,
            filters: report
                .filters
                .as_ref()
                .map(FilterSection::new)
                .transpose()?,
            freezing: Freezing::new(report)?,
            data: data(report),
            timings: timings(report),
        })
    }
}

/// `None` where nothing was counted.
fn classes(results: &ClassResults) -> Result<Option<Classes<'_>>, Error> {
    let names = results.names.len();
    let classes = results.confusion.classes();
    if names != classes {
        return Err(Error::argument(
            "names",
            format!("{names} names"),
            format!("one for each of {classes} classes"),
        ));
    }
    if results.confusion.samples() == 0 {
        return Ok(None);
    }
    let matrix = Matrix::new(&results.names, &results.confusion, Cells::Counts);
    let most = PAIRS[usize::from(matrix.is_none())];
    Ok(Some(Classes {
        evaluated_on: &results.evaluated_on,
        pairs: ConfusedPairs::new(&results.names, &results.confusion, most),
        table: ClassTable::new(results)?,
        matrix,
    }))
}

fn data(report: &Report) -> Vec<[String; 3]> {
    let row = |part: &crate::DataPart| {
        [
            part.name.clone(),
            format::count(part.images as u64),
            part.fingerprint.clone(),
        ]
    };
    report.data.iter().map(row).collect()
}

fn timings(report: &Report) -> Vec<[String; 3]> {
    let row = |timing: &crate::Timing| {
        let rate = timing
            .images_per_second
            .map_or_else(|| format::NOTHING.into(), format::number);
        [timing.name.clone(), format::seconds(timing.seconds), rate]
    };
    report.timings.iter().map(row).collect()
}

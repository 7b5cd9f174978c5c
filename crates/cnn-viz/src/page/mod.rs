//! From a report's data to HTML: the template is `templates/report.html`; what it shows is prepared here as text.
//!
//! askama, because its templates are compiled: a field that does not exist or a tag that is not closed is an error of the build,
//! not of a run. It escapes every value of an `.html` template; only the charts, which are made here, are marked as safe.

mod axis;
mod bands;
mod class_table;
mod color;
mod confusion;
mod curves;
mod filter_chart;
mod filters;
mod format;
mod freezing;
mod gallery;
mod line_chart;
mod pictures;
mod ticks;

pub use self::pictures::thumbnail;

use askama::Template;

use self::class_table::ClassTable;
use self::confusion::{ConfusedPairs, Matrix};
use self::curves::Curves;
pub(crate) use self::filter_chart::filter_chart;
use self::filters::Filters;
use self::freezing::Freezing;
use self::gallery::GalleryPage;
use self::pictures::{Group, Strip, groups};
use crate::{Error, Gallery, Report};

/// Confused pairs listed beside a matrix, and without one.
const PAIRS: [usize; 2] = [10, 30];

/// The page, each part as its section of the template shows it.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    curves: Option<Curves>,
    classes: Option<Classes<'a>>,
    pictures: Vec<Group<'a>>,
    strip: Option<Strip<'a>>,
    filters: Option<Filters<'a>>,
    freezing: Option<Freezing<'a>>,
    timings: Vec<[String; 3]>,
}

struct Classes<'a> {
    evaluated_on: &'a str,
    matrix: Option<Matrix<'a>>,
    pairs: ConfusedPairs<'a>,
    table: ClassTable<'a>,
}

/// The page of a report.
pub(crate) fn render(report: &Report) -> Result<String, Error> {
    bands::check(&report.phases)?;
    let page = Page {
        report,
        curves: Curves::new(report)?,
        classes: classes(report)?,
        pictures: groups(report)?,
        strip: report.strip.as_ref().map(Strip::new).transpose()?,
        filters: report.filters.as_ref().map(Filters::new).transpose()?,
        freezing: Freezing::new(report)?,
        timings: timings(report),
    };
    Ok(printable(&page.render()?))
}

/// The page of explained photos.
pub(crate) fn render_gallery(gallery: &Gallery) -> Result<String, Error> {
    Ok(printable(&GalleryPage::new(gallery)?.render()?))
}

fn classes(report: &Report) -> Result<Option<Classes<'_>>, Error> {
    let Some(results) = &report.classes else { return Ok(None) };
    let (names, classes) = (results.names.len(), results.confusion.classes());
    if names != classes {
        return Err(Error::argument("names", format!("{names} names"), format!("one for each of {classes} classes")));
    }
    if results.confusion.samples() == 0 {
        return Ok(None);
    }
    let matrix = Matrix::new(results);
    let most = PAIRS[usize::from(matrix.is_none())];
    Ok(Some(Classes {
        evaluated_on: &results.evaluated_on,
        pairs: ConfusedPairs::new(results, most),
        table: ClassTable::new(results)?,
        matrix,
    }))
}

fn timings(report: &Report) -> Vec<[String; 3]> {
    let row = |timing: &crate::Timing| {
        let rate = timing.images_per_second.map_or_else(|| format::NOTHING.into(), format::number);
        [timing.name.clone(), format::seconds(timing.seconds), rate]
    };
    report.timings.iter().map(row).collect()
}

/// Control characters, which HTML forbids, can come with file names.
fn printable(page: &str) -> String {
    let forbidden = |character: char| character.is_control() && character != '\n' && character != '\t';
    page.replace(forbidden, "\u{fffd}")
}

//! From a report's data to HTML: the template is `templates/report.html`; what it shows is prepared
//! here as text.
//!
//! askama, because its templates are compiled: a field that does not exist or a tag that is not
//! closed is an error of the build, not of a run. It escapes every value of an `.html` template;
//! only the charts, which are made here, are marked as safe.

mod axis;
mod bands;
mod calibration;
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
mod rarefaction_chart;
mod reliability_chart;
mod report_page;
mod template_filters;
mod thinned;
mod ticks;

pub use self::pictures::thumbnail;

use askama::Template;

pub(crate) use self::filter_chart::filter_chart;
use self::gallery::GalleryPage;
use self::report_page::ReportPage;
use crate::{Error, Gallery, Report};

/// The page of a report.
pub(crate) fn render(report: &Report) -> Result<String, Error> {
    Ok(printable(&ReportPage::new(report)?.render()?))
}

/// The page of explained photos.
pub(crate) fn render_gallery(gallery: &Gallery) -> Result<String, Error> {
    Ok(printable(&GalleryPage::new(gallery)?.render()?))
}

/// Control characters, which HTML forbids, can come with file names.
fn printable(page: &str) -> String {
    let forbidden =
        |character: char| character.is_control() && character != '\n' && character != '\t';
    page.replace(forbidden, "\u{fffd}")
}

//! From a report's data to HTML: the template is `templates/report.html`; what it shows is prepared
//! here as text.
//!
//! askama, because its templates are compiled: a field that does not exist or a tag that is not
//! closed is an error of the build, not of a run. It escapes every value of an `.html` template;
//! only the charts, which are made here, are marked as safe.

mod axis;
mod bands;
mod boxes;
mod calibration;
mod class_table;
mod color;
mod confusion;
mod curves;
mod detections;
mod figure;
mod filter_chart;
mod filters;
mod format;
mod freezing;
mod gallery;
mod line_chart;
mod pictures;
mod point_clouds;
mod rarefaction_chart;
mod regions;
mod reliability_chart;
mod report_page;
mod robustness;
mod score_curves;
mod score_grid;
mod section;
mod template_filters;
mod thinned;
mod ticks;

use askama::Template;

use self::gallery::GalleryPage;
use self::report_page::ReportPage;
use crate::{Error, Gallery, Report};

impl Report {
    /// The report as an HTML page that needs no other file, but links to those of `files`: charts
    /// are inline SVG, pictures inline PNG; no script. It is light or dark as the reader's system
    /// is.
    ///
    /// Every string is shown as text, whatever it holds; control characters become U+FFFD. The same
    /// report gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if epochs are not numbered upwards from 1 or more, if learning
    /// rates do not go on from left to right, if a phase ends before it begins or names a layer
    /// group twice, if `best_epoch` is not among the epochs, or if there are not as many names as
    /// classes, cells of a strip, of a table's row or scores of a grid as columns, if a chart has
    /// more than [`EpochChart::MOST_CURVES`](crate::EpochChart::MOST_CURVES) curves or epochs out of
    /// their order, or a point a class without a name. [`Error::Picture`] if an image cannot be
    /// encoded; [`Error::Metrics`], [`Error::Chart`], [`Error::Template`] if the libraries behind
    /// them refuse, which no report is known to cause.
    pub fn to_html(&self) -> Result<String, Error> {
        Ok(printable(&ReportPage::new(self)?.render()?))
    }
}

impl Gallery {
    /// The gallery as an HTML page that needs no other file, but links to the whole pictures where
    /// they are given; no script.
    ///
    /// Every string is shown as text, whatever it holds. The same gallery gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Picture`] if an image cannot be encoded, [`Error::Template`] if the library behind
    /// the page refuses.
    pub fn to_html(&self) -> Result<String, Error> {
        Ok(printable(&GalleryPage::new(self)?.render()?))
    }
}

/// Control characters, which HTML forbids, can come with file names.
fn printable(page: &str) -> String {
    let forbidden =
        |character: char| character.is_control() && character != '\n' && character != '\t';
    page.replace(forbidden, "\u{fffd}")
}

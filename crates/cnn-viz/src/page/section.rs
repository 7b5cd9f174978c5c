//! A section of tables, curves and pictures of points.

use super::color::{BLUE, INK, VERMILION};
use super::figure::{Figure, Key};
use super::line_chart::{Across, Bounds, LineChart, Series, Stroke};
use super::point_clouds::Clouds;
use crate::{EpochChart, EpochCurve, Error, ReportSection, ReportTable};

/// The looks of a chart's curves, which are told apart without colour, too.
const LOOKS: [(plotters::style::RGBColor, Stroke); EpochChart::MOST_CURVES] = [
    (VERMILION, Stroke::Dashed),
    (INK, Stroke::Dotted),
    (BLUE, Stroke::Solid),
];

/// The section.
pub(crate) struct Section<'a> {
    pub(crate) about: &'a ReportSection,
    pub(crate) charts: Vec<Figure>,
    pub(crate) points: Option<Clouds<'a>>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(section: &'a ReportSection) -> Result<Self, Error> {
        section.tables.iter().try_for_each(check)?;
        let charts = section
            .charts
            .iter()
            .map(|chart| chart.figure().transpose());
        Ok(Self {
            about: section,
            charts: charts.flatten().collect::<Result<_, _>>()?,
            points: section.points.as_ref().map(Clouds::new).transpose()?,
        })
    }
}

/// Fails unless each row of a table has a cell for every column.
fn check(table: &ReportTable) -> Result<(), Error> {
    let columns = table.columns.len();
    match table.rows.iter().find(|row| row.len() != columns) {
        Some(row) => Err(Error::argument(
            "rows",
            format!("{} cells", row.len()),
            format!("one for each of {columns} columns"),
        )),
        None => Ok(()),
    }
}

impl ReportTable {
    /// Whether the row of this number is marked.
    pub(crate) fn is_marked(&self, row: &usize) -> bool {
        self.marked.contains(row)
    }
}

impl EpochChart {
    /// The chart; `None` where there is no value.
    fn figure(&self) -> Result<Option<Figure>, Error> {
        self.check()?;
        let has_values = |curve: &&EpochCurve| !curve.values.is_empty();
        let curves: Vec<&EpochCurve> = self.curves.iter().filter(has_values).collect();
        let epochs = || {
            let values = curves.iter().flat_map(|curve| &curve.values);
            values.map(|(epoch, _)| *epoch)
        };
        let (Some(first), Some(last)) = (epochs().min(), epochs().max()) else {
            return Ok(None);
        };
        // The last curve has the strongest look, whichever their number is.
        let looks = || LOOKS.iter().skip(LOOKS.len() - curves.len());
        let factor = if self.is_share { 100. } else { 1. };
        let series = curves.iter().zip(looks()).map(|(curve, &(color, stroke))| {
            let values = curve.values.iter();
            Series::of_epochs(color, stroke, values.map(|&(epoch, y)| (epoch, factor * y)))
        });
        let chart = LineChart {
            name: "epochs",
            across: Across::epochs(first, last),
            axis: &self.axis,
            bounds: if self.is_share {
                Bounds::Percent
            } else {
                Bounds::FromZero
            },
            series: series.collect(),
            phases: &[],
            marked: self.marked.map(|epoch| epoch as f64),
        };
        let left_out = chart.series.iter().map(|series| series.left_out).sum();
        let keys = curves.iter().zip(looks());
        let key = keys.map(|(curve, &(color, stroke))| Key::new(&curve.name, color, stroke));
        Ok(chart.to_svg()?.map(|svg| Figure {
            title: self.title.clone(),
            key: key.collect(),
            marked: self.marked.map(|epoch| format!("kept, epoch {epoch}")),
            svg,
            left_out,
            note: self.note.clone(),
        }))
    }

    fn check(&self) -> Result<(), Error> {
        if self.curves.len() > Self::MOST_CURVES {
            let expected = format!("at most {}", Self::MOST_CURVES);
            return Err(Error::argument("curves", self.curves.len(), expected));
        }
        let values = self.curves.iter().flat_map(|curve| curve.values.windows(2));
        let mut pairs = values.map(|pair| [pair[0].0, pair[1].0]);
        match pairs.find(|[epoch, next]| next <= epoch) {
            Some([epoch, next]) => Err(Error::argument(
                "values",
                format!("epoch {next} after {epoch}"),
                "epochs in their order",
            )),
            None => Ok(()),
        }
    }
}

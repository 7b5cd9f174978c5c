//! One chart of curves over epochs or scores, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::color::{BAND, BOUNDARY, FINE, GRID, INK, text};
use super::thinned::thinned;
use super::ticks::{ticks, whole_ticks};
use super::{bands, format};
use crate::{Error, ReportPhase};

/// Nominal size. Beside another on a desktop it is shown a fifth larger, on a telephone a fifth
/// smaller.
const SIZE: (i32, i32) = (440 * FINE, 290 * FINE);
/// The mean width of a character in view box units, rather too wide.
const CHARACTER: f64 = 8.0 * FINE as f64;
/// Beyond this values are not drawn: sums of such numbers would overflow.
const LARGEST: f64 = 1e150;
/// So many points of a curve of updates are drawn at most, about one for a pixel.
const MOST_POINTS: usize = 400;
/// More points than these need no marks to be seen as points.
const MOST_MARKS: usize = 40;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// What a chart shows.
pub(crate) struct LineChart<'a> {
    /// What it shows, for the error of the library.
    pub(crate) name: &'static str,
    pub(crate) across: Across,
    /// The vertical axis with its unit.
    pub(crate) axis: &'a str,
    /// The bounds of the vertical axis that are there whatever the values.
    pub(crate) bounds: Bounds,
    pub(crate) series: Vec<Series>,
    pub(crate) phases: &'a [ReportPhase],
    /// Where along the horizontal axis a line stands.
    pub(crate) marked: Option<f64>,
}

/// The horizontal axis.
pub(crate) struct Across {
    name: &'static str,
    left: f64,
    right: f64,
    ticks: Vec<f64>,
}

impl Across {
    /// From the first epoch to the last, of which each takes the axis from half before its number
    /// to half behind it.
    pub(crate) fn epochs(first: usize, last: usize) -> Self {
        let left = first as f64 - 0.5;
        let right = last as f64 + 0.5;
        Self {
            name: "epoch",
            left,
            right,
            ticks: whole_ticks(left, right, 8),
        }
    }

    /// From 0 to the largest size.
    pub(crate) fn sizes(sizes: &mut dyn Iterator<Item = f64>) -> Self {
        Self::from_zero("size of the change", sizes)
    }

    /// From 0 to the largest radius.
    pub(crate) fn radii(radii: &mut dyn Iterator<Item = f64>) -> Self {
        Self::from_zero("radius", radii)
    }

    fn from_zero(name: &'static str, sizes: &mut dyn Iterator<Item = f64>) -> Self {
        let drawn = sizes.filter(|size| size.abs() <= LARGEST);
        let largest = drawn.fold(0., f64::max);
        let right = if largest > 0. { largest } else { 1. };
        Self {
            name,
            left: 0.,
            right,
            ticks: ticks(0., right, 8),
        }
    }

    /// From 0 to 1, and on to those scores that lie beyond.
    pub(crate) fn scores(scores: impl Iterator<Item = f64>) -> Self {
        let drawn = scores.filter(|score| score.abs() <= LARGEST);
        let (left, right) = drawn.fold((0., 1.), |ends: (f64, f64), score| {
            (ends.0.min(score), ends.1.max(score))
        });
        Self {
            name: "score",
            left,
            right,
            ticks: ticks(left, right, 8),
        }
    }
}

/// How the vertical axis is chosen.
#[derive(Clone, Copy)]
pub(crate) enum Bounds {
    /// From 0, or the lowest value if that is negative.
    FromZero,
    /// Per cent: as much of 0 to 100 as the values need.
    Percent,
}

/// What tells curves apart without colour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stroke {
    Solid,
    Dashed,
    Dotted,
}

/// One curve.
pub(crate) struct Series {
    color: RGBColor,
    stroke: Stroke,
    /// Its stretches without a gap, from left to right.
    stretches: Vec<Vec<(f64, f64)>>,
    /// How many values are not finite or too large to draw.
    pub(crate) left_out: usize,
}

impl Series {
    /// A value per epoch, of those that can be drawn: where the next epoch is missing the curve has
    /// a gap.
    pub(crate) fn of_epochs(
        color: RGBColor,
        stroke: Stroke,
        points: impl Iterator<Item = (usize, f64)>,
    ) -> Self {
        let (points, others): (Vec<_>, Vec<_>) =
            points.partition(|(_, value)| value.abs() <= LARGEST);
        let joined = points.chunk_by(|(epoch, _), (next, _)| epoch + 1 == *next);
        let stretch = |points: &[(usize, f64)]| {
            points
                .iter()
                .map(|&(epoch, value)| (epoch as f64, value))
                .collect()
        };
        Self {
            color,
            stroke,
            stretches: joined.map(stretch).collect(),
            left_out: others.len(),
        }
    }

    /// One line through those of many points that can be drawn.
    pub(crate) fn line(
        color: RGBColor,
        stroke: Stroke,
        points: impl Iterator<Item = (f64, f64)>,
    ) -> Self {
        let is_drawn =
            |&(place, value): &(f64, f64)| place.abs() <= LARGEST && value.abs() <= LARGEST;
        let (points, others): (Vec<_>, Vec<_>) = points.partition(is_drawn);
        let stretches = if points.is_empty() {
            Vec::new()
        } else {
            vec![thinned(&points, MOST_POINTS)]
        };
        Self {
            color,
            stroke,
            stretches,
            left_out: others.len(),
        }
    }

    /// Its points, from left to right.
    pub(crate) fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.stretches.iter().flatten()
    }
}

impl LineChart<'_> {
    /// The chart, or `None` if no value can be drawn.
    pub(crate) fn to_svg(&self) -> Result<Option<String>, Error> {
        let Some(heights) = self.heights() else {
            return Ok(None);
        };
        let mut svg = String::new();
        let drawn = self.draw(
            &SVGBackend::with_string(&mut svg, size()).into_drawing_area(),
            heights,
        );
        drawn.map_err(|error| Error::Chart {
            chart: self.name,
            reason: error.to_string(),
        })?;
        Ok(Some(svg))
    }

    /// The ends of the vertical axis.
    fn heights(&self) -> Option<(f64, f64)> {
        let values = || {
            self.series
                .iter()
                .flat_map(|series| series.points().map(|&(_, value)| value))
        };
        let low = values().reduce(f64::min)?;
        let high = values().reduce(f64::max)?;
        Some(match self.bounds {
            Bounds::FromZero => {
                let low = low.min(0.0);
                let span = high - low;
                // Nothing but zeros, or next to them, still needs an axis.
                if span < 1e-100 {
                    (low, low + 1.0)
                } else {
                    (low, high + span * 0.05)
                }
            }
            Bounds::Percent => {
                let low = (low / 10.0 - 0.1).floor().clamp(0.0, 9.0) * 10.0;
                let high = (high / 10.0 + 0.1).ceil().clamp(1.0, 10.0) * 10.0;
                (low, high.max(low + 10.0))
            }
        })
    }

    fn draw<'a>(&self, area: &Area<'a>, heights: (f64, f64)) -> Drawn<'a> {
        let across = &self.across;
        let mut chart = ChartBuilder::on(area)
            .margin_left(2 * FINE)
            .margin_right(12 * FINE)
            .margin_top(if self.phases.is_empty() { 10 } else { 24 } * FINE)
            .margin_bottom(2 * FINE)
            .x_label_area_size(42 * FINE)
            .y_label_area_size(68 * FINE)
            .build_cartesian_2d(
                Axis::new(across.left, across.right, across.ticks.clone()),
                Axis::new(heights.0, heights.1, ticks(heights.0, heights.1, 6)),
            )?;
        self.draw_bands(&mut chart, heights)?;
        chart
            .configure_mesh()
            .bold_line_style(GRID.stroke_width(FINE as u32))
            .axis_style(BOUNDARY.stroke_width(FINE as u32))
            .label_style(text(1.))
            .axis_desc_style(text(1.))
            .x_desc(across.name)
            .y_desc(self.axis)
            .x_label_formatter(&|&place| format::number(place))
            .y_label_formatter(&|&value| format::number(value))
            .set_all_tick_mark_size(4 * FINE)
            .draw()?;
        self.draw_mark(&mut chart, heights)?;
        for series in &self.series {
            draw_series(&mut chart, series)?;
        }
        self.draw_labels(area, &chart, heights.1)
    }

    /// Every other phase is shaded, and a line stands where one follows another.
    fn draw_bands<'a>(&self, chart: &mut Chart<'a, '_>, (low, high): (f64, f64)) -> Drawn<'a> {
        for (index, phase) in self.phases.iter().enumerate() {
            let Some((start, end)) = self.extent(phase) else {
                continue;
            };
            if index % 2 == 1 {
                chart.draw_series([Rectangle::new([(start, low), (end, high)], BAND.filled())])?;
            }
            if start > self.across.left {
                let style = BOUNDARY.stroke_width(FINE as u32);
                chart.draw_series(DashedLineSeries::new(
                    [(start, low), (start, high)],
                    5 * FINE,
                    4 * FINE,
                    style,
                ))?;
            }
        }
        Ok(())
    }

    /// The part of the horizontal axis that belongs to a phase.
    fn extent(&self, phase: &ReportPhase) -> Option<(f64, f64)> {
        let start = self.across.left.max(phase.first_epoch as f64 - 0.5);
        let end = self.across.right.min(phase.last_epoch as f64 + 0.5);
        (start < end).then_some((start, end))
    }

    fn draw_labels<'a>(&self, area: &Area<'a>, chart: &Chart<'a, '_>, top: f64) -> Drawn<'a> {
        let pixels = |phase: &ReportPhase| {
            self.extent(phase)
                .map(|ends| [ends.0, ends.1].map(|x| pixel(chart, x, top)))
        };
        let room = |phase: &ReportPhase| {
            pixels(phase).map_or(0.0, |[start, end]| f64::from(end.0 - start.0) / CHARACTER)
        };
        let centred = text(1.).pos(Pos::new(HPos::Center, VPos::Bottom));
        for (phase, label) in self.phases.iter().zip(bands::labels(self.phases, room)) {
            if let (Some([start, end]), false) = (pixels(phase), label.is_empty()) {
                let place = ((start.0 + end.0) / 2, start.1 - 2 * FINE);
                area.draw(&Text::new(label, place, centred.clone()))?;
            }
        }
        Ok(())
    }

    /// A dotted line, and a ring around the last curve's value there.
    fn draw_mark<'a>(&self, chart: &mut Chart<'a, '_>, (low, high): (f64, f64)) -> Drawn<'a> {
        let Some(marked) = self.marked else {
            return Ok(());
        };
        let line = [(marked, low), (marked, high)];
        chart.draw_series(DashedLineSeries::new(
            line,
            2 * FINE,
            3 * FINE,
            INK.stroke_width(FINE as u32),
        ))?;
        let points = self.series.last().into_iter().flat_map(Series::points);
        let there = points.filter(|(place, _)| *place == marked);
        let rings = there.map(|&point| Circle::new(point, 7 * FINE, outline(INK)));
        chart.draw_series(rings)?;
        Ok(())
    }
}

fn draw_series<'a>(chart: &mut Chart<'a, '_>, series: &Series) -> Drawn<'a> {
    let marks = series.points().count() <= MOST_MARKS;
    for points in &series.stretches {
        // A point on its own would not be seen without a mark.
        if marks || points.len() == 1 {
            chart.draw_series(
                points
                    .iter()
                    .map(|&point| Circle::new(point, 3 * FINE, series.color.filled())),
            )?;
        }
        let style = outline(series.color);
        let dashes = |long: i32, apart: i32| {
            DashedLineSeries::new(points.clone(), long * FINE, apart * FINE, style)
        };
        match series.stroke {
            Stroke::Solid => chart
                .draw_series(LineSeries::new(points.iter().copied(), style))
                .map(drop)?,
            Stroke::Dashed => chart.draw_series(dashes(7, 4)).map(drop)?,
            Stroke::Dotted => chart.draw_series(dashes(2, 3)).map(drop)?,
        }
    }
    Ok(())
}

fn pixel(chart: &Chart<'_, '_>, x: f64, y: f64) -> (i32, i32) {
    chart.backend_coord(&(x, y))
}

fn outline(color: RGBColor) -> ShapeStyle {
    color.stroke_width(2 * FINE as u32)
}

fn size() -> (u32, u32) {
    (SIZE.0 as u32, SIZE.1 as u32)
}

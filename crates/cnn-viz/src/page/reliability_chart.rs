//! The reliability diagram with the number of samples of each bar, as SVG.

use cnn_metrics::ReliabilityBin;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::color::{BLUE, BOUNDARY, FINE, GRID, INK, text};
use super::format;
use crate::Error;

/// Nominal size, of which the lower part shows how many samples there are.
const SIZE: (i32, i32) = (440 * FINE, 400 * FINE);
const COUNTS: i32 = 120 * FINE;
const TICKS: [f64; 6] = [0., 20., 40., 60., 80., 100.];
/// Numbers over bars have this share of the height of other text: 15 bars are narrow.
const SMALL: f64 = 0.8;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// The share of right predictions in each bin of confidence over the number of its samples.
pub(crate) fn reliability_chart(bins: &[ReliabilityBin]) -> Result<String, Error> {
    let mut svg = String::new();
    let area =
        SVGBackend::with_string(&mut svg, (SIZE.0 as u32, SIZE.1 as u32)).into_drawing_area();
    let drawn = draw(&area, bins);
    drop(area);
    drawn.map_err(|error| Error::Chart {
        chart: "reliability",
        reason: error.to_string(),
    })?;
    Ok(svg)
}

fn draw<'a>(area: &Area<'a>, bins: &[ReliabilityBin]) -> Drawn<'a> {
    let (upper, lower) = area.split_vertically(SIZE.1 - COUNTS);
    draw_shares(&upper, bins)?;
    draw_counts(&lower, bins)?;
    area.present()
}

fn draw_shares<'a>(area: &Area<'a>, bins: &[ReliabilityBin]) -> Drawn<'a> {
    let mut chart = ChartBuilder::on(area)
        .margin_left(2 * FINE)
        .margin_right(12 * FINE)
        .margin_top(10 * FINE)
        .x_label_area_size(6 * FINE)
        .y_label_area_size(68 * FINE)
        .build_cartesian_2d(
            Axis::new(0., 100., TICKS.into()),
            Axis::new(0., 100., TICKS.into()),
        )?;
    chart
        .configure_mesh()
        .bold_line_style(GRID.stroke_width(FINE as u32))
        .axis_style(BOUNDARY.stroke_width(FINE as u32))
        .label_style(text(1.))
        .axis_desc_style(text(1.))
        .y_desc("right (%)")
        // The numbers below the counts are for both.
        .x_label_formatter(&|_| String::new())
        .y_label_formatter(&|&value| format::number(value))
        .set_all_tick_mark_size(4 * FINE)
        .draw()?;
    let bars = bins.iter().filter_map(|bin| Some((bin, bin.accuracy?)));
    chart.draw_series(bars.map(|(bin, accuracy)| {
        Rectangle::new(
            [(100. * bin.lower, 0.), (100. * bin.upper, 100. * accuracy)],
            BLUE.mix(0.55).filled(),
        )
    }))?;
    let tops = bins
        .iter()
        .filter_map(|bin| Some((bin, 100. * bin.accuracy?)));
    for (bin, height) in tops {
        let top = [(100. * bin.lower, height), (100. * bin.upper, height)];
        chart.draw_series(LineSeries::new(top, BLUE.stroke_width(2 * FINE as u32)))?;
    }
    let diagonal = DashedLineSeries::new(
        [(0., 0.), (100., 100.)],
        7 * FINE,
        4 * FINE,
        INK.stroke_width(FINE as u32),
    );
    chart.draw_series(diagonal)?;
    Ok(())
}

fn draw_counts<'a>(area: &Area<'a>, bins: &[ReliabilityBin]) -> Drawn<'a> {
    let most = bins.iter().map(|bin| bin.samples).max().unwrap_or(0).max(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .margin_left(2 * FINE)
        .margin_right(12 * FINE)
        .margin_bottom(2 * FINE)
        .x_label_area_size(42 * FINE)
        .y_label_area_size(68 * FINE)
        // Room for a number over the highest bar.
        .build_cartesian_2d(
            Axis::new(0., 100., TICKS.into()),
            Axis::new(0., most * 1.5, Vec::new()),
        )?;
    chart
        .configure_mesh()
        .bold_line_style(GRID.stroke_width(FINE as u32))
        .axis_style(BOUNDARY.stroke_width(FINE as u32))
        .label_style(text(1.))
        .axis_desc_style(text(1.))
        .x_desc("confidence (%)")
        .y_desc("images")
        .x_label_formatter(&|&value| format::number(value))
        .set_all_tick_mark_size(4 * FINE)
        .draw()?;
    let occupied = || bins.iter().filter(|bin| bin.samples > 0);
    chart.draw_series(occupied().map(|bin| {
        Rectangle::new(
            [
                (100. * bin.lower, 0.),
                (100. * bin.upper, bin.samples as f64),
            ],
            BOUNDARY.filled(),
        )
    }))?;
    for bin in occupied() {
        let middle = 50. * (bin.lower + bin.upper);
        let (x, y) = chart.backend_coord(&(middle, bin.samples as f64));
        let style = text(SMALL).pos(Pos::new(HPos::Center, VPos::Bottom));
        let left = area.get_base_pixel().0;
        let top = area.get_base_pixel().1;
        area.draw(&Text::new(
            short(bin.samples),
            (x - left, y - top - FINE),
            style,
        ))?;
    }
    Ok(())
}

/// At most four characters.
fn short(samples: u64) -> String {
    match samples {
        0..1_000 => samples.to_string(),
        1_000..1_000_000 => format!("{}k", samples / 1_000),
        1_000_000..1_000_000_000 => format!("{}M", samples / 1_000_000),
        _ => format!("{}G", samples / 1_000_000_000),
    }
}

//! How the number of filters that do nothing falls with the number of images, as SVG.

use plotters::prelude::*;

use super::axis::Axis;
use super::color::{BLUE, BOUNDARY, FINE, GRID, VERMILION, text};
use super::format::{count, number};
use super::ticks::ticks;
use crate::{Error, Rarefaction, RarefactionPoint};

/// Nominal size, as that of the charts over the epochs.
const SIZE: (i32, i32) = (440 * FINE, 250 * FINE);
/// Sums of larger numbers of filters would overflow.
const LARGEST: f64 = 1e150;

/// What was counted, and what is estimated.
const COUNTED: RGBColor = BLUE;
const ESTIMATED: RGBColor = VERMILION;

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// The chart: images along a logarithmic axis, filters above. `None` where there are no two numbers
/// of images, no filter at any of them, or a value that cannot be drawn.
pub(super) fn rarefaction_chart(about: &Rarefaction) -> Result<Option<String>, Error> {
    let all = || about.counted.iter().chain(&about.estimated);
    let several =
        all().any(|point| Some(point.images) != about.counted.first().map(|first| first.images));
    let any = all().any(|point| point.filters >= 0.5);
    if !several || !any || all().any(|point| !(0. ..=LARGEST).contains(&point.filters)) {
        return Ok(None);
    }
    let mut svg = String::new();
    let drawn = draw(&mut svg, about);
    drawn.map_err(|error| Error::Chart {
        chart: "filters by images",
        reason: error.to_string(),
    })?;
    Ok(Some(svg))
}

fn draw<'a>(svg: &'a mut String, about: &Rarefaction) -> Drawn<'a> {
    let place = |point: &RarefactionPoint| ((point.images.max(1) as f64).log10(), point.filters);
    let counted: Vec<_> = about.counted.iter().map(place).collect();
    // The estimate goes on from the last count.
    let estimated: Vec<_> = about
        .counted
        .last()
        .into_iter()
        .chain(&about.estimated)
        .map(place)
        .collect();
    let all = || counted.iter().chain(&estimated);
    let (left, right) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |ends, (x, _)| {
        (ends.0.min(*x), ends.1.max(*x))
    });
    let high = 1.05 * all().map(|(_, y)| *y).fold(1., f64::max);
    let margin = 0.03 * (right - left).max(0.1);
    let area = SVGBackend::with_string(svg, (SIZE.0 as u32, SIZE.1 as u32)).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin_left(2 * FINE)
        .margin_right(16 * FINE)
        .margin_top(10 * FINE)
        .margin_bottom(2 * FINE)
        .x_label_area_size(42 * FINE)
        .y_label_area_size(68 * FINE)
        .build_cartesian_2d(
            Axis::new(
                left - margin,
                right + margin,
                decades(left - margin, right + margin),
            ),
            Axis::new(0., high, ticks(0., high, 6)),
        )?;
    chart
        .configure_mesh()
        .bold_line_style(GRID.stroke_width(FINE as u32))
        .axis_style(BOUNDARY.stroke_width(FINE as u32))
        .label_style(text(1.))
        .axis_desc_style(text(1.))
        .x_desc("images")
        .y_desc("filters")
        .x_label_formatter(&|log: &f64| count(10f64.powf(*log).round() as u64))
        .y_label_formatter(&|filters| number(*filters))
        .set_all_tick_mark_size(4 * FINE)
        .draw()?;
    chart.draw_series(LineSeries::new(counted.iter().copied(), outline(COUNTED)))?;
    let dashes = DashedLineSeries::new(
        estimated.iter().copied(),
        7 * FINE,
        4 * FINE,
        outline(ESTIMATED),
    );
    chart.draw_series(dashes)?;
    let dot =
        |color: RGBColor| move |&point: &(f64, f64)| Circle::new(point, 3 * FINE, color.filled());
    chart.draw_series(estimated.iter().skip(1).map(dot(ESTIMATED)))?;
    chart.draw_series(counted.iter().map(dot(COUNTED)))?;
    drop(chart);
    area.present()
}

/// The logarithms of 1, 2 and 5 times the powers of ten between these; of the powers alone where
/// those would stand too close.
fn decades(left: f64, right: f64) -> Vec<f64> {
    let steps: &[f64] = if right - left > 2.5 {
        &[1.]
    } else {
        &[1., 2., 5.]
    };
    let powers = left.floor() as i32..=right.ceil() as i32;
    let all = powers.flat_map(|power| {
        steps
            .iter()
            .map(move |step| f64::from(power) + step.log10())
    });
    all.filter(|log| (left..=right).contains(log)).collect()
}

fn outline(color: RGBColor) -> ShapeStyle {
    color.stroke_width(2 * FINE as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_has_round_numbers_of_images() {
        let images = |left: f64, right: f64| -> Vec<f64> {
            decades(left.log10(), right.log10())
                .iter()
                .map(|log| 10f64.powf(*log).round())
                .collect()
        };
        assert_eq!(images(16., 260.), [20., 50., 100., 200.]);
        assert_eq!(images(16., 15_000.), [100., 1000., 10_000.]);
    }
}

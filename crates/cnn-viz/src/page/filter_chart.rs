//! The channels of each layer as a bar, with those that do nothing marked, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::format::shortened;
use crate::{Error, FilterKind, FilterLayer, FilterReport};

/// The view box's units per CSS pixel: the library rounds to whole units, and a channel may be
/// narrower than a pixel.
const FINE: i32 = 4;
/// Nominal sizes, in CSS pixels: those of the charts over the epochs, so that it can be read on a
/// telephone, which shows it a fifth smaller.
const WIDTH: i32 = 440;
const ROW: i32 = 18;
const BAR: i32 = 12;
const HEAD: i32 = 50;
/// Where bars begin and end, between names and counts.
const BARS: (i32, i32) = (140, 364);
/// The least width at which a mark is seen.
const LEAST_MARK: i32 = 2;
/// Characters of 13 pixels, in the library's measure, which is 1.24 of CSS's.
const TEXT: f64 = 13.0 * 1.24 * FINE as f64;
const LONGEST_NAME: usize = 20;

const INK: RGBColor = RGBColor(0x33, 0x3f, 0x4d);
const SOFT: RGBColor = RGBColor(0x8a, 0x94, 0xa0);
const CHANNELS: RGBColor = RGBColor(0xdd, 0xe2, 0xe8);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

impl FilterReport {
    /// A bar for each layer with its channels from the first to the last, in which those that do
    /// nothing are marked by kind; an SVG image of its own.
    ///
    /// # Errors
    /// [`Error::Chart`] if the library behind it refuses, which is not known to happen.
    pub fn to_svg(&self) -> Result<String, Error> {
        filter_chart(&self.layers)
    }
}

/// The bars of all layers, one below the other.
pub(super) fn filter_chart(layers: &[FilterLayer]) -> Result<String, Error> {
    let height =
        HEAD + ROW * i32::try_from(layers.len()).unwrap_or(i32::MAX / ROW / FINE - HEAD) + ROW / 2;
    let size = [WIDTH, height].map(|side| (side * FINE) as u32);
    let mut svg = String::new();
    let drawn = draw(
        &SVGBackend::with_string(&mut svg, (size[0], size[1])).into_drawing_area(),
        layers,
    );
    drawn.map_err(|error| Error::Chart {
        chart: "filters",
        reason: error.to_string(),
    })?;
    // As a file of its own it has the nominal size.
    let fine = format!("width=\"{}\" height=\"{}\"", size[0], size[1]);
    Ok(svg.replacen(&fine, &format!("width=\"{WIDTH}\" height=\"{height}\""), 1))
}

/// The kinds' colours, of the palette of M. Okabe and K. Ito ("Color Universal Design", 2008).
fn color(kind: FilterKind) -> RGBColor {
    match kind {
        FilterKind::NeverActive => RGBColor(0xD5, 0x5E, 0x00),
        FilterKind::Constant => RGBColor(0x00, 0x72, 0xB2),
        FilterKind::NearZeroScale => RGBColor(0xE6, 0x9F, 0x00),
        FilterKind::Duplicate => RGBColor(0x00, 0x9E, 0x73),
    }
}

fn draw<'a>(area: &Area<'a>, layers: &[FilterLayer]) -> Drawn<'a> {
    area.fill(&WHITE)?;
    draw_legend(area)?;
    for (row, layer) in layers.iter().enumerate() {
        draw_layer(area, layer, HEAD + ROW * row as i32)?;
    }
    area.present()
}

/// Two rows: the kinds, and what a bar is after the last of them.
fn draw_legend<'a>(area: &Area<'a>) -> Drawn<'a> {
    let rows = [&FilterKind::ALL[..3], &FilterKind::ALL[3..]];
    for (row, kinds) in rows.iter().enumerate() {
        let middle = ROW / 2 + 2 + ROW * row as i32;
        let mut left = BARS.0;
        for &kind in *kinds {
            rectangle(
                area,
                (left, middle - BAR / 2),
                (left + BAR, middle + BAR / 2),
                color(kind),
            )?;
            text(area, kind.name(), (left + BAR + 5, middle), HPos::Left, INK)?;
            left += 26 + 7 * kind.name().len() as i32;
        }
        if row == 1 {
            text(
                area,
                "first to last channel",
                (WIDTH - 4, middle),
                HPos::Right,
                SOFT,
            )?;
        }
    }
    Ok(())
}

fn draw_layer<'a>(area: &Area<'a>, layer: &FilterLayer, top: i32) -> Drawn<'a> {
    let middle = top + ROW / 2;
    let bar = top + (ROW - BAR) / 2;
    let ink = if layer.found.is_empty() { SOFT } else { INK };
    text(
        area,
        &shortened(&layer.name, LONGEST_NAME),
        (BARS.0 - 8, middle),
        HPos::Right,
        ink,
    )?;
    rectangle(area, (BARS.0, bar), (BARS.1, bar + BAR), CHANNELS)?;
    for run in layer
        .found
        .chunk_by(|one, next| one.0 + 1 == next.0 && one.1 == next.1)
    {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let place = |channel: usize| {
            let share = channel.min(layer.channels) as f64 / layer.channels.max(1) as f64;
            BARS.0 * FINE + (share * f64::from((BARS.1 - BARS.0) * FINE)).round() as i32
        };
        let left = place(first.0);
        let right = place(last.0 + 1);
        let mark = [
            (left, bar * FINE),
            (right.max(left + LEAST_MARK * FINE), (bar + BAR) * FINE),
        ];
        area.draw(&Rectangle::new(mark, color(first.1).filled()))?;
    }
    let count = match layer.found.len() {
        0 => layer.channels.to_string(),
        found => format!("{found} of {}", layer.channels),
    };
    text(area, &count, (WIDTH - 4, middle), HPos::Right, ink)
}

fn rectangle<'a>(area: &Area<'a>, from: (i32, i32), to: (i32, i32), color: RGBColor) -> Drawn<'a> {
    let corners = [from, to].map(|(x, y)| (x * FINE, y * FINE));
    area.draw(&Rectangle::new(corners, color.filled()))
}

fn text<'a>(
    area: &Area<'a>,
    text: &str,
    (x, y): (i32, i32),
    anchor: HPos,
    color: RGBColor,
) -> Drawn<'a> {
    let style = ("sans-serif", TEXT)
        .into_font()
        .color(&color)
        .pos(Pos::new(anchor, VPos::Center));
    area.draw(&Text::new(text.to_string(), (x * FINE, y * FINE), style))
}

//! The page's colours.

use colorous::{CIVIDIS, Color};
use plotters::style::{IntoFont as _, RGBColor, TextStyle};

/// The charts' view box units per CSS pixel at their nominal size: the library rounds to whole
/// units, which would show as steps.
pub(crate) const FINE: i32 = 4;
/// Characters of 14 nominal pixels, in the library's measure, which is 1.24 of CSS's.
const TEXT: f64 = 14.0 * 1.24 * FINE as f64;

/// Text and marks of charts. A page that is dark gives each of these colours another: `report.css`
/// names them as they stand in the SVG.
pub(crate) const INK: RGBColor = RGBColor(0x33, 0x3f, 0x4d);
pub(crate) const GRID: RGBColor = RGBColor(0xe3, 0xe7, 0xec);
pub(crate) const BAND: RGBColor = RGBColor(0xf1, 0xf4, 0xf7);
pub(crate) const BOUNDARY: RGBColor = RGBColor(0x8a, 0x94, 0xa0);
/// Blue of the palette for colour-blind readers of M. Okabe and K. Ito ("Color Universal Design",
/// 2008).
pub(crate) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
/// Its vermilion.
pub(crate) const VERMILION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);

/// The style sheet's class for the key of a curve of this colour.
pub(crate) fn class(color: RGBColor) -> &'static str {
    match color {
        INK => "ink",
        BLUE => "blue",
        _ => "vermilion",
    }
}

/// A chart's text, of this share of the usual size.
pub(crate) fn text(size: f64) -> TextStyle<'static> {
    ("sans-serif", TEXT * size).into_font().color(&INK)
}

/// The background of a cell that holds this share in 0..1, and black or white, whichever is read
/// better on it.
///
/// Cividis (J. R. Nuñez, C. R. Anderton, R. S. Renslow, "Optimizing colormaps with consideration
/// for color vision deficiency", 2018) from light to dark: perceptually uniform, and the same to
/// colour-blind readers.
pub(crate) fn cell(share: f64) -> (String, &'static str) {
    let color = CIVIDIS.eval_continuous(1.0 - share.clamp(0.0, 1.0));
    let text = if luminance(color) > 0.18 {
        "#000"
    } else {
        "#fff"
    };
    (format!("#{color:x}"), text)
}

/// The map as a CSS gradient, from a share of 0 to 1.
pub(crate) fn gradient() -> String {
    let stops: Vec<String> = (0..=8).map(|stop| cell(f64::from(stop) / 8.0).0).collect();
    format!("linear-gradient(to right, {})", stops.join(", "))
}

/// The bar below a picture, with what its ends mean.
pub(crate) struct Legend {
    /// A CSS gradient.
    pub(crate) gradient: String,
    pub(crate) low: &'static str,
    pub(crate) high: &'static str,
}

/// Relative luminance (WCAG 2, "relative luminance"); black and white text have the same contrast
/// at 0.179.
fn luminance(color: Color) -> f64 {
    let linear = |channel: u8| {
        let value = f64::from(channel) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_on_any_cell_has_the_contrast_that_wcag_asks_for() {
        for step in 0..=100 {
            let color = CIVIDIS.eval_continuous(1.0 - f64::from(step) / 100.0);
            let (background, text) = cell(f64::from(step) / 100.0);
            let light = if text == "#fff" {
                1.0
            } else {
                luminance(color)
            };
            let dark = if text == "#fff" {
                luminance(color)
            } else {
                0.0
            };
            assert_eq!(
                background,
                format!("#{:02x}{:02x}{:02x}", color.r, color.g, color.b)
            );
            assert!((light + 0.05) / (dark + 0.05) >= 4.5, "{step}");
        }
    }

    #[test]
    fn more_is_darker() {
        let at = |share: f64| luminance(CIVIDIS.eval_continuous(1.0 - share));
        assert!(
            (0..100).all(|step| at(f64::from(step) / 100.0) >= at(f64::from(step + 1) / 100.0))
        );
        assert_eq!(cell(-1.0), cell(0.0));
        assert_eq!(cell(2.0), cell(1.0));
    }
}

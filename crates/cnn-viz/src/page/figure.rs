//! A chart as it stands on the page: with its title and a key of its curves.

use plotters::style::RGBColor;

use super::color::class;
use super::line_chart::Stroke;

/// One chart on the page.
pub(crate) struct Figure {
    pub(crate) title: String,
    pub(crate) svg: String,
    pub(crate) key: Vec<Key>,
    /// What is marked, in words.
    pub(crate) marked: Option<String>,
    /// How many values are not finite or too large to draw.
    pub(crate) left_out: usize,
    /// What a reader must know to compare its curves.
    pub(crate) note: Option<String>,
}

/// A curve's name and look.
pub(crate) struct Key {
    pub(crate) name: String,
    /// The style sheet's classes for its colour and for its stroke.
    pub(crate) look: [&'static str; 2],
}

impl Key {
    pub(crate) fn new(name: impl Into<String>, color: RGBColor, stroke: Stroke) -> Self {
        let stroke = match stroke {
            Stroke::Solid => "solid",
            Stroke::Dashed => "dashed",
            Stroke::Dotted => "dotted",
        };
        Self {
            name: name.into(),
            look: [class(color), stroke],
        }
    }
}

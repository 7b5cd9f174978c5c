//! A page of explained photos.

use cnn_data::{Image, Skipped};

use super::Fact;
use crate::{ColorMap, Trust};

/// Explained photos as one page; what is empty or `None` is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gallery {
    /// The page's title.
    pub title: String,
    /// A line below it: what made the page, and when.
    pub byline: Option<String>,
    /// The headline, shown as cards: network, methods, number of photos.
    pub summary: Vec<Fact>,
    /// Sentences below it. The rules of the checks stand there anyway where there are checks.
    pub notes: Vec<String>,
    /// The photos in order.
    pub photos: Vec<ExplainedPhoto>,
    /// Photos that could not be read.
    pub skipped: Vec<Skipped>,
    /// The command that made the page.
    pub command: Option<String>,
}

/// A photo, what the network takes it for, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedPhoto {
    /// The photo's file.
    pub path: String,
    /// The photo; the page holds a copy of at most 320 pixels on the longer side.
    pub image: Image,
    /// The most probable classes with their probabilities in 0..1.
    pub classes: Vec<(String, f64)>,
    /// What the maps explain, as "tabby" or "tabby rather than lynx".
    pub target: String,
    /// The maps over the photo.
    pub overlays: Vec<ExplainedOverlay>,
}

/// One map over a photo.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedOverlay {
    /// The method's name.
    pub title: String,
    /// Photo and map, of the photo's size.
    pub image: Image,
    /// Its colours, for the legend.
    pub colors: ColorMap,
    /// The file of the whole picture, relative to the page, to which it links.
    pub file: Option<String>,
    /// Of Integrated Gradients, how far its sum is from the score that it shares out, as a share of
    /// that.
    pub completeness_gap: Option<f64>,
    /// How far it can be trusted. The page has the numbers in a table for each photo, with
    /// [`Trust::verdicts`], and marks the picture of a map that fails.
    pub trust: Option<Trust>,
}

//! What a preprocessing record chooses among.

use serde::{Deserialize, Serialize};

/// How an image is resampled when its size changes, antialiased when it shrinks, as Pillow does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The nearest pixel, never antialiased.
    Nearest,
    /// Linear in both directions.
    Bilinear,
    /// Cubic in both directions, a = −0.5.
    #[default]
    Bicubic,
}

impl Interpolation {
    pub(super) const ACCEPTED: &str = "\"nearest\", \"bilinear\" or \"bicubic\"";
}

/// How an image of another aspect ratio is brought to the input size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropMode {
    /// Resize keeping the aspect ratio until the image covers the resize size, cut out the centre:
    /// the ends of the long side are lost.
    #[default]
    Center,
    /// Resize to the resize size without keeping the aspect ratio, cut out the centre.
    Squash,
    /// Resize keeping the aspect ratio until the image fits into the resize size, fill what is
    /// missing with the mean colour.
    Border,
}

/// The order of the colours in a network's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColorOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red, as OpenCV reads images.
    Bgr,
}

impl ColorOrder {
    pub(super) const ACCEPTED: &str = "\"rgb\" or \"bgr\"";
}

impl CropMode {
    pub(super) const ACCEPTED: &str = "\"center\", \"squash\" or \"border\"";
}

/// What lies beside an image in a letterbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LetterboxFill {
    /// A grey from 0 to 255.
    Grey(u8),
    /// The mean colour, which the normalisation makes 0 but for rounding.
    Mean(MeanColor),
}

/// The word for [`LetterboxFill::Mean`] in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeanColor {
    /// `"mean"`.
    Mean,
}

impl LetterboxFill {
    /// The mean colour.
    pub const MEAN: Self = Self::Mean(MeanColor::Mean);

    pub(super) const ACCEPTED: &str = "a number from 0 to 255 or \"mean\"";
}

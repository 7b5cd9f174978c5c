//! How a network wants its images: the part of timm's `pretrained_cfg` that preparing an image
//! needs.

mod choices;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::choices::{ColorOrder, CropMode, Interpolation, LetterboxFill, MeanColor};
use crate::Error;

/// Mean of the red, green and blue channel over ImageNet, in 0..1.
pub const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of the red, green and blue channel over ImageNet, in 0..1.
pub const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];
/// The mean that brings 0..1 to −1..1, as TensorFlow's Inception and MobileNet want it.
pub const IMAGENET_INCEPTION_MEAN: [f64; 3] = [0.5, 0.5, 0.5];
/// The standard deviation that brings 0..1 to −1..1, as TensorFlow's Inception and MobileNet want
/// it.
pub const IMAGENET_INCEPTION_STD: [f64; 3] = [0.5, 0.5, 0.5];
/// The share of the resized image's side that the crop keeps where a record does not say: 224 of
/// 256.
pub const DEFAULT_CROP_PCT: f64 = 0.875;
/// The longest side that an image is resized or cropped to.
pub const MAX_IMAGE_SIDE: usize = 65_535;

/// How an image becomes a network's input: resize, crop, normalise by `(x − mean) / std` with `x`
/// in 0..1, or in another range.
///
/// Field names and values are those of timm's `pretrained_cfg`, so the record reads from and writes
/// to a `config.json`; those that timm does not have are written where they are not the default.
/// Reading ignores keys that it does not know, gives missing and null ones timm's defaults, and
/// [validates](Self::validate).
///
/// ```
/// use cnn_core::{Interpolation, Preprocessing};
///
/// let record: Preprocessing =
///     serde_json::from_str(r#"{"input_size": [3, 192, 256], "interpolation": "bilinear"}"#)?;
/// assert_eq!(record.interpolation, Interpolation::Bilinear);
/// assert_eq!(record.resize_size(), [219, 292]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Preprocessing {
    /// Channels, height, width of the network's input. Default `[3, 224, 224]`.
    pub input_size: [usize; 3],
    /// How the image is resampled. Default bicubic.
    pub interpolation: Interpolation,
    /// The share of the resized image's side that the crop keeps, in (0, 1]. Default
    /// [`DEFAULT_CROP_PCT`].
    pub crop_pct: f64,
    /// How an image of another aspect ratio is brought to the input size. Default centre.
    pub crop_mode: CropMode,
    /// What is subtracted from each channel, in 0..1. Default [`IMAGENET_MEAN`].
    pub mean: Vec<f64>,
    /// What each channel is divided by afterwards. Default [`IMAGENET_STD`].
    pub std: Vec<f64>,
    /// What lies beside an image that is fitted into the upper left corner, as detectors want it, in place of [`crop_pct`](Self::crop_pct) and
    /// [`crop_mode`](Self::crop_mode). Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub letterbox_fill: Option<LetterboxFill>,
    /// In which order the colours are. Default red, green, blue.
    #[serde(skip_serializing_if = "is_default")]
    pub color_order: ColorOrder,
    /// What black and white are before the normalisation. Default 0 and 1.
    #[serde(skip_serializing_if = "is_unit_range")]
    pub value_range: [f64; 2],
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_unit_range(range: &[f64; 2]) -> bool {
    *range == UNIT_RANGE
}

const UNIT_RANGE: [f64; 2] = [0.0, 1.0];

impl Preprocessing {
    /// Reads the record from a `pretrained_cfg` object.
    ///
    /// Keys that are not ours are ignored; missing and null ones get the defaults.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPreprocessing`] naming the field if a value has the wrong type or fails
    /// [`Preprocessing::validate`].
    pub fn from_pretrained_cfg(cfg: &Value) -> Result<Self, Error> {
        let fields = cfg
            .as_object()
            .ok_or_else(|| invalid("pretrained_cfg", cfg, "an object"))?;
        let letterbox_fill = field(fields, "letterbox_fill", LetterboxFill::ACCEPTED, None)?;
        let default = match letterbox_fill {
            Some(fill) => Self::letterbox_with(fill),
            None => Self::default(),
        };
        let record = Self {
            input_size: field(
                fields,
                "input_size",
                "[channels, height, width]",
                default.input_size,
            )?,
            interpolation: field(
                fields,
                "interpolation",
                Interpolation::ACCEPTED,
                default.interpolation,
            )?,
            crop_pct: field(fields, "crop_pct", "a number", default.crop_pct)?,
            crop_mode: field(fields, "crop_mode", CropMode::ACCEPTED, default.crop_mode)?,
            mean: field(fields, "mean", "a list of numbers", default.mean)?,
            std: field(fields, "std", "a list of numbers", default.std)?,
            letterbox_fill,
            color_order: field(
                fields,
                "color_order",
                ColorOrder::ACCEPTED,
                default.color_order,
            )?,
            value_range: field(fields, "value_range", "[black, white]", default.value_range)?,
        };
        record.validate()?;
        Ok(record)
    }

    /// Checks that an image can be prepared by this record.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPreprocessing`] naming the first field that is out of bounds: sizes are 1 to
    /// [`MAX_IMAGE_SIDE`], `crop_pct` in (0, 1] and so large that the resized side stays within the
    /// same limit, `mean` and `std` finite with one number per channel, `std` above 0, the two of
    /// `value_range` finite and different.
    pub fn validate(&self) -> Result<(), Error> {
        if self
            .input_size
            .iter()
            .any(|size| !(1..=MAX_IMAGE_SIDE).contains(size))
        {
            return Err(invalid(
                "input_size",
                format!("{:?}", self.input_size),
                "three numbers from 1 to 65535",
            ));
        }
        if !(self.crop_pct > 0.0 && self.crop_pct <= 1.0) {
            return Err(invalid(
                "crop_pct",
                self.crop_pct,
                "a number above 0 and at most 1",
            ));
        }
        if let Some(side) = self
            .resize_size()
            .into_iter()
            .find(|side| *side > MAX_IMAGE_SIDE)
        {
            let found = format!("{:?}, which resizes to {side} pixels", self.crop_pct);
            return Err(invalid(
                "crop_pct",
                found,
                "a number that keeps the resized side at or below 65535 pixels",
            ));
        }
        let [black, white] = self.value_range;
        if !(black.is_finite() && white.is_finite() && black != white) {
            return Err(invalid(
                "value_range",
                format!("{:?}", self.value_range),
                "two finite numbers that differ",
            ));
        }
        self.validate_channels("mean", &self.mean, "finite", f64::is_finite)?;
        self.validate_channels("std", &self.std, "finite and above 0", |value| {
            value.is_finite() && value > 0.0
        })
    }

    /// Height and width that the image is resized to before the crop: `⌊size / crop_pct⌋` of the
    /// input's height and width.
    ///
    /// With [`CropMode::Center`] the image covers this size keeping its aspect ratio (so its short
    /// side equals it where height and width agree), with [`CropMode::Border`] it fits inside, with
    /// [`CropMode::Squash`] it is stretched to it.
    pub fn resize_size(&self) -> [usize; 2] {
        let [_, height, width] = self.input_size;
        [height, width].map(|side| (side as f64 / self.crop_pct).floor() as usize)
    }

    /// Fits images into the upper left corner beside a grey from 0 to 255, as detectors want them:
    /// bilinear, all of the image, and else the default.
    pub fn letterbox(fill: u8) -> Self {
        Self::letterbox_with(LetterboxFill::Grey(fill))
    }

    /// The same beside the mean colour, as detectors that pad their normalised images with zeros want
    /// them.
    pub fn letterbox_of_mean() -> Self {
        Self::letterbox_with(LetterboxFill::MEAN)
    }

    fn letterbox_with(fill: LetterboxFill) -> Self {
        Self {
            letterbox_fill: Some(fill),
            interpolation: Interpolation::Bilinear,
            crop_pct: 1.0,
            ..Self::default()
        }
    }

    /// Number of channels of the input.
    pub fn channels(&self) -> usize {
        self.input_size[0]
    }

    /// Height of the input in pixels.
    pub fn height(&self) -> usize {
        self.input_size[1]
    }

    /// Width of the input in pixels.
    pub fn width(&self) -> usize {
        self.input_size[2]
    }

    fn validate_channels(
        &self,
        field: &'static str,
        values: &[f64],
        range: &str,
        accepted: impl Fn(f64) -> bool,
    ) -> Result<(), Error> {
        if values.len() == self.channels() && values.iter().all(|&value| accepted(value)) {
            return Ok(());
        }
        Err(invalid(
            field,
            format!("{values:?}"),
            format!("{} numbers, each {range}", self.channels()),
        ))
    }
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self {
            input_size: [3, 224, 224],
            interpolation: Interpolation::default(),
            crop_pct: DEFAULT_CROP_PCT,
            crop_mode: CropMode::default(),
            mean: IMAGENET_MEAN.to_vec(),
            std: IMAGENET_STD.to_vec(),
            letterbox_fill: None,
            color_order: ColorOrder::default(),
            value_range: UNIT_RANGE,
        }
    }
}

impl TryFrom<Value> for Preprocessing {
    type Error = Error;

    fn try_from(cfg: Value) -> Result<Self, Error> {
        Self::from_pretrained_cfg(&cfg)
    }
}

fn field<T: DeserializeOwned>(
    fields: &Map<String, Value>,
    name: &'static str,
    expected: &str,
    default: T,
) -> Result<T, Error> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => T::deserialize(value).map_err(|_| invalid(name, value, expected)),
    }
}

fn invalid(field: &'static str, found: impl ToString, expected: impl Into<String>) -> Error {
    Error::InvalidPreprocessing {
        field,
        found: found.to_string(),
        expected: expected.into(),
    }
}

#[cfg(test)]
mod tests;

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
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_default_is_timms() {
        let record = Preprocessing::default();
        record.validate().unwrap();
        assert_eq!(
            Preprocessing::from_pretrained_cfg(&json!({})).unwrap(),
            record
        );
        assert_eq!(
            serde_json::to_value(&record).unwrap(),
            json!({
                "input_size": [3, 224, 224],
                "interpolation": "bicubic",
                "crop_pct": 0.875,
                "crop_mode": "center",
                "mean": [0.485, 0.456, 0.406],
                "std": [0.229, 0.224, 0.225],
            })
        );
    }

    // The config.json of squeezenet1_1.caffe_in1k and of yolox_nano.coco, shortened.
    #[test]
    fn published_records_are_read() {
        let squeezenet = r#"{
            "tag": "caffe_in1k", "input_size": [3, 227, 227], "fixed_input_size": false, "interpolation": "bicubic",
            "crop_pct": 0.887, "crop_mode": "center", "mean": [0.4823529411764706, 0.4588235294117647, 0.40784313725490196],
            "std": [0.00392156862745098, 0.00392156862745098, 0.00392156862745098],
            "num_classes": 1000, "classifier": "classifier.1"
        }"#;
        let record: Preprocessing = serde_json::from_str(squeezenet).unwrap();
        assert_eq!(
            (record.channels(), record.height(), record.width()),
            (3, 227, 227)
        );
        assert_eq!(record.crop_pct, 0.887);
        assert_eq!(record.mean, [123.0 / 255.0, 117.0 / 255.0, 104.0 / 255.0]);
        assert_eq!(record.std, [1.0 / 255.0; 3]);

        let yolox = json!({
            "input_size": [3, 416, 416],
            "letterbox_fill": 114,
            "color_order": "bgr",
            "value_range": [0, 255],
            "mean": [0, 0, 0],
            "std": [1, 1, 1],
        });
        let record = Preprocessing::from_pretrained_cfg(&yolox).unwrap();
        assert_eq!(record.input_size, [3, 416, 416]);
        assert_eq!((&record.mean, &record.std), (&vec![0.0; 3], &vec![1.0; 3]));
        assert_eq!(
            (record.interpolation, record.crop_pct),
            (Interpolation::Bilinear, 1.0)
        );
        assert_eq!(
            (record.letterbox_fill, record.color_order),
            (Some(LetterboxFill::Grey(114)), ColorOrder::Bgr)
        );
        assert_eq!(record.value_range, [0.0, 255.0]);
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(
            Preprocessing::from_pretrained_cfg(&written).unwrap(),
            record
        );

        let record = Preprocessing::letterbox_of_mean();
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(written["letterbox_fill"], "mean");
        assert_eq!(
            Preprocessing::from_pretrained_cfg(&written).unwrap(),
            record
        );
        for fill in [json!(256), json!("grey")] {
            let error = Preprocessing::from_pretrained_cfg(&json!({"letterbox_fill": fill}));
            let message = error.unwrap_err().to_string();
            assert!(message.contains("0 to 255 or \"mean\""), "{message}");
        }
    }

    #[test]
    fn null_means_default() {
        let record =
            json!({"input_size": [3, 32, 48], "crop_pct": null, "crop_mode": null, "mean": null});
        let expected = Preprocessing {
            input_size: [3, 32, 48],
            ..Preprocessing::default()
        };
        assert_eq!(
            Preprocessing::from_pretrained_cfg(&record).unwrap(),
            expected
        );
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        let odd = 0.1 + 0.2;
        for crop_mode in [CropMode::Center, CropMode::Squash, CropMode::Border] {
            for interpolation in [
                Interpolation::Nearest,
                Interpolation::Bilinear,
                Interpolation::Bicubic,
            ] {
                let record = Preprocessing {
                    input_size: [2, 31, 65_535],
                    interpolation,
                    crop_pct: 1.0,
                    crop_mode,
                    mean: vec![-1e-300, 1.0 / 3.0],
                    std: vec![5e-324, odd],
                    letterbox_fill: Some(LetterboxFill::Grey(7)),
                    color_order: ColorOrder::Bgr,
                    value_range: [-0.5, odd],
                };
                let text = serde_json::to_string(&record).unwrap();
                assert_eq!(
                    serde_json::from_str::<Preprocessing>(&text).unwrap(),
                    record
                );
            }
        }
    }

    // math.floor(size / crop_pct) as in timm 1.0.31, data/transforms_factory.py,
    // transforms_imagenet_eval.
    #[test]
    fn the_resize_size_is_timms() {
        let cases = [
            ([224, 224], 0.875, [256, 256]),
            ([227, 227], 0.887, [255, 255]),
            ([224, 224], 0.95, [235, 235]),
            ([224, 224], 0.9, [248, 248]),
            ([299, 299], 0.95, [314, 314]),
            ([288, 192], 1.0, [288, 192]),
            ([31, 49], 0.875, [35, 56]),
            ([1, 1], 0.3, [3, 3]),
        ];
        for ([height, width], crop_pct, expected) in cases {
            let record = Preprocessing {
                input_size: [3, height, width],
                crop_pct,
                ..Preprocessing::default()
            };
            assert_eq!(
                record.resize_size(),
                expected,
                "{height}x{width} at {crop_pct}"
            );
        }
    }

    #[test]
    fn a_bad_value_is_an_error_that_names_its_field() {
        let cases = [
            (
                json!({"input_size": [3, 0, 224]}),
                "`input_size`: found [3, 0, 224], expected three numbers from 1 to 65535",
            ),
            (
                json!({"input_size": [3, 224, 65_536]}),
                "`input_size`: found [3, 224, 65536], expected three numbers from 1 to 65535",
            ),
            (
                json!({"input_size": [224, 224]}),
                "`input_size`: found [224,224], expected [channels, height, width]",
            ),
            (
                json!({"input_size": [3, -1, 8]}),
                "`input_size`: found [3,-1,8], expected [channels, height, width]",
            ),
            (
                json!({"crop_pct": 0}),
                "`crop_pct`: found 0, expected a number above 0 and at most 1",
            ),
            (
                json!({"crop_pct": 1.5}),
                "`crop_pct`: found 1.5, expected a number above 0 and at most 1",
            ),
            (
                json!({"crop_pct": "0.9"}),
                "`crop_pct`: found \"0.9\", expected a number",
            ),
            (
                json!({"crop_pct": 0.001}),
                "`crop_pct`: found 0.001, which resizes to 224000 pixels, expected a number that keeps",
            ),
            (
                json!({"crop_pct": 1e-320}),
                "`crop_pct`: found 1e-320, which resizes to ",
            ),
            (
                json!({"interpolation": "lanczos"}),
                "`interpolation`: found \"lanczos\", expected \"nearest\", \"bilinear\" or \"bicubic\"",
            ),
            (
                json!({"crop_mode": "middle"}),
                "`crop_mode`: found \"middle\", expected \"center\", \"squash\" or \"border\"",
            ),
            (
                json!({"mean": [0.5]}),
                "`mean`: found [0.5], expected 3 numbers, each finite",
            ),
            (
                json!({"input_size": [1, 28, 28]}),
                "`mean`: found [0.485, 0.456, 0.406], expected 1 numbers, each finite",
            ),
            (
                json!({"std": [1, 1, 0]}),
                "`std`: found [1.0, 1.0, 0.0], expected 3 numbers, each finite and above 0",
            ),
            (
                json!({"std": [1, -1, 1]}),
                "`std`: found [1.0, -1.0, 1.0], expected 3 numbers",
            ),
            (
                json!({"std": 1}),
                "`std`: found 1, expected a list of numbers",
            ),
            (
                json!([1, 2]),
                "`pretrained_cfg`: found [1,2], expected an object",
            ),
        ];
        for (cfg, expected) in cases {
            let message = Preprocessing::from_pretrained_cfg(&cfg)
                .unwrap_err()
                .to_string();
            assert!(
                message.starts_with(&format!("preprocessing field {expected}")),
                "{message}"
            );
            let through_serde = serde_json::from_value::<Preprocessing>(cfg)
                .unwrap_err()
                .to_string();
            assert_eq!(through_serde, message);
        }
    }

    #[test]
    fn values_that_json_cannot_hold_are_found_too() {
        let bad = [
            Preprocessing {
                crop_pct: f64::NAN,
                ..Preprocessing::default()
            },
            Preprocessing {
                mean: vec![0.0, f64::INFINITY, 0.0],
                ..Preprocessing::default()
            },
            Preprocessing {
                std: vec![1.0, f64::NAN, 1.0],
                ..Preprocessing::default()
            },
        ];
        for (record, field) in bad.into_iter().zip(["crop_pct", "mean", "std"]) {
            let error = record.validate().unwrap_err();
            assert!(
                matches!(error, Error::InvalidPreprocessing { field: named, .. } if named == field),
                "{error}"
            );
        }
    }

    #[test]
    fn every_published_config_round_trips() {
        let hub = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/hub"));
        let Ok(folders) = std::fs::read_dir(hub) else {
            assert!(
                std::env::var_os("CNN_REQUIRE_SHARED").is_none(),
                "{} is absent",
                hub.display()
            );
            println!("shared data absent, skipped");
            return;
        };
        let configs: Vec<_> = folders
            .map(|folder| folder.unwrap().path().join("config.json"))
            .filter(|path| path.exists())
            .collect();
        assert!(!configs.is_empty());
        for path in configs {
            let config: Value =
                serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let cfg = &config["pretrained_cfg"];
            let record = Preprocessing::from_pretrained_cfg(cfg).unwrap();
            let written = serde_json::to_value(&record).unwrap();
            assert_eq!(
                Preprocessing::from_pretrained_cfg(&written).unwrap(),
                record
            );
            for (name, value) in written.as_object().unwrap() {
                let stored = cfg.get(name).unwrap_or(value);
                assert!(
                    same_numbers(stored, value),
                    "{}: {name}: {stored} became {value}",
                    path.display()
                );
            }
        }
    }

    /// Equality that takes 0 and 0.0 for the same.
    fn same_numbers(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_numbers(a, b))
            }
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            _ => a == b,
        }
    }
}

//! Directories that the transformers library saved: its ResNet, and timm's models in its wrapper.
//!
//! Its `config.json` leaves out what is the default there, so the defaults are those of
//! transformers. How images are prepared is in a file beside it, `preprocessor_config.json`.

use cnn_core::{Interpolation, Preprocessing};
use serde_json::{Map, Value, json};

use crate::checkpoint::{self, CheckpointConfig};
use crate::{ModelConfig, preset};

/// The file beside `config.json` that says how images are prepared.
pub(crate) const PREPROCESSOR: &str = "preprocessor_config.json";

/// What transformers' `model_type` says, where the configuration is one of its own.
pub(crate) fn model_type(root: &Map<String, Value>) -> Result<Option<String>, String> {
    let is_own = !root.contains_key("architecture") && root.contains_key("architectures");
    match checkpoint::text(root, "model_type")? {
        Some(model_type) => Ok(Some(model_type)),
        None if is_own => Err(format!(
            "this is a configuration of transformers without `model_type`: {}",
            Value::Object(root.clone())["architectures"]
        )),
        None => Ok(None),
    }
}

/// The configuration of one of transformers' own networks; `processor` is the content of its
/// `preprocessor_config.json`, where there is one.
pub(crate) fn read(
    model_type: &str,
    root: &Map<String, Value>,
    processor: Option<&Value>,
) -> Result<CheckpointConfig, String> {
    if model_type != "resnet" {
        let class = root
            .get("architectures")
            .and_then(|classes| classes.get(0)?.as_str())
            .map(|class| format!(" (`{class}`)"))
            .unwrap_or_default();
        return Err(format!(
            "this is a network of transformers, `{model_type}`{class}; of those `resnet` is \
             read, and models of timm (`timm_wrapper`)"
        ));
    }
    let architecture = resnet(root)?;
    let channels = checkpoint::count(root, "num_channels")?.unwrap_or(3);
    let label_names = checkpoint::label_names(&[root], None)?;
    // Two labels without names are left out of the file.
    let labels = root.get("id2label").and_then(Value::as_object);
    let num_classes = labels.map_or(2, Map::len);
    let mut preprocessing = match processor {
        Some(processor) => preprocessing(processor)?,
        None => preset::imagenet(),
    };
    checkpoint::set_channels(&mut preprocessing, channels);
    let [_, height, width] = preprocessing.input_size;
    Ok(CheckpointConfig {
        architecture: architecture.to_string(),
        model: ModelConfig {
            num_classes: Some(num_classes),
            in_channels: Some(channels),
            input_size: Some([height, width]),
            ..ModelConfig::default()
        },
        preprocessing,
        label_names,
        extra: Map::new(),
    })
}

/// Our name of the ResNet that a configuration describes.
fn resnet(root: &Map<String, Value>) -> Result<&'static str, String> {
    let layer_type = checkpoint::text(root, "layer_type")?.unwrap_or("bottleneck".to_string());
    let is_basic = layer_type == "basic";
    let widths = if is_basic {
        json!([64, 128, 256, 512])
    } else {
        json!([256, 512, 1024, 2048])
    };
    let fixed = [
        ("embedding_size", json!(64), json!(64)),
        ("hidden_act", json!("relu"), json!("relu")),
        ("downsample_in_first_stage", json!(false), json!(false)),
        ("hidden_sizes", json!([256, 512, 1024, 2048]), widths),
        // Only bottlenecks have a choice.
        ("downsample_in_bottleneck", json!(false), json!(false)),
    ];
    for (key, default, expected) in &fixed[..fixed.len() - usize::from(is_basic)] {
        let said = root.get(*key).unwrap_or(default);
        if said != expected {
            return Err(format!(
                "`{key}` is {said}, which no ResNet here has, expected {expected}"
            ));
        }
    }
    let depths = root.get("depths").cloned().unwrap_or(json!([3, 4, 6, 3]));
    let known = [
        ("basic", json!([2, 2, 2, 2]), "resnet18"),
        ("basic", json!([3, 4, 6, 3]), "resnet34"),
        ("bottleneck", json!([3, 4, 6, 3]), "resnet50"),
        ("bottleneck", json!([3, 4, 23, 3]), "resnet101"),
        ("bottleneck", json!([3, 8, 36, 3]), "resnet152"),
    ];
    let same = known
        .iter()
        .find(|(kind, blocks, _)| *kind == layer_type && *blocks == depths);
    same.map(|&(.., name)| name).ok_or_else(|| {
        format!(
            "a ResNet of `layer_type` {layer_type} and `depths` {depths} is none of resnet18, \
             resnet34, resnet50, resnet101 and resnet152"
        )
    })
}

/// How transformers' image processors prepare an image, as timm's record says it.
fn preprocessing(processor: &Value) -> Result<Preprocessing, String> {
    let processor = processor
        .as_object()
        .ok_or(format!("{PREPROCESSOR}: the top level is not an object"))?;
    let place = |message: String| format!("{PREPROCESSOR}: {message}");
    let kind = ["image_processor_type", "feature_extractor_type"]
        .iter()
        .find_map(|key| processor.get(*key)?.as_str())
        .unwrap_or_default();
    let is_convnext = kind.starts_with("ConvNext");
    let said = |key: &str| processor.get(key).filter(|value| !value.is_null());
    let is_on = |key: &str| said(key).is_none_or(|value| *value == json!(true));

    let size = sides(said("size"), if is_convnext { 384 } else { 224 }).map_err(place)?;
    let crop = said("crop_size")
        .map(|size| sides(Some(size), 224))
        .transpose();
    let crop = crop.map_err(place)?.filter(|_| is_on("do_center_crop"));
    let share = |part: usize, whole: usize| part as f64 / whole as f64;
    let ([height, width], crop_pct, crop_mode) = match (size, crop) {
        // Smaller ones are cut out of an image that is larger by `crop_pct`.
        (Size::ShortSide(side), _) if is_convnext && side < 384 => {
            let crop_pct = said("crop_pct").cloned().unwrap_or(json!(224. / 256.));
            ([side, side], crop_pct, "center")
        }
        (Size::ShortSide(side), _) if is_convnext => ([side, side], json!(1), "squash"),
        (Size::ShortSide(whole), Some(crop)) => {
            let [height, width] = crop.sides();
            (
                [height, width],
                json!(share(height.min(width), whole)),
                "center",
            )
        }
        (Size::Sides(whole), Some(crop)) => {
            let [height, width] = crop.sides();
            ([height, width], json!(share(height, whole[0])), "squash")
        }
        (size, None) => (size.sides(), json!(1), "squash"),
    };
    let interpolation = match said("resample").and_then(Value::as_u64) {
        Some(0) => Interpolation::Nearest,
        Some(2) => Interpolation::Bilinear,
        Some(3) => Interpolation::Bicubic,
        None if is_convnext => Interpolation::Bicubic,
        None => Interpolation::Bilinear,
        Some(other) => {
            return Err(place(format!(
                "`resample` is {other}, expected 0 (nearest), 2 (bilinear) or 3 (bicubic)"
            )));
        }
    };
    let (mean, std) = if is_on("do_normalize") {
        // What the processors have for default is left out, if at all.
        let numbers = |key| said(key).cloned().unwrap_or(json!([0.5, 0.5, 0.5]));
        (numbers("image_mean"), numbers("image_std"))
    } else {
        (json!([0, 0, 0]), json!([1, 1, 1]))
    };
    let record = json!({
        "input_size": [3, height, width],
        "interpolation": interpolation,
        "crop_pct": crop_pct,
        "crop_mode": crop_mode,
        "mean": mean,
        "std": std,
    });
    Preprocessing::from_pretrained_cfg(&record).map_err(|error| place(error.to_string()))
}

#[derive(Clone, Copy)]
enum Size {
    /// The short side; the other follows.
    ShortSide(usize),
    /// Height and width.
    Sides([usize; 2]),
}

impl Size {
    fn sides(self) -> [usize; 2] {
        match self {
            Self::ShortSide(side) => [side, side],
            Self::Sides(sides) => sides,
        }
    }
}

/// A size as it is written today and was written before: a number, or an object of sides.
fn sides(value: Option<&Value>, default: usize) -> Result<Size, String> {
    let number = |value: &Value| {
        let number = value.as_u64().and_then(|side| usize::try_from(side).ok());
        number.filter(|side| (1..=cnn_core::MAX_IMAGE_SIDE).contains(side))
    };
    let Some(value) = value else {
        return Ok(Size::ShortSide(default));
    };
    let side = |key: &str| value.get(key).and_then(number);
    let size = number(value)
        .or_else(|| side("shortest_edge"))
        .map(Size::ShortSide)
        .or_else(|| Some(Size::Sides([side("height")?, side("width")?])));
    size.ok_or_else(|| {
        format!(
            "a size is {value}, expected a number from 1 to {}, or `shortest_edge`, or `height` \
             and `width`",
            cnn_core::MAX_IMAGE_SIDE
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config(change: Value, processor: Option<Value>) -> Result<CheckpointConfig, String> {
        let mut root = json!({
            "architectures": ["ResNetForImageClassification"], "model_type": "resnet",
                "layer_type": "basic",
            "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512],
            "id2label": {"0": "cat", "10": "owl", "1": "dog", "2": "b", "3": "c", "4": "d",
                "5": "e", "6": "f", "7": "g", "8": "h", "9": "i"},
        });
        let change = change.as_object().unwrap().clone();
        root.as_object_mut().unwrap().extend(change);
        CheckpointConfig::from_json_with(&root, processor.as_ref())
    }

    #[test]
    fn a_resnet_is_named_by_what_it_is_made_of() {
        let small = config(json!({}), None).unwrap();
        assert_eq!(small.architecture, "resnet18");
        assert_eq!(small.model.num_classes, Some(11));
        let names = small.label_names.unwrap();
        assert_eq!((names[1].as_str(), names[10].as_str()), ("dog", "owl"));
        assert_eq!(small.preprocessing, preset::imagenet());
        // The defaults are left out.
        let plain = json!({"model_type": "resnet"});
        let plain = CheckpointConfig::from_json(&plain).unwrap();
        assert_eq!(plain.architecture, "resnet50");
        assert_eq!(
            (plain.model.num_classes, plain.label_names),
            (Some(2), None)
        );
        for (change, expected) in [
            (json!({"depths": [2, 2, 2]}), "`depths` [2,2,2] is none of"),
            (
                json!({"layer_type": "basic2"}),
                "`hidden_sizes` is [64,128,256,512], which no ResNet here has",
            ),
            (json!({"embedding_size": 32}), "`embedding_size` is 32"),
            (json!({"hidden_act": "gelu"}), "`hidden_act` is \"gelu\""),
            (
                json!({"downsample_in_first_stage": true}),
                "`downsample_in_first_stage` is true",
            ),
            (
                json!({"model_type": "vit"}),
                "a network of transformers, `vit` (`ResNetForImageClassification`)",
            ),
            (
                json!({"model_type": null}),
                "a configuration of transformers without `model_type`",
            ),
        ] {
            let message = config(change, None).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn image_processors_become_timms_record() {
        let mean = [0.1, 0.2, 0.3];
        for (processor, sides, resized, interpolation) in [
            (
                json!({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224,
                    "crop_pct": 0.875, "resample": 3}),
                [224, 224],
                [256, 256],
                Interpolation::Bicubic,
            ),
            (
                json!({"image_processor_type": "ConvNextImageProcessor",
                    "size": {"shortest_edge": 384}}),
                [384, 384],
                [384, 384],
                Interpolation::Bicubic,
            ),
            (
                json!({"image_processor_type": "ViTImageProcessor", "size": {"height": 160,
                    "width": 192}, "resample": 2}),
                [160, 192],
                [160, 192],
                Interpolation::Bilinear,
            ),
            (
                json!({"image_processor_type": "CLIPImageProcessor",
                    "size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224},
                    "resample": 0}),
                [224, 224],
                [256, 256],
                Interpolation::Nearest,
            ),
        ] {
            let mut processor = processor;
            processor["image_mean"] = json!(mean);
            let record = config(json!({}), Some(processor)).unwrap().preprocessing;
            assert_eq!([record.height(), record.width()], sides);
            assert_eq!(record.resize_size(), resized);
            assert_eq!(
                (record.interpolation, record.mean),
                (interpolation, mean.to_vec())
            );
        }
        let bare = json!({"do_normalize": false, "size": 64});
        let bare = config(json!({}), Some(bare)).unwrap().preprocessing;
        assert_eq!((bare.mean, bare.std), (vec![0.; 3], vec![1.; 3]));
        for (processor, expected) in [
            (
                json!([]),
                "preprocessor_config.json: the top level is not an object",
            ),
            (
                json!({"size": -1}),
                "preprocessor_config.json: a size is -1",
            ),
            (
                json!({"resample": 1}),
                "preprocessor_config.json: `resample` is 1",
            ),
            (
                json!({"image_mean": [0.5]}),
                "preprocessor_config.json: preprocessing field `mean`",
            ),
        ] {
            let message = config(json!({}), Some(processor)).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}

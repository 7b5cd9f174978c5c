//! timm's `config.json`: what a directory of weights says about itself.

use std::path::Path;

use cnn_core::Preprocessing;
use serde_json::{Map, Value, json};

use crate::{Error, ModelConfig};

/// The content of a `config.json` beside `model.safetensors`.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointConfig {
    /// Registered name of the model.
    pub architecture: String,
    /// What it is built with.
    pub model: ModelConfig,
    /// How it wants its images.
    pub preprocessing: Preprocessing,
    /// Names of the classes, in order of the logits.
    pub label_names: Option<Vec<String>>,
    /// Whatever else `pretrained_cfg` says (`tag`, `license`, `origin_url`…); kept as it is.
    pub extra: Map<String, Value>,
}

/// Larger files are no configuration.
const MAX_BYTES: u64 = 4 << 20;

impl CheckpointConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, is no JSON object, or says something that the model cannot be
    /// built with.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let fail = |what: String| Error::Config {
            path: path.to_path_buf(),
            what,
        };
        let unreadable = |source| Error::Read {
            path: path.to_path_buf(),
            source,
        };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > MAX_BYTES {
            return Err(fail(format!(
                "{length} bytes are no configuration, expected at most {MAX_BYTES}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let value: Value =
            serde_json::from_str(&text).map_err(|error| fail(format!("no JSON: {error}")))?;
        Self::from_json(&value).map_err(fail)
    }

    /// Reads the content of a `config.json`.
    ///
    /// # Errors
    /// A sentence that names the key, what it says and what would be accepted.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let root = value.as_object().ok_or("the top level is not an object")?;
        let architecture = text(root, "architecture")?
            .ok_or("`architecture` is missing, expected a model's name")?;
        let pretrained = object(root, "pretrained_cfg")?.unwrap_or_default();
        let preprocessing = Preprocessing::from_pretrained_cfg(&Value::Object(pretrained.clone()))
            .map_err(|e| e.to_string())?;
        let mut model = model_args(&object(root, "model_args")?.unwrap_or_default())?;
        for source in [root, &pretrained] {
            model.num_classes = model.num_classes.or(count(source, "num_classes")?);
        }
        let [channels, height, width] = preprocessing.input_size;
        model.in_channels.get_or_insert(channels);
        model.input_size.get_or_insert([height, width]);
        let label_names = labels(root)?;
        if let (Some(names), Some(classes)) = (&label_names, model.num_classes)
            && names.len() != classes
        {
            return Err(format!(
                "`label_names` has {} names for {classes} classes",
                names.len()
            ));
        }
        let known = [
            "input_size",
            "interpolation",
            "crop_pct",
            "crop_mode",
            "mean",
            "std",
            "num_classes",
        ];
        let extra = pretrained
            .into_iter()
            .filter(|(key, _)| !known.contains(&key.as_str()))
            .collect();
        Ok(Self {
            architecture,
            model,
            preprocessing,
            label_names,
            extra,
        })
    }

    /// The JSON that timm reads: `num_classes`, `num_features` and the names of first convolution
    /// and classifier come from the model.
    pub(crate) fn to_json(
        &self,
        num_classes: usize,
        num_features: usize,
        first_conv: &str,
        classifier: &str,
    ) -> Value {
        let mut root = json!({
            "architecture": self.architecture,
            "num_classes": num_classes,
            "num_features": num_features,
            "global_pool": "avg",
        });
        let args = self.model_args();
        if !args.is_empty() {
            root["model_args"] = Value::Object(args);
        }
        if let Some(names) = &self.label_names {
            root["label_names"] = json!(names);
        }
        let spec = &self.preprocessing;
        let mut pretrained = self.extra.clone();
        let pairs = [
            ("input_size", json!(spec.input_size)),
            ("interpolation", json!(spec.interpolation)),
            ("crop_pct", json!(spec.crop_pct)),
            ("crop_mode", json!(spec.crop_mode)),
            ("mean", json!(spec.mean)),
            ("std", json!(spec.std)),
            ("num_classes", json!(num_classes)),
            ("first_conv", json!(first_conv)),
            ("classifier", json!(classifier)),
        ];
        pretrained.extend(pairs.map(|(key, value)| (key.to_string(), value)));
        root["pretrained_cfg"] = Value::Object(pretrained);
        root
    }

    /// What timm's `model_args` says; `widths` is this library's own.
    fn model_args(&self) -> Map<String, Value> {
        let mut args = Map::new();
        if let Some(channels) = self.model.in_channels.filter(|&channels| channels != 3) {
            args.insert("in_chans".to_string(), json!(channels));
        }
        args.extend(self.model.args.clone());
        if !self.model.widths.is_empty() {
            args.insert("widths".to_string(), json!(self.model.widths));
        }
        args
    }
}

/// What every model knows of `model_args`; the rest is for its family to read.
fn model_args(args: &Map<String, Value>) -> Result<ModelConfig, String> {
    let mut model = ModelConfig::default();
    for (key, value) in args {
        match key.as_str() {
            "num_classes" => model.num_classes = count(args, key)?,
            "in_chans" => model.in_channels = count(args, key)?,
            "widths" => {
                let widths = object(args, key)?.unwrap_or_default();
                for layer in widths.keys() {
                    if let Some(width) = count(&widths, layer)? {
                        model.widths.insert(layer.clone(), width);
                    }
                }
            }
            _ => {
                model.args.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(model)
}

fn text(object: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("`{key}` is {other}, expected a string")),
    }
}

fn object(parent: &Map<String, Value>, key: &str) -> Result<Option<Map<String, Value>>, String> {
    match parent.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object.clone())),
        Some(other) => Err(format!("`{key}` is {other}, expected an object")),
    }
}

fn count(object: &Map<String, Value>, key: &str) -> Result<Option<usize>, String> {
    const LARGEST: u64 = 1 << 17;
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(count @ 1..=LARGEST) => Ok(Some(count as usize)),
            _ => Err(format!(
                "`{key}` is {value}, expected a whole number from 1 to {LARGEST}"
            )),
        },
    }
}

fn labels(root: &Map<String, Value>) -> Result<Option<Vec<String>>, String> {
    match root.get("label_names") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(names)) => {
            let name = |name: &Value| {
                name.as_str()
                    .map(str::to_string)
                    .ok_or(format!("`label_names` has {name}, expected strings"))
            };
            names.iter().map(name).collect::<Result<_, _>>().map(Some)
        }
        Some(other) => Err(format!(
            "`label_names` is {other}, expected a list of strings"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn timms_file_round_trips() {
        let value = json!({
            "architecture": "mobilenetv1_100", "num_classes": 3, "num_features": 768, "global_pool": "avg",
            "label_names": ["ant", "bee", "cat"],
            "model_args": {"channel_multiplier": 0.75, "pad_type": "same", "bn_eps": 0.001},
            "pretrained_cfg": {"tag": "tf_in1k", "input_size": [3, 192, 160], "mean": [0.5, 0.5, 0.5], "pool_size": null},
        });
        let config = CheckpointConfig::from_json(&value).unwrap();
        assert_eq!(config.model.args, *value["model_args"].as_object().unwrap());
        assert_eq!(config.model.input_size, Some([192, 160]));
        assert_eq!(config.extra["tag"], "tf_in1k");
        let written = config.to_json(3, 768, "conv_stem", "classifier");
        assert_eq!(written["model_args"], value["model_args"]);
        assert_eq!(
            CheckpointConfig::from_json(&written).unwrap().preprocessing,
            config.preprocessing
        );
    }

    #[test]
    fn nonsense_is_named() {
        let table = [
            (json!([]), "the top level is not an object"),
            (json!({}), "`architecture` is missing"),
            (
                json!({"architecture": 3}),
                "`architecture` is 3, expected a string",
            ),
            (
                json!({"architecture": "a", "num_classes": 0}),
                "`num_classes` is 0, expected a whole number from 1",
            ),
            (
                json!({"architecture": "a", "num_classes": -1}),
                "`num_classes` is -1",
            ),
            (
                json!({"architecture": "a", "model_args": {"widths": {"conv1": 0}}}),
                "`conv1` is 0, expected a whole number from 1",
            ),
            (
                json!({"architecture": "a", "pretrained_cfg": {"crop_pct": 2}}),
                "crop_pct",
            ),
            (
                json!({"architecture": "a", "num_classes": 2, "label_names": ["x"]}),
                "`label_names` has 1 names for 2 classes",
            ),
        ];
        for (value, expected) in table {
            let message = CheckpointConfig::from_json(&value).unwrap_err();
            assert!(message.contains(expected), "{value}: {message}");
        }
    }
}

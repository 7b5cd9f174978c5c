//! timm's `config.json`: what a directory of weights says about itself.

use std::collections::BTreeMap;
use std::path::Path;

use cnn_core::Preprocessing;
use serde_json::{Map, Value, json};

use crate::{Error, ModelConfig, transformers};

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

/// What label names mean, by name, as `"n01440764": "tench"`.
const LABEL_DESCRIPTIONS: &str = "label_descriptions";

/// Keys that are read, and those that only say what the weights' file says; the others are kept as
/// they are.
const KNOWN: [&str; 26] = [
    "architecture",
    "num_features",
    "global_pool",
    "model_args",
    "input_size",
    "interpolation",
    "crop_pct",
    "crop_mode",
    "mean",
    "std",
    "letterbox_fill",
    "color_order",
    "value_range",
    "num_classes",
    "label_names",
    "labels",
    // Those of transformers around a model of timm.
    "architectures",
    "do_pooling",
    "dtype",
    "id2label",
    "initializer_range",
    "label2id",
    "model_type",
    "problem_type",
    "torch_dtype",
    "transformers_version",
];

impl CheckpointConfig {
    /// Reads a `config.json`: timm's of any year, or one of transformers, whose
    /// `preprocessor_config.json` is read where it lies beside it.
    ///
    /// # Errors
    /// If the file cannot be read, is no JSON object, or says something that the model cannot be
    /// built with.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let value = read_json(path)?;
        let beside = path.with_file_name(transformers::PREPROCESSOR);
        let processor = beside.is_file().then(|| read_json(&beside)).transpose()?;
        Self::from_json_with(&value, processor.as_ref()).map_err(|what| Error::Config {
            path: path.to_path_buf(),
            what,
        })
    }

    /// Reads the content of a `config.json`.
    ///
    /// # Errors
    /// A sentence that names the key, what it says and what would be accepted.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        Self::from_json_with(value, None)
    }

    /// Reads the content of a `config.json` and that of the `preprocessor_config.json` with which
    /// transformers says how images are prepared.
    ///
    /// # Errors
    /// As [`CheckpointConfig::from_json`].
    pub fn from_json_with(value: &Value, processor: Option<&Value>) -> Result<Self, String> {
        let root = value.as_object().ok_or("the top level is not an object")?;
        match transformers::model_type(root)?.as_deref() {
            None | Some("timm_wrapper") => Self::from_timm(root),
            Some(_) if root.contains_key("architecture") => Self::from_timm(root),
            Some(other) => transformers::read(other, root, processor),
        }
    }

    /// timm's record. Before 2023 it was one object, all of which is the `pretrained_cfg`.
    fn from_timm(root: &Map<String, Value>) -> Result<Self, String> {
        let pretrained = object(root, "pretrained_cfg")?.unwrap_or_else(|| root.clone());
        let architecture = match text(root, "architecture")? {
            Some(architecture) => Some(architecture),
            None => text(&pretrained, "architecture")?,
        };
        let architecture =
            architecture.ok_or("`architecture` is missing, expected a model's name")?;
        let mut model = model_args(&object(root, "model_args")?.unwrap_or_default())?;
        let mut declared = None;
        for source in [root, &pretrained] {
            declared = declared.or(count(source, "num_classes")?);
        }
        if let (Some(built), Some(declared)) = (model.num_classes, declared)
            && built != declared
        {
            return Err(format!(
                "`num_classes` is {declared}, but {built} in `model_args`"
            ));
        }
        model.num_classes = model.num_classes.or(declared);
        let preprocessing = preprocessing(&pretrained, model.in_channels)?;
        let [channels, height, width] = preprocessing.input_size;
        model.in_channels.get_or_insert(channels);
        model.input_size.get_or_insert([height, width]);
        let label_names = label_names(&[root, &pretrained], model.num_classes)?;
        if let Some(names) = &label_names {
            model.num_classes.get_or_insert(names.len());
        }
        let mut extra: Map<String, Value> = pretrained
            .into_iter()
            .filter(|(key, _)| !KNOWN.contains(&key.as_str()))
            .collect();
        if let Some(descriptions) = object(root, LABEL_DESCRIPTIONS)? {
            extra.insert(LABEL_DESCRIPTIONS.to_string(), Value::Object(descriptions));
        }
        Ok(Self {
            architecture,
            model,
            preprocessing,
            label_names,
            extra,
        })
    }

    /// Other names for the classes, or none: what was said of the old ones goes with them.
    pub(crate) fn set_label_names(&mut self, names: Option<Vec<String>>) {
        if names != self.label_names {
            for key in [LABEL_DESCRIPTIONS, "label_offset"] {
                self.extra.shift_remove(key);
            }
        }
        self.label_names = names;
    }

    /// The JSON that timm reads: `num_classes`, `num_features` (of a classifier) and the names of
    /// first convolution and classifier come from the model.
    pub(crate) fn to_json(
        &self,
        num_classes: usize,
        num_features: Option<usize>,
        first_convs: &[String],
        classifier: &str,
    ) -> Value {
        let mut root = json!({
            "architecture": self.architecture,
            "num_classes": num_classes,
        });
        if let Some(features) = num_features {
            root["num_features"] = json!(features);
            root["global_pool"] = json!("avg");
        }
        let args = self.model_args();
        if !args.is_empty() {
            root["model_args"] = Value::Object(args);
        }
        if let Some(names) = &self.label_names {
            root["label_names"] = json!(names);
        }
        let mut pretrained = self.extra.clone();
        let first_conv = match first_convs {
            [one] => json!(one),
            several => json!(several),
        };
        if let Value::Object(record) = json!(self.preprocessing) {
            pretrained.extend(record);
        }
        let pairs = [
            ("num_classes", json!(num_classes)),
            ("first_conv", first_conv),
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

pub(crate) fn text(object: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
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

pub(crate) fn count(object: &Map<String, Value>, key: &str) -> Result<Option<usize>, String> {
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

/// The preprocessing of a record; `in_channels` are those that `model_args` says, which count.
fn preprocessing(
    pretrained: &Map<String, Value>,
    in_channels: Option<usize>,
) -> Result<Preprocessing, String> {
    let mut pretrained = pretrained.clone();
    let numbers = pretrained
        .get("mean")
        .and_then(Value::as_array)
        .map(Vec::len);
    // As timm does; where the mean is still that of other channels, it is averaged below.
    if let (Some(channels), Some(numbers)) = (in_channels, numbers)
        && channels == numbers
    {
        let mut size = pretrained
            .remove("input_size")
            .filter(|size| !size.is_null())
            .unwrap_or(json!([3, 224, 224]));
        if let Some(first) = size.get_mut(0) {
            *first = json!(channels);
        }
        pretrained.insert("input_size".to_string(), size);
    }
    let mut preprocessing = Preprocessing::from_pretrained_cfg(&Value::Object(pretrained))
        .map_err(|error| error.to_string())?;
    if let Some(channels) = in_channels {
        set_channels(&mut preprocessing, channels);
    }
    Ok(preprocessing)
}

/// Sets the channels of a preprocessing record; mean and standard deviation become the average over
/// the old channels.
pub(crate) fn set_channels(preprocessing: &mut Preprocessing, channels: usize) {
    if preprocessing.input_size[0] == channels {
        return;
    }
    preprocessing.input_size[0] = channels;
    for values in [&mut preprocessing.mean, &mut preprocessing.std] {
        let average = values.iter().sum::<f64>() / values.len().max(1) as f64;
        *values = vec![average; channels];
    }
}

/// The first list of label names that one of the objects has; `labels` is what timm called it
/// before 2023, `id2label` what transformers calls it.
pub(crate) fn label_names(
    sources: &[&Map<String, Value>],
    num_classes: Option<usize>,
) -> Result<Option<Vec<String>>, String> {
    let keys = ["label_names", "labels", "id2label"];
    let found = sources.iter().find_map(|source| {
        let said = |key| source.get(key).filter(|value: &&Value| !value.is_null());
        keys.iter().find_map(|&key| Some((key, said(key)?)))
    });
    let Some((key, value)) = found else {
        return Ok(None);
    };
    let names = match value {
        Value::Array(names) => {
            let name = |name: &Value| {
                name.as_str()
                    .map(str::to_string)
                    .ok_or(format!("`{key}` has {name}, expected strings"))
            };
            names.iter().map(name).collect::<Result<Vec<_>, _>>()?
        }
        Value::Object(names) => by_number(key, names, num_classes)?,
        other => {
            return Err(format!(
                "`{key}` is {other}, expected a list of strings, or an object of class numbers \
                 and strings"
            ));
        }
    };
    if let Some(classes) = num_classes
        && names.len() != classes
    {
        return Err(format!(
            "`{key}` has {} names for {classes} classes",
            names.len()
        ));
    }
    // What transformers writes for classes without names.
    let is_placeholder = |(number, name): (usize, &String)| *name == format!("LABEL_{number}");
    let are_placeholders = !names.is_empty() && names.iter().enumerate().all(is_placeholder);
    Ok(Some(names).filter(|_| !are_placeholders))
}

/// Names by class number, as JSON writes a dictionary of numbers. As in timm, classes may be left
/// out: those are called by their number.
fn by_number(
    key: &str,
    names: &Map<String, Value>,
    num_classes: Option<usize>,
) -> Result<Vec<String>, String> {
    let mut by_number = BTreeMap::new();
    for (number, name) in names {
        let number: usize = number.trim().parse().map_err(|_| {
            format!("`{key}` has the key \"{number}\", expected class numbers from 0")
        })?;
        let name = name
            .as_str()
            .ok_or(format!("`{key}` has {name}, expected strings"))?;
        if by_number.insert(number, name).is_some() {
            return Err(format!("`{key}` names class {number} twice"));
        }
    }
    let last = by_number.keys().last().copied();
    let classes = match (num_classes, last) {
        (Some(classes), Some(last)) if last >= classes => {
            return Err(format!(
                "`{key}` names class {last}, but there are {classes} classes"
            ));
        }
        (Some(classes), _) => classes,
        (None, Some(last)) if last >= names.len() => {
            return Err(format!(
                "`{key}` names class {last} and leaves some out, but `num_classes` is missing"
            ));
        }
        (None, _) => names.len(),
    };
    let name = |number| {
        let name = by_number.get(&number).map(|name| name.to_string());
        name.unwrap_or_else(|| number.to_string())
    };
    Ok((0..classes).map(name).collect())
}

/// Reads a JSON file of bounded size.
fn read_json(path: &Path) -> Result<Value, Error> {
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
    serde_json::from_str(&text).map_err(|error| {
        let start = text.trim_start();
        fail(if start.starts_with("version https://git-lfs") {
            "this is a Git LFS pointer, not the file it stands for (run `git lfs pull`)".to_string()
        } else if start.starts_with('<') {
            "this is a web page, saved in place of the file: get it again".to_string()
        } else {
            format!("no JSON: {error}")
        })
    })
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
        let written = config.to_json(3, Some(768), &["conv_stem".to_string()], "classifier");
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

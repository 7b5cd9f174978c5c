//! Arguments that several commands share.

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use cnn_models::Kind;
use serde::{Deserialize, Serialize};

use crate::{hub, output};

/// Marks an error as the arguments' fault: exit status 2.
#[derive(Debug)]
pub(crate) struct Unusable;

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unusable arguments")
    }
}

impl std::error::Error for Unusable {}

/// Marks that the user stopped the program, with its state saved: exit status 130.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Whether the arguments are at fault, rather than what happened at run time.
pub(crate) fn is_unusable(error: &anyhow::Error) -> bool {
    use cnn_models::Error::{
        Argument, Contradiction, NoArchitecture, NoAverage, OtherKind, RunWithoutConfig,
        UnknownArgument, UnknownModel,
    };
    let at_fault = |error: &cnn_models::Error| {
        matches!(
            error,
            UnknownModel { .. }
                | Contradiction { .. }
                | Argument { .. }
                | UnknownArgument { .. }
                | NoArchitecture { .. }
                | NoAverage { .. }
                | RunWithoutConfig { .. }
                | OtherKind { .. }
        )
    };
    let is_no_split = |error: &cnn_data::Error| {
        matches!(
            error,
            cnn_data::Error::NoSuchSplit { .. }
                | cnn_data::Error::SplitNotChosen { .. }
                | cnn_data::Error::Configuration { .. }
        )
    };
    error.downcast_ref::<Unusable>().is_some()
        || error.chain().any(|cause| {
            cause
                .downcast_ref::<cnn_data::Error>()
                .is_some_and(is_no_split)
        })
        || error.chain().any(|cause| {
            cause
                .downcast_ref::<cnn_models::Error>()
                .is_some_and(at_fault)
        })
}

/// What the libraries call their arguments, and the flags that set them.
const FLAGS: [(&str, &str); 26] = [
    ("batch size", "--batch"),
    ("batch_size", "--batch"),
    ("body_scale", "--body-scale"),
    ("brightness", "--color-jitter"),
    ("class_weights", "--class-weights"),
    ("degrees", "--rotate"),
    ("ema", "--ema"),
    ("epochs", "--epochs"),
    ("head_epochs", "--head-epochs"),
    ("head_learning_rate", "--head-lr"),
    ("held_out", "--val-fraction"),
    ("label_smoothing", "--label-smoothing"),
    ("layer", "--maps"),
    ("layer_decay", "--layer-decay"),
    ("learning_rate", "--lr"),
    ("loss", "--loss"),
    ("method", "--method"),
    ("overlap", "--overlap"),
    ("patience", "--patience"),
    ("region", "--region"),
    ("scales", "--scales"),
    ("shapes", "--data"),
    ("sigma", "--elastic"),
    ("stage", "--stage"),
    ("tile", "--tile"),
    ("warmup_epochs", "--warmup"),
];

/// A cause of an error in the user's terms: flags and commands, where libraries name arguments and
/// functions.
pub(crate) fn in_flags(cause: &(dyn std::error::Error + 'static)) -> String {
    use cnn_models::Error::{
        Argument, NoArchitecture, RunWithoutConfig, UnknownArgument, UnknownModel,
    };
    let message = FLAGS
        .iter()
        .fold(cause.to_string(), |message, (name, flag)| {
            message.replace(&format!("`{name}`: found"), &format!("{flag}: found"))
        });
    if let Some(cnn_hub::Error::Offline { .. } | cnn_hub::Error::OfflinePush { .. }) =
        cause.downcast_ref()
        && hub::is_told_to_stay_offline()
    {
        return message
            .replace("HF_HUB_OFFLINE forbids", "--offline forbids")
            .replace("unset HF_HUB_OFFLINE", "leave it out")
            .replace("unset it", "leave it out");
    }
    match cause.downcast_ref() {
        Some(cnn_data::Error::SplitNotChosen { .. }) => return format!("{message} by --split"),
        Some(cnn_data::Error::NoSuchSplit { .. }) => {
            return message.replace("leave the split out", "leave --split out");
        }
        _ => {}
    }
    match cause.downcast_ref() {
        Some(UnknownModel { .. }) => {
            format!("{message}; `{} models` lists them", output::program())
        }
        // What a `config.json` says of it is an error of the file.
        Some(UnknownArgument { family, name, .. }) if name == "drop_path_rate" => {
            format!("--drop-path: {family} has no residual branches to drop")
        }
        Some(NoArchitecture { .. }) => format!("{message} by --model"),
        Some(RunWithoutConfig { .. }) => {
            message.replace("name the model", "name the model by --model")
        }
        Some(Argument { .. }) => message.replace("input_size is", "--size is"),
        _ => message,
    }
}

/// Element type of the computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DType {
    /// Single precision.
    F32,
    /// Double precision, the slow reference.
    F64,
}

impl From<DType> for candle_core::DType {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::F32 => Self::F32,
            DType::F64 => Self::F64,
        }
    }
}

/// Refuses flags that were given and have no part in what a network of this kind is for.
pub(crate) fn refuse_without_part(given: &[String], flags: &[&str], kind: Kind) -> Result<()> {
    let Some(flag) = flags
        .iter()
        .find(|flag| given.iter().any(|given| given == *flag))
    else {
        return Ok(());
    };
    Err(anyhow!(
        "--{} has no part in {kind}; leave it out",
        flag.replace('_', "-")
    )
    .context(Unusable))
}

/// What `--task` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TaskArg {
    /// The class of an image
    Classification,
    /// The class of every pixel
    Segmentation,
    /// Objects: boxes with classes
    Detection,
}

impl From<TaskArg> for Kind {
    fn from(task: TaskArg) -> Self {
        match task {
            TaskArg::Classification => Self::Classification,
            TaskArg::Segmentation => Self::Segmentation,
            TaskArg::Detection => Self::Detection,
        }
    }
}

/// Sets the number of threads that compute and decode; all cores without a number.
pub(crate) fn set_threads(threads: Option<u16>) -> Result<()> {
    if let Some(threads) = threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
        pool.build_global().context("cannot start the threads")?;
    }
    Ok(())
}

/// Height and width of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Size(pub(crate) [usize; 2]);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| {
            text.parse::<usize>()
                .ok()
                .filter(|side| (1..=8192).contains(side))
        };
        let sides = match text.split_once('x') {
            Some((height, width)) => side(height).zip(side(width)),
            None => side(text).map(|side| (side, side)),
        };
        let (height, width) =
            sides.ok_or("expected a size as 224 or 192x256, each side at most 8192")?;
        Ok(Self([height, width]))
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(Size([height, width]): Size) -> Self {
        format!("{height}x{width}")
    }
}

/// A number for which `accepted` holds, else an error that says what is expected.
fn number(text: &str, expected: &str, accepted: impl Fn(f64) -> bool) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|&number| accepted(number))
        .ok_or_else(|| format!("expected {expected}"))
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    number(text, "a number from 0 to below 1", |share| {
        (0.0..1.0).contains(&share)
    })
}

pub(crate) fn part(text: &str) -> Result<f64, String> {
    number(text, "a number above 0 and below 1", |part| {
        0. < part && part < 1.
    })
}

pub(crate) fn share_or_all(text: &str) -> Result<f64, String> {
    number(text, "a number from 0 to 1", |share| {
        (0.0..=1.0).contains(&share)
    })
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    number(text, "a finite number above 0", |number| {
        number > 0. && number.is_finite()
    })
}

pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    number(text, "a finite number, 0 or above", |number| {
        number >= 0. && number.is_finite()
    })
}

pub(crate) fn mixing_alpha(text: &str) -> Result<f64, String> {
    let accepted = |alpha| alpha == 0. || (0.001..=1000.0).contains(&alpha);
    number(
        text,
        "0, which is off, or a number from 0.001 to 1000",
        accepted,
    )
}

pub(crate) fn count(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|&count| count > 0)
        .ok_or_else(|| "expected a whole number, at least 1".to_string())
}

/// What an argument of an attack, a defence or a corruption would have to be.
pub(crate) fn accepted(error: &cnn_robust::Error) -> String {
    match error {
        cnn_robust::Error::Argument(argument) => expected(argument),
        other => other.to_string(),
    }
}

/// What an argument would have to be.
pub(crate) fn expected(argument: &cnn_core::ArgumentError) -> String {
    format!("expected {}", argument.expected)
}

/// What is written and read as text, within files of arguments as on the command line.
pub(crate) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(
        value: &impl Display,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use cnn_models::{ModelConfig, Network};

    use super::*;

    #[test]
    fn errors_speak_of_flags() {
        let config = cnn_train::TrainConfig {
            learning_rate: 0.,
            ..cnn_train::TrainConfig::new(1)
        };
        let said = config.validate().err().map(|error| in_flags(&error));
        assert_eq!(
            said.as_deref(),
            Some("--lr: found 0, expected a finite number above 0")
        );
        // Through the errors of other crates, too.
        let error =
            cnn_transfer::Error::from(cnn_train::Error::argument("batch size", 9, "1 to 4"));
        assert_eq!(in_flags(&error), "--batch: found 9, expected 1 to 4");
        let said = cnn_models::find("resnet20")
            .err()
            .map(|error| in_flags(&error))
            .unwrap_or_default();
        assert!(
            said.contains("did you mean `resnet20_cifar10`?")
                && said.ends_with(" models` lists them"),
            "{said}"
        );
        let tiny = ModelConfig {
            input_size: Some([8, 8]),
            ..ModelConfig::default()
        };
        let said = Network::new("lenet5", &tiny, 0)
            .err()
            .map(|error| in_flags(&error));
        assert_eq!(
            said.as_deref(),
            Some("lenet5: --size is 8×8, expected at least 12×12")
        );
    }
}

//! One forward pass of a network of any kind.

use candle_core::Tensor;
use cnn_graph::OwnedValue;
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_models::{Model, ModelKind, NetworkOf};

use crate::Error;

/// The output that a network is used for; those of auxiliary heads have the heads' names.
pub(crate) const MAIN: &str = "logits";

/// The model of a network in evaluation, whatever its kind.
pub(crate) fn evaluated<M: ModelKind + ?Sized>(network: &NetworkOf<M>) -> Result<Model, Error> {
    let spec = network.spec();
    let root = network.store().builder(Mode::Eval);
    Ok(spec.build_any(&network.config().model, &root)?)
}

/// What a model gives, by name: its main output and those of its auxiliary heads, or what the heads
/// of a detector say of every place.
///
/// # Errors
/// Those of the model, and for a kind that came later than this crate.
pub(crate) fn outputs(
    model: &Model,
    xs: &FeatureMap,
    cx: &Context<'_>,
) -> candle_core::Result<Vec<(String, OwnedValue)>> {
    match model {
        Model::Classifier(model) => {
            let outputs = model.forward_outputs(xs, cx)?;
            let heads = outputs.auxiliary.into_iter();
            let heads = heads.map(|head| (head.head, OwnedValue::Vectors(head.output)));
            let main = (MAIN.to_string(), OwnedValue::Vectors(outputs.main));
            Ok(heads.chain([main]).collect())
        }
        Model::Segmenter(model) => {
            let outputs = model.forward_outputs(xs, cx)?;
            let heads = outputs.auxiliary.into_iter();
            let heads = heads.map(|head| (head.head, OwnedValue::Maps(head.output)));
            let main = (MAIN.to_string(), OwnedValue::Maps(outputs.main));
            Ok(heads.chain([main]).collect())
        }
        Model::Detector(model) => {
            let outputs = model.forward_raw(xs, cx)?.into_iter();
            let named = |output: cnn_layers::RawOutput| {
                (output.name.to_string(), OwnedValue::Vectors(output.values))
            };
            Ok(outputs.map(named).collect())
        }
        _ => candle_core::bail!("a model of a kind that pruning does not know"),
    }
}

/// By how much any output of two networks differs on these images: what proves that one computes
/// what the other does.
///
/// # Errors
/// If a network does not take the images, or their outputs have other shapes.
pub fn largest_change<M: ModelKind + ?Sized>(
    one: &NetworkOf<M>,
    other: &NetworkOf<M>,
    images: &FeatureMap,
) -> Result<f64, Error> {
    let cx = Context::eval();
    let ones = outputs(&evaluated(one)?, images, &cx)?;
    let others = outputs(&evaluated(other)?, images, &cx)?;
    let mut largest = 0f64;
    for ((_, one), (_, other)) in ones.iter().zip(&others) {
        let change = (one.to_tensor()? - other.to_tensor()?)?;
        largest = largest.max(absolute(&change)?);
    }
    Ok(largest)
}

/// The largest absolute value; infinite where there is one that is no number.
fn absolute(change: &Tensor) -> Result<f64, candle_core::Error> {
    let values = change.to_dtype(candle_core::DType::F64)?.flatten_all()?;
    let values: Vec<f64> = values.to_vec1()?;
    if values.iter().any(|value| value.is_nan()) {
        return Ok(f64::INFINITY);
    }
    Ok(values.into_iter().map(f64::abs).fold(0., f64::max))
}

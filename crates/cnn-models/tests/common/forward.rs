//! One pass of a model of any kind.

use candle_core::Tensor;
use cnn_layers::{Context, FeatureMap};
use cnn_models::Model;

/// The stages (of a pass in evaluation mode), the logits, and those of the auxiliary heads.
pub(crate) type Passed = (Vec<FeatureMap>, Tensor, Vec<(String, Tensor)>);

pub(crate) fn forward(
    model: &Model,
    xs: &FeatureMap,
    is_training: bool,
    cx: &Context<'_>,
) -> Passed {
    // One pass: going through the stages once more would move the running statistics twice.
    match model {
        Model::Classifier(model) if is_training => {
            let outputs = model.forward_outputs(xs, cx).unwrap();
            let auxiliary = outputs.auxiliary.into_iter();
            let auxiliary = auxiliary.map(|head| (head.head, head.output));
            (Vec::new(), outputs.main, auxiliary.collect())
        }
        Model::Classifier(model) => {
            let stages = model.forward_stages(xs, cx).unwrap();
            let last = stages.len() - 1;
            let features = model.forward_from(last, &stages[last], cx).unwrap();
            let logits = model.forward_head(&features, cx).unwrap();
            (stages, logits, Vec::new())
        }
        Model::Segmenter(model) if is_training => {
            let outputs = model.forward_outputs(xs, cx).unwrap();
            let auxiliary = outputs.auxiliary.into_iter();
            let auxiliary = auxiliary.map(|head| (head.head, head.output.to_nchw().unwrap()));
            let main = outputs.main.to_nchw().unwrap();
            (Vec::new(), main, auxiliary.collect())
        }
        Model::Segmenter(model) => {
            let stages = model.forward_stages(xs, cx).unwrap();
            let logits = model.forward_from(xs, stages.clone(), cx).unwrap();
            (stages, logits.to_nchw().unwrap(), Vec::new())
        }
        Model::Detector(model) => {
            let stages = if is_training {
                Vec::new()
            } else {
                model.forward_stages(xs, cx).unwrap()
            };
            let raw = model.forward_raw(xs, cx).unwrap();
            let raw: Vec<Tensor> = raw.into_iter().map(|output| output.values).collect();
            (stages, joined(&raw), Vec::new())
        }
        _ => panic!("a kind of model that is not compared"),
    }
}

/// What the heads say of each place, one after another; of different places, all numbers of an image.
fn joined(raw: &[Tensor]) -> Tensor {
    let places = raw[0].dim(1).unwrap();
    if raw.iter().all(|values| values.dim(1).unwrap() == places) {
        return Tensor::cat(raw, 2).unwrap();
    }
    let flat: Vec<Tensor> = raw
        .iter()
        .map(|values| values.flatten_from(1).unwrap())
        .collect();
    Tensor::cat(&flat, 1).unwrap().unsqueeze(2).unwrap()
}

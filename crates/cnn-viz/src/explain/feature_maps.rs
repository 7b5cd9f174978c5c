//! What a stage or a layer gives for images.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::Tensor;
use cnn_core::did_you_mean;
use cnn_layers::{Context, Event, FeatureMap, Observer, Value};

use super::Place;
use super::explained::Explained;
use crate::Error;

/// The outputs of stages (`last`, `stage2`) and of layers by path (`layer1.0.conv1`), each
/// `(N, C, H, W)`, in the order asked for. A layer that gives vectors has `H` = `W` = 1.
///
/// # Errors
/// [`Error::Argument`] if no stage or layer has the name, or a layer is not one that `model`
/// shows (built for inference, norms and activations are part of their convolution).
pub fn feature_maps<'a>(
    model: impl Into<Explained<'a>>,
    images: &FeatureMap,
    names: &[&str],
) -> Result<Vec<Tensor>, Error> {
    let model = model.into();
    let layers: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| Place::find(name, model).is_err())
        .collect();
    let collector = Collector {
        wanted: &layers,
        outputs: RefCell::default(),
        seen: RefCell::default(),
    };
    let images = images.detach();
    if !layers.is_empty() {
        model.run(&images, &Context::eval().with_observer(&collector))?;
    }
    let outputs = collector.outputs.into_inner();
    let seen = collector.seen.into_inner();
    let find = |&name: &&str| {
        if let Ok(place) = Place::find(name, model) {
            return Ok(model.maps(place, &images, &Context::eval())?.to_nchw()?);
        }
        outputs.get(name).cloned().ok_or_else(|| {
            let stages = model.stages().len();
            let known = seen.iter().map(String::as_str);
            let nearest = did_you_mean(name, known);
            let expected = format!(
                "last, stage0 to stage{}, or a layer's path{nearest}",
                stages.saturating_sub(1)
            );
            Error::argument("layer", format!("`{name}`"), expected)
        })
    };
    names.iter().map(find).collect()
}

struct Collector<'a> {
    wanted: &'a [&'a str],
    outputs: RefCell<BTreeMap<String, Tensor>>,
    seen: RefCell<Vec<String>>,
}

impl Observer for Collector<'_> {
    fn exit(&self, event: &Event<'_>) -> candle_core::Result<()> {
        if self.wanted.contains(&event.path) {
            let output = match event.output {
                Value::Maps(maps) => maps.to_nchw()?,
                Value::Vectors(vectors) => vectors.unsqueeze(2)?.unsqueeze(3)?,
            };
            self.outputs
                .borrow_mut()
                .insert(event.path.to_string(), output);
        }
        self.seen.borrow_mut().push(event.path.to_string());
        Ok(())
    }
}

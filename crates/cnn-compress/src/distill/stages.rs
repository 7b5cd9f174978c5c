//! The stages of two networks that are compared, and a student's maps there.

use std::cell::RefCell;

use candle_core::{Result as CandleResult, TensorId};
use cnn_layers::{Classifier, Context, Event, FeatureMap, Observer, StageInfo, Value};

use crate::Error;

/// Stages of both networks that work at one resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StagePair {
    pub(super) student: usize,
    pub(super) teacher: usize,
}

/// For each resolution that both networks have, the last stage of each that works at it.
pub(super) fn stage_pairs(student: &[StageInfo], teacher: &[StageInfo]) -> Vec<StagePair> {
    let last_at = |stages: &[StageInfo], reduction| {
        stages
            .iter()
            .rposition(|stage| stage.reduction == reduction)
    };
    let is_last =
        |&(at, stage): &(usize, &StageInfo)| last_at(student, stage.reduction) == Some(at);
    let pairs = student.iter().enumerate().filter(is_last);
    let pairs = pairs.filter_map(|(at, stage)| {
        Some(StagePair {
            student: at,
            teacher: last_at(teacher, stage.reduction)?,
        })
    });
    pairs.collect()
}

/// The layers that give a network's stages. Where a stage ends is known by the identity of its maps,
/// since its name is timm's and need not be a layer's path.
pub(super) struct StageLayers(Vec<StageLayer>);

/// A layer's work: the first, second… time that the layer at this path works in a forward pass.
struct StageLayer {
    path: String,
    time: usize,
}

impl StageLayers {
    /// Those of a network, which is shown an image.
    ///
    /// # Errors
    /// Those of the network, and [`Error::Argument`] for a stage whose maps no layer gives.
    pub(super) fn of(network: &dyn Classifier, image: &FeatureMap) -> Result<Self, Error> {
        let given = GivenMaps::default();
        let cx = Context::eval().with_observer(&given);
        let maps = network.forward_stages(image, &cx)?;
        let given = given.0.into_inner();
        let stages = network.stages().iter().zip(maps);
        let layer = |(stage, maps): (&StageInfo, FeatureMap)| {
            let at = given.iter().position(|(_, id)| *id == maps.id());
            let at = at.ok_or_else(|| Error::Argument {
                what: "the layer that gives a stage",
                found: format!("none for {}", stage.module),
                expected: "a layer that runs inside `Context::layer`".to_string(),
            })?;
            let path = given[at].0.clone();
            let time = given[..at]
                .iter()
                .filter(|(other, _)| *other == path)
                .count();
            Ok(StageLayer { path, time })
        };
        Ok(Self(stages.map(layer).collect::<Result<_, Error>>()?))
    }
}

/// The path of each layer that gives maps, with the maps' identity, in order of execution.
#[derive(Default)]
struct GivenMaps(RefCell<Vec<(String, TensorId)>>);

impl Observer for GivenMaps {
    fn exit(&self, event: &Event<'_>) -> CandleResult<()> {
        if let Value::Maps(maps) = event.output {
            self.0
                .borrow_mut()
                .push((event.path.to_string(), maps.id()));
        }
        Ok(())
    }
}

/// Keeps what each stage gives in a forward pass, with the way back to what it was computed from.
pub(super) struct StageMaps<'a> {
    layers: &'a StageLayers,
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Seen {
    /// How often each stage's layer has worked.
    times: Vec<usize>,
    maps: Vec<Option<FeatureMap>>,
}

impl<'a> StageMaps<'a> {
    pub(super) fn new(layers: &'a StageLayers) -> Self {
        let count = layers.0.len();
        Self {
            layers,
            seen: RefCell::new(Seen {
                times: vec![0; count],
                maps: vec![None; count],
            }),
        }
    }

    /// The maps, stage by stage; `None` of one that gave none.
    pub(super) fn into_maps(self) -> Vec<Option<FeatureMap>> {
        self.seen.into_inner().maps
    }
}

impl Observer for StageMaps<'_> {
    fn exit(&self, event: &Event<'_>) -> CandleResult<()> {
        let Value::Maps(given) = event.output else {
            return Ok(());
        };
        let mut seen = self.seen.borrow_mut();
        for (stage, layer) in self.layers.0.iter().enumerate() {
            if layer.path == event.path {
                if seen.times[stage] == layer.time {
                    seen.maps[stage] = Some(given.clone());
                }
                seen.times[stage] += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{DType, Device, Tensor};
    use cnn_layers::{Mode, Store};
    use cnn_models::{Model, ModelConfig, models};

    use super::*;

    fn stage(reduction: usize) -> StageInfo {
        StageInfo {
            module: String::new(),
            channels: 1,
            reduction,
        }
    }

    #[test]
    fn the_last_stages_of_each_common_resolution_are_compared() {
        let of = |reductions: &[usize]| -> Vec<StageInfo> {
            reductions
                .iter()
                .map(|&reduction| stage(reduction))
                .collect()
        };
        let pairs = stage_pairs(&of(&[1, 2, 2, 4, 16]), &of(&[2, 4, 4, 8]));
        let expected = [(2, 0), (3, 2)].map(|(student, teacher)| StagePair { student, teacher });
        assert_eq!(pairs, expected);
    }

    /// Seen in the same pass, so that they are the same values and not equal ones.
    #[test]
    fn every_registered_classifiers_stages_are_seen() {
        for spec in models() {
            let store = Store::blank();
            let config = ModelConfig::default();
            let model = spec.build_any(&config, &store.builder(Mode::Eval));
            let Model::Classifier(model) = model.unwrap() else {
                continue;
            };
            let [channels, height, width] = spec.preprocessing().input_size;
            let [height, width] = [height, width].map(|side| side.min(96));
            let shape = (1, channels, height, width);
            let images = Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
            let images = FeatureMap::from_nchw(&images).unwrap();
            let layers = StageLayers::of(model.as_ref(), &images).unwrap();
            let seen = StageMaps::new(&layers);
            let cx = Context::eval().with_observer(&seen);
            let given = model.forward_stages(&images, &cx).unwrap();
            for (given, seen) in given.iter().zip(seen.into_maps()) {
                let seen = seen.map(|maps| maps.id());
                assert_eq!(seen, Some(given.id()), "{}", spec.name);
            }
        }
    }
}

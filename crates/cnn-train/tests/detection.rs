//! The task of finding objects, with a network that notes what it is given.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Result as LayerResult, Tensor};
use cnn_core::{CropMode, Key, Preprocessing};
use cnn_data::{Augmentation, BoundingBox, Dataset, RandomHorizontalFlip, Shapes, ShapesConfig};
use cnn_layers::{
    Context, DetectedObject, DetectionLimits, DetectionTargets, Detector, FeatureMap, LayerGroup,
    NamedLoss, RawOutput, ScoredBoxes, StageInfo,
};
use cnn_train::{Detection, Epoch, Error, Task};

const SIDE: usize = 64;
const SAMPLES: usize = 24;

/// What a network was asked to learn.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    size: [usize; 2],
    boxes: Vec<[f32; 4]>,
    is_late: bool,
}

/// A network without layers that notes what it is asked.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Asked>>>);

impl Detector for Noting {
    fn num_classes(&self) -> usize {
        8
    }

    fn stages(&self) -> &[StageInfo] {
        &[]
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        &[]
    }

    fn limits(&self) -> DetectionLimits {
        DetectionLimits {
            score: 0.5,
            iou: 0.5,
            count: 10,
        }
    }

    fn size_step(&self) -> usize {
        32
    }

    fn forward_stages(&self, _: &FeatureMap, _: &Context<'_>) -> LayerResult<Vec<FeatureMap>> {
        Ok(Vec::new())
    }

    fn forward_from(
        &self,
        _: &FeatureMap,
        _: Vec<FeatureMap>,
        _: &Context<'_>,
    ) -> LayerResult<Vec<ScoredBoxes>> {
        Ok(Vec::new())
    }

    fn forward_raw(&self, _: &FeatureMap, _: &Context<'_>) -> LayerResult<Vec<RawOutput>> {
        Ok(Vec::new())
    }

    fn losses(
        &self,
        xs: &FeatureMap,
        targets: &DetectionTargets,
        _: &Context<'_>,
    ) -> LayerResult<Vec<NamedLoss>> {
        self.0.lock().unwrap().push(Asked {
            size: [xs.height(), xs.width()],
            boxes: targets.images[0].boxes.clone(),
            is_late: targets.is_late,
        });
        let one = || Tensor::ones((), DType::F32, &Device::Cpu);
        Ok(vec![
            NamedLoss::new("place", one()?),
            NamedLoss::new("class", (one()? * 2.)?),
        ])
    }

    fn detect(
        &self,
        xs: &FeatureMap,
        _: &DetectionLimits,
        _: &Context<'_>,
    ) -> LayerResult<Vec<Vec<DetectedObject>>> {
        Ok(vec![Vec::new(); xs.batch()])
    }
}

fn shapes() -> Arc<dyn Dataset> {
    let config = ShapesConfig::default()
        .with_samples(SAMPLES)
        .with_size(SIDE, SIDE)
        .with_objects(1..=3);
    Arc::new(Shapes::new(config).unwrap())
}

/// The task with one image a batch, and what its network is asked.
fn task() -> (Detection, Noting) {
    let noting = Noting::default();
    let record = Preprocessing {
        input_size: [3, SIDE, SIDE],
        crop_mode: CropMode::Squash,
        crop_pct: 1.,
        ..Preprocessing::default()
    };
    let build = |_| Ok::<Box<dyn Detector>, Error>(Box::new(noting.clone()));
    let task = Detection::new(shapes(), shapes(), record, build).unwrap();
    (task.with_batch_size(1).unwrap(), noting)
}

/// What is asked in an epoch from a batch on.
fn asked(task: &Detection, noting: &Noting, number: usize, start: usize) -> Vec<Asked> {
    let epoch = Epoch {
        number,
        start,
        key: Key::new(3).at(number as u64),
    };
    noting.0.lock().unwrap().clear();
    for batch in task.batches(&epoch).unwrap() {
        task.loss(&batch.unwrap(), &Context::eval()).unwrap();
    }
    noting.0.lock().unwrap().clone()
}

/// The boxes of an image that the network was given at a size, as the dataset has them.
fn boxes_of(index: usize, [height, width]: [usize; 2]) -> Vec<[f32; 4]> {
    let across = width as f32 / SIDE as f32;
    let down = height as f32 / SIDE as f32;
    let scaled = |object: &BoundingBox| {
        let [x1, y1, x2, y2] = object.edges();
        [x1 * across, y1 * down, x2 * across, y2 * down]
    };
    let boxes = shapes().read(index).unwrap().boxes;
    boxes.iter().map(scaled).collect()
}

fn are_close(a: &[[f32; 4]], b: &[[f32; 4]]) -> bool {
    let numbers = |boxes: &[[f32; 4]]| boxes.concat();
    let (a, b) = (numbers(a), numbers(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3)
}

#[test]
fn boxes_are_scaled_with_their_images() {
    let (task, noting) = task();
    let sizes = vec![[32, 96], [64, 64], [96, 32]];
    let task = task.with_sizes(sizes.clone()).unwrap();
    let asked = asked(&task, &noting, 0, 0);
    assert_eq!(asked.len(), SAMPLES);
    for one in &asked {
        assert!(sizes.contains(&one.size), "{:?}", one.size);
        let is_of = |index: &usize| are_close(&boxes_of(*index, one.size), &one.boxes);
        assert!((0..SAMPLES).any(|index| is_of(&index)), "{one:?}");
    }
    // Ten batches in a row have one size.
    for row in asked.chunks(10) {
        assert!(row.iter().all(|one| one.size == row[0].size));
    }
}

#[test]
fn an_epoch_that_goes_on_has_the_sizes_of_one_that_was_not_interrupted() {
    let (task, noting) = task();
    let sizes = vec![[32, 32], [32, 64], [64, 32], [64, 96], [96, 96]];
    let task = task.with_sizes(sizes).unwrap();
    let whole = asked(&task, &noting, 1, 0);
    let mut drawn: Vec<[usize; 2]> = whole.iter().map(|one| one.size).collect();
    drawn.dedup();
    assert!(drawn.len() > 1, "{drawn:?}");
    for start in [1, 9, 10, 13, 23] {
        assert_eq!(asked(&task, &noting, 1, start), whole[start..]);
    }
}

#[test]
fn the_last_epochs_have_an_augmentation_and_a_loss_of_their_own() {
    let (task, noting) = task();
    let mirrored = Augmentation::new().then(RandomHorizontalFlip::new(1.).unwrap());
    let task = task.with_late_augmentation(2, mirrored);
    let mirror = |boxes: Vec<[f32; 4]>| -> Vec<[f32; 4]> {
        let width = SIDE as f32;
        let mirror = |[x1, y1, x2, y2]: [f32; 4]| [width - x2, y1, width - x1, y2];
        boxes.into_iter().map(mirror).collect()
    };
    for number in 0..4 {
        for one in asked(&task, &noting, number, 0) {
            assert_eq!(one.is_late, number >= 2);
            let is_of = |index: usize| {
                let boxes = boxes_of(index, one.size);
                let expected = if number >= 2 { mirror(boxes) } else { boxes };
                are_close(&expected, &one.boxes)
            };
            assert!((0..SAMPLES).any(is_of), "{number} {one:?}");
        }
    }
}

#[test]
fn the_loss_is_the_sum_of_its_parts() {
    let (task, _) = task();
    let epoch = Epoch {
        number: 0,
        start: 0,
        key: Key::new(3),
    };
    let batch = task.batches(&epoch).unwrap().next().unwrap().unwrap();
    let losses = task.loss(&batch, &Context::eval()).unwrap();
    assert_eq!(losses.total.to_scalar::<f32>().unwrap(), 3.);
    let named = [("place_loss", 1.), ("class_loss", 2.)];
    let found = losses
        .named
        .iter()
        .map(|(name, value)| (name.as_str(), *value));
    assert!(found.eq(named));
}

#[test]
fn sizes_that_the_network_cannot_take_are_refused() {
    for size in [[48, 64], [64, 0]] {
        let (task, _) = task();
        let message = task.with_sizes(vec![size]).map(|_| ()).unwrap_err();
        assert!(message.to_string().contains("multiples of 32"), "{message}");
    }
}

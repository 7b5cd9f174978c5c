//! What an attack cannot work with is refused when it is said, by name.
#![allow(clippy::unwrap_used, clippy::panic)]

use cnn_robust::attack::{
    AttackBatch, CarliniWagner, DeepFool, Fgsm, HopSkipJump, MiFgsm, MinimalSize, Motion, OnePixel,
    Patch, PatchPlace, PatchTraining, RFgsm, Spatial, SpatialSearch, Spsa, Universal,
};
use cnn_robust::{AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits, Norm, Threat};

fn refused<T>(result: Result<T, Error>, name: &str) {
    match result.map(|_| ()) {
        Err(Error::Argument(error)) => {
            let message = error.to_string();
            assert!(message.contains(name), "{message}");
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn numbers_out_of_their_range() {
    let motion = |degrees, down, right| Motion {
        degrees,
        down,
        right,
    };
    let spatial = Spatial::new(motion(30., 3., 3.)).unwrap();
    let spsa = Spsa::new(0.1).unwrap();
    let universal = Universal::new(Threat::linf(0.1).unwrap());
    for wrong in [-1., f64::NAN, f64::INFINITY] {
        let fgsm = Fgsm::new(0.1).unwrap();
        refused(fgsm.with_step_size(wrong), "step_size");
        refused(RFgsm::new(0.1).unwrap().with_step_size(wrong), "step_size");
        let momentum = MiFgsm::new(0.1).unwrap();
        refused(momentum.with_step_size(wrong), "step_size");
        refused(momentum.with_decay(wrong), "decay");
        refused(DeepFool::new().with_overshoot(wrong), "overshoot");
        refused(CarliniWagner::new().with_weight(wrong), "weight");
        refused(CarliniWagner::new().with_confidence(wrong), "confidence");
        refused(CarliniWagner::new().with_step_size(wrong), "step_size");
        refused(OnePixel::new().with_factor(wrong), "factor");
        refused(spsa.with_reach(wrong), "reach");
        refused(spsa.with_step_size(wrong), "step_size");
        refused(universal.with_step_size(wrong), "step_size");
        refused(universal.with_bound(wrong), "bound");
        refused(Spatial::new(motion(wrong, 0., 0.)), "degrees");
        refused(Spatial::new(motion(0., wrong, 0.)), "down");
        refused(Spatial::new(motion(0., 0., wrong)), "right");
        refused(MinimalSize::up_to(wrong), "largest");
        refused(PatchTraining::new(wrong), "share");
    }
    refused(PatchTraining::new(0.), "share");
    refused(MinimalSize::up_to(0.), "largest");
    refused(DeepFool::new().with_candidates(0), "candidates");
    refused(CarliniWagner::new().with_search_steps(0), "search_steps");
    refused(OnePixel::new().with_pixels(0), "pixels");
    refused(OnePixel::new().with_population(3), "population");
    refused(spsa.with_directions(0), "directions");
    refused(HopSkipJump::new(Norm::L1), "norm");
    refused(
        HopSkipJump::new(Norm::L2).unwrap().with_directions(0),
        "directions",
    );
    refused(universal.with_rounds(0), "rounds");
    refused(PatchTraining::new(0.1).unwrap().with_rounds(0), "rounds");
    for search in [
        SpatialSearch::Grid {
            rotations: 0,
            shifts: 1,
        },
        SpatialSearch::Grid {
            rotations: 1,
            shifts: 0,
        },
        SpatialSearch::Random { tries: 0 },
    ] {
        refused(spatial.with_search(search), "0");
    }
}

/// Its scores are the sums of an image's left and right half.
struct Halves;

impl AttackedModel for Halves {
    fn num_classes(&self) -> usize {
        2
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        let sums = (0..images.len()).flat_map(|index| {
            let values = images.image(index);
            let half = values.len() / 2;
            [values[..half].iter().sum(), values[half..].iter().sum()]
        });
        let sums = Images::new(images.len(), [1, 1, 2], sums.collect())?;
        let sums = sums.to_nhwc(candle_core::DType::F64)?;
        Logits::from_tensor(&sums.flatten_from(1)?)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        let logits = self.logits(images)?;
        let mut gradient = images.zeros_like();
        let mut losses = Vec::new();
        for index in 0..images.len() {
            let mut upstream = [0.; 2];
            losses.push(loss.loss(index, logits.row(index), &mut upstream));
            let half = images.values_per_image() / 2;
            for (place, value) in gradient.image_mut(index).iter_mut().enumerate() {
                *value = upstream[place / half];
            }
        }
        Ok(ImageGradient {
            logits,
            losses,
            images: gradient,
        })
    }
}

fn batch(size: [usize; 3]) -> AttackBatch<'static> {
    let values = vec![0.5; 2 * size.iter().product::<usize>()];
    AttackBatch::new(Images::new(2, size, values).unwrap(), vec![0, 0]).unwrap()
}

fn patch() -> Patch {
    let training = PatchTraining::new(0.25).unwrap();
    let batches = [batch([1, 4, 2])];
    training.train(&Halves, &batches).unwrap()
}

#[test]
fn images_of_another_size() {
    let [small, large] = [batch([1, 4, 2]), batch([2, 4, 2])];
    let universal = Universal::new(Threat::linf(0.1).unwrap());
    refused(universal.find(&Halves, &[]), "batches");
    refused(
        universal.find(&Halves, &[small.clone(), large.clone()]),
        "images",
    );
    let found = universal
        .find(&Halves, std::slice::from_ref(&small))
        .unwrap();
    refused(found.apply(large.images()), "images");
    let training = PatchTraining::new(0.25).unwrap();
    refused(training.train(&Halves, &[]), "batches");
    let place = |row, column| PatchPlace { row, column };
    let patch = patch();
    assert_eq!(patch.pixels().size(), [1, 1, 2]);
    refused(patch.apply(small.images(), &[place(0, 0)]), "places");
    for wrong in [place(1, 0), place(0, 4), place(usize::MAX, usize::MAX)] {
        refused(patch.apply(small.images(), &[place(0, 0), wrong]), "images");
    }
    refused(
        patch.apply(batch([1, 4, 3]).images(), &[place(0, 0); 2]),
        "images",
    );
}

#[test]
fn a_linear_model_gives_the_changes_that_are_known() {
    let small = batch([1, 4, 2]);
    // The whole change lies where the loss grows: less in the left half, more in the right one.
    let universal = Universal::new(Threat::linf(0.1).unwrap());
    let found = universal
        .find(&Halves, std::slice::from_ref(&small))
        .unwrap();
    assert_eq!(
        found.change().values(),
        [-0.1, -0.1, -0.1, -0.1, 0.1, 0.1, 0.1, 0.1]
    );
    let l2 = Universal::new(Threat::new(Norm::L2, 1.).unwrap());
    let found = l2.find(&Halves, std::slice::from_ref(&small)).unwrap();
    for (value, sign) in found
        .change()
        .values()
        .iter()
        .zip([-1., -1., -1., -1., 1., 1., 1., 1.])
    {
        assert!((value - sign / 8_f64.sqrt()).abs() < 1e-9);
    }
}

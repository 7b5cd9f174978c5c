//! What an attack cannot work with is refused when it is said, by name.
#![allow(clippy::unwrap_used, clippy::panic)]

use cnn_layers::Mode;
use cnn_models::{ModelConfig, Network};
use cnn_robust::attack::{
    Apgd, Attack, AttackBatch, AutoAttack, CarliniWagner, DeepFool, FabT, Fgsm, HopSkipJump,
    MiFgsm, MinimalSize, Motion, OnePixel, Patch, PatchPlace, PatchTraining, Pgd, RFgsm, Spatial,
    SpatialSearch, Spsa, Square, Universal,
};
use cnn_robust::{
    ATTACKS, AttackSettings, AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits, Norm,
    PixelClassifier, RobustnessMeter, Threat, diagnose, sweep,
};

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
        let pgd = Pgd::new(Threat::linf(0.1).unwrap());
        refused(pgd.with_step_size(wrong), "step_size");
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

/// Two images of which the second has a class that the model lacks, as its label or its target.
fn strange() -> [(&'static str, AttackBatch<'static>); 2] {
    let batch = batch([1, 4, 2]);
    let images = || batch.images().clone();
    let labelled = AttackBatch::new(images(), vec![0, 2]).unwrap();
    let aimed = AttackBatch::new(images(), vec![0, 0]).unwrap();
    let aimed = aimed.with_targets(vec![1, u32::MAX]).unwrap();
    [("labels", labelled), ("targets", aimed)]
}

#[test]
fn classes_that_the_model_lacks() {
    let threat = Threat::linf(0.1).unwrap();
    for (name, batch) in strange() {
        let batches = [batch.clone()];
        for named in ATTACKS {
            let mut settings = AttackSettings::new(Threat {
                norm: named.norms[0],
                ..threat
            });
            settings.steps = Some(2);
            match named.build(&settings, &Halves, &batches) {
                Ok(judged) => refused(judged.attack().run(&Halves, &batch), name),
                // Those that learn look at the images as soon as they are built.
                Err(error) => {
                    assert!(named.learns, "{}: {error}", named.name);
                    refused::<()>(Err(error), name);
                }
            }
        }
        let whole = AutoAttack::cheap(threat);
        refused(whole.report(&Halves, &batch), name);
        let fgsm = |eps| Ok(Box::new(Fgsm::new(eps)?) as Box<dyn Attack>);
        let search = MinimalSize::up_to(0.1).unwrap();
        refused(search.find(&Halves, &batch, fgsm), name);
        refused(sweep(&Halves, &batches, &[0.1], &fgsm), name);
        refused(diagnose(&Halves, &batches, threat), name);
        let mut meter = RobustnessMeter::new(Vec::new());
        refused(meter.add(&Halves, &batch), name);
        refused(batch.check(&Halves), name);
    }
}

#[test]
fn images_that_a_network_cannot_take() {
    let network = Network::new("lenet5", &ModelConfig::default(), 0).unwrap();
    let model = PixelClassifier::new(network.model(), network.preprocessing()).unwrap();
    let scorer = network.build(Mode::Inference).unwrap();
    let scored = PixelClassifier::new(network.model(), network.preprocessing()).unwrap();
    let scored = scored.with_scorer(scorer.as_ref());
    let threat = Threat::linf(0.1).unwrap();
    let attacks: [Box<dyn Attack>; 5] = [
        Box::new(Pgd::new(threat).with_steps(1)),
        Box::new(Apgd::dlr(threat).with_steps(1)),
        Box::new(FabT::new(threat).with_steps(1)),
        Box::new(Square::new(threat).with_queries(1)),
        Box::new(DeepFool::new().with_steps(1)),
    ];
    for size in [[32, 28, 1], [4, 3, 1], [1, 1, 1], [0, 28, 1]] {
        for attack in &attacks {
            for model in [&model, &scored] {
                let error = attack.run(model, &batch(size)).unwrap_err();
                let is_of_a_layer = matches!(error, Error::Layer(_) | Error::Tensor(_));
                assert!(is_of_a_layer, "{size:?}: {error:?}");
            }
        }
    }
    // The number of channels is known before any layer.
    for attack in &attacks {
        refused(attack.run(&model, &batch([28, 28, 3])), "channels");
    }
}

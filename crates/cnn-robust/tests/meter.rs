//! What the meter, the sweep and the batches of a dataset say is what happened.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use candle_core::DType;
use cnn_core::{CropMode, Preprocessing};
use cnn_data::{Dataset, Image, Shapes, ShapesConfig};
use cnn_models::{ModelConfig, Network, find};
use cnn_robust::attack::{Attack, AttackBatch, DeepFool, Fgsm, Pgd};
use cnn_robust::{
    ATTACKS, AttackSettings, AttackedModel, Error, ImageGradient, Images, JudgedAttack, LogitLoss,
    Logits, Norm, PixelBatches, PixelClassifier, RobustnessMeter, RobustnessResult, Threat, sweep,
};

const COUNT: usize = 12;
const SIZE: [usize; 3] = [10, 8, 3];

fn network() -> Network {
    let spec = *find("resnet8_cifar10").unwrap();
    Network::with_dtype(spec, &ModelConfig::default(), 0, DType::F64).unwrap()
}

fn model(network: &Network) -> PixelClassifier<'_> {
    let model = PixelClassifier::new(network.model(), network.preprocessing()).unwrap();
    model.with_dtype(DType::F64)
}

/// Noise, of which the network errs on every fourth image.
fn batch(model: &dyn AttackedModel) -> AttackBatch<'static> {
    let mut rng = cnn_core::Key::new(5).rng();
    let values = (0..COUNT * SIZE.iter().product::<usize>()).map(|_| rng.uniform());
    let images = Images::new(COUNT, SIZE, values.collect()).unwrap();
    let mut labels = model.logits(&images).unwrap().predictions();
    labels
        .iter_mut()
        .step_by(4)
        .for_each(|label| *label = (*label + 1) % 10);
    AttackBatch::new(images, labels).unwrap()
}

/// The figures, which do not tell how long it took.
fn figures(meter: &RobustnessMeter) -> RobustnessResult {
    let mut result = meter.result();
    result
        .attacks
        .iter_mut()
        .for_each(|attack| attack.seconds = 0.);
    result
}

#[test]
fn without_a_size_every_attack_leaves_the_clean_accuracy() {
    let network = network();
    let model = model(&network);
    let batch = batch(&model).select(&[0, 1, 2, 4, 5]);
    let mut tried = 0;
    for named in ATTACKS {
        for &norm in named.norms {
            let mut settings = AttackSettings::new(Threat::new(norm, 0.).unwrap());
            settings.steps = Some(3);
            settings.queries = Some(5);
            let batches = [batch.clone()];
            let judged = named.build(&settings, &model, &batches).unwrap();
            // Rotations, patches and pixels have no size.
            let Some(limit) = judged.limit() else {
                continue;
            };
            assert_eq!(limit.eps, 0.);
            let mut meter = RobustnessMeter::new(vec![judged]);
            meter.add(&model, &batch).unwrap();
            let result = meter.result();
            assert_eq!((result.samples, result.clean_correct), (5, 3));
            assert_eq!(result.worst_correct, 3, "{} {norm}", named.name);
            assert_eq!(result.worst_top1(), result.clean_top1());
            tried += 1;
        }
    }
    assert!(tried >= 30, "{tried}");
}

/// Turns the images of some places black, and says so to no one.
struct Blackens(&'static str, Vec<u64>, Option<Threat>);

impl Attack for Blackens {
    fn name(&self) -> &'static str {
        self.0
    }

    fn threat(&self) -> Option<Threat> {
        self.2
    }

    fn attack(&self, _: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let mut images = batch.images().clone();
        for (index, sample) in batch.samples().iter().enumerate() {
            if self.1.contains(sample) {
                images.image_mut(index).fill(0.);
            }
        }
        Ok(images)
    }
}

/// Says class 1 of black images and class 0 of others; of images that begin with 1 it knows
/// nothing.
struct Black;

impl AttackedModel for Black {
    fn num_classes(&self) -> usize {
        3
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        let scores = (0..images.len()).flat_map(|index| {
            let image = images.image(index);
            if image.iter().all(|value| *value == 0.) {
                [0., 1., 0.]
            } else if image[0] == 1. {
                [f64::NAN, 0., 0.]
            } else {
                [1., 0., 0.]
            }
        });
        let scores = Images::new(images.len(), [1, 1, 3], scores.collect())?;
        Logits::from_tensor(&scores.to_nhwc(DType::F64)?.reshape((images.len(), 3))?)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        let logits = self.logits(images)?;
        let losses = logits.rows().enumerate();
        let losses = losses.map(|(index, row)| loss.loss(index, row, &mut [0.; 3]));
        Ok(ImageGradient {
            losses: losses.collect(),
            images: images.zeros_like(),
            logits,
        })
    }
}

/// Six grey images, of which the last has another label.
fn grey() -> AttackBatch<'static> {
    let images = Images::new(6, [2, 2, 1], vec![0.5; 24]).unwrap();
    let batch = AttackBatch::new(images, vec![0, 0, 0, 0, 0, 2]).unwrap();
    batch.with_samples((10..16).collect()).unwrap()
}

#[test]
fn the_worst_is_that_of_each_image() {
    let attack = |name, samples: &[u64], limit| {
        JudgedAttack::new(Box::new(Blackens(name, samples.to_vec(), limit)))
    };
    let large = Threat::new(Norm::L2, 1.).unwrap();
    let small = Threat::new(Norm::L2, 0.9).unwrap();
    let mut meter = RobustnessMeter::new(vec![
        attack("two", &[10, 11], None),
        attack("others", &[11, 12, 15], Some(large)),
        // What it finds is larger than what it may find: grey to black is 1 in L2.
        attack("too much", &[13], Some(small)),
        attack("smallest", &[13], None).within(small),
    ]);
    let seen = meter.add(&Black, &grey()).unwrap();
    let result = meter.result();
    let fooled: Vec<usize> = result.attacks.iter().map(|attack| attack.fooled).collect();
    assert_eq!(fooled, [2, 2, 0, 0]);
    assert_eq!((result.samples, result.clean_correct), (6, 5));
    assert_eq!(result.worst_correct, 2);
    assert!((result.worst_top1() - 2. / 6.).abs() < 1e-15);
    assert!((result.attacks[0].robust_top1() - 3. / 6.).abs() < 1e-15);
    assert!((result.attacks[0].success_rate() - 2. / 5.).abs() < 1e-15);
    assert_eq!(
        (result.attacks[0].mean_l2, result.attacks[0].mean_linf),
        (1., 0.5)
    );
    assert_eq!(result.attacks[1].sizes, [1., 1.]);
    assert_eq!(seen.clean_predictions, [0; 6]);
    assert_eq!(seen.attacks[1].predictions, [0, 1, 1, 0, 0, 0]);
    assert_eq!(
        seen.attacks[1].fooled,
        [false, true, true, false, false, false]
    );
    assert_eq!(seen.attacks[1].images.image(5), [0.5; 4]);
}

#[test]
fn calibration_is_of_all_images_as_an_attack_leaves_them() {
    let attack = |name, limit| JudgedAttack::new(Box::new(Blackens(name, vec![10, 11], limit)));
    let small = Threat::new(Norm::L2, 0.9).unwrap();
    let mut meter =
        RobustnessMeter::new(vec![attack("two", None), attack("too much", Some(small))]);
    meter.add(&Black, &grey()).unwrap();
    let result = meter.result();
    // The softmax of 1, 0, 0, which is what it says of every image.
    let sure = 1f64.exp() / (1f64.exp() + 2.);
    let errors = [
        (&result.reliability, 5. / 6.),
        (&result.attacks[0].reliability, 3. / 6.),
        (&result.attacks[1].reliability, 5. / 6.),
    ];
    for (reliability, right) in errors {
        assert!((reliability.mean_confidence().unwrap() - sure).abs() < 1e-7);
        assert!((reliability.ece().unwrap() - f64::abs(right - sure)).abs() < 1e-7);
    }
}

#[test]
fn a_smallest_change_counts_up_to_its_limit() {
    let network = network();
    let model = model(&network);
    let batch = batch(&model);
    let judged = |eps| {
        let limit = Threat::new(Norm::L2, eps).unwrap();
        JudgedAttack::new(Box::new(DeepFool::new())).within(limit)
    };
    let of = |eps| {
        let mut meter = RobustnessMeter::new(vec![judged(eps)]);
        meter.add(&model, &batch).unwrap();
        meter.result().attacks.remove(0)
    };
    let all = of(1e9);
    assert_eq!((all.attacked, all.fooled, all.sizes.len()), (9, 9, 9));
    assert!(all.sizes.is_sorted());
    let middle = f64::midpoint(all.sizes[3], all.sizes[4]);
    let some = of(middle);
    assert_eq!((some.fooled, &some.sizes[..]), (4, &all.sizes[..4]));
    // A change of exactly the allowed size counts.
    assert_eq!(of(all.sizes[3]).fooled, 4);
}

#[test]
fn figures_do_not_depend_on_the_batches() {
    let network = network();
    let model = model(&network);
    let whole = batch(&model);
    let of = |size: usize| {
        let threat = Threat::linf(1. / 255.).unwrap();
        let mut meter = RobustnessMeter::new(vec![
            JudgedAttack::new(Box::new(Fgsm::new(threat.eps).unwrap())),
            JudgedAttack::new(Box::new(Pgd::new(threat).with_steps(4))),
        ]);
        let places: Vec<usize> = (0..whole.len()).collect();
        for part in places.chunks(size) {
            meter.add(&model, &whole.select(part)).unwrap();
        }
        figures(&meter)
    };
    let expected = of(COUNT);
    assert!(expected.attacks[1].fooled > 0 && expected.worst_correct > 0);
    for size in [1, 5] {
        let found = of(size);
        let counts = |result: &RobustnessResult| {
            let of_attack = result
                .attacks
                .iter()
                .map(|it| (it.attacked, it.fooled, it.queries));
            let of_attack: Vec<_> = of_attack.collect();
            (result.clean_correct, result.worst_correct, of_attack)
        };
        assert_eq!(counts(&found), counts(&expected));
        for (found, expected) in found.attacks.iter().zip(&expected.attacks) {
            assert!((found.mean_linf - expected.mean_linf).abs() < 1e-12);
            assert!((found.mean_l2 - expected.mean_l2).abs() < 1e-12);
            let pairs = found.sizes.iter().zip(&expected.sizes);
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }
}

#[test]
fn scores_that_are_not_finite_are_an_error_of_their_image() {
    let mut images = Images::new(3, [2, 2, 1], vec![0.5; 12]).unwrap();
    images.image_mut(2)[0] = 1.;
    let batch = AttackBatch::new(images, vec![0; 3]).unwrap();
    let batch = batch.with_samples(vec![7, 8, 40]).unwrap();
    let mut meter = RobustnessMeter::new(Vec::new());
    match meter.add(&Black, &batch) {
        Err(Error::NotFinite { sample: 40 }) => {}
        other => panic!("{other:?}"),
    }
    // What failed is not counted.
    assert_eq!(meter.result().samples, 0);
}

#[test]
fn a_target_is_fooled_by_itself_alone() {
    let of = |target| {
        let batch = grey().with_targets(vec![target; 6]).unwrap();
        let attack = Blackens("all", (10..16).collect(), None);
        let mut meter = RobustnessMeter::new(vec![JudgedAttack::new(Box::new(attack))]);
        meter.add(&Black, &batch).unwrap();
        meter.result()
    };
    assert_eq!((of(1).attacks[0].fooled, of(1).worst_correct), (5, 0));
    assert_eq!((of(2).attacks[0].fooled, of(2).worst_correct), (0, 5));
}

#[test]
fn nothing_comes_of_nothing() {
    let none = Images::new(0, [2, 2, 1], Vec::new()).unwrap();
    let batch = AttackBatch::new(none, Vec::new()).unwrap();
    let attack = JudgedAttack::new(Box::new(Pgd::new(Threat::linf(0.1).unwrap())));
    let mut meter = RobustnessMeter::new(vec![attack]);
    let seen = meter.add(&Black, &batch).unwrap();
    assert!(seen.clean_predictions.is_empty() && seen.attacks[0].images.is_empty());
    let result = meter.result();
    assert_eq!(
        (result.samples, result.clean_top1(), result.worst_top1()),
        (0, 0., 0.)
    );
    assert!(result.worst_interval().is_err());
    // All images wrong: there is nothing to attack, and an accuracy of 0.
    let wrong = AttackBatch::new(grey().images().clone(), vec![2; 6]).unwrap();
    meter.add(&Black, &wrong).unwrap();
    let result = meter.result();
    assert_eq!((result.samples, result.attacks[0].attacked), (6, 0));
    assert_eq!(result.attacks[0].robust_top1(), 0.);
}

#[test]
fn the_curve_begins_with_the_clean_accuracy_and_falls() {
    let network = network();
    let model = model(&network);
    let whole = batch(&model);
    let batches = [
        whole.select(&[0, 1, 2, 3, 4]),
        whole.select(&[5, 6, 7, 8, 9, 10, 11]),
    ];
    let sizes = [0.1, 0., 0.25 / 255., 1. / 255., 0.5 / 255.];
    let points = sweep(&model, &batches, &sizes, &|eps| {
        Ok(Box::new(Pgd::new(Threat::linf(eps)?).with_steps(5)))
    });
    let points = points.unwrap();
    assert!(points.is_sorted_by(|a, b| a.eps < b.eps && a.robust_top1 >= b.robust_top1));
    assert_eq!(points[0].robust_top1, 0.75);
    let all: Vec<f64> = points.iter().map(|point| point.robust_top1).collect();
    assert!(
        all[4] < 0.5 && all[1..4].iter().any(|share| *share > all[4]),
        "{all:?}"
    );
    for point in &points {
        let range = point.interval.low..=point.interval.high;
        assert!(range.contains(&point.robust_top1));
    }
}

fn shapes(samples: usize) -> Arc<dyn Dataset> {
    Arc::new(Shapes::new(ShapesConfig::default().with_samples(samples)).unwrap())
}

fn collected(batches: &PixelBatches) -> Vec<AttackBatch<'static>> {
    let mut found = Vec::new();
    let skipped = batches.for_each(
        |index| Ok((index % 3 != 1).then_some(index as u32 % 10)),
        |batch| {
            found.push(batch.clone());
            Ok(())
        },
    );
    assert!(skipped.unwrap().is_empty());
    found
}

#[test]
fn images_of_a_dataset_are_its_bytes_and_unknown_ones_are_left_out() {
    let dataset = shapes(10);
    let native: Image = dataset.read(0).unwrap().image;
    let record = Preprocessing {
        input_size: [3, native.height(), native.width()],
        crop_pct: 1.,
        ..Preprocessing::default()
    };
    let border = Preprocessing {
        crop_mode: CropMode::Border,
        ..record.clone()
    };
    let bgr = Preprocessing {
        color_order: cnn_core::ColorOrder::Bgr,
        value_range: [0., 255.],
        mean: vec![104., 117., 123.],
        std: vec![1.; 3],
        ..record.clone()
    };
    for record in [record, border, bgr] {
        let batches = PixelBatches::new(dataset.clone(), &record).unwrap();
        let found = collected(&batches.with_batch_size(4));
        let samples: Vec<u64> = found.iter().flat_map(|it| it.samples().to_vec()).collect();
        assert_eq!(samples, [0, 2, 3, 5, 6, 8, 9]);
        for batch in &found {
            for (index, &sample) in batch.samples().iter().enumerate() {
                assert_eq!(batch.labels()[index], sample as u32 % 10);
                let image = dataset.read(sample as usize).unwrap().image;
                let pairs = batch.images().image(index).iter().zip(image.bytes());
                for (value, byte) in pairs {
                    assert!((0. ..=1.).contains(value));
                    assert!((value - f64::from(*byte) / 255.).abs() < 1e-6);
                }
            }
        }
    }
}

#[test]
fn a_border_is_of_the_mean_colour() {
    let record = Preprocessing {
        input_size: [3, 32, 64],
        crop_pct: 1.,
        crop_mode: CropMode::Border,
        mean: vec![0.2, 0.4, 0.6],
        std: vec![0.5; 3],
        ..Preprocessing::default()
    };
    let batches = PixelBatches::new(shapes(3), &record).unwrap();
    let found = collected(&batches);
    assert_eq!((found.len(), found[0].len()), (1, 2));
    let images = found[0].images();
    assert_eq!(images.size(), [32, 64, 3]);
    for index in 0..2 {
        let corner = &images.image(index)[..3];
        for (value, mean) in corner.iter().zip([0.2, 0.4, 0.6]) {
            assert!((value - mean).abs() < 0.003, "{corner:?}");
        }
    }
}

#[test]
fn a_batch_size_of_nothing_and_errors_on_the_way_are_told() {
    let record = Preprocessing {
        input_size: [3, 32, 32],
        ..Preprocessing::default()
    };
    let batches = || PixelBatches::new(shapes(3), &record).unwrap();
    let none = batches().with_batch_size(0);
    assert!(none.for_each(|_| Ok(Some(0)), |_| Ok(())).is_err());
    let failing = || Error::Other("no such class".into());
    let of_label = batches().for_each(|_| Err(failing()), |_| Ok(()));
    let of_batch = batches().for_each(|_| Ok(Some(0)), |_| Err(failing()));
    for result in [of_label, of_batch] {
        assert_eq!(result.unwrap_err().to_string(), "no such class");
    }
    let broken = Preprocessing {
        std: vec![0.; 3],
        ..record.clone()
    };
    assert!(PixelBatches::new(shapes(3), &broken).is_err());
}

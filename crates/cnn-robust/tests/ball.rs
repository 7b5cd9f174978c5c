//! No image leaves 0..1 or the ball, whatever the attack, the norm and the size; without a size
//! nothing changes; and what becomes of an image does not depend on its batch.
#![allow(clippy::unwrap_used, clippy::panic)]

use cnn_core::Key;
use cnn_layers::Mode;
use cnn_models::{ModelConfig, Network};
use cnn_robust::attack::{
    Apgd, Attack, AttackBatch, AutoAttack, CarliniWagner, DeepFool, FabT, Fgsm, HopSkipJump,
    MiFgsm, Motion, OnePixel, Pgd, RFgsm, Spatial, SpatialSearch, Spsa, Square, Verdict,
};
use cnn_robust::{AttackedModel, Counted, Images, Norm, PixelClassifier, Threat};

const COUNT: usize = 6;
const SIZE: [usize; 3] = [10, 8, 3];

/// Random images, of which some values are black or white already.
fn images() -> Images {
    let mut rng = Key::new(5).rng();
    let count = COUNT * SIZE.iter().product::<usize>();
    let values = (0..count).map(|_| rng.uniform_in(-0.2, 1.2).clamp(0., 1.));
    Images::new(COUNT, SIZE, values.collect()).unwrap()
}

/// Every attack with a ball, at a size.
fn attacks(norm: Norm, eps: f64) -> Vec<Box<dyn Attack>> {
    let threat = Threat::new(norm, eps).unwrap();
    let pgd = Pgd::new(threat).with_steps(4);
    let apgd_t = Apgd::targeted(threat).with_steps(5).with_target_classes(2);
    let mut attacks: Vec<Box<dyn Attack>> = vec![
        Box::new(pgd),
        Box::new(pgd.with_random_start(false)),
        Box::new(pgd.with_restarts(2).with_early_stop(true)),
        Box::new(Apgd::cross_entropy(threat).with_steps(5).with_restarts(2)),
        Box::new(Apgd::dlr(threat).with_steps(5)),
        Box::new(apgd_t),
        Box::new(apgd_t.with_shrinking_ball(true).with_early_stop(true)),
        Box::new(FabT::new(threat).with_steps(4).with_target_classes(2)),
        Box::new(FabT::new(threat).with_steps(3).with_restarts(2)),
        Box::new(Square::new(threat).with_queries(20)),
    ];
    if norm == Norm::Linf {
        let fgsm = Fgsm::new(eps).unwrap();
        attacks.push(Box::new(fgsm));
        attacks.push(Box::new(fgsm.with_random_start()));
        attacks.push(Box::new(RFgsm::new(eps).unwrap().with_steps(3)));
        attacks.push(Box::new(MiFgsm::new(eps).unwrap().with_steps(3)));
        let spsa = Spsa::new(eps).unwrap().with_steps(3);
        attacks.push(Box::new(spsa.with_directions(4).unwrap()));
    }
    attacks
}

/// Every attack without a ball.
fn free_attacks() -> Vec<Box<dyn Attack>> {
    let limits = Motion {
        degrees: 20.,
        down: 1.,
        right: 2.,
    };
    let search = SpatialSearch::Random { tries: 3 };
    let pixel = OnePixel::new().with_population(6).unwrap();
    let weights = CarliniWagner::new().with_search_steps(3).unwrap();
    let jump = |norm| HopSkipJump::new(norm).unwrap().with_steps(2);
    vec![
        Box::new(DeepFool::new().with_steps(5)),
        Box::new(weights.with_steps(20)),
        Box::new(pixel.with_generations(2)),
        Box::new(jump(Norm::L2).with_directions(10).unwrap()),
        Box::new(jump(Norm::Linf).with_directions(10).unwrap()),
        Box::new(Spatial::new(limits).unwrap().with_search(search).unwrap()),
    ]
}

fn sizes(norm: Norm) -> [f64; 4] {
    match norm {
        Norm::Linf => [0., 1. / 255., 8. / 255., 0.6],
        Norm::L2 => [0., 0.1, 0.5, 5.],
        Norm::L1 => [0., 0.5, 5., 60.],
    }
}

#[test]
fn no_image_leaves_the_ball() {
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    let scorer = network.build(Mode::Inference).unwrap();
    let model = PixelClassifier::new(network.model(), network.preprocessing())
        .unwrap()
        .with_scorer(scorer.as_ref());
    let images = images();
    let labels = model.logits(&images).unwrap().predictions();
    for targets in [None, Some(vec![1; COUNT])] {
        let mut batch = AttackBatch::new(images.clone(), labels.clone()).unwrap();
        if let Some(targets) = targets {
            batch = batch.with_targets(targets).unwrap();
        }
        for norm in Norm::ALL {
            for eps in sizes(norm) {
                for attack in attacks(norm, eps) {
                    let adversarial = attack.run(&model, &batch).unwrap();
                    let change = adversarial.minus(&images);
                    for index in 0..COUNT {
                        let size = norm.size(change.image(index));
                        let what = format!("{} {norm} {eps}: {size}", attack.name());
                        assert!(size <= eps + 1e-9, "{what}");
                    }
                    let mut values = adversarial.values().iter();
                    assert!(values.all(|value| (0. ..=1.).contains(value)));
                }
            }
        }
    }
}

#[test]
fn an_image_is_attacked_the_same_in_any_batch() {
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    let model = PixelClassifier::new(network.model(), network.preprocessing()).unwrap();
    let images = images();
    let labels = model.logits(&images).unwrap().predictions();
    let batch = AttackBatch::new(images, labels).unwrap();
    let of_norm = |norm| attacks(norm, sizes(norm)[2]);
    let in_balls = Norm::ALL.into_iter().flat_map(of_norm);
    for attack in in_balls.chain(free_attacks()) {
        let whole = attack.run(&model, &batch).unwrap();
        let some = [4, 1];
        let part = attack.run(&model, &batch.select(&some)).unwrap();
        assert_eq!(part, whole.select(&some), "{}", attack.name());
        let mut values = whole.values().iter();
        let name = attack.name();
        assert!(values.all(|value| (0. ..=1.).contains(value)), "{name}");
    }
}

#[test]
fn an_empty_batch_stays_empty() {
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    let model = PixelClassifier::new(network.model(), network.preprocessing()).unwrap();
    let none = Images::new(0, SIZE, Vec::new()).unwrap();
    let batch = AttackBatch::new(none, Vec::new()).unwrap();
    for attack in attacks(Norm::Linf, 0.1).into_iter().chain(free_attacks()) {
        match attack.run(&model, &batch) {
            Ok(images) => assert!(images.is_empty()),
            Err(error) => panic!("{}: {error}", attack.name()),
        }
    }
}

/// A network, and images of which it errs on the last.
struct Scene {
    network: Network,
    images: Images,
    labels: Vec<u32>,
}

impl Scene {
    fn new() -> Self {
        let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
        let model = PixelClassifier::new(network.model(), network.preprocessing()).unwrap();
        let images = images();
        let mut labels = model.logits(&images).unwrap().predictions();
        labels[COUNT - 1] = (labels[COUNT - 1] + 1) % 10;
        Self {
            network,
            images,
            labels,
        }
    }

    fn model(&self) -> PixelClassifier<'_> {
        PixelClassifier::new(self.network.model(), self.network.preprocessing()).unwrap()
    }

    fn batch(&self) -> AttackBatch<'static> {
        AttackBatch::new(self.images.clone(), self.labels.clone()).unwrap()
    }
}

#[test]
fn an_early_stop_changes_no_success() {
    let scene = Scene::new();
    let model = scene.model();
    let batch = scene.batch();
    for norm in Norm::ALL {
        let threat = Threat::new(norm, sizes(norm)[1]).unwrap();
        let apgd = Apgd::targeted(threat).with_steps(10).with_target_classes(2);
        let fab = FabT::new(threat).with_steps(10).with_target_classes(2);
        let pairs: [[&dyn Attack; 2]; 2] = [
            [&apgd, &apgd.with_early_stop(true)],
            [&fab, &fab.with_early_stop(true)],
        ];
        for pair in pairs {
            let [all, early] = pair.map(|attack| {
                let counted = Counted::new(&model);
                let found = attack.run(&counted, &batch).unwrap();
                let successes = batch.successes(&model.logits(&found).unwrap());
                assert_eq!(found.image(COUNT - 1), batch.images().image(COUNT - 1));
                (successes, counted.queries())
            });
            assert_eq!(all.0, early.0, "{} {norm}", pair[0].name());
            let some = early.0.iter().filter(|success| **success).count() > 1;
            assert!(!some || early.1.forward < all.1.forward);
        }
    }
}

#[test]
fn square_asks_no_more_about_what_it_fooled() {
    let scene = Scene::new();
    let model = scene.model();
    let batch = scene.batch();
    let counted = Counted::new(&model);
    let attack = Square::new(Threat::linf(0.6).unwrap()).with_queries(50);
    let found = attack.run(&counted, &batch).unwrap();
    let fooled = batch.successes(&model.logits(&found).unwrap());
    let stands = fooled.iter().filter(|fooled| !**fooled).count();
    let queries = counted.queries();
    assert_eq!(queries.backward, 0);
    // The clean images, then each that stands to the end 51 times, each other at least once.
    assert!(queries.forward >= COUNT + stands * 51 + (COUNT - 1 - stands));
    assert!(stands == COUNT - 1 || queries.forward < COUNT + (COUNT - 1) * 51);
}

#[test]
fn the_ensemble_says_which_member_succeeded() {
    let scene = Scene::new();
    let model = scene.model();
    let batch = scene.batch();
    let attack = AutoAttack::cheap(Threat::linf(1. / 255.).unwrap());
    let report = attack.report(&model, &batch).unwrap();
    assert_eq!(report.verdicts[COUNT - 1], Verdict::ErredBefore);
    let names = attack.members().iter().map(|member| member.name());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["apgd-ce", "apgd-t", "fab-t", "square"]
    );
    let fooled = batch.successes(&model.logits(&report.images).unwrap());
    let mut standing: Vec<usize> = (0..COUNT - 1).collect();
    for (place, member) in attack.members().iter().enumerate() {
        let part = batch.select(&standing);
        let found = member.run(&model, &part).unwrap();
        let successes = part.successes(&model.logits(&found).unwrap());
        for (index, image) in standing.clone().into_iter().enumerate() {
            let by_this = report.verdicts[image] == Verdict::FooledBy(place);
            assert_eq!(by_this, successes[index], "{} {image}", member.name());
        }
        standing.retain(|image| report.verdicts[*image] != Verdict::FooledBy(place));
    }
    for (index, verdict) in report.verdicts.iter().enumerate() {
        assert_eq!(fooled[index], *verdict != Verdict::Stands);
    }
    assert_eq!(attack.run(&model, &batch).unwrap(), report.images);
}

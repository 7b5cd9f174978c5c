//! Interval bounds: those of a plain program, never crossed by any image within the ball, and
//! training with them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bounded;
#[path = "../../../cnn-models/tests/common/formula.rs"]
mod formula;
mod training;

use candle_core::{DType, Device, Tensor};
use cnn_core::{Key, Preprocessing};
use cnn_layers::{
    Activate, Activation, Classifier, Context, FeatureMap, Flatten, Layer, LayerNorm2dConfig, Mode,
    Softmax, Store,
};
use cnn_models::{ModelConfig, Network, find};
use cnn_robust::attack::{Attack, AttackBatch, Pgd};
use cnn_robust::certify::{Certificate, CertifiedImages, IntervalBounds};
use cnn_robust::defence::{AdversarialConfig, AdversarialMethod, AdversarialStep, IntervalStep};
use cnn_robust::{AttackedModel, Draw, Draws, Error, Images, PixelClassifier, Threat};
use cnn_weights::TensorFile;

use bounded::{Mixed, Norms, Parts, Whole};
use formula::formula;

const SHAPE: [usize; 4] = [4, 3, 10, 8];
const LABELS: [u32; 4] = [0, 4, 2, 1];
const SIZES: [f64; 5] = [0., 1e-5, 1e-4, 1e-3, 1e-2];

fn record() -> Preprocessing {
    Preprocessing {
        input_size: [3, 10, 8],
        mean: vec![0.4, 0.5, 0.6],
        std: vec![0.2, 0.25, 0.3],
        ..Preprocessing::default()
    }
}

fn images(shape: &[usize; 4]) -> Images {
    let values = formula("images", shape, DType::F64);
    Images::from_nchw(&((values + 1.).unwrap() / 2.).unwrap()).unwrap()
}

fn set_by_formula(store: &Store) {
    for name in store.names() {
        let tensor = store.get(&name).unwrap();
        let value = formula(&name, tensor.dims(), tensor.dtype());
        store.set(&name, &value).unwrap();
    }
}

/// The network of the golden file, half of whose norms have a negative factor.
fn mixed(dtype: DType) -> (Store, Whole<Mixed>) {
    let store = Store::with_dtype(0, dtype, &Device::Cpu);
    let network = Mixed::build(&store, Mode::Eval, Norms::Batch);
    set_by_formula(&store);
    let signs = Tensor::new(&[1f64, -1., 1., -1., 1., -1.], &Device::Cpu).unwrap();
    for name in ["bn1.weight", "bn2.weight"] {
        let factors = store.get(name).unwrap().to_dtype(DType::F64).unwrap();
        store.set(name, &(factors * &signs).unwrap()).unwrap();
    }
    (store, network)
}

fn near(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < 1e-10,
            "{what}: {found} {expected}"
        );
    }
}

#[test]
fn bounds_are_those_of_a_plain_program() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let path = std::path::Path::new(directory).join("interval_bounds.safetensors");
    let file = TensorFile::open(&path).unwrap();
    let golden = |name: String| -> Vec<f64> {
        file.tensor(&name)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap()
    };
    let (store, network) = mixed(DType::F64);
    let bounds = IntervalBounds::new(&network, &store, &record()).unwrap();
    let images = images(&SHAPE);
    for (number, eps) in SIZES.into_iter().enumerate() {
        let scores = bounds.scores(&images, eps).unwrap();
        let leads = bounds.leads(&images, &LABELS, eps).unwrap();
        let found = [
            ("lower", scores.lower),
            ("upper", scores.upper),
            ("leads", leads),
        ];
        for (name, found) in found {
            let found: Vec<f64> = found.rows().flatten().copied().collect();
            let what = format!("{name} at {eps}");
            near(&found, &golden(format!("{number}.{name}")), &what);
        }
    }
}

/// What a network says of images, in f64, and its bounds.
struct Subject {
    name: String,
    network: Box<dyn Classifier>,
    record: Preprocessing,
    bounds: IntervalBounds,
}

impl Subject {
    fn new(
        name: &str,
        network: Box<dyn Classifier>,
        store: &Store,
        record: &Preprocessing,
    ) -> Self {
        Self {
            name: name.to_string(),
            bounds: IntervalBounds::new(network.as_ref(), store, record).unwrap(),
            network,
            record: record.clone(),
        }
    }

    /// A registered network with weights by the formula, for images of this size.
    fn registered(name: &str, input_size: [usize; 3]) -> Self {
        let spec = *find(name).unwrap();
        let [channels, height, width] = input_size;
        let config = ModelConfig {
            input_size: Some([height, width]),
            in_channels: Some(channels),
            ..ModelConfig::default()
        };
        let network = Network::with_dtype(spec, &config, 0, DType::F64).unwrap();
        set_by_formula(network.store());
        let record = Preprocessing {
            input_size,
            ..network.preprocessing().clone()
        };
        let model = network.build(Mode::Eval).unwrap();
        Self::new(name, model, network.store(), &record)
    }

    fn model(&self) -> PixelClassifier<'_> {
        let model = PixelClassifier::new(self.network.as_ref(), &self.record).unwrap();
        model.with_dtype(DType::F64)
    }

    fn images(&self, count: usize) -> Images {
        let [channels, height, width] = self.record.input_size;
        images(&[count, channels, height, width])
    }
}

fn subjects() -> Vec<Subject> {
    let (store, network) = mixed(DType::F64);
    let mut subjects = vec![Subject::new("mixed", Box::new(network), &store, &record())];
    let registered = [
        ("lenet5", [1, 20, 16]),
        ("lenet5_tanh", [1, 20, 16]),
        ("resnet8_cifar10", [3, 12, 16]),
        ("mobilenetv3_small_050", [3, 32, 48]),
    ];
    subjects.extend(registered.map(|(name, size)| Subject::registered(name, size)));
    subjects
}

/// Images within the ball around others: corners of it, points in it, and what PGD finds.
fn within(model: &dyn AttackedModel, images: &Images, answers: &[u32], eps: f64) -> Vec<Images> {
    let threat = Threat::linf(eps).unwrap();
    let batch = AttackBatch::new(images.clone(), answers.to_vec()).unwrap();
    let key = Key::new(7);
    let drawn = |number: u64| {
        let mut points = images.clone();
        for index in 0..points.len() {
            let image = points.image_mut(index);
            let draw = Draw::new("point", index as u64).in_step(number as usize);
            let drawn = key.normal(draw, image.len()).unwrap();
            for (value, drawn) in image.iter_mut().zip(drawn) {
                let is_corner = number < 3;
                let change = if is_corner {
                    drawn.signum()
                } else {
                    drawn.clamp(-1., 1.)
                };
                *value = (*value + eps * change).clamp(0., 1.);
            }
        }
        points
    };
    let mut points: Vec<Images> = (0..6).map(drawn).collect();
    points.push(Pgd::new(threat).with_steps(8).run(model, &batch).unwrap());
    points
}

#[test]
fn no_image_of_the_ball_leaves_the_bounds_or_a_certified_class() {
    for subject in subjects() {
        let model = subject.model();
        let images = subject.images(3);
        let answers = model.logits(&images).unwrap().predictions();
        let sizes = [1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1];
        let certificates = subject.bounds.certify(&images, &answers, &sizes).unwrap();
        let mut certified = 0;
        for eps in sizes {
            let bounds = subject.bounds.scores(&images, eps).unwrap();
            let leads = subject.bounds.leads(&images, &answers, eps).unwrap();
            for points in within(&model, &images, &answers, eps) {
                let scores = model.logits(&points).unwrap();
                for (index, row) in scores.rows().enumerate() {
                    let what = format!("{} at {eps}, image {index}: {row:?}", subject.name);
                    let own = row[answers[index] as usize];
                    for (class, score) in row.iter().enumerate() {
                        let slack = 1e-12 * (1. + score.abs());
                        assert!(bounds.lower.row(index)[class] <= score + slack, "{what}");
                        assert!(bounds.upper.row(index)[class] >= score - slack, "{what}");
                        assert!(leads.row(index)[class] >= score - own - slack, "{what}");
                    }
                    if certificates[index].holds(answers[index], eps) {
                        certified += 1;
                        let found = scores.select(&[index]).predictions()[0];
                        assert_eq!(found, answers[index], "{what}");
                    }
                }
            }
        }
        println!("{}: {certified} certified points", subject.name);
        // Bounds of the deep one are too loose to certify anything; they hold all the same.
        let is_deep = subject.name.starts_with("mobilenet");
        assert!(certified > 0 || is_deep, "{}", subject.name);
    }
}

#[test]
fn taken_together_with_the_last_layer_leads_are_smaller() {
    for subject in subjects() {
        let images = subject.images(2);
        let labels = vec![1; images.len()];
        let bounds = subject.bounds.scores(&images, 1e-3).unwrap();
        let leads = subject.bounds.leads(&images, &labels, 1e-3).unwrap();
        let mut smaller = 0;
        for (index, row) in leads.rows().enumerate() {
            assert_eq!(row[1], 0.);
            for (class, lead) in row.iter().enumerate().filter(|(class, _)| *class != 1) {
                let apart = bounds.upper.row(index)[class] - bounds.lower.row(index)[1];
                assert!(
                    *lead <= apart + 1e-9 * (1. + apart),
                    "{}: {lead} {apart}",
                    subject.name
                );
                smaller += usize::from(*lead < 0.999 * apart);
            }
        }
        assert!(smaller > 0, "{}", subject.name);
    }
}

#[test]
fn without_a_size_bounds_are_the_scores_and_the_curve_falls_from_the_accuracy() {
    let subject = Subject::registered("lenet5", [1, 20, 16]);
    let model = subject.model();
    let images = subject.images(40);
    let scores = model.logits(&images).unwrap();
    let bounds = subject.bounds.scores(&images, 0.).unwrap();
    assert_eq!(bounds.lower, bounds.upper);
    for (found, expected) in bounds.lower.rows().zip(scores.rows()) {
        near(found, expected, "scores");
    }
    let answers = scores.predictions();
    // Of every third image the answer is wrong.
    let labels: Vec<u32> = (0..40)
        .map(|n| (answers[n] + u32::from(n % 3 == 0)) % 10)
        .collect();
    let sizes = [0.1, 0., 1e-3, 1e-5, 1e-2, 1e-4];
    let certificates = subject.bounds.certify(&images, &answers, &sizes).unwrap();
    let mut certified = CertifiedImages::default();
    for (label, certificate) in labels.into_iter().zip(&certificates) {
        certified.add(label, *certificate);
    }
    assert_eq!(certified.certified_top1(0.), 26. / 40.);
    let curve = [0., 1e-5, 1e-4, 1e-3, 1e-2, 0.1].map(|size| certified.certified_top1(size));
    println!("{curve:?}");
    assert!(
        curve.is_sorted_by(|a, b| a >= b) && curve[1] > curve[4],
        "{curve:?}"
    );
    // Image by image as with all together, and each size as alone.
    for (index, certificate) in certificates.iter().enumerate() {
        let Certificate::Class(class) = *certificate else {
            panic!("bounds abstain from nothing");
        };
        assert_eq!((class.class, class.probability), (answers[index], 1.));
        let one = images.select(&[index]);
        let alone = subject
            .bounds
            .certify(&one, &answers[index..=index], &sizes)
            .unwrap();
        assert_eq!(alone[0], *certificate);
        for size in sizes {
            let of_size = subject
                .bounds
                .certify(&one, &answers[index..=index], &[size])
                .unwrap();
            assert_eq!(
                of_size[0].holds(class.class, size),
                certificate.holds(class.class, size),
                "image {index} at {size}"
            );
        }
    }
}

/// Scores that are an activation of each value, between -5 and 5.
fn activated(activation: Activation) -> Subject {
    let store = Store::with_dtype(0, DType::F64, &Device::Cpu);
    let root = store.builder(Mode::Eval);
    let layer = Box::new(Activate::new(activation, &root.pp("act")));
    let flatten = Flatten::new(&root.pp("flatten"));
    let record = Preprocessing {
        input_size: [3, 10, 8],
        mean: vec![0.5; 3],
        std: vec![0.1; 3],
        ..Preprocessing::default()
    };
    let network = Whole::new(Single { layer, flatten }, 240);
    Subject::new(
        &format!("{activation:?}"),
        Box::new(network),
        &store,
        &record,
    )
}

#[test]
fn bounds_of_activations_hold_and_are_reached() {
    let activations = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu(0.2),
        Activation::LeakyRelu(-0.2),
        Activation::Relu6,
        Activation::Sigmoid,
        Activation::Silu,
        Activation::HardSwish,
        Activation::HardSigmoid,
        Activation::Tanh,
        Activation::Gelu,
        Activation::GeluTanh,
    ];
    for subject in activations.map(activated) {
        let images = subject.images(1);
        for eps in [0.002, 0.03, 0.4] {
            let bounds = subject.bounds.scores(&images, eps).unwrap();
            let [mut least, mut most] =
                [f64::INFINITY, f64::NEG_INFINITY].map(|far| vec![far; 240]);
            for step in -400..=400 {
                let change = eps * f64::from(step) / 400.;
                let points = images.map(|value| (value + change).clamp(0., 1.));
                let scores = subject.model().logits(&points).unwrap();
                for (place, score) in scores.row(0).iter().enumerate() {
                    least[place] = least[place].min(*score);
                    most[place] = most[place].max(*score);
                }
            }
            let [lower, upper] = [bounds.lower.row(0), bounds.upper.row(0)];
            for place in 0..240 {
                let what = format!("{} at {eps}, value {place}", subject.name);
                let [low, high] = [least[place] - lower[place], upper[place] - most[place]];
                // A step is 0.01 at most: beside a valley that is round the score changes by next to
                // nothing, and by the slope beside one that is not.
                let is_pointed = subject.name.starts_with("LeakyRelu");
                let reached = if is_pointed { 2e-3 } else { 2e-5 };
                assert!((-1e-12..reached).contains(&low), "{what}: lower {low}");
                assert!((-1e-12..1e-12).contains(&high), "{what}: upper {high}");
            }
        }
    }
}

/// A network that ends with a convolution, whose scores have no last linear layer.
#[test]
fn scores_of_a_convolution_are_compared_by_their_own_bounds() {
    let subject = Subject::registered("squeezenet1_1", [3, 32, 32]);
    let images = subject.images(1);
    let bounds = subject.bounds.scores(&images, 1e-4).unwrap();
    let leads = subject.bounds.leads(&images, &[3], 1e-4).unwrap();
    for (class, lead) in leads.row(0).iter().enumerate() {
        let apart = bounds.upper.row(0)[class] - bounds.lower.row(0)[3];
        assert_eq!(*lead, if class == 3 { 0. } else { apart });
    }
}

/// One layer, of which bounds are asked.
struct Single {
    layer: Box<dyn Layer>,
    flatten: Flatten,
}

impl Parts for Single {
    fn maps(&self, xs: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<FeatureMap> {
        self.layer.forward(xs, cx)
    }

    fn scores(&self, xs: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<Tensor> {
        self.flatten.forward(xs, cx)
    }
}

/// Squares each value, which nobody but it knows.
struct Square;

impl Layer for Square {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<FeatureMap> {
        cx.layer("gate.square", "square", &[xs.into()], || {
            FeatureMap::from_nhwc(&xs.to_nhwc().sqr()?)
        })
    }
}

#[test]
fn a_layer_without_bounds_is_named() {
    let store = Store::new(0);
    let root = store.builder(Mode::Eval);
    let norm = LayerNorm2dConfig::new(3)
        .build(&root.pp("stage.norm"))
        .unwrap();
    let layers: [(Box<dyn Layer>, &str, &str); 3] = [
        (Box::new(norm), "stage.norm", "layer_norm"),
        (
            Box::new(Softmax::new(&root.pp("shares"))),
            "shares",
            "softmax",
        ),
        (Box::new(Square), "gate.square", "square"),
    ];
    for (layer, path, kind) in layers {
        let flatten = Flatten::new(&root.pp("flatten"));
        let network = Whole::new(Single { layer, flatten }, 240);
        let error = IntervalBounds::new(&network, &store, &record())
            .map(|_| ())
            .unwrap_err();
        let message = error.to_string();
        match error {
            Error::Unbounded {
                path: at,
                kind: found,
            } => assert_eq!((at.as_str(), found), (path, kind)),
            other => panic!("{other:?}"),
        }
        assert!(
            message.contains(path) && message.contains("convolutions"),
            "{message}"
        );
    }
    let network = Network::new("lenet5", &ModelConfig::default(), 0).unwrap();
    let folded = network.build(Mode::Inference).unwrap();
    let error = IntervalBounds::new(folded.as_ref(), network.store(), network.preprocessing());
    let message = error.map(|_| ()).unwrap_err().to_string();
    assert!(
        message.contains("conv1") && message.contains("Mode::Eval"),
        "{message}"
    );
}

fn refused<T>(result: Result<T, impl std::fmt::Display>, words: &[&str]) {
    let message = result
        .map(|_| ())
        .map_err(|error| error.to_string())
        .unwrap_err();
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
}

#[test]
fn wrong_arguments_name_what_is_accepted() {
    let subject = Subject::registered("lenet5", [1, 20, 16]);
    let images = subject.images(2);
    for eps in [-0.1, f64::NAN, f64::INFINITY] {
        refused(subject.bounds.scores(&images, eps), &["eps", "8/255"]);
        refused(
            subject.bounds.certify(&images, &[0, 1], &[0.1, eps]),
            &["eps", "8/255"],
        );
    }
    refused(
        subject.bounds.leads(&images, &[0], 0.1),
        &["labels", "1", "2, one for each image"],
    );
    refused(
        subject.bounds.leads(&images, &[0, 10], 0.1),
        &["label", "10", "below 10"],
    );
    refused(
        subject.bounds.certify(&images, &[0], &[0.1]),
        &["answers", "one for each image"],
    );
    let photos = Images::new(1, [20, 16, 3], vec![0.; 960]).unwrap();
    refused(subject.bounds.scores(&photos, 0.1), &["channels", "3"]);

    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    let of = |network: &Network, eps, ramp| {
        IntervalStep::new(
            eps,
            ramp,
            network.model(),
            network.store(),
            network.preprocessing(),
        )
    };
    refused(of(&network, 0.1, 0.5), &["batch_norm at bn1", "lenet5"]);
    let network = Network::new("lenet5", &ModelConfig::default(), 0).unwrap();
    refused(of(&network, -0.1, 0.5), &["eps"]);
    for ramp in [0., -0.5, 1.5, f64::NAN] {
        refused(of(&network, 0.1, ramp), &["ramp", "at most 1"]);
        let method = AdversarialMethod::Interval { ramp };
        refused(
            AdversarialConfig::new(method, Threat::linf(0.1).unwrap()),
            &["ramp"],
        );
    }
    let method = AdversarialMethod::Interval { ramp: 0.5 };
    let config = AdversarialConfig::new(method, Threat::linf(0.1).unwrap()).unwrap();
    refused(
        config.with_weight_perturbation(0.1),
        &["awp", "0 for training with bounds"],
    );
    let attacked = network.build(Mode::Eval).unwrap();
    let step = AdversarialStep::new(config, attacked, network.preprocessing(), 8);
    refused(step, &["interval:0.5", "IntervalStep"]);
}

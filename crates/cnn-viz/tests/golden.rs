//! Every method against pytorch-grad-cam and captum, on published networks and real images.
//!
//! `python tools/goldens/explanations.py` makes the golden files (see `tools/goldens/README.md`).
//! Here and there: relative error `‖ours − theirs‖ / ‖theirs‖` of an image's map.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use cnn_core::{Key, Preprocessing};
use cnn_data::{PhotoList, Split, open_dataset};
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_models::Network;
use cnn_viz::{Explainer, Heatmap, Method, Place, Smoothing, Target, road};
use cnn_weights::TensorFile;
use common::{batch, published_as, shared};
use serde_json::Value;

const NETWORKS: [&str; 3] = ["mobilenetv2_100", "squeezenet1_1", "resnet20_cifar10"];
/// In f32 rounding takes single activations across the kinks of their rectifiers; in f64 it does
/// not.
const TOLERANCE: [(DType, f64); 2] = [(DType::F32, 1e-3), (DType::F64, 1e-5)];

/// A network, its images, and what the other libraries make of them.
struct Case {
    network: Network,
    images: FeatureMap,
    file: TensorFile,
    targets: Vec<Target>,
    stride: usize,
    tolerance: f64,
}

impl Case {
    fn open(name: &str, (dtype, tolerance): (DType, f64)) -> Option<Self> {
        let network = published_as(name, dtype)?;
        let path = format!(
            "{}/tests/golden/{name}.safetensors",
            env!("CARGO_MANIFEST_DIR")
        );
        let file = TensorFile::open(Path::new(&path)).unwrap();
        let metadata =
            |key: &str| -> Value { serde_json::from_str(&file.metadata()[key]).unwrap() };
        let numbers =
            |value: &Value| -> Vec<usize> { serde_json::from_value(value.clone()).unwrap() };
        let input: Vec<usize> = file.metadata()["input"]
            .split(',')
            .map(|side| side.parse().unwrap())
            .collect();
        let record = Preprocessing {
            input_size: [input[1], input[2], input[3]],
            ..network.preprocessing().clone()
        };
        let images = if file.metadata().contains_key("photos") {
            let photos: Vec<String> = serde_json::from_value(metadata("photos")).unwrap();
            let folder = shared("data/imagenet_photos")?;
            let photos = PhotoList::open(
                &photos
                    .iter()
                    .map(|photo| folder.join(photo))
                    .collect::<Vec<_>>(),
            )
            .unwrap();
            batch(Arc::new(photos), vec![0, 1], &record)
        } else {
            let dataset = open_dataset(&shared("data/cifar10")?, Split::Test).unwrap();
            batch(dataset, numbers(&metadata("rows")), &record)
        };
        let targets = numbers(&metadata("targets"))
            .into_iter()
            .map(Target::class)
            .collect();
        let stride = file.metadata()["stride"].parse().unwrap();
        let images = FeatureMap::from_nhwc(&images.to_nhwc().to_dtype(dtype).unwrap()).unwrap();
        Some(Self {
            network,
            images,
            file,
            targets,
            stride,
            tolerance,
        })
    }

    fn golden(&self, name: &str) -> Vec<f32> {
        self.file
            .tensor(name)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_dtype(DType::F32)
            .unwrap()
            .to_vec1()
            .unwrap()
    }

    /// Compares maps `(N, …, H, W)` with the golden ones of that name, image by image; of two names
    /// the nearer counts.
    fn check(&self, names: &[&str], found: &Tensor) {
        let rank = found.rank();
        let strided = |tensor: &Tensor, dim: usize| {
            let places: Vec<u32> = (0..tensor.dim(dim).unwrap() as u32)
                .step_by(self.stride)
                .collect();
            tensor
                .index_select(&Tensor::new(places, tensor.device()).unwrap(), dim)
                .unwrap()
        };
        let found = strided(&strided(found, rank - 2), rank - 1);
        let found: Vec<f32> = found
            .to_dtype(DType::F32)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        let images = self.targets.len();
        let errors: Vec<Vec<f64>> = names
            .iter()
            .map(|name| {
                let golden = self.golden(name);
                assert_eq!(golden.len(), found.len(), "{name}");
                let size = golden.len() / images;
                golden
                    .chunks_exact(size)
                    .zip(found.chunks_exact(size))
                    .map(|(a, b)| relative_error(b, a))
                    .collect()
            })
            .collect();
        for image in 0..images {
            let error = errors
                .iter()
                .map(|errors| errors[image])
                .fold(f64::INFINITY, f64::min);
            let model = self.network.spec().name;
            let dtype = self.images.dtype().as_str();
            println!("{model} {dtype} {} image {image}: {error:.1e}", names[0]);
            assert!(
                error <= self.tolerance,
                "{model} {dtype} {} image {image}: {error:.2e}",
                names[0]
            );
        }
    }

    fn explainer(&self) -> Explainer<'_> {
        Explainer::new(self.network.model())
    }

    fn check_cam(&self, name: &str, method: Method, explainer: &Explainer<'_>) {
        let found = explainer
            .explain(method, &self.images, &self.targets)
            .unwrap();
        let flipped = format!("{name}.flipped");
        // The sign of a principal component is arbitrary; ours is stated in its documentation.
        let names = if self.file.info(&flipped).is_some() {
            vec![name, &flipped]
        } else {
            vec![name]
        };
        self.check(&names, &found.to_tensor().unwrap());
    }
}

fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|value| value * value).sum::<f64>().sqrt()
    };
    let difference = norm(
        &mut found
            .iter()
            .zip(expected)
            .map(|(a, b)| f64::from(*a) - f64::from(*b)),
    );
    difference / norm(&mut expected.iter().map(|&value| value.into()))
}

fn cases() -> impl Iterator<Item = Case> {
    NETWORKS
        .iter()
        .filter_map(|name| Case::open(name, TOLERANCE[0]))
}

/// In f32 and in f64.
fn both() -> impl Iterator<Item = Case> {
    NETWORKS.iter().flat_map(|name| {
        TOLERANCE
            .iter()
            .filter_map(|&precision| Case::open(name, precision))
    })
}

/// Methods of many passes have no gradients that could jump, and would take minutes in f64.
fn is_compared(case: &Case, method: Method) -> bool {
    case.images.dtype() == DType::F32 || !matches!(method, Method::ScoreCam | Method::Occlusion)
}

/// Grad-CAM++ divides by `2g² + g³ ΣA`, which passes through 0 where a map's sum is negative, as
/// behind a linear bottleneck: there rounding in f32 grows without bound.
fn has_pole(case: &Case, method: Method, place: Place) -> bool {
    let bottleneck = case.network.spec().family == "mobilenetv2" && place != Place::Last;
    case.images.dtype() == DType::F32 && method == Method::GradCamPlusPlus && bottleneck
}

#[test]
fn the_networks_see_the_same() {
    for case in cases() {
        let logits = case
            .network
            .model()
            .forward(&case.images, &Context::eval())
            .unwrap();
        let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
        assert!(relative_error(&logits, &case.golden("logits")) < 1e-4);
    }
}

#[test]
fn class_activation_maps_equal_those_of_pytorch_grad_cam() {
    for case in both() {
        let inference = case.network.build(Mode::Inference).unwrap();
        let mut compared = 0;
        for method in Method::ALL
            .into_iter()
            .filter(|&method| method.is_cam() && is_compared(&case, method))
        {
            for place in [Place::Last, Place::Stage(2)] {
                let name = format!("cam.{place}.{}", method.name());
                if case.file.info(&name).is_some() && !has_pole(&case, method, place) {
                    let explainer = case
                        .explainer()
                        .with_scorer(inference.as_ref())
                        .with_places(vec![place]);
                    case.check_cam(&name, method, &explainer);
                    compared += 1;
                }
            }
        }
        let left_out = [
            !is_compared(&case, Method::ScoreCam),
            has_pole(&case, Method::GradCamPlusPlus, Place::Stage(2)),
        ];
        let expected = 14 - left_out.iter().filter(|&&left_out| left_out).count();
        assert_eq!(
            compared, expected,
            "all eight at the last map, six at another stage"
        );
    }
}

#[test]
fn targets_places_and_smoothing_equal_those_of_pytorch_grad_cam() {
    for case in both() {
        let explainer = case.explainer();
        let difference: Vec<[usize; 2]> =
            serde_json::from_str(&case.file.metadata()["difference"]).unwrap();
        let targets: Vec<Target> = difference
            .iter()
            .map(|[a, b]| Target::class(*a).against(*b))
            .collect();
        let found = explainer
            .explain(Method::GradCam, &case.images, &targets)
            .unwrap();
        case.check(&["cam.difference.gradcam"], &found.to_tensor().unwrap());

        let average = explainer
            .clone()
            .with_places(vec![Place::Stage(2), Place::Last]);
        case.check_cam("cam.average.gradcam", Method::GradCam, &average);
        let smooth = |augment, eigen| {
            explainer
                .clone()
                .with_smoothing(Smoothing { augment, eigen })
        };
        case.check_cam(
            "cam.aug_smooth.gradcam",
            Method::GradCam,
            &smooth(true, false),
        );
        case.check_cam(
            "cam.eigen_smooth.gradcam",
            Method::GradCam,
            &smooth(false, true),
        );
    }
}

#[test]
fn attributions_equal_captums() {
    for case in both() {
        let model = case.network.spec().name;
        let side = if model == "resnet20_cifar10" { 4 } else { 16 };
        let noise = noise(&case);
        let explainer = case
            .explainer()
            .with_steps(24)
            .with_window([side; 2], [side / 2; 2])
            .with_noise(noise);
        let mut methods = vec![
            (Method::Gradient, "gradient"),
            (Method::GradientXInput, "input_x_gradient"),
            (Method::SmoothGrad, "smoothgrad"),
            (Method::VarGrad, "vargrad"),
            (Method::IntegratedGradients, "integrated_gradients"),
            (Method::Occlusion, "occlusion"),
        ];
        // captum replaces modules of type ReLU only; MobileNetV2 has ReLU6.
        if model != "mobilenetv2_100" {
            methods.extend([
                (Method::GuidedBackprop, "guided_backprop"),
                (Method::Deconvnet, "deconvnet"),
            ]);
        }
        for (method, name) in methods
            .into_iter()
            .filter(|&(method, _)| is_compared(&case, method))
        {
            let found = explainer
                .explain(method, &case.images, &case.targets)
                .unwrap();
            case.check(
                &[&format!("attribution.{name}")],
                &found.attribution.unwrap(),
            );
        }
    }
}

/// The noises as they were drawn when the golden file was made.
fn noise(case: &Case) -> Vec<Tensor> {
    let scale: f64 = case.file.metadata()["noise.scale"].parse().unwrap();
    let noise = case
        .file
        .tensor("noise")
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap();
    let noise = noise.to_dtype(case.images.dtype()).unwrap();
    let noise = noise
        .affine(scale, -128. * scale)
        .unwrap()
        .permute((0, 1, 3, 4, 2))
        .unwrap();
    let shape = case.images.dims();
    (0..noise.dim(0).unwrap())
        .map(|sample| noise.get(sample).unwrap().broadcast_as(&shape).unwrap())
        .collect()
}

#[test]
fn integrated_gradients_are_complete_to_one_percent() {
    for case in cases() {
        let found = case
            .explainer()
            .explain(Method::IntegratedGradients, &case.images, &case.targets)
            .unwrap();
        let scores = |images: &FeatureMap| -> Vec<Vec<f32>> {
            case.network
                .model()
                .forward(images, &Context::eval())
                .unwrap()
                .to_vec2()
                .unwrap()
        };
        let grey = FeatureMap::from_nhwc(&case.images.to_nhwc().zeros_like().unwrap()).unwrap();
        let whole = scores(&case.images);
        let empty = scores(&grey);
        let maps = found
            .to_tensor()
            .unwrap()
            .sum((1, 2))
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        for (image, score) in found.scores.iter().enumerate() {
            let difference = whole[image][score.class] - empty[image][score.class];
            let gap = ((maps[image] - difference) / difference).abs();
            println!("{} image {image}: gap {gap:.4}", case.network.spec().name);
            assert!(
                gap <= 0.01,
                "{}: {} for {difference}",
                case.network.spec().name,
                maps[image]
            );
        }
    }
}

#[test]
fn road_equals_that_of_pytorch_grad_cam() {
    for case in cases() {
        let model = case.network.model();
        let explanation = case
            .explainer()
            .explain(Method::GradCam, &case.images, &case.targets)
            .unwrap();
        let [least, most] = ["road.least", "road.most"].map(|name| case.golden(name));
        for (image, map) in explanation.maps.iter().enumerate() {
            let one =
                FeatureMap::from_nhwc(&case.images.to_nhwc().narrow(0, image, 1).unwrap()).unwrap();
            let score = &explanation.scores[image];
            let found = road(
                model,
                &one,
                map,
                score,
                &[20., 40., 60., 80.],
                0.,
                &Key::new(0),
            )
            .unwrap();
            let pairs = found.least_relevant.iter().zip(&least[4 * image..]);
            for (found, expected) in pairs.chain(found.most_relevant.iter().zip(&most[4 * image..]))
            {
                let model = case.network.spec().name;
                println!("{model} image {image}: {found:.4} {expected:.4}");
                assert!(
                    (found - f64::from(*expected)).abs() < 2e-3,
                    "{model} image {image}: {found} {expected}"
                );
            }
            assert!(
                (found.combined() - f64::from(case.golden("road.combined")[image])).abs() < 2e-3
            );
        }
    }
}

/// A map that names what the network uses does better than its opposite; on an image whose object
/// fills little of it, so that the background cannot do as well.
#[test]
fn trust_follows_the_map() {
    for case in cases().filter(|case| case.network.spec().name == "resnet20_cifar10") {
        let one = FeatureMap::from_nhwc(&case.images.to_nhwc().narrow(0, 0, 1).unwrap()).unwrap();
        let explanation = case
            .explainer()
            .explain(Method::GradCam, &one, &case.targets[..1])
            .unwrap();
        let map = &explanation.maps[0];
        let opposite = map.values().iter().map(|value| 1. - value).collect();
        let opposite = Heatmap::new(map.height(), map.width(), opposite, false).unwrap();
        let score = &explanation.scores[0];
        let auc = |map: &Heatmap| {
            let curves =
                cnn_viz::insertion_deletion(case.network.model(), &one, map, score, 10, 4).unwrap();
            (curves.insertion_auc(), curves.deletion_auc())
        };
        let right = auc(map);
        let wrong = auc(&opposite);
        println!("insertion, deletion: {right:?}, of the opposite {wrong:?}");
        assert!(right.0 > wrong.0 && right.1 < wrong.1);
    }
}

//! Losses of pixels against values and gradients of PyTorch and segmentation_models.pytorch, against
//! finite differences, and at the ends of their ranges.

#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Device, Tensor, Var};
use cnn_train::{Error, PixelLoss, PixelLossSum, PixelTargets, log_softmax};
use serde_json::{Map, Value};

const GOLDEN: &str = include_str!("golden/pixel_losses.json");

/// Losses of every kind and with every setting, for logits with several channels.
const SEVERAL: [&str; 13] = [
    "cross-entropy",
    "cross-entropy:label_smoothing=0.2,class_weights=0.5+2+1+0",
    "cross-entropy:label_smoothing=0.1,count_ignored",
    "focal",
    "focal:gamma=1.5,alpha=0.3,reduced_threshold=0.4",
    "focal:gamma=2.5,alpha=0.3,normalized,class_weights=1+2+0+0.5",
    "dice:smooth=1",
    "dice:log_loss,classes=0+3+3,class_weights=1+0+0+2.5",
    "jaccard",
    "tversky:alpha=0.3,beta=0.7,gamma=0.75",
    "tversky:alpha=0.8,beta=0.1,gamma=2,log_loss",
    "lovasz",
    "0.5*dice+2*cross-entropy:label_smoothing=0.1+0.25*lovasz:per_image+focal",
];

/// The same for logits with one channel.
const ONE: [&str; 10] = [
    "cross-entropy",
    "cross-entropy:label_smoothing=0.2,class_weights=0.5+2",
    "focal:gamma=1.5,alpha=0.3,reduced_threshold=0.4",
    "focal:normalized",
    "dice:smooth=1",
    "jaccard:log_loss",
    "tversky:alpha=0.3,beta=0.7,gamma=0.75",
    "lovasz",
    "lovasz:per_image",
    "dice+3*cross-entropy+lovasz",
];

fn parsed(text: &str) -> PixelLossSum {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn numbers(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap()).collect()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    let wide = tensor.to_dtype(DType::F64).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}

fn scalar(tensor: &Tensor) -> f64 {
    assert!(tensor.dims().is_empty(), "{:?}", tensor.dims());
    flat(tensor)[0]
}

/// Logits with their masks.
struct Input {
    logits: Tensor,
    targets: PixelTargets,
}

impl Input {
    fn new(shape: [usize; 4], logits: Vec<f64>, masks: Vec<u8>) -> Self {
        let [images, height, width, _] = shape;
        let masks = Tensor::from_vec(masks, (images, height, width), &Device::Cpu).unwrap();
        Self {
            logits: Tensor::from_vec(logits, &shape, &Device::Cpu).unwrap(),
            targets: PixelTargets::new(&masks).unwrap(),
        }
    }

    fn stored(value: &Value) -> Self {
        let shape: Vec<usize> = numbers(&value["shape"])
            .iter()
            .map(|size| *size as usize)
            .collect();
        let masks = numbers(&value["masks"]);
        Self::new(
            shape.try_into().unwrap(),
            numbers(&value["logits"]),
            masks.iter().map(|class| *class as u8).collect(),
        )
    }

    /// Logits from −3 to 3 and classes, a tenth of them ignored, by a linear congruence.
    fn random(shape: [usize; 4]) -> Self {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let [images, height, width, channels] = shape;
        let pixels = images * height * width;
        let logits = (0..pixels * channels).map(|_| 6. * next() - 3.).collect();
        let classes = channels.max(2) as f64;
        let mut class = || {
            if next() < 0.1 {
                255
            } else {
                (next() * classes) as u8
            }
        };
        let masks = (0..pixels).map(|_| class()).collect();
        Self::new(shape, logits, masks)
    }

    /// The loss, and the gradient by the logits in the element type.
    fn evaluate(&self, loss: &dyn PixelLoss, dtype: DType) -> (f64, Vec<f64>) {
        let logits = Var::from_tensor(&self.logits.to_dtype(dtype).unwrap()).unwrap();
        let loss = loss.loss(&logits, &self.targets).unwrap();
        assert_eq!(loss.dtype(), dtype);
        let gradients = loss.backward().unwrap();
        (scalar(&loss), flat(gradients.get(&logits).unwrap()))
    }
}

fn stored_inputs(golden: &Map<String, Value>) -> Vec<(&String, Input)> {
    let inputs = golden["inputs"].as_object().unwrap().iter();
    inputs
        .map(|(name, value)| (name, Input::stored(value)))
        .collect()
}

fn golden() -> Map<String, Value> {
    serde_json::from_str(GOLDEN).unwrap()
}

/// Relative to the magnitude, and to `scale` where that is smaller.
fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, scale: f64, name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let bound = tolerance * expected.abs().max(scale);
        assert!(
            (found - expected).abs() <= bound,
            "{name}, element {place}: found {found}, expected {expected}"
        );
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0., |most, x| x.abs().max(most))
}

#[test]
fn values_and_gradients_equal_pytorchs() {
    let golden = golden();
    let inputs = stored_inputs(&golden);
    let cases = golden.iter().filter(|(name, _)| *name != "inputs");
    let mut kinds = [0; 2];
    for (name, case) in cases {
        let is = |(other, _): &&(&String, Input)| other.as_str() == case["input"];
        let (_, input) = inputs.iter().find(is).unwrap();
        let loss = parsed(case["loss"].as_str().unwrap());
        kinds[usize::from(input.logits.dim(3).unwrap() == 1)] += 1;
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
            let (value, gradient) = input.evaluate(&loss, dtype);
            let name = format!("{name}, {}", dtype.as_str());
            let expected = case["value"].as_f64().unwrap();
            assert_close(&[value], &[expected], tolerance, 1e-3, &name);
            let expected = numbers(&case["grad"]);
            let scale = largest(&expected).max(1e-6);
            assert_close(&gradient, &expected, tolerance, scale, &name);
        }
    }
    assert_eq!(kinds, [41, 33]);
}

#[test]
fn gradients_equal_finite_differences() {
    const STEP: f64 = 1e-5;
    let several = (SEVERAL.as_slice(), [2, 3, 4, 4]);
    let one = (ONE.as_slice(), [2, 4, 5, 1]);
    for (losses, shape) in [several, one] {
        let input = Input::random(shape);
        let start = flat(&input.logits);
        for name in losses {
            let loss = parsed(name);
            let (_, gradient) = input.evaluate(&loss, DType::F64);
            let at = |place: usize, change: f64| {
                let mut moved = start.clone();
                moved[place] += change;
                let logits = Tensor::from_vec(moved, &shape, &Device::Cpu).unwrap();
                scalar(&loss.loss(&logits, &input.targets).unwrap())
            };
            let differences: Vec<f64> = (0..start.len())
                .map(|place| (at(place, STEP) - at(place, -STEP)) / (2. * STEP))
                .collect();
            assert!(largest(&differences) > 1e-4, "{name} has no gradient");
            let scale = largest(&differences);
            assert_close(&gradient, &differences, 1e-7, scale, name);
        }
    }
}

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    // Several chunks in each image, the last of them smaller.
    for (losses, shape) in [
        (SEVERAL.as_slice(), [3, 83, 101, 4]),
        (ONE.as_slice(), [2, 151, 211, 1]),
    ] {
        let input = Input::random(shape);
        for name in losses {
            let loss = parsed(name);
            let bits = |(value, gradient): &(f64, Vec<f64>)| -> Vec<u64> {
                let gradient = gradient.iter().map(|slope| slope.to_bits());
                gradient.chain([value.to_bits()]).collect()
            };
            // In f64 the order of a sum shows, which f32 would round away.
            let [single, double] = [DType::F32, DType::F64].map(|dtype| {
                let results = [1, 2, 5].map(|threads| {
                    let pool = rayon::ThreadPoolBuilder::new()
                        .num_threads(threads)
                        .build()
                        .unwrap();
                    pool.install(|| input.evaluate(&loss, dtype))
                });
                let [first, others @ ..] = results;
                let is_same = others.iter().all(|other| bits(other) == bits(&first));
                assert!(is_same, "{name}, {}", dtype.as_str());
                first
            });
            // And both element types agree on what spans several chunks.
            assert_close(&[single.0], &[double.0], 1e-6, 0., name);
            // Where errors differ by their rounding alone, they change places.
            let tolerance = if name.contains("lovasz") { 1e-2 } else { 2e-6 };
            let scale = largest(&double.1);
            assert_close(&single.1, &double.1, tolerance, scale, name);
        }
    }
}

#[test]
fn far_logits_have_finite_losses_and_gradients() {
    for (losses, channels) in [(SEVERAL.as_slice(), 4), (ONE.as_slice(), 1)] {
        let mut input = Input::random([1, 20, 30, channels]);
        let far = [1e4, -1e4, 0., 88., -88., 104., -104., 17., -745.];
        let logits: Vec<f64> = (0..600 * channels)
            .map(|place| far[(place * place / 7 + place) % far.len()])
            .collect();
        input.logits = Tensor::from_vec(logits, (1, 20, 30, channels), &Device::Cpu).unwrap();
        for name in losses {
            let loss = parsed(name);
            let [single, double] = [DType::F32, DType::F64].map(|dtype| {
                let (value, gradient) = input.evaluate(&loss, dtype);
                let is_finite = value.is_finite() && gradient.iter().all(|slope| slope.is_finite());
                assert!(is_finite, "{name}, {}: {value}", dtype.as_str());
                (value, gradient)
            });
            assert_close(&[single.0], &[double.0], 1e-5, 0., name);
            // Of equal errors, which differ in their rounding, another comes first.
            if !name.contains("lovasz") {
                let scale = largest(&double.1).max(1e-9);
                assert_close(&single.1, &double.1, 1e-5, scale, name);
            }
        }
    }
}

#[test]
fn a_logit_that_is_not_a_number_is_seen_in_the_loss() {
    for (losses, channels) in [(SEVERAL.as_slice(), 4), (ONE.as_slice(), 1)] {
        let mut input = Input::random([1, 3, 4, channels]);
        let mut logits = flat(&input.logits);
        let masks: Vec<u8> = input
            .targets
            .masks()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        let counted = masks.iter().position(|class| *class == 0).unwrap();
        logits[counted * channels] = f64::NAN;
        input.logits = Tensor::from_vec(logits, (1, 3, 4, channels), &Device::Cpu).unwrap();
        for name in losses {
            for dtype in [DType::F32, DType::F64] {
                let logits = input.logits.to_dtype(dtype).unwrap();
                let loss = parsed(name).loss(&logits, &input.targets).unwrap();
                assert!(scalar(&loss).is_nan(), "{name}");
            }
        }
    }
}

#[test]
fn pixels_that_are_ignored_change_nothing() {
    for (losses, channels) in [(SEVERAL.as_slice(), 4), (ONE.as_slice(), 1)] {
        let input = Input::random([2, 5, 6, channels]);
        let masks: Vec<u8> = input
            .targets
            .masks()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        assert!(masks.contains(&255));
        let changed: Vec<f64> = flat(&input.logits)
            .into_iter()
            .enumerate()
            .map(|(place, x)| {
                if masks[place / channels] == 255 {
                    9. - x
                } else {
                    x
                }
            })
            .collect();
        let other = Input::new([2, 5, 6, channels], changed, masks.clone());
        for name in losses {
            let (value, gradient) = input.evaluate(&parsed(name), DType::F32);
            let (other_value, other_gradient) = other.evaluate(&parsed(name), DType::F32);
            assert_eq!(value, other_value, "{name}");
            assert_eq!(gradient, other_gradient, "{name}");
            let ignored = gradient
                .chunks(channels)
                .zip(&masks)
                .filter(|(_, class)| **class == 255);
            for (slopes, _) in ignored {
                assert!(slopes.iter().all(|slope| *slope == 0.), "{name}");
            }
        }
    }
}

#[test]
fn where_no_pixel_counts_loss_and_gradient_are_0() {
    for (losses, channels) in [(SEVERAL.as_slice(), 4), (ONE.as_slice(), 1)] {
        let random = Input::random([2, 3, 4, channels]);
        let input = Input::new([2, 3, 4, channels], flat(&random.logits), vec![255; 24]);
        for name in losses {
            for dtype in [DType::F32, DType::F64] {
                let (value, gradient) = input.evaluate(&parsed(name), dtype);
                assert_eq!(value, 0., "{name}");
                assert_eq!(gradient, vec![0.; 24 * channels], "{name}");
            }
        }
    }
    // The only class that is there weighs nothing.
    let weightless = parsed("cross-entropy:class_weights=0+1");
    let input = Input::new([1, 1, 2, 2], vec![1., 2., 3., 4.], vec![0, 0]);
    assert_eq!(input.evaluate(&weightless, DType::F64), (0., vec![0.; 4]));
}

#[test]
fn a_lovasz_loss_does_not_depend_on_which_of_equal_errors_comes_first() {
    // All errors of a class are 1/2, so the loss is 1/2 whatever their order.
    for masks in [
        vec![0, 1, 1, 0, 1],
        vec![1, 1, 0, 0, 1],
        vec![1, 0, 1, 1, 0],
    ] {
        let input = Input::new([1, 1, 5, 2], vec![0.; 10], masks);
        let (value, _) = input.evaluate(&parsed("lovasz"), DType::F64);
        assert!((value - 0.5).abs() < 1e-15, "{value}");
    }
}

#[test]
fn a_sum_is_the_sum_of_its_terms() {
    let input = Input::random([2, 7, 9, 4]);
    let text = "0.5*dice+2*cross-entropy:label_smoothing=0.1+focal";
    let (value, gradient) = input.evaluate(&parsed(text), DType::F64);
    let mut value_apart = 0.;
    let mut gradient_apart = vec![0.; gradient.len()];
    for (weight, name) in [
        (0.5, "dice"),
        (2., "cross-entropy:label_smoothing=0.1"),
        (1., "focal"),
    ] {
        let (value, gradient) = input.evaluate(&parsed(name), DType::F64);
        value_apart += weight * value;
        for (sum, slope) in gradient_apart.iter_mut().zip(gradient) {
            *sum += weight * slope;
        }
    }
    assert_close(&[value], &[value_apart], 1e-14, 0., text);
    assert_close(&gradient, &gradient_apart, 1e-14, 1e-3, text);
}

#[test]
fn a_loss_takes_part_in_a_graph() {
    // Logits that are another tensor's transpose, and a loss that is halved.
    let input = Input::random([2, 3, 5, 4]);
    let chain = Var::from_tensor(&input.logits.transpose(1, 3).unwrap()).unwrap();
    let loss = parsed("dice+cross-entropy");
    let halved = loss
        .loss(&chain.transpose(1, 3).unwrap(), &input.targets)
        .and_then(|loss| Ok((loss * 0.5)?))
        .unwrap();
    let gradients = halved.backward().unwrap();
    let back = gradients.get(&chain).unwrap().transpose(1, 3).unwrap();
    let (value, gradient) = input.evaluate(&loss, DType::F64);
    let half: Vec<f64> = gradient.iter().map(|slope| 0.5 * slope).collect();
    assert_close(&[scalar(&halved)], &[0.5 * value], 1e-15, 0., "value");
    assert_close(&flat(&back), &half, 1e-15, 1e-3, "gradient");
}

#[test]
fn a_loss_of_ones_own_is_a_function() {
    fn own(logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error> {
        let truth = targets
            .distributions(logits.dim(3)?)?
            .to_dtype(logits.dtype())?;
        let sum = (truth * log_softmax(logits)?)?.sum_all()?;
        let counted = targets.counted()?.to_dtype(logits.dtype())?.sum_all()?;
        Ok((sum / counted)?.neg()?)
    }
    let input = Input::random([2, 3, 4, 3]);
    let (value, gradient) = input.evaluate(&own, DType::F64);
    let (expected, slopes) = input.evaluate(&parsed("cross-entropy"), DType::F64);
    assert_close(&[value], &[expected], 1e-13, 0., "value");
    assert_close(&gradient, &slopes, 1e-13, 1e-3, "gradient");
}

//! Losses of domain adaptation against plain PyTorch programs (`tools/goldens/adapt_losses.py`),
//! values and gradients; what holds of them without a reference; their named errors.
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Device, Result as CandleResult, Tensor, Var};
use cnn_core::Key;
use cnn_layers::backward;
use cnn_transfer::Error;
use cnn_transfer::adapt::losses::{
    BatchSpectralPenalty, CentralMoments, ClassConfusion, GaussianKernel, HardFeatureNorm,
    JointMmd, MmdEstimate, MultiKernelMmd, RandomMultilinearMap, StepwiseFeatureNorm,
    classifier_discrepancy, confident_cross_entropy, confident_squares, coral, domain_accuracy,
    domain_adversarial, entropy, entropy_weights, information_maximization, multilinear_map,
};
use cnn_transfer::adapt::{Domains, reverse_gradient};
use serde_json::{Map, Value};

#[path = "../../cnn-models/tests/common/formula.rs"]
mod formula;

use formula::formula;

const GOLDEN: &str = include_str!("golden/adapt_losses.json");

const FEATURES: [Input; 2] = [
    Input::new("features.source", [6, 4]),
    Input::new("features.target", [6, 4]),
];
const FEW: [Input; 2] = [FEATURES[0], Input::new("features.few", [4, 4])];
const WIDE: [Input; 2] = [
    Input::new("wide.source", [5, 9]),
    Input::new("wide.target", [3, 9]),
];
const LOGITS: [Input; 2] = [
    Input::new("logits.source", [6, 3]),
    Input::new("logits.target", [6, 3]),
];
const DOMAIN: [Input; 2] = [
    Input::new("domain.source", [6, 1]),
    Input::new("domain.target", [4, 1]),
];

type LossResult = Result<Tensor, Error>;
type PairLoss = fn(Domains<'_>) -> LossResult;
type LogitsLoss = fn(&Tensor) -> LossResult;

/// A tensor that the formula gives.
#[derive(Clone, Copy)]
struct Input {
    name: &'static str,
    shape: [usize; 2],
}

impl Input {
    const fn new(name: &'static str, shape: [usize; 2]) -> Self {
        Self { name, shape }
    }

    fn tensor(self, dtype: DType) -> Tensor {
        let scale = if self.name.starts_with("logits") {
            3.
        } else {
            1.
        };
        (formula(self.name, &self.shape, dtype) * scale).unwrap()
    }
}

/// A case of the golden file.
struct Case {
    name: &'static str,
    inputs: Vec<Input>,
    loss: fn(&[Tensor]) -> LossResult,
}

fn of<'a>(xs: &'a [Tensor]) -> Domains<'a> {
    Domains {
        source: &xs[0],
        target: &xs[1],
    }
}

fn probed(xs: &Tensor) -> CandleResult<Tensor> {
    (xs * formula("probe.map", xs.dims(), xs.dtype()))?.sum_all()
}

fn softmax(logits: &Tensor) -> CandleResult<Tensor> {
    cnn_train::log_softmax(logits)?.exp()
}

fn joint(xs: &[Tensor], estimate: MmdEstimate) -> LossResult {
    let probabilities = [softmax(&xs[2])?, softmax(&xs[3])?];
    let jan = JointMmd {
        estimate,
        ..JointMmd::default()
    };
    jan.loss(&[of(xs), of(&probabilities)])
}

/// CDAN+E with a discriminator of one linear map.
fn conditional(xs: &[Tensor]) -> LossResult {
    let logits = of(&xs[2..]).joined()?;
    let map = multilinear_map(&of(xs).joined()?, &logits)?.flatten()?;
    let domain = map.matmul(&formula("probe.discriminator", &[12, 1], map.dtype()))?;
    let weights = entropy_weights(&logits)?;
    let halves = |xs: &Tensor| -> CandleResult<[Tensor; 2]> {
        Ok([xs.narrow(0, 0, 6)?, xs.narrow(0, 6, 6)?])
    };
    domain_adversarial(of(&halves(&domain)?), Some(of(&halves(&weights)?)))
}

fn cases() -> Vec<Case> {
    let case = |name, inputs: &[Input], loss| Case {
        name,
        inputs: inputs.to_vec(),
        loss,
    };
    let joined = [FEATURES, LOGITS].concat();
    vec![
        case("mmd", &FEATURES, |xs| {
            MultiKernelMmd::default().loss(of(xs))
        }),
        case("mmd few", &FEW, |xs| MultiKernelMmd::default().loss(of(xs))),
        case("mmd linear", &FEATURES, |xs| {
            let mmd = MultiKernelMmd {
                estimate: MmdEstimate::Linear,
                ..MultiKernelMmd::default()
            };
            mmd.loss(of(xs))
        }),
        case("mmd fixed", &WIDE, |xs| {
            let kernels = [0.5, 2.].map(|sigma| GaussianKernel::Fixed { sigma });
            let mmd = MultiKernelMmd {
                kernels: kernels.to_vec(),
                ..MultiKernelMmd::default()
            };
            mmd.loss(of(xs))
        }),
        case("jan", &joined, |xs| joint(xs, MmdEstimate::Quadratic)),
        case("jan linear", &joined, |xs| joint(xs, MmdEstimate::Linear)),
        case("coral", &FEW, |xs| coral(of(xs))),
        case("coral wide", &WIDE, |xs| coral(of(xs))),
        case("cmd", &FEW, |xs| CentralMoments::default().loss(of(xs))),
        case("cmd 3 2", &WIDE, |xs| {
            let moments = CentralMoments {
                moments: 3,
                width: 2.,
            };
            moments.loss(of(xs))
        }),
        case("domain", &DOMAIN, |xs| domain_adversarial(of(xs), None)),
        case("domain weighted", &DOMAIN, |xs| {
            let weights = ["weight.source", "weight.target"];
            let weight = |at: usize| formula(weights[at], xs[at].dims(), xs[at].dtype());
            domain_adversarial(of(xs), Some(of(&[weight(0), weight(1)])))
        }),
        case("multilinear", &[FEATURES[0], LOGITS[0]], |xs| {
            Ok(probed(&multilinear_map(&xs[0], &xs[1])?.flatten()?)?)
        }),
        case("random multilinear", &[FEATURES[0], LOGITS[0]], |xs| {
            let features = formula("matrix.features", &[4, 5], DType::F64);
            let classes = formula("matrix.classes", &[3, 5], DType::F64);
            let map = RandomMultilinearMap::from_matrices(&features, &classes)?;
            Ok(probed(&map.forward(&xs[0], &xs[1])?.flatten()?)?)
        }),
        case("cdan+e", &joined, conditional),
        case("mcd", &LOGITS, |xs| classifier_discrepancy(&xs[0], &xs[1])),
        case("confident", &LOGITS, |xs| {
            confident_cross_entropy(&xs[0], &xs[1], 0.6)
        }),
        case("confident all", &LOGITS, |xs| {
            confident_cross_entropy(&xs[0], &xs[1], 0.)
        }),
        case("pseudo-labels", &LOGITS[1..], |xs| {
            confident_cross_entropy(&xs[0], &xs[0], 0.65)
        }),
        case("confident squares", &LOGITS, |xs| {
            confident_squares(&xs[0], &xs[1], 0.6)
        }),
        case("mcc", &LOGITS[1..], |xs| {
            ClassConfusion::default().loss(&xs[0])
        }),
        case("mcc 1", &LOGITS[1..], |xs| {
            ClassConfusion { temperature: 1. }.loss(&xs[0])
        }),
        case("entropy", &LOGITS[1..], |xs| entropy(&xs[0])),
        case("information", &LOGITS[1..], |xs| {
            information_maximization(&xs[0])
        }),
        case("hafn", &FEW, |xs| HardFeatureNorm::default().loss(of(xs))),
        case("safn", &FEATURES[..1], |xs| {
            StepwiseFeatureNorm { step: 0.3 }.loss(&xs[0])
        }),
        case("bsp", &WIDE, |xs| {
            BatchSpectralPenalty::default().loss(of(xs))
        }),
        case("bsp 2", &FEW, |xs| {
            BatchSpectralPenalty { values: 2 }.loss(of(xs))
        }),
    ]
}

fn golden() -> Map<String, Value> {
    serde_json::from_str(GOLDEN).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap()).collect()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    let wide = tensor.to_dtype(DType::F64).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}

fn vars(inputs: &[Input], dtype: DType) -> Vec<Var> {
    let var = |input: &Input| Var::from_tensor(&input.tensor(dtype)).unwrap();
    inputs.iter().map(var).collect()
}

fn tensors(vars: &[Var]) -> Vec<Tensor> {
    vars.iter().map(|var| var.as_tensor().clone()).collect()
}

/// The largest difference as a share of the largest number.
fn difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs() / scale).fold(0., f64::max)
}

fn compare(dtype: DType, tolerance: f64) {
    let golden = golden();
    let cases = cases();
    assert_eq!(cases.len(), golden.len());
    for Case { name, inputs, loss } in cases {
        let vars = vars(&inputs, dtype);
        let value = loss(&tensors(&vars)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(value.dims().is_empty() && value.dtype() == dtype, "{name}");
        let far = difference(&flat(&value), &[golden[name]["value"].as_f64().unwrap()]);
        assert!(far < tolerance, "{name}: the value differs by {far:e}");
        let gradients = backward(&value).unwrap();
        for (input, var) in inputs.iter().zip(&vars) {
            let expected = numbers(&golden[name]["gradients"][input.name]);
            let found = gradients.get(var).map(flat);
            // The reference has none where nothing depends on the input.
            let found = found.unwrap_or_else(|| vec![0.; expected.len()]);
            let far = if expected.is_empty() {
                found.iter().fold(0., |most: f64, x| most.max(x.abs()))
            } else {
                difference(&found, &expected)
            };
            assert!(
                far < tolerance,
                "{name}: d {} differs by {far:e}",
                input.name
            );
        }
    }
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    compare(DType::F64, 1e-10);
}

#[test]
fn f32_is_close() {
    compare(DType::F32, 2e-5);
}

#[test]
fn samples_in_another_order_change_nothing() {
    for Case { name, inputs, loss } in cases() {
        if name.contains("linear") {
            continue;
        }
        let given: Vec<Tensor> = inputs
            .iter()
            .map(|input| input.tensor(DType::F64))
            .collect();
        // Weights belong to their samples, which these cases take from the formula by position.
        if name == "domain weighted" {
            continue;
        }
        let turned: Vec<Tensor> = given.iter().map(|xs| xs.flip(&[0]).unwrap()).collect();
        let [a, b] = [loss(&given).unwrap(), loss(&turned).unwrap()];
        let far = difference(&flat(&a), &flat(&b));
        assert!(far < 1e-12, "{name}: {far:e}");
    }
}

#[test]
fn distances_do_not_see_a_shift_of_all_features_in_f32() {
    let given: Vec<Tensor> = FEATURES
        .iter()
        .map(|input| input.tensor(DType::F32))
        .collect();
    let shifted: Vec<Tensor> = given.iter().map(|xs| (xs + 1000.).unwrap()).collect();
    let loss = |xs: &[Tensor]| flat(&MultiKernelMmd::default().loss(of(xs)).unwrap());
    let far = difference(&loss(&given), &loss(&shifted));
    assert!(far < 1e-3, "{far:e}");
}

#[test]
fn gradients_are_finite_where_features_are_zeros_or_equal() {
    let losses: [(&str, PairLoss); 6] = [
        ("mmd", |xs| MultiKernelMmd::default().loss(xs)),
        ("coral", coral),
        ("cmd", |xs| CentralMoments::default().loss(xs)),
        ("hafn", |xs| HardFeatureNorm::default().loss(xs)),
        ("safn", |xs| StepwiseFeatureNorm::default().loss(xs.source)),
        ("bsp", |xs| BatchSpectralPenalty::default().loss(xs)),
    ];
    for (name, loss) in losses {
        for value in [0f32, 2.] {
            let all = (Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap() * f64::from(value))
                .unwrap();
            let vars = [
                Var::from_tensor(&all).unwrap(),
                Var::from_tensor(&all).unwrap(),
            ];
            let xs = tensors(&vars);
            let value = loss(of(&xs)).unwrap();
            let gradients = backward(&value).unwrap();
            let found = flat(gradients.get(&vars[0]).unwrap());
            assert!(found.iter().all(|x| x.is_finite()), "{name}: {found:?}");
            assert!(flat(&value)[0].is_finite(), "{name}");
        }
    }
}

#[test]
fn norms_of_nothing_are_nothing() {
    let zeros = Tensor::zeros((4, 3), DType::F64, &Device::Cpu).unwrap();
    let same = || Domains {
        source: &zeros,
        target: &zeros,
    };
    let hard = HardFeatureNorm { radius: 3. }.loss(same()).unwrap();
    assert_eq!(flat(&hard), [18.]);
    let moments = CentralMoments::default().loss(same()).unwrap();
    assert_eq!(flat(&moments), [0.]);
}

#[test]
fn logits_may_be_far_apart() {
    let logits = Tensor::new(&[[1e4f32, 0., -1e4], [0., 0., 1e4]], &Device::Cpu).unwrap();
    let losses: [(&str, LogitsLoss); 4] = [
        ("entropy", entropy),
        ("information", information_maximization),
        ("weights", entropy_weights),
        ("confusion", |logits| ClassConfusion::default().loss(logits)),
    ];
    for (name, loss) in losses {
        let logits = Var::from_tensor(&logits).unwrap();
        let value = loss(&logits).unwrap();
        assert!(flat(&value).iter().all(|x| x.is_finite()));
        let gradients = backward(&value.sum_all().unwrap()).unwrap();
        let found = gradients.get(&logits).map(flat).unwrap_or_default();
        assert!(found.iter().all(|x| x.is_finite()), "{name}: {found:?}");
    }
}

#[test]
fn the_random_map_keeps_inner_products_on_average() {
    let map = RandomMultilinearMap::new(4, 3, 20_000, Key::new(3)).unwrap();
    let same = RandomMultilinearMap::new(4, 3, 20_000, Key::new(3)).unwrap();
    let [features, logits] = [FEATURES[0], LOGITS[0]].map(|input| input.tensor(DType::F64));
    let products = |map: Tensor| flat(&map.matmul(&map.t().unwrap()).unwrap());
    let of = |map: &RandomMultilinearMap| {
        let made = map.forward(&features, &logits).unwrap();
        made.flatten().unwrap()
    };
    let random = of(&map);
    assert_eq!(flat(&random), flat(&of(&same)));
    let exact = multilinear_map(&features, &logits).unwrap();
    let exact = exact.flatten().unwrap();
    let far = difference(&products(random), &products(exact));
    assert!(far < 0.06, "{far}");
}

#[test]
fn what_does_not_fit_is_a_named_error() {
    let zeros = |rows: usize, columns: usize| {
        Tensor::zeros((rows, columns), DType::F32, &Device::Cpu).unwrap()
    };
    let [a, b, one, other] = [zeros(3, 2), zeros(2, 2), zeros(1, 2), zeros(3, 5)];
    let pair = |source, target| Domains { source, target };
    let flat = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    let mmd = MultiKernelMmd::default();
    let linear = MultiKernelMmd {
        estimate: MmdEstimate::Linear,
        ..mmd.clone()
    };
    let none = MultiKernelMmd {
        kernels: Vec::new(),
        ..mmd.clone()
    };
    let narrow = MultiKernelMmd {
        kernels: vec![GaussianKernel::Fixed { sigma: 0. }],
        ..mmd.clone()
    };
    let errors = [
        ("target", mmd.loss(pair(&a, &other))),
        ("source", mmd.loss(pair(&flat, &a))),
        ("source", mmd.loss(pair(&one, &a))),
        ("target", linear.loss(pair(&a, &b))),
        ("kernels", none.loss(pair(&a, &b))),
        ("sigma", narrow.loss(pair(&a, &b))),
        ("layers", JointMmd::default().loss(&[pair(&a, &b)])),
        (
            "layers",
            JointMmd::default().loss(&[pair(&a, &b), pair(&b, &a)]),
        ),
        ("target", coral(pair(&a, &one))),
        (
            "width",
            CentralMoments {
                width: 0.,
                moments: 2,
            }
            .loss(pair(&a, &b)),
        ),
        (
            "moments",
            CentralMoments {
                width: 1.,
                moments: 0,
            }
            .loss(pair(&a, &b)),
        ),
        ("logits", domain_adversarial(pair(&a, &b), None)),
        ("logits", multilinear_map(&a, &b).map(|map| map.to_nhwc())),
        ("second", classifier_discrepancy(&a, &other)),
        ("guide", confident_cross_entropy(&a, &other, 0.5)),
        ("guide", confident_squares(&a, &b, 0.5)),
        ("logits", confident_squares(&flat, &flat, 0.5)),
        ("threshold", confident_cross_entropy(&a, &a, 1.5)),
        ("threshold", confident_squares(&a, &a, f64::NAN)),
        ("temperature", ClassConfusion { temperature: 0. }.loss(&a)),
        ("logits", entropy(&flat)),
        ("logits", information_maximization(&zeros(0, 3))),
        ("radius", HardFeatureNorm { radius: -1. }.loss(pair(&a, &b))),
        ("step", StepwiseFeatureNorm { step: f64::NAN }.loss(&a)),
        (
            "values",
            BatchSpectralPenalty { values: 3 }.loss(pair(&a, &b)),
        ),
        ("lambda", reverse_gradient(&a, f64::INFINITY)),
    ];
    for (name, result) in errors {
        let error = result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(error.starts_with(&format!("`{name}`")), "{name}: {error}");
    }
    let [of_source, of_target] = [zeros(3, 1), zeros(2, 1)];
    let weights = Some(pair(&of_source, &of_source));
    let error = domain_adversarial(pair(&of_source, &of_target), weights).unwrap_err();
    assert!(
        error.to_string().contains("weights of the target"),
        "{error}"
    );
    assert!(domain_accuracy(pair(&a, &b)).is_err());
    assert!(RandomMultilinearMap::new(0, 1, 1, Key::new(0)).is_err());
    let map = RandomMultilinearMap::new(2, 4, 8, Key::new(0)).unwrap();
    assert!(map.forward(&a, &a).is_err() && map.forward(&a, &zeros(3, 4)).is_ok());
}

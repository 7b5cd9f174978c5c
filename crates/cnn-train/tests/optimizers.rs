//! Optimisers against PyTorch's trajectories; resuming, threads, gradients and named errors.

#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Device, Tensor, Var};
use cnn_train::{Gradients, Optimizer, OptimizerConfig, ParamGroup, Rates, decay_groups};
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/optimizers.json");
const SAVED: [usize; 4] = [1, 2, 10, 20];
const STEPS: usize = 20;
const BASE_LR: f64 = 0.05;

/// The rules of the golden file, under its names.
fn configs() -> [(&'static str, OptimizerConfig); 10] {
    let sgd = |momentum, nesterov| OptimizerConfig::Sgd { momentum, nesterov };
    let rmsprop = |alpha, eps, momentum, centered| OptimizerConfig::RmsProp {
        alpha,
        eps,
        momentum,
        centered,
    };
    [
        ("sgd", sgd(0., false)),
        ("sgd momentum", OptimizerConfig::sgd()),
        ("sgd nesterov", sgd(0.8, true)),
        ("adam", OptimizerConfig::adam()),
        (
            "adam short",
            OptimizerConfig::Adam {
                beta1: 0.4,
                beta2: 0.9,
                eps: 1e-3,
            },
        ),
        ("adamw", OptimizerConfig::adamw()),
        ("rmsprop", OptimizerConfig::rmsprop()),
        ("rmsprop momentum", rmsprop(0.9, 1e-6, 0.7, false)),
        ("rmsprop centered", rmsprop(0.95, 1e-4, 0., true)),
        ("rmsprop all", rmsprop(0.4, 1e-3, 0.9, true)),
    ]
}

/// The parameters `first` (3, 4) and `second` (5), the second with 0.3 of the learning rate and no
/// weight decay.
fn groups(dtype: DType, weight_decay: f64) -> Vec<ParamGroup> {
    let group = |name: &str, offset: f64, shape: &[usize], lr_scale, weight_decay| {
        let values = (0..shape.iter().product())
            .map(|i: usize| (offset + i as f64).sin())
            .collect::<Vec<_>>();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)
            .unwrap()
            .to_dtype(dtype)
            .unwrap();
        let parameters = vec![(name.to_string(), Var::from_tensor(&tensor).unwrap())];
        ParamGroup {
            name: name.to_string(),
            parameters,
            lr_scale,
            weight_decay,
        }
    };
    vec![
        group("first", 1., &[3, 4], 1., weight_decay),
        group("second", 2., &[5], 0.3, 0.),
    ]
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

/// Of a quadratic with a sine on top, which moves from update to update; in f64 from the parameter
/// as it is.
fn gradient(var: &Var, step: usize) -> Tensor {
    let gradient = values(var).into_iter().enumerate().map(|(i, p)| {
        let i = i as f64;
        (0.5 + 0.25 * i.cos()) * (p - (2. * i).cos()) + 0.2 * (3. * p + step as f64).sin()
    });
    let gradient: Vec<f64> = gradient.collect();
    Tensor::from_vec(gradient, var.shape(), &Device::Cpu)
        .unwrap()
        .to_dtype(var.dtype())
        .unwrap()
}

fn gradients(optimizer: &Optimizer, step: usize) -> Gradients {
    let all = optimizer
        .parameters()
        .map(|(name, var)| (name.to_string(), gradient(var, step)));
    // The second parameter sits out one update.
    all.filter(|(name, _)| step != 4 || name != "second")
        .collect()
}

fn advance(optimizer: &mut Optimizer, steps: std::ops::Range<usize>) {
    for step in steps {
        let rates = Rates {
            lr: BASE_LR * (1. + 0.5 * (0.4 * step as f64).cos()),
            momentum: None,
        };
        optimizer.step(&gradients(optimizer, step), &rates).unwrap();
    }
}

fn all_values(optimizer: &Optimizer) -> Vec<f64> {
    optimizer
        .parameters()
        .flat_map(|(_, var)| values(var))
        .collect()
}

#[test]
fn trajectories_equal_pytorchs() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for (name, config) in configs() {
        for decay in ["0.0", "0.1"] {
            for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-10)] {
                let mut optimizer =
                    Optimizer::new(config, groups(dtype, decay.parse().unwrap())).unwrap();
                let mut done = 0;
                for (position, saved) in SAVED.into_iter().enumerate() {
                    advance(&mut optimizer, done..saved);
                    done = saved;
                    let expected =
                        &golden[format!("{name}, decay {decay}")][dtype.as_str()][position];
                    let found = all_values(&optimizer);
                    assert_eq!(found.len(), expected.as_array().unwrap().len());
                    for (found, expected) in found.into_iter().zip(expected.as_array().unwrap()) {
                        let expected = expected.as_f64().unwrap();
                        let bound = tolerance * expected.abs().max(1.);
                        let place =
                            format!("{name}, decay {decay}, {dtype:?}, after update {saved}");
                        assert!(
                            (found - expected).abs() <= bound,
                            "{place}: found {found}, expected {expected}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_resumed_run_goes_on_bitwise() {
    for (name, config) in configs() {
        for dtype in [DType::F32, DType::F64] {
            let mut whole = Optimizer::new(config, groups(dtype, 0.1)).unwrap();
            advance(&mut whole, 0..STEPS);
            let mut first = Optimizer::new(config, groups(dtype, 0.1)).unwrap();
            advance(&mut first, 0..7);
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("state.safetensors");
            let saved = first.state().unwrap();
            candle_core::safetensors::save(&saved.into_iter().collect(), &path).unwrap();

            let mut second = Optimizer::new(config, groups(dtype, 0.1)).unwrap();
            for ((_, from), (_, to)) in first.parameters().zip(second.parameters()) {
                to.set(&from.copy().unwrap()).unwrap();
            }
            let loaded: Vec<(String, Tensor)> = candle_core::safetensors::load(&path, &Device::Cpu)
                .unwrap()
                .into_iter()
                .collect();
            second.load_state(&loaded).unwrap();
            advance(&mut second, 7..STEPS);
            let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
            assert_eq!(
                bits(all_values(&second)),
                bits(all_values(&whole)),
                "{name}, {dtype:?}"
            );
        }
    }
}

#[test]
fn state_has_pytorchs_names_and_is_checked() {
    let names = |config| {
        let optimizer = Optimizer::new(config, groups(DType::F32, 0.)).unwrap();
        optimizer
            .state()
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(OptimizerConfig::sgd())[..2],
        ["first.step", "first.momentum_buffer"]
    );
    assert_eq!(
        names(OptimizerConfig::adamw())[3..],
        ["second.step", "second.exp_avg", "second.exp_avg_sq"]
    );

    let mut optimizer = Optimizer::new(OptimizerConfig::adam(), groups(DType::F32, 0.)).unwrap();
    advance(&mut optimizer, 0..6);
    let state = optimizer.state().unwrap();
    // The second parameter had no gradient once.
    assert_eq!(state[0].1.to_scalar::<i64>().unwrap(), 6);
    assert_eq!(state[3].1.to_scalar::<i64>().unwrap(), 5);
    let without = |name: &str| {
        state
            .iter()
            .filter(|(other, _)| other != name)
            .cloned()
            .collect::<Vec<_>>()
    };
    let with = |name: &str, tensor: Tensor| {
        let mut changed = without(name);
        changed.push((name.to_string(), tensor));
        changed
    };
    let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    let cases = [
        (
            without("second.exp_avg"),
            "found nothing of this name, expected `second.exp_avg` of f32 [5]",
        ),
        (
            with("first.exp_avg_sq", zeros(&[4, 3], DType::F32)),
            "found f32 [4, 3], expected `first.exp_avg_sq` of f32 [3, 4]",
        ),
        (
            with("first.exp_avg", zeros(&[3, 4], DType::F64)),
            "found f64 [3, 4]",
        ),
        (
            with("first.step", Tensor::new(-1i64, &Device::Cpu).unwrap()),
            "found step -1",
        ),
        (
            with("third.step", zeros(&[], DType::I64)),
            "found `third.step`",
        ),
    ];
    for (tensors, expected) in cases {
        let message = optimizer.load_state(&tensors).unwrap_err().to_string();
        assert!(
            message.starts_with("`optimizer state`: ") && message.contains(expected),
            "{message}"
        );
    }
    let after: Vec<_> = optimizer
        .state()
        .unwrap()
        .iter()
        .map(|(_, tensor)| values(tensor))
        .collect();
    assert_eq!(
        after,
        state
            .iter()
            .map(|(_, tensor)| values(tensor))
            .collect::<Vec<_>>()
    );
}

#[test]
fn results_do_not_depend_on_threads() {
    const COUNT: usize = 100_003;
    for (name, config) in configs() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let start: Vec<f32> = (0..COUNT).map(|i| (i as f32).sin()).collect();
                let var = Var::from_vec(start, COUNT, &Device::Cpu).unwrap();
                let group = decay_groups(vec![("weights".to_string(), var.clone())], 0.);
                let mut optimizer = Optimizer::new(config, group).unwrap();
                let mut norms = Vec::new();
                for step in 0..3 {
                    let gradients = gradients(&optimizer, step);
                    norms.push(gradients.norm().unwrap().to_bits());
                    optimizer
                        .step(
                            &gradients,
                            &Rates {
                                lr: 0.01,
                                momentum: None,
                            },
                        )
                        .unwrap();
                }
                (
                    var.to_vec1::<f32>()
                        .unwrap()
                        .into_iter()
                        .map(f32::to_bits)
                        .collect::<Vec<_>>(),
                    norms,
                )
            })
        };
        assert!(run(1) == run(2), "{name}");
    }
}

#[test]
fn a_large_parameter_moves_as_its_parts_do() {
    const COUNT: usize = 50_000;
    let config = OptimizerConfig::RmsProp {
        alpha: 0.9,
        eps: 1e-3,
        momentum: 0.5,
        centered: true,
    };
    let start: Vec<f64> = (0..COUNT).map(|i| (i as f64).sin()).collect();
    let moved = |start: &[f64]| {
        let var = Var::from_slice(start, start.len(), &Device::Cpu).unwrap();
        let mut optimizer =
            Optimizer::new(config, decay_groups(vec![("weights".to_string(), var)], 0.)).unwrap();
        for _ in 0..3 {
            let square = optimizer
                .parameters()
                .map(|(name, var)| (name.to_string(), var.sqr().unwrap()))
                .collect();
            optimizer
                .step(
                    &square,
                    &Rates {
                        lr: 0.1,
                        momentum: None,
                    },
                )
                .unwrap();
        }
        all_values(&optimizer)
    };
    assert_eq!(
        moved(&start),
        start.chunks(1000).flat_map(moved).collect::<Vec<_>>()
    );
}

#[test]
fn the_schedules_momentum_takes_the_place_of_a_momentum_that_is_there() {
    let after = |config, momentum| {
        let mut optimizer = Optimizer::new(config, groups(DType::F64, 0.)).unwrap();
        for step in 0..3 {
            optimizer
                .step(&gradients(&optimizer, step), &Rates { lr: 0.1, momentum })
                .unwrap();
        }
        all_values(&optimizer)
    };
    let sgd = |momentum| OptimizerConfig::Sgd {
        momentum,
        nesterov: false,
    };
    let adam = |beta1| OptimizerConfig::Adam {
        beta1,
        beta2: 0.99,
        eps: 1e-8,
    };
    assert_eq!(after(sgd(0.9), Some(0.6)), after(sgd(0.6), None));
    assert_ne!(after(sgd(0.9), Some(0.6)), after(sgd(0.9), None));
    assert_eq!(after(adam(0.9), Some(0.6)), after(adam(0.6), None));
    assert_eq!(after(sgd(0.), Some(0.6)), after(sgd(0.), None));
    assert_eq!(after(sgd(0.9), Some(0.)), after(sgd(0.), None));
    for centered in [false, true] {
        let rmsprop = |momentum| OptimizerConfig::RmsProp {
            alpha: 0.9,
            eps: 1e-3,
            momentum,
            centered,
        };
        assert_eq!(after(rmsprop(0.9), Some(0.6)), after(rmsprop(0.6), None));
        assert_eq!(after(rmsprop(0.9), Some(0.)), after(rmsprop(0.), None));
    }
}

#[test]
fn gradients_are_taken_and_let_go_of_the_graph() {
    let optimizer = Optimizer::new(OptimizerConfig::sgd(), groups(DType::F64, 0.)).unwrap();
    let first = optimizer.parameters().next().unwrap().1;
    let mut store = first
        .t()
        .unwrap()
        .sqr()
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    let gradients = Gradients::take(&mut store, &optimizer);
    assert!(store.get(first).is_none());
    let names: Vec<&str> = gradients.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["first"]);
    assert!(!gradients.get("first").unwrap().track_op());
    assert_eq!(
        values(gradients.get("first").unwrap()),
        values(first).iter().map(|x| 2. * x).collect::<Vec<_>>()
    );
}

fn named(gradients: &[(&str, &[f64])]) -> Gradients {
    gradients
        .iter()
        .map(|(name, values)| {
            (
                name.to_string(),
                Tensor::new(*values, &Device::Cpu).unwrap(),
            )
        })
        .collect()
}

#[test]
fn gradients_are_measured_clipped_and_summed() {
    let gradients = || named(&[("a", &[3., 0.]), ("b", &[-4.])]);
    assert_eq!(gradients().norm().unwrap(), 5.);
    let mut clipped = gradients();
    assert_eq!(clipped.clip_norm(10.).unwrap(), 5.);
    assert_eq!(values(clipped.get("b").unwrap()), [-4.]);
    clipped.clip_norm(1.).unwrap();
    // As torch.nn.utils.clip_grad_norm_: max / (norm + 1e-6).
    assert!((values(clipped.get("a").unwrap())[0] - 3. / 5.000001).abs() < 1e-15);
    let mut clipped = gradients();
    clipped.clip_value(3.5).unwrap();
    assert_eq!(values(clipped.get("b").unwrap()), [-3.5]);

    let mut sum = gradients().scaled(0.5).unwrap();
    sum.add(&named(&[("b", &[8.]), ("c", &[1.])]), 0.25)
        .unwrap();
    let parts: Vec<_> = sum
        .iter()
        .map(|(name, gradient)| (name, values(gradient)))
        .collect();
    assert_eq!(
        parts,
        [("a", vec![1.5, 0.]), ("b", vec![0.]), ("c", vec![0.25])]
    );
    assert!(sum.add(&named(&[("a", &[1., 2., 3.])]), 1.).is_err());

    assert_eq!(gradients().first_non_finite().unwrap(), None);
    let bad = named(&[
        ("a", &[1.]),
        ("b", &[0., f64::NAN]),
        ("c", &[f64::INFINITY]),
    ]);
    assert_eq!(bad.first_non_finite().unwrap(), Some("b"));
    assert!(
        gradients()
            .clip_norm(0.)
            .unwrap_err()
            .to_string()
            .starts_with("`clip_norm`: found 0")
    );
    assert!(
        gradients()
            .clip_value(f64::NAN)
            .unwrap_err()
            .to_string()
            .starts_with("`clip_value`: found NaN")
    );
}

#[test]
fn what_does_not_fit_is_named_before_anything_changes() {
    let mut optimizer = Optimizer::new(OptimizerConfig::adam(), groups(DType::F64, 0.)).unwrap();
    let before = all_values(&optimizer);
    let good: Gradients = optimizer
        .parameters()
        .map(|(name, var)| (name.to_string(), gradient(var, 0)))
        .collect();
    let with = |name: &str, tensor: Tensor| {
        let good = good
            .iter()
            .map(|(name, tensor)| (name.to_string(), tensor.clone()));
        good.chain([(name.to_string(), tensor)])
            .collect::<Gradients>()
    };
    let zeros = |count: usize, dtype| Tensor::zeros(count, dtype, &Device::Cpu).unwrap();
    let plain = Rates {
        lr: 0.1,
        momentum: None,
    };
    let cases = [
        (
            good.clone(),
            Rates { lr: -0.1, ..plain },
            "`lr`: found -0.1",
        ),
        (
            good.clone(),
            Rates {
                momentum: Some(1.),
                ..plain
            },
            "`momentum`: found 1",
        ),
        (
            with("second", zeros(4, DType::F64)),
            plain,
            "`gradients`: found f64 [4] for `second`, expected f64 [5]",
        ),
        (
            with("second", zeros(5, DType::F32)),
            plain,
            "`gradients`: found f32 [5] for `second`",
        ),
        (
            with("third", zeros(1, DType::F64)),
            plain,
            "`gradients`: found `third`",
        ),
    ];
    for (gradients, rates, expected) in cases {
        let message = optimizer.step(&gradients, &rates).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(all_values(&optimizer), before);
    }
    let twice = [groups(DType::F32, 0.), groups(DType::F32, 0.)].concat();
    let message = Optimizer::new(OptimizerConfig::sgd(), twice)
        .unwrap_err()
        .to_string();
    assert!(message.contains("found `first` twice"), "{message}");
    let message = Optimizer::new(OptimizerConfig::sgd(), groups(DType::F16, 0.))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("found `first` of f16, expected f32 or f64"),
        "{message}"
    );
    assert!(Optimizer::new(OptimizerConfig::sgd(), groups(DType::F32, -1.)).is_err());
}

#[test]
fn constants_out_of_range_are_named_and_names_have_defaults() {
    let adam = |beta1, beta2, eps| OptimizerConfig::Adam { beta1, beta2, eps };
    let cases = [
        (
            OptimizerConfig::Sgd {
                momentum: 1.,
                nesterov: false,
            },
            "momentum",
        ),
        (
            OptimizerConfig::Sgd {
                momentum: 0.,
                nesterov: true,
            },
            "momentum",
        ),
        (adam(-0.1, 0.9, 1e-8), "beta1"),
        (adam(0.9, f64::NAN, 1e-8), "beta2"),
        (adam(0.9, 0.9, 0.), "eps"),
        (
            OptimizerConfig::RmsProp {
                alpha: 1.,
                eps: 1e-8,
                momentum: 0.,
                centered: false,
            },
            "alpha",
        ),
    ];
    for (config, name) in cases {
        let message = Optimizer::new(config, Vec::new()).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("`{name}`: found")),
            "{message}"
        );
    }
    for name in OptimizerConfig::NAMES {
        let config = OptimizerConfig::named(name).unwrap();
        config.validate().unwrap();
        let json = serde_json::to_value(config).unwrap();
        assert_eq!(json["name"], name);
        assert_eq!(
            serde_json::from_value::<OptimizerConfig>(json).unwrap(),
            config
        );
    }
    let message = OptimizerConfig::named("adamv").unwrap_err().to_string();
    assert!(
        message.contains("expected one of sgd, adam, adamw, rmsprop, did you mean"),
        "{message}"
    );
}

#[test]
fn rules_are_read_as_they_are_written() {
    let defaults = OptimizerConfig::NAMES.map(|name| OptimizerConfig::named(name).unwrap());
    let others = [
        OptimizerConfig::Sgd {
            momentum: 0.,
            nesterov: false,
        },
        OptimizerConfig::Sgd {
            momentum: 0.85,
            nesterov: true,
        },
        OptimizerConfig::Adam {
            beta1: 0.,
            beta2: 0.1 + 0.2,
            eps: 1e-30,
        },
        OptimizerConfig::AdamW {
            beta1: 0.8,
            beta2: 0.99,
            eps: 0.1,
        },
        OptimizerConfig::RmsProp {
            alpha: 0.9,
            eps: 1e-3,
            momentum: 0.5,
            centered: true,
        },
    ];
    for config in defaults.into_iter().chain(others) {
        let text = config.to_string();
        assert_eq!(text.parse::<OptimizerConfig>().unwrap(), config, "{text}");
    }
    assert_eq!(
        "adamw:eps=1e-6"
            .parse::<OptimizerConfig>()
            .unwrap()
            .to_string(),
        "adamw:beta1=0.9,beta2=0.999,eps=1e-6"
    );
    let table: [(&str, &[&str]); 6] = [
        ("sgdd", &["`sgdd`", "did you mean `sgd`?"]),
        (
            "sgd:beta1=0.9",
            &["`beta1=0.9` of `sgd`", "momentum, nesterov"],
        ),
        ("sgd:nesterov=true", &["`nesterov=true`", "without a value"]),
        (
            "sgd:momentum=0,nesterov",
            &["`momentum`: found 0", "above 0"],
        ),
        ("adam:beta2=1", &["`beta2`: found 1", "below 1"]),
        (
            "rmsprop:centred",
            &["`centred` of `rmsprop`", "did you mean `centered`?"],
        ),
    ];
    for (text, words) in table {
        let message = text.parse::<OptimizerConfig>().unwrap_err().to_string();
        assert!(
            words.iter().all(|word| message.contains(word)),
            "{text}: {message}"
        );
    }
}

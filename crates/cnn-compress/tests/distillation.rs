//! Distillation: its losses against PyTorch, and what a step makes of a student.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use cnn_compress::{
    Distillation, DistillationStep, Error, attention_loss, similarity_loss, soft_target_loss,
};
use cnn_data::{Shapes, ShapesConfig, Split};
use cnn_kernels::backward;
use cnn_layers::FeatureMap;
use cnn_models::{ModelConfig, Network};
use cnn_train::{Classification, EpochRecord, Notice, OptimizerConfig, TrainConfig, Trainer};
use cnn_weights::TensorFile;

use common::formula::formula;

const LIMIT: f64 = 1e-10;

/// A loss by its name over what student and teacher give, of these shapes in PyTorch's order.
struct Case {
    name: &'static str,
    student: &'static [usize],
    teacher: &'static [usize],
    loss: fn(&Tensor, &Tensor) -> Result<Tensor, cnn_train::Error>,
}

fn soft(student: &Tensor, teacher: &Tensor) -> Result<Tensor, cnn_train::Error> {
    soft_target_loss(&(student * 3.)?, &(teacher * 3.)?, 4.)
}

fn attention(student: &Tensor, teacher: &Tensor) -> Result<Tensor, cnn_train::Error> {
    let [student, teacher] = [
        FeatureMap::from_nchw(student)?,
        FeatureMap::from_nchw(teacher)?,
    ];
    attention_loss(&student, &teacher)
}

fn similarity(student: &Tensor, teacher: &Tensor) -> Result<Tensor, cnn_train::Error> {
    let [student, teacher] = [
        FeatureMap::from_nchw(student)?,
        FeatureMap::from_nchw(teacher)?,
    ];
    similarity_loss(&student, &teacher)
}

const CASES: [Case; 4] = [
    Case {
        name: "soft",
        student: &[4, 7],
        teacher: &[4, 7],
        loss: soft,
    },
    Case {
        name: "attention",
        student: &[4, 5, 6, 8],
        teacher: &[4, 9, 6, 8],
        loss: attention,
    },
    Case {
        name: "attention_of_sizes",
        student: &[4, 5, 6, 8],
        teacher: &[4, 9, 12, 4],
        loss: attention,
    },
    Case {
        name: "similarity",
        student: &[4, 5, 6, 8],
        teacher: &[4, 9, 3, 4],
        loss: similarity,
    },
];

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn losses_and_their_gradients_are_pytorchs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/distillation.safetensors");
    let golden = TensorFile::open(&path).unwrap();
    for Case {
        name,
        student,
        teacher,
        loss,
    } in CASES
    {
        let student = formula(&format!("{name}.student"), student, DType::F64);
        let student = candle_core::Var::from_tensor(&student).unwrap();
        let teacher = formula(&format!("{name}.teacher"), teacher, DType::F64);
        let teacher = candle_core::Var::from_tensor(&teacher).unwrap();
        let loss = loss(&student, &teacher).unwrap();
        let gradients = backward(&loss).unwrap();
        assert!(
            gradients.get(&teacher).is_none(),
            "{name}: the teacher learns"
        );
        let found = [
            (name.to_string(), vec![loss.to_scalar::<f64>().unwrap()]),
            (
                format!("{name}.gradient"),
                values(gradients.get(&student).unwrap()),
            ),
        ];
        for (name, found) in found {
            let expected = values(&golden.tensor(&name).unwrap());
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.iter().zip(&expected) {
                let apart = (found - expected).abs();
                assert!(apart < LIMIT, "{name}: {found}, expected {expected}");
            }
        }
    }
}

#[test]
fn maps_of_zeros_have_gradients() {
    let zeros = Tensor::zeros((2, 3, 4, 4), DType::F64, &candle_core::Device::Cpu).unwrap();
    let student = candle_core::Var::from_tensor(&zeros).unwrap();
    let teacher = formula("teacher", &[2, 3, 4, 4], DType::F64);
    for loss in [attention, similarity] {
        let loss = loss(&student, &teacher).unwrap();
        let gradients = backward(&loss).unwrap();
        let gradient = values(gradients.get(&student).unwrap());
        assert!(gradient.iter().all(|value| value.is_finite()));
    }
}

fn network(name: &str, classes: usize, seed: u64) -> Network {
    let config = ModelConfig {
        num_classes: Some(classes),
        in_channels: Some(3),
        input_size: Some([32, 32]),
        ..ModelConfig::default()
    };
    Network::new(name, &config, seed).unwrap()
}

fn shapes(samples: usize, split: Split) -> Arc<Shapes> {
    let config = ShapesConfig::default()
        .with_samples(samples)
        .with_size(32, 32);
    Arc::new(Shapes::new(config.with_split(split)).unwrap())
}

fn classes() -> usize {
    use cnn_data::Dataset as _;
    shapes(12, Split::Train).classes().len()
}

/// Trains a student and gives what each epoch logged.
fn learn(config: Distillation, teacher: &Network, student: &Network) -> Vec<EpochRecord> {
    let record = student.preprocessing().clone();
    let [train, val] = [shapes(32, Split::Train), shapes(12, Split::Val)];
    let task = Classification::new(train, val, record, |mode| student.build(mode)).unwrap();
    let task = task.with_batch_size(16).unwrap();
    let mut step = DistillationStep::new(config, teacher, student).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let train_config = TrainConfig {
        learning_rate: 0.02,
        optimizer: OptimizerConfig::sgd(),
        ..TrainConfig::new(6)
    };
    let mut records = Vec::new();
    let mut listen = |notice: &Notice<'_>| {
        if let Notice::Epoch { record, .. } = notice {
            records.push((*record).clone());
        }
    };
    Trainer::new(train_config, student.store(), directory.path())
        .with_listener(&mut listen)
        .run(&task, &mut step)
        .unwrap();
    records
}

fn logged(record: &EpochRecord, name: &str) -> f64 {
    let mut values = record.values().into_iter();
    values.find(|(logged, _)| logged == name).unwrap().1
}

#[test]
fn a_student_comes_to_answer_as_its_teacher() {
    let config = Distillation {
        logits: 1.,
        attention: 10.,
        features: 10.,
        ..Distillation::default()
    };
    // The teacher has half of the student's size and another normalisation.
    let teacher = network("resnet8_cifar10", classes(), 0);
    let records = learn(config, &teacher, &network("resnet20_cifar10", classes(), 1));
    for name in [
        "train_soft_loss",
        "train_attention_loss",
        "train_features_loss",
    ] {
        let [first, last] = [&records[0], &records[records.len() - 1]].map(|of| logged(of, name));
        assert!(last < 0.8 * first, "{name}: {first} to {last}");
    }
}

#[test]
fn a_copy_of_the_teacher_has_nothing_to_learn() {
    let config = Distillation {
        logits: 1.,
        ..Distillation::default()
    };
    // Without batch norm a network answers in training as in evaluation.
    let [teacher, student] = [0, 0].map(|seed| network("lenet5", classes(), seed));
    let records = learn(config, &teacher, &student);
    assert!(logged(&records[0], "train_soft_loss") < 1e-9);
    for (name, before) in teacher.store().tensors() {
        let after = student.store().get(&name).unwrap();
        let change = (after - before).unwrap().abs().unwrap().max_all().unwrap();
        assert!(change.to_scalar::<f32>().unwrap() < 1e-5, "{name}");
    }
}

#[test]
fn what_cannot_be_learnt_is_told() {
    let step = |config, teacher: &Network, student: &Network| {
        let step = DistillationStep::new(config, teacher, student);
        match step.err() {
            Some(error @ Error::Argument { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let teacher = network("resnet8_cifar10", 6, 0);
    let plain = Distillation::default();
    let other = network("lenet5", 5, 0);
    let said = step(plain, &teacher, &other);
    assert!(
        said.contains("6") && said.contains("5, as the student's"),
        "{said}"
    );
    let mut named = network("resnet8_cifar10", 6, 0);
    let names = |last: &str| ["a", "b", "c", "d", "e", last].map(str::to_string).to_vec();
    named.set_label_names(names("f")).unwrap();
    let mut student = network("resnet8_cifar10", 6, 1);
    student.set_label_names(names("g")).unwrap();
    let said = step(plain, &named, &student);
    assert!(said.contains("`f`") && said.contains("`g`"), "{said}");
    let refused: [(Distillation, &str); 5] = [
        (
            Distillation {
                logits: 1.5,
                ..plain
            },
            "0 to 1",
        ),
        (
            Distillation {
                temperature: 0.,
                ..plain
            },
            "above 0",
        ),
        (
            Distillation {
                attention: -1.,
                ..plain
            },
            "at least 0",
        ),
        (
            Distillation {
                features: f64::NAN,
                ..plain
            },
            "at least 0",
        ),
        (
            Distillation {
                logits: 0.,
                ..plain
            },
            "above 0",
        ),
    ];
    for (config, words) in refused {
        let said = step(config, &teacher, &network("lenet5", 6, 0));
        assert!(said.contains(words), "{said}");
    }
}

//! The gradient of every loss and of the codes against central differences in f64.

use candle_core::{Device, Result, Tensor, Var};
use cnn_core::Key;
use cnn_layers::detection::losses::{
    BinaryCrossEntropy, BinaryTargets, BoxFormat, BoxLoss, BoxLossKind, DistributionFocalLoss,
    Reduction, SigmoidFocalLoss, SmoothL1Loss, SoftmaxCrossEntropy,
};
use cnn_layers::detection::{BoxCoder, BoxEdges, BoxLinearCoder};

use crate::values;

const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-7;

fn uniform(name: &str, shape: [usize; 2], low: f64, high: f64) -> Tensor {
    let mut rng = Key::new(1).stream(name).rng();
    let count = shape.iter().product::<usize>();
    let values: Vec<f64> = (0..count).map(|_| rng.uniform_in(low, high)).collect();
    Tensor::from_vec(values, &shape[..], &Device::Cpu).unwrap()
}

fn boxes(name: &str, count: usize) -> Vec<BoxEdges> {
    let corners = uniform(name, [count, 4], 1., 20.).to_vec2::<f64>().unwrap();
    let edges =
        |row: Vec<f64>| [row[0], row[1], row[0] + row[2], row[1] + row[3]].map(|x| x as f32);
    corners.into_iter().map(edges).collect()
}

fn tensor(boxes: &[BoxEdges]) -> Tensor {
    let rows = boxes.iter().map(|edges| edges.map(f64::from).to_vec());
    let rows: Vec<Vec<f64>> = rows.collect();
    Tensor::new(rows, &Device::Cpu).unwrap()
}

/// Holds each element of the gradient of a scalar against its central difference.
fn check(name: &str, at: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) {
    let var = Var::from_tensor(at).unwrap();
    let grads = f(&var).unwrap().backward().unwrap();
    let found = values(grads.get(&var).unwrap());
    let mut moved = values(at);
    let scale = found
        .iter()
        .fold(0., |scale: f64, slope| scale.max(slope.abs()));
    assert!(scale > 0., "{name}");
    for (place, slope) in found.iter().enumerate() {
        let kept = moved[place];
        let mut value = |x: f64| {
            moved[place] = x;
            let moved = Tensor::from_slice(&moved, at.shape(), &Device::Cpu).unwrap();
            f(&moved).unwrap().to_scalar::<f64>().unwrap()
        };
        let difference = (value(kept + STEP) - value(kept - STEP)) / (2. * STEP);
        moved[place] = kept;
        let is_close = (slope - difference).abs() <= TOLERANCE * scale;
        assert!(
            is_close,
            "{name}, element {place}: {slope}, not {difference}"
        );
    }
}

fn reduction(rows: usize) -> Reduction {
    let weights = uniform("weights", [rows, 1], 0., 2.);
    let weights = values(&weights).into_iter().map(|weight| weight as f32);
    Reduction::over(2.5).with_weights(weights.collect())
}

#[test]
fn losses_of_boxes() {
    let predictions = boxes("predicted", 40);
    let targets = boxes("targets", 40);
    let reduction = reduction(40);
    for kind in [
        BoxLossKind::Iou,
        BoxLossKind::SquaredIou,
        BoxLossKind::Giou,
        BoxLossKind::Diou,
    ] {
        for format in [BoxFormat::Edges, BoxFormat::CentreSize] {
            let loss = BoxLoss::new(kind).with_format(format);
            check(&format!("{loss:?}"), &tensor(&predictions), |predictions| {
                loss.loss(predictions, &targets, &reduction)
            });
        }
    }
}

#[test]
fn the_proportions_of_boxes_that_cover_each_other() {
    // A box within another of the same centre: moving its edges keeps the distance of the centres
    // and the hull in the second order, and `α` is the same number in both losses.
    let target = [[0f32, 0., 20., 10.]];
    let predicted = tensor(&[[4., 1., 16., 9.]]);
    let loss = |kind: BoxLossKind| {
        let predicted = Var::from_tensor(&predicted).unwrap();
        let loss = BoxLoss::new(kind);
        let loss = loss.loss(&predicted, &target, &Reduction::sum()).unwrap();
        let grads = loss.backward().unwrap();
        values(grads.get(&predicted).unwrap())
    };
    let difference: Vec<f64> = loss(BoxLossKind::Ciou)
        .iter()
        .zip(loss(BoxLossKind::Diou))
        .map(|(ciou, diou)| ciou - diou)
        .collect();
    let angle = |width: f64, height: f64| (width / height).atan();
    let v = |width: f64, height: f64| {
        4. / std::f64::consts::PI.powi(2) * (angle(20., 10.) - angle(width, height)).powi(2)
    };
    let iou = 12. * 8. / 200.;
    let alpha = v(12., 8.) / (1. - iou + v(12., 8.));
    let by_width = alpha * (v(12. + STEP, 8.) - v(12. - STEP, 8.)) / (2. * STEP);
    let by_height = alpha * (v(12., 8. + STEP) - v(12., 8. - STEP)) / (2. * STEP);
    let expected = [-by_width, -by_height, by_width, by_height];
    for (found, expected) in difference.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-8, "{found}, not {expected}");
    }
}

#[test]
fn losses_of_logits() {
    let logits = uniform("logits", [9, 5], -6., 6.);
    let numbers = values(&uniform("numbers", [9, 5], 0., 1.));
    let numbers = BinaryTargets::Numbers(numbers.into_iter().map(|x| x as f32).collect());
    let classes = [4, 0, 1]
        .map(Some)
        .into_iter()
        .chain([None; 6])
        .collect::<Vec<_>>();
    let reduction = reduction(9);
    for targets in [numbers, BinaryTargets::Classes(classes.clone())] {
        for (alpha, gamma) in [
            (Some(0.25), 2.),
            (None, 1.),
            (Some(0.7), 0.5),
            (Some(0.3), 0.),
        ] {
            let loss = SigmoidFocalLoss { alpha, gamma };
            check(&format!("{loss:?}"), &logits, |logits| {
                loss.loss(logits, &targets, &reduction)
            });
        }
        let loss = BinaryCrossEntropy { pos_weight: 3. };
        check("binary", &logits, |logits| {
            loss.loss(logits, &targets, &reduction)
        });
    }
    check("softmax", &logits, |logits| {
        SoftmaxCrossEntropy.loss(logits, &classes, &Reduction::mean())
    });
    let targets = values(&uniform("distances", [9, 1], 0., 4.));
    let targets: Vec<f32> = targets.into_iter().map(|x| x as f32).collect();
    check("distribution", &logits, |logits| {
        DistributionFocalLoss.loss(logits, &targets, &reduction)
    });
}

#[test]
fn differences_and_codes() {
    let codes = uniform("codes", [12, 4], -2., 2.);
    let targets = values(&uniform("wanted", [12, 4], -2., 2.));
    let targets: Vec<f32> = targets.into_iter().map(|x| x as f32).collect();
    for beta in [1., 0.1, 0.] {
        let loss = SmoothL1Loss { beta };
        check("smooth L1", &codes, |codes| {
            loss.loss(codes, &targets, &reduction(12))
        });
    }
    let anchors = boxes("anchors", 12);
    let upstream = uniform("upstream", [12, 4], -1., 1.);
    check("by size", &codes, |codes| {
        (BoxCoder::of_heads().decode_tensor(codes, &anchors)? * &upstream)?.sum_all()
    });
    check("linear", &codes, |codes| {
        (BoxLinearCoder::default().decode_tensor(codes, &anchors)? * &upstream)?.sum_all()
    });
}

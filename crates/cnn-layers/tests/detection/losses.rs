//! Losses and their gradients.

use candle_core::{DType, Device, Result, Tensor, Var};
use cnn_layers::detection::BoxEdges;
use cnn_layers::detection::losses::{
    BinaryCrossEntropy, BinaryTargets, BoxFormat, BoxLoss, BoxLossKind, DistributionFocalLoss,
    Reduction, SigmoidFocalLoss, SmoothL1Loss, SoftmaxCrossEntropy,
};

use crate::{Goldens, assert_close, values};

/// The element types and the largest difference to PyTorch's f64, relative to the largest element.
const TOLERANCES: [(DType, f64); 2] = [(DType::F64, 1e-12), (DType::F32, 2e-7)];

/// Holds value, unreduced losses and gradient of a case against PyTorch's.
fn check(
    name: &str,
    divisor: f64,
    loss: impl Fn(&Tensor, &Reduction) -> Result<Tensor>,
    each: impl Fn(&Tensor) -> Result<Vec<f64>>,
) {
    let goldens = Goldens::read();
    let of = |key: &str| goldens.f64(&format!("losses.{name}.{key}"));
    let weights = goldens.f32(&format!("losses.{name}.weights"));
    let reduction = Reduction::over(divisor).with_weights(weights);
    for (dtype, tolerance) in TOLERANCES {
        let predictions = goldens.tensor(&format!("losses.{name}.predictions"));
        let predictions = Var::from_tensor(&predictions.to_dtype(dtype).unwrap()).unwrap();
        let value = loss(&predictions, &reduction).unwrap();
        assert_eq!((value.dtype(), value.rank()), (dtype, 0));
        assert_close(name, &values(&value), &of("value"), tolerance);
        assert_close(name, &each(&predictions).unwrap(), &of("each"), 1e-12);
        let grads = value.backward().unwrap();
        let found = values(grads.get(&predictions).unwrap());
        assert_close(name, &found, &of("grad"), tolerance);
        // A multiple of the loss has a multiple of the gradient.
        let grads = value.affine(3., 1.).unwrap().backward().unwrap();
        let found = values(grads.get(&predictions).unwrap());
        let expected: Vec<f64> = of("grad").iter().map(|slope| 3. * slope).collect();
        assert_close(name, &found, &expected, tolerance);
    }
}

#[test]
fn losses_of_boxes_equal_torchvision_and_yolox() {
    let tiny = 1e-16;
    for (name, loss) in [
        ("iou", BoxLoss::new(BoxLossKind::Iou).with_eps(tiny)),
        ("giou", BoxLoss::new(BoxLossKind::Giou)),
        ("diou", BoxLoss::new(BoxLossKind::Diou)),
        ("ciou", BoxLoss::new(BoxLossKind::Ciou)),
        (
            "yolox_iou",
            BoxLoss::new(BoxLossKind::SquaredIou).with_format(BoxFormat::CentreSize),
        ),
        (
            "yolox_giou",
            BoxLoss::new(BoxLossKind::Giou)
                .with_eps(tiny)
                .with_format(BoxFormat::CentreSize),
        ),
    ] {
        let targets: Vec<BoxEdges> = Goldens::read().edges(&format!("losses.{name}.targets"));
        check(
            name,
            3.5,
            |predictions, reduction| loss.loss(predictions, &targets, reduction),
            |predictions| loss.each(predictions, &targets),
        );
    }
}

#[test]
fn focal_losses_equal_torchvision() {
    for (name, alpha, gamma) in [
        ("focal", Some(0.25), 2.),
        ("focal_plain", None, 2.),
        ("focal_other", Some(0.6), 1.5),
        ("focal_half", Some(0.25), 0.5),
        ("focal_none", Some(0.25), 0.),
    ] {
        let targets =
            BinaryTargets::Numbers(Goldens::read().f32(&format!("losses.{name}.targets")));
        let loss = SigmoidFocalLoss { alpha, gamma };
        check(
            name,
            4.,
            |logits, reduction| loss.loss(logits, &targets, reduction),
            |logits| loss.each(logits, &targets),
        );
    }
}

#[test]
fn binary_cross_entropies_equal_pytorch() {
    for (name, pos_weight) in [("binary", 1.), ("binary_weighted", 2.5)] {
        let targets =
            BinaryTargets::Numbers(Goldens::read().f32(&format!("losses.{name}.targets")));
        let loss = BinaryCrossEntropy { pos_weight };
        check(
            name,
            4.,
            |logits, reduction| loss.loss(logits, &targets, reduction),
            |logits| loss.each(logits, &targets),
        );
    }
}

#[test]
fn cross_entropy_of_some_rows_equals_pytorch() {
    let classes = Goldens::read().i64("losses.softmax.targets");
    let classes: Vec<Option<u32>> = classes
        .into_iter()
        .map(|class| u32::try_from(class).ok())
        .collect();
    check(
        "softmax",
        4.,
        |logits, reduction| SoftmaxCrossEntropy.loss(logits, &classes, reduction),
        |logits| SoftmaxCrossEntropy.each(logits, &classes),
    );
}

#[test]
fn smooth_l1_equals_pytorch() {
    for (name, beta) in [("smooth_l1", 1.), ("smooth_l1_ninth", 1. / 9.), ("l1", 0.)] {
        let targets = Goldens::read().f32(&format!("losses.{name}.targets"));
        let loss = SmoothL1Loss { beta };
        check(
            name,
            2.,
            |predictions, reduction| loss.loss(predictions, &targets, reduction),
            |predictions| loss.each(predictions, &targets),
        );
    }
}

#[test]
fn distribution_focal_loss_equals_two_cross_entropies() {
    let targets = Goldens::read().f32("losses.distribution.targets");
    check(
        "distribution",
        9.,
        |logits, reduction| DistributionFocalLoss.loss(logits, &targets, reduction),
        |logits| DistributionFocalLoss.each(logits, &targets),
    );
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F64, &Device::Cpu).unwrap()
}

fn scalar(loss: Result<Tensor>) -> f64 {
    loss.unwrap().to_scalar().unwrap()
}

#[test]
fn classes_are_the_numbers_that_they_stand_for() {
    let logits = Tensor::new(&[[1f64, -2., 0.5], [0., 3., -1.]], &Device::Cpu).unwrap();
    let classes = BinaryTargets::Classes(vec![Some(2), None]);
    let numbers = BinaryTargets::Numbers(vec![0., 0., 1., 0., 0., 0.]);
    let focal = SigmoidFocalLoss::default();
    let binary = BinaryCrossEntropy::default();
    let sum = Reduction::sum();
    assert_eq!(
        scalar(focal.loss(&logits, &classes, &sum)),
        scalar(focal.loss(&logits, &numbers, &sum))
    );
    assert_eq!(
        scalar(binary.loss(&logits, &classes, &sum)),
        scalar(binary.loss(&logits, &numbers, &sum))
    );
    // A weight per logit in place of one per row.
    let rows = Reduction::sum().with_weights(vec![2., 0.5]);
    let logit_weights = Reduction::sum().with_weights(vec![2., 2., 2., 0.5, 0.5, 0.5]);
    assert_eq!(
        scalar(binary.loss(&logits, &classes, &rows)),
        scalar(binary.loss(&logits, &classes, &logit_weights))
    );
}

#[test]
fn a_mean_is_over_the_rows_that_have_a_class() {
    let logits = Tensor::new(&[[1f64, -2.], [0., 3.], [0.5, 0.25]], &Device::Cpu).unwrap();
    let classes = [Some(0), None, Some(1)];
    let loss =
        |reduction: &Reduction| scalar(SoftmaxCrossEntropy.loss(&logits, &classes, reduction));
    assert_eq!(loss(&Reduction::mean()), loss(&Reduction::over(2.)));
    let boxes = zeros(&[3, 4]);
    let loss =
        |reduction: &Reduction| scalar(SmoothL1Loss::l1().loss(&boxes, &[1.; 12], reduction));
    assert_eq!(
        (loss(&Reduction::mean()), loss(&Reduction::sum())),
        (1., 12.)
    );
}

#[test]
fn many_rows_have_the_losses_that_each_has() {
    let rows = 5000;
    let mut rng = cnn_core::Key::new(8).rng();
    let logits: Vec<f64> = (0..rows * 7).map(|_| rng.normal()).collect();
    let logits = Tensor::from_vec(logits, (rows, 7), &Device::Cpu).unwrap();
    let targets: Vec<f32> = (0..rows).map(|_| rng.uniform_in(0., 6.) as f32).collect();
    let weights: Vec<f32> = (0..rows).map(|_| rng.uniform() as f32).collect();
    let each = DistributionFocalLoss.each(&logits, &targets).unwrap();
    let weighted = each.iter().zip(&weights);
    let expected: f64 = weighted
        .map(|(loss, &weight)| loss * f64::from(weight))
        .sum();
    let gradient = |logits: Tensor, targets: &[f32], weights: &[f32]| {
        let logits = Var::from_tensor(&logits).unwrap();
        let reduction = Reduction::sum().with_weights(weights.to_vec());
        let loss = DistributionFocalLoss
            .loss(&logits, targets, &reduction)
            .unwrap();
        let grads = loss.backward().unwrap();
        (scalar(Ok(loss)), values(grads.get(&logits).unwrap()))
    };
    let (found, all) = gradient(logits.clone(), &targets, &weights);
    assert!(
        (found - expected).abs() < 1e-9 * expected,
        "{found}, not {expected}"
    );
    for row in [0, 1169, 1170, 1171, 4999] {
        let of_row = logits.narrow(0, row, 1).unwrap();
        let (_, alone) = gradient(of_row, &targets[row..][..1], &weights[row..][..1]);
        assert_eq!(all[row * 7..][..7], alone, "row {row}");
    }
}

#[test]
fn nothing_has_the_loss_zero_and_a_gradient() {
    let boxes = Var::from_tensor(&zeros(&[0, 4])).unwrap();
    for reduction in [Reduction::sum(), Reduction::mean(), Reduction::over(3.)] {
        let loss = BoxLoss::new(BoxLossKind::Ciou);
        let loss = loss.loss(&boxes, &[], &reduction).unwrap();
        assert_eq!(loss.to_scalar::<f64>().unwrap(), 0.);
        let grads = loss.backward().unwrap();
        assert_eq!(grads.get(&boxes).unwrap().dims(), [0, 4]);
        let nothing = BinaryTargets::Classes(Vec::new());
        let focal = SigmoidFocalLoss::default();
        assert_eq!(
            scalar(focal.loss(&zeros(&[0, 3]), &nothing, &reduction)),
            0.
        );
        let cross = SoftmaxCrossEntropy.loss(&zeros(&[2, 3]), &[None, None], &reduction);
        assert_eq!(scalar(cross), 0.);
    }
}

#[test]
fn boxes_without_area_have_finite_losses_and_gradients() {
    let point = [3., 3., 3., 3.];
    let line = [0., 3., 9., 3.];
    let whole = [0., 0., 9., 9.];
    for kind in [
        BoxLossKind::Iou,
        BoxLossKind::SquaredIou,
        BoxLossKind::Giou,
        BoxLossKind::Diou,
        BoxLossKind::Ciou,
    ] {
        for (predicted, target) in [
            (point, point),
            (point, whole),
            (whole, point),
            (line, whole),
            (line, line),
        ] {
            let predictions = Tensor::new(&[predicted.map(f64::from)], &Device::Cpu).unwrap();
            let predictions = Var::from_tensor(&predictions).unwrap();
            let loss = BoxLoss::new(kind);
            let loss = loss
                .loss(&predictions, &[target], &Reduction::sum())
                .unwrap();
            let grads = loss.backward().unwrap();
            let found = [values(&loss), values(grads.get(&predictions).unwrap())].concat();
            let is_finite = found.iter().all(|value| value.is_finite());
            assert!(
                is_finite,
                "{kind:?} of {predicted:?}, {target:?}: {found:?}"
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let sum = Reduction::sum();
    let boxes = BoxLoss::new(BoxLossKind::Giou);
    let focal = SigmoidFocalLoss::default();
    let numbers = |numbers: &[f32]| BinaryTargets::Numbers(numbers.to_vec());
    let one = zeros(&[1, 4]);
    let l1 = SmoothL1Loss::l1();
    let weighted = |weights: &[f32]| Reduction::sum().with_weights(weights.to_vec());
    let bytes = Tensor::zeros((1, 4), DType::U8, &Device::Cpu).unwrap();
    for (found, expected) in [
        (
            boxes.loss(&zeros(&[2, 5]), &[], &sum),
            "shape [2, 5], expected shape (boxes, 4)",
        ),
        (
            boxes.loss(&one, &[], &sum),
            "`targets`: found 0 of them, expected 1, one per box",
        ),
        (
            boxes.loss(&bytes, &[[0.; 4]], &sum),
            "found u8, expected f32 or f64",
        ),
        (
            boxes.with_eps(0.).loss(&one, &[[0.; 4]], &sum),
            "`eps`: found 0",
        ),
        (
            focal.loss(&one, &numbers(&[0.; 3]), &sum),
            "expected 4, one per logit",
        ),
        (
            focal.loss(&one, &numbers(&[0., 1., 2., 0.]), &sum),
            "found 2, expected 0 to 1",
        ),
        (
            focal.loss(&one, &BinaryTargets::Classes(vec![Some(4)]), &sum),
            "found class 4, expected below 4",
        ),
        (
            SigmoidFocalLoss {
                gamma: -1.,
                ..focal
            }
            .loss(&one, &numbers(&[0.; 4]), &sum),
            "`gamma`: found -1",
        ),
        (
            SigmoidFocalLoss {
                alpha: Some(2.),
                ..focal
            }
            .loss(&one, &numbers(&[0.; 4]), &sum),
            "`alpha`: found 2",
        ),
        (
            SmoothL1Loss { beta: f64::NAN }.loss(&one, &[0.; 4], &sum),
            "`beta`: found NaN",
        ),
        (
            SoftmaxCrossEntropy.loss(&one, &[Some(4)], &sum),
            "found class 4, expected below 4",
        ),
        (
            SoftmaxCrossEntropy.loss(&zeros(&[4]), &[], &sum),
            "shape [4], expected shape (rows",
        ),
        (
            DistributionFocalLoss.loss(&one, &[3.5], &sum),
            "found 3.5, expected 0 to 3",
        ),
        (
            DistributionFocalLoss.loss(&zeros(&[2, 1]), &[0., 0.], &sum),
            "with two bins or more",
        ),
        (
            l1.loss(&one, &[0.; 4], &weighted(&[1.; 3])),
            "found 3 of them, expected 1, one per row, or 4, one per element",
        ),
        (
            l1.loss(&one, &[0.; 4], &weighted(&[f32::NAN])),
            "`weights`: found NaN",
        ),
        (
            l1.loss(&one, &[0.; 4], &Reduction::over(0.)),
            "`divisor`: found 0",
        ),
    ] {
        let error = found.unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{error}, not {expected}"
        );
    }
}

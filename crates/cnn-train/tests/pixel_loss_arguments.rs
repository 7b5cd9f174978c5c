//! The text of losses of pixels, and the named errors of settings, masks and logits.

#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Device, Tensor};
use cnn_train::{PixelLoss, PixelLossSum, PixelTargets};

fn parsed(text: &str) -> PixelLossSum {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn text_is_read_and_written() {
    let cases = [
        (
            "cross_entropy",
            "cross-entropy:label_smoothing=0,class_weights=none",
        ),
        (
            "cross-entropy:class-weights=1+2.5,count-ignored",
            "cross-entropy:label_smoothing=0,class_weights=1+2.5,count_ignored",
        ),
        ("lovasz", "lovasz"),
        (
            " 0.5 * dice + 0.25*focal:gamma=3,alpha=0.5",
            "0.5*dice:smooth=0,eps=1e-7,classes=none,class_weights=none+\
             0.25*focal:alpha=0.5,gamma=3,reduced_threshold=none,class_weights=none",
        ),
        (
            "jaccard:classes=1+2+lovasz:per_image",
            "jaccard:smooth=0,eps=1e-7,classes=1+2,class_weights=none+lovasz:per_image",
        ),
        (
            "dice:classes=1+2+2*tversky:classes=3+4,log_loss",
            "dice:smooth=0,eps=1e-7,classes=1+2,class_weights=none+\
             2*tversky:alpha=0.5,beta=0.5,gamma=1,smooth=0,eps=1e-7,log_loss,classes=3+4,\
             class_weights=none",
        ),
    ];
    for (text, written) in cases {
        let sum = parsed(text);
        assert_eq!(sum.to_string(), written, "{text}");
        assert_eq!(parsed(written), sum, "{text}");
        let json = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<PixelLossSum>(&json).unwrap(), sum);
    }
}

#[test]
fn text_that_is_not_understood_is_named() {
    let cases = [
        (
            "dize",
            "`loss`: found `dize`, expected one of cross-entropy, focal, dice, jaccard, lovasz, \
             tversky, did you mean `dice`?",
        ),
        ("dice+", "`loss`: found ``, expected one of"),
        ("", "`loss`: found ``, expected one of"),
        (
            "half*dice",
            "`loss`: found `half*dice`, expected a number before `*`",
        ),
        ("-1*dice", "`weight`: found -1"),
        (
            "focal:gama=2",
            "`loss`: found `gama=2` of `focal`, expected alpha, gamma,",
        ),
        ("focal:alpha=2", "`alpha`: found 2, expected 0 to 1"),
        ("focal:gamma=-1", "`gamma`: found -1"),
        ("focal:reduced_threshold=0", "`reduced_threshold`: found 0"),
        (
            "focal:alpha=some",
            "`loss`: found `alpha=some` of `focal`, expected `alpha=NUMBER`, or",
        ),
        (
            "dice:classes=1.5",
            "`loss`: found `classes=1.5` of `dice`, expected `classes=NUMBERS`, whole",
        ),
        ("dice:classes=", "`classes`: found no class"),
        ("dice:eps=0", "`eps`: found 0"),
        ("jaccard:smooth=-1", "`smooth`: found -1"),
        ("tversky:alpha=-1", "`alpha`: found -1"),
        (
            "cross-entropy:label_smoothing=2",
            "`label_smoothing`: found 2, expected 0 to 1",
        ),
        (
            "cross-entropy:class_weights=1+-2",
            "`class_weights`: found -2",
        ),
        (
            "dice:class_weights=0+0",
            "`class_weights`: found weight 0 for every class",
        ),
        (
            "lovasz:per_image=1",
            "`loss`: found `per_image=1` of `lovasz`",
        ),
    ];
    for (text, expected) in cases {
        let message = text.parse::<PixelLossSum>().unwrap_err().to_string();
        assert!(message.starts_with(expected), "{text}: {message}");
    }
}

#[test]
fn bad_input_is_named() {
    let logits = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let masks = |classes: [u8; 6]| {
        let masks = Tensor::from_vec(classes.to_vec(), (1, 2, 3), &Device::Cpu).unwrap();
        PixelTargets::new(&masks).unwrap()
    };
    let fine = masks([0, 1, 2, 255, 0, 0]);
    let cases = [
        (
            "dice",
            logits(&[1, 3, 2, 3]),
            &fine,
            "`logits`: found shape [1, 3, 2, 3], expected shape (1, 2, 3, channels)",
        ),
        (
            "dice",
            logits(&[2, 3]),
            &fine,
            "`logits`: found shape [2, 3], expected shape (1, 2, 3, channels)",
        ),
        (
            "dice",
            logits(&[1, 2, 3, 0]),
            &fine,
            "`logits`: found shape [1, 2, 3, 0]",
        ),
        (
            "dice",
            logits(&[1, 2, 3, 3]).to_dtype(DType::F16).unwrap(),
            &fine,
            "`logits`: found f16, expected f32 or f64",
        ),
        (
            "dice",
            logits(&[1, 2, 3, 2]),
            &fine,
            "`masks`: found class 2, expected classes below 2, or 255",
        ),
        (
            "dice",
            logits(&[1, 2, 3, 1]),
            &fine,
            "`masks`: found class 2, expected classes below 2, or 255",
        ),
        (
            "dice:classes=3",
            logits(&[1, 2, 3, 3]),
            &fine,
            "`classes`: found class 3, expected classes below 3",
        ),
        (
            "jaccard:classes=1",
            logits(&[1, 2, 3, 1]),
            &masks([0, 1, 1, 255, 0, 0]),
            "`classes`: found [1], expected none for logits with one channel",
        ),
        (
            "cross-entropy:class_weights=1+2",
            logits(&[1, 2, 3, 3]),
            &fine,
            "`class_weights`: found 2 weights, expected 3, one per class",
        ),
        (
            "jaccard:classes=0+1,class_weights=0+0+2",
            logits(&[1, 2, 3, 3]),
            &fine,
            "`class_weights`: found weight 0 for every class",
        ),
        (
            "focal:class_weights=1+2",
            logits(&[1, 2, 3, 1]),
            &masks([0, 1, 1, 255, 0, 0]),
            "`class_weights`: found [1.0, 2.0], expected none for logits with one channel",
        ),
        (
            "dice+cross-entropy:class_weights=1",
            logits(&[1, 2, 3, 1]),
            &masks([0, 1, 1, 255, 0, 0]),
            "`class_weights`: found 1 weights, expected 2, one per class",
        ),
    ];
    for (text, logits, targets, expected) in cases {
        let message = parsed(text).loss(&logits, targets).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    for (masks, expected) in [
        (logits(&[1, 2, 3]), "`masks`: found f32, expected u8"),
        (
            logits(&[2, 3]).to_dtype(DType::U8).unwrap(),
            "`masks`: found shape [2, 3], expected shape (images, height, width)",
        ),
    ] {
        let message = PixelTargets::new(&masks).unwrap_err().to_string();
        assert_eq!(message, expected);
    }
    let message = fine.distributions(2).unwrap_err().to_string();
    assert!(message.starts_with("`masks`: found class 2"), "{message}");
}

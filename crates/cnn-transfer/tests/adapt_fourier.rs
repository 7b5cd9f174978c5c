//! Photos in the style of others, against numpy's transform of whole photos
//! (`tools/goldens/fourier.py`).
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{Device, Tensor};
use cnn_core::Preprocessing;
use cnn_transfer::adapt::{FourierStyle, Pixels};
use serde_json::Value;

#[path = "../../cnn-models/tests/common/formula.rs"]
#[allow(dead_code, reason = "tensors are other tests'")]
mod formula;

use formula::formula_values;

const GOLDEN: &str = include_str!("golden/fourier.json");
const BATCH: &str = include_str!("golden/fourier_batch.json");
const SIZE: [usize; 2] = [7, 10];
const STYLE_SIZE: [usize; 2] = [9, 6];

/// In 0 to 1, exact in f32's last digits but one.
fn drawn(name: &str, [height, width]: [usize; 2]) -> Vec<f32> {
    let values = formula_values(&format!("fourier.{name}"), &[height, width, 3]);
    values.map(|x| (x + 1.) / 2.).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    let byte = |x: &f32| (f64::from(*x) * 255. + 0.5).floor() as u8;
    values.iter().map(byte).collect()
}

fn pixels<T>(values: &[T], [height, width]: [usize; 2]) -> Pixels<'_, T> {
    Pixels {
        values,
        height,
        width,
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn styled_photos_are_those_of_numpy() {
    let cases: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(cases.len(), 4);
    let photo = drawn("photo", SIZE);
    for case in cases {
        let size: Vec<usize> = numbers(&case["size"]).iter().map(|&x| x as usize).collect();
        let size = [size[0], size[1]];
        let other = drawn(case["style"].as_str().unwrap(), size);
        let style = FourierStyle {
            radius: case["radius"].as_u64().unwrap() as usize,
        };
        let found = style
            .apply(pixels(&photo, SIZE), pixels(&other, size), 3)
            .unwrap();
        let expected = numbers(&case["values"]);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-6,
                "{style:?}: {found} and {expected}"
            );
        }
        let [photo, other] = [bytes(&photo), bytes(&other)];
        let found = style
            .apply_bytes(pixels(&photo, SIZE), pixels(&other, size), 3)
            .unwrap();
        let expected: Vec<u8> = numbers(&case["bytes"]).iter().map(|&x| x as u8).collect();
        assert_eq!(found, expected, "{style:?}");
    }
}

/// Photos side by side, `(N, H, W, 3)`, normalised.
fn normalised(photos: &[Vec<f32>], [height, width]: [usize; 2]) -> Tensor {
    let record = Preprocessing::default();
    let values = photos.concat().into_iter().enumerate().map(|(at, x)| {
        let channel = at % 3;
        ((f64::from(x) - record.mean[channel]) / record.std[channel]) as f32
    });
    let shape = (photos.len(), height, width, 3);
    Tensor::from_vec(values.collect(), shape, &Device::Cpu).unwrap()
}

fn drawn_all(name: &str, count: usize, size: [usize; 2]) -> Vec<Vec<f32>> {
    let numbers = 0..count;
    numbers
        .map(|number| drawn(&format!("{name} {number}"), size))
        .collect()
}

fn assert_close(found: &Tensor, expected: impl Iterator<Item = f64>) {
    let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let expected: Vec<f64> = expected.collect();
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let far = (f64::from(*found) - expected).abs();
        assert!(far < 1e-5, "{at}: {found} and {expected}");
    }
}

#[test]
fn a_normalised_batch_is_that_of_numpy() {
    let record = Preprocessing::default();
    let photos = normalised(&drawn_all("photo", 3, SIZE), SIZE);
    let styles = normalised(&drawn_all("style", 2, STYLE_SIZE), STYLE_SIZE);
    let found = FourierStyle::default().apply_batch(&photos, &styles, &record);
    let found = found.unwrap();
    assert_eq!(found.dims(), [3, 7, 10, 3]);
    let expected: Value = serde_json::from_str(BATCH).unwrap();
    assert_close(&found, numbers(&expected).into_iter());
}

#[test]
fn each_photo_of_a_batch_is_styled_as_alone() {
    let record = Preprocessing::default();
    let style = FourierStyle { radius: 2 };
    let photos = drawn_all("photo", 5, SIZE);
    let styles = drawn_all("style", 3, STYLE_SIZE);
    let found = style
        .apply_batch(
            &normalised(&photos, SIZE),
            &normalised(&styles, STYLE_SIZE),
            &record,
        )
        .unwrap();
    let alone: Vec<Vec<f32>> = photos
        .iter()
        .zip(styles.iter().cycle())
        .map(|(photo, other)| {
            let other = pixels(other, STYLE_SIZE);
            style.apply(pixels(photo, SIZE), other, 3).unwrap()
        })
        .collect();
    let expected = normalised(&alone, SIZE);
    let expected = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_close(&found, expected.into_iter().map(f64::from));
}

#[test]
fn a_batch_without_styles_and_photos_that_are_too_small_are_named() {
    let record = Preprocessing::default();
    let photos = normalised(&drawn_all("photo", 2, SIZE), SIZE);
    let style = FourierStyle::default();
    let none = photos.narrow(0, 0, 0).unwrap();
    let error = style.apply_batch(&photos, &none, &record).unwrap_err();
    assert!(error.to_string().starts_with("`styles`"), "{error}");
    let error = FourierStyle { radius: 4 }.apply_batch(&photos, &photos, &record);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("at least 9 × 9"), "{error}");
}

#[test]
fn a_photo_in_its_own_style_is_itself() {
    let photo = bytes(&drawn("photo", SIZE));
    let own = pixels(&photo, SIZE);
    assert_eq!(
        FourierStyle { radius: 3 }.apply_bytes(own, own, 3).unwrap(),
        photo
    );
}

#[test]
fn what_a_photo_has_nothing_of_stays_nothing() {
    let style = bytes(&drawn("same", SIZE));
    let photo = [90u8; 210];
    let styled = FourierStyle::default();
    let styled = styled
        .apply_bytes(pixels(&photo, SIZE), pixels(&style, SIZE), 3)
        .unwrap();
    for channel in 0..3 {
        let mean = style
            .iter()
            .skip(channel)
            .step_by(3)
            .map(|&x| f64::from(x))
            .sum::<f64>()
            / 70.;
        assert!(
            styled
                .iter()
                .skip(channel)
                .step_by(3)
                .all(|&x| x == mean.round() as u8)
        );
    }
}

#[test]
fn what_does_not_fit_is_a_named_error() {
    let photo = [0f32; 24];
    let of = |size, radius, channels| {
        let found =
            FourierStyle { radius }.apply(pixels(&photo, size), pixels(&photo, [4, 6]), channels);
        found.unwrap_err().to_string()
    };
    for (found, expected) in [
        (of([4, 5], 1, 1), "24 numbers"),
        (of([4, 6], 1, 0), "24 numbers"),
        (of([0, 6], 0, 1), "24 numbers"),
        (of([usize::MAX, 6], 0, 1), "24 numbers"),
        (of([2, 12], 1, 1), "2 × 12 pixels"),
        (of([4, 6], usize::MAX, 1), "4 × 6 pixels"),
    ] {
        assert!(
            found.contains("photo") && found.contains(expected),
            "{found}"
        );
    }
    assert!(FourierStyle::of_share(0.5, 100, 100).is_err());
    assert!(FourierStyle::of_share(f64::NAN, 100, 100).is_err());
    assert_eq!(FourierStyle::of_share(0.05, 100, 59).unwrap().radius, 2);
}

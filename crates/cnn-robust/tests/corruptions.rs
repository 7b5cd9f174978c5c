//! Corruptions against numpy, scipy and Pillow with the same random numbers, by their statistics,
//! and on images of every size.
//!
//! `python tools/goldens/corruptions.py` makes the golden file.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../cnn-models/tests/common/formula.rs"]
#[allow(dead_code)]
mod formula;

use std::path::Path;

use candle_core::DType;
use cnn_core::Key;
use cnn_data::Image;
use cnn_robust::corruption::{Corruption, Severity};
use cnn_robust::{Draw, Draws, Error};
use cnn_weights::TensorFile;

/// Random numbers by the formula.
struct FormulaDraws;

fn by_formula(name: &str, count: usize) -> Vec<f64> {
    let values = formula::formula(name, &[count], DType::F64);
    let values: Vec<f64> = values.to_vec1().unwrap();
    values.iter().map(|value| (value + 1.) / 2.).collect()
}

impl Draws for FormulaDraws {
    fn uniform(&self, draw: Draw, count: usize) -> Result<Vec<f64>, Error> {
        let name = format!("draw.{}.{}", draw.name, draw.step);
        Ok(by_formula(&name, count))
    }

    fn normal(&self, draw: Draw, count: usize) -> Result<Vec<f64>, Error> {
        let half = |part| by_formula(&format!("draw.{}.{part}.0", draw.name), count);
        let pairs = half("first").into_iter().zip(half("second"));
        let normal = pairs.map(|(first, second)| {
            (-2. * first.max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * second).cos()
        });
        Ok(normal.collect())
    }
}

/// By how much images differ: of all bytes the mean, and the share that differs by more than a
/// level.
fn difference(found: &Image, expected: &[u8]) -> (f64, f64) {
    assert_eq!(found.bytes().len(), expected.len());
    let pairs = found.bytes().iter().zip(expected);
    let differences: Vec<u8> = pairs.map(|(&a, &b)| a.abs_diff(b)).collect();
    let count = differences.len() as f64;
    let sum: f64 = differences.iter().map(|&levels| f64::from(levels)).sum();
    let more = differences.iter().filter(|&&levels| levels > 1).count();
    (sum / count, more as f64 / count)
}

#[test]
fn corruptions_are_those_of_the_published_programs() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/corruptions.safetensors"
    );
    let golden = TensorFile::open(Path::new(path)).unwrap();
    let bytes = |name: &str| -> Vec<u8> {
        let tensor = golden.tensor(name).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    for size in ["large", "small"] {
        let name = format!("{size}.photo");
        let dims = golden.tensor(&name).unwrap().dims().to_vec();
        let photo = Image::from_pixels(dims[0], dims[1], dims[2], bytes(&name)).unwrap();
        for kind in Corruption::ALL {
            if kind == Corruption::Frost {
                continue;
            }
            let expected = bytes(&format!("{size}.{kind}"));
            let images = expected.chunks_exact(photo.bytes().len());
            assert_eq!(images.len(), Severity::ALL.len());
            for (severity, expected) in Severity::ALL.into_iter().zip(images) {
                let found = kind.apply_with(&photo, severity, &FormulaDraws, 0).unwrap();
                let (mean, more) = difference(&found, expected);
                // Rounding falls otherwise here and there.
                assert!(
                    mean <= 0.005 && more == 0.,
                    "{size} {kind} {severity}: {mean} levels in the mean, {more} by more than 1"
                );
                let is_jpeg = kind == Corruption::JpegCompression;
                assert!(!is_jpeg || mean == 0., "{size} JPEG {severity}: {mean}");
            }
        }
    }
}

/// A photo with slopes and edges.
fn photo(height: usize, width: usize, channels: usize) -> Image {
    let value = |place: usize| {
        let row = place / channels / width;
        let column = place / channels % width;
        let edge = 50 * ((row / 7 + column / 5) % 2);
        (40 + (2 * row + column + 20 * (place % channels)) % 140 + edge) as u8
    };
    let bytes = (0..height * width * channels).map(value).collect();
    Image::from_pixels(height, width, channels, bytes).unwrap()
}

fn grey(height: usize, width: usize, level: u8) -> Image {
    Image::from_pixels(height, width, 1, vec![level; height * width]).unwrap()
}

fn apply(kind: Corruption, image: &Image, level: u8) -> Image {
    let severity = Severity::new(level).unwrap();
    kind.apply(image, severity, Key::new(3)).unwrap()
}

fn mean_and_deviation(image: &Image) -> (f64, f64) {
    let count = image.bytes().len() as f64;
    let values = || image.bytes().iter().map(|&byte| f64::from(byte) / 255.);
    let mean = values().sum::<f64>() / count;
    let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// The distance of two images, the root of the mean square in 0..1.
fn distance(a: &Image, b: &Image) -> f64 {
    let pairs = a.bytes().iter().zip(b.bytes());
    let squares = pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
    (squares.sum::<f64>() / a.bytes().len() as f64).sqrt() / 255.
}

#[test]
fn noise_has_its_distribution() {
    // Half way between black and white, so that next to nothing is clipped; what is cut off when
    // fractions are costs half a level.
    let half = grey(200, 200, 128);
    let level = 128. / 255.;
    let cut = 0.5 / 255.;
    let (mean, deviation) = mean_and_deviation(&apply(Corruption::GaussianNoise, &half, 1));
    assert!((mean + cut - level).abs() < 0.002 && (deviation - 0.08).abs() < 0.002);
    for (severity, quanta) in [(1, 60.), (2, 25.)] {
        let (mean, deviation) = mean_and_deviation(&apply(Corruption::ShotNoise, &half, severity));
        let expected = (level / quanta).sqrt();
        assert!((mean + cut - level).abs() < 0.004, "{mean}");
        assert!(
            (deviation - expected).abs() < 0.005,
            "{deviation} {expected}"
        );
    }
    for (severity, amount) in [(1, 0.03), (3, 0.09), (5, 0.27)] {
        let salted = apply(Corruption::ImpulseNoise, &half, severity);
        let share = |level: u8| {
            salted.bytes().iter().filter(|&&byte| byte == level).count() as f64 / 40_000.
        };
        for level in [0, 255] {
            assert!(
                (share(level) - amount / 2.).abs() < 0.01,
                "{}",
                share(level)
            );
        }
    }
}

#[test]
fn black_has_no_shot_noise() {
    let black = grey(30, 30, 0);
    assert_eq!(apply(Corruption::ShotNoise, &black, 5), black);
}

#[test]
fn fog_brings_values_nearer_to_each_other() {
    let photo = photo(96, 80, 3);
    let (_, deviation) = mean_and_deviation(&photo);
    let foggy = apply(Corruption::Fog, &photo, 3);
    let (_, of_foggy) = mean_and_deviation(&foggy);
    assert!(of_foggy < deviation, "{of_foggy} {deviation}");
    let brightest = *photo.bytes().iter().max().unwrap();
    assert!(foggy.bytes().iter().all(|&byte| byte <= brightest));
}

#[test]
fn frost_and_snow_make_a_dark_photo_brighter() {
    for (height, width) in [(120, 90), (32, 32)] {
        let dark = grey(height, width, 30);
        for kind in [Corruption::Frost, Corruption::Snow] {
            for level in 1..=5 {
                let (mean, deviation) = mean_and_deviation(&apply(kind, &dark, level));
                assert!(
                    mean > 30. / 255. && deviation > 0.005,
                    "{kind} {level}: {mean} {deviation}"
                );
            }
        }
    }
}

#[test]
fn damage_grows_with_severity() {
    for (height, width) in [(128, 112), (32, 32)] {
        let photo = photo(height, width, 3);
        for kind in Corruption::ALL {
            // Elastic transforms exchange one kind of damage for another; frost is as bright as a
            // photo, and hides it rather than changing its values.
            if matches!(kind, Corruption::ElasticTransform | Corruption::Frost) {
                continue;
            }
            let of_severity = |severity: Severity| {
                let damage = |seed| {
                    let corrupted = kind.apply(&photo, severity, Key::new(seed)).unwrap();
                    distance(&corrupted, &photo)
                };
                (0..8).map(damage).sum::<f64>() / 8.
            };
            let damage = Severity::ALL.map(of_severity);
            // Glass with more iterations has less blur, a coarser raster may fall upon the photo's,
            // and blur over the size of the photo's squares does not make more of it.
            let least = match kind {
                Corruption::GlassBlur | Corruption::Pixelate | Corruption::Snow => 0.7,
                Corruption::DefocusBlur | Corruption::MotionBlur | Corruption::Fog => 0.95,
                _ => 1.,
            };
            let grows = damage.windows(2).all(|pair| pair[1] > least * pair[0]);
            let is_seen = damage[0] > 0.001 && damage[4] > damage[0];
            assert!(grows && is_seen, "{height}x{width} {kind}: {damage:?}");
        }
    }
}

#[test]
fn frost_hides_more_of_the_photo_with_severity() {
    for (height, width) in [(128, 112), (32, 32)] {
        let photo = photo(height, width, 3);
        let seen = |severity: Severity| {
            let seen = |seed| {
                let frosty = Corruption::Frost.apply(&photo, severity, Key::new(seed));
                correlation(&frosty.unwrap(), &photo)
            };
            (0..8).map(seen).sum::<f64>() / 8.
        };
        let seen = Severity::ALL.map(seen);
        let hides = seen.windows(2).all(|pair| pair[1] < pair[0]);
        assert!(hides && seen[0] < 0.99, "{height}x{width}: {seen:?}");
    }
}

fn correlation(a: &Image, b: &Image) -> f64 {
    let (mean_a, deviation_a) = mean_and_deviation(a);
    let (mean_b, deviation_b) = mean_and_deviation(b);
    let pairs = a.bytes().iter().zip(b.bytes());
    let products =
        pairs.map(|(&a, &b)| (f64::from(a) / 255. - mean_a) * (f64::from(b) / 255. - mean_b));
    products.sum::<f64>() / a.bytes().len() as f64 / (deviation_a * deviation_b)
}

#[test]
fn any_size_is_corrupted_to_the_same_size() {
    let sizes = [
        (1, 1),
        (1, 2),
        (1, 90),
        (90, 1),
        (2, 3),
        (3, 70),
        (28, 28),
        (65, 5),
        (5, 64),
    ];
    for (height, width) in sizes {
        for channels in [1, 3] {
            let photo = photo(height, width, channels);
            for kind in Corruption::ALL {
                for severity in Severity::ALL {
                    let found = kind.apply(&photo, severity, Key::new(1)).unwrap();
                    let size = (found.height(), found.width(), found.channels());
                    assert_eq!(size, (height, width, channels), "{kind} {severity}");
                }
            }
        }
    }
}

#[test]
fn grey_photos_are_corrupted_as_such_of_three_equal_channels() {
    // Those without noise of each value by itself, and without colours of their own.
    let kinds = [
        Corruption::DefocusBlur,
        Corruption::GlassBlur,
        Corruption::MotionBlur,
        Corruption::ZoomBlur,
        Corruption::Snow,
        Corruption::Fog,
        Corruption::Brightness,
        Corruption::Contrast,
        Corruption::ElasticTransform,
        Corruption::Pixelate,
    ];
    for photo in [photo(30, 24, 1), photo(70, 20, 1)] {
        for kind in kinds {
            let grey = apply(kind, &photo, 3).to_rgb();
            let rgb = apply(kind, &photo.to_rgb(), 3);
            assert!(difference(&grey, rgb.bytes()).0 < 0.01, "{kind}");
        }
    }
}

#[test]
fn what_is_random_depends_on_the_key() {
    let photo = photo(40, 36, 3);
    let severity = Severity::new(3).unwrap();
    let of = |kind: Corruption, seed| kind.apply(&photo, severity, Key::new(seed)).unwrap();
    let fixed = [
        Corruption::DefocusBlur,
        Corruption::ZoomBlur,
        Corruption::Brightness,
        Corruption::Contrast,
        Corruption::Pixelate,
        Corruption::JpegCompression,
    ];
    for kind in Corruption::ALL {
        assert_eq!(of(kind, 1), of(kind, 1), "{kind}");
        let is_fixed = fixed.contains(&kind);
        assert_eq!(of(kind, 1) == of(kind, 2), is_fixed, "{kind}");
    }
}

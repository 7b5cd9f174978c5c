//! Decoding, resizing and preprocessing against Pillow 13.0 and timm 1.0.31;
//! `tools/goldens/images.py` writes the files.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_core::{CropMode, Interpolation, Preprocessing};
use cnn_data::{
    ColorModel, FileFormat, Image, Limits, decode_with_limits, open_image, preprocess, resize,
};
use common::{difference, golden, golden_bytes, read_ppm};
use serde_json::Value;

fn cases(kind: &str) -> Vec<Value> {
    let cases: Value = serde_json::from_slice(&golden_bytes("cases.json")).unwrap();
    let cases = cases[kind].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap()
}

fn side(case: &Value, key: &str) -> usize {
    case[key].as_u64().unwrap() as usize
}

#[test]
fn every_format_decodes_as_in_pillow() {
    for case in cases("decode") {
        let file = text(&case, "file");
        let image = open_image(&golden(file)).unwrap();
        let difference = difference(&image, &read_ppm(text(&case, "expected")));
        assert_eq!(difference, (0, 0.0), "{file}: largest and mean difference");
    }
}

#[test]
fn resized_as_in_pillow() {
    let all: Value = serde_json::from_slice(&golden_bytes("cases.json")).unwrap();
    let source = read_ppm(text(&all, "resize_source"));
    for case in cases("resize") {
        let interpolation: Interpolation =
            serde_json::from_value(case["interpolation"].clone()).unwrap();
        let found = resize(
            &source,
            side(&case, "height"),
            side(&case, "width"),
            interpolation,
        )
        .unwrap();
        let (max, mean) = difference(&found, &read_ppm(text(&case, "expected")));
        println!("{case}: {max} {mean:.4}");
        let accepted = if interpolation == Interpolation::Nearest {
            (0, 0.0)
        } else {
            (1, 0.025)
        };
        assert!(
            max <= accepted.0 && mean <= accepted.1,
            "{case}: largest {max}, mean {mean}"
        );
    }
}

// Pillow 13 shrinks rows first where they shrink more and the image is tall; all versions before
// shrink columns first, as is done here. The order shows in the last bit.
#[test]
fn evaluated_as_in_timm() {
    for case in cases("evaluate") {
        let record = Preprocessing {
            input_size: [3, side(&case, "height"), side(&case, "width")],
            interpolation: serde_json::from_value(case["interpolation"].clone()).unwrap(),
            crop_pct: case["crop_pct"].as_f64().unwrap(),
            crop_mode: serde_json::from_value(case["crop_mode"].clone()).unwrap(),
            ..Preprocessing::default()
        };
        let found = bytes_before_normalisation(&read_ppm(text(&case, "source")), &record);
        let (max, mean) = difference(&found, &read_ppm(text(&case, "expected")));
        println!("{case}: {max} {mean:.4}");
        let mean_accepted = if record.crop_mode == CropMode::Center {
            0.02
        } else {
            0.3
        };
        assert!(
            max <= 1 && mean <= mean_accepted,
            "{case}: largest {max}, mean {mean}"
        );
    }
}

fn bytes_before_normalisation(source: &Image, record: &Preprocessing) -> Image {
    let found = preprocess(source, record).unwrap();
    let channels = record.mean.iter().zip(&record.std).cycle();
    let bytes = found
        .values()
        .iter()
        .zip(channels)
        .map(|(&value, (mean, std))| {
            let byte = (f64::from(value) * std + mean) * 255.0;
            assert!((byte - byte.round()).abs() < 1e-4, "{byte}");
            byte.round() as u8
        });
    Image::from_pixels(
        found.height(),
        found.width(),
        found.channels(),
        bytes.collect(),
    )
    .unwrap()
}

#[test]
fn normalised_as_in_torchvision() {
    let record = Preprocessing {
        input_size: [3, 16, 16],
        crop_pct: 1.0,
        ..Preprocessing::default()
    };
    let found = preprocess(&read_ppm("normalized.ppm"), &record).unwrap();
    let bytes = golden_bytes("normalized.f32");
    let expected: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|value| f32::from_le_bytes(value.try_into().unwrap()))
        .collect();
    assert_eq!(found.values(), expected);
}

#[test]
fn headers_say_how_images_are_stored() {
    let cases = [
        ("rgb-420.jpg", FileFormat::Jpeg, ColorModel::Rgb, 8),
        ("grey.jpg", FileFormat::Jpeg, ColorModel::Grey, 8),
        ("ycck.jpg", FileFormat::Jpeg, ColorModel::Cmyk, 8),
        ("orientation-6.jpg", FileFormat::Jpeg, ColorModel::Grey, 8),
        ("palette.png", FileFormat::Png, ColorModel::Palette, 4),
        ("grey-alpha.png", FileFormat::Png, ColorModel::GreyAlpha, 8),
        ("rgba-16.png", FileFormat::Png, ColorModel::Rgba, 16),
        ("one-bit.bmp", FileFormat::Bmp, ColorModel::Palette, 1),
        ("rgb.bmp", FileFormat::Bmp, ColorModel::Rgb, 8),
        ("palette.gif", FileFormat::Gif, ColorModel::Palette, 4),
        ("lossless.webp", FileFormat::WebP, ColorModel::Rgb, 8),
        ("lossless-alpha.webp", FileFormat::WebP, ColorModel::Rgba, 8),
        ("lossy.webp", FileFormat::WebP, ColorModel::Rgb, 8),
        ("lossy-alpha.webp", FileFormat::WebP, ColorModel::Rgba, 8),
        ("orientation-8.webp", FileFormat::WebP, ColorModel::Rgb, 8),
    ];
    for (file, format, color, bits) in cases {
        let info = decode_with_limits(&golden_bytes(file), &Limits::default())
            .unwrap()
            .info;
        assert_eq!(
            (info.format, info.color, info.bits),
            (format, color, bits),
            "{file}"
        );
        assert_eq!((info.width, info.height), (23, 17), "{file}");
    }
}

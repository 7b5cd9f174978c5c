//! Decoding, resizing and preprocessing against Pillow 13.0 and timm 1.0.31; `tools/goldens/images.py` writes the files.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_core::{CropMode, Interpolation, Preprocessing};
use cnn_data::{Image, open_image, preprocess, resize};
use common::{difference, golden, golden_bytes, read_ppm};
use serde_json::Value;

fn cases(kind: &str) -> Vec<Value> {
    let cases: Value = serde_json::from_slice(&golden_bytes("cases.json")).unwrap();
    let cases = cases[kind].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn every_format_decodes_as_in_pillow() {
    for case in cases("decode") {
        let file = case["file"].as_str().unwrap();
        let (max, mean) =
            difference(&open_image(&golden(file)).unwrap(), &read_ppm(case["expected"].as_str().unwrap()));
        println!("{file}: {max} {mean:.4}");
    }
    panic!();
}

#[test]
fn resized_as_in_pillow() {
    let cases_json: Value = serde_json::from_slice(&golden_bytes("cases.json")).unwrap();
    let source = read_ppm(cases_json["resize_source"].as_str().unwrap());
    for case in cases("resize") {
        let interpolation: Interpolation = serde_json::from_value(case["interpolation"].clone()).unwrap();
        let size = ["height", "width"].map(|key| case[key].as_u64().unwrap() as usize);
        let found = resize(&source, size[0], size[1], interpolation).unwrap();
        let (max, mean) = difference(&found, &read_ppm(case["expected"].as_str().unwrap()));
        println!("{case}: {max} {mean:.4}");
    }
    panic!();
}

#[test]
fn evaluated_as_in_timm() {
    for case in cases("evaluate") {
        let side = |key: &str| case[key].as_u64().unwrap() as usize;
        let record = Preprocessing {
            input_size: [3, side("height"), side("width")],
            interpolation: serde_json::from_value(case["interpolation"].clone()).unwrap(),
            crop_pct: case["crop_pct"].as_f64().unwrap(),
            crop_mode: serde_json::from_value::<CropMode>(case["crop_mode"].clone()).unwrap(),
            ..Preprocessing::default()
        };
        let source = read_ppm(case["source"].as_str().unwrap());
        let found = preprocess(&source, &record).unwrap();
        let bytes: Vec<u8> = found
            .values()
            .chunks(3)
            .flat_map(|p| [0, 1, 2].map(|c| ((p[c] as f64 * record.std[c] + record.mean[c]) * 255.0).round() as u8))
            .collect();
        let found = Image::from_pixels(found.height(), found.width(), 3, bytes).unwrap();
        let (max, mean) = difference(&found, &read_ppm(case["expected"].as_str().unwrap()));
        println!("{case}: {max} {mean:.4}");
    }
    panic!();
}

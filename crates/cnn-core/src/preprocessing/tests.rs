//! Records as timm writes them, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use serde_json::json;

use super::*;

#[test]
fn the_default_is_timms() {
    let record = Preprocessing::default();
    record.validate().unwrap();
    assert_eq!(
        Preprocessing::from_pretrained_cfg(&json!({})).unwrap(),
        record
    );
    assert_eq!(
        serde_json::to_value(&record).unwrap(),
        json!({
            "input_size": [3, 224, 224],
            "interpolation": "bicubic",
            "crop_pct": 0.875,
            "crop_mode": "center",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        })
    );
}

// The config.json of squeezenet1_1.caffe_in1k and of yolox_nano.coco, shortened.
#[test]
fn published_records_are_read() {
    let squeezenet = r#"{
        "tag": "caffe_in1k", "input_size": [3, 227, 227], "fixed_input_size": false, "interpolation": "bicubic",
        "crop_pct": 0.887, "crop_mode": "center", "mean": [0.4823529411764706, 0.4588235294117647, 0.40784313725490196],
        "std": [0.00392156862745098, 0.00392156862745098, 0.00392156862745098],
        "num_classes": 1000, "classifier": "classifier.1"
    }"#;
    let record: Preprocessing = serde_json::from_str(squeezenet).unwrap();
    assert_eq!(
        (record.channels(), record.height(), record.width()),
        (3, 227, 227)
    );
    assert_eq!(record.crop_pct, 0.887);
    assert_eq!(record.mean, [123.0 / 255.0, 117.0 / 255.0, 104.0 / 255.0]);
    assert_eq!(record.std, [1.0 / 255.0; 3]);

    let yolox = json!({
        "input_size": [3, 416, 416],
        "letterbox_fill": 114,
        "color_order": "bgr",
        "value_range": [0, 255],
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
    });
    let record = Preprocessing::from_pretrained_cfg(&yolox).unwrap();
    assert_eq!(record.input_size, [3, 416, 416]);
    assert_eq!((&record.mean, &record.std), (&vec![0.0; 3], &vec![1.0; 3]));
    assert_eq!(
        (record.interpolation, record.crop_pct),
        (Interpolation::Bilinear, 1.0)
    );
    assert_eq!(
        (record.letterbox_fill, record.color_order),
        (Some(LetterboxFill::Grey(114)), ColorOrder::Bgr)
    );
    assert_eq!(record.value_range, [0.0, 255.0]);
    let written = serde_json::to_value(&record).unwrap();
    assert_eq!(
        Preprocessing::from_pretrained_cfg(&written).unwrap(),
        record
    );

    let record = Preprocessing::letterbox_of_mean();
    let written = serde_json::to_value(&record).unwrap();
    assert_eq!(written["letterbox_fill"], "mean");
    assert_eq!(
        Preprocessing::from_pretrained_cfg(&written).unwrap(),
        record
    );
    for fill in [json!(256), json!("grey")] {
        let error = Preprocessing::from_pretrained_cfg(&json!({"letterbox_fill": fill}));
        let message = error.unwrap_err().to_string();
        assert!(message.contains("0 to 255 or \"mean\""), "{message}");
    }
}

#[test]
fn null_means_default() {
    let record =
        json!({"input_size": [3, 32, 48], "crop_pct": null, "crop_mode": null, "mean": null});
    let expected = Preprocessing {
        input_size: [3, 32, 48],
        ..Preprocessing::default()
    };
    assert_eq!(
        Preprocessing::from_pretrained_cfg(&record).unwrap(),
        expected
    );
}

#[test]
fn what_is_written_reads_back_equal() {
    let odd = 0.1 + 0.2;
    for crop_mode in [CropMode::Center, CropMode::Squash, CropMode::Border] {
        for interpolation in [
            Interpolation::Nearest,
            Interpolation::Bilinear,
            Interpolation::Bicubic,
        ] {
            let record = Preprocessing {
                input_size: [2, 31, 65_535],
                interpolation,
                crop_pct: 1.0,
                crop_mode,
                mean: vec![-1e-300, 1.0 / 3.0],
                std: vec![5e-324, odd],
                letterbox_fill: Some(LetterboxFill::Grey(7)),
                color_order: ColorOrder::Bgr,
                value_range: [-0.5, odd],
            };
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(
                serde_json::from_str::<Preprocessing>(&text).unwrap(),
                record
            );
        }
    }
}

// math.floor(size / crop_pct) as in timm 1.0.31, data/transforms_factory.py,
// transforms_imagenet_eval.
#[test]
fn the_resize_size_is_timms() {
    let cases = [
        ([224, 224], 0.875, [256, 256]),
        ([227, 227], 0.887, [255, 255]),
        ([224, 224], 0.95, [235, 235]),
        ([224, 224], 0.9, [248, 248]),
        ([299, 299], 0.95, [314, 314]),
        ([288, 192], 1.0, [288, 192]),
        ([31, 49], 0.875, [35, 56]),
        ([1, 1], 0.3, [3, 3]),
    ];
    for ([height, width], crop_pct, expected) in cases {
        let record = Preprocessing {
            input_size: [3, height, width],
            crop_pct,
            ..Preprocessing::default()
        };
        assert_eq!(
            record.resize_size(),
            expected,
            "{height}x{width} at {crop_pct}"
        );
    }
}

#[test]
fn a_bad_value_is_an_error_that_names_its_field() {
    let cases = [
        (
            json!({"input_size": [3, 0, 224]}),
            "`input_size`: found [3, 0, 224], expected three numbers from 1 to 65535",
        ),
        (
            json!({"input_size": [3, 224, 65_536]}),
            "`input_size`: found [3, 224, 65536], expected three numbers from 1 to 65535",
        ),
        (
            json!({"input_size": [224, 224]}),
            "`input_size`: found [224,224], expected [channels, height, width]",
        ),
        (
            json!({"input_size": [3, -1, 8]}),
            "`input_size`: found [3,-1,8], expected [channels, height, width]",
        ),
        (
            json!({"crop_pct": 0}),
            "`crop_pct`: found 0, expected a number above 0 and at most 1",
        ),
        (
            json!({"crop_pct": 1.5}),
            "`crop_pct`: found 1.5, expected a number above 0 and at most 1",
        ),
        (
            json!({"crop_pct": "0.9"}),
            "`crop_pct`: found \"0.9\", expected a number",
        ),
        (
            json!({"crop_pct": 0.001}),
            "`crop_pct`: found 0.001, which resizes to 224000 pixels, expected a number that keeps",
        ),
        (
            json!({"crop_pct": 1e-320}),
            "`crop_pct`: found 1e-320, which resizes to ",
        ),
        (
            json!({"interpolation": "lanczos"}),
            "`interpolation`: found \"lanczos\", expected \"nearest\", \"bilinear\" or \"bicubic\"",
        ),
        (
            json!({"crop_mode": "middle"}),
            "`crop_mode`: found \"middle\", expected \"center\", \"squash\" or \"border\"",
        ),
        (
            json!({"mean": [0.5]}),
            "`mean`: found [0.5], expected 3 numbers, each finite",
        ),
        (
            json!({"input_size": [1, 28, 28]}),
            "`mean`: found [0.485, 0.456, 0.406], expected 1 numbers, each finite",
        ),
        (
            json!({"std": [1, 1, 0]}),
            "`std`: found [1.0, 1.0, 0.0], expected 3 numbers, each finite and above 0",
        ),
        (
            json!({"std": [1, -1, 1]}),
            "`std`: found [1.0, -1.0, 1.0], expected 3 numbers",
        ),
        (
            json!({"std": 1}),
            "`std`: found 1, expected a list of numbers",
        ),
        (
            json!([1, 2]),
            "`pretrained_cfg`: found [1,2], expected an object",
        ),
    ];
    for (cfg, expected) in cases {
        let message = Preprocessing::from_pretrained_cfg(&cfg)
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with(&format!("preprocessing field {expected}")),
            "{message}"
        );
        let through_serde = serde_json::from_value::<Preprocessing>(cfg)
            .unwrap_err()
            .to_string();
        assert_eq!(through_serde, message);
    }
}

#[test]
fn values_that_json_cannot_hold_are_found_too() {
    let bad = [
        Preprocessing {
            crop_pct: f64::NAN,
            ..Preprocessing::default()
        },
        Preprocessing {
            mean: vec![0.0, f64::INFINITY, 0.0],
            ..Preprocessing::default()
        },
        Preprocessing {
            std: vec![1.0, f64::NAN, 1.0],
            ..Preprocessing::default()
        },
    ];
    for (record, field) in bad.into_iter().zip(["crop_pct", "mean", "std"]) {
        let error = record.validate().unwrap_err();
        assert!(
            matches!(error, Error::InvalidPreprocessing { field: named, .. } if named == field),
            "{error}"
        );
    }
}

#[test]
fn every_published_config_round_trips() {
    let hub = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/hub"));
    let Ok(folders) = std::fs::read_dir(hub) else {
        assert!(
            std::env::var_os("CNN_REQUIRE_SHARED").is_none(),
            "{} is absent",
            hub.display()
        );
        println!("shared data absent, skipped");
        return;
    };
    let configs: Vec<_> = folders
        .map(|folder| folder.unwrap().path().join("config.json"))
        .filter(|path| path.exists())
        .collect();
    assert!(!configs.is_empty());
    for path in configs {
        let config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let cfg = &config["pretrained_cfg"];
        let record = Preprocessing::from_pretrained_cfg(cfg).unwrap();
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(
            Preprocessing::from_pretrained_cfg(&written).unwrap(),
            record
        );
        for (name, value) in written.as_object().unwrap() {
            let stored = cfg.get(name).unwrap_or(value);
            assert!(
                same_numbers(stored, value),
                "{}: {name}: {stored} became {value}",
                path.display()
            );
        }
    }
}

/// Equality that takes 0 and 0.0 for the same.
fn same_numbers(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_numbers(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

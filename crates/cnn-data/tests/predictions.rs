//! COCO's JSON of predicted boxes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_data::{PredictedBox, parse_predictions, read_predictions, write_predictions};
use common::box_files::Boxes;

fn dataset() -> Boxes {
    Boxes::new(&["a", "b"], vec![([9, 9], Vec::new()); 3])
}

#[test]
fn numbers_come_back_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("found.json");
    let found = [
        PredictedBox {
            image: 2,
            class: 1,
            xywh: [0.1 + 0.2, -3.5, 1.0 / 3.0, 0.0],
            score: 1e-17,
        },
        PredictedBox {
            image: 0,
            class: 0,
            xywh: [1.0, 2.0, 3.0, 4.0],
            score: 1.0,
        },
    ];
    write_predictions(&file, &dataset(), &found).unwrap();
    assert_eq!(read_predictions(&file, &dataset()).unwrap(), found);
    write_predictions(&file, &dataset(), &[]).unwrap();
    assert_eq!(read_predictions(&file, &dataset()).unwrap(), []);
}

#[test]
fn faults_are_named() {
    let line = |image: &str, category: &str, bbox: &str, score: &str| {
        format!(
            r#"[{{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}},
            {{"image_id": {image}, "category_id": {category}, "bbox": {bbox}, "score": {score}}}]"#
        )
    };
    let cases = [
        (
            line("4", "1", "[0, 0, 1, 1]", "1"),
            "prediction 1 is of the image 4, which",
        ),
        (
            line("1", "0", "[0, 0, 1, 1]", "1"),
            "prediction 1 is of the category 0, which",
        ),
        (
            line("1", "1", "[0, 0, -1, 1]", "1"),
            "prediction 1: its box is [0.0, 0.0, -1.0, 1.0]",
        ),
        (
            line("1", "1", "[0, 0, 1]", "1"),
            "no file of predicted boxes: invalid length 3",
        ),
        (
            line("1", "1", "[0, 0, NaN, 1]", "1"),
            "no file of predicted boxes: expected value at line 2",
        ),
        (
            line("1", "1", "[0, 0, 1, 1]", "1e999"),
            "no file of predicted boxes: number out of range",
        ),
        (
            line("\"a\"", "1", "[0, 0, 1, 1]", "1"),
            "no file of predicted boxes: invalid type",
        ),
        (
            r#"{"annotations": []}"#.to_owned(),
            "no file of predicted boxes: invalid type: map",
        ),
        (
            r#"[{"image_id": 1}]"#.to_owned(),
            "no file of predicted boxes: missing field",
        ),
    ];
    for (json, expected) in cases {
        let message = parse_predictions(json.as_bytes(), &dataset()).unwrap_err();
        assert!(message.starts_with(expected), "{message} for {expected}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("found.json");
    assert!(read_predictions(&file, &dataset()).is_err());
    let sound = PredictedBox {
        image: 0,
        class: 0,
        xywh: [0.0, 0.0, 1.0, 1.0],
        score: 1.0,
    };
    let cases = [
        (
            PredictedBox { image: 3, ..sound },
            "prediction 1: image 3 of 3",
        ),
        (
            PredictedBox { class: 2, ..sound },
            "prediction 1: class 2 of 2",
        ),
        (
            PredictedBox {
                score: f64::NAN,
                ..sound
            },
            "prediction 1: its score is NaN",
        ),
        (
            PredictedBox {
                xywh: [0.0, f64::INFINITY, 1.0, 1.0],
                ..sound
            },
            "prediction 1: its box is [0.0, inf, 1.0, 1.0]",
        ),
    ];
    for (found, expected) in cases {
        let error = write_predictions(&file, &dataset(), &[sound, found]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!file.exists());
    }
}

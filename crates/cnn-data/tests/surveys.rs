//! Surveys of datasets made here.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;

use cnn_data::{Error, survey};
use common::golden_bytes;
use serde_json::json;

#[test]
fn a_folder_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let png = golden_bytes("grey.png");
    let jpeg = golden_bytes("orientation-6.jpg");
    let files: [(&str, &[u8]); 6] = [
        ("train/a/1.png", &png),
        ("train/a/broken.jpg", &jpeg[..200]),
        ("train/b/2.jpg", &jpeg),
        ("train/b/3.png", &golden_bytes("rgba.png")),
        ("val/b/4.png", &png),
        ("val/a/5.png", &golden_bytes("palette.png")),
    ];
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let survey = survey(folder.path()).unwrap();
    let mut json = serde_json::to_value(&survey).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(
        json["duplicates"][0]["sha256"]
            .take()
            .as_str()
            .unwrap()
            .len(),
        64
    );
    let statistics = json["statistics"].take();
    assert_eq!(statistics["mean"].as_array().unwrap().len(), 3);
    assert_eq!(
        json,
        json!({
            "path": folder.path().display().to_string(),
            "format": "image-folder",
            "classes": ["a", "b"],
            "samples": 6,
            "readable": 5,
            "splits": [
                {"split": "train", "samples": 4, "readable": 3, "unlabelled": 0,
                 "classes": [{"label": "a", "samples": 2}, {"label": "b", "samples": 2}]},
                {"split": "val", "samples": 2, "readable": 2, "unlabelled": 0,
                 "classes": [{"label": "a", "samples": 1}, {"label": "b", "samples": 1}]},
            ],
            "sizes": {
                "height": {"min": 17, "median": 17, "max": 23},
                "width": {"min": 17, "median": 23, "max": 23},
            },
            "kinds": [
                {"format": "PNG", "color": "grey", "bits": 8, "samples": 2},
                {"format": "JPEG", "color": "grey", "bits": 8, "samples": 1},
                {"format": "PNG", "color": "palette", "bits": 4, "samples": 1},
                {"format": "PNG", "color": "rgba", "bits": 8, "samples": 1},
            ],
            "statistics": null,
            "notes": [],
            "broken": [
                {"path": path("train/a/broken.jpg"), "reason": "broken JPEG: truncated, no end marker in its 200 bytes"},
            ],
            "duplicates": [{
                "sha256": null,
                "samples": [
                    {"path": path("train/a/1.png"), "split": "train", "label": "a"},
                    {"path": path("val/b/4.png"), "split": "val", "label": "b"},
                ],
                "across_splits": true,
                "across_classes": true,
            }],
        })
    );
}

#[test]
fn photos_without_labels_are_surveyed_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.png"), golden_bytes("grey.png")).unwrap();
    let survey = survey(folder.path()).unwrap();
    assert_eq!(
        (
            survey.format.to_string().as_str(),
            survey.samples,
            survey.splits[0].unlabelled
        ),
        ("photos", 1, 1)
    );
    assert_eq!(survey.statistics.unwrap().mean.len(), 1);
}

#[test]
fn nothing_to_survey() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        survey(folder.path()),
        Err(Error::UnknownDataset { .. })
    ));
    assert!(matches!(
        survey(&folder.path().join("absent")),
        Err(Error::Io { .. })
    ));
}

//! Real photos with masks, where they are present.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_data::{DatasetFormat, FoundDataset, Split, survey_found};
use common::shared;

const CAMVID_PIXELS: [u64; 11] = [
    1_607_089, 2_689_791, 89_177, 3_393_327, 645_882, 1_291_400, 135_926, 168_273, 524_226, 70_049,
    91_288,
];
const CAMVID_VOID: u64 = 352_772;
const ISBI_PIXELS: [(&str, u64); 2] = [("background", 1_727_250), ("foreground", 6_137_070)];
/// CRC-32 of all masks one after the other.
const COCO_CRC: u32 = 989_683_791;

// 11 classes, and 11 for what is none of them: counts from numpy on Pillow's numbers.
#[test]
fn camvid() {
    let Some(path) = shared("data/camvid") else {
        return;
    };
    let found = FoundDataset::at(&path).unwrap();
    assert_eq!(
        (found.format(), found.splits()),
        (DatasetFormat::Masks, vec![Split::Train, Split::Val])
    );
    let notes = found.notes().join("\n");
    assert!(
        notes.contains("11 is the largest number in all 64 masks"),
        "{notes}"
    );
    assert_eq!(found.open(Split::Val).unwrap().mask_classes().len(), 12);
    let found = found.with_ignored(11).unwrap();
    let dataset = found.open(Split::Train).unwrap();
    assert_eq!((dataset.len(), dataset.mask_classes().len()), (44, 11));
    let sample = dataset.read(0).unwrap();
    assert_eq!((sample.image.height(), sample.image.width()), (360, 480));
    let survey = survey_found(&found).unwrap();
    assert_eq!((survey.readable, survey.broken.len()), (64, 0));
    let masks = survey.masks.unwrap();
    let pixels: Vec<u64> = masks.classes.iter().map(|class| class.pixels).collect();
    assert_eq!(pixels, CAMVID_PIXELS);
    assert_eq!(masks.ignored, CAMVID_VOID as f64 / (64 * 360 * 480) as f64);
    assert!(
        masks
            .classes
            .iter()
            .all(|class| (1..=64).contains(&class.images))
    );
}

#[test]
fn isbi_em() {
    let Some(path) = shared("data/isbi_em") else {
        return;
    };
    let found = FoundDataset::at(&path).unwrap();
    assert_eq!(
        (found.format(), found.splits()),
        (DatasetFormat::Masks, vec![])
    );
    assert!(found.notes()[0].starts_with("0 and 255 are the only values in all 30 masks"));
    let survey = survey_found(&found).unwrap();
    assert_eq!(survey.readable, 30);
    let masks = survey.masks.unwrap();
    let counts: Vec<_> = masks
        .classes
        .iter()
        .map(|class| (class.label.as_str(), class.pixels))
        .collect();
    assert_eq!(counts, ISBI_PIXELS);
}

// Pixels of each mask by pycocotools' annToMask, painted in the order that `CocoAnnotations` tells.
#[test]
fn coco128() {
    let Some(path) = shared("data/coco128") else {
        return;
    };
    let found = FoundDataset::at(&path).unwrap();
    assert_eq!(
        (found.format(), found.splits()),
        (DatasetFormat::Coco, vec![])
    );
    let dataset = found.open(None).unwrap();
    assert_eq!(
        (
            dataset.len(),
            dataset.classes().len(),
            dataset.mask_classes().len()
        ),
        (32, 80, 81)
    );
    assert_eq!(dataset.mask_classes()[80], "toothbrush");
    let samples: Vec<_> = (0..32).map(|index| dataset.read(index).unwrap()).collect();
    let boxes: usize = samples.iter().map(|sample| sample.boxes.len()).sum();
    assert_eq!(boxes, 216);
    let crc = samples.iter().fold(flate2::Crc::new(), |mut crc, sample| {
        crc.update(sample.mask.as_ref().unwrap().bytes());
        crc
    });
    assert_eq!(crc.sum(), COCO_CRC);
}

//! Real datasets, where they are present.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use cnn_core::Preprocessing;
use cnn_data::{
    BatchPlan, Content, Dataset, DatasetFormat, FileFormat, PhotoList, Split, decode,
    imagenet_class_names, open_dataset, survey,
};
use common::{dataset_splits, shared};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

fn class_counts(dataset: &dyn Dataset) -> Vec<usize> {
    let mut counts = vec![0; dataset.classes().len()];
    (0..dataset.len()).for_each(|index| counts[dataset.label(index).unwrap()] += 1);
    counts
}

struct Digits {
    name: &'static str,
    split: Split,
    counts: [usize; 10],
    first_label: usize,
    /// Sum of the first image's bytes.
    first_sum: u32,
    /// The first image's byte in row 7, column 9.
    first_pixel: u8,
}

// Numbers from Python's gzip and numpy.
const DIGITS: [Digits; 4] = [
    Digits {
        name: "mnist",
        split: Split::Train,
        counts: [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        first_label: 5,
        first_sum: 27_525,
        first_pixel: 253,
    },
    Digits {
        name: "mnist",
        split: Split::Test,
        counts: [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        first_label: 7,
        first_sum: 18_454,
        first_pixel: 151,
    },
    Digits {
        name: "usps",
        split: Split::Train,
        counts: [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644],
        first_label: 6,
        first_sum: 22_261,
        first_pixel: 57,
    },
    Digits {
        name: "usps",
        split: Split::Test,
        counts: [359, 264, 198, 166, 200, 160, 170, 147, 166, 177],
        first_label: 9,
        first_sum: 17_768,
        first_pixel: 255,
    },
];

#[test]
fn mnist_and_usps() {
    for digits in DIGITS {
        let Some(path) = shared(&format!("data/{}", digits.name)) else {
            return;
        };
        let dataset = open_dataset(&path, digits.split).unwrap();
        assert_eq!(
            (dataset.format(), dataset.len()),
            (DatasetFormat::Idx, digits.counts.iter().sum())
        );
        assert_eq!(class_counts(&*dataset), digits.counts);
        assert_eq!(dataset.label(0), Some(digits.first_label));
        let first = dataset.read(0).unwrap().image;
        assert_eq!(
            first
                .bytes()
                .iter()
                .map(|&byte| u32::from(byte))
                .sum::<u32>(),
            digits.first_sum
        );
        assert_eq!(first.bytes()[7 * first.width() + 9], digits.first_pixel);
    }
}

#[test]
fn cifar10() {
    let Some(path) = shared("data/cifar10") else {
        return;
    };
    assert_eq!(
        dataset_splits(&path),
        (DatasetFormat::Parquet, vec![Split::Train, Split::Test])
    );
    let cases = [
        (Split::Test, 10_000, 9, [31, 26, 10], [73, 74, 72], 333_715),
        (Split::Train, 15_000, 5, [56, 57, 59], [32, 32, 34], 297_873),
    ];
    for (split, len, label, corner, inside, sum) in cases {
        let dataset = open_dataset(&path, split).unwrap();
        assert_eq!(dataset.len(), len);
        let names = [
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ];
        assert_eq!(dataset.classes(), names);
        assert_eq!(class_counts(&*dataset), [len / 10; 10]);
        let sample = dataset.read(0).unwrap();
        assert_eq!(sample.label, Some(label));
        assert_eq!(sample.image.bytes()[..3], corner);
        assert_eq!(sample.image.bytes()[(16 * 32 + 5) * 3..][..3], inside);
        assert_eq!(
            sample
                .image
                .bytes()
                .iter()
                .map(|&byte| u32::from(byte))
                .sum::<u32>(),
            sum
        );
        assert!(
            dataset.id(123).ends_with("-00000-of-00001.parquet#123"),
            "{}",
            dataset.id(123)
        );
        let record = Preprocessing {
            input_size: [3, 32, 32],
            crop_pct: 1.0,
            ..Preprocessing::default()
        };
        let batches = BatchPlan::new(dataset, record)
            .with_batch_size(256)
            .start()
            .unwrap();
        assert_eq!(
            batches.map(|batch| batch.unwrap().len()).sum::<usize>(),
            len
        );
    }
}

// The GIF is what a photo site sends instead of a photo: an image that says that there is none. It
// is valid, but no photo.
#[test]
fn hymenoptera_shows_its_odd_one_out() {
    let Some(path) = shared("data/hymenoptera") else {
        return;
    };
    let survey = survey(&path).unwrap();
    assert_eq!(survey.classes, ["ants", "bees"]);
    assert_eq!(
        survey
            .splits
            .iter()
            .map(|split| split.samples)
            .collect::<Vec<_>>(),
        [245, 153]
    );
    assert_eq!((survey.readable, survey.broken.len()), (397, 1));
    assert!(
        survey.broken[0]
            .path
            .ends_with("train/ants/imageNotFound.gif"),
        "{:?}",
        survey.broken
    );
    assert!(
        survey.broken[0].reason.contains("GIF"),
        "{:?}",
        survey.broken
    );
    let kinds: Vec<_> = survey
        .kinds
        .iter()
        .map(|kind| (kind.format.unwrap(), kind.samples))
        .collect();
    assert_eq!(kinds, [(FileFormat::Jpeg, 397)]);
}

#[test]
fn every_real_jpeg_cut_in_half_is_rejected() {
    let Some(path) = shared("data/hymenoptera") else {
        return;
    };
    let dataset = open_dataset(&path, Split::Val).unwrap();
    let accepted: Vec<_> = (0..dataset.len())
        .into_par_iter()
        .filter(|&index| {
            let Content::Encoded(bytes) = dataset.content(index).unwrap() else {
                panic!("bare pixels")
            };
            decode(&bytes).unwrap();
            decode(&bytes[..bytes.len() / 2]).is_ok()
        })
        .collect();
    assert_eq!((dataset.len(), accepted), (153, vec![]));
}

// Mean and standard deviation from numpy on Pillow's pixels.
#[test]
fn flowers_have_duplicates_even_across_classes() {
    let Some(path) = shared("data/flowers") else {
        return;
    };
    let survey = survey(&path).unwrap();
    assert_eq!(
        survey.classes,
        ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    );
    assert_eq!((survey.samples, survey.readable), (4317, 4317));
    let pairs: Vec<_> = survey
        .duplicates
        .iter()
        .map(|group| (group.samples.len(), group.across_classes))
        .collect();
    assert_eq!(
        pairs,
        [
            (2, true),
            (2, true),
            (2, true),
            (2, true),
            (2, false),
            (2, false)
        ]
    );
    let statistics = survey.statistics.unwrap();
    let expected = [
        0.458_944, 0.420_328, 0.308_767, 0.266_829, 0.240_746, 0.257_017,
    ];
    for (found, expected) in statistics.mean.iter().chain(&statistics.std).zip(expected) {
        assert!((found - expected).abs() < 0.3 / 255.0, "{statistics:?}");
    }
}

#[test]
fn imagenet_photos_carry_their_class_names() {
    let Some(path) = shared("data/imagenet_photos") else {
        return;
    };
    let photos = Arc::new(PhotoList::open(&[&path]).unwrap());
    assert_eq!(photos.len(), 40);
    for file in photos.files() {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let [index, _, name] = stem.splitn(3, '_').collect::<Vec<_>>()[..] else {
            panic!("{stem}")
        };
        let first = imagenet_class_names()[index.parse::<usize>().unwrap()]
            .split(", ")
            .next()
            .unwrap();
        assert_eq!(first.replace(' ', "_"), name);
    }
    let mut batches = BatchPlan::new(photos, Preprocessing::default())
        .with_batch_size(16)
        .start()
        .unwrap();
    let sizes: Vec<_> = batches
        .by_ref()
        .map(|batch| batch.unwrap().images.dims().to_vec())
        .collect();
    assert_eq!(
        sizes,
        [[16, 224, 224, 3], [16, 224, 224, 3], [8, 224, 224, 3]]
    );
    assert!(batches.skipped().is_empty());
}

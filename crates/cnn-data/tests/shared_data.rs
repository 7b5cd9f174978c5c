//! Real datasets, where they are present.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use cnn_core::Preprocessing;
use cnn_data::{
    BatchPlan, Content, Dataset, DatasetFormat, PhotoList, Split, dataset_splits, decode, imagenet_class_names,
    open_dataset, survey,
};
use common::shared;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

fn class_counts(dataset: &dyn Dataset) -> Vec<usize> {
    let mut counts = vec![0; dataset.classes().len()];
    (0..dataset.len()).for_each(|index| counts[dataset.label(index).unwrap()] += 1);
    counts
}

// Numbers from numpy, gzip and pyarrow.
#[test]
fn mnist_and_usps() {
    let cases: [(&str, Split, usize, &[usize], usize, u32, [(usize, usize, usize, u8); 2]); 4] = [
        (
            "mnist",
            Split::Train,
            60_000,
            &[5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            5,
            27_525,
            [(0, 7, 9, 253), (3, 5, 7, 0)],
        ),
        (
            "mnist",
            Split::Test,
            10_000,
            &[980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
            7,
            18_454,
            [(0, 7, 9, 151), (3, 5, 7, 0)],
        ),
        (
            "usps",
            Split::Train,
            7291,
            &[1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644],
            6,
            22_261,
            [(0, 7, 9, 57), (3, 5, 7, 0)],
        ),
        (
            "usps",
            Split::Test,
            2007,
            &[359, 264, 198, 166, 200, 160, 170, 147, 166, 177],
            9,
            17_768,
            [(0, 7, 9, 255), (3, 5, 7, 0)],
        ),
    ];
    for (name, split, len, counts, first_label, first_sum, pixels) in cases {
        let Some(path) = shared(&format!("data/{name}")) else { return };
        let dataset = open_dataset(&path, split).unwrap();
        assert_eq!((dataset.format(), dataset.len()), (DatasetFormat::Idx, len));
        assert_eq!(class_counts(&*dataset), counts);
        assert_eq!(dataset.label(0), Some(first_label));
        let first = dataset.read(0).unwrap().image;
        assert_eq!(first.bytes().iter().map(|&byte| u32::from(byte)).sum::<u32>(), first_sum);
        for (index, row, column, expected) in pixels {
            let image = dataset.read(index).unwrap().image;
            assert_eq!(image.bytes()[row * image.width() + column], expected, "{name} {split} {index}");
        }
    }
}

#[test]
fn cifar10() {
    let Some(path) = shared("data/cifar10") else { return };
    assert_eq!(dataset_splits(&path).unwrap(), (DatasetFormat::Parquet, vec![Split::Train, Split::Test]));
    let cases = [
        (Split::Test, 10_000, 9, [31, 26, 10], [73, 74, 72], 333_715),
        (Split::Train, 15_000, 5, [56, 57, 59], [32, 32, 34], 297_873),
    ];
    for (split, len, label, corner, inside, sum) in cases {
        let dataset = open_dataset(&path, split).unwrap();
        assert_eq!(dataset.len(), len);
        let names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
        assert_eq!(dataset.classes(), names);
        assert_eq!(class_counts(&*dataset), [len / 10; 10]);
        let sample = dataset.read(0).unwrap();
        assert_eq!(sample.label, Some(label));
        assert_eq!(sample.image.bytes()[..3], corner);
        assert_eq!(sample.image.bytes()[(16 * 32 + 5) * 3..][..3], inside);
        assert_eq!(sample.image.bytes().iter().map(|&byte| u32::from(byte)).sum::<u32>(), sum);
        assert!(dataset.id(123).ends_with("-00000-of-00001.parquet#123"), "{}", dataset.id(123));
        let record = Preprocessing { input_size: [3, 32, 32], crop_pct: 1.0, ..Preprocessing::default() };
        let batches = BatchPlan::new(dataset, record).with_batch_size(256).start().unwrap();
        assert_eq!(batches.map(|batch| batch.unwrap().len()).sum::<usize>(), len);
    }
}

#[test]
fn hymenoptera_has_one_file_that_is_no_photo() {
    let Some(path) = shared("data/hymenoptera") else { return };
    let survey = survey(&path).unwrap();
    assert_eq!(survey.classes, ["ants", "bees"]);
    assert_eq!(survey.splits.iter().map(|split| split.samples).collect::<Vec<_>>(), [245, 153]);
    println!("{:?} {:?}", survey.broken, survey.kinds);
    assert_eq!(survey.readable, 397);
}

#[test]
fn every_real_jpeg_cut_in_half_is_rejected() {
    let Some(path) = shared("data/hymenoptera") else { return };
    let dataset = open_dataset(&path, Split::Val).unwrap();
    let accepted: Vec<_> = (0..dataset.len())
        .into_par_iter()
        .filter(|&index| {
            let Content::Encoded(bytes) = dataset.content(index).unwrap() else { panic!("bare pixels") };
            decode(&bytes).unwrap();
            decode(&bytes[..bytes.len() / 2]).is_ok()
        })
        .collect();
    assert_eq!((dataset.len(), accepted), (153, vec![]));
}

#[test]
fn flowers_have_five_classes_and_two_duplicates() {
    let Some(path) = shared("data/flowers") else { return };
    let survey = survey(&path).unwrap();
    assert_eq!((survey.classes.len(), survey.samples, survey.readable), (5, 4317, 4317));
    println!("{:?}\n{:?} {:?}", survey.duplicates, survey.statistics, survey.sizes);
    assert_eq!(survey.duplicates.len(), 2);
}

#[test]
fn imagenet_photos_carry_their_class_names() {
    let Some(path) = shared("data/imagenet_photos") else { return };
    let photos = Arc::new(PhotoList::open(&[&path]).unwrap());
    assert_eq!(photos.len(), 40);
    for file in photos.files() {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let [index, _, name] = stem.splitn(3, '_').collect::<Vec<_>>()[..] else { panic!("{stem}") };
        let first = imagenet_class_names()[index.parse::<usize>().unwrap()].split(", ").next().unwrap();
        assert_eq!(first.replace(' ', "_"), name);
    }
    let mut batches = BatchPlan::new(photos, Preprocessing::default()).with_batch_size(16).start().unwrap();
    let sizes: Vec<_> = batches.by_ref().map(|batch| batch.unwrap().images.dims().to_vec()).collect();
    assert_eq!(sizes, [[16, 224, 224, 3], [16, 224, 224, 3], [8, 224, 224, 3]]);
    assert!(batches.skipped().is_empty());
}

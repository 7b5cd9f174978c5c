//! Batches in the dataset's order at any number of threads, with broken samples left out and named.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::sync::Arc;

use cnn_core::{Key, Preprocessing};
use cnn_data::{
    Augmentation, BatchMix, BatchPlan, Content, CutMix, Dataset, DatasetFormat, Error, Image,
    Mixup, PhotoList, RandomCrop, RandomRotation, Resize, Skipped,
};
use rayon::ThreadPoolBuilder;

/// Images of one grey value, their number; every seventh is broken.
struct Numbers {
    len: usize,
    panics_at: usize,
}

impl Dataset for Numbers {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Custom
    }

    fn len(&self) -> usize {
        self.len
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn id(&self, index: usize) -> String {
        format!("number {index}")
    }

    fn label(&self, index: usize) -> Option<usize> {
        index.checked_sub(1)
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        assert!(index != self.panics_at, "a dataset's own mistake");
        if index % 7 == 6 {
            return Ok(Content::Encoded(b"no image".to_vec()));
        }
        // Later images are smaller, so that threads finish out of order.
        let side = 1 + (self.len - index) % 40;
        Ok(Content::Pixels(Image::from_pixels(
            side,
            side + 1,
            1,
            vec![index as u8; side * (side + 1)],
        )?))
    }
}

fn numbers(len: usize) -> Arc<dyn Dataset> {
    Arc::new(Numbers {
        len,
        panics_at: usize::MAX,
    })
}

fn record() -> Preprocessing {
    Preprocessing {
        input_size: [1, 3, 2],
        crop_pct: 1.0,
        mean: vec![0.0],
        std: vec![1.0 / 255.0],
        ..Preprocessing::default()
    }
}

#[test]
fn the_order_does_not_depend_on_the_threads() {
    let expected: Vec<usize> = (0..100).filter(|index| index % 7 != 6).collect();
    for threads in [1, 2, 5] {
        let pool = Arc::new(
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap(),
        );
        let mut batches = BatchPlan::new(numbers(100), record())
            .with_batch_size(8)
            .with_pool(pool)
            .start()
            .unwrap();
        let mut seen = Vec::new();
        for batch in &mut batches {
            let batch = batch.unwrap();
            assert_eq!(batch.images.dims(), [batch.len(), 3, 2, 1]);
            let values: Vec<f32> = batch.images.flatten_all().unwrap().to_vec1().unwrap();
            for ((&index, &label), image) in batch
                .indices
                .iter()
                .zip(&batch.labels)
                .zip(values.chunks_exact(6))
            {
                assert_eq!(label, index.checked_sub(1));
                assert!(
                    image
                        .iter()
                        .all(|value| (value - index as f32).abs() < 1e-4),
                    "{index}: {image:?}"
                );
            }
            seen.extend(batch.indices);
        }
        assert_eq!(seen, expected, "{threads} threads");
        let skipped: Vec<_> = batches
            .skipped()
            .iter()
            .map(|skipped| skipped.path.clone())
            .collect();
        assert_eq!(
            skipped,
            (6..100)
                .step_by(7)
                .map(|index| format!("number {index}"))
                .collect::<Vec<_>>()
        );
        let reason = "not an image: starts with `no image`; accepted: JPEG, PNG, BMP, GIF, WebP";
        assert!(
            batches
                .skipped()
                .iter()
                .all(|skipped| skipped.reason == reason)
        );
    }
}

#[test]
fn any_order_and_no_empty_batches() {
    let order = vec![13, 6, 2, 20, 27, 2, 6];
    let mut batches = BatchPlan::new(numbers(28), record())
        .with_order(order)
        .with_batch_size(2)
        .start()
        .unwrap();
    let indices: Vec<_> = batches
        .by_ref()
        .map(|batch| batch.unwrap().indices)
        .collect();
    assert_eq!(indices, [vec![2], vec![2]]);
    assert_eq!(batches.skipped().len(), 5);
    assert!(batches.next().is_none());
}

/// Indices, pixels, partners and lambda of a batch.
type Mixed = (Vec<usize>, Vec<f32>, Vec<usize>, f64);

/// Batches of 8 of the 100 numbers, augmented and mixed.
fn augmented(seed: u64, start: usize, threads: usize) -> Vec<Mixed> {
    let key = Key::new(seed);
    let augmentation = Augmentation::new()
        .then(RandomRotation::new(30.).unwrap())
        .then(Resize::new(3, 2).unwrap())
        .then(RandomCrop::new(3, 2).unwrap().with_padding(1).unwrap());
    let mix = BatchMix::either(Mixup::new(0.4).unwrap(), CutMix::new(1.).unwrap());
    let plan = BatchPlan::new(numbers(100), record())
        .with_batch_size(8)
        .with_augmentation(Arc::new(augmentation), key.stream("augmentation"))
        .with_mix(mix, key.stream("mix"))
        .with_pool(Arc::new(
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap(),
        ))
        .with_start(start)
        .dropping_last();
    let read = |batch: Result<cnn_data::Batch, Error>| {
        let batch = batch.unwrap();
        let mixing = batch.mixing.unwrap();
        let values = batch.images.flatten_all().unwrap().to_vec1().unwrap();
        (batch.indices, values, mixing.partners, mixing.lambda)
    };
    plan.start().unwrap().map(read).collect()
}

#[test]
fn augmented_batches_depend_on_their_place_alone() {
    let whole = augmented(1, 0, 1);
    assert_eq!(whole.len(), 12);
    assert_eq!(whole, augmented(1, 0, 3));
    assert_eq!(whole[5..], augmented(1, 5, 2));
    assert!(augmented(1, 12, 2).is_empty());
    let other = augmented(2, 0, 2);
    assert!(
        whole
            .iter()
            .zip(&other)
            .all(|(a, b)| a.0 == b.0 && a.1 != b.1)
    );
    assert!(whole.iter().any(|(.., lambda)| *lambda < 1.));
}

#[test]
fn empty_batches_are_yielded_where_they_are_counted() {
    let plan = BatchPlan::new(numbers(28), record())
        .with_order(vec![13, 6, 2, 20, 27])
        .with_batch_size(2);
    let batches: Vec<_> = plan
        .keeping_empty()
        .start()
        .unwrap()
        .map(|batch| batch.unwrap())
        .collect();
    assert_eq!(
        batches.iter().map(|batch| batch.len()).collect::<Vec<_>>(),
        [0, 1, 0]
    );
    assert!(batches[0].is_empty() && batches[0].images.dims() == [0, 3, 2, 1]);
    assert_eq!(batches[1].skipped[0].path, "number 20");
}

#[test]
fn stopping_early_ends_the_worker() {
    let dataset = numbers(1000);
    let mut batches = BatchPlan::new(dataset.clone(), record())
        .with_batch_size(3)
        .start()
        .unwrap();
    assert_eq!(batches.next().unwrap().unwrap().indices, [0, 1, 2]);
    drop(batches);
    for _ in 0..1000 {
        if Arc::strong_count(&dataset) == 1 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("the worker still holds the dataset");
}

#[test]
fn a_panic_in_a_dataset_is_not_mistaken_for_its_end() {
    let dataset = Arc::new(Numbers {
        len: 50,
        panics_at: 20,
    });
    let batches = BatchPlan::new(dataset, record())
        .with_batch_size(4)
        .start()
        .unwrap();
    let counted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| batches.count()));
    assert!(counted.is_err());
}

#[test]
fn arguments_are_checked_before_reading() {
    let plan = || BatchPlan::new(numbers(5), record());
    let cases = [
        (
            plan().with_batch_size(0),
            "`batch_size`: found 0, expected at least 1",
        ),
        (
            plan().with_order(vec![1, 5]),
            "sample 5 of a dataset with 5 samples",
        ),
        (
            BatchPlan::new(
                numbers(5),
                Preprocessing {
                    crop_pct: 2.0,
                    ..record()
                },
            ),
            "preprocessing field `crop_pct`: found 2",
        ),
    ];
    for (plan, expected) in cases {
        let message = plan.start().err().unwrap().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    assert_eq!(
        BatchPlan::new(numbers(0), record())
            .start()
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_file_that_vanished_is_skipped_with_the_systems_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.png");
    fs::write(&path, common::golden_bytes("rgb.png")).unwrap();
    let photos = Arc::new(PhotoList::open(&[&path]).unwrap());
    fs::remove_file(&path).unwrap();
    let mut batches = BatchPlan::new(photos, record()).start().unwrap();
    assert!(batches.next().is_none());
    let [
        Skipped {
            path: named,
            reason,
            ..
        },
    ] = batches.skipped()
    else {
        panic!("{:?}", batches.skipped())
    };
    assert_eq!(*named, path.display().to_string());
    assert!(
        reason.starts_with("cannot read ") && reason.contains("No such file"),
        "{reason}"
    );
}

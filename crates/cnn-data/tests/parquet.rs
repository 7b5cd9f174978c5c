//! Parquet files of images: their samples, damage, and what is said of bad ones.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_data::{
    Content, Dataset, DatasetFormat, Error, ParquetImages, Split, open_dataset, survey,
};
use common::mutate::mutate_100_000;
use common::{dataset_splits, folder_with, golden, golden_bytes, open_error, samples};

#[test]
fn parquet_files() {
    let tiny = golden_bytes("tiny.parquet");
    let folder = folder_with(&[
        ("data/train-00000-of-00002.parquet", &tiny),
        (
            "data/train-00001-of-00002.parquet",
            &golden_bytes("tiny-compressed.parquet"),
        ),
        ("data/test/0000.parquet", &tiny),
    ]);
    assert_eq!(
        dataset_splits(folder.path()),
        (DatasetFormat::Parquet, vec![Split::Train, Split::Test])
    );
    let train = open_dataset(folder.path(), Split::Train).unwrap();
    assert_eq!(
        (train.len(), train.classes()),
        (6, &["ant", "bee"].map(String::from)[..])
    );
    let labels: Vec<_> = (0..6).map(|index| train.label(index).unwrap()).collect();
    assert_eq!(labels, [1, 0, 1, 1, 0, 1]);
    assert_eq!(
        samples(&*train, folder.path())[5].0,
        "data/train-00001-of-00002.parquet#2"
    );
    for index in [5, 0, 3, 2, 4, 1] {
        let image = train.read(index).unwrap().image;
        assert_eq!(
            (image.height(), image.width(), image.channels()),
            (4, 5, if index % 3 == 1 { 1 } else { 3 })
        );
    }
    assert_eq!(train.read(0).unwrap(), train.read(3).unwrap());
    assert!(matches!(
        train.content(6),
        Err(Error::NoSuchSample { index: 6, len: 6 })
    ));
    assert_eq!(open_dataset(folder.path(), Split::Test).unwrap().len(), 3);
    let single = open_dataset(&golden("tiny.parquet"), None).unwrap();
    assert_eq!(single.content(0).unwrap(), train.content(0).unwrap());
    assert!(
        matches!(single.content(0).unwrap(), Content::Encoded(bytes) if bytes.starts_with(b"\x89PNG"))
    );
}

#[test]
fn nulls_in_parquet_are_broken_samples_without_labels() {
    let dataset = open_dataset(&golden("nulls.parquet"), None).unwrap();
    assert_eq!(
        (dataset.len(), dataset.classes()),
        (3, &["0", "1", "2", "3"].map(String::from)[..])
    );
    assert_eq!(
        [0, 1, 2].map(|index| dataset.label(index)),
        [Some(3), None, None]
    );
    assert_eq!(
        [0, 1, 2].map(|index| dataset.read(index).is_ok()),
        [true, false, false]
    );
    let message = dataset.read(2).unwrap_err().to_string();
    assert!(
        message.ends_with("nulls.parquet: row 2 has no image bytes"),
        "{message}"
    );
}

#[test]
fn bad_parquet_files() {
    let tiny = golden_bytes("tiny.parquet");
    let cases: [(&[u8], &str); 5] = [
        (
            &golden_bytes("no-label.parquet"),
            "no label column, expected one of label, labels, fine_label with numbers or names \
             of classes, found image.bytes (BYTE_ARRAY), image.path (BYTE_ARRAY), text (BYTE_ARRAY)",
        ),
        (
            &golden_bytes("label-out-of-range.parquet"),
            "label 2 of row 2, expected -1 or a number below 2",
        ),
        (&tiny[..tiny.len() / 2], "broken parquet: "),
        (&tiny[..3], "broken parquet: "),
        (b"", "broken parquet: "),
    ];
    for (bytes, expected) in cases {
        let message = ParquetImages::parse(bytes.to_vec()).err().unwrap();
        assert!(message.starts_with(expected), "{message}");
    }
    let folder = folder_with(&[("a.parquet", &tiny), ("b.parquet", &tiny[..tiny.len() - 9])]);
    let message = open_error(folder.path(), None);
    assert!(message.contains("b.parquet: broken parquet: "), "{message}");
}

#[test]
fn parquet_samples_can_be_duplicates() {
    let survey = survey(&golden("tiny.parquet")).unwrap();
    assert_eq!(survey.duplicates.len(), 1);
    assert!(
        survey.duplicates[0]
            .samples
            .iter()
            .map(|sample| &sample.path)
            .all(|path| path.contains(".parquet#"))
    );
}

#[test]
fn damaged_parquet() {
    let names = ["tiny.parquet", "tiny-compressed.parquet"];
    let files: Vec<_> = names.iter().map(|name| golden_bytes(name)).collect();
    let tally = mutate_100_000(
        "parquet",
        &files,
        |_, _| {},
        |bytes| {
            let dataset = ParquetImages::parse(bytes.to_vec())?;
            (0..dataset.len())
                .try_for_each(|index| dataset.content(index).map(drop))
                .map_err(|error| error.to_string())
        },
    );
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000);
}

#[test]
fn configurations_and_repeated_files_are_not_added_up() {
    let tiny = golden_bytes("tiny.parquet");
    let folder = folder_with(&[
        ("full_size/test-00000-of-00001.parquet", &tiny),
        ("mini/test-00000-of-00001.parquet", &tiny),
    ]);
    let error = open_dataset(folder.path(), None).err().unwrap();
    assert!(
        matches!(&error, Error::Configuration { asked: None, existing, .. }
            if existing == "`full_size` and `mini`"),
        "{error}"
    );
    let path = format!("{}:mini", folder.path().display());
    let mini = open_dataset(path.as_ref(), Split::Test).unwrap();
    assert!(mini.id(0).contains("mini/test"));

    let refused: [&[&str]; 3] = [
        &["test-00000-of-00001.parquet", "test-00000-of-00002.parquet"],
        &["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"],
        &["train-00000-of-00001.parquet", "train.parquet"],
    ];
    for names in refused {
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, &tiny[..])).collect();
        let folder = folder_with(&files);
        let error = open_dataset(folder.path(), None).err().unwrap();
        assert!(
            matches!(&error, Error::Ambiguous { reason, .. } if reason.contains("added up")),
            "{names:?}: {error}"
        );
    }
    let folder = folder_with(&[("train-00001-of-00003.parquet", &tiny)]);
    let found = cnn_data::FoundDataset::at(folder.path()).unwrap();
    assert!(found.notes()[0].starts_with("2 of the 3 files"));
}

//! Recognising datasets, folders of photos, and what is said of what is neither.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use cnn_data::{Dataset, Error, PhotoList};
use common::{Files, folder_with, golden_bytes, open_error, samples};

#[test]
fn what_is_no_dataset_says_what_was_looked_for() {
    let png = golden_bytes("rgb.png");
    let cases: [(Files<'_>, &str); 5] = [
        (
            &[],
            " is empty; looked for: folders of images named by class",
        ),
        (&[("a/notes.txt", b"")], "no images below "),
        (&[("1.png", &png), ("2.png", &png)], "the 2 images in "),
        (
            &[("train/1.png", &png), ("val/2.png", &png)],
            "/train lie in no class folders",
        ),
        (
            &[("train/a/1.png", &png), ("training/a/2.png", &png)],
            "could be its train split",
        ),
    ];
    for (files, expected) in cases {
        let folder = folder_with(files);
        let message = open_error(folder.path(), None);
        assert!(
            message.contains("is no dataset that is known here") && message.contains(expected),
            "{message}"
        );
    }
    let folder = folder_with(&[("1.png", &png)]);
    let message = open_error(&folder.path().join("1.png"), None);
    assert!(
        message.contains(
            "it is a single file and neither parquet nor named like a CSV, TSV, tar or JSON file"
        ),
        "{message}"
    );
    let message = open_error(&folder.path().join("absent"), None);
    assert!(
        message.starts_with("cannot read ") && message.ends_with("absent"),
        "{message}"
    );
}

#[test]
fn photos_from_files_and_folders() {
    let png = golden_bytes("rgb.png");
    let folder = folder_with(&[
        ("b/2.png", &png),
        ("b/1.tif", b"II*\0"),
        ("notes.txt", b"text"),
        ("none/notes.txt", b""),
    ]);
    let paths = ["notes.txt", "b"].map(|name| folder.path().join(name));
    let photos = PhotoList::open(&paths).unwrap();
    assert_eq!(
        samples(&photos, folder.path()),
        ["notes.txt", "b/1.tif", "b/2.png"].map(|name| (name.to_owned(), None))
    );
    assert!(
        photos
            .read(0)
            .unwrap_err()
            .to_string()
            .contains("notes.txt: not an image: starts with `text`")
    );
    assert!(
        photos
            .read(1)
            .unwrap_err()
            .to_string()
            .contains("1.tif: not an image: starts with `II*\\x00`")
    );
    assert_eq!(photos.read(2).unwrap().image.width(), 23);
    let message = PhotoList::open(&[folder.path().join("none")])
        .unwrap_err()
        .to_string();
    assert!(message.starts_with("no images in "), "{message}");
    assert!(matches!(
        PhotoList::open(&[folder.path().join("absent")]),
        Err(Error::Io { .. })
    ));
    assert!(matches!(
        PhotoList::open::<&Path>(&[]),
        Err(Error::Argument(_))
    ));
}

// In a build of the whole workspace the feature is on; `cargo test -p cnn-data` runs this.
#[cfg(not(feature = "parquet"))]
#[test]
fn without_its_reader_parquet_is_recognised_and_the_feature_named() {
    use cnn_data::{DatasetFormat, Split, open_dataset};
    use common::dataset_splits;
    let folder = folder_with(&[
        ("train.parquet", &golden_bytes("tiny.parquet")),
        ("bee/1.png", b""),
    ]);
    assert_eq!(
        dataset_splits(folder.path()),
        (DatasetFormat::Parquet, vec![Split::Train])
    );
    for path in [
        folder.path().to_owned(),
        folder.path().join("train.parquet"),
    ] {
        let errors = [
            open_dataset(&path, None).err().unwrap(),
            cnn_data::survey(&path).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(
                error.to_string(),
                format!(
                    "{} is a dataset in the format parquet, but cnn-data was built without the feature `parquet`; \
                     enable it in Cargo.toml: cnn-data = {{ ..., features = [\"parquet\"] }}",
                    path.display()
                )
            );
        }
    }
    // A split that does not exist is the nearer mistake.
    assert!(matches!(
        open_dataset(folder.path(), Split::Test),
        Err(Error::NoSuchSplit { .. })
    ));
}

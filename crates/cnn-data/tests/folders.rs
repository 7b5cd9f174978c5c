//! How folders are understood: what is a class, what is a split, and what is said of the rest.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_data::{Dataset, DatasetFormat, Error, FoundDataset, PhotoList, Split, open_dataset};
use common::{dataset_splits, folder_with, golden_bytes, open_error, read_ppm, samples};

#[test]
fn class_folders() {
    let png = golden_bytes("rgb.png");
    let folder = folder_with(&[
        ("wasp/1.PNG", &png),
        ("bee/deep/er/2.png", &png),
        ("bee/10.png", &png),
        ("bee/9.png", &png),
        ("bee/.hidden.png", &png),
        ("bee/notes.txt", b"text"),
        (".cache/3.png", &png),
        ("empty/notes.txt", b"text"),
        ("README.md", b"text"),
    ]);
    let dataset = open_dataset(folder.path(), None).unwrap();
    assert_eq!(
        (dataset.format(), dataset.classes()),
        (
            DatasetFormat::ImageFolder,
            &["bee", "wasp"].map(String::from)[..]
        )
    );
    let expected = [
        ("bee/10.png", 0),
        ("bee/9.png", 0),
        ("bee/deep/er/2.png", 0),
        ("wasp/1.PNG", 1),
    ];
    assert_eq!(
        samples(&*dataset, folder.path()),
        expected.map(|(name, label)| (name.to_owned(), Some(label)))
    );
    let sample = dataset.read(3).unwrap();
    assert_eq!(
        (sample.image, sample.label),
        (read_ppm("rgb.png.ppm"), Some(1))
    );
    assert!(matches!(
        dataset.content(4),
        Err(Error::NoSuchSample { index: 4, len: 4 })
    ));
    let message = open_error(folder.path(), Some(Split::Val));
    assert!(
        message.ends_with(
            "has no split `val`, it has no splits at all: leave the split out to read all of it"
        ),
        "{message}"
    );
}

#[test]
fn class_folders_in_splits_share_their_classes() {
    let png = golden_bytes("rgb.png");
    let folder = folder_with(&[
        ("train/a/1.png", &png),
        ("train/c/2.png", &png),
        ("validation/b/3.png", &png),
        ("validation/c/4.png", &png),
    ]);
    assert_eq!(
        dataset_splits(folder.path()),
        (DatasetFormat::ImageFolder, vec![Split::Train, Split::Val])
    );
    let val = open_dataset(folder.path(), Split::Val).unwrap();
    // Those with training images come first.
    assert_eq!(val.classes(), ["a", "c", "b"]);
    assert_eq!(
        samples(&*val, folder.path()),
        [
            ("validation/c/4.png".to_owned(), Some(1)),
            ("validation/b/3.png".to_owned(), Some(2))
        ]
    );
    assert_eq!(open_dataset(folder.path(), Split::Train).unwrap().len(), 2);
    let message = open_error(folder.path(), Some(Split::Test));
    assert!(
        message.ends_with("has no split `test`, it has `train` and `val`"),
        "{message}"
    );
    let message = open_error(folder.path(), None);
    assert!(
        message.ends_with("has several splits, choose one of `train` and `val`"),
        "{message}"
    );
}

#[test]
fn a_split_without_class_folders_is_none() {
    let png = golden_bytes("rgb.png");
    let folder = folder_with(&[
        ("train/a/1.png", &png),
        ("train/b/2.png", &png),
        ("test/3.png", &png),
    ]);
    assert_eq!(
        dataset_splits(folder.path()),
        (DatasetFormat::ImageFolder, vec![Split::Train])
    );
    assert_eq!(
        open_dataset(folder.path(), None).unwrap().classes(),
        ["a", "b"]
    );
    let message = open_error(folder.path(), Some(Split::Test));
    assert!(
        message.ends_with("has no split `test`, it has `train`"),
        "{message}"
    );
}

/// Folders with a picture in each of these files: the classes, the splits and what is said.
fn understood(files: &[&str]) -> Result<(Vec<String>, Vec<Split>, String), Error> {
    let png = golden_bytes("rgb.png");
    let files: Vec<(&str, &[u8])> = files.iter().map(|name| (*name, &png[..])).collect();
    let folder = folder_with(&files);
    let found = FoundDataset::at(folder.path())?;
    let splits = found.splits();
    let first = found.open(splits.first().copied())?;
    Ok((first.classes().to_vec(), splits, found.notes().join("; ")))
}

#[test]
fn folders_named_like_splits_are_splits_only_with_class_folders_inside() {
    use Split::{Test, Train, Val};
    /// Files, classes, splits, and what is said.
    type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [Split], &'a str);
    let cases: [Case<'_>; 13] = [
        // A class that is called like a split.
        (
            &["bus/1.png", "car/1.png", "train/1.png"],
            &["bus", "car", "train"],
            &[],
            "",
        ),
        (
            &["control/1.png", "test/1.png"],
            &["control", "test"],
            &[],
            "",
        ),
        (
            &[
                "bus/1.png",
                "car/1.png",
                "train/steam/1.png",
                "train/tgv/1.png",
            ],
            &["bus", "car", "train"],
            &[],
            "`train` counts as a class beside `bus` and `car`",
        ),
        // Other names of splits.
        (
            &["training_set/a/1.png", "test_set/a/1.png"],
            &["a"],
            &[Train, Test],
            "",
        ),
        (
            &["train_images/a/1.png", "val_images/a/1.png"],
            &["a"],
            &[Train, Val],
            "",
        ),
        (&["train/a/1.png", "dev/a/1.png"], &["a"], &[Train, Val], ""),
        (
            &["TRAIN/a/1.png", "eval/a/1.png"],
            &["a"],
            &[Train, Val],
            "",
        ),
        // Wrappers.
        (
            &[
                "archive/xray/train/a/1.png",
                "archive/xray/test/a/1.png",
                "archive/__MACOSX/1.png",
            ],
            &["a"],
            &[Train, Test],
            "what it holds is read",
        ),
        (
            &[
                "training_set/training_set/a/1.png",
                "test_set/test_set/a/1.png",
                "test_set/test_set/b/1.png",
            ],
            &["a", "b"],
            &[Train, Test],
            "",
        ),
        (
            &["photos/a/1.png", "photos/b/1.png"],
            &["a", "b"],
            &[],
            "photos is the only folder",
        ),
        // What is left out is told.
        (
            &["train/a/1.png", "test/1.png", "unlabeled/1.png"],
            &["a"],
            &[Train],
            "unlabeled lie in no class folders",
        ),
        (
            &["train/a/1.png", "val/a/1.png", "docs/readme.txt"],
            &["a"],
            &[Train, Val],
            "",
        ),
        (
            &["train/a/1.png", "val/a/1.png", "eval/a/1.png"],
            &["a"],
            &[Train, Val],
            "eval belong to no split and are left out",
        ),
    ];
    for (files, classes, splits, said) in cases {
        let (found_classes, found_splits, notes) = understood(files).unwrap();
        assert_eq!(found_classes, classes, "{files:?}: {notes}");
        assert_eq!(found_splits, splits, "{files:?}: {notes}");
        assert!(notes.contains(said), "{files:?}: {notes}");
    }
}

#[test]
fn folders_that_would_be_left_out_are_an_error() {
    let cases: [(&[&str], &str); 4] = [
        (&["train/a/1.png", "evals/a/1.png"], "`evals` with 1 images"),
        (&["train/a/1.png", "extra/a/1.png"], "`extra` with 1 images"),
        (
            &["a/1.png", "b/1.png", "test/a/1.png"],
            "`a` and `b` with 2 images",
        ),
        (&["train/a/1.png", "bird/1.png"], "`bird` with 1 images"),
    ];
    for (files, said) in cases {
        let error = understood(files).unwrap_err();
        assert!(
            matches!(&error, Error::Ambiguous { reason, .. } if reason.contains(said)),
            "{files:?}: {error}"
        );
    }
}

#[test]
fn names_of_classes_are_the_same_up_to_unicode_form_and_case() {
    let (classes, _, notes) = understood(&[
        "train/caf\u{e9}/1.png",
        "train/Dog/1.png",
        "val/cafe\u{301}/1.png",
        "val/dog/1.png",
    ])
    .unwrap();
    assert_eq!(
        (classes, notes),
        (
            vec!["Dog".to_owned(), "caf\u{e9}".to_owned()],
            String::new()
        )
    );
    let (classes, ..) = understood(&["caf\u{e9}/1.png", "cafe\u{301}/2.png"]).unwrap();
    assert_eq!(classes, ["caf\u{e9}"]);
}

#[test]
fn empty_class_folders_are_no_classes_and_told() {
    let (classes, _, notes) = understood(&[
        "train/apple/1.png",
        "train/cherry/notes.txt",
        "val/apple/1.png",
        "val/fig/1.png",
    ])
    .unwrap();
    assert_eq!(classes, ["apple", "fig"]);
    assert!(
        notes.contains("there are no training images of `fig`"),
        "{notes}"
    );
    assert!(notes.contains("no images lie in `cherry`"), "{notes}");
}

#[cfg(unix)]
#[test]
fn names_that_are_no_text_keep_their_images() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let png = golden_bytes("rgb.png");
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in [&b"caf\xe9"[..], b"caf\xe8", b"tea"].iter().enumerate() {
        let class = folder.path().join(OsStr::from_bytes(name));
        std::fs::create_dir(&class).unwrap();
        for image in 0..=number {
            std::fs::write(class.join(format!("{image}.png")), &png).unwrap();
        }
    }
    let dataset = open_dataset(folder.path(), None).unwrap();
    assert_eq!(dataset.len(), 6);
    assert_eq!(dataset.classes(), ["caf\u{fffd}", "caf\u{fffd}'", "tea"]);
    assert!((0..6).all(|index| dataset.read(index).is_ok()));
}

#[cfg(unix)]
#[test]
fn dead_and_circular_links_stop_nothing() {
    use std::os::unix::fs::symlink;
    let png = golden_bytes("rgb.png");
    let folder = folder_with(&[("a/1.png", &png), ("b/1.png", &png)]);
    symlink("/nowhere/gone.png", folder.path().join("a/gone.png")).unwrap();
    symlink("/nowhere/more", folder.path().join("a/more")).unwrap();
    symlink("/nowhere/c", folder.path().join("c")).unwrap();
    symlink("..", folder.path().join("b/loop")).unwrap();
    let found = FoundDataset::at(folder.path()).unwrap();
    let dataset = found.open(None).unwrap();
    assert_eq!((dataset.len(), dataset.classes().len()), (3, 2));
    let message = dataset.read(1).unwrap_err().to_string();
    assert!(message.contains("gone.png"), "{message}");
    let notes = found.notes().join("; ");
    for name in [
        "a/more is left out",
        "c is left out: a link that leads nowhere",
    ] {
        assert!(notes.contains(name), "{notes}");
    }
    let photos = PhotoList::open(&[folder.path()]).unwrap();
    assert_eq!(photos.len(), 3);
}

#[test]
fn domains_taken_as_classes_are_noticed_and_nested_classes_are_not() {
    let recurring = |files: &[&str]| {
        let files: Vec<String> = files.iter().map(|name| format!("{name}.jpg")).collect();
        let files: Vec<(&str, &[u8])> = files.iter().map(|name| (&name[..], &b""[..])).collect();
        let folder = folder_with(&files);
        let found = FoundDataset::at(folder.path()).unwrap();
        let said = found
            .notes()
            .iter()
            .find(|note| note.contains("count as classes"));
        said.map(|said| said.replace(&folder.path().display().to_string(), "office"))
    };
    let domains = [
        "amazon/mug/1.jpg",
        "amazon/pen/1.jpg",
        "dslr/mug/1.jpg",
        "dslr/pen/1.jpg",
    ];
    let said = recurring(&domains).unwrap();
    for words in [
        "amazon, dslr in office count as classes",
        "(mug, pen)",
        "as office/amazon",
    ] {
        assert!(
            said.ends_with("office/amazon") && said.contains(words),
            "{words}: {said}"
        );
    }
    // As Office-31 comes, with a folder between; with splits above; and with classes that a domain
    // lacks or has alone.
    let said = recurring(&[
        "amazon/images/mug/1.jpg",
        "amazon/images/pen/1.jpg",
        "dslr/images/mug/1.jpg",
        "dslr/images/pen/1.jpg",
    ]);
    assert!(said.unwrap().ends_with("as office/amazon/images"));
    let said = recurring(&[
        "train/a/mug/1.jpg",
        "train/a/pen/1.jpg",
        "train/b/mug/1.jpg",
        "train/b/pen/1.jpg",
        "val/a/mug/1.jpg",
    ]);
    assert!(said.unwrap().ends_with("as office/train/a"));
    let said = recurring(&[
        "a/mug/1", "a/pen/1", "a/cup/1", "b/mug/1", "b/pen/1", "b/bag/1", "c/mug/1", "c/pen/1",
        "c/bag/1",
    ]);
    assert!(said.unwrap().contains("(bag, mug, pen)"));
    // Splits below the classes are mixed.
    let said = recurring(&[
        "bee/train/1.jpg",
        "bee/test/1.jpg",
        "ant/train/1.jpg",
        "ant/test/1.jpg",
    ])
    .unwrap();
    assert!(
        said.contains("not taken for splits") && said.ends_with("as train/ant"),
        "{said}"
    );

    let innocent: [&[&str]; 7] = [
        &["ant/1.jpg", "bee/1.jpg"],
        &[
            "ant/red/1.jpg",
            "ant/black/1.jpg",
            "bee/wild/1.jpg",
            "bee/tame/1.jpg",
        ],
        &["ant/images/1.jpg", "bee/images/1.jpg", "cat/images/1.jpg"],
        &[
            "ant/1.jpg",
            "ant/a/1.jpg",
            "ant/b/1.jpg",
            "bee/a/1.jpg",
            "bee/b/1.jpg",
        ],
        &["only/mug/1.jpg", "only/pen/1.jpg"],
        &[
            "ant/a/1", "ant/b/1", "ant/c/1", "ant/d/1", "ant/e/1", "bee/a/1", "bee/b/1", "bee/f/1",
            "bee/g/1",
        ],
        &[
            "train/ant/1.jpg",
            "train/bee/1.jpg",
            "val/ant/1.jpg",
            "val/bee/1.jpg",
        ],
    ];
    for files in innocent {
        assert_eq!(recurring(files), None, "{files:?}");
    }
}

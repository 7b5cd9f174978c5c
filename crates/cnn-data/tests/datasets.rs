//! Recognising and reading datasets of every format, made here, and what is said of bad ones.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use cnn_data::{
    Dataset, DatasetFormat, Error, FoundDataset, IdxImages, PhotoList, Split, dataset_splits,
    open_dataset,
};
use common::{Files, folder_with, golden_bytes, open_error, read_ppm, samples};

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
        dataset_splits(folder.path()).unwrap(),
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
        dataset_splits(folder.path()).unwrap(),
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
        message.contains("it is a single file and not parquet"),
        "{message}"
    );
    let message = open_error(&folder.path().join("absent"), None);
    assert!(
        message.starts_with("cannot read ") && message.ends_with("absent"),
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

const IMAGES: &[u8] = &[
    0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60,
];
const LABELS: &[u8] = &[0, 0, 8, 1, 0, 0, 0, 2, 4, 1];

#[test]
fn idx_files() {
    let folder = folder_with(&[
        ("t10k-images-idx3-ubyte", IMAGES),
        ("t10k-labels-idx1-ubyte", LABELS),
        ("train-images-idx3-ubyte", IMAGES),
        ("train-labels-idx1-ubyte", &[&LABELS[..8], &[6, 0]].concat()),
    ]);
    assert_eq!(
        dataset_splits(folder.path()).unwrap(),
        (DatasetFormat::Idx, vec![Split::Train, Split::Test])
    );
    let test = open_dataset(folder.path(), Split::Test).unwrap();
    assert_eq!(test.classes(), ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(
        samples(&*test, folder.path())[1],
        ("t10k-images-idx3-ubyte#1".to_owned(), Some(1))
    );
    assert_eq!(test.read(1).unwrap().image.bytes(), [40, 50, 60]);
    assert!(matches!(
        test.content(2),
        Err(Error::NoSuchSample { index: 2, len: 2 })
    ));
}

#[test]
fn idx_files_by_the_names_that_people_have() {
    let gz = |bytes: &[u8]| {
        use std::io::Write as _;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let labels = gz(LABELS);
    let open = |files: &[(&str, &[u8])]| {
        let folder = folder_with(files);
        let dataset = open_dataset(folder.path(), Split::Train).unwrap();
        (dataset.len(), dataset.classes().len())
    };
    let dots: [(&str, &[u8]); 2] = [
        ("train-images.idx3-ubyte", IMAGES),
        ("train-labels.idx1-ubyte.gz", &labels),
    ];
    assert_eq!(open(&dots), (2, 5));
    let twins: [(&str, &[u8]); 4] = [
        ("MNIST/raw/train-images-idx3-ubyte", IMAGES),
        (
            "MNIST/raw/train-images-idx3-ubyte.gz",
            b"\x1f\x8bnever read",
        ),
        ("MNIST/raw/train-labels-idx1-ubyte", LABELS),
        ("MNIST/raw/train-labels-idx1-ubyte.gz", &labels),
    ];
    assert_eq!(open(&twins), (2, 5));
    let kaggle: [(&str, &[u8]); 2] = [
        ("train-images-idx3-ubyte/train-images-idx3-ubyte", IMAGES),
        ("train-labels-idx1-ubyte/train-labels-idx1-ubyte", LABELS),
    ];
    assert_eq!(open(&kaggle), (2, 5));
    // QMNIST's labels: rows of integers, of which the first is the class.
    let mut rows = vec![0, 0, 12, 2, 0, 0, 0, 2, 0, 0, 0, 2];
    rows.extend([[0, 0, 0, 7], [0, 0, 1, 1], [0, 0, 0, 3], [0, 0, 9, 9]].concat());
    let qmnist: [(&str, &[u8]); 2] = [
        ("qmnist-train-images-idx3-ubyte", IMAGES),
        ("qmnist-train-labels-idx2-int", &rows),
    ];
    assert_eq!(open(&qmnist), (2, 8));
}

#[test]
fn emnist_is_turned_named_and_chosen_by_configuration() {
    let folder = folder_with(&[
        ("emnist-letters-train-images-idx3-ubyte", IMAGES),
        ("emnist-letters-train-labels-idx1-ubyte", LABELS),
        ("emnist-letters-mapping.txt", b"1 65 97\n4 68 100\n"),
        ("emnist-digits-train-images-idx3-ubyte", IMAGES),
        ("emnist-digits-train-labels-idx1-ubyte", LABELS),
    ]);
    let message = open_error(folder.path(), None);
    assert!(
        message.contains("`emnist-digits` and `emnist-letters`") && message.contains("PATH:NAME"),
        "{message}"
    );
    let path = format!("{}:letters", folder.path().display());
    let found = FoundDataset::at(Path::new(&path)).unwrap();
    assert!(found.notes()[0].contains("they are turned"));
    let letters = found.open(None).unwrap();
    assert_eq!(letters.classes(), ["0", "A", "2", "3", "D"]);
    let image = letters.read(0).unwrap().image;
    assert_eq!(
        (image.height(), image.width(), image.bytes()),
        (3, 1, &[10, 20, 30][..])
    );
    let path = format!("{}:balanced", folder.path().display());
    let error = FoundDataset::at(Path::new(&path)).err().unwrap();
    assert!(
        matches!(&error, Error::Configuration { asked: Some(asked), .. } if asked == "balanced"),
        "{error}"
    );
}

#[test]
fn bad_idx_files() {
    let edited = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let cases: [(Vec<u8>, Vec<u8>, &str); 10] = [
        (
            edited(IMAGES, 2, 9),
            LABELS.to_vec(),
            "starts with [00, 00, 09, 03], expected an IDX header of bytes",
        ),
        (
            edited(IMAGES, 0, 1),
            LABELS.to_vec(),
            "starts with [01, 00, 08, 03]",
        ),
        (
            LABELS.to_vec(),
            LABELS.to_vec(),
            "dimensions [2], expected images, rows and columns",
        ),
        (
            IMAGES.to_vec(),
            IMAGES.to_vec(),
            "dimensions [2, 1, 3], expected one: the number of labels",
        ),
        (
            IMAGES.to_vec(),
            [&edited(LABELS, 7, 3)[..], &[0]].concat(),
            "2 images, but 3 labels",
        ),
        (
            IMAGES[..21].to_vec(),
            LABELS.to_vec(),
            "truncated, 5 of 6 elements",
        ),
        (IMAGES[..9].to_vec(), LABELS.to_vec(), "no whole header"),
        (
            [IMAGES, &[0]].concat(),
            LABELS.to_vec(),
            "holds more than the declared 6 elements",
        ),
        (
            edited(IMAGES, 8, 0xff),
            LABELS.to_vec(),
            "declares [2, 4278190081, 3] elements, more than a file of its size can hold",
        ),
        (
            edited(&IMAGES[..16], 15, 0),
            LABELS.to_vec(),
            "images of 1x0 pixels",
        ),
    ];
    for (images, labels, expected) in cases {
        let message = IdxImages::parse(&images, &labels).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }
    let folder = folder_with(&[("train-images-idx3-ubyte", IMAGES)]);
    let message = open_error(folder.path(), None);
    assert!(
        message.contains("train-images-idx3-ubyte: no file of labels beside it"),
        "{message}"
    );
    let folder = folder_with(&[
        ("train-images-idx3-ubyte", IMAGES),
        ("train-labels-idx1-ubyte", &LABELS[..9]),
    ]);
    let message = open_error(folder.path(), None);
    assert!(
        message.ends_with("train-labels-idx1-ubyte: truncated, 1 of 2 elements"),
        "{message}"
    );
}

// In a build of the whole workspace the feature is on; `cargo test -p cnn-data` runs this.
#[cfg(not(feature = "parquet"))]
#[test]
fn without_its_reader_parquet_is_recognised_and_the_feature_named() {
    let folder = folder_with(&[
        ("train.parquet", &golden_bytes("tiny.parquet")),
        ("bee/1.png", b""),
    ]);
    assert_eq!(
        dataset_splits(folder.path()).unwrap(),
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

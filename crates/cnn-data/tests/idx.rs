//! MNIST's format, in the forms that people have it in.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use cnn_data::{DatasetFormat, Error, FoundDataset, IdxImages, Split, open_dataset};
use common::{dataset_splits, folder_with, open_error, samples};

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
        dataset_splits(folder.path()),
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
    // Two images of two rows and three columns.
    let mut on_their_side = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3];
    on_their_side.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let folder = folder_with(&[
        ("emnist-letters-train-images-idx3-ubyte", &on_their_side),
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
    let image = letters.read(1).unwrap().image;
    assert_eq!((image.height(), image.width()), (3, 2));
    assert_eq!(image.bytes(), [7, 10, 8, 11, 9, 12]);
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

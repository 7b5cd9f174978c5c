//! CIFAR's binary and Python files.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use cnn_data::{
    CifarImages, Dataset, DatasetFormat, Error, FoundDataset, Split, open_dataset, survey,
};
use common::cifar::{PIXELS, binary, pixels};
use common::{dataset_splits, folder_with, open_error, samples};

const TEN: &str = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

/// The pixel at a row and a column of one of the two images.
fn pixel(image: usize, row: usize, column: usize) -> [u8; 3] {
    let plane = |plane: usize| pixels()[image * PIXELS + plane * 1024 + row * 32 + column];
    [0, 1, 2].map(plane)
}

fn check_images(dataset: &dyn Dataset) {
    for number in 0..2 {
        let image = dataset.read(number).unwrap().image;
        assert_eq!(
            (image.height(), image.width(), image.channels()),
            (32, 32, 3)
        );
        for (row, column) in [(0, 0), (1, 0), (0, 1), (31, 30)] {
            assert_eq!(
                image.bytes()[(row * 32 + column) * 3..][..3],
                pixel(number, row, column)
            );
        }
    }
    assert!(matches!(
        dataset.content(dataset.len()),
        Err(Error::NoSuchSample { .. })
    ));
}

#[test]
fn the_binary_files_of_ten_classes() {
    let first = binary([&[6], &[9]]);
    let second = binary([&[0], &[1]]);
    let mut files: Vec<(String, &[u8])> = (1..=5)
        .map(|number| {
            let bytes = if number == 1 { &first } else { &second };
            (format!("data_batch_{number}.bin"), bytes.as_slice())
        })
        .collect();
    files.push(("test_batch.bin".to_owned(), &second));
    files.push(("batches.meta.txt".to_owned(), TEN.as_bytes()));
    files.push(("readme.html".to_owned(), b"<html>"));
    for prefix in ["", "cifar-10-batches-bin/", "data/cifar-10-batches-bin/"] {
        let named: Vec<(String, &[u8])> = files
            .iter()
            .map(|(name, bytes)| (format!("{prefix}{name}"), *bytes))
            .collect();
        let mut named: Vec<(&str, &[u8])> = named
            .iter()
            .map(|(name, bytes)| (name.as_str(), *bytes))
            .collect();
        // What torchvision leaves beside the folder.
        if prefix.starts_with("cifar") {
            named.push(("cifar-10-binary.tar.gz", b"\x1f\x8b"));
        }
        let folder = folder_with(&named);
        assert_eq!(
            dataset_splits(folder.path()),
            (DatasetFormat::Cifar, vec![Split::Train, Split::Test])
        );
        let train = open_dataset(folder.path(), Split::Train).unwrap();
        assert_eq!((train.len(), train.classes().len()), (10, 10));
        assert_eq!(train.classes()[6], "frog");
        check_images(&*train);
        assert_eq!(
            samples(&*train, folder.path())[..3],
            [
                (format!("{prefix}data_batch_1.bin#0"), Some(6)),
                (format!("{prefix}data_batch_1.bin#1"), Some(9)),
                (format!("{prefix}data_batch_2.bin#0"), Some(0)),
            ]
        );
        let survey = survey(folder.path()).unwrap();
        assert_eq!((survey.samples, survey.readable), (12, 12));
        assert_eq!(
            survey.notes.len(),
            usize::from(!prefix.is_empty()),
            "{:?}",
            survey.notes
        );
    }
}

#[test]
fn the_binary_files_of_a_hundred_classes() {
    let file = binary([&[4, 17], &[0, 99]]);
    let fine: String = (0..100).map(|class| format!("fine{class}\n")).collect();
    let coarse: String = (0..20).map(|class| format!("coarse{class}\n")).collect();
    let folder = folder_with(&[
        ("cifar-100-binary/train.bin", &file),
        ("cifar-100-binary/test.bin", &file),
        ("cifar-100-binary/fine_label_names.txt", fine.as_bytes()),
        ("cifar-100-binary/coarse_label_names.txt", coarse.as_bytes()),
    ]);
    let labels = |asked: &str| {
        let path = format!("{}{asked}", folder.path().display());
        let found = FoundDataset::at(Path::new(&path)).unwrap();
        let test = found.open(Split::Test).unwrap();
        check_images(&*test);
        let classes = test.classes();
        let name = |number: usize| classes[test.label(number).unwrap()].clone();
        (classes.len(), [name(0), name(1)], found.notes().to_vec())
    };
    let (count, names, notes) = labels("");
    assert_eq!(
        (count, names),
        (100, ["fine17", "fine99"].map(str::to_owned))
    );
    assert!(notes[0].contains("PATH:coarse"), "{notes:?}");
    let (count, names, notes) = labels("/cifar-100-binary:coarse");
    assert_eq!(
        (count, names),
        (20, ["coarse4", "coarse0"].map(str::to_owned))
    );
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(labels(":fine").0, 100);
    let path = format!("{}:rough", folder.path().display());
    let message = open_error(Path::new(&path), None);
    assert!(message.contains("it has `fine` and `coarse`"), "{message}");
}

#[test]
fn bad_binary_files() {
    let file = binary([&[6], &[9]]);
    let message = CifarImages::parse_binary(file[1..].to_vec()).unwrap_err();
    assert_eq!(
        message,
        "6145 bytes, expected records of 3073: 1 of labels and 3072 of pixels"
    );
    assert!(CifarImages::parse_binary(Vec::new()).is_err());
    assert_eq!(CifarImages::parse_binary(file).unwrap().classes().len(), 10);
    let wrong = binary([&[6], &[10]]);
    let folder = folder_with(&[
        ("data_batch_2.bin", &wrong),
        ("batches.meta.txt", TEN.as_bytes()),
    ]);
    let message = open_error(folder.path(), Some(Split::Train));
    assert!(
        message.contains("data_batch_2.bin: label 10 of image 1, expected a number below 10"),
        "{message}"
    );
    let found = FoundDataset::at(folder.path()).unwrap();
    assert!(
        found.notes()[0].starts_with("`data_batch_1`, `data_batch_3`, `data_batch_4` and"),
        "{:?}",
        found.notes()
    );
    let path = format!("{}:coarse", folder.path().display());
    assert!(open_error(Path::new(&path), None).contains("none at all: leave the name out"));
    let folder = folder_with(&[("test_batch.bin", &wrong), ("test_batch", b"\x80\x02")]);
    assert!(open_error(folder.path(), None).contains("in several forms"));
    let folder = folder_with(&[
        ("cifar-10-batches-bin/test_batch.bin", &wrong),
        ("cifar-100-python/test", b"\x80\x02"),
    ]);
    let message = open_error(folder.path(), None);
    assert!(
        message.contains("`cifar-10-batches-bin` and `cifar-100-python`; name one of them"),
        "{message}"
    );
}

#[cfg(not(feature = "pickle"))]
#[test]
fn python_files_name_the_feature_that_reads_them() {
    let folder = folder_with(&[("test_batch", b"\x80\x02")]);
    let message = open_error(folder.path(), None);
    assert!(
        message.contains("without the feature `pickle`"),
        "{message}"
    );
}

#[cfg(feature = "pickle")]
mod python {
    use super::*;
    use crate::common::cifar::{names_pickle, pickles};

    #[test]
    fn pickles_of_python_2_and_3() {
        for pickle in pickles() {
            let dataset = CifarImages::parse_pickle(&pickle).unwrap();
            assert_eq!((dataset.label(0), dataset.label(1)), (Some(6), Some(9)));
            check_images(&dataset);
        }
    }

    #[test]
    fn the_python_files() {
        let batch = &pickles()[0];
        let classes: Vec<&str> = TEN.lines().filter(|line| !line.is_empty()).collect();
        let meta = names_pickle("label_names", &classes);
        let folder = folder_with(&[
            ("cifar-10-batches-py/data_batch_1", batch),
            ("cifar-10-batches-py/data_batch_2", batch),
            ("cifar-10-batches-py/test_batch", batch),
            ("cifar-10-batches-py/batches.meta", &meta),
            ("cifar-10-python.tar.gz", b"\x1f\x8b"),
        ]);
        let train = open_dataset(folder.path(), Split::Train).unwrap();
        assert_eq!(train.len(), 4);
        assert_eq!(train.classes(), classes);
        assert_eq!(train.label(2), Some(6));
        check_images(&*train);
        // CIFAR-100's files have both labels.
        let hundred = |batch: &[u8]| {
            let at = batch
                .windows(8)
                .position(|found| found == b"U\x06labels")
                .unwrap();
            let labels = b"U\x0bfine_labels](K\x11K\x63eU\x0dcoarse_labels](K\x04K\x00e";
            [&batch[..at], labels, &batch[at..]].concat()
        };
        let batch = hundred(batch);
        let coarse: Vec<String> = (0..20).map(|class| format!("coarse{class}")).collect();
        let coarse: Vec<&str> = coarse.iter().map(String::as_str).collect();
        let folder = folder_with(&[
            ("train", &batch),
            ("meta", &names_pickle("coarse_label_names", &coarse)),
        ]);
        let path = format!("{}:coarse", folder.path().display());
        let train = open_dataset(Path::new(&path), Split::Train).unwrap();
        assert_eq!((train.label(0), train.label(1)), (Some(4), Some(0)));
        assert_eq!(train.classes()[4], "coarse4");
        let message = open_error(folder.path(), Some(Split::Train));
        assert!(
            message.contains("meta: it holds no `fine_label_names`"),
            "{message}"
        );
    }

    #[test]
    fn bad_pickles() {
        let [old, .., labels] = &pickles()[..] else {
            panic!()
        };
        let edited = |from: &[u8], to: &[u8]| {
            let at = old
                .windows(from.len())
                .position(|found| found == from)
                .unwrap();
            [&old[..at], to, &old[at + from.len()..]].concat()
        };
        let cases: [(Vec<u8>, &str); 8] = [
            (b"\x80\x02K\x01.".to_vec(), "it holds no dictionary"),
            (old[..5000].to_vec(), "it ends in the middle"),
            (
                edited(b"U\x06labels", b"U\x06labelz"),
                "it holds no `labels`",
            ),
            (
                edited(b"K\x06K\x09e", b"K\x06e"),
                "`data`: dimensions [2, 3072], expected [1, 3072] as there are 1 labels",
            ),
            (
                edited(b"K\x06K\x09e", b"K\x06M\x00\x01e"),
                "`labels`: the label 256 is not in 0 to 255",
            ),
            (
                edited(b"M\x00\x0c\x86c", b"M\x01\x0c\x86c"),
                "`data`: dimensions [2, 3073] need more than its 6144 bytes",
            ),
            (
                edited(b"U\x02u1", b"U\x02f4"),
                "`data`: its elements are F32, expected U8",
            ),
            (
                edited(b"cnumpy.core.multiarray\n_reconstruct\n", b"cos\nsystem\n"),
                "refused: the pickle calls `os.system`",
            ),
        ];
        for (bytes, expected) in cases {
            let message = CifarImages::parse_pickle(&bytes).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        assert!(CifarImages::parse_pickle(labels).is_ok());
    }
}

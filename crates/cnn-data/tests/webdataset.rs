//! Tar archives of samples, in the forms that people have them in.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_data::{
    Content, Dataset, DatasetFormat, Error, FoundDataset, Split, WebDataset, open_dataset, survey,
};
use common::{
    Files, dataset_splits, folder_with, golden_bytes, open_error, samples, sign_tar_header, tar,
    tar_member,
};

fn names_and_labels(dataset: &dyn Dataset) -> Vec<(String, Option<usize>)> {
    (0..dataset.len())
        .map(|index| {
            let id = dataset.id(index);
            let name = id.rsplit('#').next().unwrap().to_owned();
            (name, dataset.label(index))
        })
        .collect()
}

fn parse(files: Files<'_>) -> WebDataset {
    WebDataset::parse(tar(files)).unwrap()
}

#[test]
fn classes_are_numbers_or_names() {
    let cases: [(Files<'_>, &[&str], [usize; 2]); 7] = [
        (
            &[
                ("1.jpg", b"a"),
                ("1.cls", b"2"),
                ("2.jpg", b"b"),
                ("2.cls", b"0\n"),
            ],
            &["0", "1", "2"],
            [2, 0],
        ),
        (
            &[
                ("1.cls", b"pug"),
                ("1.jpg", b"a"),
                ("2.cls", b"beagle"),
                ("2.png", b"b"),
            ],
            &["beagle", "pug"],
            [1, 0],
        ),
        (
            &[
                ("1.jpg", b"a"),
                ("1.txt", b" pug\n"),
                ("2.jpg", b"b"),
                ("2.txt", b"beagle"),
            ],
            &["beagle", "pug"],
            [1, 0],
        ),
        (
            &[
                ("1.jpg", b"a"),
                ("1.json", br#"{"label": "pug", "width": 3}"#),
                ("2.jpg", b"b"),
                ("2.json", br#"{"label": "beagle"}"#),
            ],
            &["beagle", "pug"],
            [1, 0],
        ),
        (
            &[
                ("1.jpg", b"a"),
                ("1.json", br#"{"id": 7, "class": 1}"#),
                ("2.jpg", b"b"),
                ("2.json", br#"{"class": 0}"#),
            ],
            &["0", "1"],
            [1, 0],
        ),
        // A class is believed before a description, and a caption of no use does no harm.
        (
            &[
                ("1.jpg", b"a"),
                ("1.txt", b"a dog\nthat sleeps"),
                ("1.cls", b"1"),
                ("1.json", br#"{"width": 3}"#),
                ("2.jpg", b"b"),
                ("2.cls", b"0"),
            ],
            &["0", "1"],
            [1, 0],
        ),
        // An ending may have dots, and a name folders.
        (
            &[
                ("./a.b/1.left.JPG", b"a"),
                ("./a.b/1.cls", b"1"),
                ("2.image.jpg", b"b"),
                ("2.CLS", b"0"),
                ("2.npy", b"z"),
            ],
            &["0", "1"],
            [1, 0],
        ),
    ];
    for (files, classes, labels) in cases {
        let dataset = parse(files);
        assert_eq!(dataset.classes(), classes, "{files:?}");
        let found = names_and_labels(&dataset);
        let found: Vec<_> = found.iter().map(|(_, label)| *label).collect();
        assert_eq!(found, labels.map(Some), "{files:?}");
        let first = dataset.content(0).unwrap();
        assert_eq!(first, Content::Encoded(b"a".to_vec()), "{files:?}");
        assert_eq!(dataset.content(1).unwrap(), Content::Encoded(b"b".to_vec()));
        assert!(matches!(
            dataset.content(2),
            Err(Error::NoSuchSample { index: 2, len: 2 })
        ));
    }
}

#[test]
fn shards_splits_and_names_of_classes() {
    let photo = golden_bytes("rgb-420.jpg");
    let first = tar(&[("1.jpg", &photo), ("1.cls", b"1")]);
    let second = tar(&[("1.jpg", b"text"), ("1.cls", b"0")]);
    let test = tar(&[("9.jpg", &photo), ("9.cls", b"2")]);
    let names: [(&str, &[u8]); 3] = [
        ("classnames.txt", b"pug\r\nbeagle\r\n\r\nboxer\n"),
        ("classnames.json", br#"["pug", "beagle", "boxer"]"#),
        ("classes.json", br#"{"boxer": 2, "pug": 0, "beagle": 1}"#),
    ];
    for named in names {
        for [a, b, c] in [
            ["train-000000.tar", "train-000001.tar", "test-000000.tar"],
            ["train/0.tar", "train/1.tar", "test/0.tar"],
            ["data/train/0.tar", "data/train/1.tar", "data/test/0.tar"],
        ] {
            let inner = if a.starts_with("data") {
                format!("data/{}", named.0)
            } else {
                named.0.to_owned()
            };
            let folder = folder_with(&[(a, &first), (b, &second), (c, &test), (&inner, named.1)]);
            assert_eq!(
                dataset_splits(folder.path()),
                (DatasetFormat::WebDataset, vec![Split::Train, Split::Test])
            );
            let train = open_dataset(folder.path(), Split::Train).unwrap();
            assert_eq!(train.classes(), ["pug", "beagle", "boxer"]);
            assert_eq!(
                samples(&*train, folder.path()),
                [
                    (format!("{a}#1.jpg"), Some(1)),
                    (format!("{b}#1.jpg"), Some(0))
                ]
            );
            assert!(train.read(0).is_ok());
            let message = train.read(1).unwrap_err().to_string();
            assert!(message.contains("1.jpg: not an image"), "{message}");
            let survey = survey(folder.path()).unwrap();
            assert_eq!((survey.samples, survey.readable), (3, 2));
            assert!(survey.notes[0].ends_with(&format!("{} names the classes", named.0)));
        }
    }
    // One archive, and archives that are no splits.
    let folder = folder_with(&[("pets-000.tar", &first), ("pets-001.tar", &second)]);
    assert_eq!(open_dataset(folder.path(), None).unwrap().len(), 2);
    let one = folder.path().join("pets-001.tar");
    assert_eq!(open_dataset(&one, None).unwrap().classes(), ["0"]);
    let asked = format!("{}:0", one.display());
    let message = open_error(std::path::Path::new(&asked), None);
    assert!(
        message.contains("none at all: leave the name out"),
        "{message}"
    );
    let both = [folder.path().join("pets-000.tar"), one];
    assert_eq!(WebDataset::open(&both).unwrap().classes(), ["0", "1"]);
    std::fs::write(folder.path().join("classes.txt"), "pug\n").unwrap();
    let message = open_error(folder.path(), None);
    assert!(
        message.contains("the label 1 is of no class, expected -1 or a number below 1"),
        "{message}"
    );
}

#[test]
fn long_names_of_gnu_and_pax() {
    let long = format!("{}/1", "folder".repeat(30));
    let mut archive = Vec::new();
    let image = format!("{long}.jpg\0");
    archive.extend(tar_member("././@LongLink", b'L', image.as_bytes()));
    archive.extend(tar_member("cut", b'0', b"image"));
    let record = format!(" path={long}.cls\n");
    let record = format!("{}{record}", record.len() + 3);
    archive.extend(tar_member("PaxHeaders/1", b'x', record.as_bytes()));
    archive.extend(tar_member("cut", b'0', b"0"));
    // The prefix of POSIX.
    let mut member = tar_member("2.jpg", b'0', b"second");
    member[345..350].copy_from_slice(b"a/b/c");
    sign_tar_header(&mut member);
    archive.extend(member);
    archive.extend(tar_member("a/b/c/2.cls", b'0', b"1"));
    archive.resize(archive.len() + 1024, 0);
    let dataset = WebDataset::parse(archive).unwrap();
    assert_eq!(
        names_and_labels(&dataset),
        [
            (format!("{long}.jpg"), Some(0)),
            ("a/b/c/2.jpg".to_owned(), Some(1))
        ]
    );
    assert_eq!(
        dataset.content(0).unwrap(),
        Content::Encoded(b"image".to_vec())
    );
    assert_eq!(
        dataset.content(1).unwrap(),
        Content::Encoded(b"second".to_vec())
    );
}

#[test]
fn what_is_left_out_is_said_and_nothing_is_written() {
    let members = [
        tar_member("1.jpg", b'0', b"a"),
        tar_member("1.cls", b'0', b"0"),
        tar_member("2.jpg", b'0', b"unlabelled"),
        tar_member("3.cls", b'0', b"1"),
        tar_member("/etc/4.jpg", b'0', b"absolute"),
        tar_member("../5.jpg", b'0', b"outside"),
        tar_member("6.jpg", b'2', b""),
        tar_member("7.jpg", b'1', b""),
        tar_member("8.jpg", b'3', b""),
        tar_member("folder/", b'5', b""),
        tar_member("__MACOSX/._1.jpg", b'0', b"litter"),
        tar_member("._1.jpg", b'0', b"litter"),
    ];
    let archive = members.concat();
    let folder = folder_with(&[("in/train.tar", &archive)]);
    let found = FoundDataset::at(&folder.path().join("in")).unwrap();
    let dataset = found.open(Split::Train).unwrap();
    assert_eq!(names_and_labels(&*dataset), [("1.jpg".to_owned(), Some(0))]);
    let expected = [
        "train.tar: 1 samples have no image",
        "train.tar: it lacks the mark of its end: some of it may be missing",
        "train.tar: 2 links are left out, as `6.jpg`",
        "train.tar: 1 members that are no plain files are left out, as `8.jpg`",
        "train.tar: 2 members whose names lead out of the archive are left out, as `/etc/4.jpg`",
        "1 images of `train` have no label and are left out",
    ];
    assert_eq!(found.notes(), expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_dataset_is_named() {
    let whole = tar(&[("1.jpg", b"image"), ("1.cls", b"0")]);
    let mut damaged = whole.clone();
    damaged[1024 + 10] ^= 1;
    let mut claims = whole.clone();
    claims[124..136].copy_from_slice(b"77777777777\0");
    sign_tar_header(&mut claims);
    let mut binary = whole.clone();
    binary[124..136].copy_from_slice(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    sign_tar_header(&mut binary);
    let name = tar_member("x", b'L', b"name");
    let mut long = name.clone();
    long[124..136].copy_from_slice(b"00077777777\0");
    sign_tar_header(&mut long);
    let cases: [(Vec<u8>, &str); 12] = [
        (
            whole[..1030].to_vec(),
            "truncated: 6 bytes in place of a header at byte 1024",
        ),
        (
            whole[..514].to_vec(),
            "truncated: `1.jpg` declares 5 bytes at byte 512, of which 2 are there",
        ),
        (
            damaged,
            "the header at byte 1024 is damaged: its checksum is wrong",
        ),
        (claims, "truncated: `1.jpg` declares 8589934591 bytes"),
        (binary, "the header at byte 0 has no size"),
        (
            long,
            "the header at byte 0 declares a name of 16777215 bytes",
        ),
        (
            vec![b'x'; 2048],
            "it is no tar archive: its first header's checksum is wrong",
        ),
        (tar(&[("1.npy", b"")]), "it holds no images"),
        (
            tar(&[("photos/cat/1.jpg", b""), ("photos/dog/2.jpg", b"")]),
            "it holds images in folders, as `photos/cat/1.jpg`, and no labels beside them: unpack it",
        ),
        (
            tar(&[("1.jpg", b""), ("2.jpg", b"")]),
            "no member beside its images says a class, expected members as `0001.cls`",
        ),
        (
            tar(&[("1.jpg", b""), ("1.txt", b"a dog\nin the sun")]),
            "the texts beside its images are longer than names of classes, as captions are",
        ),
        (
            tar(&[("1.left.jpg", b""), ("1.right.jpg", b""), ("1.cls", b"0")]),
            "`1.left.jpg` and `1.right.jpg` are images of one sample, expected one",
        ),
    ];
    for (archive, expected) in cases {
        let message = WebDataset::parse(archive.clone()).err().unwrap();
        assert!(message.contains(expected), "{message}");
        let folder = folder_with(&[("a.tar", &archive)]);
        for path in [folder.path().to_owned(), folder.path().join("a.tar")] {
            let message = open_error(&path, None);
            assert!(
                message.contains("a.tar") && message.contains(expected),
                "{message}"
            );
        }
    }
    let packed: [(&str, &[u8]); 3] = [
        ("a.tar.gz", b"\x1f\x8b\x08"),
        ("a.tgz", b"\x1f\x8b\x08"),
        ("a.tar", b"\x1f\x8b\x08"),
    ];
    for (name, bytes) in packed {
        let folder = folder_with(&[(name, bytes)]);
        let message = open_error(&folder.path().join(name), None);
        assert!(message.contains("is a compressed archive"), "{message}");
        assert!(message.contains("unpack it"), "{message}");
    }
    let folder = folder_with(&[("a.tar.gz", b"\x1f\x8b\x08")]);
    assert!(open_error(folder.path(), None).contains("a.tar.gz is a compressed archive"));
}

#[test]
fn class_folders_beside_an_archive_stay_the_classes() {
    let archive = tar(&[("1.jpg", b"image"), ("1.cls", b"0")]);
    let folder = folder_with(&[
        ("photos.tar", &archive),
        ("photos/cat/1.jpg", b""),
        ("photos/dog/1.jpg", b""),
    ]);
    let found = FoundDataset::at(folder.path()).unwrap();
    assert_eq!(found.format(), DatasetFormat::ImageFolder);
    assert_eq!(found.open(None).unwrap().classes(), ["cat", "dog"]);
    let is_said = |note: &String| note.contains("`photos.tar` is read where it is named itself");
    assert!(found.notes().iter().any(is_said), "{:?}", found.notes());
}

#[test]
fn photos_beside_an_archive_that_is_no_dataset_stay_photos() {
    let photo = golden_bytes("rgb-420.jpg");
    let backup = tar(&[("photos/1.jpg", &photo)]);
    let folder = folder_with(&[("1.jpg", &photo), ("backup.tar", &backup)]);
    let found = survey(folder.path()).unwrap();
    assert_eq!((found.format, found.readable), (DatasetFormat::Photos, 1));
    assert!(
        found.notes[0].contains("backup.tar: it holds images in folders"),
        "{:?}",
        found.notes
    );
    let message = open_error(folder.path(), None);
    assert!(message.contains("lie in no class folders"), "{message}");
    // Samples are read, and what lies beside them is told.
    let samples = tar(&[("2.jpg", &photo), ("2.cls", b"0")]);
    let folder = folder_with(&[("1.jpg", &photo), ("train.tar", &samples)]);
    let found = FoundDataset::at(folder.path()).unwrap();
    assert_eq!(
        (found.format(), found.splits()),
        (DatasetFormat::WebDataset, vec![Split::Train])
    );
    assert!(found.notes()[0].starts_with("1 images beside the archives are left out"));
}

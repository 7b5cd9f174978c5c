//! YOLO's text files of boxes: folders, `data.yaml`, lists, numbers, and what is said of broken ones.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_data::{DatasetFormat, FoundDataset, Split, YoloLabels};
use common::box_files::png;
use common::{Files, folder_with};

const LABELS: &[u8] = b"1 0.5 0.5 0.25 0.5\n";
const YAML: &[u8] = b"train: images/train\nval: images/val\nnames: [red, white]\n";

fn found(files: Files<'_>) -> (FoundDataset, tempfile::TempDir) {
    let folder = folder_with(files);
    (FoundDataset::at(folder.path()).unwrap(), folder)
}

#[test]
fn lines_that_are_broken_are_named() {
    let cases = [
        ("0 0.5 0.5 0.5", "line 1: 4 numbers, expected"),
        ("\n0 0.5 0.5 0.5 0.5 0.9\n", "line 2: 6 numbers, expected"),
        (
            "0 0.5 0.5 0.5 0.5 0.5 0.5 0.5",
            "line 1: 8 numbers, expected",
        ),
        ("-1 0.5 0.5 0.5 0.5", "line 1: the class is `-1`"),
        ("1.5 0.5 0.5 0.5 0.5", "line 1: the class is `1.5`"),
        ("cat 0.5 0.5 0.5 0.5", "line 1: the class is `cat`"),
        ("0 0.5 nan 0.5 0.5", "line 1: `nan` is no finite number"),
        ("0 0.5 0.5 1e999 0.5", "line 1: `1e999` is no finite number"),
        (
            "0 0.5 0.5 -0.5 0.5",
            "line 1: width and height are -0.5 and 0.5",
        ),
        ("0 320 240 64 48", "line 1: 320 is no share"),
    ];
    for (text, expected) in cases {
        let message = YoloLabels::parse(text.as_bytes()).unwrap_err();
        assert!(message.starts_with(expected), "{message} for {expected}");
    }
    assert!(YoloLabels::parse(b"\xff").unwrap_err().contains("UTF-8"));
    let sound = YoloLabels::parse(b"\xef\xbb\xbf3.0\t0.5  0.5 1 1\r\n\n").unwrap();
    assert_eq!(
        sound.objects([4, 6]).next().unwrap().xywh,
        [0.0, 0.0, 6.0, 4.0]
    );
}

#[test]
fn folders_are_recognised() {
    let png = png(30, 40);
    let train_and_val: &[Split] = &[Split::Train, Split::Val];
    let layouts: [(Files<'_>, &[Split]); 9] = [
        (&[("a.png", &png), ("a.txt", LABELS), ("classes.txt", b"red\nwhite\n")], &[]),
        (
            &[
                ("images/a.png", &png),
                ("labels/a.txt", LABELS),
                ("labels/classes.txt", b"red\nwhite\n"),
            ],
            &[],
        ),
        (
            &[
                ("images/train2017/a.png", &png),
                ("images/val2017/b.png", &png),
                ("labels/train2017/a.txt", LABELS),
                ("labels/val2017/b.txt", LABELS),
                ("obj.names", b"red\nwhite\n"),
            ],
            train_and_val,
        ),
        (
            &[
                ("images/train/a.png", &png),
                ("images/val/b.png", &png),
                ("labels/train/a.txt", LABELS),
                ("data.yaml", YAML),
            ],
            train_and_val,
        ),
        // Roboflow's, whose paths begin with `../`.
        (
            &[
                ("train/images/a.png", &png),
                ("train/labels/a.txt", LABELS),
                ("valid/images/b.png", &png),
                (
                    "data.yaml",
                    b"train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['red', 'white']\n",
                ),
            ],
            train_and_val,
        ),
        // Ultralytics', with a path of another machine.
        (
            &[
                ("images/train/a.png", &png),
                ("images/val/b.png", &png),
                ("labels/train/a.txt", LABELS),
                (
                    "blood.yaml",
                    b"path: /elsewhere\ntrain: images/train\nval: images/val\nnames:\n  0: red\n  1: white\n",
                ),
            ],
            train_and_val,
        ),
        // Lists in a YAML file, one with the paths of another machine.
        (
            &[
                ("images/a.png", &png),
                ("images/b.png", &png),
                ("labels/a.txt", LABELS),
                ("train.txt", b"./images/a.png\n"),
                ("lists/val.txt", b"/home/me/blood/images/b.png\n"),
                ("data.yaml", b"train: train.txt\nval: [lists/val.txt]\nnames: [red, white]\n"),
            ],
            train_and_val,
        ),
        // Darknet's lists.
        (
            &[
                ("obj_train_data/a.png", &png),
                ("obj_train_data/a.txt", LABELS),
                ("obj_train_data/b.png", &png),
                ("train.txt", b"data/obj_train_data/a.png\n"),
                ("valid.txt", b"data/obj_train_data/b.png\n"),
                ("obj.names", b"red\nwhite\n"),
            ],
            train_and_val,
        ),
        // A YAML file of names alone.
        (
            &[("images/a.png", &png), ("labels/a.txt", LABELS), ("data.yaml", b"names: [red, white]\n")],
            &[],
        ),
    ];
    for (files, splits) in layouts {
        let (found, folder) = found(files);
        assert_eq!(
            (found.format(), &found.splits()[..]),
            (DatasetFormat::Yolo, splits),
            "{files:?}"
        );
        let dataset = found.open(splits.first().copied()).unwrap();
        assert_eq!(dataset.classes(), ["red", "white"], "{files:?}");
        assert_eq!(dataset.len(), 1, "{files:?}");
        let sample = dataset.read(0).unwrap();
        assert_eq!(sample.boxes[0].edges(), [15.0, 7.5, 25.0, 22.5]);
        assert_eq!(sample.boxes[0].class, 1);
        assert_eq!(dataset.objects(0).unwrap()[0].area, 150.0);
        for (name, _) in files.iter().filter(|(name, _)| name.ends_with(".yaml")) {
            let of_file = FoundDataset::at(&folder.path().join(name)).unwrap();
            assert_eq!(of_file.splits(), splits);
        }
    }
}

#[test]
fn paths_of_a_yaml_file_are_found_where_they_are_meant() {
    let png = png(30, 40);
    let yaml = b"train: ../one/images\nval: ../two/images\nnames: [red, white]\n";
    let files: Files<'_> = &[
        ("one/images/a.png", &png),
        ("one/images/a.txt", b"0 0.5 0.5 1 1\n"),
        ("one/labels/a.txt", LABELS),
        ("two/images/b.png", &png),
        ("two/images/c.png", &png),
        ("data.yaml", yaml),
    ];
    let (found, _folder) = found(files);
    assert_eq!(found.splits(), [Split::Train, Split::Val]);
    assert_eq!(found.open(Split::Val).unwrap().len(), 2);
    let train = found.open(Split::Train).unwrap();
    // The folder of labels comes before what lies beside the photo.
    assert_eq!((train.len(), train.objects(0).unwrap()[0].class), (1, 1));
}

#[test]
fn photos_without_a_file_are_empty_and_said() {
    let png = png(30, 40);
    let files: Files<'_> = &[
        ("images/train/a.png", &png),
        ("images/train/b.png", &png),
        ("labels/train/a.txt", LABELS),
        ("labels/train/c.txt", LABELS),
        ("images/val/b.png", &png),
        ("labels/val/b.txt", b""),
    ];
    let (found, _folder) = found(files);
    let notes = found.notes().join("\n");
    for expected in [
        "1 photos have no file of boxes, and nothing is in them, as ",
        "1 files of boxes have no photo of their name and are left out, as ",
        "labels/train/c.txt",
        "no file names the classes: they are called `class 0` to `class 1`",
    ] {
        assert!(notes.contains(expected), "{expected} in {notes}");
    }
    for split in [Split::Train, Split::Val] {
        let dataset = found.open(split).unwrap();
        assert_eq!(dataset.classes(), ["class 0", "class 1"]);
        let last = dataset.len() - 1;
        assert!(dataset.read(last).unwrap().boxes.is_empty());
        assert!(dataset.objects(last).unwrap().is_empty());
    }
}

#[test]
fn faults_are_told_and_mended_by_the_table() {
    let png = png(30, 40);
    let faulty = b"0 0.5 0.5 0 0.5\n0 1.5 0.5 0.5 0.5\n0 0.9 0.5 0.4 0.5\n0 0.5 0.5 0.5 0.5\n0 0.5 0.5 0.5 0.5\n";
    let files: Files<'_> = &[
        ("a.png", &png),
        ("a.txt", faulty),
        ("b.png", &png),
        ("b.txt", b"0 0.5 0.5 0.5 0.5\n2 0.5 0.5 0.5 0.5\n"),
        ("c.png", &png),
        ("c.txt", b"0 20 10 6 3\n"),
        ("classes.txt", b"red\nwhite\n"),
    ];
    let (found, _folder) = found(files);
    let notes = found.notes().join("\n");
    for expected in [
        "1 box is of no width or no height and left out; the first is ",
        "a.txt, line 1",
        "1 box is outside of the photo and left out; the first is ",
        "a.txt, line 2",
        "1 box is partly outside",
        "a.txt, line 3",
        "1 box is there twice",
        "a.txt, line 5",
        "2 files of annotations cannot be used",
        "b.txt: line 2: the class 2, and there are 2",
    ] {
        assert!(notes.contains(expected), "{expected} in {notes}");
    }
    let dataset = found.open(None).unwrap();
    assert_eq!(dataset.objects(0).unwrap().len(), 3);
    assert_eq!(dataset.read(0).unwrap().boxes.len(), 2);
    let reason = |index| dataset.read(index).unwrap_err().reason();
    assert!(
        reason(1).ends_with("b.txt: line 2: the class 2, and there are 2"),
        "{}",
        reason(1)
    );
    assert!(
        reason(2).contains("c.txt: line 1: 20 is no share"),
        "{}",
        reason(2)
    );
}

#[test]
fn a_broken_yaml_file_is_named() {
    let png = png(30, 40);
    let yaml_error = |yaml: &[u8]| {
        let folder = folder_with(&[("a.png", &png), ("a.txt", LABELS), ("data.yaml", yaml)]);
        let error = FoundDataset::at(&folder.path().join("data.yaml"))
            .err()
            .unwrap();
        let found = FoundDataset::at(folder.path()).unwrap();
        (error.reason(), found.notes().join("\n"))
    };
    let (error, notes) = yaml_error(b"train: x\n");
    assert!(
        error.ends_with("data.yaml: neither `names` nor `nc`"),
        "{error}"
    );
    assert!(
        notes.contains("data.yaml is not read: neither `names` nor `nc`"),
        "{notes}"
    );
    let (error, _) = yaml_error(b"a: &a [1]\nnames: *a\n");
    assert!(error.contains("an alias"), "{error}");
    let folder = folder_with(&[("data.yaml", YAML)]);
    let error = FoundDataset::at(&folder.path().join("data.yaml"))
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("none of its photos are there"),
        "{error}"
    );
}

#[test]
fn what_is_no_list_of_boxes_changes_nothing() {
    let png = png(30, 40);
    let (classes, _folder) = found(&[
        ("cats/a.png", &png),
        ("cats/a.txt", LABELS),
        ("dogs/b.png", &png),
        ("dogs/b.txt", LABELS),
    ]);
    assert_eq!(classes.format(), DatasetFormat::ImageFolder);
    assert!(
        classes.notes().join("\n").contains("as YOLO's"),
        "{:?}",
        classes.notes()
    );
    let captions = folder_with(&[("a.png", &png), ("a.txt", b"a red blood cell\n")]);
    assert!(FoundDataset::at(captions.path()).is_err());
    let few = folder_with(&[
        ("a.png", &png),
        ("b.png", &png),
        ("c.png", &png),
        ("a.txt", LABELS),
    ]);
    let error = FoundDataset::at(few.path()).err().unwrap().to_string();
    assert!(error.contains("belong to 1 of 3 photos only"), "{error}");
}

#[test]
fn shares_are_those_of_the_upright_photo() {
    let photo = common::golden_bytes("orientation-6.jpg");
    let image = cnn_data::decode(&photo).unwrap();
    let (found, _folder) = found(&[("a.jpg", &photo), ("a.txt", b"0 0.5 0.5 1 1\n")]);
    let dataset = found.open(None).unwrap();
    let whole = [0.0, 0.0, image.width() as f64, image.height() as f64];
    assert_eq!(dataset.objects(0).unwrap()[0].edges(), whole);
}

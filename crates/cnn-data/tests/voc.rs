//! Pascal VOC's XML files of boxes: folders, lists, numbers, and what is said of broken ones.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;

use cnn_data::{DatasetFormat, FoundDataset, Split, VocAnnotation};
use common::box_files::{png, voc, voc_object};
use common::{Files, folder_with, shared};

#[test]
fn pixels_from_one_become_edges_from_zero() {
    let xml = voc([40, 30], &[voc_object("cat", [1, 11, 40, 20], 0)]);
    let parsed = VocAnnotation::parse(&xml).unwrap();
    let (name, object) = parsed.objects().next().unwrap();
    assert_eq!((name, object.xywh), ("cat", [0.0, 10.0, 40.0, 10.0]));
    let one_pixel = voc([40, 30], &[voc_object("cat", [40, 30, 40, 30], 0)]);
    let parsed = VocAnnotation::parse(&one_pixel).unwrap();
    let (_, object) = parsed.objects().next().unwrap();
    assert_eq!(object.edges(), [39.0, 29.0, 40.0, 30.0]);
}

#[test]
fn edges_the_wrong_way_round_are_exchanged_and_thin_boxes_stay() {
    let cases = [
        ([1, 9, 5, 3], [0.0, 2.0, 5.0, 9.0]),
        ([9, 3, 3, 5], [2.0, 2.0, 9.0, 5.0]),
        ([4, 4, 3, 4], [3.0, 3.0, 3.0, 4.0]),
    ];
    for (edges, expected) in cases {
        let xml = voc([40, 30], &[voc_object("cat", edges, 0)]);
        let parsed = VocAnnotation::parse(&xml).unwrap();
        assert_eq!(parsed.objects().next().unwrap().1.edges(), expected);
    }
    let thin = voc([40, 30], &[voc_object("cat", [4, 4, 3, 4], 0)]);
    let thin = String::from_utf8(thin).unwrap();
    let thin = thin.replace("<xmax>3</xmax>", "<xmax>3.5</xmax>");
    let parsed = VocAnnotation::parse(thin.as_bytes()).unwrap();
    assert_eq!(
        parsed.objects().next().unwrap().1.xywh,
        [3.0, 3.0, 0.5, 1.0]
    );
}

#[test]
fn parts_of_objects_and_other_elements_say_nothing() {
    let xml = br#"<?xml version="1.0"?><!-- by hand --><annotation verified="yes"><size><width>9</width>
        <height>8</height></size><object><part><name>head</name><bndbox><xmin>3</xmin></bndbox></part>
        <bndbox><ymax>4.5</ymax><xmax>4</xmax><ymin>2.25</ymin><xmin>1</xmin></bndbox>
        <name> person &amp; <!-- x --></name></object></annotation>"#;
    let parsed = VocAnnotation::parse(xml).unwrap();
    let objects: Vec<_> = parsed.objects().collect();
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0].0, "person &");
    assert_eq!(objects[0].1.edges(), [0.0, 1.25, 4.0, 4.5]);
}

#[test]
fn broken_files_name_the_line() {
    let of = |inside: &str| format!("<annotation>\n{inside}\n</annotation>");
    let boxed = |inside: &str| {
        of(&format!(
            "<object><name>a</name>\n<bndbox>{inside}</bndbox></object>"
        ))
    };
    let bomb =
        "<!DOCTYPE a [<!ENTITY a \"x\"><!ENTITY b \"&a;&a;&a;\">]><annotation>&b;</annotation>";
    let deep = format!("<annotation>{}", "<a>".repeat(200_000));
    let cases = [
        ("<annotation>".to_owned(), "no XML: "),
        (deep, "no XML: "),
        (bomb.to_owned(), "no XML: XML with DTD detected"),
        (
            "<html/>".to_owned(),
            "its root is `html`, expected `annotation`",
        ),
        (of("<object/>"), "line 2: an object without `name`"),
        (
            of("<object><name> </name></object>"),
            "line 2: an object without `name`",
        ),
        (
            of("<object><name>a</name></object>"),
            "line 2: an object without `bndbox`",
        ),
        (boxed("<xmin>1</xmin>"), "line 2: an object without `ymin`"),
        (
            boxed("<xmin>1</xmin><ymin>NaN</ymin>"),
            "line 3: `ymin` is `NaN`, expected a number",
        ),
        (
            boxed("<xmin>1e999</xmin>"),
            "line 3: `xmin` is `1e999`, expected a number",
        ),
        (
            of("<size><width>9</width>\n<height>-3</height></size>"),
            "line 3: `height` is `-3`, expected pixels",
        ),
        (
            of("<size><width>99999</width><height>9</height></size>"),
            "line 2: the photo declares 99999x9 pixels",
        ),
    ];
    for (xml, expected) in cases {
        let message = VocAnnotation::parse(xml.as_bytes()).unwrap_err();
        assert!(message.starts_with(expected), "{message} for {expected}");
    }
    assert!(
        VocAnnotation::parse(b"\xff\xfe")
            .unwrap_err()
            .contains("UTF-8")
    );
}

fn open_names(files: Files<'_>) -> (FoundDataset, tempfile::TempDir) {
    let folder = folder_with(files);
    (FoundDataset::at(folder.path()).unwrap(), folder)
}

#[test]
fn folders_are_recognised() {
    let png = png(30, 40);
    let xml = voc(
        [40, 30],
        &[
            voc_object("dog", [1, 1, 4, 5], 1),
            voc_object("cat", [3, 3, 9, 9], 0),
        ],
    );
    let layouts: [(Files<'_>, &[Split]); 5] = [
        (&[("a.png", &png), ("a.xml", &xml)], &[]),
        (
            &[("JPEGImages/a.png", &png), ("Annotations/a.xml", &xml)],
            &[],
        ),
        (
            &[("images/a.png", &png), ("annotations/xmls/a.xml", &xml)],
            &[],
        ),
        (
            &[
                ("train/a.png", &png),
                ("train/a.xml", &xml),
                ("valid/a.png", &png),
                ("valid/a.xml", &xml),
            ],
            &[Split::Train, Split::Val],
        ),
        (
            &[
                ("VOC2007/JPEGImages/a.png", &png),
                ("VOC2007/JPEGImages/b.png", &png),
                ("VOC2007/Annotations/a.xml", &xml),
                ("VOC2007/Annotations/b.xml", &xml),
                ("VOC2007/ImageSets/Main/trainval.txt", b"a\n"),
                ("VOC2007/ImageSets/Main/test.txt", b"b  1\n"),
                ("VOC2007/ImageSets/Main/cat_test.txt", b"b -1\n"),
            ],
            &[Split::Train, Split::Test],
        ),
    ];
    for (files, splits) in layouts {
        let (found, _folder) = open_names(files);
        assert_eq!(
            (found.format(), &found.splits()[..]),
            (DatasetFormat::Voc, splits),
            "{files:?}"
        );
        let dataset = found.open(splits.first().copied()).unwrap();
        assert_eq!(
            (dataset.len(), dataset.classes()),
            (1, &["cat".to_owned(), "dog".to_owned()][..])
        );
        let objects = dataset.objects(0).unwrap();
        assert_eq!(objects.len(), 2);
        assert!(objects[0].is_difficult && objects[0].class == 1);
        let sample = dataset.read(0).unwrap();
        assert_eq!(sample.boxes.len(), 1);
        assert_eq!(sample.boxes[0].edges(), [2.0, 2.0, 9.0, 9.0]);
        assert_eq!(sample.ignored[0].edges(), [0.0, 0.0, 4.0, 5.0]);
    }
}

#[test]
fn faults_are_told_and_mended_by_the_table() {
    let png = png(30, 40);
    let objects = [
        voc_object("cat", [9, 1, 3, 5], 0),
        voc_object("cat", [50, 1, 60, 5], 0),
        voc_object("cat", [30, 0, 60, 5], 0),
        voc_object("cat", [1, 1, 5, 5], 0),
        voc_object("cat", [1, 1, 5, 5], 0),
    ];
    let faulty = voc([40, 30], &objects);
    let sound = voc([40, 30], &[voc_object("ant", [1, 1, 5, 5], 0)]);
    let other_size = voc([30, 30], &[voc_object("cat", [1, 1, 5, 5], 0)]);
    let no_size = voc([0, 0], &[voc_object("cat", [1, 1, 5, 5], 0)]);
    let empty = voc([40, 30], &[]);
    let files: Files<'_> = &[
        ("a.png", &png),
        ("a.xml", &faulty),
        ("b.png", &png),
        ("b.xml", b"<annotation>\n<object>\n</object></annotation>"),
        ("c.png", &png),
        ("c.xml", &other_size),
        ("d.png", &png),
        ("d.xml", &no_size),
        ("e.png", &png),
        ("e.xml", &empty),
        ("f.png", &png),
        ("g.xml", &sound),
        ("classes.txt", b"dog\ncat\n"),
    ];
    let (found, _folder) = open_names(files);
    let notes = found.notes().join("\n");
    for expected in [
        "1 box has edges the wrong way round",
        "1 box is outside of the photo and left out; the first is ",
        "1 box is partly outside of the photo",
        "1 box is there twice",
        "a.xml, line ",
        "1 files of annotations cannot be used",
        "b.xml: line 2: an object without `name`",
        "1 photos have no XML file of their name and are left out, as ",
        "f.png",
        "1 XML files have no photo of their name",
        "g.xml",
        "1 XML files do not say how large their photos are",
        "classes.txt names the 2 classes",
    ] {
        assert!(notes.contains(expected), "{expected} in {notes}");
    }
    let dataset = found.open(None).unwrap();
    assert_eq!(dataset.classes(), ["dog", "cat"]);
    assert_eq!(dataset.len(), 5);
    let measured: Vec<_> = dataset
        .objects(0)
        .unwrap()
        .iter()
        .map(|object| object.edges())
        .collect();
    assert_eq!(
        measured,
        [
            [2.0, 0.0, 9.0, 5.0],
            [29.0, -1.0, 60.0, 5.0],
            [0.0, 0.0, 5.0, 5.0],
            [0.0, 0.0, 5.0, 5.0]
        ]
    );
    let trained: Vec<_> = dataset
        .read(0)
        .unwrap()
        .boxes
        .iter()
        .map(|found| found.edges())
        .collect();
    assert_eq!(
        trained,
        [
            [2.0, 0.0, 9.0, 5.0],
            [29.0, 0.0, 40.0, 5.0],
            [0.0, 0.0, 5.0, 5.0]
        ]
    );
    let reason = |index| dataset.read(index).unwrap_err().reason();
    assert!(
        reason(1).ends_with("b.xml: line 2: an object without `name`"),
        "{}",
        reason(1)
    );
    assert!(
        reason(2).ends_with("c.xml: annotations of 30x30 pixels for a photo of 40x30"),
        "{}",
        reason(2)
    );
    assert!(dataset.objects(2).is_err());
    assert_eq!(dataset.read(3).unwrap().boxes.len(), 1);
    assert!(dataset.read(4).unwrap().boxes.is_empty());
    assert_eq!(dataset.objects(4).unwrap(), []);
}

#[test]
fn lists_name_photos_that_are_not_there_and_leave_others_out() {
    let png = png(30, 40);
    let xml = voc([40, 30], &[voc_object("cat", [1, 1, 4, 5], 0)]);
    let files: Files<'_> = &[
        ("JPEGImages/a.png", &png),
        ("JPEGImages/b.png", &png),
        ("JPEGImages/c.png", &png),
        ("Annotations/a.xml", &xml),
        ("ImageSets/Main/train.txt", b"a\nb\nz\n"),
    ];
    let (found, _folder) = open_names(files);
    let notes = found.notes().join("\n");
    assert!(
        notes.contains("1 images are in no list and are left out, as "),
        "{notes}"
    );
    let dataset = found.open(Split::Train).unwrap();
    assert!(dataset.read(0).is_ok());
    let reason = |index| dataset.read(index).unwrap_err().reason();
    assert!(
        reason(1).ends_with("b.png: a photo without an XML file of its name"),
        "{}",
        reason(1)
    );
    assert!(reason(2).contains("z.jpg"), "{}", reason(2));
}

#[test]
fn class_folders_and_masks_stay_what_they_are() {
    let png = png(30, 40);
    let xml = voc([40, 30], &[voc_object("cat", [1, 1, 4, 5], 0)]);
    let files: Files<'_> = &[
        ("cats/a.png", &png),
        ("cats/a.xml", &xml),
        ("dogs/b.png", &png),
        ("dogs/b.xml", &xml),
    ];
    let (found, _folder) = open_names(files);
    assert_eq!(found.format(), DatasetFormat::ImageFolder);
    assert!(
        found.notes().join("\n").contains("XML files of objects"),
        "{:?}",
        found.notes()
    );

    let files: Files<'_> = &[
        ("images/a.png", &png),
        ("masks/a.png", &png),
        ("annotations/a.xml", &xml),
    ];
    let folder = folder_with(files);
    let found = FoundDataset::at(folder.path()).unwrap();
    assert_eq!(found.format(), DatasetFormat::Masks);
    assert!(
        found.notes().join("\n").contains(":boxes"),
        "{:?}",
        found.notes()
    );
    let boxes = format!("{}:boxes", folder.path().display());
    let found = FoundDataset::at(boxes.as_ref()).unwrap();
    assert_eq!(found.format(), DatasetFormat::Voc);
}

#[test]
fn photos_that_lie_on_their_side_turn_their_boxes() {
    // Stored with 7 columns and 5 rows, upright 5 and 7.
    let photo = common::golden_bytes("orientation-6.jpg");
    let decoded = cnn_data::decode(&photo).unwrap();
    let [height, width] = [decoded.height(), decoded.width()];
    let stored = voc([height, width], &[voc_object("cat", [1, 1, 2, 1], 0)]);
    let upright = voc(
        [width, height],
        &[voc_object("cat", [width as i64, 1, width as i64, 2], 0)],
    );
    for xml in [stored, upright] {
        let files: Files<'_> = &[("a.jpg", &photo), ("a.xml", &xml)];
        let (found, _folder) = open_names(files);
        let dataset = found.open(None).unwrap();
        let [object] = &dataset.objects(0).unwrap()[..] else {
            panic!("one object")
        };
        let right = width as f64;
        assert_eq!(object.edges(), [right - 1.0, 0.0, right, 2.0]);
        assert_eq!(dataset.read(0).unwrap().boxes[0], object.bounding_box());
    }
}

#[test]
fn blood_cells() {
    let Some(path) = shared("data/bccd") else {
        return;
    };
    let found = FoundDataset::at(&path).unwrap();
    assert_eq!(
        (found.format(), found.splits()),
        (DatasetFormat::Voc, Split::ALL.to_vec())
    );
    let mut objects = [0; 3];
    let mut photos = Vec::new();
    for split in Split::ALL {
        let dataset = found.open(split).unwrap();
        assert_eq!(dataset.classes(), ["Platelets", "RBC", "WBC"]);
        photos.push(dataset.len());
        for index in 0..dataset.len() {
            for object in dataset.objects(index).unwrap() {
                objects[object.class] += 1;
            }
        }
    }
    assert_eq!((photos, objects), (vec![205, 87, 72], [361, 4155, 372]));
    let dataset = found.open(Split::Val).unwrap();
    let first = fs::read_to_string(path.join("ImageSets/Main/val.txt")).unwrap();
    assert!(
        dataset.id(0).ends_with("BloodImage_00000.jpg") && first.starts_with("BloodImage_00000")
    );
    let sample = dataset.read(0).unwrap();
    assert_eq!(sample.boxes[0].edges(), [259.0, 176.0, 491.0, 376.0]);
}

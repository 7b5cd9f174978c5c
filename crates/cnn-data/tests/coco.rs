//! COCO's JSON files: masks to the pixel of pycocotools, boxes, folders, and what is said of broken
//! ones.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;

use cnn_data::{CocoAnnotations, DatasetFormat, FoundDataset, Image, Split};
use common::{Files, folder_with, golden, shared};
use serde_json::{Value, json};

// tools/goldens/masks.py: annToMask of pycocotools 2.0 for polygons, runs and compressed runs.
#[test]
fn objects_are_pycocotools_to_the_pixel() {
    let annotations = CocoAnnotations::read(&golden("masks/coco.json")).unwrap();
    let expected = fs::read_to_string(golden("masks/coco.txt")).unwrap();
    let mut count = 0;
    for line in expected.lines() {
        let numbers: Vec<usize> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        let [id, area, changes @ ..] = &numbers[..] else {
            panic!("{line}")
        };
        let mask = annotations.annotation_mask(*id as i64).unwrap();
        let bytes = mask.bytes();
        let found: Vec<usize> = (0..bytes.len())
            .filter(|&at| bytes[at] != at.checked_sub(1).map_or(0, |before| bytes[before]))
            .collect();
        assert_eq!(found, changes, "annotation {id}");
        let sum: usize = bytes.iter().map(|&byte| usize::from(byte)).sum();
        assert_eq!(sum, *area, "annotation {id}");
        count += 1;
    }
    assert_eq!(count, 33);
}

fn document(annotations: Value) -> Vec<u8> {
    let document = json!({
        "info": {"year": 2026},
        "images": [{"id": 3, "file_name": "a.png", "height": 4, "width": 6, "license": 1}],
        "categories": [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": annotations,
    });
    document.to_string().into_bytes()
}

fn square(id: i64, category: i64, [x, y, side]: [f64; 3], is_crowd: i64) -> Value {
    let right = x + side;
    let bottom = y + side;
    json!({
        "id": id, "image_id": 3, "category_id": category, "iscrowd": is_crowd,
        "bbox": [x, y, side, side], "area": side * side,
        "segmentation": [[x, y, right, y, right, bottom, x, bottom]],
    })
}

#[test]
fn smaller_objects_lie_on_top_and_crowds_below_all() {
    let annotations = json!([
        square(1, 2, [1.0, 1.0, 1.0], 0),
        square(2, 7, [0.0, 0.0, 3.0], 0),
        square(3, 7, [2.0, 0.0, 4.0], 1),
    ]);
    let parsed = CocoAnnotations::parse(&document(annotations)).unwrap();
    assert_eq!(parsed.categories(), ["cat", "dog"]);
    assert_eq!(
        parsed.mask(0).unwrap().bytes(),
        [
            [2, 2, 2, 255, 255, 255],
            [2, 1, 2, 255, 255, 255],
            [2, 2, 2, 255, 255, 255],
            [0, 0, 255, 255, 255, 255],
        ]
        .as_flattened()
    );
    let boxes = parsed.boxes(0).unwrap();
    let found: Vec<_> = boxes
        .iter()
        .map(|found| (found.class, found.edges()))
        .collect();
    assert_eq!(
        found,
        [(0, [1.0, 1.0, 2.0, 2.0]), (1, [0.0, 0.0, 3.0, 3.0])]
    );
}

#[test]
fn boxes_without_a_segmentation_are_ignored_in_masks() {
    let alone =
        json!({"id": 2, "image_id": 3, "category_id": 7, "bbox": [3, 2, 9, 1], "segmentation": []});
    let parsed =
        CocoAnnotations::parse(&document(json!([square(1, 2, [0.0, 0.0, 2.0], 0), alone])));
    let parsed = parsed.unwrap();
    assert_eq!(
        parsed.mask(0).unwrap().bytes()[12..18],
        [0, 0, 0, 255, 255, 255]
    );
    assert_eq!(parsed.boxes(0).unwrap()[1].edges(), [3.0, 2.0, 6.0, 3.0]);
    let parsed = CocoAnnotations::parse(&document(json!([alone]))).unwrap();
    assert!(!parsed.has_masks());
}

#[test]
fn objects_have_the_numbers_of_the_file() {
    let with = |id: i64, extra: Value| {
        let mut object =
            json!({"id": id, "image_id": 3, "category_id": 7, "bbox": [0.1, 0.7, 2.3, 1.1]});
        let extra = extra.as_object().unwrap().clone();
        object.as_object_mut().unwrap().extend(extra);
        object
    };
    let annotations = json!([
        with(1, json!({"area": 1.25})),
        with(2, json!({"iscrowd": 1, "area": 9})),
        with(3, json!({"bbox": [1, 1, 0, 2]})),
        with(4, json!({"bbox": [6, 1, 2, 2]})),
        with(5, json!({"bbox": [4, 1, 4, 2]})),
        with(6, json!({})),
    ]);
    let parsed = CocoAnnotations::parse(&document(annotations.clone())).unwrap();
    let objects = parsed.objects(0).unwrap();
    let found: Vec<_> = objects
        .iter()
        .map(|object| {
            (
                object.id.unwrap(),
                object.xywh,
                object.area,
                object.is_crowd,
            )
        })
        .collect();
    // 2.3 + 0.1 - 0.1 is not 2.3: the numbers of the file stay as they are.
    let place = [0.1, 0.7, 2.3, 1.1];
    assert_eq!(
        found,
        [
            (1, place, 1.25, false),
            (2, place, 9.0, true),
            (5, [4.0, 1.0, 4.0, 2.0], 8.0, false),
            (6, place, 2.3 * 1.1, false),
        ]
    );
    assert_eq!(parsed.boxes(0).unwrap().len(), 2);
    assert_eq!((parsed.image_id(0), parsed.image_id(1)), (Some(3), None));
    assert_eq!(
        (parsed.category_id(0), parsed.category_id(1)),
        (Some(2), Some(7))
    );

    let png = Image::from_pixels(4, 6, 1, vec![5; 24]).unwrap();
    let json = document(annotations);
    let folder = folder_with(&[("a.png", &png.to_png().unwrap()), ("b.json", &json)]);
    let found = FoundDataset::at(folder.path()).unwrap();
    let notes = found.notes().join("\n");
    for expected in [
        "1 box is of no width or no height and left out; the first is ",
        "b.json, annotation 3",
        "1 box is outside of the photo and left out",
        "b.json, annotation 4",
        "1 box is partly outside of the photo",
        "b.json, annotation 5",
        "1 box is there twice",
        "b.json, annotation 6",
    ] {
        assert!(notes.contains(expected), "{expected} in {notes}");
    }
    let dataset = found.open(None).unwrap();
    assert!(dataset.has_boxes());
    assert_eq!(dataset.objects(0).unwrap(), objects);
    assert_eq!((dataset.image_id(0), dataset.category_id(1)), (3, 7));
    let sample = dataset.read(0).unwrap();
    assert_eq!((sample.boxes.len(), sample.ignored.len()), (2, 1));

    let bad_area = json!([with(8, json!({"area": -1}))]);
    let parsed = CocoAnnotations::parse(&document(bad_area)).unwrap();
    let message = parsed.objects(0).unwrap_err();
    assert_eq!(
        message,
        "annotation 8: its area is -1, expected none below 0"
    );
}

#[test]
fn animals() {
    let Some(path) = shared("data/coco128") else {
        return;
    };
    let found = FoundDataset::at(&path).unwrap();
    let dataset = found.open(None).unwrap();
    let objects: Vec<_> = (0..dataset.len())
        .flat_map(|index| dataset.objects(index).unwrap())
        .collect();
    let crowds = objects.iter().filter(|object| object.is_crowd).count();
    assert_eq!((dataset.len(), objects.len(), crowds), (32, 220, 4));
    assert_eq!((dataset.image_id(0), dataset.category_id(79)), (9, 90));
    let first = objects
        .iter()
        .find(|object| object.id == Some(1774))
        .unwrap();
    assert_eq!(first.xywh, [61.87, 276.25, 296.42, 103.18]);
    assert_eq!(first.area, 18234.62355);
    let boxes = cnn_data::survey_found(&found).unwrap().boxes.unwrap();
    assert_eq!((boxes.boxes, boxes.crowds, boxes.empty_images), (216, 4, 1));
    let sizes = boxes.sizes;
    assert_eq!(sizes.small + sizes.medium + sizes.large, 216);
    let counted: usize = boxes.classes.iter().map(|class| class.boxes).sum();
    assert_eq!(counted, 216);
}

#[test]
fn what_is_wrong_names_the_annotation() {
    let with = |segmentation: Value| json!([{"id": 41, "image_id": 3, "category_id": 7, "bbox": [0, 0, 1, 1], "segmentation": segmentation}]);
    let cases = [
        (
            with(json!([[1, 2, 3, 4, 5]])),
            "annotation 41: its polygon has 5 numbers",
        ),
        (
            with(json!([[1, 2, 3, 4]])),
            "annotation 41: its polygon has 4 numbers",
        ),
        (
            with(json!([[1, 2, 3, 4, 5, 1e30]])),
            "annotation 41: its polygon has the coordinate 1e30",
        ),
        (
            with(json!({"size": [4, 6], "counts": [20, 5]})),
            "annotation 41: its runs add up to 25, expected the 24 pixels of 6x4",
        ),
        (
            with(json!({"size": [6, 4], "counts": [20, 4]})),
            "annotation 41: its runs are those of 4x6 pixels in an image of 6x4",
        ),
        (
            with(json!({"size": [4, 6], "counts": "o!"})),
            "annotation 41: its compressed runs are broken at byte 1",
        ),
        (
            with(json!({"size": [4, 6], "counts": "oooooooooo0"})),
            "annotation 41: its compressed runs are broken",
        ),
        (
            with(json!("circle")),
            "annotation 41: its segmentation is neither polygons nor runs",
        ),
    ];
    for (annotations, expected) in cases {
        let parsed = CocoAnnotations::parse(&document(annotations)).unwrap();
        let message = parsed.mask(0).unwrap_err();
        assert!(message.starts_with(expected), "{message} for {expected}");
    }
    let no_box = json!([{"id": 5, "image_id": 3, "category_id": 7, "bbox": [0, 0, -1, 1]}]);
    let parsed = CocoAnnotations::parse(&document(no_box)).unwrap();
    let message = parsed.boxes(0).unwrap_err();
    assert!(
        message.starts_with("annotation 5: its box is [0.0, 0.0, -1.0, 1.0]"),
        "{message}"
    );
    let cases = [
        (
            square(6, 9, [0.0, 0.0, 1.0], 0),
            "annotation 6 is of the category 9, which is not there",
        ),
        (
            json!({"id": 6, "image_id": 8, "category_id": 7}),
            "annotation 6 is of the image 8, which is not there",
        ),
        (
            json!({"id": 6}),
            "no COCO file: missing field `image_id` at line 1",
        ),
    ];
    for (annotation, expected) in cases {
        let message = CocoAnnotations::parse(&document(json!([annotation]))).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }
    let twice = br#"{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}"#;
    let message = CocoAnnotations::parse(twice).unwrap_err();
    assert_eq!(message, "two categories have the id 1");
}

#[test]
fn folders_and_files_are_recognised() {
    let png = Image::from_pixels(4, 6, 1, vec![5; 24])
        .unwrap()
        .to_png()
        .unwrap();
    let json = document(json!([square(1, 2, [0.0, 0.0, 2.0], 0)]));
    let layouts: [(Files<'_>, &[Split]); 4] = [
        (&[("images/a.png", &png), ("annotations.json", &json)], &[]),
        (
            &[
                ("train2017/a.png", &png),
                ("val2017/a.png", &png),
                ("annotations/instances_train2017.json", &json),
                ("annotations/instances_val2017.json", &json),
                ("annotations/person_keypoints_val2017.json", &json),
                (
                    "annotations/captions_val2017.json",
                    b"{\"images\": [], \"annotations\": []}",
                ),
            ],
            &[Split::Train, Split::Val],
        ),
        (
            &[
                ("train/a.png", &png),
                ("train/_annotations.coco.json", &json),
                ("valid/a.png", &png),
                ("valid/_annotations.coco.json", &json),
            ],
            &[Split::Train, Split::Val],
        ),
        (
            &[("a.png", &png), ("labels.json", &json), ("a.json", b"{}")],
            &[],
        ),
    ];
    for (files, splits) in layouts {
        let folder = folder_with(files);
        let found = FoundDataset::at(folder.path()).unwrap();
        assert_eq!(
            (found.format(), &found.splits()[..]),
            (DatasetFormat::Coco, splits)
        );
        let dataset = found.open(splits.last().copied()).unwrap();
        assert_eq!(dataset.classes(), ["cat", "dog"]);
        assert_eq!(dataset.mask_classes(), ["background", "cat", "dog"]);
        let sample = dataset.read(0).unwrap();
        assert_eq!(sample.boxes[0].edges(), [0.0, 0.0, 2.0, 2.0]);
        assert_eq!(sample.mask.unwrap().bytes()[..7], [1, 1, 0, 0, 0, 0, 1]);
        for (name, _) in files.iter().filter(|(name, _)| name.contains("instances")) {
            let found = FoundDataset::at(&folder.path().join(name)).unwrap();
            assert_eq!(found.format(), DatasetFormat::Coco);
            assert_eq!(found.open(None).unwrap().len(), 1);
        }
    }
}

#[test]
fn beside_class_folders_it_changes_nothing() {
    let png = Image::from_pixels(4, 6, 1, vec![5; 24])
        .unwrap()
        .to_png()
        .unwrap();
    let json = document(json!([square(1, 2, [0.0, 0.0, 2.0], 0)]));
    let files: Files<'_> = &[
        ("cats/a.png", &png),
        ("dogs/b.png", &png),
        ("annotations.json", &json),
    ];
    let folder = folder_with(files);
    let found = FoundDataset::at(folder.path()).unwrap();
    assert_eq!(found.format(), DatasetFormat::ImageFolder);
    let notes = found.notes().join("\n");
    assert!(notes.contains("the folders are the classes; `") && notes.contains("annotations.json"));
}

#[test]
fn images_that_do_not_fit_are_named() {
    let png = Image::from_pixels(4, 6, 1, vec![5; 24])
        .unwrap()
        .to_png()
        .unwrap();
    let odd = Image::from_pixels(5, 6, 1, vec![5; 30])
        .unwrap()
        .to_png()
        .unwrap();
    let document = json!({
        "images": [
            {"id": 1, "file_name": "a.png", "height": 4, "width": 6},
            {"id": 2, "file_name": "../b.png", "height": 4, "width": 6},
            {"id": 3, "file_name": "c.png", "height": 4, "width": 6},
        ],
        "categories": [{"id": 7, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 1, 1], "segmentation": [[0, 0, 2, 0, 2]]},
        ],
    });
    let json = document.to_string();
    let files: Files<'_> = &[
        ("images/a.png", &png),
        ("images/b.png", &odd),
        ("images/d.png", &png),
        ("coco.json", json.as_bytes()),
    ];
    let folder = folder_with(files);
    let found = FoundDataset::at(folder.path()).unwrap();
    let notes = found.notes().join("\n");
    for expected in [
        "1 images of ",
        "are not there",
        "1 images are in no annotations",
        "d.png",
    ] {
        assert!(notes.contains(expected), "{notes}");
    }
    let dataset = found.open(None).unwrap();
    let reasons: Vec<String> = (0..3)
        .map(|at| dataset.read(at).unwrap_err().reason())
        .collect();
    assert!(
        reasons[0].contains("coco.json: annotation 1: its polygon has 5 numbers"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].contains(
            "coco.json: its image `../b.png`: annotations of 6x4 pixels for a photo of 6x5"
        ),
        "{reasons:?}"
    );
    assert!(
        reasons[2].contains("its image `c.png` is not there"),
        "{reasons:?}"
    );
}

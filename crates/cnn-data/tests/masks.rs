//! Photos with masks in files of their own: which folders they are, and what is said of those that
//! cannot be used.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;

use cnn_data::{DatasetFormat, FoundDataset, Image, Mask, MaskPalette, Split, survey};
use common::mask_files::{folder_of, grey, mask_of, palette, photo, rgb};
use common::{Files, folder_with, golden, golden_bytes, samples};

/// The number of photos of each split.
type Counts<'a> = &'a [(Option<Split>, usize)];

#[test]
fn the_layouts_that_people_have() {
    let train = Some(Split::Train);
    let val = Some(Split::Val);
    let test = Some(Split::Test);
    // Files, and the number of photos of each split.
    let cases: [(&[&str], Counts<'_>); 12] = [
        (
            &[
                "images/1-photo.png",
                "images/2-photo.png",
                "masks/1.png",
                "masks/2.png",
            ],
            &[(None, 2)],
        ),
        (
            &[
                "train/1-photo.png",
                "trainannot/1.png",
                "val/2-photo.png",
                "valannot/2.png",
                "test/3-photo.png",
                "testannot/3.png",
            ],
            &[(train, 1), (val, 1), (test, 1)],
        ),
        (
            &[
                "images/train/1-photo.png",
                "masks/train/1.png",
                "images/val/1-photo.png",
                "masks/val/1.png",
            ],
            &[(train, 1), (val, 1)],
        ),
        (
            &[
                "train/images/1-photo.png",
                "train/masks/1.png",
                "valid/images/1-photo.png",
                "valid/masks/1.png",
            ],
            &[(train, 1), (val, 1)],
        ),
        (
            &[
                "images/training/1-photo.png",
                "annotations/training/1.png",
                "images/validation/2-photo.png",
                "annotations/validation/2.png",
            ],
            &[(train, 1), (val, 1)],
        ),
        (&["imgs/1-photo.png", "labels/1.png"], &[(None, 1)]),
        (&["img/1-photo.png", "label/1.png"], &[(None, 1)]),
        (
            &["JPEGImages/1-photo.png", "SegmentationClassPNG/1.png"],
            &[(None, 1)],
        ),
        (
            &[
                "data/1-photo.png",
                "data/1_mask.png",
                "data/2-photo.png",
                "data/2_mask.png",
            ],
            &[(None, 2)],
        ),
        (
            &[
                "train/a-photo.png",
                "train/a_seg.png",
                "val/b-photo.png",
                "val/b_gt.png",
            ],
            &[(train, 1), (val, 1)],
        ),
        (
            &["set/images/a-photo.png", "set/masks/a_L.png"],
            &[(None, 1)],
        ),
        (
            &[
                "images/day/1-photo.png",
                "images/night/1-photo.png",
                "masks/day/1.png",
                "masks/night/1.png",
            ],
            &[(None, 2)],
        ),
    ];
    for (names, expected) in cases {
        let folder = folder_of(names);
        let found = FoundDataset::at(folder.path()).unwrap();
        assert_eq!(found.format(), DatasetFormat::Masks, "{names:?}");
        let splits: Vec<Split> = expected.iter().filter_map(|(split, _)| *split).collect();
        assert_eq!(found.splits(), splits, "{names:?}");
        for &(split, count) in expected {
            let dataset = found.open(split).unwrap();
            assert_eq!(dataset.len(), count, "{names:?}");
            assert_eq!(dataset.mask_classes(), ["class 0", "class 1", "class 2"]);
            for index in 0..count {
                assert_eq!(
                    mask_of(dataset.as_ref(), index),
                    [0, 1, 2, 2, 1, 255],
                    "{names:?}"
                );
            }
        }
    }
}

#[test]
fn class_folders_stay_what_they_are() {
    // Files, and the classes.
    let cases: [(&[&str], &[&str], Option<&str>); 6] = [
        (&["masks/1.png", "hats/1.png"], &["hats", "masks"], None),
        (
            &["with_mask/1.png", "without_mask/1.png"],
            &["with_mask", "without_mask"],
            None,
        ),
        (
            &["images/1-photo.png", "masks/2.png", "cats/3.png"],
            &["cats", "images", "masks"],
            None,
        ),
        (
            &[
                "images/1-photo.png",
                "masks/1.png",
                "masks/2.png",
                "cats/3.png",
            ],
            &["cats", "images", "masks"],
            Some(
                "the images in `masks` count as any other images do: other folders hold images too",
            ),
        ),
        (
            &["images/1-photo.png", "masks/1.jpg"],
            &["images", "masks"],
            Some("they are of other sizes than the photos of their names"),
        ),
        (
            &[
                "cats/1-photo.png",
                "cats/1_mask.png",
                "dogs/2-photo.png",
                "dogs/2_mask.png",
            ],
            &["cats", "dogs"],
            Some("1_mask.png, count as any other images do: the folders are classes"),
        ),
    ];
    for (names, classes, note) in cases {
        let folder = folder_of(names);
        let found = FoundDataset::at(folder.path()).unwrap();
        assert_eq!(found.format(), DatasetFormat::ImageFolder, "{names:?}");
        assert_eq!(found.open(None).unwrap().classes(), classes, "{names:?}");
        let notes = found.notes().join("\n");
        assert_eq!(notes.is_empty(), note.is_none(), "{notes}");
        assert!(notes.contains(note.unwrap_or_default()), "{notes}");
    }
}

#[test]
fn what_is_left_out_is_told() {
    let folder = folder_of(&[
        "images/1-photo.png",
        "images/2-photo.png",
        "masks/1.png",
        "masks/2.png",
        "masks/3.png",
        "test/images/4-photo.png",
        "classes.txt",
        "codes.txt",
    ]);
    let found = FoundDataset::at(folder.path()).unwrap();
    let notes = found.notes().join("\n");
    for expected in [
        "the mask `",
        "3.png` has no photo of its name and is left out",
        "the 1 photos of the split `test` have no masks and are left out",
        "classes.txt names the 3 classes of the masks",
        "codes.txt` beside it is not read",
    ] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
    let folder = folder_of(&["images/1-photo.png", "masks/1.png", "previews/1-photo.png"]);
    let found = FoundDataset::at(folder.path()).unwrap();
    assert_eq!(found.format(), DatasetFormat::Masks);
    let notes = found.notes().join("\n");
    assert!(
        notes.contains("previews are neither photos nor masks and are left out"),
        "{notes}"
    );
}

#[test]
fn faults_name_file_pixel_and_value() {
    let photo = photo();
    let good = palette([0, 1, 2, 0, 1, 255]);
    let tall = Image::from_pixels(4, 3, 1, vec![0; 12])
        .unwrap()
        .to_png()
        .unwrap();
    let wide_16 = fs::read(golden("masks/grey-16.png")).unwrap();
    let files: [(&str, &[u8]); 18] = [
        ("classes.txt", b"road\ncar\nsky\n"),
        ("images/1.png", &photo),
        ("masks/1.png", &good),
        ("images/2.png", &photo),
        ("masks/2.png", &grey([0, 1, 2, 2, 9, 0])),
        ("images/3.png", &photo),
        ("masks/3.png", &tall),
        ("images/4.png", &photo),
        ("images/5.png", &photo),
        ("masks/5.png", &good),
        ("masks/5_mask.png", &good),
        ("images/6.png", &photo),
        ("masks/6.png", &rgb([[1, 2, 3]; 6])),
        ("images/7.png", &photo),
        ("masks/7.jpg", &golden_bytes("grey.jpg")),
        ("images/8.png", &photo),
        ("masks/8.png", &good[..40]),
        ("masks/unknown.png", &wide_16),
    ];
    let folder = folder_with(&files);
    let found = FoundDataset::at(folder.path()).unwrap();
    let dataset = found.open(None).unwrap();
    assert_eq!(dataset.len(), 8);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let expected = [
        String::new(),
        format!(
            "{}: pixel (1, 1) of the mask is 9, expected 0 to 2, or 255 where the class is unknown",
            path("masks/2.png")
        ),
        format!(
            "{}: a mask of 3x4 pixels for a photo of 3x2",
            path("masks/3.png")
        ),
        format!(
            "{}: a photo without a mask; looked for a PNG called `4` among the masks",
            path("images/4.png")
        ),
        format!(
            "{}: a photo with two masks, {} and {}",
            path("images/5.png"),
            path("masks/5.png"),
            path("masks/5_mask.png")
        ),
        format!(
            "{}: no mask: it holds colors, and no file says which classes they stand for",
            path("masks/6.png")
        ),
        format!(
            "{}: no mask: a JPEG, whose compression changes the values of pixels",
            path("masks/7.jpg")
        ),
        format!("{}: broken PNG: ", path("masks/8.png")),
    ];
    for (index, expected) in expected.iter().enumerate() {
        let reason = match dataset.read(index) {
            Ok(_) => String::new(),
            Err(error) => error.reason(),
        };
        assert_eq!(reason.is_empty(), expected.is_empty(), "{reason}");
        assert!(reason.starts_with(expected), "{reason} for {expected}");
    }
    // They are skipped, and the others counted.
    let survey = survey(folder.path()).unwrap();
    assert_eq!(
        (survey.samples, survey.readable, survey.broken.len()),
        (8, 1, 7)
    );
    assert!(survey.broken[0].path.ends_with("images/2.png"));
    let masks = survey.masks.unwrap();
    assert_eq!(masks.ignored, 1.0 / 6.0);
    let found: Vec<_> = masks
        .classes
        .iter()
        .map(|class| (class.pixels, class.images))
        .collect();
    assert_eq!(found, [(2, 1), (2, 1), (1, 1)]);
}

#[test]
fn vocs_lists_are_its_splits() {
    let photo = photo();
    let mask = palette([0, 15, 255, 0, 20, 0]);
    let files: Files<'_> = &[
        ("VOCdevkit/VOC2012/JPEGImages/a.png", &photo),
        ("VOCdevkit/VOC2012/JPEGImages/b.png", &photo),
        ("VOCdevkit/VOC2012/JPEGImages/c.png", &photo),
        ("VOCdevkit/VOC2012/JPEGImages/d.png", &photo),
        ("VOCdevkit/VOC2012/SegmentationClass/a.png", &mask),
        ("VOCdevkit/VOC2012/SegmentationClass/b.png", &mask),
        (
            "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt",
            b"b\na\n",
        ),
        ("VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", b"c\n"),
        (
            "VOCdevkit/VOC2012/ImageSets/Segmentation/trainval.txt",
            b"b\na\nc\n",
        ),
    ];
    let folder = folder_with(files);
    let found = FoundDataset::at(folder.path()).unwrap();
    assert_eq!(
        (found.format(), found.splits()),
        (DatasetFormat::Masks, vec![Split::Train, Split::Val])
    );
    let notes = found.notes().join("\n");
    for expected in [
        "1 images are in no list of",
        "d.png",
        "they are Pascal VOC's",
    ] {
        assert!(notes.contains(expected), "{notes}");
    }
    let train = found.open(Split::Train).unwrap();
    let names = samples(
        train.as_ref(),
        &folder.path().join("VOCdevkit/VOC2012/JPEGImages"),
    );
    assert_eq!(
        names,
        [("b.png".to_owned(), None), ("a.png".to_owned(), None)]
    );
    assert_eq!(
        (
            train.mask_classes().len(),
            train.mask_classes()[15].as_str()
        ),
        (21, "person")
    );
    assert_eq!(mask_of(train.as_ref(), 0), [0, 15, 255, 0, 20, 0]);
    let message = found
        .open(Split::Val)
        .unwrap()
        .read(0)
        .unwrap_err()
        .reason();
    assert!(
        message.contains("looked for SegmentationClass/c.png"),
        "{message}"
    );
    // Masks in VOC's colors are read by its color map.
    let voc = MaskPalette::voc();
    let colors = [0, 15, 255, 0, 20, 0].map(|value| voc.color(value));
    let place = folder.path().join("VOCdevkit/VOC2012/SegmentationClass");
    for name in ["a.png", "b.png"] {
        fs::write(place.join(name), rgb(colors)).unwrap();
    }
    let dataset = FoundDataset::at(folder.path())
        .unwrap()
        .open(Split::Train)
        .unwrap();
    assert_eq!(mask_of(dataset.as_ref(), 0), [0, 15, 255, 0, 20, 0]);
}

// orientation-6.jpg is stored in 17x23 or 23x17 pixels and turned by a quarter.
#[test]
fn a_mask_is_turned_with_its_photo() {
    let jpeg = golden_bytes("orientation-6.jpg");
    let upright = cnn_data::decode(&jpeg).unwrap();
    let height = upright.height();
    let width = upright.width();
    assert_ne!(height, width);
    let values = |at: usize| (at % 7) as u8;
    let stored = Mask::new(width, height, (0..height * width).map(values).collect()).unwrap();
    let turned: Vec<u8> = (0..height * width)
        .map(|at| {
            let row = at / width;
            let column = at % width;
            // A quarter clockwise: the first row becomes the last column.
            stored.bytes()[(width - 1 - column) * height + row]
        })
        .collect();
    let right = Mask::new(height, width, turned.clone()).unwrap();
    let palette = MaskPalette::distinct();
    let files: Files<'_> = &[
        ("images/1.jpg", &jpeg),
        ("masks/1.png", &stored.to_png(&palette).unwrap()),
        ("images/2.jpg", &jpeg),
        ("masks/2.png", &right.to_png(&palette).unwrap()),
    ];
    let folder = folder_with(files);
    let dataset = FoundDataset::at(folder.path()).unwrap().open(None).unwrap();
    for index in 0..2 {
        assert_eq!(mask_of(dataset.as_ref(), index), turned, "{index}");
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_no_text_are_paired_by_their_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    for (place, bytes) in [("images", photo()), ("masks", grey([0, 1, 2, 0, 1, 2]))] {
        fs::create_dir(folder.path().join(place)).unwrap();
        for name in [&b"\xff.png"[..], b"\xfe.png"] {
            let file = folder.path().join(place).join(OsStr::from_bytes(name));
            fs::write(file, &bytes).unwrap();
        }
    }
    let dataset = FoundDataset::at(folder.path()).unwrap().open(None).unwrap();
    assert_eq!(dataset.len(), 2);
    assert_eq!(mask_of(dataset.as_ref(), 0), [0, 1, 2, 0, 1, 2]);
}

//! Masks in files: what their values mean.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;

use cnn_data::{FoundDataset, Image, Mask, MaskClasses, MaskPalette};
use common::mask_files::{HEIGHT, WIDTH, folder_of, grey, mask_of, palette, photo, rgb};
use common::{Files, folder_with, golden};

#[test]
fn the_numbers_of_every_depth_are_pillows() {
    let names = [
        "grey-1",
        "grey-2",
        "grey-4",
        "grey-8",
        "grey-16",
        "palette-1",
        "palette-2",
        "palette-4",
        "palette-8",
    ];
    for name in names {
        let text = fs::read_to_string(golden(&format!("masks/{name}.txt"))).unwrap();
        let expected: Vec<u8> = text
            .split_ascii_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        let photo = Image::from_pixels(5, 11, 1, vec![9; 55])
            .unwrap()
            .to_png()
            .unwrap();
        let mask = fs::read(golden(&format!("masks/{name}.png"))).unwrap();
        let folder = folder_with(&[("images/1.png", &photo), ("masks/1.png", &mask)]);
        let dataset = FoundDataset::at(folder.path()).unwrap().open(None).unwrap();
        assert_eq!(mask_of(dataset.as_ref(), 0), expected, "{name}");
    }
}

#[test]
fn two_values_are_background_and_foreground() {
    let masks = grey([0, 255, 255, 0, 0, 255]);
    let files: [(&str, &[u8]); 2] = [("image/1.png", &photo()), ("label/1.png", &masks)];
    let folder = folder_with(&files);
    let at = || FoundDataset::at(folder.path()).unwrap();
    let found = at();
    assert!(found.notes()[0].starts_with("0 and 255 are the only values in all 1 masks"));
    let dataset = found.open(None).unwrap();
    assert_eq!(dataset.mask_classes(), ["background", "foreground"]);
    assert_eq!(mask_of(dataset.as_ref(), 0), [0, 1, 1, 0, 0, 1]);
    let named = at()
        .with_mask_classes(MaskClasses::of_names(&["cell", "membrane"]).unwrap())
        .unwrap();
    assert_eq!(
        named.open(None).unwrap().mask_classes(),
        ["cell", "membrane"]
    );
    let ignored = at().with_ignored(255).unwrap();
    let dataset = ignored.open(None).unwrap();
    assert_eq!(dataset.mask_classes(), ["class 0"]);
    assert_eq!(mask_of(dataset.as_ref(), 0), [0, 255, 255, 0, 0, 255]);
    // A third value makes 255 what is unknown.
    fs::write(folder.path().join("image/2.png"), photo()).unwrap();
    fs::write(folder.path().join("label/2.png"), grey([0, 1, 0, 0, 0, 0])).unwrap();
    let dataset = at().open(None).unwrap();
    assert_eq!(mask_of(dataset.as_ref(), 0), [0, 255, 255, 0, 0, 255]);
}

#[test]
fn classes_come_from_files_or_from_the_caller() {
    const SKY: [u8; 3] = [128, 128, 128];
    const VOID: [u8; 3] = [0, 0, 0];
    const CAR: [u8; 3] = [64, 0, 128];
    let colored = rgb([SKY, VOID, CAR, CAR, SKY, SKY]);
    let indexed = palette([0, 1, 2, 2, 0, 0]);
    let expected = [0, 255, 1, 1, 0, 0];
    let cases: [(&str, &[u8], &[u8]); 6] = [
        (
            "class_dict.csv",
            b"name,r,g,b\nSky,128,128,128\nVoid,0,0,0\nCar,64,0,128\n",
            &colored,
        ),
        (
            "masks/label_colors.txt",
            b"128 128 128 Sky\n0 0 0 Void\n64 0 128 Car\n",
            &colored,
        ),
        (
            "labelmap.txt",
            b"# x\nSky:128,128,128::\nVoid:0,0,0::\nCar:64,0,128::\n",
            &colored,
        ),
        (
            "class_dict.csv",
            b"name,r,g,b\nSky,128,128,128\nVoid,0,0,0\nCar,64,0,128\n",
            &indexed,
        ),
        ("codes.txt", b"Sky\nVoid\nCar\n", &indexed),
        ("classes.txt", b"0 Sky\n1 unlabeled\n2 Car\n", &indexed),
    ];
    for (name, text, mask) in cases {
        let files: Files<'_> = &[
            ("images/1.png", &photo()),
            ("masks/1.png", mask),
            (name, text),
        ];
        let folder = folder_with(files);
        let found = FoundDataset::at(folder.path()).unwrap();
        let dataset = found.open(None).unwrap();
        assert_eq!(dataset.mask_classes(), ["Sky", "Car"], "{name}");
        assert_eq!(mask_of(dataset.as_ref(), 0), expected, "{name}");
        assert!(found.notes().join("\n").contains("are ignored"), "{name}");
    }
    let files: Files<'_> = &[("images/1.png", &photo()), ("masks/1.png", &colored)];
    let folder = folder_with(files);
    let at = || FoundDataset::at(folder.path()).unwrap();
    let message = at().open(None).err().unwrap().to_string();
    assert!(
        message.contains("it holds colors, and no file says which classes they stand for"),
        "{message}"
    );
    let table = MaskClasses::parse(b"name,r,g,b\nSky,128,128,128\nCar,64,0,128\n").unwrap();
    let message = at()
        .with_mask_classes(table)
        .unwrap()
        .open(None)
        .unwrap()
        .read(0);
    let message = message.unwrap_err().reason();
    assert!(
        message.contains(
            "pixel (1, 0) of the mask is the color [0, 0, 0], expected one of the 2 colors"
        ),
        "{message}"
    );
}

#[test]
fn an_ignored_number_and_names_change_the_numbers_behind_it() {
    let folder = folder_of(&["images/1-photo.png", "masks/1.png"]);
    let at = || FoundDataset::at(folder.path()).unwrap();
    let names = MaskClasses::of_names(&["road", "car", "sky"]).unwrap();
    let cases = [
        (
            at(),
            &["class 0", "class 1", "class 2"][..],
            [0, 1, 2, 2, 1, 255],
        ),
        (
            at().with_ignored(2).unwrap(),
            &["class 0", "class 1"],
            [0, 1, 255, 255, 1, 255],
        ),
        (
            at().with_ignored(0).unwrap(),
            &["class 1", "class 2"],
            [255, 0, 1, 1, 0, 255],
        ),
        (
            at().with_mask_classes(names.clone()).unwrap(),
            &["road", "car", "sky"],
            [0, 1, 2, 2, 1, 255],
        ),
        (
            at().with_mask_classes(names)
                .unwrap()
                .with_ignored(1)
                .unwrap(),
            &["road", "sky"],
            [0, 255, 1, 1, 255, 255],
        ),
    ];
    for (found, classes, mask) in cases {
        let dataset = found.open(None).unwrap();
        assert_eq!(dataset.mask_classes(), classes);
        assert_eq!(mask_of(dataset.as_ref(), 0), mask);
    }
    let folder = folder_of(&["cats/1-photo.png", "dogs/2-photo.png"]);
    let message = FoundDataset::at(folder.path()).unwrap().with_ignored(1);
    let message = message.err().unwrap().to_string();
    assert!(
        message.contains("expected a dataset of photos and masks"),
        "{message}"
    );
}

#[test]
fn grey_values_may_be_the_colors_of_classes() {
    let mask = grey([255, 0, 255, 0, 0, 0]);
    let files: Files<'_> = &[
        ("images/1.png", &photo()),
        ("masks/1.png", &mask),
        (
            "class_dict.csv",
            b"name,r,g,b\nroad,255,255,255\nrest,0,0,0\n",
        ),
    ];
    let dataset = folder_with(files);
    let dataset = FoundDataset::at(dataset.path())
        .unwrap()
        .open(None)
        .unwrap();
    assert_eq!(dataset.mask_classes(), ["road", "rest"]);
    assert_eq!(mask_of(dataset.as_ref(), 0), [0, 1, 0, 1, 1, 1]);
}

#[test]
fn masks_are_written_as_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let mask = Mask::new(HEIGHT, WIDTH, vec![0, 1, 2, 200, 254, 255]).unwrap();
    fs::create_dir_all(folder.path().join("images")).unwrap();
    fs::create_dir_all(folder.path().join("masks")).unwrap();
    fs::write(folder.path().join("images/1.png"), photo()).unwrap();
    let path = folder.path().join("masks/1.png");
    mask.write_png(&path, &MaskPalette::distinct()).unwrap();
    let dataset = FoundDataset::at(folder.path()).unwrap().open(None).unwrap();
    assert_eq!(dataset.read(0).unwrap().mask.unwrap(), mask);
    // Other programs see its colors.
    let shown = cnn_data::open_image(&path).unwrap();
    assert_eq!(shown, mask.to_image(&MaskPalette::distinct()).unwrap());
    assert!(mask.write_png(Path::new("/"), &MaskPalette::voc()).is_err());
}

//! Boxes written as VOC, COCO and YOLO, and read again.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cnn_core::{Key, Rng};
use cnn_data::{
    AnnotatedObject, BoxFormat, Content, Dataset, Error, Exported, FoundDataset, Image, Sample,
    Split, Subset, export_boxes,
};
use common::box_files::Boxes;
use common::shared;
use tempfile::TempDir;

type Part = (Option<Split>, Arc<dyn Dataset>);

fn export(parts: &[Part], format: BoxFormat) -> (FoundDataset, Exported, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let exported = export_boxes(parts, format, folder.path()).unwrap();
    let found = FoundDataset::at(folder.path()).unwrap();
    assert_eq!(found.format().to_string(), format.to_string());
    (found, exported, folder)
}

fn parts_of(found: &FoundDataset) -> Vec<Part> {
    let splits = found.splits();
    if splits.is_empty() {
        return vec![(None, found.open(None).unwrap())];
    }
    let open = |split: Split| (Some(split), found.open(split).unwrap());
    splits.into_iter().map(open).collect()
}

/// The objects of all samples.
fn objects(dataset: &dyn Dataset) -> Vec<Vec<AnnotatedObject>> {
    let samples = 0..dataset.len();
    samples
        .map(|index| dataset.objects(index).unwrap())
        .collect()
}

/// The same, of which only places, classes and what is ignored is compared.
fn plain(objects: Vec<Vec<AnnotatedObject>>) -> Vec<Vec<(usize, [f64; 4], bool)>> {
    let one = |object: AnnotatedObject| (object.class, object.xywh, object.is_plain());
    let of_sample = |objects: Vec<AnnotatedObject>| objects.into_iter().map(one).collect();
    objects.into_iter().map(of_sample).collect()
}

#[derive(Clone, Copy, Debug)]
enum Digits {
    Whole,
    Hundredths,
    All,
}

fn drawn(digits: Digits, rng: &mut Rng, most: f64) -> f64 {
    let value = rng.uniform() * most;
    match digits {
        Digits::Whole => value.floor(),
        Digits::Hundredths => (value * 100.0).floor() / 100.0,
        Digits::All => value,
    }
}

fn random(digits: Digits, seed: u64) -> Arc<dyn Dataset> {
    let mut rng = Key::new(seed).stream("boxes").rng();
    let mut samples = Vec::new();
    for _ in 0..9 {
        let [height, width] = [1 + rng.below(60), 1 + rng.below(90)].map(|side| side as usize);
        let mut objects = Vec::new();
        for _ in 0..rng.below(5) {
            let [x, y] = [width, height].map(|side| drawn(digits, &mut rng, side as f64));
            let across = drawn(digits, &mut rng, width as f64 - x).max(0.5_f64.max(1.0 - x % 1.0));
            let down = drawn(digits, &mut rng, height as f64 - y).max(1.0);
            let across = across.min(width as f64 - x);
            let down = down.min(height as f64 - y);
            if across > 0.0 && down > 0.0 {
                objects.push(AnnotatedObject::new(
                    [x, y, across, down],
                    rng.below(3) as usize,
                ));
            }
        }
        samples.push(([height, width], objects));
    }
    Arc::new(Boxes::new(&["a", "b <&> b", "no: \"quotes\" #"], samples))
}

#[test]
fn places_come_back_to_the_last_digit() {
    for digits in [Digits::Whole, Digits::Hundredths, Digits::All] {
        for seed in 0..2 {
            let dataset = random(digits, seed);
            let expected = plain(objects(dataset.as_ref()));
            for split in [None, Some(Split::Train)] {
                let parts = [(split, dataset.clone())];
                let (coco, _, _folder) = export(&parts, BoxFormat::Coco);
                let read = coco.open(split).unwrap();
                assert_eq!(plain(objects(read.as_ref())), expected);
                assert_eq!(read.classes(), dataset.classes());

                let (voc, exported, _folder) = export(&parts_of(&coco), BoxFormat::Voc);
                assert!(exported.skipped.is_empty());
                let of_voc = voc.open(split).unwrap();
                assert_eq!(of_voc.classes(), dataset.classes());
                // Edges have no room for the last bits of a small width.
                let is_whole = matches!(digits, Digits::Whole);
                let most = if is_whole { 0.0 } else { 1e-13 };
                assert_near(of_voc.as_ref(), &expected, most);

                let (again, _, _folder) = export(&parts_of(&voc), BoxFormat::Coco);
                let (again, _, _folder) = export(&parts_of(&again), BoxFormat::Voc);
                let again = again.open(split).unwrap();
                assert_eq!(objects(again.as_ref()), objects(of_voc.as_ref()));

                let (yolo, _, _folder) = export(&parts_of(&voc), BoxFormat::Yolo);
                let yolo = yolo.open(split).unwrap();
                assert_eq!(yolo.classes(), dataset.classes());
                assert_near(yolo.as_ref(), &expected, 1e-11);
            }
        }
    }
}

fn assert_near(dataset: &dyn Dataset, expected: &[Vec<(usize, [f64; 4], bool)>], most: f64) {
    let found = plain(objects(dataset));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len(), "{found:?} {expected:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!((found.0, found.2), (expected.0, expected.2));
            let far = found.1.iter().zip(expected.1).map(|(a, b)| (a - b).abs());
            let far = far.fold(0.0, f64::max);
            assert!(far <= most, "{found:?} {expected:?}");
        }
    }
}

fn flagged() -> Arc<dyn Dataset> {
    let object = |x: f64| AnnotatedObject::new([x, 2.0, 3.0, 4.0], 0);
    let objects = vec![
        object(0.0).with_crowd(true).with_area(5.0),
        object(1.0).with_difficult(true),
        object(2.0).with_area(6.5),
        AnnotatedObject::new([-2.0, 3.0, 5.0, 4.0], 1),
    ];
    Arc::new(Boxes::new(
        &["a", "b"],
        vec![([20, 30], objects), ([5, 6], Vec::new())],
    ))
}

#[test]
fn what_a_format_has_no_place_for_is_told() {
    let parts = [(None, flagged())];
    let flags = |dataset: &dyn Dataset| -> Vec<[bool; 2]> {
        let objects = dataset.objects(0).unwrap().into_iter();
        objects
            .map(|object| [object.is_crowd, object.is_difficult])
            .collect()
    };
    let (voc, exported, _folder) = export(&parts, BoxFormat::Voc);
    assert_eq!((exported.images, exported.objects), (2, 4));
    let expected = [
        "1 crowds are written as difficult objects, as VOC has no crowds",
        "2 areas are lost: they are not width by height, and the format has no place for them",
        "2 photos are called otherwise, as their names recur or are no names of image files",
    ];
    assert_eq!(exported.notes, expected);
    let voc = voc.open(None).unwrap();
    let plain = [false, false];
    assert_eq!(
        flags(voc.as_ref()),
        [[false, true], [false, true], plain, plain]
    );
    assert_eq!(voc.objects(0).unwrap()[3].xywh, [-2.0, 3.0, 5.0, 4.0]);
    assert!(voc.read(1).unwrap().boxes.is_empty());

    let (coco, exported, _folder) = export(&parts, BoxFormat::Coco);
    assert_eq!(
        exported.notes[0],
        "1 difficult objects are written as crowds, as COCO has no difficult ones"
    );
    let coco = coco.open(None).unwrap();
    assert_eq!(
        flags(coco.as_ref()),
        [[true, false], [true, false], plain, plain]
    );
    let areas: Vec<f64> = coco
        .objects(0)
        .unwrap()
        .iter()
        .map(|object| object.area)
        .collect();
    assert_eq!(areas, [5.0, 12.0, 6.5, 20.0]);

    let (yolo, exported, folder) = export(&parts, BoxFormat::Yolo);
    assert_eq!((exported.images, exported.objects), (2, 2));
    assert_eq!(exported.notes.len(), 5, "{:?}", exported.notes);
    assert_eq!(
        exported.notes[0],
        "1 crowds are left out, as YOLO has no place for them"
    );
    assert!(
        exported.notes[3].starts_with("1 boxes are cut at the edges"),
        "{:?}",
        exported.notes
    );
    let found = plain_edges(yolo.open(None).unwrap().as_ref());
    assert_eq!(found, [[2.0, 2.0, 5.0, 6.0], [0.0, 3.0, 3.0, 7.0]]);
    // A photo without objects has a file, so nothing has to be said.
    assert!(
        !yolo.notes().join("\n").contains("no file of boxes"),
        "{:?}",
        yolo.notes()
    );
    assert_eq!(
        fs::read_dir(folder.path().join("labels")).unwrap().count(),
        2
    );
}

fn plain_edges(dataset: &dyn Dataset) -> Vec<[f64; 4]> {
    let objects = dataset.objects(0).unwrap();
    let rounded = |edge: f64| (edge * 1e9).round() / 1e9;
    objects
        .iter()
        .map(|object| object.edges().map(rounded))
        .collect()
}

#[test]
fn photos_are_copied_and_those_that_cannot_be_read_left_out() {
    let photo = common::golden_bytes("orientation-6.jpg");
    let upright = cnn_data::decode(&photo).unwrap();
    let whole = format!("0 0.5 0.5 {} 1\n", 2.0 / upright.width() as f64);
    let folder = common::folder_with(&[
        ("images/a b.jpg", &photo),
        ("labels/a b.txt", whole.as_bytes()),
        ("images/c.jpg", b"no photo"),
        ("labels/c.txt", b"0 0.5 0.5 1 1\n"),
        ("images/d.jpg", &photo),
        ("labels/d.txt", b"broken\n"),
    ]);
    let found = FoundDataset::at(folder.path()).unwrap();
    let parts = [(Some(Split::Test), found.open(None).unwrap())];
    for format in BoxFormat::ALL {
        let (again, exported, folder) = export(&parts, format);
        assert_eq!((exported.images, exported.skipped.len()), (1, 2));
        assert!(exported.skipped[0].path.ends_with("c.jpg"));
        assert!(
            exported.skipped[1]
                .reason
                .contains("d.txt: line 1: the class is `broken`")
        );
        let dataset = again.open(Split::Test).unwrap();
        assert!(dataset.id(0).ends_with("a b.jpg"));
        assert_eq!(dataset.content(0).unwrap(), Content::Encoded(photo.clone()));
        let edges = dataset.objects(0).unwrap()[0].edges();
        let middle = upright.width() as f64 / 2.0;
        assert!((edges[0] - middle + 1.0).abs() < 1e-9 && (edges[2] - middle - 1.0).abs() < 1e-9);
        let left = fs::read_dir(folder.path()).unwrap();
        let names = left.map(|entry| entry.unwrap().file_name());
        assert!(
            names
                .into_iter()
                .all(|name| !name.to_string_lossy().starts_with(".tmp"))
        );
    }
}

#[test]
fn splits_keep_their_photos_and_names_that_recur_are_numbered() {
    let png = common::box_files::png(10, 10);
    let folder = common::folder_with(&[
        ("images/train/a.png", &png),
        ("images/val/a.png", &png),
        ("labels/train/a.txt", b"0 0.5 0.5 1 1\n"),
        ("labels/val/a.txt", b"1 0.5 0.5 1 1\n"),
    ]);
    let parts = parts_of(&FoundDataset::at(folder.path()).unwrap());
    for format in BoxFormat::ALL {
        let (again, exported, _folder) = export(&parts, format);
        assert_eq!(again.splits(), [Split::Train, Split::Val]);
        let renamed = exported
            .notes
            .iter()
            .any(|note| note.contains("called otherwise"));
        assert_eq!(renamed, format == BoxFormat::Voc);
        for (class, split) in again.splits().into_iter().enumerate() {
            let dataset = again.open(split).unwrap();
            assert_eq!(dataset.objects(0).unwrap()[0].class, class);
        }
    }
}

fn error(parts: &[Part], format: BoxFormat, folder: &Path) -> String {
    export_boxes(parts, format, folder).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is() {
    let sound: Part = (None, flagged());
    let folder = tempfile::tempdir().unwrap();
    let of_names = |names: &[&str]| -> Part { (None, Arc::new(Boxes::new(names, Vec::new()))) };
    let photos = Image::from_pixels(1, 1, 1, vec![0]).unwrap();
    photos.write_png(&folder.path().join("1.png")).unwrap();
    let photos: Part = (
        None,
        Arc::new(cnn_data::PhotoList::open(&[folder.path()]).unwrap()),
    );
    let new = folder.path().join("new");
    let cases = [
        (vec![], BoxFormat::Voc, "expected at least one split"),
        (
            vec![photos],
            BoxFormat::Voc,
            "one without boxes, in the format photos",
        ),
        (
            vec![sound.clone(), (Some(Split::Val), of_names(&["a"]).1)],
            BoxFormat::Coco,
            "classes that differ",
        ),
        (
            vec![sound.clone(), sound.clone()],
            BoxFormat::Coco,
            "a split that recurs",
        ),
        (
            vec![of_names(&["a\nb"])],
            BoxFormat::Yolo,
            "without line breaks",
        ),
        (vec![of_names(&[" a"])], BoxFormat::Voc, "outer spaces"),
        (
            vec![of_names(&["a", "a"])],
            BoxFormat::Voc,
            "two called `a`",
        ),
    ];
    for (parts, format, expected) in cases {
        let message = error(&parts, format, &new);
        assert!(message.contains(expected), "{message}");
        assert!(!new.exists());
    }
    let message = error(&[sound], BoxFormat::Voc, folder.path());
    assert!(
        message.contains("with 1 entries, expected a new folder, or an empty one"),
        "{message}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn real_photos_go_around() {
    let (Some(bccd), Some(coco)) = (shared("data/bccd"), shared("data/coco128")) else {
        return;
    };
    let few = |dataset: Arc<dyn Dataset>| -> Arc<dyn Dataset> {
        let most = dataset.len().min(12);
        Arc::new(Subset::new(dataset, (0..most).collect()).unwrap())
    };
    let blood = FoundDataset::at(&bccd).unwrap();
    let blood: Vec<Part> = parts_of(&blood)
        .into_iter()
        .map(|(split, dataset)| (split, few(dataset)))
        .collect();
    let (of_coco, exported, _folder) = export(&blood, BoxFormat::Coco);
    assert_eq!((exported.images, exported.notes.len()), (36, 0));
    let (of_voc, _, _other) = export(&parts_of(&of_coco), BoxFormat::Voc);
    let read = parts_of(&of_voc);
    assert_eq!(read.len(), 3);
    for ((split, expected), (found_split, found)) in blood.iter().zip(&read) {
        assert_eq!(split, found_split);
        assert_eq!(expected.classes(), found.classes());
        assert_eq!(objects(found.as_ref()), objects(expected.as_ref()));
    }
    let animals = FoundDataset::at(&coco).unwrap();
    let expected = animals.open(None).unwrap();
    let (again, exported, _folder) = export(&parts_of(&animals), BoxFormat::Coco);
    assert_eq!(
        (exported.images, exported.objects, exported.notes.len()),
        (32, 220, 0)
    );
    let again = again.open(None).unwrap();
    assert_eq!(objects(again.as_ref()), objects(expected.as_ref()));
    for index in 0..32 {
        assert_eq!(again.image_id(index), expected.image_id(index));
    }
    let categories = |dataset: &dyn Dataset| -> Vec<i64> {
        (0..dataset.classes().len())
            .map(|class| dataset.category_id(class))
            .collect()
    };
    assert_eq!(categories(again.as_ref()), categories(expected.as_ref()));
    let (_, exported, _folder) = export(&parts_of(&animals), BoxFormat::Yolo);
    assert_eq!((exported.images, exported.objects), (32, 216));
}

/// A sample whose boxes come from `read` alone.
struct Own;

impl Dataset for Own {
    fn len(&self) -> usize {
        1
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn label(&self, _index: usize) -> Option<usize> {
        None
    }

    fn has_boxes(&self) -> bool {
        true
    }

    fn content(&self, _index: usize) -> Result<Content, Error> {
        Ok(Content::Pixels(Image::from_pixels(4, 5, 1, vec![0; 20])?))
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        let found = |edges| cnn_data::BoundingBox::new(edges, 0);
        Ok(Sample::new(self.content(index)?.into_image()?, None)
            .with_boxes(vec![found([1.0, 1.0, 3.0, 2.0])])
            .with_ignored(vec![found([0.0, 0.0, 2.0, 2.0])]))
    }
}

#[test]
fn a_dataset_of_ones_own_has_objects_by_its_boxes() {
    let objects = Own.objects(0).unwrap();
    assert_eq!(objects[0], AnnotatedObject::new([1.0, 1.0, 2.0, 1.0], 0));
    assert_eq!(
        objects[1],
        AnnotatedObject::new([0.0, 0.0, 2.0, 2.0], 0).with_crowd(true)
    );
    assert_eq!((Own.image_id(6), Own.category_id(0)), (7, 1));
}

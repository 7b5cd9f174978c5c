//! Boxes and masks on their way from a sample to a batch, held against pixels: the image itself
//! shows where its objects went.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cnn_core::{CropMode, Interpolation, Key, Preprocessing, Rng};
use cnn_data::{
    Affine, Augmentation, Batch, BatchMix, BatchPlan, BoundingBox, Content, CutMix, Dataset, Error,
    Image, Mask, RandomAffine, RandomCrop, RandomHorizontalFlip, RandomResizedCrop,
    RandomVerticalFlip, Resize, Sample, Shapes, ShapesConfig, Transform, preprocess,
};

/// Input of 21 rows and 34 columns; values are grey bytes again.
fn record(crop_mode: CropMode, crop_pct: f64) -> Preprocessing {
    Preprocessing {
        input_size: [1, 21, 34],
        interpolation: Interpolation::Nearest,
        crop_pct,
        crop_mode,
        mean: vec![0.0],
        std: vec![1.0 / 255.0],
        ..Preprocessing::default()
    }
}

fn records() -> Vec<Preprocessing> {
    [CropMode::Center, CropMode::Squash, CropMode::Border]
        .into_iter()
        .flat_map(|crop_mode| [1.0, 0.8].map(|crop_pct| record(crop_mode, crop_pct)))
        .collect()
}

/// Objects of classes 0 to 2 that do not touch. The grey value of a pixel is 10 times its mask's
/// value, which is 1 + the class, or 0.
fn sample(height: usize, width: usize, rng: &mut Rng) -> Sample {
    let mut classes = vec![0u8; height * width];
    let mut boxes = Vec::new();
    let band = height / 3;
    for class in 0..3 {
        let rows = 3 + rng.below((band - 4) as u64) as usize;
        let columns = 3 + rng.below((width / 2) as u64) as usize;
        let top = class * band + rng.below((band - rows) as u64) as usize;
        let left = rng.below((width - columns) as u64) as usize;
        for row in top..top + rows {
            classes[row * width + left..][..columns].fill(class as u8 + 1);
        }
        let edges = [left, top, left + columns, top + rows].map(|edge| edge as f32);
        boxes.push(BoundingBox::new(edges, class));
    }
    let grey = classes.iter().map(|class| class * 10).collect();
    Sample::new(Image::from_pixels(height, width, 1, grey).unwrap(), Some(1))
        .with_boxes(boxes)
        .with_mask(Mask::new(height, width, classes).unwrap())
        .unwrap()
}

fn bytes_of(tensor: &candle_core::Tensor) -> Vec<u8> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The grey bytes of the images of a batch.
fn grey_of(batch: &Batch) -> Vec<u8> {
    let values: Vec<f32> = batch.images.flatten_all().unwrap().to_vec1().unwrap();
    values.iter().map(|value| value.round() as u8).collect()
}

/// Left, top, right and bottom edge of the pixels of one value in an image of 34 columns.
fn extent(pixels: &[u8], value: u8) -> Option<[f32; 4]> {
    let mut found: Option<[usize; 4]> = None;
    for (index, _) in pixels.iter().enumerate().filter(|(_, at)| **at == value) {
        let x = index % 34;
        let y = index / 34;
        let [left, top, right, bottom] = found.unwrap_or([x, y, x, y]);
        found = Some([left.min(x), top.min(y), right.max(x), bottom.max(y)]);
    }
    found.map(|[left, top, right, bottom]| [left, top, right + 1, bottom + 1].map(|at| at as f32))
}

fn far(found: [f32; 4], expected: [f32; 4]) -> f32 {
    let distances = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    distances.fold(0.0, f32::max)
}

const SIZES: [[usize; 2]; 5] = [[40, 90], [90, 40], [21, 34], [15, 20], [64, 64]];

#[test]
fn boxes_and_masks_lie_where_the_input_shows_their_objects() {
    let mut cut = 0;
    for record in records() {
        for seed in 0..40 {
            let [height, width] = SIZES[seed % SIZES.len()];
            let sample = sample(height, width, &mut Key::new(seed as u64).rng());
            let case = format!("{height}x{width} {record:?} seed {seed}");
            let batch = Batch::of_samples(vec![sample.clone()], &record).unwrap();
            let pixels = grey_of(&batch);
            let mask = bytes_of(batch.masks.as_ref().unwrap());
            // With the nearest pixel the image is the same function of the mask as before; what was
            // filled is black.
            let expected = mask.iter().map(|&class| match class {
                Mask::IGNORE => 0,
                class => class * 10,
            });
            assert!(expected.eq(pixels.iter().copied()), "{case}");
            for whole in &sample.boxes {
                let seen = extent(&pixels, (whole.class as u8 + 1) * 10);
                let left = batch.boxes[0].iter().find(|left| left.class == whole.class);
                let Some(left) = left else {
                    // Nearly nothing is to be seen.
                    let seen = seen.unwrap_or_default();
                    let area = (seen[2] - seen[0]) * (seen[3] - seen[1]);
                    let scale = (21.0 / height as f32).max(34.0 / width as f32).max(1.0);
                    assert!(area <= 0.2 * whole.area() * scale * scale + 2.0, "{case}");
                    continue;
                };
                match seen {
                    // Half a pixel to either side is lost or won by taking the nearest one.
                    Some(seen) => assert!(
                        far(left.edges(), seen) <= 0.5 + 1e-4,
                        "{case} {left:?} {seen:?}"
                    ),
                    // A sliver between the centres of two rows or columns has no nearest pixel.
                    None => assert!(left.width().min(left.height()) < 1.0, "{case} {left:?}"),
                }
                let in_photo = batch.origins[0].to_photo(left);
                let is_whole =
                    left.x_min > 0.0 && left.y_min > 0.0 && left.x_max < 34.0 && left.y_max < 21.0;
                if is_whole {
                    assert!(
                        far(in_photo.edges(), whole.edges()) < 1e-3,
                        "{case} {in_photo:?}"
                    );
                } else {
                    cut += 1;
                }
                assert_eq!(in_photo.class, whole.class);
            }
            let origin = batch.origins[0];
            assert_eq!([origin.height(), origin.width()], [height, width]);
        }
    }
    assert!(cut > 50, "only {cut} boxes were cut");
}

/// timm's crop for a photo of 40×90 with `crop_pct` 0.8, worked out by hand: the input is 21×34, so
/// the photo covers ⌊21/0.8⌋×⌊34/0.8⌋ = 26×42. Its sides are 40/26 and 90/42 times that; the
/// smaller one, 1.538…, leads to 26 rows and round(90/1.538…) = 58 (58.5 to even) columns. The
/// centre begins in row 2 (2.5 to even) and column 12.
#[test]
fn a_cut_box_is_what_arithmetic_says() {
    let whole = BoundingBox::new([9.0, 10.0, 45.0, 38.0], 2);
    let outside = BoundingBox {
        x_min: 2.0,
        x_max: 20.0,
        ..whole
    };
    let image = Image::from_pixels(40, 90, 1, vec![0; 3600]).unwrap();
    let sample = Sample::new(image, None).with_boxes(vec![whole, outside]);
    let batch = Batch::of_samples(vec![sample], &record(CropMode::Center, 0.8)).unwrap();
    let [rows, columns] = [26.0 / 40.0, 58.0 / 90.0];
    let expected = [
        0.0,
        10.0 * rows - 2.0,
        45.0 * columns - 12.0,
        21f32.min(38.0 * rows - 2.0),
    ];
    // Of the second box, 11.6 columns wide, 20 · 58/90 − 12 = 0.9 columns are seen: less than a
    // tenth.
    assert_eq!(batch.boxes[0].len(), 1, "{:?}", batch.boxes[0]);
    assert!(far(batch.boxes[0][0].edges(), expected) < 1e-4);
    let back = batch.origins[0].to_photo(&batch.boxes[0][0]);
    let seen_of_it = [12.0 / columns, 10.0, 45.0, 23.0 / rows];
    assert!(far(back.edges(), seen_of_it) < 1e-3, "{back:?}");
}

// A photo of 20 rows and 68 columns, fitted into the input at half its size: 10 rows, of which the
// first is row 5 (the odd one of the 11 that are missing comes last).
#[test]
fn the_filled_border_is_ignored_and_no_box_reaches_into_it() {
    let object = BoundingBox::new([-30.0, -4.0, 10.0, 18.0], 1);
    let sample = Sample::new(Image::from_pixels(20, 68, 1, vec![0; 1360]).unwrap(), None)
        .with_boxes(vec![object])
        .with_mask(Mask::new(20, 68, vec![3; 1360]).unwrap())
        .unwrap();
    let batch = Batch::of_samples(vec![sample], &record(CropMode::Border, 1.0)).unwrap();
    let mask = bytes_of(&batch.masks.unwrap());
    for (row, classes) in mask.chunks(34).enumerate() {
        let expected = if (5..15).contains(&row) {
            3
        } else {
            Mask::IGNORE
        };
        assert!(classes.iter().all(|class| *class == expected), "{row}");
    }
    assert_eq!(batch.boxes[0][0].edges(), [0.0, 5.0, 5.0, 14.0]);
    let beside = BoundingBox::new([4.0, 0.0, 8.0, 7.0], 0);
    let back = batch.origins[0].to_photo(&beside);
    assert_eq!(back.edges(), [8.0, 0.0, 16.0, 4.0]);
}

/// A dataset of one photo.
struct One(Sample, Vec<String>);

impl Dataset for One {
    fn len(&self) -> usize {
        64
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn mask_classes(&self) -> &[String] {
        &self.1
    }

    fn id(&self, index: usize) -> String {
        format!("copy {index}")
    }

    fn label(&self, _: usize) -> Option<usize> {
        self.0.label
    }

    fn content(&self, _: usize) -> Result<Content, Error> {
        Ok(Content::Pixels(self.0.image.clone()))
    }

    fn read(&self, _: usize) -> Result<Sample, Error> {
        Ok(self.0.clone())
    }
}

fn augmentations() -> Vec<Augmentation> {
    let flips = || {
        Augmentation::new()
            .then(RandomHorizontalFlip::new(0.5).unwrap())
            .then(RandomVerticalFlip::new(0.5).unwrap())
    };
    let crop = RandomResizedCrop::new(21, 34).unwrap();
    let nearest = crop.with_interpolation(Interpolation::Nearest);
    let larger = RandomCrop::new(50, 55).unwrap().with_padding(5).unwrap();
    vec![
        // Ends in the input's size, and is only normalised.
        flips().then(nearest.with_scale(0.4, 1.0).unwrap()),
        // Ends in another size, and is resized and cut once more.
        flips().then(larger),
        flips().then(
            Resize::new(31, 44)
                .unwrap()
                .with_interpolation(Interpolation::Nearest),
        ),
    ]
}

#[test]
fn through_augmentation_and_preprocessing_boxes_masks_and_the_way_back_agree_with_the_pixels() {
    let sample = sample(60, 45, &mut Key::new(5).rng());
    let classes = ["ground", "a", "b", "c"].map(str::to_string).to_vec();
    let dataset: Arc<dyn Dataset> = Arc::new(One(sample.clone(), classes));
    let mut compared = 0;
    for (number, augmentation) in augmentations().into_iter().enumerate() {
        let key = Key::new(number as u64).stream("augmentation");
        let plan = BatchPlan::new(dataset.clone(), record(CropMode::Center, 1.0))
            .with_batch_size(64)
            .with_augmentation(Arc::new(augmentation), key);
        let batch = plan.start().unwrap().next().unwrap().unwrap();
        let masks = bytes_of(batch.masks.as_ref().unwrap());
        let pixels = grey_of(&batch);
        let each = pixels.chunks(21 * 34).zip(masks.chunks(21 * 34));
        for (place, (pixels, mask)) in each.enumerate() {
            let case = format!("augmentation {number}, place {place}");
            let black = |class: u8| if class == Mask::IGNORE { 0 } else { class * 10 };
            assert!(
                mask.iter()
                    .map(|&class| black(class))
                    .eq(pixels.iter().copied()),
                "{case}"
            );
            let origin = batch.origins[place];
            assert_eq!([origin.height(), origin.width()], [60, 45], "{case}");
            for found in &batch.boxes[place] {
                let seen = extent(pixels, (found.class as u8 + 1) * 10).unwrap();
                // Two steps of taking the nearest pixel, of which the first one is stretched.
                assert!(far(found.edges(), seen) <= 1.3, "{case} {found:?} {seen:?}");
                let back = origin.to_photo(found);
                let whole = sample.boxes[found.class];
                let inside = whole.x_min - 0.5 <= back.x_min
                    && whole.y_min - 0.5 <= back.y_min
                    && back.x_max <= whole.x_max + 0.5
                    && back.y_max <= whole.y_max + 0.5;
                assert!(inside, "{case} {back:?} {whole:?}");
                // A box that was not cut comes back whole.
                let there = whole.mapped(origin.map());
                if far(there.edges(), found.edges()) < 1e-3 {
                    compared += 1;
                    assert!(far(back.edges(), whole.edges()) < 0.01, "{case} {back:?}");
                }
            }
        }
    }
    assert!(compared > 150, "only {compared} boxes came through whole");
}

#[test]
fn the_way_back_knows_turns_too() {
    let sample = sample(60, 45, &mut Key::new(6).rng());
    let turn = RandomAffine::new(180.0)
        .unwrap()
        .with_scale(0.5, 2.0)
        .unwrap();
    for seed in 0..50 {
        let turned = turn
            .apply(sample.clone(), &mut Key::new(seed).rng())
            .unwrap();
        let batch = Batch::of_samples(vec![turned], &record(CropMode::Squash, 1.0)).unwrap();
        let origin = batch.origins[0];
        for point in [[0.0, 0.0], [45.0, 60.0], [11.0, 7.5]] {
            let there = origin.map().apply(point);
            let [x, y] = origin.map().inverse().apply(there);
            assert!((x - point[0]).abs() < 1e-6 && (y - point[1]).abs() < 1e-6);
        }
        for found in &batch.boxes[0] {
            // The hull of a turned box, turned back, holds the part of the box that was seen.
            let whole = sample.boxes[found.class];
            let [x, y] = [
                (whole.x_min + whole.x_max) / 2.0,
                (whole.y_min + whole.y_max) / 2.0,
            ];
            let [seen_x, seen_y] = origin.map().apply([f64::from(x), f64::from(y)]);
            if !(0.0..34.0).contains(&seen_x) || !(0.0..21.0).contains(&seen_y) {
                continue;
            }
            let back = origin.to_photo(found);
            assert!(
                back.x_min <= x && x <= back.x_max && back.y_min <= y && y <= back.y_max,
                "seed {seed} {back:?} {whole:?}"
            );
        }
    }
}

#[test]
fn the_images_are_those_of_preprocess_to_the_byte() {
    let shapes = Shapes::new(ShapesConfig::default().with_samples(6).with_size(40, 56)).unwrap();
    let record = Preprocessing {
        input_size: [3, 24, 32],
        ..Preprocessing::default()
    };
    let samples: Vec<Sample> = (0..6).map(|index| shapes.read(index).unwrap()).collect();
    let images: Vec<Image> = samples.iter().map(|sample| sample.image.clone()).collect();
    let expected: Vec<f32> = images
        .iter()
        .flat_map(|image| preprocess(image, &record).unwrap().into_values())
        .collect();
    let values = |batch: &Batch| -> Vec<f32> {
        assert_eq!(batch.images.dims(), [6, 24, 32, 3]);
        batch.images.flatten_all().unwrap().to_vec1().unwrap()
    };
    let of_images = Batch::of_images(&images, &record).unwrap();
    assert_eq!(values(&of_images), expected);
    assert!(of_images.masks.is_none() && of_images.boxes.iter().all(Vec::is_empty));
    assert_eq!(
        (of_images.labels, of_images.indices),
        (vec![None; 6], (0..6).collect())
    );

    let of_samples = Batch::of_samples(samples, &record).unwrap();
    assert_eq!(values(&of_samples), expected);
    let read = BatchPlan::new(Arc::new(shapes), record.clone())
        .start()
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(values(&read), expected);
    assert_eq!(
        (&read.boxes, &read.origins),
        (&of_samples.boxes, &of_samples.origins)
    );
    assert_eq!(
        (&read.origins, &read.labels),
        (&of_images.origins, &of_samples.labels)
    );
    assert_eq!(
        bytes_of(&read.masks.unwrap()),
        bytes_of(&of_samples.masks.unwrap())
    );

    assert_eq!(
        Batch::of_images(&[], &record).unwrap().images.dims(),
        [0, 24, 32, 3]
    );
    let unusable = Preprocessing {
        crop_pct: 2.0,
        ..record
    };
    assert!(Batch::of_images(&[], &unusable).is_err());
}

#[test]
fn an_image_without_a_mask_is_ignored_beside_others() {
    let record = record(CropMode::Squash, 1.0);
    let with = sample(40, 30, &mut Key::new(1).rng());
    let mut without = with.clone();
    without.mask = None;
    let masks = |samples: Vec<Sample>| Batch::of_samples(samples, &record).unwrap().masks;
    assert!(masks(vec![without.clone(), without.clone()]).is_none());
    let mixed = masks(vec![with.clone(), without.clone()]).unwrap();
    assert_eq!(mixed.dims(), [2, 21, 34]);
    let seen = bytes_of(&mixed.get(0).unwrap());
    let ignored = bytes_of(&mixed.get(1).unwrap());
    assert!(seen.iter().all(|class| *class < 4) && seen.iter().any(|class| *class > 0));
    assert!(ignored.iter().all(|class| *class == Mask::IGNORE));

    // A dataset that names classes of masks has masks in every batch.
    let names = vec!["ground".to_string()];
    for (names, expected) in [(names, Some(Mask::IGNORE)), (Vec::new(), None)] {
        let dataset = Arc::new(One(without.clone(), names));
        let plan = BatchPlan::new(dataset, record.clone()).with_batch_size(2);
        let batch = plan.start().unwrap().next().unwrap().unwrap();
        assert_eq!(batch.masks.map(|masks| bytes_of(&masks)[0]), expected);
    }

    let mut broken = with;
    broken.mask = Some(Mask::new(2, 2, vec![0; 4]).unwrap());
    let message = Batch::of_samples(vec![broken], &record)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "`mask`: found 2x2, expected the image's size, 40x30"
    );
}

#[test]
fn mixing_leaves_boxes_and_masks_as_labels_are() {
    let sample = sample(40, 30, &mut Key::new(2).rng());
    let plan = |mix: Option<BatchMix>| {
        let dataset = Arc::new(One(sample.clone(), Vec::new()));
        let plan = BatchPlan::new(dataset, record(CropMode::Squash, 1.0)).with_batch_size(8);
        let plan = match mix {
            Some(mix) => plan.with_mix(mix, Key::new(0)),
            None => plan,
        };
        plan.start().unwrap().next().unwrap().unwrap()
    };
    let plain = plan(None);
    let mixed = plan(Some(BatchMix::cutmix(CutMix::new(1.0).unwrap())));
    assert!(mixed.mixing.is_some());
    assert_eq!((&plain.boxes, &plain.labels), (&mixed.boxes, &mixed.labels));
    assert_eq!(
        bytes_of(&plain.masks.unwrap()),
        bytes_of(&mixed.masks.unwrap())
    );
}

/// Counts how many samples were read.
struct Counted(One, AtomicUsize);

impl Dataset for Counted {
    fn len(&self) -> usize {
        10_000
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn id(&self, index: usize) -> String {
        self.0.id(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.0.label(index)
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        self.0.content(index)
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(index)
    }
}

#[test]
fn no_more_than_two_batches_are_read_ahead() {
    let sample = sample(40, 30, &mut Key::new(3).rng());
    let dataset = Arc::new(Counted(One(sample, Vec::new()), AtomicUsize::new(0)));
    let mut batches = BatchPlan::new(dataset.clone(), record(CropMode::Squash, 1.0))
        .with_batch_size(4)
        .start()
        .unwrap();
    for taken in 1..4 {
        batches.next().unwrap().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let read = dataset.1.load(Ordering::Relaxed);
        assert!(
            read <= 4 * (taken + 2),
            "{read} samples for {taken} batches"
        );
    }
}

/// Exchanges rows and columns: a geometric transform of one's own.
#[derive(Debug)]
struct Transpose;

impl Transform for Transpose {
    fn apply(&self, sample: Sample, _: &mut Rng) -> Result<Sample, Error> {
        let transpose = |image: Image| {
            let [height, width] = [image.height(), image.width()];
            let bytes =
                (0..height * width).map(|at| image.bytes()[at % height * width + at / height]);
            Image::from_pixels(width, height, 1, bytes.collect())
        };
        let map = Affine::new([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])?;
        sample.transformed(&map, transpose, transpose)
    }
}

#[test]
fn a_transform_of_ones_own_moves_everything_by_one_map() {
    let sample = sample(40, 30, &mut Key::new(4).rng());
    let once = Transpose
        .apply(sample.clone(), &mut Key::new(0).rng())
        .unwrap();
    assert_eq!([once.image.height(), once.image.width()], [30, 40]);
    assert_eq!(once.boxes[0].x_min, sample.boxes[0].y_min);
    assert_eq!(once.origin.to_photo(&once.boxes[1]), sample.boxes[1]);
    let grey = once
        .mask
        .as_ref()
        .unwrap()
        .bytes()
        .iter()
        .map(|class| class * 10);
    assert!(grey.eq(once.image.bytes().iter().copied()));
    assert_eq!(
        Transpose.apply(once, &mut Key::new(0).rng()).unwrap(),
        sample
    );
}

#[test]
fn ignored_regions_follow_the_photo_as_boxes_do() {
    let photo = Image::from_pixels(40, 80, 3, vec![90; 40 * 80 * 3]).unwrap();
    let region = BoundingBox::new([10.0, 20.0, 50.0, 30.0], 7);
    let sample = Sample::new(photo, None)
        .with_boxes(vec![region])
        .with_ignored(vec![region]);
    let record = Preprocessing {
        input_size: [3, 20, 20],
        crop_pct: 1.0,
        ..Preprocessing::default()
    };
    let flip = Affine::new([[-1.0, 0.0, 80.0], [0.0, 1.0, 0.0]]).unwrap();
    let flipped = sample.clone().transformed(&flip, Ok, Ok).unwrap();
    assert_eq!(flipped.ignored[0].edges(), [30.0, 20.0, 70.0, 30.0]);
    let batch = Batch::of_samples(vec![sample, flipped], &record).unwrap();
    assert_eq!(batch.ignored[0][0].edges(), [0.0, 10.0, 15.0, 15.0]);
    assert_eq!(batch.ignored, batch.boxes);
}

//! What holds for every transform: boxes and masks stay with the image, and nothing but the
//! generator decides.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::HashSet;

use cnn_core::{Interpolation, Key, Rng};
use cnn_data::{
    Augmentation, BatchMix, BoundingBox, ColorJitter, CutMix, EraseFill, Error, Image, Mask, Mixup,
    RandomAffine, RandomCrop, RandomErasing, RandomHorizontalFlip, RandomResizedCrop,
    RandomRotation, RandomVerticalFlip, Resize, Sample, Transform,
};
use common::extent;

const SIZES: [(usize, usize, usize); 4] = [(37, 52, 3), (52, 37, 1), (30, 30, 3), (61, 24, 1)];
const GROUND: u8 = 10;
const OBJECTS: usize = 3;

fn rng(seed: u64) -> Rng {
    Key::new(seed).stream("augment").rng()
}

fn geometric() -> Vec<(&'static str, Box<dyn Transform>)> {
    let affine = RandomAffine::new(25.0)
        .unwrap()
        .with_translation(0.2, 0.1)
        .unwrap();
    let affine = affine
        .with_scale(0.7, 1.4)
        .unwrap()
        .with_shear(10.0, 6.0)
        .unwrap()
        .with_fill([GROUND; 3]);
    vec![
        (
            "horizontal flip",
            Box::new(RandomHorizontalFlip::new(0.5).unwrap()),
        ),
        (
            "vertical flip",
            Box::new(RandomVerticalFlip::new(0.5).unwrap()),
        ),
        (
            "rotation",
            Box::new(RandomRotation::new(180.0).unwrap().with_fill([GROUND; 3])),
        ),
        ("affine", Box::new(affine)),
        (
            "crop",
            Box::new(
                RandomCrop::new(29, 35)
                    .unwrap()
                    .with_padding(6)
                    .unwrap()
                    .with_fill([GROUND; 3]),
            ),
        ),
        (
            "resized crop",
            Box::new(
                RandomResizedCrop::new(40, 48)
                    .unwrap()
                    .with_scale(0.3, 1.0)
                    .unwrap(),
            ),
        ),
        ("resize", Box::new(Resize::new(64, 33).unwrap())),
    ]
}

fn photometric() -> Vec<(&'static str, Box<dyn Transform>)> {
    let erasing = RandomErasing::new(0.7).unwrap();
    vec![
        (
            "jitter",
            Box::new(ColorJitter::new(0.4, 0.4, 0.4, 0.1).unwrap()),
        ),
        (
            "erasing",
            Box::new(erasing.clone().with_fill(EraseFill::Color([90, 0, 0]))),
        ),
        ("noise", Box::new(erasing.with_fill(EraseFill::Noise))),
    ]
}

/// The grey value of class `class`, far from all others.
fn shade(class: usize) -> u8 {
    GROUND + 80 * class as u8
}

/// An image that is a function of its mask: up to three rectangles that touch nothing, of classes 1
/// to 3, each with its box.
fn scene(height: usize, width: usize, channels: usize, rng: &mut Rng) -> Sample {
    let mut mask = vec![0u8; height * width];
    let mut boxes = Vec::new();
    let band = height / OBJECTS;
    for class in 1..=OBJECTS {
        let rows = 4 + rng.below((band - 5) as u64) as usize;
        let columns = 5 + rng.below((width / 2) as u64) as usize;
        let top = (class - 1) * band + rng.below((band - rows) as u64) as usize;
        let left = rng.below((width - columns + 1) as u64) as usize;
        for row in top..top + rows {
            mask[row * width + left..][..columns].fill(class as u8);
        }
        let edges = [left, top, left + columns, top + rows].map(|edge| edge as f32);
        boxes.push(BoundingBox::new(edges, class));
    }
    let bytes = mask
        .iter()
        .flat_map(|&class| vec![shade(usize::from(class)); channels])
        .collect();
    let image = Image::from_pixels(height, width, channels, bytes).unwrap();
    Sample::new(image, Some(1))
        .with_boxes(boxes)
        .with_mask(Mask::new(height, width, mask).unwrap())
        .unwrap()
}

fn for_every_scene(count: u64, mut check: impl FnMut(&str, Sample, Sample)) {
    for (name, transform) in geometric() {
        for seed in 0..count {
            let (height, width, channels) = SIZES[seed as usize % SIZES.len()];
            let sample = scene(height, width, channels, &mut rng(seed));
            let changed = transform
                .apply(sample.clone(), &mut rng(1000 + seed))
                .unwrap();
            check(&format!("{name}, seed {seed}"), sample, changed);
        }
    }
}

#[test]
fn boxes_stay_with_their_objects() {
    let mut uncut = 0;
    for_every_scene(80, |case, sample, changed| {
        let mask = changed.mask.as_ref().unwrap();
        let height = changed.image.height() as f32;
        let width = changed.image.width() as f32;
        for placed in &changed.boxes {
            let [left, top, right, bottom] = placed.edges();
            assert!(
                left >= 0.0 && top >= 0.0 && right <= width && bottom <= height,
                "{case}: {placed:?}"
            );
            let (seen, _) = extent(mask, placed.class)
                .unwrap_or_else(|| panic!("{case}: nothing in {placed:?}"));
            // The object never leaves its box …
            assert!(
                left <= seen[0] + 1.0 && top <= seen[1] + 1.0,
                "{case}: {placed:?} {seen:?}"
            );
            assert!(
                right >= seen[2] - 1.0 && bottom >= seen[3] - 1.0,
                "{case}: {placed:?} {seen:?}"
            );
            // … and a box that is not cut fits it; the hull of a turned rectangle that is cut may
            // be larger.
            let inside = left > 0.0 && top > 0.0 && right < width && bottom < height;
            let upright = !case.starts_with("rotation") && !case.starts_with("affine");
            if inside || upright {
                uncut += 1;
                let fits = placed
                    .edges()
                    .iter()
                    .zip(seen)
                    .all(|(found, seen)| (found - seen).abs() <= 1.5);
                assert!(fits, "{case}: {placed:?} {seen:?}");
            }
        }
        // An object without a box was hardly there any more.
        for before in &sample.boxes {
            if !changed
                .boxes
                .iter()
                .any(|after| after.class == before.class)
            {
                let height_before = sample.image.height() as f32;
                let width_before = sample.image.width() as f32;
                let scale = (height / height_before * width / width_before).max(1.0);
                let left = extent(mask, before.class).map_or(0, |(_, count)| count) as f32;
                assert!(
                    left <= 0.5 * scale * before.area(),
                    "{case}: {left} pixels of {before:?} have no box"
                );
            }
        }
    });
    assert!(uncut > 500, "{uncut}");
}

#[test]
fn masks_hold_only_known_classes_and_stay_aligned() {
    for_every_scene(40, |case, sample, changed| {
        let before: HashSet<u8> = sample
            .mask
            .as_ref()
            .unwrap()
            .bytes()
            .iter()
            .copied()
            .collect();
        let mask = changed.mask.as_ref().unwrap();
        assert_eq!(
            [mask.height(), mask.width()],
            [changed.image.height(), changed.image.width()],
            "{case}"
        );
        assert!(
            mask.bytes()
                .iter()
                .all(|class| before.contains(class) || *class == Mask::IGNORE),
            "{case}"
        );

        // Where whole pixels move, the image is still the same function of the mask everywhere;
        // where it is interpolated, two pixels away from any other class and from what lies outside
        // the frame.
        let whole = case.contains("flip") || case.starts_with("crop");
        let margin = if whole { 0 } else { 2 };
        let grey = changed.image.to_grey();
        let height = mask.height() as i64;
        let width = mask.width() as i64;
        let class_at = |row: i64, column: i64| mask.bytes()[(row * width + column) as usize];
        let mut compared = 0;
        let rows = margin..height - margin;
        for (row, column) in
            rows.flat_map(|row| (margin..width - margin).map(move |column| (row, column)))
        {
            let class = class_at(row, column);
            let mut around = (-margin..=margin)
                .flat_map(|down| (-margin..=margin).map(move |along| (down, along)));
            if around.any(|(down, along)| class_at(row + down, column + along) != class) {
                continue;
            }
            let expected = if class == Mask::IGNORE {
                GROUND
            } else {
                shade(usize::from(class))
            };
            assert_eq!(
                grey.bytes()[(row * width + column) as usize],
                expected,
                "{case}: {row} {column}"
            );
            compared += 1;
        }
        assert!(compared > 50, "{case}: {compared}");
    });
}

#[test]
fn a_flip_undone_is_the_identity() {
    let flips: [Box<dyn Transform>; 2] = [
        Box::new(RandomHorizontalFlip::new(1.0).unwrap()),
        Box::new(RandomVerticalFlip::new(1.0).unwrap()),
    ];
    for (flip, seed) in flips
        .iter()
        .flat_map(|flip| (0..20).map(move |seed| (flip, seed)))
    {
        let (height, width, channels) = SIZES[seed as usize % SIZES.len()];
        let mut sample = scene(height, width, channels, &mut rng(seed));
        // Every pixel another color, so that no channel or row can be confused.
        let bytes = (0..sample.image.bytes().len())
            .map(|index| (index * 7 % 251) as u8)
            .collect();
        sample.image = Image::from_pixels(height, width, channels, bytes).unwrap();
        let once = flip.apply(sample.clone(), &mut rng(seed)).unwrap();
        assert!(
            once.image != sample.image && once.boxes != sample.boxes && once.mask != sample.mask
        );
        assert_eq!(flip.apply(once, &mut rng(seed)).unwrap(), sample);
    }
}

#[test]
fn flips_move_pixels_as_drawn() {
    let colors = || Image::from_pixels(2, 2, 3, b"abcdefghijkl".to_vec()).unwrap();
    let sides = RandomHorizontalFlip::new(1.0)
        .unwrap()
        .apply(Sample::new(colors(), None), &mut rng(0))
        .unwrap();
    assert_eq!(sides.image.bytes(), b"defabcjklghi");
    let rows = RandomVerticalFlip::new(1.0)
        .unwrap()
        .apply(Sample::new(colors(), None), &mut rng(0))
        .unwrap();
    assert_eq!(rows.image.bytes(), b"ghijklabcdef");
}

#[test]
fn probabilities_are_kept() {
    for (p, least, most) in [(0.0, 0, 0), (0.25, 60, 140), (1.0, 400, 400)] {
        let transforms: [Box<dyn Transform>; 3] = [
            Box::new(RandomHorizontalFlip::new(p).unwrap()),
            Box::new(RandomVerticalFlip::new(p).unwrap()),
            Box::new(RandomErasing::new(p).unwrap().with_scale(0.1, 0.3).unwrap()),
        ];
        let bytes = (0..20 * 30).map(|index| (index % 250) as u8 + 1).collect();
        let sample = Sample::new(Image::from_pixels(20, 30, 1, bytes).unwrap(), None);
        for transform in transforms {
            let changed =
                |&seed: &u64| transform.apply(sample.clone(), &mut rng(seed)).unwrap() != sample;
            let count = (0..400).filter(changed).count();
            assert!(
                (least..=most).contains(&count),
                "{transform:?}: {count} of 400"
            );
        }
    }
}

#[test]
fn photometric_transforms_leave_boxes_and_mask_alone() {
    for (name, transform) in photometric() {
        let mut changed = 0;
        for seed in 0..40 {
            let (height, width, channels) = SIZES[seed as usize % SIZES.len()];
            let sample = scene(height, width, channels, &mut rng(seed));
            let after = transform.apply(sample.clone(), &mut rng(seed)).unwrap();
            assert_eq!(
                (&after.boxes, &after.mask, after.label),
                (&sample.boxes, &sample.mask, sample.label),
                "{name}"
            );
            changed += u32::from(after.image != sample.image);
        }
        assert!(changed > 20, "{name}: {changed}");
    }
}

#[test]
fn the_generator_alone_decides() {
    let all = geometric().into_iter().chain(photometric());
    for (name, transform) in all {
        let sample = scene(37, 52, 3, &mut rng(5));
        let with = |seed| transform.apply(sample.clone(), &mut rng(seed)).unwrap();
        assert_eq!(with(8), with(8), "{name}");
        let results: Vec<Sample> = (0..12).map(with).collect();
        assert_eq!(
            results.iter().any(|other| *other != results[0]),
            name != "resize",
            "{name}"
        );
    }
}

// The values are drawn with libm and IEEE arithmetic alone: another number here means that runs are
// no longer reproducible.
#[test]
fn a_chain_of_all_transforms_never_changes() {
    let augmentation = Augmentation::new()
        .then(
            RandomAffine::new(20.0)
                .unwrap()
                .with_scale(0.8, 1.2)
                .unwrap()
                .with_shear(8.0, 8.0)
                .unwrap(),
        )
        .then(RandomRotation::new(15.0).unwrap())
        .then(
            RandomResizedCrop::new(24, 20)
                .unwrap()
                .with_interpolation(Interpolation::Nearest),
        )
        .then(RandomCrop::new(24, 20).unwrap().with_padding(2).unwrap())
        .then(RandomHorizontalFlip::new(0.5).unwrap())
        .then(ColorJitter::new(0.4, 0.4, 0.4, 0.1).unwrap())
        .then(RandomErasing::new(1.0).unwrap().with_fill(EraseFill::Noise));
    let sum = |seed| {
        let sample = augmentation
            .apply(scene(37, 52, 3, &mut rng(seed)), &mut rng(seed))
            .unwrap();
        let bytes = sample
            .image
            .bytes()
            .iter()
            .chain(sample.mask.as_ref().unwrap().bytes());
        bytes.enumerate().fold(0u64, |sum, (index, &byte)| {
            sum.wrapping_mul(31)
                .wrapping_add(index as u64 ^ u64::from(byte))
        })
    };
    let expected = [
        12_570_449_444_789_245_495,
        17_259_439_847_672_324_154,
        11_970_625_002_952_886_171,
    ];
    assert_eq!([sum(0), sum(1), sum(2)], expected);
}

#[test]
fn the_smallest_images_pass() {
    for (height, width) in [(1, 1), (1, 7), (7, 1), (2, 2)] {
        for channels in [1, 3] {
            let image =
                Image::from_pixels(height, width, channels, vec![70; height * width * channels])
                    .unwrap();
            let whole = BoundingBox {
                x_min: 0.0,
                y_min: 0.0,
                x_max: width as f32,
                y_max: height as f32,
                class: 0,
            };
            let mask = Mask::new(height, width, vec![1; height * width]).unwrap();
            let sample = Sample::new(image, None)
                .with_boxes(vec![whole])
                .with_mask(mask)
                .unwrap();
            for (name, transform) in geometric().into_iter().chain(photometric()) {
                for seed in 0..30 {
                    let changed = transform.apply(sample.clone(), &mut rng(seed)).unwrap();
                    let image = &changed.image;
                    let mask = changed.mask.as_ref().unwrap();
                    assert_eq!(
                        [image.height(), image.width()],
                        [mask.height(), mask.width()],
                        "{name}"
                    );
                    assert_eq!(image.channels(), channels, "{name}");
                }
            }
        }
    }
}

#[test]
fn erased_rectangles_have_their_area_and_fill() {
    let height = 60;
    let width = 80;
    let image = Image::from_pixels(height, width, 1, vec![200; height * width]).unwrap();
    let erasing = RandomErasing::new(1.0)
        .unwrap()
        .with_fill(EraseFill::Color([255, 0, 0]));
    let mut areas = Vec::new();
    for seed in 0..600 {
        let erased = erasing
            .apply(Sample::new(image.clone(), None), &mut rng(seed))
            .unwrap()
            .image;
        let mask = Mask::new(height, width, erased.into_bytes()).unwrap();
        // Red is 76 in grey, and the rectangle is full.
        let ([left, top, right, bottom], count) = extent(&mask, 76).unwrap();
        assert_eq!(((right - left) * (bottom - top)) as usize, count);
        let area = count as f64 / (height * width) as f64;
        let ratio = (bottom - top) / (right - left);
        assert!(
            (0.015..=0.36).contains(&area) && (0.25..=3.9).contains(&ratio),
            "{area} {ratio}"
        );
        areas.push(area);
    }
    // Uniform between 0.02 and 0.33, but for the few that do not fit.
    let mean = areas.iter().sum::<f64>() / areas.len() as f64;
    assert!((mean - 0.172).abs() < 0.015, "{mean}");
}

#[test]
fn unusable_arguments_are_named() {
    let cases: [(Result<String, Error>, &str); 15] = [
        (
            made(RandomHorizontalFlip::new(1.5)),
            "`p`: found 1.5, expected a number from 0 to 1",
        ),
        (
            made(RandomVerticalFlip::new(f64::NAN)),
            "`p`: found NaN, expected a number from 0 to 1",
        ),
        (
            made(RandomErasing::new(-0.1)),
            "`p`: found -0.1, expected a number from 0 to 1",
        ),
        (
            made(RandomErasing::new(0.1).and_then(|erasing| erasing.with_scale(0.5, 0.2))),
            "`scale`: found 0.5 and 0.2, expected two numbers from 0 to 1, the smaller one first",
        ),
        (
            made(RandomErasing::new(0.1).and_then(|erasing| erasing.with_ratio(0.0, 3.0))),
            "`ratio`: found 0 and 3, expected two numbers from 0.001 to 1000, the smaller one first",
        ),
        (
            made(RandomRotation::new(-1.0)),
            "`degrees`: found -1, expected a number from 0 to 180",
        ),
        (
            made(RandomAffine::new(0.0).and_then(|affine| affine.with_translation(0.1, 1.1))),
            "`vertical translation`: found 1.1, expected a number from 0 to 1",
        ),
        (
            made(RandomAffine::new(0.0).and_then(|affine| affine.with_scale(0.0, 1.0))),
            "`scale`: found 0 and 1, expected two numbers from 0.001 to 1000, the smaller one first",
        ),
        (
            made(RandomAffine::new(0.0).and_then(|affine| affine.with_shear(90.0, 0.0))),
            "`horizontal shear`: found 90, expected a number from 0 to 89",
        ),
        (
            made(RandomCrop::new(0, 32)),
            "`size`: found 0x32, expected no side to be zero",
        ),
        (
            made(RandomCrop::new(32, 32).and_then(|crop| crop.with_padding(usize::MAX))),
            "`padding`: found 18446744073709551615, expected at most 65535",
        ),
        (
            made(Resize::new(100_000, 2)),
            "declares 2x100000 pixels, accepted are at most 32768 on a side",
        ),
        (
            made(RandomResizedCrop::new(8, 8).and_then(|crop| crop.with_scale(0.5, f64::INFINITY))),
            "`scale`: found 0.5 and inf, expected two numbers from 0.000001 to 1, the smaller one first",
        ),
        (
            made(ColorJitter::new(0.4, 0.4, 0.4, 0.6)),
            "`hue`: found 0.6, expected a number from 0 to 0.5",
        ),
        (
            made(Mixup::new(0.0)),
            "`alpha`: found 0, expected a number from 0.001 to 1000",
        ),
    ];
    for (result, expected) in cases {
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    let mix = BatchMix::cutmix(CutMix::new(1.0).unwrap());
    let message = mix
        .apply(&mut [0.0; 12], [1, 2, 2, 2], &mut rng(0))
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "`dims`: found 1x2x2x2, expected the shape of 12 values, no side of an image zero"
    );
}

fn made<T: std::fmt::Debug>(result: Result<T, Error>) -> Result<String, Error> {
    result.map(|value| format!("{value:?}"))
}

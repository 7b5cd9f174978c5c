//! Transforms for images with objects: mosaics, mixtures, parts and canvases.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use cnn_core::{Key, Rng};
use cnn_data::{
    Augmentation, BoundingBox, Content, Dataset, Error, HsvJitter, Image, Mask, Mosaic,
    ObjectMixup, PhotometricDistortion, RandomIouCrop, RandomZoomOut, Sample, Transform,
};

const CLASSES: usize = 9;
const GROUND: u8 = 10;

fn rng(seed: u64) -> Rng {
    Key::new(seed).stream("augment").rng()
}

/// The color of a class, of which no mixture with a grey is near another's.
fn color(class: usize) -> [u8; 3] {
    [
        [250, 20, 20],
        [20, 250, 20],
        [20, 20, 250],
        [250, 250, 20],
        [20, 250, 250],
        [250, 20, 250],
        [250, 130, 20],
        [20, 130, 250],
        [130, 20, 250],
    ][class]
}

/// One square of the class on an image of 60 rows and 90 columns.
fn scene(class: usize) -> Sample {
    let [height, width, side] = [60, 90, 24];
    let mut draw = rng(class as u64);
    let top = draw.below((height - side) as u64) as usize;
    let left = draw.below((width - side) as u64) as usize;
    let mut bytes = vec![GROUND; height * width * 3];
    let mut mask = vec![0; height * width];
    for row in top..top + side {
        bytes[3 * (row * width + left)..][..3 * side].copy_from_slice(&color(class).repeat(side));
        mask[row * width + left..][..side].fill(class as u8 + 1);
    }
    let edges = [left, top, left + side, top + side].map(|edge| edge as f32);
    Sample::new(Image::from_pixels(height, width, 3, bytes).unwrap(), None)
        .with_boxes(vec![BoundingBox::new(edges, class)])
        .with_mask(Mask::new(height, width, mask).unwrap())
        .unwrap()
}

/// A scene of each class, of which some cannot be read.
struct Scenes {
    classes: Vec<String>,
    broken: fn(usize) -> bool,
}

impl Dataset for Scenes {
    fn len(&self) -> usize {
        self.classes.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        self.read(index).map(|sample| Content::Pixels(sample.image))
    }

    fn has_boxes(&self) -> bool {
        true
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        if (self.broken)(index) {
            return Err(Error::NoSuchSample { index, len: 0 });
        }
        Ok(scene(index))
    }
}

fn scenes(broken: fn(usize) -> bool) -> Arc<dyn Dataset> {
    let classes = (0..CLASSES).map(|class| class.to_string()).collect();
    Arc::new(Scenes { classes, broken })
}

fn all() -> Arc<dyn Dataset> {
    scenes(|_| false)
}

/// Pixels of about the color of the class within the edges.
fn pixels_of(sample: &Sample, class: usize, within: [f32; 4]) -> usize {
    let [x_min, y_min, x_max, y_max] = within;
    let width = sample.image.width();
    let pixels = sample.image.bytes().chunks_exact(3).enumerate();
    let is_of = |(at, pixel): &(usize, &[u8])| {
        let x = (at % width) as f32 + 0.5;
        let y = (at / width) as f32 + 0.5;
        let is_within = x_min <= x && x < x_max && y_min <= y && y < y_max;
        let mut channels = pixel.iter().zip(color(class));
        is_within && channels.all(|(found, expected)| found.abs_diff(expected) < 40)
    };
    pixels.filter(is_of).count()
}

/// That boxes lie in the image, that most of each is its object, and that objects have boxes.
fn check(sample: &Sample, least: f64, about: &str) {
    let [height, width] = [sample.image.height(), sample.image.width()];
    let whole = [0., 0., width as f32, height as f32];
    for found in &sample.boxes {
        assert_eq!(*found, found.clip(height, width), "{about}");
        // Of a turned object a corner may be all that is left, which fills little of its box.
        if least < 0.55 && found.area() < 250. {
            continue;
        }
        let share = pixels_of(sample, found.class, found.edges()) as f64;
        let share = share / f64::from(found.area().max(30.));
        assert!(share > least, "{about}: {share} of {found:?}");
    }
    for class in 0..CLASSES {
        let boxes = sample.boxes.iter().filter(|found| found.class == class);
        let boxes: Vec<_> = boxes.map(BoundingBox::edges).collect();
        let inside: usize = boxes
            .iter()
            .map(|&edges| pixels_of(sample, class, edges.map(|edge| edge.round())))
            .sum();
        let all = pixels_of(sample, class, whole);
        // What is left of an object of which less than a tenth is seen has no box.
        assert!(
            all <= inside + inside / 10 + 150,
            "{about}: class {class}, {all} pixels, {inside} in {boxes:?}"
        );
    }
}

#[test]
fn objects_of_a_mosaic_keep_their_boxes() {
    let upright = Mosaic::new(all(), 64, 96)
        .unwrap()
        .with_degrees(0.)
        .and_then(|mosaic| mosaic.with_shear(0.))
        .unwrap();
    let turned = Mosaic::new(all(), 64, 96).unwrap();
    for seed in 0..200 {
        let sample = scene(seed as usize % CLASSES);
        for (mosaic, least) in [(&upright, 0.6), (&turned, 0.5)] {
            let about = format!("seed {seed}, {mosaic:?}");
            let mosaic = mosaic.apply(sample.clone(), &mut rng(seed)).unwrap();
            assert_eq!([mosaic.image.height(), mosaic.image.width()], [64, 96]);
            assert!(!mosaic.origin.is_exact());
            check(&mosaic, least, &about);
        }
    }
}

#[test]
fn a_mosaic_has_four_images_and_their_masks_and_grey_beside_them() {
    let half = Mosaic::new(all(), 64, 96)
        .unwrap()
        .with_scale(0.5, 0.5)
        .unwrap();
    let mut counts = [0; 5];
    let mut greys = 0;
    for seed in 0..100 {
        let mosaic = half.apply(scene(0), &mut rng(seed)).unwrap();
        counts[mosaic.boxes.len()] += 1;
        let pixels = mosaic.image.bytes().chunks_exact(3);
        greys += pixels.filter(|pixel| *pixel == [114; 3]).count();
        let mask = mosaic.mask.unwrap();
        for found in &mosaic.boxes {
            let [x_min, y_min, x_max, y_max] = found.edges();
            let row = ((y_min + y_max) / 2.) as usize;
            let column = ((x_min + x_max) / 2.) as usize;
            let class = mask.bytes()[row * 96 + column];
            assert_eq!(usize::from(class), found.class + 1, "seed {seed}");
        }
    }
    assert!(counts[4] > 20 && counts[0] == 0, "{counts:?}");
    assert!(greys > 1000, "{greys}");
}

/// Regions of which nothing is known stay where they are, beside the objects.
#[test]
fn ignored_regions_go_with_their_image() {
    let marked = || {
        let scene = scene(0);
        let places = scene.boxes.clone();
        scene.with_ignored(places)
    };
    let whole = Mosaic::new(scenes(|index| index != 3), 64, 96).unwrap();
    let other = ObjectMixup::new(Arc::new(Marked)).unwrap();
    let mut seen = [0; 2];
    for seed in 0..60 {
        let mosaic = whole.apply(marked(), &mut rng(seed)).unwrap();
        let of_first = |found: &&BoundingBox| found.class == 0;
        let objects: Vec<_> = mosaic.boxes.iter().filter(of_first).collect();
        assert_eq!(mosaic.ignored.iter().collect::<Vec<_>>(), objects);
        seen[0] += mosaic.ignored.len();
        let mixed = other.apply(scene(1), &mut rng(seed)).unwrap();
        assert_eq!(mixed.ignored, mixed.boxes[1..]);
        seen[1] += mixed.ignored.len();
    }
    assert!(seen[0] > 20 && seen[1] > 40, "{seen:?}");
}

/// A scene whose object is marked as unknown, too.
struct Marked;

impl Dataset for Marked {
    fn len(&self) -> usize {
        1
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        Ok(Content::Pixels(self.read(index)?.image))
    }

    fn read(&self, _: usize) -> Result<Sample, Error> {
        let scene = scene(0);
        let places = scene.boxes.clone();
        Ok(scene.with_ignored(places))
    }
}

#[test]
fn an_image_that_cannot_be_read_is_replaced() {
    let some = Mosaic::new(scenes(|index| index != 3), 64, 96).unwrap();
    let none = Mosaic::new(scenes(|_| true), 64, 96).unwrap();
    let mut seen = 0;
    for seed in 0..40 {
        let mosaic = some.apply(scene(0), &mut rng(seed)).unwrap();
        assert!(
            mosaic
                .boxes
                .iter()
                .all(|found| [0, 3].contains(&found.class))
        );
        seen += usize::from(mosaic.boxes.iter().any(|found| found.class == 3));
        let alone = none.apply(scene(0), &mut rng(seed)).unwrap();
        assert!(alone.boxes.len() <= 1);
    }
    assert!(seen > 10, "{seen}");
    let mixup = ObjectMixup::new(scenes(|_| true)).unwrap();
    assert_eq!(mixup.apply(scene(0), &mut rng(0)).unwrap(), scene(0));
}

#[test]
fn a_mixture_is_the_mean_of_two_with_the_objects_of_both() {
    let mixup = ObjectMixup::new(all()).unwrap();
    let mut others = 0;
    for seed in 0..100 {
        let own = scene(0);
        let mixed = mixup.apply(own.clone(), &mut rng(seed)).unwrap();
        assert_eq!(mixed.boxes[0], own.boxes[0]);
        assert!(mixed.boxes.len() <= 2);
        others += mixed.boxes.len() - 1;
        let bytes = own.image.bytes().iter().zip(mixed.image.bytes());
        for (&own, &mixed) in bytes {
            let other = 2 * i32::from(mixed) - i32::from(own);
            assert!((-1..=256).contains(&other), "seed {seed}: {own}, {mixed}");
        }
        for found in &mixed.boxes[1..] {
            // Undone, the other object has its color.
            let [height, width] = [own.image.height(), own.image.width()];
            let pairs = own.image.bytes().iter().zip(mixed.image.bytes());
            let undone = pairs
                .map(|(&own, &mixed)| (2 * i32::from(mixed) - i32::from(own)).clamp(0, 255) as u8);
            let image = Image::from_pixels(height, width, 3, undone.collect()).unwrap();
            let other = Sample::new(image, None).with_boxes(vec![*found]);
            check(&other, 0.7, &format!("seed {seed}"));
        }
    }
    // Of few is too little seen.
    assert!(others > 60, "{others}");
    // Without an object there is nothing to blend.
    let empty = scene(0).with_boxes(Vec::new());
    assert_eq!(mixup.apply(empty.clone(), &mut rng(0)).unwrap(), empty);
}

#[test]
fn a_part_has_an_object_and_its_shape_is_within_bounds() {
    let crop = RandomIouCrop::default();
    let mut whole = 0;
    for seed in 0..300 {
        let own = scene(seed as usize % CLASSES);
        let part = crop.apply(own.clone(), &mut rng(seed)).unwrap();
        let [rows, columns] = [part.image.height(), part.image.width()];
        whole += usize::from([rows, columns] == [60, 90]);
        assert_eq!(part.boxes.len(), 1, "seed {seed}");
        assert!(rows >= 18 && columns >= 27, "{rows}x{columns}");
        let ratio = columns as f64 / rows as f64;
        assert!((0.5..=2.).contains(&ratio), "{ratio}");
        let mask = part.mask.as_ref().unwrap();
        assert_eq!([mask.height(), mask.width()], [rows, columns]);
        check(&part, 0.9, &format!("seed {seed}"));
        // The centre stays inside, so a quarter of it is seen at least.
        assert!(part.boxes[0].area() >= 0.25 * own.boxes[0].area());
    }
    assert!((10..200).contains(&whole), "{whole}");
    let empty = scene(0).with_boxes(Vec::new());
    assert_eq!(crop.apply(empty.clone(), &mut rng(0)).unwrap(), empty);
}

/// Two objects, of which those stay whose centre does.
#[test]
fn objects_whose_centre_is_cut_off_go() {
    let crop = RandomIouCrop::default();
    let two = scene(0).with_boxes(vec![
        BoundingBox::new([2., 3., 42., 33.], 0),
        BoundingBox::new([50., 28., 88., 58.], 1),
    ]);
    let mut gone = 0;
    for seed in 0..200 {
        let part = crop.apply(two.clone(), &mut rng(seed)).unwrap();
        let [rows, columns] = [part.image.height(), part.image.width()];
        for object in &two.boxes {
            let [x_min, y_min, x_max, y_max] = object.edges().map(f64::from);
            let centre = [(x_min + x_max) / 2., (y_min + y_max) / 2.];
            let [x, y] = part.origin.map().apply(centre);
            let is_inside = 0. < x && x < columns as f64 && 0. < y && y < rows as f64;
            let is_kept = part.boxes.iter().any(|kept| kept.class == object.class);
            assert_eq!(
                is_kept, is_inside,
                "seed {seed}: {object:?} in {rows}x{columns}"
            );
            gone += usize::from(!is_kept);
        }
    }
    assert!(gone > 30, "{gone}");
}

#[test]
fn a_canvas_leaves_objects_as_large_as_they_are() {
    let zoom = RandomZoomOut::new(1.).unwrap().with_fill([7; 3]);
    for seed in 0..100 {
        let own = scene(seed as usize % CLASSES);
        let canvas = zoom.apply(own.clone(), &mut rng(seed)).unwrap();
        let factor = canvas.image.height() as f64 / 60.;
        assert!((1. ..=4.).contains(&factor), "{factor}");
        assert!((canvas.boxes[0].area() - own.boxes[0].area()).abs() < 1e-2);
        check(&canvas, 0.99, &format!("seed {seed}"));
    }
}

#[test]
fn colors_change_and_nothing_else() {
    let transforms: [Arc<dyn Transform>; 2] = [
        Arc::new(HsvJitter::new(0.05, 0.2, 0.2).unwrap()),
        Arc::new(PhotometricDistortion::new(0.7).unwrap()),
    ];
    let grey = Sample::new(
        Image::from_pixels(2, 2, 1, vec![0, 60, 200, 255]).unwrap(),
        None,
    );
    for transform in transforms {
        let mut changed = 0;
        for seed in 0..40 {
            let own = scene(1);
            let other = transform.apply(own.clone(), &mut rng(seed)).unwrap();
            changed += usize::from(own.image != other.image);
            let mut recolored = own.clone();
            recolored.image = other.image.clone();
            assert_eq!(recolored, other);
            assert_eq!(other, transform.apply(own, &mut rng(seed)).unwrap());
            let grey = transform.apply(grey.clone(), &mut rng(seed)).unwrap();
            assert_eq!(grey.image.channels(), 1);
        }
        assert!(changed > 20, "{transform:?}: {changed}");
    }
    let still = HsvJitter::new(0., 0., 0.).unwrap();
    assert_eq!(still.apply(scene(2), &mut rng(0)).unwrap(), scene(2));
}

#[test]
fn the_generator_alone_decides() {
    let all_of_them = Augmentation::new()
        .then(RandomZoomOut::new(0.5).unwrap())
        .then(RandomIouCrop::default())
        .then(Mosaic::new(all(), 64, 96).unwrap().with_prob(0.7).unwrap())
        .then(ObjectMixup::new(all()).unwrap().with_prob(0.5).unwrap())
        .then(HsvJitter::new(0.02, 0.1, 0.1).unwrap());
    let mut results = Vec::new();
    for seed in 0..20 {
        let one = all_of_them.apply(scene(0), &mut rng(seed)).unwrap();
        assert_eq!(one, all_of_them.apply(scene(0), &mut rng(seed)).unwrap());
        assert!(results.iter().all(|other| *other != one));
        results.push(one);
    }
}

#[test]
fn unusable_arguments_are_named() {
    let nothing: Arc<dyn Dataset> = Arc::new(Scenes {
        classes: Vec::new(),
        broken: |_| false,
    });
    let messages = [
        Mosaic::new(nothing.clone(), 64, 64).map(|_| ()),
        ObjectMixup::new(nothing).map(|_| ()),
        Mosaic::new(all(), 0, 64).map(|_| ()),
        Mosaic::new(all(), 64, 64)
            .and_then(|mosaic| mosaic.with_scale(2., 1.))
            .map(|_| ()),
        Mosaic::new(all(), 64, 64)
            .and_then(|mosaic| mosaic.with_prob(1.5))
            .map(|_| ()),
        RandomZoomOut::new(0.5)
            .and_then(|zoom| zoom.with_factor(0.5, 2.))
            .map(|_| ()),
        RandomIouCrop::default().with_scale(0., 1.).map(|_| ()),
        HsvJitter::new(0.6, 0., 0.).map(|_| ()),
        PhotometricDistortion::new(-1.).map(|_| ()),
    ];
    let expected = [
        "`dataset`: found no image, expected at least one",
        "`dataset`: found no image, expected at least one",
        "`size`: found 0x128, expected no side to be zero",
        "`scale`: found 2 and 1, expected two numbers from 0.001 to 1000, the smaller one first",
        "`prob`: found 1.5, expected a number from 0 to 1",
        "`factor`: found 0.5 and 2, expected two numbers from 1 to 100, the smaller one first",
        "`scale`: found 0 and 1, expected two numbers from 0.01 to 1, the smaller one first",
        "`hue`: found 0.6, expected a number from 0 to 0.5",
        "`p`: found -1, expected a number from 0 to 1",
    ];
    for (message, expected) in messages.into_iter().zip(expected) {
        assert_eq!(message.unwrap_err().to_string(), expected);
    }
    let huge = Mosaic::new(all(), 1 << 20, 64).map(|_| ());
    assert!(matches!(huge.unwrap_err(), Error::TooLarge { .. }));
}

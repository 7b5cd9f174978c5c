//! The procedural dataset `shapes`: what its images, boxes and masks promise.
#![allow(clippy::unwrap_used, clippy::panic)]

use cnn_data::{
    BoundingBox, Dataset, DatasetFormat, Error, Sample, Shapes, ShapesConfig, ShapesDomain, Split,
};

fn config() -> ShapesConfig {
    ShapesConfig::default().with_samples(40)
}

fn samples(config: ShapesConfig) -> Vec<Sample> {
    let shapes = Shapes::new(config).unwrap();
    (0..shapes.len())
        .map(|index| shapes.read(index).unwrap())
        .collect()
}

fn mask_of(sample: &Sample) -> &[u8] {
    sample.mask.as_ref().unwrap().bytes()
}

/// The columns and rows of a box's pixels.
fn pixels_of(object: &BoundingBox) -> impl Iterator<Item = (usize, usize)> + use<> {
    let [x_min, y_min, x_max, y_max] =
        [object.x_min, object.y_min, object.x_max, object.y_max].map(|at| at as usize);
    (y_min..y_max).flat_map(move |y| (x_min..x_max).map(move |x| (x, y)))
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_or_split_none_of_them() {
    let first = samples(config());
    assert_eq!(samples(config()), first);
    let others = [
        config().with_seed(1),
        config().with_split(Split::Val),
        config().with_split(Split::Test),
    ];
    for other in others {
        let name = format!("{other:?}");
        let images: Vec<_> = samples(other)
            .into_iter()
            .map(|sample| sample.image)
            .collect();
        assert!(
            first.iter().all(|sample| !images.contains(&sample.image)),
            "{name}"
        );
    }
}

// Guards the stream itself: what was trained yesterday can be evaluated tomorrow, on any machine.
#[test]
fn images_never_change() {
    let digest = |config: ShapesConfig| {
        let content = Shapes::new(config.with_size(24, 40))
            .unwrap()
            .content(3)
            .unwrap();
        content.sha256()[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let domains =
        ShapesDomain::ALL.map(|domain| digest(config().with_objects(2..=3).with_domain(domain)));
    assert_eq!(domains, GOLDEN);
}

const GOLDEN: [&str; 3] = ["f82f00b9", "d0da4805", "4f2470c5"];

#[test]
fn a_sample_depends_on_its_number_and_not_on_how_many_there_are() {
    let many = Shapes::new(config().with_samples(10_000)).unwrap();
    for (index, sample) in samples(config()).into_iter().enumerate() {
        assert_eq!(many.read(index).unwrap(), sample);
    }
}

#[test]
fn each_ten_samples_hold_each_class_once_in_varying_order() {
    let shapes = Shapes::new(config().with_samples(200)).unwrap();
    let names = [
        "circle", "square", "triangle", "star", "cross", "ring", "heart", "crescent", "arrow",
        "bolt",
    ];
    assert_eq!(shapes.classes(), names);
    let blocks: Vec<Vec<usize>> = (0..20)
        .map(|block| {
            (0..10)
                .map(|at| shapes.label(block * 10 + at).unwrap())
                .collect()
        })
        .collect();
    for block in &blocks {
        let mut sorted = block.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<_>>());
    }
    assert!(blocks.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn the_label_is_the_first_box_and_content_holds_the_same_pixels() {
    let shapes = Shapes::new(config().with_objects(1..=5).with_size(48, 70)).unwrap();
    assert_eq!(
        (shapes.format(), shapes.id(17).as_str()),
        (DatasetFormat::Procedural, "shapes/train#17")
    );
    assert_eq!(DatasetFormat::Procedural.to_string(), "procedural");
    for index in 0..shapes.len() {
        let sample = shapes.read(index).unwrap();
        assert_eq!(
            (sample.label, shapes.label(index)),
            (Some(sample.boxes[0].class), sample.label)
        );
        assert_eq!(
            shapes.content(index).unwrap().into_image().unwrap(),
            sample.image
        );
        assert_eq!((sample.image.height(), sample.image.width()), (48, 70));
    }
}

#[test]
fn boxes_are_the_hulls_of_the_masks_pixels() {
    let sizes = [(32, 32), (9, 40), (64, 48), (8, 8), (160, 96)];
    for (height, width) in sizes {
        for (objects, difficulty) in [(1..=1, 0.0), (1..=1, 1.0), (2..=5, 0.3), (4..=16, 1.0)] {
            let config = config()
                .with_size(height, width)
                .with_objects(objects)
                .with_difficulty(difficulty);
            for sample in samples(config.clone()) {
                check_hulls(&sample, &config);
            }
        }
    }
}

fn check_hulls(sample: &Sample, config: &ShapesConfig) {
    let mask = mask_of(sample);
    let width = sample.image.width();
    assert!(
        (1..=*config.objects.end()).contains(&sample.boxes.len()),
        "{config:?}"
    );
    let mut boxed = vec![false; mask.len()];
    for object in &sample.boxes {
        let class = object.class as u8 + 1;
        for (x, y) in pixels_of(object) {
            boxed[y * width + x] = true;
        }
        // Each side touches the object, and so cannot be moved inwards.
        let touches = |on_side: &dyn Fn(usize, usize) -> bool| {
            pixels_of(object).any(|(x, y)| on_side(x, y) && mask[y * width + x] == class)
        };
        let side = |x: usize, y: usize| [x as f32, y as f32, x as f32 + 1.0, y as f32 + 1.0];
        assert!(
            touches(&|x, y| side(x, y)[0] == object.x_min),
            "{object:?} {config:?}"
        );
        assert!(
            touches(&|x, y| side(x, y)[1] == object.y_min),
            "{object:?} {config:?}"
        );
        assert!(
            touches(&|x, y| side(x, y)[2] == object.x_max),
            "{object:?} {config:?}"
        );
        assert!(
            touches(&|x, y| side(x, y)[3] == object.y_max),
            "{object:?} {config:?}"
        );
    }
    // No side can be moved inwards, and nothing lies outside of all boxes.
    assert!(
        mask.iter()
            .zip(&boxed)
            .all(|(&class, &boxed)| class == 0 || boxed),
        "{config:?}"
    );
}

// From the pixels alone: colours change where the mask does, and less where it would be one pixel
// beside.
#[test]
fn masks_lie_on_what_is_seen() {
    for domain in ShapesDomain::ALL {
        let easy = config()
            .with_samples(100)
            .with_difficulty(0.0)
            .with_size(48, 60)
            .with_domain(domain);
        let samples = samples(easy);
        let [left, here, right] = [-1, 0, 1].map(|shift| {
            samples
                .iter()
                .map(|sample| change_across_outlines(sample, shift))
                .sum::<f32>()
                / samples.len() as f32
        });
        assert!(
            here > 2.0 && here > 1.2 * left && here > 1.2 * right,
            "{domain}: {left} {here} {right}"
        );
    }
}

/// How much stronger colours change between neighbours in a row across the outlines of the mask,
/// moved to the right by `shift`, than between all other neighbours.
fn change_across_outlines(sample: &Sample, shift: isize) -> f32 {
    let mask = mask_of(sample);
    let width = sample.image.width();
    let bytes = sample.image.bytes();
    let mut across = (0.0, 0.0);
    let mut elsewhere = (0.0, 0.0);
    for at in (0..mask.len()).filter(|at| (1..width - 2).contains(&(at % width))) {
        let change: i32 = (0..3)
            .map(|c| (i32::from(bytes[3 * at + c]) - i32::from(bytes[3 * at + 3 + c])).abs())
            .sum();
        let there = at.strict_add_signed(-shift);
        let sums = if mask[there] == mask[there + 1] {
            &mut elsewhere
        } else {
            &mut across
        };
        *sums = (sums.0 + change as f32, sums.1 + 1.0);
    }
    (across.0 / across.1) / (elsewhere.0 / elsewhere.1)
}

#[test]
fn domains_share_their_scenes_and_look_different() {
    let of = |domain| {
        samples(
            config()
                .with_objects(1..=4)
                .with_size(40, 56)
                .with_domain(domain),
        )
    };
    let [day, night, sketch] = ShapesDomain::ALL.map(of);
    let brightness = |samples: &[Sample]| {
        let bytes = samples.iter().flat_map(|sample| sample.image.bytes());
        bytes.clone().map(|&byte| f64::from(byte)).sum::<f64>() / bytes.count() as f64
    };
    for other in [&night, &sketch] {
        for (a, b) in day.iter().zip(other) {
            assert_eq!((&a.boxes, &a.mask, a.label), (&b.boxes, &b.mask, b.label));
            assert_ne!(a.image, b.image);
        }
    }
    assert!(brightness(&night) < 70.0 && brightness(&sketch) > 180.0);
    assert!((90.0..160.0).contains(&brightness(&day)));
}

#[test]
fn domains_parse_by_name() {
    for domain in ShapesDomain::ALL {
        assert_eq!(domain.to_string().parse::<ShapesDomain>().unwrap(), domain);
    }
    let message = "dusk".parse::<ShapesDomain>().unwrap_err().to_string();
    assert_eq!(
        message,
        "`domain`: found `dusk`, expected day, night or sketch"
    );
}

#[test]
fn difficulty_makes_objects_smaller_on_average() {
    let areas = [0.0, 0.5, 1.0].map(|difficulty| {
        let samples = samples(config().with_samples(200).with_difficulty(difficulty));
        samples
            .iter()
            .flat_map(mask_of)
            .filter(|&&class| class > 0)
            .count()
    });
    assert!(areas[0] > areas[1] && areas[1] > areas[2], "{areas:?}");
}

#[test]
#[allow(clippy::reversed_empty_ranges)]
fn bad_settings_are_named() {
    let cases = [
        (
            config().with_size(0, 32),
            "`size`: found 0x32, expected 8 to 4096 pixels on each side",
        ),
        (
            config().with_size(32, 7),
            "`size`: found 32x7, expected 8 to 4096 pixels on each side",
        ),
        (
            config().with_size(5000, 32),
            "`size`: found 5000x32, expected 8 to 4096 pixels on each side",
        ),
        (
            config().with_samples(0),
            "`samples`: found 0, expected at least 1",
        ),
        (
            config().with_objects(0..=2),
            "`objects`: found 0..=2, expected a range within 1 to 16 that is not empty",
        ),
        (
            config().with_objects(3..=2),
            "`objects`: found 3..=2, expected a range within 1 to 16 that is not empty",
        ),
        (
            config().with_objects(1..=17),
            "`objects`: found 1..=17, expected a range within 1 to 16 that is not empty",
        ),
        (
            config().with_difficulty(-0.1),
            "`difficulty`: found -0.1, expected a number from 0 to 1",
        ),
        (
            config().with_difficulty(1.5),
            "`difficulty`: found 1.5, expected a number from 0 to 1",
        ),
        (
            config().with_difficulty(f64::NAN),
            "`difficulty`: found NaN, expected a number from 0 to 1",
        ),
    ];
    for (config, message) in cases {
        assert_eq!(Shapes::new(config).unwrap_err().to_string(), message);
    }
    let shapes = Shapes::new(config()).unwrap();
    assert!(matches!(
        shapes.read(40),
        Err(Error::NoSuchSample { index: 40, len: 40 })
    ));
    assert_eq!(shapes.label(40), None);
}

// One convention: every number is an index from 0 into a list of names.
#[test]
fn masks_name_the_classes_of_the_objects_under_them() {
    let shapes = Shapes::new(config().with_objects(1..=4).with_size(48, 70)).unwrap();
    let names = shapes.mask_classes();
    assert_eq!(names[0], "background");
    assert_eq!(names[1..], *shapes.classes());
    let mut seen = vec![0; names.len()];
    for index in 0..shapes.len() {
        let sample = shapes.read(index).unwrap();
        let mask = sample.mask.as_ref().unwrap();
        for value in mask.bytes() {
            seen[usize::from(*value)] += 1;
        }
        for object in &sample.boxes {
            let class = &shapes.classes()[object.class];
            let shows = |(x, y): (usize, usize)| {
                names[usize::from(mask.bytes()[y * mask.width() + x])] == *class
            };
            assert!(pixels_of(object).any(shows), "{object:?}");
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");

    let whole: std::sync::Arc<dyn Dataset> = std::sync::Arc::new(shapes);
    let part = cnn_data::Subset::new(whole.clone(), vec![1, 2]).unwrap();
    let cached = cnn_data::CachedDataset::new(whole.clone(), 1000);
    assert_eq!(part.mask_classes(), whole.mask_classes());
    assert_eq!(cached.mask_classes(), whole.mask_classes());
}

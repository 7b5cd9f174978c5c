//! The dataset `shapes`.

use std::iter;

use cnn_core::Key;

use super::ShapesConfig;
use super::figure::FIGURES;
use super::look::{Conditions, Look};
use super::render::Painting;
use super::scene::Scene;
use crate::{BoundingBox, Content, Dataset, DatasetFormat, Error, Image, Mask, Sample};

/// The class of pixels that belong to no object, in the mask; the classes of the objects follow it.
const BACKGROUND: u8 = 0;

/// Textured objects of ten classes on textured ground, rendered when they are read.
///
/// The classes are circle, square, triangle, star, cross, ring, heart, crescent, arrow and bolt. A
/// sample's label is the class of its largest object; further objects are of any class. The labels
/// of samples 0 to 9 are the ten classes in some order, as are those of 10 to 19, and so on.
///
/// A sample depends on the seed, the split, its number, the size, the objects, the difficulty and
/// the domain. It depends neither on how many samples there are nor on the machine. The splits are
/// disjoint streams, so any number of samples may be taken from each. A sample's scene is the same
/// in every domain.
///
/// [`Dataset::read`] gives boxes and mask. A pixel belongs to the object that covers its centre
/// and is not hidden there by another object or a stroke before it. The mask names the object's
/// class there, as an index into [`Dataset::mask_classes`]: that list begins with `background`,
/// which all other pixels are, and goes on with the ten classes. Boxes are tight around their
/// object's visible pixels, the largest object's first; an object that is wholly hidden has none.
///
/// ```
/// use cnn_data::{Dataset, Shapes, ShapesConfig};
///
/// let shapes = Shapes::new(
///     ShapesConfig::default()
///         .with_samples(100)
///         .with_size(48, 64)
///         .with_objects(2..=4),
/// )?;
/// let sample = shapes.read(17)?;
/// assert_eq!(shapes.id(17), "shapes/train#17");
/// assert_eq!((sample.image.height(), sample.image.width()), (48, 64));
/// assert_eq!(sample.label, Some(sample.boxes[0].class));
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Shapes {
    config: ShapesConfig,
    /// The background, and behind it the classes of the objects.
    mask_classes: Vec<String>,
    key: Key,
}

impl Shapes {
    /// The dataset of these settings. Nothing is rendered yet.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] naming the setting that lies outside the range that
    /// [`ShapesConfig`] tells.
    pub fn new(config: ShapesConfig) -> Result<Self, Error> {
        config.check()?;
        let figures = FIGURES.iter().map(|(name, _)| *name);
        let mask_classes = iter::once("background").chain(figures);
        let key = Key::new(config.seed)
            .stream("shapes")
            .stream(config.split.name());
        Ok(Self {
            config,
            mask_classes: mask_classes.map(str::to_owned).collect(),
            key,
        })
    }

    /// The settings.
    pub fn config(&self) -> &ShapesConfig {
        &self.config
    }

    fn class_of(&self, index: usize) -> usize {
        let count = FIGURES.len();
        let block = self.key.stream("classes").at((index / count) as u64);
        block.rng().permutation(count)[index % count]
    }

    fn render(&self, index: usize) -> Result<(Image, Scene, Vec<u8>), Error> {
        let len = self.len();
        if index >= len {
            return Err(Error::NoSuchSample { index, len });
        }
        let key = self.key.at(index as u64);
        let [height, width] = self.config.size;
        let scene = Scene::draw(key.stream("scene"), self.class_of(index), &self.config);
        let radii: Vec<f32> = scene.objects.iter().map(|object| object.radius).collect();
        let conditions = Conditions {
            domain: self.config.domain,
            difficulty: self.config.difficulty as f32,
            short: height.min(width) as f32,
            radii: &radii,
        };
        let look = Look::draw(key.stream("look"), &conditions);
        let Painting { canvas, owners } = Painting::paint(self.config.size, &scene, &look);
        let bytes = canvas.develop(&look, &mut key.stream("noise").rng());
        Ok((Image::from_pixels(height, width, 3, bytes)?, scene, owners))
    }
}

impl Dataset for Shapes {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Procedural
    }

    fn len(&self) -> usize {
        self.config.samples
    }

    fn classes(&self) -> &[String] {
        &self.mask_classes[1..]
    }

    fn mask_classes(&self) -> &[String] {
        &self.mask_classes
    }

    fn id(&self, index: usize) -> String {
        format!("shapes/{}#{index}", self.config.split)
    }

    fn label(&self, index: usize) -> Option<usize> {
        (index < self.len()).then(|| self.class_of(index))
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        Ok(Content::Pixels(self.render(index)?.0))
    }

    fn has_boxes(&self) -> bool {
        true
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        let (image, scene, owners) = self.render(index)?;
        let height = image.height();
        let width = image.width();
        let classes: Vec<usize> = scene.objects.iter().map(|object| object.class).collect();
        let boxes = hulls(&owners, width, &classes);
        let class_at = |&owner: &u8| match usize::from(owner)
            .checked_sub(1)
            .and_then(|number| classes.get(number))
        {
            Some(class) => BACKGROUND + 1 + *class as u8,
            None => BACKGROUND,
        };
        let mask = Mask::new(height, width, owners.iter().map(class_at).collect())?;
        Sample::new(image, self.label(index))
            .with_boxes(boxes)
            .with_mask(mask)
    }
}

/// The boxes around each object's pixels, without objects that have none.
fn hulls(owners: &[u8], width: usize, classes: &[usize]) -> Vec<BoundingBox> {
    let mut hulls: Vec<Option<[usize; 4]>> = vec![None; classes.len()];
    for (index, owner) in owners.iter().enumerate() {
        let number = usize::from(*owner).checked_sub(1);
        let Some(hull) = number.and_then(|number| hulls.get_mut(number)) else {
            continue;
        };
        let x = index % width;
        let y = index / width;
        let [left, top, right, bottom] = hull.unwrap_or([x, y, x + 1, y + 1]);
        *hull = Some([left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)]);
    }
    let boxes = hulls
        .into_iter()
        .zip(classes)
        .filter_map(|(hull, &class)| Some(BoundingBox::new(hull?.map(|at| at as f32), class)));
    boxes.collect()
}

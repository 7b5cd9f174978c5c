//! One patch for many images: the adversarial patch (Brown et al. 2017, arXiv:1712.09665).

use super::checks::{at_least_one, positive};
use super::fgsm::sign;
use super::{Attack, AttackBatch, CrossEntropyLoss};
use crate::{AttackedModel, Draw, Error, Images, Threat};

/// Trains a square patch: at each step it is put at a random place of each image, and its values go
/// along the sign of the cross-entropy's gradient, summed over the images, within 0..1.
///
/// Of the paper's random places, sizes and angles it has the places.
///
/// ```
/// use cnn_models::{ModelConfig, Network};
/// use cnn_robust::attack::{Attack, AttackBatch, PatchTraining};
/// use cnn_robust::{AttackedModel, Images, PixelClassifier};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let model = PixelClassifier::new(network.model(), network.preprocessing())?;
/// let images = Images::new(2, [32, 32, 3], vec![0.5; 2 * 32 * 32 * 3])?;
/// let labels = model.logits(&images)?.predictions();
/// let batch = AttackBatch::new(images, labels)?;
/// let training = PatchTraining::new(0.1)?.with_rounds(2)?;
/// let patch = training.train(&model, std::slice::from_ref(&batch))?;
/// assert_eq!(patch.pixels().size(), [10, 10, 3]);
/// let patched = patch.run(&model, &batch)?;
/// let changed = patched.minus(batch.images());
/// let changed = changed.image(0).iter().filter(|value| **value != 0.);
/// assert!((1..=10 * 10 * 3).contains(&changed.count()));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchTraining {
    share: f64,
    rounds: usize,
    step_size: f64,
}

impl PatchTraining {
    /// A patch that covers this share of an image, above 0 and at most 1; at least one pixel.
    /// Default: 20 rounds over all batches with steps of 0.05, from a grey patch.
    ///
    /// # Errors
    /// [`Error::Argument`] if the share is out of its range.
    pub fn new(share: f64) -> Result<Self, Error> {
        if !(share > 0. && share <= 1.) {
            return Err(Error::argument("share", share, "above 0 and at most 1"));
        }
        Ok(Self {
            share,
            rounds: 20,
            step_size: 0.05,
        })
    }

    /// How often each batch is seen.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is 0.
    pub fn with_rounds(self, rounds: usize) -> Result<Self, Error> {
        let rounds = at_least_one("rounds", rounds)?;
        Ok(Self { rounds, ..self })
    }

    /// How far a value goes in a step.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not above 0 or not finite.
    pub fn with_step_size(self, step_size: f64) -> Result<Self, Error> {
        let step_size = positive("step_size", step_size)?;
        Ok(Self { step_size, ..self })
    }

    /// The patch for these images. Batches with targets bring the images there, as in the paper. A
    /// batch of one image gives a patch for that image.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no image or a patch does not fit in one, and as
    /// [`AttackBatch::check`].
    pub fn train(
        &self,
        model: &dyn AttackedModel,
        batches: &[AttackBatch<'_>],
    ) -> Result<Patch, Error> {
        let Some(first) = batches.iter().find(|batch| !batch.is_empty()) else {
            return Err(Error::argument("batches", "no image", "at least one"));
        };
        for batch in batches {
            batch.check(model)?;
        }
        let [height, width, channels] = first.images().size();
        let side = ((self.share * (height * width) as f64).sqrt().round() as usize)
            .clamp(1, height.min(width));
        let mut patch = Patch {
            pixels: Images::new(1, [side, side, channels], vec![0.5; side * side * channels])?,
            place: None,
        };
        for round in 0..self.rounds {
            for batch in batches.iter().filter(|batch| !batch.is_empty()) {
                let places = patch.places(batch, "patch_training", round)?;
                let images = patch.apply(batch.images(), &places)?;
                let gradient = model.gradient(&images, &CrossEntropyLoss(batch))?.images;
                let step = patch.gradient(&gradient, &places).map(sign);
                patch.pixels = patch.pixels.plus(&step, self.step_size).within_unit();
            }
        }
        Ok(patch)
    }
}

/// Where the upper left corner of a patch lies, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchPlace {
    /// From the top.
    pub row: usize,
    /// From the left.
    pub column: usize,
}

/// A patch, as [`PatchTraining::train`] gives it. As an [`Attack`] it is put on each image and asks
/// the model nothing. Only the pixels below it change.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    pixels: Images,
    place: Option<PatchPlace>,
}

impl Patch {
    /// Its pixels, a batch of one.
    pub fn pixels(&self) -> &Images {
        &self.pixels
    }

    /// Puts it at this place of each image. Default: at a random one.
    #[must_use]
    pub fn with_place(self, place: PatchPlace) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// The images with the patch, each at its place.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is not one place for each image, or the patch would go over an
    /// edge.
    pub fn apply(&self, images: &Images, places: &[PatchPlace]) -> Result<Images, Error> {
        if places.len() != images.len() {
            let expected = format!("{}, one for each image", images.len());
            return Err(Error::argument("places", places.len(), expected));
        }
        let mut patched = images.clone();
        for (index, place) in places.iter().enumerate() {
            self.check(images.size(), *place)?;
            for (row, start) in self.rows(images.size(), *place).enumerate() {
                let values = self.row(&self.pixels, row);
                patched.image_mut(index)[start..][..values.len()].copy_from_slice(values);
            }
        }
        Ok(patched)
    }

    fn check(&self, size: [usize; 3], place: PatchPlace) -> Result<(), Error> {
        let [height, width, channels] = self.pixels.size();
        let fits = place.row.saturating_add(height) <= size[0]
            && place.column.saturating_add(width) <= size[1]
            && channels == size[2];
        if fits {
            return Ok(());
        }
        let found = format!("{size:?} with a patch at {}, {}", place.row, place.column);
        let expected = format!("images that hold a patch of {:?} there", self.pixels.size());
        Err(Error::argument("images", found, expected))
    }

    /// Where each row of the patch begins among an image's values.
    fn rows(&self, size: [usize; 3], place: PatchPlace) -> impl Iterator<Item = usize> {
        let [_, width, channels] = size;
        let rows = place.row..place.row + self.pixels.size()[0];
        rows.map(move |row| (row * width + place.column) * channels)
    }

    fn row<'a>(&self, pixels: &'a Images, row: usize) -> &'a [f64] {
        let [_, width, channels] = self.pixels.size();
        &pixels.image(0)[row * width * channels..][..width * channels]
    }

    /// The gradient of the patch by that of the images that it is on.
    fn gradient(&self, images: &Images, places: &[PatchPlace]) -> Images {
        let mut sum = self.pixels.zeros_like();
        let row_values = self.row(&self.pixels, 0).len();
        for (index, place) in places.iter().enumerate() {
            let rows = self.rows(images.size(), *place);
            for (start, sum) in rows.zip(sum.values_mut().chunks_exact_mut(row_values)) {
                let values = &images.image(index)[start..][..row_values];
                sum.iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value);
            }
        }
        sum
    }

    /// A place for each image.
    fn places(
        &self,
        batch: &AttackBatch<'_>,
        name: &'static str,
        round: usize,
    ) -> Result<Vec<PatchPlace>, Error> {
        if let Some(place) = self.place {
            return Ok(vec![place; batch.len()]);
        }
        let [height, width, _] = batch.images().size();
        let within = |draw: f64, length: usize, side: usize| {
            (draw * (length.saturating_sub(side) + 1) as f64) as usize
        };
        let place = |&sample: &u64| {
            let draw = Draw::new(name, sample).in_step(round);
            let draws = batch.draws().uniform(draw, 2)?;
            Ok(PatchPlace {
                row: within(draws[0], height, self.pixels.size()[0]),
                column: within(draws[1], width, self.pixels.size()[1]),
            })
        };
        batch.samples().iter().map(place).collect()
    }
}

impl Attack for Patch {
    fn name(&self) -> &'static str {
        "patch"
    }

    fn threat(&self) -> Option<Threat> {
        None
    }

    fn attack(&self, _: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        self.apply(batch.images(), &self.places(batch, "patch_place", 0)?)
    }
}

//! How well a detector tells attacked images from others.

use cnn_metrics::RocCurve;

use super::InputDetector;
use crate::attack::AttackBatch;
use crate::{AttackedBatch, AttackedModel, Error, Images};

/// Collects a detector's scores batch by batch: those of images that the classifier takes for what
/// they are, and for each attack those of the changed images that fooled it.
pub struct DetectorMeter {
    detector: Box<dyn InputDetector>,
    clean: Vec<f64>,
    fooled: Vec<Vec<f64>>,
}

impl DetectorMeter {
    /// Measures a detector against so many attacks.
    pub fn new(detector: Box<dyn InputDetector>, attacks: usize) -> Self {
        Self {
            detector,
            clean: Vec::new(),
            fooled: vec![Vec::new(); attacks],
        }
    }

    /// The detector's name.
    pub fn name(&self) -> &'static str {
        self.detector.name()
    }

    /// Adds a batch, and what [`RobustnessMeter`](crate::RobustnessMeter) made of it.
    ///
    /// # Errors
    /// [`Error::Argument`] if it was attacked by another number of attacks; what the model reports.
    pub fn add(
        &mut self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
        attacked: &AttackedBatch,
    ) -> Result<(), Error> {
        let attacks = attacked.attacks.len();
        if attacks != self.fooled.len() {
            let expected = self.fooled.len().to_string();
            return Err(Error::argument("attacks", attacks, expected));
        }
        let pairs = attacked.clean_predictions.iter().zip(batch.labels());
        let right: Vec<bool> = pairs.map(|(class, label)| class == label).collect();
        self.clean
            .extend(self.scores(model, batch.images(), &right)?);
        for (place, attack) in attacked.attacks.iter().enumerate() {
            let scores = self.scores(model, &attack.images, &attack.fooled)?;
            self.fooled[place].extend(scores);
        }
        Ok(())
    }

    /// For each attack the curve of found attacks over false alarms; `None` where it fooled
    /// nothing, or no image was right before.
    ///
    /// # Errors
    /// [`Error::Metrics`] if a score is NaN.
    pub fn curves(&self) -> Result<Vec<Option<RocCurve>>, Error> {
        let curve = |fooled: &Vec<f64>| {
            let is_measured = !(fooled.is_empty() || self.clean.is_empty());
            let curve = is_measured.then(|| RocCurve::new(&self.clean, fooled));
            Ok(curve.transpose()?)
        };
        self.fooled.iter().map(curve).collect()
    }

    fn scores(
        &self,
        model: &dyn AttackedModel,
        images: &Images,
        wanted: &[bool],
    ) -> Result<Vec<f64>, Error> {
        let places: Vec<usize> = (0..images.len()).filter(|&place| wanted[place]).collect();
        if places.is_empty() {
            return Ok(Vec::new());
        }
        self.detector.scores(model, &images.select(&places))
    }
}

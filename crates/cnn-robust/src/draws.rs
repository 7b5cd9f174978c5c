//! Where an attack's random numbers come from.

use std::collections::BTreeMap;

use cnn_core::Key;

use crate::{Error, Images};

/// What is drawn: an attack draws for each image by itself, so that what becomes of it does not
/// depend on which others are in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// What it is for, such as `start`.
    pub name: &'static str,
    /// The image's number in the dataset.
    pub sample: u64,
    /// The restart, from 0.
    pub restart: u64,
    /// The step, from 0.
    pub step: u64,
}

impl Draw {
    /// A draw of the first restart and step.
    pub fn new(name: &'static str, sample: u64) -> Self {
        Self {
            name,
            sample,
            restart: 0,
            step: 0,
        }
    }

    /// In a later restart.
    #[must_use]
    pub fn in_restart(self, restart: usize) -> Self {
        Self {
            restart: restart as u64,
            ..self
        }
    }

    /// In a later step.
    #[must_use]
    pub fn in_step(self, step: usize) -> Self {
        Self {
            step: step as u64,
            ..self
        }
    }
}

/// A source of random numbers: a [`Key`], or [`RecordedDraws`].
pub trait Draws {
    /// So many numbers uniform in `[0, 1)`.
    ///
    /// # Errors
    /// If they were not recorded.
    fn uniform(&self, draw: Draw, count: usize) -> Result<Vec<f64>, Error>;

    /// So many numbers of the standard normal distribution.
    ///
    /// # Errors
    /// If they were not recorded.
    fn normal(&self, draw: Draw, count: usize) -> Result<Vec<f64>, Error>;
}

fn key_of(root: &Key, draw: Draw) -> Key {
    let of_sample = root.stream(draw.name).at(draw.sample);
    of_sample.at(draw.restart).at(draw.step)
}

impl Draws for Key {
    fn uniform(&self, draw: Draw, count: usize) -> Result<Vec<f64>, Error> {
        let mut rng = key_of(self, draw).rng();
        Ok((0..count).map(|_| rng.uniform()).collect())
    }

    fn normal(&self, draw: Draw, count: usize) -> Result<Vec<f64>, Error> {
        let mut rng = key_of(self, draw).rng();
        Ok((0..count).map(|_| rng.normal()).collect())
    }
}

/// Random numbers that were drawn elsewhere, to compare with another program's attack.
///
/// The `n`th image, counted from 0, has the number `n` in [`Draw::sample`].
#[derive(Clone, Debug, Default)]
pub struct RecordedDraws {
    /// By name, restart and step: one row for each image.
    rows: BTreeMap<(String, u64, u64), Images>,
}

impl RecordedDraws {
    /// Adds the numbers of a draw for all images, which are those of the same place in `rows`.
    #[must_use]
    pub fn with(mut self, name: &str, restart: usize, step: usize, rows: Images) -> Self {
        let place = (name.to_string(), restart as u64, step as u64);
        self.rows.insert(place, rows);
        self
    }

    fn find(&self, draw: Draw, count: usize) -> Result<Vec<f64>, Error> {
        let place = (draw.name.to_string(), draw.restart, draw.step);
        let found = self.rows.get(&place);
        let row = found
            .filter(|rows| (draw.sample as usize) < rows.len())
            .map(|rows| rows.image(draw.sample as usize))
            .filter(|row| row.len() == count);
        row.map(<[f64]>::to_vec).ok_or_else(|| {
            let wanted = format!(
                "{count} numbers for image {} in restart {}, step {}",
                draw.sample, draw.restart, draw.step
            );
            Error::argument("draws", format!("none under `{}`", draw.name), wanted)
        })
    }
}

impl Draws for RecordedDraws {
    fn uniform(&self, draw: Draw, count: usize) -> Result<Vec<f64>, Error> {
        self.find(draw, count)
    }

    fn normal(&self, draw: Draw, count: usize) -> Result<Vec<f64>, Error> {
        self.find(draw, count)
    }
}

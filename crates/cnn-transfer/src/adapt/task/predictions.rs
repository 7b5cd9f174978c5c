//! What the network says of test images after each epoch.

use cnn_layers::{Buffer, Init, Mode, Store};

use super::Unlabelled;
use crate::Error;

/// Stands for an image that could not be read.
const UNREAD: f32 = -1.;

/// The class of each test image after each epoch, which the resume file keeps. Whoever has the
/// images' labels finds out afterwards what another epoch would have given.
pub(super) struct Predictions {
    pub(super) images: Unlabelled,
    pub(super) store: Store,
    /// How many epochs have been written.
    epochs: Buffer,
    /// `(epochs, images)`.
    classes: Buffer,
}

impl Predictions {
    /// For so many epochs, none of which was written.
    pub(super) fn new(images: Unlabelled, epochs: usize) -> Result<Self, Error> {
        let store = Store::new(0);
        let root = store.builder(Mode::Eval);
        let shape = [epochs, images.len()];
        Ok(Self {
            epochs: root.buffer("epochs", &[1], Init::ZEROS)?,
            classes: root.buffer("classes", &shape, Init::Constant(f64::from(UNREAD)))?,
            images,
            store,
        })
    }

    /// Writes an epoch: the number of each image that was read, and its class.
    pub(super) fn write(&self, classes: impl Iterator<Item = (usize, u32)>) -> Result<(), Error> {
        let epoch = self.written()?;
        let mut all = self.classes.get().to_vec2::<f32>()?;
        if let Some(row) = all.get_mut(epoch) {
            for (image, class) in classes {
                row[image] = class as f32;
            }
        }
        let shape = self.classes.get().dims().to_vec();
        let device = candle_core::Device::Cpu;
        let classes = candle_core::Tensor::from_vec(all.concat(), shape, &device)?;
        self.classes.set(&classes)?;
        self.epochs
            .set(&candle_core::Tensor::new(&[epoch as f32 + 1.], &device)?)?;
        Ok(())
    }

    /// The epochs that were written: the class of each image, `None` where it could not be read.
    pub(super) fn all(&self) -> Result<Vec<Vec<Option<u32>>>, Error> {
        let rows = self.classes.get().to_vec2::<f32>()?;
        let class = |class: f32| (class != UNREAD).then_some(class as u32);
        let rows = rows.into_iter().take(self.written()?);
        Ok(rows
            .map(|row| row.into_iter().map(class).collect())
            .collect())
    }

    fn written(&self) -> Result<usize, Error> {
        Ok(self.epochs.get().to_vec1::<f32>()?[0] as usize)
    }
}

//! Counting what an attack asks of a model.

use std::cell::Cell;

use candle_core::DType;

use crate::{AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits};

/// How many images a model was asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queries {
    /// Passes forward, those of gradients among them.
    pub forward: usize,
    /// Passes backward.
    pub backward: usize,
}

/// A model that counts the images that it is asked about.
pub struct Counted<'a> {
    model: &'a dyn AttackedModel,
    queries: Cell<Queries>,
}

impl<'a> Counted<'a> {
    /// Counts from 0.
    pub fn new(model: &'a dyn AttackedModel) -> Self {
        Self {
            model,
            queries: Cell::default(),
        }
    }

    /// What was asked so far.
    pub fn queries(&self) -> Queries {
        self.queries.get()
    }

    fn add(&self, forward: usize, backward: usize) {
        let so_far = self.queries.get();
        self.queries.set(Queries {
            forward: so_far.forward + forward,
            backward: so_far.backward + backward,
        });
    }
}

impl AttackedModel for Counted<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn dtype(&self) -> DType {
        self.model.dtype()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        self.add(images.len(), 0);
        self.model.logits(images)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        self.add(images.len(), images.len());
        self.model.gradient(images, loss)
    }
}

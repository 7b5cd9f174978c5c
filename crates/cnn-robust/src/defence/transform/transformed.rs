//! A network behind input transforms, as an attack that knows of them sees it.

use super::InputTransform;
use crate::{AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits};

/// A model that sees what transforms make of images, one after the other. Its gradient goes back
/// through each: by the transform's own rule, which is the identity where it has no useful
/// derivative (backward pass differentiable approximation, BPDA; Athalye et al. 2018,
/// arXiv:1802.00420).
///
/// ```
/// use cnn_layers::Mode;
/// use cnn_models::{ModelConfig, Network};
/// use cnn_robust::defence::{BitDepth, InputTransform, Transformed};
/// use cnn_robust::{AttackedModel, Images, PixelClassifier};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let bare = PixelClassifier::new(network.model(), network.preprocessing())?;
/// let transforms: Vec<Box<dyn InputTransform>> = vec![Box::new(BitDepth::new(1)?)];
/// let defended = Transformed::new(&bare, &transforms);
/// let images = |value| Images::new(1, [32, 32, 3], vec![value; 32 * 32 * 3]);
/// // Of one bit there are black and white.
/// assert_eq!(defended.logits(&images(0.7)?)?, bare.logits(&images(1.)?)?);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Transformed<'a> {
    model: &'a dyn AttackedModel,
    transforms: &'a [Box<dyn InputTransform>],
}

impl<'a> Transformed<'a> {
    /// A model behind these transforms, in their order; behind none it is the model itself.
    pub fn new(model: &'a dyn AttackedModel, transforms: &'a [Box<dyn InputTransform>]) -> Self {
        Self { model, transforms }
    }

    /// What each transform is given, and last what the model sees.
    fn stages(&self, images: &Images) -> Result<Vec<Images>, Error> {
        let mut stages = vec![images.clone()];
        for (place, transform) in self.transforms.iter().enumerate() {
            stages.push(transform.apply(&stages[place])?);
        }
        Ok(stages)
    }
}

impl AttackedModel for Transformed<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        let stages = self.stages(images)?;
        self.model.logits(&stages[self.transforms.len()])
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        let stages = self.stages(images)?;
        let mut found = self.model.gradient(&stages[self.transforms.len()], loss)?;
        for (transform, given) in self.transforms.iter().zip(&stages).rev() {
            found.images = transform.backward(given, found.images)?;
        }
        Ok(found)
    }
}

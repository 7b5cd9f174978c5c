//! A network behind its normalisation.

use candle_core::{DType, Var};
use cnn_core::Preprocessing;
use cnn_layers::{Classifier, Context, FeatureMap, backward};

use super::Normalization;
use crate::{AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits};

/// A network as a function of images with values in 0..1, red, green, blue: its normalisation is
/// inside, and batch-norm keeps its running statistics.
///
/// ```
/// use cnn_layers::Mode;
/// use cnn_models::{ModelConfig, Network};
/// use cnn_robust::attack::{Attack, AttackBatch, Pgd};
/// use cnn_robust::{AttackedModel, Images, PixelClassifier, Threat};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let fast = network.build(Mode::Inference)?;
/// let model = PixelClassifier::new(network.model(), network.preprocessing())?
///     .with_scorer(fast.as_ref());
///
/// let images = Images::new(2, [32, 32, 3], vec![0.5; 2 * 32 * 32 * 3])?;
/// let labels = model.logits(&images)?.predictions();
/// let threat = Threat::linf(8. / 255.)?;
/// let attack = Pgd::new(threat).with_steps(3);
/// let adversarial = attack.run(&model, &AttackBatch::new(images.clone(), labels)?)?;
/// let change = adversarial.minus(&images);
/// assert!(threat.norm.size(change.image(0)) <= threat.eps + 1e-12);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct PixelClassifier<'a> {
    model: &'a dyn Classifier,
    scorer: &'a dyn Classifier,
    dtype: DType,
    normalization: Normalization,
}

impl<'a> PixelClassifier<'a> {
    /// A network, built in [`Mode::Eval`](cnn_layers::Mode::Eval), that wants its images as
    /// `record` says. What the record says of sizes is not asked: images come at the network's
    /// size. Default: a network of f32 weights.
    ///
    /// # Errors
    /// If the record is invalid.
    pub fn new(model: &'a dyn Classifier, record: &Preprocessing) -> Result<Self, Error> {
        Ok(Self {
            model,
            scorer: model,
            dtype: DType::F32,
            normalization: Normalization::new(record)?,
        })
    }

    /// The same network built for inference, for scores without a gradient.
    #[must_use]
    pub fn with_scorer(self, scorer: &'a dyn Classifier) -> Self {
        Self { scorer, ..self }
    }

    /// The element type of the network's weights.
    #[must_use]
    pub fn with_dtype(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }
}

impl AttackedModel for PixelClassifier<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        let inputs = FeatureMap::from_nhwc(&self.normalization.inputs(images, self.dtype)?)?;
        Logits::from_tensor(&self.scorer.forward(&inputs, &Context::eval())?)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        let inputs = Var::from_tensor(&self.normalization.inputs(images, self.dtype)?)?;
        let maps = FeatureMap::from_nhwc(&inputs)?;
        let scores = self.model.forward(&maps, &Context::eval())?;
        let logits = Logits::from_tensor(&scores)?;
        let mut upstream = logits.zeros_like();
        let losses = (0..logits.len())
            .map(|index| loss.loss(index, logits.row(index), upstream.row_mut(index)))
            .collect();
        let weighted = (scores * upstream.to_tensor(self.dtype)?)?.sum_all()?;
        let gradients = backward(&weighted)?;
        let gradient = match gradients.get(&inputs) {
            Some(gradient) => self.normalization.gradient(gradient)?,
            // The scores do not depend on the images.
            None => images.zeros_like(),
        };
        Ok(ImageGradient {
            logits,
            losses,
            images: gradient,
        })
    }
}

//! A network behind its normalisation.

use candle_core::{DType, Tensor, Var};
use cnn_core::{ColorOrder, Preprocessing};
use cnn_layers::{Classifier, Context, FeatureMap, backward};

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
    /// What each channel is multiplied with.
    scale: Vec<f64>,
    /// What is added to each channel then.
    shift: Vec<f64>,
    color_order: ColorOrder,
}

impl<'a> PixelClassifier<'a> {
    /// A network, built in [`Mode::Eval`](cnn_layers::Mode::Eval), that wants its images as `record`
    /// says. What the record says of sizes is not asked: images come at the network's size. Default:
    /// a network of f32 weights.
    ///
    /// # Errors
    /// If the record is invalid.
    pub fn new(model: &'a dyn Classifier, record: &Preprocessing) -> Result<Self, Error> {
        let wrong = |error: cnn_core::Error| Error::Other(Box::new(error));
        record.validate().map_err(wrong)?;
        let [black, white] = record.value_range;
        let range = white - black;
        let channels = record.mean.iter().zip(&record.std);
        Ok(Self {
            model,
            scorer: model,
            dtype: DType::F32,
            scale: record.std.iter().map(|std| range / std).collect(),
            shift: channels.map(|(mean, std)| (black - mean) / std).collect(),
            color_order: record.color_order,
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

    /// The network's input `(N, H, W, C)`.
    fn normalized(&self, images: &Images) -> Result<Tensor, Error> {
        let channels = images.size()[2];
        if channels != self.scale.len() {
            let expected = format!("{}, as the network takes", self.scale.len());
            return Err(Error::argument("channels", channels, expected));
        }
        let mut inputs = images.clone();
        for pixel in inputs.values_mut().chunks_exact_mut(channels) {
            self.reorder(pixel);
            let constants = self.scale.iter().zip(&self.shift);
            for (value, (scale, shift)) in pixel.iter_mut().zip(constants) {
                *value = *value * scale + shift;
            }
        }
        inputs.to_nhwc(self.dtype)
    }

    /// From red, green, blue to the network's order, or back.
    fn reorder(&self, pixel: &mut [f64]) {
        if self.color_order == ColorOrder::Bgr {
            pixel.reverse();
        }
    }
}

impl AttackedModel for PixelClassifier<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        let inputs = FeatureMap::from_nhwc(&self.normalized(images)?)?;
        Logits::from_tensor(&self.scorer.forward(&inputs, &Context::eval())?)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        let inputs = Var::from_tensor(&self.normalized(images)?)?;
        let maps = FeatureMap::from_nhwc(&inputs)?;
        let scores = self.model.forward(&maps, &Context::eval())?;
        let logits = Logits::from_tensor(&scores)?;
        let mut upstream = logits.zeros_like();
        let losses = (0..logits.len())
            .map(|index| loss.loss(index, logits.row(index), upstream.row_mut(index)))
            .collect();
        let weighted = (scores * upstream.to_tensor(self.dtype)?)?.sum_all()?;
        let gradients = backward(&weighted)?;
        let mut gradient = match gradients.get(&inputs) {
            Some(gradient) => Images::from_nhwc(gradient)?,
            // The scores do not depend on the images.
            None => images.zeros_like(),
        };
        for pixel in gradient.values_mut().chunks_exact_mut(self.scale.len()) {
            for (value, scale) in pixel.iter_mut().zip(&self.scale) {
                *value *= scale;
            }
            self.reorder(pixel);
        }
        Ok(ImageGradient {
            logits,
            losses,
            images: gradient,
        })
    }
}

//! Any method on a batch of images.

use candle_core::{Device, Tensor};
use cnn_core::Key;
use cnn_layers::{BackwardRule, FeatureMap};

use super::attribution::{Moments, integrated_gradients, noisy_gradients, occlusion};
use super::cam::class_activation_maps;
use super::explained::Explained;
use super::method::{Attribution, Kind};
use super::subject::{Subject, values};
use super::target::Score;
use super::{Explanation, Method, Place, Smoothing, Target};
use crate::Error;
use crate::picture::Heatmap;

/// Explains the scores of a model, a classifier, a network for pixels or one that finds objects, with
/// any [`Method`].
///
/// The model must be built in [`Mode::Eval`](cnn_layers::Mode::Eval): gradients flow through it
/// then, whether or not its weights are frozen.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::FeatureMap;
/// use cnn_models::{ModelConfig, Network};
/// use cnn_viz::{Explainer, Method, Target};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let images = FeatureMap::from_nchw(&Tensor::randn(0f32, 1., (2, 3, 32, 48), &Device::Cpu)?)?;
/// let explanation =
///     Explainer::new(network.model()).explain(Method::GradCam, &images, &[Target::PREDICTED])?;
/// assert_eq!(explanation.to_tensor()?.dims(), [2, 32, 48]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Explainer<'a> {
    model: Explained<'a>,
    scorer: Explained<'a>,
    places: Vec<Place>,
    smoothing: Smoothing,
    batch_size: usize,
    samples: usize,
    noise_level: f64,
    noise: Option<Vec<Tensor>>,
    steps: Option<usize>,
    window: Option<([usize; 2], [usize; 2])>,
    key: Key,
    progress: Option<&'a dyn Fn(usize, usize)>,
}

impl<'a> Explainer<'a> {
    /// Class activation maps at the last map, without smoothing; 16 images per pass; 25 noisy
    /// copies with a noise of 15 % of the input's range; complete Integrated Gradients; occlusion
    /// by squares of an eighth of the input's shorter side that move by half of it; seed 0.
    pub fn new(model: impl Into<Explained<'a>>) -> Self {
        let model = model.into();
        Self {
            model,
            scorer: model,
            places: vec![Place::Last],
            smoothing: Smoothing::default(),
            batch_size: 16,
            samples: 25,
            noise_level: 0.15,
            noise: None,
            steps: None,
            window: None,
            key: Key::new(0),
            progress: None,
        }
    }

    /// The same with passes that need no gradients run on another build of the model, for
    /// [`Mode::Inference`](cnn_layers::Mode::Inference).
    pub fn with_scorer(self, scorer: impl Into<Explained<'a>>) -> Self {
        Self {
            scorer: scorer.into(),
            ..self
        }
    }

    /// The same on another network of the same architecture, say a randomised copy, and its build
    /// for passes that need no gradients.
    pub fn on<'b>(
        &self,
        model: impl Into<Explained<'b>>,
        scorer: impl Into<Explained<'b>>,
    ) -> Explainer<'b>
    where
        'a: 'b,
    {
        Explainer {
            model: model.into(),
            scorer: scorer.into(),
            ..self.clone()
        }
    }

    /// The same with class activation maps read elsewhere; of several places the mean. None stands
    /// for the last map.
    pub fn with_places(self, places: Vec<Place>) -> Self {
        Self {
            places: if places.is_empty() {
                vec![Place::Last]
            } else {
                places
            },
            ..self
        }
    }

    /// The same with class activation maps smoothed.
    pub fn with_smoothing(self, smoothing: Smoothing) -> Self {
        Self { smoothing, ..self }
    }

    /// The same with at most so many images in a pass of the methods that need many: their memory
    /// is bounded by it.
    pub fn with_batch_size(self, batch_size: usize) -> Self {
        Self {
            batch_size: batch_size.max(1),
            ..self
        }
    }

    /// The same with so many noisy copies, whose noise has a standard deviation of `level` times
    /// the range of the image's values.
    pub fn with_samples(self, samples: usize, level: f64) -> Self {
        Self {
            samples: samples.max(1),
            noise_level: level,
            noise: None,
            ..self
        }
    }

    /// The same with given noises, one tensor `(N, H, W, C)` for each noisy copy.
    pub fn with_noise(self, noise: Vec<Tensor>) -> Self {
        Self {
            samples: noise.len(),
            noise: Some(noise),
            ..self
        }
    }

    /// The same with Integrated Gradients by Gauss and Legendre's rule with so many steps. Default:
    /// the midpoint rule on intervals that are split until the attribution is complete to half a
    /// percent, at most 600 gradients.
    pub fn with_steps(self, steps: usize) -> Self {
        Self {
            steps: Some(steps.max(1)),
            ..self
        }
    }

    /// The same with occlusion by rectangles of `window` that move by `stride`, `[rows, columns]`.
    pub fn with_window(self, window: [usize; 2], stride: [usize; 2]) -> Self {
        Self {
            window: Some((
                window.map(|side| side.max(1)),
                stride.map(|side| side.max(1)),
            )),
            ..self
        }
    }

    /// The same with noise from another key.
    pub fn with_key(self, key: Key) -> Self {
        Self { key, ..self }
    }

    /// The same telling its progress: passes over single images done, and in all.
    pub fn with_progress(self, progress: &'a dyn Fn(usize, usize)) -> Self {
        Self {
            progress: Some(progress),
            ..self
        }
    }

    /// The most images in a pass of the methods that need many.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Explains a target of each image; one target stands for all.
    ///
    /// # Shapes
    /// `images` `(N, H, W, C)`, any H and W that the model takes, to N maps of `(H, W)`.
    ///
    /// # Errors
    /// [`Error::Argument`] if a class or stage does not exist or there are not as many
    /// targets or noises as images; [`Error::NoGradient`] if the model was built for inference and
    /// the method needs gradients; [`Error::Network`] if the images do not fit.
    pub fn explain(
        &self,
        method: Method,
        images: &FeatureMap,
        targets: &[Target],
    ) -> Result<Explanation, Error> {
        self.check_places()?;
        let images = images.detach();
        let xs = images.to_nhwc();
        let Self {
            model,
            scorer,
            batch_size,
            progress,
            ..
        } = *self;
        let (scores, features) = scorer.resolve(&images, targets)?;
        let subject = Subject {
            model,
            scorer,
            batch_size,
            progress,
            known: features.as_ref().map(|features| (xs.id(), features)),
        };
        let rule = match method.kind() {
            Kind::Attribution(rule) => rule,
            Kind::Cam(cam) => {
                let maps = class_activation_maps(
                    &subject,
                    cam,
                    &self.places,
                    self.smoothing,
                    &xs,
                    &scores,
                )?;
                let maps = maps
                    .into_iter()
                    .map(|map| Heatmap::new(images.height(), images.width(), map, false));
                return Ok(Explanation {
                    method,
                    scores,
                    maps: maps.collect::<Result<_, _>>()?,
                    attribution: None,
                    completeness_gaps: None,
                });
            }
        };
        let gradient = |rule| Ok::<_, Error>(subject.gradient(&xs, &scores, rule)?.1);
        let mut completeness_gaps = None;
        let attribution = match rule {
            Attribution::Gradient => gradient(BackwardRule::Standard)?,
            Attribution::GradientXInput => (gradient(BackwardRule::Standard)? * &xs)?,
            Attribution::SmoothGrad => self.noisy(&subject, &xs, &scores)?.mean,
            Attribution::VarGrad => self.noisy(&subject, &xs, &scores)?.variance,
            Attribution::IntegratedGradients => {
                let (attribution, gaps) = self.integrated(&subject, &xs, &scores)?;
                completeness_gaps = Some(gaps);
                attribution
            }
            Attribution::GuidedBackprop => gradient(BackwardRule::Guided)?,
            Attribution::Deconvnet => gradient(BackwardRule::Deconvnet)?,
            Attribution::Occlusion => {
                let side = (images.height().min(images.width()) / 8).max(1);
                let (window, stride) = self.window.unwrap_or(([side; 2], [side.div_ceil(2); 2]));
                occlusion(&subject, &xs, &scores, window, stride)?
            }
        };
        let map = |image: usize| over_channels(&attribution.get(image)?, method.is_signed());
        let maps = (0..images.batch()).map(map).collect::<Result<_, _>>()?;
        let attribution = Some(attribution.permute((0, 3, 1, 2))?.contiguous()?);
        Ok(Explanation {
            method,
            scores,
            maps,
            attribution,
            completeness_gaps,
        })
    }

    fn noisy(
        &self,
        subject: &Subject<'_>,
        xs: &Tensor,
        scores: &[Score],
    ) -> Result<Moments, Error> {
        if let Some(noise) = &self.noise {
            if noise.is_empty() {
                return Err(Error::argument("noise", "none", "at least one"));
            }
            if let Some(wrong) = noise.iter().find(|noise| noise.dims() != xs.dims()) {
                return Err(Error::argument(
                    "noise",
                    format!("{:?}", wrong.dims()),
                    format!("{:?}", xs.dims()),
                ));
            }
            return noisy_gradients(subject, xs, scores, noise.len(), &mut |sample| {
                Ok(noise[sample].clone())
            });
        }
        let mut deviations = Vec::with_capacity(scores.len());
        for image in 0..scores.len() {
            let values = values(&xs.get(image)?)?;
            let extreme = |sign: f32| {
                values
                    .iter()
                    .fold(f32::NEG_INFINITY, |most, value| most.max(sign * value))
            };
            deviations.push((extreme(1.) + extreme(-1.)) * self.noise_level as f32);
        }
        let per_image = xs.elem_count() / scores.len();
        noisy_gradients(subject, xs, scores, self.samples, &mut |sample| {
            let mut rng = self.key.stream("noise").at(sample as u64).rng();
            let mut noise = vec![0f32; xs.elem_count()];
            for (image, deviation) in noise.chunks_exact_mut(per_image).zip(&deviations) {
                rng.fill_normal(image, 0., *deviation);
            }
            Ok(Tensor::from_vec(noise, xs.dims(), &Device::Cpu)?.to_dtype(xs.dtype())?)
        })
    }

    /// Integrated Gradients and how far from complete they are, image by image.
    fn integrated(
        &self,
        subject: &Subject<'_>,
        xs: &Tensor,
        scores: &[Score],
    ) -> Result<(Tensor, Vec<f64>), Error> {
        let one = |(image, score): (usize, &Score)| {
            let image = xs.narrow(0, image, 1)?;
            match self.steps {
                Some(steps) => integrated_gradients::with_steps(subject, &image, score, steps),
                None => integrated_gradients::complete(subject, &image, score),
            }
        };
        let found = scores
            .iter()
            .enumerate()
            .map(one)
            .collect::<Result<Vec<_>, _>>()?;
        let attributions: Vec<&Tensor> = found
            .iter()
            .map(|integrated| &integrated.attribution)
            .collect();
        Ok((
            Tensor::cat(&attributions, 0)?,
            found.iter().map(|integrated| integrated.gap).collect(),
        ))
    }

    fn check_places(&self) -> Result<(), Error> {
        let stages = self.model.stages().len();
        let unknown = self.places.iter().find_map(|place| match place {
            Place::Stage(stage) if *stage >= stages => Some(stage),
            _ => None,
        });
        match unknown {
            Some(stage) => Err(Error::argument(
                "stage",
                stage,
                format!("0 to {}", stages.saturating_sub(1)),
            )),
            None => Ok(()),
        }
    }
}

/// One value for each pixel of an attribution `(H, W, C)`: the sum over the channels, or of their
/// magnitudes.
fn over_channels(attribution: &Tensor, signed: bool) -> Result<Heatmap, Error> {
    let (height, width, channels) = attribution.dims3()?;
    let sum = |pixel: &[f32]| {
        pixel
            .iter()
            .map(|value| if signed { *value } else { value.abs() })
            .sum()
    };
    Heatmap::new(
        height,
        width,
        values(attribution)?
            .chunks_exact(channels)
            .map(sum)
            .collect(),
        signed,
    )
}

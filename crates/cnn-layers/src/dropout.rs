//! Dropout and stochastic depth, drawn from the context's key and the layer's path.

use candle_core::{DType, Device, Result, Tensor};
use cnn_core::Key;
use cnn_kernels::scale_channels;

use crate::{Builder, Context, Error, FeatureMap, Layer, LayerKind};

/// In training, sets each value to zero with probability `p` and divides the rest by `1 − p`
/// (Srivastava et al. 2014); otherwise the identity.
///
/// # Shapes
/// Any to the same.
#[derive(Debug, Clone)]
pub struct Dropout {
    path: String,
    p: f64,
}

impl Dropout {
    /// Dropout at the builder's place, with the probability `p` of a zero.
    ///
    /// # Errors
    /// If `p` is not in `[0, 1)`.
    pub fn new(p: f64, builder: &Builder) -> Result<Self> {
        Ok(Self {
            path: builder.path().to_string(),
            p: probability(p, builder)?,
        })
    }

    /// Applies it to vectors, `(N, features)`.
    ///
    /// # Errors
    /// If the product cannot be computed.
    pub fn forward_vectors(&self, xs: &Tensor, cx: &Context<'_>) -> Result<Tensor> {
        cx.layer(&self.path, self.kind(), &[xs.into()], || {
            self.compute(xs, cx)
        })
    }

    fn compute(&self, xs: &Tensor, cx: &Context<'_>) -> Result<Tensor> {
        match cx.random(&self.path) {
            Some(key) if self.p > 0. => {
                xs.mul(&mask(key, self.p, xs.dims(), (xs.dtype(), xs.device()))?)
            }
            _ => cx.unchanged(xs),
        }
    }

    fn kind(&self) -> LayerKind {
        LayerKind::Dropout { p: self.p }
    }
}

impl Layer for Dropout {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let compute = || FeatureMap::from_nhwc(&self.compute(&xs.to_nhwc(), cx)?);
        cx.layer(&self.path, self.kind(), &[xs.into()], compute)
    }
}

/// In training, sets whole channels of an image to zero with probability `p`, each channel of each
/// image for itself, and divides the others by `1 − p` (Tompson et al. 2015, "SpatialDropout");
/// otherwise the identity. Neighbouring pixels of a map are much alike, so that single zeros among
/// them would hide little.
///
/// # Shapes
/// `(N, H, W, C)` to the same.
#[derive(Debug, Clone)]
pub struct Dropout2d {
    path: String,
    p: f64,
}

impl Dropout2d {
    /// Dropout of channels at the builder's place, with the probability `p` that one is zero.
    ///
    /// # Errors
    /// If `p` is not in `[0, 1)`.
    pub fn new(p: f64, builder: &Builder) -> Result<Self> {
        Ok(Self {
            path: builder.path().to_string(),
            p: probability(p, builder)?,
        })
    }
}

impl Layer for Dropout2d {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let kind = LayerKind::Dropout2d { p: self.p };
        cx.layer(&self.path, kind, &[xs.into()], || {
            match cx.random(&self.path) {
                Some(key) if self.p > 0. => {
                    let shape = [xs.batch(), 1, 1, xs.channels()];
                    let mask = mask(key, self.p, &shape, (xs.dtype(), xs.device()))?;
                    scale_channels(xs, &FeatureMap::from_nhwc(&mask)?)
                }
                _ => cx.unchanged_maps(xs),
            }
        })
    }
}

/// In training, sets a whole image's maps to zero with probability `p` and divides the others by
/// `1 − p`: placed on a residual branch, stochastic depth (Huang et al. 2016). Otherwise the
/// identity.
///
/// # Shapes
/// `(N, H, W, C)` to the same.
#[derive(Debug, Clone)]
pub struct DropPath {
    path: String,
    p: f64,
}

impl DropPath {
    /// Stochastic depth at the builder's place, with the probability `p` that a branch is dropped.
    ///
    /// # Errors
    /// If `p` is not in `[0, 1)`.
    pub fn new(p: f64, builder: &Builder) -> Result<Self> {
        Ok(Self {
            path: builder.path().to_string(),
            p: probability(p, builder)?,
        })
    }

    /// Whether it drops anything now.
    pub(crate) fn drops(&self, cx: &Context<'_>) -> bool {
        self.p > 0. && cx.random(&self.path).is_some()
    }
}

impl Layer for DropPath {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let kind = LayerKind::DropPath { p: self.p };
        cx.layer(&self.path, kind, &[xs.into()], || {
            match cx.random(&self.path) {
                Some(key) if self.p > 0. => {
                    let values = xs.to_nhwc();
                    FeatureMap::from_nhwc(&values.broadcast_mul(&mask(
                        key,
                        self.p,
                        &[xs.batch(), 1, 1, 1],
                        (xs.dtype(), xs.device()),
                    )?)?)
                }
                _ => cx.unchanged_maps(xs),
            }
        })
    }
}

fn probability(p: f64, builder: &Builder) -> Result<f64> {
    if (0. ..1.).contains(&p) {
        return Ok(p);
    }
    let layer = builder.path().to_string();
    let expected = "at least 0 and less than 1".to_string();
    Err(Error::Config {
        layer,
        what: "the drop probability",
        found: p.to_string(),
        expected,
    }
    .into())
}

/// Zeros with probability `p`, `1 / (1 − p)` otherwise, of an element type and on a device.
fn mask(key: Key, p: f64, shape: &[usize], (dtype, device): (DType, &Device)) -> Result<Tensor> {
    let mut rng = key.rng();
    let keep = (1. / (1. - p)) as f32;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| if rng.bernoulli(p) { 0. } else { keep })
        .collect();
    Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Mode, Store};

    #[test]
    fn dropout_keeps_the_mean_and_repeats_with_the_key() {
        let builder = Store::new(0).builder(Mode::Train).pp("drop");
        let dropout = Dropout::new(0.25, &builder).unwrap();
        let xs = Tensor::ones((100, 100), DType::F32, &Device::Cpu).unwrap();
        let pass = |cx: &Context<'_>| {
            let ys = dropout.forward_vectors(&xs, cx).unwrap();
            ys.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let draw = |seed| pass(&Context::train(Key::new(seed)));
        let ys = draw(1);
        let zeros = ys.iter().filter(|&&y| y == 0.).count();
        assert!((2300..2700).contains(&zeros), "{zeros} zeros of 10,000");
        assert!(ys.iter().all(|&y| y == 0. || y == 4. / 3.));
        assert_eq!(ys, draw(1));
        assert_ne!(ys, draw(2));
        let second = || pass(&Context::train(Key::new(1)).stream("second"));
        assert_ne!(ys, second());
        assert_eq!(second(), second());
        let eval = dropout.forward_vectors(&xs, &Context::eval()).unwrap();
        assert!(
            eval.flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
                .iter()
                .all(|&y| y == 1.)
        );
        assert!(Dropout::new(1., &builder).is_err() && DropPath::new(f64::NAN, &builder).is_err());
    }

    #[test]
    fn dropout2d_drops_whole_channels_of_each_image() {
        let builder = Store::new(0).builder(Mode::Train).pp("drop");
        let drop = Dropout2d::new(0.25, &builder).unwrap();
        let ones = Tensor::ones((20, 3, 5, 50), DType::F32, &Device::Cpu).unwrap();
        let xs = FeatureMap::from_nhwc(&ones).unwrap();
        let maps = |cx: &Context<'_>| {
            let ys = drop.forward(&xs, cx).unwrap().to_nchw().unwrap();
            let maps = ys.flatten(2, 3).unwrap().flatten(0, 1).unwrap();
            maps.to_vec2::<f32>().unwrap()
        };
        let draw = |seed| maps(&Context::train(Key::new(seed)));
        let drawn = draw(1);
        let whole = |map: &Vec<f32>| {
            map.iter()
                .all(|&y| y == map[0] && (y == 0. || y == 4. / 3.))
        };
        assert!(drawn.iter().all(whole));
        let zeros = drawn.iter().filter(|map| map[0] == 0.).count();
        assert!((200..300).contains(&zeros), "{zeros} zeros of 1,000");
        // Each image has channels of its own.
        assert!(drawn[..50] != drawn[50..100]);
        assert!(drawn == draw(1) && drawn != draw(2));
        assert!(maps(&Context::eval()).iter().flatten().all(|&y| y == 1.));
        assert!(Dropout2d::new(-0.1, &builder).is_err());
    }

    #[test]
    fn drop_path_drops_whole_images() {
        let drop = DropPath::new(0.5, &Store::new(0).builder(Mode::Train)).unwrap();
        let xs =
            FeatureMap::from_nhwc(&Tensor::ones((64, 2, 3, 4), DType::F32, &Device::Cpu).unwrap())
                .unwrap();
        let ys = drop
            .forward(&xs, &Context::train(Key::new(3)))
            .unwrap()
            .to_nhwc()
            .flatten_from(1)
            .unwrap();
        let images = ys.to_vec2::<f32>().unwrap();
        assert!(
            images
                .iter()
                .all(|image| image.iter().all(|&v| v == image[0] && (v == 0. || v == 2.)))
        );
        let kept = images.iter().filter(|image| image[0] > 0.).count();
        assert!((20..44).contains(&kept), "{kept} of 64 kept");
    }
}

//! Batch normalisation.

use candle_core::{Result, Tensor};
use cnn_kernels::{
    BatchStatistics, MeasuredMap, batch_norm_running, batch_norm_train, concat_norm_running,
    concat_norm_train,
};

use crate::{
    Activation, BatchNormPolicy, Buffer, Builder, Context, FeatureMap, Init, Layer, LayerKind,
};

/// What a [`BatchNorm2d`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm2dConfig {
    channels: usize,
    eps: f64,
    momentum: f64,
    weight_init: Init,
    bias_init: Init,
}

impl BatchNorm2dConfig {
    /// PyTorch's defaults: eps 1e-5, momentum 0.1, weight 1, bias 0.
    pub const fn new(channels: usize) -> Self {
        Self {
            channels,
            eps: 1e-5,
            momentum: 0.1,
            weight_init: Init::ONES,
            bias_init: Init::ZEROS,
        }
    }

    /// Another number added to the variance.
    pub const fn with_eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Another share of the batch in the running averages:
    /// `running = (1 − momentum) · running + momentum · batch`.
    pub const fn with_momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Another initialisation of the weight; zeros for the last norm of a residual branch (Goyal et
    /// al. 2017).
    pub const fn with_weight_init(mut self, init: Init) -> Self {
        self.weight_init = init;
        self
    }

    /// Another initialisation of the bias.
    pub const fn with_bias_init(mut self, init: Init) -> Self {
        self.bias_init = init;
        self
    }

    /// Takes `weight`, `bias`, `running_mean`, `running_var` (all `(channels)`) and
    /// `num_batches_tracked` from the builder's place.
    ///
    /// # Errors
    /// If the store holds one of them with another shape.
    pub fn build(&self, builder: &Builder) -> Result<BatchNorm2d> {
        let shape = [self.channels];
        Ok(BatchNorm2d {
            weight: builder.param("weight", &shape, self.weight_init)?,
            bias: builder.param("bias", &shape, self.bias_init)?,
            running_mean: builder.buffer("running_mean", &shape, Init::ZEROS)?,
            running_var: builder.buffer("running_var", &shape, Init::ONES)?,
            num_batches_tracked: builder.counter("num_batches_tracked")?,
            frozen: (builder.is_frozen("weight") && builder.is_frozen("bias"))
                || builder.is_frozen("running_mean"),
            path: builder.path().to_string(),
            config: *self,
        })
    }
}

/// `(x − mean) / √(var + eps) · weight + bias` per channel (Ioffe & Szegedy 2015); the context's
/// [`BatchNormPolicy`] says whose mean and variance. The running variance is the unbiased one, as
/// in PyTorch.
///
/// A layer whose parameters or statistics are frozen in a model built for training uses its running
/// statistics and keeps them.
///
/// # Shapes
/// `(N, H, W, channels)` to the same.
#[derive(Debug, Clone)]
pub struct BatchNorm2d {
    path: String,
    config: BatchNorm2dConfig,
    weight: Tensor,
    bias: Tensor,
    running_mean: Buffer,
    running_var: Buffer,
    num_batches_tracked: Buffer,
    frozen: bool,
}

impl BatchNorm2d {
    /// The norm, a map that is added, and the activation after it, in one pass.
    pub(crate) fn forward_fused(
        &self,
        xs: &FeatureMap,
        residual: Option<&FeatureMap>,
        activation: Activation,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let kind = LayerKind::BatchNorm {
            eps: self.config.eps,
        };
        cx.layer(&self.path, kind, &[xs.into()], || {
            self.compute(xs, cx.batch_norm(), residual, activation)
        })
    }

    /// The norm of several maps' channels one after another, and the activation after it, in one
    /// pass that reads the maps where they lie.
    pub(crate) fn forward_concat(
        &self,
        maps: &[MeasuredMap],
        activation: Activation,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let kind = LayerKind::BatchNorm {
            eps: self.config.eps,
        };
        let inputs: Vec<_> = maps.iter().map(|map| map.map().into()).collect();
        cx.layer(&self.path, kind, &inputs, || {
            let eps = self.config.eps;
            if self.uses_running(cx.batch_norm()) {
                let maps: Vec<&FeatureMap> = maps.iter().map(MeasuredMap::map).collect();
                let running = [self.running_mean.get(), self.running_var.get()];
                let parameters = [&self.weight, &self.bias];
                return concat_norm_running(&maps, parameters, running.each_ref(), eps, activation);
            }
            let (ys, statistics) =
                concat_norm_train(maps, &self.weight, &self.bias, eps, activation)?;
            self.count(&statistics, cx.batch_norm())?;
            Ok(ys)
        })
    }

    /// The factor and the offset of each channel with running statistics, `(channels, 1, 1, 1)` and
    /// `(channels)`, in f64: what a convolution before it takes in.
    pub(crate) fn scale_and_shift(&self) -> Result<(Tensor, Tensor)> {
        let double = |tensor: &Tensor| tensor.to_dtype(candle_core::DType::F64);
        let mean = double(&self.running_mean.get())?;
        let var = double(&self.running_var.get())?;
        let scale = (double(&self.weight)? / (var + self.config.eps)?.sqrt()?)?;
        let shift = (double(&self.bias)? - (mean * &scale)?)?;
        Ok((scale.reshape((self.config.channels, 1, 1, 1))?, shift))
    }

    fn compute(
        &self,
        xs: &FeatureMap,
        policy: BatchNormPolicy,
        residual: Option<&FeatureMap>,
        activation: Activation,
    ) -> Result<FeatureMap> {
        let eps = self.config.eps;
        if self.uses_running(policy) {
            let mean = self.running_mean.get();
            let var = self.running_var.get();
            return batch_norm_running(
                xs,
                &self.weight,
                &self.bias,
                &mean,
                &var,
                eps,
                residual,
                activation,
            );
        }
        let (ys, statistics) =
            batch_norm_train(xs, &self.weight, &self.bias, eps, residual, activation)?;
        self.count(&statistics, policy)?;
        Ok(ys)
    }

    fn uses_running(&self, policy: BatchNormPolicy) -> bool {
        policy == BatchNormPolicy::Running || self.frozen
    }

    /// Moves the running averages where the policy says so.
    fn count(&self, statistics: &BatchStatistics, policy: BatchNormPolicy) -> Result<()> {
        if policy != BatchNormPolicy::Update {
            return Ok(());
        }
        let momentum = self.config.momentum;
        let averages = [
            (&self.running_mean, &statistics.mean),
            (&self.running_var, &statistics.unbiased_var),
        ];
        for (running, batch) in averages {
            running.set(&((running.get() * (1. - momentum))? + (batch * momentum)?)?)?;
        }
        let one = Tensor::new(1i64, self.num_batches_tracked.get().device())?;
        self.num_batches_tracked
            .set(&(self.num_batches_tracked.get() + one)?)
    }
}

impl Layer for BatchNorm2d {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.forward_fused(xs, None, Activation::Identity, cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Mode, Store};
    use candle_core::{Device, Tensor};
    use cnn_core::Key;

    fn forward(store: &Store, mode: Mode, cx: &Context<'_>) -> Vec<f32> {
        let norm = BatchNorm2dConfig::new(1)
            .build(&store.builder(mode).pp("bn"))
            .unwrap();
        let xs = Tensor::new(&[[[[1f32, 2., 3., 6.]]]], &Device::Cpu).unwrap();
        let ys = norm
            .forward(&FeatureMap::from_nchw(&xs).unwrap(), cx)
            .unwrap();
        ys.to_nchw()
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap()
    }

    fn running(store: &Store) -> (f32, f32, i64) {
        let scalar = |name: &str| store.get(name).unwrap().to_vec1::<f32>().unwrap()[0];
        let tracked = store
            .get("bn.num_batches_tracked")
            .unwrap()
            .to_scalar()
            .unwrap();
        (scalar("bn.running_mean"), scalar("bn.running_var"), tracked)
    }

    /// bn = torch.nn.BatchNorm2d(1); bn(torch.tensor([[[[1., 2., 3., 6.]]]])); bn.running_mean,
    /// bn.running_var -> 0.3, 1.366667; output of the batch -1.0690 -0.5345 0.0000 1.6036
    #[test]
    fn policies_use_and_move_the_right_statistics() {
        let store = Store::new(0);
        let train = Context::train(Key::new(0));
        let batch_only = forward(
            &store,
            Mode::Train,
            &train.with_batch_norm(BatchNormPolicy::BatchOnly),
        );
        assert_eq!(running(&store), (0., 1., 0));
        let updated = forward(&store, Mode::Train, &train);
        assert_eq!(batch_only, updated);
        assert!(
            (updated[0] + 1.0690).abs() < 1e-3 && (updated[3] - 1.6036).abs() < 1e-3,
            "{updated:?}"
        );
        let (mean, var, tracked) = running(&store);
        assert!(
            (mean - 0.3).abs() < 1e-6 && (var - 1.366_666_7).abs() < 1e-6 && tracked == 1,
            "{mean} {var} {tracked}"
        );
        let eval = forward(&store, Mode::Eval, &Context::eval());
        assert!(
            (eval[0] - (1. - 0.3) / (1.366_676_7f32).sqrt()).abs() < 1e-5,
            "{eval:?}"
        );
    }

    #[test]
    fn frozen_layers_keep_their_statistics_in_training() {
        let store = Store::new(0);
        forward(&store, Mode::Train, &Context::train(Key::new(0)));
        let before = running(&store);
        let stays = || {
            let frozen = forward(&store, Mode::Train, &Context::train(Key::new(0)));
            assert_eq!(running(&store), before);
            assert_eq!(frozen, forward(&store, Mode::Eval, &Context::eval()));
        };
        store.set_trainable(false, |_| true);
        stays();
        // Its weight and its bias may be trained beside statistics that stay.
        store.set_trainable(true, |_| true);
        let buffers = store.set_statistics_frozen(true, |name| name.starts_with("bn."));
        assert_eq!((buffers, store.trainable().len()), (3, 2));
        stays();
        store.set_statistics_frozen(false, |_| true);
        forward(&store, Mode::Train, &Context::train(Key::new(0)));
        assert_ne!(running(&store), before);
    }
}

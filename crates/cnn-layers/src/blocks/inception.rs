//! The Inception module (Szegedy et al. 2014, "Going Deeper with Convolutions").

use candle_core::Result;

use crate::{Builder, Concat, Context, ConvNormAct, FeatureMap, Layer, Sequential};

/// Branches that read the same map; the channels of their outputs lie one after another.
///
/// Each branch looks at another neighbourhood: a 1×1 convolution, 3×3 and 5×5 convolutions, a pooling.
/// What it saves: a 1×1 convolution narrows the map before the large kernels read it. GoogLeNet's
/// `inception3a` gives 256 channels from 192 with 0.16 million weights; a 5×5 convolution of that shape
/// has 1.2 million. Inception-v3 (Szegedy et al. 2015) goes on: two 3×3 kernels in place of a 5×5 have
/// 18 weights for 25, a 1×7 and a 7×1 kernel in place of a 7×7 have 14 for 49.
///
/// Built for inference, the last convolutions of all branches write into one map, and nothing is
/// copied, unless a branch ends with a pooling.
///
/// # Shapes
/// `(N, H, W, C)` to `(N, H', W', C')`: the branches agree in height and width, and `C'` is the sum of
/// their channels.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::{
///     Context, ConvNormActConfig, FeatureMap, Inception, Layer, MaxPool2d, Mode, Padding, Sequential,
///     Store,
/// };
///
/// let at = Store::new(0).builder(Mode::Eval).pp("mixed");
/// let unit = |name: &str, from, to, kernel_size| {
///     let at = at.pp(name);
///     ConvNormActConfig::relu(from, to, kernel_size).build(&at.pp("conv"), &at.pp("bn"))
/// };
/// let pool = MaxPool2d::new(3, 1).with_padding(Padding::all(1));
/// let module = Inception::new(&at)
///     .with_branch(Sequential::new(), [unit("branch1", 24, 8, 1)?])
///     .with_branch(Sequential::new().add(unit("branch2_1", 24, 12, 1)?), [unit("branch2_2", 12, 16, 3)?])
///     .with_branch(Sequential::new().add(pool), [unit("branch3", 24, 4, 1)?]);
/// let maps = FeatureMap::from_nchw(&Tensor::zeros((1, 24, 7, 5), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(module.forward(&maps, &Context::eval())?.dims(), [1, 7, 5, 8 + 16 + 4]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct Inception {
    branches: Vec<Branch>,
    concat: Concat,
}

/// Layers one after another, and the units side by side that read the output of the last.
struct Branch {
    layers: Sequential,
    ends: Vec<ConvNormAct>,
}

impl Inception {
    /// A module at the builder's place, without branches so far.
    pub fn new(builder: &Builder) -> Self {
        Self {
            branches: Vec::new(),
            concat: Concat::new(builder),
        }
    }

    /// The module with one more branch: `layers` one after another, then `ends` side by side, all of
    /// which read what the layers give. One unit at the end is usual; two make a branch that forks, as
    /// the 1×3 and 3×1 convolutions of Inception-v3; without one the layers' output is the branch's, as
    /// that of a pooling.
    #[must_use]
    pub fn with_branch(
        mut self,
        layers: Sequential,
        ends: impl IntoIterator<Item = ConvNormAct>,
    ) -> Self {
        let ends = ends.into_iter().collect();
        self.branches.push(Branch { layers, ends });
        self
    }
}

impl Layer for Inception {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let heads = self
            .branches
            .iter()
            .map(|branch| branch.layers.forward(xs, cx))
            .collect::<Result<Vec<_>>>()?;
        let branches = || self.branches.iter().zip(&heads);
        if branches().all(|(branch, _)| !branch.ends.is_empty()) {
            let parts: Vec<_> = branches()
                .flat_map(|(branch, head)| branch.ends.iter().map(move |end| (end, head)))
                .collect();
            return ConvNormAct::concat(&parts, &self.concat, cx);
        }
        let mut outputs = Vec::with_capacity(heads.len());
        for (branch, head) in branches() {
            if branch.ends.is_empty() {
                outputs.push(head.clone());
            }
            for end in &branch.ends {
                outputs.push(end.forward(head, cx)?);
            }
        }
        self.concat.forward(&outputs.iter().collect::<Vec<_>>(), cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        Activation, BatchNorm2dConfig, Conv2dConfig, ConvNormActConfig, Event, MaxPool2d, Mode,
        Observer, Padding, Store,
    };
    use candle_core::{DType, Device, Tensor};
    use std::cell::RefCell;

    /// A branch of one convolution, which has a bias, a branch that forks, one that begins with a
    /// pooling, and where it is asked for one that ends with it.
    fn module(root: &Builder, ends_with_pooling: bool) -> Inception {
        let unit = |name: &str, from: usize, to: usize, kernel: [usize; 2], stride: usize| {
            let conv = Conv2dConfig::new(from, to, kernel[0])
                .with_kernel_size(kernel[0], kernel[1])
                .with_stride(stride)
                .with_padding(Padding::symmetric(kernel[0] / 2, kernel[1] / 2));
            let norm = BatchNorm2dConfig::new(to).with_eps(0.25);
            let config = ConvNormActConfig::new(conv, norm, Activation::Relu).with_conv_bias();
            let at = root.pp(name);
            config.build(&at.pp("conv"), &at.pp("bn")).unwrap()
        };
        let pool = |name: &str| {
            let pool = MaxPool2d::new(3, 2).with_padding(Padding::all(1));
            Sequential::new().add(pool.at(&root.pp(name)))
        };
        let narrow = unit("narrow", 5, 4, [1, 1], 2);
        let ends = [
            unit("row", 4, 3, [1, 3], 1),
            unit("column", 4, 2, [3, 1], 1),
        ];
        let module = Inception::new(root)
            .with_branch(Sequential::new(), [unit("plain", 5, 6, [3, 3], 2)])
            .with_branch(Sequential::new().add(narrow), ends)
            .with_branch(pool("pool"), [unit("pooled", 5, 7, [1, 1], 1)]);
        if ends_with_pooling {
            module.with_branch(pool("last"), [])
        } else {
            module
        }
    }

    #[derive(Default)]
    struct Kinds(RefCell<Vec<String>>);

    impl Observer for Kinds {
        fn exit(&self, event: &Event<'_>) -> Result<()> {
            let seen = format!("{} {}", event.kind.name(), event.path);
            self.0.borrow_mut().push(seen);
            Ok(())
        }
    }

    #[test]
    fn a_module_built_for_inference_gives_what_evaluation_gives() {
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-13)] {
            let store = Store::with_dtype(3, dtype, &Device::Cpu);
            for ends_with_pooling in [false, true] {
                module(&store.builder(Mode::Eval).pp("mixed"), ends_with_pooling);
                for name in store.names() {
                    let dims = store.get(&name).unwrap().dims().to_vec();
                    if name.contains("running") && dims.len() == 1 {
                        let values: Vec<f64> = (0..dims[0]).map(|i| 0.4 + 0.3 * i as f64).collect();
                        let values = Tensor::from_vec(values, dims, &Device::Cpu).unwrap();
                        store.set(&name, &values.to_dtype(dtype).unwrap()).unwrap();
                    }
                }
                let xs = Tensor::rand(-1f64, 1., (2, 5, 9, 6), &Device::Cpu).unwrap();
                let xs = FeatureMap::from_nchw(&xs.to_dtype(dtype).unwrap()).unwrap();
                let values = |mode: Mode, cx: &Context<'_>| -> Vec<f64> {
                    let module = module(&store.builder(mode).pp("mixed"), ends_with_pooling);
                    let ys = module.forward(&xs, cx).unwrap();
                    let channels = if ends_with_pooling { 23 } else { 18 };
                    assert_eq!(ys.dims(), [2, 5, 3, channels]);
                    let ys = ys.to_nchw().unwrap().to_dtype(DType::F64).unwrap();
                    ys.flatten_all().unwrap().to_vec1().unwrap()
                };
                let cx = Context::eval();
                let expected = values(Mode::Eval, &cx);
                let seen = Kinds::default();
                let found = values(Mode::Inference, &cx.with_observer(&seen));
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < tolerance, "{found} {expected}");
                }
                // One layer writes all outputs, unless a pooling is among them.
                let seen = seen.0.into_inner();
                assert_eq!(seen.last().unwrap(), "concat mixed");
                let is_apart = seen.contains(&"conv2d mixed.plain.conv".to_string());
                assert_eq!(is_apart, ends_with_pooling, "{seen:?}");
            }
        }
    }
}

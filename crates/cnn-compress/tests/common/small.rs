//! The small network of `tools/goldens/pruning.py`.

use candle_core::{DType, Result, Tensor};
use cnn_compress::Groups;
use cnn_graph::Graph;
use cnn_layers::{
    Activate, Activation, Add, BatchNorm2d, BatchNorm2dConfig, Builder, Concat, Context, Conv2d,
    Conv2dConfig, FeatureMap, Flatten, Layer, Linear, LinearConfig, MaxPool2d, Mode, Padding,
    Store,
};

use super::formula::formula;

/// A residual sum, a concatenation, and a linear layer behind a flattened map.
pub(crate) struct Small {
    convs: Vec<Conv2d>,
    norms: Vec<BatchNorm2d>,
    linears: [Linear; 2],
    root: Builder,
}

impl Small {
    pub(crate) fn new(store: &Store, mode: Mode) -> Self {
        let root = store.builder(mode);
        let conv = |name: &str, inputs, outputs, size: usize, stride, bias: bool| {
            // The one with a stride is not padded.
            let padding = if stride == 1 { size / 2 } else { 0 };
            let mut config = Conv2dConfig::new(inputs, outputs, size)
                .with_stride(stride)
                .with_padding(Padding::all(padding));
            if !bias {
                config = config.without_bias();
            }
            config.build(&root.pp(name)).unwrap()
        };
        let norm = |name: &str, channels| {
            BatchNorm2dConfig::new(channels)
                .build(&root.pp(name))
                .unwrap()
        };
        let linear = |name: &str, inputs, outputs| {
            LinearConfig::new(inputs, outputs)
                .build(&root.pp(name))
                .unwrap()
        };
        Self {
            convs: vec![
                conv("conv1", 3, 8, 3, 1, false),
                conv("conv2", 8, 12, 3, 1, false),
                conv("conv3", 12, 8, 1, 1, false),
                conv("left", 8, 5, 1, 1, true),
                conv("right", 8, 6, 3, 1, true),
                conv("conv4", 11, 7, 3, 2, true),
            ],
            norms: vec![norm("bn1", 8), norm("bn2", 12), norm("bn3", 8)],
            linears: [linear("fc1", 28, 9), linear("fc2", 9, 4)],
            root,
        }
    }

    /// With the formula's weights, in f64.
    pub(crate) fn of_formula() -> (Store, Groups) {
        let store = Store::with_dtype(0, DType::F64, &candle_core::Device::Cpu);
        let small = Self::new(&store, Mode::Eval);
        for entry in store.entries() {
            if entry.dtype != DType::I64 {
                let values = formula(&entry.name, &entry.shape, DType::F64);
                store.set(&entry.name, &values).unwrap();
            }
        }
        let groups = small.groups();
        (store, groups)
    }

    pub(crate) fn groups(&self) -> Groups {
        Groups::of_graph(self.graph()).unwrap()
    }

    pub(crate) fn graph(&self) -> Graph {
        let graph = Graph::watch(&input("input"), |xs, cx| {
            Ok([("logits", self.forward(xs, cx)?)])
        });
        graph.unwrap()
    }

    pub(crate) fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        let act = |name: &str| Activate::new(Activation::Relu, &self.root.pp(name));
        let [conv1, conv2, conv3, left, right, conv4] = &self.convs[..] else {
            candle_core::bail!("six convolutions");
        };
        let [bn1, bn2, bn3] = &self.norms[..] else {
            candle_core::bail!("three norms");
        };
        let xs = bn1.forward(&conv1.forward(xs, cx)?, cx)?;
        let xs = act("act1").forward(&xs, cx)?;
        let inside = bn2.forward(&conv2.forward(&xs, cx)?, cx)?;
        let inside = act("act2").forward(&inside, cx)?;
        let branch = bn3.forward(&conv3.forward(&inside, cx)?, cx)?;
        let sum = Add::new(&self.root.pp("add")).forward(&xs, &branch, cx)?;
        let xs = act("act3").forward(&sum, cx)?;
        let [left, right] = [left.forward(&xs, cx)?, right.forward(&xs, cx)?];
        let both = Concat::new(&self.root.pp("concat")).forward(&[&left, &right], cx)?;
        let xs = act("act4").forward(&both, cx)?;
        let xs = act("act5").forward(&conv4.forward(&xs, cx)?, cx)?;
        let xs = MaxPool2d::new(2, 2)
            .at(&self.root.pp("pool"))
            .forward(&xs, cx)?;
        let xs = Flatten::new(&self.root.pp("flatten")).forward(&xs, cx)?;
        let xs = self.linears[0].forward(&xs, cx)?;
        let xs = act("act6").forward_vectors(&xs, cx)?;
        self.linears[1].forward(&xs, cx)
    }
}

/// Two images by the formula.
pub(crate) fn input(name: &str) -> FeatureMap {
    FeatureMap::from_nchw(&formula(name, &[2, 3, 12, 10], DType::F64)).unwrap()
}

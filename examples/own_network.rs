//! A network of one's own from layers, and one step of gradient descent.
//!
//! `cargo run -p cnn-examples --example own_network` prints
//! `5466 parameters: loss 2.31 before the step, 2.29 after it`.
#![forbid(unsafe_code)]

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use cnn_core::Key;
use cnn_layers::{
    Activation, BatchNorm2dConfig, Builder, Context, Conv2dConfig, ConvNormAct, ConvNormActConfig,
    FeatureMap, Flatten, GlobalAvgPool2d, Layer, Linear, LinearConfig, MaxPool2d, Mode, Padding,
    Sequential, Store,
};

struct SmallNet {
    features: Sequential,
    flatten: Flatten,
    classifier: Linear,
}

impl SmallNet {
    fn build(root: &Builder) -> Result<Self> {
        let unit = |from, to, at: Builder| -> Result<ConvNormAct> {
            let conv = Conv2dConfig::new(from, to, 3).with_padding(Padding::all(1));
            let unit = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(to), Activation::Relu);
            Ok(unit.build(&at.pp("conv"), &at.pp("bn"))?)
        };
        let features = Sequential::new()
            .add(unit(3, 16, root.pp("stage1"))?)
            .add(MaxPool2d::new(2, 2))
            .add(unit(16, 32, root.pp("stage2"))?)
            .add(GlobalAvgPool2d::new());
        Ok(Self {
            features,
            flatten: Flatten::new(&root.pp("flatten")),
            classifier: LinearConfig::new(32, 10).build(&root.pp("classifier"))?,
        })
    }

    fn loss(&self, images: &FeatureMap, targets: &Tensor, cx: &Context<'_>) -> Result<Tensor> {
        let features = self.features.forward(images, cx)?;
        let features = self.flatten.forward(&features, cx)?;
        let logits = self.classifier.forward(&features, cx)?;
        Ok((logits.log_sum_exp(1)?.sum_all()? - (logits * targets)?.sum_all()?)?)
    }
}

fn main() -> Result<()> {
    let store = Store::new(0);
    let network = SmallNet::build(&store.builder(Mode::Train))?;
    let cx = Context::train(Key::new(0));
    let mut rng = Key::new(0).stream("images").rng();
    let pixels: Vec<f32> = (0..8 * 3 * 20 * 28).map(|_| rng.normal() as f32).collect();
    let images = FeatureMap::from_nchw(&Tensor::from_vec(pixels, (8, 3, 20, 28), &Device::Cpu)?)?;
    let targets = Tensor::eye(10, DType::F32, &Device::Cpu)?.narrow(0, 0, 8)?;

    let before = network.loss(&images, &targets, &cx)?;
    let grads = before.backward()?;
    for (_, parameter) in store.trainable() {
        let grad = grads
            .get(&parameter)
            .expect("every parameter takes part in the loss");
        parameter.set(&(parameter.as_tensor() - (grad * 0.01)?)?.detach())?;
    }
    let after = network.loss(&images, &targets, &cx)?;
    let before = before.to_scalar::<f32>()? / 8.;
    let after = after.to_scalar::<f32>()? / 8.;
    println!(
        "{} parameters: loss {before:.2} before the step, {after:.2} after it",
        store.parameter_count()
    );
    assert!(after < before);
    Ok(())
}

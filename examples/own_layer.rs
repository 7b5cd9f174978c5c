//! A layer of one's own within a network, and its gradients against finite differences.
//!
//! `cargo run -p cnn-examples --example own_layer` prints
//!
//! ```text
//! layer1.0.weight: gradient -0.022794, difference quotient -0.022794
//! …
//! ```
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, ensure};
use cnn::candle::{self, Var};
use cnn::prelude::*;

/// `xs · sigmoid(gate)` with a learned gate for each channel.
struct Gate {
    path: String,
    gate: Tensor,
}

impl Gate {
    fn build(channels: usize, at: &Builder) -> candle::Result<Self> {
        Ok(Self {
            path: at.path().to_string(),
            gate: at.param("gate", &[channels], Init::Normal { std: 1. })?,
        })
    }
}

impl Layer for Gate {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> candle::Result<FeatureMap> {
        cx.layer(&self.path, "gate", &[xs.into()], || {
            let open = (1. / ((self.gate.neg()?.exp()? + 1.)?))?;
            FeatureMap::from_nhwc(&xs.to_nhwc().broadcast_mul(&open)?)
        })
    }
}

fn network(root: &Builder) -> Result<StagedClassifier> {
    let mut net = StagedBuilder::new(root, 3);
    net.group("layer1", &["layer1"]);
    let unit = ConvNormActConfig::relu(3, 6, 3).build(&net.at("layer1.0"), &net.at("layer1.1"))?;
    net.add(unit).to_channels(6);
    net.add(Gate::build(6, &root.pp("layer1.2"))?);
    net.end_stage("layer1");
    Ok(net.linear_classifier("fc", 4, 0.)?)
}

/// One value of a parameter's gradient, and the difference quotient of the loss there.
fn both(parameter: &Var, gradient: &Tensor, loss: &impl Fn() -> Result<f64>) -> Result<[f64; 2]> {
    let start = parameter.as_tensor().copy()?;
    let loss_at = |shift: f64| -> Result<f64> {
        let mut values = start.flatten_all()?.to_vec1::<f64>()?;
        values[0] += shift;
        parameter.set(&Tensor::from_vec(values, start.dims(), &Device::Cpu)?)?;
        loss()
    };
    let quotient = (loss_at(1e-5)? - loss_at(-1e-5)?) / 2e-5;
    parameter.set(&start)?;
    Ok([gradient.flatten_all()?.to_vec1()?[0], quotient])
}

fn main() -> Result<()> {
    let store = Store::with_dtype(0, DType::F64, &Device::Cpu);
    let network = network(&store.builder(Mode::Train))?;
    let noise = |shape: &[usize], name: &str| -> Result<Tensor> {
        let mut rng = Key::new(0).stream(name).rng();
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    };
    let images = FeatureMap::from_nchw(&noise(&[2, 3, 9, 14], "images")?)?;
    let upstream = noise(&[2, 4], "upstream")?;
    let loss = || -> Result<Tensor> {
        let logits = network.forward(&images, &Context::train(Key::new(0)))?;
        Ok((logits * &upstream)?.sum_all()?)
    };

    let gradients = loss()?.backward()?;
    for (name, parameter) in store.trainable() {
        let gradient = gradients.get(&parameter);
        let gradient = gradient.with_context(|| format!("no gradient reaches {name}"))?;
        let [gradient, quotient] = both(&parameter, gradient, &|| Ok(loss()?.to_scalar()?))?;
        println!("{name}: gradient {gradient:.6}, difference quotient {quotient:.6}");
        ensure!((gradient - quotient).abs() < 1e-6 * quotient.abs().max(1.));
    }
    Ok(())
}

//! A model of one's own under the contract that every model here keeps: stages, head, parameter
//! groups.
//!
//! `cargo run -p cnn-examples --example own_model` prints
//!
//! ```text
//! 11 gradients agree with finite differences
//! 34.0 % of unseen shapes right after epoch 8
//! 20 tensors loaded by name
//! 9 parameters frozen, 2 left
//! Grad-CAM of class bolt
//! ```
#![forbid(unsafe_code)]

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use candle_core::{DType, Device, Tensor};
use cnn_core::{Key, Preprocessing, RunDir};
use cnn_data::{Dataset as _, Shapes, ShapesConfig, Split};
use cnn_layers::{
    Activation, Backbone, BatchNorm2dConfig, Builder, Classifier, Context, Conv2dConfig,
    ConvNormActConfig, Error, FeatureMap, GlobalAvgPool2d, Layer, Linear, LinearConfig, Mode,
    Padding, ParameterGroup, Sequential, StageInfo, Store,
};
use cnn_train::{Classification, Forward, GradientStep, OptimizerConfig, TrainConfig, Trainer};
use cnn_viz::{Explainer, Method, Target};
use cnn_weights::TensorFile;

/// Three stages, each of a 3×3 convolution that halves the map, batch normalisation and a
/// rectifier; then global average pooling and a linear layer.
struct SmallNet {
    infos: Vec<StageInfo>,
    stages: Vec<Sequential>,
    pool: GlobalAvgPool2d,
    fc: Linear,
    classes: usize,
}

impl SmallNet {
    fn build(root: &Builder, classes: usize) -> candle_core::Result<Self> {
        let mut infos = Vec::new();
        let mut stages = Vec::new();
        let mut from = 3;
        for (number, to) in [16, 32, 64].into_iter().enumerate() {
            let name = format!("layer{}", number + 1);
            let at = root.pp(&name);
            let conv = Conv2dConfig::new(from, to, 3)
                .with_stride(2)
                .with_padding(Padding::all(1));
            let unit = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(to), Activation::Relu);
            stages.push(Sequential::new().add(unit.build(&at.pp(0), &at.pp(1))?));
            infos.push(StageInfo {
                module: name,
                channels: to,
                reduction: 2 << number,
            });
            from = to;
        }
        let fc = LinearConfig::new(from, classes).build(&root.pp("fc"))?;
        Ok(Self {
            infos,
            stages,
            pool: GlobalAvgPool2d::new(&root.pp("pool")),
            fc,
            classes,
        })
    }
}

impl Backbone for SmallNet {
    fn stages(&self) -> &[StageInfo] {
        &self.infos
    }

    fn forward_stages(
        &self,
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> candle_core::Result<Vec<FeatureMap>> {
        let mut maps: Vec<FeatureMap> = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            maps.push(stage.forward(maps.last().unwrap_or(xs), cx)?);
        }
        Ok(maps)
    }

    fn forward_from(
        &self,
        stage: usize,
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> candle_core::Result<FeatureMap> {
        let last = self.stages.len() - 1;
        let rest = self
            .stages
            .get(stage.saturating_add(1)..)
            .ok_or(Error::Stage { stage, last })?;
        rest.iter()
            .try_fold(xs.clone(), |xs, stage| stage.forward(&xs, cx))
    }
}

impl Classifier for SmallNet {
    fn num_classes(&self) -> usize {
        self.classes
    }

    fn num_features(&self) -> usize {
        self.infos[self.infos.len() - 1].channels
    }

    fn head_input(
        &self,
        features: &FeatureMap,
        cx: &Context<'_>,
    ) -> candle_core::Result<FeatureMap> {
        self.pool.forward(features, cx)
    }

    fn forward_head(&self, features: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<Tensor> {
        self.fc
            .forward(&self.pool.forward(features, cx)?.flatten()?, cx)
    }

    fn parameter_groups(&self) -> Vec<ParameterGroup> {
        let stages = self
            .infos
            .iter()
            .map(|info| ParameterGroup::new(&info.module, [&info.module]));
        stages
            .chain([ParameterGroup::new("head", ["fc"])])
            .collect()
    }
}

fn noise(shape: &[usize], name: &str) -> Result<Tensor> {
    let mut rng = Key::new(0).stream(name).rng();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Compares one value of each parameter's gradient with the difference quotient of the loss, in
/// f64.
fn check_gradients() -> Result<usize> {
    let store = Store::with_dtype(0, DType::F64, &Device::Cpu);
    let model = SmallNet::build(&store.builder(Mode::Train), 10)?;
    let images = FeatureMap::from_nchw(&noise(&[2, 3, 21, 30], "images")?)?;
    let upstream = noise(&[2, 10], "upstream")?;
    let loss = || (model.forward(&images, &Context::train(Key::new(0)))? * &upstream)?.sum_all();
    let gradients = loss()?.backward()?;
    for (name, parameter) in store.trainable() {
        let gradient = gradients
            .get(&parameter)
            .with_context(|| format!("no gradient reaches {name}"))?;
        let gradient = gradient.flatten_all()?.to_vec1::<f64>()?[0];
        let start = store.get(&name)?.copy()?;
        let loss_at = |shift: f64| -> Result<f64> {
            let mut values = start.flatten_all()?.to_vec1::<f64>()?;
            values[0] += shift;
            store.set(
                &name,
                &Tensor::from_vec(values, start.dims(), &Device::Cpu)?,
            )?;
            Ok(loss()?.to_scalar()?)
        };
        let quotient = (loss_at(1e-5)? - loss_at(-1e-5)?) / 2e-5;
        store.set(&name, &start)?;
        let error = (gradient - quotient).abs() / quotient.abs().max(1.);
        ensure!(
            error < 1e-6,
            "{name}: gradient {gradient}, difference quotient {quotient}"
        );
    }
    Ok(store.trainable().len())
}

fn main() -> Result<()> {
    println!(
        "{} gradients agree with finite differences",
        check_gradients()?
    );

    let store = Store::new(0);
    let forward = |mode| -> Result<Forward> {
        let model = SmallNet::build(&store.builder(mode), 10)?;
        Ok(Box::new(move |images, cx| model.forward(images, cx)))
    };
    let shapes = ShapesConfig::default().with_samples(2000);
    let train = Arc::new(Shapes::new(shapes.clone())?);
    let val = Arc::new(Shapes::new(
        shapes.with_samples(200).with_split(Split::Val),
    )?);
    let preprocessing = Preprocessing {
        input_size: [3, 32, 32],
        crop_pct: 1.0,
        ..Preprocessing::default()
    };
    let task = Classification::new(train, val.clone(), preprocessing.clone(), forward)?;
    let run = RunDir::create(&std::env::temp_dir().join("runs"), "train", "small_net")?;
    let config = TrainConfig {
        optimizer: OptimizerConfig::adam(),
        learning_rate: 0.003,
        ..TrainConfig::new(8)
    };
    let summary =
        Trainer::new(config, &store, run.path()).run(&task, &mut GradientStep::default())?;
    let best = summary.best.context("eight epochs were completed")?;
    println!(
        "{:.1} % of unseen shapes right after epoch {}",
        100. * best.score,
        best.epoch
    );

    let file = TensorFile::open(run.join("best/model.safetensors"))?;
    let tensors = file
        .names()
        .map(|name| Ok((name, file.tensor(name)?)))
        .collect::<Result<Vec<_>>>()?;
    let loaded = Store::new(1);
    let model = SmallNet::build(&loaded.builder(Mode::Eval), 10)?;
    loaded.load(tensors)?.into_result()?;
    println!("{} tensors loaded by name", loaded.names().len());

    let frozen = loaded.set_trainable(false, |name| !name.starts_with("fc."));
    let _head_only = SmallNet::build(&loaded.builder(Mode::Train), 10)?;
    println!(
        "{frozen} parameters frozen, {} left",
        loaded.trainable().len()
    );

    let photo = cnn_data::preprocess(&val.read(0)?.image, &preprocessing)?;
    let images = Tensor::from_vec(photo.into_values(), (1, 32, 32, 3), &Device::Cpu)?;
    let explanation = Explainer::new(&model).explain(
        Method::GradCam,
        &FeatureMap::from_nhwc(&images)?,
        &[Target::PREDICTED],
    )?;
    println!(
        "Grad-CAM of class {}",
        val.classes()[explanation.scores[0].class]
    );
    Ok(())
}

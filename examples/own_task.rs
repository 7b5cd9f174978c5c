//! A task of one's own: not what a shape is but where, by regression of its centre.
//!
//! `cargo run -p cnn-examples --example own_task` prints how many pixels off the centre is for
//! unseen shapes.
#![forbid(unsafe_code)]
use candle_core::{Device, Tensor};
use cnn_data::{Dataset as _, Shapes, ShapesConfig, Split};
use cnn_layers::{
    Activate, Activation, Context, Conv2dConfig, FeatureMap, Layer, Mode, Sequential, Store,
};
use cnn_train::{
    Batches, Epoch, Error, Evaluation, GradientStep, Losses, Task, TrainConfig, Trainer,
};

/// Training shapes, unseen shapes, and a network from `(N, 32, 32, 3)` to `(N, 1, 1, 2)`.
struct Locate(Shapes, Shapes, Sequential);

fn pairs(shapes: &Shapes, order: &[usize]) -> Result<(FeatureMap, Tensor), Error> {
    let (mut pixels, mut centres) = (Vec::new(), Vec::new());
    for &index in order {
        let sample = shapes.read(index)?;
        pixels.extend(
            sample
                .image
                .bytes()
                .iter()
                .map(|&byte| f32::from(byte) / 127.5 - 1.),
        );
        let b = &sample.boxes[0];
        centres.extend([b.x_min + b.x_max, b.y_min + b.y_max].map(|sum| sum / 32. - 1.));
    }
    let images = Tensor::from_vec(pixels, (order.len(), 32, 32, 3), &Device::Cpu)?;
    Ok((
        FeatureMap::from_nhwc(&images)?,
        Tensor::from_vec(centres, (order.len(), 2), &Device::Cpu)?,
    ))
}

impl Task for Locate {
    type Batch = (FeatureMap, Tensor);
    fn batches_per_epoch(&self) -> usize {
        self.0.len() / 32
    }
    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<Batches<'a, Self::Batch>, Error> {
        let (order, start) = (epoch.key.rng().permutation(self.0.len()), epoch.start);
        Ok(Box::new((start..self.batches_per_epoch()).map(move |n| {
            pairs(&self.0, &order[32 * n..32 * (n + 1)])
        })))
    }
    fn samples(&self, (images, _): &Self::Batch) -> usize {
        images.batch()
    }
    fn loss(&self, (images, centres): &Self::Batch, cx: &Context<'_>) -> Result<Losses, Error> {
        Ok(Losses::new(cnn_train::mean_squared_error(
            &self.2.forward(images, cx)?.flatten()?,
            centres,
        )?))
    }
    fn evaluate(&self) -> Result<Evaluation, Error> {
        let unseen = pairs(&self.1, &(0..self.1.len()).collect::<Vec<_>>())?;
        let pixels = 16.
            * f64::from(
                self.loss(&unseen, &Context::eval())?
                    .total
                    .to_scalar::<f32>()?,
            )
            .sqrt();
        Ok(Evaluation {
            score: -pixels,
            metrics: vec![("pixels".into(), pixels)],
        })
    }
}

fn main() -> anyhow::Result<()> {
    let (store, shapes) = (Store::new(0), ShapesConfig::default().with_samples(2000));
    let (root, mut network) = (store.builder(Mode::Train), Sequential::new());
    for (from, to) in [(3, 16), (16, 32), (32, 64), (64, 2)] {
        let conv = Conv2dConfig::new(from, to, 3)
            .with_stride(2)
            .build(&root.pp(format!("conv{to}")))?;
        network = network
            .add(Activate::new(Activation::LeakyRelu(0.2), &root))
            .add(conv);
    }
    let task = Locate(
        Shapes::new(shapes.clone())?,
        Shapes::new(shapes.with_split(Split::Val))?,
        network,
    );
    let run = cnn_core::RunDir::create(&std::env::temp_dir().join("runs"), "train", "locate")?;
    let mut trainer = Trainer::new(
        TrainConfig {
            learning_rate: 0.02,
            ..TrainConfig::new(8)
        },
        &store,
        run.path(),
    );
    let summary = trainer.run(&task, &mut GradientStep::default())?;
    println!(
        "{:.1} pixels off, root mean square",
        -summary.best.map_or(f64::NAN, |best| best.score)
    );
    Ok(())
}

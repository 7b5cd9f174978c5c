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
    Epoch, Error, Evaluation, GradientStep, Losses, Task, TaskBatches, TrainConfig, Trainer,
    mean_squared_error,
};

/// Finding the centre of a shape.
struct Locate {
    train: Shapes,
    unseen: Shapes,
    /// From `(N, 32, 32, 3)` to `(N, 1, 1, 2)`.
    network: Sequential,
}

fn pairs(shapes: &Shapes, order: &[usize]) -> Result<(FeatureMap, Tensor), Error> {
    let mut pixels = Vec::new();
    let mut centres = Vec::new();
    for &index in order {
        let sample = shapes.read(index)?;
        let scaled = |&byte: &u8| f32::from(byte) / 127.5 - 1.;
        pixels.extend(sample.image.bytes().iter().map(scaled));
        let shape = &sample.boxes[0];
        centres.push((shape.x_min + shape.x_max) / 32. - 1.);
        centres.push((shape.y_min + shape.y_max) / 32. - 1.);
    }
    let images = Tensor::from_vec(pixels, (order.len(), 32, 32, 3), &Device::Cpu)?;
    let centres = Tensor::from_vec(centres, (order.len(), 2), &Device::Cpu)?;
    Ok((FeatureMap::from_nhwc(&images)?, centres))
}

impl Task for Locate {
    type Batch = (FeatureMap, Tensor);

    fn batches_per_epoch(&self) -> usize {
        self.train.len() / 32
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Self::Batch>, Error> {
        let order = epoch.key.rng().permutation(self.train.len());
        let batch = move |number| pairs(&self.train, &order[32 * number..32 * (number + 1)]);
        Ok(Box::new((epoch.start..self.batches_per_epoch()).map(batch)))
    }

    fn samples(&self, (images, _): &Self::Batch) -> usize {
        images.batch()
    }

    fn loss(&self, (images, centres): &Self::Batch, cx: &Context<'_>) -> Result<Losses, Error> {
        let found = self.network.forward(images, cx)?.flatten()?;
        Ok(Losses::new(mean_squared_error(&found, centres)?))
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        let all: Vec<usize> = (0..self.unseen.len()).collect();
        let losses = self.loss(&pairs(&self.unseen, &all)?, &Context::eval())?;
        let pixels = 16. * f64::from(losses.total.to_scalar::<f32>()?).sqrt();
        Ok(Evaluation {
            score: -pixels,
            metrics: vec![("pixels".into(), pixels)],
        })
    }
}

fn main() -> anyhow::Result<()> {
    let store = Store::new(0);
    let root = store.builder(Mode::Train);
    let mut network = Sequential::new();
    for (from, to) in [(3, 16), (16, 32), (32, 64), (64, 2)] {
        let conv = Conv2dConfig::new(from, to, 3).with_stride(2);
        network = network
            .add(Activate::new(Activation::LeakyRelu(0.2), &root))
            .add(conv.build(&root.pp(format!("conv{to}")))?);
    }
    let shapes = ShapesConfig::default().with_samples(2000);
    let task = Locate {
        train: Shapes::new(shapes.clone())?,
        unseen: Shapes::new(shapes.with_split(Split::Val))?,
        network,
    };
    let run = cnn_core::RunDir::create(&std::env::temp_dir().join("runs"), "train", "locate")?;
    let config = TrainConfig {
        learning_rate: 0.02,
        ..TrainConfig::new(8)
    };
    let summary =
        Trainer::new(config, &store, run.path()).run(&task, &mut GradientStep::default())?;
    let pixels = -summary.best.map_or(f64::NAN, |best| best.score);
    println!("{pixels:.1} pixels off, root mean square");
    Ok(())
}

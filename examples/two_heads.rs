//! A network with two heads on one backbone: what a shape is, and where it is.
//!
//! `cargo run -p cnn-examples --example two_heads` prints the metrics of the best epoch.
#![forbid(unsafe_code)]

use std::sync::Arc;

use cnn::layers::{Flatten, Linear};
use cnn::prelude::*;
use cnn::train::{Epoch, Error, Evaluation, Losses, Targets, TaskBatches};
use cnn::train::{class_labels, mean_squared_error, right_predictions};

struct TwoHeads {
    train: Arc<dyn Dataset>,
    unseen: Arc<dyn Dataset>,
    backbone: Box<dyn Backbone>,
    flatten: Flatten,
    class: Linear,
    edges: Linear,
}

impl Task for TwoHeads {
    type Batch = Batch;

    fn batches_per_epoch(&self) -> usize {
        self.train.len() / 32
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Batch>, Error> {
        let order = epoch.key.rng().permutation(self.train.len());
        let plan = BatchPlan::new(self.train.clone(), preset::cifar10()).with_order(order);
        let batches = plan.with_start(epoch.start).dropping_last().start()?;
        Ok(Box::new(batches.map(|batch| Ok(batch?))))
    }

    fn samples(&self, batch: &Batch) -> usize {
        batch.len()
    }

    fn loss(&self, batch: &Batch, cx: &Context<'_>) -> Result<Losses, Error> {
        let images = FeatureMap::from_nhwc(&batch.images)?;
        let maps = self.backbone.forward_features(&images, cx)?;
        let features = self.flatten.forward(&maps, cx)?;
        let scores = self.class.forward(&features, cx)?;
        let edges = self.edges.forward(&features, cx)?;

        let labels = class_labels(batch)?;
        let truth = batch.boxes.iter().flat_map(|boxes| boxes[0].edges());
        let truth = (Tensor::from_iter(truth, &Device::Cpu)?.reshape(((), 4))? / 32.)?;
        let squares = mean_squared_error(&edges, &truth)?;
        let off = 32. * f64::from(squares.to_scalar::<f32>()?).sqrt();
        let right = right_predictions(&scores, &labels)? as f64 / batch.len() as f64;
        let what = CrossEntropy::default().loss(&scores, &Targets::Classes(labels))?;
        let losses = Losses::new((what + (squares * 20.)?)?);
        Ok(losses.with("top1", right).with("pixels_off", off))
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        let mut sums = [0.; 2];
        for batch in BatchPlan::new(self.unseen.clone(), preset::cifar10()).start()? {
            let batch = batch?;
            let losses = self.loss(&batch, &Context::eval())?;
            for (sum, (_, value)) in sums.iter_mut().zip(losses.named) {
                *sum += value * batch.len() as f64 / self.unseen.len() as f64;
            }
        }
        let metrics = [("top1".into(), sums[0]), ("pixels_off".into(), sums[1])];
        Ok(Evaluation {
            score: sums[0],
            metrics: metrics.into(),
        })
    }
}

fn main() -> anyhow::Result<()> {
    let store = Store::new(0);
    let root = store.builder(Mode::Train);
    let resnet = find("resnet8_cifar10")?;
    let shapes = ShapesConfig::default().with_samples(2000);
    let task = TwoHeads {
        train: Arc::new(Shapes::new(shapes.clone())?),
        unseen: Arc::new(Shapes::new(
            shapes.with_samples(500).with_split(Split::Val),
        )?),
        backbone: resnet.build_backbone(&ModelConfig::default(), &root.pp("backbone"), None)?,
        flatten: Flatten::new(&root.pp("flatten")),
        class: LinearConfig::new(64 * 8 * 8, 10).build(&root.pp("class"))?,
        edges: LinearConfig::new(64 * 8 * 8, 4).build(&root.pp("edges"))?,
    };
    let run = RunDir::create(&std::env::temp_dir().join("runs"), "train", "two_heads")?;
    let config = TrainConfig {
        optimizer: OptimizerConfig::adam(),
        learning_rate: 1e-3,
        ..TrainConfig::new(5)
    };
    let mut trainer = Trainer::new(config, &store, run.path());
    let best = trainer.run(&task, &mut GradientStep::default())?.best;
    println!("{:?}", best.map(|best| best.metrics));
    Ok(())
}

//! A network of one's own with a residual block: fine-tuned with the proof of what was frozen,
//! saved, loaded again, explained and inspected by the calls that registered networks take.
//!
//! `cargo run -p cnn-examples --example own_model` prints what each phase changed, what the network
//! sees in a picture, and how many of its filters do nothing; Grad-CAM is left as a PNG.
#![forbid(unsafe_code)]

use std::sync::Arc;

use cnn::{models::Error, prelude::*};

const SMALL: ModelSpec = ModelSpec {
    name: "small_resnet",
    build: Build::Staged(small_resnet),
    preset: preset::cifar10,
    num_classes: 10,
    first_conv: "layer1.conv",
    classifier: "fc",
    ..ModelSpec::OWN
};

/// Two stages: a convolution that halves the resolution, then a residual block.
fn small_resnet(config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(3));
    for (name, width) in [("layer1", 16), ("layer2", 32)] {
        let at = net.at(name);
        net.group(name, &[name]);
        let halve = ConvNormActConfig::relu(net.channels(), width, 3).with_stride(2);
        let halve = halve.build(&at.pp("conv"), &at.pp("bn"))?;
        net.add(halve).set_channels(width).add_stride(2);

        let unit = ConvNormActConfig::relu(width, width, 3);
        let first = unit.build(&at.pp("conv1"), &at.pp("bn1"))?;
        let last = unit.with_activation(Activation::Identity);
        let last = last.build(&at.pp("conv2"), &at.pp("bn2"))?;
        net.add(Residual::new(Sequential::new().add(first), last, &at));
        net.end_stage(name);
    }
    Ok(net.linear_classifier("fc", config.num_classes.unwrap_or(10), 0.)?)
}

fn main() -> anyhow::Result<()> {
    let shapes = ShapesConfig::default().with_samples(2000);
    let train = Arc::new(Shapes::new(shapes.clone())?);
    let val = Arc::new(Shapes::new(shapes.with_split(Split::Val))?);
    let run = RunDir::create(&std::env::temp_dir().join("runs"), "finetune", SMALL.name)?;

    let mut network = Network::of(SMALL, &ModelConfig::default(), 0)?;
    network.set_label_names(train.classes().to_vec())?;
    let config = FineTuneConfig {
        learning_rate: 5e-3,
        body_scale: 1.,
        frozen_statistics: false, // they are not worth keeping yet
        ..FineTuneConfig::default()
    };
    let mut fine_tune = FineTune::new(network, train, val.clone()).with_config(config);
    for phase in fine_tune.run(run.path())?.phases {
        println!("{}: changed {}", phase.name, phase.changed.join(", "));
    }

    let network = Network::load(run.path(), &LoadOptions::of(SMALL))?;
    let photos = [val.read(0)?.image];
    for class in network.predict(&photos[0], 2)? {
        println!(
            "{} {:.2}",
            class.name.unwrap_or_default(),
            class.probability
        );
    }
    let record = network.preprocessing();
    let images = FeatureMap::from_nhwc(&Batch::of_images(&photos, record)?.images)?;
    let explainer = Explainer::new(network.model());
    let explanation = explainer.explain(Method::GradCam, &images, &[Target::PREDICTED])?;
    overlay(&photos[0], &explanation.maps[0], record)?.write_png(&run.join("grad_cam.png"))?;

    let totals = inspect(&network, &[val], &InspectConfig::default(), &mut |_| ())?.totals;
    println!("{} filters do nothing", totals.removable);
    Ok(())
}

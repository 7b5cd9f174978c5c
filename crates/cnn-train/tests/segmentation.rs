//! Networks that tell the class of every pixel: training on drawn scenes, and photos of any size.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use candle_core::{Device, Tensor};
use cnn_core::{Key, Preprocessing};
use cnn_data::{
    Content, Dataset, Error as DataError, Image, Mask, Sample, Shapes, ShapesConfig, Split,
};
use cnn_layers::{
    Activation, BatchNorm2dConfig, Builder, Context, Conv2d, Conv2dConfig, ConvNormActConfig,
    Decoder, DecoderModules, EncoderDecoder, FeatureMap, Interpolation, Layer, Mode, Padding,
    ResizeLike, Segmenter, StagedBuilder, Store,
};
use cnn_train::{
    GradientStep, OptimizerConfig, SegmentImage, SegmentOptions, Segmentation, SegmentationScores,
    Task, Tiling, TrainConfig, Trainer, check_mask_datasets,
};

/// Scores from the last map, brought to the image's size.
struct Scores {
    conv: Conv2d,
    resize: ResizeLike,
}

impl Decoder for Scores {
    fn forward(
        &self,
        image: &FeatureMap,
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> candle_core::Result<FeatureMap> {
        let scores = self.conv.forward(&maps[maps.len() - 1], cx)?;
        self.resize.forward(&scores, image, cx)
    }
}

/// Three convolutions, of which the first halves the size.
fn network(classes: usize, root: &Builder) -> candle_core::Result<Box<dyn Segmenter>> {
    let mut net = StagedBuilder::new(root, 3);
    net.group("body", &["conv0", "conv1", "conv2"]);
    for (index, stride) in [2, 1, 1].into_iter().enumerate() {
        let conv = Conv2dConfig::new(net.channels(), 16, 3)
            .with_stride(stride)
            .with_padding(Padding::all(1));
        let unit = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(16), Activation::Relu);
        let at = net.at(format!("conv{index}"));
        net.add(unit.build(&at.pp(0), &at.pp(1))?)
            .set_channels(16)
            .add_stride(stride);
    }
    net.end_stage("conv2");
    let bilinear = Interpolation::Bilinear {
        align_corners: false,
    };
    let decoder = Scores {
        conv: Conv2dConfig::new(16, classes, 1).build(&root.pp("scores"))?,
        resize: ResizeLike::new(bilinear, &root.pp("resize")),
    };
    let modules = DecoderModules {
        decoder: Vec::new(),
        head: vec!["scores".to_string()],
    };
    let backbone = Box::new(net.backbone());
    Ok(Box::new(EncoderDecoder::new(
        backbone, decoder, modules, classes,
    )))
}

fn record() -> Preprocessing {
    Preprocessing {
        input_size: [3, 48, 48],
        crop_pct: 1.,
        ..Preprocessing::default()
    }
}

fn shapes(samples: usize, split: Split) -> Arc<dyn Dataset> {
    let config = ShapesConfig::default()
        .with_samples(samples)
        .with_size(48, 48)
        .with_split(split);
    Arc::new(Shapes::new(config).unwrap())
}

fn noise(height: usize, width: usize) -> Image {
    let mut values = vec![0f32; height * width * 3];
    Key::new(3).rng().fill_uniform(&mut values, 0., 255.);
    let bytes = values.into_iter().map(|value| value as u8).collect();
    Image::from_pixels(height, width, 3, bytes).unwrap()
}

#[test]
fn a_small_network_learns_where_the_shapes_are() {
    let directory = tempfile::tempdir().unwrap();
    let train = shapes(96, Split::Train);
    let val = shapes(24, Split::Val);
    let classes = train.mask_classes().len();
    let store = Store::new(0);
    let task = Segmentation::new(train, val, record(), |mode| {
        network(classes, &store.builder(mode))
    })
    .unwrap();
    let before = task.evaluate().unwrap();
    let config = TrainConfig {
        optimizer: OptimizerConfig::adamw(),
        learning_rate: 1e-2,
        ..TrainConfig::new(4)
    };
    let summary = Trainer::new(config, &store, directory.path())
        .run(&task, &mut GradientStep::default())
        .unwrap();
    let after = task.evaluate().unwrap();
    let named = |evaluation: &cnn_train::Evaluation, name: &str| {
        let metrics = evaluation.metrics.iter();
        let found = metrics.clone().find(|(metric, _)| metric == name);
        found.unwrap().1
    };
    assert!(named(&after, "loss") < 0.6 * named(&before, "loss"));
    assert!(named(&after, "pixel_accuracy") > 0.8, "{after:?}");
    assert!(summary.best.unwrap().score >= after.score);
    assert_eq!(task.score_name(), "miou");
}

/// What lies at a tile's edge counts for nothing, so a network that sees less than the overlap's
/// quarter gives the same with tiles, whatever the photo's size.
#[test]
fn tiles_give_what_the_whole_photo_gives() {
    let store = Store::new(5);
    let model = network(6, &store.builder(Mode::Eval)).unwrap();
    for (height, width) in [(40, 50), (64, 64), (130, 98), (256, 352), (200, 334)] {
        let photo = noise(height, width);
        let whole = model
            .segment_image(&photo, &record(), &SegmentOptions::default())
            .unwrap();
        let options = SegmentOptions {
            tiling: Some(Tiling::new(128).unwrap().with_overlap(64).unwrap()),
            ..SegmentOptions::default()
        };
        let tiled = model.segment_image(&photo, &record(), &options).unwrap();
        assert_eq!((tiled.mask.height(), tiled.mask.width()), (height, width));
        let pairs = whole.mask.bytes().iter().zip(tiled.mask.bytes());
        let differ = pairs.filter(|(whole, tiled)| whole != tiled).count();
        assert_eq!(differ, 0, "{height}x{width}");
        assert!((whole.confidence - tiled.confidence).abs() < 1e-3);
    }
}

/// A photo and its mirror image have mirrored masks where both passes are averaged.
#[test]
fn mirroring_makes_the_result_symmetric() {
    let store = Store::new(5);
    let model = network(6, &store.builder(Mode::Eval)).unwrap();
    let photo = noise(64, 96);
    let mirrored = {
        let rows = photo.bytes().chunks_exact(96 * 3);
        let reversed = rows.flat_map(|row| row.chunks_exact(3).rev().flatten());
        Image::from_pixels(64, 96, 3, reversed.copied().collect()).unwrap()
    };
    let options = SegmentOptions {
        mirror: true,
        scales: vec![0.75, 1., 1.5],
        ..SegmentOptions::default()
    };
    let of = |photo: &Image| {
        let segmented = model.segment_image(photo, &record(), &options).unwrap();
        segmented.mask.into_bytes()
    };
    let straight = of(&photo);
    let back: Vec<u8> = of(&mirrored)
        .chunks_exact(96)
        .flat_map(|row| row.iter().rev().copied().collect::<Vec<_>>())
        .collect();
    let differ = straight.iter().zip(&back).filter(|(a, b)| a != b).count();
    assert!(differ <= 4, "{differ} pixels differ");
}

/// Probabilities of rows are those of the logits, and the loss is their cross-entropy.
#[test]
fn probabilities_and_loss_are_those_of_the_logits() {
    let store = Store::new(2);
    let model = network(4, &store.builder(Mode::Eval)).unwrap();
    let photo = noise(32, 64);
    let truth: Vec<u8> = (0..32 * 64).map(|at| [0, 1, 2, 3, 255][at % 5]).collect();
    let mask = Mask::new(32, 64, truth.clone()).unwrap();
    let input = cnn_data::normalize(photo.clone(), &record()).unwrap();
    let input = Tensor::from_vec(input.into_values(), (1, 32, 64, 3), &Device::Cpu).unwrap();
    let images = FeatureMap::from_nhwc(&input).unwrap();
    let logits = model.forward(&images, &Context::eval()).unwrap();
    let rows = logits.to_nhwc().reshape((32 * 64, 4)).unwrap();
    let log = cnn_train::log_softmax(&rows)
        .unwrap()
        .to_vec2::<f32>()
        .unwrap();

    let mut next = 0;
    let options = SegmentOptions::default();
    model
        .segment_rows(&photo, &record(), &options, &mut |row, probabilities| {
            assert_eq!(row * 64, next);
            for pixel in probabilities.chunks_exact(4) {
                for (probability, log) in pixel.iter().zip(&log[next]) {
                    assert!((probability - log.exp()).abs() < 1e-5);
                }
                next += 1;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(next, 32 * 64);

    let mut scores = SegmentationScores::new(4).unwrap();
    scores
        .add(model.as_ref(), &photo, &mask, &record(), &options)
        .unwrap();
    let counted = truth.iter().zip(&log).filter(|(class, _)| **class != 255);
    let losses: Vec<f64> = counted
        .map(|(class, log)| -f64::from(log[usize::from(*class)]))
        .collect();
    let expected = losses.iter().sum::<f64>() / losses.len() as f64;
    let measured = scores.result().unwrap();
    assert!((measured.loss - expected).abs() < 1e-5);
    assert_eq!(measured.result.pixels as usize, losses.len());
}

/// Pictures of which some have a broken mask.
struct Broken {
    inner: Arc<dyn Dataset>,
}

impl Dataset for Broken {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn classes(&self) -> &[String] {
        self.inner.classes()
    }

    fn mask_classes(&self) -> &[String] {
        self.inner.mask_classes()
    }

    fn id(&self, index: usize) -> String {
        format!("scene {index}")
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<Content, DataError> {
        self.inner.content(index)
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let sample = self.inner.read(index)?;
        if index % 4 == 1 {
            let other = Mask::new(1, 1, vec![0])?;
            return sample.with_mask(other);
        }
        Ok(sample)
    }
}

#[test]
fn a_broken_mask_among_good_ones_is_skipped_and_named() {
    let inner = shapes(16, Split::Train);
    let classes = inner.mask_classes().len();
    let data: Arc<dyn Dataset> = Arc::new(Broken { inner });
    let store = Store::new(0);
    let task = Segmentation::new(data.clone(), data, record(), |mode| {
        network(classes, &store.builder(mode))
    })
    .unwrap();
    task.evaluate().unwrap();
    let skipped = task.skipped();
    let names: Vec<&str> = skipped.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["scene 1", "scene 13", "scene 5", "scene 9"]);
    assert!(skipped[0].reason.contains("expected the image's size"));
}

#[test]
fn what_cannot_be_learnt_or_segmented_is_refused() {
    let with_masks = shapes(4, Split::Train);
    let config = ShapesConfig::default().with_samples(4);
    struct NoMasks(Shapes);
    impl Dataset for NoMasks {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn classes(&self) -> &[String] {
            self.0.classes()
        }
        fn label(&self, index: usize) -> Option<usize> {
            self.0.label(index)
        }
        fn content(&self, index: usize) -> Result<Content, DataError> {
            self.0.content(index)
        }
    }
    let without = NoMasks(Shapes::new(config).unwrap());
    let message = check_mask_datasets(&without, with_masks.as_ref())
        .unwrap_err()
        .to_string();
    assert!(message.contains("the images have no masks"), "{message}");
    let message = check_mask_datasets(with_masks.as_ref(), &without)
        .unwrap_err()
        .to_string();
    assert!(message.contains("as for training"), "{message}");

    for scales in [vec![], vec![0.], vec![f64::NAN], vec![1., 100.]] {
        let options = SegmentOptions {
            scales,
            ..SegmentOptions::default()
        };
        assert!(options.validate().is_err(), "{options:?}");
    }
}

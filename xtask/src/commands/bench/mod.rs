//! `cargo xtask bench`: how fast a network runs here, where its time goes, and what the machine
//! could do.

mod operations;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use candle_core::{Device, Tensor};
use clap::{Args, ValueEnum};
use cnn_core::Key;
use cnn_data::{Batch, open_image};
use cnn_kernels::{InstructionSet, OpTime, backward, peak_flops, profile};
use cnn_layers::{Context, DetectionTargets, FeatureMap, ImageObjects, Mode, Store};
use cnn_models::{
    DetectionNetwork, Kind, LoadOptions, ModelConfig, Network, NetworkOf, SegmentationNetwork,
};
use cnn_train::{
    CrossEntropy, Gradients, Optimizer, OptimizerConfig, PixelCrossEntropy, PixelLoss as _,
    PixelTargets, Rates, Targets, decay_groups,
};
use cnn_viz::{Explainer, Method, Target};
use serde_json::json;

use self::operations::{Ceilings, Row, best_copy, print_groups, title};
use crate::args::{Size, Unusable, set_threads};
use crate::hub::{self, Weights};
use crate::memory::{self, Workload};
use crate::network_args::{CACHES, model_choice};
use crate::next_steps::{self, NextStep};
use crate::os_text::PathOrName;
use crate::output;
use crate::watched::Watched;

/// Measure a network's speed on random images, operation by operation with --ops, and the machine's
/// ceilings with --peak
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Registered name of the model (the command `models` lists them), with what it is built with as
    /// `unet:width=16`
    #[arg(long, value_name = "NAME[:SETTINGS]", required_unless_present_any = ["peak", "weights"])]
    model: Option<String>,

    /// Weights, as other commands take them; default fresh ones, which take as long but find no
    /// objects
    #[arg(long, value_name = "PATH", value_parser = PathOrName)]
    weights: Option<String>,

    /// A photo to look at; default noise
    #[arg(long, value_name = "FILE")]
    photo: Option<PathBuf>,

    /// What is measured: `infer`, the network built for inference, or `train`, a step of forward,
    /// backward and SGD with momentum
    #[arg(long, value_enum, default_value_t = BenchMode::Infer)]
    mode: BenchMode,

    /// Images per call
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Height and width of the images; default the model's own
    #[arg(long, value_name = "H[xW]")]
    size: Option<Size>,

    /// Number of threads; default all cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// How long to measure, after two calls that warm up
    #[arg(long, value_name = "S", default_value_t = 3., value_parser = crate::args::positive)]
    seconds: f64,

    /// Print the time of each operation beside what the machine could do
    #[arg(long)]
    ops: bool,

    /// Measure what the machine can do: multiply-adds, and copies of several sizes
    #[arg(long, conflicts_with = "ops")]
    peak: bool,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BenchMode {
    /// The forward pass of a network built for inference
    Infer,
    /// The forward pass of a network that gradients can flow through
    Eval,
    /// Grad-CAM at the last map, of classifiers
    Gradcam,
    /// A training step
    Train,
}

/// What is measured.
type Call = Box<dyn FnMut() -> Result<()>>;

impl From<BenchMode> for Mode {
    fn from(mode: BenchMode) -> Self {
        match mode {
            BenchMode::Infer => Self::Inference,
            BenchMode::Eval | BenchMode::Gradcam => Self::Eval,
            BenchMode::Train => Self::Train,
        }
    }
}

/// Calls at least, whatever the time.
const FEWEST_CALLS: usize = 5;
const WARM_UP_CALLS: usize = 2;

/// A gigabyte; the maps of a network take many times as much.
const LARGEST_INPUT: usize = 1 << 28;

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        set_threads(self.threads)?;
        if self.model.is_none() && self.weights.is_none() {
            return self.print_peak();
        }
        let mut call = self.work()?;
        for _ in 0..WARM_UP_CALLS {
            call()?;
        }
        if self.ops {
            self.print_ops(call)
        } else {
            self.print_speed(call)
        }
    }

    /// What one call does.
    fn work(&self) -> Result<Call> {
        let chosen = self.model.as_deref().map(model_choice).transpose()?;
        let input_size = self.size.map(|Size(size)| size);
        let Some(weights) = &self.weights else {
            let (spec, config) = chosen.context("--model or --weights is needed")?;
            let config = ModelConfig {
                input_size,
                ..config
            };
            return match spec.kind() {
                Kind::Segmentation => {
                    self.work_of_segmenter(SegmentationNetwork::of(*spec, &config, 0)?)
                }
                Kind::Detection => self.work_of_detector(DetectionNetwork::of(*spec, &config, 0)?),
                _ => self.work_of_classifier(Network::of(*spec, &config, 0)?),
            };
        };
        let Weights { path, spec, .. } =
            hub::weights(weights, self.model.as_deref(), Path::new(CACHES))?;
        let options = LoadOptions {
            spec: chosen.map(|(spec, _)| *spec).or(spec),
            input_size,
            ..LoadOptions::default()
        };
        let kind = match options.spec {
            Some(spec) => Some(spec.kind()),
            None => cnn_models::kind_of(&path)?,
        };
        match kind {
            Some(Kind::Segmentation) => {
                self.work_of_segmenter(SegmentationNetwork::load(&path, &options)?)
            }
            Some(Kind::Detection) => {
                self.work_of_detector(DetectionNetwork::load(&path, &options)?)
            }
            _ => self.work_of_classifier(Network::load(&path, &options)?),
        }
    }

    fn work_of_classifier(&self, network: Network) -> Result<Call> {
        let images = self.images(&network)?;
        let model = network.build(self.mode.into())?;
        match self.mode {
            BenchMode::Infer | BenchMode::Eval => Ok(Box::new(move || {
                model.forward(&images, &Context::eval())?;
                Ok(())
            })),
            BenchMode::Gradcam => Ok(Box::new(move || {
                Explainer::new(model.as_ref()).explain(
                    Method::GradCam,
                    &images,
                    &[Target::PREDICTED],
                )?;
                Ok(())
            })),
            BenchMode::Train => {
                let classes = 0..usize::from(self.batch);
                let classes = classes.map(|image| (image % model.num_classes()) as u32);
                let targets = Targets::Classes(classes.collect());
                step(network.store(), move |cx| {
                    Ok(CrossEntropy::default().loss(&model.forward(&images, cx)?, &targets)?)
                })
            }
        }
    }

    fn work_of_segmenter(&self, network: SegmentationNetwork) -> Result<Call> {
        let images = self.images(&network)?;
        let model = network.build(self.mode.into())?;
        match self.mode {
            BenchMode::Infer | BenchMode::Eval => Ok(Box::new(move || {
                model.forward(&images, &Context::eval())?;
                Ok(())
            })),
            BenchMode::Gradcam => {
                Err(anyhow!("--mode gradcam is for classifiers").context(Unusable))
            }
            BenchMode::Train => {
                let [height, width] = [images.height(), images.width()];
                let classes = model.num_classes().max(2);
                let pixels = 0..usize::from(self.batch) * height * width;
                let masks: Vec<u8> = pixels.map(|pixel| (pixel % classes) as u8).collect();
                let shape = (usize::from(self.batch), height, width);
                let masks = Tensor::from_vec(masks, shape, &Device::Cpu)?;
                let targets = PixelTargets::new(&masks)?;
                step(network.store(), move |cx| {
                    let outputs = model.forward_outputs(&images, cx)?;
                    let loss = PixelCrossEntropy::default();
                    let mut total = loss.loss(&outputs.main.to_nhwc(), &targets)?;
                    for head in &outputs.auxiliary {
                        let of_head = loss.loss(&head.output.to_nhwc(), &targets)?;
                        total = (total + (of_head * head.weight)?)?;
                    }
                    Ok(total)
                })
            }
        }
    }

    /// Decoding and suppression included.
    fn work_of_detector(&self, network: DetectionNetwork) -> Result<Call> {
        let images = self.images(&network)?;
        let model = network.build(self.mode.into())?;
        match self.mode {
            BenchMode::Infer | BenchMode::Eval => {
                let limits = model.limits();
                Ok(Box::new(move || {
                    model.detect(&images, &limits, &Context::eval())?;
                    Ok(())
                }))
            }
            BenchMode::Gradcam => {
                Err(anyhow!("--mode gradcam is for classifiers").context(Unusable))
            }
            BenchMode::Train => {
                let [height, width] = [images.height(), images.width()];
                let classes = model.num_classes();
                let objects = |_| objects(height as f32, width as f32, classes);
                let targets = DetectionTargets {
                    images: (0..self.batch).map(objects).collect(),
                    is_late: false,
                };
                step(network.store(), move |cx| {
                    let losses = model.losses(&images, &targets, cx)?;
                    let mut losses = losses.into_iter().map(|loss| loss.value);
                    let first = losses.next().context("the network has no loss")?;
                    losses.try_fold(first, |total, loss| Ok((total + loss)?))
                })
            }
        }
    }

    /// Random images of the size that the network takes, or a photo.
    fn images<M: Watched + ?Sized>(&self, network: &NetworkOf<M>) -> Result<FeatureMap> {
        let [channels, height, width] = network.preprocessing().input_size;
        let batch = usize::from(self.batch);
        let elements = batch * height * width * channels;
        if elements > LARGEST_INPUT {
            let found = format!("{batch} images of {height}x{width} are {elements} values");
            return Err(anyhow!("{found}, expected at most {LARGEST_INPUT}").context(Unusable));
        }
        let workload = match self.mode {
            BenchMode::Train => Workload::Training,
            _ => Workload::Forward,
        };
        memory::check(network, batch, workload)?;
        if let Some(path) = &self.photo {
            let photo = open_image(path)?;
            let batch = Batch::of_images(&vec![photo; batch], network.preprocessing())?;
            return Ok(FeatureMap::from_nhwc(&batch.images)?);
        }
        let values = (0..elements).map(noise).collect::<Vec<_>>();
        let shape = (batch, height, width, channels);
        let images = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Ok(FeatureMap::from_nhwc(&images)?)
    }

    fn print_speed(&self, mut call: Call) -> Result<()> {
        let (result, ops) = profile(&mut call);
        result?;
        let flops: f64 = ops.iter().map(|op| op.flops).sum();
        let start = Instant::now();
        let mut seconds = Vec::new();
        let mut peaks = vec![peak_flops()];
        while seconds.len() < FEWEST_CALLS || start.elapsed().as_secs_f64() < self.seconds {
            let start = Instant::now();
            call()?;
            seconds.push(start.elapsed().as_secs_f64());
            peaks.push(peak_flops());
        }
        let p50 = quantile(&mut seconds, 0.5);
        let p95 = quantile(&mut seconds, 0.95);
        let peak = quantile(&mut peaks, 0.5);
        let images_per_second = f64::from(self.batch) / p50;
        let rss = peak_rss_mb();
        if self.json {
            return output::json(&json!({
                "images_per_second": images_per_second,
                "ms_p50": 1e3 * p50,
                "ms_p95": 1e3 * p95,
                "gflops": 1e-9 * flops / p50,
                "peak_fraction": flops / p50 / peak,
                "peak_rss_mb": rss,
            }));
        }
        println!(
            "{images_per_second:.1} images/s: {:.2} ms a call, 95 % within {:.2} ms",
            1e3 * p50,
            1e3 * p95
        );
        let share = 100. * flops / p50 / peak;
        println!(
            "{:.0} GFLOP/s, {share:.0} % of the {:.0} that this machine can do",
            1e-9 * flops / p50,
            1e-9 * peak
        );
        if let Some(rss) = rss {
            println!("{rss:.0} MB of memory at most");
        }
        let named = [("--model", &self.model), ("--weights", &self.weights)];
        let network = named
            .iter()
            .find_map(|(flag, value)| Some([flag, value.as_deref()?]));
        if let Some([flag, value]) = network {
            let again = ["bench", flag, value, "--ops"];
            next_steps::print(&[NextStep::new("see where the time goes", &again)]);
        }
        Ok(())
    }

    fn print_ops(&self, mut call: Call) -> Result<()> {
        let start = Instant::now();
        let mut calls = Vec::new();
        let mut peaks = vec![peak_flops()];
        let mut totals = Vec::new();
        while calls.len() < FEWEST_CALLS || start.elapsed().as_secs_f64() < self.seconds {
            let start = Instant::now();
            let (result, ops) = profile(&mut call);
            result?;
            totals.push(start.elapsed().as_secs_f64());
            calls.push(ops);
            peaks.push(peak_flops());
        }
        let mut ceilings = Ceilings::new(quantile(&mut peaks, 0.5));
        let measured = |index: usize, op: &OpTime| {
            let mut seconds: Vec<f64> = calls
                .iter()
                .filter_map(|ops| ops.get(index))
                .map(|op| op.seconds)
                .collect();
            OpTime {
                seconds: quantile(&mut seconds, 0.5),
                ..op.clone()
            }
        };
        let ops: Vec<OpTime> = calls[0]
            .iter()
            .enumerate()
            .map(|(index, op)| measured(index, op))
            .collect();
        let rows: Vec<Row> = ops.iter().map(|op| Row::of(op, &mut ceilings)).collect();
        let total = quantile(&mut totals, 0.5);
        if self.json {
            let rest = total - rows.iter().map(|row| row.seconds).sum::<f64>();
            return output::json(&json!({
                "ops": ops.iter().zip(&rows).map(|(op, row)| row.json(op)).collect::<Vec<_>>(),
                "ms_total": 1e3 * total,
                "ms_rest": 1e3 * rest,
                "peak_gflops": 1e-9 * ceilings.flops,
            }));
        }
        let columns = [
            ("place", false),
            ("operation", false),
            ("part", false),
            ("output", false),
        ];
        let columns = [&columns[..], &Row::COLUMNS].concat();
        let cells = |(op, row): (&OpTime, &Row)| {
            let place = [
                op.label.clone(),
                title(op),
                op.pass.name().to_string(),
                format!("{:?}", op.shape),
            ];
            [&place[..], &row.cells()].concat()
        };
        output::table(
            &columns,
            &ops.iter().zip(&rows).map(cells).collect::<Vec<_>>(),
        )?;
        println!();
        print_groups(&ops, &rows, total)?;
        println!(
            "\n% of the limit: the time that multiply-adds at {:.0} GFLOP/s or copies of the same size would take, whichever is longer, by the time taken",
            1e-9 * ceilings.flops
        );
        Ok(())
    }

    fn print_peak(&self) -> Result<()> {
        let mut peaks: Vec<f64> = (0..200).map(|_| peak_flops()).collect();
        let peak = quantile(&mut peaks, 0.5);
        let copies: Vec<(usize, f64)> = (20..=28)
            .map(|power| (1 << power, best_copy(1 << power)))
            .collect();
        let set = InstructionSet::current().name();
        let threads = rayon::current_num_threads();
        if self.json {
            let copy = |(bytes, rate): &(usize, f64)| json!({ "bytes": bytes, "gb_per_second": 1e-9 * rate });
            return output::json(&json!({
                "instruction_set": set,
                "threads": threads,
                "gflops": 1e-9 * peak,
                "copies": copies.iter().map(copy).collect::<Vec<_>>(),
            }));
        }
        println!(
            "{:.0} GFLOP/s of multiply-adds in registers ({set}, {threads} threads)",
            1e-9 * peak
        );
        for (bytes, rate) in copies {
            println!(
                "{:6.1} GB/s copying {} MiB to and fro",
                1e-9 * rate,
                bytes >> 20
            );
        }
        Ok(())
    }
}

/// The same numbers everywhere, spread over -1 to 1.
fn noise(index: usize) -> f32 {
    (index as u32).wrapping_mul(2_654_435_761) as f32 / 2f32.powi(31) - 1.
}

/// Eight objects of an image, wide ones and high ones of several sizes.
fn objects(height: f32, width: f32, classes: usize) -> ImageObjects {
    let edges = |number: u8| {
        let x = (f32::from(number % 4) + 0.5) / 4. * width;
        let y = (f32::from(number / 4) + 0.5) / 2. * height;
        let half_width = f32::from(1 + number) / 32. * width;
        let half_height = f32::from(8 - number) / 32. * height;
        [
            (x - half_width).max(0.),
            (y - half_height).max(0.),
            (x + half_width).min(width),
            (y + half_height).min(height),
        ]
    };
    ImageObjects {
        boxes: (0..8).map(edges).collect(),
        classes: (0..8).map(|number| number % classes).collect(),
    }
}

/// Training steps with this loss.
fn step(store: &Store, loss: impl Fn(&Context<'_>) -> Result<Tensor> + 'static) -> Result<Call> {
    let groups = decay_groups(store.trainable(), 0.);
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd(), groups)?;
    let mut steps = 0;
    Ok(Box::new(move || {
        steps += 1;
        let loss = loss(&Context::train(Key::new(steps)))?;
        let mut gradients = backward(&loss)?;
        drop(loss);
        let gradients = Gradients::take(&mut gradients, &optimizer);
        let rates = Rates {
            lr: 1e-3,
            momentum: None,
        };
        Ok(optimizer.step(&gradients, &rates)?)
    }))
}

/// The value below which a share of the values lies.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// The most memory that the process has held, where the system says so.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024.)
}

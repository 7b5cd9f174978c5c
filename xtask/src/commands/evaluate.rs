//! `cargo xtask evaluate`: how good a network is on a labelled dataset.

use anyhow::Result;
use clap::Args;
use cnn_data::Split;
use serde_json::{Value, json};

use crate::args::{DType, NetworkArgs};
use crate::datasets::Source;
use crate::inference::Measured;
use crate::{inference, next_steps, output};

/// Measure a network on a labelled dataset: loss, top-1, top-5, and each class's precision, recall and F1
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    network: NetworkArgs,

    /// A folder of class folders (with or without train, val, test above them), MNIST-like IDX files, an image parquet, or `shapes`
    #[arg(long, value_name = "PATH")]
    data: String,

    /// Which part of the dataset: train, val or test; may be left out where there is only one
    #[arg(long)]
    split: Option<Split>,

    /// Images per forward pass
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

impl Evaluate {
    pub(crate) fn run(&self) -> Result<()> {
        let network = self.network.load(DType::F32)?;
        let dataset = Source::parse(&self.data)?.open(self.split)?;
        let measured = inference::measure(&network, &dataset, self.batch.into())?;
        let names = inference::class_names(&network);
        if self.json {
            let mut report = report(&measured, &names)?;
            report["weights"] = self.network.weights().into();
            return output::json(&report);
        }
        print(&measured, &names)?;
        let split = self.split.map(Split::name);
        next_steps::print(&next_steps::after_measuring(&self.data, split, &self.network));
        Ok(())
    }
}

fn report(measured: &Measured, names: &[String]) -> Result<Value> {
    let (result, interval) = (&measured.result, measured.top1_interval()?);
    let occurring = result.per_class.iter().zip(names).filter(|(scores, _)| scores.samples > 0);
    let per_class = occurring.map(|(scores, name)| {
        json!({
            "label": name,
            "samples": scores.samples,
            "precision": scores.precision,
            "recall": scores.recall,
            "f1": scores.f1,
        })
    });
    Ok(json!({
        "samples": result.samples,
        "loss": result.loss,
        "top1": result.top1,
        "top1_interval": [interval.low, interval.high],
        "top5": result.top5,
        "per_class": per_class.collect::<Vec<_>>(),
        "skipped": measured.skipped,
    }))
}

fn print(measured: &Measured, names: &[String]) -> Result<()> {
    let (result, interval) = (&measured.result, measured.top1_interval()?);
    let columns = [("class", false), ("samples", true), ("precision", true), ("recall", true), ("F1", true)];
    let occurring = result.per_class.iter().zip(names).filter(|(scores, _)| scores.samples > 0);
    let share = |share: f64| format!("{share:.3}");
    let rows = occurring.map(|(scores, name)| {
        vec![name.clone(), scores.samples.to_string(), share(scores.precision), share(scores.recall), share(scores.f1)]
    });
    output::table(&columns, &rows.collect::<Vec<_>>())?;
    println!();
    println!("samples  {}", result.samples);
    println!("loss     {:.4}", result.loss);
    println!(
        "top-1    {:.2} % (95 % interval {:.2} to {:.2})",
        100. * result.top1,
        100. * interval.low,
        100. * interval.high
    );
    println!("top-5    {:.2} %", 100. * result.top5);
    inference::print_skipped(&measured.skipped);
    Ok(())
}

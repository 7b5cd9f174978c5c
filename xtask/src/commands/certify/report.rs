//! What is printed and written of certificates.

use std::path::Path;

use anyhow::Result;
use cnn_core::write_atomic;
use cnn_viz::{Fact, Report, RobustnessResults, SizePoint, Timing};
use serde::Serialize;
use serde_json::{Value, json};

use super::figures::{Figures, in_percent};
use super::{COMMAND, Certifier, Certify, Method, PAGE};
use crate::byline::byline;
use crate::labelled_images::Asked;
use crate::output;
use crate::training::save_arguments;

/// What was asked, and what was found.
pub(super) struct Findings<'a> {
    pub(super) command: &'a Certify,
    pub(super) certifier: &'a dyn Certifier,
    pub(super) figures: &'a Figures,
}

/// What the run directory says of how it was made.
#[derive(Serialize)]
struct Arguments<'a> {
    #[serde(flatten)]
    asked: Asked<'a>,
    method: Method,
    #[serde(flatten)]
    of_method: ArgumentsOf,
    batch: u16,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ArgumentsOf {
    Smoothing {
        sigma: f64,
        n0: u32,
        n: u32,
        alpha: f64,
        clip: bool,
    },
    Interval {
        /// As on the command line.
        eps: String,
    },
}

impl Findings<'_> {
    pub(super) fn summary(&self) -> Value {
        let Figures {
            certified,
            notes,
            skipped,
            seconds,
            ..
        } = self.figures;
        let radii = self.certifier.radii().into_iter().map(|radius| {
            json!({ "radius": radius, "certified_top1": certified.certified_top1(radius) })
        });
        let [norm, _] = self.certifier.norm();
        let mut summary = json!({
            "samples": certified.samples(),
            "method": self.command.method,
            "norm": norm,
            "clean_top1": self.figures.clean_top1(),
            "radii": radii.collect::<Vec<_>>(),
            "seconds": seconds,
            "seed": self.command.network.seed,
            "skipped": skipped,
            "weights": self.command.network.weights(),
            "notes": notes,
        });
        if let (Value::Object(all), Value::Object(more)) =
            (&mut summary, self.certifier.summary(certified))
        {
            all.extend(more);
        }
        summary
    }

    /// Writes the arguments, the summary and the page.
    pub(super) fn write(&self, directory: &Path, model: &str, data: &str) -> Result<()> {
        save_arguments(&self.arguments(), directory)?;
        let json = serde_json::to_string_pretty(&self.summary())? + "\n";
        write_atomic(&directory.join("summary.json"), |file| {
            file.write_all(json.as_bytes())
        })?;
        let html = self.page(model, data)?.to_html()?;
        write_atomic(&directory.join(PAGE), |file| {
            file.write_all(html.as_bytes())
        })?;
        Ok(())
    }

    fn arguments(&self) -> Arguments<'_> {
        let command = self.command;
        let sizes: Vec<String> = command.eps.iter().map(f64::to_string).collect();
        Arguments {
            asked: command.images.asked(&command.network),
            method: command.method,
            of_method: match command.method {
                Method::Smoothing => ArgumentsOf::Smoothing {
                    sigma: command.sigma,
                    n0: command.n0,
                    n: command.n,
                    alpha: command.alpha,
                    clip: command.clip,
                },
                Method::Interval => ArgumentsOf::Interval {
                    eps: sizes.join(","),
                },
            },
            batch: command.batch,
        }
    }

    fn page(&self, model: &str, data: &str) -> Result<Report> {
        let samples = self.figures.certified.samples();
        let mut summary = self.certifier.facts(self.figures)?;
        summary.push(Fact::new("images", samples.to_string()).with_note(data));
        Ok(Report {
            title: format!("{model} certified"),
            byline: Some(byline()),
            summary,
            notes: self.figures.notes.clone(),
            robustness: Some(self.results()?),
            skipped: self.figures.skipped.clone(),
            timings: vec![Timing {
                name: COMMAND.to_string(),
                seconds: self.figures.seconds,
                images_per_second: Some(samples as f64 / self.figures.seconds),
            }],
            ..Report::default()
        })
    }

    fn results(&self) -> Result<RobustnessResults> {
        let certified = &self.figures.certified;
        let point = |radius: f64| {
            let interval = certified.interval(radius)?;
            Ok(SizePoint {
                eps: radius,
                robust: [
                    certified.certified_top1(radius),
                    interval.low,
                    interval.high,
                ],
            })
        };
        let points = self.certifier.curve().into_iter().map(point);
        let [_, norm] = self.certifier.norm();
        Ok(RobustnessResults {
            evaluated_on: format!(
                "Of {} images the share whose class is right and stays the same under every change \
                 within a radius in {norm}, of images with values in 0 to 1",
                certified.samples()
            ),
            certified: points.collect::<Result<_>>()?,
            certified_of: self.certifier.description(),
            ..RobustnessResults::default()
        })
    }

    pub(super) fn print(&self) -> Result<()> {
        let certified = &self.figures.certified;
        let row = |radius: f64| {
            let interval = certified.interval(radius)?;
            let [low, high] = [interval.low, interval.high].map(in_percent);
            Ok(vec![
                format!("{radius:.4}"),
                in_percent(certified.certified_top1(radius)),
                format!("{low} to {high}"),
            ])
        };
        let rows = self.certifier.radii().into_iter().map(row);
        let [norm, _] = self.certifier.norm();
        let radius = format!("radius in {norm}");
        let columns = [
            (radius.as_str(), true),
            ("certified %", true),
            ("95 % interval", true),
        ];
        output::table(&columns, &rows.collect::<Result<Vec<_>>>()?)?;
        println!();
        let samples = ["samples".to_string(), certified.samples().to_string()];
        let lines = self.certifier.lines(self.figures);
        for [name, value] in std::iter::once(samples).chain(lines) {
            println!("{name:<20} {value}");
        }
        for note in &self.figures.notes {
            println!("Note: {note}.");
        }
        println!("certified in {:.1} s", self.figures.seconds);
        Ok(())
    }
}

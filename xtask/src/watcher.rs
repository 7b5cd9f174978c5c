//! What a run says while it trains: its progress and a line for each epoch.

use cnn_train::Notice;

use crate::output;
use crate::strip::Strip;

/// Shows what a trainer reports, and adds each epoch to the strip.
pub(crate) struct Watcher<'a> {
    strip: Option<&'a Strip>,
    patience: Option<u32>,
    /// Images of all epochs to come.
    images: usize,
    /// From the first update on, so that what came before is no part of it.
    progress: Option<output::Progress>,
    pass: Option<Pass>,
    /// The last update's.
    lr: f64,
}

/// A pass that computes features.
struct Pass {
    of: &'static str,
    progress: output::Progress,
    done: usize,
    images: usize,
}

impl<'a> Watcher<'a> {
    /// Adds each epoch to `strip` where there is one, and says when there was no better epoch for
    /// `patience` ones.
    pub(crate) fn new(strip: Option<&'a Strip>, patience: Option<u32>) -> Self {
        Self {
            strip,
            patience,
            images: 0,
            progress: None,
            pass: None,
            lr: 0.,
        }
    }

    /// A trainer begins that goes through so many images.
    pub(crate) fn begin(&mut self, images: usize) {
        self.finish();
        self.images = images;
    }

    pub(crate) fn finish(&mut self) {
        self.finish_pass();
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }

    /// Features are computed, a pass of its own, of which so many images are done.
    pub(crate) fn features(&mut self, of: &'static str, done: usize, images: usize) {
        if self.pass.as_ref().is_none_or(|pass| pass.of != of) {
            self.finish_pass();
            let progress = output::Progress::new(&format!("features of {of} images"), images);
            self.pass = Some(Pass {
                of,
                progress,
                done: 0,
                images,
            });
        }
        if let Some(pass) = &mut self.pass {
            pass.progress.advance(done.saturating_sub(pass.done));
            pass.done = done;
        }
        if done == images {
            self.finish_pass();
        }
    }

    fn finish_pass(&mut self) {
        let Some(Pass {
            of,
            progress,
            done,
            images,
        }) = self.pass.take()
        else {
            return;
        };
        progress.finish();
        let images = if done == images {
            format!("{done}")
        } else {
            format!("{done} of {images}")
        };
        eprintln!("features of {images} {of} images");
    }

    pub(crate) fn show(&mut self, notice: &Notice<'_>) {
        match notice {
            Notice::Update { report, rates, .. } => {
                self.finish_pass();
                self.lr = rates.lr;
                match &mut self.progress {
                    Some(progress) => progress.advance(report.samples),
                    None => self
                        .progress
                        .insert(output::Progress::new("train", self.images))
                        .skip(report.samples),
                }
            }
            Notice::Epoch {
                record,
                is_best,
                stale_epochs,
            } => {
                if let Some(strip) = self.strip {
                    strip.add(record.epoch);
                }
                self.println(&format!(
                    "{}{}",
                    epoch_line(&record.row(), self.lr),
                    if *is_best { "  best so far" } else { "" }
                ));
                if self
                    .patience
                    .is_some_and(|patience| patience as usize == *stale_epochs)
                {
                    self.println(&format!(
                        "no better epoch in the last {stale_epochs} (--patience): this was the last"
                    ));
                }
            }
            _ => {}
        }
    }

    fn println(&self, line: &str) {
        match &self.progress {
            Some(progress) => progress.println(line),
            None => eprintln!("{line}"),
        }
    }
}

/// A row of `metrics.csv` to read, with the rate of the epoch's last update in place of its first.
fn epoch_line(row: &[(String, String)], lr: f64) -> String {
    let cells = row.iter().map(|(name, value)| match name.as_str() {
        "lr" => format!("lr {}", output::significant(lr)),
        _ => format!("{name} {}", rounded(value)),
    });
    cells.collect::<Vec<_>>().join("  ")
}

/// Four decimals are enough to read.
fn rounded(value: &str) -> String {
    value.parse::<f64>().map_or(value.to_string(), |number| {
        if number.fract() == 0. {
            format!("{number}")
        } else {
            format!("{number:.4}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epochs_line_says_the_rate_that_it_ended_with() {
        let row = [
            ("epoch", "1"),
            ("lr", "0.00002"),
            ("train_loss", "2.34159"),
            ("val_top1", "1"),
        ];
        let row = row.map(|(name, value)| (name.to_string(), value.to_string()));
        assert_eq!(
            epoch_line(&row, 0.001_984_2),
            "epoch 1  lr 0.00198  train_loss 2.3416  val_top1 1"
        );
        assert_eq!(
            epoch_line(&row, 0.000_02),
            "epoch 1  lr 2e-5  train_loss 2.3416  val_top1 1"
        );
    }
}

//! What a network makes of all images of a dataset, in evaluation.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use cnn_core::Preprocessing;
use cnn_data::{BatchPlan, Dataset};
use cnn_layers::Context;
use cnn_metrics::{ClassificationMetrics, ClassificationResult};
use cnn_train::count_predictions;

use super::outputs::TwoParts;
use crate::Error;

/// Images per batch of an evaluation.
const EVALUATION_BATCH: usize = 64;

/// Features and scores of images, row by row, with the labels of those that have one.
#[derive(Default)]
pub(in super::super) struct JudgedImages {
    pub(in super::super) features: Vec<f32>,
    pub(in super::super) logits: Vec<f32>,
    pub(in super::super) labels: Vec<u32>,
    /// Which images these are.
    pub(in super::super) indices: Vec<usize>,
}

impl JudgedImages {
    /// Of all images that can be read.
    pub(in super::super) fn of(
        network: &TwoParts,
        images: &Arc<dyn Dataset>,
        preprocessing: &Preprocessing,
    ) -> Result<Self, Error> {
        let plan =
            BatchPlan::new(images.clone(), preprocessing.clone()).with_batch_size(EVALUATION_BATCH);
        let mut judged = Self::default();
        let cx = Context::eval();
        for batch in plan.start()? {
            let batch = batch?;
            let outputs = network.outputs(&batch.images, &cx)?;
            let values = |xs: &Tensor| {
                xs.to_dtype(candle_core::DType::F32)?
                    .flatten_all()?
                    .to_vec1::<f32>()
            };
            judged.features.extend(values(&outputs.features)?);
            judged.logits.extend(values(&outputs.logits)?);
            judged.indices.extend(&batch.indices);
            let labels = batch.labels.iter().flatten();
            judged.labels.extend(labels.map(|&label| label as u32));
        }
        Ok(judged)
    }

    /// The columns of a matrix with a row for each image.
    pub(in super::super) fn columns(&self, values: &[f32]) -> usize {
        values.len() / self.indices.len().max(1)
    }

    /// The number of each image and its class.
    pub(super) fn predictions(&self) -> impl Iterator<Item = (usize, u32)> {
        let classes = self.columns(&self.logits).max(1);
        let best = |row: &[f32]| {
            let mut best = 0;
            for (class, score) in row.iter().enumerate() {
                if *score > row[best] {
                    best = class;
                }
            }
            best as u32
        };
        let rows = self.logits.chunks_exact(classes).map(best);
        self.indices.iter().copied().zip(rows)
    }

    /// How good these predictions are, where all images have labels.
    pub(super) fn measured(&self) -> Result<ClassificationResult, Error> {
        let classes = self.columns(&self.logits);
        let mut metrics = ClassificationMetrics::new(classes)?;
        let shape = (self.labels.len(), classes);
        let logits = Tensor::from_slice(&self.logits, shape, &Device::Cpu)?;
        count_predictions(&mut metrics, &logits, &self.labels)?;
        Ok(metrics.result()?)
    }

    /// `ln Σ e^z − z` of the label, for each image.
    pub(super) fn cross_entropies(&self) -> Vec<f64> {
        let rows = self.logits.chunks_exact(self.columns(&self.logits).max(1));
        let entropy = |(row, label): (&[f32], &u32)| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|&z| f64::from(z - largest).exp()).sum();
            sum.ln() - f64::from(row[*label as usize] - largest)
        };
        rows.zip(&self.labels).map(entropy).collect()
    }
}

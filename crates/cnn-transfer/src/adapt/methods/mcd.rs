//! Two heads that disagree where the target is foreign (Saito et al. 2018, "MCD",
//! arXiv:1712.02560): in each update both learn from the source, then to disagree on the target, and
//! then the features learn to make them agree. Heads and features have an optimiser each.

use candle_core::Tensor;
use cnn_layers::{Context, Linear, LinearConfig, Mode, Store, backward};
use cnn_train::{Error as TrainError, GradientStep, Gradients, Losses, Step, StepReport, Update};

use super::super::losses::classifier_discrepancy;
use super::super::task::{AdaptationTask, DomainBatch, Outputs, Reads, read};
use super::descent::{descend, finite, in_turn};
use super::{Alternating, Learning, Recipe, Setting};
use crate::Error;

/// The heads' optimiser.
const HEADS: &str = "heads";
/// How often the features learn in an update; the paper's.
const FEATURE_STEPS: usize = 4;

struct McdStep {
    trade_off: f64,
    second_head: Linear,
    store: Store,
}

impl Recipe {
    /// Heads that disagree, and features that make them agree.
    pub(in super::super) fn mcd(setting: &Setting<'_>) -> Result<Self, Error> {
        let store = Store::new(setting.seed);
        let at = store.builder(Mode::Train).pp("second_head");
        let step = McdStep {
            trade_off: setting.trade_off,
            second_head: LinearConfig::new(setting.features, setting.classes).build(&at)?,
            store: store.clone(),
        };
        Ok(Self {
            learning: Learning::Whole,
            alternating: Some(Alternating {
                name: HEADS,
                store,
                with_head: true,
            }),
            separate_statistics: true,
            ..Self::new(step, Reads::both())
        })
    }
}

impl McdStep {
    fn second(&self, outputs: &Outputs, cx: &Context<'_>) -> Result<Tensor, Error> {
        Ok(self.second_head.forward(&outputs.features, cx)?)
    }

    /// The cross-entropy of both heads on the source.
    fn source_loss(
        &self,
        task: &AdaptationTask,
        batch: &DomainBatch,
        outputs: &Outputs,
        cx: &Context<'_>,
    ) -> Result<Losses, Error> {
        let first = task.source_loss(batch, &outputs.logits)?;
        let second = task.source_loss(batch, &self.second(outputs, cx)?)?;
        Ok(Losses {
            total: (first.total + second.total)?,
            named: first.named,
        })
    }

    fn discrepancy(&self, outputs: &Outputs, cx: &Context<'_>) -> Result<Tensor, Error> {
        classifier_discrepancy(&outputs.logits, &self.second(outputs, cx)?)
    }

    fn update(
        &self,
        task: &AdaptationTask,
        batch: &DomainBatch,
        update: &mut Update<'_>,
    ) -> Result<StepReport, Error> {
        let source = task.source_images(batch)?;
        let target = &read("target", &batch.target)?.images;

        // Both heads and the features learn from the source.
        let cx = update.context(0);
        let outputs = task.source_outputs(&source, &cx)?;
        let of_source = self.source_loss(task, batch, &outputs, &cx)?;
        let loss = finite(&of_source.total)?;
        let mut all = backward(&of_source.total)?;
        drop(outputs);
        let step = GradientStep::default();
        let gradient_norm = step.update(Gradients::take(&mut all, update.optimizer), update)?;
        let heads = update.further(HEADS)?;
        let rates = heads.rates;
        step.apply(
            Gradients::take(&mut all, heads.optimizer),
            heads.optimizer,
            &rates,
        )?;
        drop(all);

        // The heads learn to disagree on the target, where the source holds them.
        let cx = update.context(1);
        let outputs = task.pair_features(&source, target, &cx)?;
        let apart = self.discrepancy(&outputs.target, &cx)?;
        let of_source_again = self.source_loss(task, batch, &outputs.source, &cx)?;
        let of_heads = (of_source_again.total - (apart * self.trade_off)?)?;
        let heads = update.further(HEADS)?;
        descend(of_heads, heads.optimizer, &rates)?;

        // The features learn to make them agree.
        let mut disagreement = 0.;
        for number in 0..FEATURE_STEPS {
            let cx = update.context(2 + number);
            let outputs = task.target_outputs(target, &cx)?;
            let apart = self.discrepancy(&outputs, &cx)?;
            disagreement = finite(&apart)?;
            let rates = update.rates;
            descend((apart * self.trade_off)?, update.optimizer, &rates)?;
        }
        let mut values = vec![("loss".to_string(), loss)];
        values.extend(of_source.named);
        values.push(("transfer_loss".to_string(), disagreement));
        Ok(StepReport {
            samples: batch.samples(),
            values,
            gradient_norm,
        })
    }
}

impl Step<AdaptationTask> for McdStep {
    fn step(
        &mut self,
        task: &AdaptationTask,
        batches: &[DomainBatch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, TrainError> {
        in_turn(batches, |batch| self.update(task, batch, update))
    }

    fn kept(&self) -> Vec<(String, Store)> {
        vec![("second_head".to_string(), self.store.clone())]
    }
}

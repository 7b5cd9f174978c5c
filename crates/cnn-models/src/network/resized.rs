//! A network with other numbers of channels.

use std::collections::{BTreeMap, HashSet};

use candle_core::{Device, Tensor};
use cnn_layers::{Mode, Store};

use crate::{Error, ModelKind, NetworkOf};

impl<M: ModelKind + ?Sized> NetworkOf<M> {
    /// The same network with other numbers of output channels for some of its layers, by their
    /// paths, and these tensors: what is left of it after pruning. Layers that nothing is said of
    /// keep theirs. Frozen parameters stay frozen.
    ///
    /// # Errors
    /// If a layer's number of channels cannot be changed, the layers do not fit each other, or a
    /// tensor is missing or has another shape than they need; it is named.
    pub fn resized(
        &self,
        widths: BTreeMap<String, usize>,
        tensors: &[(String, Tensor)],
    ) -> Result<Self, Error> {
        let mut config = self.config.clone();
        config.model.widths.extend(widths);
        let store = Store::with_dtype(0, self.store.dtype(), &Device::Cpu);
        store.set_blank(true);
        let model = self.spec.build(&config.model, &store.builder(Mode::Eval))?;
        store.set_blank(false);
        let tensors = tensors.iter();
        let report = store.load(tensors.map(|(name, tensor)| (name.as_str(), tensor.clone())))?;
        let report = report.into_result().map_err(|source| Error::Resized {
            model: self.spec.name,
            source: Box::new(source),
        })?;
        let entries = self.store.entries().into_iter();
        let frozen = entries.filter(|entry| !entry.trainable);
        let frozen: HashSet<String> = frozen.map(|entry| entry.name).collect();
        store.set_trainable(false, |name| frozen.contains(name));
        Ok(Self {
            spec: self.spec,
            config,
            store,
            model,
            report,
            loaded_from: self.loaded_from.clone(),
            weights_file: self.weights_file.clone(),
        })
    }
}

//! The tensors that bounds are computed with.

use std::collections::HashMap;

use candle_core::{DType, Result as CandleResult, Tensor};
use cnn_graph::Graph;
use cnn_layers::Store;

use crate::Error;

/// The tensors of a graph's layers by their names in the store.
pub(crate) struct Weights(HashMap<String, Tensor>);

impl Weights {
    /// Copies of what the store holds now, of another element type.
    pub(super) fn copied(graph: &Graph, store: &Store, dtype: DType) -> Result<Self, Error> {
        Self::of(graph, |name| store.get(name)?.to_dtype(dtype)?.copy())
    }

    /// What the store holds whenever it is asked; gradients flow to what is trained.
    pub(crate) fn trained(graph: &Graph, store: &Store) -> Result<Self, Error> {
        let variables: HashMap<String, _> = store.trainable().into_iter().collect();
        Self::of(graph, |name| match variables.get(name) {
            Some(variable) => Ok(variable.as_tensor().clone()),
            None => store.get(name),
        })
    }

    fn of(graph: &Graph, tensor: impl Fn(&str) -> CandleResult<Tensor>) -> Result<Self, Error> {
        let mut tensors = HashMap::new();
        for node in graph.nodes() {
            for stored in node.tensors()? {
                tensors.insert(stored.name.clone(), tensor(&stored.name)?);
            }
        }
        Ok(Self(tensors))
    }

    pub(super) fn get(&self, name: &str) -> CandleResult<Tensor> {
        match self.0.get(name) {
            Some(tensor) => Ok(tensor.clone()),
            None => candle_core::bail!("the graph has no tensor `{name}`"),
        }
    }

    /// What an affine layer multiplies the radius by: the magnitude of its factors, and no offsets.
    pub(super) fn magnitude(&self, name: &str) -> CandleResult<Tensor> {
        let tensor = self.get(name)?;
        let own_name = name.rsplit('.').next().unwrap_or(name);
        match own_name {
            "bias" | "running_mean" => tensor.zeros_like(),
            _ => tensor.abs(),
        }
    }
}

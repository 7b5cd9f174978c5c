//! The proof that what was frozen did not change.

use std::collections::HashSet;
use std::path::Path;

use candle_core::{DType, Tensor};
use cnn_layers::{Store, TensorKind};
use cnn_weights::TensorFile;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{Error, Phase};

/// Which tensors of a source a saved file holds bit by bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FreezeProof {
    /// How many tensors were to stay.
    pub tensors: usize,
    /// How many of them are in the file what they were in the source.
    pub unchanged: usize,
    /// The others' names.
    pub changed: Vec<String>,
}

impl FreezeProof {
    /// Compares by SHA-256 the tensors of `source`, freshly loaded from where the network came
    /// from, that `frozen` picks by name with those of the file at `saved`.
    ///
    /// # Errors
    /// If the file cannot be read or lacks a tensor.
    pub fn of(source: &Store, saved: &Path, frozen: impl Fn(&str) -> bool) -> Result<Self, Error> {
        let file = TensorFile::open(saved)?;
        let mut proof = Self {
            tensors: 0,
            unchanged: 0,
            changed: Vec::new(),
        };
        for (name, tensor) in source.tensors() {
            if !frozen(&name) {
                continue;
            }
            proof.tensors += 1;
            if digest(&tensor)? == digest(&file.tensor(&name)?)? {
                proof.unchanged += 1;
            } else {
                proof.changed.push(name);
            }
        }
        Ok(proof)
    }

    /// The same for what no phase of a run trained, and for the running statistics that every phase
    /// kept.
    ///
    /// # Errors
    /// As [`FreezeProof::of`].
    pub fn of_phases(source: &Store, saved: &Path, phases: &[Phase]) -> Result<Self, Error> {
        let entries = source.entries();
        let buffers: HashSet<&str> = entries
            .iter()
            .filter(|entry| entry.kind == TensorKind::Buffer)
            .map(|entry| entry.name.as_str())
            .collect();
        Self::of(source, saved, |name| {
            if buffers.contains(name) {
                phases.iter().all(|phase| phase.keeps_statistics(name))
            } else {
                !phases.iter().any(|phase| phase.trains(name))
            }
        })
    }
}

/// SHA-256 of shape, element type and the values' bytes, little-endian.
pub(crate) fn digest(tensor: &Tensor) -> Result<[u8; 32], Error> {
    let mut hasher = Sha256::new();
    hasher.update(format!("{:?} {:?}", tensor.dtype(), tensor.dims()));
    let flat = tensor.flatten_all()?;
    match tensor.dtype() {
        DType::F32 => flat
            .to_vec1::<f32>()?
            .iter()
            .for_each(|value| hasher.update(value.to_le_bytes())),
        DType::F64 => flat
            .to_vec1::<f64>()?
            .iter()
            .for_each(|value| hasher.update(value.to_le_bytes())),
        DType::I64 => flat
            .to_vec1::<i64>()?
            .iter()
            .for_each(|value| hasher.update(value.to_le_bytes())),
        _ => {
            let wide = flat.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            wide.iter()
                .for_each(|value| hasher.update(value.to_le_bytes()));
        }
    }
    Ok(hasher.finalize().into())
}

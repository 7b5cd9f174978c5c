//! Weight files in and out: safetensors and PyTorch `.pth`/`.pt`/`.th`/`.bin`, read without
//! executing anything.
//!
//! [`TensorFile::open`] recognises the format by content and gives an ordered map from name to
//! tensor; tensors are converted one by one when asked for. [`save_safetensors`] writes a file
//! whose bytes depend on its content alone. [`LoadReport`] says which tensors a model took from a
//! file and which it did not.
//!
//! ```
//! use std::collections::BTreeMap;
//! use candle_core::{DType, Device, Tensor};
//! use cnn_weights::{TensorFile, save_safetensors};
//!
//! # let dir = tempfile::tempdir()?;
//! let path = dir.path().join("model.safetensors");
//! let weight = Tensor::ones((2, 3), DType::F32, &Device::Cpu)?;
//! save_safetensors(&path, &[("fc.weight".to_string(), weight)], &BTreeMap::new())?;
//!
//! let file = TensorFile::open(&path)?;
//! assert_eq!(file.names().collect::<Vec<_>>(), ["fc.weight"]);
//! assert_eq!(file.tensor("fc.weight")?.dims(), [2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Files of strangers
//!
//! A weight file may come from anyone. Every size in it is checked, with overflow-checked
//! arithmetic, against the bytes that are there before memory is allocated; nothing recurses on the
//! input; and a pickle is interpreted as data: no function named in it is ever called.
//!
//! What rebuilds tensors and numpy arrays is modelled here. Whatever else a checkpoint holds
//! (configurations, enumerations, tables, random generators, optimisers, whole modules) becomes an
//! inert object, so that the tensors beside or within it load. A pickle that would call a function
//! of a module that runs code, or touches files, processes or the network (`os`, `subprocess`,
//! `builtins.eval`), is refused with that function's name (see [`Error::Refused`]), for its author
//! wanted more than to save weights.
//!
//! The memory that reading takes is bounded by the file's size: the file itself, its inflated
//! records (at most 32 times the file plus 1 MiB, and only where it was compressed, which
//! `torch.save` does not do), and the pickle's objects. The tensors of a PyTorch file take together
//! at most 8 times what it stores, plus 1 MiB.
//!
//! # Its neighbours
//!
//! It uses `cnn-core` and `cnn-pickle`; `cnn-layers` has the store that takes a file's tensors, `cnn-models` the
//! networks that load whole directories. [All
//! crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one page.
//!
//! # In your project
//!
//! A debug build of a project that depends on this crate is slow unless its dependencies are
//! optimised: build with `--release`, or add to the workspace's `Cargo.toml`
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! debug-assertions = false
//! overflow-checks = false
//! ```
//!
//! [Use it in your project](https://github.com/cnn-rs/cnn/blob/main/docs/use-in-your-project.md)
//! has the dependencies and the figures.

#![forbid(unsafe_code)]

mod element;
mod error;
mod foreign;
mod layout;
mod pth;
mod report;
mod safetensors;
mod save;
mod tensor_file;

pub use cnn_pickle::ElementType;
pub use error::Error;
pub use report::{LoadReport, ShapeMismatch};
pub use save::save_safetensors;
pub use tensor_file::{ChosenWeights, Format, Prefer, SkippedTensor, TensorFile, TensorInfo};

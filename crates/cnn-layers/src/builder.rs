//! The path from which a layer takes its parameters.

use candle_core::{DType, Result, Tensor, Var};

use crate::{Init, Kind, Store};

/// What the model is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Trainable tensors are tracked; frozen ones are detached, and their batch-norm keeps its
    /// running statistics.
    Train,
    /// Everything is detached: no graph is recorded.
    Eval,
    /// As `Eval`, and faster: a convolution takes in the norm, the activation and the residual sum
    /// after it, and its weights are laid out once, when the model is built. Later changes of the
    /// store do not show.
    Inference,
}

/// A place in the store, named as PyTorch names modules.
#[derive(Debug, Clone)]
pub struct Builder {
    store: Store,
    path: String,
    mode: Mode,
}

impl Builder {
    pub(crate) fn root(store: Store, mode: Mode) -> Self {
        Self {
            store,
            path: String::new(),
            mode,
        }
    }

    /// The child `name`: `builder.pp("layer1").pp(0)` is `layer1.0`.
    pub fn pp(&self, name: impl std::fmt::Display) -> Self {
        Self {
            path: self.name_of(name),
            ..self.clone()
        }
    }

    /// This place's path, as `layer1.0.conv1`; empty at the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the model is built for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The store behind.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The parameter `name` of this place, created by `init` when the store does not have it.
    ///
    /// # Errors
    /// If the store holds it with another shape, or as a buffer.
    pub fn param(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        let name = self.name_of(name);
        let var =
            self.store
                .get_or_create(&name, Kind::Parameter, self.store.dtype(), shape, init)?;
        let tracked = self.mode == Mode::Train && self.store.is_trainable(&name);
        Ok(if tracked {
            var.as_tensor().clone()
        } else {
            var.as_detached_tensor()
        })
    }

    /// The buffer `name` of this place: a tensor that moves without gradients, as running
    /// statistics do.
    ///
    /// # Errors
    /// As [`Builder::param`].
    pub fn buffer(&self, name: &str, shape: &[usize], init: Init) -> Result<Buffer> {
        let dtype = self.store.dtype();
        Ok(Buffer(self.store.get_or_create(
            &self.name_of(name),
            Kind::Buffer,
            dtype,
            shape,
            init,
        )?))
    }

    /// The 64-bit integer buffer `name`, a scalar that starts at 0.
    ///
    /// # Errors
    /// As [`Builder::param`].
    pub fn counter(&self, name: &str) -> Result<Buffer> {
        Ok(Buffer(self.store.get_or_create(
            &self.name_of(name),
            Kind::Buffer,
            DType::I64,
            &[],
            Init::ZEROS,
        )?))
    }

    /// Whether the parameter `name` of this place is frozen in a model built for training.
    pub fn is_frozen(&self, name: &str) -> bool {
        self.mode == Mode::Train && !self.store.is_trainable(&self.name_of(name))
    }

    fn name_of(&self, name: impl std::fmt::Display) -> String {
        if self.path.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.path)
        }
    }
}

/// A handle on a buffer of the store.
#[derive(Debug, Clone)]
pub struct Buffer(Var);

impl Buffer {
    /// The current value, detached but sharing the storage.
    pub fn get(&self) -> Tensor {
        self.0.as_detached_tensor()
    }

    /// Overwrites the value.
    ///
    /// # Errors
    /// If shape or element type differ.
    pub fn set(&self, value: &Tensor) -> Result<()> {
        self.0.set(&value.detach())
    }
}

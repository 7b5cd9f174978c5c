//! The path from which a layer takes its parameters.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Result, Tensor, Var};

use crate::store::{Changes, Snapshot};
use crate::{Error, Init, Store, TensorKind};

/// What the model is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Trainable tensors are tracked; frozen ones are detached, and their batch-norm keeps its
    /// running statistics.
    Train,
    /// Everything is detached: no graph is recorded.
    Eval,
    /// As `Eval`, and faster: a convolution takes in the norm, the activation and the residual sum
    /// after it, and its weights are laid out once, when the model is built. Once the store has
    /// changed, the model is an error to run: build it again.
    Inference,
}

/// A place in the store, named as PyTorch names modules.
///
/// A name is taken once: two layers at one place would be one layer by mistake.
/// [`Builder::shared`] is for those that are meant to be one.
#[derive(Debug, Clone)]
pub struct Builder {
    store: Store,
    path: String,
    mode: Mode,
    /// The names taken below the root that this place comes from.
    taken: Arc<Mutex<HashSet<String>>>,
    /// Whether a name may be taken again.
    shared: bool,
    widths: Option<Arc<Widths>>,
    /// What children are called instead.
    renamed: Option<Arc<BTreeMap<String, String>>>,
    /// The places whose children's names follow theirs with `_`.
    flattened: Option<Arc<HashSet<String>>>,
}

/// Other numbers of output channels than a network's own, by the layer's path.
#[derive(Debug)]
struct Widths {
    plan: BTreeMap<String, usize>,
    /// The paths of the plan that a layer asked for.
    used: Mutex<HashSet<String>>,
}

impl Builder {
    pub(crate) fn root(store: Store, mode: Mode) -> Self {
        Self {
            store,
            path: String::new(),
            mode,
            taken: Arc::default(),
            shared: false,
            widths: None,
            renamed: None,
            flattened: None,
        }
    }

    /// The same place, where a name may be taken although a layer has it: the layers then share the
    /// parameter.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self {
            shared: true,
            ..self.clone()
        }
    }

    /// The same place with other numbers of output channels for some of the layers below it, by
    /// their paths from here: what is left of a network that was pruned.
    #[must_use]
    pub fn with_widths(&self, plan: &BTreeMap<String, usize>) -> Self {
        let plan = plan
            .iter()
            .map(|(path, &width)| (self.name_of(path), width));
        let widths = Widths {
            plan: plan.collect(),
            used: Mutex::default(),
        };
        Self {
            widths: Some(Arc::new(widths)),
            ..self.clone()
        }
    }

    /// The output channels of the layer at this place: what the plan of
    /// [`with_widths`](Self::with_widths) says (for a pruned network), else `default`. A network
    /// whose widths can be changed asks this for each of its layers.
    pub fn width(&self, default: usize) -> usize {
        let Some(widths) = &self.widths else {
            return default;
        };
        let Some(&width) = widths.plan.get(&self.path) else {
            return default;
        };
        lock(&widths.used).insert(self.path.clone());
        width
    }

    /// The paths of the plan of widths that no layer has asked for, in order.
    pub fn unused_widths(&self) -> Vec<String> {
        let Some(widths) = &self.widths else {
            return Vec::new();
        };
        let used = lock(&widths.used);
        let unused = widths.plan.keys().filter(|path| !used.contains(*path));
        unused.cloned().collect()
    }

    /// The child `name`: `builder.pp("layer1").pp(0)` is `layer1.0`.
    pub fn pp(&self, name: impl std::fmt::Display) -> Self {
        let name = name.to_string();
        let renamed = self.renamed.as_ref().and_then(|names| names.get(&name));
        let name = renamed.unwrap_or(&name);
        let mut child = self.clone();
        if self.flattened.is_some() {
            for part in name.split('.') {
                child.path = child.name_of(part);
            }
        } else {
            child.path = self.name_of(name);
        }
        child
    }

    /// The same place, below which children of these names are called otherwise, at any depth: for
    /// blocks whose layers have other names in the network that is to be loaded. The pairs are the
    /// block's name and the network's; they take the place of earlier ones.
    ///
    /// ```
    /// use cnn_layers::{Mode, Store};
    ///
    /// let root = Store::new(0).builder(Mode::Eval);
    /// let block = root.pp("features").renamed(&[("conv_pw", "0.0"), ("bn1", "0.1")]);
    /// assert_eq!(block.pp("conv_pw").path(), "features.0.0");
    /// assert_eq!(block.pp("conv_dw").path(), "features.conv_dw");
    /// ```
    #[must_use]
    pub fn renamed(&self, names: &[(&str, &str)]) -> Self {
        let names = names
            .iter()
            .map(|&(name, other)| (name.to_string(), other.to_string()));
        Self {
            renamed: Some(Arc::new(names.collect())),
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

    /// The same place, below which the children of these modules are not theirs but lie beside them:
    /// `features_0` for `features.0`, as timm names the layers of a network that gives its maps.
    #[must_use]
    pub fn flattened(&self, modules: &[&str]) -> Self {
        let paths = modules.iter().map(|module| self.name_of(module));
        Self {
            flattened: Some(Arc::new(paths.collect())),
            ..self.clone()
        }
    }

    /// The parameter `name` of this place, created by `init` when the store does not have it.
    ///
    /// # Errors
    /// If the store holds it with another shape, or as a buffer, or if a layer of the same model
    /// has taken it.
    pub fn param(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        let name = self.take(name)?;
        let var = self.store.get_or_create(
            &name,
            TensorKind::Parameter,
            self.store.dtype(),
            shape,
            init,
        )?;
        let tracked = self.mode == Mode::Train && !self.store.is_frozen(&name);
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
        self.take_buffer(name, dtype, shape, init)
    }

    /// The 64-bit integer buffer `name`, a scalar that starts at 0.
    ///
    /// # Errors
    /// As [`Builder::param`].
    pub fn counter(&self, name: &str) -> Result<Buffer> {
        self.take_buffer(name, DType::I64, &[], Init::ZEROS)
    }

    /// What the store holds now, for a layer that keeps a copy of it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    fn take_buffer(&self, name: &str, dtype: DType, shape: &[usize], init: Init) -> Result<Buffer> {
        let name = self.take(name)?;
        let value = self
            .store
            .get_or_create(&name, TensorKind::Buffer, dtype, shape, init)?;
        Ok(Buffer {
            value,
            changes: self.store.changes(),
        })
    }

    /// The full name, which no layer has taken before.
    fn take(&self, name: &str) -> Result<String> {
        let name = self.name_of(name);
        let is_new = lock(&self.taken).insert(name.clone());
        if is_new || self.shared {
            Ok(name)
        } else {
            Err(Error::Taken { name }.into())
        }
    }

    /// Whether the tensor `name` of this place is frozen in a model built for training.
    pub fn is_frozen(&self, name: &str) -> bool {
        self.mode == Mode::Train && self.store.is_frozen(&self.name_of(name))
    }

    fn name_of(&self, name: impl std::fmt::Display) -> String {
        if self.path.is_empty() {
            return name.to_string();
        }
        let flattened = self.flattened.as_ref();
        let separator = if flattened.is_some_and(|paths| paths.contains(&self.path)) {
            '_'
        } else {
            '.'
        };
        format!("{}{separator}{name}", self.path)
    }
}

/// A handle on a buffer of the store.
#[derive(Debug, Clone)]
pub struct Buffer {
    value: Var,
    changes: Changes,
}

impl Buffer {
    /// The current value, detached but sharing the storage.
    pub fn get(&self) -> Tensor {
        self.value.as_detached_tensor()
    }

    /// Overwrites the value.
    ///
    /// # Errors
    /// If shape or element type differ.
    pub fn set(&self, value: &Tensor) -> Result<()> {
        self.changes.count();
        self.value.set(&value.detach())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is locked is only added to, entry by entry.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

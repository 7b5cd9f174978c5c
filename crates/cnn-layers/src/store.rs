//! The ordered store of a model's parameters and buffers.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use candle_core::{DType, Device, Result, Tensor, Var};
use cnn_core::Key;
use cnn_kernels::carry_error;
use cnn_weights::{LoadReport, ShapeMismatch, TensorFile};
use indexmap::IndexMap;

use crate::{Builder, Error, Init, Mode};

/// Whether an optimiser may move a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorKind {
    /// Learned by gradients: weights and biases.
    Parameter,
    /// Kept beside them: running statistics and counters.
    Buffer,
}

/// Parameters and buffers under PyTorch's names, in the order in which the model asks for them.
///
/// A handle: clones share their content. Layers built from a store share its storage, so an
/// optimiser's step or a loaded file shows in them at once; after a change of what is trainable,
/// build the model again (which copies nothing).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::{LinearConfig, Mode, Store};
///
/// let store = Store::new(0);
/// LinearConfig::new(3, 2).build(&store.builder(Mode::Train).pp("head"))?;
/// assert_eq!(store.names(), ["head.weight", "head.bias"]);
/// assert_eq!(store.parameter_count(), 8);
///
/// // A file's tensors go in by name, and what does not fit is reported.
/// let zeros = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
/// let report = store.load([("head.weight", zeros.clone()), ("neck.weight", zeros)])?;
/// assert_eq!(
///     (report.loaded, report.missing),
///     (
///         vec!["head.weight".to_string()],
///         vec!["head.bias".to_string()]
///     )
/// );
/// assert_eq!(report.unexpected, ["neck.weight"]);
///
/// // A model built after this computes no gradient of the frozen weight.
/// store.set_trainable(false, |name| name == "head.weight");
/// assert_eq!(store.trainable()[0].0, "head.bias");
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Store {
    content: Arc<RwLock<Content>>,
    changes: Changes,
}

/// Counts the changes of a store's values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(Arc<AtomicU64>);

impl Changes {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The moment at which a layer made a copy of a store's values.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    changes: Changes,
    taken_at: u64,
}

impl Snapshot {
    /// # Errors
    /// If the store has changed since.
    pub(crate) fn check(&self, layer: &str) -> Result<()> {
        if self.changes.so_far() == self.taken_at {
            return Ok(());
        }
        let layer = layer.to_string();
        Err(Error::Stale { layer }.into())
    }
}

struct Content {
    entries: IndexMap<String, Entry>,
    key: Key,
    dtype: DType,
    device: Device,
    guest: Option<Guest>,
    /// Where parameters are instead of here.
    parameters: Option<Store>,
    /// Whether tensors start at zero, whatever their layer says.
    is_blank: bool,
}

/// Where a tensor comes from before it is in the store: by name and shape; `None` where the guest
/// lacks the name.
pub(crate) type Guest = Box<dyn Fn(&str, &[usize]) -> Option<Result<Tensor>> + Send + Sync>;

struct Entry {
    kind: TensorKind,
    frozen: bool,
    value: Var,
}

impl Entry {
    fn is_trainable(&self) -> bool {
        self.kind == TensorKind::Parameter && !self.frozen
    }
}

/// What the store knows about one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryInfo {
    /// PyTorch's name, as `layer1.0.conv1.weight`.
    pub name: String,
    /// Parameter or buffer.
    pub kind: TensorKind,
    /// Whether gradients are computed for it; always false for buffers.
    pub trainable: bool,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// Element type.
    pub dtype: DType,
}

impl Store {
    /// An empty store of f32 tensors on the CPU; `seed` decides every initialisation.
    pub fn new(seed: u64) -> Self {
        Self::with_dtype(seed, DType::F32, &Device::Cpu)
    }

    /// An empty store with another element type or device. Files are converted to it as they load.
    pub fn with_dtype(seed: u64, dtype: DType, device: &Device) -> Self {
        // Here rather than with the first image: where kernels are slow, reading that takes its
        // time too.
        cnn_kernels::warn_if_slow();
        let key = Key::new(seed).stream("init");
        let content = Content {
            entries: IndexMap::new(),
            key,
            dtype,
            device: device.clone(),
            guest: None,
            parameters: None,
            is_blank: false,
        };
        Self {
            content: Arc::new(RwLock::new(content)),
            changes: Changes::default(),
        }
    }

    /// An empty store of f32 tensors whose values are all zero: for a model whose names and shapes
    /// alone are asked for. It takes next to no time, and no memory until somebody writes.
    pub fn blank() -> Self {
        let store = Self::new(0);
        store.set_blank(true);
        store
    }

    /// Whether tensors that are made from now on are zero instead of drawn from their
    /// initialisation, as where all values are set afterwards.
    pub fn set_blank(&self, blank: bool) {
        self.write().is_blank = blank;
    }

    /// A store for the buffers of a second model with this one's parameters: what is asked of it for
    /// a parameter is this store's, so that both models train the same weights and each keeps its
    /// own running statistics. It holds, names and saves buffers alone; those that this store has
    /// begin with the values of now.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use cnn_layers::{BatchNorm2dConfig, Mode, Store};
    ///
    /// let store = Store::new(0);
    /// BatchNorm2dConfig::new(4).build(&store.builder(Mode::Train))?;
    /// let second = store.sharing_parameters()?;
    /// BatchNorm2dConfig::new(4).build(&second.builder(Mode::Train))?;
    /// assert_eq!(second.names(), ["running_mean", "running_var", "num_batches_tracked"]);
    ///
    /// let ones = Tensor::ones(4, DType::F32, &Device::Cpu)?;
    /// second.set("running_mean", &ones)?;
    /// assert_eq!(store.get("running_mean")?.to_vec1::<f32>()?, [0.; 4]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a buffer cannot be copied.
    pub fn sharing_parameters(&self) -> Result<Self> {
        let second = Self::with_dtype(0, self.dtype(), &self.device());
        {
            let mut content = second.write();
            content.parameters = Some(self.clone());
            for (name, entry) in &self.read().entries {
                if entry.kind == TensorKind::Buffer {
                    let value = Var::from_tensor(&entry.value.as_detached_tensor().copy()?)?;
                    let entry = Entry {
                        kind: TensorKind::Buffer,
                        frozen: entry.frozen,
                        value,
                    };
                    content.entries.insert(name.clone(), entry);
                }
            }
        }
        Ok(second)
    }

    /// A store that asks `guest` for a tensor before it makes one of its own.
    #[cfg(feature = "candle-nn")]
    pub(crate) fn with_guest(dtype: DType, device: &Device, guest: Guest) -> Self {
        let store = Self::with_dtype(0, dtype, device);
        store.write().guest = Some(guest);
        store
    }

    /// The root from which layers are built.
    pub fn builder(&self, mode: Mode) -> Builder {
        Builder::root(self.clone(), mode)
    }

    /// Names in order.
    pub fn names(&self) -> Vec<String> {
        self.read().entries.keys().cloned().collect()
    }

    /// Every tensor's name, kind, shape and state, in order.
    pub fn entries(&self) -> Vec<EntryInfo> {
        let info = |(name, entry): (&String, &Entry)| EntryInfo {
            name: name.clone(),
            kind: entry.kind,
            trainable: entry.is_trainable(),
            shape: entry.value.dims().to_vec(),
            dtype: entry.value.dtype(),
        };
        self.read().entries.iter().map(info).collect()
    }

    /// Element type of the parameters.
    pub fn dtype(&self) -> DType {
        self.read().dtype
    }

    /// Device of all tensors.
    pub fn device(&self) -> Device {
        self.read().device.clone()
    }

    /// A tensor's current value, detached but sharing the storage.
    ///
    /// # Errors
    /// If the name is unknown; the nearest one is suggested.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        self.find(name, |entry| Ok(entry.value.as_detached_tensor()))
    }

    /// Overwrites a tensor, converting the element type.
    ///
    /// # Errors
    /// If the name is unknown or the shape differs.
    pub fn set(&self, name: &str, value: &Tensor) -> Result<()> {
        self.find(name, |entry| {
            if entry.value.dims() != value.dims() {
                let found = value.dims().to_vec();
                let expected = entry.value.dims().to_vec();
                return Err(Error::Shape {
                    name: name.to_string(),
                    found,
                    expected,
                }
                .into());
            }
            let value = value
                .to_dtype(entry.value.dtype())?
                .to_device(entry.value.device())?;
            self.changes.count();
            // A copy, so that a variable is never set from its own storage.
            entry.value.set(&value.detach().copy()?)
        })
    }

    /// The trainable parameters, for an optimiser, in order.
    pub fn trainable(&self) -> Vec<(String, Var)> {
        let content = self.read();
        let trainable = content
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_trainable());
        trainable
            .map(|(name, entry)| (name.clone(), entry.value.clone()))
            .collect()
    }

    /// Freezes or unfreezes the parameters whose names `select` picks and returns how many it
    /// picked. Models built before keep their state: build again.
    pub fn set_trainable(&self, trainable: bool, select: impl Fn(&str) -> bool) -> usize {
        self.set_frozen(!trainable, TensorKind::Parameter, select)
    }

    /// Freezes or releases the buffers whose names `select` picks and returns how many it picked. A
    /// norm with a frozen buffer uses its running statistics in training and keeps them, whether
    /// its parameters are trained or not. Models built before keep their state: build again.
    pub fn set_statistics_frozen(&self, frozen: bool, select: impl Fn(&str) -> bool) -> usize {
        self.set_frozen(frozen, TensorKind::Buffer, select)
    }

    fn set_frozen(&self, frozen: bool, kind: TensorKind, select: impl Fn(&str) -> bool) -> usize {
        let mut content = self.write();
        let picked = content
            .entries
            .iter_mut()
            .filter(|(name, entry)| entry.kind == kind && select(name));
        picked.map(|(_, entry)| entry.frozen = frozen).count()
    }

    /// Says that values have changed other than through the store, as an optimiser changes those of
    /// [`Store::trainable`]. Models that were built for inference before then refuse to run.
    pub fn mark_changed(&self) {
        self.changes.count();
    }

    /// Removes the tensors whose names `select` picks and returns how many those were. Models built
    /// before keep them.
    pub fn remove(&self, select: impl Fn(&str) -> bool) -> usize {
        let mut content = self.write();
        let before = content.entries.len();
        content.entries.retain(|name, _| !select(name));
        before - content.entries.len()
    }

    /// Number of learnable values, as published parameter counts state it: buffers do not count.
    pub fn parameter_count(&self) -> usize {
        let content = self.read();
        content
            .entries
            .values()
            .filter(|entry| entry.kind == TensorKind::Parameter)
            .map(|entry| entry.value.elem_count())
            .sum()
    }

    /// All tensors, detached, in order: what a file saves.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let content = self.read();
        content
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), entry.value.as_detached_tensor()))
            .collect()
    }

    /// Copies tensors into the entries of the same name and shape and reports the rest; nothing is
    /// ever half copied. Missing `num_batches_tracked` counters, which older files lack, stay as
    /// they are and are not reported.
    ///
    /// # Errors
    /// If a tensor cannot be converted to the store's element type or device.
    pub fn load<'a>(
        &self,
        tensors: impl IntoIterator<Item = (&'a str, Tensor)>,
    ) -> Result<LoadReport> {
        let mut report = LoadReport::default();
        let mut missing: indexmap::IndexSet<String> = self.names().into_iter().collect();
        for (name, tensor) in tensors {
            if !missing.shift_remove(name) {
                report.unexpected.push(name.to_string());
                continue;
            }
            let expected = self.get(name)?.dims().to_vec();
            if expected == tensor.dims() {
                self.set(name, &tensor)?;
                report.loaded.push(name.to_string());
            } else {
                report.mismatched.push(ShapeMismatch {
                    name: name.to_string(),
                    expected,
                    found: tensor.dims().to_vec(),
                });
            }
        }
        report.missing = missing
            .into_iter()
            .filter(|name| !name.ends_with("num_batches_tracked"))
            .collect();
        Ok(report)
    }

    /// Loads a weight file (`.safetensors`, `.pth`, `.pt`, `.th`, `.bin`) by the names of its
    /// tensors, as [`Store::load`] does.
    ///
    /// # Errors
    /// If the file cannot be read or a tensor not be converted.
    pub fn load_file(&self, path: impl AsRef<Path>) -> Result<LoadReport> {
        let file = TensorFile::open(path.as_ref()).map_err(carry_error)?;
        let tensors: Vec<(&str, Tensor)> = file
            .names()
            .map(|name| Ok((name, file.tensor(name).map_err(carry_error)?)))
            .collect::<Result<_>>()?;
        self.load(tensors)
    }

    /// How often values have changed.
    pub(crate) fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// What the store holds now, for a layer that keeps a copy of it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            taken_at: self.changes.so_far(),
            changes: self.changes.clone(),
        }
    }

    /// The entry of `name`, created when it does not exist.
    pub(crate) fn get_or_create(
        &self,
        name: &str,
        kind: TensorKind,
        dtype: DType,
        shape: &[usize],
        init: Init,
    ) -> Result<Var> {
        let parameters = self.read().parameters.clone();
        if let Some(parameters) = parameters.filter(|_| kind == TensorKind::Parameter) {
            return parameters.get_or_create(name, kind, dtype, shape, init);
        }
        let mut content = self.write();
        if let Some(entry) = content.entries.get(name) {
            if entry.kind != kind || entry.value.dims() != shape {
                let describe =
                    |kind, shape: &[usize]| format!("a {kind:?} of shape {shape:?}").to_lowercase();
                let found = describe(entry.kind, entry.value.dims());
                let wanted = describe(kind, shape);
                return Err(Error::Conflict {
                    name: name.to_string(),
                    found,
                    wanted,
                }
                .into());
            }
            return Ok(entry.value.clone());
        }
        let value = match content.guest.as_ref().and_then(|guest| guest(name, shape)) {
            Some(tensor) => Var::from_tensor(&tensor?)?,
            None if content.is_blank => Var::zeros(shape, dtype, &content.device)?,
            None => {
                let values = init.values(shape, content.key.stream(name));
                Var::from_tensor(
                    &Tensor::from_vec(values, shape, &content.device)?.to_dtype(dtype)?,
                )?
            }
        };
        let entry = Entry {
            kind,
            frozen: false,
            value: value.clone(),
        };
        content.entries.insert(name.to_string(), entry);
        Ok(value)
    }

    pub(crate) fn is_frozen(&self, name: &str) -> bool {
        let content = self.read();
        match (content.entries.get(name), &content.parameters) {
            (Some(entry), _) => entry.frozen,
            (None, Some(parameters)) => parameters.is_frozen(name),
            (None, None) => false,
        }
    }

    fn find<T>(&self, name: &str, f: impl FnOnce(&Entry) -> Result<T>) -> Result<T> {
        let content = self.read();
        match content.entries.get(name) {
            Some(entry) => f(entry),
            None => {
                let suggestion =
                    cnn_core::did_you_mean(name, content.entries.keys().map(String::as_str));
                Err(Error::Unknown {
                    name: name.to_string(),
                    suggestion,
                }
                .into())
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        // A panic while the lock was held cannot leave an entry half written: entries are inserted
        // whole.
        self.content
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn param(store: &Store, name: &str, shape: &[usize]) -> Tensor {
        store
            .builder(Mode::Train)
            .param(name, shape, Init::PYTORCH_DEFAULT)
            .unwrap()
    }

    #[test]
    fn initial_values_depend_on_seed_and_name_not_on_order() {
        let a = Store::new(7);
        let b = Store::new(7);
        let first = param(&a, "x", &[2, 3]);
        let second = param(&a, "y", &[2, 3]);
        let second_again = param(&b, "y", &[2, 3]);
        let first_again = param(&b, "x", &[2, 3]);
        let values = |t: &Tensor| t.to_vec2::<f32>().unwrap();
        assert_eq!(values(&first), values(&first_again));
        assert_eq!(values(&second), values(&second_again));
        assert_ne!(values(&first), values(&second));
        assert_ne!(values(&first), values(&param(&Store::new(8), "x", &[2, 3])));
        assert_eq!(
            (a.names(), b.names()),
            (vec!["x".into(), "y".into()], vec!["y".into(), "x".into()])
        );
    }

    #[test]
    fn frozen_parameters_get_no_gradient() {
        let store = Store::new(0);
        param(&store, "a.weight", &[2, 2]);
        param(&store, "b.weight", &[2, 2]);
        assert_eq!(store.set_trainable(false, |name| name.starts_with("a.")), 1);
        let a = param(&store, "a.weight", &[2, 2]);
        let b = param(&store, "b.weight", &[2, 2]);
        let grads = a.matmul(&b).unwrap().sum_all().unwrap().backward().unwrap();
        let vars = store.trainable();
        assert_eq!(vars.len(), 1);
        assert!(grads.get(&vars[0].1).is_some());
        assert!(!a.track_op() && b.track_op());
    }

    #[test]
    fn loading_reports_every_case_and_converts() {
        let store = Store::new(0);
        param(&store, "good", &[2, 2]);
        param(&store, "wrong", &[3]);
        param(&store, "absent", &[1]);
        store
            .builder(Mode::Eval)
            .counter("bn.num_batches_tracked")
            .unwrap();
        let half = Tensor::ones((2, 2), DType::F16, &Device::Cpu).unwrap();
        let report = store
            .load([
                ("good", half.clone()),
                ("wrong", half.clone()),
                ("extra", half),
            ])
            .unwrap();
        assert_eq!(report.loaded, ["good"]);
        assert_eq!(
            (report.missing, report.unexpected),
            (vec!["absent".to_string()], vec!["extra".to_string()])
        );
        assert_eq!(
            (
                report.mismatched[0].name.as_str(),
                &report.mismatched[0].found[..]
            ),
            ("wrong", &[2, 2][..])
        );
        assert_eq!(
            store.get("good").unwrap().to_vec2::<f32>().unwrap(),
            [[1., 1.], [1., 1.]]
        );
    }

    #[test]
    fn conflicts_and_unknown_names_are_errors() {
        let store = Store::new(0);
        param(&store, "conv.weight", &[2, 2]);
        let message = store
            .builder(Mode::Eval)
            .param("conv.weight", &[3], Init::ZEROS)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("conv.weight is a parameter of shape [2, 2] in the store, but a parameter of shape [3]"),
            "{message}"
        );
        let message = store.get("conv.wieght").unwrap_err().to_string();
        assert!(message.contains("did you mean `conv.weight`?"), "{message}");
        assert!(
            store
                .set(
                    "conv.weight",
                    &Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap()
                )
                .is_err()
        );
    }
}

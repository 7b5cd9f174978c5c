//! An ordered map from name to tensor, read from any supported file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Tensor};
use indexmap::IndexMap;

use crate::element::Element;
use crate::layout::Layout;
use crate::{ElementType, Error, foreign, pth, safetensors};

/// The tensors of a weight file, by name, in the file's order.
///
/// The file's bytes are held; a tensor is made when [`tensor`](Self::tensor) asks for it.
///
/// # PyTorch files
///
/// Nested dictionaries, lists and pickled `nn.Module`s are flattened, their keys joined with dots.
/// Where the checkpoint is a dictionary in which one of `state_dict`, `model_state_dict`, `model`,
/// `net`, or else of the moving averages `state_dict_ema`, `model_ema`, `ema`, `ema_state_dict`,
/// `model_ema_state_dict` (the first in this order) holds tensors, only that entry is read;
/// [`chosen`](Self::chosen) says which, and [`Prefer::MovingAverage`] looks for the averages first.
/// A `module.` that starts every name, as `DataParallel` leaves it, is dropped. A single tensor is
/// named `tensor`. numpy arrays are tensors, too.
///
/// ```
/// use std::collections::BTreeMap;
/// use candle_core::{DType, Device, Tensor};
/// use cnn_weights::{Format, TensorFile, save_safetensors};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("model.safetensors");
/// let weight = Tensor::ones((2, 3), DType::F32, &Device::Cpu)?;
/// save_safetensors(&path, &[("classifier.weight".to_string(), weight)], &BTreeMap::new())?;
///
/// // The names of another library, before anything is read.
/// let file = TensorFile::open(&path)?.rename(|name| name.replace("classifier.", "fc."))?;
/// assert_eq!((file.format(), file.names().collect::<Vec<_>>()), (Format::Safetensors, vec!["fc.weight"]));
/// assert_eq!(file.info("fc.weight").map(|info| info.shape.clone()), Some(vec![2, 3]));
/// assert_eq!(file.tensor("fc.weight")?.sum_all()?.to_scalar::<f32>()?, 6.);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TensorFile {
    pub(crate) format: Format,
    pub(crate) bytes: Vec<u8>,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) entries: IndexMap<String, Entry>,
    pub(crate) skipped: Vec<SkippedTensor>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) chosen: Option<ChosenWeights>,
    /// What was dropped before every name.
    pub(crate) wrapper: String,
}

/// Which weights are read where a PyTorch checkpoint holds a network's and their moving average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Prefer {
    /// The network's own.
    #[default]
    Weights,
    /// The moving average, which is the network's own where there is none.
    MovingAverage,
}

/// The entry of a PyTorch checkpoint that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenWeights {
    /// Its key, as `state_dict`.
    pub entry: String,
    /// Whether it is a moving average of the weights.
    pub is_average: bool,
    /// Keys of other entries that hold weights.
    pub others: Vec<String>,
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// `.safetensors`.
    Safetensors,
    /// PyTorch's zip archive, written by `torch.save` since version 1.6.
    PthZip,
    /// PyTorch's sequence of pickles, written by `torch.save` before version 1.6.
    PthLegacy,
}

/// What is known of a tensor before it is loaded.
///
/// candle lacks some types of elements; tensors of these are widened without loss when they are
/// loaded:
///
/// | stored | loaded as |
/// |---|---|
/// | bool | [`DType::U8`], 0 or 1 |
/// | int8 | [`DType::I16`] |
/// | uint16 | [`DType::U32`] |
/// | uint64 | [`DType::I64`]; a value of 2⁶³ or more is an error |
/// | the others | the type of the same name |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The type of the tensor that [`TensorFile::tensor`] gives.
    pub dtype: DType,
    /// How the file stores the elements; differs from `dtype` where candle has no such type.
    pub stored: ElementType,
    /// The shape.
    pub shape: Vec<usize>,
}

/// A tensor that is in the file, yet of a kind that cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedTensor {
    /// Its name.
    pub name: String,
    /// Why it cannot be loaded.
    pub reason: String,
}

/// Bytes that tensors lie in.
#[derive(Debug)]
pub(crate) enum Buffer {
    /// A part of the file.
    File(Range<usize>),
    /// What was compressed in the file.
    Inflated(Vec<u8>),
    /// A text of the pickle, decoded.
    Pickled(Vec<u8>),
}

impl Buffer {
    pub(crate) fn bytes<'a>(&'a self, file: &'a [u8]) -> &'a [u8] {
        match self {
            Self::File(range) => &file[range.clone()],
            Self::Inflated(bytes) | Self::Pickled(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) info: TensorInfo,
    pub(crate) layout: Layout,
    pub(crate) buffer: usize,
}

impl TensorFile {
    /// Reads a weight file; the format is recognised by its content.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the file cannot be read, else [`Error::File`] with what is wrong inside
    /// it: an unknown format, a malformed or cut file, a refused pickle, a tensor that does not fit
    /// its storage.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, Prefer::default())
    }

    /// Reads a weight file, saying which weights of a checkpoint are wanted.
    ///
    /// # Errors
    ///
    /// As [`TensorFile::open`].
    pub fn open_with(path: impl AsRef<Path>, prefer: Prefer) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = read(path).map_err(|source| Error::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Self::from_bytes_with(bytes, prefer).map_err(|reason| Error::File {
            path: path.to_path_buf(),
            reason: Box::new(foreign::by_name(path).unwrap_or(reason)),
        })
    }

    /// Reads a weight file that is already in memory.
    ///
    /// # Errors
    ///
    /// As [`TensorFile::open`], without the file's name.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::from_bytes_with(bytes, Prefer::default())
    }

    fn from_bytes_with(bytes: Vec<u8>, prefer: Prefer) -> Result<Self, Error> {
        match recognise(&bytes)? {
            Format::Safetensors => safetensors::read(bytes),
            Format::PthZip => pth::read_zip(bytes, prefer),
            Format::PthLegacy => pth::read_legacy(bytes, prefer),
        }
    }

    /// The file's format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The tensors' names in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Type and shape of a tensor, `None` if there is none of this name.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.entries.get(name).map(|entry| &entry.info)
    }

    /// Makes the tensor of this name: on the CPU, contiguous, in the type that [`info`](Self::info)
    /// tells.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] with a similar name if there is one; [`Error::Tensor`] for a
    /// [skipped](Self::skipped) tensor; [`Error::Candle`] if a value does not fit the type.
    pub fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        let entry = self.entries.get(name).ok_or_else(|| self.not_found(name))?;
        let buffer = self.buffers[entry.buffer].bytes(&self.bytes);
        let bytes = entry
            .layout
            .gather(buffer)
            .expect("layouts are checked against their buffer when the file is read");
        entry
            .layout
            .element()
            .to_tensor(&bytes, entry.layout.shape())
            .map_err(|source| Error::Candle {
                name: name.to_string(),
                source,
            })
    }

    /// Tensors that are in the file but cannot be loaded: sparse and quantised ones, complex
    /// numbers, 8-bit floats.
    pub fn skipped(&self) -> &[SkippedTensor] {
        &self.skipped
    }

    /// The safetensors metadata, or the numbers, truth values and short texts beside the tensors of
    /// a PyTorch checkpoint (`epoch`, `arch`, `best_prec1`).
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Which entry of a PyTorch checkpoint was read; `None` where the file is one dictionary of
    /// tensors, or none of its entries is known.
    pub fn chosen(&self) -> Option<&ChosenWeights> {
        self.chosen.as_ref()
    }

    /// What stood before every name and was dropped; empty where nothing did.
    pub fn wrapper(&self) -> &str {
        &self.wrapper
    }

    /// Renames every tensor, skipped ones too; the order stays.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`] if two tensors would get one name.
    pub fn rename(self, mut name: impl FnMut(&str) -> String) -> Result<Self, Error> {
        self.select(|old| Some(name(old)))
    }

    /// Keeps the tensors that get a name, skipped ones too, under it; the order stays.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`] if two tensors would get one name.
    pub fn select(mut self, mut name: impl FnMut(&str) -> Option<String>) -> Result<Self, Error> {
        let mut renamed = IndexMap::with_capacity(self.entries.len());
        for (old, entry) in std::mem::take(&mut self.entries) {
            if let Some(new) = name(&old) {
                insert(&mut renamed, new, entry)?;
            }
        }
        self.entries = renamed;
        self.skipped
            .retain_mut(|skipped| match name(&skipped.name) {
                Some(new) => {
                    skipped.name = new;
                    true
                }
                None => false,
            });
        Ok(self)
    }

    fn not_found(&self, name: &str) -> Error {
        match self.skipped.iter().find(|skipped| skipped.name == name) {
            Some(skipped) => Error::tensor(name, &skipped.reason),
            None => {
                let suggestion = cnn_core::suggest(name, self.names()).map(str::to_string);
                Error::NotFound {
                    name: name.to_string(),
                    suggestion,
                }
            }
        }
    }
}

/// A tensor found while reading: into `entries`, or `skipped` where candle has no type for it.
pub(crate) fn add(
    entries: &mut IndexMap<String, Entry>,
    skipped: &mut Vec<SkippedTensor>,
    name: String,
    layout: Layout,
    buffer: usize,
) -> Result<(), Error> {
    let stored = layout.element();
    let Some(dtype) = stored.dtype() else {
        let reason = match stored {
            ElementType::Other { name, .. } => format!("there is no candle type for `{name}`"),
            _ => format!("there is no candle type for {stored:?}"),
        };
        skipped.push(SkippedTensor { name, reason });
        return Ok(());
    };
    let info = TensorInfo {
        dtype,
        stored,
        shape: layout.shape().to_vec(),
    };
    insert(
        entries,
        name,
        Entry {
            info,
            layout,
            buffer,
        },
    )
}

fn insert(entries: &mut IndexMap<String, Entry>, name: String, entry: Entry) -> Result<(), Error> {
    match entries.entry(name) {
        indexmap::map::Entry::Vacant(vacant) => {
            vacant.insert(entry);
            Ok(())
        }
        indexmap::map::Entry::Occupied(occupied) => Err(Error::Duplicate {
            name: occupied.key().clone(),
        }),
    }
}

/// Reads a regular file whole; a file too large for the memory is an error, not an abort.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(metadata.len()).map_err(io::Error::other)?)?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The ninth byte tells first: a safetensors header length may begin with any byte, a zip's or
/// pickle's too.
fn recognise(bytes: &[u8]) -> Result<Format, Error> {
    match bytes {
        // JSON: no header of safetensors has a length whose fourth byte is printable.
        [b'{' | b'[', _, _, 0x09..=0x7e, _, ..] => Err(foreign::error(bytes)),
        [_, _, _, _, _, _, _, _, b'{', ..] => Ok(Format::Safetensors),
        [_, _, _, _, 0, 0, 0, 0, b' ', ..] => Ok(Format::Safetensors),
        [b'P', b'K', 3, 4, ..] => Ok(Format::PthZip),
        [0x80, 0..=5, ..] => Ok(Format::PthLegacy),
        _ => Err(foreign::error(bytes)),
    }
}

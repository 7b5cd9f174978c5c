//! PyTorch's own weight files: a pickle of the structure, and storages of raw bytes.

mod archive;
mod legacy;
mod state_dict;
mod zip;

pub(crate) use legacy::read_legacy;
pub(crate) use zip::read_zip;

use crate::layout::Layout;
use crate::tensor_file::{self, Buffer, Prefer};
use crate::{Error, Format, TensorFile};
use cnn_pickle::{Pickle, Source};

/// Tensors may share storages and repeat elements (`Tensor.expand`): all together they may take
/// this many times what the file stores, plus [`EXPAND_ALWAYS`].
const MAX_EXPANSION: usize = 8;
const EXPAND_ALWAYS: usize = 1 << 20;

/// What every PyTorch file holds once its pickle is interpreted and its storages are found.
struct Parts {
    format: Format,
    /// The declared storages, then the texts of the pickle that arrays lie in.
    buffers: Vec<Buffer>,
    /// How many storages are declared.
    declared: usize,
    found: state_dict::Found,
}

impl Parts {
    fn new(
        format: Format,
        pickle: &Pickle<'_>,
        mut buffers: Vec<Buffer>,
        prefer: Prefer,
    ) -> Result<Self, Error> {
        let found = state_dict::find(pickle, prefer)?;
        let declared = buffers.len();
        buffers.extend(pickle.inline().map(Buffer::Pickled));
        Ok(Self {
            format,
            buffers,
            declared,
            found,
        })
    }

    /// Bytes of the file and of what was inflated from it.
    fn stored(&self, file: &[u8]) -> usize {
        let inflated = |buffer: &Buffer| {
            if let Buffer::Inflated(bytes) = buffer {
                bytes.len()
            } else {
                0
            }
        };
        file.len() + self.buffers.iter().map(inflated).sum::<usize>()
    }

    fn into_file(self, bytes: Vec<u8>) -> Result<TensorFile, Error> {
        let mut entries = indexmap::IndexMap::new();
        let mut left = self
            .stored(&bytes)
            .saturating_mul(MAX_EXPANSION)
            .saturating_add(EXPAND_ALWAYS);
        let state_dict::Found {
            tensors,
            mut skipped,
            metadata,
            chosen,
            wrapper,
        } = self.found;
        for (name, view) in tensors {
            let storage = view.storage;
            let buffer = match storage.source {
                Source::Declared(index) => index as usize,
                Source::Inline(index) => self.declared + index as usize,
            };
            let base = (storage.start, storage.len);
            let layout = Layout::strided(
                view.element,
                view.shape,
                view.strides,
                view.offset,
                base,
                left,
            )
            .map_err(|reason| Error::tensor(&name, reason))?;
            left = left.saturating_sub(layout.byte_count());
            tensor_file::add(&mut entries, &mut skipped, name, layout, buffer)?;
        }
        Ok(TensorFile {
            format: self.format,
            bytes,
            buffers: self.buffers,
            entries,
            skipped,
            metadata,
            chosen,
            wrapper: wrapper.to_string(),
        })
    }
}

fn key_text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).chars().take(80).collect()
}

/// A storage that is shorter than what the pickle takes from it.
fn short_storage(key: &[u8], needed: usize, found: usize) -> Error {
    Error::Malformed {
        format: "PyTorch",
        reason: format!(
            "storage `{}` holds {found} bytes, the pickle takes {needed} from it",
            key_text(key)
        ),
    }
}

fn big_endian() -> Error {
    Error::Unsupported(
        "big-endian files are not read; save the file on a little-endian machine".into(),
    )
}

//! The format since PyTorch 1.6: a zip archive with `data.pkl` and one record per storage.

use std::io::Read;

use super::archive::{Archive, Record};
use super::{Parts, big_endian, short_storage};
use crate::tensor_file::{Buffer, Prefer};
use crate::{Error, Format, TensorFile, foreign};
use cnn_pickle::Pickle;

/// All that is inflated from a file may be this many times the file's size, plus
/// [`INFLATE_ALWAYS`].
///
/// Weights hardly compress at all, a zip bomb does so a thousand times.
const MAX_INFLATION: usize = 32;
const INFLATE_ALWAYS: usize = 1 << 20;

pub(crate) fn read_zip(bytes: Vec<u8>, prefer: Prefer) -> Result<TensorFile, Error> {
    let parts = parts(&bytes, prefer)?;
    parts.into_file(bytes)
}

fn parts(bytes: &[u8], prefer: Prefer) -> Result<Parts, Error> {
    let archive = Archive::open(bytes)?;
    let root = root(&archive)?;
    let mut inflater = Inflater {
        bytes,
        left: bytes
            .len()
            .saturating_mul(MAX_INFLATION)
            .saturating_add(INFLATE_ALWAYS),
    };
    let record = |name: &str| archive.get([root, name.as_bytes()].concat().as_slice());

    if let Some(order) = record("byteorder")
        && inflater.content(order)?.bytes(bytes) == b"big"
    {
        return Err(big_endian());
    }
    let content =
        inflater.content(record("data.pkl").ok_or_else(|| malformed("`data.pkl` is missing"))?)?;
    let pickle = Pickle::parse(content.bytes(bytes))?;
    let buffers = storages(&pickle, &archive, root, &mut inflater)?;
    Parts::new(Format::PthZip, &pickle, buffers, prefer)
}

/// The folder that holds `data.pkl`, with its slash: its name is the one that the file was first
/// saved under.
fn root<'a>(archive: &Archive<'a>) -> Result<&'a [u8], Error> {
    let mut roots = archive
        .names()
        .filter_map(|name| name.strip_suffix(b"data.pkl"))
        .filter(|root| is_folder(root));
    let root = roots
        .next()
        .ok_or_else(|| foreign::archive_error(archive.names()))?;
    if roots.next().is_some() {
        return Err(malformed("there are two `data.pkl`"));
    }
    if archive
        .get([root, b"constants.pkl"].concat().as_slice())
        .is_some()
    {
        return Err(Error::Unsupported(
            "TorchScript archives are not read; save `model.state_dict()` with `torch.save`".into(),
        ));
    }
    Ok(root)
}

fn is_folder(root: &[u8]) -> bool {
    match root {
        [] => true,
        [name @ .., b'/'] => !name.contains(&b'/'),
        _ => false,
    }
}

/// Where each declared storage's bytes are, in the order of the declarations.
fn storages(
    pickle: &Pickle<'_>,
    archive: &Archive<'_>,
    root: &[u8],
    inflater: &mut Inflater<'_>,
) -> Result<Vec<Buffer>, Error> {
    let mut buffers = Vec::with_capacity(pickle.storages.len());
    for (key, declared) in &pickle.storages {
        let name = [root, b"data/", key].concat();
        let record = archive.get(&name).ok_or_else(|| {
            malformed(format!(
                "storage `{}` is not in the file",
                super::key_text(key)
            ))
        })?;
        if declared.len > record.size {
            return Err(short_storage(key, declared.len, record.size));
        }
        buffers.push(inflater.content(record)?);
    }
    Ok(buffers)
}

/// Takes records out of the archive; what it inflates together is bounded.
struct Inflater<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl Inflater<'_> {
    fn content(&mut self, record: &Record) -> Result<Buffer, Error> {
        let data = record.data(self.bytes)?;
        if !record.deflated {
            return Ok(Buffer::File(data));
        }
        if record.size > self.left {
            return Err(Error::limit(
                "bytes after inflating the archive",
                record.size,
                self.left,
            ));
        }
        self.left -= record.size;
        let mut inflated = Vec::new();
        inflated
            .try_reserve_exact(record.size)
            .map_err(|e| malformed(e.to_string()))?;
        let broken = |e| malformed(format!("a record cannot be inflated: {e}"));
        let mut decoder = flate2::read::DeflateDecoder::new(&self.bytes[data]);
        decoder
            .by_ref()
            .take(record.size as u64)
            .read_to_end(&mut inflated)
            .map_err(broken)?;
        if inflated.len() < record.size {
            return Err(malformed(format!(
                "a record inflates to {} bytes, {} were promised",
                inflated.len(),
                record.size
            )));
        }
        if decoder.read(&mut [0]).map_err(broken)? > 0 {
            return Err(malformed(format!(
                "a record inflates to more than the {} bytes that were promised",
                record.size
            )));
        }
        Ok(Buffer::Inflated(inflated))
    }
}

fn malformed(reason: impl Into<String>) -> Error {
    Error::Malformed {
        format: "PyTorch zip",
        reason: reason.into(),
    }
}

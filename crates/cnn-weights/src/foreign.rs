//! What a file is that is no weight file, told by its first bytes, and what to do about it.

use std::path::Path;

use crate::Error;

/// How much of a text is looked at and quoted.
const LOOKED_AT: usize = 4096;
const QUOTED: usize = 80;

/// Formats that their first bytes tell.
const SIGNATURES: &[(&[u8], &str)] = &[
    (
        b"\x1f\x8b",
        "this is compressed by gzip: unpack it (`gunzip FILE`)",
    ),
    (
        b"BZh",
        "this is compressed by bzip2: unpack it (`bunzip2 FILE`)",
    ),
    (
        b"\xfd7zXZ\0",
        "this is compressed by xz: unpack it (`unxz FILE`)",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "this is compressed by Zstandard: unpack it (`unzstd FILE`)",
    ),
    (
        b"\x04\x22\x4d\x18",
        "this is compressed by LZ4: unpack it (`unlz4 FILE`)",
    ),
    (b"7z\xbc\xaf\x27\x1c", "this is a 7z archive: unpack it"),
    (b"Rar!\x1a\x07", "this is a RAR archive: unpack it"),
    (b"PK\x05\x06", "this is an empty zip archive"),
    (
        b"PK\x07\x08",
        "this is a part of a zip archive: join its parts",
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        "this is HDF5, as Keras saves weights: load it in Python and save its arrays under \
         PyTorch's names \
         with `safetensors.numpy.save_file`",
    ),
    (
        b"\x93NUMPY",
        "this is a NumPy array: save arrays by name with `safetensors.numpy.save_file`",
    ),
    (
        b"MATLAB 5.0 MAT-file",
        "this is a MATLAB file, as MatConvNet saves weights: save its arrays under PyTorch's names with \
         `safetensors.numpy.save_file`",
    ),
    (
        b"version https://git-lfs",
        "this is a Git LFS pointer, not the file it stands for (run `git lfs pull`)",
    ),
    (
        b"model_checkpoint_path:",
        "this is TensorFlow's list of checkpoints: save the variables under PyTorch's names with \
         `safetensors.tensorflow.save_file`",
    ),
    (
        b"\0\x05\x16\x07",
        "this is what macOS keeps beside a file: the weights are in the file without `._` in its name",
    ),
    (b"GGUF", "this is GGUF: get the model's safetensors file"),
    (
        b"\x12\x01\0\0\0\0\0\0",
        "this is an MXNet parameter file: save its arrays under PyTorch's names with \
         `safetensors.numpy.save_file`",
    ),
    (
        b"PAR1",
        "this is a parquet file: it holds data, not weights",
    ),
    (b"SQLite format 3\0", "this is an SQLite database"),
    (b"%PDF", "this is a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "this is a PNG image"),
    (b"\xff\xd8\xff", "this is a JPEG image"),
    (b"GIF8", "this is a GIF image"),
];

/// The error for a file of no known format.
pub(crate) fn error(bytes: &[u8]) -> Error {
    Error::UnknownFormat {
        found: describe(bytes),
    }
}

/// The error for a zip archive that `torch.save` did not write, by the names in it.
pub(crate) fn archive_error<'a>(names: impl Iterator<Item = &'a [u8]>) -> Error {
    let mut arrays = 0;
    let mut all = 0;
    let mut weights = None;
    let mut is_keras = false;
    let mut is_exported = false;
    let mut is_unfinished = false;
    for name in names {
        all += 1;
        arrays += usize::from(name.ends_with(b".npy"));
        is_keras |= name == b"model.weights.h5";
        is_unfinished |= name.ends_with(b"/byteorder") || name.ends_with(b"/.format_version");
        is_exported |= name.ends_with(b"archive_format") || name.ends_with(b"archive_version");
        let is_weights = [
            ".pth",
            ".pt",
            ".th",
            ".bin",
            ".ckpt",
            ".safetensors",
            ".tar",
        ]
        .iter()
        .any(|ending| name.ends_with(ending.as_bytes()));
        if is_weights && weights.is_none() {
            weights = Some(name);
        }
    }
    let found = if all > 0 && arrays == all {
        "this is a NumPy archive (.npz): save its arrays with `safetensors.numpy.save_file`"
            .to_string()
    } else if is_keras {
        "this is a Keras archive: load it in Python and save its arrays under PyTorch's names with \
         `safetensors.numpy.save_file`"
            .to_string()
    } else if is_exported {
        "this is a program that `torch.export` saved: save `model.state_dict()` with `torch.save`"
            .to_string()
    } else if is_unfinished {
        "this is a zip archive without a `data.pkl`, as `torch.save` leaves it where it fails: \
         save it again"
            .to_string()
    } else if let Some(weights) = weights {
        format!(
            "this is a zip archive without a `data.pkl` that holds `{}`: unpack it",
            quoted(weights)
        )
    } else {
        "this is a zip archive without a `data.pkl`, which `torch.save` did not write".to_string()
    };
    Error::UnknownFormat { found }
}

/// The error for a file that its name alone tells: the values of a TensorFlow checkpoint.
pub(crate) fn by_name(path: &Path) -> Option<Error> {
    let name = path.file_name()?.to_str()?;
    let (_, shard) = name.rsplit_once(".data-")?;
    let (number, count) = shard.split_once("-of-")?;
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (are_digits(number) && are_digits(count)).then(|| Error::UnknownFormat {
        found: "this holds the values of a TensorFlow checkpoint: save its variables under \
            PyTorch's names with \
                `safetensors.tensorflow.save_file`"
            .into(),
    })
}

fn describe(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "the file is empty: get or save it again".into();
    }
    if let Some((_, found)) = SIGNATURES
        .iter()
        .find(|(signature, _)| bytes.starts_with(signature))
    {
        return (*found).into();
    }
    let found = tar(bytes)
        .or_else(|| binary(bytes))
        .or_else(|| protocol_buffer(bytes))
        .or_else(|| text(bytes));
    found.unwrap_or_else(|| {
        let start: Vec<_> = bytes
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!(
            "the content starts with {}, which no known format does",
            start.join(" ")
        )
    })
}

/// PyTorch before 2017 wrote a tar archive of `storages`, `tensors` and `pickle`; others contain
/// the weight file.
fn tar(bytes: &[u8]) -> Option<String> {
    if bytes.get(257..262) != Some(b"ustar") {
        return None;
    }
    let name = bytes[..100].split(|&byte| byte == 0).next()?;
    Some(match name {
        b"storages" | b"tensors" | b"pickle" | b"sys_info" => {
            "this is the tar archive that PyTorch wrote before 2017: load it with `torch.load` \
             and save it again"
                .into()
        }
        _ => format!(
            "this is a tar archive, with `{}` first: unpack it (`tar xf FILE`)",
            quoted(name)
        ),
    })
}

/// Formats that are told by more than their first bytes.
fn binary(bytes: &[u8]) -> Option<String> {
    let is_table = bytes.ends_with(b"\x57\xfb\x80\x8b\x24\x75\x47\xdb");
    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    let found = match head {
        _ if is_table => {
            "this is the index of a TensorFlow checkpoint: save its variables under PyTorch's \
             names with \
             `safetensors.tensorflow.save_file`"
        }
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => {
            "this is a TensorFlow Lite model: save its arrays under PyTorch's names with \
             `safetensors.numpy.save_file`"
        }
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => "this is a WebP image",
        // Version 0.1 or 0.2 and a revision.
        [0, 0, 0, 0, 1 | 2, 0, 0, 0, _, 0, 0, 0, ..] => {
            "this may be a Darknet weight file: its numbers have no names; convert it to PyTorch"
        }
        _ if head.len() >= 64 && head.iter().all(|&byte| byte == 0) => {
            "the file starts with zeros alone: it was not written to its end; get it again"
        }
        // Larger user blocks put HDF5's signature behind powers of two.
        _ if [512, 1024, 2048]
            .iter()
            .any(|&at| head.get(at..at + 8) == Some(b"\x89HDF\r\n\x1a\n")) =>
        {
            "this is HDF5, as MATLAB and Keras save it: save its arrays under PyTorch's names with \
             `safetensors.numpy.save_file`"
        }
        _ => return None,
    };
    Some(found.into())
}

/// ONNX, TensorFlow's graphs and Caffe's networks, whose messages have no signature.
fn protocol_buffer(bytes: &[u8]) -> Option<String> {
    let found = match bytes {
        // saved_model_schema_version = 1, then a graph that opens with its meta information.
        [0x08, 0x01, 0x12, rest @ ..] if opens_with(rest, 0x0a) && !is_name(rest) => {
            "this is a TensorFlow SavedModel: save its variables under PyTorch's names with \
             `safetensors.tensorflow.save_file`"
        }
        // ir_version, then producer_name, or what may come in its place.
        [0x08, 1..=0x40, 0x12, rest @ ..] if is_name(rest) || rest.starts_with(b"\0\x3a") => ONNX,
        [0x08, 3..=0x40, 0x3a | 0x42, rest @ ..] if length(rest).is_some() => ONNX,
        // node { name: … op: … }
        [0x0a, rest @ ..] if opens_with(rest, 0x0a) && !is_name(rest) => {
            "this may be a TensorFlow graph (.pb): save its arrays under PyTorch's names with \
             `safetensors.numpy.save_file`"
        }
        // name, then layers.
        [0x0a, rest @ ..] if is_name(rest) => {
            "this may be a Caffe model: save its arrays under PyTorch's names with \
             `safetensors.numpy.save_file`"
        }
        _ => return None,
    };
    Some(found.into())
}

const ONNX: &str = "this is an ONNX model: get the PyTorch weights that it was exported from, \
    or save its \
                    initializers under PyTorch's names with `safetensors.numpy.save_file`";

/// A length as protocol buffers write it, and what follows.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0usize;
    for (place, &byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((length, &bytes[place + 1..]));
        }
    }
    None
}

/// Whether a message follows whose first byte is `tag`.
fn opens_with(bytes: &[u8], tag: u8) -> bool {
    length(bytes).is_some_and(|(length, rest)| length > 1 && rest.first() == Some(&tag))
}

/// Whether a short printable text follows.
fn is_name(bytes: &[u8]) -> bool {
    length(bytes)
        .and_then(|(length, rest)| rest.get(..length))
        .is_some_and(|name| {
            (1..=200).contains(&name.len())
                && name
                    .iter()
                    .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        })
}

/// Web pages, what servers answer in place of a file, configurations, sources.
fn text(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    // The cut may go through a character.
    let text = match str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let text = text.trim_start();
    let is_text = text
        .chars()
        .all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    if text.is_empty() || !is_text {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    Some(match text.as_bytes()[0] {
        b'<' if lower.starts_with("<?xml") || lower.starts_with("<error") => format!(
            "this is an XML document (`{}`), as a server answers in place of a file: get it again",
            quoted(text.as_bytes())
        ),
        b'<' => format!(
            "this is a web page{}, not a weight file: it was saved in place of the file, often \
             because it asks to \
             log in or to confirm; get the file itself",
            title(text, &lower)
        ),
        b'{' if text.contains("\"weight_map\"") => {
            "this is the index of weights in several files: join them with `save_file` of \
             safetensors"
                .into()
        }
        b'{' if ["\"architecture\"", "\"architectures\"", "\"model_type\""]
            .iter()
            .any(|key| text.contains(key)) =>
        {
            "this is a configuration (JSON): name the directory that it lies in, with the weights"
                .into()
        }
        b'{' | b'[' => format!(
            "this is JSON (`{}`), as a server answers in place of a file: get it again",
            quoted(text.as_bytes())
        ),
        _ if (text.starts_with("(d")
            || text.starts_with("(i")
            || text.starts_with("ccollections"))
            && text.contains("\np") =>
        {
            "this is a pickle of protocol 0 that `torch.save` did not write: load it in Python \
             and save it with \
             `torch.save`"
                .into()
        }
        _ => format!(
            "this is a text (`{}`), not a weight file",
            quoted(text.as_bytes())
        ),
    })
}

/// ` titled …`, where the page has a title.
fn title(text: &str, lower: &str) -> String {
    let title = lower.find("<title>").and_then(|start| {
        let start = start + "<title>".len();
        let end = lower[start..].find("</title>")? + start;
        text.get(start..end)
    });
    match title.map(str::trim).filter(|title| !title.is_empty()) {
        Some(title) => format!(" titled `{}`", quoted(title.as_bytes())),
        None => String::new(),
    }
}

/// The beginning of a text on one line, without control characters.
fn quoted(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * QUOTED)]);
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    let shown: String = line
        .chars()
        .filter(|c| !c.is_control())
        .take(QUOTED)
        .collect();
    if shown.len() < line.len() {
        format!("{shown}…")
    } else {
        shown
    }
}

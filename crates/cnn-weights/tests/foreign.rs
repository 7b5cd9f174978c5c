//! Files that hold no weights are named for what they are, with what to do.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cnn_core::Key;
use cnn_weights::{Error, TensorFile};
use flate2::Compression;
use flate2::write::GzEncoder;

/// A file and what its error says.
fn files() -> Vec<(Vec<u8>, &'static str)> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&[7; 1000]).unwrap();
    let hdf5 = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0";
    let mut matlab = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".to_vec();
    matlab.resize(512, 0);
    matlab.extend(hdf5);
    let mut table = vec![3; 60];
    table.extend(b"\x57\xfb\x80\x8b\x24\x75\x47\xdb");
    let onnx = [b"\x08\x08\x12\x07pytorch\x1a\x052.0.0".as_slice(), &[0; 60]].concat();
    let saved_model = b"\x08\x01\x12\xfd\xfb\x0b\x0a\x8e\x1a\x12\x05serve".to_vec();
    let texts: [(&str, &str); 12] = [
        ("", "the file is empty: get or save it again"),
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "this is a Git LFS pointer, not the file it stands for (run `git lfs pull`)",
        ),
        (
            "\n<!DOCTYPE html>\n<html><head><title>\n Log  in </title></head>",
            "this is a web page titled `Log in`, not a weight file",
        ),
        ("<html>\u{e9}", "this is a web page, not a weight file"),
        (
            "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            "this is an XML document (`<?xml version=\"1.0\"?><Error><Code>AccessDenied",
        ),
        (
            "{\"error\":{\"message\":\"Repository not found\"}}",
            "this is JSON (`{\"error\":{\"message\":\"Repository not found\"}}`), as a server answers",
        ),
        (
            "{\"code\":{\"n\":1}}",
            "this is JSON (`{\"code\":{\"n\":1}}`)",
        ),
        (
            "{\"metadata\":{}, \"weight_map\":{\"a\": \"x\"}}",
            "this is the index of weights in several files",
        ),
        (
            "{\n \"architecture\": \"resnet18\"\n}",
            "this is a configuration (JSON): name the directory that it lies in",
        ),
        (
            "model_checkpoint_path: \"model.ckpt-1\"\n",
            "this is TensorFlow's list of checkpoints",
        ),
        (
            "hello \u{1f642}",
            "this is a text (`hello \u{1f642}`), not a weight file",
        ),
        (
            "ccollections\nOrderedDict\np0\n(tRp1\n.",
            "this is a pickle of protocol 0",
        ),
    ];
    let mut files: Vec<(Vec<u8>, &str)> = texts.map(|(text, what)| (text.into(), what)).into();
    files.extend([
        (
            gzip.finish().unwrap(),
            "this is compressed by gzip: unpack it (`gunzip FILE`)",
        ),
        (b"BZh91AY&SY".to_vec(), "this is compressed by bzip2"),
        (b"\xfd7zXZ\0\0\x04".to_vec(), "this is compressed by xz"),
        (
            b"\x28\xb5\x2f\xfd\x04\0".to_vec(),
            "this is compressed by Zstandard",
        ),
        (hdf5.to_vec(), "this is HDF5, as Keras saves weights"),
        (matlab, "this is HDF5, as MATLAB and Keras save it"),
        (
            b"\x93NUMPY\x01\0v\0{'descr'".to_vec(),
            "this is a NumPy array",
        ),
        (onnx, "this is an ONNX model"),
        (
            b"\x08\x07\x3a\x84\x01\x0a\x06graph1".to_vec(),
            "this is an ONNX model",
        ),
        (saved_model, "this is a TensorFlow SavedModel"),
        (table, "this is the index of a TensorFlow checkpoint"),
        (
            b"\x1c\0\0\0TFL3\x14\0".to_vec(),
            "this is a TensorFlow Lite model",
        ),
        (
            b"\x0a\x10\x0a\x05input\x12\x0bPlaceholder".to_vec(),
            "this may be a TensorFlow graph (.pb)",
        ),
        (
            b"\x0a\x07AlexNet\xa2\x06\x10".to_vec(),
            "this may be a Caffe model",
        ),
        (
            b"\0\0\0\0\x02\0\0\0\x05\0\0\0\0\x12\x34\x56".to_vec(),
            "this may be a Darknet weight file",
        ),
        (vec![0; 4096], "the file starts with zeros alone"),
        (
            tar("storages"),
            "this is the tar archive that PyTorch wrote before 2017",
        ),
        (
            tar("run/model.pth"),
            "this is a tar archive, with `run/model.pth` first: unpack it",
        ),
        (
            b"\0\x05\x16\x07\0\x02\0\0Mac OS X".to_vec(),
            "the weights are in the file without `._`",
        ),
        (
            b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(),
            "this is a JPEG image",
        ),
        (b"\x89PNG\r\n\x1a\n\0".to_vec(), "this is a PNG image"),
        (
            b"PK\x05\x06\0\0\0\0".to_vec(),
            "this is an empty zip archive",
        ),
        (
            zip(&["conv1.npy", "fc.npy"]),
            "this is a NumPy archive (.npz)",
        ),
        (
            zip(&["config.json", "model.weights.h5"]),
            "this is a Keras archive",
        ),
        (
            zip(&["net/archive_format", "net/models/model.json"]),
            "this is a program that `torch.export` saved",
        ),
        (
            zip(&["readme.txt", "model.pth"]),
            "this is a zip archive without a `data.pkl` that holds `model.pth`: unpack it",
        ),
        (
            zip(&["readme.txt"]),
            "this is a zip archive without a `data.pkl`, which `torch.save` did not write",
        ),
        (
            b"\x80\x03ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\nC\x01a\x85RK\0)))tR.".to_vec(),
            "as `pickle.dump` writes it",
        ),
        (b"\x08\x0e\x12\x00\x3a\x03\x12\x01g".to_vec(), "this is an ONNX model"),
        (
            b"\x80\x04\x95\x05\0\0\0\0\0\0\0}.".to_vec(),
            "as `pickle.dump` writes it: load it in Python and save it with `torch.save`",
        ),
        (
            b"\xde\xad\xbe\xef\0\0\0\0\0".to_vec(),
            "the content starts with de ad be ef 00 00 00 00, which no known format does",
        ),
    ]);
    files
}

/// The header of a tar archive's first file.
fn tar(name: &str) -> Vec<u8> {
    let mut header = vec![0; 1024];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[257..265].copy_from_slice(b"ustar  \0");
    header
}

/// An archive of empty records.
fn zip(names: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for name in names {
        let len = (name.len() as u16).to_le_bytes();
        let head = [
            b"\x14\0\0\0\0\0\0\0\x21\0".as_slice(),
            &[0; 12],
            &len,
            &[0; 2],
        ]
        .concat();
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend((bytes.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&head);
        bytes.extend(name.as_bytes());
    }
    let count = (names.len() as u16).to_le_bytes();
    let start = bytes.len() as u32;
    let len = directory.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count);
    bytes.extend(count);
    bytes.extend(len.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

#[test]
fn what_is_no_weight_file_is_named() {
    for (content, expected) in files() {
        let error = TensorFile::from_bytes(content).unwrap_err();
        assert!(matches!(error, Error::UnknownFormat { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(expected), "{message}\nlacks: {expected}");
        let accepted = "; accepted are safetensors files and PyTorch files written by `torch.save`";
        assert!(message.ends_with(accepted), "{message}");
    }
}

#[test]
fn the_values_of_tensorflow_are_told_by_their_name() {
    let directory = tempfile::tempdir().unwrap();
    for (name, is_told) in [
        ("model.ckpt-9.data-00000-of-00001", true),
        ("model.data-x-of-1.pth", false),
        ("a.data-1", false),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, [0x3f; 40]).unwrap();
        let message = TensorFile::open(&path).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("`{}`: ", path.display())),
            "{message}"
        );
        let told = message.contains("this holds the values of a TensorFlow checkpoint");
        assert_eq!(told, is_told, "{message}");
    }
}

#[test]
fn what_is_quoted_has_no_control_characters_and_an_end() {
    let page = format!("<html><title>\u{1b}[31m{}</title>", "long ".repeat(1000));
    let zipped = zip(&["\u{1b}]0;x\u{7}.pth"]);
    for content in [page.into_bytes(), zipped, tar("a\u{1b}[2Jb")] {
        let message = TensorFile::from_bytes(content).unwrap_err().to_string();
        assert!(
            message.len() < 500 && !message.chars().any(char::is_control),
            "{message:?}"
        );
    }
}

#[test]
fn a_hundred_thousand_mutations_find_no_panic() {
    let seeds = files();
    let key = Key::new(0).stream("foreign");
    for number in 0..100_000 {
        let mut rng = key.at(number).rng();
        let (seed, _) = &seeds[rng.below(seeds.len() as u64) as usize];
        let mut bytes = seed.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len().max(1) as u64) as usize;
            match rng.below(4) {
                0 if at < bytes.len() => bytes[at] = rng.next_u32() as u8,
                1 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, rng.next_u32() as u8),
            }
        }
        let read = catch_unwind(AssertUnwindSafe(|| {
            TensorFile::from_bytes(bytes)
                .map(|file| file.len())
                .map_err(|error| error.to_string())
        }));
        assert!(read.is_ok(), "mutation {number} panicked");
    }
}

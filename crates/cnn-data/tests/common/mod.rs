//! What the integration tests share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test binary uses its part"
)]

pub(crate) mod box_files;
pub(crate) mod cifar;
pub(crate) mod made;
pub(crate) mod mask_files;
pub(crate) mod mutate;

use std::path::{Path, PathBuf};

use cnn_data::{Dataset, DatasetFormat, FoundDataset, Image, Mask, Split, open_dataset};
use tempfile::TempDir;

pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

pub(crate) fn golden_bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap()
}

/// The format and the splits of the dataset at a path.
pub(crate) fn dataset_splits(path: &Path) -> (DatasetFormat, Vec<Split>) {
    let found = FoundDataset::at(path).unwrap();
    (found.format(), found.splits())
}

/// The folder of real data and its part, or `None` (said aloud) where it is absent.
pub(crate) fn shared(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared")
        .join(part);
    if path.exists() {
        return Some(path.canonicalize().unwrap());
    }
    assert!(
        std::env::var_os("CNN_REQUIRE_SHARED").is_none(),
        "{} is absent",
        path.display()
    );
    println!("shared data absent, skipped");
    None
}

/// Paths below a folder and what they hold.
pub(crate) type Files<'a> = &'a [(&'a str, &'a [u8])];

pub(crate) fn folder_with(files: Files<'_>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

/// A tar archive of files, in the form of POSIX, with the mark of its end.
pub(crate) fn tar(files: Files<'_>) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes) in files {
        archive.extend(tar_member(name, b'0', bytes));
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// A member of a tar archive: its header and its padded bytes.
pub(crate) fn tar_member(name: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    sign_tar_header(&mut header);
    let mut member = header.to_vec();
    member.extend(bytes);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// Writes the checksum of a tar archive's header.
pub(crate) fn sign_tar_header(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// What opening a dataset says where it fails.
pub(crate) fn open_error(path: &Path, split: Option<Split>) -> String {
    open_dataset(path, split).err().unwrap().to_string()
}

/// The names, relative to `root`, and labels of all samples.
pub(crate) fn samples(dataset: &dyn Dataset, root: &Path) -> Vec<(String, Option<usize>)> {
    let id = |index| {
        dataset
            .id(index)
            .replace(&format!("{}/", root.display()), "")
    };
    (0..dataset.len())
        .map(|index| (id(index), dataset.label(index)))
        .collect()
}

/// Reads a binary PPM or PGM file as Pillow writes it.
pub(crate) fn read_ppm(name: &str) -> Image {
    let bytes = golden_bytes(name);
    let header_len = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(2)
        .unwrap()
        .0
        + 1;
    let header = std::str::from_utf8(&bytes[..header_len]).unwrap();
    let [kind, width, height, _] = header.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{header}")
    };
    let channels = if kind == "P6" { 3 } else { 1 };
    Image::from_pixels(
        height.parse().unwrap(),
        width.parse().unwrap(),
        channels,
        bytes[header_len..].to_vec(),
    )
    .unwrap()
}

/// Largest and mean difference of two images of the same shape, in steps of 1 of 255.
pub(crate) fn difference(found: &Image, expected: &Image) -> (u8, f64) {
    let shape = |image: &Image| (image.height(), image.width(), image.channels());
    assert_eq!(shape(found), shape(expected));
    let differences = || {
        found
            .bytes()
            .iter()
            .zip(expected.bytes())
            .map(|(&a, &b)| a.abs_diff(b))
    };
    let sum: f64 = differences().map(f64::from).sum();
    (
        differences().max().unwrap(),
        sum / found.bytes().len() as f64,
    )
}

/// The extent of the pixels of one class in the mask: left, top, right, bottom edges, and how many
/// they are.
pub(crate) fn extent(mask: &Mask, class: usize) -> Option<([f32; 4], usize)> {
    let of_class = |index: &usize| usize::from(mask.bytes()[*index]) == class;
    let places: Vec<_> = (0..mask.bytes().len())
        .filter(of_class)
        .map(|i| (i % mask.width(), i / mask.width()))
        .collect();
    let columns = || places.iter().map(|place| place.0);
    let rows = || places.iter().map(|place| place.1);
    let edges = [
        columns().min()?,
        rows().min()?,
        columns().max()? + 1,
        rows().max()? + 1,
    ];
    Some((edges.map(|edge| edge as f32), places.len()))
}

//! 100,000 seeded mutations of small real files per parser: no panic, no hang, no large allocation.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use cnn_core::{Key, Rng};
use cnn_weights::{TensorFile, save_safetensors};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The peak is the process's: one parser at a time.
static ALONE: Mutex<()> = Mutex::new(());

const MUTATIONS: u64 = 100_000;

/// Bytes above what was in use before, for files of some kB: somewhat more than 1 MiB may be
/// inflated, and as much gathered into a tensor, whose elements may then be widened to twice their
/// size.
const MOST_MEMORY: usize = 6 << 20;

#[test]
fn safetensors_survives_mutations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed.safetensors");
    let numbers = Tensor::arange(0u32, 6, &Device::Cpu).unwrap();
    let named = |name: &str, dtype, shape: &[usize]| {
        (
            name.to_string(),
            numbers
                .narrow(0, 0, shape.iter().product())
                .unwrap()
                .reshape(shape)
                .unwrap()
                .to_dtype(dtype)
                .unwrap(),
        )
    };
    let tensors = [
        named("conv1.weight", DType::F32, &[1, 2, 3]),
        named("bn1.num_batches_tracked", DType::I64, &[]),
        named("fc.weight", DType::F16, &[2, 3]),
        named("fc.bias", DType::BF16, &[2]),
        named("mask", DType::U8, &[3, 0]),
    ];
    save_safetensors(
        &path,
        &tensors,
        &BTreeMap::from([("arch".into(), "tiny".into())]),
    )
    .unwrap();
    survives(
        "safetensors",
        vec![std::fs::read(path).unwrap()],
        mutate_json,
    );
}

#[test]
fn zip_survives_mutations() {
    survives("zip", corpus("zip"), mutate_binary);
}

#[test]
fn legacy_survives_mutations() {
    survives("legacy", corpus("legacy"), mutate_binary);
}

fn corpus(form: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("good_") && name.ends_with(&format!(".{form}.pth"))
    });
    paths.sort();
    assert!(paths.len() >= 10, "{paths:?}");
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn survives(parser: &str, seeds: Vec<Vec<u8>>, mutate: fn(&mut Vec<u8>, &mut Rng)) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let key = Key::new(0).stream(parser);
    let mut read = 0u64;
    let mut most = 0;
    for number in 0..MUTATIONS {
        let mut rng = key.at(number).rng();
        let mut bytes = seeds[rng.below(seeds.len() as u64) as usize].clone();
        for _ in 0..=rng.below(3) {
            mutate(&mut bytes, &mut rng);
        }
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let opened = catch_unwind(AssertUnwindSafe(|| load_all(bytes)));
        let used = MEMORY.peak_usage().saturating_sub(before);
        most = most.max(used);
        assert!(
            used <= MOST_MEMORY,
            "{parser} mutation {number} took {used} bytes"
        );
        read += u64::from(opened.unwrap_or_else(|_| panic!("{parser} mutation {number} panicked")));
    }
    println!(
        "{parser}: {read} of {MUTATIONS} mutated files were read, at most {most} bytes of memory"
    );
    // Mutations that all break the file at once, or none, would test nothing.
    assert!(
        (MUTATIONS / 100..MUTATIONS * 9 / 10).contains(&read),
        "{read}"
    );
}

/// Whether the file was read; its tensors are then made, which may fail but not panic.
fn load_all(bytes: Vec<u8>) -> bool {
    let Ok(file) = TensorFile::from_bytes(bytes) else {
        return false;
    };
    for name in file.names() {
        if let Ok(tensor) = file.tensor(name) {
            assert_eq!(tensor.dims(), file.info(name).unwrap().shape);
        }
    }
    true
}

/// Numbers that have broken parsers.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    7,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 32,
    1 << 60,
    1 << 62,
    i64::MAX as u64,
    u64::MAX,
];

fn number(rng: &mut Rng, len: usize) -> u64 {
    match rng.below(4) {
        0 => rng.next_u64(),
        1 => (len as u64).wrapping_add(rng.below(5)).wrapping_sub(2),
        _ => NUMBERS[rng.below(NUMBERS.len() as u64) as usize],
    }
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    rng.below(bound.max(1) as u64) as usize
}

/// A flipped bit, another byte, a number of 1 to 8 bytes over what was there, a cut, an insertion,
/// a repetition.
fn mutate_binary(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = below(rng, bytes.len());
    let until = (at + 1 + below(rng, 16)).min(bytes.len());
    match rng.below(16) {
        0..=4 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        5..=7 if at < bytes.len() => bytes[at] = rng.next_u32() as u8,
        8..=11 => {
            let width = 1 << rng.below(4);
            let mut word = number(rng, bytes.len()).to_le_bytes();
            if rng.below(4) == 0 {
                word[..width].reverse();
            }
            let end = (at + width).min(bytes.len());
            bytes[at..end].copy_from_slice(&word[..end - at]);
        }
        12 => bytes.truncate(at),
        13 => drop(bytes.drain(at..until)),
        14 => {
            let inserted = bytes[at..until].to_vec();
            let place = below(rng, bytes.len());
            bytes.splice(place..place, inserted);
        }
        _ => {
            let byte = rng.next_u32() as u8;
            bytes.insert(at, byte);
        }
    }
}

/// As `mutate_binary`, but mostly within the header, whose length is then put right.
fn mutate_json(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let length = bytes
        .first_chunk()
        .map_or(0, |length| u64::from_le_bytes(*length));
    let end = usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_add(8))
        .filter(|&end| end <= bytes.len());
    let Some(end) = end.filter(|_| rng.below(8) > 0) else {
        return mutate_binary(bytes, rng);
    };
    let mut header = bytes[8..end].to_vec();
    if rng.below(2) == 0 {
        mutate_binary(&mut header, rng);
    } else {
        replace_number(&mut header, rng);
    }
    let length = (header.len() as u64).to_le_bytes();
    bytes.splice(..end, length.into_iter().chain(header));
}

/// Another number in the place of one that is written in digits.
fn replace_number(text: &mut Vec<u8>, rng: &mut Rng) {
    let from = below(rng, text.len());
    let Some(start) = text[from..]
        .iter()
        .position(u8::is_ascii_digit)
        .map(|place| from + place)
    else {
        return;
    };
    let len = text[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let digits = number(rng, text.len()).to_string();
    text.splice(start..start + len, digits.into_bytes());
}

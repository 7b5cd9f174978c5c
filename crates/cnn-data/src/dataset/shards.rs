//! Files that together are a dataset: which of them are of one configuration and split.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Split;
use super::files::{file_name, quoted};
use crate::Error;

/// A split and its files.
pub(super) type ShardPart = (Option<Split>, Vec<PathBuf>);

/// The files of the configuration that was asked for. As on the hub, files of different
/// configurations lie in different folders.
pub(super) fn of_configuration(
    root: &Path,
    files: Vec<PathBuf>,
    asked: Option<&str>,
) -> Result<Vec<PathBuf>, Error> {
    let name_of = |file: &Path| {
        let folder = file
            .parent()
            .and_then(|folder| folder.strip_prefix(root).ok());
        let parts = folder.into_iter().flat_map(|folder| folder.iter());
        let names = parts
            .map(|part| part.to_string_lossy().into_owned())
            .filter(|name| Split::of_folder_name(name).is_none() && name != "data");
        names.collect::<Vec<_>>().join("/")
    };
    let mut of_name: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        of_name.entry(name_of(&file)).or_default().push(file);
    }
    choose_configuration(root, of_name, asked)
}

/// The configuration of that name, or the only one there is.
pub(super) fn choose_configuration<T>(
    path: &Path,
    mut of_name: BTreeMap<String, T>,
    asked: Option<&str>,
) -> Result<T, Error> {
    let names: Vec<String> = of_name.keys().cloned().collect();
    let refused = |asked: Option<&str>| Error::Configuration {
        path: path.to_owned(),
        asked: asked.map(str::to_owned),
        existing: quoted(&names).unwrap_or_default(),
    };
    match asked {
        Some(asked) => of_name.remove(asked).ok_or_else(|| refused(Some(asked))),
        None if of_name.len() == 1 => of_name
            .pop_first()
            .map(|(_, only)| only)
            .ok_or_else(|| refused(None)),
        None => Err(refused(None)),
    }
}

/// Groups files by the split that their name, or the name of the folder above them, stands for.
/// Files whose names stand for no split are a part of their own only if all files are such.
pub(super) fn parts_of(root: &Path, files: Vec<PathBuf>) -> Result<Vec<ShardPart>, Error> {
    let split_of = |file: &Path| {
        let inside = file.strip_prefix(root).unwrap_or(file);
        inside
            .iter()
            .rev()
            .find_map(|part| Split::of_file_name(&part.to_string_lossy()))
    };
    let mut of_split: BTreeMap<Option<Split>, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        of_split.entry(split_of(&file)).or_default().push(file);
    }
    if of_split.len() > 1
        && let Some(others) = of_split.remove(&None)
    {
        let names: Vec<String> = others.iter().map(|file| file_name(file)).collect();
        return Err(Error::Ambiguous {
            path: root.to_owned(),
            reason: format!(
                "{} belong to no split and would be left out; rename or move them",
                quoted(&names).unwrap_or_default()
            ),
        });
    }
    Ok(of_split.into_iter().collect())
}

/// Refuses shards of two different divisions of the same data, as `-00000-of-00001` beside
/// `-00000-of-00002`, and files of the same content; says which shards are missing.
pub(super) fn check_shards(files: &[PathBuf]) -> Result<Option<String>, Error> {
    let refused = |first: &Path, second: &Path| Error::Ambiguous {
        path: second.to_owned(),
        reason: format!(
            "it and {} would be added up, and are the same data twice or of two divisions; \
             move one of them away",
            first.display()
        ),
    };
    let mut shards: BTreeMap<usize, &PathBuf> = BTreeMap::new();
    let mut of = None;
    for file in files {
        let number = shard_number(&file_name(file));
        match (number, of) {
            (Some((_, total)), Some(before)) if total != before => {
                return Err(refused(&files[0], file));
            }
            (None, Some(_)) => return Err(refused(&files[0], file)),
            (Some(_), None) if file != &files[0] => return Err(refused(&files[0], file)),
            (Some((index, total)), _) => {
                of = Some(total);
                if let Some(first) = shards.insert(index, file) {
                    return Err(refused(first, file));
                }
            }
            (None, None) => {}
        }
    }
    let mut of_content: BTreeMap<(u64, [u8; 32]), &PathBuf> = BTreeMap::new();
    for (file, size) in of_equal_sizes(files)? {
        let hash = file_hash(file)?;
        if let Some(first) = of_content.insert((size, hash), file) {
            return Err(refused(first, file));
        }
    }
    let missing = of.map_or(0, |total: usize| total.saturating_sub(shards.len()));
    Ok((missing > 0).then(|| {
        format!(
            "{missing} of the {} files that {} is one of are not there",
            of.unwrap_or_default(),
            files[0].display()
        )
    }))
}

/// Number and count of `train-00003-of-00014.parquet`.
fn shard_number(name: &str) -> Option<(usize, usize)> {
    let (front, back) = name.split_once("-of-")?;
    let digits = |text: &str| {
        text.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
    };
    let last: String = front
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()?
        .to_owned();
    Some((last.parse().ok()?, digits(back).parse().ok()?))
}

/// The files of which another has the same size.
fn of_equal_sizes(files: &[PathBuf]) -> Result<Vec<(&PathBuf, u64)>, Error> {
    let size = |file: &PathBuf| {
        let metadata = file.metadata();
        metadata
            .map(|metadata| metadata.len())
            .map_err(|error| Error::io("read", file, error))
    };
    let sizes = files.iter().map(size).collect::<Result<Vec<_>, _>>()?;
    let is_twin = |size: &u64| sizes.iter().filter(|other| *other == size).count() > 1;
    let pairs = files.iter().zip(sizes.iter().copied());
    Ok(pairs.filter(|(_, size)| is_twin(size)).collect())
}

fn file_hash(path: &Path) -> Result<[u8; 32], Error> {
    let mut hasher = Sha256::new();
    let mut hash = || {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                read => hasher.update(&buffer[..read]),
            }
        }
    };
    hash().map_err(|error| Error::io("read", path, error))?;
    Ok(hasher.finalize().into())
}

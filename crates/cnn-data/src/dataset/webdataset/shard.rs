//! The samples of one archive.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::path::{Component, Path};

use super::labels::{Label, MAX_BYTES, Teller};
use super::tar::{Ending, Kind, scan, shown};
use crate::dataset::files::{is_ignored_name, is_image_name};

/// What an archive holds: images with what is said of them.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) samples: Vec<ShardSample>,
    /// What is left out, in sentences.
    pub(super) notes: Vec<String>,
    /// An image that lies in a folder.
    pub(super) in_folder: Option<String>,
}

/// An image and the labels that the members of its name say.
#[derive(Debug)]
pub(super) struct ShardSample {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) labels: Vec<(Teller, Label)>,
}

/// The members that are no samples.
#[derive(Default)]
struct LeftOut {
    links: Vec<String>,
    others: Vec<String>,
    outside: Vec<String>,
}

impl Shard {
    /// Reads an archive's headers, and the members that say labels.
    pub(super) fn read(source: impl Read + Seek) -> Result<Self, String> {
        let mut shard = Self::default();
        let mut left_out = LeftOut::default();
        let mut image_of: HashMap<String, usize> = HashMap::new();
        let mut labels_of: HashMap<String, Vec<(Teller, Label)>> = HashMap::new();
        let ending = scan(source, |member, bytes| {
            let path = Path::new(&member.name);
            if path.iter().any(is_ignored) {
                return Ok(());
            }
            let left_out_as = match member.kind {
                Kind::File => None,
                Kind::Folder => return Ok(()),
                Kind::Link => Some(&mut left_out.links),
                Kind::Other => Some(&mut left_out.others),
            };
            if let Some(names) = left_out_as {
                names.push(shown(&member.name));
                return Ok(());
            }
            if path
                .components()
                .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
            {
                left_out.outside.push(shown(&member.name));
                return Ok(());
            }
            let Some((key, ending)) = key_and_ending(&member.name) else {
                return Ok(());
            };
            if is_image_name(path) {
                if let Some(&first) = image_of.get(key) {
                    return Err(format!(
                        "`{}` and `{}` are images of one sample, expected one",
                        shown(&shard.samples[first].name),
                        shown(&member.name)
                    ));
                }
                image_of.insert(key.to_owned(), shard.samples.len());
                shard.samples.push(ShardSample {
                    offset: member.offset,
                    size: member.size,
                    labels: Vec::new(),
                    name: member.name,
                });
            } else if let Some(teller) = Teller::of_ending(&ending) {
                let label = read_label(teller, member.size, bytes)?;
                let labels = labels_of.entry(key.to_owned()).or_default();
                labels.extend(label.map(|label| (teller, label)));
            }
            Ok(())
        })?;
        let mut alone = 0;
        for (key, labels) in labels_of {
            match image_of.get(&key) {
                Some(&place) => shard.samples[place].labels = labels,
                None => alone += 1,
            }
        }
        if alone > 0 {
            shard.notes.push(format!("{alone} samples have no image"));
        }
        if ending == Ending::Unmarked {
            let note = "it lacks the mark of its end: some of it may be missing";
            shard.notes.push(note.to_owned());
        }
        shard.notes.extend(left_out.notes());
        let lies_in_folder =
            |sample: &&ShardSample| sample.name.trim_start_matches("./").contains('/');
        let in_folder = shard.samples.iter().find(lies_in_folder);
        shard.in_folder = in_folder.map(|sample| shown(&sample.name));
        Ok(shard)
    }
}

impl LeftOut {
    fn notes(&self) -> Vec<String> {
        let kinds = [
            (&self.links, "links"),
            (&self.others, "members that are no plain files"),
            (&self.outside, "members whose names lead out of the archive"),
        ];
        let note = |(names, what): (&Vec<String>, &str)| {
            let first = names.first()?;
            Some(format!("{} {what} are left out, as `{first}`", names.len()))
        };
        kinds.into_iter().filter_map(note).collect()
    }
}

fn read_label(teller: Teller, size: u64, bytes: &mut dyn Read) -> Result<Option<Label>, String> {
    if size > MAX_BYTES {
        return Ok((teller != Teller::Json).then_some(Label::Caption));
    }
    let mut content = Vec::new();
    bytes
        .read_to_end(&mut content)
        .map_err(|error| error.to_string())?;
    Ok(teller.label(&content))
}

/// What stands before the first dot of a member's file name, with its folders, and what after it.
fn key_and_ending(name: &str) -> Option<(&str, String)> {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = file + name[file..].find('.')?;
    (dot > file).then(|| (&name[..dot], name[dot + 1..].to_lowercase()))
}

fn is_ignored(part: &OsStr) -> bool {
    part != "." && part != ".." && is_ignored_name(Some(part))
}

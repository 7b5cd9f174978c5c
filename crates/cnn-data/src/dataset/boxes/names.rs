//! Files that name classes, a line each.

use std::path::{Path, PathBuf};

use super::pairs::lines;

/// The names of such files, the surest first. A name with a star is an ending.
const NAMES: &[&str] = &[
    "classes.txt",
    "obj.names",
    "*.names",
    "_darknet.labels",
    "class_names.txt",
    "predefined_classes.txt",
    "labels.txt",
];
/// The largest file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// A file and the names in it.
pub(super) struct NameFile {
    pub(super) path: PathBuf,
    pub(super) names: Vec<String>,
}

impl NameFile {
    /// The first such file in these folders; one that cannot be understood is told.
    pub(super) fn in_folders(folders: &[&Path], notes: &mut Vec<String>) -> Option<Self> {
        let candidates = NAMES.iter().flat_map(|name| {
            let in_folder = move |folder: &&Path| files_called(folder, name);
            folders.iter().flat_map(in_folder)
        });
        for path in candidates {
            match Self::read(&path) {
                Ok(names) => return Some(Self { path, names }),
                Err(reason) => notes.push(format!("{} names no classes: {reason}", path.display())),
            }
        }
        None
    }

    fn read(path: &Path) -> Result<Vec<String>, String> {
        let names = lines(path, MOST_BYTES)?;
        let is_name = |name: &&String| name.len() <= 200;
        if names.is_empty() {
            return Err("it is empty".to_owned());
        }
        match names.iter().find(|name| !is_name(name)) {
            Some(long) => Err(format!("a line of {} bytes", long.len())),
            None => Ok(names),
        }
    }
}

/// Whether a file's name is that of a list of classes.
pub(super) fn is_name_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    NAMES.iter().any(|known| name == *known)
}

fn files_called(folder: &Path, name: &str) -> Vec<PathBuf> {
    let Some(ending) = name.strip_prefix('*') else {
        let path = folder.join(name);
        return path.is_file().then_some(path).into_iter().collect();
    };
    let files = crate::dataset::files::files_in(folder).unwrap_or_default();
    let is_called = |path: &PathBuf| path.to_string_lossy().ends_with(ending);
    files.into_iter().filter(is_called).collect()
}

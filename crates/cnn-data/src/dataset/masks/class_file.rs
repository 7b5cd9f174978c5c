//! The file beside masks that names their classes.

use std::path::{Path, PathBuf};

use super::MaskClasses;
use crate::Error;
use crate::dataset::files::quoted;

/// The names of such files; those that give colors come first.
const NAMES: &[&str] = &[
    "class_dict.csv",
    "labelmap.txt",
    "label_colors.txt",
    "label_colours.txt",
    "colors.csv",
    "colours.csv",
    "class_colors.csv",
    "classes.csv",
    "classes.txt",
    "class_names.txt",
    "codes.txt",
    "label_names.txt",
    "labels.txt",
];

/// A file of classes among others.
pub(super) struct ClassFile;

impl ClassFile {
    /// Reads the first such file in the dataset's folder, in that of its masks, and in those between
    /// them. One that is not understood is told and passed over, as `labels.txt` may be another
    /// list.
    pub(super) fn beside(
        root: &Path,
        place: &Path,
        masks: &[&Path],
        notes: &mut Vec<String>,
    ) -> Result<Option<MaskClasses>, Error> {
        let mut folders = vec![place];
        folders.extend((place != root).then_some(root));
        let above = masks.first().into_iter().flat_map(|mask| mask.ancestors());
        let above = above.skip(1).take_while(|folder| *folder != root);
        folders.extend(above.filter(|folder| *folder != place));
        let files: Vec<PathBuf> = NAMES
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
            .filter(|path| path.is_file())
            .collect();
        let mut found: Option<(PathBuf, MaskClasses)> = None;
        let mut unread = Vec::new();
        for path in files {
            if found.is_some() {
                unread.push(path.display().to_string());
                continue;
            }
            match MaskClasses::read(&path) {
                Ok(classes) => found = Some((path, classes)),
                Err(error) => notes.push(format!("{error}, so it names no classes")),
            }
        }
        notes.extend(found.iter().map(|(path, classes)| {
            let count = classes.names().len();
            format!("{} names the {count} classes of the masks", path.display())
        }));
        notes.extend(quoted(&unread).map(|names| format!("{names} beside it is not read")));
        Ok(found.map(|(_, classes)| classes))
    }
}

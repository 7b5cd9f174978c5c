//! A name for the images that a run was given.

use cnn_data::Dataset;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

/// SHA-256, in hexadecimal, over the sorted list of each image's class and the SHA-256 of its stored bytes. So neither the files' names nor their order nor their place matter, while
/// every image and every label does. A file that cannot be read counts as one without content.
pub(crate) fn fingerprint(dataset: &dyn Dataset) -> String {
    let line = |index: usize| {
        let class = dataset.label(index).and_then(|label| dataset.classes().get(label)).map_or("", String::as_str);
        let content = dataset.content(index).map(|content| content.sha256()).unwrap_or_default();
        (class.to_string(), content)
    };
    let mut lines: Vec<(String, [u8; 32])> = (0..dataset.len()).into_par_iter().map(line).collect();
    lines.sort_unstable();
    let mut hasher = Sha256::new();
    for (class, content) in lines {
        hasher.update((class.len() as u64).to_le_bytes());
        hasher.update(class);
        hasher.update(content);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use cnn_data::{Image, open_dataset};

    use super::*;

    fn picture(folder: &Path, name: &str, value: u8) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        Image::from_pixels(2, 3, 3, vec![value; 18]).unwrap().write_png(&path).unwrap();
    }

    /// Of a folder with these files: name and grey value.
    fn of(files: &[(&str, u8)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, value)| picture(folder.path(), name, *value));
        fingerprint(open_dataset(folder.path(), None).unwrap().as_ref())
    }

    #[test]
    fn images_and_classes_count_and_names_do_not() {
        let one = of(&[("ant/a.png", 1), ("ant/b.png", 2), ("bee/c.png", 3)]);
        assert_eq!(one.len(), 64);
        assert_eq!(of(&[("ant/z.png", 1), ("ant/a.png", 2), ("bee/1.png", 3)]), one, "other names");
        for (other, why) in [
            ([("ant/a.png", 1), ("ant/b.png", 2), ("bee/c.png", 4)], "another image"),
            ([("ant/a.png", 1), ("ant/b.png", 3), ("bee/c.png", 2)], "two images in each other's class"),
            ([("ant/a.png", 1), ("ant/b.png", 2), ("wasp/c.png", 3)], "another name of a class"),
        ] {
            assert_ne!(of(&other), one, "{why}");
        }
        assert_ne!(of(&[("ant/a.png", 1), ("bee/c.png", 3)]), one, "an image less");
    }
}

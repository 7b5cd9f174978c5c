//! The names and WordNet identifiers of ImageNet's classes; their source and licence stand in
//! `README.md` beside this file.

use std::sync::OnceLock;

static CLASS_NAMES: &str = include_str!("class_names.txt");
static SYNSETS: &str = include_str!("synsets.txt");

/// The names of the 1,000 classes of ImageNet (ILSVRC 2012), in the order of the numbers that
/// published networks predict.
///
/// A name is WordNet's lemmas separated by `, `, the usual one first.
///
/// ```
/// let names = cnn_data::imagenet_class_names();
/// assert_eq!(names.len(), 1000);
/// assert_eq!(
///     (names[0], names[207], names[281]),
///     ("tench, Tinca tinca", "golden retriever", "tabby, tabby cat")
/// );
/// ```
pub fn imagenet_class_names() -> &'static [&'static str] {
    static LINES: OnceLock<Vec<&'static str>> = OnceLock::new();
    LINES.get_or_init(|| CLASS_NAMES.lines().collect())
}

/// The WordNet identifiers of the 1,000 classes of ImageNet, in the same order: folders of ImageNet's
/// images are named so.
///
/// ```
/// assert_eq!(cnn_data::imagenet_synsets()[0], "n01440764");
/// assert!(cnn_data::imagenet_synsets().is_sorted());
/// ```
pub fn imagenet_synsets() -> &'static [&'static str] {
    static LINES: OnceLock<Vec<&'static str>> = OnceLock::new();
    LINES.get_or_init(|| SYNSETS.lines().collect())
}

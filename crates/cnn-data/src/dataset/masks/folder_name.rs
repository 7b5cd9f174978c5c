//! What the name of a folder or a file says of what is in it: photos, masks, a split.

use super::super::Split;

/// Words in the names of folders of photos.
const PHOTOS: &[&str] = &[
    "images",
    "image",
    "imgs",
    "img",
    "photos",
    "photo",
    "pictures",
    "picture",
    "inputs",
    "input",
    "originals",
    "original",
    "frames",
    "rgb",
];
/// Words in the names of folders of masks.
const MASKS: &[&str] = &[
    "masks",
    "mask",
    "labels",
    "label",
    "annotations",
    "annotation",
    "annots",
    "annot",
    "anno",
    "segmentations",
    "segmentation",
    "segs",
    "seg",
    "groundtruths",
    "groundtruth",
    "gts",
    "gt",
    "targets",
    "target",
    "lbls",
    "lbl",
];
/// Words that say nothing of it beside others.
const NEUTRAL: &[&str] = &[
    "class", "classes", "jpeg", "jpg", "png", "data", "set", "semantic",
];
/// Endings, or beginnings, of the names of masks.
const MASK_MARKS: &[&str] = &[
    "groundtruth",
    "ground_truth",
    "segmentation",
    "annotation",
    "labels",
    "label",
    "masks",
    "mask",
    "annot",
    "seg",
    "lbl",
    "gt",
];
/// The same for files in a folder of masks, as CamVid's.
const SHORT_MASK_MARKS: &[&str] = &["l"];
/// Endings, or beginnings, of the names of photos whose masks have others.
const PHOTO_MARKS: &[&str] = &[
    "images", "image", "photo", "input", "img", "sat", "rgb", "im",
];

/// What is in a folder, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Photos,
    Masks,
}

/// What a folder's name says, if all of its words are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FolderName {
    pub(super) role: Option<Role>,
    pub(super) split: Option<Split>,
}

impl FolderName {
    /// Reads a name as words that may be joined, as in `train_masks`, `trainannot` or
    /// `SegmentationClass`. `None` if it has other words, or says neither what is in it nor of which
    /// split it is.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let mut found = Self::default();
        let name = name.replace("ground_truth", "groundtruth");
        let words = name.split(|character: char| !character.is_alphabetic());
        for word in words.filter(|word| !word.is_empty()) {
            found = found.with_word(word)?;
        }
        let says_something = found.role.is_some() || found.split.is_some();
        says_something.then_some(found)
    }

    /// The same with a word, or with words that are joined to one.
    fn with_word(self, word: &str) -> Option<Self> {
        if word.is_empty() {
            return Some(self);
        }
        self.with_known(word).or_else(|| {
            let ends = word.char_indices().map(|(end, _)| end).skip(1);
            let mut cuts = ends.filter(|end| *end > 1).map(|end| word.split_at(end));
            cuts.find_map(|(first, rest)| self.with_known(first)?.with_word(rest))
        })
    }

    fn with_known(self, word: &str) -> Option<Self> {
        if let Some(split) = Split::of_name(word) {
            let is_other = self.split.is_some_and(|known| known != split);
            return (!is_other).then_some(Self {
                split: Some(split),
                ..self
            });
        }
        // `mask_images` are masks.
        let role = if MASKS.contains(&word) {
            Some(Role::Masks)
        } else if PHOTOS.contains(&word) {
            self.role.or(Some(Role::Photos))
        } else if NEUTRAL.contains(&word) {
            self.role
        } else {
            return None;
        };
        Some(Self { role, ..self })
    }
}

/// The name of a file in a folder of masks without the word that marks it as one, as `a` of
/// `a_mask`, in lower case; `None` if it has no such word.
pub(super) fn without_mask_mark(stem: &[u8]) -> Option<Vec<u8>> {
    without_plain_mask_mark(stem).or_else(|| without_mark(stem, SHORT_MASK_MARKS))
}

/// The same of a file that lies in any folder.
pub(super) fn without_plain_mask_mark(stem: &[u8]) -> Option<Vec<u8>> {
    without_mark(stem, MASK_MARKS)
}

/// A photo's name without the word that marks it as one, as `a` of `a_image`.
pub(super) fn without_photo_mark(stem: &[u8]) -> Option<Vec<u8>> {
    without_mark(stem, PHOTO_MARKS)
}

fn without_mark(stem: &[u8], marks: &[&str]) -> Option<Vec<u8>> {
    let stem = stem.to_ascii_lowercase();
    let is_joint = |byte: &u8| matches!(byte, b'_' | b'-' | b'.' | b' ');
    let bare = marks.iter().find_map(|mark| {
        let front = stem.strip_suffix(mark.as_bytes());
        let front = front.and_then(|front| front.split_last().filter(|(joint, _)| is_joint(joint)));
        let back = stem.strip_prefix(mark.as_bytes());
        let back = back.and_then(|back| back.split_first().filter(|(joint, _)| is_joint(joint)));
        front.or(back).map(|(_, bare)| bare.to_vec())
    });
    bare.filter(|bare| !bare.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn folder_names_are_read_as_words() {
        let photos = Some(Role::Photos);
        let masks = Some(Role::Masks);
        let train = Some(Split::Train);
        let cases = [
            ("images", photos, None),
            ("imgs_256", photos, None),
            ("JPEGImages", photos, None),
            ("SegmentationClass", masks, None),
            ("SegmentationClassPNG", masks, None),
            ("trainannot", masks, train),
            ("train_labels", masks, train),
            ("TrainMasks", masks, train),
            ("mask-images", masks, None),
            ("ground_truth", masks, None),
            ("GroundTruth", masks, None),
            ("valannot", masks, Some(Split::Val)),
            ("test", None, Some(Split::Test)),
        ];
        for (name, role, split) in cases {
            let expected = FolderName { role, split };
            let expected = Some(expected).filter(|found| *found != FolderName::default());
            assert_eq!(FolderName::of(name), expected, "{name}");
        }
        for name in [
            "with_mask",
            "no mask",
            "cats",
            "data",
            "SegmentationObject",
            "unmasked",
            "",
        ] {
            assert_eq!(FolderName::of(name), None, "{name}");
        }
    }

    #[test]
    fn marks_are_taken_off() {
        let cases = [
            ("a_mask", Some("a")),
            ("Tile-01_SEG", Some("tile-01")),
            ("mask_7", Some("7")),
            ("0001TP_006690_L", Some("0001tp_006690")),
            ("ISIC_0001_segmentation", Some("isic_0001")),
            ("unmask", None),
            ("mask", None),
            ("_mask", None),
        ];
        for (stem, expected) in cases {
            let found = without_mask_mark(stem.as_bytes());
            let expected = expected.map(|bare| bare.as_bytes().to_vec());
            assert_eq!(found, expected, "{stem}");
        }
        assert_eq!(without_photo_mark(b"7_sat"), Some(b"7".to_vec()));
    }
}

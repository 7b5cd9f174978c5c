//! Which folders hold photos, and which hold their masks.
//!
//! The rules:
//! 1. The name of a folder is read as words (`folder_name.rs`): for photos, for masks, for a split.
//!    `train` beside `trainannot` holds photos. Other folders only say which mask may belong to which
//!    photo.
//! 2. Masks are found by name (`pairs.rs`). In a folder without folders of masks, files that are
//!    called as another one there with `_mask` or the like behind it are its masks.
//! 3. It is a dataset of masks if at least half of the masks and half of the photos of some split
//!    have each other, and most of those that are looked at are of one size. Where other folders
//!    hold images too, a folder has to be called `images` or the like, and every mask has to have a
//!    photo; the other folders are left out with a note. Otherwise all folders are classes.
//! 4. A split none of whose photos has a mask is left out with a note.
//!
//! Pascal VOC's lists of images (`voc.rs`) come before all this.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::class_file::ClassFile;
use super::folder_name::Role;
use super::legend::{KnownClasses, Legend};
use super::pairs::{MaskedPhoto, Pairs, PlacedFile};
use super::scan::MaskScan;
use super::{MaskClasses, MaskedImages, voc};
use crate::dataset::Split;
use crate::dataset::files::{file_name, quoted};
use crate::image::stored::png_sides;
use crate::{Error, Limits, decode_with_limits};

/// How many pairs are looked at to see that photos and masks are of one size.
const LOOKED_AT: usize = 5;

/// Photos with masks.
#[derive(Debug)]
pub(in crate::dataset) struct MaskLayout {
    root: PathBuf,
    pub(in crate::dataset) parts: Vec<MaskPart>,
    /// How folders were understood, and what is left out.
    folder_notes: Vec<String>,
    known: KnownClasses,
    scan: MaskScan,
    legend: Legend,
}

/// The photos of a split.
#[derive(Clone, Debug)]
pub(in crate::dataset) struct MaskPart {
    pub(in crate::dataset) split: Option<Split>,
    pub(super) photos: Vec<MaskedPhoto>,
}

/// What is no dataset of masks, and in sentences why, where it looks like one.
pub(in crate::dataset) type NoMasks = Option<String>;

impl MaskLayout {
    /// Recognises photos and masks among the image files below a folder.
    pub(in crate::dataset) fn recognise(
        root: &Path,
        images: &[PathBuf],
    ) -> Result<Result<Self, NoMasks>, Error> {
        if let Some(found) = voc::recognise(root, images)? {
            return Self::of_parts(root, found.place, found.parts, found.notes, true).map(Ok);
        }
        let placed: Option<Vec<PlacedFile<'_>>> = images
            .iter()
            .map(|image| PlacedFile::of(root, image))
            .collect();
        let Some(sorted) = placed.and_then(Sorted::of) else {
            return Ok(Err(None));
        };
        let pairs = Pairs::of(&sorted.photos, &sorted.masks);
        if let Err(reason) = sorted.are_pairs(&pairs) {
            return Ok(Err(reason));
        }
        let mut notes = Vec::new();
        notes.extend(sorted.others_left_out());
        notes.extend(unpaired_masks(&pairs.without_photo));
        let parts = parts_of(pairs, &mut notes);
        let may_be_voc = sorted
            .masks
            .iter()
            .all(|mask| is_segmentation_class(mask.path));
        let layout = Self::of_parts(root, root.to_owned(), parts, notes, may_be_voc)?;
        Ok(Ok(layout))
    }

    fn of_parts(
        root: &Path,
        place: PathBuf,
        parts: Vec<MaskPart>,
        mut folder_notes: Vec<String>,
        may_be_voc: bool,
    ) -> Result<Self, Error> {
        let masks: Vec<&Path> = parts
            .iter()
            .flat_map(|part| &part.photos)
            .filter_map(|photo| photo.mask.as_deref().ok())
            .collect();
        let named = ClassFile::beside(root, &place, &masks, &mut folder_notes)?;
        let scan = MaskScan::of(&masks);
        let known = KnownClasses {
            named,
            ignored: None,
            may_be_voc,
        };
        let legend = Legend::of(&known, &scan);
        Ok(Self {
            root: root.to_owned(),
            parts,
            folder_notes,
            known,
            scan,
            legend,
        })
    }

    /// Everything that is to be said of it.
    pub(in crate::dataset) fn notes(&self) -> Vec<String> {
        [self.folder_notes.as_slice(), &self.legend.notes].concat()
    }

    pub(in crate::dataset) fn with_classes(mut self, classes: MaskClasses) -> Self {
        self.known.named = Some(classes);
        self.legend = Legend::of(&self.known, &self.scan);
        self
    }

    pub(in crate::dataset) fn with_ignored(mut self, number: u8) -> Self {
        self.known.ignored = Some(number);
        self.legend = Legend::of(&self.known, &self.scan);
        self
    }

    pub(in crate::dataset) fn open(&self, number: usize) -> Result<MaskedImages, Error> {
        self.legend.check(&self.scan)?;
        let photos = self.parts[number].photos.clone();
        Ok(MaskedImages::new(&self.root, photos, self.legend.clone()))
    }
}

/// Image files by what they are.
struct Sorted<'a> {
    photos: Vec<PlacedFile<'a>>,
    masks: Vec<PlacedFile<'a>>,
    /// In folders that are called neither.
    others: Vec<PlacedFile<'a>>,
    /// Whether a folder is called as one of photos.
    are_photos_named: bool,
    are_beside: bool,
}

impl<'a> Sorted<'a> {
    /// `None` where nothing is called as a mask.
    fn of(files: Vec<PlacedFile<'a>>) -> Option<Self> {
        let (masks, files): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|file| file.role == Some(Role::Masks));
        if masks.is_empty() {
            return Self::beside(files);
        }
        let (named, unnamed): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|file| file.role == Some(Role::Photos));
        if !named.is_empty() {
            return Some(Self {
                photos: named,
                masks,
                others: unnamed,
                are_photos_named: true,
                are_beside: false,
            });
        }
        let (others, photos) = unnamed
            .into_iter()
            .partition(|file| file.is_nested && file.split.is_none());
        Some(Self {
            photos,
            masks,
            others,
            are_photos_named: false,
            are_beside: false,
        })
    }

    /// Masks beside their photos.
    fn beside(files: Vec<PlacedFile<'a>>) -> Option<Self> {
        let plain: HashSet<Vec<u8>> = files.iter().filter_map(PlacedFile::plain_key).collect();
        let is_mask = |file: &PlacedFile<'_>| {
            file.marked_key()
                .is_some_and(|photo| plain.contains(&photo))
        };
        let (masks, photos): (Vec<_>, Vec<_>) = files.into_iter().partition(is_mask);
        let is_one = !masks.is_empty() && !photos.is_empty();
        is_one.then_some(Self {
            photos,
            masks,
            others: Vec::new(),
            are_photos_named: false,
            are_beside: true,
        })
    }

    /// Whether rule 3 holds; if not, why, where a note is worth it.
    fn are_pairs(&self, pairs: &Pairs<'_>) -> Result<(), NoMasks> {
        let whole = pairs.whole().count();
        if whole == 0 {
            return Err(None);
        }
        let name = self.mask_folder();
        let counts = |reason: &str| Some(format!("{name} as any other images do: {reason}"));
        let paired = self.masks.len() - pairs.without_photo.len();
        let are_plain = self.are_photos_named && paired == self.masks.len();
        if !(self.others.is_empty() || are_plain) {
            return Err(counts(
                "other folders hold images too, and count as classes",
            ));
        }
        if 2 * paired < self.masks.len() {
            return Err(counts("fewer than half of them have a photo of their name"));
        }
        if !has_half(pairs) {
            return Err(counts("fewer than half of the photos have one"));
        }
        if !are_of_one_size(pairs) {
            return Err(counts(
                "they are of other sizes than the photos of their names",
            ));
        }
        // Below class folders, files that are called as masks stay images of their classes.
        let folders: HashSet<&[u8]> = self.photos.iter().map(|photo| photo.folders()).collect();
        if self.are_beside && folders.len() > 1 {
            return Err(counts("the folders are classes"));
        }
        Ok(())
    }

    /// What the masks are called, for a note.
    fn mask_folder(&self) -> String {
        let first = self.masks.first().map(|mask| mask.path);
        let folder = first.and_then(Path::parent).map(file_name);
        match (self.are_beside, first, folder) {
            (true, Some(first), _) => format!(
                "{} files that are called as masks, as {}, count",
                self.masks.len(),
                first.display()
            ),
            (_, _, Some(folder)) => format!("the images in `{folder}` count"),
            _ => "masks count".to_owned(),
        }
    }

    fn others_left_out(&self) -> Vec<String> {
        let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
        for folder in self.others.iter().filter_map(|file| file.path.parent()) {
            *counts.entry(folder).or_default() += 1;
        }
        let note = |(folder, count): (&Path, usize)| {
            let place = folder.display();
            format!("the {count} images in {place} are neither photos nor masks and are left out")
        };
        counts.into_iter().map(note).collect()
    }
}

/// Whether at least half of the photos of some split have a mask.
fn has_half(pairs: &Pairs<'_>) -> bool {
    let mut counts: BTreeMap<Option<Split>, [usize; 2]> = BTreeMap::new();
    for (split, photo) in &pairs.photos {
        let [photos, masked] = counts.entry(*split).or_default();
        *photos += 1;
        *masked += usize::from(!photo.is_without_mask());
    }
    counts
        .values()
        .any(|[photos, masked]| 2 * masked >= *photos)
}

/// Whether most of the first pairs that can be read are of one size. Pairs that cannot be read say
/// nothing.
fn are_of_one_size(pairs: &Pairs<'_>) -> bool {
    let verdicts = pairs.whole().filter_map(|(photo, mask)| {
        let photo = sides(photo)?;
        let mask = sides(mask)?;
        let turned = [mask[1], mask[0]];
        Some(photo == mask || photo == turned)
    });
    let verdicts: Vec<bool> = verdicts.take(LOOKED_AT).collect();
    let alike = verdicts.iter().filter(|&&alike| alike).count();
    2 * alike >= verdicts.len()
}

/// Width and height as stored.
fn sides(path: &Path) -> Option<[u64; 2]> {
    let bytes = std::fs::read(path).ok()?;
    png_sides(&bytes).or_else(|| {
        let info = decode_with_limits(&bytes, &Limits::default()).ok()?.info;
        Some([info.width, info.height].map(|side| side as u64))
    })
}

fn unpaired_masks(masks: &[&Path]) -> Option<String> {
    let names: Vec<String> = masks
        .iter()
        .map(|mask| mask.display().to_string())
        .collect();
    let names = quoted(&names)?;
    Some(match masks.len() {
        1 => format!("the mask {names} has no photo of its name and is left out"),
        count => format!("{count} masks have no photo of their name and are left out: {names}"),
    })
}

/// The photos of each split, without splits that have no masks at all.
fn parts_of(pairs: Pairs<'_>, notes: &mut Vec<String>) -> Vec<MaskPart> {
    let mut of_split: BTreeMap<Option<Split>, Vec<MaskedPhoto>> = BTreeMap::new();
    for (split, photo) in pairs.photos {
        of_split.entry(split).or_default().push(photo);
    }
    let mut parts = Vec::new();
    for (split, photos) in of_split {
        if photos.iter().any(|photo| !photo.is_without_mask()) {
            parts.push(MaskPart { split, photos });
            continue;
        }
        let count = photos.len();
        let name = split.map_or("no split".to_owned(), |split| {
            format!("the split `{split}`")
        });
        notes.push(format!(
            "the {count} photos of {name} have no masks and are left out"
        ));
    }
    let is_divided = parts.len() > 1;
    parts.retain(|part| {
        let is_kept = part.split.is_some() || !is_divided;
        if !is_kept {
            let count = part.photos.len();
            notes.push(format!(
                "{count} photos with masks belong to no split and are left out"
            ));
        }
        is_kept
    });
    parts
}

/// Whether a mask lies in a folder of VOC's name.
fn is_segmentation_class(mask: &Path) -> bool {
    let folder = mask.parent().map(file_name);
    folder.is_some_and(|name| name == "SegmentationClass")
}

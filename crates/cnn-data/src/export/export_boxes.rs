//! Writing a dataset of boxes into a new folder.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cnn_core::write_atomic;

use super::lost::Lost;
use super::names::{FileName, Names, check_class};
use super::{coco, voc, yolo};
use crate::export::BoxFormat;
use crate::image::PhotoFrame;
use crate::{AnnotatedObject, Content, Dataset, Error, Skipped, Split};

/// What was written.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Exported {
    /// Number of photos.
    pub images: usize,
    /// Number of objects in them.
    pub objects: usize,
    /// What the format has no place for, and which photos are called otherwise, in sentences.
    pub notes: Vec<String>,
    /// The photos that could not be read, and are not there.
    pub skipped: Vec<Skipped>,
}

/// Writes the splits of a dataset of boxes into a folder, which is made, or is there and empty.
///
/// Photos are copied byte for byte, and bare pixels become PNG files. Boxes are those of
/// [`Dataset::objects`], in pixels of the upright photo, with all digits. Read again, they are the
/// same to the last bit; but VOC's edges round a width, and YOLO's shares all numbers, in the last
/// bits of f64. Boxes from VOC's files come through COCO's unchanged. The order of the classes is kept in
/// `classes.txt` (VOC), in the numbers of categories (COCO) and in `data.yaml` (YOLO). COCO's
/// numbers of images, categories and annotations are kept where there are some. A dataset that is
/// not divided is written without splits.
///
/// | | VOC | COCO | YOLO |
/// |---|---|---|---|
/// | difficult | kept | becomes a crowd | left out |
/// | crowd | becomes difficult | kept | left out |
/// | area beside width by height | lost | kept | lost |
/// | partly outside of the photo | kept | kept | cut |
///
/// [`Exported::notes`] count what is not kept. A photo without objects has a file without objects.
/// Every file appears whole or not at all; the lists and JSON files come last.
///
/// # Errors
///
/// [`Error::Argument`] if the folder is not empty, if a dataset has no boxes, if the parts have
/// other classes than the first, if the name of a class cannot stand in a line of text or, for VOC,
/// is there twice; [`Error::Io`] if a file cannot be written. Photos that cannot be read are no
/// error.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_data::{BoxFormat, Dataset, FoundDataset, Shapes, ShapesConfig, Split, export_boxes};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("shapes");
/// let shapes: Arc<dyn Dataset> = Arc::new(Shapes::new(ShapesConfig::default().with_samples(3))?);
/// let exported = export_boxes(&[(Some(Split::Train), shapes.clone())], BoxFormat::Yolo, &folder)?;
/// assert_eq!(exported.images, 3);
///
/// let again = FoundDataset::at(&folder)?.open(Split::Train)?;
/// assert_eq!(again.classes(), shapes.classes());
/// assert_eq!(again.read(1)?.boxes.len(), shapes.read(1)?.boxes.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export_boxes(
    parts: &[(Option<Split>, Arc<dyn Dataset>)],
    format: BoxFormat,
    folder: &Path,
) -> Result<Exported, Error> {
    check(parts, format)?;
    make_empty(folder)?;
    let mut exported = Exported::default();
    let mut lost = Lost::default();
    let mut names = Names::default();
    for (split, dataset) in parts {
        // Where splits have folders of their own, names may recur.
        if format != BoxFormat::Voc {
            names = Names::default();
        }
        let mut writer = Writer::of(format, folder, *split, dataset.as_ref())?;
        for index in 0..dataset.len() {
            let photo = match Photo::read(dataset.as_ref(), index, &mut names) {
                Ok(photo) => photo,
                Err(error) => {
                    exported
                        .skipped
                        .push(Skipped::new(dataset.id(index), &error));
                    continue;
                }
            };
            lost.renamed += usize::from(photo.name.is_new);
            write_file(&writer.photos().join(&photo.name.name), &photo.bytes)?;
            exported.objects += writer.add(&photo, &mut lost)?;
            exported.images += 1;
        }
        writer.finish()?;
    }
    let classes = parts
        .first()
        .map_or(&[][..], |(_, dataset)| dataset.classes());
    let splits: Vec<Split> = parts.iter().filter_map(|(split, _)| *split).collect();
    match format {
        BoxFormat::Voc => write_file(&folder.join("classes.txt"), classes.join("\n").as_bytes())?,
        BoxFormat::Yolo => {
            let yaml = yolo::data_yaml(&splits, classes);
            write_file(&folder.join("data.yaml"), yaml.as_bytes())?;
        }
        BoxFormat::Coco => {}
    }
    exported.notes = lost.notes(format);
    Ok(exported)
}

/// A photo that is to be written.
pub(super) struct Photo {
    pub(super) index: usize,
    pub(super) name: FileName,
    pub(super) bytes: Vec<u8>,
    /// Height and width of the upright photo.
    pub(super) size: [usize; 2],
    pub(super) objects: Vec<AnnotatedObject>,
}

impl Photo {
    fn read(dataset: &dyn Dataset, index: usize, names: &mut Names) -> Result<Self, Error> {
        let objects = dataset.objects(index)?;
        let content = dataset.content(index)?;
        let size = match &content {
            Content::Encoded(bytes) => PhotoFrame::read(bytes)?.upright(),
            Content::Pixels(image) => [image.height(), image.width()],
        };
        let name = names.of(&dataset.id(index), &content)?;
        let bytes = match content {
            Content::Encoded(bytes) => bytes,
            Content::Pixels(image) => image.to_png()?,
        };
        Ok(Self {
            index,
            name,
            bytes,
            size,
            objects,
        })
    }
}

/// What writes the photos of a split.
enum Writer<'a> {
    Voc(voc::Writer<'a>),
    Coco(coco::Writer<'a>),
    Yolo(yolo::Writer),
}

impl<'a> Writer<'a> {
    fn of(
        format: BoxFormat,
        folder: &Path,
        split: Option<Split>,
        dataset: &'a dyn Dataset,
    ) -> Result<Self, Error> {
        Ok(match format {
            BoxFormat::Voc => Self::Voc(voc::Writer::new(folder, split, dataset.classes())?),
            BoxFormat::Coco => Self::Coco(coco::Writer::new(folder, split, dataset)?),
            BoxFormat::Yolo => Self::Yolo(yolo::Writer::new(folder, split)?),
        })
    }

    /// The folder of the photos.
    fn photos(&self) -> &Path {
        match self {
            Self::Voc(writer) => &writer.photos,
            Self::Coco(writer) => &writer.photos,
            Self::Yolo(writer) => &writer.photos,
        }
    }

    /// Writes the objects in a photo, and says how many they are.
    fn add(&mut self, photo: &Photo, lost: &mut Lost) -> Result<usize, Error> {
        match self {
            Self::Voc(writer) => writer.add(photo, lost),
            Self::Coco(writer) => Ok(writer.add(photo, lost)),
            Self::Yolo(writer) => writer.add(photo, lost),
        }
    }

    fn finish(self) -> Result<(), Error> {
        match self {
            Self::Voc(writer) => writer.finish(),
            Self::Coco(writer) => writer.finish(),
            Self::Yolo(_) => Ok(()),
        }
    }
}

fn check(parts: &[(Option<Split>, Arc<dyn Dataset>)], format: BoxFormat) -> Result<(), Error> {
    let Some((_, first)) = parts.first() else {
        return Err(Error::argument("parts", "none", "at least one split"));
    };
    for (number, (split, dataset)) in parts.iter().enumerate() {
        if !dataset.has_boxes() {
            let found = format!("one without boxes, in the format {}", dataset.format());
            return Err(Error::argument("dataset", found, "a dataset with boxes"));
        }
        if dataset.classes() != first.classes() {
            let expected = "splits with the same classes";
            return Err(Error::argument("parts", "classes that differ", expected));
        }
        if parts[..number].iter().any(|(other, _)| other == split) {
            let expected = "each split once";
            return Err(Error::argument("parts", "a split that recurs", expected));
        }
    }
    if format == BoxFormat::Coco {
        return Ok(());
    }
    first
        .classes()
        .iter()
        .try_for_each(|name| check_class(name))?;
    let mut seen = std::collections::HashSet::new();
    let twin = first.classes().iter().find(|name| !seen.insert(*name));
    match twin.filter(|_| format == BoxFormat::Voc) {
        Some(twin) => {
            let found = format!("two called `{twin}`");
            Err(Error::argument(
                "classes",
                found,
                "names that differ, as VOC knows no others",
            ))
        }
        None => Ok(()),
    }
}

fn make_empty(folder: &Path) -> Result<(), Error> {
    make_folder(folder)?;
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("list", folder, error))?;
    match entries.count() {
        0 => Ok(()),
        count => {
            let found = format!("{} with {count} entries", folder.display());
            Err(Error::argument(
                "folder",
                found,
                "a new folder, or an empty one",
            ))
        }
    }
}

pub(super) fn make_folder(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))
}

pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_with(path, |file| file.write_all(bytes))
}

pub(super) fn write_with(
    path: &Path,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), Error> {
    write_atomic(path, write).map_err(Error::of_write)
}

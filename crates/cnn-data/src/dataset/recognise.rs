//! What lies at a path, in the order in which it is looked for.
//!
//! IDX files and CIFAR's, by their names; parquet files; COCO's JSON files; photos with masks; photos
//! with boxes, Pascal VOC's and then YOLO's; class folders; tables of labels; archives.
//! A table or an archive beside class folders is told, and changes nothing. A single class folder
//! gives way to a table that lists its images, if the folder's name says only that images are in it,
//! or the table's column of labels is called so. Beside class folders that are not called as splits,
//! a COCO file is told too, and changes nothing; when folders are masks and no classes stands at the
//! head of `masks/layout.rs`, and what files of boxes are at the head of `boxes/layout.rs`. Where
//! there are masks and boxes, the masks are read, and the boxes as the configuration `boxes`.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Split;
use super::boxes::{BoxFiles, BoxLayout, may_annotate};
use super::cifar::CifarLayout;
use super::coco::{CocoLayout, is_coco, is_split_with_year};
use super::discover::Layout;
use super::files::{
    Listing, file_name, files_below, files_in, files_within, folders_in, has_extension,
    is_image_name, quoted,
};
use super::folder_layout::FolderLayout;
use super::idx::IdxLayout;
use super::label_table::{
    CsvLayout, ImageIndex, TableFile, UnreadTables, is_table_name, tables_beside,
};
use super::masks::MaskLayout;
use super::recurring::recurring_folders;
use super::shards::{check_shards, of_configuration, parts_of};
use super::split::is_content_name;
use super::webdataset::{WebDatasetLayout, is_tar_name, packed_reason};
use crate::{Error, Skipped};

/// How many folders that hold only one folder each are entered in search of files of a known kind.
const DEEPEST: usize = 4;

/// Recognises the dataset in a folder.
pub(super) fn recognise_folder(
    path: &Path,
    configuration: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Layout, Error> {
    let mut place = path.to_owned();
    for _ in 0..DEEPEST {
        if let Some(layout) = of_named_files(&place, configuration, notes)? {
            notes.extend(entered(path, &place));
            return Ok(layout);
        }
        match folders_in(&place)?.as_slice() {
            [only] if files_in(&place)?.is_empty() => place = only.clone(),
            _ => break,
        }
    }
    let is_parquet = |file: &Path| has_extension(file, &["parquet"]);
    let Listing { files, unreadable } = files_below(path, |file| {
        is_parquet(file) || is_tar_name(file) || is_image_name(file) || may_annotate(file)
    })?;
    notes.extend(
        unreadable
            .iter()
            .map(|Skipped { path, reason }| format!("{path} is left out: {reason}")),
    );
    let (parquet, files): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|file| is_parquet(file));
    if !parquet.is_empty() {
        let parts = parts_of(path, of_configuration(path, parquet, configuration)?)?;
        for (_, files) in &parts {
            notes.extend(check_shards(files)?);
        }
        return Ok(Layout::Parquet(parts));
    }
    let (archives, files): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|file| is_tar_name(file));
    let (annotations, images): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|file| may_annotate(file));
    let folder = ImagesBelow {
        path,
        tables: tables_beside(&place)?,
        place,
        configuration,
        images,
        annotations,
        archives,
    };
    folder.recognise(notes)
}

/// Recognises the dataset that a file is.
pub(super) fn recognise_file(
    path: &Path,
    configuration: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Layout, Error> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(4).read_to_end(&mut start))
        .map_err(|error| Error::io("read", path, error))?;
    let part = || vec![(Split::of_file_name(&file_name(path)), vec![path.to_owned()])];
    if start == b"PAR1" {
        return Ok(Layout::Parquet(part()));
    }
    if is_table_name(path) {
        let layout = CsvLayout::of_table(path, configuration)?;
        notes.extend(layout.notes.iter().cloned());
        return Ok(Layout::Csv(layout));
    }
    if has_extension(path, &["yaml", "yml"]) {
        let layout = BoxLayout::of_yaml(path)?;
        notes.extend(layout.notes.iter().cloned());
        return Ok(Layout::Boxes(layout));
    }
    let is_json = has_extension(path, &["json"]);
    if is_json && is_coco(path) {
        let layout = CocoLayout::of_file(path)?;
        notes.extend(layout.notes.iter().cloned());
        return Ok(Layout::Coco(layout));
    }
    let reason = match packed_reason(path, &start) {
        Some(reason) => reason,
        None if is_tar_name(path) => {
            let layout = WebDatasetLayout::of_shards(part())?;
            notes.extend(layout.notes.iter().cloned());
            return Ok(Layout::WebDataset(layout));
        }
        None if is_json => {
            "it is no file of COCO's, which has `images`, `annotations` and `categories`".to_owned()
        }
        None => {
            "it is a single file and neither parquet nor named like a CSV, TSV, tar or JSON file"
                .to_owned()
        }
    };
    Err(Error::UnknownDataset {
        path: path.to_owned(),
        reason,
    })
}

/// Whether tables or archives lie in a folder or not far below it.
pub(crate) fn has_tables_or_archives(folder: &Path) -> Result<bool, Error> {
    let is_one = |file: &Path| is_table_name(file) || is_tar_name(file);
    Ok(folder.is_dir() && !files_within(folder, DEEPEST, is_one)?.files.is_empty())
}

/// Files that are recognised by their names, directly in a folder.
fn of_named_files(
    folder: &Path,
    configuration: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Option<Layout>, Error> {
    if let Some(layout) = IdxLayout::recognise(folder, configuration)? {
        notes.extend(layout.notes.iter().cloned());
        return Ok(Some(Layout::Idx(layout)));
    }
    let cifar = CifarLayout::recognise(folder, configuration)?;
    Ok(cifar.map(|layout| {
        notes.extend(layout.notes.iter().cloned());
        Layout::Cifar(layout)
    }))
}

/// Says that a dataset was found inside of wrappers.
fn entered(path: &Path, place: &Path) -> Option<String> {
    (place != path).then(|| format!("what {} holds is read", place.display()))
}

/// Says that a table or an archive is not read where class folders are.
fn beside_classes(name: &dyn fmt::Display) -> String {
    format!("the folders are the classes; {name} is read where it is named itself")
}

/// The configuration of a folder that stands for its boxes.
const BOXES: &str = "boxes";

/// Class folders, or why there are none.
type Folders = Result<Result<FolderLayout, String>, Error>;

/// Whether there are two classes or more that are not called as splits.
fn are_classes(folders: &Folders) -> bool {
    let Ok(Ok(FolderLayout { classes, .. })) = folders else {
        return false;
    };
    classes.len() > 1 && !classes.iter().all(|name| is_split_with_year(name))
}

/// A folder of images, or of archives of images, and what may label them.
struct ImagesBelow<'a> {
    path: &'a Path,
    /// The folder inside the wrappers.
    place: PathBuf,
    configuration: Option<&'a str>,
    images: Vec<PathBuf>,
    /// Files that may be of boxes.
    annotations: Vec<PathBuf>,
    archives: Vec<PathBuf>,
    tables: Vec<TableFile>,
}

impl ImagesBelow<'_> {
    fn recognise(&self, notes: &mut Vec<String>) -> Result<Layout, Error> {
        let folders = FolderLayout::recognise(self.path, &self.images);
        // Why what might label the images is not read.
        let mut unread = Vec::new();
        if self.configuration.is_none()
            && let Some(layout) = self.of_masks(&folders, notes, &mut unread)?
        {
            return Ok(layout);
        }
        let is_asked = self.configuration == Some(BOXES);
        if (self.configuration.is_none() || is_asked)
            && let Some(layout) = self.of_boxes(&folders, &mut unread)?
        {
            notes.extend(layout.notes.iter().cloned());
            return Ok(Layout::Boxes(layout));
        }
        let folders = folders?;
        let classes = folders
            .as_ref()
            .map_or(&[][..], |layout| layout.classes.as_slice());
        if classes.len() > 1 && self.configuration.is_none() {
            unread.extend(self.tables_of_images()?);
        } else if let Some(layout) = self.of_tables(classes, notes, &mut unread)? {
            return Ok(layout);
        }
        if classes.is_empty() {
            if let Some(layout) = self.of_archives(notes, &mut unread)? {
                return Ok(layout);
            }
            let cifar = CifarLayout::recognise_inside(&self.place, self.configuration)?;
            if let Some(layout) = cifar {
                notes.extend(layout.notes.iter().cloned());
                return Ok(Layout::Cifar(layout));
            }
        } else {
            let archives = self.archives.iter().map(|archive| file_name(archive));
            let archives = quoted(&archives.collect::<Vec<_>>());
            unread.extend(archives.map(|archives| beside_classes(&archives)));
        }
        match folders {
            Ok(layout) => {
                notes.extend(layout.notes.iter().cloned());
                notes.append(&mut unread);
                let roots = layout.parts.iter().map(|part| part.root.as_path());
                notes.extend(recurring_folders(roots)?.map(|found| found.to_string()));
                Ok(Layout::Folders(layout))
            }
            Err(reason) => {
                let files = files_in(&self.place)?.into_iter();
                unread.extend(files.filter_map(|file| packed_reason(&file, &[])));
                unread.insert(0, reason);
                Err(Error::UnknownDataset {
                    path: self.path.to_owned(),
                    reason: unread.join("; "),
                })
            }
        }
    }

    /// What COCO files say of the images, or which of them are masks of others.
    fn of_masks(
        &self,
        folders: &Folders,
        notes: &mut Vec<String>,
        unread: &mut Vec<String>,
    ) -> Result<Option<Layout>, Error> {
        if let Some(layout) = CocoLayout::of_folder(self.path, &self.images)? {
            if !are_classes(folders) {
                notes.extend(layout.notes.iter().cloned());
                return Ok(Some(Layout::Coco(layout)));
            }
            unread.push(beside_classes(&layout.names()));
        }
        match MaskLayout::recognise(self.path, &self.images)? {
            Ok(layout) => {
                notes.extend(layout.notes());
                let boxes = self.of_boxes(folders, &mut Vec::new())?;
                let path = self.path.display();
                notes.extend(boxes.map(|_| format!("the boxes are read as {path}:{BOXES}")));
                Ok(Some(Layout::Masks(layout)))
            }
            Err(reason) => {
                unread.extend(reason);
                Ok(None)
            }
        }
    }

    /// What files beside the images, or in folders beside theirs, say of objects.
    fn of_boxes(
        &self,
        folders: &Folders,
        unread: &mut Vec<String>,
    ) -> Result<Option<BoxLayout>, Error> {
        let files = BoxFiles {
            root: self.path,
            place: &self.place,
            images: &self.images,
            annotations: &self.annotations,
            are_classes: are_classes(folders),
        };
        BoxLayout::recognise(&files, unread)
    }

    /// Names the tables that list images, where class folders are read.
    fn tables_of_images(&self) -> Result<Vec<String>, Error> {
        let index = ImageIndex::of_files(&self.place, &self.images);
        let mut notes = Vec::new();
        for table in &self.tables {
            if table.lists_images(&index)? {
                notes.push(beside_classes(&table.path().display()));
            }
        }
        Ok(notes)
    }

    /// What the tables say of the images, where there is at most one class folder or a column is
    /// asked for.
    fn of_tables(
        &self,
        classes: &[String],
        notes: &mut Vec<String>,
        unread: &mut Vec<String>,
    ) -> Result<Option<Layout>, Error> {
        if self.tables.is_empty() {
            return Ok(None);
        }
        let is_asked = self.configuration.is_some();
        let says_nothing = classes.first().is_some_and(|name| is_content_name(name));
        let give_way = classes.is_empty() || says_nothing || is_asked;
        let Self { place, images, .. } = self;
        match CsvLayout::of_folder(place, &self.tables, images, self.configuration)? {
            Ok(layout) if give_way || layout.are_named() => {
                notes.extend(entered(self.path, place));
                notes.extend(quoted(classes).map(|folders| {
                    let tables = layout.names();
                    format!("the classes are those of {tables}, and the folder {folders} is none")
                }));
                notes.extend(layout.notes.iter().cloned());
                return Ok(Some(Layout::Csv(layout)));
            }
            Ok(layout) => unread.push(beside_classes(&layout.names())),
            Err(UnreadTables {
                unclear: Some(error),
                ..
            }) if says_nothing || is_asked => return Err(error),
            Err(UnreadTables { reasons, .. }) => unread.extend(reasons),
        }
        Ok(None)
    }

    /// What the archives hold. Images beside them, if they are no samples, stay photos.
    fn of_archives(
        &self,
        notes: &mut Vec<String>,
        unread: &mut Vec<String>,
    ) -> Result<Option<Layout>, Error> {
        if self.archives.is_empty() {
            return Ok(None);
        }
        let files = of_configuration(self.path, self.archives.clone(), self.configuration)?;
        let layout = match WebDatasetLayout::of_shards(parts_of(self.path, files)?) {
            Err(error @ Error::BrokenDataset { .. }) if !self.images.is_empty() => {
                unread.push(error.reason());
                return Ok(None);
            }
            layout => layout?,
        };
        if let Some(image) = self.images.first() {
            notes.push(format!(
                "{} images beside the archives are left out, as {}",
                self.images.len(),
                image.display()
            ));
        }
        notes.append(unread);
        notes.extend(layout.notes.iter().cloned());
        Ok(Some(Layout::WebDataset(layout)))
    }
}

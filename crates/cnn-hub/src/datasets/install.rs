//! A dataset by name, downloaded, verified and put together in a directory.

use std::fs;
use std::path::{Path, PathBuf};

use super::layout::{Arrangement, Problem};
use super::{DatasetEntry, DatasetFile};
use crate::archive::{ArchiveLimits, Staging, unpack_into};
use crate::files::create_directory;
use crate::{Error, Hub, Progress, Repo, UrlFile};

impl DatasetEntry {
    /// The folder `directory/NAME` with the dataset, downloaded unless it is there.
    ///
    /// The folder appears whole or not at all, and after that nobody is asked again. Files are
    /// verified by their MD5 where one is published. Archives that no other dataset shares are
    /// removed when they are unpacked.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::url`] and [`Hub::files`] for its files, those of
    /// [`unpack`](crate::unpack) for its archives, and [`Error::Dataset`] if what they hold is not
    /// as it is known.
    pub fn install(
        &self,
        hub: &Hub,
        directory: &Path,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        if let Some(folder) = self.installed(directory) {
            return Ok(folder);
        }
        let target = directory.join(&self.name);
        // What can be fetched is fetched before anything is made.
        let mut files = Vec::new();
        for file in &self.files {
            files.extend(self.fetch(file, hub, progress)?);
        }
        let mut staging = match Staging::begin(&target, progress) {
            Ok(staging) => staging,
            // Another process made it while this one waited.
            Err(error) => return self.installed(directory).ok_or(error),
        };
        let root = staging.directory().to_owned();
        let from = root.join(".parts");
        let parts = self.files.len();
        for (number, file) in files.iter().enumerate() {
            let name = file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if self.layout.unpacks(&name) {
                // Archives of one dataset may have the same names in them.
                let part = if self.layout.keeps_parts_apart() && parts > 1 {
                    format!(".parts/part{number}")
                } else {
                    ".parts".to_string()
                };
                let limits = ArchiveLimits::default();
                staging.within(&part, |staging| {
                    unpack_into(file, staging, &limits, progress)
                })?;
            } else {
                create_directory(&from)?;
                let place = from.join(&name);
                fs::copy(file, &place).map_err(|error| Error::io("write", &place, error))?;
            }
        }
        let mut arrangement = Arrangement {
            from: &from,
            to: &root,
            progress,
        };
        self.layout
            .arrange(&mut arrangement)
            .map_err(|problem| match problem {
                Problem::Error(error) => error,
                Problem::Content(reason) => self.problem(reason),
            })?;
        let removed = fs::remove_dir_all(&from);
        removed.map_err(|error| Error::io("remove", &from, error))?;
        staging.finish()?;
        self.remove_archives(&files, hub);
        Ok(target)
    }

    fn problem(&self, reason: String) -> Error {
        Error::Dataset {
            name: self.name.clone(),
            reason: format!(
                "{reason}; its source has changed, so put it together yourself from {}",
                self.page
            ),
        }
    }

    /// A file, or the parquet files of a folder on the hub.
    fn fetch(
        &self,
        file: &DatasetFile,
        hub: &Hub,
        progress: &mut dyn Progress,
    ) -> Result<Vec<PathBuf>, Error> {
        let Some(place) = file.url.strip_prefix("hf:datasets/") else {
            let url = UrlFile::new(&file.url)?;
            let url = match &file.md5 {
                Some(md5) => url.with_checksum(md5.clone()),
                None => url,
            };
            return Ok(vec![hub.url(&url, progress)?]);
        };
        let parts: Vec<&str> = place.splitn(3, '/').collect();
        let [owner, name, folder] = parts.as_slice() else {
            return Err(self.problem(format!("{place} names no folder of a repository")));
        };
        let repo = Repo::dataset(&format!("{owner}/{name}"))?;
        let list = hub.files(&repo, progress)?;
        let paths = list.files.iter().map(|file| &file.path);
        let paths: Vec<&String> = paths
            .filter(|path| path.starts_with(folder) && path.ends_with(".parquet"))
            .collect();
        if paths.is_empty() {
            return Err(self.problem(format!(
                "its repository {repo} has no parquet files in {folder}"
            )));
        }
        paths
            .into_iter()
            .map(|path| hub.file(&list.repo.file(path)?, progress))
            .collect()
    }

    /// Archives have done their duty, unless another dataset is made from the same one.
    fn remove_archives(&self, files: &[PathBuf], hub: &Hub) {
        let is_shared = |file: &DatasetFile| {
            let others = Self::all().iter().filter(|other| other.name != self.name);
            others
                .flat_map(|other| &other.files)
                .any(|other| other.url == file.url)
        };
        if self.files.iter().any(is_shared) {
            return;
        }
        for file in files
            .iter()
            .filter(|file| file.starts_with(&hub.config.url_cache))
        {
            // What stays is only in the way.
            let _ = fs::remove_file(file);
            if let Some(folder) = file.parent() {
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

#[cfg(test)]
#[path = "../../tests/server/mod.rs"]
mod server;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::super::matlab::tests::file as matlab_file;
    use super::server::{Reply, Server, World, tree};
    use super::*;
    use crate::{Checksum, HubConfig, Silent};

    type Members<'a> = &'a [(&'a str, &'a [u8])];

    fn tar(members: Members<'_>) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, *content).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn md5(bytes: &[u8]) -> Checksum {
        let mut hasher = Checksum::md5(&"0".repeat(32)).unwrap().hasher();
        hasher.update(bytes);
        Checksum::md5(&hasher.finish()).unwrap()
    }

    /// The entry `name` whose files are these, on a server of this machine.
    fn entry(name: &str, files: Members<'_>) -> (DatasetEntry, Server) {
        let contents: Vec<(String, Vec<u8>)> = files
            .iter()
            .map(|(name, content)| (format!("/{name}"), content.to_vec()))
            .collect();
        let server = Server::start(move |request| {
            let found = contents.iter().find(|(path, _)| *path == request.path);
            found.map_or(Reply::new(404), |(_, content)| {
                Reply::new(200).with_body(content.clone())
            })
        });
        let mut entry = DatasetEntry::find(name).unwrap().clone();
        entry.files = files
            .iter()
            .map(|(name, content)| DatasetFile {
                url: format!("{}/{name}", server.url()),
                bytes: None,
                md5: Some(md5(content)),
            })
            .collect();
        (entry, server)
    }

    /// What the entry becomes, after a look that it is found without a network afterwards.
    fn installed(name: &str, files: Members<'_>) -> (tempfile::TempDir, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let (entry, server) = entry(name, files);
        let config = HubConfig::in_directory(&root.path().join("cache"));
        let hub = Hub::new(config.clone()).unwrap();
        let folder = entry.install(&hub, &data, &mut Silent).unwrap();
        assert_eq!(folder, data.join(name));
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
        server.requests();
        let offline = Hub::new(config.with_offline(true)).unwrap();
        assert_eq!(entry.install(&offline, &data, &mut Silent).unwrap(), folder);
        assert!(server.requests().is_empty());
        let files = tree(&folder);
        (root, files)
    }

    #[test]
    fn files_archives_and_parts_of_archives() {
        let idx = [
            ("train-images-idx3-ubyte.gz", b"1".as_slice()),
            ("train-labels-idx1-ubyte.gz", b"2"),
            ("t10k-images-idx3-ubyte.gz", b"3"),
            ("t10k-labels-idx1-ubyte.gz", b"4"),
        ];
        let (_root, files) = installed("mnist", &idx);
        assert_eq!(
            files,
            [
                "t10k-images-idx3-ubyte.gz",
                "t10k-labels-idx1-ubyte.gz",
                "train-images-idx3-ubyte.gz",
                "train-labels-idx1-ubyte.gz"
            ]
        );
        let archive = tar(&[
            ("hymenoptera_data/train/ants/1.jpg", b"a"),
            ("hymenoptera_data/val/bees/2.jpg", b"b"),
            ("__MACOSX/._x", b""),
        ]);
        let (root, files) = installed("hymenoptera", &[("hymenoptera_data.zip", &archive)]);
        assert_eq!(files, ["train/ants/1.jpg", "val/bees/2.jpg"]);
        // The archive has gone.
        assert_eq!(tree(&root.path().join("cache")), Vec::<String>::new());
        let names = ["images-idx3", "labels-idx1"];
        let parts = ["balanced", "letters"];
        let splits = ["train", "test"];
        let mut members = Vec::new();
        for part in parts {
            members.extend(splits.iter().flat_map(|split| {
                names.map(|name| format!("gzip/emnist-{part}-{split}-{name}-ubyte.gz"))
            }));
        }
        let members: Vec<(&str, &[u8])> = members
            .iter()
            .map(|name| (name.as_str(), b"x".as_slice()))
            .collect();
        let (_root, files) = installed("emnist_letters", &[("gzip.zip", &tar(&members))]);
        assert_eq!(files.len(), 4);
        assert!(
            files
                .iter()
                .all(|name| name.starts_with("emnist-letters-t")),
            "{files:?}"
        );
    }

    #[test]
    fn lists_become_folders() {
        let images = tar(&[
            ("images/great_pyrenees_1.jpg", b"1"),
            ("images/Bengal_2.jpg", b"2"),
            ("images/Bengal_2.mat", b""),
        ]);
        let annotations = tar(&[
            (
                "annotations/trainval.txt",
                b"#comment\ngreat_pyrenees_1 16 2 9\n",
            ),
            ("annotations/test.txt", b"Bengal_2 6 1 2\n"),
        ]);
        let (_root, files) = installed(
            "oxford_pets",
            &[
                ("images.tar.gz", &images),
                ("annotations.tar.gz", &annotations),
            ],
        );
        assert_eq!(
            files,
            [
                "test/Bengal/Bengal_2.jpg",
                "train/great_pyrenees/great_pyrenees_1.jpg"
            ]
        );
        let food = tar(&[
            ("food-101/images/apple_pie/1.jpg", b"1"),
            ("food-101/images/apple_pie/2.jpg", b"2"),
            (
                "food-101/meta/train.json",
                br#"{"apple_pie": ["apple_pie/1"]}"#,
            ),
            (
                "food-101/meta/test.json",
                br#"{"apple_pie": ["apple_pie/2"]}"#,
            ),
        ]);
        let (_root, files) = installed("food101", &[("food-101.tar.gz", &food)]);
        assert_eq!(files, ["test/apple_pie/2.jpg", "train/apple_pie/1.jpg"]);
        let inner = tar(&[
            ("101_ObjectCategories/BACKGROUND_Google/tmp", b""),
            ("101_ObjectCategories/crab/image_0001.jpg", b"1"),
        ]);
        let outer = tar(&[
            ("caltech-101/101_ObjectCategories.tar.gz", &inner),
            ("caltech-101/Annotations.tar", b""),
        ]);
        let (_root, files) = installed("caltech101", &[("caltech-101.zip", &outer)]);
        assert_eq!(files, ["crab/image_0001.jpg"]);
        let first = tar(&[
            ("VOCdevkit/VOC2007/JPEGImages/1.jpg", b"1"),
            ("VOCdevkit/VOC2007/ImageSets/x.txt", b"same"),
        ]);
        let second = tar(&[
            ("VOCdevkit/VOC2007/JPEGImages/2.jpg", b"2"),
            ("VOCdevkit/VOC2007/ImageSets/x.txt", b"same"),
        ]);
        let (_root, files) = installed("voc2007", &[("a.tar", &first), ("b.tar", &second)]);
        assert_eq!(
            files,
            ["ImageSets/x.txt", "JPEGImages/1.jpg", "JPEGImages/2.jpg"]
        );
        let (_root, files) = installed("voc2012", &[("a.tar", &first)]);
        assert_eq!(files, ["ImageSets/x.txt", "JPEGImages/1.jpg"]);
    }

    #[test]
    fn arrays_become_folders_of_pictures() {
        const UINT8: u32 = 2;
        // Two images of 2×1 pixels: red by row, then green, then blue.
        let images = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let svhn = matlab_file(&[
            ("X", &[2, 1, 3, 2], UINT8, &images),
            ("y", &[2, 1], UINT8, &[10, 3]),
        ]);
        let (root, files) = installed(
            "svhn",
            &[("train_32x32.mat", &svhn), ("test_32x32.mat", &svhn)],
        );
        assert_eq!(
            files,
            [
                "test/0/00000.bmp",
                "test/3/00001.bmp",
                "train/0/00000.bmp",
                "train/3/00001.bmp"
            ]
        );
        let picture = fs::read(root.path().join("data/svhn/train/3/00001.bmp")).unwrap();
        assert_eq!(&picture[54..], [12, 10, 8, 0, 11, 9, 7, 0]);

        let flowers = tar(&[
            ("jpg/image_00001.jpg", b"1"),
            ("jpg/image_00002.jpg", b"2"),
            ("jpg/image_00003.jpg", b"3"),
        ]);
        let labels = matlab_file(&[("labels", &[1, 3], UINT8, &[77, 1, 2])]);
        let sets = matlab_file(&[
            ("trnid", &[1, 1], UINT8, &[3]),
            ("valid", &[1, 1], UINT8, &[1]),
            ("tstid", &[1, 1], UINT8, &[2]),
        ]);
        let (_root, files) = installed(
            "flowers102",
            &[
                ("102flowers.tgz", &flowers),
                ("imagelabels.mat", &labels),
                ("setid.mat", &sets),
            ],
        );
        assert_eq!(
            files,
            [
                "test/pink primrose/image_00002.jpg",
                "train/hard-leaved pocket orchid/image_00003.jpg",
                "val/passion flower/image_00001.jpg"
            ]
        );

        // Columns of 96 one after the other: the first column is lit.
        let mut image = vec![0; 3 * 96 * 96];
        image[..96].fill(255);
        let stl10 = tar(&[
            ("stl10_binary/class_names.txt", b"airplane\nbird\n"),
            ("stl10_binary/train_X.bin", &image),
            ("stl10_binary/train_y.bin", &[2]),
            ("stl10_binary/test_X.bin", &image),
            ("stl10_binary/test_y.bin", &[1]),
            ("stl10_binary/unlabeled_X.bin", b"x"),
        ]);
        let (root, files) = installed("stl10", &[("stl10_binary.tar.gz", &stl10)]);
        assert_eq!(files, ["test/airplane/0000.bmp", "train/bird/0000.bmp"]);
        let picture = fs::read(root.path().join("data/stl10/train/bird/0000.bmp")).unwrap();
        let rows: Vec<&[u8]> = picture[54..].chunks(288).collect();
        assert!(
            rows.len() == 96
                && rows
                    .iter()
                    .all(|row| row[..3] == [0, 0, 255] && row[3..].iter().all(|byte| *byte == 0))
        );
    }

    #[test]
    fn parquet_files_come_from_the_hub() {
        let world = World::start();
        world.put(
            "datasets/flwrlabs/usps",
            "data/train-00000-of-00001.parquet",
            b"rows",
            true,
        );
        world.put(
            "datasets/flwrlabs/usps",
            "data/test-00000-of-00001.parquet",
            b"more",
            true,
        );
        world.put("datasets/flwrlabs/usps", "README.md", b"card", false);
        let root = tempfile::tempdir().unwrap();
        let config = HubConfig::in_directory(root.path())
            .with_endpoint(&world.hub.url())
            .unwrap();
        let data = root.path().join("data");
        let usps = DatasetEntry::find("usps").unwrap();
        let folder = usps
            .install(&Hub::new(config).unwrap(), &data, &mut Silent)
            .unwrap();
        assert_eq!(
            tree(&folder),
            [
                "test-00000-of-00001.parquet",
                "train-00000-of-00001.parquet"
            ]
        );
        assert!(
            !fs::symlink_metadata(folder.join("test-00000-of-00001.parquet"))
                .unwrap()
                .is_symlink()
        );
    }

    #[test]
    fn what_is_damaged_or_hostile_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let hub = Hub::new(HubConfig::in_directory(&root.path().join("cache"))).unwrap();
        let archive = tar(&[("a/train/x/1.jpg", b"a")]);
        let (mut wrong, _server) = entry("hymenoptera", &[("a.zip", &archive)]);
        wrong.files[0].md5 = Some(md5(b"other"));
        let error = wrong.install(&hub, &data, &mut Silent).unwrap_err();
        assert!(
            matches!(error, Error::WrongHash { kind: "MD5", .. }),
            "{error}"
        );
        for list in [
            r#"{"x": ["../../../evil/1"]}"#,
            r#"{"x": ["/1"]}"#,
            r#"{"x": ["a\\b/1"]}"#,
            "no json",
        ] {
            let food = tar(&[
                ("f/images/x/1.jpg", b"1"),
                ("f/meta/train.json", list.as_bytes()),
                ("f/meta/test.json", b"{}"),
            ]);
            let (hostile, _server) = entry("food101", &[("food-101.tar.gz", &food)]);
            let error = hostile.install(&hub, &data, &mut Silent).unwrap_err();
            assert!(matches!(error, Error::Dataset { .. }), "{list}: {error}");
        }
        let svhn = matlab_file(&[
            ("X", &[2, 1, 3, 2], 2, &[0; 12]),
            ("y", &[2, 1], 2, &[0, 3]),
        ]);
        let (odd, _server) = entry(
            "svhn",
            &[("train_32x32.mat", &svhn), ("test_32x32.mat", &svhn)],
        );
        let error = odd.install(&hub, &data, &mut Silent).unwrap_err();
        assert!(matches!(error, Error::Dataset { .. }), "{error}");
        assert_eq!(tree(&data), Vec::<String>::new());
        assert!(fs::read_dir(&data).unwrap().next().is_none());
        assert!(!root.path().join("evil").exists());
    }
}

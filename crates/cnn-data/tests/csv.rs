//! Tables of images and labels, in the forms that people have them in.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use cnn_data::{CsvImages, Dataset, DatasetFormat, FoundDataset, Split, open_dataset, survey};
use common::{Files, dataset_splits, folder_with, golden_bytes, open_error, samples};

/// What is found at a path, of its first part.
struct Found {
    classes: Vec<String>,
    samples: Vec<(String, Option<usize>)>,
    notes: Vec<String>,
}

fn read(files: Files<'_>, path: &str) -> Found {
    let folder = folder_with(files);
    let found = FoundDataset::at(&folder.path().join(path)).unwrap();
    assert_eq!(found.format(), DatasetFormat::Csv);
    let dataset = found.open(found.splits().first().copied()).unwrap();
    let root = format!("{}/", folder.path().display());
    let notes = found.notes().iter().map(|note| note.replace(&root, ""));
    Found {
        classes: dataset.classes().to_vec(),
        samples: samples(&*dataset, folder.path()),
        notes: notes.collect(),
    }
}

fn pairs(expected: &[(&str, usize)]) -> Vec<(String, Option<usize>)> {
    let pair = |&(name, label): &(&str, usize)| (name.to_owned(), Some(label));
    expected.iter().map(pair).collect()
}

#[test]
fn the_tables_that_people_have_give_the_same_images_and_labels() {
    let tables: [(&str, &str); 12] = [
        (
            "labels.csv",
            "path,label\nimages/1.jpg,cat\nimages/2.png,dog\n",
        ),
        ("labels.csv", "images/1.jpg,cat\nimages/2.png,dog\n"),
        (
            "labels.csv",
            "\u{feff}Filename;Class\r\nimages/1.jpg;cat\r\n./images/2.png;dog\r\n",
        ),
        ("labels.tsv", "label\timage\ncat\t1.jpg\ndog\t2.png\n"),
        ("labels.csv", "id,breed\n1,cat\n2,dog\n"),
        (
            "labels.csv",
            "\"Image ID\",\"what it is\"\n\"1\",\"cat\"\n\"2\",\"dog\"\n",
        ),
        ("labels.csv", ",image_id,target\n0,1,cat\n1,2,dog\n"),
        (
            "labels.csv",
            "Unnamed: 0,file,y\n0,images\\1.jpg,cat\n1,images\\2.png,dog\n",
        ),
        ("labels.csv", "image,cat,dog\n1.jpg,1,0\n2.png,0,1\n"),
        (
            "labels.csv",
            "image,cat,dog\n1.jpg,1.0,0.0\n2.png,0.0,1.0\n",
        ),
        (
            "labels.csv",
            "image_id,class_id,class_name\n1,7,cat\n2,3,dog\n",
        ),
        ("labels.csv", "x,z\n1,cat\n2,dog\n"),
    ];
    for (name, table) in tables {
        let files: [(&str, &[u8]); 3] = [
            (name, table.as_bytes()),
            ("images/1.jpg", b""),
            ("images/2.png", b""),
        ];
        for path in ["", name] {
            let Found {
                classes,
                samples: found,
                ..
            } = read(&files, path);
            assert_eq!(classes, ["cat", "dog"], "{table}");
            assert_eq!(
                found,
                pairs(&[("images/1.jpg", 0), ("images/2.png", 1)]),
                "{table}"
            );
        }
    }
}

#[test]
fn a_competitions_folder() {
    let files: [(&str, &[u8]); 6] = [
        ("labels.csv", b"id,breed\nab12,pug\ncd34,beagle\nef56,pug\n"),
        ("sample_submission.csv", b"id,beagle,pug\ngh78,0.5,0.5\n"),
        ("train/ab12.jpg", b""),
        ("train/cd34.jpg", b""),
        ("train/ef56.jpg", b""),
        ("test/gh78.jpg", b""),
    ];
    let Found {
        classes,
        samples: found,
        notes,
    } = read(&files, "");
    assert_eq!(classes, ["beagle", "pug"]);
    assert_eq!(
        found,
        pairs(&[
            ("train/ab12.jpg", 1),
            ("train/cd34.jpg", 0),
            ("train/ef56.jpg", 1)
        ])
    );
    assert_eq!(notes, ["1 images in test have no row and are left out"]);
    // The same in the folder of an archive.
    let wrapped = files.map(|(name, bytes)| (format!("archive/dogs/{name}"), bytes));
    let wrapped: Vec<(&str, &[u8])> = wrapped.iter().map(|(n, b)| (n.as_str(), *b)).collect();
    let Found {
        classes,
        samples: found,
        notes,
    } = read(&wrapped, "");
    assert_eq!((classes.len(), found.len()), (2, 3));
    assert!(
        notes.contains(&"what archive/dogs holds is read".to_owned()),
        "{notes:?}"
    );
}

#[test]
fn tables_and_columns_of_splits() {
    let images: [(&str, &[u8]); 4] = [
        ("images/1.jpg", b""),
        ("images/2.jpg", b""),
        ("images/3.jpg", b""),
        ("images/4.jpg", b""),
    ];
    let table_sets: [&[(&str, &[u8])]; 4] = [
        &[
            ("train.csv", b"file,label\n1.jpg,10\n2.jpg,9\n"),
            ("val.csv", b"file,label\n3.jpg,9\n"),
            ("test.csv", b"file,label\n4.jpg,11\n"),
        ],
        &[("all.csv", b"file,label,split\n1.jpg,10,train\n2.jpg,9,Train\n3.jpg,9,valid\n4.jpg,11,test\n")],
        &[("train.csv", b"data set,file,label\ntraining,1.jpg,10\ntrain,2.jpg,9\nvalidation,3.jpg,9\nTEST,4.jpg,11\n")],
        &[
            ("trainLabels.csv", b"1,10\n2,9\n"),
            ("valid_labels.csv", b"3.jpg;9\n"),
            ("test.tsv", b"4.jpg\t11\n"),
        ],
    ];
    for tables in table_sets {
        let folder = folder_with(&[tables, &images].concat());
        assert_eq!(
            dataset_splits(folder.path()),
            (DatasetFormat::Csv, Split::ALL.to_vec()),
            "{tables:?}"
        );
        let open = |split| open_dataset(folder.path(), split).unwrap();
        assert_eq!(open(Split::Train).classes(), ["9", "10", "11"]);
        assert_eq!(
            samples(&*open(Split::Train), folder.path()),
            pairs(&[("images/1.jpg", 1), ("images/2.jpg", 0)])
        );
        assert_eq!(
            samples(&*open(Split::Val), folder.path()),
            pairs(&[("images/3.jpg", 0)])
        );
        assert_eq!(
            samples(&*open(Split::Test), folder.path()),
            pairs(&[("images/4.jpg", 2)])
        );
    }
    // fastai's column, and the hub's tables in the folders of the splits.
    let fastai: [(&str, &[u8]); 3] = [
        (
            "labels.csv",
            b"name,label,is_valid\n1.jpg,a,False\n2.jpg,b,True\n",
        ),
        ("1.jpg", b""),
        ("2.jpg", b""),
    ];
    let folder = folder_with(&fastai);
    assert_eq!(dataset_splits(folder.path()).1, [Split::Train, Split::Val]);
    let hub: [(&str, &[u8]); 4] = [
        ("train/metadata.csv", b"file_name,label\n1.jpg,a\n"),
        ("train/1.jpg", b""),
        ("test/metadata.csv", b"file_name,label\n1.jpg,b\n"),
        ("test/1.jpg", b""),
    ];
    let folder = folder_with(&hub);
    let test = open_dataset(folder.path(), Split::Test).unwrap();
    assert_eq!(samples(&*test, folder.path()), pairs(&[("test/1.jpg", 1)]));
    let direct = CsvImages::open(&folder.path().join("test/metadata.csv"), None, None).unwrap();
    assert_eq!((direct.len(), direct.classes().len()), (1, 1));
    assert_eq!(
        direct.path(0),
        Some(folder.path().join("test/1.jpg").as_path())
    );
}

#[test]
fn what_is_left_out_is_said() {
    let files: [(&str, &[u8]); 7] = [
        (
            "train.csv",
            b"image,label,split,age\n1.jpg,a,train,3\n2.jpg,b,train,4\n1.jpg,a,train,3\ngone.jpg,a,train,5\n\
              3.jpg,,train,6\n4.jpg,A,folded,7\n",
        ),
        ("test.csv", b"image\n5.jpg\n"),
        ("1.jpg", b""),
        ("2.jpg", b""),
        ("3.jpg", b""),
        ("4.jpg", b""),
        ("more/5.jpg", b""),
    ];
    let Found {
        classes,
        samples: found,
        notes,
    } = read(&files, "");
    assert_eq!(classes, ["a", "b"]);
    assert_eq!(found, pairs(&[("1.jpg", 0), ("2.jpg", 1)]));
    let expected = [
        "train.csv: the labels are in its column `label`; `age` is not read, or chosen as PATH:COLUMN",
        "train.csv: 1 of its rows are of no split that is known here, as `folded`, and are left out",
        "train.csv: 1 of its 5 rows name images that are not there, as `gone.jpg`, and are left out",
        "train.csv: 1 rows say again what others say, and count once",
        "train.csv: 1 rows of `train` have no label and are left out",
        "test.csv is not read: its first lines have no two columns",
        "1 images in more have no row and are left out",
    ];
    for expected in expected {
        assert!(
            notes.iter().any(|note| note.starts_with(expected)),
            "{expected}: {notes:?}"
        );
    }
    let files: [(&str, &[u8]); 4] = [
        ("a.csv", b"image,label\n1.jpg,Cat\n2.jpg,cat\n"),
        ("train/1.jpg", b""),
        ("test/1.jpg", b""),
        ("test/2.jpg", b""),
    ];
    let Found {
        samples: found,
        notes,
        ..
    } = read(&files, "");
    assert_eq!(found, pairs(&[("train/1.jpg", 0), ("test/2.jpg", 1)]));
    assert!(
        notes[0].ends_with("those of the split are read, as train/1.jpg"),
        "{notes:?}"
    );
    assert!(
        notes[1].starts_with("`Cat` and `cat` differ only in case"),
        "{notes:?}"
    );
}

#[test]
fn what_is_not_plain_is_refused() {
    let cases: [(Files<'_>, &str); 9] = [
        (
            &[(
                "l.csv",
                b"image,species,breed\n1.jpg,dog,pug\n2.jpg,dog,beagle\n",
            )],
            "l.csv is not read: its columns `species` and `breed` may each be the label; choose one as \
             PATH:COLUMN",
        ),
        (
            &[("l.csv", b"image,age,height\n1.jpg,3,4\n2.jpg,5,6\n")],
            "its columns `age` and `height` may each be the label",
        ),
        (
            &[("l.csv", b"image,cat,dog\n1.jpg,1,1\n2.jpg,0,1\n")],
            "its columns `cat` and `dog` are 0 or 1, and line 2 has 2 of them at 1, expected one",
        ),
        (
            &[("l.csv", b"image,label\n1.jpg,cat\n2.jpg,dog\n1.jpg,dog\n")],
            "1.jpg is `cat` on line 2 and `dog` on line 4: an image has one class here",
        ),
        (
            &[("l.csv", b"image,label\n9.jpg,cat\n8.jpg,dog\n")],
            "l.csv is not read: none of its 2 rows names an image that is there and has a label; the \
             first names `9.jpg`",
        ),
        (
            &[
                ("l.csv", b"image,label\n1.jpg,cat\n"),
                ("m.csv", b"image,label\n1.jpg,dog\n"),
            ],
            "`l.csv` and `m.csv` both list its images; name the one that is meant, as ",
        ),
        (
            &[
                ("l.csv", b"image,label\n1.jpg,cat\n"),
                ("train.csv", b"image,label\n1.jpg,dog\n"),
            ],
            "`l.csv` and `train.csv` both list its images",
        ),
        (
            &[("digits.csv", b"label,pixel0,pixel1\n3,0,255\n")],
            "digits.csv is not read: it holds pixels in place of names of image files",
        ),
        (
            &[("l.csv", b"image,label\n1.jpg,cat\n2.jpg\n")],
            "no two columns",
        ),
    ];
    let images: [(&str, &[u8]); 2] = [("1.jpg", b""), ("2.jpg", b"")];
    for (files, expected) in cases {
        let folder = folder_with(&[files, &images].concat());
        let message = open_error(folder.path(), None);
        assert!(message.contains(expected), "{message}");
    }
    let folder = folder_with(&[
        ("set/l.csv", b"image,label\n3,cat\n"),
        ("set/x/a/3.jpg", b""),
        ("set/x/b/3.jpg", b""),
    ]);
    let message = open_error(&folder.path().join("set/l.csv"), None);
    assert!(
        message.contains("`3` on line 2 may be") && message.contains("say its folder in the table"),
        "{message}"
    );
}

#[test]
fn a_column_is_chosen_by_its_name() {
    let folder = folder_with(&[
        (
            "l.csv",
            b"image,Main Species,breed\n1.jpg,dog,pug\n2.jpg,cat,manx\n",
        ),
        ("1.jpg", b""),
        ("2.jpg", b""),
    ]);
    let open = |asked: &str| {
        let path = format!("{}{asked}", folder.path().display());
        open_dataset(Path::new(&path), None)
    };
    let classes = |asked: &str| open(asked).unwrap().classes().to_vec();
    assert_eq!(classes("/l.csv:breed"), ["manx", "pug"]);
    assert_eq!(classes(":breed"), ["manx", "pug"]);
    assert_eq!(classes(":main_species"), ["cat", "dog"]);
    let message = open(":size").err().unwrap().to_string();
    assert!(
        message.contains("no configuration `size`, it has `Main Species` and `breed`"),
        "{message}"
    );
}

#[test]
fn files_outside_are_read_where_the_table_is_named_itself() {
    let folder = folder_with(&[
        ("set/l.csv", b"image,label\n../1.jpg,cat\n2.jpg,dog\n"),
        ("set/2.jpg", b""),
        ("1.jpg", b""),
    ]);
    let set = folder.path().join("set");
    let message = open_error(&set, None);
    assert!(
        message.contains("line 2 names") && message.contains("outside of the folder"),
        "{message}"
    );
    let found = FoundDataset::at(&set.join("l.csv")).unwrap();
    assert_eq!(found.open(None).unwrap().len(), 2);
    assert_eq!(
        found.notes(),
        ["l.csv: 1 of its images lie outside of its folder"]
    );
    let absolute = folder.path().join("1.jpg");
    let table = format!("image,label\n{},cat\n2.jpg,dog\n", absolute.display());
    std::fs::write(set.join("l.csv"), table).unwrap();
    assert!(open_error(&set, None).contains("outside of the folder"));
    let dataset = open_dataset(&set.join("l.csv"), None).unwrap();
    assert_eq!(dataset.id(0), absolute.display().to_string());
}

#[test]
fn class_folders_stay_the_classes() {
    let files: [(&str, &[u8]); 4] = [
        ("metadata.csv", b"image,label\n1.jpg,x\n2.jpg,y\n"),
        ("notes.csv", b"day,weather\nmonday,rain\n"),
        ("cat/1.jpg", b""),
        ("dog/2.jpg", b""),
    ];
    let folder = folder_with(&files);
    let found = FoundDataset::at(folder.path()).unwrap();
    assert_eq!(found.format(), DatasetFormat::ImageFolder);
    assert_eq!(found.open(None).unwrap().classes(), ["cat", "dog"]);
    assert_eq!(found.notes().len(), 1, "{:?}", found.notes());
    assert!(
        found.notes()[0].contains("metadata.csv is read where it is named itself"),
        "{:?}",
        found.notes()
    );
    let named = open_dataset(&folder.path().join("metadata.csv"), None).unwrap();
    assert_eq!(named.classes(), ["x", "y"]);
    // One folder is no dataset of classes.
    let files: [(&str, &[u8]); 3] = [
        ("metadata.csv", b"image,label\n1.jpg,x\n2.jpg,y\n"),
        ("images/1.jpg", b""),
        ("images/2.jpg", b""),
    ];
    let Found { classes, notes, .. } = read(&files, "");
    assert_eq!(classes, ["x", "y"]);
    assert_eq!(
        notes,
        ["the classes are those of `metadata.csv`, and the folder `images` is none"]
    );
    let (first, _) = files.split_first().unwrap();
    let other: [(&str, &[u8]); 1] = [(first.0, b"day,weather\nmonday,rain\n")];
    let folder = folder_with(&[&other, &files[1..]].concat());
    let found = FoundDataset::at(folder.path()).unwrap();
    assert_eq!(found.format(), DatasetFormat::ImageFolder);
    assert!(
        found.notes()[0].starts_with("metadata.csv is not read: none of its columns names images"),
        "{:?}",
        found.notes()
    );
}

#[test]
fn one_class_folder_gives_way_to_a_table_that_is_plainly_meant() {
    let unnamed: &[u8] = b"file,photographer\n1.jpg,anne\n2.jpg,bob\n";
    let named: &[u8] = b"file,species\n1.jpg,manx\n2.jpg,pug\n";
    let unclear: &[u8] = b"file,age,height\n1.jpg,3,4\n2.jpg,5,6\n";
    let open = |table: &[u8], name: &str| {
        let images = [1, 2].map(|number| format!("{name}/{number}.jpg"));
        let folder = folder_with(&[("t.csv", table), (&images[0], b""), (&images[1], b"")]);
        FoundDataset::at(folder.path()).map(|found| {
            let classes = found.open(None).unwrap().classes().to_vec();
            (found.format(), classes, found.notes().join("; "))
        })
    };
    let cases = [
        (
            unnamed,
            "images",
            DatasetFormat::Csv,
            "the folder `images` is none",
        ),
        (
            unnamed,
            "cat",
            DatasetFormat::ImageFolder,
            "`t.csv` is read where it is named itself",
        ),
        (named, "cat", DatasetFormat::Csv, "the folder `cat` is none"),
        (
            unclear,
            "cat",
            DatasetFormat::ImageFolder,
            "t.csv is not read: its columns `age` and",
        ),
    ];
    for (table, name, format, note) in cases {
        let (found, classes, notes) = open(table, name).unwrap();
        assert_eq!(found, format, "{name}: {notes}");
        assert!(notes.contains(note), "{name}: {notes}");
        assert_eq!(
            classes.len(),
            if format == DatasetFormat::Csv { 2 } else { 1 }
        );
    }
    let error = open(unclear, "images").unwrap_err().to_string();
    assert!(error.contains("choose one as PATH:COLUMN"), "{error}");
    // Photos stay photos, and it is said why.
    let photo = golden_bytes("rgb-420.jpg");
    let folder = folder_with(&[("t.csv", unclear), ("1.jpg", &photo), ("2.jpg", &photo)]);
    let survey = survey(folder.path()).unwrap();
    assert_eq!((survey.format, survey.readable), (DatasetFormat::Photos, 2));
    assert!(
        survey.notes[0].contains("choose one as PATH:COLUMN"),
        "{:?}",
        survey.notes
    );
}

#[test]
fn the_images_are_read_and_surveyed() {
    let photo = golden_bytes("rgb-420.jpg");
    let folder = folder_with(&[
        ("l.csv", b"image,label\n1.jpg,cat\n2.jpg,dog\n3.jpg,dog\n"),
        ("1.jpg", &photo),
        ("2.jpg", b"text"),
        ("3.jpg", &golden_bytes("palette.gif")),
    ]);
    let survey = survey(folder.path()).unwrap();
    assert_eq!(
        (survey.format, survey.samples, survey.readable),
        (DatasetFormat::Csv, 3, 1)
    );
    assert!(
        survey.broken[0].reason.starts_with("not an image"),
        "{:?}",
        survey.broken
    );
    assert!(
        survey.broken[1].reason.starts_with("a GIF"),
        "{:?}",
        survey.broken
    );
    assert_eq!(DatasetFormat::Csv.to_string(), "csv");
}

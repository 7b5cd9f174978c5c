//! 100,000 damaged files for each parser: errors are expected, panics are not.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_core::Rng;
use cnn_data::{
    CifarImages, CocoAnnotations, Dataset, FileFormat, IdxArray, IdxImages, LabelTable,
    MaskClasses, VocAnnotation, WebDataset, YoloData, YoloLabels, decode, parse_predictions,
};
use common::box_files::{Boxes, voc, voc_object};
use common::made::{
    Scans, bmp_of_runs, bmp_os2, bmp_packed, exif, jpeg, png_with_chunks, raw_profile, xmp,
};
use common::mutate::{Tally, mutate_100_000};
use common::{golden_bytes, sign_tar_header, tar, tar_member};
use flate2::Crc;

fn mutate_images(
    format: FileFormat,
    names: &[&str],
    made: Vec<Vec<u8>>,
    repair: impl Fn(&mut Vec<u8>, &mut Rng),
) {
    let stored = names.iter().map(|name| golden_bytes(name));
    let files: Vec<_> = stored.chain(made).collect();
    let Tally {
        accepted,
        rejected,
        contained,
    } = mutate_100_000(&format.to_string(), &files, repair, |bytes| {
        let image = decode(bytes).map_err(|error| error.to_string())?;
        assert_eq!(
            image.bytes().len(),
            image.height() * image.width() * image.channels()
        );
        Ok(())
    });
    assert!(
        accepted > 1_000 && rejected > 10_000,
        "the damage is too heavy or too light to test anything"
    );
    let is_own = matches!(format, FileFormat::Jpeg | FileFormat::Bmp);
    assert!(!is_own || contained == 0, "our own decoders do not panic");
}

#[test]
fn damaged_jpeg() {
    let names = [
        "rgb-420.jpg",
        "progressive.jpg",
        "restart.jpg",
        "grey.jpg",
        "ycck.jpg",
        "rgb-422.jpg",
        "orientation-6.jpg",
        "cmyk.jpg",
        "arithmetic.jpg",
        "arithmetic-progressive.jpg",
        "arithmetic-restart.jpg",
    ];
    let made = [
        (1, 2, Scans::Separate),
        (2, 2, Scans::LumaThenChroma),
        (4, 1, Scans::One),
        (2, 1, Scans::Progressive),
    ];
    let made = made.map(|(across, down, scans)| jpeg(40, 33, across, down, scans));
    mutate_images(FileFormat::Jpeg, &names, made.into(), |_, _| {});
}

#[test]
fn damaged_png() {
    let names = [
        "rgb.png",
        "palette.png",
        "one-bit.png",
        "rgba-16.png",
        "grey-alpha.png",
        "orientation-6.png",
    ];
    let png = golden_bytes("rgb.png");
    let digits = raw_profile(&exif(6, 3));
    let made = vec![
        png_with_chunks(&png, &[(b"zTXt", digits)]),
        png_with_chunks(&png, &[(b"iTXt", xmp(b"\0\0\0\0", 8))]),
    ];
    mutate_images(FileFormat::Png, &names, made, |bytes, rng| {
        // Half the files get right checksums, so that the damage is seen behind them.
        if rng.bernoulli(0.5) {
            repair_png_checksums(bytes);
        }
    });
}

#[test]
fn damaged_bmp() {
    let names = ["rgb.bmp", "palette.bmp", "one-bit.bmp"];
    let made = vec![
        bmp_os2(),
        bmp_of_runs(4),
        bmp_of_runs(8),
        bmp_packed(16, true, [0xf800, 0x07e0, 0x001f]),
        bmp_packed(32, false, [0x00ff_0000, 0x0000_ff00, 0x0000_00ff]),
    ];
    mutate_images(FileFormat::Bmp, &names, made, |_, _| {});
}

#[test]
fn damaged_gif() {
    let names = [
        "palette.gif",
        "transparent.gif",
        "animation.gif",
        "offset.gif",
    ];
    mutate_images(FileFormat::Gif, &names, Vec::new(), |_, _| {});
}

#[test]
fn damaged_webp() {
    let names = [
        "lossless.webp",
        "lossless-alpha.webp",
        "lossy.webp",
        "lossy-alpha.webp",
        "orientation-8.webp",
    ];
    mutate_images(FileFormat::WebP, &names, Vec::new(), |bytes, rng| {
        if rng.bernoulli(0.5) {
            let size = (bytes.len() as u32).saturating_sub(8).to_le_bytes();
            bytes
                .iter_mut()
                .skip(4)
                .zip(size)
                .for_each(|(byte, right)| *byte = right);
        }
    });
}

#[test]
fn damaged_idx() {
    let images = idx(&[0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 4], 24);
    let labels = idx(&[0, 0, 8, 1, 0, 0, 0, 3], 3);
    let tally = mutate_100_000(
        "idx",
        &[images.clone(), gzip(&images)],
        |_, _| {},
        |bytes| {
            let array = IdxArray::parse(bytes)?;
            assert_eq!(
                array.dimensions().iter().product::<usize>(),
                array.bytes().len()
            );
            let dataset = IdxImages::parse(bytes, &labels)?;
            (0..dataset.len())
                .try_for_each(|index| dataset.read(index).map(drop))
                .map_err(|error| error.to_string())
        },
    );
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000 && tally.contained == 0);
}

#[test]
fn damaged_cifar() {
    let file = common::cifar::binary([&[6], &[9]]);
    let tally = mutate_100_000(
        "cifar",
        &[file],
        |_, _| {},
        |bytes| read_all(&CifarImages::parse_binary(bytes.to_vec())?),
    );
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000 && tally.contained == 0);
}

#[cfg(feature = "pickle")]
#[test]
fn damaged_cifar_pickles() {
    let files = common::cifar::pickles();
    // What is not the pixels is little, and is damaged in half of the cases.
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| {
        if rng.bernoulli(0.5) {
            let at = rng.below(bytes.len().clamp(1, 300) as u64) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.below(256) as u8;
            }
        }
    };
    let tally = mutate_100_000("cifar-pickle", &files, repair, |bytes| {
        read_all(&CifarImages::parse_pickle(bytes)?)
    });
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000 && tally.contained == 0);
}

#[test]
fn damaged_tables() {
    let files = [
        b"\xef\xbb\xbfpath,label,split\r\n\"a,b.jpg\",cat,train\r\nc.jpg,dog,val\r\n".to_vec(),
        b"image;cat;dog\n1.jpg;1;0\n2.png;0;1\n".to_vec(),
        b"1.jpg\t10\n2.png\t9\n".to_vec(),
        b",image_id,class_id,class_name\n0,1.jpg,7,cat\n1,2.jpg,3,dog\n".to_vec(),
    ];
    let tally = mutate_100_000(
        "csv",
        &files,
        |_, _| {},
        |bytes| {
            let table = LabelTable::parse(bytes, None)?;
            assert!(table.rows().len() <= bytes.len());
            Ok(())
        },
    );
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000 && tally.contained == 0);
}

#[test]
fn damaged_tar() {
    let plain = tar(&[
        ("1.png", &golden_bytes("one-bit.png")),
        ("1.cls", b"1"),
        ("2.png", b"x"),
        ("2.json", br#"{"label": 0}"#),
    ]);
    let mut long = Vec::new();
    long.extend(tar_member("././@LongLink", b'L', b"folder/1.png\0"));
    long.extend(tar_member("cut", b'0', b"x"));
    long.extend(tar_member("pax", b'x', b"21 path=folder/1.txt\n"));
    long.extend(tar_member("cut", b'0', b"cat"));
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| {
        // Half the archives get right checksums, so that the damage is seen behind them.
        if rng.bernoulli(0.5) {
            for header in bytes.chunks_exact_mut(512) {
                if header[257..262] == *b"ustar" {
                    sign_tar_header(header);
                }
            }
        }
    };
    let tally = mutate_100_000("tar", &[plain, long], repair, |bytes| {
        let dataset = WebDataset::parse(bytes.to_vec())?;
        (0..dataset.len()).for_each(|index| drop(dataset.read(index)));
        Ok(())
    });
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000 && tally.contained == 0);
}

/// The reader keeps what a PNG stores, so a file that is read as a mask need not be one as a photo.
#[test]
fn damaged_masks() {
    let names = [
        "masks/grey-1.png",
        "masks/grey-4.png",
        "masks/grey-16.png",
        "masks/palette-2.png",
        "masks/palette-8.png",
    ];
    let files = names.map(golden_bytes);
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| {
        if rng.bernoulli(0.7) {
            repair_png_checksums(bytes);
        }
    };
    let names: Vec<String> = (0..255).map(|number| format!("class {number}")).collect();
    let classes = MaskClasses::of_names(&names).unwrap();
    let tally = mutate_100_000("masks", &files, repair, |bytes| {
        let mask = classes.mask(bytes).map_err(|error| error.to_string())?;
        assert_eq!(mask.bytes().len(), mask.height() * mask.width());
        Ok(())
    });
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000);
}

#[test]
fn damaged_mask_classes() {
    let files = [
        b"name,r,g,b\nSky,128,128,128\nVoid,0,0,0\nCar,64,0,128\n".to_vec(),
        b"# label:color_rgb:parts:actions\nSky:128,128,128::\nCar:64,0,128::\n".to_vec(),
        b"128 128 128\tSky\n64 0 128\tCar\n".to_vec(),
        b"0: sky\n1: car\n2: road\n".to_vec(),
    ];
    let tally = mutate_100_000(
        "mask-classes",
        &files,
        |_, _| {},
        |bytes| {
            let classes = MaskClasses::parse(bytes)?;
            assert!(classes.names().len() <= 255);
            Ok(())
        },
    );
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000 && tally.contained == 0);
}

#[test]
fn damaged_coco() {
    let small = br#"{"images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 9}],
        "categories": [{"id": 3, "name": "cat"}], "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 0,
         "segmentation": [[1.5, 1, 7, 2.25, 4, 7]]},
        {"id": 2, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 1,
         "segmentation": {"size": [8, 9], "counts": [30, 12, 30]}},
        {"id": 3, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4],
         "segmentation": {"size": [8, 9], "counts": "n0<n0"}}]}"#;
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| other_digit(bytes, rng);
    let tally = mutate_100_000("coco", &[small.to_vec()], repair, |bytes| {
        let annotations = CocoAnnotations::parse(bytes)?;
        for image in 0..annotations.len() {
            annotations.boxes(image)?;
            annotations.objects(image)?;
            let [height, width] = annotations.size(image).unwrap();
            if height * width < 10_000 {
                annotations.mask(image)?;
            }
        }
        Ok(())
    });
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000 && tally.contained == 0);
}

/// Another digit in half of the cases, which gets further than other bytes.
fn other_digit(bytes: &mut [u8], rng: &mut Rng) {
    if rng.bernoulli(0.5) {
        let digits: Vec<usize> = (0..bytes.len())
            .filter(|&at| bytes[at].is_ascii_digit())
            .collect();
        if let Some(&at) = digits.get(rng.below(digits.len().max(1) as u64) as usize) {
            bytes[at] = b'0' + rng.below(10) as u8;
        }
    }
}

#[test]
fn damaged_voc() {
    let objects = [
        voc_object("cat", [1, 2, 30, 20], 0),
        voc_object("a &amp; b", [5, 5, 5, 5], 1),
    ];
    let made =
        b"<?xml version='1.0' encoding='utf-8'?><!-- a --><annotation><size><width>9</width>\
        <height>8</height></size><object><part><name>c</name></part><name><![CDATA[x]]></name>\
        <bndbox><xmin>1.5</xmin><ymin>2e0</ymin><xmax>7</xmax><ymax>&#56;</ymax></bndbox></object>\
        </annotation>";
    let mut files = [voc([40, 30], &objects), made.to_vec()];
    // Text that says nothing, so that some of the damage does no harm.
    files.iter_mut().for_each(|file| file.extend([b' '; 400]));
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| other_digit(bytes, rng);
    let tally = mutate_100_000("voc", &files, repair, |bytes| {
        let annotation = VocAnnotation::parse(bytes)?;
        for (_, object) in annotation.objects() {
            assert!(object.xywh.iter().all(|value| value.is_finite()));
            assert!(object.xywh[2] >= 0.0 && object.xywh[3] >= 0.0);
        }
        Ok(())
    });
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000 && tally.contained == 0);
}

#[test]
fn damaged_yolo() {
    let files = [
        b"0 0.5 0.5 0.25 0.5\n12 0.125 0.25 0.0625 0.125\n".to_vec(),
        b"3 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\r\n1.0 5e-1 .5 1 1\n".to_vec(),
    ];
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| other_digit(bytes, rng);
    let tally = mutate_100_000("yolo", &files, repair, |bytes| {
        for object in YoloLabels::parse(bytes)?.objects([30, 40]) {
            assert!(object.xywh[2] >= 0.0 && object.xywh[3] >= 0.0);
            assert!(object.edges().iter().all(|edge| edge.abs() <= 120.0));
        }
        Ok(())
    });
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000 && tally.contained == 0);
}

#[test]
fn damaged_yolo_data() {
    let files = [
        b"# a\npath: ../data\ntrain: images/train\nval: [a, 'b']\nnc: 2\nnames:\n  0: person\n  1: \"a\\tb\"\n"
            .to_vec(),
        b"{names: [a, b, 'c d'], train: x, test: ~}".to_vec(),
        b"names:\n- a\n- b\ndownload: |\n  print(1)\n  x = {}\ntrain: >\n  a\n  b\n".to_vec(),
    ];
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| other_digit(bytes, rng);
    let tally = mutate_100_000("yolo-data", &files, repair, |bytes| {
        let data = YoloData::parse(bytes)?;
        assert!(!data.names().is_empty() && data.names().len() <= 100_000);
        Ok(())
    });
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000);
}

#[test]
fn damaged_predictions() {
    let dataset = Boxes::new(&["a", "b"], vec![([9, 9], Vec::new()); 3]);
    let mut file = br#"[{"image_id": 1, "category_id": 1, "bbox": [1, 2.5, 3, 4], "score": 0.5},
        {"image_id": 3, "category_id": 2, "bbox": [0, 0, 9, 9], "score": 1e-3, "id": 7}]"#
        .to_vec();
    file.extend([b' '; 400]);
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| other_digit(bytes, rng);
    let tally = mutate_100_000("predictions", &[file], repair, |bytes| {
        for found in parse_predictions(bytes, &dataset)? {
            assert!(found.image < 3 && found.class < 2 && found.score.is_finite());
        }
        Ok(())
    });
    assert!(tally.accepted > 1_000 && tally.rejected > 10_000 && tally.contained == 0);
}

fn read_all(dataset: &dyn Dataset) -> Result<(), String> {
    (0..dataset.len())
        .try_for_each(|index| dataset.read(index).map(drop))
        .map_err(|error| error.to_string())
}

fn idx(header: &[u8], elements: u8) -> Vec<u8> {
    header.iter().copied().chain(0..elements).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::default());
    std::io::Read::read_to_end(&mut encoder, &mut compressed).unwrap();
    compressed
}

fn repair_png_checksums(bytes: &mut [u8]) {
    let mut position = 8;
    while let Some(length) = bytes.get(position..position + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let end = position.saturating_add(8).saturating_add(length);
        if bytes.get(end..end.saturating_add(4)).is_none() {
            return;
        }
        let mut crc = Crc::new();
        crc.update(&bytes[position + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.sum().to_be_bytes());
        position = end + 4;
    }
}

//! Files that are no images, and images that are not whole or claim too much.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;

use cnn_data::{Error, Limits, decode, decode_with_limits, open_image};
use common::{golden_bytes, read_ppm};

#[test]
fn a_text_file_named_jpg_is_named_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.jpg");
    fs::write(&path, "Dear diary, today I saw a tench.").unwrap();
    let message = open_image(&path).unwrap_err().to_string();
    let expected =
        "notes.jpg: not an image: starts with `Dear diary, `; accepted: JPEG, PNG, BMP, GIF, WebP";
    assert!(message.ends_with(expected), "{message}");
    let message = open_image(&folder.path().join("absent.jpg"))
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("cannot read ") && message.ends_with("absent.jpg"),
        "{message}"
    );
}

#[test]
fn every_cut_jpeg_is_rejected() {
    for name in [
        "rgb-444.jpg",
        "rgb-420.jpg",
        "progressive.jpg",
        "restart.jpg",
        "grey.jpg",
        "ycck.jpg",
    ] {
        let whole = golden_bytes(name);
        for len in 0..whole.len() {
            assert!(
                decode(&whole[..len]).is_err(),
                "{name} cut to {len} of {}",
                whole.len()
            );
        }
        decode(&whole).unwrap();
    }
}

#[test]
fn other_formats_cut_in_half_are_rejected() {
    for name in [
        "rgb.png",
        "palette.png",
        "rgb.bmp",
        "palette.gif",
        "lossless.webp",
        "lossy.webp",
        "lossy-alpha.webp",
    ] {
        let whole = golden_bytes(name);
        let error = decode(&whole[..whole.len() / 2]).unwrap_err();
        assert!(
            matches!(error, Error::BrokenImage { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn declared_dimensions_are_limited_before_anything_is_allocated() {
    let png = edited(
        "rgb.png",
        16,
        &[100_000_u32.to_be_bytes(), 100_000_u32.to_be_bytes()].concat(),
    );
    let bmp = edited(
        "rgb.bmp",
        18,
        &[100_000_u32.to_le_bytes(), 100_000_u32.to_le_bytes()].concat(),
    );
    let bmp_top_down = edited(
        "rgb.bmp",
        18,
        &[100_000_i32.to_le_bytes(), (-100_000_i32).to_le_bytes()].concat(),
    );
    let gif = edited("palette.gif", 6, &[0xff; 4]);
    let webp = edited("orientation-8.webp", 24, &[0x9f, 0x86, 1, 0x9f, 0x86, 1]);
    let mut jpeg = golden_bytes("rgb-420.jpg");
    let frame = jpeg
        .windows(2)
        .position(|marker| marker == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    let cases = [
        (png, "100000x100000"),
        (bmp, "100000x100000"),
        (bmp_top_down, "100000x100000"),
        (gif, "65535x65535"),
        (webp, "100000x100000"),
        (jpeg, "65535x65535"),
    ];
    for (bytes, declared) in cases {
        let message = decode(&bytes).unwrap_err().to_string();
        let expected = format!(
            "declares {declared} pixels, accepted are at most 32768 on a side and 268435456 in all"
        );
        assert_eq!(message, expected);
    }
}

#[test]
fn a_jpeg_cannot_claim_more_pixels_than_its_bytes_can_mean() {
    let mut jpeg = golden_bytes("rgb-420.jpg");
    let frame = jpeg
        .windows(2)
        .position(|marker| marker == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x20, 0]);
    let message = decode(&jpeg).unwrap_err().to_string();
    let expected = format!(
        "broken JPEG: {} bytes cannot hold the declared 8192x8192 pixels",
        jpeg.len()
    );
    assert_eq!(message, expected);
}

#[test]
fn limits_can_be_chosen() {
    let bytes = golden_bytes("rgb.png");
    let accepted = decode_with_limits(
        &bytes,
        &Limits {
            max_side: 23,
            max_pixels: 23 * 17,
        },
    )
    .unwrap();
    assert_eq!(accepted.image, read_ppm("rgb.png.ppm"));
    for limits in [
        Limits {
            max_side: 22,
            max_pixels: 1000,
        },
        Limits {
            max_side: 23,
            max_pixels: 23 * 17 - 1,
        },
    ] {
        let error = decode_with_limits(&bytes, &limits).unwrap_err();
        assert!(
            matches!(
                error,
                Error::TooLarge {
                    width: 23,
                    height: 17,
                    ..
                }
            ),
            "{error}"
        );
    }
}

fn edited(name: &str, at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = golden_bytes(name);
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

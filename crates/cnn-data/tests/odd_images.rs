//! Pictures that are whole but not as common encoders write them: what Pillow makes of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_data::{Error, Image, decode};
use common::golden_bytes;
use common::made::{
    COLORS, NUMBERS, Scans, bmp_of_runs, bmp_os2, bmp_packed, exif, jpeg, level, png_with_chunks,
    raw_profile, xmp, xmp_packet, zlib,
};

#[test]
fn the_order_of_scans_does_not_change_the_picture() {
    let scans = [
        Scans::One,
        Scans::Separate,
        Scans::LumaThenChroma,
        Scans::Progressive,
    ];
    for (across, down) in [
        (1, 1),
        (2, 1),
        (1, 2),
        (2, 2),
        (4, 1),
        (1, 4),
        (3, 1),
        (1, 3),
        (4, 2),
    ] {
        for (width, height) in [(40, 33), (161, 97), (1, 1), (3, 70)] {
            for scans in scans {
                let image = decode(&jpeg(width, height, across, down, scans)).unwrap();
                let expected = (0..height).flat_map(|y| {
                    (0..width).flat_map(move |x| [(level(y / 8, x / 8) + 128) as u8; 3])
                });
                assert!(
                    image.bytes().iter().copied().eq(expected),
                    "{width}x{height}, sampling {across}x{down}, {scans:?}"
                );
            }
        }
    }
}

#[test]
fn sampling_that_no_decoder_knows_is_named() {
    let mut file = jpeg(40, 33, 3, 1, Scans::Separate);
    let frame = position(&file, &[0xff, 0xc0]);
    file[frame + 14] = 0x21;
    assert_eq!(
        decode(&file).unwrap_err().to_string(),
        "broken JPEG: sampling factors that are no whole multiples of each other"
    );
}

#[test]
fn bytes_between_segments_are_passed_over() {
    let whole = golden_bytes("rgb-420.jpg");
    let expected = decode(&whole).unwrap();
    let scan = position(&whole, &[0xff, 0xda]);
    let tables = position(&whole, &[0xff, 0xc4]);
    let end = whole.len() - 2;
    for at in [tables, scan, end] {
        for junk in [
            &b"\xff"[..],
            b"\xff\xff\xff",
            b"junk",
            b"\xff\x00\x01",
            &[0; 1024],
        ] {
            let file = [&whole[..at], junk, &whole[at..]].concat();
            assert_eq!(decode(&file).unwrap(), expected, "{junk:?} at {at}");
        }
    }
}

#[test]
fn a_trailer_may_take_the_place_of_the_end_marker_only_of_whole_pixels() {
    let trailer = b"\0\0\x01\x0aImage_UTC_Data1580000000000SEFH";
    for name in ["rgb-420.jpg", "grey.jpg", "restart.jpg"] {
        let whole = golden_bytes(name);
        let pixels = &whole[..whole.len() - 2];
        let replaced = [pixels, trailer].concat();
        assert_eq!(
            decode(&replaced).unwrap(),
            decode(&whole).unwrap(),
            "{name}"
        );
        let scan = position(&whole, &[0xff, 0xda]);
        for cut in (scan..pixels.len() - 1).step_by(3) {
            for filling in [&[0; 4096][..], &[0xff; 64], b""] {
                let file = [&whole[..cut], filling].concat();
                assert!(decode(&file).is_err(), "{name} cut at {cut}");
            }
        }
    }
    let whole = golden_bytes("progressive.jpg");
    let replaced = [&whole[..whole.len() - 2], trailer].concat();
    assert!(decode(&replaced).is_err(), "more scans may have followed");
}

#[test]
fn pixels_missing_before_an_end_marker_are_grey() {
    let whole = jpeg(64, 64, 1, 1, Scans::One);
    let scan = position(&whole, &[0xff, 0xda]);
    let cut = scan + (whole.len() - scan) / 2;
    let image = decode(&[&whole[..cut], &[0xff, 0xd9]].concat()).unwrap();
    let expected = decode(&whole).unwrap();
    assert_eq!(image.bytes()[..64 * 3], expected.bytes()[..64 * 3]);
    assert!(
        image
            .bytes()
            .rchunks(64 * 3 * 8)
            .next()
            .unwrap()
            .iter()
            .all(|&byte| byte == 128)
    );
}

#[test]
fn a_progressive_picture_without_its_last_scans_is_refused() {
    let whole = jpeg(40, 33, 2, 2, Scans::Progressive);
    let last = whole
        .windows(2)
        .rposition(|pair| pair == [0xff, 0xda])
        .unwrap();
    let file = [&whole[..last], &[0xff, 0xd9]].concat();
    assert_eq!(
        decode(&file).unwrap_err().to_string(),
        "broken JPEG: a progressive picture of which the last scans are missing"
    );
}

#[test]
fn odd_application_segments_do_no_harm() {
    let whole = golden_bytes("rgb-444.jpg");
    let expected = decode(&whole).unwrap();
    let contents: [(u8, &[u8]); 7] = [
        (0xee, b"Adobe"),
        (0xee, b"Adobe\0\x64\0\0\0\0\x01"),
        (0xe1, b"Exif\0\0"),
        (0xe1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
        (0xe1, b"http://ns.adobe.com/xap/1.0/\0"),
        (0xe2, b"ICC_PROFILE\0\x07\x03\0"),
        (0xed, b""),
    ];
    for (marker, content) in contents {
        let file = with_segment(&whole, marker, content);
        assert_eq!(decode(&file).unwrap(), expected, "{marker:x} {content:?}");
    }
}

#[test]
fn tables_may_be_those_of_the_standard() {
    let whole = golden_bytes("rgb-444.jpg");
    let first = position(&whole, &[0xff, 0xc4]);
    let scan = position(&whole, &[0xff, 0xda]);
    let file = [&whole[..first], &whole[scan..]].concat();
    assert_eq!(decode(&file).unwrap(), decode(&whole).unwrap());
}

#[test]
fn what_is_not_decoded_is_named() {
    let whole = golden_bytes("rgb-444.jpg");
    let frame = position(&whole, &[0xff, 0xc0]);
    let cases = [
        (
            1,
            0xc3,
            "lossless coding (marker FFC3), accepted are baseline, extended and progressive",
        ),
        (4, 12, "12 bits a sample, accepted are 8"),
        (9, 2, "2 components, accepted are 1, 3 and 4"),
    ];
    for (at, value, expected) in cases {
        let mut file = whole.clone();
        file[frame + at] = value;
        let message = decode(&file).unwrap_err().to_string();
        assert_eq!(message, format!("broken JPEG: {expected}"));
    }
}

#[test]
fn bitmaps_of_all_kinds() {
    let files = [
        ("OS/2", bmp_os2()),
        ("runs of 4 bits", bmp_of_runs(4)),
        ("runs of 8 bits", bmp_of_runs(8)),
        ("565", bmp_packed(16, false, [0xf800, 0x07e0, 0x001f])),
        (
            "555 from the top",
            bmp_packed(16, true, [0x7c00, 0x03e0, 0x001f]),
        ),
        ("BGRX", bmp_packed(32, false, [0xff_0000, 0xff00, 0xff])),
        (
            "10 bits",
            bmp_packed(32, true, [0x3ff0_0000, 0xf_fc00, 0x3ff]),
        ),
    ];
    let pixels = NUMBERS
        .as_flattened()
        .iter()
        .map(|&n| COLORS[usize::from(n)]);
    let expected = Image::from_pixels(3, 5, 3, pixels.flatten().collect()).unwrap();
    for (name, file) in files {
        assert_eq!(decode(&file).unwrap(), expected, "{name}");
        for length in 0..file.len() - 4 {
            assert!(decode(&file[..length]).is_err(), "{name} cut to {length}");
        }
    }
}

#[test]
fn packed_colors_are_rounded_down() {
    let mut file = bmp_packed(16, true, [0xf800, 0x07e0, 0x001f]);
    let data = file.len() - 3 * 12;
    file[data..data + 2].copy_from_slice(&(5_u16 << 11 | 11 << 5 | 30).to_le_bytes());
    let image = decode(&file).unwrap();
    assert_eq!(image.bytes()[..3], [41, 44, 246]);
}

#[test]
fn compression_of_bitmaps_that_is_not_read_is_named() {
    let mut file = bmp_of_runs(8);
    file[30] = 5;
    assert_eq!(
        decode(&file).unwrap_err().to_string(),
        "broken BMP: compression PNG, accepted are none, run-length of 4 or 8 bits, and bit masks"
    );
}

#[test]
fn orientation_is_read_wherever_it_is_written() {
    let jpeg = golden_bytes("rgb-444.jpg");
    let png = golden_bytes("rgb.png");
    let webp = golden_bytes("lossless.webp");
    let prefixed = |tiff: &[u8]| [b"Exif\0\0", tiff].concat();
    let packet = xmp_packet(6);
    let element = "<rdf:li><tiff:Orientation>6</tiff:Orientation></rdf:li>".to_owned();
    let in_jpeg = |packet: &str| {
        let content = format!("http://ns.adobe.com/xap/1.0/\0{packet}");
        with_segment(&jpeg, 0xe1, content.as_bytes())
    };
    let in_png = |name, content: Vec<u8>| png_with_chunks(&png, &[(name, content)]);
    let keyed = |between: &[u8], text: &[u8]| [b"XML:com.adobe.xmp\0", between, text].concat();
    let digits = raw_profile(&exif(6, 3));
    let turned = [
        (
            "JPEG short",
            with_segment(&jpeg, 0xe1, &prefixed(&exif(6, 3))),
            &jpeg,
        ),
        (
            "JPEG long",
            with_segment(&jpeg, 0xe1, &prefixed(&exif(6, 4))),
            &jpeg,
        ),
        (
            "JPEG ratio",
            with_segment(&jpeg, 0xe1, &prefixed(&exif(6, 5))),
            &jpeg,
        ),
        (
            "JPEG signed",
            with_segment(&jpeg, 0xe1, &prefixed(&exif(6, 9))),
            &jpeg,
        ),
        ("JPEG XMP", in_jpeg(&packet), &jpeg),
        ("JPEG XMP element", in_jpeg(&element), &jpeg),
        ("eXIf", in_png(b"eXIf", exif(6, 4)), &png),
        ("raw profile", in_png(b"zTXt", digits), &png),
        (
            "iTXt",
            in_png(b"iTXt", keyed(b"\0\0\0\0", packet.as_bytes())),
            &png,
        ),
        (
            "packed iTXt",
            in_png(b"iTXt", keyed(b"\x01\0\0\0", &zlib(element.as_bytes()))),
            &png,
        ),
        ("WebP", with_chunk(&webp, b"EXIF", &exif(6, 3)), &webp),
        (
            "WebP prefix",
            with_chunk(&webp, b"EXIF", &prefixed(&exif(6, 3))),
            &webp,
        ),
        (
            "WebP XMP",
            with_chunk(&webp, b"XMP ", packet.as_bytes()),
            &webp,
        ),
    ];
    for (name, file, plain) in turned {
        let image = decode(&file).unwrap();
        let plain = decode(plain).unwrap();
        assert_eq!(image.bytes().len(), plain.bytes().len());
        // The left column from its lower end becomes the upper row.
        let (height, width) = (plain.height(), plain.width());
        assert_eq!((image.height(), image.width()), (width, height), "{name}");
        for y in 0..height {
            let stored = &plain.bytes()[(height - 1 - y) * width * 3..][..3];
            assert_eq!(&image.bytes()[3 * y..3 * y + 3], stored, "{name}, {y}");
        }
    }
}

#[test]
fn a_meaningless_orientation_is_none() {
    let jpeg = golden_bytes("rgb-444.jpg");
    let png = golden_bytes("rgb.png");
    let prefixed = |tiff: &[u8]| [b"Exif\0\0", tiff].concat();
    let jpegs = [
        exif(0, 3),
        exif(9, 3),
        exif(6, 2),
        exif(6, 1),
        exif(70_000, 4),
        exif(6, 99),
    ];
    for tiff in jpegs {
        let file = with_segment(&jpeg, 0xe1, &prefixed(&tiff));
        assert_eq!(decode(&file).unwrap(), decode(&jpeg).unwrap(), "{tiff:?}");
    }
    let chunks: [(&[u8; 4], Vec<u8>); 4] = [
        (b"eXIf", b"no TIFF".to_vec()),
        (b"zTXt", raw_profile(&[])),
        (b"zTXt", b"Raw profile type exif\0\0not compressed".to_vec()),
        (b"iTXt", xmp(b"\0\0\0\0", 9)),
    ];
    for (name, content) in chunks {
        let file = png_with_chunks(&png, &[(name, content)]);
        assert_eq!(decode(&file).unwrap(), decode(&png).unwrap());
    }
}

#[test]
fn exif_comes_before_xmp() {
    let png = golden_bytes("rgb.png");
    let chunks: [(&[u8; 4], Vec<u8>); 2] = [(b"iTXt", xmp(b"\0\0\0\0", 6)), (b"eXIf", exif(1, 3))];
    let file = png_with_chunks(&png, &chunks);
    assert_eq!(decode(&file).unwrap(), decode(&png).unwrap());
}

#[test]
fn a_text_that_unpacks_to_gigabytes_is_read_as_far_as_it_matters() {
    let png = golden_bytes("rgb.png");
    let mut text = b"\nexif\n 99999999\n".to_vec();
    text.extend(
        exif(6, 3)
            .iter()
            .flat_map(|byte| format!("{byte:02x}").into_bytes()),
    );
    text.resize(64 << 20, b'0');
    let content = [b"Raw profile type exif\0\0", zlib(&text).as_slice()].concat();
    let image = decode(&png_with_chunks(&png, &[(b"zTXt", content)])).unwrap();
    assert_eq!((image.height(), image.width()), (23, 17));
}

#[test]
fn hours_of_scans_are_refused() {
    let whole = jpeg(1024, 1024, 1, 1, Scans::Progressive);
    let last = whole
        .windows(2)
        .rposition(|pair| pair == [0xff, 0xda])
        .unwrap();
    let scan = &whole[last..whole.len() - 2];
    let mut file = whole[..last].to_vec();
    (0..600).for_each(|_| file.extend(scan));
    file.extend([0xff, 0xd9]);
    assert!(matches!(decode(&file), Err(Error::BrokenImage { .. })));
}

fn position(bytes: &[u8], found: &[u8]) -> usize {
    bytes
        .windows(found.len())
        .position(|window| window == found)
        .unwrap()
}

/// A JPEG file with a further segment at its start.
fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, marker], &length, content, &jpeg[2..]].concat()
}

/// A lossless WebP file of 23x17 pixels with a further chunk at its end, as an extended file.
fn with_chunk(webp: &[u8], name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunks = b"WEBPVP8X\x0a\0\0\0\x0c\0\0\0\x16\0\0\x10\0\0".to_vec();
    chunks.extend(&webp[12..]);
    chunks.extend(name);
    chunks.extend((content.len() as u32).to_le_bytes());
    chunks.extend(content);
    chunks.resize(chunks.len().next_multiple_of(2), 0);
    [b"RIFF", &(chunks.len() as u32).to_le_bytes()[..], &chunks].concat()
}

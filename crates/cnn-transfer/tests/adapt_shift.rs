//! Domains made of any images: each shift against numbers of scipy or of one's own head, and that
//! what becomes of an image depends on nothing but the image, its number and the key.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use cnn_core::Key;
use cnn_data::{Dataset, Image, Shapes, ShapesConfig, Subset};
use cnn_transfer::adapt::{DomainShift, Shifted};

const HEIGHT: usize = 5;
const WIDTH: usize = 7;

fn shift(text: &str) -> DomainShift {
    text.parse().unwrap()
}

fn shifted(text: &str, image: &Image) -> Image {
    shift(text).apply(image, Key::new(1)).unwrap()
}

/// `(37 i² + 11 i + 5) mod 256`.
fn source() -> Image {
    let bytes = (0..HEIGHT * WIDTH * 3).map(|i| (37 * i * i + 11 * i + 5) as u8);
    Image::from_pixels(HEIGHT, WIDTH, 3, bytes.collect()).unwrap()
}

fn flat(height: usize, width: usize, channels: usize, value: u8) -> Image {
    Image::from_pixels(
        height,
        width,
        channels,
        vec![value; height * width * channels],
    )
    .unwrap()
}

#[rustfmt::skip]
const BLUR: [u8; 105] = [
    81, 113, 174, 95, 119, 184, 98, 125, 187, 94, 123, 190, 105, 112, 181, 121, 113, 163, 137, 106, 161,
    118, 131, 159, 109, 126, 165, 98, 112, 164, 102, 105, 158, 125, 114, 154, 141, 131, 146, 153, 139, 144,
    138, 138, 143, 115, 128, 138, 89, 100, 137, 93, 86, 133, 120, 105, 132, 143, 130, 129, 162, 141, 120,
    129, 153, 137, 116, 131, 128, 89, 100, 125, 79, 78, 123, 101, 87, 121, 132, 117, 125, 148, 135, 121,
    126, 166, 147, 126, 131, 134, 101, 105, 122, 75, 78, 116, 89, 78, 119, 119, 119, 136, 117, 150, 147,
];
#[rustfmt::skip]
const COLOR: [u8; 105] = [
    116, 0, 65, 152, 123, 126, 114, 133, 95, 152, 40, 235, 180, 77, 12, 79, 62, 175, 144, 159, 0,
    81, 202, 210, 147, 80, 112, 149, 151, 130, 77, 107, 56, 116, 237, 121, 81, 251, 93, 122, 162, 237,
    153, 204, 17, 54, 194, 185, 87, 17, 43, 53, 34, 18, 132, 225, 132, 100, 23, 185, 67, 255, 83,
    73, 118, 183, 41, 137, 160, 112, 21, 67, 118, 99, 90, 50, 62, 22, 94, 198, 92, 64, 220, 70,
    109, 137, 219, 144, 186, 5, 50, 182, 178, 86, 13, 42, 57, 36, 22, 140, 234, 141, 113, 38, 200,
];
#[rustfmt::skip]
const EDGES: [u8; 35] = [
    204, 255, 255, 255, 255, 255, 211, 255, 255, 253, 218, 238, 255, 255, 255, 255, 202, 242, 193, 255,
    255, 255, 230, 219, 255, 208, 255, 255, 246, 255, 238, 217, 211, 209, 255,
];

/// No byte differs by more than the last bit of what is rounded.
#[track_caller]
fn same(found: &Image, expected: &[u8]) {
    assert_eq!(found.bytes().len(), expected.len());
    let apart = found.bytes().iter().zip(expected);
    let most = apart.map(|(a, b)| a.abs_diff(*b)).max();
    assert_eq!(most, Some(0), "{:?}", found.bytes());
}

// scipy 1.18, `a` being `source()` as (5, 7, 3):
// blur: gaussian_filter(a[..., c], 0.2 * 5, mode="reflect", truncate=4)
// color: np.minimum(a * [1.1, .95, .7], 255) @ R.T with
//   R = Rotation.from_rotvec(2 * np.pi * 0.3 * np.ones(3) / np.sqrt(3)).as_matrix()
// edges: s = gaussian_filter(grey, 0.1 * 5, mode="reflect", truncate=4), p = np.pad(s, 1, "symmetric"),
//   n = np.hypot of half the differences of neighbours, 255 * (1 - np.clip((n / n.mean() - 1) / 3, 0, 1))
// each rounded and cut to 0 to 255.
#[test]
fn blur_color_and_edges_are_scipys() {
    same(&shifted("blur:0.2", &source()), &BLUR);
    same(&shifted("color:0.3", &source()), &COLOR);
    let sketch = shifted("edges:0.1", &source());
    assert_eq!(sketch.channels(), 1);
    same(&sketch, &EDGES);
}

#[test]
fn a_third_of_a_turn_makes_red_green_under_the_lamp() {
    let red = Image::from_pixels(1, 1, 3, vec![100, 0, 0]).unwrap();
    let turned = shift("color:0.3333333333333333").apply(&red, Key::new(0));
    assert_eq!(turned.unwrap().bytes(), [0, 110, 0]);
    let whole = shifted("color:1", &Image::from_pixels(1, 1, 1, vec![100]).unwrap());
    assert_eq!(whole.bytes(), [110, 95, 70]);
}

#[test]
fn a_poster_has_the_colours_of_the_median_cut() {
    // Greens differ most: 10, 10, 20 below the median 200, and 200, 210, 250 above; of these the
    // upper differ most, in green again, with the median 210; half a turn is
    // (2 · mean of the channels − own value).
    let pixels = [
        [0, 10, 0],
        [30, 10, 60],
        [0, 20, 0],
        [9, 200, 9],
        [0, 210, 30],
        [0, 250, 30],
    ];
    let photo = Image::from_pixels(2, 3, 3, pixels.concat()).unwrap();
    let poster = shifted("palette:2", &photo);
    // Means (10, 13.3, 20) and (3, 220, 23): turned (18.9, 15.6, 8.9), (161, −56, 141).
    let [dark, light] = [[19, 16, 9], [161, 0, 141]];
    assert_eq!(poster.bytes(), [[dark; 3], [light; 3]].concat().concat());
    let three = shifted("palette:3", &photo);
    // The group of the lower greens differs by 60 in blue, that of the upper by 50 in green; so the
    // lower is cut, at its blue median, 0, behind which only 60 lies.
    let [first, second] = [[10, 0, 10], [37, 57, 7]];
    assert_eq!(
        three.bytes(),
        [first, second, first, light, light, light].concat()
    );
    let few = shifted("palette:200", &flat(2, 2, 1, 77));
    assert_eq!((few.channels(), few.bytes()), (1, &[77; 4][..]));
    // Where most pixels have the least value, the others still come apart.
    let digit = Image::from_pixels(1, 5, 1, vec![0, 0, 0, 0, 90]).unwrap();
    assert_eq!(shifted("palette:2", &digit).bytes(), [0, 0, 0, 0, 90]);
    let hundred = Image::from_pixels(10, 10, 1, (0..100).collect()).unwrap();
    for colors in [2, 5, 16] {
        let poster = shifted(&format!("palette:{colors}"), &hundred);
        let mut found = poster.into_bytes();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), colors);
    }
}

#[test]
fn noise_has_the_deviation_that_was_asked_for() {
    let grey = flat(100, 100, 1, 128);
    let noisy = shifted("noise:0.1", &grey);
    let square = |byte: &u8| (f64::from(*byte) - 128.).powi(2);
    let variance = noisy.bytes().iter().map(square).sum::<f64>() / 10_000.;
    assert!((variance.sqrt() - 25.5).abs() < 0.6, "{variance}");
    assert_eq!(shifted("noise:0", &grey), grey);
    let other = shift("noise:0.1").apply(&grey, Key::new(2)).unwrap();
    assert_ne!(other, noisy);
}

#[test]
fn a_background_shows_through_black_and_reversed_through_white() {
    let patch = shifted("blend", &flat(28, 20, 1, 0));
    let reversed = shifted("blend", &flat(28, 20, 3, 255));
    assert_eq!(
        (patch.height(), patch.width(), patch.channels()),
        (28, 20, 3)
    );
    let sums = patch.bytes().iter().zip(reversed.bytes());
    assert!(sums.into_iter().all(|(a, b)| a + b == 255));
    // Coloured, and smooth: neighbours differ by far less than the whole does.
    let colors = patch.bytes().chunks_exact(3);
    let colored = colors
        .filter(|color| color[0].abs_diff(color[1]) > 20)
        .count();
    assert!(colored > 28 * 20 / 4, "{colored}");
    let row = |place: usize| &patch.bytes()[60 * place..60 * (place + 1)];
    let steps = (0..27).flat_map(|place| row(place).iter().zip(row(place + 1)));
    let mean = steps.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / (27. * 60.);
    let low = patch.bytes().iter().min().unwrap();
    let high = patch.bytes().iter().max().unwrap();
    assert!(mean < 20. && high - low > 150, "{mean} {low} {high}");
    let other = shift("blend")
        .apply(&flat(28, 20, 1, 0), Key::new(2))
        .unwrap();
    assert_ne!(other, patch);
}

#[test]
fn photos_are_backgrounds_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(
        format!("blend:{}", path.display())
            .parse::<DomainShift>()
            .is_err()
    );
    // A ramp: every column one more than the one before it.
    let ramp = (0..9 * 90).map(|at| (at % 90) as u8);
    let ramp = Image::from_pixels(9, 90, 1, ramp.collect()).unwrap();
    ramp.write_png(&path.join("ramp.png")).unwrap();
    let text = format!("blend:{}", path.display());
    assert_eq!(shift(&text).to_string(), text);
    let black = flat(4, 6, 1, 0);
    let cut = shifted(&text, &black);
    let first = cut.bytes()[0];
    let expected = (0..4 * 6 * 3).map(|at| first + (at / 3 % 6) as u8);
    assert_eq!(cut.bytes(), expected.collect::<Vec<u8>>());
    let firsts = (0..20).map(|seed| {
        let cut = shift(&text).apply(&black, Key::new(seed)).unwrap();
        cut.bytes()[0]
    });
    let mut firsts: Vec<u8> = firsts.collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert!(firsts.len() > 10, "{firsts:?}");
    // Smaller photos are enlarged.
    let large = shifted(&text, &flat(30, 40, 3, 0));
    assert_eq!((large.height(), large.width()), (30, 40));
    std::fs::write(path.join("ramp.png"), "no photo").unwrap();
    let said = shift(&text).apply(&black, Key::new(0)).unwrap_err();
    assert!(said.to_string().contains("ramp.png"), "{said}");
}

#[test]
fn images_of_any_size_are_shifted_and_large_ones_made_smaller() {
    for name in DomainShift::NAMES {
        for [height, width] in [[1, 1], [1, 9], [2, 1], [3, 300]] {
            for channels in [1, 3] {
                let found = shifted(name, &flat(height, width, channels, 60));
                assert_eq!((found.height(), found.width()), (height, width), "{name}");
            }
        }
        let large = shifted(name, &flat(400, 1000, 1, 60));
        assert_eq!((large.height(), large.width()), (256, 640), "{name}");
    }
    for [height, width] in [[1, 1], [8, 5]] {
        let paper = shifted("edges", &flat(height, width, 3, 60));
        assert_eq!(paper.bytes(), vec![255; height * width]);
    }
}

#[test]
fn an_image_is_shifted_the_same_in_any_order_and_beside_any_others() {
    let shapes: Arc<dyn Dataset> =
        Arc::new(Shapes::new(ShapesConfig::default().with_samples(8)).unwrap());
    for name in ["noise", "blend"] {
        let of = |seed| Arc::new(Shifted::new(shapes.clone(), shift(name), Key::new(seed)));
        let read = |dataset: &dyn Dataset, index| dataset.read(index).unwrap().image;
        let forwards: Vec<Image> = (0..8).map(|index| read(of(0).as_ref(), index)).collect();
        let part = Subset::new(of(0), vec![5, 2]).unwrap();
        assert_eq!(
            [read(&part, 0), read(&part, 1)],
            [5, 2].map(|at| forwards[at].clone())
        );
        assert_ne!(read(of(1).as_ref(), 3), forwards[3]);
        let dataset = of(0);
        let threads = (0..8).map(|index| {
            let dataset = dataset.clone();
            std::thread::spawn(move || dataset.read(index).unwrap().image)
        });
        let threads: Vec<_> = threads.collect();
        let found = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(found.collect::<Vec<_>>(), forwards);
    }
    let flats: Arc<dyn Dataset> = Arc::new(Flats);
    let noisy = Shifted::new(flats.clone(), shift("noise"), Key::new(0));
    // Equal images have other noise, and are known by what is stored.
    assert_ne!(noisy.read(0).unwrap().image, noisy.read(1).unwrap().image);
    assert_eq!(noisy.content(0).unwrap(), flats.content(0).unwrap());
    assert_eq!(
        (noisy.label(1), noisy.read(1).unwrap().label),
        (Some(1), Some(1))
    );
    assert_eq!(
        (noisy.id(1), noisy.classes()),
        (flats.id(1), flats.classes())
    );
    assert!(noisy.read(2).is_err());
}

/// Two equal images.
struct Flats;

impl Dataset for Flats {
    fn len(&self) -> usize {
        2
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some(index)
    }

    fn content(&self, index: usize) -> Result<cnn_data::Content, cnn_data::Error> {
        if index > 1 {
            return Err(cnn_data::Error::NoSuchSample { index, len: 2 });
        }
        Ok(cnn_data::Content::Pixels(flat(3, 4, 1, 100)))
    }
}

#[test]
fn bad_names_and_numbers_are_told_what_is_accepted() {
    let table = [
        ("edgse", "did you mean `edges`?"),
        ("", "one of noise, blur, color, edges, palette, blend"),
        ("noise:", "found noise:, expected a number from 0 to 1"),
        (
            "noise:loud",
            "found noise:loud, expected a number from 0 to 1",
        ),
        ("noise:NaN", "a number from 0 to 1"),
        ("blur:0.6", "a number from 0 to 0.5"),
        ("palette:1", "a whole number from 2 to 256"),
        ("palette:2.5", "a whole number from 2 to 256"),
        ("blend:/nowhere/at/all", "/nowhere/at/all"),
    ];
    for (text, words) in table {
        let said = text.parse::<DomainShift>().unwrap_err().to_string();
        assert!(said.contains(words), "{text}: {said}");
    }
    let negative = DomainShift::Blur { sigma: -1. };
    assert!(negative.apply(&source(), Key::new(0)).is_err());
    assert_eq!(shift("noise").to_string(), "noise:0.2");
    for name in DomainShift::NAMES {
        assert_eq!(shift(name).name(), name);
    }
}

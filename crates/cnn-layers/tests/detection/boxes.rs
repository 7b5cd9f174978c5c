//! Overlaps, suppression, anchors, codes and matches.

use candle_core::{DType, Var};
use cnn_layers::detection::{
    AnchorGenerator, AnchorLevel, BoxCoder, BoxEdges, BoxLinearCoder, BoxOverlap, Decay,
    DefaultBoxGenerator, DefaultBoxScales, LowQuality, Match, Matcher, OverlapMatrix, SoftNms,
    batched_nms, clip_box, iou_matrix, nms,
};

use crate::{Goldens, assert_close, values, wide};

#[test]
fn overlaps_equal_torchvision() {
    let goldens = Goldens::read();
    let a = goldens.edges("overlaps.a");
    let b = goldens.edges("overlaps.b");
    for (name, overlap, tolerance) in [
        ("iou", BoxOverlap::Iou, 1e-7),
        ("giou", BoxOverlap::Giou, 2e-7),
        ("diou", BoxOverlap::Diou, 2e-7),
        ("ciou", BoxOverlap::Ciou, 1e-6),
    ] {
        let matrix = OverlapMatrix::new(overlap, &a, &b);
        let found: Vec<f32> = (0..a.len()).flat_map(|a| matrix.row(a).to_vec()).collect();
        let expected = goldens.f64(&format!("overlaps.{name}"));
        assert_close(name, &wide(found), &expected, tolerance);
    }
    assert_eq!(iou_matrix(&a, &b).row(0)[0], 1.);
    let moved = [-20., 20.].into_iter();
    let moved = moved.flat_map(|by| b.iter().map(move |edges| edges.map(|edge| edge + by)));
    let clipped: Vec<BoxEdges> = moved.map(|edges| clip_box(&edges, [37, 53])).collect();
    assert_eq!(clipped, goldens.edges("overlaps.clipped"));
}

#[test]
fn suppression_equals_torchvision_also_for_ties() {
    let goldens = Goldens::read();
    for set in 0..3 {
        let boxes = goldens.edges(&format!("nms.{set}.boxes"));
        let scores = goldens.f32(&format!("nms.{set}.scores"));
        let classes = goldens.i64(&format!("nms.{set}.classes"));
        let classes: Vec<u32> = classes.iter().map(|&class| class as u32).collect();
        for threshold in [0.3, 0.5, 0.75] {
            let expected = |of: &str| -> Vec<usize> {
                let numbers = goldens.i64(&format!("nms.{set}.{of}.{threshold}"));
                numbers.iter().map(|&number| number as usize).collect()
            };
            let kept = nms(&boxes, &scores, threshold).unwrap();
            assert_eq!(kept, expected("all"), "set {set}, {threshold}");
            let kept = batched_nms(&boxes, &scores, &classes, threshold).unwrap();
            assert_eq!(kept, expected("classes"), "set {set}, {threshold}");
        }
    }
}

#[test]
fn soft_suppression_equals_the_papers_figure() {
    let goldens = Goldens::read();
    let boxes = goldens.edges("soft.boxes");
    let scores = goldens.f32("soft.scores");
    for (name, decay) in [
        ("linear", Decay::Linear { iou_threshold: 0.3 }),
        ("gaussian", Decay::Gaussian { sigma: 0.5 }),
    ] {
        let soft = SoftNms::new(decay).with_least_score(0.05);
        let kept = soft.run(&boxes, &scores, None).unwrap();
        let order: Vec<i64> = kept.iter().map(|kept| kept.index as i64).collect();
        assert_eq!(order, goldens.i64(&format!("soft.{name}.order")));
        let found = wide(kept.iter().map(|kept| kept.score));
        assert_close(
            name,
            &found,
            &goldens.f64(&format!("soft.{name}.kept")),
            1e-6,
        );
    }
}

#[test]
fn anchors_are_torchvisions_bit_by_bit() {
    let goldens = Goldens::read();
    let level = |sizes: &[f32], aspect_ratios: &[f32]| AnchorLevel {
        sizes: sizes.to_vec(),
        aspect_ratios: aspect_ratios.to_vec(),
    };
    let generator = AnchorGenerator::new(&[
        level(&[16., 20., 25.], &[0.5, 1., 2.]),
        level(&[33., 41.], &[0.3, 1.]),
    ])
    .unwrap();
    assert_eq!(generator.anchors_per_place(), [9, 4]);
    let anchors = generator.generate([75, 103], &[[5, 6], [2, 4]]).unwrap();
    assert_eq!(anchors.concat(), goldens.edges("anchors"));
}

#[test]
fn default_boxes_are_torchvisions_bit_by_bit() {
    let goldens = Goldens::read();
    let between = |least, largest| DefaultBoxScales::Between { least, largest };
    let image = [75, 103];
    let check = |name: &str, generator: DefaultBoxGenerator, grids: &[[usize; 2]]| {
        let boxes = generator.generate(image, grids).unwrap();
        assert_eq!(boxes, goldens.edges(&format!("default.{name}")), "{name}");
    };
    let few = DefaultBoxGenerator::new(&[vec![2.], vec![2., 3.]], &between(0.15, 0.9)).unwrap();
    check("between", few, &[[5, 6], [2, 4]]);
    let one = DefaultBoxGenerator::new(&[vec![3.]], &between(0.2, 0.95)).unwrap();
    check(
        "one",
        one.with_steps(&[20]).unwrap().with_clip(false),
        &[[4, 6]],
    );
    let each = DefaultBoxScales::Each(vec![0.7, 0.9, 1.2]);
    let wide = DefaultBoxGenerator::new(&[vec![5.], vec![4.]], &each).unwrap();
    check("each", wide.with_clip(false), &[[3, 2], [1, 2]]);

    for (name, generator, side, grids, step) in [
        (
            "ssd300",
            DefaultBoxGenerator::ssd300(),
            300,
            [38, 19, 10, 5, 3, 1],
            31,
        ),
        (
            "ssdlite320",
            DefaultBoxGenerator::ssdlite320(),
            320,
            [20, 10, 5, 3, 2, 1],
            11,
        ),
    ] {
        let grids = grids.map(|side| [side, side]);
        let boxes = generator.generate([side, side], &grids).unwrap();
        let some: Vec<BoxEdges> = boxes.into_iter().step_by(step).collect();
        assert_eq!(some, goldens.edges(&format!("default.{name}")), "{name}");
    }
}

#[test]
fn codes_and_their_gradients_equal_torchvision() {
    let goldens = Goldens::read();
    let boxes = goldens.edges("coding.boxes");
    let anchors = goldens.edges("coding.anchors");
    let codes = goldens.edges("coding.codes");
    let upstream = goldens.tensor("coding.upstream");
    let ones = BoxCoder::default();
    let heads = BoxCoder::of_heads();
    let linear = BoxLinearCoder::default();
    let pixels = BoxLinearCoder {
        normalize_by_size: false,
    };
    type Code<'a> = &'a dyn Fn(&BoxEdges, &BoxEdges) -> [f32; 4];
    type DecodeAll<'a> = &'a dyn Fn(&Var) -> candle_core::Result<candle_core::Tensor>;
    let cases: [(&str, Code, Code, DecodeAll); 4] = [
        (
            "ones",
            &|a, b| ones.encode(a, b),
            &|a, b| ones.decode(a, b),
            &|codes| ones.decode_tensor(codes, &anchors),
        ),
        (
            "heads",
            &|a, b| heads.encode(a, b),
            &|a, b| heads.decode(a, b),
            &|codes| heads.decode_tensor(codes, &anchors),
        ),
        (
            "linear",
            &|a, b| linear.encode(a, b),
            &|a, b| linear.decode(a, b),
            &|codes| linear.decode_tensor(codes, &anchors),
        ),
        (
            "pixels",
            &|a, b| pixels.encode(a, b),
            &|a, b| pixels.decode(a, b),
            &|codes| pixels.decode_tensor(codes, &anchors),
        ),
    ];
    for (name, encode, decode, decode_all) in cases {
        let rows = |f: Code, of: &[BoxEdges]| {
            let rows = of.iter().zip(&anchors);
            wide(rows.flat_map(|(of, anchor)| f(of, anchor)))
        };
        let expected = goldens.f64(&format!("coding.{name}.encoded"));
        assert_close(name, &rows(encode, &boxes), &expected, 1e-6);
        let expected = goldens.f64(&format!("coding.{name}.decoded"));
        assert_close(name, &rows(decode, &codes), &expected, 1e-6);
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
            let codes = goldens.tensor("coding.codes").to_dtype(dtype).unwrap();
            let codes = Var::from_tensor(&codes).unwrap();
            let found = decode_all(&codes).unwrap();
            assert_eq!(found.dtype(), dtype);
            assert_close(name, &values(&found), &expected, 1e-6);
            let upstream = upstream.to_dtype(dtype).unwrap();
            let sum = (found * upstream).unwrap().sum_all().unwrap();
            let grads = sum.backward().unwrap();
            let expected = goldens.f64(&format!("coding.{name}.grad"));
            assert_close(
                name,
                &values(grads.get(&codes).unwrap()),
                &expected,
                tolerance,
            );
        }
    }
}

#[test]
fn what_is_encoded_is_decoded_again() {
    let goldens = Goldens::read();
    let boxes = goldens.edges("coding.boxes");
    for (edges, anchor) in boxes.iter().zip(goldens.edges("coding.anchors")) {
        let by_size = BoxCoder::of_heads();
        let linear = BoxLinearCoder::default();
        for again in [
            by_size.decode(&by_size.encode(edges, &anchor), &anchor),
            linear.decode(&linear.encode(edges, &anchor), &anchor),
        ] {
            assert_close("again", &wide(again), &wide(*edges), 1e-6);
        }
    }
}

#[test]
fn codes_of_another_shape_and_no_codes() {
    let zeros = |shape: &[usize]| {
        candle_core::Tensor::zeros(shape, DType::F32, &candle_core::Device::Cpu).unwrap()
    };
    let coder = BoxCoder::default();
    let none = coder.decode_tensor(&zeros(&[0, 4]), &[]).unwrap();
    assert_eq!(none.dims(), [0, 4]);
    let error = coder.decode_tensor(&zeros(&[2, 5]), &[]).unwrap_err();
    assert!(error.to_string().contains("shape [2, 5]"), "{error}");
    let error = coder
        .decode_tensor(&zeros(&[2, 4]), &[[0.; 4]])
        .unwrap_err();
    assert!(
        error.to_string().contains("expected 2, one per box"),
        "{error}"
    );
}

#[test]
fn matches_equal_torchvision_also_for_ties() {
    let goldens = Goldens::read();
    let rows = goldens.tensor("matching.quality").to_vec2().unwrap();
    let overlaps = OverlapMatrix::from_rows(&rows).unwrap();
    let plain = Matcher::new(0.75, 0.5).unwrap();
    for (name, matcher) in [
        ("refused", plain),
        ("ties", plain.with_low_quality(LowQuality::Ties)),
        ("ssd", Matcher::ssd(0.75).unwrap()),
    ] {
        let numbers = goldens.i64(&format!("matching.{name}"));
        let expected: Vec<Match> = numbers
            .into_iter()
            .map(|number| match number {
                -1 => Match::Background,
                -2 => Match::Ignored,
                object => Match::Object(object as usize),
            })
            .collect();
        assert_eq!(matcher.assign(&overlaps), expected, "{name}");
    }
}

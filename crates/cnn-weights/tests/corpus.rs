//! Files written by `torch.save` and hostile ones, both made by `tools/pth_corpus.py`.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::DType;
use cnn_weights::{ElementType, Error, Format, Prefer, TensorFile};

const FORMS: [(&str, Format); 2] = [("zip", Format::PthZip), ("legacy", Format::PthLegacy)];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn open(name: &str, form: &str) -> TensorFile {
    TensorFile::open(corpus().join(format!("{name}.{form}.pth")))
        .unwrap_or_else(|e| panic!("{name}.{form}: {e}"))
}

fn values(file: &TensorFile, name: &str) -> Vec<f64> {
    let tensor = file.tensor(name).unwrap();
    let info = file.info(name).unwrap();
    assert_eq!(tensor.dims(), info.shape, "{name}");
    assert_eq!(tensor.dtype(), info.dtype, "{name}");
    assert!(tensor.is_contiguous(), "{name}");
    tensor
        .flatten_all()
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
        .to_vec1()
        .unwrap()
}

/// Checks names in order, shapes and values in both formats.
fn check(name: &str, expected: &[(&str, &[usize], &[f64])]) {
    for (form, format) in FORMS {
        let file = open(name, form);
        assert_eq!(file.format(), format);
        let names: Vec<_> = expected.iter().map(|(name, ..)| *name).collect();
        assert_eq!(file.names().collect::<Vec<_>>(), names, "{form}");
        assert_eq!(file.len(), names.len());
        for &(tensor, shape, numbers) in expected {
            assert_eq!(file.info(tensor).unwrap().shape, shape, "{form} {tensor}");
            assert_eq!(values(&file, tensor), numbers, "{form} {tensor}");
        }
    }
}

#[test]
fn views_are_gathered() {
    let whole: Vec<f64> = (0..24).map(f64::from).collect();
    let transposed: Vec<f64> = (0..24).map(|i| f64::from(i % 4 * 6 + i / 4)).collect();
    let small: Vec<f64> = (0..12).map(f64::from).collect();
    check(
        "good_views",
        &[
            ("whole", &[4, 6], &whole),
            ("transposed", &[6, 4], &transposed),
            ("slice", &[2, 3], &[8.0, 9.0, 10.0, 14.0, 15.0, 16.0]),
            ("steps", &[2, 2], &[1.0, 4.0, 13.0, 16.0]),
            ("row", &[6], &[18.0, 19.0, 20.0, 21.0, 22.0, 23.0]),
            ("expanded", &[2, 3], &[5.0; 6]),
            ("channels_last", &[1, 2, 3, 2], &small),
        ],
    );
}

#[test]
fn parameters_may_share_a_storage() {
    let tied = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    check(
        "good_shared",
        &[
            ("encoder.weight", &[3, 2], &tied),
            ("decoder.weight", &[3, 2], &tied),
            ("half", &[2, 2], &tied[2..]),
        ],
    );
}

#[test]
fn every_element_type_is_read() {
    let bf16 = 3.00405527047391e38;
    check(
        "good_types",
        &[
            ("f16", &[3], &[0.5, -2.0, 65504.0]),
            ("bf16", &[3], &[0.5, -2.0, bf16]),
            ("f64", &[2], &[0.1, -1e300]),
            ("i64", &[], &[-1_099_511_627_776.0]),
            ("i32", &[2], &[-2_147_483_648.0, 7.0]),
            ("i16", &[2], &[-32768.0, 7.0]),
            ("i8", &[2], &[-128.0, 127.0]),
            ("u8", &[2], &[0.0, 255.0]),
            ("bool", &[1, 3], &[1.0, 0.0, 1.0]),
            ("empty", &[0, 3], &[]),
        ],
    );
    let stored: Vec<_> = {
        let file = open("good_types", "zip");
        file.names()
            .map(|name| {
                file.info(name)
                    .map(|info| (info.stored, info.dtype))
                    .unwrap()
            })
            .collect()
    };
    assert_eq!(stored[0], (ElementType::F16, DType::F16));
    assert_eq!(stored[1], (ElementType::BF16, DType::BF16));
    assert_eq!(stored[6], (ElementType::I8, DType::I16));
    assert_eq!(stored[8], (ElementType::Bool, DType::U8));
}

#[test]
fn untyped_storages_and_types_that_candle_lacks() {
    check(
        "good_more_types",
        &[
            ("u16", &[2], &[0.0, 65535.0]),
            ("u32", &[1], &[4_294_967_295.0]),
        ],
    );
    let file = open("good_more_types", "zip");
    let skipped: Vec<_> = file
        .skipped()
        .iter()
        .map(|skipped| skipped.name.as_str())
        .collect();
    assert_eq!(skipped, ["complex", "f8"]);
    let error = file.tensor("complex").unwrap_err().to_string();
    assert_eq!(
        error,
        "tensor `complex`: there is no candle type for `complex64`"
    );
}

#[test]
fn tensors_of_other_kinds_are_named_with_the_reason() {
    check(
        "good_unreadable",
        &[("numpy", &[2], &[1.0, 1.0]), ("fine", &[2], &[0.0, 1.0])],
    );
    let expected = [
        ("sparse", "sparse tensors are not read"),
        ("meta", "tensors on the meta device hold no values"),
        ("quantised", "quantised tensors are not read"),
    ];
    for (form, _) in FORMS {
        let file = open("good_unreadable", form);
        let skipped: Vec<_> = file
            .skipped()
            .iter()
            .map(|s| (s.name.as_str(), s.reason.as_str()))
            .collect();
        assert_eq!(skipped, expected, "{form}");
        let error = file.tensor("sparse").unwrap_err().to_string();
        assert_eq!(error, "tensor `sparse`: sparse tensors are not read");
    }
}

#[test]
fn a_checkpoint_gives_its_state_dict_without_the_parallel_prefix() {
    check(
        "good_checkpoint",
        &[
            ("0.weight", &[3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            ("1.running_mean", &[3], &[10.0, 11.0, 12.0]),
            ("1.running_var", &[3], &[20.0, 21.0, 22.0]),
            ("1.num_batches_tracked", &[], &[30.0]),
        ],
    );
    for (form, _) in FORMS {
        let facts = open("good_checkpoint", form).metadata().clone();
        let facts: Vec<_> = facts
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            facts,
            [
                ("arch", "tiny"),
                ("done", "false"),
                ("epoch", "17"),
                ("lr", "0.25")
            ],
            "{form}"
        );
    }
}

#[test]
fn nested_dictionaries_and_lists_are_joined_with_dots() {
    check(
        "good_nested",
        &[
            ("stem.weight", &[2, 2], &[0.0, 1.0, 2.0, 3.0]),
            ("blocks.0", &[1], &[0.0]),
            ("blocks.1.3", &[2], &[0.0, 1.0]),
        ],
    );
}

#[test]
fn other_roots_cycles_and_locations() {
    check(
        "good_tensor",
        &[("tensor", &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])],
    );
    check("good_cuda", &[("weight", &[3], &[0.0, 1.0, 2.0])]);
    check("good_cycle", &[("weight", &[2, 2], &[0.0, 1.0, 2.0, 3.0])]);
    check("good_pairs", &[("weight", &[2, 2], &[0.0, 1.0, 2.0, 3.0])]);
}

#[test]
fn a_pickled_module_gives_its_parameters_and_buffers() {
    let file = open("good_module", "zip");
    let names: Vec<_> = file.names().collect();
    assert_eq!(
        names,
        [
            "0.weight",
            "1.running_mean",
            "1.running_var",
            "1.num_batches_tracked"
        ]
    );
    assert_eq!(values(&file, "1.running_var"), [20.0, 21.0, 22.0]);
    assert_eq!(
        values(&open("good_module", "legacy"), "weight"),
        [0.25, 0.25]
    );
}

#[test]
fn whatever_lies_beside_the_weights_is_left_alone() {
    for form in ["zip", "legacy", "protocol5.zip"] {
        let file = open("good_objects", form);
        assert_eq!(file.names().collect::<Vec<_>>(), ["weight"], "{form}");
        assert_eq!(values(&file, "weight"), [0.0, 1.0], "{form}");
        assert_eq!(
            file.chosen().map(|chosen| chosen.entry.as_str()),
            Some("state_dict")
        );
    }
}

#[test]
fn numpy_arrays_are_tensors() {
    for form in ["zip", "legacy", "protocol5.zip"] {
        let file = open("good_arrays", form);
        let expected: [(&str, &[usize], &[f64]); 7] = [
            ("plain", &[2, 3], &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5]),
            ("fortran", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            ("whole", &[2], &[1_099_511_627_776.0, -1.0]),
            ("truth", &[2], &[1.0, 0.0]),
            ("half", &[2], &[0.5, -2.0]),
            ("scalar", &[], &[7.0]),
            ("tensor", &[2], &[0.0, 1.0]),
        ];
        let names: Vec<_> = file.names().collect();
        assert_eq!(names, expected.map(|(name, ..)| name), "{form}");
        for (name, shape, numbers) in expected {
            assert_eq!(file.info(name).unwrap().shape, shape, "{form} {name}");
            assert_eq!(values(&file, name), numbers, "{form} {name}");
        }
        let skipped: Vec<_> = file
            .skipped()
            .iter()
            .map(|skipped| (skipped.name.as_str(), skipped.reason.as_str()))
            .collect();
        let of_type = "numpy arrays of this type are not read";
        assert_eq!(
            skipped,
            [
                ("texts", of_type),
                ("objects", of_type),
                ("big_endian", "big-endian numpy arrays are not read")
            ],
            "{form}"
        );
    }
}

#[test]
fn tensors_of_devices_and_of_other_classes_are_rebuilt() {
    check(
        "good_rebuilt",
        &[
            ("device", &[3], &[0.0, 1.0, 2.0]),
            ("wrapped", &[2], &[0.0, 1.0]),
            ("slots", &[2], &[0.0, 1.0]),
            ("parameter", &[2], &[1.0, 2.0]),
        ],
    );
    let file = open("good_rebuilt", "zip");
    assert_eq!(file.skipped()[0].name, "quantised");
    assert_eq!(
        file.skipped()[0].reason,
        "tensors of other classes, made of several tensors, are not read"
    );
}

#[test]
fn the_moving_average_is_read_where_it_is_asked_for() {
    for (form, _) in FORMS {
        let path = corpus().join(format!("good_averages.{form}.pth"));
        for (prefer, entry, other, first, wrapper) in [
            (Prefer::Weights, "model", "model_ema", 0.0, ""),
            (Prefer::MovingAverage, "model_ema", "model", 1.0, "module."),
        ] {
            let file = TensorFile::open_with(&path, prefer).unwrap();
            assert_eq!(values(&file, "weight"), [first, first + 1.0]);
            let chosen = file.chosen().unwrap();
            assert_eq!(
                (chosen.entry.as_str(), chosen.others.as_slice()),
                (entry, [other.to_string()].as_slice())
            );
            assert_eq!(chosen.is_average, prefer == Prefer::MovingAverage);
            assert_eq!(file.wrapper(), wrapper);
        }
        let file = TensorFile::open_with(
            corpus().join(format!("good_checkpoint.{form}.pth")),
            Prefer::MovingAverage,
        )
        .unwrap();
        let chosen = file.chosen().unwrap();
        assert!(!chosen.is_average && chosen.entry == "state_dict" && chosen.others == ["model"]);
    }
}

#[test]
fn one_text_used_by_many_arrays_is_kept_once() {
    // 1 MB of bytes, 20,000 arrays over them: kept 20,000 times they would take 20 GB.
    let mut structure = b"\x80\x03C\0q\x000B".to_vec();
    structure.extend(1_000_000u32.to_le_bytes());
    structure.extend(vec![7; 1_000_000]);
    structure.extend(b"q\x010cnumpy\ndtype\nX\x02\0\0\0u1\x85Rq\x020](");
    for _ in 0..20_000 {
        structure
            .extend(b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x02\x85h\x02\x89h\x01tb");
    }
    structure.extend(b"e.");
    let file = TensorFile::from_bytes(legacy(&structure)).unwrap();
    assert_eq!(file.len(), 20_000);
    assert_eq!(values(&file, "19999"), [7.0, 7.0]);
}

/// A file of PyTorch's legacy format without storages.
fn legacy(structure: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    [head, structure, b"\x80\x02]."].concat()
}

#[test]
fn what_is_derived_from_functions_that_run_code_is_refused() {
    let call = |function: &str, of: &str| {
        let arguments = format!("c{function}\nc{of}\n]");
        let structure = [b"\x80\x02".as_slice(), arguments.as_bytes(), b"\x86R."].concat();
        TensorFile::from_bytes(legacy(&structure)).map(|file| file.len())
    };
    for function in [
        "builtins\ngetattr",
        "__builtin__\nmap",
        "builtins\nfilter",
        "functools\nreduce",
        "_operator\ngetitem",
    ] {
        let error = call(function, "os\nsystem").unwrap_err().to_string();
        assert_eq!(
            error,
            "refused: the pickle calls `os.system`; only tensors are read"
        );
        // An object without tensors is what is left.
        let error = call(function, "typing\nOptional").unwrap_err().to_string();
        assert!(error.contains("a pickled object and no tensors"), "{error}");
    }
}

#[test]
fn arrays_that_lie_are_no_panic() {
    let array = |shape: &[u8], order: &[u8], data: &[u8]| {
        let state = [b"(K\x01".as_slice(), shape, b"h\x00", order, data, b"tb"].concat();
        let array = b"cnumpy.core.multiarray\n_reconstruct\n)R";
        let dtype = b"\x80\x03cnumpy\ndtype\nX\x02\0\0\0f4\x85Rq\x000";
        legacy(&[dtype.as_slice(), array, &state, b"."].concat())
    };
    let eight = b"C\x08\0\0\0\0\0\0\0\0";
    let good = TensorFile::from_bytes(array(b"K\x02\x85", b"\x89", eight)).unwrap();
    assert_eq!(values(&good, "tensor"), [0.0, 0.0]);
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let huge = [huge.as_slice(), huge, b"\x86"].concat();
    for (shape, data, message) in [
        (
            b"K\x03\x85".as_slice(),
            eight.as_slice(),
            "needs a storage of 12 bytes, it has 8",
        ),
        (&huge, eight, ""),
        (b"J\xff\xff\xff\xff\x85", eight, ""),
        (b"K\x02\x85", b"]", ""),
        (
            b"K\x02\x85",
            b"c_codecs\nencode\nX\x02\0\0\0\xc4\x80X\x06\0\0\0latin1\x86R",
            "",
        ),
        (b"N", eight, ""),
    ] {
        match TensorFile::from_bytes(array(shape, b"\x88", data)) {
            Err(error) => assert!(
                !message.is_empty() && error.to_string().contains(message),
                "{error}"
            ),
            Ok(file) => {
                assert!(message.is_empty() && file.is_empty());
                assert_eq!(file.skipped()[0].reason, "the numpy array is malformed");
            }
        }
    }
}

#[test]
fn all_protocols_that_torch_can_write() {
    for (name, form) in [("3", "zip"), ("4", "zip"), ("5", "zip"), ("4", "legacy")] {
        assert_eq!(
            values(&open(&format!("good_protocol{name}"), form), "a"),
            [0.0, 1.0],
            "{name} {form}"
        );
    }
}

#[test]
fn deflated_storages_are_inflated() {
    let expected: Vec<f64> = (0..64).map(f64::from).collect();
    assert_eq!(values(&open("good_deflated", "zip"), "weight"), expected);
}

/// Name of a file in the corpus and what its error says, in each form it is there.
const BAD: &[(&str, &str)] = &[
    (
        "system",
        "refused: the pickle calls `posix.system`; only tensors are read",
    ),
    (
        "eval",
        "refused: the pickle calls `__builtin__.eval`; only tensors are read",
    ),
    (
        "attribute",
        "refused: the pickle calls `posix.system`; only tensors are read",
    ),
    (
        "inst",
        "refused: the pickle calls `os.system`; only tensors are read",
    ),
    (
        "stack_global",
        "refused: the pickle calls `posix.system`; only tensors are read",
    ),
    (
        "popen",
        "refused: the pickle calls `subprocess.Popen`; only tensors are read",
    ),
    (
        "deep",
        "depth of nested dictionaries: 101, at most 100 allowed",
    ),
    (
        "laughs",
        "the pickle repeats its dictionaries until they are larger than the file allows",
    ),
    (
        "laughs_lists",
        "the pickle repeats its dictionaries until they are larger than the file allows",
    ),
    (
        "huge_numel",
        "a storage of 4611686018427387904 elements of F32 is beyond any memory",
    ),
    (
        "huge_shape",
        "tensor `w`: shape [2147483648, 2147483648, 2147483648] of F32 is beyond any memory",
    ),
    (
        "expand_bomb",
        "tensor `w`: shape [1099511627776] takes 4398046511104 bytes, 10",
    ),
    ("negative_stride", "a tensor's stride is negative: -1"),
    (
        "negative_offset",
        "a tensor's storage offset is negative: -1",
    ),
    (
        "beyond_storage",
        "tensor `w`: shape [2, 2] with strides [2, 1] at offset 1 needs a storage of 20 bytes, it has 16",
    ),
    (
        "short_storage",
        "storage `0` holds 16 bytes, the pickle takes 20 from it",
    ),
    ("missing_storage", "storage `1` is not in the file"),
    (
        "rank",
        "a tensor's size has 500 dimensions, at most 32 are read",
    ),
    ("duplicate", "two tensors are named `a.b`"),
    (
        "long_name",
        "bytes in a tensor's name: 2000, at most 1000 allowed",
    ),
    ("stack_underflow", "the stack is empty"),
    ("unknown_opcode", "0xff is no opcode"),
    ("huge_string", "it ends in the middle: the file is cut"),
    ("memo", "memo 7 was never stored"),
    ("big_endian", "big-endian files are not read"),
    ("half", "the file is cut"),
    ("magic", "this is a pickle without PyTorch's magic number"),
    (
        "plain_pickle",
        "this is a pickle without PyTorch's magic number",
    ),
    (
        "protocol",
        "PyTorch file protocol 1002 is not known, 1001 is",
    ),
    ("no_pickle", "this is a zip archive without a `data.pkl`"),
    ("torchscript", "TorchScript archives are not read"),
    (
        "bomb",
        "bytes after inflating the archive: 4294967294, at most",
    ),
    (
        "lying_bomb",
        "a record inflates to more than the 16 bytes that were promised",
    ),
];

#[test]
fn hostile_and_broken_files_are_errors_that_say_why() {
    let mut tested = 0;
    for &(name, message) in BAD {
        let forms = FORMS
            .iter()
            .map(|(form, _)| corpus().join(format!("bad_{name}.{form}.pth")));
        let files: Vec<_> = forms.filter(|path| path.exists()).collect();
        assert!(!files.is_empty(), "{name}");
        for path in files {
            let started = Instant::now();
            let error = TensorFile::open(&path).map(|file| file.len()).unwrap_err();
            assert!(matches!(error, Error::File { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(message), "{text}\nlacks: {message}");
            assert!(
                text.starts_with(&format!("`{}`: ", path.display())),
                "{text}"
            );
            assert!(
                started.elapsed() < Duration::from_secs(2),
                "{name} took {:?}",
                started.elapsed()
            );
            tested += 1;
        }
    }
    let files = std::fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(
        tested,
        files.filter(|name| name.starts_with("bad_")).count(),
        "a file of the corpus is not tested"
    );
}

#[test]
fn a_large_state_that_many_objects_share_takes_no_time() {
    let mut file =
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    file.extend(b"\x80\x02}q\x00(");
    file.extend(b"NN".repeat(100_000));
    file.extend(b"u](");
    file.extend(b"cnet\nBlock\n)\x81h\x00b".repeat(100_000));
    file.extend(b"e.\x80\x02].");
    let started = Instant::now();
    let error = TensorFile::from_bytes(file).unwrap_err().to_string();
    assert!(error.contains("repeats its dictionaries"), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for name in ["good_types.zip.pth", "good_types.legacy.pth"] {
        let whole = std::fs::read(corpus().join(name)).unwrap();
        for len in 0..whole.len() {
            assert!(
                TensorFile::from_bytes(whole[..len].to_vec()).is_err(),
                "{name} cut at {len}"
            );
        }
    }
}

#[test]
fn paths_that_cannot_be_read_are_named() {
    for path in ["/nonexistent/x.pth", env!("CARGO_MANIFEST_DIR")] {
        let error = TensorFile::open(path).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read `{path}`"));
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[test]
fn names_are_suggested_and_can_be_changed() {
    let file = open("good_checkpoint", "zip");
    let error = file.tensor("1.runing_mean").unwrap_err().to_string();
    assert_eq!(
        error,
        "no tensor is named `1.runing_mean`; did you mean `1.running_mean`?"
    );

    let file = file.rename(|name| format!("net.{name}")).unwrap();
    assert_eq!(values(&file, "net.1.running_mean"), [10.0, 11.0, 12.0]);
    assert_eq!(
        file.rename(|_| "same".into()).unwrap_err().to_string(),
        "two tensors are named `same`"
    );
}

//! What a person may type or be given: each is answered by a sentence and an exit status, never by
//! a panic or a half-written file.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

const MODEL: &str = "resnet8_cifar10";

struct Answer {
    status: i32,
    stdout: String,
    stderr: String,
}

fn xtask(arguments: &[&str]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_cnn"))
        .args(arguments)
        .env("HF_HOME", "nowhere")
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).to_string();
    Answer {
        status: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Runs a command that must fail with `status`, an empty standard output and all of `words` in its
/// message.
fn refused(status: i32, words: &[&str], arguments: &[&str]) {
    let answer = xtask(arguments);
    assert_eq!(
        answer.status, status,
        "{arguments:?}\n{}\n{}",
        answer.stdout, answer.stderr
    );
    assert_eq!(
        answer.stdout, "",
        "{arguments:?} printed to standard output"
    );
    assert!(
        !answer.stderr.contains("panicked"),
        "{arguments:?}: {}",
        answer.stderr
    );
    for word in words {
        assert!(
            answer.stderr.contains(word),
            "{arguments:?}: `{word}` is not in\n{}",
            answer.stderr
        );
    }
}

/// A directory with a network of fresh weights, a directory without anything, and files that are
/// not what they seem.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let network =
            cnn_models::Network::new(MODEL, &cnn_models::ModelConfig::default(), 0).unwrap();
        network.save(&directory.path().join("weights")).unwrap();
        std::fs::create_dir(directory.path().join("empty")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.directory.path().join(name), bytes).unwrap();
        self.path(name)
    }
}

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn unusable_arguments_exit_with_2() {
    let bench = Bench::new();
    let weights = bench.path("weights");
    refused(
        2,
        &["unknown model `resnet-18`", "did you mean `resnet18`?"],
        &["predict", "x.jpg", "--model", "resnet-18"],
    );
    refused(
        2,
        &[
            "architecture `resnet8_cifar10`",
            "`resnet20_cifar10` was asked for",
        ],
        &[
            "predict",
            "x.jpg",
            "--model",
            "resnet20_cifar10",
            "--weights",
            &weights,
        ],
    );
    refused(2, &["name the network"], &["evaluate", "--data", "x"]);
    refused(
        2,
        &["--top"],
        &["predict", "x.jpg", "--model", MODEL, "--top", "0"],
    );
    refused(
        2,
        &["--wieghts", "--weights"],
        &["predict", "x.jpg", "--wieghts", "none"],
    );
    refused(
        2,
        &["absent.toml"],
        &["evaluate", "--config", "absent.toml"],
    );
    let bare = bench.file(
        "bare.safetensors",
        &std::fs::read(Path::new(&weights).join("model.safetensors")).unwrap(),
    );
    refused(
        2,
        &["bare.safetensors", "name the model"],
        &["predict", "x.jpg", "--weights", &bare],
    );
}

#[test]
fn what_means_nothing_without_weights_is_not_answered() {
    let bench = Bench::new();
    let photo = workspace("crates/cnn-data/tests/golden/rgb-444.jpg")
        .display()
        .to_string();
    let commands: [&[&str]; 4] = [
        &["predict", &photo],
        &["explain", &photo],
        &["evaluate", "--data", "x"],
        &["inspect", "--data", "x"],
    ];
    let places = ["resnet18.IMAGENET1K_V1", "resnet18.a1_in1k"];
    let accepted = [
        "resnet18 needs --weights",
        "a run directory",
        ".safetensors",
        "--weights none",
    ];
    for command in commands {
        refused(
            2,
            &[&accepted[..], &places].concat(),
            &[command, &["--model", "resnet18"]].concat(),
        );
        let words = ["none are published", "train --model lenet5"];
        refused(2, &words, &[command, &["--model", "lenet5"]].concat());
        refused(
            2,
            &["did you mean `resnet20_cifar10`?"],
            &[command, &["--model", "resnet20"]].concat(),
        );
    }
    // Random weights that were asked for are used, and called so.
    let answer = xtask(&[
        "predict",
        &photo,
        "--model",
        MODEL,
        "--weights",
        "none",
        "--json",
    ]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    assert!(
        answer
            .stderr
            .contains("the weights of resnet8_cifar10 are random"),
        "{}",
        answer.stderr
    );
    let value: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(value["weights"], "none");
    let weights = bench.path("weights");
    let answer = xtask(&["predict", &photo, "--weights", &weights, "--json"]);
    assert!(!answer.stderr.contains("random"), "{}", answer.stderr);
    let value: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(value["weights"], *weights);
}

#[test]
fn mistakes_are_answered_with_what_was_meant() {
    let bench = Bench::new();
    let weights = bench.path("weights");
    let list = bench.file("list.csv", b"a,b\n");
    std::fs::create_dir_all(bench.path("photos/cat")).unwrap();
    let photo = bench.path("photos/cat/1.jpg");
    std::fs::copy(
        workspace("crates/cnn-data/tests/golden/rgb-444.jpg"),
        &photo,
    )
    .unwrap();
    let photos = bench.path("photos");
    refused(
        2,
        &["there is no Shapes", "did you mean `shapes`?"],
        &["data", "Shapes"],
    );
    refused(
        2,
        &["--data: found `nigth`", "night"],
        &["train", "--data", "shapes:nigth"],
    );
    refused(
        2,
        &["`train`, `val` and `test` by --split"],
        &["evaluate", "--data", "shapes", "--weights", &weights],
    );
    let val = [
        "evaluate",
        "--data",
        &photos,
        "--weights",
        &weights,
        "--split",
        "val",
    ];
    refused(2, &["has no split `val`", "leave --split out"], &val);
    refused(
        1,
        &["hf:timm/resnet18.a1_in1k", "is not in", "HF_HUB_OFFLINE"],
        &["predict", &photo, "--weights", "resnet18"],
    );
    refused(
        1,
        &["list.csv: none of its columns names images that are there"],
        &["data", &list],
    );
    // What is no weight file is not asked for its model.
    refused(
        1,
        &[
            "1.jpg",
            "this is a JPEG image; accepted are safetensors files",
        ],
        &["predict", &photo, "--weights", &photo],
    );
}

#[test]
fn a_run_of_ones_own_program_says_what_it_lacks() {
    let bench = Bench::new();
    let photo = workspace("crates/cnn-data/tests/golden/rgb-444.jpg")
        .display()
        .to_string();
    let weights = std::fs::read(bench.path("weights/model.safetensors")).unwrap();
    for place in ["best", "last"] {
        std::fs::create_dir_all(bench.path(&format!("run/{place}"))).unwrap();
        bench.file(&format!("run/{place}/model.safetensors"), &weights);
    }
    bench.file("run/resume.safetensors", &weights);
    bench.file("run/mine.safetensors", &weights);
    let run = bench.path("run");
    let words = [
        "run/best holds weights",
        "no config.json",
        "by --model",
        "with_companion(\"config.json\"",
    ];
    refused(2, &words, &["predict", &photo, "--weights", &run]);
    let answer = xtask(&["predict", &photo, "--weights", &run, "--model", MODEL]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
}

#[test]
fn commands_that_end_well_say_what_to_do_next() {
    let bench = Bench::new();
    let weights = bench.path("weights");
    let photo = workspace("crates/cnn-data/tests/golden/rgb-444.jpg")
        .display()
        .to_string();
    std::fs::create_dir_all(bench.path("photos/airplane")).unwrap();
    std::fs::create_dir_all(bench.path("photos/cat")).unwrap();
    for class in ["airplane", "cat"] {
        std::fs::copy(&photo, bench.path(&format!("photos/{class}/1.jpg"))).unwrap();
    }
    let photos = bench.path("photos");
    let network = format!(" --weights {weights}");
    let table: [(&[&str], &[&str]); 4] = [
        (
            &["predict", &photo, "--weights", &weights],
            &[&format!("explain {photo}{network}")],
        ),
        (
            &["evaluate", "--data", &photos, "--weights", &weights],
            &[
                &format!("inspect{network} --data {photos}"),
                &format!("explain PHOTOS{network}"),
            ],
        ),
        (
            &["data", &photos],
            &[
                &format!("finetune --data {photos}"),
                &format!("train --data {photos}"),
            ],
        ),
        (&["data", &bench.path("photos/cat")], &["predict "]),
    ];
    for (arguments, commands) in table {
        let answer = xtask(arguments);
        assert_eq!(answer.status, 0, "{arguments:?}: {}", answer.stderr);
        let (_, next) = answer
            .stderr
            .split_once("next: ")
            .unwrap_or_else(|| panic!("{arguments:?}: {}", answer.stderr));
        assert!(
            commands.iter().all(|command| next.contains(command)),
            "{arguments:?}: {next}"
        );
        assert!(next.lines().count() <= 3, "{next}");
        let for_programs = xtask(&[arguments, &["--json"]].concat());
        assert!(
            !for_programs.stderr.contains("next: "),
            "{}",
            for_programs.stderr
        );
    }
}

#[test]
fn missing_and_empty_paths_are_named() {
    let bench = Bench::new();
    let weights = bench.path("weights");
    let absent = bench.path("absent");
    let empty = bench.path("empty");
    refused(1, &["absent"], &["predict", &absent, "--weights", &weights]);
    refused(1, &["absent"], &["predict", "x.jpg", "--weights", &absent]);
    refused(
        1,
        &["absent"],
        &["evaluate", "--data", &absent, "--weights", &weights],
    );
    refused(1, &["absent"], &["data", &absent]);
    refused(
        1,
        &["empty", "no images"],
        &["predict", &empty, "--weights", &weights],
    );
    refused(
        1,
        &["empty", "looked for"],
        &["evaluate", "--data", &empty, "--weights", &weights],
    );
    refused(1, &["empty"], &["data", &empty]);
    refused(
        1,
        &["empty", "no weight file"],
        &["predict", "x.jpg", "--model", MODEL, "--weights", &empty],
    );
}

#[test]
fn broken_images_as_the_only_argument_are_refused() {
    let bench = Bench::new();
    let weights = bench.path("weights");
    let predict = |words: &[&str], path: &str| {
        refused(
            1,
            words,
            &["predict", path, "--weights", &weights, "--json"],
        )
    };
    predict(
        &["text.jpg", "not an image", "JPEG, PNG"],
        &bench.file("text.jpg", b"this is a shopping list"),
    );
    predict(
        &["huge.png", "declares 100000x100000 pixels"],
        &bench.file("huge.png", &png_header(100_000, 100_000)),
    );
    let jpeg = std::fs::read(workspace("crates/cnn-data/tests/golden/rgb-444.jpg")).unwrap();
    predict(
        &["cut.jpg", "broken JPEG"],
        &bench.file("cut.jpg", &jpeg[..jpeg.len() / 2]),
    );
}

#[test]
fn broken_weight_files_are_refused() {
    let bench = Bench::new();
    let whole = std::fs::read(bench.path("weights/model.safetensors")).unwrap();
    let predict = |words: &[&str], weights: &str| {
        refused(
            1,
            words,
            &["predict", "x.jpg", "--model", MODEL, "--weights", weights],
        )
    };
    predict(
        &["half.safetensors"],
        &bench.file("half.safetensors", &whole[..whole.len() / 2]),
    );
    let mut header = (1u64 << 60).to_le_bytes().to_vec();
    header.extend_from_slice(b"{}");
    predict(
        &["header.safetensors", "1152921504606846976"],
        &bench.file("header.safetensors", &header),
    );
    let system = workspace("crates/cnn-weights/tests/corpus/bad_system.zip.pth");
    predict(&["refused", "posix.system"], &system.display().to_string());
    let wrong =
        cnn_models::Network::new("resnet20_cifar10", &cnn_models::ModelConfig::default(), 0)
            .unwrap();
    wrong.save(Path::new(&bench.path("wrong"))).unwrap();
    std::fs::remove_file(bench.path("wrong/config.json")).unwrap();
    refused(
        1,
        &["layer1.3.conv1.weight"],
        &[
            "predict",
            "x.jpg",
            "--model",
            "resnet32_cifar10",
            "--weights",
            &bench.path("wrong"),
        ],
    );
    let wide = cnn_models::Network::new("mobilenetv2_035", &cnn_models::ModelConfig::default(), 0)
        .unwrap();
    wide.save(Path::new(&bench.path("wide"))).unwrap();
    std::fs::remove_file(bench.path("wide/config.json")).unwrap();
    let words = [
        "blocks.1.0.conv_pwl.weight",
        "[16, 48, 1, 1]",
        "[8, 48, 1, 1]",
    ];
    refused(
        1,
        &words,
        &[
            "predict",
            "x.jpg",
            "--model",
            "mobilenetv2_050",
            "--weights",
            &bench.path("wide"),
        ],
    );
}

#[test]
fn a_raw_batch_that_does_not_fit_is_refused_and_nothing_is_written() {
    let bench = Bench::new();
    let output = bench.path("y.safetensors");
    let input = bench.path("weights/model.safetensors");
    let arguments = [
        "forward", "--model", MODEL, "--input", &input, "--output", &output,
    ];
    refused(
        1,
        &["model.safetensors", "no tensor is named `input`"],
        &arguments,
    );
    assert!(!Path::new(&output).exists());
}

/// A PNG that declares its size and ends there.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
    chunk.extend([8, 2, 0, 0, 0]);
    let crc = !chunk.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    });
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        13u32.to_be_bytes().to_vec(),
        chunk,
        crc.to_be_bytes().to_vec(),
    ]
    .concat()
}

/// A folder may be called anything that the system lets it be called.
#[cfg(target_os = "linux")]
#[test]
fn folders_whose_names_are_no_text_are_arguments_too() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let bench = Bench::new();
    let odd = bench.directory.path().join(OsStr::from_bytes(b"caf\xe9"));
    let photo = cnn_data::Image::from_pixels(32, 32, 3, vec![7; 3 * 32 * 32]).unwrap();
    for file in [
        "airplane/1.png",
        "airplane/2.png",
        "ship/1.png",
        "ship/2.png",
    ] {
        std::fs::create_dir_all(odd.join(file).parent().unwrap()).unwrap();
        photo.write_png(&odd.join(file)).unwrap();
    }
    std::fs::rename(bench.path("weights"), odd.join("net")).unwrap();
    let run = |arguments: &[&OsStr]| {
        let output = Command::new(env!("CARGO_BIN_EXE_cnn"))
            .args(arguments)
            .current_dir(bench.directory.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).to_string();
        assert!(output.status.success(), "{arguments:?}: {said}");
        (String::from_utf8(output.stdout).unwrap(), said)
    };
    let words = |text: &'static str| text.split(' ').map(OsStr::new);
    let (data, _) = run(&[OsStr::new("data"), odd.as_os_str()]);
    assert!(
        data.contains("caf\u{fffd}: image-folder, 4 samples"),
        "{data}"
    );
    let net = odd.join("net");
    let evaluate: Vec<&OsStr> = words("evaluate --weights")
        .chain([net.as_os_str(), OsStr::new("--data"), odd.as_os_str()])
        .collect();
    assert!(run(&evaluate).0.contains("samples  4"));
    // A run that goes on finds its data by the same bytes.
    let train: Vec<&OsStr> = words("train --epochs 1 --val-fraction 0.5 --batch 1 --data")
        .chain([odd.as_os_str()])
        .collect();
    run(&train);
    let resumed: Vec<&OsStr> = words("train --resume runs/train/resnet8_cifar10-1").collect();
    run(&resumed);
}

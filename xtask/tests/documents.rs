//! The Markdown pages: links lead somewhere, code is code that runs, and the guide's index is
//! whole.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[test]
fn relative_links_lead_to_files_and_headings() {
    let root = root();
    let mut checked = 0;
    let mut broken = Vec::new();
    for page in pages(&root) {
        for target in links(&prose(&read(&page))) {
            checked += 1;
            if let Some(problem) = problem_of(&page, &target) {
                broken.push(format!(
                    "{}: ({target}) {problem}",
                    page.strip_prefix(&root).unwrap().display()
                ));
            }
        }
    }
    assert!(
        checked > 50,
        "only {checked} links were found: does the check still see them?"
    );
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

/// A chapter's Rust is a doctest of `examples/lib.rs`, or it is quoted word for word from an
/// example, which CI runs.
#[test]
fn the_guides_code_is_compiled() {
    let examples_lib = read(&root().join("examples/lib.rs"));
    let examples = files_with_ending(&root().join("examples"), "rs");
    let sources: Vec<String> = examples.iter().map(|path| read(path)).collect();
    let mut quotes = 0;
    for chapter in chapters() {
        let name = chapter.file_name().unwrap().to_str().unwrap();
        if examples_lib.contains(&format!("../docs/guide/{name}")) {
            continue;
        }
        for block in blocks(&read(&chapter), "rust") {
            quotes += 1;
            let is_quote = sources.iter().any(|source| source.contains(&block));
            assert!(
                is_quote,
                "{name}: this code is neither a doctest nor quoted from examples/*.rs:\n{block}"
            );
        }
    }
    assert!(
        quotes > 0,
        "no quote was found: does the check still see them?"
    );
}

/// The commands of these chapters, run one after another in a directory of their own. In what they
/// print, `…` stands for anything. What needs a network stands in blocks of `shell`, which are not
/// run.
#[cfg(unix)]
#[test]
fn commands_print_what_the_guide_shows() {
    let mut compared = 0;
    for name in ["data.md", "troubleshooting.md", "weights-and-data.md"] {
        let page = read(&root().join("docs/guide").join(name));
        let place = tempfile::tempdir().unwrap();
        let shared = root().join("../shared/data");
        let mut absent = Vec::new();
        for (link, target) in [
            ("xtask", root().join("xtask")),
            ("crates", root().join("crates")),
            ("mnist", shared.join("mnist")),
            ("cifar10", shared.join("cifar10")),
        ] {
            match target.canonicalize() {
                Ok(target) => std::os::unix::fs::symlink(target, place.path().join(link)).unwrap(),
                Err(_) => absent.push(link),
            }
        }
        assert!(
            absent.is_empty() || std::env::var_os("CNN_REQUIRE_SHARED").is_none(),
            "{absent:?} are absent from ../shared/data"
        );
        for block in blocks(&page, "sh") {
            let (status, printed) = shell(&block, place.path());
            assert_eq!(status, 0, "{name}: {block}\n{printed}");
        }
        for transcript in blocks(&page, "console") {
            for exchange in transcript.strip_prefix("$ ").unwrap().split("\n$ ") {
                let (command, expected) = exchange.split_once('\n').unwrap();
                if let Some(name) = absent
                    .iter()
                    .find(|name| command.split(' ').any(|word| word == **name))
                {
                    eprintln!("shared data {name} absent, skipped");
                    continue;
                }
                let (_, printed) = shell(command, place.path());
                let expected: Vec<&str> = expected.trim_end().lines().collect();
                if let Some(problem) = difference(&expected, &printed) {
                    panic!("{name}: `{command}` {problem}; it printed\n{printed}");
                }
                compared += 1;
            }
        }
    }
    assert!(
        compared > 25,
        "only {compared} commands were found: does the check still see them?"
    );
}

#[test]
fn transcripts_are_compared_line_by_line() {
    let printed = "a: 1 of 2\nb\nc\n";
    assert_eq!(difference(&["a: … of 2", "b", "c"], printed), None);
    assert_eq!(difference(&["a…", "…", "c"], printed), None);
    assert_eq!(difference(&["…", "b", "…"], printed), None);
    for wrong in [
        &["a: … of 3", "…"][..],
        &["a…", "c"],
        &["…", "d"],
        &["a…", "b"],
        &["…", "b"],
        &["a…", "b", "c", "d"],
    ] {
        assert!(difference(wrong, printed).is_some(), "{wrong:?}");
    }
}

#[test]
fn the_guides_index_lists_every_chapter() {
    let index = links(&prose(&read(&root().join("docs/guide/README.md"))));
    for chapter in chapters() {
        let name = chapter.file_name().unwrap().to_str().unwrap().to_string();
        assert!(
            name == "README.md" || index.contains(&name),
            "docs/guide/README.md does not list {name}"
        );
    }
}

#[test]
fn headings_have_the_anchors_that_github_gives_them() {
    let page = "# Use `it`, now!\n\n## The knobs – all of them\n```sh\n# no heading\n```\n## Twice\n## Twice\n";
    let expected = ["use-it-now", "the-knobs--all-of-them", "twice", "twice-1"];
    assert_eq!(anchors(page), expected.map(str::to_string).into());
    assert_eq!(
        links("[a](b.md) ![c](d/e.png \"title\") [f](<g h.md>) `[no](link)`"),
        ["b.md", "d/e.png", "g h.md"]
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// All Markdown of the repository, without what is built or hidden.
fn pages(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !["target", "runs"].contains(&name) {
            found.extend(pages(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn chapters() -> Vec<PathBuf> {
    files_with_ending(&root().join("docs/guide"), "md")
}

fn files_with_ending(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    files.sort();
    files
}

/// A page without its code blocks.
fn prose(page: &str) -> String {
    let mut in_code = false;
    let mut text = String::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            text += line;
            text.push('\n');
        }
    }
    text
}

/// The code blocks of a language, as they stand.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence)
        .skip(1)
        .map(|block| block.split("```").next().unwrap().to_string())
        .collect()
}

/// Runs a command as a reader would, with the program in place of `cargo xtask`; gives its status
/// and what it printed.
fn shell(command: &str, place: &Path) -> (i32, String) {
    let script = format!("set -e; exec 2>&1; cargo() {{ shift; \"$CNN\" \"$@\"; }}\n{command}");
    let program = env!("CARGO_BIN_EXE_cnn");
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(place)
        .env("CNN", program)
        .env("HF_HOME", place.join("caches"))
        .env("CNN_CACHE", place.join("caches"))
        .output();
    let output = output.unwrap();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).to_string(),
    )
}

/// What of the expected lines was not printed, in order and without others between; a line `…`
/// stands for any number of lines.
fn difference(expected: &[&str], printed: &str) -> Option<String> {
    // A slow machine says how far it has come, and many commands end with what to do next.
    let is_aside = |line: &&str| {
        line.contains(" images/s")
            || ["next: ", "      "]
                .iter()
                .any(|start| is_step(line, start))
    };
    let mut rest: Vec<&str> = printed.lines().filter(|line| !is_aside(line)).collect();
    let mut skips = false;
    for line in expected {
        if *line == "…" {
            skips = true;
            continue;
        }
        let found = rest.iter().position(|printed| resembles(line, printed));
        match found {
            Some(position) if skips || position == 0 => drop(rest.drain(..=position)),
            _ => {
                return Some(format!(
                    "should have printed `{line}` here: {:?}",
                    rest.first()
                ));
            }
        }
        skips = false;
    }
    (!skips && !rest.is_empty()).then(|| format!("should not have printed `{}`", rest[0]))
}

/// Whether a line names a next step: a command and, in brackets, what it is for.
fn is_step(line: &str, start: &str) -> bool {
    line.strip_prefix(start)
        .is_some_and(|step| step.starts_with("cargo xtask ") && step.ends_with(')'))
}

/// Whether a line is `pattern` with some text in place of each `…`.
fn resembles(pattern: &str, line: &str) -> bool {
    let Some((before, after)) = pattern.split_once('…') else {
        return pattern == line;
    };
    let Some(line) = line.strip_prefix(before) else {
        return false;
    };
    line.char_indices()
        .map(|(at, _)| at)
        .chain([line.len()])
        .any(|at| resembles(after, &line[at..]))
}

/// The targets of `[text](target)` and `![text](target "title")`, without those in `code`.
fn links(prose: &str) -> Vec<String> {
    let without_code: String = prose.split('`').step_by(2).collect();
    let targets =
        without_code
            .split("](")
            .skip(1)
            .filter_map(|rest| match rest.strip_prefix('<') {
                Some(rest) => rest.split_once('>').map(|(target, _)| target),
                None => rest
                    .split_once(')')
                    .and_then(|(inside, _)| inside.split_whitespace().next()),
            });
    targets.map(str::to_string).collect()
}

/// Why a link does not lead anywhere; `None` for one that does, or that leads out of the
/// repository.
fn problem_of(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target
        .split_once('#')
        .map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() {
        page.to_path_buf()
    } else {
        page.parent().unwrap().join(file)
    };
    if !path.exists() {
        return Some("does not exist".to_string());
    }
    let anchor = anchor?;
    let known = anchors(&read(&path));
    (!known.contains(anchor)).then(|| format!("has no such heading, but {known:?}"))
}

/// The anchors of a page's headings: lower case, letters, digits, hyphens and underscores kept,
/// spaces as hyphens, repetitions numbered.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let page = prose(page);
    let headings = page.lines().filter_map(|line| {
        line.trim_start_matches('#')
            .strip_prefix(' ')
            .filter(|_| line.starts_with('#'))
    });
    let anchor = |heading: &str| -> String {
        let kept = heading.trim().to_lowercase();
        let kept = kept
            .chars()
            .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    };
    let numbered = headings.map(|heading| {
        let anchor = anchor(heading);
        let count = counts.entry(anchor.clone()).or_default();
        *count += 1;
        if *count == 1 {
            anchor
        } else {
            format!("{anchor}-{}", *count - 1)
        }
    });
    numbered.collect()
}

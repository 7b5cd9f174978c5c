//! What every crate's front page says about its use elsewhere, and that it says the same
//! everywhere.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use cnn_kernels::BuildProfile;

const PAGE: &str = "https://github.com/cnn-rs/cnn/blob/main/docs/";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The crates' names and the front pages of their documentation, as Markdown.
fn front_pages() -> Vec<(String, String)> {
    let directories = std::fs::read_dir(root().join("crates")).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    let page = |name: String| {
        let text = read(&format!("crates/{name}/src/lib.rs"));
        let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
        let page = lines
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n");
        (name, page)
    };
    directories.map(name).map(page).collect()
}

/// The section under a heading, up to the next one.
fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("{heading}\n"))?;
    Some(rest.split("\n# ").next().unwrap_or(rest).trim())
}

/// The profile that the warning of a slow build asks for.
fn profile() -> String {
    let warning = BuildProfile {
        opt_level: "0",
        debug_assertions: true,
    }
    .warning()
    .unwrap();
    warning[warning.find("[profile").unwrap()..]
        .trim()
        .to_string()
}

#[test]
fn every_front_page_says_how_to_be_fast_in_another_project() {
    let pages = front_pages();
    assert!(pages.len() >= 10, "{} crates", pages.len());
    let expected = section(&pages[0].1, "# In your project")
        .unwrap_or_else(|| panic!("{}: no section", pages[0].0));
    assert!(
        expected.contains(&format!("```toml\n{}\n```", profile())),
        "another profile than the warning's: {expected}"
    );
    assert!(
        expected.contains("`--release`")
            && expected.contains(&format!("{PAGE}use-in-your-project.md"))
    );
    for (name, page) in &pages {
        assert_eq!(section(page, "# In your project"), Some(expected), "{name}");
    }
}

#[test]
fn every_front_page_leads_to_the_other_crates() {
    let pages = front_pages();
    let names: Vec<&String> = pages.iter().map(|(name, _)| name).collect();
    for (name, page) in &pages {
        let neighbours =
            section(page, "# Its neighbours").unwrap_or_else(|| panic!("{name}: no neighbours"));
        assert!(
            neighbours.contains(&format!("{PAGE}crates.md")),
            "{name}: no link to the list of crates"
        );
        let names_one = names
            .iter()
            .any(|other| *other != name && neighbours.contains(&format!("`{other}`")));
        assert!(names_one, "{name}: which crates does it work with?");
    }
}

#[test]
fn the_section_for_other_projects_has_the_same_profile() {
    let page = read("docs/use-in-your-project.md");
    assert!(
        page.contains(&format!("```toml\n{}\n```", profile())),
        "docs/use-in-your-project.md has another profile"
    );
}

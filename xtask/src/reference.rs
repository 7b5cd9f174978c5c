//! The part of `docs/guide/reference.md` that lists every command and flag: rendered from the
//! parser itself, and compared with the page by a test.

use clap::{Arg, Command, CommandFactory as _};

use crate::Cli;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/reference.md");
const BEGIN: &str = "<!-- Rendered from the code, from here on: -->\n";
const END: &str = "<!-- to here. -->\n";
/// Set to 1, it makes the test write the page anew.
const UPDATE: &str = "UPDATE_REFERENCE";

#[test]
fn the_page_lists_the_commands_and_flags_that_there_are() {
    let page = std::fs::read_to_string(PAGE).expect("the page is in the repository");
    let (before, rest) = page
        .split_once(BEGIN)
        .expect("the page says where the rendered part begins");
    let (found, after) = rest
        .split_once(END)
        .expect("the page says where the rendered part ends");
    let expected = commands();
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        std::fs::write(PAGE, [before, BEGIN, &expected, END, after].concat())
            .expect("the page can be written");
        return;
    }
    let differs = found
        .lines()
        .zip(expected.lines())
        .find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "docs/guide/reference.md is not what the code says, first here: {differs:?}\n\
         `{UPDATE}=1 cargo test --package xtask --bin cnn reference` writes it anew"
    );
}

/// A section for each command, in the order of `--help`.
fn commands() -> String {
    let cli = Cli::command();
    let sections = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(section);
    let flags: Vec<String> = cli.get_arguments().map(item).collect();
    let global = format!("\n### Every command\n\n{}", flags.concat());
    sections.chain([global]).collect()
}

fn section(command: &Command) -> String {
    let about = command
        .get_long_about()
        .or(command.get_about())
        .map(ToString::to_string)
        .unwrap_or_default();
    let places: Vec<&Arg> = command.get_positionals().collect();
    let usage: String = places
        .iter()
        .map(|place| format!(" {}", called(place)))
        .collect();
    let items: String = places
        .into_iter()
        .chain(command.get_opts())
        .map(item)
        .collect();
    format!(
        "\n### {name}\n\n{about}\n\n```text\ncargo xtask {name}{usage} [FLAGS]\n```\n\n{items}",
        name = command.get_name(),
        about = sentences(&about),
    )
}

/// A flag or a place on the command line: its name, its meaning, its default and what it accepts.
fn item(arg: &Arg) -> String {
    let help = arg
        .get_long_help()
        .or(arg.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut text = format!(
        "- `{}`: {}",
        called(arg),
        sentences(&help).replace('\n', " ")
    );
    let takes_value = arg.get_action().takes_values();
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if takes_value && !defaults.is_empty() {
        text += &format!(" Default `{}`.", defaults.join(","));
    }
    if arg.is_required_set() && !arg.is_positional() {
        text += " Required.";
    }
    text.push('\n');
    if takes_value {
        for value in arg.get_possible_values() {
            let help = value
                .get_help()
                .map(|help| format!(": {}", sentences(&help.to_string())))
                .unwrap_or_default();
            text += &format!("  - `{}`{help}\n", value.get_name());
        }
    }
    text
}

/// `--flag VALUE`, `--flag`, `PLACE…`, or `[PLACE]` where it may be left out.
fn called(arg: &Arg) -> String {
    let value = arg.get_value_names().unwrap_or_default().join(" ");
    match arg.get_long() {
        Some(flag) if arg.get_action().takes_values() => format!("--{flag} {value}"),
        Some(flag) => format!("--{flag}"),
        None => {
            let several = arg
                .get_num_args()
                .is_some_and(|count| count.max_values() > 1);
            let value = if several {
                format!("{value}…")
            } else {
                value
            };
            if arg.is_required_set() {
                value
            } else {
                format!("[{value}]")
            }
        }
    }
}

/// Help as it stands in a page: each sentence ends in a full stop.
fn sentences(help: &str) -> String {
    let paragraphs = help.split("\n\n").map(|paragraph| {
        let paragraph = paragraph.trim().replace('\n', " ");
        if paragraph.is_empty() || paragraph.ends_with(['.', ':']) {
            paragraph
        } else {
            format!("{paragraph}.")
        }
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

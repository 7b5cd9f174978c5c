//! `cargo xtask <command>`: the toolkit's command line. It parses, composes and prints; what it
//! composes lives in the crates.
#![forbid(unsafe_code)]

// First, since it replaces `println!` and `eprintln!` for all that follows.
#[macro_use]
mod output;

mod adversarial;
mod args;
mod builtin;
mod byline;
mod classified;
mod commands;
mod conclusion;
mod config_file;
mod datasets;
mod detection;
mod hub;
mod inference;
mod labelled_images;
mod memory;
mod model_card;
#[cfg(test)]
mod models_page;
mod network_args;
mod next_steps;
mod os_text;
mod pictures;
mod predictions;
mod rates;
#[cfg(test)]
mod reference;
mod report;
mod run_images;
mod segmentation;
mod strip;
mod training;
mod watched;
mod watcher;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    adapt, attack, bench, certify, corrupt, data, download, evaluate, explain, finetune, forward,
    inspect, models, predict, push, train,
};

/// Begins large blocks at a cache line, where the system's allocator begins them 16 bytes behind
/// one, and keeps those that a training step gives back for the next one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Convolutional networks in Rust: load, evaluate and use networks published for PyTorch.
#[derive(Debug, Parser)]
#[command(name = "cnn", bin_name = output::program(), version)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Take flags from a TOML file (`batch = 32`, `json = true`); those of the command line win
    // Replaced by the file's flags before parsing; it is here for the help.
    #[arg(long, global = true, value_name = "FILE.toml")]
    config: Option<std::path::PathBuf>,

    /// Ask nobody for weights or data: only what is on the disk is used (as `HF_HUB_OFFLINE=1` does)
    #[arg(long, global = true)]
    offline: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Models(models::Models),
    Train(Box<train::Train>),
    Finetune(Box<finetune::Finetune>),
    Adapt(Box<adapt::Adapt>),
    Forward(forward::Forward),
    Evaluate(evaluate::Evaluate),
    Attack(Box<attack::Attack>),
    Certify(certify::Certify),
    Corrupt(corrupt::Corrupt),
    Predict(predict::Predict),
    Explain(Box<explain::Explain>),
    Inspect(inspect::Inspect),
    Data(data::Data),
    Download(download::Download),
    Push(push::Push),
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = match config_file::splice(std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(error) => return fail(&error.context(args::Unusable)),
    };
    let matches = Cli::command()
        .args_override_self(true)
        .get_matches_from(arguments);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if cli.offline {
        hub::stay_offline();
    }
    let result = match cli.command {
        Command::Models(command) => command.run(),
        Command::Train(command) => command.run(&given(&matches)),
        Command::Finetune(command) => command.run(&given(&matches)),
        Command::Adapt(command) => command.run(&given(&matches)),
        Command::Forward(command) => command.run(),
        Command::Evaluate(command) => command.run(&given(&matches)),
        Command::Attack(command) => command.run(),
        Command::Certify(command) => command.run(&given(&matches)),
        Command::Corrupt(command) => command.run(),
        Command::Predict(command) => command.run(&given(&matches)),
        Command::Explain(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Download(command) => command.run(),
        Command::Push(command) => command.run(),
        Command::Bench(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// The arguments that the command line, or the file of `--config`, names.
fn given(matches: &clap::ArgMatches) -> Vec<String> {
    let Some((_, command)) = matches.subcommand() else {
        return Vec::new();
    };
    let is_given = |id: &&clap::Id| {
        command.value_source(id.as_str()) == Some(clap::parser::ValueSource::CommandLine)
    };
    command
        .ids()
        .filter(is_given)
        .map(ToString::to_string)
        .collect()
}

/// Prints the chain of causes once and gives the exit status: 2 for unusable arguments, 130 for an
/// interruption, 1 for what failed at run time.
fn fail(error: &anyhow::Error) -> ExitCode {
    let marks = [args::Unusable.to_string(), args::Interrupted.to_string()];
    let mut message = String::new();
    for cause in error
        .chain()
        .map(args::in_flags)
        .filter(|cause| !marks.contains(cause))
    {
        // Some errors already say their cause.
        if !message.contains(&cause) {
            message = if message.is_empty() {
                cause
            } else {
                format!("{message}: {cause}")
            };
        }
    }
    // Whoever reads the output, as `head` does, has seen enough.
    let is_closed_pipe = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    if error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(is_closed_pipe))
    {
        return ExitCode::SUCCESS;
    }
    if error.downcast_ref::<args::Interrupted>().is_some() {
        eprintln!("{message}");
        return ExitCode::from(130);
    }
    eprintln!("error: {message}");
    ExitCode::from(if args::is_unusable(error) { 2 } else { 1 })
}

//! The page of weights on the hub: what they are, what they were trained on, how well they do, and
//! how to use them.

use std::fmt::Write as _;
use std::path::Path;

use cnn_hub::DatasetEntry;
use cnn_models::Network;
use serde_json::{Value, json};

use crate::output;

/// What a card says of a run: its arguments and its results.
pub(crate) struct RunRecord {
    arguments: toml::Table,
    summary: Value,
}

impl RunRecord {
    /// The record of the run in a directory; `None` where there is none.
    pub(crate) fn read(directory: &Path) -> Option<Self> {
        let text = |name: &str| std::fs::read_to_string(directory.join(name)).ok();
        Some(Self {
            arguments: text("args.toml")?.parse().ok()?,
            summary: serde_json::from_str(&text("summary.json")?).ok()?,
        })
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.arguments.get(key)?.as_str()
    }

    /// The weights that it began with, as `--weights` named them.
    pub(crate) fn source(&self) -> Option<&str> {
        self.text("weights").filter(|weights| *weights != "none")
    }

    /// The command that made it.
    fn command(&self) -> &'static str {
        if self.arguments.contains_key("strategy") {
            "finetune"
        } else {
            "train"
        }
    }

    fn data(&self) -> String {
        public_name(self.text("data").unwrap_or_default())
    }

    /// The arguments as others may see and repeat them: without places on this machine.
    pub(crate) fn public_arguments(&self) -> String {
        let mut arguments = self.arguments.clone();
        arguments.remove("out");
        for key in ["data", "weights"] {
            if let Some(text) = self.text(key) {
                arguments.insert(key.to_string(), public_name(text).into());
            }
        }
        arguments.to_string()
    }

    /// The split and the figures of the measured one: `test`, or else `val`.
    fn figures(&self) -> Option<(&'static str, &Value)> {
        ["test", "val"].into_iter().find_map(|split| {
            let figures = self.summary.get(split)?;
            Some((split, figures))
        })
    }
}

/// What a path of this machine is called, without the folders above it, which are nobody's business;
/// a name as it is.
fn public_name(text: &str) -> String {
    let path = Path::new(text);
    let name = path.file_name().filter(|_| path.is_absolute());
    name.map_or_else(
        || text.to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// What a card is written from.
pub(crate) struct Card<'a> {
    /// Where the weights will be, `owner/name`.
    pub(crate) id: &'a str,
    pub(crate) network: &'a Network,
    /// SHA-256 of `model.safetensors`.
    pub(crate) sha256: &'a str,
    pub(crate) license: Option<&'a str>,
    /// The run that made the weights, where there was one.
    pub(crate) run: Option<&'a RunRecord>,
}

impl Card<'_> {
    /// The card as `README.md`.
    pub(crate) fn markdown(&self) -> String {
        let mut card = format!("---\n{}---\n\n", self.metadata());
        self.write_body(&mut card);
        card
    }

    /// What the hub reads, as YAML, of which JSON is a part.
    fn metadata(&self) -> String {
        let mut lines = Vec::new();
        if let Some(license) = self.license {
            lines.push(format!("license: {}", json!(license)));
        }
        lines.push("library_name: timm".to_string());
        lines.push("pipeline_tag: image-classification".to_string());
        lines.push(format!(
            "tags: {}",
            json!(["image-classification", "timm", "safetensors", "cnn"])
        ));
        if let Some((run, (split, figures))) = self
            .run
            .and_then(|run| run.figures().map(|found| (run, found)))
        {
            let index = json!([{
                "name": self.id,
                "results": [{
                    "task": {"type": "image-classification"},
                    "dataset": {"name": run.data(), "type": run.data(), "split": split},
                    "metrics": [{"type": "accuracy", "value": figures["top1"]}],
                }],
            }]);
            lines.push(format!("model-index: {index}"));
        }
        lines.join("\n") + "\n"
    }

    fn write_body(&self, card: &mut String) {
        let spec = self.network.spec();
        let [channels, height, width] = self.network.preprocessing().input_size;
        let classes = self.network.model().num_classes();
        let name = self.id.rsplit('/').next().unwrap_or(self.id);
        let mut say = |line: String| {
            let _ = writeln!(card, "{line}");
        };
        say(format!("# {name}\n"));
        say(format!(
            "A {} ({}) for {classes} classes, with inputs of {channels}×{height}×{width}, \
             made with [cnn]({}), convolutional networks in Rust.\n",
            spec.name,
            spec.paper,
            env!("CARGO_PKG_REPOSITORY")
        ));
        if let Some(run) = self.run {
            say(format!("Data: {}.", described(&run.data())));
            match run.source() {
                Some(source) => say(format!("Begun from: `{}`.", public_name(source))),
                None => say("Begun from random weights.".to_string()),
            }
            if let Some((split, figures)) = run.figures() {
                say(format!("\n{}", accuracy(split, figures)));
            }
        }
        if let Some(names) = self.network.label_names() {
            say(format!("\nClasses: {}.", names.join(", ")));
        }
        say(format!(
            "\nSHA-256 of `model.safetensors`: `{}`.",
            self.sha256
        ));
        say("\n## Use it\n".to_string());
        let program = output::program();
        say(format!(
            "```sh\n{program} predict PHOTOS --weights hf:{}\n```\n",
            self.id
        ));
        say(format!(
            "With timm, where it has the architecture:\n\n```python\nimport timm\n\n\
             model = timm.create_model(\"hf-hub:{}\", pretrained=True).eval()\n```",
            self.id
        ));
        if let Some(run) = self.run {
            say(format!(
                "\n## How it was made\n\n```sh\n{program} {} --config args.toml\n```\n\n\
                 with this `args.toml`:\n\n```toml\n{}```",
                run.command(),
                run.public_arguments()
            ));
        }
    }
}

/// The data with their page, where they are known by name.
fn described(data: &str) -> String {
    match DatasetEntry::find(data) {
        Ok(entry) => format!("[{}]({})", entry.title, entry.page),
        Err(_) => format!("`{data}`"),
    }
}

/// `Top-1 98.00 % (95 % interval 97.10 to 98.80) of 1000 test images.`
fn accuracy(split: &str, figures: &Value) -> String {
    let percent = |value: &Value| value.as_f64().map(|share| format!("{:.2}", 100. * share));
    let top1 = percent(&figures["top1"]).unwrap_or_default();
    let interval = &figures["top1_interval"];
    let interval = percent(&interval[0])
        .zip(percent(&interval[1]))
        .map(|(low, high)| format!(" (95 % interval {low} to {high})"))
        .unwrap_or_default();
    format!(
        "Top-1 {top1} %{interval} of {} {split} images.",
        figures["samples"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_this_machine_are_no_part_of_the_record() -> anyhow::Result<()> {
        let run = tempfile::tempdir()?;
        let arguments = "data = \"/home/me/photos:species\"\nweights = \"/home/me/net\"\n\
                         out = \"/home/me/runs\"\nseed = 7\n";
        std::fs::write(run.path().join("args.toml"), arguments)?;
        std::fs::write(run.path().join("summary.json"), "{}")?;
        let record = RunRecord::read(run.path()).expect("both files are there");
        let public = record.public_arguments();
        assert!(!public.contains("/home"), "{public}");
        for line in ["data = \"photos:species\"", "weights = \"net\"", "seed = 7"] {
            assert!(public.contains(line), "`{line}` is not in {public}");
        }
        assert_eq!(record.data(), "photos:species");
        // A name means the same everywhere.
        assert_eq!(public_name("hf:owner/name@main"), "hf:owner/name@main");
        Ok(())
    }
}

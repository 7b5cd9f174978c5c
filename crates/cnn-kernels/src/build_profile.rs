//! How this crate was compiled, and a warning, once, where that makes it slow.

use std::sync::Once;

/// The settings of a Cargo profile on which the speed of the kernels depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildProfile {
    /// `0`, `1`, `2`, `3`, `s` or `z`; empty where the build system does not say.
    pub opt_level: &'static str,
    /// Whether debug assertions are compiled in. Cargo's profiles switch overflow checks together
    /// with them.
    pub debug_assertions: bool,
}

/// What a program that depends on these crates adds to the `Cargo.toml` of its workspace, so that
/// its debug builds are fast too.
const PROFILE: &str = r#"[profile.dev.package."*"]
opt-level = 3
debug-assertions = false
overflow-checks = false"#;

/// How this crate was compiled.
///
/// ```
/// let profile = cnn_kernels::build_profile();
/// assert_eq!((profile.opt_level, profile.is_slow()), ("3", false));
/// ```
pub const fn build_profile() -> BuildProfile {
    BuildProfile {
        opt_level: env!("CNN_KERNELS_OPT_LEVEL"),
        debug_assertions: cfg!(debug_assertions),
    }
}

impl BuildProfile {
    /// Whether it optimises for speed less than `--release` does.
    pub fn is_slow(&self) -> bool {
        self.debug_assertions || matches!(self.opt_level, "0" | "1" | "s" | "z")
    }

    /// Why a build like this is slow and how to mend it, for people; `None` for an optimised one.
    pub fn warning(&self) -> Option<String> {
        if !self.is_slow() {
            return None;
        }
        let slowdown = match self.opt_level {
            "0" => "a hundred times as long as they need",
            "1" | "s" | "z" => "several times as long as they need",
            _ => "half as long again as they need",
        };
        let level = self.opt_level;
        let with = if self.debug_assertions {
            "with"
        } else {
            "without"
        };
        Some(format!(
            "this build of cnn-kernels is slow: opt-level {level}, {with} debug assertions; networks take about {slowdown}\n\
             build with `--release`, or add to the Cargo.toml of your workspace:\n\n{PROFILE}\n"
        ))
    }
}

/// Says once in a process that this build is slow, if it is, as a `tracing` event and on standard
/// error. The first feature map does it, and the first parameter store of `cnn-layers`; a program
/// that works for long before either can do it itself.
pub fn warn_if_slow() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        if let Some(warning) = build_profile().warning() {
            tracing::warn!("{}", warning.trim_end());
            // Most programs have no subscriber, and that of others may write elsewhere: being told
            // twice is better than waiting for hours.
            eprintln!("warning: {warning}");
        }
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_build_is_slow_below_level_2_or_with_debug_assertions() {
        let profile = |opt_level, debug_assertions| BuildProfile {
            opt_level,
            debug_assertions,
        };
        for fast in [profile("3", false), profile("2", false), profile("", false)] {
            assert_eq!((fast.is_slow(), fast.warning()), (false, None), "{fast:?}");
        }
        for (slow, slowdown) in [
            (profile("0", true), "a hundred times"),
            (profile("1", false), "several times"),
            (profile("3", true), "half as long again"),
        ] {
            let warning = slow.warning().unwrap();
            assert!(
                warning.contains(&format!("opt-level {},", slow.opt_level))
                    && warning.contains(slowdown),
                "{warning}"
            );
            assert!(
                warning.contains("--release") && warning.contains(PROFILE),
                "{warning}"
            );
        }
    }
}

//! Which instruction set the kernels use: the best that the processor has, or the one that
//! `CNN_ISA` names.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::machine::simd::{Avx2, Avx512};
use crate::machine::simd::{Portable, Simd};

/// The instruction sets that the kernels are compiled for. Results of f32 differ between them in
/// the last bits, integers in none; neither between numbers of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// Sixteen lanes with fused multiply-add (AVX-512 F, VL, DQ and BW), and where the processor has
    /// them its dot products of bytes (AVX-512 VNNI).
    Avx512,
    /// As [`InstructionSet::Avx2`], with dot products of bytes (AVX-VNNI). For f32 there is no
    /// difference.
    AvxVnni,
    /// Eight lanes with fused multiply-add (AVX2 and FMA).
    Avx2,
    /// What every processor of the target has.
    Portable,
}

/// The variable that names an instruction set.
const VARIABLE: &str = "CNN_ISA";

impl InstructionSet {
    /// All sets, the fastest first.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::AvxVnni, Self::Avx2, Self::Portable];

    /// The set that this process uses: the fastest that the processor supports, unless the
    /// environment variable `CNN_ISA` names another (`avx512`, `avxvnni`, `avx2` or `portable`).
    /// Decided once; a name that is unknown or not supported here is said on standard error and
    /// ignored.
    pub fn current() -> Self {
        static CHOSEN: OnceLock<InstructionSet> = OnceLock::new();
        *CHOSEN.get_or_init(|| match std::env::var(VARIABLE) {
            Ok(name) => Self::named(&name).unwrap_or_else(|problem| {
                eprintln!("warning: {problem}, using {}", Self::best().name());
                Self::best()
            }),
            Err(_) => Self::best(),
        })
    }

    /// The name that `CNN_ISA` knows it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::AvxVnni => "avxvnni",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Whether this processor has it.
    pub fn is_supported(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx512 => has_avx512(),
            Self::AvxVnni => has_avx2() && is_x86_feature_detected!("avxvnni"),
            Self::Avx2 => has_avx2(),
            Self::Portable => true,
        }
        #[cfg(not(target_arch = "x86_64"))]
        matches!(self, Self::Portable)
    }

    fn best() -> Self {
        Self::ALL
            .into_iter()
            .find(|set| set.is_supported())
            .unwrap_or(Self::Portable)
    }

    fn named(name: &str) -> Result<Self, String> {
        let set = Self::ALL.into_iter().find(|set| set.name() == name);
        let set = set.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{VARIABLE}={name} is none of {names}")
        })?;
        if set.is_supported() {
            Ok(set)
        } else {
            Err(format!(
                "{VARIABLE}={name} is not supported by this processor"
            ))
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
}

/// Whether AVX-512 has dot products of bytes.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512_vnni() -> bool {
    has_avx512() && is_x86_feature_detected!("avx512vnni")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// A loop over numbers that is compiled once for each instruction set.
pub(crate) trait Loop {
    /// Runs it. Implementations are `#[inline(always)]`, so that the compiler vectorises them with
    /// what the caller enables; those that want explicit registers use `S`.
    fn run<S: Simd>(self);
}

/// Runs `work` compiled for the chosen instruction set.
#[allow(unsafe_code)]
pub(crate) fn vectorised<L: Loop>(work: L) {
    match InstructionSet::current() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `current` returns a set only if the processor supports it.
        InstructionSet::Avx512 => unsafe { with_avx512(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        InstructionSet::AvxVnni | InstructionSet::Avx2 => unsafe { with_avx2(work) },
        _ => work.run::<Portable>(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn with_avx512<L: Loop>(work: L) {
    work.run::<Avx512>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<L: Loop>(work: L) {
    work.run::<Avx2>();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_lead_to_their_sets_and_others_are_refused() {
        for set in InstructionSet::ALL
            .into_iter()
            .filter(|set| set.is_supported())
        {
            assert_eq!(InstructionSet::named(set.name()), Ok(set));
        }
        assert!(InstructionSet::Portable.is_supported());
        let problem = InstructionSet::named("sse9").unwrap_err();
        assert_eq!(
            problem,
            "CNN_ISA=sse9 is none of avx512, avxvnni, avx2, portable"
        );
    }
}

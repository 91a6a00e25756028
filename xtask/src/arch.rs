//! The two architectures that observer is built for, under the names that others give them.

use std::fmt;

/// An architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "all", derive(clap::ValueEnum), value(rename_all = "snake_case"))]
pub(crate) enum Arch {
    /// 64-bit x86
    #[cfg_attr(feature = "all", value(name = "x86_64"))]
    X86_64,
    /// 64-bit ARM
    Aarch64,
}

/// Both, in the order in which they are built.
pub(crate) const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

impl Arch {
    /// This machine's own; `None` where it is another one.
    pub(crate) fn here() -> Option<Self> {
        ALL.into_iter().find(|arch| arch.to_string() == std::env::consts::ARCH)
    }

    /// Rust's target. The C library's own target can be linked statically too, so that no other C library has to be
    /// installed.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Its name in Cargo's environment variables.
    pub(crate) fn variable(self, name: &str) -> String {
        let target = self.target().replace('-', "_").to_uppercase();
        format!("CARGO_TARGET_{target}_{name}")
    }

    /// Its name in Debian.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn cargo_finds_what_is_set_for_a_target() {
        let linker = Arch::Aarch64.variable("LINKER");
        assert_eq!(linker, "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER");
    }

    #[test]
    fn one_is_written_as_it_is_chosen() {
        for arch in ALL {
            assert_eq!(Arch::from_str(&arch.to_string(), false), Ok(arch));
        }
    }
}

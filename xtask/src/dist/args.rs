//! The arguments of `cargo xtask dist`.

use clap::Args;

use crate::arch::Arch;

/// The command's arguments.
#[derive(Args, Clone, Debug)]
pub(crate) struct DistArgs {
    /// Only this architecture (repeatable); otherwise all that this machine can build for
    #[arg(long, value_enum, value_name = "ARCH")]
    pub(super) arch: Vec<Arch>,
    /// Only tarballs, no packages
    #[arg(long)]
    pub(super) no_packages: bool,
    /// Build once more, in another directory, and compare
    #[arg(long)]
    pub(super) twice: bool,
    /// Try it all: packages in minimal roots of Debian 11, 12 and 13, the image's root, and the program on kernels
    /// with nothing else (as root, some minutes)
    #[arg(long, conflicts_with = "no_packages")]
    pub(super) test: bool,
    /// Refuse what is no release of this tag, and write the release's text to target/dist/release.md
    #[arg(long, value_name = "TAG")]
    pub(super) release: Option<String>,
}

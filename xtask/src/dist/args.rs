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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: DistArgs,
    }

    #[test]
    fn the_workflow_and_the_page_call_it_as_it_is() {
        let workflow = include_str!("../../../.github/workflows/release.yml");
        let page = include_str!("../../../docs/dist.md");
        let calls = workflow.lines().chain(page.lines()).filter_map(|line| {
            let words = line.trim().strip_prefix("cargo xtask ")?.strip_prefix("dist")?;
            Some(words.split(" #").next().unwrap_or_default())
        });
        let mut releases = 0;
        for call in calls {
            let words = std::iter::once("dist").chain(call.split_whitespace());
            let parsed = Command::try_parse_from(words);
            let args = parsed.unwrap_or_else(|error| panic!("{call}: {error}")).args;
            releases += u32::from(args.release.is_some());
        }
        assert_eq!(releases, 2);
    }
}

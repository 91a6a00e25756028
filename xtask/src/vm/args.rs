//! The arguments of `cargo xtask vm`.

use clap::Args;

use super::{plan::Provider, qemu::Accel};

/// The command's arguments.
#[derive(Debug, Args)]
pub(crate) struct VmArgs {
    /// Only this kernel series, such as 6.12 (repeatable)
    #[arg(long, value_name = "SERIES")]
    pub(super) kernel: Vec<String>,
    /// Only this provider, also where it is not known to work (repeatable)
    #[arg(long, value_enum, value_name = "PROVIDER")]
    pub(super) provider: Vec<Provider>,
    /// What runs the guest's instructions
    #[arg(long, value_enum, default_value_t = Accel::Tcg)]
    pub(super) accel: Accel,
    /// A shell in a guest, for a person
    #[arg(long)]
    pub(super) shell: bool,
    /// Write docs/kernels.md from what the machines tell, all of which must run
    #[arg(long, conflicts_with_all = ["kernel", "provider", "filter", "shell"])]
    pub(super) docs: bool,
    /// Print what `observer doctor -v` says in each guest
    #[arg(long, hide = true)]
    pub(super) doctor: bool,
    /// Arguments of the test harness, such as a part of a test's name
    #[arg(last = true, value_name = "FILTER")]
    pub(super) filter: Vec<String>,
}

impl VmArgs {
    /// The whole matrix.
    pub(crate) fn whole() -> Self {
        Self {
            kernel: Vec::new(),
            provider: Vec::new(),
            accel: Accel::Tcg,
            shell: false,
            docs: false,
            doctor: false,
            filter: Vec::new(),
        }
    }
}

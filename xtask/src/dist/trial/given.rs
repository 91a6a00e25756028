//! What there is to try.

use std::path::Path;

use crate::{arch::Arch, dist::source::Source, workspace::Workspace};

/// A version that is newer than any.
pub(super) const NEWER: &str = "999";

/// What was made, and of what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) source: &'a Source,
    pub(super) arches: &'a [Arch],
    /// This machine's architecture: programs of others are installed and not run.
    pub(super) here: Arch,
    pub(super) out: &'a Path,
}

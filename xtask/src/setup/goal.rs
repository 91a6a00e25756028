//! What set-up is for.

/// What the set-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Compile.
    Build,
    /// Compile and lint.
    Check,
    /// Compile and test.
    Test,
}

//! How a recording is written.

/// How a recording is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Size in bytes above which another part is begun: a line is never split, and the total stays with the line
    /// before it. Compressed files may be larger by what zstd gathers, some hundred KB. `None` for one file.
    pub max_size: Option<u64>,
    /// Number of parts that are kept, the one that is written included; the oldest is removed. `None` for all.
    pub keep: Option<usize>,
    /// Whether a file that exists is overwritten.
    pub overwrite: bool,
}

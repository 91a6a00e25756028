//! What the kernel programs are compiled for, and the packages that Debian has for that.

/// Debian's packages with a `core` compiled for BPF, and with what bpf-linker is built against.
/// A C compiler to link with comes with them.
pub(crate) const TOOLCHAIN_PACKAGES: [&str; 5] =
    ["cargo-web", "libpolly-22-dev", "libstd-rust-web-dev-bpf", "llvm-22-dev", "rustc-web"];

/// The BPF target of this machine's byte order.
pub(crate) fn bpf_target() -> &'static str {
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" }
}

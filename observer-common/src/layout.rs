//! The sizes of shared types, checked at compile time.

/// Checks at compile time that a shared type has the size that both sides rely on.
///
/// A type without implicit padding is exactly as large as its fields together, so the second
/// number, the sum of the fields, being equal to the size proves that there is none.
#[macro_export]
macro_rules! assert_layout {
    ($type:ty, $size:expr) => {
        const _: () = assert!(
            core::mem::size_of::<$type>() == $size && core::mem::align_of::<$type>() <= 8,
            "the layout of a shared type changed"
        );
    };
}

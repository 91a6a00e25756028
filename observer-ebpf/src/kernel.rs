//! Typed reads of kernel memory, over offsets that BTF gave.

use core::{arch::asm, ffi::c_void, ptr};

use aya_ebpf::{EbpfContext as _, Global, helpers::bpf_probe_read_kernel, programs::FExitContext};

/// A kernel object's address.
pub(crate) type Address = *const c_void;

/// Reads a field of an object whose type the verifier knows: a program argument. It costs one
/// load; the offset is a constant to the verifier, because the globals are frozen before loading.
///
/// # Safety
///
/// `object` must come unchanged from the program's context, and `T` must be the field's type.
#[inline(always)]
pub(crate) unsafe fn field<T: Copy>(object: Address, offset: &Global<u32>) -> T {
    // SAFETY: the verifier checks the access against the kernel's own BTF.
    unsafe { ptr::read_volatile(object.cast::<u8>().add(offset.load() as usize).cast::<T>()) }
}

/// A kernel object that a program reads fields of.
pub(crate) trait Object: Copy {
    /// Its address.
    fn address(self) -> Address;

    /// Whether reading a field costs no more than a load.
    fn is_cheap(self) -> bool;

    /// One of its fields, of which `T` must be the type; `None` where it cannot be read.
    fn get<T: Copy>(self, offset: &Global<u32>) -> Option<T>;

    /// The object that one of its fields points to, if it points to one.
    fn follow(self, offset: &Global<u32>) -> Option<Self>;
}

/// An object whose type the verifier knows: reading a field costs one load.
#[derive(Clone, Copy)]
pub(crate) struct Typed(Address);

impl Typed {
    /// An object that a program was called with.
    ///
    /// # Safety
    ///
    /// `object` must come unchanged from the program's context.
    #[inline(always)]
    pub(crate) unsafe fn new(object: Address) -> Self {
        Self(object)
    }
}

impl Object for Typed {
    #[inline(always)]
    fn is_cheap(self) -> bool {
        true
    }

    #[inline(always)]
    fn address(self) -> Address {
        self.0
    }

    #[inline(always)]
    fn get<T: Copy>(self, offset: &Global<u32>) -> Option<T> {
        // SAFETY: the promise made to `new`, and the caller's about the type.
        Some(unsafe { field(self.0, offset) })
    }

    #[inline(always)]
    fn follow(self, offset: &Global<u32>) -> Option<Self> {
        // SAFETY: as above; the verifier knows what the field points to.
        let object: Address = unsafe { field(self.0, offset) };
        (!object.is_null()).then_some(Self(object))
    }
}

/// An object that only its address is known of: reading a field takes a helper.
impl Object for Address {
    #[inline(always)]
    fn is_cheap(self) -> bool {
        false
    }

    #[inline(always)]
    fn address(self) -> Address {
        self
    }

    #[inline(always)]
    fn get<T: Copy>(self, offset: &Global<u32>) -> Option<T> {
        read(self, offset)
    }

    #[inline(always)]
    fn follow(self, offset: &Global<u32>) -> Option<Self> {
        // What is null cannot be read from either.
        read(self, offset)
    }
}

/// What a function returned, in an exit program: the slot behind its last argument. The loads are
/// at constant offsets, as the verifier demands of the context, and all but one of them are dead
/// code to it, because the number is frozen before loading. `None` for a number never met.
#[inline(always)]
pub(crate) fn returned(ctx: &FExitContext, arguments: &Global<u32>) -> Option<u64> {
    // Assembly, because LLVM would otherwise make one load at a computed offset of these.
    macro_rules! slot {
        ($offset:literal) => {{
            let value: u64;
            // SAFETY: reads the context within its bounds, which the verifier checks.
            unsafe {
                asm!(
                    concat!("{value} = *(u64 *)({context} + ", $offset, ")"),
                    value = out(reg) value,
                    context = in(reg) ctx.as_ptr(),
                    options(nostack, readonly),
                );
            }
            Some(value)
        }};
    }
    match arguments.load() {
        1 => slot!(8),
        2 => slot!(16),
        3 => slot!(24),
        4 => slot!(32),
        5 => slot!(40),
        6 => slot!(48),
        7 => slot!(56),
        _ => None,
    }
}

/// Reads a field of an object by its address; `None` where the address cannot be read.
#[inline(always)]
pub(crate) fn read<T: Copy>(object: Address, offset: &Global<u32>) -> Option<T> {
    read_at(object, offset.load() as usize)
}

/// Reads what lies `offset` bytes behind an address; `None` where that cannot be read.
#[inline(always)]
pub(crate) fn read_at<T: Copy>(object: Address, offset: usize) -> Option<T> {
    if object.is_null() {
        return None;
    }
    // SAFETY: the helper checks the address and fails instead of faulting.
    unsafe { bpf_probe_read_kernel(object.cast::<u8>().wrapping_add(offset).cast::<T>()) }.ok()
}

/// The lower half of an address, as a number: the verifier does not let the address of a kernel object be
/// reckoned with, but takes the difference of 32 bits for a number (`adjust_ptr_min_max_vals`).
#[inline(always)]
pub(crate) fn lower_half(address: Address) -> u32 {
    let half: u64;
    // SAFETY: changes no register but its own.
    unsafe {
        asm!(
            "r0 = {address}",
            "w0 -= 0",
            "{half} = r0",
            address = in(reg) address as u64,
            half = lateout(reg) half,
            out("r0") _,
            options(nostack, nomem),
        );
    }
    half as u32
}

/// A number that LLVM knows nothing of. It reckons with what a number is equal to instead of with the
/// number itself, which may be a pointer, and the verifier refuses that.
#[inline(always)]
pub(crate) fn opaque(mut number: u64) -> u64 {
    // SAFETY: gives a register its own value.
    unsafe { asm!("{number} = {number}", number = inout(reg) number, options(nostack)) };
    number
}

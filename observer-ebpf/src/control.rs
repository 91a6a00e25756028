//! What userspace says while the programs run: whether they count, and whether any listener is there that is
//! asked for.

use core::{cell::UnsafeCell, mem::offset_of};

use observer_common::config::Control;

use crate::{
    counter::SharedWord,
    globals::{PORTS_GIVEN, SOCK_PORT, wants_port},
    kernel::Object,
};

/// The words of [`Control`], in a section of their own, which makes it a map of its own: to read it takes two
/// instructions, where a map of the usual kind takes a dozen.
#[unsafe(link_section = ".data.control")]
#[unsafe(no_mangle)]
static CONTROL: ControlWords = ControlWords(UnsafeCell::new(Control::CLOSED));

struct ControlWords(UnsafeCell<Control>);

// SAFETY: userspace alone writes it, and it is read by volatile loads of aligned words.
unsafe impl Sync for ControlWords {}

/// 1 once a listener was seen on one of the ports that were given. In a section of its own, because userspace
/// writes it too.
#[unsafe(link_section = ".data.port_seen")]
#[unsafe(no_mangle)]
static PORT_SEEN: SharedWord = SharedWord::new();

/// Whether nothing is there that anybody asked for: ports were given, and no listener has been seen on
/// one of them. Drops and cookies are counted all the same, because the kernel's counters are about
/// all listeners.
#[inline(always)]
pub(crate) fn idle() -> bool {
    PORTS_GIVEN.load() != 0 && PORT_SEEN.load() == 0
}

/// Notes that a listener is there which is asked for by its port, until the first that is.
#[inline(always)]
pub(crate) fn notice_port(sock: impl Object) {
    if idle()
        // By the tracepoint a port that the kernel chooses is not known yet.
        && sock.get(&SOCK_PORT).is_none_or(|port: u16| port == 0 || wants_port(port))
    {
        PORT_SEEN.set();
    }
}

/// Whether anything is to be counted now.
#[inline(always)]
pub(crate) fn window_open() -> bool {
    control().is_some()
}

/// What userspace said, while anything is to be counted.
#[inline(always)]
pub(crate) fn control() -> Option<Open> {
    (control_word(offset_of!(Control, open)) != 0).then_some(Open(()))
}

/// What userspace said, read one by one: see [`Control`].
pub(crate) struct Open(());

impl Open {
    #[inline(always)]
    pub(crate) fn interval(&self) -> u32 {
        control_word(offset_of!(Control, interval))
    }

    /// Whether the tracepoints have one of these roles.
    #[inline(always)]
    pub(crate) fn has_role(&self, role: u32) -> bool {
        control_word(offset_of!(Control, ready)) & role != 0
    }

    #[inline(always)]
    pub(crate) fn in_flight(&self) -> bool {
        control_word(offset_of!(Control, in_flight)) != 0
    }

    #[inline(always)]
    pub(crate) fn scan_ends(&self) -> bool {
        control_word(offset_of!(Control, scan_ends)) != 0
    }
}

#[inline(always)]
fn control_word(offset: usize) -> u32 {
    // SAFETY: the offset is that of a word of the static.
    unsafe { CONTROL.0.get().cast::<u8>().add(offset).cast::<u32>().read_volatile() }
}

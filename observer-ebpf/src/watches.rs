//! Who waits for which listeners, and how: an iterator over the open files of all tasks
//! (`bpf_iter_task_file`), which runs when userspace reads its descriptor.
//!
//! `/proc/PID/fdinfo` of an epoll instance tells what it watches, and locks the instance's mutex while it goes
//! through all of it, so that its owner cannot wait meanwhile. Here wait queues are walked instead, without a
//! lock: an entry may go while it is looked at, so that each has to point back to its queue and to the file before
//! anything in it is believed.

use core::{ffi::c_void, mem::transmute, ptr};

use aya_ebpf::{
    bindings::{BPF_ANY, seq_file},
    helpers::generated::bpf_seq_write,
};
use observer_common::watch::{WAITERS_WALKED, Walk, WatchKind, WatchRecord};

use crate::{
    counter::SharedWord,
    globals::{
        EPOLL_FILE, EPOLL_WAITERS, FILE_INODE, FILE_PRIVATE, HOOK_ENTRY, HOOK_ITEM, HOOK_QUEUE,
        INODE_MODE, ITEM_EPOLL, ITEM_EVENTS, ITEM_FILE, LIST_NEXT, LIST_PREVIOUS, PID_NAMESPACE,
        POLL_ENTRY, POLL_FILE, POLL_KEY, POLL_QUEUE, POLL_TASK, PORTS_GIVEN, SOCK_PORT, SOCK_STATE,
        SOCK_WAIT_QUEUE, SOCKET_FILE, SOCKET_SOCK, STATE_LISTEN, TASK_COMM, TASK_LEADER, TASK_PID,
        TASK_TID, WAIT_QUEUE, WAIT_QUEUE_FIRST, WAITER_LINK, WAITER_TASK, wants_port,
    },
    kernel::{Address, opaque, read},
    listener::Listener,
    maps::WALKED,
    numbers, task,
};

/// `S_IFMT` and `S_IFSOCK` (uapi/linux/stat.h).
const KIND_OF_FILE: u16 = 0o170_000;
const SOCKET: u16 = 0o140_000;

/// What the iterator is called with, eight bytes each (`struct bpf_iter__task_file`, kernel/bpf/task_iter.c).
#[repr(C)]
struct Context {
    meta: *const Meta,
    task: Address,
    fd: u64,
    file: Address,
}

/// What all iterators are called with (`struct bpf_iter_meta`, include/linux/bpf.h).
#[repr(C)]
struct Meta {
    output: *mut seq_file,
    pass: u64,
}

/// 1 while queues are gone on with that the pass before has cut; userspace writes it.
#[unsafe(link_section = ".data.resumes")]
#[unsafe(no_mangle)]
static RESUMES: SharedWord = SharedWord::new();

/// Where records go, and about which file.
#[derive(Clone, Copy)]
struct Output {
    output: *mut seq_file,
    pass: u64,
    pid: u32,
    fd: u32,
    /// How deep the PID namespace is that numbers are told of; 0 for the initial one.
    level: u32,
}

/// One file of one task.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn watches(ctx: *mut c_void) -> i32 {
    let ctx = ctx.cast::<Context>();
    // SAFETY: the verifier checks each load against the type of the iterator.
    let (meta, task, file) = unsafe {
        (
            ptr::read_volatile(&raw const (*ctx).meta),
            ptr::read_volatile(&raw const (*ctx).task),
            ptr::read_volatile(&raw const (*ctx).file),
        )
    };
    // The end of the pass is told, too.
    if task.is_null() || file.is_null() {
        return 0;
    }
    // SAFETY: as above.
    let (output, pass, fd) = unsafe {
        (
            ptr::read_volatile(&raw const (*meta).output),
            ptr::read_volatile(&raw const (*meta).pass),
            ptr::read_volatile(&raw const (*ctx).fd) as u32,
        )
    };
    let level = if PID_NAMESPACE.load() == 0 { 0 } else { numbers::level(task::current()) };
    let Some((pid, _)) = ids(task, level) else { return 0 };
    let _other = look_at(Output { output, pass, pid, fd, level }, file);
    0
}

#[inline(always)]
fn look_at(output: Output, file: Address) -> Option<()> {
    let private: Address = read(file, &FILE_PRIVATE)?;
    let inode: Address = read(file, &FILE_INODE)?;
    let (head, queue) = if read::<u16>(inode, &INODE_MODE)? & KIND_OF_FILE == SOCKET {
        of_listener(file, private)?
    } else if read::<Address>(private, &EPOLL_FILE)? == file {
        // Nothing tells the type of such a file but that an epoll instance points back to its own.
        of_epoll(output, private)
    } else {
        return None;
    };
    let from = output.begins(queue.name)?;
    output.walk(head, from, &queue);
    Some(())
}

/// The wait queue of an epoll instance, of which it is told who has it.
#[inline(always)]
fn of_epoll(output: Output, epoll: Address) -> (Address, Queue) {
    output.tell(WatchKind::Epoll, Whom::process(output.pid, output.fd), 0, 0, epoll as u64);
    let queue = Queue { name: epoll as u64, own: ptr::null(), file: ptr::null() };
    (at(epoll, EPOLL_WAITERS.load()), queue)
}

/// The wait queue of a socket, if that is a listener.
#[inline(always)]
fn of_listener(file: Address, socket: Address) -> Option<(Address, Queue)> {
    if read::<Address>(socket, &SOCKET_FILE)? != file {
        return None;
    }
    let sock: Address = read(socket, &SOCKET_SOCK)?;
    let listens = u32::from(read::<u8>(sock, &SOCK_STATE)?) == STATE_LISTEN.load();
    if !listens || PORTS_GIVEN.load() != 0 && !wants_port(read(sock, &SOCK_PORT)?) {
        return None;
    }
    let (listener, _) = Listener::recognise(sock)?;
    let waiters: Address = read(sock, &SOCK_WAIT_QUEUE)?;
    let queue = Queue { name: listener.id, own: at(waiters, WAIT_QUEUE.load()), file };
    Some((at(waiters, WAIT_QUEUE_FIRST.load()), queue))
}

/// A wait queue.
struct Queue {
    /// The listener, or the address of the epoll instance.
    name: u64,
    /// Address of the queue of a listener; null of an epoll instance's.
    own: Address,
    /// The listener's file.
    file: Address,
}

impl Output {
    #[inline(always)]
    fn tell(self, kind: WatchKind, whom: Whom, events: u32, listener: u64, epoll: u64) {
        let Whom { pid, number, comm } = whom;
        // SAFETY: as many bytes.
        let comm = unsafe { transmute::<[u64; 2], [u8; 16]>(comm) };
        let record = WatchRecord { kind: kind as u32, pid, number, events, listener, epoll, comm };
        let size = size_of::<WatchRecord>() as u32;
        // SAFETY: the record has no padding. Where it does not fit, all of this file is told again by the next
        // reading.
        unsafe { bpf_seq_write(self.output, (&raw const record).cast_mut().cast(), size) };
    }

    /// The entry to begin a walk with through the queue of this name, 0 for the first; `None` where it was walked in this
    /// pass, by way of another file, or is not to be gone on with.
    #[inline(always)]
    fn begins(self, name: u64) -> Option<u64> {
        let Self { pass, pid, fd, .. } = self;
        let mut from = 0;
        if let Some(known) = WALKED.get_ptr(name) {
            // SAFETY: a copy of integers in a live map value.
            let known = unsafe { *known };
            if known.pass == pass {
                if known.pid != pid || known.fd != fd {
                    return None;
                }
                // The output was full, and the same file is told again.
                from = known.from;
            } else if RESUMES.load() != 0 {
                from = known.next;
                if from == 0 {
                    return None;
                }
            }
        }
        // Without a row it is walked once more.
        let walk = Walk { pass, pid, fd, from, next: 0 };
        let _no_room = WALKED.insert(name, walk, u64::from(BPF_ANY));
        Some(from)
    }

    /// Tells of each entry of a wait queue, whose list begins at `head`, or of those from one on.
    #[inline(always)]
    fn walk(self, head: Address, from: u64, queue: &Queue) {
        let mut link = from as Address;
        if from == 0 {
            match read(head, &LIST_NEXT) {
                Some(first) => link = first,
                None => return,
            }
        } else {
            // An entry that has left its list leads nowhere, or to itself.
            let before = read::<Address>(link, &LIST_PREVIOUS).unwrap_or(ptr::null());
            if before == link || read::<Address>(before, &LIST_NEXT) != Some(link) {
                self.tell(WatchKind::Lost, Whom::process(0, 0), 0, queue.name, 0);
                return;
            }
        }
        // One loop, and not one for each way to its beginning.
        link = opaque(link as u64) as Address;
        for _ in 0..WAITERS_WALKED {
            if link == head {
                return;
            }
            let _gone = self.tell_entry(before(link, WAITER_LINK.load()), queue);
            match read(link, &LIST_NEXT) {
                Some(next) => link = next,
                None => break,
            }
        }
        if link != head {
            self.tell(WatchKind::Cut, Whom::process(0, 0), 0, queue.name, 0);
            if let Some(walk) = WALKED.get_ptr_mut(queue.name) {
                // SAFETY: a live map value, of a queue that one file at a time leads to.
                unsafe { (*walk).next = link as u64 };
            }
        }
    }

    /// What an entry has for a task, if it is one: entries of other kinds have other things there.
    #[inline(always)]
    fn task_of(self, task: Address) -> Option<Whom> {
        let leader: Address = read(task, &TASK_LEADER)?;
        let process: u32 = read(task, &TASK_PID)?;
        if process == 0 || read::<u32>(leader, &TASK_TID)? != process {
            return None;
        }
        let (pid, number) = ids(task, self.level)?;
        Some(Whom { pid, number, comm: read(task, &TASK_COMM)? })
    }

    /// Tells of an entry of a wait queue. Each kind makes a record of its own: what is kept from one turn to the next
    /// the verifier follows apart.
    #[inline(always)]
    fn tell_entry(self, entry: Address, queue: &Queue) -> Option<()> {
        let private: Address = read(entry, &WAITER_TASK)?;
        if queue.own.is_null() {
            self.tell(WatchKind::OnEpoll, self.task_of(private)?, 0, 0, queue.name);
            return Some(());
        }
        let (hook, poll) = (before(entry, HOOK_ENTRY.load()), before(entry, POLL_ENTRY.load()));
        if read::<Address>(hook, &HOOK_QUEUE) == Some(queue.own)
            && let Some(item) = read::<Address>(hook, &HOOK_ITEM)
            && read::<Address>(item, &ITEM_FILE) == Some(queue.file)
        {
            let (epoll, events) = (read(item, &ITEM_EPOLL)?, read(item, &ITEM_EVENTS)?);
            self.tell(WatchKind::Item, Whom::process(0, 0), events, queue.name, epoll);
        } else if read::<Address>(poll, &POLL_QUEUE) == Some(queue.own)
            && read::<Address>(poll, &POLL_FILE) == Some(queue.file)
        {
            let (task, key) = (self.task_of(read(private, &POLL_TASK)?)?, read(poll, &POLL_KEY)?);
            self.tell(WatchKind::Polls, task, key, queue.name, 0);
        } else {
            self.tell(WatchKind::Accepts, self.task_of(private)?, 0, queue.name, 0);
        }
        Some(())
    }
}

/// A task that waits, or a process and a descriptor of it.
#[derive(Clone, Copy)]
struct Whom {
    pid: u32,
    number: u32,
    comm: [u64; 2],
}

impl Whom {
    #[inline(always)]
    fn process(pid: u32, number: u32) -> Self {
        Self { pid, number, comm: [opaque(0); 2] }
    }
}

/// A task's process id and thread id, as userspace knows them.
#[inline(always)]
fn ids(task: Address, level: u32) -> Option<(u32, u32)> {
    if PID_NAMESPACE.load() != 0 {
        return numbers::ids_at(task, level);
    }
    Some((read(task, &TASK_PID)?, read(task, &TASK_TID)?))
}

#[inline(always)]
fn at(object: Address, offset: u32) -> Address {
    object.cast::<u8>().wrapping_add(offset as usize) as Address
}

#[inline(always)]
fn before(member: Address, offset: u32) -> Address {
    member.cast::<u8>().wrapping_sub(offset as usize) as Address
}

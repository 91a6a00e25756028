//! A 32-bit server, as an executable that needs no compiler and no library where it runs.

use std::{
    io::Write,
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::Command,
};

use anyhow::anyhow;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::Outcome;

/// Where the kernel puts it.
const BASE: u32 = 0x0804_8000;
/// Sizes of the header of an ELF file, and of the only entry of its program header.
const HEADERS: u16 = 52 + 32;

/// What it does, made by `as --32` of
///
/// ```text
/// # Descriptor 3 listens. With one argument it waits in accept, with two in poll, with three in
/// # epoll_wait; then it accepts a connection and closes it.
/// _start: movl (%esp), %edi;  subl $64, %esp;  movl %esp, %ebp
///         movl $3, 0(%ebp);   movl $0, 4(%ebp);  movl $0, 8(%ebp)      # accept(3, 0, 0)
///         movl $3, 16(%ebp);  movl $1, 20(%ebp)                        # struct pollfd
///         movl $1, 32(%ebp);  movl $0, 36(%ebp); movl $0, 40(%ebp)     # struct epoll_event
///         cmpl $3, %edi;      jne again
///         movl $329, %eax;    xorl %ebx, %ebx;   int $0x80             # epoll_create1
///         movl %eax, %esi
///         movl $255, %eax;    movl %esi, %ebx;   movl $1, %ecx;   movl $3, %edx
///         pushl %esi;         leal 32(%ebp), %esi;  int $0x80;    popl %esi    # epoll_ctl
/// again:  cmpl $2, %edi;      jb accept;         ja epoll
///         movl $168, %eax;    leal 16(%ebp), %ebx;  movl $1, %ecx;  movl $-1, %edx
///         int $0x80;          jmp accept                               # poll
/// epoll:  movl $256, %eax;    movl %esi, %ebx;   leal 32(%ebp), %ecx;  movl $1, %edx
///         pushl %esi;         movl $-1, %esi;    int $0x80;       popl %esi    # epoll_wait
/// accept: movl $102, %eax;    movl $5, %ebx;     movl %ebp, %ecx; int $0x80    # socketcall
///         testl %eax, %eax;   js again
///         movl %eax, %ebx;    movl $6, %eax;     int $0x80;       jmp again    # close
/// ```
#[rustfmt::skip]
const CODE: [u8; 186] = [
    0x8b, 0x3c, 0x24, 0x83, 0xec, 0x40, 0x89, 0xe5, 0xc7, 0x45, 0x00, 0x03, 0x00, 0x00, 0x00, 0xc7,
    0x45, 0x04, 0x00, 0x00, 0x00, 0x00, 0xc7, 0x45, 0x08, 0x00, 0x00, 0x00, 0x00, 0xc7, 0x45, 0x10,
    0x03, 0x00, 0x00, 0x00, 0xc7, 0x45, 0x14, 0x01, 0x00, 0x00, 0x00, 0xc7, 0x45, 0x20, 0x01, 0x00,
    0x00, 0x00, 0xc7, 0x45, 0x24, 0x00, 0x00, 0x00, 0x00, 0xc7, 0x45, 0x28, 0x00, 0x00, 0x00, 0x00,
    0x83, 0xff, 0x03, 0x75, 0x23, 0xb8, 0x49, 0x01, 0x00, 0x00, 0x31, 0xdb, 0xcd, 0x80, 0x89, 0xc6,
    0xb8, 0xff, 0x00, 0x00, 0x00, 0x89, 0xf3, 0xb9, 0x01, 0x00, 0x00, 0x00, 0xba, 0x03, 0x00, 0x00,
    0x00, 0x56, 0x8d, 0x75, 0x20, 0xcd, 0x80, 0x5e, 0x83, 0xff, 0x02, 0x72, 0x30, 0x77, 0x16, 0xb8,
    0xa8, 0x00, 0x00, 0x00, 0x8d, 0x5d, 0x10, 0xb9, 0x01, 0x00, 0x00, 0x00, 0xba, 0xff, 0xff, 0xff,
    0xff, 0xcd, 0x80, 0xeb, 0x18, 0xb8, 0x00, 0x01, 0x00, 0x00, 0x89, 0xf3, 0x8d, 0x4d, 0x20, 0xba,
    0x01, 0x00, 0x00, 0x00, 0x56, 0xbe, 0xff, 0xff, 0xff, 0xff, 0xcd, 0x80, 0x5e, 0xb8, 0x66, 0x00,
    0x00, 0x00, 0xbb, 0x05, 0x00, 0x00, 0x00, 0x89, 0xe9, 0xcd, 0x80, 0x85, 0xc0, 0x78, 0xb9, 0x89,
    0xc3, 0xb8, 0x06, 0x00, 0x00, 0x00, 0xcd, 0x80, 0xeb, 0xae,
];

/// The file.
fn executable() -> Vec<u8> {
    let size = u32::from(HEADERS) + CODE.len() as u32;
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let short = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    // An executable for Intel 80386.
    short(&mut file, 2);
    short(&mut file, 3);
    // Version, entry, the program header, no section header, no flags.
    for value in [1, BASE + u32::from(HEADERS), 52, 0, 0] {
        long(&mut file, value);
    }
    for value in [52, 32, 1, 0, 0, 0] {
        short(&mut file, value);
    }
    // All of it is loaded, to be read and run.
    for value in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        long(&mut file, value);
    }
    file.extend(CODE);
    file
}

/// Becomes that server, of the listener `socket`, with so many arguments.
pub fn become_server(socket: &impl AsRawFd, arguments: usize) -> Outcome {
    // SAFETY: descriptor 3 is nobody's here who would use it again: the process becomes another.
    nix::Error::result(unsafe { libc::dup2(socket.as_raw_fd(), 3) })?;
    // Where the listener had that number already, it is still to be closed when a program is run.
    // SAFETY: as above.
    nix::Error::result(unsafe { libc::fcntl(3, libc::F_SETFD, 0) })?;
    let file = memfd_create(c"i386", MFdFlags::MFD_CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(&executable())?;
    let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Err(anyhow!("no 32-bit program: {}", command.args(vec!["-"; arguments - 1]).exec()))
}

/// Why 32-bit programs cannot be run here.
pub fn not_possible() -> Option<String> {
    let run = || -> anyhow::Result<()> {
        let mut file = std::fs::File::from(memfd_create(c"i386", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&executable())?;
        let mut child =
            Command::new(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
                .stdin(std::process::Stdio::null())
                .spawn()?;
        child.kill()?;
        child.wait()?;
        Ok(())
    };
    run().err().map(|error| format!("no 32-bit programs: {error}"))
}
